#include "modules/data/domain/sql/table_paths.h"

#include <algorithm>
#include <array>
#include <vector>

#include "modules/data/domain/sql/lexer.h"

namespace heptane::data::sql {

namespace {

constexpr size_t kDepthMax = 4096;  // deeper: taken for a query, which refuses more

// Between two parentheses.
struct Level {
  bool began = false;
  bool arguments = false;  // of a function: FROM is a word of its own there
  bool in_from = false;
  bool wants_table = false;
};

// Behind these, commas part something else than tables.
bool ends_from(const Token& token) {
  constexpr std::array<std::string_view, 12> kWords{"where", "group",  "order",     "having", "limit", "window",
                                                    "union", "except", "intersect", "select", "on",    "qualify"};
  return std::any_of(kWords.begin(), kWords.end(), [&](std::string_view word) { return token.is(word); });
}

// Words that open a list of tables or a query in parentheses; what follows any other name is a function's list.
bool opens_query(const Token& token) {
  constexpr std::array<std::string_view, 7> kWords{"select", "with", "from", "values", "pivot", "unpivot", "table"};
  return std::any_of(kWords.begin(), kWords.end(), [&](std::string_view word) { return token.is(word); });
}

void begin_level(Level& level, const Token& token, bool wanted_table) {
  level.began = true;
  level.arguments = !opens_query(token) && !wanted_table;
  if (wanted_table && !opens_query(token)) level.in_from = level.wants_table = true;  // FROM (a JOIN b ...)
}

void step(Level& level, const Token& token, const Token& before) {
  const bool from = token.is("from") && !before.is("distinct");
  if (level.arguments) return;
  if (from || token.is("join"))
    level.in_from = level.wants_table = true;
  else if (token.is(',') && level.in_from)
    level.wants_table = true;
  else if (!token.is("lateral") && !token.is("only"))
    level.wants_table = false;
  if (ends_from(token) && !token.is("on")) level.in_from = false;
}

}  // namespace

size_t find_table_path(std::string_view statement) {
  std::vector<Level> levels(1);
  bool opened_as_table = false;
  Lexer lexer(statement);
  Token before;
  for (Token token = lexer.next(); token.kind != TokenKind::end && token.kind != TokenKind::broken;
       before = token, token = lexer.next()) {
    Level& level = levels.back();
    if (!level.began && levels.size() > 1) begin_level(level, token, opened_as_table);
    if (token.is('(')) {
      opened_as_table = level.wants_table;
      level.wants_table = false;
      if (levels.size() < kDepthMax) levels.emplace_back();
    } else if (token.is(')')) {
      if (levels.size() > 1) levels.pop_back();
    } else if (token.kind == TokenKind::string && level.wants_table) {
      return token.begin;
    } else {
      step(level, token, before);
    }
  }
  return std::string_view::npos;
}

}  // namespace heptane::data::sql
