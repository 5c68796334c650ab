// The shard's side of one running command: stages what Effects is told, so that a scope or the whole command can be taken
// back, and folds what is kept into the effects digest. Reused for every command; the shard thread's.
#pragma once

#include <vector>

#include "kernel/base/hash128.h"
#include "kernel/shard/apply_watch.h"
#include "kernel/shard/effects.h"
#include "kernel/shard/kernel_state.h"
#include "kernel/shard/stream_store.h"

namespace heptane {

constexpr uint64_t kEventsLimit = uint64_t{64} << 10;
constexpr uint64_t kEventBytesLimit = uint64_t{1} << 20;
constexpr size_t kTimerPayloadLimitBytes = size_t{64} << 10;

enum class CommandOutcome : uint8_t { kept, unchanged, refused };

// An event as replay emitted it, for the comparison with the log when a digest differs.
struct ReplayedEvent {
  Sequence sequence = 0;
  Ordinal ordinal = 0;
  PartitionId partition = kNoPartition;
  Offset offset = 0;
  Hash128 value_hash;
};

// Machines by id.
class MachineTable {
 public:
  void add(StateMachine& machine) { machines_.push_back({&machine, 0, machine.id()}); }
  struct Slot {
    StateMachine* machine = nullptr;
    uint32_t open_scopes = 0;
    MachineId id = 0;  // the machine's, without a call
  };
  Slot* find(MachineId id) {
    for (Slot& slot : machines_)
      if (slot.id == id) return &slot;
    return nullptr;
  }
  const Slot* find(MachineId id) const { return const_cast<MachineTable*>(this)->find(id); }
  size_t place_of(MachineId id) const { return static_cast<size_t>(find(id) - machines_.data()); }
  std::vector<Slot>& all() { return machines_; }
  const std::vector<Slot>& all() const { return machines_; }

 private:
  std::vector<Slot> machines_;
};

class CommandRun {
 public:
  CommandRun(MachineTable& machines, KernelState& kernel) : machines_(machines), kernel_(kernel), effects_(*this) {}

  void set_streams(StreamStore* streams) { streams_ = streams; }
  void begin(Sequence sequence, LogTime time);
  // Lets the machine apply the command (the kernel's own types are resolved by the shard before).
  void apply(StateMachine& machine, const Command& command);
  // From now on those that take longer than their budget are counted.
  void watch_applies(Clock& clock) { watch_.start(clock); }
  const ApplyWatch& apply_watch() const { return watch_; }
  CommandOutcome outcome() const { return outcome_; }
  void set_outcome(CommandOutcome outcome) { outcome_ = outcome; }
  Reply& reply() { return reply_; }
  Effects& effects() { return effects_; }

  // The command is kept: packs events (replay: only counts them), arms and cancels timers, extends the digest.
  void keep(const Command& command, uint32_t command_delta, bool replaying, DigestAccumulator& digest);
  // Records of views that the command made so far, at the offsets they get when it is kept now: before keep().
  const std::vector<log::ViewRun>& view_runs() {
    view_runs_.clear();
    if (!views_.empty()) find_view_runs();
    return view_runs_;
  }
  // There is something to say in its entry; append_additions says it.
  bool adds_to_entry() const { return !views_.empty() || !results_.empty(); }
  void append_additions(ByteWriter& extensions, ShardId shard, Epoch epoch);

  // Events that replay emitted since the last clear.
  std::vector<ReplayedEvent>& replayed() { return replayed_; }
  // The running command removes this timer when it is kept: it fired.
  void consume_timer(TimerId timer) { cancelled_.push_back(timer); }

  // Scopes over the whole run: staged effects and every enlisted machine.
  void open_scope();
  void close_scope(ScopeOutcome outcome);
  size_t scope_depth() const { return marks_.size(); }

 private:
  friend class Effects;

  struct StagedEvent {
    PartitionId partition;
    bool has_key;
    uint32_t key_begin, key_bytes, value_begin, value_bytes;
  };
  struct Mark {
    size_t events, arena, armed, cancelled, views, results;
    TimerId next_timer;
  };

  void reset_reply();
  void find_view_runs();
  const PartitionHead* head_of(PartitionId partition) const;
  void keep_events(uint32_t command_delta, bool replaying, DigestAccumulator& digest);
  uint32_t store(Bytes bytes);
  StateMachine& enlist(MachineId id);
  void open_missing_scopes(MachineTable::Slot& slot);
  uint32_t& staged_count(PartitionId partition);
  Offset emit(const Event& event);
  Offset next_offset(PartitionId partition) const;
  Offset emit_view(PartitionId partition, uint32_t count);
  void log_result(Bytes bytes);
  bool room_for(uint64_t records, uint64_t bytes) const;
  void take_back_offsets(const Mark& mark);
  TimerId arm(LogTime due, CommandType type, Bytes payload);
  bool cancel(TimerId timer);
  Event staged(const StagedEvent& event) const;

  MachineTable& machines_;
  KernelState& kernel_;
  ApplyWatch watch_;
  StreamStore* streams_ = nullptr;
  Effects effects_;

  Sequence sequence_ = 0;
  LogTime time_ = 0;
  MachineId running_ = 0;
  CommandOutcome outcome_ = CommandOutcome::kept;
  Reply reply_;
  std::vector<StagedEvent> events_;
  std::vector<std::pair<PartitionId, uint32_t>> emitted_;  // events and records of views staged per partition
  std::vector<std::pair<PartitionId, uint32_t>> views_;    // in the order of the calls
  uint64_t view_records_ = 0;
  std::vector<std::byte> results_;
  std::vector<log::ViewRun> view_runs_;
  std::vector<std::byte> arena_;  // grows and never shrinks: of it
  size_t arena_bytes_ = 0;        // hold keys and values of the staged events
  std::vector<std::pair<TimerId, Timer>> armed_;
  std::vector<TimerId> cancelled_;
  TimerId next_timer_ = 0;
  std::vector<Mark> marks_;
  std::vector<ReplayedEvent> replayed_;
};

}  // namespace heptane
