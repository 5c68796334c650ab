// A record as the columns of its stream's table: texts that SQL can hold, and the fields of a JSON payload. Pure; any thread.
#pragma once

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "kernel/streams/record_batch.h"
#include "modules/data/domain/sql/columns.h"

namespace heptane::data::sql {

// Of a field: which of StreamColumns::stored() it goes to.
struct FieldValue {
  size_t stored = 0;
  std::variant<bool, int64_t, double, std::string> value;
};

struct TableRow {
  int32_t partition = 0;
  Offset offset = 0;
  Sequence position = 0;
  int64_t timestamp_ms = 0;
  std::optional<std::string> key;
  std::optional<std::string> headers;  // a JSON object; of a repeated name the last value
  std::optional<std::string> value;
  std::vector<FieldValue> fields;
};

// As it is where it is UTF-8 without NUL, else `\x` and hexadecimal digits.
std::string sql_text(Bytes bytes);
// May add columns.
TableRow row_of(const streams::RecordView& record, StreamColumns& columns);

}  // namespace heptane::data::sql
