// Commit latency beside a snapshot: a steady open load of transfers, each timed from when it was due to its durable
// answer, in windows without a snapshot and in windows in which the whole state is being written by the forked child and
// read back. The same process, the same disk, taking turns.
#include <algorithm>
#include <cstdio>

#include "bench/benches.h"
#include "bench/pipeline_snapshots.h"
#include "bench/report.h"

namespace heptane::bench {

namespace {

constexpr double kTimesBar = 2;
constexpr double kPauseBarMicros = 50'000;
constexpr int64_t kTickNs = 1'000'000;
constexpr uint64_t kCommandsPerTick = 20;
constexpr int64_t kQuietNs = 10'000'000'000;

// Sends a fixed number of commands every tick, whatever comes back.
class SteadyLoad {
 public:
  explicit SteadyLoad(Pipeline& pipeline) : pipeline_(pipeline), due_ns_(pipeline.link().gated.capacity()) {}

  // Until `over` and everything is answered; adds the latencies in us.
  void run(const std::function<bool()>& over, std::vector<double>& micros) {
    int64_t next_ns = now_ns();
    bool ending = false;
    while (!ending || answered_ < submitted_) {
      const int64_t now = now_ns();
      ending = ending || over();
      if (!ending && now >= next_ns) {
        submit(next_ns);
        next_ns += kTickNs;
      }
      pipeline_.turn();
      const size_t taken = pipeline_.take_replies([&](const ShardReply& reply) {
        micros.push_back(static_cast<double>(now_ns() - due_ns_[reply.request % due_ns_.size()]) / 1e3);
      });
      answered_ += taken;
      if (taken == 0 && next_ns > now_ns()) pipeline_.wait(next_ns - now_ns());
    }
  }

 private:
  void submit(int64_t due) {
    for (uint64_t i = 0; i < kCommandsPerTick && submitted_ - answered_ < due_ns_.size(); ++i) {
      due_ns_[submitted_ % due_ns_.size()] = due;
      if (!pipeline_.submit(source_.next(), submitted_)) return;
      ++submitted_;
    }
  }

  Pipeline& pipeline_;
  TransferSource source_{11};
  std::vector<int64_t> due_ns_;  // by request
  uint64_t submitted_ = 0;
  uint64_t answered_ = 0;
};

}  // namespace

bool bench_snapshot(const Scratch& scratch) {
  const uint64_t state_bytes = from_environment("BENCH_STATE_BYTES", uint64_t{1} << 30);
  const uint64_t rounds = from_environment("BENCH_SNAPSHOTS", 2);
  const auto quiet_ns = static_cast<int64_t>(from_environment("BENCH_QUIET_MS", kQuietNs / 1'000'000)) * 1'000'000;
  PipelineOptions options;
  options.directory = scratch.below("snapshot");
  options.accounts = state_bytes / sizeof(AccountMachine::Account);
  Pipeline pipeline(options);
  const snapshot::SnapshotTakerOptions defaults;
  snapshot::SnapshotTakerOptions on_request = defaults;
  on_request.log_bytes_min = UINT64_MAX / 4;  // never by itself
  PipelineSnapshots snapshots(pipeline, options.directory, on_request);
  snapshot::SnapshotTaker& taker = snapshots.taker();
  snapshots.restore_and_recover();
  snapshots.attach(0);
  pipeline.start();

  SteadyLoad load(pipeline);
  std::vector<double> quiet;
  std::vector<double> beside;
  std::vector<double> times;
  std::vector<double> pauses;
  double seconds = 0;
  const auto quiet_window = [&](std::vector<double>& into) {
    const int64_t end_ns = now_ns() + quiet_ns;
    load.run([&] { return now_ns() >= end_ns; }, into);
  };
  std::vector<double> ignored;
  quiet_window(ignored);  // warm-up
  for (uint64_t i = 0; i < rounds; ++i) {
    std::vector<double> without;
    std::vector<double> with;
    quiet_window(without);
    const int64_t begin_ns = now_ns();
    (void)taker.request();
    pipeline.wake_helper();
    load.run([&] { return taker.idle(); }, with);
    seconds += static_cast<double>(now_ns() - begin_ns) / 1e9;
    quiet_window(without);
    HEPTANE_ASSERT(taker.counters().taken_total.load() == i + 1, "a snapshot was not taken");
    pauses.push_back(static_cast<double>(taker.counters().last_pause_ns.load()) / 1e3);
    times.push_back(quantile(with, 0.999) / quantile(without, 0.999));
    quiet.insert(quiet.end(), without.begin(), without.end());
    beside.insert(beside.end(), with.begin(), with.end());
  }
  pipeline.stop();

  Report report("snapshot");
  report.setting("Heptane", "every batch fdatasync'ed before its replies; snapshot by fork, written and read back at " +
                                rate(static_cast<double>(defaults.bytes_per_second), "B"));
  report.setting("run", bytes_text(taker.counters().last_bytes.load()) + " a snapshot, " + std::to_string(rounds) +
                            " of them in " + std::to_string(static_cast<int>(seconds)) + " s; open load of " +
                            std::to_string(kCommandsPerTick) + " transfers a millisecond");
  const double middle = median(times);
  report.row({"due to durable answer, p50", micros(quantile(beside, 0.5)), "without " + micros(quantile(quiet, 0.5)),
              ratio(quantile(beside, 0.5) / quantile(quiet, 0.5)), "", true});
  report.row({"p99.9", micros(quantile(beside, 0.999)), "without " + micros(quantile(quiet, 0.999)), ratio(middle),
              "<= 2 x without", middle <= kTimesBar});
  const double pause = quantile(pauses, 1.0);
  report.row({"longest pause of the fork", micros(pause), "-", "-", "<= 50 ms", pause <= kPauseBarMicros});
  return report.print();
}

}  // namespace heptane::bench
