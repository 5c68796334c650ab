// Which lines of a command fit what the machine has said of the names in it (Fit): line by line, in their order, as if each came
// alone. Makes the command of those that do. Pure; any thread.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "modules/iot/machine/series/series_api.h"

namespace heptane::iot::series {

struct Judged {
  Buffer command;              // of the lines that fit; empty: none does
  std::vector<uint32_t> kept;  // which those were, from 0
  size_t dropped = 0;
  Dropped first;  // of those
};

// Nullopt: they do not belong together. `seed`: as LinesCommandWriter has it.
std::optional<Judged> judge_lines(const LinesCommand& command, const Fit& fit, uint64_t seed);

}  // namespace heptane::iot::series
