// One JSON object of a record, member after member in the order of the calls: names and order of a record stay for ever. Numbers of
// more than 32 bits are strings of decimal digits (`wide`) where readers of JSON would lose their last ones. One caller's.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace heptane::iot {

class JsonObject {
 public:
  explicit JsonObject(std::string_view event) { text("event", event); }

  void text(std::string_view name, std::string_view value) {
    key(name);
    text_ += '"';
    for (const char c : value) escape(c);
    text_ += '"';
  }
  void number(std::string_view name, int64_t value) {
    key(name);
    text_ += std::to_string(value);
  }
  void wide(std::string_view name, uint64_t value) { text(name, std::to_string(value)); }
  void boolean(std::string_view name, bool value) {
    key(name);
    text_ += value ? "true" : "false";
  }
  // What is JSON already.
  void raw(std::string_view name, std::string_view json) {
    key(name);
    text_ += json;
  }
  std::string_view end() { return text_ += '}'; }

 private:
  void key(std::string_view name) {
    text_ += text_.empty() ? '{' : ',';
    text_ += '"';
    text_ += name;
    text_ += "\":";
  }
  void escape(char c) {
    static constexpr char kDigits[] = "0123456789abcdef";
    const auto byte = static_cast<uint8_t>(c);
    if (byte < 0x20) {
      text_ += "\\u00";
      text_ += kDigits[byte >> 4];
      text_ += kDigits[byte & 15];
      return;
    }
    if (c == '"' || c == '\\') text_ += '\\';
    text_ += c;
  }

  std::string text_;
};

}  // namespace heptane::iot
