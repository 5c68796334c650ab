// The ledger's apply() alone: full batches of 8,189 transfers, without log, network or client. Uniform: between a million
// accounts; hot: between eight. There is no peer in this row; beside it stands the copy of the same bytes in memory.
#include "bench/benches.h"
#include "bench/report.h"
#include "kernel/base/random.h"
#include "kernel/shard/command_run.h"
#include "kernel/streams/streams_machine.h"
#include "modules/fintech/machine/ledger/ledger_machine.h"

namespace heptane::bench {

namespace {

using namespace fintech;

constexpr double kBarPerSecond = 2e6;

class LedgerBench {
 public:
  explicit LedgerBench(uint64_t accounts) : accounts_(accounts) {
    machines_.add(streams_);
    machines_.add(machine_);
    run_.set_streams(&streams_);
  }

  void create_accounts(uint64_t per_batch) {
    for (uint64_t done = 0; done < accounts_;) {
      std::vector<Account> batch(std::min(per_batch, accounts_ - done));
      for (Account& account : batch) {
        account = {};
        account.id = ++done;
        account.ledger = account.code = 1;
      }
      apply(kCreateAccounts, payload(batch));
    }
  }
  Buffer draw(uint64_t transfers) {
    std::vector<Transfer> batch(transfers);
    for (Transfer& transfer : batch) {
      transfer = {};
      transfer.id = ++last_id_;
      transfer.debit_account_id = 1 + random_.below(accounts_);
      transfer.credit_account_id =
          1 + (static_cast<uint64_t>(transfer.debit_account_id) + random_.below(accounts_ - 1)) % accounts_;
      transfer.amount = 1 + random_.below(1000);
      transfer.ledger = transfer.code = 1;
    }
    return payload(batch);
  }
  void apply(CommandType type, const Buffer& payload) {
    Command command;
    command.sequence = ++sequence_;
    command.time = static_cast<LogTime>(sequence_) * 1'000'000;
    command.machine = kLedgerMachineId;
    command.type = type;
    command.payload = payload.view();
    run_.begin(command.sequence, command.time);
    run_.apply(machine_, command);
    run_.keep(command, 0, true, digest_);
  }
  uint64_t stored() const { return machine_.ledger().transfers().size(); }

 private:
  template <class Row>
  static Buffer payload(const std::vector<Row>& batch) {
    std::vector<std::byte> bytes(Caller::kBytes);
    MultiBatchWriter writer(sizeof(Row));
    const auto* rows = reinterpret_cast<const std::byte*>(batch.data());
    writer.out().assign(rows, rows + batch.size() * sizeof(Row));
    writer.end_batch();
    const std::vector<std::byte> body = writer.finish();
    bytes.insert(bytes.end(), body.begin(), body.end());
    return Buffer::take(std::move(bytes));
  }

  uint64_t accounts_;
  SeededRandom random_{7};
  Uint128 last_id_ = 0;
  Sequence sequence_ = 0;
  streams::StreamsMachine streams_;
  LedgerMachine machine_;
  MachineTable machines_;
  KernelState kernel_;
  CommandRun run_{machines_, kernel_};
  DigestAccumulator digest_;
};

struct Measured {
  double transfers_per_second = 0;
  double worst_batch_micros = 0;
  double copy_per_second = 0;
};

Measured measure(uint64_t accounts, uint64_t batches) {
  const uint64_t per_batch = kOperations.back().batch_max();
  LedgerBench bench(accounts);
  bench.create_accounts(per_batch);
  Measured measured;
  int64_t spent_ns = 0;
  int64_t copy_ns = 0;
  std::vector<std::byte> copy(kBodyBytesMax + Caller::kBytes);
  for (uint64_t i = 0; i < batches; ++i) {
    const Buffer payload = bench.draw(per_batch);
    int64_t begin_ns = now_ns();
    std::memcpy(copy.data(), payload.data(), payload.size());
    copy_ns += now_ns() - begin_ns;
    begin_ns = now_ns();
    bench.apply(kCreateTransfers, payload);
    const int64_t batch_ns = now_ns() - begin_ns;
    spent_ns += batch_ns;
    measured.worst_batch_micros = std::max(measured.worst_batch_micros, static_cast<double>(batch_ns) / 1e3);
  }
  const auto transfers = static_cast<double>(bench.stored());
  measured.transfers_per_second = transfers / static_cast<double>(spent_ns) * 1e9;
  measured.copy_per_second = transfers / static_cast<double>(copy_ns) * 1e9;
  return measured;
}

}  // namespace

bool bench_ledger(const Scratch&) {
  const uint64_t transfers = from_environment("BENCH_TRANSFERS", 4'000'000);
  const uint64_t batches = std::max<uint64_t>(1, transfers / 8189);
  Report report("ledger");
  report.setting("run", std::to_string(batches) + " batches of 8,189 transfers; apply() and its digest, nothing else");
  const std::pair<const char*, uint64_t> shapes[] = {{"uniform, 1,000,000 accounts", 1'000'000},
                                                     {"hot, 8 accounts", 8}};
  for (const auto& [name, accounts] : shapes) {
    const Measured measured = measure(accounts, batches);
    report.row({name, rate(measured.transfers_per_second), "copied " + rate(measured.copy_per_second),
                "worst batch " + micros(measured.worst_batch_micros), ">= 2 M/s",
                measured.transfers_per_second >= kBarPerSecond});
  }
  return report.print();
}

}  // namespace heptane::bench
