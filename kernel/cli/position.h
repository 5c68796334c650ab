// How positions and moments are written on the command line.
#pragma once

#include <optional>
#include <string>

#include "kernel/base/ids.h"

namespace heptane::cli {

struct Position {
  ShardId shard = 0;
  Sequence sequence = 0;
};

// `0:123`
std::optional<Position> parse_position(const std::string& text);
// UTC, ISO 8601 (`2026-11-28T18:00:00Z`, with up to nine digits of fraction), as nanoseconds since 1970.
std::optional<LogTime> parse_time(const std::string& text);

}  // namespace heptane::cli
