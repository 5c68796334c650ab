// The ledger's apply() alone, and the look at what it lacks of files before: full batches of 8,189 transfers, without log, network
// or client. Uniform: between a million
// accounts; hot: between eight. As in the server a helper writes the row files, from which memory comes back for new rows.
// There is no peer in this row; beside it stands what the memory allows: the same number of cache lines touched at random,
// asked for ahead, and as many bytes copied, and nothing computed.
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstring>
#include <filesystem>
#include <thread>

#include "bench/benches.h"
#include "bench/pipeline.h"
#include "bench/report.h"
#include "kernel/base/assert.h"
#include "kernel/base/huge_allocator.h"
#include "kernel/base/prefetch.h"
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
  LedgerBench(uint64_t accounts, const std::string& directory) : accounts_(accounts) {
    machines_.add(streams_);
    machines_.add(machine_);
    run_.set_streams(&streams_);
    std::filesystem::create_directory(directory);
    machine_.files()->open({&disk_, directory, true});
    helper_ = std::thread([this] {
      while (!ended_)
        if (!must(machine_.files()->write_next(), "writing a row file")) ::usleep(1000);
    });
  }
  ~LedgerBench() {
    ended_ = true;
    helper_.join();
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
    HEPTANE_ASSERT(machine_.files()->prefetch(command) == nullptr, "a new transfer needs rows of files");
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
  SystemDisk disk_;
  LedgerMachine machine_;
  std::atomic<bool> ended_{false};
  std::thread helper_;
  MachineTable machines_;
  KernelState kernel_;
  CommandRun run_{machines_, kernel_};
  DigestAccumulator digest_;
};

// Of a transfer: its id's place; of both accounts the place of the id, the row and the list of transfers.
class MemoryAlone {
 public:
  explicit MemoryAlone(uint64_t accounts, uint64_t transfers)
      : ids_(lines(transfers * 12)),
        places_(lines(accounts * 16)),
        rows_(lines(accounts * 128)),
        lists_(lines(accounts * 64)) {}

  double per_second(uint64_t transfers) {
    std::vector<Touched> ahead(kAhead);
    for (Touched& touched : ahead) draw(touched);
    const int64_t begin_ns = now_ns();
    for (uint64_t i = 0; i < transfers; ++i) {
      Touched& next = ahead[i % kAhead];
      for (std::byte* line : next) *line ^= std::byte{1};
      std::memcpy(to_.data() + i % kCopied * sizeof(Transfer), from_.data() + i % kCopied * sizeof(Transfer),
                  sizeof(Transfer));
      draw(next);
    }
    return static_cast<double>(transfers) / static_cast<double>(now_ns() - begin_ns) * 1e9;
  }

 private:
  static constexpr size_t kLine = 64;
  static constexpr size_t kAhead = 12;
  static constexpr size_t kCopied = 65'536;
  using Lines = std::vector<std::byte, HugeAllocator<std::byte>>;
  using Touched = std::array<std::byte*, 9>;

  static Lines lines(uint64_t bytes) { return Lines((bytes / kLine + 1) * kLine, std::byte{0}); }
  std::byte* line_of(Lines& lines, uint64_t count) {
    return lines.data() + random_.below(lines.size() / kLine / count) * kLine * count;
  }
  void draw(Touched& touched) {
    touched[0] = line_of(ids_, 1);
    for (size_t side = 0; side < 2; ++side) {
      std::byte** at = &touched[1 + side * 4];
      at[0] = line_of(places_, 1);
      at[1] = line_of(rows_, 2);
      at[2] = at[1] + kLine;
      at[3] = line_of(lists_, 1);
    }
    for (std::byte* line : touched) prefetch_line(line);
  }

  SeededRandom random_{11};
  Lines ids_;
  Lines places_;
  Lines rows_;
  Lines lists_;
  std::vector<std::byte> from_ = std::vector<std::byte>(kCopied * sizeof(Transfer), std::byte{1});
  std::vector<std::byte> to_ = from_;
};

struct Measured {
  double transfers_per_second = 0;
  double worst_batch_micros = 0;
};

Measured measure(uint64_t accounts, uint64_t batches, const std::string& directory) {
  const uint64_t per_batch = kOperations.back().batch_max();
  LedgerBench bench(accounts, directory);
  bench.create_accounts(per_batch);
  Measured measured;
  int64_t spent_ns = 0;
  for (uint64_t i = 0; i < batches; ++i) {
    const Buffer payload = bench.draw(per_batch);
    const int64_t begin_ns = now_ns();
    bench.apply(kCreateTransfers, payload);
    const int64_t batch_ns = now_ns() - begin_ns;
    spent_ns += batch_ns;
    measured.worst_batch_micros = std::max(measured.worst_batch_micros, static_cast<double>(batch_ns) / 1e3);
  }
  measured.transfers_per_second = static_cast<double>(bench.stored()) / static_cast<double>(spent_ns) * 1e9;
  return measured;
}

}  // namespace

bool bench_ledger(const Scratch& scratch) {
  const uint64_t transfers = from_environment("BENCH_TRANSFERS", 4'000'000);
  const uint64_t batches = std::max<uint64_t>(1, transfers / 8189);
  Report report("ledger");
  report.setting("run", std::to_string(batches) +
                            " batches of 8,189 transfers; apply() and its digest; a helper writes the row files");
  const std::pair<const char*, uint64_t> shapes[] = {{"uniform, 1,000,000 accounts", 1'000'000},
                                                     {"hot, 8 accounts", 8}};
  for (const auto& [name, accounts] : shapes) {
    const std::string directory = scratch.below("ledger");
    const double before = MemoryAlone(accounts, transfers).per_second(transfers);
    const Measured measured = measure(accounts, batches, directory);
    const double memory = (before + MemoryAlone(accounts, transfers).per_second(transfers)) / 2;
    std::filesystem::remove_all(directory);
    report.row({name, rate(measured.transfers_per_second), "memory alone " + rate(memory),
                ratio(measured.transfers_per_second / memory), ">= 2 M/s",
                measured.transfers_per_second >= kBarPerSecond});
    report.setting(name, "worst batch " + micros(measured.worst_batch_micros));
  }
  return report.print();
}

}  // namespace heptane::bench
