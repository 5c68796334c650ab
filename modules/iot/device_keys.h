// The configuration of devices and of series: limits that apply() judges by, so a change of one is in the log; and the memory of the
// points. Called at start.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "kernel/config/key.h"

namespace heptane::iot {

constexpr std::string_view kSeriesHeadBytes = "series.head_bytes";
constexpr int64_t kSeriesHeadDefault = int64_t{64} << 20;
constexpr std::string_view kSeriesMemoryBytes = "series.memory_bytes";
constexpr int64_t kSeriesMemoryDefault = int64_t{4} << 30;
constexpr std::string_view kSeriesQuerySeconds = "series.query_seconds";
constexpr int64_t kSeriesQueryDefault = 60;

std::vector<config::Key> device_keys();
std::vector<config::Key> series_keys();

}  // namespace heptane::iot
