// `heptane log verify` over archive and snapshots: a small log whose records have left it, and every byte of what holds them
// now turned over once.
#include "kernel/server/history_check.h"

#include <gtest/gtest.h>

#include <sstream>

#include "kernel/archive/archive_format.h"
#include "kernel/log/log_tool.h"
#include "kernel/server/server.h"
#include "kernel/streams/api.h"
#include "kernel/streams/record_batch.h"
#include "sim/sim_clock.h"
#include "sim/sim_disk.h"
#include "sim/sim_net.h"

namespace heptane::server {
namespace {

constexpr uint64_t kSegmentBytes = 32 << 10;
// Sanitisers slow a disk in memory by more than ten times: there, a sample.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr uint64_t kStride = 37;
#else
constexpr uint64_t kStride = 1;
#endif
constexpr const char* kArchive = "data/shard-0/archive";
constexpr const char* kSnapshots = "data/shard-0/snapshots";

class HistoryCheck : public testing::Test {
 protected:
  HistoryCheck()
      : disk_(sim::SimDiskOptions{.seed = 7, .immediate = true}), random_(7), net_random_(8), net_(net_random_, {}) {
    options_.data_directory = "data";
    options_.segment_bytes = kSegmentBytes;
    options_.loopback_v6 = false;
    options_.recovery_turn_ns = 0;
    options_.snapshots.method = snapshot::SnapshotMethod::in_place;
    options_.snapshots.bytes_per_second = 0;
    options_.snapshots.free_bytes_reserve = 0;
    options_.snapshots.log_bytes_min = kSegmentBytes;
    options_.snapshot_keep_bytes = 0;
    options_.archive.target_bytes = kSegmentBytes;
    options_.archive.bytes_per_second = 0;
    options_.archive.look_interval_ns = 1;
    options_.archive.retain_commands_ns = -1;
    write();
  }

  // Events and a producer's batches, until there are two archive segments.
  void write() {
    Server server(Seams{clock_, disk_, random_, net_}, options_, Modules(),
                  [](const Error& error) { FAIL() << error.message; });
    ASSERT_TRUE(server.start());
    turns(server, 20);
    submit(server, streams::make_command(machine_ids::kStreams, streams::kCreateStream,
                                         streams::encode(streams::CreateStream{"events", 1})));
    const PartitionId partition = *server.streams().find_partition("events", 0);
    for (int i = 0; i < 1000 && files(kArchive).size() < 2; ++i)
      submit(server, i % 2 == 0 ? append() : produce(partition));
    turns(server, 100);
  }
  void turns(Server& server, int count) {
    for (int i = 0; i < count; ++i) {
      server.io_turn(0);
      server.shard_turn();
      server.commit_turn();
      server.helper_turn();
      clock_.advance(100'000);
    }
  }
  void submit(Server& server, Submission submission) {
    ASSERT_TRUE(server.shard().submit_internal(std::move(submission)));
    turns(server, 4);
  }
  static Submission append() {
    streams::AppendEvents append;
    append.stream = "events";
    append.records.push_back({false, {}, as_bytes("an event")});
    return streams::make_command(machine_ids::kStreams, streams::kAppendEvents, streams::encode(append));
  }
  static Submission produce(PartitionId partition) {
    streams::RecordBatchBuilder builder;
    builder.begin(1'000);
    builder.add(1'000, false, {}, true, as_bytes("a record"));
    const Bytes batch = builder.finish(0, 0, true);
    return streams::make_append(partition, Buffer::copy_of(batch), load_be<uint32_t>(batch.data() + 17));
  }

  std::vector<std::string> files(const std::string& directory) {
    std::vector<std::string> paths;
    const auto names = disk_.list(directory);
    if (!names) return paths;
    for (const std::string& name : *names) paths.push_back(directory + "/" + name);
    return paths;
  }
  uint64_t size_of(const std::string& path) { return *(*disk_.open(path, OpenMode::read))->size(); }
  HistoryReport check(std::string* lines = nullptr) {
    std::ostringstream out;
    const Result<HistoryReport> report = check_history(disk_, "data", out);
    EXPECT_TRUE(report) << report.error().message;
    if (lines != nullptr) *lines = out.str();
    return report ? *report : HistoryReport();
  }

  // Told with the file's name and an offset.
  void expect_flip_found(const std::string& path, uint64_t at) {
    ASSERT_TRUE(disk_.corrupt(path, at, std::byte{1}));
    std::string lines;
    const HistoryReport report = check(&lines);
    ASSERT_TRUE(disk_.corrupt(path, at, std::byte{1}));
    ASSERT_FALSE(report.sound()) << path << " offset " << at;
    ASSERT_NE(lines.find(path), std::string::npos) << lines;
    ASSERT_NE(lines.find("offset "), std::string::npos) << lines;
  }

  sim::SimDisk disk_;
  sim::SimClock clock_;
  SeededRandom random_;
  SeededRandom net_random_;
  sim::SimNet net_;
  ServerOptions options_;
};

TEST_F(HistoryCheck, CountsWhatItLookedAt) {
  std::string lines;
  const HistoryReport report = check(&lines);
  EXPECT_TRUE(report.sound()) << lines;
  EXPECT_GE(report.archive_segments, 2u);
  EXPECT_EQ(report.snapshots, 2u);
  EXPECT_EQ(report.gaps, 0u);
  uint64_t bytes = 0;
  for (const std::string& path : files(kArchive)) bytes += size_of(path);
  EXPECT_EQ(report.archive_bytes, bytes);
}

// No byte of these files is free: padding is under a CRC too. The log itself is sound all the while.
TEST_F(HistoryCheck, EveryFlippedByteIsFoundAndNamed) {
  const std::vector<std::string> archive = files(kArchive);
  const std::vector<std::string> snapshots = files(kSnapshots);
  ASSERT_GE(archive.size(), 2u);
  ASSERT_EQ(snapshots.size(), 2u);
  for (const std::string& path : {archive.front(), snapshots.front(), snapshots.back()})
    for (uint64_t at = 0; at < size_of(path); at += kStride) ASSERT_NO_FATAL_FAILURE(expect_flip_found(path, at));
  std::ostringstream out;
  const Result<log::VerifyReport> log = log::verify_log(disk_, {"data", 0}, out);
  ASSERT_TRUE(log);
  EXPECT_TRUE(log->sound()) << out.str();
}

TEST_F(HistoryCheck, AnArchiveSegmentCutShortIsFound) {
  const std::string path = files(kArchive).front();
  ASSERT_TRUE((*disk_.open(path, OpenMode::read_write))->truncate(size_of(path) - archive::kBlockBytes));
  EXPECT_EQ(check().problems, 1u);
}

// What retention dropped leaves a gap, which is no damage.
TEST_F(HistoryCheck, AGapIsCounted) {
  const std::vector<std::string> archive = files(kArchive);
  ASSERT_TRUE(disk_.unlink(archive.back()));
  const HistoryReport report = check();
  EXPECT_TRUE(report.sound());
  EXPECT_EQ(report.gaps, 1u);
}

TEST_F(HistoryCheck, ASnapshotUnderAnotherNameIsFound) {
  const std::string path = files(kSnapshots).front();
  ASSERT_TRUE(disk_.rename(path, std::string(kSnapshots) + "/00000000000000000001.snap"));
  EXPECT_EQ(check().problems, 1u);
}

TEST_F(HistoryCheck, WithoutHistoryThereIsNothingToFind) {
  for (const std::string& directory : {std::string(kArchive), std::string(kSnapshots)})
    for (const std::string& path : files(directory)) ASSERT_TRUE(disk_.unlink(path));
  const HistoryReport report = check();
  EXPECT_TRUE(report.sound());
  EXPECT_EQ(report.archive_segments + report.snapshots, 0u);
}

}  // namespace
}  // namespace heptane::server
