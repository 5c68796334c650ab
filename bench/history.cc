// A ledger that has stored very many transfers: what each costs in resident memory, whether batches wait while snapshots are
// taken, and a restart that finds the oldest and the newest. There is no peer in these rows.
#include <sys/types.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "bench/benches.h"
#include "bench/heptane_process.h"
#include "bench/ledger_wire.h"
#include "bench/report.h"
#include "bench/stored_ledger.h"

namespace heptane::bench {

namespace {

using namespace fintech;

constexpr double kBarBytes = 32;
constexpr double kBarBeside = 2;        // as for commits in general (the snapshot bench)
constexpr size_t kEnoughBatches = 100;  // for the slowest hundredth of them
// What a server under load holds whatever it has stored: batches on their way, the rows that are no full file yet.
constexpr uint64_t kFixedBytes = uint64_t{128} << 20;
constexpr int kSettleTries = 100;
constexpr useconds_t kSettleMicros = 100'000;

// Memory of its own, without what the system keeps of files.
uint64_t resident_bytes(pid_t pid) {
  std::ifstream status("/proc/" + std::to_string(pid) + "/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("RssAnon:")) return std::stoull(line.substr(8)) << 10;
  return 0;
}

uint64_t newest_snapshot_bytes(const std::string& data) {
  std::filesystem::path newest;
  for (const auto& entry : std::filesystem::directory_iterator(data + "/shard-0/snapshots"))
    if (entry.path().extension() == ".snap" && entry.path() > newest) newest = entry.path();
  return newest.empty() ? 0 : std::filesystem::file_size(newest);
}

// A snapshot is being written: by a child of the server.
bool snapshot_under_way(pid_t pid) {
  std::error_code gone;
  for (const auto& task : std::filesystem::directory_iterator("/proc/" + std::to_string(pid) + "/task", gone)) {
    std::ifstream children(task.path() / "children");
    if (children.peek() != std::ifstream::traits_type::eof()) return true;
  }
  return false;
}

// Milliseconds of batches, in whose time no snapshot was being written, and of the others.
struct Batches {
  std::vector<double> alone;
  std::vector<double> beside;
};

std::string middle_slow_worst(std::vector<double>& millis) {
  if (millis.empty()) return "none";
  return micros(quantile(millis, 0.5) * 1e3) + " / " + micros(quantile(millis, 0.99) * 1e3) + " / " +
         micros(quantile(millis, 1.0) * 1e3);
}

void report_batches(Report& report, Batches& batches) {
  double total = 0;
  for (const std::vector<double>* part : {&batches.alone, &batches.beside})
    for (const double each : *part) total += each;
  const auto count = static_cast<double>(batches.alone.size() + batches.beside.size());
  report.row({"stored", rate(count * kLedgerBatch / total * 1e3), "", "", "", true});
  const bool enough = batches.beside.size() >= kEnoughBatches;
  const double times = batches.beside.empty() ? 0 : quantile(batches.beside, 0.99) / quantile(batches.alone, 0.99);
  report.row({"a batch beside a snapshot (" + std::to_string(batches.beside.size()) + "), median / 99 % / worst",
              middle_slow_worst(batches.beside), "without " + middle_slow_worst(batches.alone), ratio(times),
              enough ? "99 % <= 2 x without" : "", !enough || times <= kBarBeside});
}

double bytes_of_each(pid_t pid, uint64_t before, uint64_t transfers) {
  const uint64_t now = resident_bytes(pid);
  return static_cast<double>(now - std::min(now, before + kFixedBytes)) / static_cast<double>(transfers);
}

bool finds_ends(LedgerWire& wire, uint64_t transfers) {
  const std::vector<Transfer> found = wire.lookup({1, transfers / 2, transfers});
  return found.size() == 3 && found[0].amount == 1 && found[1].amount == transfers / 2 && found[2].amount == transfers;
}

std::string millis(double value) { return micros(value * 1e3); }

}  // namespace

bool bench_history(const Scratch& scratch) {
  const uint64_t transfers = from_environment("BENCH_HISTORY_TRANSFERS", 50'000'000);
  const uint64_t accounts = from_environment("BENCH_HISTORY_ACCOUNTS", 10'000);
  const std::string directory = scratch.below("history");
  Report report("history");
  report.setting("run", std::to_string(transfers) + " transfers between " + std::to_string(accounts) +
                            " accounts, in batches of 8,189 from one client");
  uint64_t before = 0;  // with the accounts alone
  {
    HeptaneProcess server(directory);
    LedgerWire wire(server.endpoint("tigerbeetle"), 1);
    store_accounts(wire, accounts);
    before = resident_bytes(server.pid());
    Batches batches;
    bool before_it = false;
    store_transfers(wire, accounts, transfers, [&](double millis) {
      const bool behind_it = snapshot_under_way(server.pid());
      (before_it || behind_it ? batches.beside : batches.alone).push_back(millis);
      before_it = behind_it;
    });
    const auto per_transfer = [&] { return bytes_of_each(server.pid(), before, transfers); };
    // The last files are still being written.
    for (int i = 0; i < kSettleTries && per_transfer() > kBarBytes; ++i) ::usleep(kSettleMicros);
    const double bytes = per_transfer();
    report_batches(report, batches);
    report.row({"resident bytes a transfer", ratio(bytes), "above 128 MiB", "", "<= 32", bytes <= kBarBytes});
    report.row({"resident in all", bytes_text(resident_bytes(server.pid())), "", "", "", true});
    must(finds_ends(wire, transfers), "the oldest or the newest transfer was not found");
  }
  report.row({"newest snapshot", bytes_text(newest_snapshot_bytes(directory + "/data")), "", "", "", true});
  const int64_t begin_ns = now_ns();
  HeptaneProcess server(directory);
  report.row({"restart", millis(static_cast<double>(now_ns() - begin_ns) / 1e6), "", "", "", true});
  LedgerWire wire(server.endpoint("tigerbeetle"), 2);
  const bool found = finds_ends(wire, transfers);
  report.row({"resident bytes a transfer, behind it", ratio(bytes_of_each(server.pid(), before, transfers)),
              "above 128 MiB", "", "", true});
  report.row({"the oldest and the newest, behind it", found ? "found" : "NOT found", "", "", "found", found});
  return report.print();
}

}  // namespace heptane::bench
