// Views: streams whose records nobody stores. apply() only counts them (Effects::emit_view), so that offsets are exact and
// dense; their bytes are rendered, whenever somebody reads, from the log entry of the command that made them.
//
// Invariants: a rendering is a function of the entry alone (a plain function, which has no state to look at), the same
// under every later program: what it says for a logic version it says for ever; as many records as apply() counted, in its
// order; a record's timestamp is its command's log time, its position a header. What apply() found out and a record must
// say stands in the entry as a result (Effects::log_result). Any thread.
//
// The entry itself says which records it made (kernel/log/views.h). The other shape, counts in the digest alone and places
// in the index, needs the machines' state wherever something is read without a shard (archive, tools) and a second way to
// find a batch's header: this one costs 48 bytes for each command that makes any.
#pragma once

#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "kernel/log/views.h"
#include "kernel/shard/state_machine.h"

namespace heptane {

// A view by the machine that renders it and the machine's number for it.
struct ViewId {
  MachineId machine = machine_ids::kKernel;  // the kernel: none
  uint16_t number = 0;
  bool is_view() const { return machine != machine_ids::kKernel; }
  friend bool operator==(const ViewId&, const ViewId&) = default;
};

// A command as the log has it, for whom it is rendered.
struct LoggedCommand {
  Command command;             // of a timer or a transaction: the kernel's
  std::vector<Bytes> results;  // what the machine logged, in its order
  uint32_t version = 1;        // of the machine's logic
};
// The entry's command as the machine of the run gets it. Valid as long as the entry.
LoggedCommand logged_command(const log::EntryView& entry, const log::EntryViews& views, const log::ViewRun& run);
// The commands for `machine` in it: itself, or the operations of a transaction.
std::vector<Command> commands_for(const Command& command, MachineId machine);

struct ViewHeader {
  std::string_view key;
  Bytes value;
};
struct ViewRecord {
  Bytes key;
  bool has_key = false;
  Bytes value;
  std::span<const ViewHeader> headers{};  // behind the position, which every record has
};

// Where renderings go. Every record is passed by skip() or add(), in order, until full().
class RecordWriter {
 public:
  virtual ~RecordWriter() = default;
  // The next record is asked for; else its bytes need not be made.
  virtual bool wants() const = 0;
  // No further record is asked for: the rendering may end here.
  virtual bool full() const = 0;
  virtual void skip() = 0;
  virtual void add(const ViewRecord& record) = 0;
};

// Who renders what. Filled before anything is read, then constant.
class ViewRenderers {
 public:
  void add(const StateMachine& machine) {
    if (const RenderView render = machine.renderer()) renderers_.emplace_back(machine.id(), render);
  }
  // nullptr: the machine is not in this program, or has no views.
  RenderView find(MachineId machine) const {
    for (const auto& [id, render] : renderers_)
      if (id == machine) return render;
    return nullptr;
  }

 private:
  std::vector<std::pair<MachineId, RenderView>> renderers_;
};

}  // namespace heptane
