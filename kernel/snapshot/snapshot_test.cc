// Snapshots of a shard with both toys on a real log, on the simulated disk and on the system's.
#include "kernel/snapshot/snapshot_taker.h"

#include <gtest/gtest.h>

#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <set>

#include <filesystem>
#include <thread>

#include "kernel/base/crc32c.h"
#include "kernel/log/segment_log.h"
#include "kernel/streams/streams_machine.h"
#include "sim/sim_clock.h"
#include "sim/sim_disk.h"
#include "test/toys/counter_ledger.h"
#include "test/toys/kv_machine.h"

namespace heptane::snapshot {
namespace {

using namespace heptane::test;

SnapshotTakerOptions unpaced(SnapshotMethod method) {
  SnapshotTakerOptions options;
  options.method = method;
  options.bytes_per_second = 0;
  options.log_bytes_min = uint64_t{1} << 40;
  return options;
}

// One life of a server without a network: recovered from what is on the disk, driven by one thread.
class Node {
 public:
  Node(Disk& disk, std::string data, SnapshotTakerOptions options, bool use_snapshots = true,
       SnapshotHistory history = {})
      : store_(disk, {data + "/snapshots", data + "/quarantine", 0, 2, 2, {}, history}),
        taker_(store_, clock_, options),
        random_(7),
        started_(boot(disk, data, use_snapshots)) {}

  const Result<void>& started() const { return started_; }
  bool failed() const { return !started_ || fatal_.has_value(); }

  // Runs a command to its acknowledgement; nullopt when the node died before it.
  std::optional<Reply> run(MachineId machine, CommandType type, Buffer payload) {
    Submission submission = streams::make_command(machine, type, std::move(payload));
    submission.payload_crc = crc32c(submission.payload.view());
    HEPTANE_ASSERT(link_->requests.try_push(ShardRequest{1, 1, std::move(submission)}), "the ring is full");
    settle();
    ShardReply* front = link_->gated.front();
    if (front == nullptr || front->gate > link_->watermark.load()) return std::nullopt;
    Reply reply = std::get<Reply>(std::move(front->body));
    link_->gated.pop();
    return reply;
  }
  bool put(int number) {
    return run(kKvId, kKvPut, kv_payload("key" + std::to_string(number % 97), std::string(40 + number % 800, 'v')))
        .has_value();
  }
  bool deposit(int number) {
    return run(kLedgerId, kLedgerDeposit, ledger_payload({0, static_cast<uint32_t>(number % 50), number, 0}))
        .has_value();
  }
  // A mix of both; false when the node died.
  bool work(int from, int to) {
    for (int i = from; i < to; ++i)
      if (!(i % 3 == 0 ? deposit(i) : put(i))) return false;
    return true;
  }

  void settle() {
    bool more = true;
    while (more && !fatal_) {
      if (taker_.wants_state() && !shard_->rest_awaited())
        shard_->when_at_rest([this](const RestPoint& rest) { taker_.take(*shard_, *streams_, rest); });
      more = shard_->run_once();
      more = committer_->run_once() || more || !link_->requests.empty() || shard_->rest_awaited();
    }
    shard_->run_once();
  }
  void prepare_snapshot() {
    (void)taker_.request();
    while (!taker_.wants_state() && helper_turn()) {
    }
  }
  bool helper_turn() { return taker_.run_once(committer_->bytes_total(), committer_->watermark()); }
  // Until the snapshot at work is there or given up.
  void finish_snapshot() {
    while (!taker_.idle() && !fatal_) {
      while (helper_turn()) {
      }
      settle();
      std::this_thread::yield();
    }
  }
  void snapshot() {
    (void)taker_.request();
    finish_snapshot();
  }

  Hash128 hash() const { return shard_->state_hash(); }
  Sequence sequence() const { return shard_->last_applied(); }
  Shard& shard() { return *shard_; }
  KvMachine& kv() { return *kv_; }
  streams::StreamsMachine& streams() { return *streams_; }
  SnapshotStore& store() { return store_; }
  SnapshotTaker& taker() { return taker_; }
  sim::SimClock& clock() { return clock_; }
  const RestoredSnapshot& restored() const { return restored_; }
  const log::RecoveryReport& recovery() const { return recovery_; }
  std::vector<std::string>& reports() { return reports_; }
  // Bytes of a stream's records as a reader gets them through the index.
  std::vector<std::byte> changes() {
    const auto partition = streams_->find_partition("toy.kv.changes", 0);
    std::vector<std::byte> all;
    if (!partition) return all;
    const Offset end = streams_->durable_end(*partition);
    std::unique_ptr<log::LogReader> reader = log_->reader();
    for (Offset at = 0; at < end;) {
      const ReadReply reply = streams_->locate(ReadRequest{*partition, at, 1 << 20});
      Offset reached = at;
      for (const Extent& extent : reply.extents) {
        std::vector<std::byte> bytes(extent.end - extent.begin);
        EXPECT_TRUE(reader->read(extent.segment, extent.begin, bytes).ok());
        all.insert(all.end(), bytes.begin(), bytes.end());
        reached = end;
      }
      if (reached == at) break;
      at = reached;
    }
    return all;
  }

 private:
  Result<void> boot(Disk& disk, const std::string& data, bool use_snapshots) {
    log::SegmentLogOptions options;
    options.directory = data + "/log";
    options.quarantine_directory = data + "/quarantine";
    options.data_directory = data;
    options.segment_bytes = uint64_t{1} << 20;
    options.zero_ahead = false;
    Result<std::unique_ptr<log::SegmentLog>> opened = log::SegmentLog::open(disk, random_, options);
    if (!opened) return opened.error();
    log_ = std::move(*opened);
    committer_ = std::make_unique<Committer>(*log_, [this](const Error& error) { fatal_ = error; });
    link_ = std::make_unique<ShardLink>(1024);
    shard_ = std::make_unique<Shard>(ShardOptions{}, clock_, *committer_);
    streams_ = std::make_unique<streams::StreamsMachine>();
    kv_ = std::make_unique<KvMachine>();
    ledger_ = std::make_unique<CounterLedger>();
    for (StateMachine* machine : std::initializer_list<StateMachine*>{streams_.get(), kv_.get(), ledger_.get()})
      shard_->add_machine(*machine);
    shard_->set_streams(*streams_);
    shard_->attach(*link_);
    taker_.set_report([this](const std::string& line) { reports_.push_back(line); });
    return recover(disk, options.directory, use_snapshots);
  }

  Result<void> recover(Disk& disk, const std::string& log_directory, bool use_snapshots) {
    HEPTANE_TRY(store_.open());
    if (use_snapshots) {
      const Result<std::optional<LogId>> id = peek_log_id(disk, log_directory);
      if (!id) return id.error();
      Result<RestoredSnapshot> restored = store_.restore(*shard_, *streams_, *id);
      if (!restored) return restored.error();
      restored_ = std::move(*restored);
    }
    Result<log::RecoveryReport> report = log_->recover(
        restored_.from,
        [this](const log::BatchView& batch, const log::BatchPlace& place) { return shard_->replay(batch, place); });
    if (!report) return report.error();
    recovery_ = *report;
    log::LogEnd end = report->end;
    end.epoch = std::max(end.epoch, restored_.header.epoch);
    taker_.start(log_->id(), 0, restored_, report->bytes);
    shard_->start(end);
    settle();
    return {};
  }

  sim::SimClock clock_;
  SnapshotStore store_;
  SnapshotTaker taker_;
  SeededRandom random_;
  std::optional<Error> fatal_;
  std::unique_ptr<log::SegmentLog> log_;
  std::unique_ptr<Committer> committer_;
  std::unique_ptr<ShardLink> link_;
  std::unique_ptr<Shard> shard_;
  std::unique_ptr<streams::StreamsMachine> streams_;
  std::unique_ptr<KvMachine> kv_;
  std::unique_ptr<CounterLedger> ledger_;
  RestoredSnapshot restored_;
  log::RecoveryReport recovery_;
  std::vector<std::string> reports_;
  Result<void> started_;
};

sim::SimDiskOptions immediate(uint64_t seed = 1) { return {.seed = seed, .immediate = true}; }

// What a start computes from the whole log, without any snapshot.
Hash128 replayed_hash(const sim::SimDisk& disk) {
  const std::unique_ptr<sim::SimDisk> copy = disk.clone();
  copy->set_immediate(true);
  Node node(*copy, "/data", unpaced(SnapshotMethod::in_place), false);
  EXPECT_TRUE(node.started().ok()) << node.started().error().message;
  return node.hash();
}

TEST(Snapshot, RestoresStateIndexAndPlaceInTheLog) {
  sim::SimDisk disk(immediate());
  Hash128 hash;
  std::vector<std::byte> changes;
  {
    Node node(disk, "/data", unpaced(SnapshotMethod::in_place));
    ASSERT_TRUE(node.work(0, 300));
    node.snapshot();
    ASSERT_EQ(node.taker().counters().taken_total, 1u);
    ASSERT_TRUE(node.work(300, 420));
    hash = node.hash();
    changes = node.changes();
    ASSERT_FALSE(changes.empty());
  }
  disk.process_kill();
  Node again(disk, "/data", unpaced(SnapshotMethod::in_place));
  ASSERT_TRUE(again.started().ok()) << again.started().error().message;
  EXPECT_EQ(again.restored().header.sequence, 300u);
  EXPECT_EQ(again.recovery().end.last_sequence, 420u);
  EXPECT_EQ(again.hash(), hash);
  EXPECT_EQ(again.hash(), replayed_hash(disk));
  EXPECT_EQ(again.changes(), changes);
  EXPECT_TRUE(again.work(420, 500));
}

TEST(Snapshot, EpochGoesOnWhenNothingFollowsTheSnapshot) {
  sim::SimDisk disk(immediate());
  Epoch epoch = 0;
  {
    Node node(disk, "/data", unpaced(SnapshotMethod::in_place));
    ASSERT_TRUE(node.work(0, 10));
    node.snapshot();
    epoch = node.shard().epoch();
  }
  disk.process_kill();
  for (int start = 0; start < 3; ++start) {
    Node again(disk, "/data", unpaced(SnapshotMethod::in_place));
    ASSERT_TRUE(again.started().ok()) << again.started().error().message;
    EXPECT_TRUE(again.restored().any);
    EXPECT_EQ(again.shard().epoch(), epoch + 1 + static_cast<Epoch>(start));
    disk.process_kill();
  }
}

TEST(Snapshot, KeepsTwoAndReplayFromTheOlderReachesTheNewer) {
  sim::SimDisk disk(immediate());
  Hash128 newest;
  {
    Node node(disk, "/data", unpaced(SnapshotMethod::in_place));
    for (int round = 0; round < 4; ++round) {
      ASSERT_TRUE(node.work(round * 100, round * 100 + 100));
      node.snapshot();
    }
    node.snapshot();  // of the same sequence: none
    EXPECT_EQ(node.taker().counters().taken_total, 4u);
    newest = node.hash();
    const auto names = node.store().list();
    ASSERT_EQ(names->size(), 2u);
    EXPECT_EQ((*names)[0].sequence, 400u);
    EXPECT_EQ((*names)[1].sequence, 300u);
  }
  disk.process_kill();
  ASSERT_TRUE(disk.unlink("/data/snapshots/00000000000000000400.snap").ok());
  Node again(disk, "/data", unpaced(SnapshotMethod::in_place));
  ASSERT_TRUE(again.started().ok());
  EXPECT_EQ(again.restored().header.sequence, 300u);
  EXPECT_EQ(again.hash(), newest);
}

TEST(Snapshot, EveryFlippedByteIsFoundAndTheOlderOneServes) {
  sim::SimDisk disk(immediate());
  Hash128 hash;
  {
    Node node(disk, "/data", unpaced(SnapshotMethod::in_place));
    ASSERT_TRUE(node.work(0, 60));
    node.snapshot();
    ASSERT_TRUE(node.work(60, 120));
    node.snapshot();
    ASSERT_TRUE(node.work(120, 130));
    hash = node.hash();
  }
  disk.process_kill();
  const std::string newest = "/data/snapshots/00000000000000000120.snap";
  const uint64_t bytes = disk.open(newest, OpenMode::read).value()->size().value();
  // All of the beginnings of header, chunks and footer, and every 61st byte elsewhere, padding included.
  for (uint64_t offset = 0; offset < bytes; offset += offset % kBlockBytes < 96 ? 1 : 61) {
    const std::unique_ptr<sim::SimDisk> copy = disk.clone();
    copy->set_immediate(true);
    ASSERT_TRUE(copy->corrupt(newest, offset, std::byte{0x40}).ok());
    const auto reader = SnapshotFileReader::open(*copy, newest, OpenHint::none);
    ASSERT_FALSE(reader && (*reader)->verify()) << "offset " << offset;
    if (offset % 16 != 0) continue;  // a whole start is dear
    Node again(*copy, "/data", unpaced(SnapshotMethod::in_place));
    ASSERT_TRUE(again.started().ok()) << offset << ": " << again.started().error().message;
    ASSERT_EQ(again.restored().header.sequence, 60u) << offset;
    ASSERT_EQ(again.restored().reports.size(), 1u);
    ASSERT_EQ(again.hash(), hash) << offset;
    ASSERT_TRUE(copy->exists("/data/quarantine/00000000000000000120.snap").value());
  }
}

TEST(Snapshot, CutAnywhereIsFound) {
  sim::SimDisk disk(immediate());
  Node node(disk, "/data", unpaced(SnapshotMethod::in_place));
  ASSERT_TRUE(node.work(0, 60));
  node.snapshot();
  const std::string path = node.store().final_path(60);
  const uint64_t bytes = disk.open(path, OpenMode::read).value()->size().value();
  for (uint64_t size = 0; size < bytes; size += 1024) {
    const std::unique_ptr<sim::SimDisk> copy = disk.clone();
    ASSERT_TRUE(copy->open(path, OpenMode::read_write).value()->truncate(size).ok());
    const auto reader = SnapshotFileReader::open(*copy, path, OpenHint::none);
    ASSERT_FALSE(reader && (*reader)->verify()) << size;
  }
}

TEST(Snapshot, TheVersionBeforeTheFreezeIsReadAndALaterOneRefusedByName) {
  SnapshotHeader header;
  header.sequence = 7;
  header.segment = 1;
  header.offset = kBlockBytes;
  std::vector<std::byte> block(kBlockBytes);
  for (uint16_t version = 0; version <= kFormatVersion + 1; ++version) {
    encode(header, block.data());
    store_le<uint16_t>(block.data() + 4, version);
    store_le<uint32_t>(block.data() + 8, 0);
    store_le<uint32_t>(block.data() + 8, crc32c(block));
    const Result<SnapshotHeader> read = decode_header(block);
    if (version <= kFormatVersion) {
      ASSERT_TRUE(read) << version << ": " << read.error().message;
      EXPECT_EQ(read->sequence, 7u);
      continue;
    }
    ASSERT_FALSE(read);
    EXPECT_EQ(read.error().code, Errc::unsupported);
    EXPECT_NE(read.error().message.find("version " + std::to_string(version)), std::string::npos);
  }
}

TEST(Snapshot, OfAnotherLogOrUnderAnotherNameIsRefused) {
  sim::SimDisk disk(immediate());
  {
    Node node(disk, "/data", unpaced(SnapshotMethod::in_place));
    ASSERT_TRUE(node.work(0, 20));
    node.snapshot();
  }
  disk.process_kill();
  const std::string path = "/data/snapshots/00000000000000000020.snap";
  SnapshotStore store(disk, {"/data/snapshots", "/data/quarantine"});
  const auto refusal_of = [&](const std::optional<LogId>& id) {
    sim::SimDisk other(immediate(2));
    Node fresh(other, "/other", unpaced(SnapshotMethod::in_place));
    streams::StreamsMachine streams;
    return store.restore(fresh.shard(), streams, id);
  };
  LogId foreign{};
  foreign[3] = std::byte{9};
  const auto refused = refusal_of(foreign);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, Errc::refused);
  EXPECT_TRUE(disk.exists(path).value());
  ASSERT_TRUE(disk.rename(path, "/data/snapshots/00000000000000000021.snap").ok());
  const auto renamed = refusal_of(std::nullopt);
  ASSERT_FALSE(renamed.ok());
  EXPECT_EQ(renamed.error().code, Errc::refused);
}

TEST(Snapshot, LogThatEndsBelowIsRefused) {
  sim::SimDisk disk(immediate());
  {
    Node node(disk, "/data", unpaced(SnapshotMethod::in_place));
    ASSERT_TRUE(node.work(0, 50));
    node.snapshot();
  }
  disk.process_kill();
  for (const std::string& file : disk.files()) {
    if (!file.ends_with(".seg")) continue;
    ASSERT_TRUE(disk.unlink(file).ok());
  }
  Node again(disk, "/data", unpaced(SnapshotMethod::in_place));
  ASSERT_FALSE(again.started().ok());
  EXPECT_EQ(again.started().error().code, Errc::corrupt);
}

TEST(Snapshot, PowerCutAtEveryOperationLosesNothing) {
  // How many operations there are between the request and the end.
  uint64_t first = 0;
  uint64_t last = 0;
  const auto script = [&](sim::SimDisk& disk, Sequence& acknowledged, std::optional<uint64_t> cut) {
    Node node(disk, "/data", unpaced(SnapshotMethod::in_place));
    ASSERT_TRUE(node.work(0, 30));
    node.snapshot();
    ASSERT_TRUE(node.work(30, 60));
    node.snapshot();
    ASSERT_TRUE(node.work(60, 90));
    acknowledged = 90;
    first = disk.counters().operations;
    if (cut) disk.crash_after_operations(*cut);
    node.snapshot();  // the third: publishes and removes the first
    for (int i = 90; i < 95 && node.deposit(i); ++i) ++acknowledged;
    last = disk.counters().operations;
  };
  {
    sim::SimDisk disk(immediate());
    Sequence acknowledged = 0;
    script(disk, acknowledged, std::nullopt);
    ASSERT_EQ(acknowledged, 95u);
  }
  const uint64_t operations = last - first;
  ASSERT_GT(operations, 8u);
  for (uint64_t cut = 0; cut <= operations; ++cut)
    for (const sim::CrashMode mode : {sim::CrashMode::lose_all, sim::CrashMode::keep_all, sim::CrashMode::prefix,
                                      sim::CrashMode::random, sim::CrashMode::hostile}) {
      sim::SimDisk disk(immediate(cut + 1));
      Sequence acknowledged = 0;
      script(disk, acknowledged, cut);
      disk.crash(mode);
      const Hash128 whole = replayed_hash(disk);
      Node again(disk, "/data", unpaced(SnapshotMethod::in_place));
      ASSERT_TRUE(again.started().ok()) << cut << ": " << again.started().error().message;
      ASSERT_GE(again.sequence(), acknowledged) << cut;
      ASSERT_GE(again.restored().header.sequence, 60u) << cut;
      ASSERT_TRUE(again.restored().reports.empty()) << again.restored().reports.front();
      ASSERT_EQ(again.hash(), whole) << cut;
      again.snapshot();
      ASSERT_TRUE(again.work(100, 110));
    }
}

TEST(Snapshot, DiskErrorsCostOnlyTheSnapshot) {
  for (const sim::SimFault fault : {sim::SimFault::write_error, sim::SimFault::no_space, sim::SimFault::sync_error,
                                    sim::SimFault::directory_sync_error, sim::SimFault::read_error}) {
    sim::SimDisk disk(immediate());
    Node node(disk, "/data", unpaced(SnapshotMethod::in_place));
    ASSERT_TRUE(node.work(0, 30));
    disk.inject(fault);
    node.snapshot();
    EXPECT_EQ(node.taker().counters().failed_total, 1u) << static_cast<int>(fault);
    EXPECT_EQ(node.reports().size(), 1u);
    disk.clear_faults();
    ASSERT_TRUE(node.work(30, 60));
    node.snapshot();
    EXPECT_EQ(node.taker().counters().taken_total, 1u) << static_cast<int>(fault);
    EXPECT_FALSE(disk.exists(node.store().temporary_path()).value());
  }
}

TEST(Snapshot, IsDueByTheGrowthOfTheLog) {
  sim::SimDisk disk(immediate());
  SnapshotTakerOptions options = unpaced(SnapshotMethod::in_place);
  options.log_bytes_min = uint64_t{64} << 10;
  Node node(disk, "/data", options);
  node.finish_snapshot();
  node.helper_turn();
  ASSERT_TRUE(node.taker().idle());
  ASSERT_TRUE(node.work(0, 200));
  node.helper_turn();
  ASSERT_FALSE(node.taker().idle());
  node.finish_snapshot();
  EXPECT_EQ(node.taker().counters().taken_total, 1u);
  node.helper_turn();
  EXPECT_TRUE(node.taker().idle());
}

TEST(Snapshot, AboveACutGoToQuarantine) {
  sim::SimDisk disk(immediate());
  Node node(disk, "/data", unpaced(SnapshotMethod::in_place));
  for (int round = 0; round < 2; ++round) {
    ASSERT_TRUE(node.work(round * 10, round * 10 + 10));
    node.snapshot();
  }
  ASSERT_EQ(node.store().quarantine_above(15)->size(), 1u);
  EXPECT_EQ(node.store().list()->size(), 1u);
}

class History : public testing::Test {
 protected:
  // Sequences of what is kept after `count` snapshots, `step` commands apart, newest first.
  std::vector<Sequence> kept_after(int count, SnapshotHistory history, int64_t apart_ns = 1'000'000, int step = 1) {
    node_ = std::make_unique<Node>(disk_, "/data", unpaced(SnapshotMethod::in_place), true, history);
    for (int i = 0; i < count; ++i) {
      EXPECT_TRUE(node_->work(i * step, (i + 1) * step));
      node_->snapshot();
      node_->clock().advance(apart_ns);
    }
    return sequences();
  }
  std::vector<Sequence> sequences() const {
    std::vector<Sequence> found;
    const auto names = node_->store().list();
    EXPECT_TRUE(names);
    for (const SnapshotName& name : *names) found.push_back(name.sequence);
    return found;
  }
  static constexpr uint64_t kAllBytes = uint64_t{1} << 30;

  sim::SimDisk disk_{immediate()};
  std::unique_ptr<Node> node_;
};

TEST_F(History, NoneWithoutAWish) { EXPECT_EQ(kept_after(5, {}), (std::vector<Sequence>{5, 4})); }

TEST_F(History, IsKeptForTheWishedTimeAndInTheWishedBytes) {
  EXPECT_EQ(kept_after(6, {kAllBytes, -1}), (std::vector<Sequence>{6, 5, 4, 3, 2, 1}));
  EXPECT_EQ(*node_->store().recovery_floor(), 5u) << "the log reaches below the second one, not below history";
  EXPECT_TRUE(*node_->store().forget_history());
  EXPECT_EQ(sequences(), (std::vector<Sequence>{6, 5}));
  EXPECT_FALSE(*node_->store().forget_history());
}

// The log reaches below the second one and no further: an older one could not be gone on from.
TEST_F(History, IsNotFallenBackToWhenFilesAreMissing) {
  ASSERT_EQ(kept_after(4, {kAllBytes, -1}), (std::vector<Sequence>{4, 3, 2, 1}));
  // Behind each snapshot that lacks a file the machines are made fresh again, by a restore of their own.
  std::set<int> lacking;
  int restores = 0;
  node_->kv().lack_files([&] { return lacking.contains(restores++); });
  const auto restore = [&](std::set<int> at) {
    lacking = std::move(at);
    restores = 0;
    return node_->store().restore(node_->shard(), node_->streams(), {});
  };
  const Result<RestoredSnapshot> second = restore({0});
  ASSERT_TRUE(second);
  EXPECT_EQ(second->header.sequence, 3U);
  const Result<RestoredSnapshot> none = restore({0, 2});
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, Errc::refused);
  EXPECT_NE(none.error().message.find(node_->store().list()->front().path), std::string::npos) << none.error().message;
}

TEST_F(History, TheOldGo) {
  constexpr int64_t kSecond = 1'000'000'000;
  EXPECT_EQ(kept_after(6, {kAllBytes, 3 * kSecond + kSecond / 2}, kSecond), (std::vector<Sequence>{6, 5, 4, 3}));
}

TEST_F(History, TheOldestGoWhenThereAreTooManyBytes) {
  (void)kept_after(3, {kAllBytes, -1});
  const uint64_t bytes = *(*disk_.open(node_->store().final_path(1), OpenMode::read))->size();
  node_.reset();
  sim::SimDisk fresh(immediate());
  Node node(fresh, "/data", unpaced(SnapshotMethod::in_place), true, {2 * bytes + bytes / 2, -1});
  for (int i = 0; i < 6; ++i) {
    ASSERT_TRUE(node.work(i, i + 1));
    node.snapshot();
  }
  const auto names = *node.store().list();
  ASSERT_EQ(names.size(), 4u);
  EXPECT_EQ(names.back().sequence, 3u);
}

TEST_F(History, ThinsOutEvenly) {
  const std::vector<Sequence> kept = kept_after(300, {kAllBytes, -1});
  ASSERT_EQ(kept.size(), kHistoryMax + 2);
  EXPECT_EQ(kept.back(), 1u) << "as far back as ever";
  Sequence widest = 0;
  for (size_t i = 2; i + 1 < kept.size(); ++i) widest = std::max(widest, kept[i] - kept[i + 1]);
  EXPECT_LE(widest, 3 * 300 / kHistoryMax) << "a gap is not much wider than the others";
}

class SnapshotOnDisk : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (std::filesystem::temp_directory_path() / "heptane-snapshot-XXXXXX").string();
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    data_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(data_); }

  SystemDisk disk_;
  std::string data_;
};

TEST_F(SnapshotOnDisk, ForkedChildWritesWhileTheShardGoesOn) {
  Hash128 hash;
  {
    Node node(disk_, data_, unpaced(SnapshotMethod::fork));
    ASSERT_TRUE(node.work(0, 300));
    node.prepare_snapshot();
    ASSERT_TRUE(node.taker().wants_state());
    node.settle();
    ASSERT_GE(node.taker().child(), 0);
    ASSERT_TRUE(node.work(300, 330));  // changes pages that the child still reads
    node.finish_snapshot();
    ASSERT_EQ(node.taker().counters().taken_total, 1u) << (node.reports().empty() ? "" : node.reports().front());
    RecordProperty("pause_us", static_cast<int>(node.taker().counters().last_pause_ns / 1000));
    hash = node.hash();
  }
  Node again(disk_, data_, unpaced(SnapshotMethod::fork));
  ASSERT_TRUE(again.started().ok()) << again.started().error().message;
  EXPECT_EQ(again.restored().header.sequence, 300u);
  EXPECT_EQ(again.hash(), hash);
}

TEST_F(SnapshotOnDisk, ChildThatDiesCostsOnlyTheSnapshot) {
  SnapshotTakerOptions options = unpaced(SnapshotMethod::fork);
  options.bytes_per_second = 1;  // it sleeps before it syncs
  Node node(disk_, data_, options);
  ASSERT_TRUE(node.work(0, 20));
  node.prepare_snapshot();
  node.settle();
  ASSERT_GE(node.taker().child(), 0);
  ::kill(node.taker().child(), SIGKILL);
  node.finish_snapshot();
  EXPECT_EQ(node.taker().counters().failed_total, 1u);
  EXPECT_TRUE(node.store().list()->empty());
  ASSERT_TRUE(node.work(20, 40));
  // A stop does not wait for a slow child, and the last one is written in place.
  node.prepare_snapshot();
  node.settle();
  ASSERT_GE(node.taker().child(), 0);
  ASSERT_TRUE(node.work(40, 50));
  node.taker().request_last();
  node.finish_snapshot();
  ASSERT_EQ(node.store().list()->size(), 1u);
  EXPECT_EQ(node.store().list()->front().sequence, 50u);
}

// A child that hangs (a stopped one does) is ended at its deadline, and the next attempt succeeds.
TEST_F(SnapshotOnDisk, AChildThatHangsIsEnded) {
  SnapshotTakerOptions options = unpaced(SnapshotMethod::fork);
  options.bytes_per_second = 1;  // it sleeps before it syncs
  options.child_deadline_ns = 20'000'000'000;
  Node node(disk_, data_, options);
  ASSERT_TRUE(node.work(0, 20));
  node.prepare_snapshot();
  node.settle();
  const pid_t child = node.taker().child();
  ASSERT_GE(child, 0);
  ::kill(child, SIGSTOP);
  ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(child), nullptr, WSTOPPED | WNOWAIT), 0);
  node.helper_turn();  // sees how far the file has grown
  node.clock().advance(options.child_deadline_ns - 1);
  node.helper_turn();
  EXPECT_EQ(node.taker().counters().stuck_total, 0u) << "not yet";
  node.clock().advance(1);
  node.finish_snapshot();
  EXPECT_EQ(node.taker().counters().stuck_total, 1u);
  EXPECT_EQ(node.taker().counters().failed_total, 1u);
  EXPECT_LT(::kill(child, 0), 0) << "it is gone";
  ASSERT_EQ(node.reports().size(), 1u);
  EXPECT_NE(node.reports().front().find("wrote nothing for 20 s and was ended"), std::string::npos)
      << node.reports().front();
  options.bytes_per_second = 0;
  node.taker().reconfigure(options);
  ASSERT_TRUE(node.work(20, 40));
  node.snapshot();
  EXPECT_EQ(node.taker().counters().taken_total, 1u);
}

TEST_F(SnapshotOnDisk, EveryRequestIsAnswered) {
  Node node(disk_, data_, unpaced(SnapshotMethod::fork));
  ASSERT_TRUE(node.work(0, 20));
  const SnapshotCounters& counters = node.taker().counters();
  const uint64_t first = node.taker().request();
  EXPECT_LT(counters.answered, first);
  node.finish_snapshot();
  EXPECT_EQ(counters.answered, first);
  // Nothing new to write: an answer all the same.
  const uint64_t second = node.taker().request();
  const uint64_t third = node.taker().request();
  EXPECT_LT(counters.answered, second);
  node.finish_snapshot();
  EXPECT_EQ(counters.answered, third);
  EXPECT_EQ(counters.taken_total, 1u);
  EXPECT_FALSE(counters.last_failed);
}

// Files of two kinds; the test says what is synced.
class ToldFiles final : public MachineFiles {
 public:
  void open(const FilePlace&) override {}
  std::vector<uint32_t> named() override { return named_; }
  std::vector<uint32_t> durable() const override { return durable_; }
  Result<bool> write_next() override { return false; }
  uint32_t verify(std::vector<std::string>&) const override { return 0; }

  std::vector<uint32_t> named_{3, 1};
  std::vector<uint32_t> durable_{3, 0};
};

TEST_F(SnapshotOnDisk, IsPublishedWhenTheFilesThatItNamesAreSynced) {
  ToldFiles files;
  Node node(disk_, data_, unpaced(SnapshotMethod::in_place));
  node.kv().keep_history_in(files);
  ASSERT_TRUE(node.work(0, 20));
  node.prepare_snapshot();
  node.settle();
  const auto turns = [&node] {
    for (int turn = 0; turn < 1000; ++turn) (void)node.helper_turn();
  };
  turns();
  EXPECT_TRUE(node.store().list()->empty());
  EXPECT_FALSE(node.taker().idle());
  files.named_ = {9, 9};  // what comes later concerns the next one
  files.durable_ = {2, 1};
  turns();
  EXPECT_TRUE(node.store().list()->empty()) << "every kind has its own count";
  files.durable_ = {3, 1};
  node.finish_snapshot();
  EXPECT_EQ(node.store().list()->size(), 1u);
  EXPECT_FALSE(node.taker().counters().last_failed);
}

TEST_F(SnapshotOnDisk, IsReadBackNoFasterThanItsPace) {
  constexpr uint64_t kPace = 1'000'000;
  SnapshotTakerOptions options = unpaced(SnapshotMethod::in_place);
  options.bytes_per_second = kPace;
  Node node(disk_, data_, options);
  for (int i = 0; i < 5000; ++i)
    ASSERT_TRUE(node.run(kKvId, kKvPut, kv_payload("key" + std::to_string(i), std::string(1000, 'v'))));
  node.prepare_snapshot();
  node.settle();
  const int64_t begin_ns = node.clock().monotonic_ns();
  for (int64_t turn = 0; !node.taker().idle(); ++turn) {
    ASSERT_LT(turn, 1'000'000);
    if (node.helper_turn() || node.taker().next_step_ns() == INT64_MAX) continue;
    ASSERT_GT(node.taker().next_step_ns(), node.clock().monotonic_ns());
    node.clock().advance(std::min<int64_t>(1'000'000, node.taker().next_step_ns() - node.clock().monotonic_ns()));
  }
  ASSERT_EQ(node.reports(), std::vector<std::string>());
  ASSERT_EQ(node.store().list()->size(), 1u);
  const uint64_t bytes = node.taker().counters().last_bytes;
  ASSERT_GT(bytes, 4'000'000u);
  const auto paced_ns = [](uint64_t count) { return static_cast<int64_t>(count * 1'000'000'000 / kPace); };
  const int64_t passed_ns = node.clock().monotonic_ns() - begin_ns;
  EXPECT_GE(passed_ns, paced_ns(bytes - 2 * kBufferBytes));
  EXPECT_LE(passed_ns, paced_ns(bytes));
}

TEST_F(SnapshotOnDisk, IsGivenUpWhenTheDiskHasNoRoomForItsFiles) {
  ToldFiles files;
  Node node(disk_, data_, unpaced(SnapshotMethod::in_place));
  node.kv().keep_history_in(files);
  ASSERT_TRUE(node.work(0, 20));
  node.taker().set_no_room_for_files(true);
  node.snapshot();
  EXPECT_TRUE(node.store().list()->empty());
  EXPECT_TRUE(node.taker().counters().last_failed);
  ASSERT_EQ(node.reports().size(), 1u);
  EXPECT_NE(node.reports()[0].find("row files"), std::string::npos) << node.reports()[0];
}

// The roles on threads, as in the server: for the thread sanitizer.
TEST_F(SnapshotOnDisk, HelperThreadFinishesWhatTheShardThreadForks) {
  Node node(disk_, data_, unpaced(SnapshotMethod::fork));
  std::atomic<bool> ended{false};
  std::thread helper([&] {
    while (!ended)
      if (!node.helper_turn()) std::this_thread::yield();
  });
  for (int round = 0; round < 5; ++round) {
    ASSERT_TRUE(node.work(round * 50, round * 50 + 50));
    (void)node.taker().request();
    while (!node.taker().idle()) {
      node.settle();
      std::this_thread::yield();
    }
  }
  ended = true;
  helper.join();
  EXPECT_EQ(node.taker().counters().taken_total, 5u);
  EXPECT_EQ(node.store().list()->size(), 2u);
}

// The pages keep what they hold; whether they become huge is the kernel's to say (it needs Linux 6.1).
TEST(HugePages, KeepContentAndEnd) {
  constexpr size_t kBytes = size_t{16} << 20;
  auto* memory =
      static_cast<unsigned char*>(::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  ASSERT_NE(memory, MAP_FAILED);
  for (size_t i = 0; i < kBytes; ++i) memory[i] = static_cast<unsigned char>(i * 31 >> 4);
  HugePages pages;
  pages.begin();
  size_t steps = 1;
  while (pages.step(1)) ++steps;
  if (pages.collapsed_total() > 0) {
    EXPECT_GE(steps, kBytes / (size_t{2} << 20) - 1);
  }
  EXPECT_FALSE(pages.step(1)) << "it ended";
  for (size_t i = 0; i < kBytes; ++i) ASSERT_EQ(memory[i], static_cast<unsigned char>(i * 31 >> 4)) << i;
  ::munmap(memory, kBytes);
}

}  // namespace
}  // namespace heptane::snapshot
