#include "modules/data/gateway/postgres/variables.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "modules/data/domain/sql/lexer.h"
#include "modules/data/domain/sql/statement.h"

namespace heptane::data::postgres {

using sql::failure;
using sql::Failure;
using sql::lower;

namespace {

enum class Kind : uint8_t {
  fixed,     // SET takes the value it has
  kept,      // any text; changes nothing
  number,    // an integer; changes nothing
  boolean,   // on or off; changes nothing
  encoding,  // UTF-8 under its names
  date_style,
  zone,
  duration,
  position,
};

struct Known {
  std::string_view name;
  std::string_view fallback;
  Kind kind;
  bool reported;
  std::string_view help;
};

constexpr std::array<Known, 37> kKnown{{
    {"application_name", "", Kind::kept, true, "What the client calls itself"},
    {"bytea_output", "hex", Kind::fixed, false, "How bytes are shown"},
    {"check_function_bodies", "on", Kind::boolean, false, "Kept; there are no functions to check"},
    {"client_encoding", "UTF8", Kind::encoding, true, "Text is UTF-8"},
    {"client_min_messages", "notice", Kind::kept, false, "Kept"},
    {"DateStyle", "ISO, MDY", Kind::date_style, true, "How dates are shown"},
    {"default_transaction_isolation", "repeatable read", Kind::kept, false,
     "Kept; every transaction reads one position"},
    {"default_transaction_read_only", "on", Kind::fixed, true, "Streams are written by their own protocols"},
    {"extra_float_digits", "1", Kind::number, false, "Kept; numbers are shown with all their digits"},
    {"heptane.as_of", "", Kind::position, false,
     "The position that statements read, as 0:123; empty: what is there now"},
    {"idle_in_transaction_session_timeout", "0", Kind::kept, false, "Kept; an idle transaction holds nothing"},
    {"in_hot_standby", "off", Kind::fixed, true, "Kept for clients that look for a primary"},
    {"integer_datetimes", "on", Kind::fixed, true, "Times are integers in binary"},
    {"IntervalStyle", "postgres", Kind::fixed, true, "How intervals are shown"},
    {"is_superuser", "off", Kind::fixed, true, "Rights are those of the user's roles"},
    {"lc_collate", "C", Kind::fixed, false, "Text is ordered by its bytes"},
    {"lc_ctype", "C", Kind::fixed, false, "Text is ordered by its bytes"},
    {"lock_timeout", "0", Kind::kept, false, "Kept; nothing is locked"},
    {"max_identifier_length", "63", Kind::fixed, false, "Kept for clients"},
    {"max_index_keys", "32", Kind::fixed, false, "Kept for clients"},
    {"row_security", "on", Kind::boolean, false, "Kept"},
    {"search_path", "\"$user\", public", Kind::kept, false,
     "Kept; names of modules' streams are written with their schema"},
    {"server_encoding", "UTF8", Kind::fixed, true, "Text is UTF-8"},
    {"server_version", kServerVersion, Kind::fixed, true, "The version of PostgreSQL whose protocol this is"},
    {"server_version_num", "150000", Kind::fixed, false, "The same as a number"},
    {"session_authorization", "", Kind::fixed, true, "The user"},
    {"ssl_renegotiation_limit", "0", Kind::kept, false, "Kept"},
    {"standard_conforming_strings", "on", Kind::fixed, true, "A backslash in '' is one"},
    {"statement_timeout", "0", Kind::duration, false,
     "How long a statement may take; 0: as long as the server lets it"},
    {"synchronize_seqscans", "on", Kind::boolean, false, "Kept"},
    {"TimeZone", "UTC", Kind::zone, true, "Times are shown in UTC"},
    {"transaction_deferrable", "off", Kind::boolean, false, "Kept; a read-only transaction never waits"},
    {"transaction_isolation", "repeatable read", Kind::kept, false, "Kept; every transaction reads one position"},
    {"transaction_read_only", "on", Kind::fixed, false, "Streams are written by their own protocols"},
    {"vacuum_defer_cleanup_age", "0", Kind::kept, false, "Kept"},
    {"wal_level", "replica", Kind::fixed, false, "Kept for clients"},
    {"xmloption", "content", Kind::kept, false, "Kept"},
}};

const Known* find(std::string_view name) {
  const std::string low = lower(name);
  const auto* found = std::find_if(kKnown.begin(), kKnown.end(), [&](const Known& k) { return lower(k.name) == low; });
  return found == kKnown.end() ? nullptr : found;
}

bool is_utf8_name(const std::string& low) {
  return low == "utf8" || low == "utf-8" || low == "unicode" || low == "'utf8'" || low == "utf_8";
}

bool is_utc(const std::string& low) {
  constexpr std::array<std::string_view, 10> kNames{"utc", "gmt", "etc/utc", "etc/gmt", "zulu",
                                                    "z",   "0",   "+00",     "uct",     "universal"};
  return std::find(kNames.begin(), kNames.end(), low) != kNames.end();
}

std::optional<std::string> boolean(const std::string& low) {
  if (low == "on" || low == "true" || low == "1" || low == "yes") return "on";
  if (low == "off" || low == "false" || low == "0" || low == "no") return "off";
  return std::nullopt;
}

bool is_number(std::string_view text) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

// Milliseconds, or a number with its unit; nullopt: no such thing.
std::optional<int64_t> duration_ns(std::string_view text) {
  constexpr int64_t kMsNs = 1'000'000;
  constexpr int64_t kMsMax = 7 * 86'400'000;
  struct Unit {
    std::string_view name;
    int64_t ms;
  };
  constexpr std::array<Unit, 6> kUnits{
      {{"", 1}, {"ms", 1}, {"s", 1000}, {"min", 60'000}, {"h", 3'600'000}, {"d", 86'400'000}}};
  int64_t value = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  std::string_view rest(stop, static_cast<size_t>(end - stop));
  rest.remove_prefix(std::min(rest.find_first_not_of(' '), rest.size()));
  const auto* unit = std::find_if(kUnits.begin(), kUnits.end(), [&](const Unit& u) { return u.name == rest; });
  if (error != std::errc() || unit == kUnits.end() || value < 0 || value > kMsMax / unit->ms) return std::nullopt;
  return value * unit->ms * kMsNs;
}

Failure refuse(const Known& known, std::string_view value) {
  const std::string said = "\"" + std::string(known.name) + "\": \"" + std::string(value) + "\"";
  switch (known.kind) {
    case Kind::zone: return failure("0A000", "times are shown in UTC", "Use `AT TIME ZONE` in the statement.");
    case Kind::encoding: return failure("0A000", "text is UTF-8 here; client_encoding cannot be " + std::string(value));
    case Kind::date_style: return failure("0A000", "dates are shown as ISO 8601 writes them");
    case Kind::position: return failure("22023", "a position is '0:' and a number, as in SET heptane.as_of = '0:123'");
    case Kind::fixed: return failure("55P02", "parameter \"" + std::string(known.name) + "\" cannot be changed");
    default: return failure("22023", "invalid value for parameter " + said);
  }
}

// The value as it is kept; nullopt: it is none for this variable.
std::optional<std::string> accepted(const Known& known, const std::string& current, const std::string& value) {
  const std::string low = lower(value);
  switch (known.kind) {
    case Kind::kept: return value;
    case Kind::fixed: return low == lower(current) ? std::optional(current) : std::nullopt;
    case Kind::number: return is_number(value) ? std::optional(value) : std::nullopt;
    case Kind::boolean: return boolean(low);
    case Kind::encoding: return is_utf8_name(low) ? std::optional<std::string>("UTF8") : std::nullopt;
    case Kind::date_style: return low.starts_with("iso") ? std::optional<std::string>("ISO, MDY") : std::nullopt;
    case Kind::zone: return is_utc(low) ? std::optional<std::string>("UTC") : std::nullopt;
    case Kind::duration: return duration_ns(value) ? std::optional(value) : std::nullopt;
    case Kind::position: return value.empty() || sql::parse_position(value) ? std::optional(value) : std::nullopt;
  }
  return std::nullopt;
}

}  // namespace

std::optional<Failure> Variables::set(std::string_view name, const std::optional<std::string>& value) {
  const Known* known = find(name);
  if (known == nullptr) {
    constexpr size_t kShownBytes = 63;
    return failure("42704",
                   "unrecognized configuration parameter \"" + std::string(name.substr(0, kShownBytes)) + "\"");
  }
  if (!value) {
    values_.erase(lower(known->name));
    return std::nullopt;
  }
  if (value->size() > Variables::kValueBytesMax)
    return failure("22023", "a value of parameter \"" + std::string(known->name) + "\" is longer than " +
                                std::to_string(kValueBytesMax) + " bytes");
  std::optional<std::string> kept = accepted(*known, *get(name), *value);
  if (!kept) return refuse(*known, *value);
  if (known->kind != Kind::fixed) values_.insert_or_assign(lower(known->name), std::move(*kept));
  return std::nullopt;
}

std::optional<std::string> Variables::get(std::string_view name) const {
  const Known* known = find(name);
  if (known == nullptr) return std::nullopt;
  if (known->name == "session_authorization") return user_;
  const auto found = values_.find(lower(known->name));
  return found != values_.end() ? found->second : std::string(known->fallback);
}

std::string_view Variables::spelling(std::string_view name) {
  const Known* known = find(name);
  return known == nullptr ? std::string_view() : known->name;
}

void Variables::take_over(std::string_view name, const Variables& from) {
  const std::string low = lower(name);
  if (const auto found = from.values_.find(low); found != from.values_.end())
    values_.insert_or_assign(low, found->second);
  else
    values_.erase(low);
}

std::vector<Variables::Shown> Variables::all() const {
  std::vector<Shown> shown;
  shown.reserve(kKnown.size());
  for (const Known& known : kKnown) shown.push_back({known.name, *get(known.name), known.help});
  return shown;
}

std::vector<Variables::Shown> Variables::reported() const {
  std::vector<Shown> shown = all();
  std::erase_if(shown, [](const Shown& variable) { return !is_reported(variable.name); });
  return shown;
}

bool Variables::is_reported(std::string_view name) {
  const Known* known = find(name);
  return known != nullptr && known->reported;
}

std::optional<uint64_t> Variables::as_of() const {
  const auto found = values_.find("heptane.as_of");
  return found == values_.end() ? std::nullopt : sql::parse_position(found->second);
}

int64_t Variables::statement_timeout_ns() const {
  const auto found = values_.find("statement_timeout");
  return found == values_.end() ? 0 : duration_ns(found->second).value_or(0);
}

}  // namespace heptane::data::postgres
