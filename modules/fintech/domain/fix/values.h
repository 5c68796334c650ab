// Values of fields: whether one has its type's form, what number it is, and how one is written. No floating point: prices and quantities
// are whole numbers of 10^-scale. Forms: FIX 4.4 volume 1, "Data types". Pure; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "modules/fintech/domain/fix/facts.h"

namespace heptane::fix {

constexpr char kSoh = '\x01';

// The number that a value is, found while its form was looked at.
struct Number {
  enum class Kind : uint8_t {
    unknown,  // not looked at, or beyond what is kept here
    whole,
    decimal,  // without its point
    time,     // nanoseconds since 1970
  };
  int64_t value = 0;
  uint8_t decimals = 0;
  Kind kind = Kind::unknown;
};

// Whether a value that is not empty has the type's form. A whole number beyond 64 bits has none.
bool has_form(FieldType type, std::string_view value);
// The same, and what number it is.
bool has_form(FieldType type, std::string_view value, Number& number);

// With an optional minus. None: no whole number, or one beyond 64 bits.
std::optional<int64_t> integer_of(std::string_view value);
// Digits only. None: anything else, or beyond 64 bits.
std::optional<uint64_t> number_of(std::string_view value);
// In units of 10^-scale, exactly: `12.50` of scale 2 is 1250. None: not a decimal number, more decimals than the scale has (zeros
// apart), or beyond 64 bits. scale: 0 to 18.
std::optional<int64_t> decimal_of(std::string_view value, int scale);
// The same of a whole or decimal number.
std::optional<int64_t> decimal_of(const Number& number, int scale);
// `20261130-04:05:06`, with up to nine digits of fraction: nanoseconds since 1970, UTC. A leap second is the second after it.
std::optional<int64_t> timestamp_of(std::string_view value);
std::optional<bool> boolean_of(std::string_view value);

void append_integer(std::string& out, int64_t value);
// With all decimals of the scale.
void append_decimal(std::string& out, int64_t value, int scale);
// digits: 0, 3, 6 or 9 of fraction, cut off. The years 0 to 9999.
void append_timestamp(std::string& out, int64_t time_ns, int digits);

}  // namespace heptane::fix
