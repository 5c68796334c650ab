// Values in text and binary against what PostgreSQL 15 sends, and binary parameters back to text.

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "modules/data/gateway/postgres/values.h"

namespace heptane::data::postgres {
namespace {

using sql::Column;
using sql::Type;

// One value.
class OneRow final : public sql::Rows {
 public:
  size_t size() const override { return 1; }
  bool is_null(size_t, size_t) const override { return false; }
  int64_t integer(size_t, size_t) const override { return whole; }
  double real(size_t, size_t) const override { return fraction; }
  __int128 wide(size_t, size_t) const override { return large; }
  std::string_view text(size_t, size_t) const override { return bytes; }
  int64_t whole = 0;
  double fraction = 0;
  __int128 large = 0;
  std::string bytes;
};

std::string hex(Bytes bytes) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (const std::byte byte : bytes) {
    text += kDigits[static_cast<unsigned>(byte) >> 4];
    text += kDigits[static_cast<unsigned>(byte) & 15];
  }
  return text;
}

struct Shown {
  std::string text;
  std::string binary;
  bool operator==(const Shown&) const = default;
};
std::ostream& operator<<(std::ostream& out, const Shown& shown) { return out << shown.text << " / " << shown.binary; }

Shown show(const Column& column, const OneRow& row) {
  ByteWriter text;
  append_text(text, column, row, 0, 0);
  ByteWriter binary;
  append_binary(binary, column, row, 0, 0);
  return {std::string(as_text(text.view())), hex(binary.view())};
}
Shown whole(Type type, int64_t value) {
  OneRow row;
  row.whole = value;
  return show({"", type}, row);
}
Shown real(Type type, double value) {
  OneRow row;
  row.fraction = value;
  return show({"", type}, row);
}
Shown numeric(__int128 value, uint8_t scale) {
  OneRow row;
  row.large = value;
  return show({"", Type::numeric, 38, scale}, row);
}
Shown bytes(Type type, const std::string& value) {
  OneRow row;
  row.bytes = value;
  return show({"", type}, row);
}

TEST(Values, Integers) {
  EXPECT_EQ(whole(Type::boolean, 1), (Shown{"t", "01"}));
  EXPECT_EQ(whole(Type::boolean, 0), (Shown{"f", "00"}));
  EXPECT_EQ(whole(Type::int16, -2), (Shown{"-2", "fffe"}));
  EXPECT_EQ(whole(Type::int32, 258), (Shown{"258", "00000102"}));
  EXPECT_EQ(whole(Type::int64, INT64_MIN), (Shown{"-9223372036854775808", "8000000000000000"}));
}

TEST(Values, Reals) {
  EXPECT_EQ(real(Type::float8, 0.1), (Shown{"0.1", "3fb999999999999a"}));
  EXPECT_EQ(real(Type::float8, -1e300), (Shown{"-1e+300", "fe37e43c8800759c"}));
  EXPECT_EQ(real(Type::float4, 0.25), (Shown{"0.25", "3e800000"}));
  EXPECT_EQ(real(Type::float8, std::nan("")).text, "NaN");
  EXPECT_EQ(real(Type::float8, -INFINITY).text, "-Infinity");
}

// The binary forms are what PostgreSQL's numeric_send writes.
TEST(Values, Numerics) {
  EXPECT_EQ(numeric(0, 0), (Shown{"0", "0000000000000000"}));
  EXPECT_EQ(numeric(0, 2), (Shown{"0.00", "0000000000000002"}));
  EXPECT_EQ(numeric(12345, 2), (Shown{"123.45", "0002000000000002007b1194"}));
  EXPECT_EQ(numeric(-5, 4), (Shown{"-0.0005", "0001ffff400000040005"}));
  EXPECT_EQ(numeric(100'000'000, 0), (Shown{"100000000", "00010002000000000001"}));
  EXPECT_EQ(numeric(10'000, 4), (Shown{"1.0000", "00010000000000040001"}));
  const auto largest = static_cast<__int128>(std::numeric_limits<int64_t>::max()) * 1'000'000'000'000;
  EXPECT_EQ(numeric(largest, 12).text, "9223372036854775807.000000000000");
}

TEST(Values, DatesAndTimes) {
  EXPECT_EQ(whole(Type::date, 10'957), (Shown{"2000-01-01", "00000000"}));
  EXPECT_EQ(whole(Type::date, 11'016), (Shown{"2000-02-29", "0000003b"}));
  EXPECT_EQ(whole(Type::date, -1), (Shown{"1969-12-31", "ffffd532"}));
  EXPECT_EQ(whole(Type::date, -719'529).text, "0002-12-31 BC");
  EXPECT_EQ(whole(Type::date, 2'932'896).text, "9999-12-31");
  EXPECT_EQ(whole(Type::date, INT32_MAX), (Shown{"infinity", "7fffffff"}));
  EXPECT_EQ(whole(Type::date, -INT32_MAX), (Shown{"-infinity", "80000000"}));
  EXPECT_EQ(whole(Type::date, int64_t{INT32_MIN} + 10'957).binary, "80000000");
  EXPECT_EQ(whole(Type::date, int64_t{INT32_MIN} + 10'958).binary, "80000001");
  EXPECT_EQ(whole(Type::date, -INT32_MAX + 1).binary, "80000000");  // before what 32 bits can tell
  EXPECT_EQ(whole(Type::time, 86'399'999'999), (Shown{"23:59:59.999999", "000000141dd75fff"}));
  EXPECT_EQ(whole(Type::timestamp, 946'684'800'000'000), (Shown{"2000-01-01 00:00:00", "0000000000000000"}));
  EXPECT_EQ(whole(Type::timestamptz, 1'700'000'000'120'000).text, "2023-11-14 22:13:20.12+00");
  EXPECT_EQ(whole(Type::timestamptz, -1).text, "1969-12-31 23:59:59.999999+00");
  EXPECT_EQ(whole(Type::timestamp, INT64_MAX), (Shown{"infinity", "7fffffffffffffff"}));
  EXPECT_EQ(whole(Type::timestamp, -INT64_MAX), (Shown{"-infinity", "8000000000000000"}));
}

TEST(Values, TextsAndBytes) {
  EXPECT_EQ(bytes(Type::text, "a\xc3\xa4"), (Shown{"a\xc3\xa4", "61c3a4"}));
  EXPECT_EQ(bytes(Type::bytea, std::string("\0\xff", 2)), (Shown{"\\x00ff", "00ff"}));
  EXPECT_EQ(bytes(Type::uuid, "01234567-89ab-cdef-0123-456789abcdef").binary, "0123456789abcdef0123456789abcdef");
  EXPECT_EQ(bytes(Type::uuid, "0123").binary.size(), 32u);
  EXPECT_EQ(bytes(Type::json, "{}"), (Shown{"{}", "7b7d"}));
}

std::string parameter(Oid oid, std::string_view hexadecimal) {
  std::string binary;
  for (size_t i = 0; i < hexadecimal.size(); i += 2)
    binary += static_cast<char>(std::stoi(std::string(hexadecimal.substr(i, 2)), nullptr, 16));
  auto text = parameter_text(oid, as_bytes(binary));
  if (const auto* failed = std::get_if<sql::Failure>(&text)) return failed->sqlstate;
  return std::get<std::string>(text);
}

TEST(Parameters, InBinaryBecomeText) {
  EXPECT_EQ(parameter(16, "01"), "t");
  EXPECT_EQ(parameter(21, "fffe"), "-2");
  EXPECT_EQ(parameter(23, "00000102"), "258");
  EXPECT_EQ(parameter(20, "8000000000000000"), "-9223372036854775808");
  EXPECT_EQ(parameter(26, "ffffffff"), "4294967295");
  EXPECT_EQ(parameter(701, "3fb999999999999a"), "0.1");
  EXPECT_EQ(parameter(1700, "0002000000000002007b1194"), "123.45");
  EXPECT_EQ(parameter(1700, "0001ffff400000040005"), "-0.0005");
  EXPECT_EQ(parameter(1700, "00010002000000000001"), "100000000");
  EXPECT_EQ(parameter(1700, "0000000000000002"), "0.00");
  EXPECT_EQ(parameter(1700, "0001fffe000000080001"), "0.00000001");
  EXPECT_EQ(parameter(1082, "0000003b"), "2000-02-29");
  EXPECT_EQ(parameter(1082, "7fffffff"), "infinity");
  EXPECT_EQ(parameter(1083, "000000141dd75fff"), "23:59:59.999999");
  EXPECT_EQ(parameter(1184, "0000000000000000"), "2000-01-01 00:00:00+00");
  EXPECT_EQ(parameter(2950, "0123456789abcdef0123456789abcdef"), "01234567-89ab-cdef-0123-456789abcdef");
  EXPECT_EQ(parameter(17, "00ff"), "\\x00ff");
  EXPECT_EQ(parameter(25, "61"), "a");
  EXPECT_EQ(parameter(1043, "61"), "a");
  EXPECT_EQ(parameter(3802, "017b7d"), "{}");
}

TEST(Parameters, ThatAreNoneAreRefused) {
  for (const Oid oid : {16, 21, 23, 20, 700, 701, 1700, 1082, 1083, 1114, 1184, 2950})
    EXPECT_EQ(parameter(oid, "010203"), "22P03") << oid;
  EXPECT_EQ(parameter(1700, "0001000000000000270f00"), "22P03");  // a byte too many
  EXPECT_EQ(parameter(1700, "00010000000000002710"), "22P03");    // no digit
  EXPECT_EQ(parameter(1700, "00017fff000000000001"), "22P03");    // as long as a book
  EXPECT_EQ(parameter(3802, "027b7d"), "22P03");                  // another version of jsonb
  EXPECT_EQ(parameter(25, "6100"), "22021");
  EXPECT_EQ(parameter(25, "ff"), "22021");
  EXPECT_EQ(parameter(1007, "00"), "0A000");
}

}  // namespace
}  // namespace heptane::data::postgres
