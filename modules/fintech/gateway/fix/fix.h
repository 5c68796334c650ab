// FIX 4.4 on one listener: order entry and drop copies. Options are fixed at start; counters may be read from any thread, the rest is the
// I/O thread's.
//
// Who is connected is known here alone: a second connection of a session is refused while the first one is there. That a connection is
// over, and that the server has begun anew, the machine is told by a session without a peer (FixKeeper), which outlives connections.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>

#include "kernel/auth/sasl.h"
#include "kernel/net/quota.h"
#include "kernel/net/session.h"
#include "modules/fintech/domain/exchange/expansion.h"
#include "modules/fintech/domain/fix/message.h"
#include "modules/fintech/machine/exchange/fix_api.h"

namespace heptane::fintech::market {
class MarketFeed;
}

namespace heptane::fintech::fixgate {

struct FixOptions {
  int64_t logon_timeout_s = 10;
  auth::Authenticator* authenticator = nullptr;  // null: it is off, everybody is `local`
  net::Quotas* quotas = nullptr;                 // null: no limits. Outlive the protocol
  exchange::FindZone zones{};                    // null: UTC alone
  market::MarketFeed* feed = nullptr;            // null: there is no market data. Outlives the protocol
};

struct FixCounters {
  std::atomic<uint64_t> logons{0};
  std::atomic<uint64_t> refused{0};   // connections that were closed before they were logged on
  std::atomic<uint64_t> messages{0};  // that came
  std::atomic<uint64_t> resent{0};    // pieces of what was sent again
};

// Tells the machine of ends of connections. What cannot be submitted now is submitted a moment later.
class FixKeeper final : public net::Session {
 public:
  explicit FixKeeper(FixKeeper*& place) : place_(place) { place_ = this; }
  ~FixKeeper() override { place_ = nullptr; }
  FixKeeper(const FixKeeper&) = delete;
  FixKeeper& operator=(const FixKeeper&) = delete;

  void on_open(net::SessionContext& context) override;
  size_t on_bytes(Bytes input, net::SessionContext&) override { return input.size(); }
  void on_reply(RequestId, const Reply& reply, net::SessionContext&) override;
  void on_timer(net::SessionTimerId timer, net::SessionContext&) override;
  void tell(exchange::FixEnd end);
  // The machine has taken the first end, that of all connections of an earlier run.
  bool has_begun() const { return has_begun_; }

 private:
  void submit();

  FixKeeper*& place_;
  net::SessionContext* context_ = nullptr;
  std::deque<exchange::FixEnd> ends_;  // the first one is under way if under_way_
  bool under_way_ = false;
  bool has_begun_ = false;
  RequestId last_id_ = 0;
  net::SessionTimerId timer_ = 0;
};

class FixConnection;

class FixProtocol final : public net::Protocol {
 public:
  explicit FixProtocol(FixOptions options) : options_(options), keepers_(*this) {}

  std::string_view name() const override { return "fix"; }
  std::unique_ptr<net::Session> open(const net::Address& remote) override;
  size_t message_limit_bytes() const override { return 2 * fix::kMessageMax; }

  const FixOptions& options() const { return options_; }
  FixCounters& counters() { return counters_; }
  // Opens the keeper.
  net::Protocol& keepers() { return keepers_; }

  // False: another connection has it.
  bool enter(const std::string& session, const FixConnection& connection);
  void leave(const std::string& session, const FixConnection& connection);
  void tell(exchange::FixEnd end);
  bool has_begun() const { return keeper_ != nullptr && keeper_->has_begun(); }

 private:
  class Keepers final : public net::Protocol {
   public:
    explicit Keepers(FixProtocol& protocol) : protocol_(protocol) {}
    std::string_view name() const override { return "fix_keeper"; }
    std::unique_ptr<net::Session> open(const net::Address&) override {
      return std::make_unique<FixKeeper>(protocol_.keeper_);
    }
    size_t message_limit_bytes() const override { return 0; }

   private:
    FixProtocol& protocol_;
  };

  const FixOptions options_;
  FixCounters counters_;
  FixKeeper* keeper_ = nullptr;
  Keepers keepers_;
  std::map<std::string, const FixConnection*> connected_;
};

}  // namespace heptane::fintech::fixgate
