#include "modules/fintech/machine/exchange/exchange_api.h"

#include <algorithm>

namespace heptane::fintech::exchange {

namespace {

template <class E, size_t kCount>
std::string_view name_in(const std::string_view (&names)[kCount], E value) {
  return names[std::min(static_cast<size_t>(value), kCount - 1)];
}

}  // namespace

bool valid_name(std::string_view name) {
  return !name.empty() && name.size() <= kNameMax && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-' ||
           c == '_';
  });
}

bool valid_client_id(std::string_view id) {
  return !id.empty() && id.size() <= kClientIdMax &&
         std::all_of(id.begin(), id.end(), [](char c) { return c > ' ' && c <= '~' && c != '"' && c != '\\'; });
}

std::optional<int64_t> at_scale(const Said& said, uint8_t scale) {
  int64_t digits = said.digits;
  uint8_t decimals = said.decimals;
  if (digits == 0) return 0;
  for (; decimals > scale && digits % 10 == 0; --decimals) digits /= 10;
  if (decimals > scale) return std::nullopt;
  for (; decimals < scale; ++decimals)
    if (__builtin_mul_overflow(digits, int64_t{10}, &digits)) return std::nullopt;
  return digits;
}

std::string_view whose_name(Whose whose) {
  static constexpr std::string_view kNames[] = {"everybody", "firm", "account", "instrument"};
  return name_in(kNames, whose);
}

std::string_view status_name(OrderStatus status) {
  static constexpr std::string_view kNames[] = {"open", "filled", "cancelled", "expired", "done", "in_review"};
  return name_in(kNames, status);
}

std::string_view side_name(book::Side side) {
  static constexpr std::string_view kNames[] = {"buy", "sell"};
  return name_in(kNames, side);
}

std::string_view type_name(book::OrderType type) {
  static constexpr std::string_view kNames[] = {"limit", "market", "stop", "stop_limit"};
  return name_in(kNames, type);
}

std::string_view tif_name(book::TimeInForce tif) {
  static constexpr std::string_view kNames[] = {"day", "gtc", "gtd", "ioc", "fok", "at_open", "at_close"};
  return name_in(kNames, tif);
}

std::string_view self_trade_name(book::SelfTrade rule) {
  static constexpr std::string_view kNames[] = {"allow", "cancel_newest", "cancel_oldest", "cancel_both"};
  return name_in(kNames, rule);
}

std::string_view phase_name(book::Phase phase) {
  static constexpr std::string_view kNames[] = {"closed",       "opening_call", "continuous",
                                                "auction_call", "closing_call", "halted"};
  return name_in(kNames, phase);
}

std::string_view reason_name(book::Reason reason) {
  static constexpr std::string_view kNames[] = {"none",     "cancelled", "mass_cancel", "expired",    "reduced",
                                                "unfilled", "fok",       "minimum",     "self_trade", "call_ended"};
  return name_in(kNames, reason);
}

}  // namespace heptane::fintech::exchange
