// Any bytes as a query string: what is split off is part of it, in order; a statement's text is split no further; places are
// within the text. Nothing may crash or take more than linear time.

#include <cstdint>

#include "kernel/base/assert.h"
#include "kernel/base/bytes.h"
#include "modules/data/domain/sql/statement.h"
#include "modules/data/domain/sql/table_paths.h"
#include "modules/data/gateway/postgres/catalog.h"
#include "modules/data/gateway/postgres/functions.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace heptane;
  using namespace heptane::data;
  const std::string_view query(reinterpret_cast<const char*>(data), size);
  const size_t length = sql::characters(query);
  (void)sql::find_table_path(query);
  (void)postgres::recognise(query);
  const postgres::SessionFacts facts{"user", 1, [](std::string_view) { return std::optional<std::string>("value"); }};
  (void)postgres::replace_functions(query, facts);
  auto outcome = sql::parse_statements(query);
  if (const auto* failed = std::get_if<sql::Failure>(&outcome)) {
    HEPTANE_ASSERT(failed->position <= length + 1, "a place outside of the query");
    return 0;
  }
  for (const sql::Statement& statement : std::get<0>(outcome)) {
    if (statement.kind != sql::StatementKind::query) continue;
    HEPTANE_ASSERT(query.find(statement.text) != std::string_view::npos, "a text that is no part of the query");
    HEPTANE_ASSERT(statement.text_offset <= length, "an offset outside of the query");
    auto again = sql::parse_statements(statement.text);
    const auto* once = std::get_if<0>(&again);
    HEPTANE_ASSERT(once != nullptr && once->size() == 1 && (*once)[0].text == statement.text,
                   "a statement is split further");
  }
  return 0;
}
