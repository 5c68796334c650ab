#include "kernel/shard/views.h"

#include "kernel/shard/kernel_state.h"
#include "kernel/shard/transact.h"

namespace heptane {

LoggedCommand logged_command(const log::EntryView& entry, const log::EntryViews& views, const log::ViewRun& run) {
  LoggedCommand logged;
  logged.command.sequence = views.sequence;
  logged.command.time = views.time;
  logged.command.machine = entry.header.machine;
  logged.command.type = entry.header.type;
  logged.command.kind = entry.header.kind;
  logged.command.partition = entry.header.partition;
  logged.command.payload = entry.payload;
  logged.results = log::results_of(entry.extensions, run.machine);
  logged.version = run.version;
  return logged;
}

std::vector<Command> commands_for(const Command& command, MachineId machine) {
  std::vector<Command> found;
  if (command.machine == machine) found.push_back(command);
  if (command.machine != machine_ids::kKernel || command.type != kTransact) return found;
  const Result<std::vector<Operation>> operations = decode_transact(command.payload);
  if (!operations) return found;
  for (const Operation& operation : *operations) {
    if (operation.machine != machine) continue;
    Command part = command;
    part.machine = machine;
    part.type = operation.type;
    part.partition = operation.partition;
    part.payload = operation.payload;
    found.push_back(part);
  }
  return found;
}

}  // namespace heptane
