// A piece of a column, packed: times as differences of differences, reals XORed with the one before (Pelkonen and others, Gorilla,
// VLDB 2015), integers as differences, booleans as bits, texts with their lengths. A CRC-32C ends it.
//
//   type u8 · count u32 · first time i64 · times (bits) · values (bits, or length varint and bytes) · crc u32 of all before it
//
// A difference: 0 | 10 and 12 bits | 110 and 24 | 1110 and 40 | 1111 and 64, zigzag; bits from a byte's highest on, the last byte
// filled with zeros. Invariant: what encode_chunk() makes of a settled column, decode_chunk() makes again. Pure; any thread.
#pragma once

#include <optional>
#include <vector>

#include "kernel/base/bytes.h"
#include "modules/iot/gateway/series/column.h"

namespace heptane::iot::series {

constexpr size_t kChunkPointsMax = 4'096;
constexpr size_t kChunkTextBytesMax = size_t{1} << 20;  // a single text may be more

// Of points `from` to `to` of a settled column: one at least, kChunkPointsMax at most.
std::vector<std::byte> encode_chunk(const Column& column, size_t from, size_t to);
// Where a chunk that begins at `from` ends: as many points as one holds.
size_t chunk_end(const Column& column, size_t from);
// Nullopt: it is damaged. Nothing larger than its bytes allow is allocated.
std::optional<Column> decode_chunk(Bytes chunk);

}  // namespace heptane::iot::series
