// What the sessions of an HTTP service count. Written by the I/O thread alone, read by any.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

namespace heptane::http {

struct HttpCounters {
  static constexpr size_t kClasses = 6;  // by the first digit of the status; [0] is not used

  std::array<std::atomic<uint64_t>, kClasses> responses{};

  void answered(int status) {
    const auto status_class = static_cast<size_t>(status / 100);
    if (status_class < kClasses) responses[status_class].fetch_add(1, std::memory_order_relaxed);
  }
};

}  // namespace heptane::http
