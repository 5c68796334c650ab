// The seam to time. Only the server's own code and gateways' deadlines see it; machines see log time alone.
#pragma once

#include <cstdint>

namespace heptane {

class Clock {
 public:
  virtual ~Clock() = default;
  virtual int64_t monotonic_ns() = 0;  // never goes back; unrelated to UTC
  virtual int64_t utc_ns() = 0;        // may step
};

// The machine's clocks. Any thread.
class SystemClock final : public Clock {
 public:
  int64_t monotonic_ns() override;
  int64_t utc_ns() override;
};

}  // namespace heptane
