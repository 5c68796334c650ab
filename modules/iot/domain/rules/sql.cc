#include "modules/iot/domain/rules/sql.h"

#include <algorithm>

#include "modules/iot/domain/rules/parser.h"
#include "modules/iot/domain/topics/topics.h"

namespace heptane::iot::rules {

namespace {

constexpr size_t kStreamNameBytesMax = 249;
constexpr std::string_view kThings = "$aws/things/";

Result<Parser> parser_of(std::string_view text) {
  if (text.size() > kSqlBytesMax) return Error{Errc::too_large, "a rule's SQL has at most 8,192 bytes"};
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
    const bool of_things = name.text.starts_with(kThings);
    if (!valid_filter(name.text) || (name.text.starts_with("$") && !of_things))
      return wrong_at(name, "this is no topic filter");
    return of_things ? Source{false, std::string(kShadowsSource), name.text} : Source{true, name.text};
  }
  const bool named = name.kind == WordKind::quoted_name || name.kind == WordKind::name;
  if (!named || name.text.empty() || name.text.size() > kStreamNameBytesMax)
    return wrong_at(name, "here stands the \"name\" of a stream");
  return Source{false, name.text};
}

}  // namespace

std::string json_of(const Row& row) {
  std::string out = "{";
  for (const auto& [name, value] : row) {
    if (out.size() > kTextBytesMax) break;
    if (out.size() > 1) out += ',';
    devices::write_json_text(out, name);
    out += ':';
    write_value(out, value);
  }
  return out += '}';
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

void Expression::add_fields(FieldNames& names) const {
  for (const Node& node : nodes_)
    if (node.kind == NodeKind::field) names.insert(node.path.front().name);
}

void Select::add_fields(FieldNames& names) const {
  for (const Expression& output : outputs_) output.add_fields(names);
  if (condition_) condition_->add_fields(names);
}

Result<Select> Select::compile(std::string_view sql) {
  Result<Parser> parsed = parser_of(sql);
  if (!parsed) return parsed.error();
  Parser& parser = *parsed;
  if (!parser.pass_keyword("SELECT")) return wrong_at(parser.word(), "a rule begins with SELECT");
  Select query;
  const auto expression = [&]() -> Result<Expression> {
    Result<Nodes> nodes = parser.expression({});
    if (!nodes) return nodes.error();
    Expression made;
    made.nodes_ = std::move(*nodes);
    made.root_ = made.nodes_.size() - 1;
    return made;
  };
  query.all_ = parser.pass_sign("*");
  for (bool more = !query.all_ || parser.pass_sign(","); more; more = parser.pass_sign(",")) {
    const Word begin = parser.word();
    if (query.columns_.size() == kColumnsMax) return wrong_at(begin, "a rule has at most 64 columns");
    Result<Expression> output = expression();
    if (!output) return output.error();
    const Result<std::string> name = column_name(parser, output->nodes_, begin);
    if (!name) return name.error();
    if (std::find(query.columns_.begin(), query.columns_.end(), *name) != query.columns_.end())
      return wrong_at(begin, "two columns have the name " + *name);
    query.columns_.push_back(*name);
    query.outputs_.push_back(std::move(*output));
  }
  Result<Source> source = source_of(parser);
  if (!source) return source.error();
  query.source_ = std::move(*source);
  if (parser.pass_keyword("WHERE")) {
    Result<Expression> condition = expression();
    if (!condition) return condition.error();
    query.condition_ = std::move(*condition);
  }
  if (!parser.at_end()) return wrong_at(parser.word(), "a rule ends before this");
  return query;
}

}  // namespace heptane::iot::rules
