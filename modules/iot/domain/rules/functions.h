// The functions of the rules' SQL, as a table. Arguments that are NULL make the result NULL, except where the function says
// otherwise. Pure; any thread.
//
// Texts: lower upper trim ltrim rtrim lpad rpad(text, count, by) length substr(text, from, count) strpos(text, part), from 1, concat
// replace(text, what, by) split(text, by, n) starts_with ends_with contains. Numbers: abs floor ceil round(x, places) (half away
// from zero) round_even(x, places) trunc(x, places) least greatest. Both: number(text) text(x) coalesce. JSON: get(value, name or
// number) json_decode(text) json_encode(x) length. Time: timestamp() now() (ms) parse_time(pattern, ms, zone) time_to_epoch(text,
// pattern) rfc3339_to_unix_ts(text, unit) unix_ts_to_rfc3339(number, unit). The message: topic() topic(n), from 1, key() payload()
// offset().
#pragma once

#include <span>
#include <string_view>

#include "kernel/base/result.h"
#include "modules/iot/domain/rules/sql.h"

namespace heptane::iot::rules {

struct Function {
  std::string_view name;
  size_t least = 0;
  size_t most = 0;
  bool takes_null = false;
  Result<Value> (*apply)(std::span<const Value> arguments, const Message& message);
  bool of_message = false;  // what it is worth is not made of its arguments alone
};

// In lower case; null: there is none.
const Function* find_function(std::string_view name);

}  // namespace heptane::iot::rules
