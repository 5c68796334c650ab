#include "modules/data/postgres_options.h"

namespace heptane::data {

using config::bind;
using config::Type;
using postgres::PostgresCounters;
using postgres::PostgresOptions;

namespace {

constexpr int64_t kMiB = 1 << 20;

Telemetry::Value value_of(const std::atomic<uint64_t>& value) {
  return [&value] { return static_cast<double>(value.load(std::memory_order_relaxed)); };
}

}  // namespace

const std::vector<config::Binding<PostgresOptions>>& postgres_keys() {
  // Above the longest query, which is a MiB.
  static const std::vector<config::Binding<PostgresOptions>> keys = {
      bind<&PostgresOptions::max_message_bytes>({.name = "postgres.max_message_bytes",
                                                 .type = Type::size,
                                                 .help = "A longer message ends the connection, refused at its length",
                                                 .min = 2 * kMiB,
                                                 .max = 64 * kMiB,
                                                 .reloadable = true}),
  };
  return keys;
}

void register_postgres(const PostgresCounters& counters, Telemetry& telemetry) {
  telemetry.counter("heptane_postgres_statements_total", "Statements that were served or refused",
                    value_of(counters.statements));
  telemetry.counter("heptane_postgres_statements_failed_total", "Statements and messages answered with an error",
                    value_of(counters.statements_failed));
  telemetry.counter("heptane_postgres_cancel_requests_total", "Requests to cancel a statement",
                    value_of(counters.cancel_requests));
  telemetry.counter("heptane_postgres_cancel_requests_unknown_total", "Those of them whose key was nobody's",
                    value_of(counters.cancel_requests_unknown));
  const auto rejected = [&](const char* reason, const std::atomic<uint64_t>& counter) {
    telemetry.counter("heptane_postgres_connections_rejected_total", "Connections that were ended, by reason",
                      value_of(counter), {{"reason", reason}});
  };
  rejected("malformed", counters.malformed_messages);
  rejected("oversized", counters.oversized_messages);
  rejected("unauthenticated", counters.unauthenticated);
  rejected("failed_authentication", counters.failed_authentications);
  rejected("over_quota", counters.over_quota);
}

}  // namespace heptane::data
