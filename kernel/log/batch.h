// Batch and entry: the bytes of the log. FORMAT.md describes every one of them; this header is its only reader and writer.
// A batch is the unit of writing, syncing and checking; an entry is one command, or the records that commands of the same
// batch appended to one partition. Pure; any thread.
//
// Invariants: a batch starts on a block and shares none; a header that is not where it says it is does not exist; nothing
// is handed out whose CRC does not match.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "kernel/base/bytes.h"
#include "kernel/base/hash128.h"
#include "kernel/base/ids.h"
#include "kernel/base/result.h"

namespace heptane::log {

constexpr uint16_t kFormatVersion = 1;
constexpr size_t kBlockBytes = 4096;
constexpr size_t kBatchHeaderBytes = 128;
constexpr size_t kEntryHeaderBytes = 32;
constexpr size_t kEntryAlignment = 8;
constexpr size_t kRecordBatchPrefixBytes = 21;  // base offset .. crc of a Kafka record batch: outside its own CRC
constexpr size_t kBatchTargetBytes = size_t{4} << 20;  // a batch closes before a command that would pass this
constexpr size_t kBatchLimitBytes = size_t{8} << 20;   // no valid batch is longer
constexpr size_t kPayloadLimitBytes = 4'100'000;       // of one entry

using ChainValue = std::array<std::byte, 32>;

enum BatchFlag : uint16_t {
  kSealFlag = 1,  // no entries; last_sequence = first_sequence - 1
  kJumpFlag = 2,  // a seal whose first_sequence leaves a gap above durable_upto, the last sequence kept
};
constexpr Sequence kJumpSequences = 1'000'000'000;  // of a jump, where nobody says otherwise

// 128 bytes on disk. Epoch, segment and offset together are the nonce of encryption at rest: never twice under one key.
struct BatchHeader {
  uint16_t version = kFormatVersion;
  uint16_t flags = 0;
  uint32_t header_crc = 0;  // of the 128 bytes with this field zero; also the chain value of this batch
  LogId log_id{};
  Epoch epoch = 0;
  uint32_t segment = 0;     // number of the segment file
  uint32_t offset = 0;      // of this header in the segment file
  uint32_t body_bytes = 0;  // entries; padding to the block is zeros and not counted
  ShardId shard = 0;
  uint16_t key_id = 0;  // 0 = not encrypted
  uint32_t command_count = 0;
  Sequence first_sequence = 0;
  LogTime base_time = 0;
  Sequence durable_upto = 0;  // highest sequence known synced when this was written
  uint32_t body_crc = 0;
  Hash128 effects_digest;
  ChainValue previous_chain{};

  Sequence last_sequence() const { return first_sequence + command_count - 1; }
  bool is_seal() const { return (flags & kSealFlag) != 0; }
  uint64_t padded_bytes() const {
    return (kBatchHeaderBytes + uint64_t{body_bytes} + kBlockBytes - 1) / kBlockBytes * kBlockBytes;
  }
};

// Writes the 128 bytes and returns the header CRC that it computed over them.
uint32_t encode(const BatchHeader& header, std::byte* at);
// Errc::corrupt when magic, CRC or a field's range is wrong; Errc::unsupported for another format version (named).
Result<BatchHeader> decode_batch_header(Bytes first_128_bytes);
ChainValue chain_value(uint32_t header_crc);

enum class EntryKind : uint8_t {
  command = 1,         // payload: the machine's command
  record_command = 2,  // command and records at once: the payload is a Kafka record batch for `partition`
  records = 3,         // a record batch built by the kernel out of events of this batch's commands
};

struct EntryHeader {
  uint32_t header_crc = 0;   // of the rest of the header, the extensions and, for record batches, their first 21 bytes
  uint32_t payload_crc = 0;  // record batches: the batch's own CRC (over payload[21..]); else over the payload
  uint32_t payload_bytes = 0;
  uint32_t extension_bytes = 0;
  EntryKind kind = EntryKind::command;
  uint8_t flags = 0;
  MachineId machine = 0;
  CommandType type = 0;
  PartitionId partition = kNoPartition;
  uint32_t detail = 0;  // commands: nanoseconds after the batch's base time; records: their count

  uint64_t stored_bytes() const {
    const uint64_t raw = kEntryHeaderBytes + uint64_t{extension_bytes} + payload_bytes;
    return (raw + kEntryAlignment - 1) / kEntryAlignment * kEntryAlignment;
  }
  bool is_command() const { return kind != EntryKind::records; }
  bool is_record_batch() const { return kind != EntryKind::command; }
};

struct EntryView {
  EntryHeader header;
  uint32_t offset = 0;  // of the entry header from the start of the batch header
  Bytes extensions;
  Bytes payload;
};

// CRCs of an entry as it lies in memory (`at` is its header).
void seal_entry(std::byte* at,
                EntryHeader& header);  // fills header_crc (payload_crc must be set) and writes the header
void encode(const EntryHeader& header, std::byte* at);
// Checks bounds, ranges, padding and both CRCs. `input` begins at the entry header. offset is left 0.
Result<EntryView> decode_entry(Bytes input);
// The same of bytes that decode_entry has passed and that nobody has changed since: parses, checks nothing.
EntryView decode_checked_entry(Bytes input);
// Fills in all CRCs of a record batch's entry whose header is encoded with the CRCs open; `available` bytes from `at` on.
Result<void> seal_records(std::byte* at, size_t available);

// Extensions: type u8, zero u8, length u16, bytes, padded with zeros to 4.
enum class ExtensionType : uint8_t {
  trace_id = 1,     // 16 bytes
  idempotency = 2,  // 16 bytes id, 8 bytes request hash
  principal = 3,    // u32 id, u32 version
  origin = 4,       // u16 listener, u16 zero, u32 zero, u64 session number, i64 receive time (ns UTC)
  cause = 5,        // u16 shard, u16 zero, u32 ordinal, u64 sequence
  causes = 6,   // on `records`: per record varint command delta from the batch's first, varint ordinal; may be long:
                // it is the last extension and its length field is 0xFFFF, reaching to the end of the extensions
  subject = 7,  // key of erasure, 16 bytes
  views = 8,    // records of views that the command made (views.h)
  results = 9,  // what apply() noted for their rendering (views.h); may be long, as causes
};
// Calls `each(type, bytes)` for every extension; false when they are malformed.
template <class Each>
bool for_each_extension(Bytes extensions, Each&& each);
void append_extension(ByteWriter& out, ExtensionType type, Bytes bytes);

// A whole valid batch in memory.
class BatchView {
 public:
  // Checks header, body CRC and nothing of the entries. `input` begins at the header and holds the whole batch.
  static Result<BatchView> decode(Bytes input);

  // The same batch in a copy of its bytes: what was checked is not checked again.
  BatchView moved_to(Bytes copy) const {
    BatchView view = *this;
    view.bytes_ = copy;
    return view;
  }
  // Checks every entry and their number, so that for_each_entry need not: for those who read ahead of the one who visits.
  Result<void> check_entries();

  const BatchHeader& header() const { return header_; }
  Bytes bytes() const { return bytes_; }  // header and body, without padding

  // Calls `each(EntryView, Sequence)` in order; sequence is the command's own, or for `records` the last command's before
  // it. Stops at the first error it returns. Checks every entry and that the commands are as many as the header says.
  template <class Each>
  Result<void> for_each_entry(Each&& each) const;

 private:
  BatchHeader header_;
  Bytes bytes_;
  bool entries_checked_ = false;
};

// Where a batch lies.
struct BatchPlace {
  uint32_t segment = 0;
  uint32_t offset = 0;  // of its header
  uint32_t bytes = 0;   // header and body, without padding
  friend bool operator==(const BatchPlace&, const BatchPlace&) = default;
};

// Template bodies.

template <class Each>
bool for_each_extension(Bytes extensions, Each&& each) {
  constexpr uint16_t kToEnd = 0xFFFF;
  while (!extensions.empty()) {
    if (extensions.size() < 4) return false;
    const auto type = static_cast<ExtensionType>(extensions[0]);
    const auto stated = load_le<uint16_t>(extensions.data() + 2);
    const size_t length = stated == kToEnd ? extensions.size() - 4 : stated;
    if (extensions[1] != std::byte{0} || length > extensions.size() - 4) return false;
    each(type, extensions.subspan(4, length));
    const size_t padded = (length + 3) / 4 * 4;
    if (padded > extensions.size() - 4) return stated == kToEnd;
    extensions = extensions.subspan(4 + padded);
  }
  return true;
}

template <class Each>
Result<void> BatchView::for_each_entry(Each&& each) const {
  size_t at = kBatchHeaderBytes;
  uint32_t commands = 0;
  while (at < bytes_.size()) {
    const Bytes input = bytes_.subspan(at);
    EntryView entry;
    if (entries_checked_) {
      entry = decode_checked_entry(input);
    } else {
      const Result<EntryView> decoded = decode_entry(input);
      if (!decoded) return decoded.error();
      entry = *decoded;
    }
    entry.offset = static_cast<uint32_t>(at);
    if (entry.header.is_command()) ++commands;
    HEPTANE_TRY(each(entry, header_.first_sequence + commands - 1));
    at += entry.header.stored_bytes();
  }
  if (commands != header_.command_count)
    return Error{Errc::corrupt, "the batch holds another number of commands than its header says"};
  return {};
}

}  // namespace heptane::log
