#include "kernel/server/heap_samples.h"

#include <execinfo.h>
#include <fmt/format.h>
#include <pthread.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <ctime>
#include <map>
#include <mutex>
#include <new>
#include <vector>

#include "kernel/server/process_files.h"

namespace heptane::server {

namespace {

constexpr size_t kDepthMax = 28;
constexpr size_t kOwnFrames = 2;  // note_allocation and operator new
constexpr size_t kSamplesMax = 16'384;
constexpr size_t kBuckets = 16'384;

struct Sample {
  uintptr_t address = 0;
  size_t bytes = 0;
  uint32_t next = 0;  // one more than the place of the next in its bucket, or of those that are free; 0: none
  uint32_t depth = 0;
  std::array<void*, kDepthMax> stack{};
};

// All of it is of static storage and zero at first: pages that are never touched cost nothing, and it is there before any
// constructor asks for memory.
struct Samples {
  std::mutex mutex;
  std::array<std::atomic<uint8_t>, kBuckets> held{};  // how many samples a bucket has; 255: no longer known
  std::array<uint32_t, kBuckets> first{};             // one more than the place in `samples`; 0: none
  std::array<Sample, kSamplesMax> samples{};
  uint32_t used = 0;  // places of `samples` that have been in use
  uint32_t free = 0;  // one more than the first place that is free again
  std::atomic<uint64_t> dropped;
  std::atomic<bool> watches_forks;
  std::atomic<bool> off;  // in a forked child, where the mutex may be another thread's for ever
};
constinit Samples samples;

constinit thread_local int64_t bytes_left = 0;
constinit thread_local uint64_t random_state = 0;
constinit thread_local bool inside = false;  // what sampling itself asks for is not sampled

struct Inside {
  Inside() { inside = true; }
  ~Inside() { inside = false; }
  Inside(const Inside&) = delete;
  Inside& operator=(const Inside&) = delete;
};

size_t bucket_of(uintptr_t address) {
  return static_cast<size_t>((static_cast<uint64_t>(address) * 0x9E3779B97F4A7C15ULL) >> 50);
}

// Distances between samples are exponentially distributed, so that no pattern of allocations hides from them.
int64_t draw_distance() {
  if (random_state == 0) {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    random_state =
        static_cast<uint64_t>(now.tv_nsec) ^ reinterpret_cast<uintptr_t>(&random_state) ^ 0x2545F4914F6CDD1DULL;
    if (!samples.watches_forks.exchange(true)) pthread_atfork(nullptr, nullptr, [] { samples.off = true; });
    random_state |= 1;
  }
  random_state ^= random_state << 13;
  random_state ^= random_state >> 7;
  random_state ^= random_state << 17;
  const double uniform = (static_cast<double>(random_state >> 11) + 1) / 9'007'199'254'740'993.0;
  return static_cast<int64_t>(-std::log(uniform) * static_cast<double>(kHeapSampleBytes)) + 1;
}

Sample* take_free(Samples& all) {
  if (all.free != 0) {
    Sample& taken = all.samples[all.free - 1];
    all.free = taken.next;
    return &taken;
  }
  return all.used < kSamplesMax ? &all.samples[all.used++] : nullptr;
}

void remember(void* memory, size_t bytes) {
  std::array<void*, kDepthMax + kOwnFrames> stack;
  const int found = backtrace(stack.data(), static_cast<int>(stack.size()));
  const size_t depth = found > static_cast<int>(kOwnFrames) ? static_cast<size_t>(found) - kOwnFrames : 0;
  const auto address = reinterpret_cast<uintptr_t>(memory);
  const size_t bucket = bucket_of(address);

  const std::lock_guard lock(samples.mutex);
  Sample* const sample = take_free(samples);
  if (sample == nullptr) {
    samples.dropped.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  sample->address = address;
  sample->bytes = bytes;
  sample->depth = static_cast<uint32_t>(depth);
  std::copy_n(stack.begin() + kOwnFrames, depth, sample->stack.begin());
  sample->next = samples.first[bucket];
  samples.first[bucket] = static_cast<uint32_t>(sample - samples.samples.data()) + 1;
  const uint8_t held = samples.held[bucket].load(std::memory_order_relaxed);
  if (held != UINT8_MAX) samples.held[bucket].store(held + 1, std::memory_order_relaxed);
}

[[gnu::noinline]] void note_allocation(void* memory, size_t bytes) {
  const bool first = random_state == 0;  // of this thread: nothing is known of what came before
  bytes_left = draw_distance();
  if (first || inside || samples.off.load(std::memory_order_relaxed)) return;
  const Inside here;
  remember(memory, bytes);
}

[[gnu::noinline]] void note_release(void* memory, size_t bucket) {
  // What sampling itself asked for is no sample.
  if (inside || samples.off.load(std::memory_order_relaxed)) return;
  const auto address = reinterpret_cast<uintptr_t>(memory);
  const std::lock_guard lock(samples.mutex);
  for (uint32_t* link = &samples.first[bucket]; *link != 0; link = &samples.samples[*link - 1].next) {
    Sample& sample = samples.samples[*link - 1];
    if (sample.address != address) continue;
    const uint32_t place = *link;
    *link = sample.next;
    sample.next = samples.free;
    samples.free = place;
    const uint8_t held = samples.held[bucket].load(std::memory_order_relaxed);
    if (held != UINT8_MAX) samples.held[bucket].store(held - 1, std::memory_order_relaxed);
    return;
  }
}

struct Total {
  uint64_t count = 0;
  uint64_t bytes = 0;
};

// Copied under the lock into memory that is there before: nobody who releases memory waits for more than the copy.
std::vector<Sample> samples_in_use() {
  std::vector<Sample> copies;
  copies.reserve(kSamplesMax);
  const std::lock_guard lock(samples.mutex);
  for (const uint32_t head : samples.first)
    for (uint32_t at = head; at != 0; at = samples.samples[at - 1].next) copies.push_back(samples.samples[at - 1]);
  return copies;
}

}  // namespace

std::string heap_profile() {
  std::map<std::vector<void*>, Total> by_stack;
  Total all;
  for (const Sample& sample : samples_in_use()) {
    Total& total = by_stack[{sample.stack.begin(), sample.stack.begin() + sample.depth}];
    for (Total* sum : {&total, &all}) {
      ++sum->count;
      sum->bytes += sample.bytes;
    }
  }
  const auto line = [](const Total& total) {
    return fmt::format("{}: {} [{}: {}] @", total.count, total.bytes, total.count, total.bytes);
  };
  std::string out = fmt::format("heap profile: {} heap_v2/{}\n", line(all), kHeapSampleBytes);
  out += fmt::format("# {} more had no room among the samples since the start\n", heap_samples_dropped());
  for (const auto& [stack, total] : by_stack) {
    out += line(total);
    for (void* const frame : stack) out += fmt::format(" {:#x}", reinterpret_cast<uintptr_t>(frame));
    out += '\n';
  }
  return out + "\nMAPPED_LIBRARIES:\n" + read_whole("/proc/self/maps");
}

uint64_t heap_samples_dropped() { return samples.dropped.load(std::memory_order_relaxed); }

}  // namespace heptane::server

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

void* operator new(size_t bytes) {
  void* memory = std::malloc(bytes == 0 ? 1 : bytes);
  while (memory == nullptr) {
    const std::new_handler handler = std::get_new_handler();
    if (handler == nullptr) throw std::bad_alloc();
    handler();
    memory = std::malloc(bytes == 0 ? 1 : bytes);
  }
  using namespace heptane::server;
  bytes_left -= static_cast<int64_t>(bytes);
  if (bytes_left < 0) [[unlikely]]
    note_allocation(memory, bytes);
  return memory;
}

// Not inlined into this file, where the compiler would see free() called on what `new` gave.
[[gnu::noinline]] void operator delete(void* memory) noexcept {
  using namespace heptane::server;
  const size_t bucket = bucket_of(reinterpret_cast<uintptr_t>(memory));
  if (samples.held[bucket].load(std::memory_order_relaxed) != 0) [[unlikely]]
    note_release(memory, bucket);
  std::free(memory);
}
[[gnu::noinline]] void operator delete(void* memory, size_t) noexcept { operator delete(memory); }

#endif
