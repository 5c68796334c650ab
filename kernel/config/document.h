// A TOML document as a flat list: every value with its dotted name and its place. toml++ reads the syntax; document.cc is
// the only file that includes it. What it holds is not checked against anything yet.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "kernel/base/result.h"
#include "kernel/config/key.h"

namespace heptane::config {

constexpr size_t kFileBytesLimit = 1 << 20;
constexpr size_t kEntriesLimit = 10'000;

struct Place {
  uint32_t line = 0;  // from 1; 0: not from a file
  uint32_t column = 0;
};

struct Entry {
  enum class Kind : uint8_t { value, table, other };  // other: a kind that no key has, such as a date

  std::string name;  // a part that is no bare key is quoted
  Place place;       // of the value; of a table, its header
  Kind kind = Kind::value;
  Value value;
  std::string kind_name;  // `a date`, as messages say it
  bool tables = false;    // the value is a list of tables (Type::tables)
};

struct Mistake {
  std::string key;  // empty: of no key
  Place place;
  std::string message;
};

struct Document {
  std::vector<Entry> entries;  // tables before what they hold
};

// A mistake of syntax, or a duplicate: the first one alone, because what follows it cannot be told apart.
std::variant<Document, Mistake> parse_document(std::string_view text);

// The value of one key, as a file has it behind the `=`; nullopt: it is none.
std::optional<Entry> parse_value(std::string_view text);

// Refuses a file that is longer than the limit before it is read, and what is no file.
Result<std::string> read_config_file(const std::string& path);

}  // namespace heptane::config
