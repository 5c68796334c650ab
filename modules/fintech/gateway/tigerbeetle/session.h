// A connection of TigerBeetle's client protocol: messages in; commands, queries, replies and evictions out. What is not a
// message of this protocol closes it; what a client of this protocol must not send evicts the client; what cannot be
// answered now is dropped, the client sends it again. Owned by one I/O thread.
//
// Limits: kInFlightMax requests wait for the shard, then the session takes no input; a message is at most 1 MiB. Quotas: this
// protocol has no words for them, so a client that owes is not read from until it is paid back.
#pragma once

#include <optional>
#include <vector>

#include "kernel/net/quota.h"
#include "kernel/net/session.h"
#include "modules/fintech/domain/ledger/operations.h"
#include "modules/fintech/gateway/tigerbeetle/message.h"
#include "modules/fintech/gateway/tigerbeetle/tigerbeetle.h"

namespace heptane::fintech::tigerbeetle {

class TigerbeetleSession final : public net::Session {
 public:
  static constexpr size_t kInFlightMax = 4;  // a client has one
  static constexpr int64_t kRequestDeadlineNs = 30'000'000'000;
  static constexpr int64_t kTouchEveryNs = 60'000'000'000;

  explicit TigerbeetleSession(TigerbeetleProtocol& protocol) : protocol_(protocol), payer_(protocol.payer()) {}

  void on_open(net::SessionContext& context) override;
  size_t on_bytes(Bytes input, net::SessionContext& context) override;
  void on_reply(RequestId id, const Reply& reply, net::SessionContext& context) override;
  void on_timer(net::SessionTimerId timer, net::SessionContext& context) override;

 private:
  struct InFlight {
    RequestId id = 0;
    int64_t deadline_ns = 0;
    Request request;
    // Of a settlement: the same as a log takes it from before settlements were commands of their own.
    std::optional<Submission> otherwise;
    // Of a command that creates: whether it was done before, for when there is no room for it.
    std::optional<QueryRequest> standing;
  };

  void on_message(Bytes header, const Frame& frame, Bytes body, net::SessionContext& context);
  void on_request(const Request& request, Bytes body, net::SessionContext& context);
  struct Admitted {
    Principal principal;
    bool may_withdraw = true;
  };
  std::optional<Admitted> admit(const Request& request, net::SessionContext& context) const;
  bool ask(const Request& request, Bytes body, const Admitted& admitted, net::SessionContext& context);
  Submission submission_of(CommandType type, const Request& request, Bytes body, const Admitted& admitted,
                           const net::SessionContext& context) const;
  bool ask_otherwise(InFlight& asked, const Reply& reply, net::SessionContext& context);
  void touch(const Request& request, const Admitted& admitted, net::SessionContext& context);
  Uint128 cluster() const { return static_cast<Uint128>(protocol_.options().cluster); }
  void answer(const Request& request, const Reply& reply, net::SessionContext& context);
  void evict(Uint128 client, EvictionReason reason, net::SessionContext& context);
  void drop();
  size_t close(const char* why, net::SessionContext& context, size_t consumed);
  bool enter(net::SessionContext& context);
  void send(Buffer message, net::SessionContext& context);
  void steer_input(net::SessionContext& context);

  TigerbeetleProtocol& protocol_;
  const net::QuotaPayer payer_;
  net::QuotaSlot slot_;
  std::vector<InFlight> in_flight_;
  RequestId last_id_ = 0;
  int64_t touch_due_ns_ = 0;
  net::SessionTimerId timer_ = 0;        // 0 = not armed
  net::SessionTimerId quota_timer_ = 0;  // armed: it owes
  bool closed_ = false;
  bool paused_ = false;
};

}  // namespace heptane::fintech::tigerbeetle
