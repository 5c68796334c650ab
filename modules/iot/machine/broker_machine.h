// The broker as a machine of the shard: what is published at QoS 1 and 2 or retained passes through its commands. It keeps
// retained messages and the sessions that outlive their connections, puts references to what such a session is subscribed to
// into its queue, and counts the records of `iot.messages`, of the streams that are declared over topic filters and of `iot.events`
// (views: rendered from the commands, kernel/shard/views.h).
// Connections, and sessions that end with them, are not its business. The shard thread's.
//
// Messages reach sessions in the log's order. One that matches more sessions than a command may reach (kReachedMax) is gone on
// with by commands of the machine's own, in the order of the sessions' numbers; what comes meanwhile waits behind it.
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "kernel/shard/effects.h"
#include "kernel/shard/snapshot_io.h"
#include "kernel/shard/state_machine.h"
#include "modules/iot/machine/api.h"
#include "modules/iot/machine/declared_streams.h"
#include "modules/iot/machine/events.h"
#include "modules/iot/machine/kept_sessions.h"
#include "modules/iot/machine/operator_api.h"
#include "modules/iot/machine/presence.h"
#include "modules/iot/machine/retained.h"
#include "modules/iot/machine/seen.h"
#include "modules/iot/machine/session_api.h"
#include "modules/iot/machine/shared_groups.h"
#include "modules/iot/machine/told.h"

namespace heptane::iot {

class BrokerMachine final : public StateMachine {
 public:
  static constexpr size_t kFanOutsMax =
      4'096;  // messages that have not reached all their sessions; then publishes are refused
  static constexpr uint32_t kLogicTells = 2;
  static constexpr uint32_t kLogicGroups = 3;
  static constexpr uint32_t kLogicWalks = 4;
  static constexpr uint32_t kLogicReturns = 5;
  static constexpr uint32_t kLogicRelaxed = 6;
  static constexpr uint32_t kLogicCaptures = 7;
  static constexpr uint32_t kLogicSources = 8;

  MachineId id() const override { return kBrokerMachineId; }
  std::string_view name() const override { return "broker"; }
  void apply(const Command& command, Effects& effects) override;
  void query(const Query& query, Reply& reply) const override;
  void open_scope() override { scopes_.push_back(undo_.size()); }
  void close_scope(ScopeOutcome outcome) override;
  uint64_t memory_bytes() const override {
    return retained_.bytes() + sessions_.bytes() + declared_.bytes() + seen_.bytes();
  }
  void save(SnapshotWriter& writer) const override;
  Result<void> restore(SnapshotReader& reader) override;
  bool fresh() const override {
    return retained_.size() == 0 && !knows_sessions() && declared_.empty() && seen_.empty();
  }
  void make_fresh() override;
  bool relieves(CommandType type) const override;
  RenderView renderer() const override { return render_views; }
  // 2: what sessions lose and subscribe to is told in `iot.events`. 3: groups with durable members have a queue.
  // 4: sessions know how far their clients have what is retained.
  // 5: a group gets back what a member did not get, and tells what it cannot give to another.
  // 6: streams may be relaxed; wills may be dropped when they are due; a will of a session that a start ended waits over the next start, too.
  // 7: sessions may capture; a message is counted for less memory. 8: it is known whose what is retained is.
  uint32_t newest_version() const override { return kLogicSources; }

  // For other machines (announce.cc): what one publishes with its command, `messages` one behind the other (append_message), at
  // QoS 1, from no client; their records are that machine's, from `first` on. They reach durable sessions as any message does, and
  // what a full one loses is told. Where there is room.
  bool has_room_to_announce() const { return fan_outs_.size() < kFanOutsMax; }
  std::vector<PublishStatus> announce(Bytes messages, RecordPlace first, const Command& command, Effects& effects);

  const RetainedMessages& retained() const { return retained_; }
  // Subscriptions that were looked at to reach durable sessions, since the start: what that costs.
  uint64_t visits() const { return visits_; }
  const KeptSessions& sessions() const { return sessions_; }
  const DeclaredStreams& declared() const { return declared_; }
  const SeenClients& seen() const { return seen_; }

  // For metrics; any thread.
  uint64_t sessions_count() const { return sessions_count_.load(std::memory_order_relaxed); }
  uint64_t references_count() const { return references_count_.load(std::memory_order_relaxed); }
  uint64_t retained_count() const { return retained_count_.load(std::memory_order_relaxed); }
  uint64_t retained_bytes() const { return retained_bytes_.load(std::memory_order_relaxed); }
  // Sessions whose time was over, of those that this process has seen in the log.
  uint64_t expired_count() const { return expired_count_.load(std::memory_order_relaxed); }
  uint64_t lost_count() const { return lost_count_.load(std::memory_order_relaxed); }

 private:
  // A message on its way into queues.
  struct FanOut {
    RecordPlace place;
    uint64_t after = 0;  // sessions up to this number have it
    uint8_t qos = 0;
    bool retain = false;
    std::string topic;
    std::string client;
    Sequence sequence = 0;  // of the command that published it; 0: of before that was kept
  };
  // The will that a command published.
  struct WillOut {
    ByteWriter message;
    bool published = false;
    void write(ByteWriter& out) const;
  };

  void begin_command(const Command& command, const Effects& effects);
  void dispatch(const Command& command, Effects& effects);
  void count_sessions();
  void tell(const Command& command, Effects& effects);
  void leave_room(const Effects& effects, size_t records, size_t bytes);
  void apply_publish(const Command& command, Effects& effects);
  PublishStatus take(const MessageView& message, const RecordPlace& place, LogTime now, Effects& effects);
  PublishStatus judge(const MessageView& message);
  PublishStatus publish(const MessageView& message, LogTime now, Effects& effects);
  std::optional<PartitionId> messages_partition(const Command& command, Effects& effects);
  Result<int64_t> publish_all(const std::vector<MessageView>& messages, const Command& command, Effects& effects);
  std::string source_of(const std::vector<MessageView>& messages, const Command& command, Effects& effects) const;
  std::vector<Targets> targets_of(const std::vector<MessageView>& messages) const;
  PartitionId home_of(const Targets& targets, PartitionId messages, const Effects& effects) const;
  bool fades(const MessageView& message) const;
  void apply_expire(const Command& command, Effects& effects);
  void forget(std::string_view topic, Effects& effects);
  void undoable(std::string_view topic);

  // stream_commands.cc
  void apply_streams(const Command& command, Effects& effects);
  void apply_declare_stream(const Command& command, Effects& effects);
  void change_stream(const DeclaredStream& there, const DeclareStream& declare, const Command& command,
                     Effects& effects);
  void apply_drop_stream(const Command& command, Effects& effects);

  // publish_records.cc
  void apply_publish_records(const Command& command, Effects& effects);
  bool ever_fits(const std::vector<MessageView>& messages) const;

  // session_commands.cc
  void apply_session(const Command& command, Effects& effects);
  void apply_open(const Command& command, Effects& effects);
  void apply_close(const Command& command, Effects& effects);
  void apply_subscribe(const Command& command, Effects& effects);
  void apply_unsubscribe(const Command& command, Effects& effects);
  void apply_settle(const Command& command, Effects& effects);
  void apply_walked(const Command& command, Effects& effects);
  void apply_boot(const Command& command, Effects& effects);
  void apply_publish_will(const Command& command, Effects& effects);
  void apply_expire_session(const Command& command, Effects& effects);
  void apply_continue(const Command& command, Effects& effects);
  void apply_end_connections(const Command& command, Effects& effects);
  KeptSession* current(uint64_t session, uint64_t epoch);
  bool is_connected(const KeptSession& session) const { return session.connected && session.run == run_; }
  LogTime ended(const KeptSession& session) const { return session.connected ? booted_ : session.ended; }
  bool ends_soon(const KeptSession& session) const;
  LogTime will_due(const KeptSession& session) const;
  LogTime end_of_run(const KeptSession& session) const;
  bool ended_with_server(const KeptSession& session) const;
  void expire_later(KeptSession& session, LogTime now, Effects& effects, Loss reason = Loss::session_ended);
  void end_session(KeptSession& session, LogTime now, Effects& effects, Loss reason);
  void lose(KeptSession& session, const Settled& settled, Loss reason);
  void drop_will(KeptSession& session);
  void publish_will(KeptSession& session, const Command& command, Effects& effects, WillOut& out);
  void settle(KeptSession& session, const Settled& settled);
  bool knows(const Sender& sender, const MessageView& message) const;
  void remember(const MessageView& message);
  bool waits() const;
  bool reaches_queues(uint8_t qos) const;
  bool is_matched() const { return !waits() || sessions_.any_refuses(); }
  void count_looks(const MessageView& message);
  bool fan_out(const MessageView& message, const RecordPlace& place, LogTime now, Effects& effects);
  bool reach(KeptMatching& matching, FanOut& work);
  void trim_touched();
  bool knows_sessions() const { return run_ > 0 || sessions_.ever_used() || !fan_outs_.empty(); }
  void save_sessions(SnapshotWriter& writer) const;
  Result<void> restore_sessions(SnapshotReader& reader);
  void query_queue(const Query& query, Reply& reply) const;
  void query_wills(const Query& query, Reply& reply) const;
  void query_will(const Query& query, Reply& reply) const;

  // shared_groups.cc
  void join(KeptSession& session, std::string_view filter);
  void join_all(KeptSession& session);
  void leave(const KeptSession& session, std::string_view filter, LogTime now, Effects& effects);
  KeptSession* heir_of(const KeptSession& group, uint64_t number);
  bool leave_to_heir(KeptSession& group, uint64_t number);
  void leave_all(const KeptSession& session, LogTime now, Effects& effects);
  void apply_end_group(const Command& command, Effects& effects);
  void apply_assign(const Command& command, Effects& effects);
  AssignStatus assign(const Assigned& wish);
  void query_group(const Query& query, Reply& reply) const;
  void query_groups(const Query& query, Reply& reply) const;  // group_rows.cc
  // operator_commands.cc
  void apply_operator(const Command& command, Effects& effects);
  void apply_presence(const Command& command, Effects& effects);  // presence.cc
  void apply_tell(const Command& command, Effects& effects);      // told.cc
  void apply_seen(const Command& command, Effects& effects);      // seen.cc
  void query_seen(const Query& query, Reply& reply) const;
  void apply_purge_session(const Command& command, Effects& effects);
  void apply_purge_retained(const Command& command, Effects& effects);
  SessionRow row_of(const KeptSession& session) const;
  bool query_operator(const Query& query, Reply& reply) const;
  void query_sessions(const Query& query, Reply& reply) const;
  void query_sessions_of(const Query& query, Reply& reply) const;
  void query_session_of(const Query& query, Reply& reply) const;

  RetainedMessages retained_;
  KeptSessions sessions_;
  DeclaredStreams declared_;
  SeenClients seen_;
  std::deque<FanOut> fan_outs_;
  uint64_t run_ = 0;      // of the server, counted where there were sessions at its start
  LogTime booted_ = 0;    // at the last of them
  uint32_t grace_s_ = 0;  // that wills of the run before have
  size_t reached_ = 0;    // sessions, by the running command
  // Of the running command: how many messages may be on their way, sessions that a message was for, and payload of retained
  // messages that is kept to be put back.
  size_t fan_outs_max_ = kFanOutsMax;
  size_t looked_at_ = 0;
  bool counts_looks_ = false;  // looked_at_ bounds it
  size_t replaced_bytes_ = 0;
  uint64_t visits_ = 0;    // subscriptions that were looked at for queues, since the start
  EventNote events_;       // likewise
  uint32_t version_ = 1;   // of the logic, for the running command
  Sequence sequence_ = 0;  // its own
  LogTime time_ = 0;       // likewise
  std::vector<std::function<void()>> undo_;
  std::vector<size_t> scopes_;  // undo_ sizes at their opening
  std::vector<uint64_t>
      touched_;  // sessions whose queues a scope changed: trimmed when nothing of it is undone any more
  // deterministic: metrics read them, apply() never does
  std::atomic<uint64_t> sessions_count_{0};
  // deterministic: likewise
  std::atomic<uint64_t> references_count_{0};
  // deterministic: likewise
  std::atomic<uint64_t> lost_count_{0};
  // deterministic: likewise
  std::atomic<uint64_t> retained_count_{0};
  // deterministic: likewise
  std::atomic<uint64_t> retained_bytes_{0};
  // deterministic: likewise
  std::atomic<uint64_t> expired_count_{0};
};

}  // namespace heptane::iot
