// What other machines publish with their commands, for durable sessions.

#include "modules/iot/machine/broker_machine.h"

namespace heptane::iot {

// Noted and armed in this machine's name, though the command is another's.
std::vector<PublishStatus> BrokerMachine::announce(Bytes messages, RecordPlace first, const Command& command,
                                                   Effects& effects) {
  const Effects::Turn turn(effects, kBrokerMachineId);
  begin_command(command, effects);
  leave_room(effects, 0, 0);
  std::vector<PublishStatus> statuses;
  ByteReader in(messages);
  for (; in.remaining() > 0 && !in.failed(); ++first.offset) {
    const MessageView message = read_message(in);
    const bool queued = fan_out(message, first, command.time, effects);
    statuses.push_back(queued ? PublishStatus::queued : PublishStatus::kept);
  }
  tell(command, effects);
  count_sessions();
  return statuses;
}

}  // namespace heptane::iot
