// Kafka messages as text and back, by their descriptions, for transcripts: {topics: [{name: "flights"}], acks: -1}.
// Records are batch(offset=3, producer=7/0/0, "value", "key"="value", null) or hex(00ff). What is not named has its default;
// of a printed message everything shows that its version has. Test support.
#pragma once

#include <deque>
#include <string>
#include <string_view>

#include "modules/data/gateway/kafka/codec.h"

namespace heptane::data::kafka::test {

std::string quoted(std::string_view text);
std::string print_records(const Records& records);
// Text without the white space that stands outside quotes.
std::string squeezed(std::string_view text);
Bytes from_hex(std::string_view hex, std::deque<std::string>& keep);
std::string to_hex(Bytes bytes);

template <class T>
std::string print(const T& value, int16_t version) {
  if constexpr (std::is_same_v<T, bool>) {
    return value ? "true" : "false";
  } else if constexpr (std::is_arithmetic_v<T>) {
    return std::to_string(value);
  } else if constexpr (std::is_same_v<T, std::string_view>) {
    return quoted(value);
  } else if constexpr (std::is_same_v<T, Bytes>) {
    return quoted(as_text(value));
  } else if constexpr (std::is_same_v<T, Records>) {
    return print_records(value);
  } else if constexpr (kIsOptional<T>) {
    return value ? print(*value, version) : "null";
  } else if constexpr (kIsVector<T>) {
    std::string out;
    for (const auto& element : value) out += (out.empty() ? "" : ", ") + print(element, version);
    return "[" + out + "]";
  } else {
    std::string out;
    std::apply(
        [&](const auto&... fields) {
          ((out += fields.present.has(version) ? (out.empty() ? "" : ", ") + std::string(fields.name) + ": " +
                                                     print(value.*fields.member, version)
                                               : std::string()),
           ...);
        },
        T::table());
    return "{" + out + "}";
  }
}

// Reads what print writes. Throws std::runtime_error naming the place: a transcript is wrong then.
class TextReader {
 public:
  TextReader(std::string_view text, std::deque<std::string>& keep) : text_(text), keep_(keep) {}

  template <class T>
  void read(T& value) {
    if constexpr (std::is_same_v<T, bool>) {
      value = word() == "true";
    } else if constexpr (std::is_arithmetic_v<T>) {
      value = static_cast<T>(std::stoll(word()));
    } else if constexpr (std::is_same_v<T, std::string_view>) {
      value = keep_.emplace_back(string());
    } else if constexpr (std::is_same_v<T, Bytes>) {
      value = as_bytes(keep_.emplace_back(string()));
    } else if constexpr (std::is_same_v<T, Records>) {
      read_records(value);
    } else if constexpr (kIsOptional<T>) {
      if (accept("null"))
        value.reset();
      else
        read(value.emplace());
    } else if constexpr (kIsVector<T>) {
      expect('[');
      while (!accept("]")) {
        read(value.emplace_back());
        accept(",");
      }
    } else {
      expect('{');
      while (!accept("}")) {
        read_field(value, word());
        accept(",");
      }
    }
  }
  void end();

 private:
  template <class T>
  void read_field(T& value, const std::string& name) {
    expect(':');
    bool known = false;
    std::apply(
        [&](const auto&... fields) {
          ((fields.name == name ? (read(value.*fields.member), known = true) : false), ...);
        },
        T::table());
    if (!known) fail("no field " + name);
  }
  void read_records(Records& records);
  std::string read_batch();
  std::string word();
  std::string string();
  bool accept(std::string_view token);
  void expect(char c);
  char peek();
  [[noreturn]] void fail(const std::string& why) const;

  std::string_view text_;
  size_t at_ = 0;
  std::deque<std::string>& keep_;
};

}  // namespace heptane::data::kafka::test
