// What a command causes: its reply or refusal, events, timers, calls of other machines. One per shard, reused; the shard
// thread's. Everything made inside a rolled-back scope vanishes with it; a refused command leaves nothing.
//
// Limits (invariant 2): 64 Ki events and 1 MiB of event bytes a command; more is an assertion of the machine's author, so
// a machine checks `room_for` and continues in a command that it schedules for itself.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "kernel/base/ids.h"
#include "kernel/shard/state_machine.h"

namespace heptane {

class CommandRun;  // the shard's side of a running command

using TimerId = uint64_t;

// A record that a machine appends to a partition.
struct Event {
  PartitionId partition = kNoPartition;
  Bytes key;
  bool has_key = false;
  Bytes value;
};

class Effects {
 public:
  explicit Effects(CommandRun& run) : run_(run) {}
  Effects(const Effects&) = delete;
  Effects& operator=(const Effects&) = delete;

  // The answer. The last call before the end of apply() counts.
  void reply(int64_t number0, int64_t number1 = 0);
  void reply(Bytes payload, int64_t number0 = 0, int64_t number1 = 0);
  // Says no. The machine must not have changed anything (or rolls its scope back before it returns).
  void refuse(Errc code, uint32_t detail, std::string message);
  bool refused() const;
  // Answers a command that changed nothing (a duplicate): the reply goes out, nothing is logged.
  void unchanged(int64_t number0, int64_t number1 = 0);

  // Appends an event; returns the offset it will have when the command is kept. The partition must exist.
  Offset emit(const Event& event);
  // The offset that the next event of this partition will have: behind what this command has emitted so far.
  Offset next_offset(PartitionId partition) const;
  bool room_for(uint64_t events, uint64_t bytes) const;

  // Counts records of a view (views.h), which are rendered from this command's entry; returns the first one's offset. They
  // count as events, and so do the bytes of results.
  Offset emit_view(PartitionId partition, uint32_t count);
  // Bytes that the rendering of the running machine's views gets beside the command.
  void log_result(Bytes bytes);

  // Fires once at log time >= due as a command of the arming machine with this type and payload (at most 64 KiB).
  TimerId arm(LogTime due, CommandType type, Bytes payload);
  // False when it has fired or was cancelled.
  bool cancel(TimerId timer);

  // Another machine of this shard; opens the current scopes on it first. T must be what is registered under the id.
  template <class T>
  T& port(MachineId machine) {
    return static_cast<T&>(enlist(machine));
  }
  StateMachine& enlist(MachineId machine);

  // While it lives `machine` runs in place of the one that called its port: timers, results and version are its own.
  class Turn {
   public:
    Turn(Effects& effects, MachineId machine);
    ~Turn();
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;

   private:
    Effects& effects_;
    const MachineId before_;
  };

  // Opens a scope on the machine that is running; close in reverse order.
  void open_scope();
  void close_scope(ScopeOutcome outcome);

  // Logic version in force for the machine that is running.
  uint32_t version() const;
  // Configuration that apply() may see: only what was logged. Empty when never set.
  std::string_view config(std::string_view key) const;

 private:
  CommandRun& run_;
};

}  // namespace heptane
