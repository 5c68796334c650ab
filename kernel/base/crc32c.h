// CRC32C (Castagnoli), RFC 3720 appendix B.4; the checksum of Kafka's record batches and of Heptane's log.
// Long inputs go through libisal, short ones through the SSE4.2 instruction in place. Any thread.
#pragma once

#include <cstdint>

#include "kernel/base/bytes.h"

namespace heptane {

// Continues `crc` (0 to begin) over `bytes`.
uint32_t crc32c(Bytes bytes, uint32_t crc = 0) noexcept;

}  // namespace heptane
