#include "kernel/net/http/json.h"

#include <algorithm>
#include <array>
#include <charconv>

#include <simdjson.h>

namespace heptane::http {

namespace ondemand = simdjson::ondemand;

// What small documents were read with is kept for the thread's next ones, which need no memory of their own then.
struct JsonDocument::Reader {
  static constexpr size_t kKept = 4;
  static constexpr size_t kKeptBytesMax = size_t{64} << 10;  // of a document
  static constexpr size_t kKeptNodesMax = 1'024;

  std::string text;
  ondemand::parser parser;    // holds the unescaped texts
  std::vector<Node> spare{};  // of the document before
  std::vector<std::string_view> names{};

  static std::unique_ptr<Reader> take() {
    if (kept().empty()) return std::make_unique<Reader>();
    std::unique_ptr<Reader> reader = std::move(kept().back());
    kept().pop_back();
    return reader;
  }
  static void give(std::unique_ptr<Reader> reader) {
    const bool small = reader->text.capacity() <= kKeptBytesMax && reader->parser.capacity() <= kKeptBytesMax &&
                       reader->spare.capacity() <= kKeptNodesMax && reader->names.capacity() <= kKeptNodesMax;
    if (small && kept().size() < kKept) kept().push_back(std::move(reader));
  }

 private:
  static std::vector<std::unique_ptr<Reader>>& kept() {
    thread_local std::vector<std::unique_ptr<Reader>> readers;
    return readers;
  }
};

JsonDocument::JsonDocument() : reader_(Reader::take()), nodes_(std::move(reader_->spare)) { nodes_.clear(); }
JsonDocument::~JsonDocument() {
  reader_->spare = std::move(nodes_);
  Reader::give(std::move(reader_));
}

namespace {

Error malformed(std::string message) {
  return {Errc::invalid_argument, "the JSON is malformed: " + std::move(message)};
}

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

const char* skip_space(const char* at, const char* end) {
  while (at < end && is_space(*at)) ++at;
  return at;
}

}  // namespace

// Walks the document once, forward only, and visits every value: only so does the reader check all of it.
class JsonBuilder {
 public:
  explicit JsonBuilder(JsonDocument& document) : document_(document) {}

  // What most messages are: short, of ASCII without escapes, with numbers of few digits, and nothing wrong. False: it is not that, or
  // not sure, and build() is to read it; nothing is left of it then.
  bool build_plain() {
    const std::string& text = document_.reader_->text;
    if (text.size() > kPlainBytesMax) return false;
    at_ = text.data();
    skip_spaces();
    const bool read = (*at_ == '{' || *at_ == '[') && plain_value({}, 1);
    skip_spaces();
    if (read && at_ == text.data() + text.size()) return true;
    document_.nodes_.clear();
    return false;
  }

  Result<void> build(ondemand::document& root) {
    ondemand::json_type type;
    if (const auto code = root.type().get(type)) return fault(code);
    if (type != ondemand::json_type::object && type != ondemand::json_type::array)
      return malformed("an object is expected");
    ondemand::value value;
    if (const auto code = root.get_value().get(value)) return fault(code);
    HEPTANE_TRY(add(value, {}, 1));
    const std::string& text = document_.reader_->text;
    const std::string_view raw = document_.nodes_[0].raw;
    const char* const end = text.data() + text.size();
    if (skip_space(raw.data() + raw.size(), end) != end) return malformed("something follows the value");
    return {};
  }

  static Error fault(simdjson::error_code code) {
    if (code == simdjson::NUMBER_OUT_OF_RANGE) return malformed("a number is out of range");
    if (code == simdjson::NUMBER_ERROR) return malformed("a number is not a number, or is beyond 64 bits");
    if (code == simdjson::UTF8_ERROR) return malformed("the text is not UTF-8");
    if (code == simdjson::DEPTH_ERROR) return too_deep();
    return malformed(simdjson::error_message(code));
  }

 private:
  using Node = JsonDocument::Node;
  static constexpr uint32_t kFewNames = 8;
  static constexpr std::array<bool, 256> kPlain = [] {
    std::array<bool, 256> plain{};
    for (size_t c = ' '; c < 0x80; ++c) plain[c] = c != '"' && c != '\\';
    return plain;
  }();
  static constexpr size_t kPlainBytesMax = 4'096;
  static constexpr size_t kPlainDigitsMax = 15;  // no number of so many is out of range

  static Error too_deep() {
    return malformed("values are nested deeper than " + std::to_string(kJsonDepthLimit) + " levels");
  }

  Result<void> add(ondemand::value value, std::string_view name, uint32_t depth) {
    if (document_.nodes_.size() == kJsonValuesLimit)
      return Error{Errc::too_large, "the JSON has more than " + std::to_string(kJsonValuesLimit) + " values"};
    if (depth > kJsonDepthLimit) return too_deep();
    const auto index = static_cast<uint32_t>(document_.nodes_.size());
    Node& node = document_.nodes_.emplace_back();
    node.name = name;
    node.raw = trimmed(value.raw_json_token());
    ondemand::json_type type;
    if (const auto code = value.type().get(type)) return fault(code);
    switch (type) {
      case ondemand::json_type::object: return add_object(value, index, depth);
      case ondemand::json_type::array: return add_array(value, index, depth);
      case ondemand::json_type::string: return add_text(value, node);
      case ondemand::json_type::number: return add_number(value, node);
      case ondemand::json_type::boolean: return add_boolean(value, node);
      case ondemand::json_type::null: return add_null(value);
    }
    return malformed("a value is expected");
  }

  Result<void> add_text(ondemand::value value, Node& node) {
    node.type = JsonType::text;
    if (const auto code = value.get_string().get(node.text)) return fault(code);
    return {};
  }

  Result<void> add_number(ondemand::value value, Node& node) {
    ondemand::number number;
    if (const auto code = value.get_number().get(number)) return fault(code);
    node.type = number.is_double() ? JsonType::real : JsonType::integer;
    return {};
  }

  Result<void> add_boolean(ondemand::value value, Node& node) {
    bool unused = false;
    node.type = JsonType::boolean;
    if (const auto code = value.get_bool().get(unused)) return fault(code);
    return {};
  }

  Result<void> add_null(ondemand::value value) {
    bool null = false;
    if (value.is_null().get(null) || !null) return malformed("a value is expected");
    return {};
  }

  Result<void> add_array(ondemand::value value, uint32_t index, uint32_t depth) {
    document_.nodes_[index].type = JsonType::array;
    ondemand::array array;
    if (const auto code = value.get_array().get(array)) return fault(code);
    uint32_t last = 0;
    for (auto item : array) {
      ondemand::value child;
      if (const auto code = item.get(child)) return fault(code);
      HEPTANE_TRY(add_child(child, {}, index, last, depth));
    }
    return close(index, last);
  }

  Result<void> add_object(ondemand::value value, uint32_t index, uint32_t depth) {
    document_.nodes_[index].type = JsonType::object;
    ondemand::object object;
    if (const auto code = value.get_object().get(object)) return fault(code);
    uint32_t last = 0;
    for (auto field : object) {
      std::string_view name;
      ondemand::value child;
      if (const auto code = field.unescaped_key().get(name)) return fault(code);
      if (const auto code = field.value().get(child)) return fault(code);
      HEPTANE_TRY(add_child(child, name, index, last, depth));
    }
    HEPTANE_TRY(check_names(index));
    return close(index, last);
  }

  Result<void> add_child(ondemand::value child, std::string_view name, uint32_t parent, uint32_t& last,
                         uint32_t depth) {
    const auto index = static_cast<uint32_t>(document_.nodes_.size());
    HEPTANE_TRY(add(child, name, depth + 1));
    hang(index, parent, last);
    return {};
  }

  // A container ends at the bracket behind its last child.
  Result<void> close(uint32_t index, uint32_t last) {
    Node& node = document_.nodes_[index];
    const std::string& text = document_.reader_->text;
    const char* const end = text.data() + text.size();
    const char* at = node.raw.data() + 1;
    if (last != 0) at = document_.nodes_[last].raw.data() + document_.nodes_[last].raw.size();
    at = skip_space(at, end);
    if (at == end || *at != (node.type == JsonType::object ? '}' : ']')) return malformed("a bracket is missing");
    node.raw = {node.raw.data(), static_cast<size_t>(at + 1 - node.raw.data())};
    return {};
  }

  Result<void> check_names(uint32_t index) {
    const std::vector<Node>& nodes = document_.nodes_;
    if (nodes[index].size < 2) return {};
    if (nodes[index].size <= kFewNames) return check_few(index);
    std::vector<std::string_view>& names = document_.reader_->names;
    names.clear();
    names.reserve(nodes[index].size);
    for (uint32_t child = nodes[index].first; child != 0; child = nodes[child].next) names.push_back(nodes[child].name);
    std::sort(names.begin(), names.end());
    const auto twice = std::adjacent_find(names.begin(), names.end());
    return twice == names.end() ? Result<void>() : stands_twice(*twice);
  }

  // Each with those before it: of so few that is less than to sort them.
  Result<void> check_few(uint32_t index) {
    const std::vector<Node>& nodes = document_.nodes_;
    const uint32_t first = nodes[index].first;
    for (uint32_t child = nodes[first].next; child != 0; child = nodes[child].next)
      for (uint32_t before = first; before != child; before = nodes[before].next)
        if (nodes[before].name == nodes[child].name) return stands_twice(nodes[child].name);
    return {};
  }

  static Error stands_twice(std::string_view name) {
    return malformed("the name \"" + std::string(name.substr(0, 64)) + "\" stands twice in one object");
  }

  // Of plain documents. The text ends with a zero, at which each of these stops.

  void skip_spaces() {
    while (is_space(*at_)) ++at_;
  }

  bool pass(char c) {
    if (*at_ != c) return false;
    ++at_;
    return true;
  }

  bool plain_value(std::string_view name, uint32_t depth) {
    if (depth > kJsonDepthLimit) return false;
    const auto index = static_cast<uint32_t>(document_.nodes_.size());
    Node& node = document_.nodes_.emplace_back();
    node.name = name;
    const char* const begin = at_;
    bool read = false;
    switch (*at_) {
      case '{':
      case '[': read = plain_children(index, depth); break;
      case '"':
        node.type = JsonType::text;
        read = plain_text(node.text);
        break;
      case 't':
        node.type = JsonType::boolean;
        read = plain_word("true");
        break;
      case 'f':
        node.type = JsonType::boolean;
        read = plain_word("false");
        break;
      case 'n': read = plain_word("null"); break;
      default: read = plain_number(node.type);
    }
    document_.nodes_[index].raw = {begin, static_cast<size_t>(at_ - begin)};
    return read;
  }

  bool plain_word(std::string_view word) {
    for (const char c : word)
      if (!pass(c)) return false;
    return true;
  }

  bool plain_text(std::string_view& text) {
    ++at_;
    const char* const begin = at_;
    while (is_plain(*at_)) ++at_;
    text = {begin, static_cast<size_t>(at_ - begin)};
    return pass('"');
  }
  static bool is_plain(char c) { return kPlain[static_cast<uint8_t>(c)]; }

  size_t pass_digits() {
    const char* const begin = at_;
    while (*at_ >= '0' && *at_ <= '9') ++at_;
    return static_cast<size_t>(at_ - begin);
  }

  bool plain_number(JsonType& type) {
    if (*at_ == '-') ++at_;
    const bool zero = *at_ == '0';
    const size_t whole = pass_digits();
    if (whole == 0 || (zero && whole > 1)) return false;
    type = JsonType::integer;
    if (!pass('.')) return whole <= kPlainDigitsMax;
    type = JsonType::real;
    const size_t behind = pass_digits();
    return behind > 0 && whole + behind <= kPlainDigitsMax;
  }

  bool plain_children(uint32_t index, uint32_t depth) {
    const bool members = *at_++ == '{';
    document_.nodes_[index].type = members ? JsonType::object : JsonType::array;
    const char close = members ? '}' : ']';
    skip_spaces();
    if (pass(close)) return true;
    for (uint32_t last = 0;;) {
      std::string_view name;
      if (members && !plain_name(name)) return false;
      const auto child = static_cast<uint32_t>(document_.nodes_.size());
      if (!plain_value(name, depth + 1)) return false;
      hang(child, index, last);
      skip_spaces();
      if (pass(close)) return !members || check_names(index).ok();
      if (!pass(',')) return false;
      skip_spaces();
    }
  }

  bool plain_name(std::string_view& name) {
    if (*at_ != '"' || !plain_text(name)) return false;
    skip_spaces();
    if (!pass(':')) return false;
    skip_spaces();
    return true;
  }

  void hang(uint32_t child, uint32_t parent, uint32_t& last) {
    std::vector<Node>& nodes = document_.nodes_;
    (last == 0 ? nodes[parent].first : nodes[last].next) = child;
    ++nodes[parent].size;
    last = child;
  }

  JsonDocument& document_;
  const char* at_ = nullptr;
};

Result<std::unique_ptr<JsonDocument>> JsonDocument::parse(std::string text) {
  std::unique_ptr<JsonDocument> document(new JsonDocument);
  Reader& reader = *document->reader_;
  if (text.empty()) return malformed("there is none");
  const size_t padded = text.size() + simdjson::SIMDJSON_PADDING;
  if (reader.text.capacity() >= padded) {
    reader.text.assign(text);
  } else {
    reader.text = std::move(text);
    reader.text.reserve(padded);
  }
  if (JsonBuilder(*document).build_plain()) return document;
  ondemand::document root;
  const auto code = reader.parser.iterate(reader.text.data(), reader.text.size(), reader.text.capacity()).get(root);
  if (code) return JsonBuilder::fault(code);
  HEPTANE_TRY(JsonBuilder(*document).build(root));
  return document;
}

// Values.

std::string_view json_type_name(JsonType type) {
  switch (type) {
    case JsonType::null: return "null";
    case JsonType::boolean: return "true or false";
    case JsonType::integer: return "an integer";
    case JsonType::real: return "a number";
    case JsonType::text: return "a string";
    case JsonType::array: return "an array";
    case JsonType::object: return "an object";
  }
  return "";
}

JsonType JsonValue::type() const { return document_->nodes_[index_].type; }
std::string_view JsonValue::raw() const { return document_->nodes_[index_].raw; }
std::string_view JsonValue::text() const { return document_->nodes_[index_].text; }
std::string_view JsonValue::name() const { return document_->nodes_[index_].name; }
uint32_t JsonValue::size() const { return document_->nodes_[index_].size; }
bool JsonValue::boolean() const { return type() == JsonType::boolean && raw() == "true"; }

std::optional<int64_t> JsonValue::integer() const {
  if (type() != JsonType::integer) return std::nullopt;
  int64_t value = 0;
  const auto [end, code] = std::from_chars(raw().data(), raw().data() + raw().size(), value);
  if (code != std::errc() || end != raw().data() + raw().size()) return std::nullopt;
  return value;
}

std::optional<double> JsonValue::real() const {
  if (type() != JsonType::integer && type() != JsonType::real) return std::nullopt;
  double value = 0;
  const auto [end, code] = std::from_chars(raw().data(), raw().data() + raw().size(), value);
  if (code != std::errc() || end != raw().data() + raw().size()) return std::nullopt;
  return value;
}

std::optional<JsonValue> JsonValue::at(uint32_t index) const {
  if (index == 0) return std::nullopt;
  return JsonValue(*document_, index);
}
std::optional<JsonValue> JsonValue::first() const { return at(document_->nodes_[index_].first); }
std::optional<JsonValue> JsonValue::next() const { return at(document_->nodes_[index_].next); }

std::optional<JsonValue> JsonValue::find(std::string_view name) const {
  if (type() != JsonType::object) return std::nullopt;
  for (std::optional<JsonValue> member = first(); member; member = member->next())
    if (member->name() == name) return member;
  return std::nullopt;
}

// Fields.

JsonFields::JsonFields(JsonValue object, std::string path) : path_(std::move(path)) {
  if (object.type() == JsonType::object)
    object_ = object;
  else
    fail((path_.empty() ? std::string("the body") : path_) + " must be an object");
}

std::string JsonFields::path_of(std::string_view name) const {
  return path_.empty() ? std::string(name) : path_ + '.' + std::string(name);
}

void JsonFields::fail(std::string message) {
  if (!error_) error_ = Error{Errc::invalid_argument, std::move(message)};
}

std::optional<JsonValue> JsonFields::take(std::string_view name) {
  asked_.push_back(name);
  return object_ ? object_->find(name) : std::nullopt;
}

std::optional<JsonValue> JsonFields::take(std::string_view name, JsonType type, bool required) {
  const std::optional<JsonValue> value = take(name);
  if (!value && required) fail(path_of(name) + " is missing");
  if (!value || value->type() == type) return value;
  fail(path_of(name) + " must be " + std::string(json_type_name(type)));
  return std::nullopt;
}

std::string_view JsonFields::text(std::string_view name) {
  const auto value = take(name, JsonType::text, true);
  return value ? value->text() : std::string_view();
}

std::string_view JsonFields::text_or(std::string_view name, std::string_view otherwise) {
  const auto value = take(name, JsonType::text, false);
  return value ? value->text() : otherwise;
}

int64_t JsonFields::integer(std::string_view name, int64_t min, int64_t max) {
  if (object_ && !object_->find(name)) fail(path_of(name) + " is missing");
  return integer_or(name, min, min, max);
}

int64_t JsonFields::integer_or(std::string_view name, int64_t otherwise, int64_t min, int64_t max) {
  const auto value = take(name, JsonType::integer, false);
  if (!value) return otherwise;
  const std::optional<int64_t> number = value->integer();
  if (number && *number >= min && *number <= max) return *number;
  fail(path_of(name) + " must be from " + std::to_string(min) + " to " + std::to_string(max));
  return otherwise;
}

std::optional<JsonValue> JsonFields::value(std::string_view name) { return take(name); }
std::optional<JsonValue> JsonFields::array(std::string_view name) { return take(name, JsonType::array, false); }

Result<void> JsonFields::finish() {
  if (object_ && !error_) {
    for (auto member = object_->first(); member; member = member->next())
      if (std::find(asked_.begin(), asked_.end(), member->name()) == asked_.end())
        fail(path_of(member->name().substr(0, 64)) + " is not known here");
  }
  if (error_) return *error_;
  return {};
}

bool valid_utf8(std::string_view text) { return simdjson::validate_utf8(text.data(), text.size()); }

}  // namespace heptane::http
