// Kafka record batches, magic 2 (KIP-98, kafka.apache.org/documentation/#recordbatch): the form in which records are kept,
// read and sent. Base offset and leader epoch lie outside the batch's CRC and are set by the log. Pure; any thread.
#pragma once

#include <cstdint>
#include <string_view>

#include "kernel/base/bytes.h"
#include "kernel/base/ids.h"
#include "kernel/base/result.h"

namespace heptane::streams {

constexpr size_t kRecordBatchHeaderBytes = 61;

// Offsets of fields, big-endian on the wire.
namespace record_batch_layout {
constexpr size_t kBaseOffset = 0;
constexpr size_t kBatchLength = 8;  // of what follows the field
constexpr size_t kLeaderEpoch = 12;
constexpr size_t kMagic = 16;
constexpr size_t kCrc = 17;  // CRC32C from kAttributes to the end
constexpr size_t kAttributes = 21;
constexpr size_t kLastOffsetDelta = 23;
constexpr size_t kBaseTimestamp = 27;
constexpr size_t kMaxTimestamp = 35;
constexpr size_t kProducerId = 43;
constexpr size_t kProducerEpoch = 51;
constexpr size_t kBaseSequence = 53;
constexpr size_t kRecordCount = 57;
}  // namespace record_batch_layout

struct RecordBatchInfo {
  uint32_t total_bytes = 0;
  Offset base_offset = 0;
  int32_t leader_epoch = 0;
  uint32_t crc = 0;
  uint16_t attributes = 0;
  int32_t last_offset_delta = 0;
  int64_t base_timestamp_ms = 0;
  int64_t max_timestamp_ms = 0;
  int64_t producer_id = -1;
  int16_t producer_epoch = -1;
  int32_t base_sequence = -1;
  int32_t record_count = 0;

  bool compressed() const { return (attributes & 7) != 0; }
  bool transactional() const { return (attributes & 16) != 0; }
  bool control() const { return (attributes & 32) != 0; }
};

// Reads the 61 bytes and checks lengths and ranges; not the CRC. Errc::unsupported for magic 0 and 1.
Result<RecordBatchInfo> decode_record_batch_header(Bytes batch);

// What a producer may send: one whole batch, right length, CRC, record count = last offset delta + 1, no control or
// transactional batch, known codec; uncompressed records are walked and must fill the batch exactly.
// Errc::corrupt, too_large (over `limit_bytes`), invalid_argument, unsupported.
Result<RecordBatchInfo> check_produced_batch(Bytes batch, size_t limit_bytes);

// Writes base offset and leader epoch in place (outside the CRC).
void assign_offset(std::byte* batch, Offset base_offset, int32_t leader_epoch);

struct RecordView {
  Offset offset = 0;
  int64_t timestamp_ms = 0;
  bool has_key = false;
  bool has_value = false;
  Bytes key;
  Bytes value;
  Bytes headers;  // as on the wire, after the count
  uint32_t header_count = 0;
};
// Walks the records of an uncompressed batch; Errc::corrupt when they do not fit, Errc::unsupported when compressed.
template <class Each>
Result<void> for_each_record(Bytes batch, Each&& each);

// Builds an uncompressed batch of records without producer id. Records are added, then `finish` fills the header; CRC is
// left zero when `with_crc` is false (the commit fills it in).
class RecordBatchBuilder {
 public:
  void begin(int64_t base_timestamp_ms);
  // `headers` as on the wire, after their count.
  void add(int64_t timestamp_ms, bool has_key, Bytes key, bool has_value, Bytes value, Bytes headers = {},
           uint32_t header_count = 0);
  uint32_t count() const { return count_; }
  size_t size_bytes() const { return out_.size(); }
  Bytes finish(Offset base_offset, int32_t leader_epoch, bool with_crc);  // valid until the next begin

 private:
  ByteWriter out_;
  int64_t base_timestamp_ms_ = 0;
  int64_t max_timestamp_ms_ = 0;
  uint32_t count_ = 0;
};

// Internal: reads one record at the reader; false when malformed.
bool decode_record(ByteReader& reader, Offset base_offset, int64_t base_timestamp_ms, RecordView& record);

template <class Each>
Result<void> for_each_record(Bytes batch, Each&& each) {
  Result<RecordBatchInfo> info = decode_record_batch_header(batch);
  if (!info) return std::move(info.error());
  if (info->compressed()) return Error{Errc::unsupported, "records of a compressed batch cannot be walked in place"};
  ByteReader reader(batch.subspan(kRecordBatchHeaderBytes, info->total_bytes - kRecordBatchHeaderBytes));
  for (int32_t i = 0; i < info->record_count; ++i) {
    RecordView record;
    if (!decode_record(reader, info->base_offset, info->base_timestamp_ms, record))
      return Error{Errc::corrupt, "a record does not fit its batch"};
    each(record);
  }
  if (!reader.complete()) return Error{Errc::corrupt, "bytes follow the last record of a batch"};
  return {};
}

}  // namespace heptane::streams
