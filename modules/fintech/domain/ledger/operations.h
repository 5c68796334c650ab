// The operations of the ledger that clients ask for, by TigerBeetle's numbers (0.17, src/tigerbeetle.zig). One row each;
// sizes, limits and what a body must look like follow from it.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "modules/fintech/domain/ledger/multi_batch.h"
#include "modules/fintech/domain/ledger/types.h"

namespace heptane::fintech {

constexpr size_t kBodyBytesMax = (size_t{1} << 20) - 256;  // of a message of 1 MiB with its header

enum class Operation : uint8_t {
  lookup_accounts = 140,
  lookup_transfers = 141,
  get_account_transfers = 142,
  get_account_balances = 143,
  query_accounts = 144,
  query_transfers = 145,
  create_accounts = 146,
  create_transfers = 147,
};

struct OperationRow {
  Operation operation;
  size_t event_bytes;
  size_t result_bytes;
  bool filter;   // a batch is one filter with a limit
  bool creates;  // it is a command; the others are queries

  // Results of one batch that fit a reply, and events of one that fit a request.
  constexpr size_t batch_max() const {
    const size_t results = (kBodyBytesMax - multi_batch_trailer_bytes(1, result_bytes)) / result_bytes;
    if (filter) return results;
    const size_t events = (kBodyBytesMax - multi_batch_trailer_bytes(1, event_bytes)) / event_bytes;
    return events < results ? events : results;
  }
};

inline constexpr auto kOperations = std::to_array<OperationRow>({
    {Operation::lookup_accounts, sizeof(Uint128), sizeof(Account), false, false},
    {Operation::lookup_transfers, sizeof(Uint128), sizeof(Transfer), false, false},
    {Operation::get_account_transfers, sizeof(AccountFilter), sizeof(Transfer), true, false},
    {Operation::get_account_balances, sizeof(AccountFilter), sizeof(AccountBalance), true, false},
    {Operation::query_accounts, sizeof(QueryFilter), sizeof(Account), true, false},
    {Operation::query_transfers, sizeof(QueryFilter), sizeof(Transfer), true, false},
    {Operation::create_accounts, sizeof(Account), sizeof(CreateResult), false, true},
    {Operation::create_transfers, sizeof(Transfer), sizeof(CreateResult), false, true},
});
static_assert(kOperations.back().batch_max() == 8189);

constexpr const OperationRow* find_operation(uint32_t number) {
  for (const OperationRow& row : kOperations)
    if (static_cast<uint32_t>(row.operation) == number) return &row;
  return nullptr;
}

// The batches of a body that the operation may have; none: the client is wrong.
std::optional<MultiBatch> parse_body(const OperationRow& row, Bytes body);

// The limit of a filter.
uint32_t filter_limit(const OperationRow& row, Bytes filter);

}  // namespace heptane::fintech
