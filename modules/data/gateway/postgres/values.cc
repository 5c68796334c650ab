#include "modules/data/gateway/postgres/values.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>

#include "kernel/base/utf8.h"
#include "modules/data/domain/sql/statement.h"

namespace heptane::data::postgres {

using sql::Column;
using sql::Failure;
using sql::Rows;
using sql::Type;

namespace {

constexpr int64_t kDaysTo2000 = 10'957;
constexpr int64_t kSecondUs = 1'000'000;
constexpr int64_t kDayUs = 86'400 * kSecondUs;
constexpr int64_t kUsTo2000 = kDaysTo2000 * kDayUs;
constexpr int64_t kDateInfinity = std::numeric_limits<int32_t>::max();
constexpr int64_t kTimeInfinity = std::numeric_limits<int64_t>::max();
constexpr Oid kOidBpchar = 1042;
constexpr Oid kOidVarchar = 1043;
constexpr Oid kOidName = 19;
constexpr Oid kOidUnknown = 705;
constexpr Oid kOidJsonb = 3802;
constexpr Oid kOidOid = 26;

struct TypeFacts {
  Type type;
  Oid oid;
  int16_t length;
};
constexpr std::array<TypeFacts, 15> kTypes{{{Type::boolean, 16, 1},
                                            {Type::int16, 21, 2},
                                            {Type::int32, 23, 4},
                                            {Type::int64, 20, 8},
                                            {Type::float4, 700, 4},
                                            {Type::float8, 701, 8},
                                            {Type::numeric, 1700, -1},
                                            {Type::date, 1082, 4},
                                            {Type::time, 1083, 8},
                                            {Type::timestamp, 1114, 8},
                                            {Type::timestamptz, 1184, 8},
                                            {Type::uuid, 2950, 16},
                                            {Type::json, 114, -1},
                                            {Type::bytea, 17, -1},
                                            {Type::text, kOidText, -1}}};

const TypeFacts& facts(Type type) { return kTypes[static_cast<size_t>(type)]; }
static_assert(kTypes[static_cast<size_t>(Type::text)].type == Type::text);

void append_padded(std::string& out, int64_t value, size_t width) {
  const std::string digits = std::to_string(value);
  if (digits.size() < width) out.append(width - digits.size(), '0');
  out += digits;
}

struct CivilDay {
  int64_t year;
  int64_t month;
  int64_t day;
};

// The proleptic Gregorian calendar, counted from 0000-03-01 so that the leap day ends a year.
CivilDay civil_day(int64_t days_since_1970) {
  constexpr int64_t kDaysFromMarch0000 = 719'468;
  constexpr int64_t kEraDays = 146'097;
  const int64_t days = days_since_1970 + kDaysFromMarch0000;
  const int64_t era = (days >= 0 ? days : days - kEraDays + 1) / kEraDays;
  const int64_t of_era = days - era * kEraDays;
  const int64_t year_of_era = (of_era - of_era / 1460 + of_era / 36'524 - of_era / 146'096) / 365;
  const int64_t of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const int64_t month_from_march = (5 * of_year + 2) / 153;
  const int64_t month = month_from_march < 10 ? month_from_march + 3 : month_from_march - 9;
  return {year_of_era + era * 400 + (month <= 2 ? 1 : 0), month, of_year - (153 * month_from_march + 2) / 5 + 1};
}

// True: before the year 1.
bool append_day(std::string& out, int64_t days) {
  const CivilDay day = civil_day(days);
  append_padded(out, day.year > 0 ? day.year : 1 - day.year, 4);
  out += '-';
  append_padded(out, day.month, 2);
  out += '-';
  append_padded(out, day.day, 2);
  return day.year <= 0;
}

void append_clock(std::string& out, int64_t us) {
  const int64_t seconds = us / kSecondUs;
  append_padded(out, seconds / 3600, 2);
  out += ':';
  append_padded(out, seconds / 60 % 60, 2);
  out += ':';
  append_padded(out, seconds % 60, 2);
  if (us % kSecondUs == 0) return;
  out += '.';
  append_padded(out, us % kSecondUs, 6);
  while (out.back() == '0') out.pop_back();
}

std::string date_text(int64_t days) {
  if (days >= kDateInfinity) return "infinity";
  if (days <= -kDateInfinity) return "-infinity";
  std::string out;
  if (append_day(out, days)) out += " BC";
  return out;
}

std::string timestamp_text(int64_t us, bool zone) {
  if (us == kTimeInfinity) return "infinity";
  if (us <= -kTimeInfinity) return "-infinity";
  const int64_t days = us / kDayUs - (us % kDayUs < 0 ? 1 : 0);
  std::string out;
  const bool before_christ = append_day(out, days);
  out += ' ';
  append_clock(out, us - days * kDayUs);
  if (zone) out += "+00";
  if (before_christ) out += " BC";
  return out;
}

std::string time_text(int64_t us) {
  std::string out;
  append_clock(out, us);
  return out;
}

template <class Float>
std::string real_text(Float value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "Infinity" : "-Infinity";
  std::array<char, 64> digits;
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value);
  return {digits.data(), end.ptr};
}

std::string digits_of(unsigned __int128 value) {
  std::string digits;
  do {
    digits += static_cast<char>('0' + static_cast<int>(value % 10));
    value /= 10;
  } while (value != 0);
  std::reverse(digits.begin(), digits.end());
  return digits;
}

// The digits before and behind the point.
struct Decimal {
  bool negative;
  std::string whole;
  std::string fraction;
};

Decimal decimal_of(__int128 value, uint8_t scale) {
  const bool negative = value < 0;
  const auto magnitude = negative ? -static_cast<unsigned __int128>(value) : static_cast<unsigned __int128>(value);
  std::string digits = digits_of(magnitude);
  if (digits.size() <= scale) digits.insert(0, scale + 1U - digits.size(), '0');
  const size_t point = digits.size() - scale;
  return {negative, digits.substr(0, point), digits.substr(point)};
}

std::string numeric_text(__int128 value, uint8_t scale) {
  const Decimal decimal = decimal_of(value, scale);
  return (decimal.negative ? "-" : "") + decimal.whole + (scale > 0 ? "." : "") + decimal.fraction;
}

constexpr size_t kGroup = 4;  // decimal digits of one digit of a binary numeric
constexpr uint16_t kNumericNegative = 0x4000;
constexpr uint16_t kNumericNan = 0xC000;
constexpr int kNumericBase = 10'000;

void append_numeric(ByteWriter& out, __int128 value, uint8_t scale) {
  Decimal decimal = decimal_of(value, scale);
  if (const size_t odd = decimal.whole.size() % kGroup; odd != 0) decimal.whole.insert(0, kGroup - odd, '0');
  if (const size_t odd = decimal.fraction.size() % kGroup; odd != 0) decimal.fraction.append(kGroup - odd, '0');
  const std::string digits = decimal.whole + decimal.fraction;
  std::vector<int16_t> groups;
  for (size_t at = 0; at < digits.size(); at += kGroup)
    groups.push_back(static_cast<int16_t>(std::stoi(digits.substr(at, kGroup))));
  auto weight = static_cast<int16_t>(decimal.whole.size() / kGroup - 1);
  size_t first = 0;
  for (; first < groups.size() && groups[first] == 0; ++first) --weight;
  while (groups.size() > first && groups.back() == 0) groups.pop_back();
  const bool zero = first == groups.size();
  out.be(static_cast<int16_t>(groups.size() - first));
  out.be(zero ? int16_t{0} : weight);
  out.be(decimal.negative ? kNumericNegative : uint16_t{0});
  out.be(static_cast<int16_t>(scale));
  for (size_t i = first; i < groups.size(); ++i) out.be(groups[i]);
}

int hex_of(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

void append_uuid(ByteWriter& out, std::string_view text) {
  constexpr size_t kUuidBytes = 16;
  size_t bytes = 0;
  int high = -1;
  for (const char c : text) {
    const int digit = hex_of(c);
    if (digit < 0 || bytes == kUuidBytes) continue;
    if (high < 0) {
      high = digit;
    } else {
      out.u8(static_cast<uint8_t>(high * 16 + digit));
      high = -1;
      ++bytes;
    }
  }
  out.zeros(kUuidBytes - bytes);
}

void append_hex(std::string& out, Bytes bytes) {
  constexpr char kDigits[] = "0123456789abcdef";
  for (const std::byte byte : bytes) {
    out += kDigits[static_cast<unsigned>(byte) >> 4];
    out += kDigits[static_cast<unsigned>(byte) & 15];
  }
}

std::string bytea_text(Bytes bytes) {
  std::string out = "\\x";
  out.reserve(2 + 2 * bytes.size());
  append_hex(out, bytes);
  return out;
}

std::string uuid_text(Bytes bytes) {
  std::string out;
  for (const size_t part : {4, 2, 2, 2, 6}) {
    if (!out.empty()) out += '-';
    append_hex(out, bytes.first(part));
    bytes = bytes.subspan(part);
  }
  return out;
}

// The digits are powers of 10,000 from `weight` down; `scale` decimal digits are shown behind the point.
std::optional<std::string> numeric_from(Bytes binary) {
  ByteReader reader(binary);
  const auto count = reader.be<uint16_t>();
  const auto weight = reader.be<int16_t>();
  const auto sign = reader.be<uint16_t>();
  const auto scale = reader.be<uint16_t>();
  if (reader.failed() || reader.remaining() != size_t{count} * 2) return std::nullopt;
  if (sign == kNumericNan) return "NaN";
  constexpr int kWeightMax = 32;  // 38 digits are all that a number has here; the engine says so of longer ones
  constexpr uint16_t kScaleMax = 128;
  if ((sign != 0 && sign != kNumericNegative) || weight > kWeightMax || weight < -kWeightMax || scale > kScaleMax ||
      count > 2 * kWeightMax)
    return std::nullopt;
  std::string whole;
  std::string fraction(weight < -1 ? kGroup * static_cast<size_t>(-1 - weight) : 0, '0');
  int power = weight;
  for (uint16_t i = 0; i < count; ++i, --power) {
    const auto digit = reader.be<int16_t>();
    if (digit < 0 || digit >= kNumericBase) return std::nullopt;
    append_padded(power >= 0 ? whole : fraction, digit, kGroup);
  }
  for (; power >= 0; --power) whole += "0000";
  whole.erase(0, whole.find_first_not_of('0'));
  if (whole.empty()) whole = "0";
  fraction.resize(scale, '0');
  return (sign != 0 ? "-" : "") + whole + (scale > 0 ? "." + fraction : "");
}

template <class Integer>
std::optional<std::string> integer_from(Bytes binary) {
  if (binary.size() != sizeof(Integer)) return std::nullopt;
  return std::to_string(load_be<Integer>(binary.data()));
}

template <class Float, class Bits>
std::optional<std::string> real_from(Bytes binary) {
  if (binary.size() != sizeof(Bits)) return std::nullopt;
  return real_text(std::bit_cast<Float>(load_be<Bits>(binary.data())));
}

std::optional<std::string> date_from(Bytes binary) {
  if (binary.size() != sizeof(int32_t)) return std::nullopt;
  const auto days = load_be<int32_t>(binary.data());
  if (days == std::numeric_limits<int32_t>::max()) return "infinity";
  if (days == std::numeric_limits<int32_t>::min()) return "-infinity";
  return date_text(days + kDaysTo2000);
}

std::optional<std::string> timestamp_from(Bytes binary, bool zone) {
  if (binary.size() != sizeof(int64_t)) return std::nullopt;
  const auto us = load_be<int64_t>(binary.data());
  if (us == std::numeric_limits<int64_t>::min()) return "-infinity";
  if (us > kTimeInfinity - kUsTo2000)
    return us == kTimeInfinity ? std::optional<std::string>("infinity") : std::nullopt;
  return timestamp_text(us + kUsTo2000, zone);
}

std::optional<std::string> time_from(Bytes binary) {
  if (binary.size() != sizeof(int64_t)) return std::nullopt;
  const auto us = load_be<int64_t>(binary.data());
  if (us < 0 || us > kDayUs) return std::nullopt;
  return time_text(us);
}

std::optional<std::string> boolean_from(Bytes binary) {
  if (binary.size() != 1) return std::nullopt;
  return binary[0] == std::byte{0} ? "f" : "t";
}

std::optional<std::string> json_from(Oid oid, Bytes binary) {
  if (oid != kOidJsonb) return std::string(as_text(binary));
  if (binary.empty() || binary[0] != std::byte{1}) return std::nullopt;  // its version
  return std::string(as_text(binary.subspan(1)));
}

const TypeFacts* find(Oid oid) {
  const auto* found = std::find_if(kTypes.begin(), kTypes.end(), [&](const TypeFacts& f) { return f.oid == oid; });
  if (found != kTypes.end()) return found;
  if (oid == 0 || oid == kOidVarchar || oid == kOidBpchar || oid == kOidName || oid == kOidUnknown)
    return &facts(Type::text);
  if (oid == kOidJsonb) return &facts(Type::json);
  return oid == kOidOid ? &facts(Type::int32) : nullptr;
}

std::optional<std::string> text_of(const TypeFacts& type, Oid oid, Bytes binary) {
  switch (type.type) {
    case Type::boolean: return boolean_from(binary);
    case Type::int16: return integer_from<int16_t>(binary);
    case Type::int32: return oid == kOidOid ? integer_from<uint32_t>(binary) : integer_from<int32_t>(binary);
    case Type::int64: return integer_from<int64_t>(binary);
    case Type::float4: return real_from<float, uint32_t>(binary);
    case Type::float8: return real_from<double, uint64_t>(binary);
    case Type::numeric: return numeric_from(binary);
    case Type::date: return date_from(binary);
    case Type::time: return time_from(binary);
    case Type::timestamp: return timestamp_from(binary, false);
    case Type::timestamptz: return timestamp_from(binary, true);
    case Type::uuid: return binary.size() == 16 ? std::optional(uuid_text(binary)) : std::nullopt;
    case Type::json: return json_from(oid, binary);
    case Type::bytea: return bytea_text(binary);
    case Type::text: return std::string(as_text(binary));
  }
  return std::nullopt;
}

std::string text_of_value(const Column& column, const Rows& rows, size_t c, size_t row) {
  switch (column.type) {
    case Type::boolean: return rows.integer(c, row) != 0 ? "t" : "f";
    case Type::int16:
    case Type::int32:
    case Type::int64: return std::to_string(rows.integer(c, row));
    case Type::float4: return real_text(static_cast<float>(rows.real(c, row)));
    case Type::float8: return real_text(rows.real(c, row));
    case Type::numeric: return numeric_text(rows.wide(c, row), column.scale);
    case Type::date: return date_text(rows.integer(c, row));
    case Type::time: return time_text(rows.integer(c, row));
    case Type::timestamp: return timestamp_text(rows.integer(c, row), false);
    case Type::timestamptz: return timestamp_text(rows.integer(c, row), true);
    case Type::bytea: return bytea_text(as_bytes(rows.text(c, row)));
    default: return std::string(rows.text(c, row));
  }
}

int32_t binary_date(int64_t days) {
  if (days >= kDateInfinity) return std::numeric_limits<int32_t>::max();
  // The first dates that the engine has lie before the first that 32 bits can tell.
  if (days - kDaysTo2000 <= std::numeric_limits<int32_t>::min()) return std::numeric_limits<int32_t>::min();
  return static_cast<int32_t>(days - kDaysTo2000);
}

int64_t binary_timestamp(int64_t us) {
  if (us == kTimeInfinity) return us;
  if (us <= -kTimeInfinity + kUsTo2000) return std::numeric_limits<int64_t>::min();
  return us - kUsTo2000;
}

}  // namespace

Oid oid_of(Type type) { return facts(type).oid; }

int16_t length_of(Type type) { return facts(type).length; }

int32_t modifier_of(const Column& column) {
  constexpr int32_t kHeader = 4;
  if (column.type != Type::numeric || column.precision == 0) return -1;
  return ((int32_t{column.precision} << 16) | column.scale) + kHeader;
}

void append_text(ByteWriter& out, const Column& column, const Rows& rows, size_t at_column, size_t row) {
  if (column.type == Type::text || column.type == Type::json || column.type == Type::uuid)
    return out.append(rows.text(at_column, row));
  out.append(text_of_value(column, rows, at_column, row));
}

void append_binary(ByteWriter& out, const Column& column, const Rows& rows, size_t at_column, size_t row) {
  switch (column.type) {
    case Type::boolean: return out.u8(rows.integer(at_column, row) != 0 ? 1 : 0);
    case Type::int16: return out.be(static_cast<int16_t>(rows.integer(at_column, row)));
    case Type::int32: return out.be(static_cast<int32_t>(rows.integer(at_column, row)));
    case Type::int64:
    case Type::time: return out.be(rows.integer(at_column, row));
    case Type::float4: return out.be(std::bit_cast<uint32_t>(static_cast<float>(rows.real(at_column, row))));
    case Type::float8: return out.be(std::bit_cast<uint64_t>(rows.real(at_column, row)));
    case Type::numeric: return append_numeric(out, rows.wide(at_column, row), column.scale);
    case Type::date: return out.be(binary_date(rows.integer(at_column, row)));
    case Type::timestamp:
    case Type::timestamptz: return out.be(binary_timestamp(rows.integer(at_column, row)));
    case Type::uuid: return append_uuid(out, rows.text(at_column, row));
    default: return out.append(rows.text(at_column, row));
  }
}

std::variant<std::string, Failure> parameter_text(Oid oid, Bytes binary) {
  const TypeFacts* type = find(oid);
  if (type == nullptr)
    return sql::failure("0A000", "parameters of the type " + std::to_string(oid) + " are taken as text, not in binary");
  std::optional<std::string> text = text_of(*type, oid, binary);
  if (!text) return sql::failure("22P03", "incorrect binary data format of a parameter");
  const bool readable = text->find('\0') == std::string::npos && is_utf8(*text);
  if (!readable) return sql::failure("22021", "invalid byte sequence for encoding \"UTF8\" in a parameter");
  return std::move(*text);
}

}  // namespace heptane::data::postgres
