#include "bench/stored_ledger.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "bench/report.h"
#include "kernel/base/random.h"

namespace heptane::bench {

namespace {

using namespace fintech;

constexpr uint8_t kAccounts = 146;
constexpr uint8_t kTransfers = 147;

}  // namespace

void must(bool good, const char* what) {
  if (good) return;
  std::fprintf(stderr, "bench: %s\n", what);
  std::exit(1);
}

void store_accounts(LedgerWire& wire, uint64_t accounts) {
  for (uint64_t done = 0; done < accounts;) {
    std::vector<Account> batch(std::min(kLedgerBatch, accounts - done));
    for (Account& account : batch) {
      account = {};
      account.id = ++done;
      account.ledger = account.code = 1;
    }
    must(wire.create(kAccounts, batch) == batch.size(), "an account was not created");
  }
}

void store_transfers(LedgerWire& wire, uint64_t accounts, uint64_t transfers, const std::function<void(double)>& each) {
  SeededRandom random(11);
  for (uint64_t id = 0; id < transfers;) {
    std::vector<Transfer> batch(std::min(kLedgerBatch, transfers - id));
    for (Transfer& transfer : batch) {
      transfer = {};
      transfer.id = ++id;
      transfer.debit_account_id = 1 + random.below(accounts);
      transfer.credit_account_id =
          1 + (static_cast<uint64_t>(transfer.debit_account_id) + random.below(accounts - 1)) % accounts;
      transfer.amount = id;
      transfer.user_data_64 = 1 + random.below(std::max<uint64_t>(1, transfers / kSharingUserData));
      transfer.ledger = transfer.code = 1;
    }
    const int64_t begin_ns = now_ns();
    must(wire.create(kTransfers, batch) == batch.size(), "a transfer was not created");
    if (each) each(static_cast<double>(now_ns() - begin_ns) / 1e6);
  }
}

void for_each_file(const std::string& directory, const std::function<void(int fd)>& what) {
  for (const auto& entry : std::filesystem::recursive_directory_iterator(directory)) {
    if (!entry.is_regular_file()) continue;
    const int fd = ::open(entry.path().c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) continue;
    what(fd);
    ::close(fd);
  }
}

void forget_files(const std::string& directory) {
  for_each_file(directory, [](int fd) {
    (void)::fdatasync(fd);
    (void)::posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
  });
}

}  // namespace heptane::bench
