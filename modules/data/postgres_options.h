// The keys of the listener `postgres` and the metrics of its protocol, for the module.
#pragma once

#include <vector>

#include "kernel/base/telemetry.h"
#include "kernel/config/settings.h"
#include "modules/data/gateway/postgres/postgres.h"

namespace heptane::data {

const std::vector<config::Binding<postgres::PostgresOptions>>& postgres_keys();
void register_postgres(const postgres::PostgresCounters& counters, Telemetry& telemetry);

}  // namespace heptane::data
