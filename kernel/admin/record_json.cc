#include "kernel/admin/record_json.h"

#include <algorithm>

namespace heptane::admin {

namespace {

// The same JSON on one line: a line break stands only between its tokens.
std::string on_one_line(std::string_view json) {
  std::string line(json);
  std::replace_if(
      line.begin(), line.end(), [](char c) { return c == '\n' || c == '\r'; }, ' ');
  return line;
}

bool is_json_container(std::string_view text) {
  if (text.empty() || (text.front() != '{' && text.front() != '[')) return false;
  return http::JsonDocument::parse(std::string(text)).ok();
}

void write_bytes(http::JsonWriter& out, const char* name, const char* binary_name, Bytes bytes, bool json) {
  const std::string_view text = as_text(bytes);
  if (json && is_json_container(text))
    out.key(name).raw(on_one_line(text));
  else if (http::valid_utf8(text))
    out.key(name).text(text);
  else
    out.key(binary_name).text(http::base64_encoded(text));
}

// Kafka's record headers: count known, each a zigzag length and bytes, twice; -1: null.
void write_headers(http::JsonWriter& out, const streams::RecordView& record) {
  if (record.header_count == 0) return;
  out.key("headers").begin_array();
  ByteReader reader(record.headers);
  for (uint32_t i = 0; i < record.header_count && !reader.failed(); ++i) {
    const int64_t name_bytes = reader.zigzag();
    const Bytes name = reader.take(static_cast<size_t>(std::max<int64_t>(name_bytes, 0)));
    const int64_t value_bytes = reader.zigzag();
    const Bytes value = reader.take(static_cast<size_t>(std::max<int64_t>(value_bytes, 0)));
    if (reader.failed()) break;
    out.begin_object().key("name").text(as_text(name));
    if (value_bytes < 0)
      out.key("value").null();
    else
      write_bytes(out, "value", "value_base64", value, false);
    out.end_object();
  }
  out.end_array();
}

// Kafka's form: a zigzag length and bytes, twice; -1: null.
void put_header(RecordExtras& extras, std::string_view name, std::optional<std::string_view> value) {
  ByteWriter out;
  out.zigzag(static_cast<int64_t>(name.size()));
  out.append(name);
  out.zigzag(value ? static_cast<int64_t>(value->size()) : -1);
  if (value) out.append(*value);
  extras.headers.insert(extras.headers.end(), out.view().begin(), out.view().end());
  ++extras.header_count;
}

// None: neither a text nor null.
std::optional<std::optional<std::string_view>> text_or_null(const std::optional<http::JsonValue>& value) {
  if (value && value->type() == http::JsonType::text) return std::optional(value->text());
  if (value && value->type() == http::JsonType::null) return std::optional<std::string_view>();
  return std::nullopt;
}

}  // namespace

void RecordReader::read_extras(http::JsonFields& fields, RecordExtras& extras) {
  if (const std::optional<http::JsonValue> timestamp = fields.value("timestamp")) {
    extras.timestamp_ms = timestamp->integer();
    if (!extras.timestamp_ms || *extras.timestamp_ms < 0 || *extras.timestamp_ms > kTimestampMaxMs)
      fields.fail(fields.path_of("timestamp") + " must be milliseconds since 1970");
  }
  const std::optional<http::JsonValue> headers = fields.value("headers");
  if (!headers || headers->type() == http::JsonType::null) return;
  const std::string where = fields.path_of("headers");
  if (headers->type() != http::JsonType::object && headers->type() != http::JsonType::array)
    return fields.fail(where + " must be an object, or an array of pairs");
  if (headers->size() > kHeadersMax) return fields.fail(where + ": a record has at most 1024 headers");
  for (std::optional<http::JsonValue> header = headers->first(); header; header = header->next()) {
    if (headers->type() == http::JsonType::array) {
      read_header(fields, *header, extras);
    } else if (const auto value = text_or_null(header)) {
      put_header(extras, header->name(), *value);
    } else {
      fields.fail(where + ": a header's value is a string or null");
    }
  }
}

// ["name", "value"], or {"name": ..., "value": ... | "value_base64": ...}.
void RecordReader::read_header(http::JsonFields& fields, http::JsonValue header, RecordExtras& extras) {
  const std::string where = fields.path_of("headers");
  const bool pair = header.type() == http::JsonType::array && header.size() == 2;
  const bool object = header.type() == http::JsonType::object;
  if (!pair && !object)
    return fields.fail(where + ": a header is [\"name\", \"value\"] or {\"name\": ..., \"value\": ...}");
  const std::optional<http::JsonValue> name = pair ? header.first() : header.find("name");
  std::optional<http::JsonValue> value = pair ? name->next() : header.find("value");
  const std::optional<http::JsonValue> binary = object ? header.find("value_base64") : std::nullopt;
  const bool named = name && name->type() == http::JsonType::text;
  const uint32_t members = 1 + (value ? 1 : 0) + (binary ? 1 : 0);
  if (!named || header.size() != members || members > 2)
    return fields.fail(where + ": a header has a name, and one value as a string, null or base64");
  if (binary) {
    const std::optional<std::string> bytes =
        binary->type() == http::JsonType::text ? http::base64_decoded(binary->text()) : std::nullopt;
    if (!bytes) return fields.fail(where + ": value_base64 must be base64");
    return put_header(extras, name->text(), *bytes);
  }
  if (!value) return put_header(extras, name->text(), std::nullopt);
  const auto text = text_or_null(value);
  if (!text) return fields.fail(where + ": a header's value is a string or null");
  put_header(extras, name->text(), *text);
}

void write_record(http::JsonWriter& out, const streams::RecordView& record) {
  out.begin_object().key("offset").number(record.offset).key("timestamp").number(record.timestamp_ms);
  if (record.has_key) write_bytes(out, "key", "key_base64", record.key, false);
  if (record.has_value)
    write_bytes(out, "value", "value_base64", record.value, true);
  else
    out.key("value").null();
  write_headers(out, record);
  out.end_object();
}

}  // namespace heptane::admin
