// The archive against a naive model: what producers and machines appended, read back by offset, time and position, over
// rewritings, drops and damage.
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "kernel/archive/archiver.h"
#include "kernel/base/crc32c.h"
#include "kernel/shard/committer.h"
#include "sim/sim_clock.h"
#include "sim/sim_disk.h"

namespace heptane::archive {
namespace {

constexpr int64_t kMs = 1'000'000;
constexpr uint64_t kSegmentBytes = 64 << 10;

struct Record {
  int64_t timestamp_ms = 0;
  std::string value;
};

// Shard, log on a simulated disk, archiver; the roles take turns until nothing moves.
class ArchiveTest : public testing::Test {
 protected:
  ArchiveTest() : disk_(sim::SimDiskOptions{1, true}) { boot(); }

  void boot() {
    link_.reset();
    shard_.reset();
    archiver_.reset();
    log::SegmentLogOptions options = log::segment_log_options("data");
    options.segment_bytes = kSegmentBytes;
    options.zero_ahead = false;
    auto opened = log::SegmentLog::open(disk_, random_, options);
    ASSERT_TRUE(opened) << opened.error().message;
    log_ = std::move(*opened);
    store_ = std::make_unique<ArchiveStore>(disk_, ArchiveStoreOptions{"data/shard-0/archive", 0});
    ASSERT_TRUE(store_->open(std::nullopt));
    committer_ = std::make_unique<Committer>(*log_, [](const Error& error) { FAIL() << error.message; });
    link_ = std::make_unique<ShardLink>(1024);
    streams_ = std::make_unique<streams::StreamsMachine>();
    ShardOptions shard_options;
    shard_options.batch_target_bytes = 8 << 10;
    shard_ = std::make_unique<Shard>(shard_options, clock_, *committer_);
    shard_->add_machine(*streams_);
    shard_->set_streams(*streams_);
    shard_->attach(*link_);
    const auto recovered = log_->recover(
        {}, [&](const log::BatchView& batch, const log::BatchPlace& place) { return shard_->replay(batch, place); });
    ASSERT_TRUE(recovered) << recovered.error().message;
    shard_->start(recovered->end);
    ArchiverOptions archiver_options;
    archiver_options.target_bytes = 2 * kSegmentBytes;
    archiver_options.bytes_per_second = 0;
    archiver_options.retain_commands_ns = retain_commands_ns_;
    archiver_options.look_interval_ns = 1;
    archiver_ = std::make_unique<Archiver>(*store_, *log_, clock_, archiver_options);
    archiver_->set_report([this](const std::string& line) { reports_.push_back(line); });
    archiver_->start(log_->id(), 0, kSegmentBytes);
    reader_ = std::make_unique<ArchiveReader>(disk_, *store_);
  }

  void settle() {
    for (bool more = true; more;) {
      more = shard_->run_once();
      more = committer_->run_once() || more || !link_->requests.empty();
      (void)log_->maintain();
    }
    shard_->run_once();
  }
  Reply run(Submission submission) {
    submission.payload_crc =
        submission.kind == log::EntryKind::command ? crc32c(submission.payload.view()) : submission.payload_crc;
    EXPECT_TRUE(link_->requests.try_push(ShardRequest{1, ++request_, std::move(submission)}));
    settle();
    while (ShardReply* front = link_->open.front()) {
      Reply reply = std::get<Reply>(front->body);
      link_->open.pop();
      return reply;
    }
    ShardReply* front = link_->gated.front();
    EXPECT_NE(front, nullptr);
    Reply reply = std::get<Reply>(front->body);
    link_->gated.pop();
    return reply;
  }
  PartitionId create(const std::string& name, streams::StreamConfig config = {}) {
    return static_cast<PartitionId>(run(streams::make_command(machine_ids::kStreams, streams::kCreateStream,
                                                              streams::encode(streams::CreateStream{name, 1, config})))
                                        .numbers[0]);
  }

  // A producer's batch.
  void produce(PartitionId partition, size_t records, size_t bytes) {
    streams::RecordBatchBuilder builder;
    builder.begin(timestamp_ms_);
    std::vector<Record> added;
    for (size_t i = 0; i < records; ++i) {
      timestamp_ms_ += static_cast<int64_t>(random_.below(5));
      added.push_back({timestamp_ms_, "p" + std::to_string(++number_) + std::string(bytes, 'x')});
      builder.add(timestamp_ms_, false, {}, true, as_bytes(added.back().value));
    }
    const Bytes batch = builder.finish(0, 0, true);
    const Reply reply = run(streams::make_append(partition, Buffer::copy_of(batch),
                                                 load_be<uint32_t>(batch.data() + streams::record_batch_layout::kCrc)));
    ASSERT_TRUE(reply.ok()) << reply.message;
    commands_[reply.sequence] = partition;
    auto& model = model_[partition];
    ASSERT_EQ(reply.numbers[0], static_cast<Offset>(model.size()));
    model.insert(model.end(), added.begin(), added.end());
  }
  // Records that the kernel packs.
  void append(const std::string& stream, PartitionId partition, size_t records) {
    streams::AppendEvents command;
    command.stream = stream;
    std::vector<std::string> values;
    for (size_t i = 0; i < records; ++i) values.push_back("e" + std::to_string(++number_));
    for (const std::string& value : values) command.records.push_back({false, {}, as_bytes(value)});
    const Reply reply =
        run(streams::make_command(machine_ids::kStreams, streams::kAppendEvents, streams::encode(command)));
    ASSERT_TRUE(reply.ok()) << reply.message;
    commands_[reply.sequence] = kNoPartition;
    for (const std::string& value : values) model_[partition].push_back({reply.time / kMs, value});
  }

  // Everything up to the log's end may be archived.
  void archive() {
    for (int quiet = 0; quiet < 4;) {
      const Result<bool> more = archiver_->run_once(shard_->last_applied(), false);
      ASSERT_TRUE(more) << more.error().message;
      archiver_->shard_turn(*shard_, *streams_);
      settle();
      clock_.advance(kMs);
      quiet = *more ? 0 : quiet + 1;
    }
  }

  // Reads every offset from `log_start` on, out of archive and log, in steps of random size.
  void expect_all_read(PartitionId partition, Offset from = 0) {
    const std::vector<Record>& model = model_[partition];
    const std::unique_ptr<log::LogReader> log_reader = log_->reader();
    for (auto next = from; next < static_cast<Offset>(model.size());) {
      const ReadReply where = streams_->locate({partition, next, static_cast<uint32_t>(1 + random_.below(20'000)), {}});
      ASSERT_FALSE(where.error) << "offset " << next;
      if (next >= where.indexed) {
        // The log's part is tested with the log: only that it begins where the archive ends.
        ASSERT_FALSE(where.extents.empty());
        if (next > from) {
          ASSERT_EQ(next, where.indexed);
        }
        return;
      }
      const auto batches = reader_->read(partition, next, where.max_bytes);
      ASSERT_TRUE(batches) << "offset " << next << ": " << batches.error().message;
      const Offset before = next;
      for (const Buffer& batch : *batches)
        ASSERT_TRUE(streams::for_each_record(batch.view(), [&](const streams::RecordView& record) {
          if (record.offset < next) return;
          ASSERT_EQ(record.offset, next);
          ASSERT_EQ(as_text(record.value), model[static_cast<size_t>(next)].value);
          ASSERT_EQ(record.timestamp_ms, model[static_cast<size_t>(next)].timestamp_ms);
          ++next;
        }));
      ASSERT_GT(next, before);
    }
  }

  uint64_t archived() const { return archiver_->counters().archived_total; }

  sim::SimDisk disk_;
  sim::SimClock clock_;
  SeededRandom random_{7};
  int64_t retain_commands_ns_ = -1;
  std::unique_ptr<log::SegmentLog> log_;
  std::unique_ptr<ArchiveStore> store_;
  std::unique_ptr<Committer> committer_;
  std::unique_ptr<ShardLink> link_;
  std::unique_ptr<streams::StreamsMachine> streams_;
  std::unique_ptr<Shard> shard_;
  std::unique_ptr<Archiver> archiver_;
  std::unique_ptr<ArchiveReader> reader_;
  std::vector<std::string> reports_;
  std::map<PartitionId, std::vector<Record>> model_;
  std::map<Sequence, PartitionId> commands_;
  int64_t timestamp_ms_ = 1'000;
  uint64_t number_ = 0;
  RequestId request_ = 0;
};

TEST_F(ArchiveTest, EverythingIsReadBackFromHistory) {
  std::vector<std::pair<std::string, PartitionId>> streams;
  for (int i = 0; i < 20; ++i) {
    const std::string name = "s" + std::to_string(i);
    streams.emplace_back(name, create(name));
  }
  for (int i = 0; i < 600; ++i) {
    const auto& [name, partition] = streams[random_.below(streams.size() - 2)];  // two stay empty
    if (random_.one_in(3))
      append(name, partition, 1 + random_.below(4));
    else
      produce(partition, 1 + random_.below(5), random_.below(300));
    if (i % 150 == 149) archive();
  }
  archive();
  ASSERT_GE(archived(), 2u);
  ASSERT_EQ(log_->oldest_segment(), store_->last_log_segment() + 1) << "archived log segments are gone";
  for (const auto& [name, partition] : streams) expect_all_read(partition);
  // Every command is found by its position; one that carries records with them.
  const Sequence last = store_->catalog()->back()->header.last_sequence;
  for (const auto& [sequence, partition] : commands_) {
    if (sequence > last) break;
    const auto found = reader_->command(sequence);
    ASSERT_TRUE(found) << sequence << ": " << found.error().message;
    EXPECT_EQ(found->item.frame.sequence, sequence);
    EXPECT_EQ(found->item.entry.header.partition, partition);
  }
  EXPECT_EQ(reader_->command(last + 1).error().code, Errc::not_found);
  EXPECT_TRUE(reports_.empty()) << reports_.front();
}

TEST_F(ArchiveTest, TimesLeadToTheFirstRecordThatIsNotOlder) {
  const PartitionId partition = create("times");
  const PartitionId other = create("other");
  for (int i = 0; i < 300; ++i) {
    // Timestamps are the producer's: they may go back.
    timestamp_ms_ = std::max<int64_t>(0, timestamp_ms_ - static_cast<int64_t>(random_.below(40)));
    produce(partition, 1 + random_.below(4), 400);
    timestamp_ms_ += 20;
    produce(other, 1, 100);
  }
  archive();
  ASSERT_GE(archived(), 1u);
  const std::vector<Record>& model = model_[partition];
  const Offset indexed = streams_->locate({partition, 0, 1, {}}).indexed;
  ASSERT_GT(indexed, 100);
  for (int64_t time = 0; time < timestamp_ms_ + 50; time += 7) {
    Offset expected = 0;
    while (expected < indexed && model[static_cast<size_t>(expected)].timestamp_ms < time) ++expected;
    const auto found = reader_->offset_for_time(partition, 0, time);
    ASSERT_TRUE(found) << found.error().message;
    ASSERT_EQ(found->has_value(), expected < indexed) << "time " << time;
    if (!*found) continue;
    // The run that holds it begins at or before it, and all before the run is older.
    EXPECT_LE(**found, expected) << "time " << time;
    const auto batches = reader_->read(partition, **found, kRunTargetBytes);
    ASSERT_TRUE(batches);
    bool seen = false;
    for (const Buffer& batch : *batches)
      ASSERT_TRUE(streams::for_each_record(
          batch.view(), [&](const streams::RecordView& record) { seen = seen || record.offset == expected; }));
    EXPECT_TRUE(seen) << "time " << time << ": not within the first run";
  }
}

TEST_F(ArchiveTest, RetentionByBytesMovesTheStartAndFreesTheFiles) {
  const PartitionId kept = create("kept", {-1, 40'000});
  for (int i = 0; i < 500; ++i) produce(kept, 4, 200);
  archive();
  for (int i = 0; i < 500; ++i) produce(kept, 4, 200);
  archive();
  archive();
  const ReadReply where = streams_->locate({kept, static_cast<Offset>(model_[kept].size()), 1, {}});
  EXPECT_GT(where.log_start, 3'000);
  uint64_t left = 0;
  for (size_t i = static_cast<size_t>(where.log_start); i < model_[kept].size(); ++i)
    left += model_[kept][i].value.size();
  EXPECT_GE(left, 30'000u) << "what the configuration keeps is there";
  EXPECT_LE(archiver_->counters().bytes.load(), 200'000u) << "some 900 KB were written";
  EXPECT_GT(archiver_->counters().dropped_total + archiver_->counters().rewritten_total, 0u);
  EXPECT_TRUE(streams_->locate({kept, where.log_start - 1, 1, {}}).error);
  expect_all_read(kept, where.log_start);
  // The same after a restart: log starts are state.
  ASSERT_NO_FATAL_FAILURE(expect_all_read(kept, where.log_start));
}

TEST_F(ArchiveTest, RetentionByTimeGoesByTheNewestRecordOfARun) {
  clock_.advance(1'000'000 * kMs);
  const PartitionId kept = create("kept", {60'000, -1});
  timestamp_ms_ = clock_.utc_ns() / kMs - 500'000;
  for (int i = 0; i < 400; ++i) produce(kept, 4, 200);
  const auto old_end = static_cast<Offset>(model_[kept].size());
  timestamp_ms_ = clock_.utc_ns() / kMs;
  for (int i = 0; i < 400; ++i) produce(kept, 4, 200);
  archive();
  archive();
  const ReadReply where = streams_->locate({kept, old_end, 1, {}});
  EXPECT_FALSE(where.error);
  EXPECT_GT(where.log_start, 0);
  EXPECT_LE(where.log_start, old_end);
  expect_all_read(kept, where.log_start);
}

TEST_F(ArchiveTest, WhatIsMostlyDeadIsWrittenAgain) {
  const PartitionId dead = create("dead");
  const PartitionId alive = create("alive");
  for (int i = 0; i < 300; ++i) {
    produce(dead, 4, 200);
    if (i % 4 == 0) produce(alive, 1, 200);
  }
  archive();
  ASSERT_GE(archived(), 2u);
  const uint64_t before = archiver_->counters().bytes;
  ASSERT_TRUE(run(streams::make_command(machine_ids::kStreams, streams::kDeleteStream,
                                        streams::encode(streams::DeleteStream{"dead"})))
                  .ok());
  archive();
  archive();
  EXPECT_GT(archiver_->counters().rewritten_total, 0u);
  EXPECT_LT(archiver_->counters().bytes.load(), before / 2);
  expect_all_read(alive);
  EXPECT_EQ(streams_->locate({dead, 0, 1, {}}).error, Errc::not_found);
}

// A compressed batch counts for many records and takes few bytes: what is left of it may be less than one.
TEST_F(ArchiveTest, TheLastRecordOfASmallBatchKeepsItsArchiveSegment) {
  reader_.reset();
  archiver_.reset();
  log_.reset();
  retain_commands_ns_ = 0;
  boot();
  const PartitionId small = create("small");
  constexpr int32_t kRecords = 1'000'000;
  streams::RecordBatchBuilder builder;
  builder.begin(1'000);
  builder.add(1'000, false, {}, true, as_bytes("compressed"));
  const Bytes built = builder.finish(0, 0, true);
  std::vector<std::byte> batch(built.begin(), built.end());
  namespace layout = streams::record_batch_layout;
  store_be<uint16_t>(batch.data() + layout::kAttributes, 4);
  store_be<int32_t>(batch.data() + layout::kLastOffsetDelta, kRecords - 1);
  store_be<int32_t>(batch.data() + layout::kRecordCount, kRecords);
  const uint32_t crc = crc32c(Bytes(batch).subspan(layout::kAttributes));
  store_be<uint32_t>(batch.data() + layout::kCrc, crc);
  ASSERT_TRUE(run(streams::make_append(small, Buffer::copy_of(batch), crc)).ok());
  const PartitionId dead = create("dead");
  for (int i = 0; i < 300; ++i) produce(dead, 4, 200);
  archive();
  ASSERT_GE(archived(), 2u);
  ASSERT_TRUE(run(streams::make_command(machine_ids::kStreams, streams::kSetLogStart,
                                        streams::encode(streams::SetLogStart{{{small, kRecords - 1}}})))
                  .ok());
  ASSERT_TRUE(run(streams::make_command(machine_ids::kStreams, streams::kDeleteStream,
                                        streams::encode(streams::DeleteStream{"dead"})))
                  .ok());
  archive();
  archive();
  ASSERT_LT(streams_->locate({small, kRecords - 1, 1, {}}).indexed, kRecords + 1);
  const auto left = reader_->read(small, kRecords - 1, 1);
  ASSERT_TRUE(left) << left.error().message;
  // The batch cannot be made smaller: it is not written again at every look.
  const uint64_t rewritten = archiver_->counters().rewritten_total;
  archive();
  EXPECT_EQ(archiver_->counters().rewritten_total, rewritten);
}

// The shard is slow to forget, and meanwhile more is archived.
TEST_F(ArchiveTest, TheLogKeepsWhatTheShardHasNotForgotten) {
  const PartitionId partition = create("s");
  for (int i = 0; i < 900; ++i) produce(partition, 4, 200);
  ASSERT_TRUE(archiver_->run_once(shard_->last_applied(), false));
  archiver_->shard_turn(*shard_, *streams_);
  for (int i = 0; i < 1000 && archived() < 3; ++i) ASSERT_TRUE(archiver_->run_once(shard_->last_applied(), false));
  ASSERT_EQ(archived(), 3u);
  archiver_->shard_turn(*shard_, *streams_);
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(archiver_->run_once(shard_->last_applied(), false));
    const Offset indexed = streams_->locate({partition, 0, 1, {}}).indexed;
    const ReadReply where = streams_->locate({partition, indexed, 1, {}});
    ASSERT_FALSE(where.extents.empty());
    ASSERT_GE(where.extents.front().segment, log_->oldest_segment()) << "the index names a segment that is gone";
  }
  EXPECT_GT(log_->oldest_segment(), 1u);
  archive();
  EXPECT_EQ(log_->oldest_segment(), store_->last_log_segment() + 1);
  expect_all_read(partition);
}

TEST_F(ArchiveTest, AClockThatJumpsMakesNothingOld) {
  constexpr int64_t kDayNs = int64_t{86'400'000} * kMs;
  constexpr int64_t kYearNs = 365 * kDayNs;
  const PartitionId kept = create("kept", {86'400'000, -1});
  timestamp_ms_ = clock_.utc_ns() / kMs;
  for (int i = 0; i < 400; ++i) produce(kept, 4, 200);
  archive();
  ASSERT_GE(archived(), 2u);
  clock_.step_utc(kYearNs);
  archive();
  EXPECT_EQ(streams_->locate({kept, 0, 1, {}}).log_start, 0);
  expect_all_read(kept);
  clock_.step_utc(-2 * kYearNs);
  archive();
  EXPECT_EQ(streams_->locate({kept, 0, 1, {}}).log_start, 0);
  clock_.step_utc(kYearNs);
  clock_.advance(2 * kDayNs);
  archive();
  EXPECT_GT(streams_->locate({kept, static_cast<Offset>(model_[kept].size()), 1, {}}).log_start, 0);
}

void flip(Disk& disk, const std::string& path, uint64_t at) {
  auto file = disk.open(path, OpenMode::read_write);
  ASSERT_TRUE(file) << file.error().message;
  std::byte byte{};
  ASSERT_TRUE((*file)->read_at(at, {&byte, 1}));
  byte ^= std::byte{1};
  ASSERT_TRUE((*file)->write_at(at, {&byte, 1}));
}

// Damage that shows after the start costs reads in its range; archiving and the retention of others go on.
TEST_F(ArchiveTest, ADamagedRowStopsNeitherArchivingNorRetention) {
  const PartitionId a = create("a", {-1, 40'000});
  const PartitionId b = create("b", {-1, 40'000});
  for (int i = 0; i < 200; ++i) produce(a, 4, 200);
  archive();
  const uint64_t before = archived();
  ASSERT_GE(before, 1u);
  const auto newest = store_->catalog()->back();
  flip(disk_, newest->path, newest->footer.rows_at + kRowBytes + 20);  // the row of `a`
  for (int i = 0; i < 500; ++i) produce(b, 4, 200);
  archive();
  EXPECT_GT(archived(), before);
  EXPECT_EQ(log_->oldest_segment(), store_->last_log_segment() + 1);
  archive();
  EXPECT_GT(streams_->locate({b, static_cast<Offset>(model_[b].size()), 1, {}}).log_start, 0);
  ASSERT_FALSE(reports_.empty());
  EXPECT_LT(reports_.size(), 5u) << "once, not at every look";
}

// The log goes when the archive segment was read back: header, footer and index too.
TEST_F(ArchiveTest, WhatIsWrittenWrongIsNotPublished) {
  const PartitionId partition = create("s");
  for (int i = 0; i < 300; ++i) produce(partition, 3, 200);
  const auto spoil = [&](const std::function<uint64_t(const ArchiveFooter&)>& place) {
    for (int i = 0; i < 1000; ++i) {
      ASSERT_TRUE(archiver_->run_once(shard_->last_applied(), false));
      archiver_->shard_turn(*shard_, *streams_);
      clock_.advance(kMs);
      auto file = disk_.open(store_->temporary_path(), OpenMode::read);
      if (!file || *(*file)->size() < 2 * kBlockBytes) continue;
      std::vector<std::byte> block(kBlockBytes);
      ASSERT_TRUE((*file)->read_at(*(*file)->size() - kBlockBytes, block));
      const Result<ArchiveFooter> footer = decode_footer(block);
      if (footer) return flip(disk_, store_->temporary_path(), place(*footer));
    }
    FAIL() << "no archive segment was made";
  };
  const std::function<uint64_t(const ArchiveFooter&)> places[] = {
      [](const ArchiveFooter&) { return uint64_t{20}; },
      [](const ArchiveFooter& footer) { return kBlockBytes + (footer.rows_at - kBlockBytes) / 2; },
      [](const ArchiveFooter& footer) { return footer.rows_at + 70; },
      [](const ArchiveFooter& footer) { return footer.runs_at + 2; },
      [](const ArchiveFooter& footer) { return footer.places_at + 9; },
      [](const ArchiveFooter& footer) { return footer.file_bytes - kBlockBytes + 30; },
  };
  uint64_t failed = 0;
  for (const auto& place : places) {
    ASSERT_NO_FATAL_FAILURE(spoil(place));
    archive();
    ASSERT_EQ(archived(), 0u) << "place " << failed;
    ASSERT_EQ(archiver_->counters().failed_total, ++failed);
    ASSERT_EQ(log_->oldest_segment(), 1u);
    clock_.advance(61'000 * kMs);
  }
  archive();
  EXPECT_GT(archived(), 0u);
  expect_all_read(partition);
}

// What the catalog names is on the device, name and content, before anything that it replaces goes: of the log, and of the
// generation before it.
TEST_F(ArchiveTest, WhatIsPublishedSurvivesAPowerCutAtOnce) {
  const PartitionId dead = create("dead");
  const PartitionId alive = create("alive");
  for (int i = 0; i < 300; ++i) {
    produce(dead, 4, 200);
    if (i % 4 == 0) produce(alive, 1, 200);
  }
  std::set<std::string> checked;
  const auto archive_and_check = [&] {
    for (int quiet = 0; quiet < 4;) {
      const Result<bool> more = archiver_->run_once(shard_->last_applied(), false);
      ASSERT_TRUE(more) << more.error().message;
      for (const auto& segment : *store_->catalog()) {
        if (!checked.insert(segment->path).second) continue;
        const Result<std::vector<std::byte>> durable = disk_.durable_content(segment->path);
        ASSERT_TRUE(durable) << "a power cut would take the name " << segment->path;
        std::vector<std::byte> seen(segment->footer.file_bytes);
        ASSERT_TRUE((*disk_.open(segment->path, OpenMode::read))->read_at(0, seen));
        ASSERT_TRUE(*durable == seen) << "a power cut would take the content of " << segment->path;
      }
      archiver_->shard_turn(*shard_, *streams_);
      settle();
      clock_.advance(kMs);
      quiet = *more ? 0 : quiet + 1;
    }
  };
  ASSERT_NO_FATAL_FAILURE(archive_and_check());
  ASSERT_GT(log_->oldest_segment(), 1u);
  const size_t first_generation = checked.size();
  ASSERT_TRUE(run(streams::make_command(machine_ids::kStreams, streams::kDeleteStream,
                                        streams::encode(streams::DeleteStream{"dead"})))
                  .ok());
  ASSERT_NO_FATAL_FAILURE(archive_and_check());
  ASSERT_NO_FATAL_FAILURE(archive_and_check());
  EXPECT_GT(archiver_->counters().rewritten_total, 0u);
  EXPECT_GT(checked.size(), first_generation);
}

// A power cut left the old generation beside the new one, and the new one rotted since.
TEST_F(ArchiveTest, ADamagedRewritingDoesNotRemoveTheOneBefore) {
  const PartitionId dead = create("dead");
  const PartitionId alive = create("alive");
  for (int i = 0; i < 300; ++i) {
    produce(dead, 4, 200);
    if (i % 4 == 0) produce(alive, 1, 200);
  }
  archive();
  const auto before = store_->catalog()->front();
  std::vector<std::byte> bytes(before->footer.file_bytes);
  ASSERT_TRUE((*disk_.open(before->path, OpenMode::read))->read_at(0, bytes));
  ASSERT_TRUE(run(streams::make_command(machine_ids::kStreams, streams::kDeleteStream,
                                        streams::encode(streams::DeleteStream{"dead"})))
                  .ok());
  archive();
  archive();
  const auto after = store_->catalog()->front();
  ASSERT_NE(after->path, before->path);
  ASSERT_TRUE((*disk_.open(before->path, OpenMode::create))->write_at(0, bytes));
  flip(disk_, after->path, after->footer.file_bytes - kBlockBytes + 30);
  ArchiveStore again(disk_, ArchiveStoreOptions{"data/shard-0/archive", 0});
  ASSERT_TRUE(again.open(log_->id()));
  EXPECT_EQ(again.catalog()->front()->path, before->path);
  EXPECT_TRUE(again.catalog()->front()->damage.empty());
  EXPECT_FALSE(again.reports().empty());
  ArchiveReader reader(disk_, again);
  EXPECT_TRUE(reader.read(alive, 0, 1'000));
}

// Nothing with a wrong CRC is handed out, and what is whole is still read.
TEST_F(ArchiveTest, EveryFlippedByteIsFoundOrHarmless) {
  const PartitionId partition = create("s");
  for (int i = 0; i < 100; ++i) {
    produce(partition, 2, 600);
    append("s", partition, 2);
  }
  archive();
  ASSERT_GE(archived(), 1u);
  const auto segment = store_->catalog()->front();
  auto opened_file = disk_.open(segment->path, OpenMode::read_write);
  ASSERT_TRUE(opened_file);
  const std::unique_ptr<File> file = std::move(*opened_file);
  const uint64_t size = *file->size();
  uint64_t found = 0;
  for (uint64_t at = random_.below(64); at < size; at += 1 + random_.below(size / 700)) {
    std::byte byte{};
    ASSERT_TRUE(file->read_at(at, {&byte, 1}));
    const std::byte flipped = byte ^ std::byte{1};
    ASSERT_TRUE(file->write_at(at, {&flipped, 1}));
    ArchiveStore again(disk_, ArchiveStoreOptions{"data/shard-0/archive", 0});
    const Result<void> reopened = again.open(log_->id());
    bool error = !reopened || !again.reports().empty();
    ArchiveReader reader(disk_, again);
    for (Offset next = 0; !error && next < 50;) {
      const auto batches = reader.read(partition, next, 4'000);
      error = !batches;
      if (error) break;
      for (const Buffer& batch : *batches)
        error = !streams::for_each_record(batch.view(), [&](const streams::RecordView& record) {
          if (record.offset < next) return;
          ASSERT_EQ(as_text(record.value), model_[partition][static_cast<size_t>(record.offset)].value) << at;
          next = record.offset + 1;
        }) || error;
    }
    found += error ? 1 : 0;
    ASSERT_TRUE(file->write_at(at, {&byte, 1}));
  }
  EXPECT_GT(found, 50u);
}

// What an interrupted run leaves is cleared; a power cut during any step loses nothing.
TEST_F(ArchiveTest, PowerCutsAtEveryStepLoseNothing) {
  const PartitionId partition = create("s");
  for (int i = 0; i < 300; ++i) produce(partition, 3, 200);
  for (uint64_t steps = 1; steps < 40; ++steps) {
    for (uint64_t i = 0; i < steps; ++i) {
      ASSERT_TRUE(archiver_->run_once(shard_->last_applied(), false));
      archiver_->shard_turn(*shard_, *streams_);
      settle();
      clock_.advance(kMs);
    }
    const Sequence before = shard_->last_applied();
    const bool trimmed = log_->oldest_segment() > 1;
    reader_.reset();
    archiver_.reset();
    log_.reset();
    disk_.crash(static_cast<sim::CrashMode>(random_.below(5)));
    if (trimmed) break;  // a start without a snapshot needs the whole log; restarts behind one are the simulator's
    boot();
    ASSERT_EQ(shard_->last_applied(), before);
    expect_all_read(partition);
  }
}

}  // namespace
}  // namespace heptane::archive
