// Undoes the four codecs of Kafka record batches, never beyond a limit: gzip, snappy (raw, and with the framing of Java's
// clients), lz4 frames, zstd. The input is a stranger's. Pure; any thread.
#pragma once

#include <vector>

#include "kernel/base/bytes.h"
#include "kernel/base/result.h"

namespace heptane::streams {

// As in the low three bits of a record batch's attributes.
enum class Codec : uint8_t { none = 0, gzip = 1, snappy = 2, lz4 = 3, zstd = 4 };

// Errc::corrupt when it is not what the codec says, too_large over `limit_bytes`, unsupported for another codec. Memory
// beyond the limit: a few hundred KiB, and a window of zstd of at most 8 MiB.
Result<std::vector<std::byte>> inflate(Codec codec, Bytes input, size_t limit_bytes);

// A compressed record batch as an uncompressed one, whose records can be walked (record_batch.h); its CRC is not made
// anew. `limit_bytes` of records. Errors as inflate.
Result<std::vector<std::byte>> inflate_batch(Bytes batch, size_t limit_bytes);

}  // namespace heptane::streams
