#include "kernel/admin/record_json.h"

namespace heptane::admin {

namespace {

bool is_json_container(std::string_view text) {
  if (text.empty() || (text.front() != '{' && text.front() != '[')) return false;
  return http::JsonDocument::parse(std::string(text)).ok();
}

void write_bytes(http::JsonWriter& out, const char* name, const char* binary_name, Bytes bytes, bool json) {
  const std::string_view text = as_text(bytes);
  if (json && is_json_container(text))
    out.key(name).raw(text);
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

}  // namespace

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
