// Times in InfluxQL's queries and answers. Pure; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace heptane::iot::series {

// `2026-11-29`, `2026-11-29 18:00:00.5`, `2026-11-29T18:00:00Z`: UTC, nanoseconds since 1970; nullopt: none, or beyond 64 bits.
std::optional<int64_t> parse_time(std::string_view text);
// `2026-11-29T18:00:00.5Z`: as many digits as it needs.
std::string rfc3339(int64_t ns);

}  // namespace heptane::iot::series
