// Parameters of a statement: their types, and their texts as values of those. A job's.
#pragma once

#include <optional>
#include <vector>

#include "modules/data/domain/sql/engine.h"
#include "modules/data/worker/sql/duckdb_library.h"

namespace heptane::data::sql {

std::vector<Type> parameter_types(const DuckDb& duckdb, duckdb_prepared_statement prepared);
// `connection` converts dates and times. Failure: `22P02` no value of its type, `08P01` another number of parameters.
std::optional<Failure> bind_parameters(const DuckDb& duckdb, duckdb_connection connection,
                                       duckdb_prepared_statement prepared, const std::vector<Parameter>& parameters);

}  // namespace heptane::data::sql
