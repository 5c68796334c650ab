// Logic versions of machines as an operator sees them: which one the log has activated, which one this program knows, and the
// command that activates another. Plain data.
#pragma once

#include <string>
#include <vector>

#include "kernel/base/bytes.h"
#include "kernel/base/ids.h"
#include "kernel/base/result.h"
#include "kernel/shard/messages.h"

namespace heptane {

struct MachineVersion {
  MachineId machine = 0;
  uint32_t active = 1;
  uint32_t newest = 1;  // that this program knows
  std::string name;
  bool upgradable() const { return newest > active; }
};

Buffer encode_versions(const std::vector<MachineVersion>& versions);
Result<std::vector<MachineVersion>> decode_versions(Bytes payload);

// The command kActivate. Refused: invalid_argument (not known to this program, or older than the active one).
Submission make_activation(MachineId machine, uint32_t version);

}  // namespace heptane
