// What the tables of functions share: arguments by kind, and the tables that stand beside functions.cc. Internal to the rules' SQL.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "modules/iot/domain/rules/functions.h"

namespace heptane::iot::rules {

using Arguments = std::span<const Value>;

inline Error wrong_argument(std::string why) { return {Errc::invalid_argument, std::move(why)}; }

// Of `at`, from 0; the message counts from 1.
Result<std::string_view> text_at(Arguments arguments, size_t at);
Result<Decimal> number_at(Arguments arguments, size_t at);
// A whole number of this range.
Result<size_t> count_at(Arguments arguments, size_t at, size_t least, size_t most);
// A text that is no longer than kTextBytesMax.
Result<Value> made_text(std::string text);

std::span<const Function> json_functions();
std::span<const Function> time_functions();

}  // namespace heptane::iot::rules
