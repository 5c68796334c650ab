// Finds a string where SQL wants a table (`FROM 'file.csv'`, `JOIN 'x'`, `FROM t, 's3://...'`): the engine's dialect reads
// files that way. `extract(year FROM '...')`, `trim('x' FROM 'y')` and `IS DISTINCT FROM 'z'` are none. Pure, total.
#pragma once

#include <cstddef>
#include <string_view>

namespace heptane::data::sql {

// The byte at which it begins; npos: there is none.
size_t find_table_path(std::string_view statement);

}  // namespace heptane::data::sql
