// Record batches and the payloads of the streams machine.

#include "kernel/streams/record_batch.h"

#include <gtest/gtest.h>

#include "kernel/base/crc32c.h"
#include "kernel/shard/state_machine.h"
#include "kernel/streams/api.h"

namespace heptane::streams {
namespace {

namespace layout = record_batch_layout;
constexpr size_t kLimit = 1'000;

std::string batch_of(std::initializer_list<std::string_view> values, Offset base_offset = 0) {
  RecordBatchBuilder builder;
  builder.begin(5'000);
  for (const std::string_view value : values) builder.add(5'001, false, {}, true, as_bytes(value));
  return std::string(as_text(builder.finish(base_offset, 7, true)));
}

std::byte* at(std::string& batch, size_t offset) { return reinterpret_cast<std::byte*>(batch.data()) + offset; }

// With a CRC that fits what was changed.
std::string resealed(std::string batch) {
  store_be(at(batch, layout::kCrc), crc32c(as_bytes(batch).subspan(layout::kAttributes)));
  return batch;
}

template <class T>
std::string with(std::string batch, size_t offset, T value) {
  store_be(at(batch, offset), value);
  return resealed(std::move(batch));
}

std::optional<Errc> refusal(const std::string& batch, size_t limit = kLimit) {
  const auto info = check_produced_batch(as_bytes(batch), limit);
  if (info) return std::nullopt;
  return info.error().code;
}

// Written out by hand from the description of the format; CRC by an implementation of its own below.
constexpr unsigned char kByHand[] = {
    0,  0, 0, 0,  0, 0,   0, 9,            // base offset
    0,  0, 0, 59,                          // length: 49 + 10
    0,  0, 0, 2,                           // leader epoch
    2,                                     // magic
    0,  0, 0, 0,                           // crc
    0,  0,                                 // attributes
    0,  0, 0, 0,                           // last offset delta
    0,  0, 0, 0,  0, 0,   0, 100,          // base timestamp
    0,  0, 0, 0,  0, 0,   0, 100,          // max timestamp
    0,  0, 0, 0,  0, 0,   0, 5,            // producer id
    0,  1,                                 // producer epoch
    0,  0, 0, 3,                           // base sequence
    0,  0, 0, 1,                           // records
    18, 0, 0, 0,  2, 'k', 4, 'v', 'w', 0,  // length 9, attributes, delta, delta, key, value, headers
};

uint32_t crc_bit_by_bit(const unsigned char* bytes, size_t count) {
  uint32_t crc = 0xFFFFFFFF;
  for (size_t i = 0; i < count; ++i) {
    crc ^= bytes[i];
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82F63B78 : 0);
  }
  return ~crc;
}

TEST(RecordBatch, ReadsBytesWrittenByHand) {
  std::string batch(reinterpret_cast<const char*>(kByHand), sizeof kByHand);
  store_be(at(batch, layout::kCrc), crc_bit_by_bit(kByHand + 21, sizeof kByHand - 21));
  const auto info = check_produced_batch(as_bytes(batch), kLimit);
  ASSERT_TRUE(info) << info.error().message;
  EXPECT_EQ(info->base_offset, 9);
  EXPECT_EQ(info->leader_epoch, 2);
  EXPECT_EQ(info->total_bytes, sizeof kByHand);
  EXPECT_EQ(info->producer_id, 5);
  EXPECT_EQ(info->producer_epoch, 1);
  EXPECT_EQ(info->base_sequence, 3);
  EXPECT_EQ(info->record_count, 1);
  EXPECT_EQ(info->max_timestamp_ms, 100);
  size_t seen = 0;
  ASSERT_TRUE(for_each_record(as_bytes(batch), [&](const RecordView& record) {
    EXPECT_EQ(record.offset, 9);
    EXPECT_EQ(record.timestamp_ms, 100);
    EXPECT_EQ(as_text(record.key), "k");
    EXPECT_EQ(as_text(record.value), "vw");
    ++seen;
  }));
  EXPECT_EQ(seen, 1u);
}

TEST(RecordBatch, BuilderAndReaderAgree) {
  RecordBatchBuilder builder;
  for (int round = 0; round < 2; ++round) {
    builder.begin(1'000);
    builder.add(1'005, true, as_bytes("key"), true, as_bytes("value"));
    builder.add(900, false, {}, true, as_bytes(""));
    builder.add(1'001, true, as_bytes(""), false, {});
    EXPECT_EQ(builder.count(), 3u);
    const Bytes batch = builder.finish(40, 7, true);
    EXPECT_EQ(batch.size(), builder.size_bytes());
    const auto info = check_produced_batch(batch, kLimit);
    ASSERT_TRUE(info) << info.error().message;
    EXPECT_EQ(info->max_timestamp_ms, 1'005);
    EXPECT_EQ(info->leader_epoch, 7);
    std::vector<RecordView> records;
    ASSERT_TRUE(for_each_record(batch, [&](const RecordView& record) { records.push_back(record); }));
    ASSERT_EQ(records.size(), 3u);
    EXPECT_EQ(as_text(records[0].key), "key");
    EXPECT_EQ(records[1].timestamp_ms, 900);
    EXPECT_FALSE(records[1].has_key);
    EXPECT_TRUE(records[1].has_value);
    EXPECT_TRUE(records[2].has_key);
    EXPECT_FALSE(records[2].has_value);
    EXPECT_EQ(records[2].offset, 42);
  }
}

TEST(RecordBatch, CrcIsLeftOutWhenNotAskedFor) {
  RecordBatchBuilder builder;
  builder.begin(0);
  builder.add(0, false, {}, true, as_bytes("v"));
  const Bytes batch = builder.finish(0, 0, false);
  EXPECT_EQ(load_be<uint32_t>(batch.data() + layout::kCrc), 0u);
}

TEST(RecordBatch, OffsetAndEpochLieOutsideTheCrc) {
  std::string batch = batch_of({"a", "b"});
  assign_offset(at(batch, 0), 1'000'000, 12);
  const auto info = check_produced_batch(as_bytes(batch), kLimit);
  ASSERT_TRUE(info);
  EXPECT_EQ(info->base_offset, 1'000'000);
  EXPECT_EQ(info->leader_epoch, 12);
}

TEST(RecordBatch, EveryTruncationAndEveryFlippedBitIsSeen) {
  const std::string batch = batch_of({"first", "second"});
  for (size_t length = 0; length < batch.size(); ++length) EXPECT_EQ(refusal(batch.substr(0, length)), Errc::corrupt);
  for (size_t bit = 0; bit < batch.size() * 8; ++bit) {
    std::string flipped = batch;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << bit % 8));
    const bool outside_crc =
        bit / 8 < layout::kBatchLength || (bit / 8 >= layout::kLeaderEpoch && bit / 8 < layout::kMagic);
    EXPECT_EQ(refusal(flipped).has_value(), !outside_crc) << bit;
  }
}

TEST(RecordBatch, RefusesWhatAProducerMayNotSend) {
  const std::string good = batch_of({"a", "b"});
  EXPECT_EQ(refusal(good), std::nullopt);
  EXPECT_EQ(refusal(good, good.size()), std::nullopt);
  EXPECT_EQ(refusal(good, good.size() - 1), Errc::too_large);
  EXPECT_EQ(refusal(good + good), Errc::invalid_argument);
  EXPECT_EQ(refusal(good + "x"), Errc::invalid_argument);
  EXPECT_EQ(refusal(with<int8_t>(good, layout::kMagic, 0)), Errc::unsupported);
  EXPECT_EQ(refusal(with<int8_t>(good, layout::kMagic, 1)), Errc::unsupported);
  EXPECT_EQ(refusal(with<int8_t>(good, layout::kMagic, 3)), Errc::corrupt);
  EXPECT_EQ(refusal(with<int32_t>(good, layout::kBatchLength, 48)), Errc::corrupt);
  EXPECT_EQ(refusal(with<int32_t>(good, layout::kBatchLength, -1)), Errc::corrupt);
  EXPECT_EQ(refusal(with<int32_t>(good, layout::kBatchLength, 0x7FFFFFFF)), Errc::corrupt);
  EXPECT_EQ(refusal(with<int32_t>(good, layout::kLastOffsetDelta, 0x7FFFFFFF)), Errc::invalid_argument);
  EXPECT_EQ(refusal(with<int32_t>(good, layout::kRecordCount, 1)), Errc::invalid_argument);
  EXPECT_EQ(refusal(with<int32_t>(good, layout::kRecordCount, -1)), Errc::corrupt);
  for (const int attributes : {5, 6, 7, 8, 16, 32, 64, 0x8000})
    EXPECT_EQ(refusal(with(good, layout::kAttributes, static_cast<uint16_t>(attributes))), Errc::invalid_argument);
  EXPECT_EQ(refusal(with<int64_t>(good, layout::kProducerId, 5)), Errc::invalid_argument);  // epoch and sequence are -1
  EXPECT_EQ(refusal(with<int64_t>(good, layout::kProducerId, -2)), Errc::invalid_argument);
  EXPECT_EQ(refusal(with<int32_t>(with<int32_t>(good, layout::kRecordCount, 0), layout::kLastOffsetDelta, 0)),
            Errc::invalid_argument);
}

// Records that do not fill their batch, or count their offsets another way.
TEST(RecordBatch, WalksUncompressedRecords) {
  std::string more = batch_of({"a", "b"});
  EXPECT_EQ(refusal(with<int32_t>(with<int32_t>(more, layout::kRecordCount, 3), layout::kLastOffsetDelta, 2)),
            Errc::corrupt);
  EXPECT_EQ(refusal(with<int32_t>(with<int32_t>(more, layout::kRecordCount, 1), layout::kLastOffsetDelta, 0)),
            Errc::corrupt);
  std::string offsets = more;
  offsets[kRecordBatchHeaderBytes + 3] = 2;  // the first record's offset delta, zigzag
  EXPECT_EQ(refusal(resealed(offsets)), Errc::invalid_argument);
  for (size_t i = kRecordBatchHeaderBytes; i < more.size(); ++i) {
    for (int value = 0; value < 256; ++value) {  // no byte makes the walk leave the batch
      std::string changed = more;
      changed[i] = static_cast<char>(value);
      check_produced_batch(as_bytes(resealed(changed)), kLimit).ok();
    }
  }
}

TEST(RecordBatch, CompressedBatchesAreNotInflated) {
  const std::string good = batch_of({"a", "b"});
  for (uint16_t codec = 1; codec <= 4; ++codec) {
    std::string compressed = with<uint16_t>(good, layout::kAttributes, codec);
    compressed.replace(kRecordBatchHeaderBytes, 3, "\xff\xff\xff");
    EXPECT_EQ(refusal(resealed(compressed)), std::nullopt);
    EXPECT_EQ(for_each_record(as_bytes(resealed(compressed)), [](const RecordView&) {}).error().code,
              Errc::unsupported);
  }
}

TEST(RecordBatch, ReadsHeadersOfRecords) {
  ByteWriter record;
  for (const int byte : {0, 0, 0, 1, 1, 4, 2})
    record.u8(static_cast<uint8_t>(byte));  // null key, null value, 2 headers
  record.append("a");
  record.u8(2);
  record.append("1");
  record.u8(2);
  record.append("b");
  record.u8(1);  // null
  ByteWriter framed;
  framed.zigzag(static_cast<int64_t>(record.size()));
  framed.append(record.view());
  ByteReader reader(framed.view());
  RecordView view;
  ASSERT_TRUE(decode_record(reader, 10, 0, view));
  EXPECT_EQ(view.header_count, 2u);
  EXPECT_EQ(view.headers.size(), 7u);
  EXPECT_FALSE(view.has_key);
  EXPECT_FALSE(view.has_value);
  for (size_t length = 0; length < framed.size(); ++length) {
    ByteReader cut(framed.view().subspan(0, length));
    EXPECT_FALSE(decode_record(cut, 0, 0, view)) << length;
  }
  ByteReader overflow(framed.view());
  framed.at(3)[0] = std::byte{2};  // offset delta 1 beyond the largest offset
  EXPECT_FALSE(decode_record(overflow, std::numeric_limits<Offset>::max(), 0, view));
}

template <class Decode>
void expect_every_truncation_refused(const Buffer& payload, Decode decode) {
  for (size_t length = 0; length < payload.size(); ++length)
    EXPECT_FALSE(decode(payload.view().subspan(0, length)).ok()) << length;
  std::vector<std::byte> longer(payload.view().begin(), payload.view().end());
  longer.push_back(std::byte{0});
  EXPECT_FALSE(decode(Bytes(longer)).ok());
}

TEST(StreamsApi, CommandsRoundTrip) {
  const Buffer create = encode(CreateStream{"flights", 3});
  ASSERT_TRUE(decode_create_stream(create.view()));
  EXPECT_EQ(decode_create_stream(create.view())->name, "flights");
  EXPECT_EQ(decode_create_stream(create.view())->partitions, 3u);
  expect_every_truncation_refused(create, decode_create_stream);

  const Buffer init = encode(InitProducer{12, 3});
  ASSERT_TRUE(decode_init_producer(init.view()));
  EXPECT_EQ(decode_init_producer(init.view())->producer_id, 12);
  EXPECT_EQ(decode_init_producer(init.view())->producer_epoch, 3);
  expect_every_truncation_refused(init, decode_init_producer);

  const Buffer remove = encode(DeleteStream{"flights"});
  ASSERT_TRUE(decode_delete_stream(remove.view()));
  EXPECT_EQ(decode_delete_stream(remove.view())->name, "flights");
  expect_every_truncation_refused(remove, decode_delete_stream);
}

TEST(StreamsApi, DescriptionsRoundTrip) {
  const Buffer query = encode(DescribeQuery{false, {"a", "bb"}});
  ASSERT_TRUE(decode_describe_query(query.view()));
  EXPECT_EQ(decode_describe_query(query.view())->names, (std::vector<std::string>{"a", "bb"}));
  expect_every_truncation_refused(query, decode_describe_query);
  const Buffer all = encode(DescribeQuery{true, {}, "flights"});
  EXPECT_TRUE(decode_describe_query(all.view())->all);
  EXPECT_EQ(decode_describe_query(all.view())->after, "flights");
  expect_every_truncation_refused(all, decode_describe_query);

  StreamInfo info{"flights", {60'000, -1}, {}, {{7, 1, 100}, {8, 0, 0}}};
  info.uuid[15] = std::byte{9};
  const Buffer infos = encode(std::vector<StreamInfo>{info, info});
  const auto again = decode_stream_infos(infos.view());
  ASSERT_TRUE(again);
  ASSERT_EQ(again->size(), 2u);
  EXPECT_EQ((*again)[1].name, "flights");
  EXPECT_EQ((*again)[1].uuid, info.uuid);
  EXPECT_EQ((*again)[1].config, info.config);
  ASSERT_EQ((*again)[1].partitions.size(), 2u);
  EXPECT_EQ((*again)[1].partitions[0].id, 7u);
  EXPECT_EQ((*again)[1].partitions[0].log_start, 1);
  EXPECT_EQ((*again)[1].partitions[0].durable_end, 100);
  expect_every_truncation_refused(infos, decode_stream_infos);
}

// Counts are checked against what is there before anything is reserved.
TEST(StreamsApi, HugeCountsAreRefused) {
  ByteWriter names;
  names.u8(0);
  names.le<uint32_t>(0xFFFFFFFF);
  EXPECT_FALSE(decode_describe_query(names.view()).ok());
  ByteWriter streams;
  streams.le<uint32_t>(0xFFFFFFFF);
  streams.zeros(100);
  EXPECT_FALSE(decode_stream_infos(streams.view()).ok());
}

TEST(StreamsApi, Names) {
  EXPECT_TRUE(valid_name("a"));
  EXPECT_TRUE(valid_name("A-z_0.9"));
  EXPECT_TRUE(valid_name("..."));
  EXPECT_TRUE(valid_name(std::string(249, 'x')));
  for (const std::string& name :
       {std::string(), std::string("."), std::string(".."), std::string(250, 'x'), std::string("a b"),
        std::string("a/b"), std::string("\xc3\xa4"), std::string(1, '\0')})
    EXPECT_FALSE(valid_name(name)) << name;
}

TEST(StreamsApi, SubmissionsCarryTheirCrc) {
  const std::string batch = batch_of({"a"});
  const Submission append = make_append(5, Buffer::copy_of(batch), 0x12345678);
  EXPECT_EQ(append.machine, machine_ids::kStreams);
  EXPECT_EQ(append.type, kAppend);
  EXPECT_EQ(append.kind, log::EntryKind::record_command);
  EXPECT_EQ(append.partition, 5u);
  EXPECT_EQ(append.payload_crc, 0x12345678u);
  const Submission command = make_command(machine_ids::kStreams, kCreateStream, encode(CreateStream{"a", 1}));
  EXPECT_EQ(command.kind, log::EntryKind::command);
  EXPECT_EQ(command.payload_crc, crc32c(command.payload.view()));
}

}  // namespace
}  // namespace heptane::streams
