// What a statement names, out of the tree that DuckDB's parser makes of it (json_serialize_sql): tables, table functions and
// functions, wherever they stand. One pass over the text of the tree without recursion. Pure; any thread.
#pragma once

#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace heptane::data::sql {

struct NamedTable {
  std::string catalog;
  std::string schema;
  std::string table;
  uint64_t position = 0;  // the character in the statement, from 0
  bool at_clause = false;
};

struct NamedThings {
  size_t statements = 0;
  std::vector<NamedTable> tables;
  std::set<std::string> shown;  // what SHOW and DESCRIBE show without a query: `"tables"`, or empty (of a schema)
  std::set<std::string> table_functions;  // in small letters
  std::set<std::string> functions;        // likewise
  std::set<std::string> qualified;        // those of both that stand with a schema or catalog before them
  std::set<std::string> common;           // names of common table expressions, likewise
};

// `tree` is as DuckDB wrote it, without an error; one that is not is read as far as it goes.
NamedThings named_things(std::string_view tree);

}  // namespace heptane::data::sql
