// The keys of [sql], and what they set. Fixed at start.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernel/base/telemetry.h"
#include "kernel/config/key.h"
#include "modules/data/worker/sql/sql_engine.h"

namespace heptane::data {

struct SqlOptions {
  bool enabled = true;
  std::string library;
  int64_t memory_bytes = int64_t{256} << 20;
  int64_t threads = 2;
  int64_t statement_timeout_ns = int64_t{30} * 1'000'000'000;
  int64_t rows_max = 1'000'000;
  int64_t export_bytes_max = int64_t{1} << 30;
  std::vector<std::string> streams = {"*"};
};

const std::vector<config::Binding<SqlOptions>>& sql_keys();
sql::EngineOptions engine_options(const SqlOptions& options);
void register_sql(const sql::SqlEngine& engine, Telemetry& telemetry);

}  // namespace heptane::data
