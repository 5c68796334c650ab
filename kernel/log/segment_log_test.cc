// The log on disk against damage: flips, tears, lost and swapped files; what a start, verify, dump and repair make of it.
#include <filesystem>
#include <sstream>
#include <thread>

#include "kernel/log/log_test_support.h"
#include "kernel/log/log_tool.h"
#include "sim/sim_disk.h"

namespace heptane::log::test {
namespace {

using sim::SimDisk;

const std::string kFirst = "/data/shard-0/log/0000000001.seg";
const std::string kSecond = "/data/shard-0/log/0000000002.seg";
const std::string kThird = "/data/shard-0/log/0000000003.seg";
const LogTarget kTarget{"/data", 0};

std::vector<std::byte> file_of(Disk& disk, const std::string& path) {
  auto file = disk.open(path, OpenMode::read).value();
  std::vector<std::byte> bytes(file->size().value());
  EXPECT_TRUE(file->read_at(0, bytes));
  return bytes;
}

void put(Disk& disk, const std::string& path, uint64_t offset, Bytes bytes) {
  auto file = disk.open(path, OpenMode::read_write).value();
  ASSERT_TRUE(file->write_at(offset, bytes));
  ASSERT_TRUE(file->sync());
}

std::unique_ptr<SimDisk> copy_of(const SimDisk& disk) {
  auto copy = disk.clone();
  copy->set_immediate(true);
  return copy;
}

VerifyReport verify(Disk& disk) {
  std::ostringstream text;
  const Result<VerifyReport> report = verify_log(disk, kTarget, text);
  EXPECT_TRUE(report) << report.error().message;
  return report ? *report : VerifyReport{};
}

// Three segments of 64 KiB: many batches, the last ones in the third; not sealed.
class SmallLog : public ::testing::Test {
 protected:
  void SetUp() override {
    options_.prepared_segments = 0;
    Opened opened = open_log(disk_, random_, options_);
    ASSERT_FALSE(opened.error);
    while (places_.empty() || places_.back().segment < 3) append(*opened.log);
    append(*opened.log);
    durable_ = opened.log->next_sequence() - 1;
  }

  void append(SegmentLog& log) {
    const Result<BatchPlace> place = append_commands(log, random_, 1, 3, 700 + random_.below(bytes_limit_), &contents_);
    ASSERT_TRUE(place) << place.error().message;
    places_.push_back(*place);
  }

  SeededRandom random_{11};
  SimDisk disk_{sim::SimDiskOptions{.seed = 11, .immediate = true}};
  SegmentLogOptions options_ = small_options();
  uint64_t bytes_limit_ = 5000;  // of a command, above the least
  Contents contents_;
  std::vector<BatchPlace> places_;
  Sequence durable_ = 0;
};

TEST_F(SmallLog, ReopensReadsAndVerifies) {
  Opened opened = open_log(disk_, random_, options_);
  ASSERT_FALSE(opened.error);
  EXPECT_EQ(opened.contents, contents_);
  EXPECT_EQ(opened.report.batches, places_.size());
  EXPECT_EQ(opened.report.torn_bytes, 0U);
  EXPECT_TRUE(opened.report.quarantined.empty());
  EXPECT_EQ(opened.report.end.epoch, 1U);
  for (const Sequence from : {Sequence{1}, Sequence{10}, durable_, durable_ + 5}) {
    Contents read;
    ASSERT_TRUE(opened.log->read(from, durable_, collect_into(read)));
    const Sequence batch_start = (from - 1) / 3 * 3 + 1;
    const Contents expected(contents_.lower_bound(batch_start), contents_.end());
    EXPECT_EQ(read, expected) << from;
  }
  const auto reader = opened.log->reader();
  for (const BatchPlace& place : places_) {
    std::vector<std::byte> bytes(place.bytes);
    ASSERT_TRUE(reader->read(place.segment, place.offset, bytes));
    EXPECT_TRUE(BatchView::decode(bytes));
  }
  std::byte byte[1];
  EXPECT_EQ(reader->read(1, 1 << 20, byte).error().code, Errc::corrupt);
  EXPECT_EQ(reader->read(9, 0, byte).error().code, Errc::not_found);
  const VerifyReport report = verify(disk_);
  EXPECT_TRUE(report.sound());
  EXPECT_EQ(report.batches, places_.size());
  EXPECT_EQ(report.entries, contents_.size());
  EXPECT_EQ(report.segments, 3U);
  EXPECT_EQ(report.last_sequence, durable_);
}

// Written past the page cache: kept for readers in the memory it was written from until the log falls idle, then read from
// the file.
TEST(LargeBatches, AreReadFromMemoryUntilASeal) {
  SeededRandom random{5};
  SimDisk disk{sim::SimDiskOptions{.seed = 5, .immediate = true}};
  SegmentLogOptions options = small_options();
  options.direct_from_bytes = 8192;
  Opened opened = open_log(disk, random, options);
  ASSERT_FALSE(opened.error);
  const auto owner = std::make_shared<int>(0);
  TestBatch large(1, 1);
  large.add_command(random_bytes(random, 9000));
  large.pending().owner = owner;
  const Result<BatchPlace> place = append_now(*opened.log, large);
  ASSERT_TRUE(place) << place.error().message;
  large.pending().owner.reset();
  EXPECT_EQ(owner.use_count(), 2) << "the log keeps it";
  const auto reader = opened.log->reader();
  std::vector<std::byte> from_memory(place->bytes);
  const Result<bool> tried = reader->try_read(place->segment, place->offset, from_memory);
  ASSERT_TRUE(tried && *tried) << "no file was opened for it";
  TestBatch small(2, 1);
  small.add_command(random_bytes(random, 10));
  small.pending().owner = owner;
  ASSERT_TRUE(append_now(*opened.log, small));
  small.pending().owner.reset();
  EXPECT_EQ(owner.use_count(), 2) << "a small one is in the page cache";
  TestBatch seal(3, 1);
  seal.header().flags = kSealFlag;
  ASSERT_TRUE(append_now(*opened.log, seal));
  EXPECT_EQ(owner.use_count(), 1) << "an idle log keeps nothing";
  std::vector<std::byte> from_file(place->bytes);
  ASSERT_TRUE(reader->read(place->segment, place->offset, from_file));
  EXPECT_EQ(from_file, from_memory);
  EXPECT_TRUE(BatchView::decode(from_file));
}

// The same, small enough for every byte of it.
class TinyLog : public SmallLog {
 protected:
  static constexpr uint64_t kStride = kSampleOneIn == 1 ? 1 : 37;

  TinyLog() {
    options_.segment_bytes = 24 << 10;
    bytes_limit_ = 2000;
  }

  void SetUp() override {
    SmallLog::SetUp();
    ASSERT_GT(places_.size(), 6u);
  }
  static std::string path_of(uint32_t segment) { return segment_path("/data/shard-0/log", segment); }
  static std::byte bit_at(uint64_t offset) { return static_cast<std::byte>(1 << (offset % 8)); }
};

// Of every file every byte: verify notices, a start refuses or reports a torn tail, and nothing wrong is ever returned.
TEST_F(TinyLog, EveryFlippedByteIsNoticed) {
  const BatchPlace last = places_.back();
  for (uint32_t segment = 1; segment <= last.segment; ++segment) {
    const std::string path = path_of(segment);
    const uint64_t size = file_of(disk_, path).size();
    for (uint64_t offset = 0; offset < size; offset += kStride) {
      const auto copy = copy_of(disk_);
      ASSERT_TRUE(copy->corrupt(path, offset, bit_at(offset)));
      const VerifyReport report = verify(*copy);
      ASSERT_TRUE(report.problems > 0 || report.torn_bytes > 0) << path << " offset " << offset;
      options_.recovery_read_ahead = offset % 16 == 0 ? 2 : 0;  // by a thread of its own
      Opened opened = open_log(*copy, random_, options_);
      if (opened.error) {
        ASSERT_EQ(opened.error->code, Errc::corrupt) << path << " offset " << offset;
        ASSERT_NE(opened.error->message.find("heptane log repair --data /data --cut-at "), std::string::npos);
        ASSERT_TRUE(report.start_would_refuse) << path << " offset " << offset;
        continue;
      }
      ASSERT_FALSE(report.start_would_refuse);
      for (const auto& [sequence, payload] : opened.contents) ASSERT_EQ(payload, contents_[sequence]);
      const bool in_last =
          segment == last.segment && offset >= last.offset && offset < last.offset + uint64_t{last.bytes};
      if (in_last) {  // no later batch vouches for it: the one case that looks like a torn write
        ASSERT_EQ(opened.contents.size(), contents_.size() - 3) << offset;
        ASSERT_GT(opened.report.torn_bytes, 0U) << offset;
      } else {
        ASSERT_EQ(opened.contents.size(), contents_.size()) << path << " offset " << offset;
      }
    }
  }
}

// Beneath an open log: whoever reads there is refused, whether he reads through batches or one entry alone.
TEST_F(TinyLog, EveryByteFlippedBeneathAnOpenLogIsRefusedToReaders) {
  Opened opened = open_log(disk_, random_, options_);
  ASSERT_FALSE(opened.error);
  const auto reader = opened.log->reader();
  for (size_t number = 0; number < places_.size(); ++number) {
    const BatchPlace& place = places_[number];
    std::vector<std::byte> sound(place.bytes);
    ASSERT_TRUE(reader->read(place.segment, place.offset, sound));
    std::vector<std::pair<size_t, size_t>> entries;  // offset in the batch, bytes
    ASSERT_TRUE(BatchView::decode(sound)->for_each_entry([&](const EntryView& entry, Sequence) -> Result<void> {
      entries.emplace_back(entry.offset, entry.header.stored_bytes());
      return {};
    }));
    const Sequence first = number * 3 + 1;
    for (uint64_t at = 0; at < place.bytes; at += kStride) {
      ASSERT_TRUE(disk_.corrupt(path_of(place.segment), place.offset + at, bit_at(at)));
      Contents read;
      const Result<void> outcome = opened.log->read(first, first + 2, collect_into(read));
      ASSERT_FALSE(outcome) << "batch " << number << " byte " << at;
      ASSERT_EQ(outcome.error().code, Errc::corrupt);
      ASSERT_FALSE(read.contains(first));
      for (const auto& [begin, bytes] : entries) {
        std::vector<std::byte> alone(bytes);
        ASSERT_TRUE(reader->read(place.segment, place.offset + begin, alone));
        ASSERT_EQ(decode_entry(alone).ok(), at < begin || at >= begin + bytes) << "batch " << number << " byte " << at;
      }
      ASSERT_TRUE(disk_.corrupt(path_of(place.segment), place.offset + at, bit_at(at)));
    }
  }
}

TEST_F(SmallLog, ASealVouchesForTheLastBatch) {
  {
    Opened opened = open_log(disk_, random_, options_);
    ASSERT_TRUE(append_seal(*opened.log, 2));
  }
  const BatchPlace last = places_.back();
  ASSERT_TRUE(disk_.corrupt(kThird, last.offset + 500, std::byte{1}));
  Opened opened = open_log(disk_, random_, options_);
  ASSERT_TRUE(opened.error);
  EXPECT_EQ(opened.error->code, Errc::corrupt);
  EXPECT_NE(opened.error->message.find(kThird + " offset " + std::to_string(last.offset)), std::string::npos);
  EXPECT_NE(opened.error->message.find("--cut-at " + std::to_string(durable_ - 2)), std::string::npos);
}

// A rotten seal with one batch behind it: that batch was acknowledged although no durable_upto says so.
TEST_F(SmallLog, ABatchBehindARottenSealIsNotATornTail) {
  BatchPlace seal;
  {
    Opened opened = open_log(disk_, random_, options_);
    seal = append_seal(*opened.log, 2).value();
    append(*opened.log);
  }
  ASSERT_TRUE(disk_.corrupt(segment_path(options_.directory, seal.segment), seal.offset + 40, std::byte{1}));
  Opened opened = open_log(disk_, random_, options_);
  ASSERT_TRUE(opened.error);
  EXPECT_EQ(opened.error->code, Errc::corrupt);
}

// Any subset of the last batch's sectors reached the disk.
TEST_F(SmallLog, TornSectorsOfTheLastBatch) {
  const BatchPlace last = places_.back();
  const auto whole = file_of(disk_, kThird);
  const uint64_t sectors = (last.bytes + 511) / 512;
  for (int round = 0; round < 60; ++round) {
    const auto copy = copy_of(disk_);
    bool torn = false;
    uint64_t left = 0;
    for (uint64_t sector = 0; sector < sectors; ++sector) {
      if (random_.one_in(2)) {
        ++left;
        continue;
      }
      torn = true;
      put(*copy, kThird, last.offset + sector * 512, std::vector<std::byte>(512));
    }
    if (!torn) continue;
    for (int start = 0; start < 2; ++start) {
      Opened opened = open_log(*copy, random_, options_);
      ASSERT_FALSE(opened.error) << opened.error->message;
      EXPECT_EQ(opened.report.end.last_sequence, durable_ - 3);
      EXPECT_EQ(opened.report.torn_bytes > 0, start == 0 && left > 0);
      if (start == 1 || left == 0) continue;
      const auto kept = file_of(*copy, opened.report.quarantined);
      EXPECT_GE(kept.size(), left * 512);
      EXPECT_TRUE(is_zero(Bytes(file_of(*copy, kThird)).subspan(last.offset)));
    }
  }
}

TEST_F(SmallLog, LostSwappedForeignAndTruncatedSegments) {
  {
    const auto copy = copy_of(disk_);
    ASSERT_TRUE(copy->unlink(kSecond));
    Opened opened = open_log(*copy, random_, options_);
    ASSERT_TRUE(opened.error);
    EXPECT_NE(opened.error->message.find("0000000002.seg is missing"), std::string::npos) << opened.error->message;
    EXPECT_FALSE(verify(*copy).sound());
  }
  {
    const auto copy = copy_of(disk_);
    ASSERT_TRUE(copy->rename(kSecond, "/data/x") && copy->rename(kThird, kSecond) && copy->rename("/data/x", kThird));
    Opened opened = open_log(*copy, random_, options_);
    ASSERT_TRUE(opened.error);
    EXPECT_NE(opened.error->message.find("swapped"), std::string::npos) << opened.error->message;
    EXPECT_FALSE(verify(*copy).sound());
  }
  {
    const auto copy = copy_of(disk_);
    SimDisk other(sim::SimDiskOptions{.seed = 3, .immediate = true});
    { Opened opened = open_log(other, random_, options_); }
    put(*copy, kSecond, 0, file_of(other, kFirst));
    Opened opened = open_log(*copy, random_, options_);
    ASSERT_TRUE(opened.error);
    EXPECT_NE(opened.error->message.find("another log"), std::string::npos) << opened.error->message;
  }
  {
    const auto copy = copy_of(disk_);
    auto block = file_of(*copy, kThird);
    block.resize(kBlockBytes);
    SegmentHeader header = decode_segment_header(block).value();
    header.version = kFormatVersion + 1;
    encode(header, block.data());
    put(*copy, kThird, 0, block);
    Opened opened = open_log(*copy, random_, options_);
    ASSERT_TRUE(opened.error);
    EXPECT_EQ(opened.error->code, Errc::unsupported);
    EXPECT_NE(opened.error->message.find("version " + std::to_string(kFormatVersion + 1)), std::string::npos);
  }
  for (const std::string& path : {kFirst, kSecond, kThird}) {
    const uint64_t size = file_of(disk_, path).size();
    for (uint64_t keep = 0; keep < size; keep += 3333) {
      const auto copy = copy_of(disk_);
      auto file = copy->open(path, OpenMode::read_write).value();
      ASSERT_TRUE(file->truncate(keep) && file->sync());
      EXPECT_FALSE(verify(*copy).sound());
      Opened opened = open_log(*copy, random_, options_);
      for (const auto& [sequence, payload] : opened.contents) ASSERT_EQ(payload, contents_[sequence]);
      if (!opened.error) {
        EXPECT_GE(opened.report.end.last_sequence, path == kThird ? places_.size() : durable_) << path << keep;
      }
    }
  }
}

TEST_F(SmallLog, ALogThatEndsBelowASnapshotIsRefused) {
  RecoverFrom from;
  from.durable_evidence = durable_ + 1;
  Opened opened = open_log(disk_, random_, options_, from);
  ASSERT_TRUE(opened.error);
  EXPECT_EQ(opened.error->code, Errc::corrupt);
  EXPECT_NE(opened.error->message.find("snapshot"), std::string::npos);
  SimDisk empty(sim::SimDiskOptions{.seed = 3, .immediate = true});
  EXPECT_EQ(open_log(empty, random_, options_, from).error->code, Errc::corrupt);
}

TEST_F(SmallLog, TrimTakesWholeSegmentsOldestFirst) {
  Opened opened = open_log(disk_, random_, options_);
  ASSERT_TRUE(opened.log->trim(1));
  EXPECT_TRUE(disk_.exists(kFirst).value());
  ASSERT_TRUE(opened.log->trim(durable_));
  EXPECT_FALSE(disk_.exists(kFirst).value());
  EXPECT_FALSE(disk_.exists(kSecond).value());
  EXPECT_TRUE(disk_.exists(kThird).value());
  Contents read;
  EXPECT_EQ(opened.log->read(1, durable_, collect_into(read)).error().code, Errc::not_found);
  ASSERT_TRUE(opened.log->read(durable_, durable_, collect_into(read)));
  EXPECT_EQ(read.count(durable_), 1U);
  EXPECT_TRUE(verify(disk_).sound());
}

TEST_F(SmallLog, DumpPrintsEveryEntry) {
  std::ostringstream text;
  EXPECT_EQ(dump_log(disk_, kTarget, {}, text).value(), contents_.size());
  EXPECT_NE(text.str().find("0:1 1970-01-01T00:00:00.000001000Z command machine 7 type 3"), std::string::npos);
  std::ostringstream json;
  EXPECT_EQ(dump_log(disk_, kTarget, {.secret = {}, .json = true, .payload = true, .from = 2, .upto = 3}, json).value(),
            2U);
  EXPECT_NE(json.str().find(R"("position":"0:2")"), std::string::npos);
  EXPECT_NE(json.str().find(R"("payload":")"), std::string::npos);
}

void check_repaired(SimDisk& disk, SeededRandom& random, const SegmentLogOptions& options, const Contents& kept,
                    const RepairReport& report) {
  EXPECT_TRUE(verify(disk).sound());
  Opened opened = open_log(disk, random, options);
  ASSERT_FALSE(opened.error) << opened.error->message;
  EXPECT_EQ(opened.contents, kept);
  EXPECT_EQ(opened.report.end.last_sequence, report.next_sequence - 1);
  EXPECT_EQ(opened.report.torn_bytes, 0U);
  EXPECT_GE(opened.report.end.epoch, report.epoch);
  ASSERT_TRUE(append_commands(*opened.log, random, report.epoch + 1, 1, 100));
  Contents read;
  ASSERT_TRUE(opened.log->read(1, UINT64_MAX, collect_into(read)));
  EXPECT_EQ(read.rbegin()->first, report.next_sequence);
}

// Damage in the middle, then the very command that the refusal printed.
TEST_F(SmallLog, RepairGoesOnWithAJump) {
  for (size_t damaged = 0; damaged < places_.size(); damaged += 3) {
    const auto copy = copy_of(disk_);
    const BatchPlace& place = places_[damaged];
    ASSERT_TRUE(copy->corrupt(segment_path(options_.directory, place.segment), place.offset + 200, std::byte{4}));
    Opened refused = open_log(*copy, random_, options_);
    if (!refused.error) continue;  // the very last batch: a torn tail
    const std::string& message = refused.error->message;
    const Sequence cut = std::stoull(message.substr(message.find("--cut-at ") + 9));
    EXPECT_EQ(cut, damaged * 3 + 1);
    EXPECT_FALSE(repair_log(*copy, kTarget, {.cut_at = cut + 1}));
    EXPECT_FALSE(repair_log(*copy, kTarget, {}));
    const Result<RepairReport> report = repair_log(*copy, kTarget, {.cut_at = cut});
    ASSERT_TRUE(report) << report.error().message;
    EXPECT_EQ(report->last_kept, cut - 1);
    EXPECT_EQ(report->next_sequence, cut - 1 + 1'000'000'000);
    EXPECT_FALSE(report->quarantined.empty());
    ASSERT_NO_FATAL_FAILURE(
        check_repaired(*copy, random_, options_, Contents(contents_.begin(), contents_.lower_bound(cut)), *report));
  }
}

TEST_F(SmallLog, RepairOfLostAndDamagedSegments) {
  {
    const auto copy = copy_of(disk_);
    ASSERT_TRUE(copy->unlink(kSecond));
    const std::string message = open_log(*copy, random_, options_).error->message;
    const Sequence cut = std::stoull(message.substr(message.find("--cut-at ") + 9));
    const Result<RepairReport> report = repair_log(*copy, kTarget, {.cut_at = cut});
    ASSERT_TRUE(report) << report.error().message;
    check_repaired(*copy, random_, options_, Contents(contents_.begin(), contents_.lower_bound(cut)), *report);
  }
  {
    const auto copy = copy_of(disk_);
    ASSERT_TRUE(copy->corrupt(kFirst, 20, std::byte{1}));
    const std::string message = open_log(*copy, random_, options_).error->message;
    const Sequence cut = std::stoull(message.substr(message.find("--cut-at ") + 9));
    EXPECT_EQ(cut, 1U);
    const Result<RepairReport> report = repair_log(*copy, kTarget, {.cut_at = cut});
    ASSERT_TRUE(report) << report.error().message;
    EXPECT_EQ(report->last_kept, 0U);
    check_repaired(*copy, random_, options_, {}, *report);
  }
  const auto lock = disk_.lock("/data/LOCK").value();
  EXPECT_EQ(repair_log(disk_, kTarget, {.cut_at = 5}).error().code, Errc::exists);
}

// A cut at every operation of a repair: the log is as before or refuses (and is repaired again), or as after; never does it
// go on without the jump.
TEST_F(SmallLog, RepairCutAtEveryOperation) {
  const BatchPlace& place = places_[places_.size() / 3];
  const Sequence cut = places_.size() / 3 * 3 + 1;
  ASSERT_TRUE(disk_.corrupt(segment_path(options_.directory, place.segment), place.offset + 200, std::byte{4}));
  bool finished = false;
  for (uint64_t operation = 0; !finished; ++operation) {
    const auto copy = copy_of(disk_);
    copy->crash_after_operations(operation);
    finished = repair_log(*copy, kTarget, {.cut_at = cut}).ok();
    copy->crash(sim::CrashMode::hostile);
    Opened opened = open_log(*copy, random_, options_);
    const Contents kept(contents_.begin(), contents_.lower_bound(cut));
    if (opened.error) {
      ASSERT_EQ(opened.error->code, Errc::corrupt);
      opened.log.reset();
      const Result<RepairReport> report = repair_log(*copy, kTarget, {.cut_at = cut});
      ASSERT_TRUE(report) << report.error().message;
      ASSERT_NO_FATAL_FAILURE(check_repaired(*copy, random_, options_, kept, *report)) << operation;
      continue;
    }
    EXPECT_EQ(opened.contents, kept) << operation;
    EXPECT_GE(opened.report.end.last_sequence, cut + 999'999'000) << operation;
  }
}

TEST(SegmentLogTest, ABatchLongerThanASegmentGetsItsOwn) {
  SimDisk disk(sim::SimDiskOptions{.seed = 1, .immediate = true});
  SeededRandom random(1);
  SegmentLogOptions options = small_options("/data", 16 << 10);
  Contents contents;
  {
    Opened opened = open_log(disk, random, options);
    while (opened.log->wants_maintenance()) ASSERT_TRUE(opened.log->maintain());
    const uint64_t prepared = opened.log->prepared_bytes();
    EXPECT_EQ(prepared, 3 * (options.segment_bytes - kBlockBytes));
    for (const size_t bytes : {100, 100'000, 100, 3'000'000, 12'000, 12'000, 12'000})
      ASSERT_TRUE(append_commands(*opened.log, random, 1, 1, bytes, &contents));
    EXPECT_GT(opened.log->segments_made_inline_total(), 0U);
    TestBatch batch(opened.log->next_sequence(), 1, 0, kBatchLimitBytes + 4 * kBlockBytes);
    batch.add_command(random_bytes(random, kPayloadLimitBytes));
    batch.add_command(random_bytes(random, kPayloadLimitBytes));
    batch.add_command(random_bytes(random, 189'000));
    EXPECT_EQ(append_now(*opened.log, batch).error().code, Errc::too_large);
  }
  Opened opened = open_log(disk, random, options);
  ASSERT_FALSE(opened.error) << opened.error->message;
  EXPECT_EQ(opened.contents, contents);
  EXPECT_TRUE(verify(disk).sound());
}

TEST(SegmentLogTest, ZeroesOnlyWhenQuietAndNeverBlocks) {
  SimDisk disk(sim::SimDiskOptions{.seed = 1, .immediate = true});
  SeededRandom random(1);
  Opened opened = open_log(disk, random, small_options());
  ASSERT_TRUE(opened.log->maintain().value());
  ASSERT_TRUE(opened.log->maintain().value());
  ASSERT_TRUE(append_commands(*opened.log, random, 1, 1, 10));
  const uint64_t written = disk.counters().bytes_written;
  EXPECT_FALSE(opened.log->maintain().value());  // just appended: not quiet
  EXPECT_EQ(disk.counters().bytes_written, written);
  EXPECT_TRUE(opened.log->wants_maintenance());
  EXPECT_TRUE(opened.log->maintain().value());
  EXPECT_EQ(disk.counters().bytes_written, written + (60 << 10));
  while (opened.log->wants_maintenance()) ASSERT_TRUE(opened.log->maintain());
  EXPECT_FALSE(opened.log->maintain().value());
}

TEST(SegmentLogTest, CompletesLaterAndFailsForGood) {
  SimDisk disk(sim::SimDiskOptions{.seed = 1, .immediate = true});
  SeededRandom random(1);
  Opened opened = open_log(disk, random, small_options());
  disk.set_immediate(false);
  TestBatch first(1, 1);
  first.add_command(as_bytes("x"));
  int done = 0;
  opened.log->append(first.pending(), [&done](const Result<BatchPlace>& place) { done += place.ok() ? 1 : 100; });
  EXPECT_EQ(done, 0);
  Contents read;
  ASSERT_TRUE(opened.log->read(1, 1, collect_into(read)));
  EXPECT_TRUE(read.empty());  // not synced: not there
  ASSERT_TRUE(disk.complete_one());
  EXPECT_EQ(done, 1);
  ASSERT_TRUE(opened.log->read(1, 1, collect_into(read)));
  EXPECT_EQ(read.size(), 1U);
  disk.set_immediate(true);
  disk.inject(sim::SimFault::write_error);
  EXPECT_EQ(append_commands(*opened.log, random, 1, 1, 10).error().code, Errc::io);
  const uint64_t writes = disk.counters().writes;
  EXPECT_EQ(append_commands(*opened.log, random, 1, 1, 10).error().code, Errc::io);
  EXPECT_EQ(disk.counters().writes, writes);
}

size_t deleted_files_open() {
  size_t count = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code error;
    count += std::filesystem::read_symlink(entry.path(), error).string().ends_with(".seg (deleted)") ? 1 : 0;
  }
  return count;
}

// The last close of a trimmed segment frees its blocks and pages: not on the thread that serves connections.
TEST(SegmentLogTest, AReaderLeavesTrimmedSegmentsToWhoeverMayWait) {
  char directory[] = "/tmp/heptane-log-XXXXXX";
  ASSERT_NE(mkdtemp(directory), nullptr);
  {
    SystemDisk disk;
    SystemRandom chance;
    SeededRandom random(1);
    Opened opened = open_log(disk, chance, small_options(directory));
    ASSERT_FALSE(opened.error) << opened.error->message;
    for (int i = 0; i < 40; ++i) ASSERT_TRUE(append_commands(*opened.log, random, 1, 1, 4000, nullptr));
    const auto reader = opened.log->reader();
    std::byte byte[1];
    ASSERT_TRUE(reader->read(1, 0, byte));
    ASSERT_TRUE(opened.log->trim(opened.log->next_sequence() - 1));
    EXPECT_EQ(deleted_files_open(), 1U);
    reader->close_gone();
    EXPECT_FALSE(reader->read(1, 0, byte)) << "it is not the reader's any more";
    EXPECT_EQ(deleted_files_open(), 1U);
    disk.free_left();
    EXPECT_EQ(deleted_files_open(), 0U);
  }
  std::filesystem::remove_all(directory);
}

// The operating system's files, and the helper beside the commit (this is what the thread sanitiser looks at).
TEST(SegmentLogTest, OnTheSystemDiskWithAHelperThread) {
  char directory[] = "/tmp/heptane-log-XXXXXX";
  ASSERT_NE(mkdtemp(directory), nullptr);
  SystemDisk disk;
  SystemRandom chance;
  SeededRandom random(1);
  const SegmentLogOptions options = small_options(directory, 256 << 10);
  Contents contents;
  {
    Opened opened = open_log(disk, chance, options);
    ASSERT_FALSE(opened.error) << opened.error->message;
    std::atomic<bool> stop{false};
    std::thread helper([&] {
      const auto reader = opened.log->reader();
      while (!stop.load()) {
        EXPECT_TRUE(opened.log->maintain());
        Contents read;
        EXPECT_TRUE(opened.log->read(1, 20, collect_into(read)));
        (void)opened.log->prepared_bytes();
        std::this_thread::yield();
      }
    });
    for (int i = 0; i < 300; ++i)
      EXPECT_TRUE(append_commands(*opened.log, random, 1, 5, random.below(8000), &contents));
    stop = true;
    helper.join();
  }
  Opened opened = open_log(disk, chance, options);
  ASSERT_FALSE(opened.error) << opened.error->message;
  EXPECT_EQ(opened.contents, contents);
  std::ostringstream text;
  EXPECT_TRUE(verify_log(disk, {directory, 0}, text).value().sound()) << text.str();
  opened.log.reset();
  EXPECT_GT(std::filesystem::remove_all(directory), 0U);
}

}  // namespace
}  // namespace heptane::log::test
