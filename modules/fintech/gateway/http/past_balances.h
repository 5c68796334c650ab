// `heptane at MOMENT ledger balances`: every account as it was.
#pragma once

#include <string>

#include "modules/fintech/machine/ledger/ledger_machine.h"

namespace heptane::fintech {

std::string past_balances(const LedgerMachine& machine, bool json);

}  // namespace heptane::fintech
