// The shard role: stamps commands, applies them to the machines, collects their effects into the batch in the making and
// hands it to the commit; answers queries and reads. Owns all state of its machines; no system call on the hot path, no
// lock, no CRC of payloads.
//
// Invariants: state may run ahead of the disk, nothing that anybody can see does (every reply carries a gate); a refused
// command leaves no trace, in state, log or sequence; replay runs the very code that ran live.
// Thread: its own, or the I/O loop's when merged. run_once() never waits.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "kernel/shard/command_run.h"
#include "kernel/shard/committer.h"
#include "kernel/shard/held_commands.h"
#include "kernel/shard/log_clock.h"
#include "kernel/shard/principal_check.h"
#include "kernel/shard/running_queries.h"
#include "kernel/shard/snapshot_io.h"
#include "kernel/shard/versions.h"

namespace heptane {

struct ShardOptions {
  ShardId id = 0;
  size_t batch_target_bytes = log::kBatchTargetBytes;
  // A growing batch of this size is handed over behind the one being synced: it is worth a write of its own, and the commit
  // goes on to it without waiting for a turn of the shard. Two of them are what a ring full of small commands makes: smaller
  // ones would only be more, which a disk with slow syncs pays for.
  size_t batch_ready_bytes = size_t{3} << 19;
  size_t payload_limit_bytes = log::kPayloadLimitBytes;
  uint32_t requests_per_turn = 4096;
  uint64_t machine_memory_budget_bytes = uint64_t{4} << 30;
  int64_t seal_after_idle_ns = 50'000'000;
};

// A word that outlives a crash of the process (a mapped file): the digest of the command being applied.
struct ApplyGuard {
  std::atomic<uint64_t>* word = nullptr;       // nullptr: no guard
  std::vector<uint64_t> denied;                // digests of commands that crashed apply() before
  std::function<void(uint64_t)> forgive = {};  // a timer that was put off: it may be tried again
};

struct ShardCounters {
  std::atomic<uint64_t> commands_total{0};
  std::atomic<uint64_t> refused_total{0};
  std::atomic<uint64_t> overloaded_total{0};
  std::atomic<uint64_t> queries_total{0};
  std::atomic<uint64_t> reads_total{0};
};

// Where shard and log stand between two commands when everything applied is synced and in the index.
struct RestPoint {
  Sequence sequence = 0;
  LogTime time = 0;
  Epoch epoch = 0;
  log::BatchPlace last_batch;  // everything up to `sequence` lies before its end
  log::ChainValue chain{};     // of it
};

class Shard {
 public:
  Shard(ShardOptions options, Clock& clock, Committer& committer);

  // Before recovery.
  void add_machine(StateMachine& machine) { machines_.add(machine); }
  void set_streams(StreamStore& streams);
  void attach(ShardLink& link);
  void set_guard(ApplyGuard guard);
  // From the start on commands that take longer than their budget are counted; not where time stands still.
  void watch_applies() { watch_applies_ = true; }
  void set_principals(const PrincipalCheck& principals) { principals_ = &principals; }

  // Recovery: in order, every batch above the restored snapshot. Errc::corrupt names the command where state or effects
  // differ from what the log says; `accept_divergence` = a batch's last sequence goes on from there. With `upto` inside the
  // batch only the commands up to it, whose effects are then not compared; nothing can be replayed behind that.
  Result<void> replay(const log::BatchView& batch, const log::BatchPlace& place, Sequence upto = UINT64_MAX);
  void accept_divergence(Sequence sequence) { accepted_divergence_ = sequence; }
  // One command alone, out of the archive: the next one. Its effects have nothing to be compared with but its offset, and
  // the index learns nothing of it: for a look at the past.
  Result<void> replay_command(const log::EntryView& entry, Sequence sequence, LogTime time);
  // After recovery: a new epoch begins; writes the seal that makes it durable.
  void start(const log::LogEnd& end);

  // After start(): logs what differs between the wanted configuration and the state's. `activate`: also activates the newest
  // logic version of every machine, as on a new log; on an existing one activation is an operator's command.
  void adopt(const std::map<std::string, std::string>& wanted_config, bool activate);
  // Nothing is in the log but commands that adopt() makes: the log is new, though an earlier start may have been cut off in the
  // middle of its adoption. After recovery, before adopt().
  bool holds_settings_only() const { return settings_only_; }
  // Logic versions as of last_applied(), in order of machine id. The shard's thread.
  std::vector<MachineVersion> versions() const;

  // True when there is more to do at once.
  bool run_once();
  // From the next turn on no command is taken until everything applied is synced; then `then` runs once, between two
  // commands, and traffic goes on. Costs the sync of what is outstanding. For snapshots.
  void when_at_rest(std::function<void(const RestPoint&)> then) { at_rest_ = std::move(then); }
  bool rest_awaited() const { return static_cast<bool>(at_rest_); }
  // Monotonic time at which run_once has something to do without being woken; INT64_MAX = none.
  int64_t next_deadline_ns() const;

  // Commands of the kernel itself (configuration, retention). False when the inner queue is full.
  bool submit_internal(Submission submission);

  // No further commands from links are taken (answered `closed`); then drained() becomes true: all synced and sealed.
  void request_stop() { stopping_ = true; }
  // Before that: whoever waits for a query that takes long is told that the server stops; commands are still taken.
  void refuse_queries() { queries_refused_ = true; }
  bool drained() const;

  // A machine could not read what the running command needs: what the command made is not what it must make. Nothing more
  // is handed to the commit, this command included; the process must end. Not the command's fault: it is not denied later.
  // The shard's thread, from within apply().
  void halt();

  // A snapshot was begun at this state. The shard's thread, as the next one.
  void snapshot_begun();
  // What machines found wrong in themselves since the last call.
  struct Alarm {
    std::string machine;
    std::string text;
  };
  std::vector<Alarm> take_alarms() { return std::exchange(alarms_, {}); }

  // Above it new state is refused.
  void set_machine_memory_budget(uint64_t bytes) { options_.machine_memory_budget_bytes = bytes; }

  // Disk full or a budget passed: only commands that relieve are admitted. Any thread.
  void set_disk_full(bool full) { disk_full_.store(full, std::memory_order_relaxed); }
  bool disk_full() const { return disk_full_.load(std::memory_order_relaxed); }

  Sequence last_applied() const { return last_applied_; }
  Epoch epoch() const { return epoch_; }
  LogTime last_time() const { return last_time_; }
  // Log time of a command that would be stamped now. After start(); the shard's thread.
  LogTime now() { return last_time_ = std::max(last_time_, log_clock_.now()); }
  // Digests that are refused because what they stand for ended the server.
  size_t denied_commands() const { return denied_count_.load(std::memory_order_relaxed); }
  bool time_alarmed() const { return log_clock_.alarmed(); }
  const KernelState& kernel() const { return kernel_; }
  const ShardCounters& counters() const { return counters_; }
  // Commands whose apply() took longer than its budget, by machine ("kernel": transactions, which run several). Any thread.
  std::vector<std::pair<std::string, const std::atomic<uint64_t>*>> slow_applies() const;
  const HeldCommands& held_commands() const { return held_; }

  // Of all machines that have some.
  std::vector<MachineFiles*> machine_files() const;

  // Canonical state at last_applied(): the kernel's, then every machine's in order of id.
  void save(SnapshotWriter& writer) const;
  Result<void> restore(SnapshotReader& reader, Sequence sequence, LogTime time);
  Hash128 state_hash() const;

 private:
  struct Waiting {
    ShardLink* link;
    uint64_t subscription;
    SessionId session;
    Offset from;
  };
  using Taken = HeldCommands::Taken;

  void take_completions();
  bool idle_work(bool busy);
  void on_durable(const Completed& completed);
  bool take_requests();
  Taken take(ShardLink& link, ShardRequest& request);
  Taken take_now(ShardLink& link, ShardRequest& request, std::unique_ptr<Prefetch>& lacking);
  Taken take_submission(ShardLink* link, SessionId session, RequestId request, const Submission& submission,
                        std::unique_ptr<Prefetch>* lacking = nullptr);
  std::unique_ptr<Prefetch> prefetch(const Submission& submission);
  std::unique_ptr<Prefetch> prefetch(const Command& command);
  void refuse_for_now(ShardLink& link, const ShardRequest& request, const char* why);
  bool denied(const Submission& submission) const;
  void put_off(Submission& submission, TimerId id);
  bool answer_without_log(ShardLink* link, SessionId session, RequestId request, const Submission& submission);
  std::optional<Reply> machine_refusal(MachineId machine, CommandType type) const;
  std::optional<Reply> admission_refusal(const Submission& submission) const;
  std::optional<Reply> repeated_reply(const Submission& submission) const;
  std::optional<Reply> chain_refusal(const ShardLink* link, SessionId session, uint32_t chain);
  void run_live(ShardLink* link, SessionId session, RequestId request, const Submission& submission);
  void run_command(const Command& command);
  void fire_timer(const Command& command);
  void drop_timer(const Command& command);
  void put_off_timer(const Command& command);
  void relieve_memory();
  void set_config(const Command& command);
  void keep(const Command& command, uint32_t delta, const std::optional<IdempotencyKey>& key, bool replaying);
  Result<void> run_again(const Command& command, const log::EntryView& entry);
  Result<void> check_known(MachineId machine, uint32_t version) const;
  void expect(const log::EntryView& entry, Sequence sequence) const;
  Result<void> replay_entry(const log::EntryView& entry, Sequence sequence, const log::BatchView& batch,
                            const log::BatchPlace& place);
  std::string first_difference(const log::BatchView& batch);
  void replay_views(const log::EntryView& entry, const Command& command, Epoch epoch, const log::BatchPlace& place);
  void answer(ShardLink* link, Sequence gate, SessionId session, RequestId request, Reply&& reply);
  void query(ShardLink& link, SessionId session, RequestId request, QueryRequest& query);
  std::unique_ptr<QueryInSlices> begin_query(const QueryRequest& query);
  void subscribe(ShardLink& link, SessionId session, const SubscribeRequest& request);
  void unsubscribe(ShardLink& link, uint64_t subscription);
  void notify(PartitionId partition);
  void notify_of_deletions();

  std::string view_difference_;  // of the batch being replayed: its first command whose records of views are others

  LogTime stamp();
  bool fire_due_timers();
  bool room_for(uint64_t stored_bytes, LogTime now);
  bool come_to_rest();
  bool gathering();
  bool hand_over_when_due();
  void hand_over_growing(uint16_t flags);
  void seal_when_idle();
  void seal(uint16_t flags);
  BatchWriter* free_writer();

  ShardOptions options_;
  Clock& clock_;
  Committer& committer_;
  LogClock log_clock_;
  MachineTable machines_;
  KernelState kernel_;
  CommandRun run_;
  StreamStore* streams_ = nullptr;
  std::vector<ShardLink*> links_;
  ApplyGuard guard_;
  std::atomic<size_t> denied_count_{0};
  const PrincipalCheck* principals_ = nullptr;  // null: every principal is in force
  ShardCounters counters_;

  Epoch epoch_ = 0;
  Sequence last_applied_ = 0;
  LogTime last_time_ = 0;
  uint32_t stamp_serves_ = 0;  // how many more commands of this turn the last reading of the clock serves
  Sequence accepted_divergence_ = 0;
  bool diverged_ = false;  // and it was met
  bool watch_applies_ = false;
  bool settings_only_ = true;  // of what was replayed
  bool started_ = false;
  bool stopping_ = false;
  bool halted_ = false;
  std::atomic<bool> disk_full_{false};

  std::vector<std::unique_ptr<BatchWriter>> writers_;
  std::vector<BatchWriter*> free_;
  BatchWriter* growing_ = nullptr;
  DigestAccumulator digest_;
  ByteWriter extensions_;
  std::deque<Submission> internal_;
  std::map<std::pair<const ShardLink*, SessionId>, uint32_t> broken_chains_;  // one at most of a session that has any
  bool sealed_ = false;  // the last batch handed over was a seal and everything before it is synced
  std::function<void(const RestPoint&)> at_rest_;
  log::BatchPlace last_batch_;  // synced and indexed
  log::ChainValue last_chain_{};
  int64_t last_hand_over_ns_ = 0;
  // Whoever was answered together asks again together; see gathering().
  uint32_t gather_target_ = 0;  // commands of the growing batch that are worth waiting for; 0: none
  uint32_t gathered_ = 0;       // its commands in the last turn
  uint32_t gather_turns_ = 0;   // since the last batch was synced
  uint32_t quiet_turns_ = 0;    // since its last command
  int64_t last_relief_ns_ = 0;
  int64_t last_idle_work_ns_ = 0;
  int64_t idle_work_waits_ns_ = 0;  // until then, for the disk; 0: it does not
  std::vector<Alarm> alarms_;
  size_t next_link_ = 0;
  HeldCommands held_;
  RunningQueries queries_;
  bool queries_refused_ = false;
  std::map<PartitionId, std::vector<Waiting>> waiting_;
  std::map<std::pair<ShardLink*, uint64_t>, PartitionId> subscriptions_;
};

}  // namespace heptane
