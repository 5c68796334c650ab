// Rows as the texts that JSON and CSV hold. Pure; any thread.
#pragma once

#include <string>

#include "modules/data/domain/sql/engine.h"

namespace heptane::data::sql {

std::string_view type_name(Type type);  // `bigint`
// [1,"text",null] without a line end: numbers of more than 53 bits and decimals are texts, times are ISO 8601, bytes `\x...`, JSON
// stands as it is.
void append_json(const std::vector<Column>& columns, const Rows& rows, size_t row, std::string& out);
// RFC 4180, CRLF; nulls are empty, empty texts are "".
void append_csv(const std::vector<Column>& columns, const Rows& rows, size_t row, std::string& out);
void append_csv_names(const std::vector<Column>& columns, std::string& out);

}  // namespace heptane::data::sql
