// Writes JSON text (RFC 8259) piece by piece and places the commas. Whoever calls it keeps begin and end in pairs. Text
// that is not UTF-8 is written with U+FFFD in place of the bad bytes, so that the output always parses.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace heptane::http {

class JsonWriter {
 public:
  JsonWriter& begin_object() { return open('{'); }
  JsonWriter& end_object() { return close('}'); }
  JsonWriter& begin_array() { return open('['); }
  JsonWriter& end_array() { return close(']'); }
  JsonWriter& key(std::string_view name);
  JsonWriter& text(std::string_view value);
  JsonWriter& number(int64_t value);
  JsonWriter& unsigned_number(uint64_t value);
  JsonWriter& boolean(bool value) { return raw(value ? "true" : "false"); }
  JsonWriter& null() { return raw("null"); }
  // A value that is JSON already.
  JsonWriter& raw(std::string_view json);

  // Ends with a newline: people read it in terminals.
  std::string take();

 private:
  JsonWriter& open(char bracket);
  JsonWriter& close(char bracket);
  void separate();
  void quoted(std::string_view value);

  std::string out_;
  bool first_ = true;  // nothing stands before the next value in its container
};

}  // namespace heptane::http
