// Where the memory that operator new gave out and that is still in use was asked for: one allocation in some 512 KiB is
// remembered with its stack (Poisson sampling, as gperftools and Go do it). The allocator stays the C library's; what costs
// is a subtraction for each allocation and a look at a table of 16 KiB for each release.
//
// A program that links this file has its operator new and delete replaced, but not the aligned ones; sanitisers bring their
// own, and there nothing is sampled. Mappings (tables of machines, buffers of the log) are not seen.
// Threads: any. A forked child samples nothing.
#pragma once

#include <cstdint>
#include <string>

namespace heptane::server {

inline constexpr uint64_t kHeapSampleBytes = 512 << 10;

// The text form that google-pprof and `go tool pprof` read (`heap profile: ... @ heap_v2/524288`), with this process's
// mappings behind it; a comment says how many samples were dropped. Some milliseconds.
std::string heap_profile();
// Allocations that were to be remembered and had no room, since the start.
uint64_t heap_samples_dropped();

}  // namespace heptane::server
