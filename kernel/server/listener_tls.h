// The certificates of the listeners that speak TLS: loaded when a listener opens, read again as a whole on SIGHUP, watched by
// metrics. The I/O thread.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "kernel/base/clock.h"
#include "kernel/base/telemetry.h"
#include "kernel/net/io_counters.h"
#include "kernel/net/tls_context.h"

namespace heptane::server {

class ListenerTls {
 public:
  explicit ListenerTls(Clock& clock) : clock_(clock) {}

  Result<std::shared_ptr<net::TlsCredentials>> load(const std::string& listener, const net::TlsOptions& options);
  // Reads all files again. A listener whose files are wrong keeps what it has; the others are not held up. The error names
  // every one that is wrong.
  Result<void> reload();

  void register_metrics(const net::IoCounters& counters, Telemetry& telemetry) const;

 private:
  Clock& clock_;
  std::map<std::string, std::shared_ptr<net::TlsCredentials>> by_listener_;
  net::Counter reloads_;
  net::Counter reloads_failed_;
};

}  // namespace heptane::server
