// test/replay/ keeps small logs, each with the hash of its state, and every build replays them all: what a log means never
// changes. Kept are version 1 of the log's format with version 1 (v1-first) and 2 (v1-streams2) of the streams' logic, both
// with the toys, and a data directory whose log has mostly become history (v1-history): version 1 of the log's, the
// snapshot's and the archive's format. HEPTANE_WRITE_REPLAY=NAME writes a new log, HEPTANE_WRITE_REPLAY_HISTORY=NAME a new
// directory with history (whenever a format or a logic version is new, once).
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "kernel/log/segment_log.h"
#include "kernel/server/history_check.h"
#include "kernel/server/past_state.h"
#include "kernel/server/server.h"
#include "kernel/shard/transact.h"
#include "sim/sim_net.h"
#include "test/shard_harness.h"

namespace heptane::test {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kSegmentBytes = uint64_t{256} << 10;
constexpr uint64_t kHistorySegmentBytes = uint64_t{32} << 10;

// Of a producer.
Submission record_batch(PartitionId partition) {
  streams::RecordBatchBuilder builder;
  builder.begin(1'700'000'000'000);
  for (const char* value : {"one", "two", "three"})
    builder.add(1'700'000'000'000, true, as_bytes("key"), true, as_bytes(value));
  const Bytes batch = builder.finish(0, 0, true);
  return streams::make_append(partition, Buffer::copy_of(batch), load_be<uint32_t>(batch.data() + 17));
}

// Streams and toys on a log in a directory.
class OnDisk {
 public:
  explicit OnDisk(const fs::path& directory) {
    log::SegmentLogOptions options = log::segment_log_options(directory.string());
    options.segment_bytes = kSegmentBytes;
    options.zero_ahead = false;
    options.prepared_segments = 0;
    auto opened = log::SegmentLog::open(disk_, random_, options);
    HEPTANE_ASSERT(opened.ok(), "the log does not open");
    log_ = std::move(*opened);
    committer_ = std::make_unique<Committer>(*log_, [](const Error&) { HEPTANE_ASSERT(false, "the disk failed"); });
    shard_ = std::make_unique<Shard>(ShardOptions{}, clock_, *committer_);
    for (StateMachine* machine : std::initializer_list<StateMachine*>{&streams_, &kv_, &ledger_})
      shard_->add_machine(*machine);
    shard_->set_streams(streams_);
    shard_->attach(link_);
    recovered_ = log_->recover(
        {}, [this](const log::BatchView& batch, const log::BatchPlace& place) { return shard_->replay(batch, place); });
  }
  const Result<log::RecoveryReport>& recovered() const { return recovered_; }
  Shard& shard() { return *shard_; }
  Hash128 state_hash() const { return shard_->state_hash(); }

  // Appends to the stream `orders`, expected at these offsets, in one transaction: as many as there are.
  Reply append(const std::vector<Offset>& expected) {
    std::vector<Buffer> payloads;
    std::vector<Operation> operations;
    for (const Offset offset : expected) {
      streams::AppendEvents append;
      append.stream = "orders";
      append.expected_offset = offset;
      append.records.push_back({false, {}, as_bytes("an order")});
      payloads.push_back(streams::encode(append));
      operations.push_back({machine_ids::kStreams, streams::kAppendEvents, kNoPartition, payloads.back().view()});
    }
    return ask(streams::make_command(machine_ids::kKernel, kTransact, encode_transact(operations)));
  }
  Reply ask(Submission submission) {
    const bool pushed = link_.requests.try_push(ShardRequest{1, 1, std::move(submission)});
    HEPTANE_ASSERT(pushed, "the ring is full");
    turn();
    ShardReply* front = link_.gated.front();
    HEPTANE_ASSERT(front != nullptr, "no reply");
    Reply reply = std::get<Reply>(front->body);
    link_.gated.pop();
    return reply;
  }
  void start() { shard_->start(recovered_->end); }
  void stop() {
    shard_->request_stop();
    turn();
    HEPTANE_ASSERT(shard_->drained(), "what was asked is not written");
  }

  // Everything this version can log: a record batch of a numbered producer, events, timers, a transaction, configuration,
  // an activation, a deleted stream, idempotency, appends that count on one another.
  void write_sample() {
    start();
    shard_->adopt({{"toy.limit", "5"}}, true);
    submit(streams::make_command(machine_ids::kStreams, streams::kCreateStream,
                                 streams::encode(streams::CreateStream{"orders", 2})));
    submit(
        streams::make_command(machine_ids::kStreams, streams::kInitProducer, streams::encode(streams::InitProducer{})));
    submit(streams::make_command(machine_ids::kStreams, streams::kCreateStream,
                                 streams::encode(streams::CreateStream{"gone", 1})));
    submit(streams::make_command(machine_ids::kStreams, streams::kDeleteStream,
                                 streams::encode(streams::DeleteStream{"gone"})));
    submit(streams::make_command(kLedgerId, kLedgerDeposit, ledger_payload({0, 1, 100, 0})));
    submit(streams::make_command(kLedgerId, kLedgerHold, ledger_payload({1, 0, 60, 1'000'000})));
    Submission repeated = streams::make_command(kKvId, kKvPut, kv_payload("a", "1"));
    repeated.idempotency = IdempotencyKey{{std::byte{9}}, 1};
    submit(std::move(repeated));
    const Buffer put = kv_payload("b", "2");
    const Buffer move = ledger_payload({1, 2, 5, 0});
    submit(streams::make_command(machine_ids::kKernel, kTransact,
                                 encode_transact({{kKvId, kKvPut, kNoPartition, put.view()},
                                                  {kLedgerId, kLedgerTransfer, kNoPartition, move.view()}})));
    submit(record_batch(1));
    submit(record_batch(2));
    turn();
    HEPTANE_ASSERT(append({3, 4, 5}).ok(), "each goes on behind the one before it");
    HEPTANE_ASSERT(!append({6, 6}).ok(), "the second one is stale");
    clock_.advance(2'000'000);
    turn();
    stop();
  }

 private:
  void submit(Submission submission) {
    HEPTANE_ASSERT(shard_->submit_internal(std::move(submission)), "the inner queue is full");
    turn();
  }
  void turn() {
    for (int i = 0; i < 8; ++i) {
      shard_->run_once();
      committer_->run_once();
    }
  }

  SystemDisk disk_;
  SystemRandom random_;
  sim::SimClock clock_;
  std::unique_ptr<log::SegmentLog> log_;
  ShardLink link_{64};
  std::unique_ptr<Committer> committer_;
  streams::StreamsMachine streams_;
  KvMachine kv_;
  CounterLedger ledger_;
  std::unique_ptr<Shard> shard_;
  Result<log::RecoveryReport> recovered_ = log::RecoveryReport{};
};

// The toys as a module of the whole server.
class ToyModule final : public server::Module {
 public:
  std::string_view name() const override { return "toys"; }
  std::vector<StateMachine*> machines() override { return {&kv_, &ledger_}; }
  std::vector<server::ListenerSpec> listeners(const server::ServerFacts&) override { return {}; }

 private:
  KvMachine kv_;
  CounterLedger ledger_;
};

server::Modules toys() {
  server::Modules modules;
  modules.push_back(std::make_unique<ToyModule>());
  return modules;
}

// A server on a directory, whose log soon becomes history.
class WithHistory {
 public:
  explicit WithHistory(const fs::path& directory) : net_random_(8), net_(net_random_, {}) {
    server::ServerOptions options;
    options.data_directory = directory.string();
    options.segment_bytes = kHistorySegmentBytes;
    options.loopback_v6 = false;
    options.recovery_turn_ns = 0;
    options.snapshots.method = snapshot::SnapshotMethod::in_place;
    options.snapshots.bytes_per_second = 0;
    options.snapshots.free_bytes_reserve = 0;
    options.snapshots.log_bytes_min = kHistorySegmentBytes;
    options.snapshot_keep_bytes = 0;
    options.archive.target_bytes = kHistorySegmentBytes;
    options.archive.bytes_per_second = 0;
    options.archive.look_interval_ns = 1;
    options.archive.retain_commands_ns = -1;
    server_ = std::make_unique<server::Server>(server::Seams{clock_, disk_, random_, net_}, options, toys(),
                                               [](const Error&) { HEPTANE_ASSERT(false, "the disk failed"); });
    HEPTANE_ASSERT(server_->start().ok(), "the server does not start");
    turns(20);
  }

  // Commands of every machine and both kinds of record batches, until two archive segments are there.
  void write_sample() {
    submit(streams::make_command(machine_ids::kStreams, streams::kCreateStream,
                                 streams::encode(streams::CreateStream{"orders", 1})));
    const PartitionId orders = *server_->streams().find_partition("orders", 0);
    for (uint32_t i = 1; server_->archive().catalog()->size() < 2; ++i) {
      submit(streams::make_command(kLedgerId, kLedgerDeposit, ledger_payload({0, i % 7, 100, 0})));
      submit(streams::make_command(kKvId, kKvPut, kv_payload("key" + std::to_string(i % 5), std::to_string(i))));
      submit(record_batch(orders));
    }
    turns(100);
  }
  Hash128 state_hash() const { return server_->shard().state_hash(); }

 private:
  void submit(Submission submission) {
    HEPTANE_ASSERT(server_->shard().submit_internal(std::move(submission)), "the inner queue is full");
    turns(4);
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

  SystemDisk disk_;
  SystemRandom random_;
  sim::SimClock clock_;
  SeededRandom net_random_;
  sim::SimNet net_;
  std::unique_ptr<server::Server> server_;
};

fs::path collection() { return fs::current_path() / "test" / "replay"; }

std::string first_line(const fs::path& path) {
  std::ifstream in(path);
  std::string line;
  std::getline(in, line);
  return line;
}

template <class Writer>
void write_sample(const std::string& name) {
  const fs::path directory = collection() / name;
  fs::create_directories(directory);
  Hash128 hash;
  {
    Writer sample(directory / "data");
    sample.write_sample();
    hash = sample.state_hash();
  }
  std::ofstream(directory / "STATE_HASH") << to_hex(hash) << "\n";
}

fs::path copy_of(const fs::path& kept) {
  const fs::path copy = fs::path(testing::TempDir()) / ("replay-" + std::to_string(::getpid()));
  fs::remove_all(copy);
  fs::copy(kept / "data", copy, fs::copy_options::recursive);
  return copy;
}

// A log of the first version under a program that knows the second: nothing changes until it is activated.
TEST(Replay, AnOldLogKeepsItsStreamsLogicUntilItIsActivated) {
  const fs::path copy = copy_of(collection() / "v1-first");
  Hash128 hash;
  {
    OnDisk log(copy);
    ASSERT_TRUE(log.recovered().ok()) << log.recovered().error().message;
    log.start();
    ASSERT_TRUE(log.append({3, 3}).ok()) << "version 1: both see the end from before";
    EXPECT_EQ(log.append({5, 6}).error, Errc::stale);
    ASSERT_TRUE(log.ask(make_activation(machine_ids::kStreams, 2)).ok());
    ASSERT_TRUE(log.append({5, 6}).ok());
    EXPECT_EQ(log.append({7, 7}).error, Errc::stale);
    log.stop();
    hash = log.shard().state_hash();
  }
  {
    OnDisk log(copy);
    ASSERT_TRUE(log.recovered().ok()) << log.recovered().error().message;
    EXPECT_EQ(log.shard().state_hash(), hash);
    EXPECT_EQ(log.shard().kernel().version_of(machine_ids::kStreams), 2U);
  }
  fs::remove_all(copy);
}

bool has_history(const fs::path& kept) { return fs::exists(kept / "data" / "shard-0" / "archive"); }

// Calls `each(kept directory, copy of its data)`; how many there were.
template <class Each>
size_t for_each_kept(bool with_history, Each&& each) {
  size_t found = 0;
  for (const fs::directory_entry& kept : fs::directory_iterator(collection())) {
    if (!kept.is_directory() || has_history(kept.path()) != with_history) continue;
    SCOPED_TRACE(kept.path().filename().string());
    const fs::path copy = copy_of(kept.path());
    each(kept.path(), copy);
    fs::remove_all(copy);
    ++found;
  }
  return found;
}

TEST(Replay, EveryKeptLogStillMeansTheSame) {
  if (const char* name = std::getenv("HEPTANE_WRITE_REPLAY")) write_sample<OnDisk>(name);
  const size_t replayed = for_each_kept(false, [](const fs::path& kept, const fs::path& copy) {
    OnDisk log(copy);
    ASSERT_TRUE(log.recovered().ok()) << log.recovered().error().message;
    EXPECT_EQ(to_hex(log.state_hash()), first_line(kept / "STATE_HASH"));
    EXPECT_GT(log.shard().last_applied(), 10U);
  });
  EXPECT_GT(replayed, 1U);
}

// From the newest snapshot, from the older one, and from the first command in the archive on: the same state.
TEST(Replay, EveryKeptHistoryStillMeansTheSame) {
  if (const char* name = std::getenv("HEPTANE_WRITE_REPLAY_HISTORY")) write_sample<WithHistory>(name);
  const size_t replayed = for_each_kept(true, [](const fs::path& kept, const fs::path& copy) {
    SystemDisk disk;
    std::ostringstream problems;
    const Result<server::HistoryReport> report = server::check_history(disk, copy.string(), problems);
    ASSERT_TRUE(report) << report.error().message;
    EXPECT_TRUE(report->sound()) << problems.str();
    EXPECT_GE(report->archive_segments, 2U);
    EXPECT_EQ(report->snapshots, 2U);
    const std::string home = (copy / "shard-0").string();
    const auto names = snapshot::SnapshotStore(disk, {home + "/snapshots", home + "/quarantine"}).list();
    ASSERT_TRUE(names);
    for (const Sequence below : {Sequence{UINT64_MAX}, names->front().sequence, Sequence{1}}) {
      server::PastState past(disk, copy.string(), toys());
      server::PastMoment moment;
      moment.snapshot_below = below;
      const Result<void> reached = past.go_to(moment);
      ASSERT_TRUE(reached) << below << ": " << reached.error().message;
      EXPECT_EQ(to_hex(past.state_hash()), first_line(kept / "STATE_HASH")) << below;
    }
  });
  EXPECT_GT(replayed, 0U);
}

}  // namespace
}  // namespace heptane::test
