#include "kernel/base/aegis128l.h"

#include "kernel/base/aegis128l_core.h"

namespace heptane {

namespace {

// The AES S-box (FIPS 197, 5.1.1), from its definition.
constexpr uint8_t times2(uint8_t value) { return static_cast<uint8_t>((value << 1) ^ ((value >> 7) * 0x1B)); }

constexpr std::array<uint8_t, 256> make_sbox() {
  std::array<uint8_t, 256> box{};
  uint8_t p = 1;
  uint8_t q = 1;
  do {
    p = static_cast<uint8_t>(p ^ times2(p));  // p times 3, q divided by 3: q is the inverse of p
    q = static_cast<uint8_t>(q ^ (q << 1));
    q = static_cast<uint8_t>(q ^ (q << 2));
    q = static_cast<uint8_t>(q ^ (q << 4));
    if ((q & 0x80) != 0) q ^= 0x09;
    uint8_t x = q;
    for (int turn = 1; turn <= 4; ++turn) x ^= static_cast<uint8_t>((q << turn) | (q >> (8 - turn)));
    box[p] = x ^ 0x63;
  } while (p != 1);
  box[0] = 0x63;
  return box;
}

constexpr std::array<uint8_t, 256> kSbox = make_sbox();
static_assert(kSbox[0x53] == 0xED && kSbox[0xFF] == 0x16);

struct PortableBlock {
  std::array<uint8_t, 16> b;

  static PortableBlock load(const void* at) {
    PortableBlock block;
    std::memcpy(block.b.data(), at, 16);
    return block;
  }
  void store(void* at) const { std::memcpy(at, b.data(), 16); }
  friend PortableBlock operator^(const PortableBlock& x, const PortableBlock& y) {
    PortableBlock out;
    for (size_t i = 0; i < 16; ++i) out.b[i] = x.b[i] ^ y.b[i];
    return out;
  }
  // SubBytes, ShiftRows, MixColumns, then the key.
  static PortableBlock round(const PortableBlock& in, const PortableBlock& key) {
    PortableBlock out;
    for (size_t column = 0; column < 4; ++column) {
      std::array<uint8_t, 4> s;
      for (size_t row = 0; row < 4; ++row) s[row] = kSbox[in.b[((column + row) % 4) * 4 + row]];
      for (size_t row = 0; row < 4; ++row) {
        const uint8_t next = s[(row + 1) % 4];
        out.b[column * 4 + row] = static_cast<uint8_t>(times2(s[row]) ^ times2(next) ^ next ^ s[(row + 2) % 4] ^
                                                       s[(row + 3) % 4] ^ key.b[column * 4 + row]);
      }
    }
    return out;
  }
};

}  // namespace

Aegis128lTag aegis128l_checksum_portable(Bytes bytes) noexcept { return checksum_with<PortableBlock>(bytes); }

Aegis128lTag aegis128l_checksum(Bytes bytes) noexcept {
#if defined(__x86_64__)
  static const bool native = __builtin_cpu_supports("aes") != 0;
  if (native) return aegis128l_checksum_native(bytes);
#endif
  return aegis128l_checksum_portable(bytes);
}

}  // namespace heptane
