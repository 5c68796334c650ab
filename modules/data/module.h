// The data module for app: its listeners, and in time its machines.
#pragma once

#include "kernel/server/module.h"

namespace heptane::data {

// `with_sql`: it may open DuckDB's library and start threads (not in the simulator).
std::unique_ptr<server::Module> make_module(bool with_sql = false);

}  // namespace heptane::data
