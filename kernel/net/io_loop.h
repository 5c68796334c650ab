// The I/O role: listeners, connections, their sessions and the link to one shard. An object with run_once(), not a thread;
// whoever calls run_once owns it and everything in it. Net, Clock, link, reader and protocols outlive it.
//
// One turn: socket events → input to sessions → answers whose gate is synced (invariant 1) → subscriptions → timers → one
// gathered write per connection → one wake-up of the shard. Calls into sessions are never nested.
//
// The owner sets link.wake_io to net.wake(), and calls run_once again while stopped() is false after shutdown().
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <unordered_map>
#include <vector>

#include "kernel/net/connection.h"
#include "kernel/net/datagram_endpoint.h"
#include "kernel/net/loop_core.h"
#include "kernel/net/outbound.h"
#include "kernel/net/records_reader.h"

namespace heptane::net {

class IoLoop {
 public:
  IoLoop(Net& net, Clock& clock, ShardLink& link, RecordsReader& reader, IoLoopConfig config = {});
  ~IoLoop();
  IoLoop(const IoLoop&) = delete;
  IoLoop& operator=(const IoLoop&) = delete;

  // Serves the protocol there; returns the port (address.port 0: any free one). Errors as in Net::listen.
  Result<uint16_t> add_listener(Protocol& protocol, const Address& address, ListenerOptions options = {});

  // Makes the connection and keeps making it, until stop_outbound or shutdown. Returns its name for stop_outbound.
  SessionId add_outbound(Protocol& protocol, OutboundOptions options);
  void stop_outbound(SessionId outbound);
  // Once more, after it was given up (OutboundOptions::attempts_max) or stopped. Not while the loop shuts down.
  void begin_outbound(SessionId outbound);

  // One session without a peer, until shutdown: for what outlives the connections of a protocol. It has everything of a
  // SessionContext but input; what it writes goes nowhere. Not counted among the connections.
  void add_resident(Protocol& protocol);
  // `told` hears of the answer to every such command that a session sends from now on, in the order of all answers, before that
  // session does and also when it is gone. One for each kind of command; before any was sent.
  void watch_answers(MachineId machine, CommandType type,
                     std::function<void(const Buffer& payload, const Reply& reply)> told);

  // Serves the protocol's datagrams there; returns the port.
  Result<uint16_t> add_datagrams(DatagramProtocol& protocol, const Address& address);

  // Waits for at most `max_wait_ns` (0: does not wait; <0: until something happens), then does all there is to do.
  void run_once(int64_t max_wait_ns);

  // Stops accepting and reading; unanswered requests are answered and written, then connections close. What is left at
  // `deadline_ns` (monotonic) is cut off. Any time outside run_once.
  void shutdown(int64_t deadline_ns);
  bool stopped() const;

  // Monotonic; -1 = none. In the past when run_once has work without waiting.
  int64_t next_deadline_ns() const;
  const IoCounters& counters() const { return core_.counters; }
  size_t connections() const { return connections_.size(); }
  // Requests for which the shard owes an answer.
  size_t unanswered() const { return core_.gated_unanswered + core_.reads_unanswered; }

 private:
  void accept(ListenerState& listener, std::unique_ptr<Stream> stream);
  static std::unique_ptr<Stream> encrypted(const ListenerState& listener, std::unique_ptr<Stream> stream);
  void adopt(ListenerState& listener, std::unique_ptr<Stream> stream);
  void refuse(ListenerState& listener, Stream& stream);
  SessionId take_session_id();
  void process_datagrams();
  void deliver_timer_elsewhere(SessionId session, SessionTimerId timer);
  Connection* find(SessionId session);
  void process_input();
  void drain_gated();
  void drain_open();
  void dispatch(ShardReply& reply);
  void tell_watch(const ShardReply& reply);
  void dispatch_read(const ShardReply& reply, ReadReply& read);
  void answer_read(SessionId session, RequestId request, const RecordsRead& records);
  void submit_held();
  void drain_reads();
  void drain_work();
  void deliver_advances();
  void run_timers();
  void close_idle();
  void cut_off();
  void settle();
  void end_residents();
  bool has_work() const;

  Net& net_;
  RecordsReader& reader_;
  LoopCore core_;
  std::vector<std::unique_ptr<ListenerState>> listeners_;  // and what stands for one of those who connect outward
  std::map<SessionId, std::unique_ptr<Outbound>> outbounds_;
  std::map<SessionId, std::unique_ptr<DatagramEndpoint>> datagrams_;
  std::unordered_map<SessionId, std::unique_ptr<Connection>> connections_;
  uint16_t next_index_ = 1;
  std::vector<Connection*> round_;  // connections of the round being run
  std::deque<ReadJob> held_;        // reads that found the readers' queue full; bounded as unanswered reads are
  size_t read_bytes_ = 0;           // of records in this turn
  bool link_backlog_ = false;       // answers were left for the next turn
  int64_t drain_deadline_ns_ = 0;
};

}  // namespace heptane::net
