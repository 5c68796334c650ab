// The seam to chance: ids of logs, tokens. Machines never see it.
#pragma once

#include <cstdint>

#include "kernel/base/bytes.h"

namespace heptane {

class Random {
 public:
  virtual ~Random() = default;
  virtual void fill(MutableBytes out) = 0;
  uint64_t u64() {
    std::byte bytes[8];
    fill(bytes);
    return load_le<uint64_t>(bytes);
  }
};

// The kernel's generator (getrandom). Any thread.
class SystemRandom final : public Random {
 public:
  void fill(MutableBytes out) override;
};

// SplitMix64 from a seed: the simulator's and the tests' only source of chance. One owner.
class SeededRandom final : public Random {
 public:
  explicit SeededRandom(uint64_t seed) : state_(seed) {}
  void fill(MutableBytes out) override;
  uint64_t next() noexcept;
  // Uniform in [0, bound); bound > 0.
  uint64_t below(uint64_t bound) noexcept { return next() % bound; }
  // True once in `n` on average.
  bool one_in(uint64_t n) noexcept { return below(n) == 0; }

 private:
  uint64_t state_;
};

}  // namespace heptane
