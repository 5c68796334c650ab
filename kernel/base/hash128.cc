#include "kernel/base/hash128.h"

#define XXH_INLINE_ALL
#if defined(__SANITIZE_ADDRESS__)
#define XXH_NO_INLINE_HINTS 1  // built with -Og, which does not inline what must be
#endif
#include <xxhash.h>

namespace heptane {

Hash128 hash128(Bytes bytes) noexcept {
  const XXH128_hash_t hash = XXH3_128bits(bytes.data(), bytes.size());
  return {hash.low64, hash.high64};
}

std::string to_hex(const Hash128& hash) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (const uint64_t word : {hash.high, hash.low})
    for (int shift = 60; shift >= 0; shift -= 4) text.push_back(kDigits[(word >> shift) & 15]);
  return text;
}

void DigestAccumulator::add(Bytes bytes) noexcept {
  const Hash128 hash = hash128(bytes);
  add(hash.low, hash.high);
}

struct StreamingHash128::State {
  XXH3_state_t xxh;
};

StreamingHash128::StreamingHash128() : state_(new State) { XXH3_128bits_reset(&state_->xxh); }
StreamingHash128::~StreamingHash128() = default;
void StreamingHash128::add(Bytes bytes) noexcept { XXH3_128bits_update(&state_->xxh, bytes.data(), bytes.size()); }
Hash128 StreamingHash128::value() const noexcept {
  const XXH128_hash_t hash = XXH3_128bits_digest(&state_->xxh);
  return {hash.low64, hash.high64};
}

}  // namespace heptane
