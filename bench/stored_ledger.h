// A ledger of very many transfers, stored through its wire: what the benches of its history look into.
#pragma once

#include <functional>
#include <string>

#include "bench/ledger_wire.h"

namespace heptane::bench {

constexpr uint64_t kLedgerBatch = 8189;
// So many transfers share a value of user_data_64, anywhere among all.
constexpr uint64_t kSharingUserData = 10;

// Ends the bench with the reason.
void must(bool good, const char* what);

// Ids 1 to `accounts`.
void store_accounts(LedgerWire& wire, uint64_t accounts);
// Ids 1 to `transfers`, between random accounts, each of the amount that its id is. `each` is told the milliseconds of a batch.
void store_transfers(LedgerWire& wire, uint64_t accounts, uint64_t transfers,
                     const std::function<void(double)>& each = {});

void for_each_file(const std::string& directory, const std::function<void(int fd)>& what);
// Out of the system's memory.
void forget_files(const std::string& directory);

}  // namespace heptane::bench
