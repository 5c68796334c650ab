// The part of InfluxQL that is served: SELECT of raw fields and of the functions below, SHOW, CREATE and DROP DATABASE. What is not
// part of it is refused with an error that names the word. README: what there is, and what is absent. Pure; any thread.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernel/base/result.h"

namespace heptane::iot::series {

constexpr size_t kQueryBytesMax = 16'384;
constexpr size_t kStatementsMax = 64;
constexpr size_t kNestingMax = 32;
constexpr size_t kColumnsMax = 256;
constexpr size_t kPatternBytesMax = 256;

// POSIX extended, with \d. Counts in braces, back references and a quantifier behind another or behind a group that has one are
// refused: their cost has no bound.
class Pattern {
 public:
  // Read, not yet compiled: that is for who has asked what the asker may.
  static Result<std::shared_ptr<Pattern>> make(const std::string& text);
  ~Pattern();
  Pattern(const Pattern&) = delete;
  Pattern& operator=(const Pattern&) = delete;
  // Before matches(). Error: invalid_argument.
  Result<void> compile();
  bool matches(const std::string& text) const;

 private:
  struct Compiled;
  Pattern();
  std::string text_;  // as POSIX has it
  bool ignores_case_ = false;
  std::unique_ptr<Compiled> compiled_;
};

enum class Compare : uint8_t { equal, differs, matches, matches_not };

// On tags; a tag that a series lacks is the empty text.
struct Condition {
  enum class Kind : uint8_t { test, all, any };
  Kind kind = Kind::test;
  std::string key;
  Compare compare = Compare::equal;
  std::string value;
  std::shared_ptr<Pattern> pattern;
  std::vector<Condition> parts;
};

enum class Function : uint8_t { none, mean, sum, count, min, max, first, last, percentile, derivative };

struct Selected {
  Function function = Function::none;
  Function inner = Function::none;  // of derivative(mean(x))
  std::string field;                // none: a field or a tag
  double percent = 0;               // of percentile
  int64_t unit_ns = 0;              // of derivative
  std::string column;               // what the answer calls it
  bool all = false;                 // *
};

enum class Fill : uint8_t { null, none, previous, linear, number };

struct Source {
  std::string database;  // empty: the request's
  std::string measurement;
};

// Both ends are within.
struct TimeRange {
  int64_t from = std::numeric_limits<int64_t>::min();
  int64_t to = std::numeric_limits<int64_t>::max();
};

struct Select {
  std::vector<Selected> columns;
  Source source;
  std::optional<Condition> where;
  TimeRange time;
  bool has_lower = false;
  bool has_upper = false;
  int64_t interval_ns = 0;  // 0: not by time
  int64_t interval_offset_ns = 0;
  bool by_all_tags = false;
  std::vector<std::string> by_tags;
  Fill fill = Fill::null;
  double fill_number = 0;
  bool descending = false;
  std::optional<uint64_t> limit;
  uint64_t offset = 0;

  bool aggregates() const { return columns.front().function != Function::none; }
};

enum class ShowKind : uint8_t { databases, policies, measurements, series, tag_keys, tag_values, field_keys };

struct Show {
  ShowKind kind = ShowKind::databases;
  Source source;  // measurement empty: all
  std::optional<Condition> where;
  std::optional<Condition> with;  // of tag values on the key, of measurements on the name, whatever Condition::key says
  std::optional<uint64_t> limit;
  uint64_t offset = 0;
};

struct Statement {
  enum class Kind : uint8_t { select, show, create_database, drop_database };
  Kind kind = Kind::select;
  Select select;
  Show show;
  std::string database;  // of the last two
};

// `now_ns`: what now() is. Error: invalid_argument.
Result<std::vector<Statement>> parse_influxql(std::string_view text, int64_t now_ns);

// Before a condition is tried. Error: invalid_argument.
Result<void> compile_patterns(const Condition& condition);
bool holds(const Condition& condition, const std::vector<std::pair<std::string, std::string>>& tags);
// Of a condition on keys: whether this one is meant.
bool key_holds(const Condition& condition, const std::string& key);

}  // namespace heptane::iot::series
