// Questions about tables that psql asks PostgreSQL's catalogue (\d, \dt, \d NAME, \dn, \l and their longer forms), known by how
// they begin and answered from one list of the tables and columns that the client may read. Their texts are far from what
// the engine understands, and its own catalogue shows more than a client may see. Pure.
//
// A question is what it selects, item by item, and whom it is about; an item that we have no fact for is NULL.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "modules/data/domain/sql/engine.h"

namespace heptane::data::postgres {

// What the engine is asked for it: schema, table, column, type, in this order of columns.
constexpr std::string_view kCatalogQuery =
    "SELECT schema, table_name, name, type, position FROM heptane_catalog.columns ORDER BY 1, 2, 5";

enum class CatalogSubject : uint8_t { tables, columns, schemas, databases, nothing };

struct CatalogItem {
  std::string column;  // as the answer's column is called
  std::string fact;    // what it is about: `relname`, `Schema`; empty: a text
  std::string text;
};

struct CatalogQuestion {
  CatalogSubject subject = CatalogSubject::nothing;
  std::vector<CatalogItem> items;
  std::optional<std::string> table;  // regular expressions of psql: ^(...)$
  std::optional<std::string> schema;
  std::optional<uint32_t> oid;
  bool about_tables = true;  // false: of views, indexes, sequences alone, and there are none

  std::vector<sql::Column> columns() const;
};

// nullopt: it is an ordinary query.
std::optional<CatalogQuestion> recognise(std::string_view statement);

class Catalog {
 public:
  // A row of kCatalogQuery's answer.
  void add(const sql::Rows& rows, size_t row);
  void add(std::string_view schema, std::string_view table, std::string_view column, std::string_view type);
  std::unique_ptr<sql::Cursor> answer(const CatalogQuestion& question) const;

 private:
  struct Column {
    std::string name;
    std::string type;
  };
  struct Table {
    std::string schema;
    std::string name;
    std::vector<Column> columns;
    uint32_t oid() const;
  };

  std::vector<Table> tables_;  // in order of schema and name
};

// Whether psql's pattern, `^(` names of letters, `.*`, `.`, `|`, escaped signs `)$`, is the name's.
bool matches_pattern(std::string_view pattern, std::string_view name);

// PostgreSQL's name of one of the engine's types.
std::string type_name(std::string_view engine_type);

}  // namespace heptane::data::postgres
