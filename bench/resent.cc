// Old ids sent again while somebody else moves money: the other one's latency, with the rows that the old ids need out of the
// system's memory, and without the old ids. A program that reads them in apply() makes everybody wait; HEPTANE_BINARY measures
// another one.
#include <algorithm>
#include <atomic>
#include <thread>

#include "bench/benches.h"
#include "bench/heptane_process.h"
#include "bench/report.h"
#include "bench/stored_ledger.h"
#include "kernel/base/random.h"

namespace heptane::bench {

namespace {

using namespace fintech;

constexpr uint8_t kTransfers = 147;
constexpr uint64_t kAccounts = 10'000;
constexpr uint64_t kAtOnce = 64;  // old ids of one command

Transfer transfer(Uint128 id) {
  Transfer made{};
  made.id = id;
  made.debit_account_id = 1;
  made.credit_account_id = 2;
  made.amount = 1;
  made.ledger = made.code = 1;
  return made;
}

struct Latency {
  std::vector<double> micros;
  uint64_t resent = 0;  // old ids meanwhile
};

class OldIds {
 public:
  OldIds(const std::string& endpoint, uint64_t stored) : wire_(endpoint, 3), stored_(stored) {}
  // Until told to end; how many.
  uint64_t send_until(const std::atomic<bool>& ended) {
    uint64_t sent = 0;
    for (; !ended.load(); sent += kAtOnce) {
      std::vector<Transfer> batch;
      while (batch.size() < kAtOnce) batch.push_back(transfer(1 + random_.below(stored_)));
      must(wire_.create(kTransfers, batch) == 0, "an old id was created again");
    }
    return sent;
  }

 private:
  LedgerWire wire_;
  const uint64_t stored_;
  SeededRandom random_{13};
};

Latency measure(const HeptaneProcess& server, Uint128& next_id, OldIds* old, int64_t duration_ns) {
  Latency found;
  std::atomic<bool> ended{false};
  std::thread sender;
  if (old != nullptr) sender = std::thread([&] { found.resent = old->send_until(ended); });
  LedgerWire wire(server.endpoint("tigerbeetle"), next_id);
  for (const int64_t end_ns = now_ns() + duration_ns; now_ns() < end_ns;) {
    const int64_t begin_ns = now_ns();
    must(wire.create(kTransfers, std::vector<Transfer>{transfer(++next_id)}) == 1, "a transfer failed");
    found.micros.push_back(static_cast<double>(now_ns() - begin_ns) / 1e3);
  }
  ended.store(true);
  if (sender.joinable()) sender.join();
  return found;
}

}  // namespace

bool bench_resent(const Scratch& scratch) {
  const uint64_t stored = from_environment("BENCH_RESENT_TRANSFERS", 4'000'000);
  const auto duration_ns = static_cast<int64_t>(from_environment("BENCH_RESENT_SECONDS", 5)) * 1'000'000'000;
  const std::string directory = scratch.below("resent");
  Report report("resent");
  HeptaneProcess server(directory, {"--set", "fintech.ledger.cache_bytes=65536"});
  {
    LedgerWire wire(server.endpoint("tigerbeetle"), 1);
    store_accounts(wire, kAccounts);
    store_transfers(wire, kAccounts, stored);
  }
  Uint128 next_id = Uint128{1} << 64;
  const Latency alone = measure(server, next_id, nullptr, duration_ns);
  OldIds old(server.endpoint("tigerbeetle"), stored);
  forget_files(directory + "/data/shard-0/rows");
  const Latency beside = measure(server, next_id, &old, duration_ns);
  report.setting("stored", std::to_string(stored) + " transfers; one client creates one at a time, another sends " +
                               std::to_string(kAtOnce) + " old ids in each command, anywhere among all, files cold");
  report.setting("old ids", rate(static_cast<double>(beside.resent) / (static_cast<double>(duration_ns) / 1e9)));
  const auto row = [&](const char* what, double p) {
    std::vector<double> ours = beside.micros;
    std::vector<double> without = alone.micros;
    const double with_old = quantile(ours, p);
    const double bare = quantile(without, p);
    report.row({what, micros(with_old), "without old ids " + micros(bare), ratio(with_old / bare), "", true});
  };
  row("one transfer beside old ids, p50", 0.5);
  row("p99", 0.99);
  row("the longest", 1);
  return report.print();
}

}  // namespace heptane::bench
