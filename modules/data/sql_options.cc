#include "modules/data/sql_options.h"

namespace heptane::data {

namespace {

using config::bind;
using config::Type;

constexpr int64_t kMiB = 1 << 20;
constexpr int64_t kSecond = 1'000'000'000;

std::string wrong_pattern(const std::string& text) {
  const size_t star = text.find('*');
  if (text.empty()) return "it is empty";
  return star == std::string::npos || star + 1 == text.size() ? std::string() : "* stands at its end, or nowhere";
}

}  // namespace

const std::vector<config::Binding<SqlOptions>>& sql_keys() {
  static const std::vector<config::Binding<SqlOptions>> keys = {
      bind<&SqlOptions::enabled>(
          {.name = "sql.enabled", .type = Type::boolean, .help = "SQL over every stream, from its first use on"}),
      bind<&SqlOptions::library>({.name = "sql.library",
                                  .type = Type::text,
                                  .help = "libduckdb.so of DuckDB 1.4.4; empty: lib/ beside the program"}),
      bind<&SqlOptions::memory_bytes>({.name = "sql.memory_bytes",
                                       .type = Type::size,
                                       .help = "What DuckDB takes for all statements and the tables' caches together",
                                       .min = 64 * kMiB,
                                       .max = int64_t{1} << 40}),
      bind<&SqlOptions::threads>({.name = "sql.threads",
                                  .type = Type::integer,
                                  .help = "Statements that run at a time, and DuckDB's own threads",
                                  .min = 1,
                                  .max = 64}),
      bind<&SqlOptions::statement_timeout_ns>({.name = "sql.statement_timeout",
                                               .type = Type::duration,
                                               .help = "A statement that takes longer ends with 57014",
                                               .min = kSecond / 10,
                                               .max = 86'400 * kSecond,
                                               .word = "never",
                                               .word_value = 0}),
      bind<&SqlOptions::rows_max>({.name = "sql.rows_max",
                                   .type = Type::integer,
                                   .help = "An answer with more rows ends with 54000; 0: no limit",
                                   .min = 0}),
      bind<&SqlOptions::export_bytes_max>({.name = "sql.export_bytes_max",
                                           .type = Type::size,
                                           .help = "A parquet export that is larger ends with 53100",
                                           .min = kMiB,
                                           .max = int64_t{1} << 40}),
      bind<&SqlOptions::streams>({.name = "sql.streams",
                                  .type = Type::texts,
                                  .help = "The streams that are tables: names, or beginnings that end in *",
                                  .wrong = wrong_pattern}),
  };
  return keys;
}

sql::EngineOptions engine_options(const SqlOptions& options) {
  sql::EngineOptions engine;
  engine.enabled = options.enabled;
  engine.job_threads = static_cast<size_t>(options.threads);
  engine.rows_max = static_cast<uint64_t>(options.rows_max);
  engine.export_bytes_max = static_cast<uint64_t>(options.export_bytes_max);
  engine.statement_ns_max = options.statement_timeout_ns;
  engine.feed.library = options.library;
  engine.feed.store.memory_bytes = static_cast<uint64_t>(options.memory_bytes);
  engine.feed.store.threads = static_cast<uint32_t>(options.threads);
  engine.feed.store.streams = options.streams;
  return engine;
}

void register_sql(const sql::SqlEngine& engine, Telemetry& telemetry) {
  constexpr double kNsPerSecond = 1e9;
  const sql::Feed& feed = engine.feed();
  telemetry.gauge("heptane_sql_lag_commands", "Commands that the tables of SQL do not show yet; 0 before its first use",
                  [&feed] {
                    const bool begun = feed.state() != sql::Feed::State::idle && feed.durable() > feed.applied();
                    return begun ? static_cast<double>(feed.durable() - feed.applied()) : 0.0;
                  });
  telemetry.gauge("heptane_sql_lag_seconds", "For how long the tables of SQL have not shown everything that was there",
                  [&feed] { return static_cast<double>(feed.behind_ns()) / kNsPerSecond; });
  telemetry.gauge("heptane_sql_failed", "1: the tables of SQL cannot be written or opened; the log says why",
                  [&feed] { return feed.state() == sql::Feed::State::failed ? 1.0 : 0.0; });
  telemetry.gauge("heptane_sql_gap_records", "Records that the log no longer held when the tables came to them",
                  [&feed] { return static_cast<double>(feed.gap_records()); });
  telemetry.gauge("heptane_sql_connections", "Clients of the SQL engine",
                  [&engine] { return static_cast<double>(engine.connections()); });
  telemetry.counter("heptane_sql_rebuilds_total", "How often the file of the tables was moved aside and made again",
                    [&feed] { return static_cast<double>(feed.rebuilds()); });
  telemetry.counter("heptane_sql_statements_total", "Statements that were executed",
                    [&engine] { return static_cast<double>(engine.counters().statements.load()); });
  telemetry.counter("heptane_sql_statements_failed_total", "Statements that ended with an error",
                    [&engine] { return static_cast<double>(engine.counters().statements_failed.load()); });
}

}  // namespace heptane::data
