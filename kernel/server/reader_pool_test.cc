// Reads that wait for the disk, on threads of their own: every one comes back once with its own records, the queue and
// what is done and not taken are bounded, and files that the archive replaces under a reader are found again.
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <map>
#include <thread>

#include "kernel/base/crc32c.h"
#include "kernel/log/segment_log.h"
#include "kernel/server/reader_pool.h"
#include "kernel/server/runner.h"
#include "kernel/shard/committer.h"
#include "kernel/shard/shard.h"
#include "kernel/streams/streams_machine.h"
#include "sim/sim_clock.h"
#include "sim/sim_disk.h"

namespace heptane::server {
namespace {

constexpr SessionId kSession = 7;

std::string value_of(uint64_t stream, uint64_t record) {
  return "stream " + std::to_string(stream) + " record " + std::to_string(record);
}

// Streams in a log, driven by the test's thread; what lies where is known to the shard's index.
class World {
 public:
  explicit World(Disk& disk, const std::string& directory) : disk_(disk) {
    log::SegmentLogOptions options = log::segment_log_options(directory);
    options.segment_bytes = 256 << 10;
    options.zero_ahead = false;
    auto opened = log::SegmentLog::open(disk, random_, options);
    HEPTANE_ASSERT(opened, "the log does not open");
    log_ = std::move(*opened);
    archive_ =
        std::make_unique<archive::ArchiveStore>(disk, archive::ArchiveStoreOptions{directory + "/shard-0/archive", 0});
    HEPTANE_ASSERT(archive_->open(std::nullopt), "the archive does not open");
    committer_ = std::make_unique<Committer>(*log_, [](const Error& error) { FAIL() << error.message; });
    shard_ = std::make_unique<Shard>(ShardOptions{}, clock_, *committer_);
    shard_->add_machine(streams_);
    shard_->set_streams(streams_);
    shard_->attach(link_);
    const auto recovered = log_->recover(
        {}, [&](const log::BatchView& batch, const log::BatchPlace& place) { return shard_->replay(batch, place); });
    HEPTANE_ASSERT(recovered, "the log does not recover");
    shard_->start(recovered->end);
  }

  void append(uint64_t stream, uint64_t first, uint64_t count) {
    const std::string name = "s" + std::to_string(stream);
    if (!streams_.find_partition(name, 0))
      push(streams::make_command(machine_ids::kStreams, streams::kCreateStream,
                                 streams::encode(streams::CreateStream{name, 1, {}})));
    std::vector<std::string> values;
    for (uint64_t i = 0; i < count; ++i) values.push_back(value_of(stream, first + i));
    streams::AppendEvents events{name, -1, {}, 0};
    for (const std::string& value : values) events.records.push_back({false, {}, as_bytes(value)});
    push(streams::make_command(machine_ids::kStreams, streams::kAppendEvents, streams::encode(events)));
  }

  ReadReply locate(uint64_t stream, Offset offset, uint32_t max_bytes) {
    const auto partition = streams_.find_partition("s" + std::to_string(stream), 0);
    return streams_.locate({*partition, offset, max_bytes, std::nullopt});
  }
  // Lets go of every segment but the last.
  void trim() { HEPTANE_ASSERT(log_->trim(shard_->last_applied()), "the log cannot be trimmed"); }
  std::unique_ptr<LogRecordsReader> reader() {
    return std::make_unique<LogRecordsReader>(*log_, disk_, *archive_, renderers_);
  }

 private:
  void push(Submission submission) {
    submission.payload_crc = crc32c(submission.payload.view());
    HEPTANE_ASSERT(link_.requests.try_push(ShardRequest{1, 1, std::move(submission)}), "the ring is full");
    for (bool more = true; more;) {
      more = shard_->run_once();
      more = committer_->run_once() || more || !link_.requests.empty();
      (void)log_->maintain();
    }
    shard_->run_once();
    while (ShardReply* front = link_.gated.front()) {
      EXPECT_TRUE(std::get<Reply>(front->body).ok()) << std::get<Reply>(front->body).message;
      link_.gated.pop();
    }
  }

  Disk& disk_;
  SeededRandom random_{1};
  sim::SimClock clock_;
  std::unique_ptr<log::SegmentLog> log_;
  std::unique_ptr<archive::ArchiveStore> archive_;
  std::unique_ptr<Committer> committer_;
  ViewRenderers renderers_;
  ShardLink link_{1024};
  streams::StreamsMachine streams_;
  std::unique_ptr<Shard> shard_;
};

// Of the stream, from `offset` on, and nothing else.
uint64_t check_records(const net::RecordsRead& read, uint64_t stream, Offset offset) {
  EXPECT_FALSE(read.error.has_value());
  uint64_t seen = 0;
  for (const Buffer& batch : read.batches)
    EXPECT_TRUE(streams::for_each_record(batch.view(), [&](const streams::RecordView& record) {
      EXPECT_EQ(as_text(record.value), value_of(stream, static_cast<uint64_t>(record.offset)));
      if (record.offset >= offset) ++seen;
    }));
  EXPECT_GT(seen, 0U);
  return seen;
}

class Directory {
 public:
  Directory() {
    std::string name = (std::filesystem::temp_directory_path() / "heptane-readers-XXXXXX").string();
    path_ = ::mkdtemp(name.data());
  }
  ~Directory() { std::filesystem::remove_all(path_); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

TEST(ReaderPool, EveryReadComesBackOnceWithItsOwnRecords) {
  constexpr uint64_t kStreams = 5;
  constexpr uint64_t kRecords = 2'000;
  constexpr uint64_t kReads = 2'000;
  const Directory directory;
  SystemDisk disk;
  World world(disk, directory.path());
  for (uint64_t first = 0; first < kRecords; first += 100)
    for (uint64_t stream = 0; stream < kStreams; ++stream) world.append(stream, first, 100);

  ReadQueue queue;
  Wakeup io;
  Wakeup readers[3];
  queue.set_wake_io([&] { io.notify(); });
  queue.set_wake_readers([&] {
    for (Wakeup& reader : readers) reader.notify();
  });
  PooledRecordsReader pooled(queue, world.reader());
  std::atomic<bool> ended{false};
  std::vector<std::thread> threads;
  for (Wakeup& wakeup : readers)
    threads.emplace_back([&, role = std::make_shared<ReaderRole>(queue, world.reader())] {
      while (!ended)
        if (!role->run_once()) wakeup.wait(-1);
    });
  SeededRandom random(3);
  struct Asked {
    uint64_t stream;
    Offset offset;
  };
  std::map<RequestId, Asked> asked;
  std::optional<net::ReadJob> held;
  uint64_t from_memory = 0;
  for (RequestId next = 1; next <= kReads || !asked.empty();) {
    if (held && pooled.submit(*held)) held.reset();
    if (!held && next <= kReads) {
      const Asked read{random.below(kStreams), static_cast<Offset>(random.below(kRecords))};
      net::ReadJob job{kSession, next++, world.locate(read.stream, read.offset, 1 + random.below(20'000))};
      // Some of what is in memory is read at once; the rest goes to the readers, as if it were not.
      const auto at_once = random.one_in(4) ? pooled.try_read(job.where) : std::nullopt;
      if (at_once) {
        ++from_memory;
        check_records(*at_once, read.stream, read.offset);
      } else {
        asked[job.request] = read;
        if (!pooled.submit(job)) held = std::move(job);
      }
      continue;
    }
    const std::optional<net::ReadDone> done = pooled.take_done();
    if (!done) {
      io.wait(-1);
      continue;
    }
    ASSERT_EQ(done->session, kSession);
    const auto found = asked.find(done->request);
    ASSERT_NE(found, asked.end()) << "answered twice, or never asked";
    check_records(done->records, found->second.stream, found->second.offset);
    asked.erase(found);
  }
  ended = true;
  for (Wakeup& wakeup : readers) wakeup.notify();
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(queue.outstanding(), 0U);
  EXPECT_GT(from_memory, 0U) << "what readers have read of is known to the I/O side, and in memory";
  EXPECT_EQ(pooled.counters().from_memory_total + pooled.counters().by_readers_total, kReads);
}

TEST(ReaderPool, WhatWouldWaitIsHandedOver) {
  sim::SimDisk disk(sim::SimDiskOptions{1, true});
  World world(disk, "data");
  world.append(1, 0, 100);
  ReadQueue queue;
  PooledRecordsReader pooled(queue, world.reader());
  ReaderRole role(queue, world.reader());
  net::ReadJob job{kSession, 1, world.locate(1, 40, 100)};
  EXPECT_FALSE(pooled.try_read(job.where).has_value()) << "nobody has read of this segment yet";
  EXPECT_FALSE(role.run_once());
  ASSERT_TRUE(pooled.submit(job));
  EXPECT_FALSE(pooled.take_done().has_value());
  EXPECT_TRUE(role.run_once());
  const auto done = pooled.take_done();
  ASSERT_TRUE(done.has_value());
  check_records(done->records, 1, 40);
  // The simulated disk says "would wait" once in three.
  uint64_t at_once = 0;
  const ReadReply again = world.locate(1, 40, 100);
  for (int i = 0; i < 100; ++i)
    if (const auto records = pooled.try_read(again)) {
      ++at_once;
      check_records(*records, 1, 40);
    }
  EXPECT_GT(at_once, 20U);
  EXPECT_LT(at_once, 100U);
  // Nothing to read waits for nothing.
  const auto at_end = pooled.try_read(world.locate(1, 100, 100));
  ASSERT_TRUE(at_end.has_value());
  EXPECT_TRUE(at_end->batches.empty());
}

TEST(ReaderPool, ASegmentThatGoesIsReadOnUntilItIsClosed) {
  sim::SimDisk disk(sim::SimDiskOptions{1, true});
  World world(disk, "data");
  for (uint64_t first = 0; first < 20'000; first += 100) world.append(1, first, 100);
  const ReadReply old = world.locate(1, 40, 100);
  ASSERT_LT(old.extents.front().segment, world.locate(1, 19'999, 100).extents.front().segment);
  const auto reader = world.reader();
  check_records(reader->read(old), 1, 40);
  const auto others = world.reader();
  world.trim();
  check_records(reader->read(old), 1, 40);
  EXPECT_EQ(others->read(old).error, Errc::io) << "nobody else finds it, and the archive has not got it";
  reader->close_gone();
  EXPECT_EQ(reader->read(old).error, Errc::io);
}

TEST(ReaderPool, AFullQueueRefusesAndReadersRestAtTheirLimit) {
  ReadQueue queue;
  uint64_t woken = 0;
  queue.set_wake_readers([&] { ++woken; });
  for (RequestId request = 1; request <= ReadQueue::kJobsMax; ++request) {
    net::ReadJob job{kSession, request, {}};
    ASSERT_TRUE(queue.try_push(job));
  }
  net::ReadJob refused{kSession, 999, {}};
  refused.where.extents.resize(3);
  ASSERT_FALSE(queue.try_push(refused));
  EXPECT_EQ(refused.where.extents.size(), 3U) << "a refused read is offered again as it is";

  const Buffer large = Buffer::take(std::vector<std::byte>(ReadQueue::kDoneBytesMax / 2));
  for (int i = 0; i < 2; ++i) {
    const auto job = queue.take_job();
    ASSERT_TRUE(job.has_value());
    net::RecordsRead records;
    records.batches.push_back(large);
    queue.finish({job->session, job->request, std::move(records), 0});
  }
  EXPECT_FALSE(queue.take_job().has_value()) << "too much is done and not taken";
  EXPECT_FALSE(queue.try_push(refused)) << "what is done and not taken counts";
  const uint64_t before = woken;
  ASSERT_TRUE(queue.take_done().has_value());
  EXPECT_EQ(woken, before + 1) << "readers go on";
  EXPECT_TRUE(queue.take_job().has_value());
  EXPECT_TRUE(queue.try_push(refused));
}

}  // namespace
}  // namespace heptane::server
