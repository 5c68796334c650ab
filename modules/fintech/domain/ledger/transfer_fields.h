// The fields of a transfer or an account that a query may name, and the keys under which the sorted runs beside its row files have them
// (kernel/rows/run_file.h). Different values may have one key: whoever finds a row looks at it. 0 is no value: a filter
// cannot ask for it. Part of the files' format.
#pragma once

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>

#include "modules/fintech/domain/ledger/types.h"

namespace heptane::fintech {

constexpr uint32_t kTransferFields = 5;  // user_data_128, user_data_64, user_data_32, ledger, code
using TransferKeys = std::array<std::optional<uint32_t>, kTransferFields>;

constexpr uint32_t wide_key(Uint128 value) {
  uint64_t mixed = static_cast<uint64_t>(value) ^ static_cast<uint64_t>(value >> 64) * 0x9E3779B97F4A7C15ULL;
  mixed = (mixed ^ mixed >> 32) * 0xD6E8FEB86659FD93ULL;
  return static_cast<uint32_t>(mixed >> 32);
}

inline bool any_asked(const TransferKeys& keys) {
  return std::any_of(keys.begin(), keys.end(), [](const auto& key) { return key.has_value(); });
}

// Of transfers, accounts and filters alike.
template <class Row>
TransferKeys transfer_keys(const Row& row) {
  const auto key = [](Uint128 value, uint32_t as) { return value == 0 ? std::nullopt : std::optional(as); };
  return {key(row.user_data_128, wide_key(row.user_data_128)), key(row.user_data_64, wide_key(row.user_data_64)),
          key(row.user_data_32, row.user_data_32), key(row.ledger, row.ledger), key(row.code, row.code)};
}

inline void keys_of_transfer(const std::byte* row, std::optional<uint32_t>* keys) {
  Transfer transfer;
  std::memcpy(&transfer, row, sizeof transfer);
  const TransferKeys all = transfer_keys(transfer);
  std::copy(all.begin(), all.end(), keys);
}

}  // namespace heptane::fintech
