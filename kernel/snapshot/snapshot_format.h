// The bytes of a snapshot file (FORMAT.md): header, chunks, footer. Its only reader and writer. Pure; any thread.
// Invariant: every byte of the file is under a CRC that is seeded with the header's, so that no part of another file passes.
#pragma once

#include "kernel/base/bytes.h"
#include "kernel/base/hash128.h"
#include "kernel/base/ids.h"
#include "kernel/base/result.h"
#include "kernel/log/batch.h"

namespace heptane::snapshot {

constexpr uint16_t kFormatVersion = 1;  // 0, of before the freeze, has the same layout and is read
constexpr size_t kBlockBytes = log::kBlockBytes;
constexpr size_t kChunkBytes = size_t{64} << 10;
constexpr size_t kChunkHeadBytes = 16;
constexpr size_t kChunkPayloadBytes = kChunkBytes - kChunkHeadBytes;

enum class Section : uint16_t { state = 1, index = 2 };

struct SnapshotHeader {
  LogId log_id{};
  ShardId shard = 0;
  Epoch epoch = 0;
  Sequence sequence = 0;  // the last command in the state
  LogTime time = 0;
  uint32_t segment = 0;  // where the next batch begins, or in the segment after it
  uint32_t offset = 0;
  log::ChainValue previous_chain{};
  uint32_t crc = 0;  // the file's key

  friend bool operator==(const SnapshotHeader&, const SnapshotHeader&) = default;
};

struct SnapshotFooter {
  uint64_t file_bytes = 0;
  uint64_t state_bytes = 0;
  uint64_t index_bytes = 0;
  Hash128 state_hash;
  uint32_t chunks = 0;
};

struct ChunkHead {
  uint32_t payload_bytes = 0;
  Section section = Section::state;
  uint32_t number = 0;
};

// Both fill one block. encode(header) sets its crc.
void encode(SnapshotHeader& header, std::byte* block);
void encode(const SnapshotFooter& footer, uint32_t key, std::byte* block);
// Errc::corrupt, or Errc::unsupported for another format version.
Result<SnapshotHeader> decode_header(Bytes block);
Result<SnapshotFooter> decode_footer(Bytes block, uint32_t key);

// Completes a chunk whose payload lies behind the head: pads, fills in the head; returns the stored bytes.
size_t seal_chunk(const ChunkHead& head, uint32_t key, std::byte* at);
// What a reader knows of the chunk that comes next.
struct ExpectedChunk {
  uint64_t offset = 0;  // in the file, for the error
  ChunkHead head;
  uint32_t key = 0;
};
// The one check of a chunk: `head` are its first kChunkHeadBytes, `rest` what is stored behind them (payload and padding),
// wherever the two lie. Errc::corrupt, with the place.
Result<void> check_chunk(Bytes head, Bytes rest, const ExpectedChunk& expected);

// What a section of that many payload bytes takes in the file.
uint64_t stored_chunk_bytes(uint64_t payload_bytes);
uint64_t stored_section_bytes(uint64_t payload_bytes);
uint32_t section_chunks(uint64_t payload_bytes);

}  // namespace heptane::snapshot
