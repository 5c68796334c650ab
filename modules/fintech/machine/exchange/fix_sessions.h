// The sessions over which FIX is spoken: their settings, their numbers, whose reports go to whom, and what the running command says to
// them. State of the exchange machine; the shard thread's.
//
// Invariants: a number is given once (but for what an operator or the peer resets), by say() alone; the record of number n lies in the
// session's stream at base + n - first, and every number from `first` on has one; what say() made in a command is noted beside it and
// counted in the stream by that same command. An order that came over a session is routed to it until its last report.
//
// Note of a message, in the form of notes.h: view 0, key: the session's number (u16) and name, value: its fields from MsgType(35) on,
// with MsgSeqNum(34) and SendingTime(52) behind it, without what the gateway adds when it sends (8 9 43 49 56 122 10).
#pragma once

#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kernel/shard/effects.h"
#include "kernel/shard/snapshot_io.h"
#include "modules/fintech/machine/exchange/fix_api.h"

namespace heptane {
struct LoggedCommand;
class RecordWriter;
}  // namespace heptane

namespace heptane::fintech::exchange {

struct FixSession {
  uint32_t number = 0;  // from 1
  FixSpec spec;
  uint32_t firm = 0;
  PartitionId partition = kNoPartition;
  uint64_t first = 1;  // the lowest number that has a record
  Offset base = 0;     // where that lies
  uint64_t next_in = 1;
  uint64_t next_out = 1;
  uint64_t connection = 0;  // 0: none
  uint32_t serial = 0;      // of the last command over it
  TimerId timer = 0;        // kFixGrace; 0: not armed
  bool cancelling = false;  // its open orders are being cancelled: those up to last_order, behind cursor
  uint64_t cursor = 0;
  uint64_t last_order = 0;
  LogTime period = 0;    // of its hours, that its numbers are of; 0: not known
  LogTime again_at = 0;  // cancelling: another connection has ended meanwhile, and its grace ends then; 0: none

  ViewId view() const { return {kExchangeMachineId, static_cast<uint16_t>(kFixViews + number)}; }
  Offset next_offset() const { return base + static_cast<Offset>(next_out - first); }
};

// A mass cancel that was asked for over a session, to be reported at its end.
struct FixMassCancel {
  uint32_t session = 0;
  std::string client_id;
  std::string account;
  std::string symbol;
  std::optional<book::Side> side;
  uint8_t type = 0;
};

template <class A, Same<FixSession> S>
void fields(A& a, S& t) {
  a(t.spec, t.firm, t.partition, t.first, t.base, t.next_in, t.next_out, t.connection, t.serial);
  a(t.timer, t.cancelling, t.cursor, t.last_order, t.again_at);
  if (a.goes_on(t.spec.access.limits() || t.period != 0)) a(t.spec.access, t.period);
}
template <class A, Same<FixMassCancel> S>
void fields(A& a, S& t) {
  a(t.session, t.client_id, t.account, t.symbol, t.side, t.type);
}

class FixSessions {
 public:
  bool empty() const { return sessions_.empty(); }
  size_t size() const { return sessions_.size(); }
  FixSession* find(const std::string& name);
  const FixSession* find(const std::string& name) const { return const_cast<FixSessions*>(this)->find(name); }
  FixSession& at(uint32_t number) { return sessions_[number - 1]; }
  const std::map<std::string, uint32_t>& names() const { return names_; }
  const FixSession& at(uint32_t number) const { return sessions_[number - 1]; }
  FixSession& add(const FixSpec& spec, uint32_t firm);
  void change(FixSession& session, const FixSpec& spec);
  // Drop copies of the firm's orders.
  const std::vector<uint32_t>& drops(uint32_t firm) const;

  // Reports of the order go to the session.
  void route(uint64_t order, uint32_t session);
  void unroute(uint64_t order);
  // nullptr: it came otherwise.
  FixSession* session_of(uint64_t order);
  // Open orders that came over a session: (session, order).
  using Route = std::pair<uint32_t, uint64_t>;
  const std::set<Route>& orders() const { return orders_; }

  void await(uint64_t sweep, FixMassCancel asked) { masses_.insert_or_assign(sweep, std::move(asked)); }
  // The session that does; 0: none.
  uint32_t awaits(uint64_t sweep) const {
    const auto found = masses_.find(sweep);
    return found == masses_.end() ? 0 : found->second.session;
  }
  std::optional<FixMassCancel> take_mass(uint64_t sweep);

  // ---- of the running command

  // What its reports say of an order: the ClOrdID of the request, and the one before it.
  struct Asked {
    uint64_t order = 0;
    std::string client_id;  // empty: of a cancel that came without one
    std::string original_id;
    bool cancels = false;  // what ends it now was asked for
  };
  void begin(LogTime now);
  LogTime now() const { return now_; }
  std::optional<Asked>& asked() { return asked_; }
  // Who has asked, over FIX; 0: nobody.
  uint32_t requester() const { return requester_; }
  void set_requester(uint32_t session) { requester_ = session; }
  // Of ends of orders that nobody named; a literal.
  std::string_view cause() const { return cause_; }
  // Whether the session that the order came over asked for it, by a mass cancel.
  bool solicited(uint64_t order) const {
    const auto found = routes_.find(order);
    return found != routes_.end() && found->second == solicitor_;
  }
  void set_cause(std::string_view cause, uint32_t solicitor) {
    cause_ = cause;
    solicitor_ = solicitor;
  }
  // Takes the next number.
  void say(FixSession& session, std::string_view type, std::string_view header, std::string_view body);
  // Numbers begin anew: what was said is not sent again.
  void reset(FixSession& session, uint64_t next_in, uint64_t next_out);
  // Messages by session.
  const std::map<uint32_t, uint32_t>& said() const { return said_; }
  Bytes notes() const { return notes_.view(); }

  uint64_t memory_bytes() const;
  void save(SnapshotWriter& writer) const;
  Result<void> restore(SnapshotReader& reader);

 private:
  std::deque<FixSession> sessions_;
  std::map<std::string, uint32_t> names_;
  std::map<uint32_t, std::vector<uint32_t>> drops_;  // by firm
  std::map<uint64_t, uint32_t> routes_;              // of orders that have not ended
  std::set<Route> orders_;                           // the same
  std::map<uint64_t, FixMassCancel> masses_;         // by sweep
  // Of the running command.
  LogTime now_ = 0;
  std::optional<Asked> asked_;
  uint32_t requester_ = 0;
  std::string_view cause_;
  uint32_t solicitor_ = 0;  // 0: none
  std::map<uint32_t, uint32_t> said_;
  ByteWriter notes_;
};

// The records of a session's stream: the machine's renderer for views above kFixViews.
void render_fix(const LoggedCommand& logged, uint16_t view, RecordWriter& out);

}  // namespace heptane::fintech::exchange
