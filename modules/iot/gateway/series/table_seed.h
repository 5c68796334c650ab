// The seed of tables whose keys clients choose: another in each process. Any thread.
#pragma once

#include <cstdint>

#include "kernel/base/random.h"

namespace heptane::iot::series {

inline uint64_t table_seed() {
  static const uint64_t seed = SystemRandom().u64();
  return seed;
}

}  // namespace heptane::iot::series
