// The SQL of rules, compiled once: SELECT expressions FROM a topic filter or a stream, WHERE a condition. What is not said here is
// an error that names the word and where it stands.
//
//   SELECT * | expression [AS name], ...  FROM 'topic/filter' | '$aws/things/filter' | STREAM "name"
//     [[TIMESTAMP BY expression] WINDOW TUMBLING (SIZE 1 MINUTE [, GRACE PERIOD ...] [, TIMEOUT ...] [, LATE DEAD_LETTER])]
//     [WHERE condition] [GROUP BY expression, ... [HAVING condition]]
//   expression: numbers (exact decimals), 'texts', TRUE, FALSE, NULL, fields of the JSON payload (a.b[0], "a b".c), names of
//   columns, + - * / % ||, = <> != < <= > >=, IS [NOT] NULL, [NOT] IN (...), AND, OR, NOT, CASE [x] WHEN ... THEN ... [ELSE ...]
//   END, functions (functions.h).
//
// With a window (as ksqlDB has it; windows.h) a row is of one window and group: columns and HAVING are made of count(*) count(x) sum
// avg mean min max first last, of what GROUP BY says, and of WINDOWSTART and WINDOWEND.
//
// A field that is not there is NULL, and what is reckoned with NULL is NULL. Bounds: kSqlBytesMax of text, kNodesMax parts, nesting
// kNestingMax, each part evaluated at most once a message, texts of kTextBytesMax and in all kMadeBytesMax a message. Pure; any thread.
#pragma once

#include <memory>
#include <optional>
#include <span>
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
  uint8_t hops = 0;                                                   // of what a rule makes of it (hops.h)
  // Members of the payload by their places in FieldNames, for expressions that are bound to those: `json` is not asked for fields
  // then. One that holds others, or a number that no rule holds, is JSON.
  std::span<const Value> members{};
};

// Members of the payload that are looked at, each with a place; what is below them is not told apart.
class FieldNames {
 public:
  // Moves the places of others: all are added before anything is bound.
  void add(std::string_view name);
  std::optional<size_t> place_of(std::string_view name) const;
  size_t size() const { return names_.size(); }

 private:
  std::vector<std::string> names_;  // the shorter ones first, those of one length as texts
};

// In the order of the columns.
using Row = std::vector<std::pair<std::string, Value>>;
// Cut off where it is longer than kTextBytesMax, which is for its caller to refuse.
std::string json_of(const Row& row);
void append_json(std::string& out, const Row& row);

struct Function;

constexpr size_t kNoPlace = SIZE_MAX;

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
  choice,
  aggregate
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
  size_t member = kNoPlace;  // likewise, where it is bound: the first step's place
  std::string operation{};   // of a binary one; of an aggregate its name
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
  // What it is of a message: where that stands and what it is called; empty: nothing, it is made of columns alone.
  std::optional<std::pair<size_t, std::string>> part_of_message() const;
  // Adds the members of the payload that it looks at.
  void add_fields(FieldNames& names) const;
  // For messages whose members are read by these names.
  void bind(const FieldNames& names);
  // Error: what is wrong with the message for it.
  Result<Value> evaluate(const Message& message, const Row& row) const;
  Result<void> evaluate(const Message& message, const Row& row, Value& into) const;

 private:
  friend class QueryReader;
  friend class WindowColumns;
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

constexpr size_t kWindowsMax = 64;     // that are open at once
constexpr size_t kAggregatesMax = 32;  // of a query
constexpr size_t kGroupedByMax = 8;    // expressions

// Of tumbling windows, which begin at whole numbers of their size since 1970.
struct WindowSpec {
  int64_t size_ms = 0;
  int64_t grace_ms = 0;  // that a record may be behind the newest one
  std::optional<int64_t>
      timeout_ms{};         // that the clock goes on behind a window's end before it is closed without a newer record
  bool tells_late = false;  // late records are dead letters, too

  // Windows that are open at once, at most.
  int64_t open_max() const { return grace_ms / size_ms + 2; }
};

enum class AggregateKind : uint8_t { records, count, sum, mean, least, most, first, last };
struct Aggregate {
  AggregateKind kind = AggregateKind::records;
  std::optional<Expression> of{};
};

// What a query over windows says beside its columns and condition.
struct Windowing {
  WindowSpec spec{};
  uint64_t says =
      0;  // a hash of TIMESTAMP BY, WINDOW and GROUP BY, never 0: of another one no open window can be made again
  std::optional<Expression> event_time{};  // milliseconds; none: the record's own time
  std::vector<Expression> groups{};
  std::vector<Aggregate> aggregates{};
  std::optional<Expression> having{};
};

class Select {
 public:
  static Result<Select> compile(std::string_view sql);

  const Source& source() const { return source_; }
  const std::vector<std::string>& columns() const { return columns_; }
  bool takes_all() const { return all_; }
  void add_fields(FieldNames& names) const;
  void bind(const FieldNames& names);
  // nullopt: the condition is not so. A condition that is NULL is an error: a field is missing, and nobody said what that means.
  Result<std::optional<Row>> run(const Message& message) const;
  // Likewise, into a row that was another one's; false: the condition is not so.
  Result<bool> run(const Message& message, Row& row) const;

  // Null: there are no windows, and run() is for each message.
  const Windowing* windowing() const { return windowing_ ? &*windowing_ : nullptr; }
  // Of one with windows: whether the condition is so.
  Result<bool> takes(const Message& message) const;
  // Likewise: the row of what was worked out: groups, aggregates, WINDOWSTART, WINDOWEND. nullopt: HAVING is not so.
  Result<std::optional<Row>> finish(const Row& worked_out) const;

 private:
  friend class QueryReader;
  // All that see a message.
  template <class Query>
  static auto expressions_of(Query& query);
  Result<void> make_columns(const Message& message, const Row& row, Row& columns) const;

  Source source_;
  std::vector<std::string> columns_;
  std::vector<Expression> outputs_;
  std::optional<Expression> condition_;
  std::optional<Windowing> windowing_;
  bool all_ = false;
};

}  // namespace heptane::iot::rules
