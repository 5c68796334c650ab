// What DuckDB takes of the process's memory at most. Its own limit counts what its buffers hold, not what a function makes of one
// value: repeat('x', 4000000000) would take the machine down with it. The library gets memory of the system by mmap and of the C and
// C++ libraries by a handful of names; the guard stands between, for this library alone: what passes the limit fails as on a
// machine that has no more, which DuckDB answers with an error of the statement.
//
// Bounds: what is mapped together, and each single allocation beside it. Any thread.
#pragma once

#include <cstdint>

#include "kernel/base/result.h"

namespace heptane::data::sql {

class MemoryGuard {
 public:
  // Takes the names over in the library that dlopen() gave. Once, before it is used. Errc::unsupported: one of them lacks.
  static Result<void> install(void* library);
  static void set_limit(uint64_t bytes);
  static uint64_t mapped();
};

}  // namespace heptane::data::sql
