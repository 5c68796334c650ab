// The names of statuses as TigerBeetle's documents spell them, out of the tables of checks.
#pragma once

#include <string_view>

#include "modules/fintech/domain/ledger/account_checks.h"
#include "modules/fintech/domain/ledger/transfer_checks.h"

namespace heptane::fintech {

inline std::string_view status_name(AccountStatus status) {
  for (const auto& check : kAccountChecks)
    if (check.status == status) return check.name;
  return "created";
}

inline std::string_view status_name(TransferStatus status) {
  for (const auto& check : kTransferChecks)
    if (check.status == status) return check.name;
  return "created";
}

}  // namespace heptane::fintech
