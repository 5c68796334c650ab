// A 128-bit non-cryptographic hash (XXH3) for effects digests and state hashes: finds divergence, proves nothing against
// an attacker. Streaming; one owner.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>

#include "kernel/base/bytes.h"

namespace heptane {

struct Hash128 {
  uint64_t low = 0;
  uint64_t high = 0;
  friend bool operator==(const Hash128&, const Hash128&) = default;
};

Hash128 hash128(Bytes bytes) noexcept;
std::string to_hex(const Hash128& hash);

// Accumulates a sequence of hashed pieces. Each `add` folds whole words, so that hashing an effect costs a few
// multiplications and no buffer.
class DigestAccumulator {
 public:
  void add(uint64_t a, uint64_t b) noexcept;
  void add(Bytes bytes) noexcept;
  Hash128 value() const noexcept { return state_; }
  void reset() noexcept { *this = DigestAccumulator(); }

 private:
  Hash128 state_{0x9E3779B97F4A7C15ULL, 0xC2B2AE3D27D4EB4FULL};
};

// The hash of a long byte string given in pieces; equal to hash128 of the whole.
class StreamingHash128 {
 public:
  StreamingHash128();
  ~StreamingHash128();
  StreamingHash128(const StreamingHash128&) = delete;
  StreamingHash128& operator=(const StreamingHash128&) = delete;
  void add(Bytes bytes) noexcept;
  Hash128 value() const noexcept;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace heptane
