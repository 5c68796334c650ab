#include "modules/iot/domain/devices/json_tree.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

namespace heptane::iot::devices {

namespace {

// Its digits without zeros at either end, and the power of ten of the last one; zero has none. The exponent's own digits are few:
// what is longer is compared as it is written.
struct Decimal {
  bool negative = false;
  std::string digits;
  int64_t exponent = 0;
  bool operator==(const Decimal&) const = default;
};

constexpr size_t kExponentDigitsMax = 9;

std::optional<Decimal> decimal_of(std::string_view text) {
  Decimal decimal;
  decimal.negative = text.starts_with('-');
  if (decimal.negative) text.remove_prefix(1);
  const size_t mark = std::min(text.find_first_of("eE"), text.size());
  std::string_view exponent = text.substr(std::min(mark + 1, text.size()));
  if (exponent.starts_with('+')) exponent.remove_prefix(1);
  if (exponent.size() > kExponentDigitsMax) return std::nullopt;
  std::from_chars(exponent.data(), exponent.data() + exponent.size(), decimal.exponent);
  bool behind_point = false;
  for (const char c : text.substr(0, mark)) {
    if (c == '.') {
      behind_point = true;
      continue;
    }
    if (behind_point) --decimal.exponent;
    if (c != '0' || !decimal.digits.empty()) decimal.digits += c;
  }
  while (!decimal.digits.empty() && decimal.digits.back() == '0') {
    decimal.digits.pop_back();
    ++decimal.exponent;
  }
  if (decimal.digits.empty()) return Decimal{};
  return decimal;
}

bool same_number(std::string_view one, std::string_view other) {
  if (one == other) return true;
  const auto first = decimal_of(one);
  const auto second = decimal_of(other);
  return first && second && *first == *second;
}

// Sets the time of everything in it.
void stamp(JsonTree& tree, int64_t time_s) {
  tree.time_s = tree.is_object() ? 0 : time_s;
  for (JsonTree& item : tree.items) stamp(item, time_s);
  for (auto& [name, member] : tree.members) stamp(member, time_s);
}

JsonTree read_at(ByteReader& in, Times times, uint32_t depth) {
  JsonTree tree;
  const uint8_t kind = in.u8();
  if (kind > static_cast<uint8_t>(TreeKind::object) || depth > kTreeDepthMax) in.fail();
  if (in.failed()) return tree;
  tree.kind = static_cast<TreeKind>(kind);
  if (times == Times::kept && !tree.is_object()) tree.time_s = static_cast<int64_t>(in.varint());
  if (tree.kind == TreeKind::number || tree.kind == TreeKind::text) {
    tree.text = as_text(in.take(in.varint()));
    return tree;
  }
  if (tree.kind != TreeKind::array && !tree.is_object()) return tree;
  const uint64_t count = in.varint();
  if (!in.fits(count, 1)) in.fail();
  for (uint64_t i = 0; i < count && !in.failed(); ++i) {
    if (!tree.is_object()) {
      // All of an array was set at once.
      tree.items.push_back(read_at(in, Times::none, depth + 1));
      continue;
    }
    const std::string_view name = as_text(in.take(in.varint()));
    if (!tree.members.empty() && name <= tree.members.rbegin()->first) in.fail();
    tree.members.emplace_hint(tree.members.end(), name, read_at(in, times, depth + 1));
  }
  return tree;
}

// {"timestamp":N}, written anew only for another time.
class Stamps {
 public:
  std::string_view of(int64_t time_s) {
    if (text_.empty() || time_s != time_s_) text_ = "{\"timestamp\":" + std::to_string(time_s) + "}";
    time_s_ = time_s;
    return text_;
  }

 private:
  int64_t time_s_ = 0;
  std::string text_;
};

void write_item_times(std::string& out, const JsonTree& tree, std::string_view stamp) {
  if (tree.kind == TreeKind::array) {
    out += '[';
    for (size_t i = 0; i < tree.items.size(); ++i) {
      if (i > 0) out += ',';
      write_item_times(out, tree.items[i], stamp);
    }
    out += ']';
    return;
  }
  if (tree.is_object()) {
    out += '{';
    bool first = true;
    for (const auto& [name, member] : tree.members) {
      if (!std::exchange(first, false)) out += ',';
      write_json_text(out, name);
      out += ':';
      write_item_times(out, member, stamp);
    }
    out += '}';
    return;
  }
  out += stamp;
}

void write_times(std::string& out, const JsonTree& tree, Stamps& stamps) {
  if (tree.kind == TreeKind::null) {
    out += "null";
    return;
  }
  if (!tree.is_object()) return write_item_times(out, tree, stamps.of(tree.time_s));
  out += '{';
  bool first = true;
  for (const auto& [name, member] : tree.members) {
    if (!std::exchange(first, false)) out += ',';
    write_json_text(out, name);
    out += ':';
    write_times(out, member, stamps);
  }
  out += '}';
}

// The letter behind the backslash; 0: it has none.
char short_escape(char c) {
  switch (c) {
    case '\b': return 'b';
    case '\f': return 'f';
    case '\n': return 'n';
    case '\r': return 'r';
    case '\t': return 't';
    default: return 0;
  }
}

}  // namespace

uint32_t depth_of(const JsonTree& tree) {
  if (tree.kind != TreeKind::array && !tree.is_object()) return 0;
  uint32_t deepest = 0;
  for (const JsonTree& item : tree.items) deepest = std::max(deepest, depth_of(item));
  for (const auto& [name, member] : tree.members) deepest = std::max(deepest, depth_of(member));
  return deepest + 1;
}

size_t leaves_of(const JsonTree& tree) {
  if (tree.items.empty() && tree.members.empty()) return 1;
  size_t leaves = 0;
  for (const JsonTree& item : tree.items) leaves += leaves_of(item);
  for (const auto& [name, member] : tree.members) leaves += leaves_of(member);
  return leaves;
}

bool same_value(const JsonTree& one, const JsonTree& other) {
  if (one.kind != other.kind) return false;
  if (one.kind == TreeKind::number) return same_number(one.text, other.text);
  if (one.text != other.text) return false;
  const bool items = std::equal(one.items.begin(), one.items.end(), other.items.begin(), other.items.end(), same_value);
  return items &&
         std::equal(one.members.begin(), one.members.end(), other.members.begin(), other.members.end(),
                    [](const auto& a, const auto& b) { return a.first == b.first && same_value(a.second, b.second); });
}

void merge(JsonTree& into, const JsonTree& patch, int64_t time_s) {
  if (!patch.is_object()) {
    into = patch;
    return stamp(into, time_s);
  }
  if (!into.is_object()) into = JsonTree::object();
  for (const auto& [name, value] : patch.members) {
    if (value.kind == TreeKind::null)
      into.members.erase(name);
    else
      merge(into.members[name], value, time_s);
  }
}

std::optional<JsonTree> difference(const JsonTree& wanted, const JsonTree& is) {
  if (!wanted.is_object() || !is.is_object()) return same_value(wanted, is) ? std::nullopt : std::optional(wanted);
  JsonTree differs = JsonTree::object();
  for (const auto& [name, value] : wanted.members) {
    const auto there = is.members.find(name);
    if (there == is.members.end()) {
      differs.members.emplace(name, value);
      continue;
    }
    if (auto below = difference(value, there->second)) differs.members.emplace(name, std::move(*below));
  }
  return differs.members.empty() ? std::nullopt : std::optional(std::move(differs));
}

void append_tree(ByteWriter& out, const JsonTree& tree, Times times) {
  out.u8(static_cast<uint8_t>(tree.kind));
  if (times == Times::kept && !tree.is_object()) out.varint(static_cast<uint64_t>(tree.time_s));
  if (tree.kind == TreeKind::number || tree.kind == TreeKind::text) {
    out.varint(tree.text.size());
    out.append(tree.text);
  }
  if (tree.kind == TreeKind::array) {
    out.varint(tree.items.size());
    for (const JsonTree& item : tree.items) append_tree(out, item, Times::none);
  }
  if (!tree.is_object()) return;
  out.varint(tree.members.size());
  for (const auto& [name, member] : tree.members) {
    out.varint(name.size());
    out.append(name);
    append_tree(out, member, times);
  }
}

JsonTree read_tree(ByteReader& in, Times times) { return read_at(in, times, 0); }

namespace {

constexpr auto kEscaped = [] {
  std::array<bool, 256> escaped{};
  for (size_t c = 0; c < 0x20; ++c) escaped[c] = true;
  escaped['"'] = escaped['\\'] = true;
  return escaped;
}();

void write_escape(std::string& out, char c) {
  static constexpr char kDigits[] = "0123456789abcdef";
  const auto byte = static_cast<uint8_t>(c);
  out += '\\';
  if (const char letter = short_escape(c); letter != 0) {
    out += letter;
    return;
  }
  if (byte >= 0x20) {
    out += c;
    return;
  }
  out += "u00";
  out += kDigits[byte >> 4];
  out += kDigits[byte & 15];
}

}  // namespace

void write_json_text(std::string& out, std::string_view text) {
  out += '"';
  while (!text.empty()) {
    size_t plain = 0;
    while (plain < text.size() && !kEscaped[static_cast<uint8_t>(text[plain])]) ++plain;
    out.append(text.substr(0, plain));
    if (plain == text.size()) break;
    write_escape(out, text[plain]);
    text.remove_prefix(plain + 1);
  }
  out += '"';
}

void write_json(std::string& out, const JsonTree& tree) {
  switch (tree.kind) {
    case TreeKind::null: out += "null"; return;
    case TreeKind::no: out += "false"; return;
    case TreeKind::yes: out += "true"; return;
    case TreeKind::number: out += tree.text; return;
    case TreeKind::text: return write_json_text(out, tree.text);
    default: break;
  }
  bool first = true;
  out += tree.is_object() ? '{' : '[';
  for (const JsonTree& item : tree.items) {
    if (!std::exchange(first, false)) out += ',';
    write_json(out, item);
  }
  for (const auto& [name, member] : tree.members) {
    if (!std::exchange(first, false)) out += ',';
    write_json_text(out, name);
    out += ':';
    write_json(out, member);
  }
  out += tree.is_object() ? '}' : ']';
}

void write_metadata(std::string& out, const JsonTree& tree) {
  Stamps stamps;
  write_times(out, tree, stamps);
}

}  // namespace heptane::iot::devices
