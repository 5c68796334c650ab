#include "kernel/base/assert.h"

#include <cstdio>
#include <cstdlib>

namespace heptane {

void assertion_failed(const char* condition, const char* file, int line, const char* message) noexcept {
  std::fprintf(stderr, "heptane: assertion failed at %s:%d: %s: %s\n", file, line, condition, message);
  std::fflush(stderr);
  std::abort();
}

}  // namespace heptane
