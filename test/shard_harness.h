// A shard with the toys on a log in memory, driven turn by turn by a test. A crash keeps the log and forgets the rest.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "kernel/base/crc32c.h"
#include "kernel/log/memory_log.h"
#include "kernel/shard/shard.h"
#include "kernel/streams/streams_machine.h"
#include "sim/sim_clock.h"
#include "test/toys/counter_ledger.h"
#include "test/toys/kv_machine.h"

namespace heptane::test {

class ShardHarness {
 public:
  explicit ShardHarness(uint64_t seed = 1, ShardOptions options = {})
      : options_(options), random_(seed), log_(random_) {
    boot();
  }

  // Replaces shard and machines by new ones replayed from the log; what the log held back is lost.
  void crash_and_recover() {
    log_.drop();
    boot();
  }

  void submit(Submission submission, RequestId request) {
    submission.payload_crc = crc32c(submission.payload.view());
    const bool pushed = link_->requests.try_push(ShardRequest{1, request, std::move(submission)});
    HEPTANE_ASSERT(pushed, "the test submits more than the ring holds");
  }
  void submit(MachineId machine, CommandType type, Buffer payload, RequestId request) {
    submit(streams::make_command(machine, type, std::move(payload)), request);
  }

  // The next boot's KV computes something else than the one that wrote the log: a program changed without activation.
  void plant_divergence() { diverge_ = true; }
  void accept_divergence(Sequence sequence) { accepted_ = sequence; }
  // The next boot is an older program, whose KV knows nothing of its later logic.
  void go_back_to_kv_version(uint32_t version) { kv_newest_ = version; }
  void activate(MachineId machine, uint32_t version) {
    const Reply reply = run(make_activation(machine, version));
    HEPTANE_ASSERT(reply.ok(), "that version cannot be activated");
  }

  // Turns of shard and commit until nothing moves (the log may be holding a batch back).
  void settle() {
    bool more = true;
    while (more) {
      more = shard_->run_once();
      more = committer_->run_once() || more;
      more = !link_->requests.empty() || more;
      if (stalled() || committer_->failed()) break;
    }
    shard_->run_once();
  }

  // The next reply whose gate is synced.
  std::optional<ShardReply> reply() {
    ShardReply* front = link_->open.front();
    if (front != nullptr) {
      ShardReply taken = std::move(*front);
      link_->open.pop();
      return taken;
    }
    front = link_->gated.front();
    if (front == nullptr || front->gate > link_->watermark.load()) return std::nullopt;
    ShardReply taken = std::move(*front);
    link_->gated.pop();
    return taken;
  }
  Reply run(Submission submission) {
    submit(std::move(submission), 7);
    settle();
    std::optional<ShardReply> answer = reply();
    HEPTANE_ASSERT(answer.has_value(), "no reply");
    return std::get<Reply>(answer->body);
  }
  Reply run(MachineId machine, CommandType type, Buffer payload) {
    return run(streams::make_command(machine, type, std::move(payload)));
  }

  Shard& shard() { return *shard_; }
  Committer& committer() { return *committer_; }
  log::MemoryLog& log() { return log_; }
  sim::SimClock& clock() { return clock_; }
  ShardLink& link() { return *link_; }
  CounterLedger& ledger() { return *ledger_; }
  KvMachine& kv() { return *kv_; }
  streams::StreamsMachine& streams() { return *streams_; }
  const std::optional<Error>& fatal() const { return fatal_; }
  const Result<log::RecoveryReport>& recovery() const { return recovery_; }

 private:
  bool stalled() const { return log_.append_in_flight(); }

  void boot() {
    committer_ = std::make_unique<Committer>(log_, [this](const Error& error) { fatal_ = error; });
    link_ = std::make_unique<ShardLink>(1 << 14);
    shard_ = std::make_unique<Shard>(options_, clock_, *committer_);
    streams_ = std::make_unique<streams::StreamsMachine>();
    kv_ = std::make_unique<KvMachine>();
    kv_->plant_divergence(diverge_);
    kv_->know_versions_upto(kv_newest_);
    if (accepted_ != 0) shard_->accept_divergence(accepted_);
    ledger_ = std::make_unique<CounterLedger>();
    for (StateMachine* machine : std::initializer_list<StateMachine*>{streams_.get(), kv_.get(), ledger_.get()})
      shard_->add_machine(*machine);
    shard_->set_streams(*streams_);
    shard_->attach(*link_);
    recovery_ = log_.recover(
        {}, [this](const log::BatchView& batch, const log::BatchPlace& place) { return shard_->replay(batch, place); });
    if (recovery_) shard_->start(recovery_->end);
  }

  bool diverge_ = false;
  uint32_t kv_newest_ = 2;
  Sequence accepted_ = 0;
  ShardOptions options_;
  SeededRandom random_;
  sim::SimClock clock_;
  log::MemoryLog log_;
  std::unique_ptr<Committer> committer_;
  std::unique_ptr<ShardLink> link_;
  std::unique_ptr<Shard> shard_;
  std::unique_ptr<streams::StreamsMachine> streams_;
  std::unique_ptr<KvMachine> kv_;
  std::unique_ptr<CounterLedger> ledger_;
  std::optional<Error> fatal_;
  Result<log::RecoveryReport> recovery_ = log::RecoveryReport{};
};

}  // namespace heptane::test
