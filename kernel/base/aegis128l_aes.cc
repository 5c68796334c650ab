// Compiled with the AES instructions switched on (kernel/base/CMakeLists.txt); called only where the processor has them.
#if defined(__x86_64__)

#include <immintrin.h>

#include "kernel/base/aegis128l_core.h"

namespace heptane {

namespace {

struct AesBlock {
  __m128i b;

  static AesBlock load(const void* at) { return {_mm_loadu_si128(static_cast<const __m128i*>(at))}; }
  void store(void* at) const { _mm_storeu_si128(static_cast<__m128i*>(at), b); }
  friend AesBlock operator^(const AesBlock& x, const AesBlock& y) { return {_mm_xor_si128(x.b, y.b)}; }
  static AesBlock round(const AesBlock& in, const AesBlock& key) { return {_mm_aesenc_si128(in.b, key.b)}; }
};

}  // namespace

Aegis128lTag aegis128l_checksum_native(Bytes bytes) noexcept { return checksum_with<AesBlock>(bytes); }

}  // namespace heptane

#endif
