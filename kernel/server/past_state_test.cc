// States of the past, made again beside a server whose log has mostly become history: out of snapshots, archived commands and
// what is left of the log, each compared with the state as it was.
#include "kernel/server/past_state.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <iterator>
#include <map>

#include "kernel/server/server.h"
#include "kernel/streams/api.h"
#include "kernel/streams/record_batch.h"
#include "sim/sim_clock.h"
#include "sim/sim_disk.h"
#include "sim/sim_net.h"

namespace heptane::server {
namespace {

constexpr uint64_t kSegmentBytes = 64 << 10;
constexpr int kCommands = 600;

class PastStates : public testing::Test {
 protected:
  PastStates()
      : disk_(sim::SimDiskOptions{.seed = 7, .immediate = true}), random_(7), net_random_(8), net_(net_random_, {}) {
    options_.data_directory = "data";
    options_.segment_bytes = kSegmentBytes;
    options_.loopback_v6 = false;
    options_.recovery_turn_ns = 0;
    options_.snapshots.method = snapshot::SnapshotMethod::in_place;
    options_.snapshots.bytes_per_second = 0;
    options_.snapshots.free_bytes_reserve = 0;
    options_.snapshots.log_bytes_min = 2 * kSegmentBytes;
    options_.archive.target_bytes = kSegmentBytes;
    options_.archive.bytes_per_second = 0;
    options_.archive.look_interval_ns = 1;
    options_.archive.retain_commands_ns = -1;
  }

  void start() {
    server_ = std::make_unique<Server>(Seams{clock_, disk_, random_, net_}, options_, Modules(),
                                       [](const Error& error) { FAIL() << error.message; });
    const Result<void> started = server_->start();
    ASSERT_TRUE(started) << started.error().message;
    turns(20);
  }
  void turns(int count) {
    for (int i = 0; i < count; ++i) {
      server_->io_turn(0);
      server_->shard_turn();
      server_->commit_turn();
      server_->helper_turn();
      clock_.advance(100'000);
    }
  }
  void submit(Submission submission) {
    ASSERT_TRUE(server_->shard().submit_internal(std::move(submission)));
    turns(4);
    note();
  }
  void note() {
    const Sequence last = server_->shard().last_applied();
    hashes_[last] = server_->shard().state_hash();
    times_[last] = server_->shard().last_time();
  }
  void create(const char* name) {
    submit(streams::make_command(machine_ids::kStreams, streams::kCreateStream,
                                 streams::encode(streams::CreateStream{name, 1})));
  }
  void append(const char* stream) {
    streams::AppendEvents append;
    append.stream = stream;
    const std::string value(400, 'v');
    append.records.push_back({false, {}, as_bytes(value)});
    submit(streams::make_command(machine_ids::kStreams, streams::kAppendEvents, streams::encode(append)));
  }
  void produce(PartitionId partition) {
    streams::RecordBatchBuilder builder;
    builder.begin(1'000);
    builder.add(1'000, false, {}, true, as_bytes(std::string(600, 'p')));
    const Bytes batch = builder.finish(0, 0, true);
    submit(streams::make_append(partition, Buffer::copy_of(batch), load_be<uint32_t>(batch.data() + 17)));
  }
  // Commands of both kinds until most of the log is history.
  void fill() {
    create("events");
    create("batches");
    const PartitionId batches = *server_->streams().find_partition("batches", 0);
    for (int i = 0; i < kCommands; ++i) i % 3 == 0 ? append("events") : produce(batches);
    turns(200);
    ASSERT_GT(server_->segment_log().oldest_segment(), 1u);
  }

  Result<Hash128> state_at(const PastMoment& moment) {
    PastState past(disk_, "data", Modules());
    HEPTANE_TRY(past.go_to(moment));
    return past.state_hash();
  }
  std::vector<Sequence> snapshots() {
    std::vector<Sequence> found;
    const snapshot::SnapshotStore store(disk_, {"data/shard-0/snapshots", "data/shard-0/quarantine"});
    const auto names = store.list();
    EXPECT_TRUE(names);
    for (const snapshot::SnapshotName& name : *names) found.push_back(name.sequence);
    return found;
  }

  sim::SimDisk disk_;
  sim::SimClock clock_;
  SeededRandom random_;
  SeededRandom net_random_;
  sim::SimNet net_;
  ServerOptions options_;
  std::unique_ptr<Server> server_;
  std::map<Sequence, Hash128> hashes_;
  std::map<Sequence, LogTime> times_;
};

TEST_F(PastStates, EveryOneIsMadeAgainWhileItsCommandsAreKept) {
  start();
  fill();
  EXPECT_GT(snapshots().size(), 3u) << "more than recovery needs";
  for (const auto& [sequence, hash] : hashes_) {
    const Result<Hash128> again = state_at({.sequence = sequence});
    ASSERT_TRUE(again) << "at " << sequence << ": " << again.error().message;
    ASSERT_EQ(to_hex(*again), to_hex(hash)) << "at " << sequence;
  }
  for (auto at = times_.begin(); std::next(at) != times_.end(); std::advance(at, 1)) {
    if (std::next(at)->second == at->second) continue;
    const Result<Hash128> again = state_at({.time = at->second});
    ASSERT_TRUE(again) << "at " << at->second << ": " << again.error().message;
    ASSERT_EQ(to_hex(*again), to_hex(hashes_[at->first])) << "at " << at->second;
  }
}

// Without a snapshot of that age: from the very first command on.
TEST_F(PastStates, ArchivedCommandsAloneAreEnough) {
  options_.snapshot_keep_bytes = 0;
  start();
  fill();
  ASSERT_EQ(snapshots().size(), 2u);
  for (auto at = hashes_.begin(); at != hashes_.end(); std::advance(at, 37)) {
    const Result<Hash128> again = state_at({.sequence = at->first});
    ASSERT_TRUE(again) << "at " << at->first << ": " << again.error().message;
    ASSERT_EQ(to_hex(*again), to_hex(at->second)) << "at " << at->first;
    if (std::distance(at, hashes_.end()) <= 37) break;
  }
}

TEST_F(PastStates, WhatIsNotKeptIsRefusedByName) {
  start();
  fill();
  // Its batches go out of the archive, and with them the commands that they are.
  submit(streams::make_command(machine_ids::kStreams, streams::kDeleteStream,
                               streams::encode(streams::DeleteStream{"batches"})));
  for (int i = 0; i < kCommands / 2; ++i) append("events");
  turns(400);
  ASSERT_GT(server_->archiver().counters().rewritten_total + server_->archiver().counters().dropped_total, 0u);
  const std::vector<Sequence> kept = snapshots();
  ASSERT_GT(kept.size(), 3u);
  size_t refused = 0;
  for (const auto& [sequence, hash] : hashes_) {
    const Result<Hash128> again = state_at({.sequence = sequence});
    const bool exact = std::find(kept.begin(), kept.end(), sequence) != kept.end();
    if (again) {
      ASSERT_EQ(to_hex(*again), to_hex(hash)) << "at " << sequence;
      continue;
    }
    ++refused;
    EXPECT_FALSE(exact) << "a snapshot's own state needs no command";
    EXPECT_LT(sequence, kept[1]) << again.error().message;
    ASSERT_EQ(again.error().code, Errc::not_found) << again.error().message;
    ASSERT_NE(again.error().message.find("is not kept any more: the oldest state from which on every one can be made "
                                         "again is the one at " +
                                         position_text(0, kept[1])),
              std::string::npos)
        << again.error().message;
  }
  EXPECT_GT(refused, 10u);
}

// Recovery does not need history, and a full disk takes it first.
TEST_F(PastStates, AFullDiskTakesHistoryFirst) {
  start();
  fill();
  ASSERT_GT(snapshots().size(), 3u);
  disk_.set_capacity(disk_.used_bytes() + 4096);
  turns(5);
  EXPECT_LE(snapshots().size(), 2u);
}

}  // namespace
}  // namespace heptane::server
