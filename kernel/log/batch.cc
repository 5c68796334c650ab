#include "kernel/log/batch.h"

#include <algorithm>

#include "kernel/base/crc32c.h"
#include "kernel/log/layout.h"

namespace heptane::log {

namespace {

Error corrupt(const char* message) { return Error{Errc::corrupt, message}; }

bool all_zero(Bytes bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](std::byte byte) { return byte == std::byte{0}; });
}

uint32_t batch_header_crc(const std::byte* at) {
  static constexpr std::byte kZeros[4] = {};
  uint32_t crc = crc32c({at, layout::kBatchHeaderCrc});
  crc = crc32c(kZeros, crc);
  return crc32c({at + layout::kBatchHeaderCrc + 4, kBatchHeaderBytes - layout::kBatchHeaderCrc - 4}, crc);
}

Result<void> check_ranges(const BatchHeader& header) {
  const bool seal = header.is_seal();
  const bool jump = (header.flags & kJumpFlag) != 0;
  if ((header.flags & ~(kSealFlag | kJumpFlag)) != 0) return corrupt("unknown flags in a batch header");
  if (header.key_id != 0) return Error{Errc::unsupported, "the batch is encrypted: this build reads no encrypted logs"};
  if (jump && !seal) return corrupt("a jump that is not a seal");
  if (seal != (header.command_count == 0) || seal != (header.body_bytes == 0))
    return corrupt("a batch header whose counts contradict its flags");
  if (header.body_bytes > kBatchLimitBytes - kBatchHeaderBytes) return corrupt("a batch longer than the limit");
  if (header.command_count > header.body_bytes / kEntryHeaderBytes)
    return corrupt("a batch header that counts more commands than its bytes can hold");
  if (header.segment == 0 || header.offset < kBlockBytes || header.offset % kBlockBytes != 0)
    return corrupt("a batch header with an impossible place");
  if (header.first_sequence == 0 || header.first_sequence > UINT64_MAX - header.command_count ||
      header.durable_upto >= header.first_sequence)
    return corrupt("a batch header with impossible sequences");
  if (jump && header.first_sequence - header.durable_upto < 2) return corrupt("a jump without a gap");
  return {};
}

BatchHeader load_batch_header(const std::byte* at) {
  BatchHeader header;
  header.version = load_le<uint16_t>(at + layout::kBatchVersion);
  header.flags = load_le<uint16_t>(at + layout::kBatchFlags);
  header.header_crc = load_le<uint32_t>(at + layout::kBatchHeaderCrc);
  header.epoch = load_le<uint32_t>(at + layout::kBatchEpoch);
  header.segment = load_le<uint32_t>(at + layout::kBatchSegment);
  header.offset = load_le<uint32_t>(at + layout::kBatchOffset);
  std::memcpy(header.log_id.data(), at + layout::kBatchLogId, header.log_id.size());
  header.body_bytes = load_le<uint32_t>(at + layout::kBatchBodyBytes);
  header.body_crc = load_le<uint32_t>(at + layout::kBatchBodyCrc);
  header.shard = load_le<uint16_t>(at + layout::kBatchShard);
  header.key_id = load_le<uint16_t>(at + layout::kBatchKeyId);
  header.command_count = load_le<uint32_t>(at + layout::kBatchCommandCount);
  header.first_sequence = load_le<uint64_t>(at + layout::kBatchFirstSequence);
  header.base_time = load_le<int64_t>(at + layout::kBatchBaseTime);
  header.durable_upto = load_le<uint64_t>(at + layout::kBatchDurableUpto);
  header.effects_digest.low = load_le<uint64_t>(at + layout::kBatchEffectsDigest);
  header.effects_digest.high = load_le<uint64_t>(at + layout::kBatchEffectsDigest + 8);
  std::memcpy(header.previous_chain.data(), at + layout::kBatchPreviousChain, header.previous_chain.size());
  return header;
}

EntryHeader load_entry_header(const std::byte* at) {
  EntryHeader header;
  header.header_crc = load_le<uint32_t>(at + layout::kEntryHeaderCrc);
  header.payload_crc = load_le<uint32_t>(at + layout::kEntryPayloadCrc);
  header.payload_bytes = load_le<uint32_t>(at + layout::kEntryPayloadBytes);
  header.extension_bytes = load_le<uint32_t>(at + layout::kEntryExtensionBytes);
  header.kind = static_cast<EntryKind>(at[layout::kEntryKind]);
  header.flags = static_cast<uint8_t>(at[layout::kEntryFlags]);
  header.machine = load_le<uint16_t>(at + layout::kEntryMachine);
  header.type = load_le<uint16_t>(at + layout::kEntryType);
  header.partition = load_le<uint32_t>(at + layout::kEntryPartition);
  header.detail = load_le<uint32_t>(at + layout::kEntryDetail);
  return header;
}

// Over the header behind its own CRC, the extensions and the part of a record batch that its CRC leaves out: contiguous.
uint32_t entry_header_crc(const std::byte* at, const EntryHeader& header) {
  const size_t prefix = header.is_record_batch() ? kRecordBatchPrefixBytes : 0;
  return crc32c({at + 4, kEntryHeaderBytes - 4 + header.extension_bytes + prefix});
}

Result<void> check_entry_shape(const EntryHeader& header, size_t available) {
  const auto kind = static_cast<uint8_t>(header.kind);
  if (kind < static_cast<uint8_t>(EntryKind::command) || kind > static_cast<uint8_t>(EntryKind::records))
    return corrupt("an entry of unknown kind");
  if (header.flags != 0) return corrupt("unknown flags in an entry header");
  if (header.payload_bytes > kPayloadLimitBytes) return corrupt("an entry longer than the limit");
  if (header.stored_bytes() > available) return corrupt("an entry that reaches beyond its batch");
  if (header.is_record_batch() && header.payload_bytes < kRecordBatchPrefixBytes)
    return corrupt("an entry too short for the record batch it should hold");
  return {};
}

uint32_t record_payload_crc(Bytes payload) { return crc32c(payload.subspan(kRecordBatchPrefixBytes)); }

}  // namespace

uint32_t encode(const BatchHeader& header, std::byte* at) {
  std::memcpy(at + layout::kBatchMagic, layout::kBatchMagicBytes, sizeof layout::kBatchMagicBytes);
  store_le<uint16_t>(at + layout::kBatchVersion, header.version);
  store_le<uint16_t>(at + layout::kBatchFlags, header.flags);
  store_le<uint32_t>(at + layout::kBatchEpoch, header.epoch);
  store_le<uint32_t>(at + layout::kBatchSegment, header.segment);
  store_le<uint32_t>(at + layout::kBatchOffset, header.offset);
  std::memcpy(at + layout::kBatchLogId, header.log_id.data(), header.log_id.size());
  store_le<uint32_t>(at + layout::kBatchBodyBytes, header.body_bytes);
  store_le<uint32_t>(at + layout::kBatchBodyCrc, header.body_crc);
  store_le<uint16_t>(at + layout::kBatchShard, header.shard);
  store_le<uint16_t>(at + layout::kBatchKeyId, header.key_id);
  store_le<uint32_t>(at + layout::kBatchCommandCount, header.command_count);
  store_le<uint64_t>(at + layout::kBatchFirstSequence, header.first_sequence);
  store_le<int64_t>(at + layout::kBatchBaseTime, header.base_time);
  store_le<uint64_t>(at + layout::kBatchDurableUpto, header.durable_upto);
  store_le<uint64_t>(at + layout::kBatchEffectsDigest, header.effects_digest.low);
  store_le<uint64_t>(at + layout::kBatchEffectsDigest + 8, header.effects_digest.high);
  std::memcpy(at + layout::kBatchPreviousChain, header.previous_chain.data(), header.previous_chain.size());
  const uint32_t crc = batch_header_crc(at);
  store_le<uint32_t>(at + layout::kBatchHeaderCrc, crc);
  return crc;
}

Result<BatchHeader> decode_batch_header(Bytes first_128_bytes) {
  if (first_128_bytes.size() < kBatchHeaderBytes) return corrupt("no room for a batch header");
  const std::byte* at = first_128_bytes.data();
  if (std::memcmp(at, layout::kBatchMagicBytes, sizeof layout::kBatchMagicBytes) != 0)
    return corrupt("no batch header here");
  if (load_le<uint32_t>(at + layout::kBatchHeaderCrc) != batch_header_crc(at))
    return corrupt("a batch header whose CRC does not match");
  const BatchHeader header = load_batch_header(at);
  if (header.version != kFormatVersion)
    return Error{Errc::unsupported, "the batch has log format version " + std::to_string(header.version) +
                                        "; this build reads version " + std::to_string(kFormatVersion)};
  HEPTANE_TRY(check_ranges(header));
  return header;
}

ChainValue chain_value(uint32_t header_crc) {
  ChainValue chain{};
  store_le<uint32_t>(chain.data(), header_crc);
  return chain;
}

// In the words that the CRC reads: one whose halves are still on their way to the cache would have to wait for every store
// before them.
void encode(const EntryHeader& header, std::byte* at) {
  constexpr size_t kFirst = layout::kEntryPayloadCrc;
  constexpr size_t kSecond = kFirst + 8;
  constexpr size_t kThird = kSecond + 8;
  static_assert(layout::kEntryExtensionBytes == kSecond && layout::kEntryType == kThird);
  constexpr auto placed = [](uint64_t value, size_t field, size_t word) { return value << 8 * (field - word); };
  store_le<uint32_t>(at + layout::kEntryHeaderCrc, header.header_crc);
  store_le<uint64_t>(at + kFirst,
                     header.payload_crc | placed(header.payload_bytes, layout::kEntryPayloadBytes, kFirst));
  store_le<uint64_t>(at + kSecond, header.extension_bytes |
                                       placed(static_cast<uint8_t>(header.kind), layout::kEntryKind, kSecond) |
                                       placed(header.flags, layout::kEntryFlags, kSecond) |
                                       placed(header.machine, layout::kEntryMachine, kSecond));
  // Zeros lie between the type and the partition.
  store_le<uint64_t>(at + kThird, header.type | placed(header.partition, layout::kEntryPartition, kThird));
  store_le<uint32_t>(at + layout::kEntryDetail, header.detail);
}

void seal_entry(std::byte* at, EntryHeader& header) {
  header.header_crc = 0;
  encode(header, at);
  header.header_crc = entry_header_crc(at, header);
  store_le<uint32_t>(at + layout::kEntryHeaderCrc, header.header_crc);
}

Result<void> seal_records(std::byte* at, size_t available) {
  if (available < kEntryHeaderBytes) return corrupt("no room for an entry header");
  EntryHeader header = load_entry_header(at);
  HEPTANE_TRY(check_entry_shape(header, available));
  if (!header.is_record_batch()) return corrupt("only record batches are sealed by the commit");
  std::byte* payload = at + kEntryHeaderBytes + header.extension_bytes;
  header.payload_crc = record_payload_crc({payload, header.payload_bytes});
  store_be<uint32_t>(payload + layout::kRecordBatchCrc, header.payload_crc);
  seal_entry(at, header);
  return {};
}

Result<EntryView> decode_entry(Bytes input) {
  if (input.size() < kEntryHeaderBytes) return corrupt("no room for an entry header");
  EntryView entry;
  entry.header = load_entry_header(input.data());
  const EntryHeader& header = entry.header;
  HEPTANE_TRY(check_entry_shape(header, input.size()));
  if (header.header_crc != entry_header_crc(input.data(), header))
    return corrupt("an entry header whose CRC does not match");
  if (load_le<uint16_t>(input.data() + layout::kEntryZero) != 0) return corrupt("an entry header with stray bytes");
  entry.extensions = input.subspan(kEntryHeaderBytes, header.extension_bytes);
  entry.payload = input.subspan(kEntryHeaderBytes + size_t{header.extension_bytes}, header.payload_bytes);
  if (!for_each_extension(entry.extensions, [](ExtensionType, Bytes) {}))
    return corrupt("an entry whose extensions are malformed");
  const size_t raw = kEntryHeaderBytes + size_t{header.extension_bytes} + header.payload_bytes;
  if (!all_zero(input.subspan(raw, header.stored_bytes() - raw))) return corrupt("an entry with stray bytes behind it");
  if (header.is_record_batch()) {
    const auto own = load_be<uint32_t>(entry.payload.data() + layout::kRecordBatchCrc);
    if (own != header.payload_crc || header.payload_crc != record_payload_crc(entry.payload))
      return corrupt("a record batch whose CRC does not match");
  } else if (header.payload_crc != crc32c(entry.payload)) {
    return corrupt("an entry whose payload CRC does not match");
  }
  return entry;
}

EntryView decode_checked_entry(Bytes input) {
  EntryView entry;
  entry.header = load_entry_header(input.data());
  const size_t extension_bytes = entry.header.extension_bytes;
  entry.extensions = input.subspan(kEntryHeaderBytes, extension_bytes);
  entry.payload = input.subspan(kEntryHeaderBytes + extension_bytes, entry.header.payload_bytes);
  return entry;
}

void append_extension(ByteWriter& out, ExtensionType type, Bytes bytes) {
  const bool to_end = type == ExtensionType::causes || type == ExtensionType::results;
  HEPTANE_ASSERT(to_end || bytes.size() < 0xFFFF, "an extension is too long");
  out.u8(static_cast<uint8_t>(type));
  out.u8(0);
  out.le<uint16_t>(to_end ? uint16_t{0xFFFF} : static_cast<uint16_t>(bytes.size()));
  out.append(bytes);
  if (!to_end) out.zeros((4 - bytes.size() % 4) % 4);
}

Result<BatchView> BatchView::decode(Bytes input) {
  Result<BatchHeader> header = decode_batch_header(input);
  if (!header) return std::move(header.error());
  const size_t total = kBatchHeaderBytes + size_t{header->body_bytes};
  if (input.size() < total) return corrupt("a batch that ends too early");
  if (header->body_crc != crc32c(input.subspan(kBatchHeaderBytes, header->body_bytes)))
    return corrupt("a batch whose body CRC does not match");
  BatchView view;
  view.header_ = *header;
  view.bytes_ = input.first(total);
  return view;
}

Result<void> BatchView::check_entries() {
  HEPTANE_TRY(for_each_entry([](const EntryView&, Sequence) { return Result<void>(); }));
  entries_checked_ = true;
  return {};
}

}  // namespace heptane::log
