#include "modules/iot/domain/rules/sql.h"

#include <algorithm>

#include "kernel/base/hash128.h"
#include "kernel/base/utf8.h"
#include "modules/iot/domain/rules/functions.h"
#include "modules/iot/domain/rules/parser.h"
#include "modules/iot/domain/rules/window_columns.h"
#include "modules/iot/domain/topics/topics.h"

namespace heptane::iot::rules {

namespace {

constexpr size_t kStreamNameBytesMax = 249;
constexpr size_t kRowBytes = 128;  // that most have room in
constexpr std::string_view kThings = "$aws/things/";
constexpr std::string_view kShadows = "$aws/things/+/shadow/#";

// Topics that begin with `$`, the first that fits: where a rule finds what is told on them.
struct Told {
  std::string_view filter;
  const char* where;
};
constexpr Told kTold[] = {
    {"$aws/#",
     "of $aws a rule reads shadows, '$aws/things/+/shadow/#', and what is told of jobs from STREAM \"iot.jobs\", where "
     "topic() says of which"},
    {"$rules/#", "what rules tell is no rule's input"},
    {"$share/#", "say the filter without $share and the group: a rule gets each message"},
    {"$SYS/#", "what is told below $SYS is in no stream, so no rule reads it"},
    {"$CONTROL/#", "nothing is told below $CONTROL"},
    {"$iothub/#", "calls of methods are in no stream, so no rule reads them"},
};
constexpr const char* kDeclared =
    "of topics that begin with $ no stream is made by itself: declare one over this filter (mqtt.streams) and say "
    "STREAM "
    "\"its name\"";

// What is wrong with a filter as a rule's source; null: nothing.
const char* wrong_filter(const std::string& filter) {
  if (!valid_filter(filter)) return "this is no topic filter";
  if (!filter.starts_with('$') || (filter.starts_with(kThings) && overlap(filter, kShadows))) return nullptr;
  for (const Told& told : kTold)
    if (overlap(filter, told.filter)) return told.where;
  return kDeclared;
}

Result<Parser> parser_of(std::string_view text) {
  if (text.size() > kSqlBytesMax) return Error{Errc::too_large, "a rule's SQL has at most 8,192 bytes"};
  if (!is_utf8(text)) return Error{Errc::invalid_argument, "a rule's SQL is UTF-8: rows with its texts are JSON"};
  Result<std::vector<Word>> words = words_of(text);
  if (!words) return words.error();
  return Parser(std::move(*words));
}

// Of what has no AS: the field's own name; empty: it has none.
std::string own_name(const Nodes& nodes) {
  const Node& root = nodes.back();
  return root.kind == NodeKind::field ? root.path.back().name : std::string();
}

Result<std::string> column_name(Parser& parser, const Nodes& nodes, const Word& begin) {
  if (!parser.pass_keyword("AS")) {
    const std::string name = own_name(nodes);
    if (name.empty()) return wrong_at(begin, "say AS and a name for it");
    return name;
  }
  const Word name = parser.take();
  const bool good = name.kind == WordKind::quoted_name || (name.kind == WordKind::name && !is_reserved(name));
  if (!good || name.text.empty()) return wrong_at(name, "here stands a column's name");
  return name.text;
}

Result<Source> source_of(Parser& parser) {
  if (!parser.pass_keyword("FROM")) return wrong_at(parser.word(), "here stands FROM");
  const bool stream = parser.pass_keyword("STREAM");
  const Word name = parser.take();
  if (!stream) {
    if (name.kind != WordKind::text) return wrong_at(name, "here stands a 'topic/filter', or STREAM and a \"name\"");
    if (const char* wrong = wrong_filter(name.text)) return wrong_at(name, wrong);
    return name.text.starts_with(kThings) ? Source{false, std::string(kShadowsSource), name.text}
                                          : Source{true, name.text};
  }
  const bool named = name.kind == WordKind::quoted_name || name.kind == WordKind::name;
  if (!named || name.text.empty() || name.text.size() > kStreamNameBytesMax)
    return wrong_at(name, "here stands the \"name\" of a stream");
  return Source{false, name.text};
}

}  // namespace

void append_json(std::string& out, const Row& row) {
  const size_t begin = out.size();
  out += '{';
  for (const auto& [name, value] : row) {
    const size_t size = out.size() - begin;
    if (size > kTextBytesMax) break;
    if (size > 1) out += ',';
    devices::write_json_text(out, name);
    out += ':';
    write_value(out, value);
  }
  out += '}';
}

std::string json_of(const Row& row) {
  std::string out;
  out.reserve(kRowBytes);
  append_json(out, row);
  return out;
}

Result<Expression> Expression::compile(std::string_view text, const std::vector<std::string>& columns) {
  Result<Parser> parser = parser_of(text);
  if (!parser) return parser.error();
  Result<Nodes> nodes = parser->expression(columns);
  if (!nodes) return nodes.error();
  if (!parser->at_end()) return wrong_at(parser->word(), "the expression ends before this");
  Expression made;
  made.nodes_ = std::move(*nodes);
  made.root_ = made.nodes_.size() - 1;
  return made;
}

namespace {

bool stands_before(std::string_view one, std::string_view other) {
  return one.size() != other.size() ? one.size() < other.size() : one < other;
}

}  // namespace

void FieldNames::add(std::string_view name) {
  const auto at = std::lower_bound(names_.begin(), names_.end(), name, stands_before);
  if (at == names_.end() || *at != name) names_.emplace(at, name);
}

std::optional<size_t> FieldNames::place_of(std::string_view name) const {
  const auto at = std::lower_bound(names_.begin(), names_.end(), name, stands_before);
  if (at == names_.end() || *at != name) return std::nullopt;
  return static_cast<size_t>(at - names_.begin());
}

void Expression::add_fields(FieldNames& names) const {
  for (const Node& node : nodes_)
    if (node.kind == NodeKind::field) names.add(node.path.front().name);
}

void Expression::bind(const FieldNames& names) {
  for (Node& node : nodes_)
    if (node.kind == NodeKind::field) node.member = names.place_of(node.path.front().name).value_or(kNoPlace);
}

std::optional<std::pair<size_t, std::string>> Expression::part_of_message() const {
  for (const Node& node : nodes_) {
    if (node.kind == NodeKind::field) return std::pair(node.at, node.path.front().name);
    if (node.kind == NodeKind::call && node.function->of_message)
      return std::pair(node.at, std::string(node.function->name));
  }
  return std::nullopt;
}

template <class Query>
auto Select::expressions_of(Query& query) {
  std::vector<decltype(&query.outputs_.front())> all;
  for (auto& output : query.outputs_) all.push_back(&output);
  if (query.condition_) all.push_back(&*query.condition_);
  if (!query.windowing_) return all;
  if (query.windowing_->event_time) all.push_back(&*query.windowing_->event_time);
  for (auto& group : query.windowing_->groups) all.push_back(&group);
  for (auto& aggregate : query.windowing_->aggregates)
    if (aggregate.of) all.push_back(&*aggregate.of);
  return all;
}

void Select::add_fields(FieldNames& names) const {
  for (const Expression* one : expressions_of(*this)) one->add_fields(names);
}

void Select::bind(const FieldNames& names) {
  for (Expression* one : expressions_of(*this)) one->bind(names);
}

// Clause by clause.
class QueryReader {
 public:
  explicit QueryReader(Parser& parser) : parser_(parser) {}

  Result<Select> read() {
    if (!parser_.pass_keyword("SELECT")) return wrong_at(parser_.word(), "a rule begins with SELECT");
    HEPTANE_TRY(columns());
    Result<Source> source = source_of(parser_);
    if (!source) return source.error();
    query_.source_ = std::move(*source);
    HEPTANE_TRY(windows());
    if (parser_.pass_keyword("WHERE")) HEPTANE_TRY(expression(query_.condition_.emplace(), false));
    HEPTANE_TRY(groups());
    if (!parser_.at_end()) return wrong_at(parser_.word(), "a rule ends before this");
    HEPTANE_TRY(query_.windowing_ ? settle_columns() : check_columns());
    return std::move(query_);
  }

 private:
  Result<void> expression(Expression& into, bool aggregates) {
    Result<Nodes> nodes = parser_.expression({}, aggregates);
    if (!nodes) return nodes.error();
    into.nodes_ = std::move(*nodes);
    into.root_ = into.nodes_.size() - 1;
    return {};
  }

  Result<void> columns() {
    first_ = parser_.word();
    query_.all_ = parser_.pass_sign("*");
    for (bool more = !query_.all_ || parser_.pass_sign(","); more; more = parser_.pass_sign(",")) HEPTANE_TRY(column());
    return {};
  }

  Result<void> column() {
    const Word begin = parser_.word();
    std::vector<std::string>& names = query_.columns_;
    if (names.size() == kColumnsMax) return wrong_at(begin, "a rule has at most 64 columns");
    Expression& output = query_.outputs_.emplace_back();
    HEPTANE_TRY(expression(output, true));
    const Result<std::string> name = column_name(parser_, output.nodes_, begin);
    if (!name) return name.error();
    if (std::find(names.begin(), names.end(), *name) != names.end())
      return wrong_at(begin, "two columns have the name " + *name);
    names.push_back(*name);
    return {};
  }

  Result<void> windows() {
    const Word begin = parser_.word();
    const size_t position = parser_.position();
    std::optional<Expression> event_time;
    if (parser_.pass_keyword("TIMESTAMP")) {
      HEPTANE_TRY(parser_.expect_keyword("BY"));
      HEPTANE_TRY(expression(event_time.emplace(), false));
      if (!parser_.word().is_keyword("WINDOW")) return wrong_at(begin, "TIMESTAMP BY is of a WINDOW");
    }
    if (!parser_.pass_keyword("WINDOW")) return {};
    const Result<WindowSpec> spec = read_window(parser_);
    if (!spec) return spec.error();
    query_.windowing_.emplace().spec = *spec;
    query_.windowing_->event_time = std::move(event_time);
    says_ = parser_.passed_since(position);
    return {};
  }

  Result<void> groups() {
    const Word begin = parser_.word();
    const bool grouped = begin.is_keyword("GROUP");
    if ((grouped || begin.is_keyword("HAVING")) && !query_.windowing_)
      return wrong_at(begin, "this is of a window: say WINDOW TUMBLING (SIZE 1 MINUTE) behind the source");
    if (grouped) HEPTANE_TRY(grouped_by());
    if (parser_.pass_keyword("HAVING")) HEPTANE_TRY(expression(query_.windowing_->having.emplace(), true));
    return {};
  }

  Result<void> grouped_by() {
    const size_t position = parser_.position();
    parser_.take();
    HEPTANE_TRY(parser_.expect_keyword("BY"));
    std::vector<Expression>& groups = query_.windowing_->groups;
    do {
      if (groups.size() == kGroupedByMax) return wrong_at(parser_.word(), "a rule groups by at most 8 expressions");
      HEPTANE_TRY(expression(groups.emplace_back(), false));
    } while (parser_.pass_sign(","));
    says_ += parser_.passed_since(position);
    return {};
  }

  Result<void> settle_columns() {
    if (query_.all_) return wrong_at(first_, "a window has no *: say what its columns are");
    query_.windowing_->says = hash128(as_bytes(says_)).low | 1;
    std::vector<Expression*> all;
    for (Expression& output : query_.outputs_) all.push_back(&output);
    if (query_.windowing_->having) all.push_back(&*query_.windowing_->having);
    WindowColumns columns(*query_.windowing_);
    for (Expression* one : all) HEPTANE_TRY(columns.settle(*one));
    for (Expression* one : all) columns.number(*one);
    return {};
  }

  Result<void> check_columns() const {
    for (const Expression& output : query_.outputs_)
      for (const Node& node : output.nodes_)
        if (node.kind == NodeKind::aggregate)
          return wrong_at({WordKind::name, node.operation, node.at},
                          "this is of a window: say WINDOW TUMBLING (SIZE 1 MINUTE) behind the source");
    return {};
  }

  Parser& parser_;
  Select query_;
  Word first_{};  // behind SELECT
  std::string says_{};
};

Result<Select> Select::compile(std::string_view sql) {
  Result<Parser> parser = parser_of(sql);
  if (!parser) return parser.error();
  return QueryReader(*parser).read();
}

}  // namespace heptane::iot::rules
