// Values as PostgreSQL sends them, in text and in binary, and binary parameters as text. Pure.
//
// PostgreSQL 15 manual: 8 (types), 55.2.3 (formats), 55.7 (messages); type numbers are those of its pg_type.
#pragma once

#include <cstdint>
#include <string>
#include <variant>

#include "kernel/base/bytes.h"
#include "modules/data/domain/sql/engine.h"

namespace heptane::data::postgres {

using Oid = uint32_t;

constexpr Oid kOidText = 25;

Oid oid_of(sql::Type type);
int16_t length_of(sql::Type type);               // in binary, -1: it varies
int32_t modifier_of(const sql::Column& column);  // of numeric: its precision and scale; -1: none

// Of a value that is not NULL; without the length before it.
void append_text(ByteWriter& out, const sql::Column& column, const sql::Rows& rows, size_t at_column, size_t row);
void append_binary(ByteWriter& out, const sql::Column& column, const sql::Rows& rows, size_t at_column, size_t row);

// A parameter of the type `oid` that came in binary. 22P03: it is not what this type looks like; 0A000: the type's binary
// form is not served.
std::variant<std::string, sql::Failure> parameter_text(Oid oid, Bytes binary);

}  // namespace heptane::data::postgres
