// The broker's way to the sessions that outlive their connections (machine/session_api.h). What connections ask of them goes to
// the shard in the order in which it was asked, behind what was published before; acknowledgements go along lazily, all
// connections' in one command each kLazyNs or when kLazyMax have come together. Wills that are due later are published when
// their time has come, whatever has become of the client; dropped where its user, or its device by any credential that counts, may not
// publish there any more.
//
// At its start, where there are sessions, it tells the machine that the last run's connections are over; until that is
// answered what is asked waits. Bounds: a connection has at most one request under way and leaves one behind. The I/O thread's.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "kernel/net/session.h"
#include "modules/iot/machine/provisioning/credential_api.h"
#include "modules/iot/machine/session_api.h"
#include "modules/iot/machine/shared_groups.h"

namespace heptane::iot::mqtt {

class Broker;

class Keeper {
 public:
  static constexpr int64_t kLazyNs = 100'000'000;
  static constexpr size_t kLazyMax = kSettledMax;
  static constexpr size_t kLossesMax = 200;           // of one command: it tells each session's
  static constexpr RequestId kRequests = 1ULL << 40;  // its own are from here on

  enum class Kind : uint8_t {
    find,
    open,
    close,
    change,
    settle,
    will,
    will_facts,
    will_credentials,
    boot,
    end_connections,
    counts,
    wills,
    group,
    assign,
    walked
  };
  // A will whose owner is asked for.
  struct OwnedWill {
    uint64_t session = 0;
    uint64_t epoch = 0;
    std::string owner;
    std::string client;
    std::string topic;
  };
  // What a connection asks. The answer comes to Subscriber::kept_answer; a connection's that is gone by then is closed again.
  struct Ask {
    Kind kind = Kind::find;
    SessionId from = 0;
    uint16_t type = 0;  // command or query
    Buffer payload;
    Principal principal{};
    std::vector<std::pair<SessionId, Settled>> waiting{};  // of settlements that somebody waits for
    std::vector<uint64_t> returns{};                       // of settlements: groups that get something back
    uint64_t turn = 0;                                     // of settlements: their place among all of them
    uint64_t key = 0;                                      // of a group's outbox, of a batch of choices
    std::shared_ptr<const OwnedWill> due{};                // of a device's credentials
  };

  explicit Keeper(Broker& broker) : broker_(broker) {}

  void attach(net::SessionContext& context);
  void detach();

  // No client has a session: nothing needs to be asked.
  bool none() const { return ready_ && none_; }
  void find(SessionId from, std::string_view client);
  void open(SessionId from, const OpenSession& open, const Principal& principal);
  void close(const CloseSession& close);
  void change(SessionId from, uint16_t type, const ChangeFilters& change, const Principal& principal);
  // Groups (group_queues.h).
  void find_group(uint64_t key, std::string_view shared);
  void assign(uint64_t batch, const std::vector<Assigned>& assigned);
  void walked(WalkedBy walked);
  void settle(const Settled& settled);
  // Subscriber::settled follows when it is synced; GroupQueues::settled where it is from nobody.
  void settle_now(SessionId from, const Settled& settled);
  // The log has not heard yet of something that the group gets back: what is chosen before it would not count any more.
  bool returns_to(uint64_t group) const { return returning_.contains(group); }
  void flush();
  // The server stops: what is settled goes now.
  void stop();

  // To the shard, as far as it takes it. False: it has no room.
  bool send();
  bool on_reply(RequestId request, const Reply& reply);
  bool on_timer(net::SessionTimerId timer);
  size_t wills() const { return wills_.size(); }  // that wait

 private:
  struct Will {
    uint64_t epoch = 0;
    int64_t due_ns = 0;  // by the monotonic clock: log time may run behind it
  };

  void ask(Ask ask);
  void flush_settled();
  void flush_walked();
  void flush_later();
  bool submit(const Ask& ask);
  void answer(Ask& ask, const Reply& reply);
  void take_counts(const Reply& reply);
  void take_wills(const Reply& reply);
  void ask_wills(uint64_t after);
  void end_connections(uint64_t after);
  void remember_will(uint64_t session, uint64_t epoch, int64_t delay_ns);
  void forget_will(uint64_t session);
  void forget_will_of(const Reply& opened);
  void arm_wills();
  void publish_wills();
  void ask_for_will(uint64_t session, uint64_t epoch, bool drops);
  void ask_again(uint64_t session, uint64_t epoch, int64_t delay_ns);
  void take_will_facts(const Ask& ask, const Reply& reply);
  void ask_for_credentials(OwnedWill due);
  void take_credentials(const Ask& ask, const Reply& reply);
  bool deliver_will(const Reply& reply);
  void take_will(const Ask& ask, const Reply& reply);
  void take_opened(const Ask& ask, const Reply& reply);
  void note_returned(const Ask& ask);
  void take_settled(Ask ask, const Reply& reply);
  void tell_settled(const Ask& ask, const Reply& reply);
  void take_changed(const Ask& ask, const Reply& reply);

  Broker& broker_;
  net::SessionContext* context_ = nullptr;
  bool ready_ = false;
  bool none_ = true;
  std::deque<Ask> first_;  // what the start asks; before asks_
  std::deque<Ask> asks_;
  std::map<RequestId, Ask> under_way_;
  RequestId last_request_ = kRequests;
  std::vector<Settled> lazy_;
  size_t losses_ = 0;                     // of them
  std::map<uint64_t, size_t> returning_;  // by group: settlements of what it gets back, not answered
  std::vector<WalkedBy> walked_;
  std::vector<std::pair<SessionId, Settled>> waiting_;
  uint64_t last_turn_ = 0;
  uint64_t told_turn_ = 0;                            // whose answer was told last
  std::map<uint64_t, std::pair<Ask, Reply>> early_;   // by turn: answered before one that is tried again
  net::SessionTimerId lazy_timer_ = 0;                // 0: not armed
  LogTime started_ = 0;                               // when it was told that the last run is over
  std::map<uint64_t, Will> wills_;                    // by session: its last one
  std::set<std::pair<int64_t, uint64_t>> wills_due_;  // when, whose
  net::SessionTimerId will_timer_ = 0;
  net::SessionTimerId retry_timer_ = 0;
  std::deque<Ask> retries_;
};

}  // namespace heptane::iot::mqtt
