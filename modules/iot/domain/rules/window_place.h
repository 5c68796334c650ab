// How far the windows of a rule are, beside its position: what a new run of it rebuilds them from. Plain data; any thread.
#pragma once

#include <cstdint>

namespace heptane::iot::rules {

constexpr int64_t kBeforeAllMs = INT64_MIN;

struct WindowPlace {
  int64_t restart_at = 0;               // the offset of the first record that is in a window whose rows are not all out
  int64_t watermark_ms = kBeforeAllMs;  // windows that end here or before are closed
  int64_t closed_ms = kBeforeAllMs;     // and of those that end here or before every row is out
  uint32_t rows_done = 0;               // of the next window behind that
  friend bool operator==(const WindowPlace&, const WindowPlace&) = default;
};

}  // namespace heptane::iot::rules
