// Appending: small commands with one event each through rings, shard, commit and log; beside it the very same sequence of
// batch sizes written raw, and RocksDB. The three take turns in slices of one run, so that a noisy disk hits all alike.
#include <algorithm>
#include <cstdio>
#include <mutex>

#include "bench/benches.h"
#include "bench/pipeline.h"
#include "bench/raw_writer.h"
#include "bench/report.h"
#if HEPTANE_BENCH_ROCKSDB
#include "bench/rocksdb_peer.h"
#endif

namespace heptane::bench {

namespace {

constexpr uint64_t kSlices = 8;
constexpr uint64_t kTurnCommands = 512;  // submitted before the shard gets a turn: what one read of a socket holds

struct Slice {
  uint64_t commands = 0;
  uint64_t bytes = 0;
  double seconds = 0;
  std::vector<uint64_t> batches;  // padded bytes, in order
};

class Producer {
 public:
  explicit Producer(Pipeline& pipeline) : pipeline_(pipeline) {}

  // Until the log has grown by `bytes` and everything submitted is answered.
  Slice run(uint64_t bytes) {
    Slice slice;
    const uint64_t begin_bytes = pipeline_.committer().bytes_total();
    const int64_t begin_ns = now_ns();
    uint64_t answered = 0;
    bool enough = false;
    while (!enough || answered < slice.commands) {
      enough = enough || pipeline_.committer().bytes_total() - begin_bytes >= bytes;
      const uint64_t submitted = enough ? 0 : submit(slice.commands - answered);
      slice.commands += submitted;
      if (submitted > 0 || merged_) pipeline_.turn();
      const size_t taken = pipeline_.take_replies(
          [](const ShardReply& reply) { HEPTANE_ASSERT(std::get<Reply>(reply.body).ok(), "a command was refused"); });
      answered += taken;
      if (submitted == 0 && taken == 0) pipeline_.wait();
    }
    slice.seconds = static_cast<double>(now_ns() - begin_ns) / 1e9;
    slice.bytes = pipeline_.committer().bytes_total() - begin_bytes;
    return slice;
  }
  void set_merged(bool merged) { merged_ = merged; }

 private:
  // The I/O side never has more unanswered requests than the reply ring holds.
  uint64_t submit(uint64_t unanswered) {
    const uint64_t room = std::min(kTurnCommands, pipeline_.link().gated.capacity() - unanswered);
    uint64_t done = 0;
    for (; done < room; ++done)
      if (!pipeline_.submit(source_.next(), done)) break;
    return done;
  }

  Pipeline& pipeline_;
  PreparedTransfers source_{7};
  bool merged_ = true;
};

double raw_seconds(RawWriter& raw, const std::vector<uint64_t>& batches) {
  const int64_t begin_ns = now_ns();
  for (const uint64_t bytes : batches) raw.write(bytes);
  return static_cast<double>(now_ns() - begin_ns) / 1e9;
}

#if HEPTANE_BENCH_ROCKSDB
uint64_t best_group(RocksPeer& rocks) {
  uint64_t best = 0;
  double best_rate = 0;
  for (const uint64_t group : {uint64_t{256}, uint64_t{1024}, uint64_t{4096}, uint64_t{16'384}}) {
    const double per_second = rocks.write(std::min<uint64_t>(group * 64, 262'144), group);
    std::printf("RocksDB, groups of %llu: %s\n", static_cast<unsigned long long>(group), rate(per_second).c_str());
    if (per_second > best_rate) {
      best_rate = per_second;
      best = group;
    }
  }
  return best;
}
#endif

void report_batches(Report& report, const std::vector<Slice>& slices) {
  std::vector<double> sizes;
  for (const Slice& slice : slices)
    for (const uint64_t bytes : slice.batches) sizes.push_back(static_cast<double>(bytes));
  const size_t count = sizes.size();
  const double middle = quantile(sizes, 0.5);
  report.setting("batches", std::to_string(count) + ", p50 " + bytes_text(static_cast<uint64_t>(middle)) + ", p90 " +
                                bytes_text(static_cast<uint64_t>(quantile(sizes, 0.9))));
}

}  // namespace

bool bench_append(const Scratch& scratch) {
  const uint64_t total_bytes = from_environment("BENCH_BYTES", uint64_t{4} << 30);
  const bool apart = from_environment("BENCH_SHARD_APART", 0) != 0;
  PipelineOptions options;
  options.directory = scratch.below("append");
  options.shape = apart ? Shape::shard_apart : Shape::merged;
  options.link_capacity = from_environment("BENCH_RING", options.link_capacity);
  Pipeline pipeline(options);
  pipeline.recover();
  std::mutex batches_mutex;
  std::vector<uint64_t> batches;
  pipeline.on_commit([&](uint64_t padded_bytes) {
    const std::lock_guard lock(batches_mutex);
    batches.push_back(padded_bytes);
  });
  pipeline.start();
  Producer producer(pipeline);
  producer.set_merged(!apart);
  RawWriter raw(scratch.below("append-raw"));
#if HEPTANE_BENCH_ROCKSDB
  RocksPeer rocks(scratch.below("append-rocksdb"));
  const uint64_t group = best_group(rocks);
  rocks.settle();
  std::vector<double> rocks_ratios;
  std::vector<double> rocks_rates;
#endif

  std::vector<Slice> slices;
  std::vector<double> raw_ratios;
  double raw_total = 0;
  double ours_total = 0;
  uint64_t bytes = 0;
  uint64_t commands = 0;
  producer.run(total_bytes / kSlices / 8);  // warm-up, not counted
  for (uint64_t i = 0; i < kSlices; ++i) {
    {
      const std::lock_guard lock(batches_mutex);
      batches.clear();
    }
    Slice slice = producer.run(total_bytes / kSlices);
    {
      const std::lock_guard lock(batches_mutex);
      slice.batches = batches;
    }
    const double seconds = raw_seconds(raw, slice.batches);
    raw_ratios.push_back(seconds / slice.seconds);
    raw_total += seconds;
    ours_total += slice.seconds;
    bytes += slice.bytes;
    commands += slice.commands;
    const double per_second = static_cast<double>(slice.commands) / slice.seconds;
#if HEPTANE_BENCH_ROCKSDB
    rocks_rates.push_back(rocks.write(std::max<uint64_t>(slice.commands / 4, group), group));
    rocks_ratios.push_back(per_second / rocks_rates.back());
    rocks.settle();
#endif
    std::printf("slice %llu: %s, %s of raw\n", static_cast<unsigned long long>(i) + 1, rate(per_second).c_str(),
                ratio(raw_ratios.back()).c_str());
    slices.push_back(std::move(slice));
  }
  const uint64_t inline_segments = pipeline.log().segments_made_inline_total();
  pipeline.stop();

  Report report("append");
  report.setting("Heptane",
                 std::string("every batch fdatasync'ed before its replies; 128 B commands, one 32 B event each; ") +
                     (apart ? "shard on a thread of its own" : "I/O and shard on one thread, as served") +
                     ", ring of " + std::to_string(options.link_capacity));
  report.setting("run", bytes_text(bytes) + " of log, " + std::to_string(commands) + " commands in " +
                            std::to_string(kSlices) + " slices; segments of 64 MiB made inside the run, " +
                            std::to_string(inline_segments) + " of them by the commit itself");
  report_batches(report, slices);
  report.setting("raw", "the same sizes, pwrite + fdatasync, into segments made the same way");
  const double ours_bytes = static_cast<double>(bytes) / ours_total;
  const double raw_bytes = static_cast<double>(bytes) / raw_total;
  const double of_raw = median(raw_ratios);
  report.row({"bytes of log, " + bytes_text(total_bytes) + " run", rate(ours_bytes, "B"), "raw " + rate(raw_bytes, "B"),
              ratio(of_raw), ">= 0.75 of raw", of_raw >= 0.75});
#if HEPTANE_BENCH_ROCKSDB
  report.setting("RocksDB", RocksPeer::settings() + "; groups of " + std::to_string(group) + ", the best of four");
  const double times = median(rocks_ratios);
  report.row({"synced records", rate(static_cast<double>(commands) / ours_total),
              "RocksDB " + rate(median(rocks_rates)), ratio(times), ">= 2 x RocksDB", times >= 2});
#else
  report.setting("RocksDB", "not installed (tools/setup bench)");
#endif
  const bool met = report.print();
  return met;
}

}  // namespace heptane::bench
