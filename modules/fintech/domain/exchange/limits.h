// What a firm or an account may do in an instrument, judged before an order is matched: size and notional of an order, worst-case long
// and worst-case short, orders a second.
//
// Worst-case long is the position if all open buys filled and no sell; worst-case short the same of sells. They are judged apart, never
// netted: both sides may fill. What makes an exposure, a quantity or a notional smaller is let through, also above its limit. Integers on log time; pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "kernel/base/result.h"
#include "modules/fintech/domain/book/book.h"
#include "modules/fintech/domain/exchange/instrument.h"

namespace heptane::fintech::exchange {

// 0: no limit.
struct Limits {
  uint64_t order_quantity_max = 0;
  Uint128 order_notional_max = 0;
  Uint128 long_max = 0;
  Uint128 short_max = 0;
  uint32_t orders_per_second = 0;
  uint32_t orders_at_once = 1;  // that may come together
};

// In the instrument's quantities.
struct Exposure {
  Int128 position = 0;  // below 0: short
  Uint128 open_buys = 0;
  Uint128 open_sells = 0;
};
constexpr Int128 worst_long(const Exposure& e) { return e.position + static_cast<Int128>(e.open_buys); }
constexpr Int128 worst_short(const Exposure& e) { return static_cast<Int128>(e.open_sells) - e.position; }

// An order, or what a replace would make of one: `leaves` of it at `price`, in place of `replaced` at
// `replaced_price` that are in `before` already.
struct OrderSize {
  book::Side side = book::Side::buy;
  int64_t price = 0;
  uint64_t leaves = 0;
  uint64_t replaced = 0;
  int64_t replaced_price = 0;
};

// Why it goes beyond the limits, with the limit, its value and the order's; none: it does not. `whose`: "account A1", for the text.
std::optional<Error> check_limits(std::string_view whose, const Instrument& instrument, const Limits& limits,
                                  const Exposure& before, const OrderSize& order);

// Orders that came lately: in any time t at most orders_at_once + t x orders_per_second are let through.
struct OrderRate {
  int64_t full_until = 0;  // log time, ns: as if each order took its share of a second
};
// False: too many; then it counts for nothing.
bool admit(OrderRate& rate, const Limits& limits, int64_t now);

}  // namespace heptane::fintech::exchange
