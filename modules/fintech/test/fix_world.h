// The exchange with FIX connections to it, in memory: the machine, the gateway, and a network and a clock that do what a test says. A crash
// loses what was not applied, and every connection; what was applied is restored from its snapshot. Test support; one thread.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "kernel/streams/record_batch.h"
#include "modules/fintech/gateway/fix/connection.h"
#include "modules/fintech/gateway/market/feed.h"
#include "modules/fintech/test/exchange_rig.h"

namespace heptane::fintech::fixgate::test {

using exchange::test::ExchangeRig;
using exchange::test::kSecond;

class FixWorld;

std::vector<std::string> split(const std::string& text, char at);
int tag_of(const std::string& field);
// `35=0|34=2|...` of a peer to a whole message; 49, 56 and 52 are put in where they lack.
std::string message_of(const std::string& line, const std::string& name, int64_t now_ns);
// One message of what came; empty: none.
std::string take_one(std::string& out);
// Why it is no message of the dictionary; empty: it is one.
std::string fault_of(const std::string& bytes);

// A connection as its peer has it.
class Line final : public net::SessionContext {
 public:
  Line(FixWorld& world, SessionId id, net::Protocol& protocol);

  void send(std::string_view bytes);
  // The peer closes it.
  void cut();
  void fire_timers();
  void settle();
  bool closed() const { return closed_; }
  const std::string& why() const { return why_; }
  // What came; the caller empties it.
  std::string& out() { return out_; }
  net::Session& session() { return *session_; }
  bool waits_for(PartitionId partition) const;
  // In the order in which they were asked for.
  void deliver(RequestId request, const Reply& reply);
  void deliver(RequestId request, const net::RecordsRead& records);
  void work();
  int64_t next_timer() const { return timers_.empty() ? INT64_MAX : timers_.begin()->first; }
  void set_output_full(bool full) { output_full_ = full; }

  void write(Buffer bytes) override { out_ += as_text(bytes.view()); }
  void close(net::CloseReason reason, std::string_view why) override;
  void need(size_t) override {}
  void pause_input(bool paused) override { paused_ = paused; }
  bool submit(RequestId request, Submission submission) override;
  bool query(RequestId request, QueryRequest query) override;
  bool read(RequestId request, ReadRequest read) override;
  bool work(RequestId request, std::function<void()> job) override;
  net::SubscriptionId subscribe(PartitionId partition, Offset from) override;
  void unsubscribe(net::SubscriptionId) override {}
  net::SessionTimerId arm(int64_t delay_ns) override;
  void cancel(net::SessionTimerId timer) override;
  int64_t monotonic_ns() const override;
  int64_t utc_ns() const override;
  SessionId id() const override { return id_; }
  const net::Address& local() const override { return address_; }
  const net::Address& remote() const override { return address_; }
  size_t output_bytes() const override { return 0; }
  bool output_full() const override { return output_full_; }

 private:
  void feed();

  FixWorld& world_;
  const SessionId id_;
  const net::Address address_{"127.0.0.1", 1};
  std::unique_ptr<net::Session> session_;
  std::string in_;
  std::string out_;
  std::string why_;
  bool paused_ = false;
  bool closed_ = false;
  bool output_full_ = false;
  uint64_t next_id_ = 1;
  std::set<std::pair<int64_t, net::SessionTimerId>> timers_;
  struct Wait {
    net::SubscriptionId id;
    PartitionId partition;
    Offset from;
  };
  std::vector<Wait> waits_;
  std::vector<std::pair<RequestId, std::function<void()>>> jobs_;
};

class FixWorld {
 public:
  explicit FixWorld(FixOptions options = {}) : options_(options) {
    start();
    run();
  }

  Line& connect();
  // A connection of another protocol.
  Line& open(net::Protocol& of);
  void put(const exchange::FixSpec& spec) {
    EXPECT_TRUE(rig.ask(exchange::kPutFixSession, exchange::FixPut{spec}).ok());
  }
  static exchange::FixSpec spec(const std::string& name, const std::string& firm,
                                exchange::FixRole role = exchange::FixRole::orders);
  // Alpha with dollars, beta with bitcoin, a session for each, a drop copy of alpha's, and one for market data.
  void open_market();

  // Until nothing is left to be done now.
  void run() { run_some(SIZE_MAX); }
  // At most so many commands, questions and reads.
  void run_some(size_t most);
  // What is to be asked for now, and no answers.
  void let_ask();
  size_t reads_asked() const;
  // To the next timer, not beyond `until`. False: there is none.
  bool advance(int64_t until);
  void pass(int64_t ns);
  // kill -9, and a start.
  void crash();
  // The feed's session ends, and is opened anew.
  void reopen_feed();
  const exchange::FixSession& session(const std::string& name) const { return *rig.exchange.fix_sessions().find(name); }
  std::vector<std::string>& said(const std::string& name);

  ExchangeRig rig;
  FixOptions options_;
  std::unique_ptr<market::MarketFeed> feed;
  std::unique_ptr<FixProtocol> protocol;
  size_t submits_refused = 0;   // so many are turned away from now on
  bool no_room = false;         // for what does not relieve
  size_t ends_refused = 0;      // so many ends of connections are refused for now
  std::set<Offset> unreadable;  // of every stream
  int64_t utc_late_ns = 0;      // as connections see it

 private:
  friend class Line;
  struct Asked {
    SessionId line = 0;
    RequestId request = 0;
    std::optional<Submission> submission;
    std::optional<QueryRequest> query;
    std::optional<ReadRequest> read;
  };
  void start();
  void answer(const Asked& asked);
  net::RecordsRead records(const ReadRequest& read);

  std::deque<Asked> asked_;
  SessionId last_id_ = 0;
  std::map<SessionId, std::unique_ptr<Line>> lines_;
  std::vector<std::unique_ptr<Line>> gone_;  // of earlier runs: tests still hold them
  Line* feed_line_ = nullptr;
};

}  // namespace heptane::fintech::fixgate::test
