// The one JSON reader (RFC 8259): a whole document, checked to its last byte, as values that are views into it. simdjson
// does the reading. Refused: more than one value, bad UTF-8, a name twice in one object, numbers beyond 64 bits, nesting
// deeper than kJsonDepthLimit, more values than kJsonValuesLimit.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernel/base/base64.h"
#include "kernel/base/result.h"

namespace heptane::http {

constexpr uint32_t kJsonDepthLimit = 32;
constexpr uint32_t kJsonValuesLimit = 400'000;

enum class JsonType : uint8_t { null, boolean, integer, real, text, array, object };
std::string_view json_type_name(JsonType type);

class JsonDocument;

// A cheap view; the document outlives it.
class JsonValue {
 public:
  JsonType type() const;
  std::string_view raw() const;   // the JSON text as it was sent
  std::string_view text() const;  // of a text, unescaped; else empty
  bool boolean() const;
  // Of an integer that fits; the decimal point or exponent of a real is not rounded away.
  std::optional<int64_t> integer() const;
  std::optional<double> real() const;  // of any number

  // Items of an array, members of an object, in the order sent: first, then next until nothing is left.
  std::optional<JsonValue> first() const;
  std::optional<JsonValue> next() const;
  uint32_t size() const;
  std::string_view name() const;  // of a member
  std::optional<JsonValue> find(std::string_view name) const;

 private:
  friend class JsonDocument;
  JsonValue(const JsonDocument& document, uint32_t index) : document_(&document), index_(index) {}
  std::optional<JsonValue> at(uint32_t index) const;
  const JsonDocument* document_;
  uint32_t index_;
};

class JsonDocument {
 public:
  // Error: invalid_argument, or too_large; the message says what is wrong.
  static Result<std::unique_ptr<JsonDocument>> parse(std::string text);
  ~JsonDocument();
  JsonDocument(const JsonDocument&) = delete;
  JsonDocument& operator=(const JsonDocument&) = delete;

  JsonValue root() const { return JsonValue(*this, 0); }

 private:
  friend class JsonValue;
  friend class JsonBuilder;
  struct Node {
    std::string_view raw;
    std::string_view name;
    std::string_view text;
    uint32_t first = 0;  // 0 = none: the root is nobody's child
    uint32_t next = 0;
    uint32_t size = 0;
    JsonType type = JsonType::null;
  };
  struct Reader;
  JsonDocument();

  std::unique_ptr<Reader> reader_;
  std::vector<Node> nodes_;
};

// Reads an object whose members are all known: remembers the first thing that is wrong and names it, with the path of the
// object; members that nobody asked for are wrong too. Absent members give the default.
class JsonFields {
 public:
  JsonFields(JsonValue object, std::string path);

  std::string_view text(std::string_view name);  // required
  std::string_view text_or(std::string_view name, std::string_view otherwise);
  int64_t integer(std::string_view name, int64_t min, int64_t max);  // required
  int64_t integer_or(std::string_view name, int64_t otherwise, int64_t min, int64_t max);
  std::optional<JsonValue> value(std::string_view name);  // any type, optional
  std::optional<JsonValue> array(std::string_view name);  // optional
  std::string path_of(std::string_view name) const;
  void fail(std::string message);

  // Call last.
  Result<void> finish();

 private:
  std::optional<JsonValue> take(std::string_view name);
  std::optional<JsonValue> take(std::string_view name, JsonType type, bool required);

  std::optional<JsonValue> object_;
  std::string path_;
  std::vector<std::string_view> asked_;
  std::optional<Error> error_;
};

bool valid_utf8(std::string_view text);
using heptane::base64_decoded;
using heptane::base64_encoded;

}  // namespace heptane::http
