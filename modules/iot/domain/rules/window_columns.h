// The WINDOW clause of a query, and what its columns are made of: aggregates, what GROUP BY says, WINDOWSTART and WINDOWEND become
// columns of the row that Windows works out, in that order; what is of a single message is an error. Internal to the rules' SQL; pure.
#pragma once

#include "modules/iot/domain/rules/parser.h"
#include "modules/iot/domain/rules/sql.h"

namespace heptane::iot::rules {

// Behind the word WINDOW.
Result<WindowSpec> read_window(Parser& parser);

class WindowColumns {
 public:
  // Its groups and its window are there; the aggregates are added, with each expression that is settled.
  explicit WindowColumns(Windowing& windowing) : windowing_(windowing) {}

  // First all of them, then number them: behind the aggregates stand the window's begin and end.
  Result<void> settle(Expression& expression);
  void number(Expression& expression) const;

 private:
  Result<void> settle(Nodes& nodes, size_t place);
  std::optional<size_t> group_of(const Nodes& nodes, size_t place) const;
  Result<size_t> aggregate_of(const Nodes& nodes, const Node& node);

  Windowing& windowing_;
};

}  // namespace heptane::iot::rules
