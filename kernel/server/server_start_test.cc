// A start seen through its admin listener, and what a reload does to a running server: over simulated disk, clock and net.
#include <gtest/gtest.h>

#include "kernel/log/log_tool.h"
#include "kernel/server/records_reader.h"
#include "kernel/server/server_keys.h"
#include "kernel/streams/record_batch.h"
#include "sim/sim_clock.h"
#include "sim/sim_disk.h"
#include "sim/sim_net.h"

namespace heptane::server {

namespace {

// A module with one key that apply() may see and one that the module itself takes.
class KeyedModule final : public Module {
 public:
  std::string_view name() const override { return "keyed"; }
  std::vector<config::Key> keys() const override {
    config::Key seen{.name = "keyed.seen", .type = config::Type::integer, .help = "Seen"};
    seen.fallback = int64_t{5};
    seen.reloadable = seen.logged = true;
    config::Key own{.name = "keyed.own", .type = config::Type::boolean, .help = "Own"};
    own.fallback = false;
    own.reloadable = true;
    return {seen, own};
  }
  void configure(const config::Settings& settings) override { own = settings.boolean("keyed.own"); }
  std::vector<ListenerSpec> listeners(const ServerFacts&) override { return {}; }

  bool own = false;
};

// Finds itself wrong at the first snapshot.
class AlarmedMachine : public StateMachine {
 public:
  MachineId id() const override { return machine_ids::kFirstModule; }
  std::string_view name() const override { return "alarmed"; }
  void apply(const Command&, Effects&) override {}
  void query(const Query&, Reply&) const override {}
  void open_scope() override {}
  void close_scope(ScopeOutcome) override {}
  uint64_t memory_bytes() const override { return 0; }
  void save(SnapshotWriter&) const override {}
  Result<void> restore(SnapshotReader&) override { return {}; }
  void snapshot_begun() override { alarm_ = "one is two"; }
  std::optional<std::string> take_alarm() override { return std::exchange(alarm_, std::nullopt); }

 private:
  std::optional<std::string> alarm_;
};

class AlarmedModule final : public Module {
 public:
  std::string_view name() const override { return "alarmed"; }
  std::vector<StateMachine*> machines() override { return {&machine_}; }
  std::vector<ListenerSpec> listeners(const ServerFacts&) override { return {}; }

 private:
  AlarmedMachine machine_;
};

// Of a logic that came later.
class VersionedMachine final : public AlarmedMachine {
 public:
  explicit VersionedMachine(MachineId id) : id_(id), name_("versioned-" + std::to_string(id)) {}
  MachineId id() const override { return id_; }
  std::string_view name() const override { return name_; }
  uint32_t newest_version() const override { return 2; }

 private:
  const MachineId id_;
  const std::string name_;
};

class VersionedModule final : public Module {
 public:
  explicit VersionedModule(size_t machines) {
    for (MachineId i = 0; i < machines; ++i)
      machines_.push_back(std::make_unique<VersionedMachine>(machine_ids::kFirstModule + i));
  }
  std::string_view name() const override { return "versioned"; }
  std::vector<StateMachine*> machines() override {
    std::vector<StateMachine*> all;
    for (const auto& machine : machines_) all.push_back(machine.get());
    return all;
  }
  std::vector<ListenerSpec> listeners(const ServerFacts&) override { return {}; }

 private:
  std::vector<std::unique_ptr<VersionedMachine>> machines_;
};

// An HTTP client that notes every answer.
class Client {
 public:
  Client(sim::SimNet& net, std::string path) : net_(net), path_(std::move(path)) {}

  // One request over a connection of its own; what has come so far is in `answer`.
  void turn() {
    if (!stream_) {
      auto opened = net_.connect(admin::kDefaultPort);
      if (!opened) return;
      stream_ = std::move(*opened);
      const std::string request = "GET " + path_ + " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
      const Bytes piece = as_bytes(request);
      stream_->write_some({&piece, 1});
    }
    std::array<std::byte, 4096> bytes;
    while (true) {
      const net::IoResult got = stream_->read_some(bytes);
      if (got.status == net::IoStatus::ok) {
        answer.append(reinterpret_cast<const char*>(bytes.data()), got.bytes);
        continue;
      }
      if (got.status != net::IoStatus::would_block) again();
      return;
    }
  }
  std::vector<std::string> answers;
  std::string answer;

 private:
  void again() {
    if (!answer.empty()) answers.push_back(std::move(answer));
    answer.clear();
    stream_.reset();
  }

  sim::SimNet& net_;
  std::string path_;
  std::unique_ptr<sim::SimStream> stream_;
};

// Clients get a turn whenever the server asks the clock, which is when recovery breathes.
class BreathingClock final : public Clock {
 public:
  int64_t monotonic_ns() override {
    clock.advance(1'000'000);
    if (on_look) on_look();
    return clock.monotonic_ns();
  }
  int64_t utc_ns() override { return clock.utc_ns(); }

  sim::SimClock clock;
  std::function<void()> on_look;
};

class ServerStart : public testing::Test {
 protected:
  ServerStart() : disk_(7), random_(7), net_random_(8), net_(net_random_, {.fragment = false, .delay_one_in = 0}) {
    disk_.set_immediate(true);
    options_.data_directory = "data";
    options_.segment_bytes = 256 << 10;
    options_.loopback_v6 = false;
    options_.recovery_turn_ns = 0;
    options_.snapshots.method = snapshot::SnapshotMethod::in_place;
  }

  void make_server() {
    Modules modules;
    auto module = std::make_unique<KeyedModule>();
    module_ = module.get();
    modules.push_back(std::move(module));
    if (alarmed_) modules.push_back(std::make_unique<AlarmedModule>());
    if (versioned_ > 0) modules.push_back(std::make_unique<VersionedModule>(versioned_));
    server_ = std::make_unique<Server>(Seams{clock_, disk_, random_, net_}, options_, std::move(modules),
                                       [](const Error& error) { FAIL() << error.message; });
  }
  void start() {
    make_server();
    const Result<void> started = server_->start();
    ASSERT_TRUE(started) << started.error().message;
  }
  void turns(int count = 200) {
    for (int i = 0; i < count; ++i) {
      server_->io_turn(0);
      server_->shard_turn();
      server_->commit_turn();
      server_->helper_turn();
    }
  }
  // As after kill -9.
  void kill() {
    server_.reset();
    disk_.process_kill();
  }
  void fill(int commands) {
    for (int i = 0; i < commands; ++i) {
      ByteWriter payload;
      for (const std::string& text : {"filler" + std::to_string(i), std::string(20'000, 'x')}) {
        payload.le<uint32_t>(static_cast<uint32_t>(text.size()));
        payload.append(text);
      }
      Submission submission;
      submission.machine = machine_ids::kKernel;
      submission.type = kSetConfig;
      submission.payload = Buffer::take(payload.release());
      ASSERT_TRUE(server_->shard().submit_internal(std::move(submission)));
      turns(10);
    }
  }
  std::string config_in_state(const std::string& key) {
    const auto& config = server_->shard().kernel().config;
    const auto found = config.find(key);
    return found == config.end() ? "" : found->second;
  }
  uint32_t active(MachineId machine) const { return server_->shard().kernel().version_of(machine); }
  // The audit trail's events, one behind the other; empty while there is none.
  std::string audit_trail() {
    const std::optional<PartitionId> audit = server_->streams().find_partition("audit", 0);
    if (!audit) return {};
    std::string events;
    LogRecordsReader reader(server_->log(), disk_, server_->archive(), server_->renderers());
    for (const Buffer& batch : reader.read(server_->streams().locate({*audit, 0, 1 << 20, {}})).batches)
      EXPECT_TRUE(streams::for_each_record(
          batch.view(), [&](const streams::RecordView& record) { events += as_text(record.value); }));
    return events;
  }
  config::Settings read(std::string_view text) {
    config::Settings settings(key_table(server_->modules()));
    EXPECT_EQ(config::mistakes_text("f", config::read_settings(text, settings)), "");
    return settings;
  }

  sim::SimDisk disk_;
  BreathingClock clock_;
  SeededRandom random_;
  SeededRandom net_random_;
  sim::SimNet net_;
  ServerOptions options_;
  KeyedModule* module_ = nullptr;
  bool alarmed_ = false;
  size_t versioned_ = 0;  // machines
  std::unique_ptr<Server> server_;
};

bool contains(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_F(ServerStart, AdminAnswersDuringRecoveryAndNothingElseDoes) {
  start();
  fill(60);
  kill();
  Client ready(net_, "/readyz");
  Client metrics(net_, "/metrics");
  Client streams(net_, "/api/v1/streams");
  clock_.on_look = [&] { ready.turn(), metrics.turn(), streams.turn(); };
  start();
  clock_.on_look = nullptr;
  ASSERT_GE(ready.answers.size(), 5u);
  EXPECT_TRUE(contains(ready.answers.front(), " 503 ")) << ready.answers.front();
  EXPECT_TRUE(contains(ready.answers.front(), "\"phase\":\"replay\"")) << ready.answers.front();
  EXPECT_FALSE(contains(ready.answers.back(), "\"done\":0,")) << ready.answers.back();
  ASSERT_FALSE(metrics.answers.empty());
  EXPECT_TRUE(contains(metrics.answers.front(), "\nheptane_ready 0\n"));
  ASSERT_FALSE(streams.answers.empty());
  for (const std::string& answer : streams.answers) EXPECT_TRUE(contains(answer, " 503 ")) << answer;
  Client after(net_, "/readyz");
  for (int i = 0; i < 100 && after.answers.empty(); ++i) after.turn(), turns(1);
  ASSERT_FALSE(after.answers.empty());
  EXPECT_TRUE(contains(after.answers.front(), " 200 ")) << after.answers.front();
}

TEST_F(ServerStart, AWishToStopEndsTheReplayAndChangesNothing) {
  start();
  fill(30);
  const Sequence last = server_->committer().watermark();
  kill();
  int looks = 0;
  options_.stop_wanted = [&] { return ++looks > 5; };
  make_server();
  const Result<void> started = server_->start();
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().code, Errc::closed);
  kill();
  options_.stop_wanted = nullptr;
  start();
  EXPECT_EQ(server_->recovery().end.last_sequence, last);
}

// A step of UTC that log time does not follow is to be seen for as long as it lasts.
TEST_F(ServerStart, AClockThatSteppedTooFarIsAnAlarmInTheMetrics) {
  constexpr int64_t kTwoHoursNs = 7'200'000'000'000;
  start();
  Client metrics(net_, "/metrics");
  const auto alarm = [&] {
    fill(1);  // a command is stamped
    metrics.answers.clear();
    while (metrics.answers.empty()) metrics.turn(), turns(1);
    return contains(metrics.answers.front(), "\nheptane_clock_alarm 1\n");
  };
  EXPECT_FALSE(alarm());
  clock_.clock.step_utc(kTwoHoursNs);
  EXPECT_TRUE(alarm());
  clock_.clock.step_utc(-kTwoHoursNs);
  EXPECT_FALSE(alarm());
}

// Nothing can be written, nothing changes: one attempt, and not one at every turn of the helper.
TEST_F(ServerStart, AFullDiskAsksForASnapshotOncePerGrowth) {
  start();
  fill(3);
  ASSERT_FALSE(server_->shard().disk_full());
  const uint64_t used = (uint64_t{1} << 40) - *disk_.free_bytes("data");
  disk_.set_capacity(used + (512 << 10));
  turns(20);
  ASSERT_TRUE(server_->shard().disk_full());
  const snapshot::SnapshotCounters& counters = server_->snapshots().counters();
  const uint64_t before = counters.failed_total + counters.taken_total;
  EXPECT_GE(before, 1u);
  turns(500);  // of a clock that moves by a millisecond whenever it is asked
  EXPECT_LE(counters.failed_total + counters.taken_total, before + 8);
}

TEST_F(ServerStart, AComparisonOfSnapshotsIsAnEventAndChangesNoReadiness) {
  options_.snapshot_check.command = {"/bin/sh", "-c", "echo they differ; exit 1"};
  options_.snapshot_check.every_starts = 1;
  start();
  while (server_->snapshot_check().counters().differing_total == 0) turns(1);
  turns(20);
  EXPECT_TRUE(server_->readiness().ready);
  const std::optional<PartitionId> audit = server_->streams().find_partition("audit", 0);
  ASSERT_TRUE(audit.has_value());
  EXPECT_EQ(server_->streams().next_offset(*audit), 1);
}

TEST_F(ServerStart, WhatAMachineFindsWrongAtASnapshotIsAnEvent) {
  alarmed_ = true;
  start();
  turns();
  EXPECT_FALSE(server_->streams().find_partition("audit", 0).has_value());
  const uint64_t request = server_->snapshots().request();
  while (server_->snapshots().counters().answered < request) turns(1);
  turns(20);
  const std::optional<PartitionId> audit = server_->streams().find_partition("audit", 0);
  ASSERT_TRUE(audit.has_value());
  EXPECT_EQ(server_->streams().next_offset(*audit), 1);
}

TEST_F(ServerStart, WhatAnOperatorGaveUpOfTheLogIsAnEvent) {
  start();
  fill(3);
  const Sequence last = server_->shard().last_applied();
  kill();
  const Result<log::RepairReport> repaired = log::repair_log(disk_, {"data", 0}, {.cut_at = last});
  ASSERT_TRUE(repaired) << repaired.error().message;
  for (int round = 0; round < 2; ++round) {
    start();
    turns();
    const std::string events = audit_trail();
    EXPECT_TRUE(contains(events, "log.jump")) << events;
    EXPECT_TRUE(contains(events, '"' + position_text(0, repaired->last_kept) + '"')) << events;
    EXPECT_TRUE(contains(events, "the log goes on at " + position_text(0, repaired->next_sequence))) << events;
    EXPECT_EQ(events.find("log.jump"), events.rfind("log.jump")) << "it is told once";
    kill();
  }
  options_.accept_divergence = 2;
  start();
  turns();
  EXPECT_TRUE(contains(audit_trail(), "log.accept_divergence")) << audit_trail();
}

// The log then holds the first of the activations, as that of a start which knew fewer machines does.
TEST_F(ServerStart, ANewLogWhoseFirstCommandsAreCutOffFollowsTheNewestLogicAllTheSame) {
  versioned_ = 1;
  start();
  turns();
  kill();
  versioned_ = 2;
  start();
  turns();
  EXPECT_EQ(active(machine_ids::kFirstModule), 2u);
  EXPECT_EQ(active(machine_ids::kFirstModule + 1), 2u);
  EXPECT_TRUE(server_->upgrades_at_start().empty());
}

TEST_F(ServerStart, ALogThatHoldsMoreThanSettingsGoesOnAsItWas) {
  versioned_ = 1;
  start();
  Submission submission;
  submission.machine = machine_ids::kFirstModule;
  ASSERT_TRUE(server_->shard().submit_internal(std::move(submission)));
  turns();
  for (int round = 0; round < 2; ++round) {
    kill();
    versioned_ = 2;
    start();
    turns();
    EXPECT_EQ(active(machine_ids::kFirstModule), 2u);
    EXPECT_EQ(active(machine_ids::kFirstModule + 1), 1u);
    EXPECT_EQ(server_->upgrades_at_start().size(), 1u);
  }
}

// What an operator cut off is not known.
// Only the trail's own logic may keep an event from it.
TEST_F(ServerStart, AnUpgradeOfAnotherModuleThatWaitsKeepsNoEventFromTheTrail) {
  versioned_ = 1;
  start();
  Submission submission;
  submission.machine = machine_ids::kFirstModule;
  ASSERT_TRUE(server_->shard().submit_internal(std::move(submission)));
  turns();
  kill();
  versioned_ = 2;
  options_.accept_divergence = 2;
  start();
  turns();
  ASSERT_EQ(server_->upgrades_at_start().size(), 1u);
  EXPECT_TRUE(contains(audit_trail(), "log.accept_divergence")) << audit_trail();
}

TEST_F(ServerStart, ALogThatBeginsWithAGapGoesOnAsItWas) {
  versioned_ = 1;
  start();
  turns();
  kill();
  const Result<log::RepairReport> repaired = log::repair_log(disk_, {"data", 0}, {.cut_at = 1});
  ASSERT_TRUE(repaired) << repaired.error().message;
  start();
  turns();
  EXPECT_EQ(active(machine_ids::kFirstModule), 1u);
}

TEST_F(ServerStart, AReloadLogsWhatMachinesSeeAndTellsTheModule) {
  options_.machine_config = {{"keyed.seen", "5"}};
  start();
  turns();
  EXPECT_EQ(config_in_state("keyed.seen"), "5");
  const Sequence before = server_->shard().last_applied();
  server_->reconfigure(read("keyed.seen = 6\nkeyed.own = true\nlimits.machine_memory = \"1GiB\"\n"));
  EXPECT_TRUE(module_->own);
  turns();
  EXPECT_EQ(config_in_state("keyed.seen"), "6");
  EXPECT_EQ(server_->committer().watermark(), before + 1);
  server_->reconfigure(read("keyed.seen = 6\n"));
  turns();
  EXPECT_EQ(server_->shard().last_applied(), before + 1) << "nothing differs, nothing is logged";
  EXPECT_FALSE(module_->own);
}

}  // namespace heptane::server
