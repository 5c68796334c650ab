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
  // One multiply-and-fold per lane; the lanes see the words with different keys, so both words reach all 128 bits.
  void add(uint64_t a, uint64_t b) noexcept {
    state_.low = multiply_fold(state_.low ^ a ^ 0xA0761D6478BD642FULL, b ^ 0xE7037ED1A0B428DBULL) + state_.high;
    state_.high = multiply_fold(state_.high ^ b ^ 0x8EBC6AF09C88C6E3ULL, a ^ 0x589965CC75374CC3ULL) ^
                  (state_.low << 1 | state_.low >> 63);
  }
  void add(Bytes bytes) noexcept;
  Hash128 value() const noexcept { return state_; }
  void reset() noexcept { *this = DigestAccumulator(); }

 private:
  // Both halves of the 128-bit product, folded.
  static uint64_t multiply_fold(uint64_t a, uint64_t b) noexcept {
    __extension__ using Product = unsigned __int128;
    const Product product = Product{a} * b;
    return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
  }

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
