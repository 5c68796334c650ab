// The SQL of rules, compiled once: SELECT expressions FROM a topic filter or a stream, WHERE a condition. What is not said here is
// an error that names the word and where it stands.
//
//   SELECT * | expression [AS name], ...  FROM 'topic/filter' | '$aws/things/filter' | STREAM "name"  [WHERE condition]
//   expression: numbers (exact decimals), 'texts', TRUE, FALSE, NULL, fields of the JSON payload (a.b[0], "a b".c), names of
//   columns, + - * / % ||, = <> != < <= > >=, IS [NOT] NULL, [NOT] IN (...), AND, OR, NOT, CASE [x] WHEN ... THEN ... [ELSE ...]
//   END, functions (functions.h).
//
// A field that is not there is NULL, and what is reckoned with NULL is NULL. Bounds: kSqlBytesMax of text, kNodesMax parts, nesting
// kNestingMax, each part evaluated at most once a message, texts of kTextBytesMax and in all kMadeBytesMax a message. Pure; any thread.
#pragma once

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kernel/base/result.h"
#include "modules/iot/domain/rules/value.h"

namespace heptane::iot::rules {

constexpr size_t kSqlBytesMax = 8'192;
constexpr size_t kNodesMax = 512;
constexpr uint32_t kNestingMax = 32;
constexpr size_t kColumnsMax = 64;
constexpr size_t kMadeBytesMax = size_t{1} << 20;  // of all texts that one message is made into, on the way too
constexpr size_t kSoughtBytesMax = 256;            // of a text that is sought in another one

// What a rule looks at.
struct Message {
  std::string_view topic;                   // the record's key where it comes from a stream that is none of topics
  std::string_view payload;                 // as it came
  const devices::JsonTree* json = nullptr;  // of the payload; null: it is no JSON
  int64_t timestamp_ms = 0;
  int64_t offset = 0;                                                              // in its partition
  std::optional<devices::JsonTree> (*read_json)(std::string_view text) = nullptr;  // null: no text is decoded
  mutable size_t made_bytes = 0;                                      // of texts so far, by all expressions over it
  mutable std::vector<std::unique_ptr<devices::JsonTree>> decoded{};  // of texts that expressions decoded
  uint32_t partition = 0;                                             // its index
};

// Members of the payload by name; what is below them is not told apart.
using FieldNames = std::set<std::string, std::less<>>;

// In the order of the columns.
using Row = std::vector<std::pair<std::string, Value>>;
// Cut off where it is longer than kTextBytesMax, which is for its caller to refuse.
std::string json_of(const Row& row);

struct Function;

enum class NodeKind : uint8_t {
  literal,
  field,
  column,
  call,
  negate,
  binary,
  logic_not,
  logic_and,
  logic_or,
  is_null,
  in,
  choice
};
struct Node {
  struct Step {
    std::string name;  // of a member; empty: an item is meant
    size_t index = 0;
  };
  NodeKind kind = NodeKind::literal;
  size_t at = 0;             // where it stands in the text
  std::vector<size_t> args;  // places of its parts, which stand before it
  Value literal{};
  std::vector<Step> path{};  // of a field
  std::string operation{};   // of a binary one
  const Function* function = nullptr;
  size_t column = 0;
  bool negated = false;      // IS NOT NULL, NOT IN
  bool has_subject = false;  // CASE x: the first part is compared with those behind WHEN
};
using Nodes = std::vector<Node>;

// One expression over a message and the columns that a query makes of it.
class Expression {
 public:
  // `columns`: names that mean columns; others are fields of the payload.
  static Result<Expression> compile(std::string_view text, const std::vector<std::string>& columns);
  // Adds the members of the payload that it looks at.
  void add_fields(FieldNames& names) const;
  // Error: what is wrong with the message for it.
  Result<Value> evaluate(const Message& message, const Row& row) const;

 private:
  friend class Select;
  Nodes nodes_;
  size_t root_ = 0;
};

// What is told of shadows is a stream of its own: topics of things below it are read there.
constexpr std::string_view kShadowsSource = "iot.shadows";

struct Source {
  bool is_topics = false;  // a topic filter; else the name of a stream
  std::string name;
  std::string keys{};  // a topic filter: the stream's other records are none of the rule's; empty: all are
};

class Select {
 public:
  static Result<Select> compile(std::string_view sql);

  const Source& source() const { return source_; }
  const std::vector<std::string>& columns() const { return columns_; }
  bool takes_all() const { return all_; }
  void add_fields(FieldNames& names) const;
  // nullopt: the condition is not so. A condition that is NULL is an error: a field is missing, and nobody said what that means.
  Result<std::optional<Row>> run(const Message& message) const;

 private:
  Source source_;
  std::vector<std::string> columns_;
  std::vector<Expression> outputs_;
  std::optional<Expression> condition_;
  bool all_ = false;
};

}  // namespace heptane::iot::rules
