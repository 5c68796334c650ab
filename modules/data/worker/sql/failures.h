// What DuckDB says went wrong, as a Failure with PostgreSQL's code. Pure; any thread.
#pragma once

#include <string_view>

#include "modules/data/domain/sql/engine.h"

namespace heptane::data::sql {

// `statement`: for the place in it.
Failure failure_of(std::string_view duckdb_error, std::string_view statement = {});
// What json_serialize_sql says instead of a tree. `begins_at`: of its text in the statement.
Failure failure_of_tree(std::string_view tree, size_t begins_at);
Failure failure(std::string_view sqlstate, std::string message, std::string hint = {}, uint32_t position = 0);

}  // namespace heptane::data::sql
