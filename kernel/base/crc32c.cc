#include "kernel/base/crc32c.h"

#include <isa-l/crc.h>
#include <nmmintrin.h>

namespace heptane {

namespace {

constexpr size_t kShortBytes = 256;  // below this the call into the library costs more than it saves

uint32_t crc32c_short(const std::byte* at, size_t count, uint32_t state) noexcept {
  uint64_t wide = state;
  for (; count >= 8; at += 8, count -= 8) wide = _mm_crc32_u64(wide, load_le<uint64_t>(at));
  auto narrow = static_cast<uint32_t>(wide);
  if (count >= 4) {
    narrow = _mm_crc32_u32(narrow, load_le<uint32_t>(at));
    at += 4;
    count -= 4;
  }
  for (; count > 0; ++at, --count) narrow = _mm_crc32_u8(narrow, static_cast<uint8_t>(*at));
  return narrow;
}

uint32_t crc32c_long(const std::byte* at, size_t count, uint32_t state) noexcept {
  // The library takes an int length and a non-const pointer it does not write through.
  constexpr size_t kChunkBytes = size_t{1} << 30;
  auto* bytes = reinterpret_cast<unsigned char*>(const_cast<std::byte*>(at));
  while (count > 0) {
    const size_t chunk = count < kChunkBytes ? count : kChunkBytes;
    state = crc32_iscsi(bytes, static_cast<int>(chunk), state);
    bytes += chunk;
    count -= chunk;
  }
  return state;
}

}  // namespace

uint32_t crc32c(Bytes bytes, uint32_t crc) noexcept {
  const uint32_t state = ~crc;
  return ~(bytes.size() < kShortBytes ? crc32c_short(bytes.data(), bytes.size(), state)
                                      : crc32c_long(bytes.data(), bytes.size(), state));
}

}  // namespace heptane
