// What `heptane explain` is made of, for commands that say more of a position: the command that stands there with its records, and the
// streams' names. Main thread.
#pragma once

#include <map>
#include <string>

#include "kernel/archive/explain.h"
#include "kernel/cli/command.h"
#include "kernel/cli/position.h"

namespace heptane::cli {

struct Place {
  std::string stream;
  uint32_t partition = 0;
};
using Places = std::map<PartitionId, Place>;

// By partition id; empty when no server says them.
Places places(const std::string& server);

// Out of the files of a data directory; errors as those of archive::explain.
Result<archive::Explanation> explained(const std::string& data, const Position& position, const Context& context);

}  // namespace heptane::cli
