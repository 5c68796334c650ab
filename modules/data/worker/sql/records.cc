#include "modules/data/worker/sql/records.h"

#include "kernel/base/utf8.h"
#include "kernel/net/http/json.h"
#include "kernel/net/http/json_writer.h"
#include "kernel/streams/view_batches.h"

namespace heptane::data::sql {

namespace {

using http::JsonType;
using http::JsonValue;

bool holds_nul(std::string_view text) { return text.find('\0') != std::string_view::npos; }

void add(std::string_view field, Kind kind, std::variant<bool, int64_t, double, std::string> value,
         StreamColumns& columns, TableRow& row) {
  if (const std::optional<size_t> stored = columns.place(field, kind))
    row.fields.push_back({*stored, std::move(value)});
}

// A number that no column of numbers holds exactly stays the text that it is.
void add_number(std::string_view field, const JsonValue& value, StreamColumns& columns, TableRow& row) {
  if (const std::optional<int64_t> integer = value.integer(); integer && value.type() == JsonType::integer)
    return add(field, Kind::integer, *integer, columns, row);
  if (const std::optional<double> real = value.real(); real && value.type() == JsonType::real)
    return add(field, Kind::real, *real, columns, row);
  add(field, Kind::text, std::string(value.raw()), columns, row);
}

void add_field(const JsonValue& value, StreamColumns& columns, TableRow& row) {
  const std::string_view field = value.name();
  switch (value.type()) {
    case JsonType::null: return;
    case JsonType::boolean: return add(field, Kind::boolean, value.boolean(), columns, row);
    case JsonType::integer:
    case JsonType::real: return add_number(field, value, columns, row);
    case JsonType::text:
      if (!holds_nul(value.text())) add(field, Kind::text, std::string(value.text()), columns, row);
      return;
    case JsonType::array:
    case JsonType::object: return add(field, Kind::json, std::string(value.raw()), columns, row);
  }
}

void add_fields(std::string_view payload, StreamColumns& columns, TableRow& row) {
  const size_t begin = payload.find_first_not_of(" \t\r\n");
  if (begin == std::string_view::npos || payload[begin] != '{') return;
  const Result<std::unique_ptr<http::JsonDocument>> document = http::JsonDocument::parse(std::string(payload));
  if (!document) return;
  for (std::optional<JsonValue> member = (*document)->root().first(); member; member = member->next())
    add_field(*member, columns, row);
}

// Of a header: a zigzag length and bytes; -1: null.
Bytes piece(ByteReader& headers) {
  const int64_t length = headers.zigzag();
  return length < 0 ? Bytes{} : headers.take(static_cast<size_t>(length));
}

// The position has a column of its own.
std::optional<std::string> headers_of(const streams::RecordView& record) {
  std::map<std::string, std::string> texts;
  ByteReader headers(record.headers);
  for (uint32_t i = 0; i < record.header_count && !headers.failed(); ++i) {
    const Bytes name = piece(headers);
    const Bytes value = piece(headers);
    if (headers.failed() || as_text(name) == streams::kPositionHeader) continue;
    texts[sql_text(name)] = sql_text(value);
  }
  if (texts.empty()) return std::nullopt;
  http::JsonWriter out;
  out.begin_object();
  for (const auto& [name, value] : texts) out.key(name).text(value);
  std::string json = out.end_object().take();
  while (json.ends_with('\n')) json.pop_back();
  return json;
}

}  // namespace

std::string sql_text(Bytes bytes) {
  const std::string_view text = as_text(bytes);
  if (is_utf8(text) && !holds_nul(text)) return std::string(text);
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string out = "\\x";
  for (const std::byte byte : bytes) {
    out += kDigits[static_cast<size_t>(byte) >> 4];
    out += kDigits[static_cast<size_t>(byte) & 15];
  }
  return out;
}

TableRow row_of(const streams::RecordView& record, StreamColumns& columns) {
  TableRow row;
  row.offset = record.offset;
  row.timestamp_ms = record.timestamp_ms;
  if (record.has_key) row.key = sql_text(record.key);
  row.headers = headers_of(record);
  if (!record.has_value) return row;
  row.value = sql_text(record.value);
  add_fields(as_text(record.value), columns, row);
  return row;
}

}  // namespace heptane::data::sql
