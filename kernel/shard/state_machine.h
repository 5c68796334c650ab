// A deterministic state machine: commands in; events, replies and timers out. The shard owns it and is the only thread that
// calls it (a view's rendering is a plain function and any thread's).
//
// apply() is total, bounded and deterministic (invariant 3): no clock, I/O, randomness, hash or pointer order, exceptions.
// A refusal changes nothing. save() is canonical: equal states, equal bytes. A machine keeps its MachineId for ever.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "kernel/base/bytes.h"
#include "kernel/base/ids.h"
#include "kernel/base/result.h"
#include "kernel/shard/messages.h"
#include "kernel/shard/query_slices.h"

namespace heptane {

class Effects;
class MachineFiles;
class RecordWriter;
struct LoggedCommand;
class SnapshotWriter;
class SnapshotReader;

// Ids of machines; never reused.
namespace machine_ids {
constexpr MachineId kKernel = 0;   // configuration, timers, transact, activation
constexpr MachineId kStreams = 1;  // streams, partitions, producers
constexpr MachineId kAuth = 2;     // users, tokens, roles
constexpr MachineId kBlobs = 3;    // which blobs there are
constexpr MachineId kFirstModule = 16;
constexpr MachineId kFirstTest = 0xFF00;
}  // namespace machine_ids

// A command as the machine sees it. Views are valid during apply().
struct Command {
  Sequence sequence = 0;
  LogTime time = 0;
  MachineId machine = 0;
  CommandType type = 0;
  log::EntryKind kind = log::EntryKind::command;
  PartitionId partition = kNoPartition;
  Bytes payload;
  Principal principal;
};

struct Query {
  uint16_t type = 0;
  Bytes payload;
  Principal principal;
};

constexpr int64_t kIdleWorkEveryNs = 20'000'000;

enum class ScopeOutcome : uint8_t { keep, roll_back };

// Makes the records of the machine's view `number` that a command made (kernel/shard/views.h). Any thread.
using RenderView = void (*)(const LoggedCommand& command, uint16_t number, RecordWriter& out);

class StateMachine {
 public:
  virtual ~StateMachine() = default;
  virtual MachineId id() const = 0;
  virtual std::string_view name() const = 0;  // for metrics and messages

  virtual void apply(const Command& command, Effects& effects) = 0;
  // The command will be applied soon: a machine with a large state asks the processor for the lines that apply() will
  // touch (__builtin_prefetch), and changes nothing. The payload may be malformed.
  virtual void expect(const Command& command) const { (void)command; }
  // Fills the reply; gated like one. Pages its answer: at most 1 MiB.
  virtual void query(const Query& query, Reply& reply) const = 0;
  // The same for a query that may look at more than a millisecond can; null: query() answers it at once.
  virtual std::unique_ptr<QueryInSlices> begin_query(const Query& query) const {
    (void)query;
    return nullptr;
  }

  // Invariant 7: between open and close(roll_back) every change is undone. Scopes nest.
  virtual void open_scope() = 0;
  virtual void close_scope(ScopeOutcome outcome) = 0;

  virtual uint64_t memory_bytes() const = 0;
  virtual void save(SnapshotWriter& writer) const = 0;
  // Replaces all state; after a failure once more, by an older snapshot or what save() wrote when fresh. Errc::refused: a file is amiss.
  virtual Result<void> restore(SnapshotReader& reader) = 0;

  // As it was made. Such a machine is left out of snapshots, so that one that a program learns later changes no hash of a
  // state that does not use it; a snapshot that does not name it makes it fresh.
  virtual bool fresh() const { return false; }
  virtual void make_fresh() {}

  // Commands that free what they stand on (deletions, settlements): admitted when the disk or the memory budget is full.
  virtual bool relieves(CommandType type) const {
    (void)type;
    return false;
  }

  // Renders the machine's views; nullptr: it has none.
  virtual RenderView renderer() const { return nullptr; }
  // Work that changes no state (a check of it), a slice of a millisecond at a time, between commands and when there is
  // nothing else to do, or nothing was done for kIdleWorkEveryNs; never in replay. True: there is more.
  virtual bool idle_work() { return false; }
  // A snapshot was begun, between two commands: what is checked at snapshots is due.
  virtual void snapshot_begun() {}
  // What idle_work() or a query found wrong, each once: for the operator and the audit trail.
  virtual std::optional<std::string> take_alarm() { return std::nullopt; }

  // Files that save() names (machine_files.h); nullptr: it has none. What is in a file and what in memory is no state.
  virtual MachineFiles* files() { return nullptr; }

  // The newest logic version this binary knows; the log's activation decides which one is in force (Effects::version).
  virtual uint32_t newest_version() const { return 1; }
  // What one apply() may take, in nanoseconds; longer ones are counted and told.
  virtual int64_t apply_budget_ns() const { return 1'000'000; }
};

}  // namespace heptane
