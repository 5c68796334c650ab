// Restart after a kill under load: the state is in a snapshot and the log behind it, as the server leaves them. A child
// process writes and is killed; the restart is timed from nothing to the first answer, several times over the same files.
// PostgreSQL gets the same number of accounts, the same kind of transaction and the same end.
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <filesystem>

#include "bench/benches.h"
#include "bench/pipeline_snapshots.h"
#include "bench/postgres_peer.h"
#include "bench/report.h"

namespace heptane::bench {

namespace {

constexpr double kSecondsBar = 5;

struct Progress {
  std::atomic<uint64_t> log_bytes{0};
  std::atomic<uint64_t> snapshots{0};
};

PipelineOptions pipeline_options(const std::string& directory, uint64_t state_bytes) {
  PipelineOptions options;
  options.directory = directory;
  options.accounts = state_bytes / sizeof(AccountMachine::Account);
  return options;
}

// Transfers as fast as they go, with snapshots as the server takes them; ends by being killed.
[[noreturn]] void write_until_killed(const std::string& directory, uint64_t state_bytes, Progress& progress) {
  Pipeline pipeline(pipeline_options(directory, state_bytes));
  PipelineSnapshots snapshots(pipeline, directory, snapshot::SnapshotTakerOptions{});
  const log::RecoveryReport report = snapshots.restore_and_recover();
  snapshots.attach(report.bytes);
  pipeline.start();
  TransferSource source(3);
  uint64_t submitted = 0;
  uint64_t answered = 0;
  for (;;) {
    uint64_t pushed = 0;
    while (submitted - answered < pipeline.link().gated.capacity() && pushed < 1024 &&
           pipeline.submit(source.next(), submitted)) {
      ++submitted;
      ++pushed;
    }
    pipeline.turn();
    const size_t taken = pipeline.take_replies();
    answered += taken;
    if (taken == 0 && pushed == 0) pipeline.wait();
    progress.log_bytes.store(pipeline.committer().bytes_total());
    progress.snapshots.store(snapshots.taker().counters().taken_total.load());
  }
}

struct Restart {
  double seconds = 0;
  double restore_seconds = 0;
  uint64_t replayed_bytes = 0;
  uint64_t snapshot_bytes = 0;
};

enum class End : uint8_t { killed, stopped };

// In a process of its own, as a start is; it writes what it found into `out`, then ends. Killed, it leaves the log as it was
// found but for one transfer, and the next start has the same to do.
[[noreturn]] void restart_here(const std::string& directory, uint64_t state_bytes, End end, Restart& out) {
  const int64_t begin_ns = now_ns();
  Pipeline pipeline(pipeline_options(directory, state_bytes));
  PipelineSnapshots snapshots(pipeline, directory, snapshot::SnapshotTakerOptions{});
  snapshots.restore();
  out.restore_seconds = static_cast<double>(now_ns() - begin_ns) / 1e9;
  const log::RecoveryReport report = pipeline.recover(snapshots.restored().from);
  snapshots.attach(report.bytes);
  pipeline.start();
  TransferSource source(9);
  HEPTANE_ASSERT(pipeline.call(source.next()).ok(), "the restarted shard refuses a transfer");
  out.seconds = static_cast<double>(now_ns() - begin_ns) / 1e9;
  out.replayed_bytes = report.bytes;
  out.snapshot_bytes = snapshots.restored().file_bytes;
  if (end == End::killed) ::kill(::getpid(), SIGKILL);
  HEPTANE_ASSERT(pipeline.accounts().total() == 0, "the accounts do not add up");
  pipeline.stop();
  ::_exit(0);
}

Restart restart(const std::string& directory, uint64_t state_bytes, End end) {
  void* shared = ::mmap(nullptr, sizeof(Restart), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  HEPTANE_ASSERT(shared != MAP_FAILED, "no memory");
  auto& found = *new (shared) Restart();
  const pid_t process = ::fork();
  if (process == 0) restart_here(directory, state_bytes, end, found);
  ::waitpid(process, nullptr, 0);
  const Restart out = found;
  ::munmap(shared, sizeof(Restart));
  HEPTANE_ASSERT(out.seconds > 0, "the restart ended before its first answer");
  return out;
}

// True when the page cache was emptied.
bool drop_caches() {
  ::sync();
  std::FILE* file = std::fopen("/proc/sys/vm/drop_caches", "w");
  if (file == nullptr) return false;
  const bool done = std::fputs("3\n", file) >= 0;
  return std::fclose(file) == 0 && done;
}

std::string seconds_text(double seconds) {
  char text[32];
  std::snprintf(text, sizeof text, "%.2f s", seconds);
  return text;
}

}  // namespace

bool bench_restart(const Scratch& scratch) {
  const uint64_t state_bytes = from_environment("BENCH_STATE_BYTES", uint64_t{1} << 30);
  const uint64_t log_bytes = from_environment("BENCH_LOG_BYTES", uint64_t{10} << 30);
  const auto peer_limit_ns = static_cast<int64_t>(from_environment("BENCH_PEER_SECONDS", 600)) * 1'000'000'000;
  const uint64_t rounds = from_environment("BENCH_RESTARTS", 3);
  const std::string directory = scratch.below("restart");
  void* shared = ::mmap(nullptr, sizeof(Progress), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  HEPTANE_ASSERT(shared != MAP_FAILED, "no memory");
  auto& progress = *new (shared) Progress();
  const pid_t writer = ::fork();
  if (writer == 0) write_until_killed(directory, state_bytes, progress);
  const uint64_t wanted_snapshots = log_bytes > 2 * state_bytes ? 2 : 0;
  while (progress.log_bytes < log_bytes || progress.snapshots < wanted_snapshots) {
    ::usleep(10'000);
    HEPTANE_ASSERT(::waitpid(writer, nullptr, WNOHANG) == 0, "the writer ended by itself");
  }
  ::kill(writer, SIGKILL);
  ::waitpid(writer, nullptr, 0);
  const uint64_t written = progress.log_bytes;
  ::munmap(shared, sizeof(Progress));

  std::optional<PostgresPeer> peer;
  const std::optional<std::string> absent =
      peer_limit_ns == 0 ? "left out by BENCH_PEER_SECONDS=0" : PostgresPeer::why_absent();
  if (!absent) {
    peer.emplace(scratch.below("postgres"));
    peer->fill(state_bytes);
  }
  Report report("restart");
  report.setting("Heptane",
                 "every batch fdatasync'ed before its replies; snapshots by fork at their default pace; killed "
                 "with SIGKILL under load");
  report.setting("PostgreSQL 15", absent ? *absent : peer->settings());
  if (peer) peer->load_and_kill(log_bytes, peer_limit_ns);

  std::vector<double> ours;
  std::vector<double> theirs;
  Restart warm;
  for (uint64_t round = 0; round < rounds; ++round) {
    warm = restart(directory, state_bytes, End::killed);
    ours.push_back(warm.seconds);
    if (peer) theirs.push_back(peer->restart_seconds());
    std::fprintf(stderr, "bench: restart %.2f s, of which %.2f s restore; the peer %.2f s\n", warm.seconds,
                 warm.restore_seconds, peer ? theirs.back() : 0);
  }
  const bool can_drop = drop_caches();
  const Restart cold = can_drop ? restart(directory, state_bytes, End::killed) : Restart{};
  (void)restart(directory, state_bytes, End::stopped);  // the accounts add up
  std::filesystem::remove_all(directory);

  report.setting("run", bytes_text(state_bytes) + " of state, " + bytes_text(written) + " of log; the start restores " +
                            bytes_text(warm.snapshot_bytes) + " and replays " + bytes_text(warm.replayed_bytes) +
                            "; median of " + std::to_string(rounds) + " starts, by turns with the peer's");
  report.setting("of the last start", seconds_text(warm.restore_seconds) + " restore the snapshot");
  const double seconds = median(ours);
  if (peer) {
    report.setting("its run", bytes_text(peer->table_bytes()) + " of table and index, " +
                                  bytes_text(peer->log_bytes()) +
                                  " of WAL since; it replays what follows its last checkpoint");
    const double peer_seconds = median(theirs);
    report.row({"kill to first answer, warm page cache", seconds_text(seconds),
                "PostgreSQL " + seconds_text(peer_seconds), ratio(seconds / peer_seconds), "<= 5 s and <= the peer",
                seconds <= kSecondsBar && seconds <= peer_seconds});
  } else {
    report.row(
        {"kill to first answer, warm page cache", seconds_text(seconds), "-", "-", "<= 5 s", seconds <= kSecondsBar});
  }
  if (can_drop) report.row({"the same, cold page cache", seconds_text(cold.seconds), "-", "-", "", true});
  return report.print();
}

}  // namespace heptane::bench
