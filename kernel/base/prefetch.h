// Asks the processor for a cache line ahead of its use. The empty statement is what makes it happen at all: GCC takes a
// function that does nothing but __builtin_prefetch for one without effect, and leaves out the calls of it.
#pragma once

namespace heptane {

inline void prefetch_line(const void* at) {
  __builtin_prefetch(at);
  asm volatile("");
}

}  // namespace heptane
