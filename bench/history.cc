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
  {
    HeptaneProcess server(directory);
    LedgerWire wire(server.endpoint("tigerbeetle"), 1);
    store_accounts(wire, accounts);
    const uint64_t before = resident_bytes(server.pid());
    std::vector<double> took = store_transfers(wire, accounts, transfers);
    const auto per_transfer = [&] {
      const uint64_t now = resident_bytes(server.pid());
      return static_cast<double>(now - std::min(now, before + kFixedBytes)) / static_cast<double>(transfers);
    };
    // The last files are still being written.
    for (int i = 0; i < kSettleTries && per_transfer() > kBarBytes; ++i) ::usleep(kSettleMicros);
    const double bytes = per_transfer();
    double total = 0;
    for (const double each : took) total += each;
    report.row({"stored", rate(static_cast<double>(transfers) / total * 1e3), "", "", "", true});
    const double middle = quantile(took, 0.5);
    const double slow = quantile(took, 0.99);
    report.row({"a batch, median / 99 % / worst", millis(middle) + " / " + millis(slow) + " / " + millis(took.back()),
                "", "", "", true});
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
  report.row({"the oldest and the newest, behind it", found ? "found" : "NOT found", "", "", "found", found});
  return report.print();
}

}  // namespace heptane::bench
