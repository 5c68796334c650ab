// The algorithm of aegis128l.h over a kind of block; included by its two implementations only, which are compiled for
// different processors: everything here is internal to each.
#pragma once

#include <cstring>

#include "kernel/base/aegis128l.h"

namespace heptane {

// With the processor's AES instructions: only where it has them.
Aegis128lTag aegis128l_checksum_native(Bytes bytes) noexcept;

namespace {  // NOLINT(cert-dcl59-cpp,google-build-namespaces): must not be shared between processors

inline constexpr size_t kRateBytes = 32;
inline constexpr std::array<uint8_t, 32> kConstants = {0x00, 0x01, 0x01, 0x02, 0x03, 0x05, 0x08, 0x0d, 0x15, 0x22, 0x37,
                                                       0x59, 0x90, 0xe9, 0x79, 0x62, 0xdb, 0x3d, 0x18, 0x55, 0x6d, 0xc2,
                                                       0x2f, 0xf1, 0x20, 0x11, 0x31, 0x42, 0x73, 0xb5, 0x28, 0xdd};

// `Block` is 16 bytes with load, store, ^ and round (one AES round, the last argument being its key).
template <class Block>
Aegis128lTag checksum_with(Bytes bytes) noexcept {
  Block s[8];
  const auto update = [&s](const Block& m0, const Block& m1) {
    const Block last = s[7];
    s[7] = Block::round(s[6], s[7]);
    s[6] = Block::round(s[5], s[6]);
    s[5] = Block::round(s[4], s[5]);
    s[4] = Block::round(s[3], s[4] ^ m1);
    s[3] = Block::round(s[2], s[3]);
    s[2] = Block::round(s[1], s[2]);
    s[1] = Block::round(s[0], s[1]);
    s[0] = Block::round(last, s[0] ^ m0);
  };
  const std::array<std::byte, kRateBytes> zeros{};
  const Block zero = Block::load(zeros.data());
  const Block c0 = Block::load(kConstants.data());
  const Block c1 = Block::load(kConstants.data() + 16);
  s[0] = zero, s[1] = c1, s[2] = c0, s[3] = c1, s[4] = zero, s[5] = c0, s[6] = c1, s[7] = c0;
  for (int i = 0; i < 10; ++i) update(zero, zero);
  const std::byte* at = bytes.data();
  size_t left = bytes.size();
  for (; left >= kRateBytes; left -= kRateBytes, at += kRateBytes) update(Block::load(at), Block::load(at + 16));
  if (left > 0) {
    std::array<std::byte, kRateBytes> padded{};
    std::memcpy(padded.data(), at, left);
    update(Block::load(padded.data()), Block::load(padded.data() + 16));
  }
  const uint64_t lengths[2] = {uint64_t{bytes.size()} * 8, 0};
  const Block t = s[2] ^ Block::load(lengths);
  for (int i = 0; i < 7; ++i) update(t, t);
  Aegis128lTag tag;
  (s[0] ^ s[1] ^ s[2] ^ s[3] ^ s[4] ^ s[5] ^ s[6]).store(tag.data());
  return tag;
}

}  // namespace
}  // namespace heptane
