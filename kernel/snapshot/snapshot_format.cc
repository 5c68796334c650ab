#include "kernel/snapshot/snapshot_format.h"

#include <algorithm>

#include "kernel/base/crc32c.h"

namespace heptane::snapshot {

namespace {

constexpr std::string_view kHeaderMagic = "HPSN";
constexpr std::string_view kFooterMagic = "HPSF";

// Of a block with its u32 at `field` taken as zero.
uint32_t block_crc(Bytes block, size_t field, uint32_t seed) {
  constexpr std::byte kZero[4] = {};
  uint32_t crc = crc32c(block.first(field), seed);
  crc = crc32c(kZero, crc);
  return crc32c(block.subspan(field + 4), crc);
}

Error corrupt(std::string what) { return Error{Errc::corrupt, std::move(what)}; }

}  // namespace

void encode(SnapshotHeader& header, std::byte* block) {
  std::memset(block, 0, kBlockBytes);
  std::memcpy(block, kHeaderMagic.data(), 4);
  store_le<uint16_t>(block + 4, kFormatVersion);
  store_le<uint16_t>(block + 6, header.shard);
  store_le<uint32_t>(block + 12, header.epoch);
  std::memcpy(block + 16, header.log_id.data(), header.log_id.size());
  store_le<uint64_t>(block + 32, header.sequence);
  store_le<int64_t>(block + 40, header.time);
  store_le<uint32_t>(block + 48, header.segment);
  store_le<uint32_t>(block + 52, header.offset);
  std::memcpy(block + 56, header.previous_chain.data(), header.previous_chain.size());
  header.crc = block_crc({block, kBlockBytes}, 8, 0);
  store_le<uint32_t>(block + 8, header.crc);
}

Result<SnapshotHeader> decode_header(Bytes block) {
  if (block.size() < kBlockBytes) return corrupt("the file is shorter than its header");
  block = block.first(kBlockBytes);
  const std::byte* at = block.data();
  if (as_text(block.first(4)) != kHeaderMagic) return corrupt("this is no snapshot");
  SnapshotHeader header;
  header.crc = load_le<uint32_t>(at + 8);
  if (block_crc(block, 8, 0) != header.crc) return corrupt("the header's CRC is wrong");
  if (const auto version = load_le<uint16_t>(at + 4); version > kFormatVersion)
    return Error{Errc::unsupported, "snapshot format version " + std::to_string(version) +
                                        "; this program reads versions up to " + std::to_string(kFormatVersion)};
  header.shard = load_le<uint16_t>(at + 6);
  header.epoch = load_le<uint32_t>(at + 12);
  std::memcpy(header.log_id.data(), at + 16, header.log_id.size());
  header.sequence = load_le<uint64_t>(at + 32);
  header.time = load_le<int64_t>(at + 40);
  header.segment = load_le<uint32_t>(at + 48);
  header.offset = load_le<uint32_t>(at + 52);
  std::memcpy(header.previous_chain.data(), at + 56, header.previous_chain.size());
  if (header.segment == 0 || header.offset < kBlockBytes || header.offset % kBlockBytes != 0)
    return corrupt("the header names no place of a batch");
  return header;
}

void encode(const SnapshotFooter& footer, uint32_t key, std::byte* block) {
  std::memset(block, 0, kBlockBytes);
  std::memcpy(block, kFooterMagic.data(), 4);
  store_le<uint64_t>(block + 8, footer.file_bytes);
  store_le<uint64_t>(block + 16, footer.state_bytes);
  store_le<uint64_t>(block + 24, footer.index_bytes);
  store_le<uint64_t>(block + 32, footer.state_hash.low);
  store_le<uint64_t>(block + 40, footer.state_hash.high);
  store_le<uint32_t>(block + 48, footer.chunks);
  store_le<uint32_t>(block + 4, block_crc({block, kBlockBytes}, 4, key));
}

Result<SnapshotFooter> decode_footer(Bytes block, uint32_t key) {
  if (block.size() < kBlockBytes || as_text(block.first(4)) != kFooterMagic) return corrupt("the footer is missing");
  block = block.first(kBlockBytes);
  const std::byte* at = block.data();
  if (block_crc(block, 4, key) != load_le<uint32_t>(at + 4)) return corrupt("the footer's CRC is wrong");
  SnapshotFooter footer;
  footer.file_bytes = load_le<uint64_t>(at + 8);
  footer.state_bytes = load_le<uint64_t>(at + 16);
  footer.index_bytes = load_le<uint64_t>(at + 24);
  footer.state_hash = {load_le<uint64_t>(at + 32), load_le<uint64_t>(at + 40)};
  footer.chunks = load_le<uint32_t>(at + 48);
  // Lengths are compared with the file's own before anything is multiplied.
  if (footer.state_bytes > footer.file_bytes || footer.index_bytes > footer.file_bytes ||
      2 * kBlockBytes + stored_section_bytes(footer.state_bytes) + stored_section_bytes(footer.index_bytes) !=
          footer.file_bytes ||
      section_chunks(footer.state_bytes) + section_chunks(footer.index_bytes) != footer.chunks)
    return corrupt("the footer's lengths contradict each other");
  return footer;
}

size_t seal_chunk(const ChunkHead& head, uint32_t key, std::byte* at) {
  const auto stored = static_cast<size_t>(stored_chunk_bytes(head.payload_bytes));
  store_le<uint32_t>(at + 4, head.payload_bytes);
  store_le<uint16_t>(at + 8, static_cast<uint16_t>(head.section));
  store_le<uint16_t>(at + 10, 0);
  store_le<uint32_t>(at + 12, head.number);
  const size_t used = kChunkHeadBytes + head.payload_bytes;
  std::memset(at + used, 0, stored - used);
  store_le<uint32_t>(at, crc32c({at + 4, stored - 4}, key));
  return stored;
}

Result<void> check_chunk(Bytes head, Bytes rest, const ExpectedChunk& expected) {
  const auto at = [&] { return "at offset " + std::to_string(expected.offset) + ": "; };
  if (crc32c(rest, crc32c(head.subspan(4), expected.key)) != load_le<uint32_t>(head.data()))
    return corrupt(at() + "a chunk's CRC is wrong");
  if (load_le<uint32_t>(head.data() + 4) != expected.head.payload_bytes ||
      load_le<uint16_t>(head.data() + 8) != static_cast<uint16_t>(expected.head.section) ||
      load_le<uint32_t>(head.data() + 12) != expected.head.number)
    return corrupt(at() + "a chunk of another place");
  return {};
}

uint64_t stored_chunk_bytes(uint64_t payload_bytes) {
  return (kChunkHeadBytes + payload_bytes + kBlockBytes - 1) / kBlockBytes * kBlockBytes;
}

uint64_t stored_section_bytes(uint64_t payload_bytes) {
  const uint64_t rest = payload_bytes % kChunkPayloadBytes;
  return payload_bytes / kChunkPayloadBytes * kChunkBytes + (rest == 0 ? 0 : stored_chunk_bytes(rest));
}

uint32_t section_chunks(uint64_t payload_bytes) {
  return static_cast<uint32_t>((payload_bytes + kChunkPayloadBytes - 1) / kChunkPayloadBytes);
}

}  // namespace heptane::snapshot
