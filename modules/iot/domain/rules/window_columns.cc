#include "modules/iot/domain/rules/window_columns.h"

#include <algorithm>
#include <charconv>

#include "modules/iot/domain/rules/functions.h"

namespace heptane::iot::rules {

namespace {

constexpr int64_t kSpanMsMax = int64_t{366} * 86'400'000;
// Until all aggregates are known.
constexpr size_t kWindowStart = SIZE_MAX - 1;
constexpr size_t kWindowEnd = SIZE_MAX;

struct Unit {
  std::string_view name;
  int64_t ms;
};
constexpr Unit kUnits[] = {
    {"MILLISECOND", 1}, {"SECOND", 1'000}, {"MINUTE", 60'000}, {"HOUR", 3'600'000}, {"DAY", 86'400'000}};

std::optional<int64_t> unit_ms(const Word& word) {
  for (const Unit& unit : kUnits)
    if (word.is_keyword(unit.name) || word.is_keyword(std::string(unit.name) + "S")) return unit.ms;
  return std::nullopt;
}

// `5 MINUTES`
Result<int64_t> read_span(Parser& parser) {
  const Word number = parser.take();
  int64_t count = 0;
  const auto [end, error] = std::from_chars(number.text.data(), number.text.data() + number.text.size(), count);
  const bool good = number.kind == WordKind::number && error == std::errc() &&
                    end == number.text.data() + number.text.size() && count <= kSpanMsMax;
  if (!good) return wrong_at(number, "here stands a whole number");
  const Word unit = parser.take();
  const auto ms = unit_ms(unit);
  if (!ms) return wrong_at(unit, "here stands MILLISECONDS, SECONDS, MINUTES, HOURS or DAYS");
  if (count > kSpanMsMax / *ms) return wrong_at(number, "that is more than 366 days");
  return count * *ms;
}

Result<void> read_option(Parser& parser, WindowSpec& spec) {
  const Word word = parser.word();
  if (parser.pass_keyword("LATE")) {
    if (spec.tells_late) return wrong_at(word, "that was said already");
    spec.tells_late = parser.pass_keyword("DEAD_LETTER");
    return spec.tells_late ? Result<void>() : wrong_at(parser.word(), "here stands DEAD_LETTER");
  }
  const bool grace = parser.pass_keyword("GRACE");
  if (grace) HEPTANE_TRY(parser.expect_keyword("PERIOD"));
  if (!grace && !parser.pass_keyword("TIMEOUT"))
    return wrong_at(word, "here stands GRACE PERIOD, TIMEOUT or LATE DEAD_LETTER");
  if (grace ? spec.grace_ms != 0 : spec.timeout_ms.has_value()) return wrong_at(word, "that was said already");
  const Result<int64_t> span = read_span(parser);
  if (!span) return span.error();
  if (grace)
    spec.grace_ms = *span;
  else
    spec.timeout_ms = *span;
  return {};
}

bool same_value(const Value& one, const Value& other) {
  return one.kind == other.kind && one.truth == other.truth && one.text == other.text &&
         compare(one.number, other.number) == 0;
}

bool same_path(const std::vector<Node::Step>& one, const std::vector<Node::Step>& other) {
  return std::equal(one.begin(), one.end(), other.begin(), other.end(),
                    [](const Node::Step& a, const Node::Step& b) { return a.name == b.name && a.index == b.index; });
}

bool same(const Nodes& ours, size_t place, const Nodes& theirs, size_t other_place) {
  const Node& one = ours[place];
  const Node& other = theirs[other_place];
  const bool alike = one.kind == other.kind && one.operation == other.operation && one.function == other.function &&
                     one.negated == other.negated && one.has_subject == other.has_subject &&
                     one.column == other.column && same_value(one.literal, other.literal) &&
                     same_path(one.path, other.path);
  return alike && std::equal(one.args.begin(), one.args.end(), other.args.begin(), other.args.end(),
                             [&](size_t a, size_t b) { return same(ours, a, theirs, b); });
}

void become_column(Node& node, size_t column) {
  node.kind = NodeKind::column;
  node.args.clear();
  node.path.clear();
  node.column = column;
}

// Of a bare name.
std::optional<size_t> bound_of(const Node& node) {
  if (node.kind != NodeKind::field || node.path.size() != 1) return std::nullopt;
  const Word word{WordKind::name, node.path.front().name, node.at};
  if (word.is_keyword("WINDOWSTART")) return kWindowStart;
  return word.is_keyword("WINDOWEND") ? std::optional(kWindowEnd) : std::nullopt;
}

}  // namespace

Result<WindowSpec> read_window(Parser& parser) {
  WindowSpec spec;
  HEPTANE_TRY(parser.expect_keyword("TUMBLING"));
  HEPTANE_TRY(parser.expect_sign("("));
  HEPTANE_TRY(parser.expect_keyword("SIZE"));
  const Word size = parser.word();
  const Result<int64_t> span = read_span(parser);
  if (!span) return span.error();
  if (*span == 0) return wrong_at(size, "a window has a size");
  spec.size_ms = *span;
  while (parser.pass_sign(",")) HEPTANE_TRY(read_option(parser, spec));
  const Word end = parser.word();
  HEPTANE_TRY(parser.expect_sign(")"));
  if (spec.open_max() > static_cast<int64_t>(kWindowsMax))
    return wrong_at(size, "the grace period is at most 62 times the size: 64 windows are open at once");
  if (spec.timeout_ms && *spec.timeout_ms < spec.grace_ms)
    return wrong_at(end, "the timeout is at least the grace period: it would end it");
  return spec;
}

std::optional<size_t> WindowColumns::group_of(const Nodes& nodes, size_t place) const {
  for (size_t i = 0; i < windowing_.groups.size(); ++i)
    if (same(nodes, place, windowing_.groups[i].nodes_, windowing_.groups[i].root_)) return i;
  return std::nullopt;
}

Result<size_t> WindowColumns::aggregate_of(const Nodes& nodes, const Node& node) {
  Aggregate made;
  if (!node.args.empty()) {
    made.kind = *find_aggregate(node.operation);
    made.of.emplace();
    made.of->nodes_ = nodes;
    made.of->root_ = node.args[0];
  }
  std::vector<Aggregate>& all = windowing_.aggregates;
  const auto there = std::find_if(all.begin(), all.end(), [&](const Aggregate& one) {
    return one.kind == made.kind && (!made.of || same(one.of->nodes_, one.of->root_, made.of->nodes_, made.of->root_));
  });
  const auto at = static_cast<size_t>(there - all.begin());
  if (there != all.end()) return at;
  if (all.size() == kAggregatesMax)
    return wrong_at({WordKind::name, node.operation, node.at}, "a rule has at most 32 aggregates");
  all.push_back(std::move(made));
  return at;
}

Result<void> WindowColumns::settle(Nodes& nodes, size_t place) {
  Node& node = nodes[place];
  if (const auto group = group_of(nodes, place)) return become_column(node, *group), Result<void>();
  if (const auto bound = bound_of(node)) return become_column(node, *bound), Result<void>();
  if (node.kind == NodeKind::aggregate) {
    const Result<size_t> aggregate = aggregate_of(nodes, node);
    if (!aggregate) return aggregate.error();
    become_column(node, windowing_.groups.size() + *aggregate);
    return {};
  }
  const bool of_message = node.kind == NodeKind::field || (node.kind == NodeKind::call && node.function->of_message);
  if (of_message)
    return wrong_at({WordKind::name,
                     std::string(node.kind == NodeKind::field ? node.path.front().name : node.function->name), node.at},
                    "this is of one message: GROUP BY it, or say first() or last() of it");
  const std::vector<size_t> parts = node.args;
  for (const size_t part : parts) HEPTANE_TRY(settle(nodes, part));
  return {};
}

Result<void> WindowColumns::settle(Expression& expression) { return settle(expression.nodes_, expression.root_); }

void WindowColumns::number(Expression& expression) const {
  const size_t behind = windowing_.groups.size() + windowing_.aggregates.size();
  for (Node& node : expression.nodes_)
    if (node.kind == NodeKind::column && node.column >= kWindowStart)
      node.column = behind + (node.column - kWindowStart);
}

}  // namespace heptane::iot::rules
