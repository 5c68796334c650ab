#include <fstream>
#include <regex>

#include "kernel/log/layout.h"
#include "kernel/log/log_test_support.h"
#include "kernel/log/memory_log.h"
#include "kernel/log/seal.h"

namespace heptane::log::test {
namespace {

// RFC 3720 B.4.
TEST(Crc32c, Rfc3720Vectors) {
  std::vector<std::byte> bytes(32, std::byte{0});
  EXPECT_EQ(crc32c(bytes), 0x8A9136AAU);
  std::fill(bytes.begin(), bytes.end(), std::byte{0xFF});
  EXPECT_EQ(crc32c(bytes), 0x62A8AB43U);
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i);
  EXPECT_EQ(crc32c(bytes), 0x46DD794EU);
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(31 - i);
  EXPECT_EQ(crc32c(bytes), 0x113FDB5CU);
  static constexpr uint8_t kReadCommand[48] = {0x01, 0xC0, 0, 0, 0, 0, 0,    0, 0,    0, 0, 0,    0, 0, 0, 0,
                                               0x14, 0,    0, 0, 0, 0, 0x04, 0, 0,    0, 0, 0x14, 0, 0, 0, 0x18,
                                               0x28, 0,    0, 0, 0, 0, 0,    0, 0x02, 0, 0, 0,    0, 0, 0, 0};
  EXPECT_EQ(crc32c({reinterpret_cast<const std::byte*>(kReadCommand), sizeof kReadCommand}), 0xD9963A56U);
  EXPECT_EQ(crc32c(as_bytes("123456789")), 0xE3069283U);
}

TEST(Crc32c, ShortAndLongFormsAgreeAndContinue) {
  SeededRandom random(1);
  const auto bytes = random_bytes(random, 5000);
  for (size_t cut = 0; cut <= bytes.size(); cut += 97)
    EXPECT_EQ(crc32c(bytes), crc32c(Bytes(bytes).subspan(cut), crc32c(Bytes(bytes).first(cut))));
}

TEST(Crc32c, EveryShortLengthAgreesWithByteByByte) {
  SeededRandom random(2);
  const auto bytes = random_bytes(random, 300);
  uint32_t crc = 0;
  for (size_t length = 0; length <= bytes.size(); ++length) {
    EXPECT_EQ(crc32c(Bytes(bytes).first(length)), crc) << length;
    if (length < bytes.size()) crc = crc32c(Bytes(bytes).subspan(length, 1), crc);
  }
}

BatchHeader some_header() {
  BatchHeader header;
  header.epoch = 3;
  header.segment = 9;
  header.offset = 8192;
  header.body_bytes = 640;
  header.shard = 2;
  header.command_count = 4;
  header.first_sequence = 1000;
  header.base_time = 1234567890123;
  header.durable_upto = 999;
  header.body_crc = 77;
  header.effects_digest = {11, 22};
  header.log_id.fill(std::byte{0x5A});
  header.previous_chain = chain_value(0xDEADBEEF);
  return header;
}

TEST(BatchHeaderCodec, RoundTripAndNonce) {
  BatchHeader header = some_header();
  std::byte bytes[kBatchHeaderBytes];
  header.header_crc = encode(header, bytes);
  const Result<BatchHeader> read = decode_batch_header(bytes);
  ASSERT_TRUE(read) << read.error().message;
  std::byte again[kBatchHeaderBytes];
  encode(*read, again);
  EXPECT_EQ(std::memcmp(bytes, again, sizeof bytes), 0);
  EXPECT_EQ(read->header_crc, header.header_crc);
  EXPECT_EQ(read->last_sequence(), 1003U);
  // Epoch, segment, offset: 12 contiguous bytes.
  EXPECT_EQ(load_le<uint32_t>(bytes + 12), 3U);
  EXPECT_EQ(load_le<uint32_t>(bytes + 16), 9U);
  EXPECT_EQ(load_le<uint32_t>(bytes + 20), 8192U);
}

TEST(BatchHeaderCodec, EveryFlippedBitIsFound) {
  const BatchHeader header = some_header();
  std::byte bytes[kBatchHeaderBytes];
  encode(header, bytes);
  for (size_t bit = 0; bit < sizeof bytes * 8; ++bit) {
    bytes[bit / 8] ^= static_cast<std::byte>(1 << (bit % 8));
    EXPECT_FALSE(decode_batch_header(bytes)) << "bit " << bit;
    bytes[bit / 8] ^= static_cast<std::byte>(1 << (bit % 8));
  }
}

TEST(BatchHeaderCodec, RangesAreChecked) {
  const auto refused = [](auto&& change) {
    BatchHeader header = some_header();
    change(header);
    std::byte bytes[kBatchHeaderBytes];
    encode(header, bytes);
    const Result<BatchHeader> read = decode_batch_header(bytes);
    return read ? std::optional<Errc>() : std::optional(read.error().code);
  };
  EXPECT_EQ(refused([](BatchHeader&) {}), std::nullopt);
  EXPECT_EQ(refused([](BatchHeader& h) { h.version = kFormatVersion + 1; }), Errc::unsupported);
  EXPECT_EQ(refused([](BatchHeader& h) { h.key_id = 1; }), Errc::unsupported);
  EXPECT_EQ(refused([](BatchHeader& h) { h.flags = 4; }), Errc::corrupt);
  EXPECT_EQ(refused([](BatchHeader& h) { h.flags = kSealFlag; }), Errc::corrupt);
  EXPECT_EQ(refused([](BatchHeader& h) { h.flags = kJumpFlag; }), Errc::corrupt);
  EXPECT_EQ(refused([](BatchHeader& h) { h.command_count = 0; }), Errc::corrupt);
  EXPECT_EQ(refused([](BatchHeader& h) { h.command_count = 21; }), Errc::corrupt);
  EXPECT_EQ(refused([](BatchHeader& h) { h.body_bytes = kBatchLimitBytes; }), Errc::corrupt);
  EXPECT_EQ(refused([](BatchHeader& h) { h.offset = 0; }), Errc::corrupt);
  EXPECT_EQ(refused([](BatchHeader& h) { h.offset = 5000; }), Errc::corrupt);
  EXPECT_EQ(refused([](BatchHeader& h) { h.segment = 0; }), Errc::corrupt);
  EXPECT_EQ(refused([](BatchHeader& h) { h.first_sequence = 0; }), Errc::corrupt);
  EXPECT_EQ(refused([](BatchHeader& h) { h.first_sequence = UINT64_MAX - 1; }), Errc::corrupt);
  EXPECT_EQ(refused([](BatchHeader& h) { h.durable_upto = 1000; }), Errc::corrupt);
  const auto jump = [](BatchHeader& h) {
    h.flags = kSealFlag | kJumpFlag;
    h.command_count = h.body_bytes = 0;
  };
  EXPECT_EQ(refused([&](BatchHeader& h) { jump(h); }), Errc::corrupt);  // no gap
  EXPECT_EQ(refused([&](BatchHeader& h) { jump(h), h.durable_upto = 500; }), std::nullopt);
}

TEST(EntryCodec, RoundTripOfEveryKind) {
  SeededRandom random(2);
  TestBatch batch(1, 1);
  ByteWriter extensions;
  const std::byte cause[16] = {std::byte{1}};
  append_extension(extensions, ExtensionType::cause, cause);
  append_extension(extensions, ExtensionType::trace_id, as_bytes("0123456789abcdef"));
  append_extension(extensions, ExtensionType::causes, as_bytes("odd"));
  const auto payload = random_bytes(random, 1001);
  batch.add_command(payload, extensions.view());
  batch.add_records(payload, true);
  batch.add_command({});
  batch.add_records({}, false);
  batch.header().log_id.fill(std::byte{1});
  batch.header().segment = 1;
  batch.header().offset = 4096;
  ASSERT_TRUE(seal_batch(batch.pending()));
  const Bytes bytes(batch.pending().memory, kBatchHeaderBytes + batch.header().body_bytes);
  const Result<BatchView> view = BatchView::decode(bytes);
  ASSERT_TRUE(view) << view.error().message;
  std::vector<std::pair<EntryKind, Sequence>> seen;
  const Result<void> walked = view->for_each_entry([&](const EntryView& entry, Sequence sequence) -> Result<void> {
    seen.emplace_back(entry.header.kind, sequence);
    if (seen.size() > 1) return {};
    EXPECT_TRUE(std::equal(entry.payload.begin(), entry.payload.end(), payload.begin(), payload.end()));
    std::vector<std::pair<ExtensionType, size_t>> found;
    EXPECT_TRUE(for_each_extension(entry.extensions,
                                   [&](ExtensionType type, Bytes value) { found.emplace_back(type, value.size()); }));
    EXPECT_EQ(found.size(), 3U);
    EXPECT_EQ(found.back(), std::pair(ExtensionType::causes, size_t{3}));
    return {};
  });
  ASSERT_TRUE(walked) << walked.error().message;
  EXPECT_EQ(
      seen,
      (std::vector<std::pair<EntryKind, Sequence>>{
          {EntryKind::command, 1}, {EntryKind::record_command, 2}, {EntryKind::command, 3}, {EntryKind::records, 3}}));
}

TEST(EntryCodec, EveryFlippedByteIsFound) {
  SeededRandom random(3);
  for (const bool records : {false, true}) {
    TestBatch batch(1, 1);
    ByteWriter extensions;
    append_extension(extensions, ExtensionType::principal, as_bytes("12345678"));
    records ? batch.add_records(random_bytes(random, 60), true)
            : batch.add_command(random_bytes(random, 61), extensions.view());
    std::byte* at = batch.pending().memory + batch.last_entry();
    const size_t bytes = batch.header().body_bytes;
    if (records) {
      ASSERT_TRUE(seal_records(at, bytes));
    }
    ASSERT_TRUE(decode_entry({at, bytes}));
    for (size_t i = 0; i < bytes; ++i) {
      at[i] ^= std::byte{0x10};
      EXPECT_FALSE(decode_entry({at, bytes})) << "byte " << i;
      at[i] ^= std::byte{0x10};
    }
    for (size_t cut = 0; cut < bytes; ++cut) EXPECT_FALSE(decode_entry({at, cut})) << "cut at " << cut;
  }
}

TEST(BatchViewTest, CountsCommands) {
  TestBatch batch(1, 1);
  batch.add_command(as_bytes("a"));
  batch.header().log_id.fill(std::byte{1});
  batch.header().segment = 1;
  batch.header().offset = 4096;
  batch.add_command(as_bytes("b"));
  batch.header().command_count = 1;
  ASSERT_TRUE(seal_batch(batch.pending()));
  const Result<BatchView> view =
      BatchView::decode({batch.pending().memory, kBatchHeaderBytes + batch.header().body_bytes});
  ASSERT_TRUE(view);
  EXPECT_FALSE(view->for_each_entry([](const EntryView&, Sequence) -> Result<void> { return {}; }));
}

// FORMAT.md and layout.h say the same, and the fields fill their headers without a hole.
TEST(Format, DocumentMatchesCode) {
  struct Field {
    const char* name;
    size_t offset;
  };
#define FIELD(name) \
  { #name, layout::name }
  const std::vector<Field> fields = {
      FIELD(kSegmentMagic),     FIELD(kSegmentVersion),     FIELD(kSegmentFlags),        FIELD(kSegmentCrc),
      FIELD(kSegmentNumber),    FIELD(kSegmentBytes),       FIELD(kSegmentLogId),        FIELD(kSegmentShard),
      FIELD(kSegmentZero),      FIELD(kBatchMagic),         FIELD(kBatchVersion),        FIELD(kBatchFlags),
      FIELD(kBatchHeaderCrc),   FIELD(kBatchEpoch),         FIELD(kBatchSegment),        FIELD(kBatchOffset),
      FIELD(kBatchLogId),       FIELD(kBatchBodyBytes),     FIELD(kBatchBodyCrc),        FIELD(kBatchShard),
      FIELD(kBatchKeyId),       FIELD(kBatchCommandCount),  FIELD(kBatchFirstSequence),  FIELD(kBatchBaseTime),
      FIELD(kBatchDurableUpto), FIELD(kBatchEffectsDigest), FIELD(kBatchPreviousChain),  FIELD(kEntryHeaderCrc),
      FIELD(kEntryPayloadCrc),  FIELD(kEntryPayloadBytes),  FIELD(kEntryExtensionBytes), FIELD(kEntryKind),
      FIELD(kEntryFlags),       FIELD(kEntryMachine),       FIELD(kEntryType),           FIELD(kEntryZero),
      FIELD(kEntryPartition),   FIELD(kEntryDetail)};
#undef FIELD
  std::ifstream document("kernel/log/FORMAT.md");
  ASSERT_TRUE(document) << "run from the root of the tree";
  const std::regex row(R"(\| (k\w+) \| (\d+) \| (\d+) \|.*)");
  size_t next_field = 0;
  size_t next_offset = 0;
  for (std::string line; std::getline(document, line);) {
    std::smatch match;
    if (!std::regex_match(line, match, row)) continue;
    ASSERT_LT(next_field, fields.size()) << line;
    const size_t offset = std::stoul(match[2]);
    if (offset == 0 && next_offset != 0) {
      EXPECT_TRUE(next_offset == kBlockBytes || next_offset == kBatchHeaderBytes) << line;
      next_offset = 0;
    }
    EXPECT_EQ(match[1], fields[next_field].name);
    EXPECT_EQ(offset, fields[next_field].offset) << line;
    EXPECT_EQ(offset, next_offset) << line;
    next_offset = offset + std::stoul(match[3]);
    ++next_field;
  }
  EXPECT_EQ(next_field, fields.size());
  EXPECT_EQ(next_offset, kEntryHeaderBytes);
}

TEST(MemoryLogTest, HoldReleaseDropAndRestart) {
  SeededRandom random(4);
  MemoryLog log(random);
  ASSERT_TRUE(log.recover({}, [](const BatchView&, const BatchPlace&) -> Result<void> { return {}; }));
  int done = 0;
  const auto append = [&](Sequence sequence) {
    auto batch = std::make_unique<TestBatch>(sequence, 1);
    batch->add_command(as_bytes("payload"));
    log.append(batch->pending(), [&done](const Result<BatchPlace>& place) { done += place.ok() ? 1 : 100; });
    return batch;
  };
  append(1);
  EXPECT_EQ(done, 1);
  log.hold();
  append(2);
  EXPECT_EQ(done, 1);
  EXPECT_TRUE(log.append_in_flight());
  log.release();
  EXPECT_EQ(done, 2);
  log.hold();
  append(3);
  log.drop();
  Contents contents;
  const Result<RecoveryReport> report = log.recover({}, collect_into(contents));
  ASSERT_TRUE(report);
  EXPECT_EQ(report->end.last_sequence, 2U);
  EXPECT_EQ(contents.size(), 2U);
  append(3);
  std::optional<BatchPlace> place;
  ASSERT_TRUE(log.read(3, 3, [&](const BatchView&, const BatchPlace& where) -> Result<void> {
    place = where;
    return {};
  }));
  ASSERT_TRUE(place);
  std::vector<std::byte> bytes(place->bytes);
  ASSERT_TRUE(log.reader()->read(place->segment, place->offset, bytes));
  EXPECT_TRUE(BatchView::decode(bytes));
  EXPECT_FALSE(log.reader()->read(place->segment, place->offset + 1, bytes));
  log.fail_next({Errc::io, "broken"});
  append(4);
  EXPECT_EQ(done, 103);
}

}  // namespace
}  // namespace heptane::log::test
