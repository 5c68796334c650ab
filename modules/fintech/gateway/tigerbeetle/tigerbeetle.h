// TigerBeetle's client protocol on one listener (0.17): what unmodified clients speak. Options are fixed at start; counters
// may be read from any thread, the rest belongs to the I/O threads.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "kernel/auth/sasl.h"
#include "kernel/net/quota.h"
#include "kernel/net/session.h"
#include "modules/fintech/gateway/tigerbeetle/message.h"

namespace heptane::fintech::tigerbeetle {

struct TigerbeetleOptions {
  int64_t cluster = 0;                           // that clients must name
  uint16_t listener = 0;                         // origin that is logged with each command
  std::string user;                              // as whom all clients act, while authentication is on
  auth::Authenticator* authenticator = nullptr;  // null: it is off, everybody is `local`
  net::Quotas* quotas = nullptr;                 // null: no limits. Outlive the protocol
};

struct TigerbeetleCounters {
  std::atomic<uint64_t> requests{0};
  std::atomic<uint64_t> replies{0};
  std::atomic<uint64_t> evictions{0};
  std::atomic<uint64_t> malformed{0};  // closed
  // No answer: old, repeated while under way, or the server has no room. Clients ask again.
  std::atomic<uint64_t> dropped{0};
};

class TigerbeetleProtocol final : public net::Protocol {
 public:
  explicit TigerbeetleProtocol(TigerbeetleOptions options) : options_(std::move(options)) {}

  std::string_view name() const override { return "tigerbeetle"; }
  std::unique_ptr<net::Session> open(const net::Address& remote) override;
  size_t message_limit_bytes() const override { return kMessageBytesMax; }
  int64_t idle_timeout_ns() const override { return 300'000'000'000; }  // clients ping every 30 s

  const TigerbeetleOptions& options() const { return options_; }
  net::QuotaPayer payer() const {
    return {options_.quotas, std::string(name()), options_.authenticator == nullptr ? "local" : options_.user};
  }
  TigerbeetleCounters& counters() { return counters_; }

 private:
  TigerbeetleOptions options_;
  TigerbeetleCounters counters_;
};

}  // namespace heptane::fintech::tigerbeetle
