// Which statements run, and over what: one that only reads, whose tables are streams that the connection may read. What it names
// is taken from the tree of DuckDB's own parser, and what it reads from DuckDB's binder: the tables of the storage behind the
// views. Everything that is not known to be harmless is refused before it is bound. Pure but for the connection that is asked.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "modules/data/worker/sql/failures.h"
#include "modules/data/worker/sql/store.h"

namespace heptane::data::sql {

constexpr size_t kStatementBytesMax = 1 << 20;

using MayRead = std::function<bool(std::string_view stream)>;

// A statement, taken apart: nothing else is given to DuckDB than text(), whose query is what its parser was asked about, behind a
// prefix that is written here.
struct StatementWords {
  std::string_view first;  // its first word, as written
  std::string prefix;      // `EXPLAIN (FORMAT text) `, `EXPLAIN (ANALYZE, FORMAT json) `; empty: it is not explained
  std::string_view query;  // without blanks and comments before it; a part of the statement

  std::string text() const { return prefix + std::string(query); }
};
StatementWords words_of(std::string_view statement);

class StatementCheck {
 public:
  StatementCheck(const DuckDb& duckdb, duckdb_connection connection, const Catalog& catalog, const MayRead& may_read,
                 std::optional<Sequence> as_of)
      : duckdb_(duckdb), connection_(connection), catalog_(catalog), may_read_(may_read), as_of_(as_of) {}

  // nullopt: words.text() may run. `words` are words_of(statement).
  std::optional<Failure> check(std::string_view statement, const StatementWords& words);
  // It reads what heptane_catalog says.
  bool uses_catalog() const { return uses_catalog_; }

 private:
  std::optional<Failure> check_tree(std::string_view query, size_t begins_at);
  std::optional<Failure> check_names(const struct NamedThings& things, size_t begins_at);
  std::optional<Failure> check_table(const struct NamedTable& table, const struct NamedThings& things,
                                     size_t begins_at);
  std::optional<Failure> check_functions(const struct NamedThings& things);
  std::optional<Failure> check_storage(const std::string& statement);
  std::optional<Failure> check_stream(const Catalog::Stream& stream);
  std::optional<Failure> system_catalog(std::string_view what);
  bool reads_everything();

  const DuckDb& duckdb_;
  const duckdb_connection connection_;
  const Catalog& catalog_;
  const MayRead& may_read_;
  const std::optional<Sequence> as_of_;
  std::optional<bool> reads_everything_;
  bool uses_catalog_ = false;
  std::set<std::string> named_;  // storage of the tables that it names
};

}  // namespace heptane::data::sql
