// A new record may have "timestamp" (milliseconds) and "headers" ({"name": "text"}, [["name", "text"]], or as they are read).
// A record as JSON: {"key": TEXT | "key_base64": ..., "value": ANY | "value_base64": ...}, the form in which /api/v1 takes and
// gives records. The I/O thread's.
#pragma once

#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "kernel/net/http/json.h"
#include "kernel/net/http/json_writer.h"
#include "kernel/streams/api.h"
#include "kernel/streams/record_batch.h"

namespace heptane::admin {

// What a record batch can carry and an event cannot.
struct RecordExtras {
  std::optional<int64_t> timestamp_ms;
  std::vector<std::byte> headers;  // as in a record batch, after their count
  uint32_t header_count = 0;
  bool any() const { return timestamp_ms.has_value() || header_count > 0; }
};
constexpr uint32_t kHeadersMax = 1024;                             // of one record
constexpr int64_t kTimestampMaxMs = int64_t{253'402'300'799'999};  // the end of the year 9999

// Views into the document, or into texts decoded from base64.
class RecordReader {
 public:
  // Without `extras` a record may have none.
  Result<void> read(http::JsonValue value, const std::string& path, streams::EventRecord& record,
                    RecordExtras* extras = nullptr) {
    http::JsonFields fields(value, path);
    read_key(fields, record);
    read_value(fields, record);
    if (extras != nullptr) read_extras(fields, *extras);
    return fields.finish();
  }

 private:
  void read_key(http::JsonFields& fields, streams::EventRecord& record) {
    const std::optional<http::JsonValue> key = fields.value("key");
    const std::optional<http::JsonValue> binary = fields.value("key_base64");
    if (key && binary) return fields.fail(fields.path_of("key") + " and key_base64 exclude each other");
    record.has_key = (key && key->type() != http::JsonType::null) || binary;
    if (!record.has_key) return;
    if (binary) {
      record.key = decoded(fields, *binary);
    } else if (key->type() == http::JsonType::text) {
      record.key = as_bytes(key->text());
    } else {
      fields.fail(fields.path_of("key") + " must be a string");
    }
  }

  // A string is its text; any other JSON value is stored as it was written.
  void read_value(http::JsonFields& fields, streams::EventRecord& record) {
    const std::optional<http::JsonValue> value = fields.value("value");
    const std::optional<http::JsonValue> binary = fields.value("value_base64");
    if (value.has_value() == binary.has_value())
      return fields.fail(fields.path_of("value") + " or value_base64 must be there, and not both");
    if (binary)
      record.value = decoded(fields, *binary);
    else
      record.value = as_bytes(value->type() == http::JsonType::text ? value->text() : value->raw());
  }

  static void read_extras(http::JsonFields& fields, RecordExtras& extras);
  static void read_header(http::JsonFields& fields, http::JsonValue header, RecordExtras& extras);

  Bytes decoded(http::JsonFields& fields, http::JsonValue value) {
    std::optional<std::string> bytes;
    if (value.type() == http::JsonType::text) bytes = http::base64_decoded(value.text());
    if (!bytes) fields.fail(fields.path_of(value.name()) + " must be base64");
    return as_bytes(kept_.emplace_back(std::move(bytes).value_or("")));
  }

  std::deque<std::string> kept_;
};

// Text where it is UTF-8 (a value that is a JSON object or array as such), base64 otherwise.
void write_record(http::JsonWriter& out, const streams::RecordView& record);

}  // namespace heptane::admin
