// The commands of the log in the log's order, read while they are there and before they become history, for models that run them
// again. One owner.
#pragma once

#include <vector>

#include "kernel/log/views.h"
#include "kernel/server/server.h"

namespace heptane::sim {

struct FollowedCommand {
  Sequence sequence = 0;
  MachineId machine = 0;
  CommandType type = 0;
  LogTime time = 0;
  std::vector<std::byte> payload{};
  std::vector<log::ViewRun> runs{};  // records of views that it made
};

class FollowedLog {
 public:
  // The payloads of this machine's commands are kept; of others, what records they made.
  explicit FollowedLog(MachineId machine) : machine_(machine) {}

  // After a turn of the shard.
  void follow(server::Server& server);
  // Up to here; what a fault hides is an error.
  Result<void> read(server::Server& server, Sequence upto);
  // What was read and not taken, in order.
  std::vector<FollowedCommand> take() { return std::exchange(commands_, {}); }
  Sequence read_upto() const { return read_; }
  // The log was history before it was read: nothing is known any more.
  bool is_gone() const { return gone_; }

 private:
  const MachineId machine_;
  std::vector<FollowedCommand> commands_;
  Sequence read_ = 0;
  bool gone_ = false;
};

}  // namespace heptane::sim
