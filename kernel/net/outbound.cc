#include "kernel/net/outbound.h"

#include <algorithm>
#include <utility>

#include "kernel/net/tls_stream.h"

namespace heptane::net {

Outbound::Outbound(LoopCore& core, Net& net, Random& random, ListenerState& state, SessionId id,
                   OutboundOptions options, Adopt adopt)
    : core_(core),
      net_(net),
      random_(random),
      state_(state),
      id_(id),
      options_(std::move(options)),
      adopt_(std::move(adopt)) {}

void Outbound::begin() {
  phase_ = Phase::resolving;
  deadline_ns_ = core_.clock.monotonic_ns() + options_.attempt_timeout_ns;
  core_.timers.arm(id_, kOutboundTimer, deadline_ns_);
  addresses_ = {};
  pending_ = net_.resolve(options_.host, options_.port, [this](Result<std::vector<Address>> found) {
    pending_ = nullptr;
    if (!found) return fail(found.error());
    addresses_ = std::move(*found);
    if (options_.allows) std::erase_if(addresses_, [this](const Address& one) { return !options_.allows(one); });
    if (addresses_.empty())
      return fail({Errc::unauthorised, options_.host + " leads to no address that may be connected to"});
    std::reverse(addresses_.begin(), addresses_.end());
    connect_next();
  });
}

void Outbound::again() {
  if (phase_ != Phase::stopped) return;
  failures_ = 0;
  begin();
}

void Outbound::connect_next() {
  phase_ = Phase::connecting;
  const Address address = std::move(addresses_.back());
  addresses_.pop_back();
  pending_ = net_.connect(address, [this](Result<std::unique_ptr<Stream>> stream) {
    pending_ = nullptr;
    if (stream) return connected(std::move(*stream));
    if (addresses_.empty()) return fail(stream.error());
    connect_next();
  });
}

// The handshake's deadline is the connection's own, and what is left of the attempt's.
void Outbound::connected(std::unique_ptr<Stream> stream) {
  phase_ = Phase::up;
  up_since_ns_ = core_.clock.monotonic_ns();
  core_.timers.cancel(id_, kOutboundTimer);
  state_.options.handshake_timeout_ns = std::max<int64_t>(deadline_ns_ - up_since_ns_, 0);
  if (options_.tls) {
    const std::string& name = options_.server_name.empty() ? options_.host : options_.server_name;
    stream = make_tls_client_stream(std::move(stream), options_.tls, name, state_.protocol.alpn());
  }
  adopt_(state_, std::move(stream));
}

void Outbound::on_closed(bool was_open, std::string_view why) {
  if (phase_ != Phase::up) return;
  if (was_open && core_.now_ns - up_since_ns_ >= options_.stable_after_ns) failures_ = 0;
  fail({was_open ? Errc::closed : Errc::refused, to_text({options_.host, options_.port}) + ": " + std::string(why)});
}

void Outbound::on_timer() {
  if (phase_ == Phase::waiting) return begin();
  if (phase_ != Phase::resolving && phase_ != Phase::connecting) return;
  fail({Errc::deadline, to_text({options_.host, options_.port}) + ": no connection in time"});
}

void Outbound::fail(const Error& error) {
  pending_ = nullptr;
  ++failures_;
  core_.counters.outbound_failed.add();
  if (options_.on_failed) options_.on_failed(error);
  if (options_.attempts_max > 0 && failures_ >= options_.attempts_max) {
    stop();
    if (options_.on_given_up) options_.on_given_up(error);
    return;
  }
  phase_ = Phase::waiting;
  core_.timers.arm(id_, kOutboundTimer, core_.clock.monotonic_ns() + delay_ns());
}

int64_t Outbound::delay_ns() {
  int64_t most = options_.backoff_first_ns;
  for (uint32_t i = 1; i < failures_ && most < options_.backoff_max_ns; ++i) most *= 2;
  most = std::clamp<int64_t>(most, 1, options_.backoff_max_ns);
  return static_cast<int64_t>(random_.u64() % static_cast<uint64_t>(most)) + 1;
}

void Outbound::stop() {
  phase_ = Phase::stopped;
  pending_ = nullptr;
  core_.timers.cancel(id_, kOutboundTimer);
}

}  // namespace heptane::net
