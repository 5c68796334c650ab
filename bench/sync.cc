// One lone synchronous producer: submit, wait for the gated answer, again. Beside it, turn by turn in the same run, the
// least that durability can cost: one block written and synced into a file of the same kind.
#include "bench/benches.h"
#include "bench/pipeline.h"
#include "bench/raw_writer.h"
#include "bench/report.h"

namespace heptane::bench {

namespace {

constexpr double kBarMicros = 100;

double timed_micros(const std::function<void()>& work) {
  const int64_t begin_ns = now_ns();
  work();
  return static_cast<double>(now_ns() - begin_ns) / 1e3;
}

}  // namespace

bool bench_sync(const Scratch& scratch) {
  const uint64_t rounds = from_environment("BENCH_ROUNDS", 5000);
  const bool apart = from_environment("BENCH_SHARD_APART", 0) != 0;
  PipelineOptions options;
  options.directory = scratch.below("sync");
  options.shape = apart ? Shape::shard_apart : Shape::merged;
  Pipeline pipeline(options);
  pipeline.recover();
  pipeline.start();
  RawWriter raw(scratch.below("sync-raw"));
  TransferSource source(3);
  std::vector<double> ours;
  std::vector<double> probe;
  for (uint64_t i = 0; i < rounds + rounds / 10; ++i) {
    const double one = timed_micros([&] { pipeline.call(source.next()); });
    const double other = timed_micros([&] { raw.write(log::kBlockBytes); });
    if (i < rounds / 10) continue;  // warm-up
    ours.push_back(one);
    probe.push_back(other);
  }
  pipeline.stop();

  Report report("sync");
  report.setting("Heptane", std::string("one command in flight; batch fdatasync'ed before the answer; ") +
                                (apart ? "shard on a thread of its own" : "I/O and shard on one thread, as served"));
  report.setting("probe", "pwrite + fdatasync of one 4 KiB block into a segment made the same way");
  report.setting("run", std::to_string(rounds) + " rounds, taking turns");
  const double excess = quantile(ours, 0.5) - quantile(probe, 0.5);
  report.row({"submit to durable answer, p50", micros(quantile(ours, 0.5)), "probe " + micros(quantile(probe, 0.5)),
              "+" + micros(excess), "<= probe + 100 us", excess <= kBarMicros});
  report.row({"p99", micros(quantile(ours, 0.99)), "probe " + micros(quantile(probe, 0.99)),
              ratio(quantile(ours, 0.99) / quantile(probe, 0.99)), "", true});
  return report.print();
}

}  // namespace heptane::bench
