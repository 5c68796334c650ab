// Replay: how fast a start applies small commands again. The log is written first, then read by a fresh shard, batch by
// batch with every CRC and the effects digest checked; beside it the same log scanned without applying anything.
#include <algorithm>

#include "bench/benches.h"
#include "bench/pipeline.h"
#include "bench/report.h"
#include "kernel/base/crc32c.h"
#include "kernel/streams/api.h"

namespace heptane::bench {

namespace {

constexpr double kBar = 2e6;

struct Kind {
  const char* name;
  Submission (*make)(uint64_t i);
};

Submission ledger_deposit(uint64_t i) {
  const auto account = static_cast<uint32_t>(i % test::CounterLedger::kAccounts);
  return streams::make_command(test::kLedgerId, test::kLedgerDeposit,
                               test::ledger_payload({account, account, 1 + static_cast<int64_t>(i % 7), 0}));
}

Submission kv_put(uint64_t i) {
  return streams::make_command(
      test::kKvId, test::kKvPut,
      test::kv_payload("key-" + std::to_string(i * 7919 % 1000), "value-" + std::to_string(i)));
}

Submission stream_append(uint64_t i) {
  const std::string value = "reading " + std::to_string(i);
  streams::AppendEvents append;
  append.stream = "readings";
  append.records.push_back({false, {}, as_bytes(value)});
  return streams::make_command(machine_ids::kStreams, streams::kAppendEvents, streams::encode(append));
}

Submission transfer(uint64_t i) {
  static TransferSource source(5);
  (void)i;
  return source.next();
}

constexpr Kind kKinds[] = {
    {"ledger deposits, 24 B", &ledger_deposit},
    {"appends to a stream, about 40 B", &stream_append},
    {"transfers, 128 B and one event", &transfer},
    {"KV puts with one event (the toy's tree of strings)", &kv_put},
};

uint64_t write_log(const std::string& directory, const Kind& kind, uint64_t commands) {
  PipelineOptions options;
  options.directory = directory;
  Pipeline pipeline(options);
  pipeline.recover();
  pipeline.start();
  pipeline.call(streams::make_command(machine_ids::kStreams, streams::kCreateStream,
                                      streams::encode(streams::CreateStream{"readings", 1})));
  uint64_t submitted = 0;
  uint64_t answered = 0;
  while (answered < commands) {
    uint64_t pushed = 0;
    while (submitted < commands && submitted - answered < pipeline.link().gated.capacity() && pushed < 1024 &&
           pipeline.submit(kind.make(submitted), submitted)) {
      ++submitted;
      ++pushed;
    }
    pipeline.turn();
    const size_t taken = pipeline.take_replies();
    answered += taken;
    if (taken == 0 && pushed == 0) pipeline.wait();
  }
  pipeline.stop();
  return pipeline.committer().bytes_total();
}

double scan_seconds(const std::string& directory) {
  SystemDisk disk;
  SystemRandom random;
  const auto log = must(log::SegmentLog::open(disk, random, log::segment_log_options(directory)), "open the log");
  const int64_t begin_ns = now_ns();
  must(log->recover({},
                    [](const log::BatchView& batch, const log::BatchPlace&) -> Result<void> {
                      return batch.for_each_entry([](const log::EntryView&, Sequence) -> Result<void> { return {}; });
                    }),
       "scan");
  return static_cast<double>(now_ns() - begin_ns) / 1e9;
}

double replay_seconds(const std::string& directory, uint64_t commands) {
  PipelineOptions options;
  options.directory = directory;
  Pipeline pipeline(options);
  const int64_t begin_ns = now_ns();
  const log::RecoveryReport recovered = pipeline.recover();
  const double seconds = static_cast<double>(now_ns() - begin_ns) / 1e9;
  HEPTANE_ASSERT(recovered.end.last_sequence >= commands, "replay lost commands");
  return seconds;
}

}  // namespace

bool bench_replay(const Scratch& scratch) {
  const uint64_t commands = from_environment("BENCH_COMMANDS", 2'000'000);
  Report report("replay");
  report.setting(
      "Heptane",
      "reading, chain, every CRC, decoding, apply, effects digest and index; one thread; log in the page cache");
  report.setting("scan", "the same log read and checked, nothing applied");
  report.setting("run", std::to_string(commands) + " commands of a kind, the median of three");
  for (const Kind& kind : kKinds) {
    const std::string directory = scratch.below("replay");
    const uint64_t bytes = write_log(directory, kind, commands);
    std::vector<double> replays;
    std::vector<double> scans;
    for (int i = 0; i < 3; ++i) {
      replays.push_back(replay_seconds(directory, commands));
      scans.push_back(scan_seconds(directory));
    }
    const auto count = static_cast<double>(commands);
    const double per_second = count / median(replays);
    report.row({std::string(kind.name) + ", " + bytes_text(bytes), rate(per_second),
                "scan " + rate(count / median(scans)), ratio(median(scans) / median(replays)), ">= 2 M/s",
                per_second >= kBar});
    scratch.remove("replay");
  }
  return report.print();
}

}  // namespace heptane::bench
