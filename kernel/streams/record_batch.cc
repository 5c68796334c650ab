#include "kernel/streams/record_batch.h"

#include <algorithm>

#include "kernel/base/crc32c.h"

namespace heptane::streams {

namespace {

namespace layout = record_batch_layout;

constexpr size_t kLengthEnd = layout::kBatchLength + 4;  // the batch length counts from here
constexpr int8_t kMagicVersion = 2;
constexpr uint16_t kCodecMask = 7;
constexpr uint16_t kCodecMax = 4;  // none, gzip, snappy, lz4, zstd
constexpr uint16_t kLogAppendTimeBit = 8;
constexpr uint16_t kKnownAttributes = 0x3F;

Result<void> check_magic(Bytes batch) {
  if (batch.size() <= layout::kMagic) return Error{Errc::corrupt, "a record batch is cut short"};
  const auto magic = static_cast<int8_t>(batch[layout::kMagic]);
  if (magic == 0 || magic == 1)
    return Error{Errc::unsupported, "message sets of magic 0 and 1 are not kept; send record batches of magic 2"};
  if (magic != kMagicVersion) return Error{Errc::corrupt, "a record batch has an unknown magic"};
  if (batch.size() < kRecordBatchHeaderBytes) return Error{Errc::corrupt, "a record batch is cut short"};
  return {};
}

RecordBatchInfo read_fields(const std::byte* at) {
  RecordBatchInfo info;
  info.base_offset = load_be<int64_t>(at + layout::kBaseOffset);
  info.leader_epoch = load_be<int32_t>(at + layout::kLeaderEpoch);
  info.crc = load_be<uint32_t>(at + layout::kCrc);
  info.attributes = load_be<uint16_t>(at + layout::kAttributes);
  info.last_offset_delta = load_be<int32_t>(at + layout::kLastOffsetDelta);
  info.base_timestamp_ms = load_be<int64_t>(at + layout::kBaseTimestamp);
  info.max_timestamp_ms = load_be<int64_t>(at + layout::kMaxTimestamp);
  info.producer_id = load_be<int64_t>(at + layout::kProducerId);
  info.producer_epoch = load_be<int16_t>(at + layout::kProducerEpoch);
  info.base_sequence = load_be<int32_t>(at + layout::kBaseSequence);
  info.record_count = load_be<int32_t>(at + layout::kRecordCount);
  return info;
}

// The rules for a producer's batch that its header alone shows.
Result<void> check_produced_header(const RecordBatchInfo& info) {
  if (info.record_count < 1) return Error{Errc::invalid_argument, "a record batch without records"};
  if (int64_t{info.record_count} != int64_t{info.last_offset_delta} + 1)
    return Error{Errc::invalid_argument, "record count and last offset delta of a batch disagree"};
  if ((info.attributes & kCodecMask) > kCodecMax) return Error{Errc::invalid_argument, "unknown compression codec"};
  if (info.control()) return Error{Errc::invalid_argument, "producers may not send control batches"};
  if (info.transactional()) return Error{Errc::invalid_argument, "transactions are not supported"};
  if ((info.attributes & ~uint32_t{kKnownAttributes}) != 0 || (info.attributes & kLogAppendTimeBit) != 0)
    return Error{Errc::invalid_argument, "a record batch has attributes that a producer may not set"};
  if (info.producer_id < -1 || (info.producer_id >= 0 && (info.producer_epoch < 0 || info.base_sequence < 0)))
    return Error{Errc::invalid_argument, "producer id, epoch and sequence of a batch do not go together"};
  return {};
}

// Consumers count on dense offsets: the log never rewrites what is inside the CRC.
Result<void> check_records(Bytes batch) {
  Offset expected = load_be<int64_t>(batch.data() + layout::kBaseOffset);
  bool dense = true;
  HEPTANE_TRY(for_each_record(batch, [&](const RecordView& record) {
    dense = dense && record.offset == expected;
    expected = static_cast<Offset>(static_cast<uint64_t>(expected) + 1);
  }));
  if (!dense) return Error{Errc::invalid_argument, "offset deltas of a batch must count 0, 1, 2 ..."};
  return {};
}

// A length of -1 is null. False when it does not fit.
bool read_nullable(ByteReader& reader, bool& present, Bytes& bytes) {
  const int64_t length = reader.zigzag();
  if (reader.failed() || length < -1 || length > static_cast<int64_t>(reader.remaining())) return false;
  present = length >= 0;
  if (present) bytes = reader.take(static_cast<size_t>(length));
  return true;
}

// After the count: key (never null) and value of each header.
bool read_headers(ByteReader& reader, uint32_t count) {
  for (uint32_t i = 0; i < count; ++i) {
    bool present = false;
    Bytes ignored;
    if (!read_nullable(reader, present, ignored) || !present) return false;
    if (!read_nullable(reader, present, ignored)) return false;
  }
  return true;
}

// Most of the seven numbers in a record are small.
size_t size_of_varint(uint64_t value) { return value < 0x80 ? 1 : value < 0x4000 ? 2 : varint_size(value); }

std::byte* put_varint(std::byte* at, uint64_t value) {
  for (; value >= 0x80; value >>= 7) *at++ = static_cast<std::byte>(value | 0x80);
  *at++ = static_cast<std::byte>(value);
  return at;
}

std::byte* put_bytes(std::byte* at, Bytes bytes) {
  if (!bytes.empty()) std::memcpy(at, bytes.data(), bytes.size());
  return at + bytes.size();
}

}  // namespace

Result<RecordBatchInfo> decode_record_batch_header(Bytes batch) {
  HEPTANE_TRY(check_magic(batch));
  const auto length = load_be<int32_t>(batch.data() + layout::kBatchLength);
  if (length < static_cast<int32_t>(kRecordBatchHeaderBytes - kLengthEnd))
    return Error{Errc::corrupt, "the length of a record batch is too small"};
  RecordBatchInfo info = read_fields(batch.data());
  info.total_bytes = static_cast<uint32_t>(kLengthEnd) + static_cast<uint32_t>(length);
  if (info.total_bytes > batch.size()) return Error{Errc::corrupt, "a record batch is cut short"};
  if (info.record_count < 0 || info.last_offset_delta < 0)
    return Error{Errc::corrupt, "a record batch has a negative count"};
  return info;
}

Result<RecordBatchInfo> check_produced_batch(Bytes batch, size_t limit_bytes) {
  if (batch.size() > limit_bytes && check_magic(batch).ok()) {
    const auto length = load_be<int32_t>(batch.data() + layout::kBatchLength);
    if (length >= 0 && static_cast<size_t>(length) + kLengthEnd > limit_bytes)
      return Error{Errc::too_large, "a record batch is longer than the limit"};
  }
  Result<RecordBatchInfo> info = decode_record_batch_header(batch);
  if (!info) return info;
  if (info->total_bytes != batch.size())
    return Error{Errc::invalid_argument, "exactly one record batch is expected for a partition"};
  if (crc32c(batch.subspan(layout::kAttributes)) != info->crc)
    return Error{Errc::corrupt, "the CRC of a record batch does not match"};
  HEPTANE_TRY(check_produced_header(*info));
  if (!info->compressed()) HEPTANE_TRY(check_records(batch));
  return info;
}

void assign_offset(std::byte* batch, Offset base_offset, int32_t leader_epoch) {
  store_be<int64_t>(batch + layout::kBaseOffset, base_offset);
  store_be<int32_t>(batch + layout::kLeaderEpoch, leader_epoch);
}

bool decode_record(ByteReader& reader, Offset base_offset, int64_t base_timestamp_ms, RecordView& record) {
  const int64_t length = reader.zigzag();
  if (reader.failed() || length < 0 || length > static_cast<int64_t>(reader.remaining())) return false;
  ByteReader body(reader.take(static_cast<size_t>(length)));
  body.skip(1);  // attributes: unused
  const int64_t timestamp_delta = body.zigzag();
  const int64_t offset_delta = body.zigzag();
  if (body.failed() || __builtin_add_overflow(base_timestamp_ms, timestamp_delta, &record.timestamp_ms) ||
      __builtin_add_overflow(base_offset, offset_delta, &record.offset))
    return false;
  if (!read_nullable(body, record.has_key, record.key)) return false;
  if (!read_nullable(body, record.has_value, record.value)) return false;
  const int64_t header_count = body.zigzag();
  if (body.failed() || header_count < 0 || !body.fits(static_cast<uint64_t>(header_count), 2)) return false;
  record.header_count = static_cast<uint32_t>(header_count);
  record.headers = body.rest();
  return read_headers(body, record.header_count) && body.complete();
}

void RecordBatchBuilder::begin(int64_t base_timestamp_ms) {
  out_.clear();
  out_.zeros(kRecordBatchHeaderBytes);
  base_timestamp_ms_ = base_timestamp_ms;
  max_timestamp_ms_ = base_timestamp_ms;
  count_ = 0;
}

void RecordBatchBuilder::add(int64_t timestamp_ms, bool has_key, Bytes key, bool has_value, Bytes value, Bytes headers,
                             uint32_t header_count) {
  const uint64_t timestamp_delta = zigzag_encoded(timestamp_ms - base_timestamp_ms_);
  const uint64_t offset_delta = zigzag_encoded(count_);
  const uint64_t key_length = zigzag_encoded(has_key ? static_cast<int64_t>(key.size()) : -1);
  const uint64_t value_length = zigzag_encoded(has_value ? static_cast<int64_t>(value.size()) : -1);
  if (!has_key) key = {};
  if (!has_value) value = {};
  // The length comes first, so every part is measured before any is written: one growth, no copy of the record.
  const size_t body_bytes = 1 + size_of_varint(timestamp_delta) + size_of_varint(offset_delta) +
                            size_of_varint(key_length) + key.size() + size_of_varint(value_length) + value.size() +
                            size_of_varint(zigzag_encoded(header_count)) + headers.size();
  const uint64_t length = zigzag_encoded(static_cast<int64_t>(body_bytes));
  const size_t begin = out_.size();
  out_.zeros(size_of_varint(length) + body_bytes);
  std::byte* at = put_varint(out_.at(begin), length);
  *at++ = std::byte{0};  // attributes
  at = put_varint(at, timestamp_delta);
  at = put_varint(at, offset_delta);
  at = put_bytes(put_varint(at, key_length), key);
  at = put_bytes(put_varint(at, value_length), value);
  put_bytes(put_varint(at, zigzag_encoded(header_count)), headers);
  max_timestamp_ms_ = std::max(max_timestamp_ms_, timestamp_ms);
  ++count_;
}

Bytes RecordBatchBuilder::finish(Offset base_offset, int32_t leader_epoch, bool with_crc) {
  std::byte* at = out_.at(0);
  assign_offset(at, base_offset, leader_epoch);
  store_be<int32_t>(at + layout::kBatchLength, static_cast<int32_t>(out_.size() - kLengthEnd));
  at[layout::kMagic] = std::byte{kMagicVersion};
  store_be<int32_t>(at + layout::kLastOffsetDelta, static_cast<int32_t>(count_) - 1);
  store_be<int64_t>(at + layout::kBaseTimestamp, base_timestamp_ms_);
  store_be<int64_t>(at + layout::kMaxTimestamp, max_timestamp_ms_);
  store_be<int64_t>(at + layout::kProducerId, -1);
  store_be<int16_t>(at + layout::kProducerEpoch, -1);
  store_be<int32_t>(at + layout::kBaseSequence, -1);
  store_be<int32_t>(at + layout::kRecordCount, static_cast<int32_t>(count_));
  if (with_crc) store_be<uint32_t>(at + layout::kCrc, crc32c(out_.view().subspan(layout::kAttributes)));
  return out_.view();
}

}  // namespace heptane::streams
