// HEPTANE_ASSERT: states what cannot happen. On in every build: a server that runs on after a broken invariant would
// acknowledge what it cannot keep. Prints the condition and the place, then aborts. Any thread.
#pragma once

namespace heptane {

[[noreturn]] void assertion_failed(const char* condition, const char* file, int line, const char* message) noexcept;

}  // namespace heptane

#define HEPTANE_ASSERT(condition, message)                                  \
  do {                                                                      \
    if (!(condition)) [[unlikely]]                                          \
      ::heptane::assertion_failed(#condition, __FILE__, __LINE__, message); \
  } while (false)
