#include "bench/pipeline.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>

namespace heptane::bench {

namespace {
constexpr int64_t kHelperPeriodNs = 100'000'000;  // as the server's
}

void must(const Result<void>& result, const char* what) {
  if (result) return;
  std::fprintf(stderr, "bench: %s: %s\n", what, result.error().message.c_str());
  std::exit(1);
}

Pipeline::Pipeline(PipelineOptions options) : options_(std::move(options)) {
  log::SegmentLogOptions log_options = log::segment_log_options(options_.directory);
  log_options.recovery_read_ahead = log::kReadAheadBatches;
  log_ = must(log::SegmentLog::open(disk_, random_, log_options), "open the log");
  committer_ = std::make_unique<Committer>(*log_, [](const Error& error) {
    std::fprintf(stderr, "bench: the commit failed: %s\n", error.message.c_str());
    std::_Exit(1);
  });
  link_ = std::make_unique<ShardLink>(options_.link_capacity);
  link_->wake_shard = [this] { shard_wakeup_.notify(); };
  link_->wake_io = [this] { io_wakeup_.notify(); };
  committer_->set_wake([this] { commit_wakeup_.notify(); },
                       [this] { options_.shape == Shape::merged ? io_wakeup_.notify() : shard_wakeup_.notify(); });
  shard_ = std::make_unique<Shard>(options_.shard, clock_, *committer_);
  streams_ = std::make_unique<streams::StreamsMachine>();
  accounts_ = std::make_unique<AccountMachine>(options_.accounts);
  kv_ = std::make_unique<test::KvMachine>();
  ledger_ = std::make_unique<test::CounterLedger>();
  // The machine under test last: what a lookup costs is not hidden.
  shard_->add_machine(*streams_);
  shard_->add_machine(*kv_);
  shard_->add_machine(*ledger_);
  shard_->add_machine(*accounts_);
  shard_->set_streams(*streams_);
  shard_->attach(*link_);
}

Pipeline::~Pipeline() {
  if (!threads_.empty()) stop();
}

log::RecoveryReport Pipeline::recover(const log::RecoverFrom& from) {
  log::RecoveryReport report =
      must(log_->recover(from, [this](const log::BatchView& batch,
                                      const log::BatchPlace& place) { return shard_->replay(batch, place); }),
           "recover");
  end_ = report.end;
  return report;
}

void Pipeline::start() {
  shard_->start(end_);
  threads_.emplace_back([this] { commit_loop(); });
  threads_.emplace_back([this] { helper_loop(); });
  if (options_.shape == Shape::shard_apart) shard_thread_ = std::thread([this] { shard_loop(); });
}

void Pipeline::stop() {
  if (options_.shape == Shape::merged) {
    shard_->request_stop();
    for (turn(); !shard_->drained(); turn()) wait();
  } else {
    stopping_.store(true);
    shard_wakeup_.notify();
    shard_thread_.join();
  }
  ended_.store(true);
  commit_wakeup_.notify();
  helper_wakeup_.notify();
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

void Pipeline::wake_shard() {
  if (options_.shape == Shape::merged)
    io_wakeup_.notify();
  else
    shard_wakeup_.notify();
}

void Pipeline::turn() {
  if (options_.shape == Shape::shard_apart) return shard_wakeup_.notify();
  if (shard_step_) shard_step_();
  more_ = shard_->run_once();
}

void Pipeline::wait(int64_t limit_ns) {
  if (more_) return;
  if (options_.shape == Shape::merged) {
    const int64_t deadline_ns = shard_->next_deadline_ns();
    const int64_t left_ns = std::max<int64_t>(0, deadline_ns - clock_.monotonic_ns());
    if (deadline_ns != INT64_MAX) limit_ns = limit_ns < 0 ? left_ns : std::min(limit_ns, left_ns);
  }
  io_wakeup_.wait(limit_ns);
}

Reply Pipeline::call(Submission submission) {
  if (!submit(std::move(submission), 1)) must(Error{Errc::internal, "the ring is full"}, "call");
  Reply answer;
  turn();
  while (take_replies([&](ShardReply& reply) { answer = std::get<Reply>(std::move(reply.body)); }) == 0) {
    wait();
    if (options_.shape == Shape::merged) turn();
  }
  return answer;
}

void Pipeline::shard_loop() {
  for (;;) {
    if (stopping_.load()) shard_->request_stop();
    if (shard_step_) shard_step_();
    if (shard_->run_once()) continue;
    if (stopping_.load() && shard_->drained()) return;
    const int64_t deadline_ns = shard_->next_deadline_ns();
    shard_wakeup_.wait(deadline_ns == INT64_MAX ? -1 : std::max<int64_t>(0, deadline_ns - clock_.monotonic_ns()));
  }
}

void Pipeline::commit_loop() {
  uint64_t seen_bytes = 0;
  while (!ended_.load()) {
    if (!committer_->run_once()) {
      commit_wakeup_.wait(-1);
      continue;
    }
    const uint64_t bytes = committer_->bytes_total();
    if (on_commit_) on_commit_((bytes - seen_bytes + log::kBlockBytes - 1) / log::kBlockBytes * log::kBlockBytes);
    seen_bytes = bytes;
  }
}

void Pipeline::helper_loop() {
  while (!ended_.load()) {
    disk_.free_left();
    const bool more = must(log_->maintain(), "prepare segments");
    const bool more_of_ours = helper_step_ && helper_step_();
    if (more || more_of_ours) continue;
    helper_wakeup_.wait(helper_wait_ns_ ? std::min(kHelperPeriodNs, helper_wait_ns_()) : kHelperPeriodNs);
  }
}

namespace {

std::vector<std::byte> make_transfers(SeededRandom& random, size_t count) {
  std::vector<std::byte> bytes(count * kTransferBytes);
  for (size_t i = 0; i < count; ++i) {
    const uint64_t word = random.next();
    encode_transfer(bytes.data() + i * kTransferBytes, static_cast<uint32_t>(word), static_cast<uint32_t>(word >> 32),
                    1 + static_cast<int64_t>(word % 1000), word);
  }
  return bytes;
}

}  // namespace

Submission TransferSource::next() {
  if (used_ == kPerChunk) {
    chunk_ = Buffer::take(make_transfers(random_, kPerChunk));
    used_ = 0;
  }
  Submission submission;
  submission.machine = kAccountsId;
  submission.type = kTransfer;
  submission.payload = chunk_.slice(used_++ * kTransferBytes, kTransferBytes);
  submission.payload_crc = crc32c(submission.payload.view());
  return submission;
}

PreparedTransfers::PreparedTransfers(uint64_t seed) {
  SeededRandom random(seed);
  bytes_ = make_transfers(random, kCommands);
  submission_.machine = kAccountsId;
  submission_.type = kTransfer;
}

}  // namespace heptane::bench
