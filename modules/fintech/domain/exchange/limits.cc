#include "modules/fintech/domain/exchange/limits.h"

#include <algorithm>
#include <string>

#include "modules/fintech/domain/ledger/amount.h"

namespace heptane::fintech::exchange {

namespace {

constexpr int64_t kSecondNs = 1'000'000'000;

std::string signed_text(Int128 number, uint8_t scale) {
  if (number >= 0) return amount_text(static_cast<Uint128>(number), scale);
  return "-" + amount_text(-static_cast<Uint128>(number), scale);
}

Uint128 magnitude(Int128 number) { return number < 0 ? -static_cast<Uint128>(number) : static_cast<Uint128>(number); }

Error above(const std::string& what, std::string_view whose, const std::string& value, const std::string& limit) {
  return {Errc::refused, what + " of " + std::string(whose) + " would be " + value + ", its limit is " + limit};
}

}  // namespace

std::optional<Error> check_limits(std::string_view whose, const Instrument& instrument, const Limits& limits,
                                  const Exposure& before, const OrderSize& order) {
  const bool more = order.leaves > order.replaced;
  const uint8_t scale = instrument.quantity_scale;
  if (more && limits.order_quantity_max != 0 && order.leaves > limits.order_quantity_max)
    return above("an order's quantity", whose, amount_text(order.leaves, scale),
                 amount_text(limits.order_quantity_max, scale));
  const Uint128 size = magnitude(notional(instrument, order.price, order.leaves));
  const Uint128 had = magnitude(notional(instrument, order.replaced_price, order.replaced));
  if (size > had && limits.order_notional_max != 0 && size > limits.order_notional_max)
    return above("an order's notional", whose, amount_text(size, instrument.quote_scale),
                 amount_text(limits.order_notional_max, instrument.quote_scale));
  if (!more) return std::nullopt;
  const bool buy = order.side == book::Side::buy;
  const Uint128 limit = buy ? limits.long_max : limits.short_max;
  const Int128 after = (buy ? worst_long(before) : worst_short(before)) + Int128{order.leaves} - Int128{order.replaced};
  if (limit != 0 && after > 0 && static_cast<Uint128>(after) > limit)
    return above(buy ? "worst-case long" : "worst-case short", whose, signed_text(after, scale),
                 amount_text(limit, scale));
  return std::nullopt;
}

bool admit(OrderRate& rate, const Limits& limits, int64_t now) {
  if (limits.orders_per_second == 0) return true;
  const int64_t share = (kSecondNs + limits.orders_per_second - 1) / limits.orders_per_second;
  const int64_t from = std::max(rate.full_until, now);
  if (from - now > share * (int64_t{limits.orders_at_once} - 1)) return false;
  rate.full_until = from + share;
  return true;
}

}  // namespace heptane::fintech::exchange
