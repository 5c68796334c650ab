// The ledger in a shard on a log in memory, driven turn by turn; its row files in memory or on the simulator's disk. A crash
// keeps the log and forgets the rest.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <optional>

#include "kernel/log/memory_log.h"
#include "kernel/log/quarantine.h"
#include "kernel/rows/shy_disk.h"
#include "kernel/shard/shard.h"
#include "kernel/streams/api.h"
#include "kernel/streams/streams_machine.h"
#include "modules/fintech/machine/ledger/ledger_machine.h"
#include "sim/sim_clock.h"
#include "sim/sim_disk.h"

namespace heptane::fintech::test {

class Harness {
 public:
  enum class Rows : uint8_t { in_memory, in_files };  // shy_disk() says what it has at hand: everything, unless told
  explicit Harness(uint64_t seed = 1, uint32_t rows_per_file = kRowsPerFile, Rows rows = Rows::in_memory,
                   ShardOptions options = {})
      : random_(seed), log_(random_), rows_per_file_(rows_per_file), rows_(rows), options_(options) {
    EXPECT_TRUE(log::make_durable_directory(disk_, "rows"));
    boot();
  }

  void crash_and_recover() {
    log_.drop();
    boot();
  }
  void open_files(LedgerMachine& machine) {
    if (rows_ == Rows::in_memory) return;
    machine.files()->open({&shy_disk_, "rows", true, [this](const Error& error) { fatal_ = error; }});
  }
  void write_files() {
    while (*machine_->files()->write_next()) continue;
  }
  sim::SimDisk& disk() { return disk_; }
  rows::ShyDisk& shy_disk() { return shy_disk_; }
  const std::optional<Error>& fatal() const { return fatal_; }
  void settle() {
    bool more = true;
    while (more) {
      more = shard_->run_once();
      more = committer_->run_once() || more;
      more = !link_->requests.empty() || more;
      if (log_.append_in_flight()) break;
    }
    shard_->run_once();
  }
  void submit(CommandType type, Buffer payload, MachineId machine = kLedgerMachineId, SessionId session = 1) {
    const bool pushed = link_->requests.try_push(
        ShardRequest{session, ++request_, streams::make_command(machine, type, std::move(payload))});
    HEPTANE_ASSERT(pushed, "the test submits more than the ring holds");
  }
  std::optional<ShardReply> any_reply() {
    ShardReply* front = link_->gated.front();
    if (front == nullptr || front->gate > link_->watermark.load()) return std::nullopt;
    ShardReply taken = std::move(*front);
    link_->gated.pop();
    return taken;
  }
  std::optional<Reply> reply() {
    std::optional<ShardReply> taken = any_reply();
    return taken ? std::optional(std::get<Reply>(std::move(taken->body))) : std::nullopt;
  }
  Reply run(CommandType type, Buffer payload, MachineId machine = kLedgerMachineId) {
    submit(type, std::move(payload), machine);
    settle();
    std::optional<Reply> answer = reply();
    HEPTANE_ASSERT(answer.has_value(), "no reply");
    return *answer;
  }

  Shard& shard() { return *shard_; }
  ShardLink& link() { return *link_; }
  Committer& committer() { return *committer_; }
  log::MemoryLog& log() { return log_; }
  sim::SimClock& clock() { return clock_; }
  LedgerMachine& machine() { return *machine_; }
  const Ledger& ledger() { return machine_->ledger(); }
  const Result<log::RecoveryReport>& recovery() const { return recovery_; }
  uint64_t committed_bytes() const { return committer_->bytes_total(); }
  Sequence watermark() const { return committer_->watermark(); }

 private:
  void boot() {
    committer_ = std::make_unique<Committer>(log_, [](const Error&) {});
    link_ = std::make_unique<ShardLink>(1 << 10);
    shard_ = std::make_unique<Shard>(options_, clock_, *committer_);
    streams_ = std::make_unique<streams::StreamsMachine>();
    machine_ = std::make_unique<LedgerMachine>(0, rows_per_file_);
    open_files(*machine_);
    shard_->add_machine(*streams_);
    shard_->add_machine(*machine_);
    shard_->set_streams(*streams_);
    shard_->attach(*link_);
    recovery_ = log_.recover({}, [this](const log::BatchView& batch, const log::BatchPlace& place) {
      Result<void> replayed = shard_->replay(batch, place);
      write_files();
      return replayed;
    });
    if (recovery_) shard_->start(recovery_->end);
  }

  SeededRandom random_;
  sim::SimClock clock_;
  log::MemoryLog log_;
  const uint32_t rows_per_file_;
  const Rows rows_;
  const ShardOptions options_;
  sim::SimDisk disk_{sim::SimDiskOptions{.seed = 1, .immediate = true}};
  rows::ShyDisk shy_disk_{disk_};
  std::optional<Error> fatal_;
  RequestId request_ = 0;
  std::unique_ptr<Committer> committer_;
  std::unique_ptr<ShardLink> link_;
  std::unique_ptr<Shard> shard_;
  std::unique_ptr<streams::StreamsMachine> streams_;
  std::unique_ptr<LedgerMachine> machine_;
  Result<log::RecoveryReport> recovery_ = log::RecoveryReport{};
};

}  // namespace heptane::fintech::test
