#include "modules/data/gateway/sql/sql_text.h"

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <limits>

#include "kernel/net/http/json_writer.h"

namespace heptane::data::sql {

namespace {

constexpr std::array<std::string_view, 15> kNames = {"boolean",     "smallint", "integer", "bigint", "real",
                                                     "double",      "numeric",  "date",    "time",   "timestamp",
                                                     "timestamptz", "uuid",     "json",    "bytea",  "text"};
constexpr int64_t kExactInteger = int64_t{1} << 53;
constexpr int64_t kMicroPerDay = int64_t{86'400} * 1'000'000;

constexpr int64_t kDateInfinity = std::numeric_limits<int32_t>::max();
constexpr int64_t kTimeInfinity = std::numeric_limits<int64_t>::max();

// Days since 1970-01-01 as a date (proleptic Gregorian).
std::string date_text(int64_t days) {
  if (days >= kDateInfinity) return "infinity";
  if (days <= -kDateInfinity) return "-infinity";
  const int64_t shifted = days + 719'468;
  const int64_t era = (shifted >= 0 ? shifted : shifted - 146'096) / 146'097;
  const int64_t day_of_era = shifted - era * 146'097;
  const int64_t year_of_era = (day_of_era - day_of_era / 1'460 + day_of_era / 36'524 - day_of_era / 146'096) / 365;
  const int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const int64_t month = (5 * day_of_year + 2) / 153;
  const int64_t year = year_of_era + era * 400 + (month >= 10 ? 1 : 0);
  return fmt::format("{:04}-{:02}-{:02}", year, month < 10 ? month + 3 : month - 9,
                     day_of_year - (153 * month + 2) / 5 + 1);
}

std::string time_of_day(int64_t micro) {
  const int64_t seconds = micro / 1'000'000;
  std::string text = fmt::format("{:02}:{:02}:{:02}", seconds / 3'600, seconds / 60 % 60, seconds % 60);
  if (micro % 1'000'000 != 0) text += fmt::format(".{:06}", micro % 1'000'000);
  return text;
}

std::string timestamp_text(int64_t micro, std::string_view zone) {
  if (micro == kTimeInfinity) return "infinity";
  if (micro <= -kTimeInfinity) return "-infinity";
  int64_t days = micro / kMicroPerDay;
  if (micro % kMicroPerDay < 0) --days;
  return fmt::format("{}T{}{}", date_text(days), time_of_day(micro - days * kMicroPerDay), zone);
}

std::string numeric_text(__int128 number, uint8_t scale) {
  const bool negative = number < 0;
  auto rest = negative ? -static_cast<unsigned __int128>(number) : static_cast<unsigned __int128>(number);
  std::string digits;
  for (; rest != 0 || digits.size() <= scale; rest /= 10) {
    digits.insert(digits.begin(), static_cast<char>('0' + static_cast<int>(rest % 10)));
  }
  if (scale != 0) digits.insert(digits.size() - scale, 1, '.');
  return negative ? "-" + digits : digits;
}

std::string bytes_text(std::string_view bytes) {
  std::string text = "\\x";
  for (const char c : bytes) text += fmt::format("{:02x}", static_cast<unsigned char>(c));
  return text;
}

template <class Real>
std::string real_text(Real number) {
  if (std::isnan(number)) return "NaN";
  if (std::isinf(number)) return number > 0 ? "Infinity" : "-Infinity";
  return fmt::format("{}", number);
}

std::string text_of(const Column& column, const Rows& rows, size_t at, size_t row) {
  switch (column.type) {
    case Type::boolean: return rows.integer(at, row) != 0 ? "true" : "false";
    case Type::int16:
    case Type::int32:
    case Type::int64: return std::to_string(rows.integer(at, row));
    case Type::float4: return real_text(static_cast<float>(rows.real(at, row)));
    case Type::float8: return real_text(rows.real(at, row));
    case Type::numeric: return numeric_text(rows.wide(at, row), column.scale);
    case Type::date: return date_text(rows.integer(at, row));
    case Type::time: return time_of_day(rows.integer(at, row));
    case Type::timestamp: return timestamp_text(rows.integer(at, row), "");
    case Type::timestamptz: return timestamp_text(rows.integer(at, row), "Z");
    case Type::bytea: return bytes_text(rows.text(at, row));
    default: return std::string(rows.text(at, row));
  }
}

// As it is in JSON, not as a JSON text.
bool bare(const Column& column, const Rows& rows, size_t at, size_t row) {
  switch (column.type) {
    case Type::boolean:
    case Type::int16:
    case Type::int32:
    case Type::json: return true;
    case Type::int64: return rows.integer(at, row) < kExactInteger && rows.integer(at, row) > -kExactInteger;
    case Type::float4:
    case Type::float8: return std::isfinite(rows.real(at, row));
    default: return false;
  }
}

std::string json_text(std::string_view text) {
  http::JsonWriter out;
  out.begin_array().text(text).end_array();
  std::string json = out.take();
  return json.substr(1, json.rfind(']') - 1);
}

}  // namespace

std::string_view type_name(Type type) { return kNames[static_cast<size_t>(type)]; }

void append_json(const std::vector<Column>& columns, const Rows& rows, size_t row, std::string& out) {
  out += '[';
  for (size_t i = 0; i < columns.size(); ++i) {
    if (i != 0) out += ',';
    if (rows.is_null(i, row))
      out += "null";
    else if (bare(columns[i], rows, i, row))
      out += text_of(columns[i], rows, i, row);
    else
      out += json_text(text_of(columns[i], rows, i, row));
  }
  out += ']';
}

namespace {

void append_field(std::string_view text, std::string& out) {
  if (!text.empty() && text.find_first_of(",\"\r\n") == std::string_view::npos) {
    out += text;
    return;
  }
  out += '"';
  for (const char c : text) {
    if (c == '"') out += '"';
    out += c;
  }
  out += '"';
}

}  // namespace

void append_csv(const std::vector<Column>& columns, const Rows& rows, size_t row, std::string& out) {
  for (size_t i = 0; i < columns.size(); ++i) {
    if (i != 0) out += ',';
    if (!rows.is_null(i, row)) append_field(text_of(columns[i], rows, i, row), out);
  }
  out += "\r\n";
}

void append_csv_names(const std::vector<Column>& columns, std::string& out) {
  for (size_t i = 0; i < columns.size(); ++i) {
    if (i != 0) out += ',';
    append_field(columns[i].name, out);
  }
  out += "\r\n";
}

}  // namespace heptane::data::sql
