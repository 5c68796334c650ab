#include "kernel/server/listener_tls.h"

#include <utility>

namespace heptane::server {

namespace {

Telemetry::Value value_of(const net::Counter& counter) {
  return [&counter] { return static_cast<double>(counter.value()); };
}

}  // namespace

Result<std::shared_ptr<net::TlsCredentials>> ListenerTls::load(const std::string& listener,
                                                               const net::TlsOptions& options) {
  Result<std::shared_ptr<net::TlsCredentials>> loaded = net::TlsCredentials::load(options, clock_);
  if (loaded) by_listener_[listener] = *loaded;
  return loaded;
}

Result<void> ListenerTls::reload() {
  std::string wrong;
  Errc code = Errc::internal;
  for (const auto& [listener, credentials] : by_listener_) {
    const Result<void> loaded = credentials->reload();
    (loaded ? reloads_ : reloads_failed_).add();
    if (loaded) continue;
    code = loaded.error().code;
    wrong += (wrong.empty() ? "" : "; ") + ("listen." + listener) + ": " + loaded.error().message;
  }
  if (wrong.empty()) return {};
  return Error{code, wrong + "; the certificates that were there stay in use"};
}

void ListenerTls::register_metrics(const net::IoCounters& counters, Telemetry& telemetry) const {
  telemetry.counter("heptane_tls_handshakes_total", "TLS handshakes", value_of(counters.tls_handshakes),
                    {{"outcome", "ok"}});
  telemetry.counter("heptane_tls_handshakes_total", "TLS handshakes", value_of(counters.tls_failed),
                    {{"outcome", "failed"}});
  telemetry.counter("heptane_tls_reloads_total", "Readings of a listener's certificate files", value_of(reloads_),
                    {{"outcome", "ok"}});
  telemetry.counter("heptane_tls_reloads_total", "Readings of a listener's certificate files",
                    value_of(reloads_failed_), {{"outcome", "failed"}});
  telemetry.counter("heptane_datagrams_received_total", "Datagrams received", value_of(counters.datagrams_in));
  telemetry.counter("heptane_datagrams_sent_total", "Datagrams sent", value_of(counters.datagrams_out));
  telemetry.counter("heptane_datagrams_dropped_total",
                    "Datagrams too long for the protocol, or for which there was no room",
                    value_of(counters.datagrams_dropped));
  telemetry.counter("heptane_outbound_failures_total", "Outbound connections that ended or could not be made",
                    value_of(counters.outbound_failed));
  for (const auto& [listener, credentials] : by_listener_)
    telemetry.gauge("heptane_tls_certificate_expiry_seconds",
                    "When the certificate in use expires, in seconds of Unix time",
                    [kept = credentials] { return static_cast<double>(kept->current()->not_after_utc_s()); },
                    {{"listener", listener}});
}

}  // namespace heptane::server
