#include "kernel/base/random.h"

#include <sys/random.h>

#include "kernel/base/assert.h"

namespace heptane {

void SystemRandom::fill(MutableBytes out) {
  while (!out.empty()) {
    const ssize_t count = getrandom(out.data(), out.size(), 0);
    HEPTANE_ASSERT(count > 0, "getrandom failed");
    out = out.subspan(static_cast<size_t>(count));
  }
}

uint64_t SeededRandom::next() noexcept {
  // Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators (OOPSLA 2014).
  uint64_t z = (state_ += 0x9E3779B97F4A7C15ULL);
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
  return z ^ (z >> 31);
}

void SeededRandom::fill(MutableBytes out) {
  for (size_t i = 0; i < out.size(); i += 8) {
    const uint64_t word = next();
    std::memcpy(out.data() + i, &word, out.size() - i < 8 ? out.size() - i : 8);
  }
}

}  // namespace heptane
