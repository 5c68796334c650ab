// Products of two numbers of 128 bits, divided: of money in proportion to other money. Pure; any thread.
#pragma once

#include <optional>

#include "modules/fintech/domain/ledger/types.h"

namespace heptane::fintech::exchange {

struct Quotient {
  Uint128 whole = 0;  // rounded down
  bool exact = true;
};
// a x b / by; `by` is above 0 and below 2^127. None: it is 2^128 and more.
std::optional<Quotient> proportion(Uint128 a, Uint128 b, Uint128 by);

}  // namespace heptane::fintech::exchange
