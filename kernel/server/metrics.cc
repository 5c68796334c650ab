#include "kernel/server/metrics.h"

#include "kernel/server/server.h"

namespace heptane::server {

namespace {

template <class T>
Telemetry::Value value_of(const std::atomic<T>& value) {
  return [&value] { return static_cast<double>(value.load(std::memory_order_relaxed)); };
}

void register_shard(Server& server, Telemetry& telemetry) {
  const ShardCounters& counters = server.shard().counters();
  telemetry.counter("heptane_commands_total", "Commands applied and kept", value_of(counters.commands_total));
  telemetry.counter("heptane_commands_refused_total", "Commands answered with a refusal",
                    value_of(counters.refused_total));
  telemetry.counter("heptane_queries_total", "Queries answered", value_of(counters.queries_total));
  telemetry.counter("heptane_reads_total", "Reads of records answered", value_of(counters.reads_total));
  telemetry.gauge("heptane_last_sequence", "Sequence of the last command applied",
                  [&server] { return static_cast<double>(server.shard().last_applied()); });
  telemetry.gauge("heptane_watermark_sequence", "Highest sequence known synced",
                  [&server] { return static_cast<double>(server.committer().watermark()); });
  telemetry.gauge("heptane_epoch", "Starts of the shard",
                  [&server] { return static_cast<double>(server.shard().epoch()); });
  telemetry.gauge("heptane_disk_full", "1 while new records are refused for lack of disk space",
                  [&server] { return server.shard().disk_full() ? 1.0 : 0.0; });
  telemetry.gauge("heptane_clock_alarm", "1 while UTC is more than an hour away from log time",
                  [&server] { return server.shard().time_alarmed() ? 1.0 : 0.0; });
  telemetry.gauge("heptane_streams", "Streams",
                  [&server] { return static_cast<double>(server.streams().stream_count()); });
  telemetry.gauge("heptane_machine_memory_bytes", "Memory of a machine's state",
                  [&server] { return static_cast<double>(server.streams().memory_bytes()); }, {{"machine", "streams"}});
}

}  // namespace

void register_metrics(Server& server, Telemetry& telemetry) {
  register_shard(server, telemetry);
  telemetry.counter("heptane_log_batches_total", "Batches written and synced",
                    [&server] { return static_cast<double>(server.committer().batches_total()); });
  telemetry.counter("heptane_log_bytes_total", "Bytes of batches written and synced",
                    [&server] { return static_cast<double>(server.committer().bytes_total()); });
  telemetry.gauge("heptane_connections", "Open connections",
                  [&server] { return static_cast<double>(server.io().connections()); });
  telemetry.counter("heptane_reads_from_memory_total", "Reads of records that waited for no disk",
                    value_of(server.read_counters().from_memory_total));
  telemetry.counter("heptane_reads_by_readers_total", "Reads of records handed to the reader threads",
                    value_of(server.read_counters().by_readers_total));
  telemetry.gauge("heptane_reads_waiting", "Reads of records with the reader threads",
                  [&server] { return static_cast<double>(server.reads_waiting()); });
  telemetry.counter("heptane_authentications_failed_total", "Passwords, tokens and proofs that were wrong",
                    [&server] { return static_cast<double>(server.gate().incidents().failed_total()); });
  telemetry.counter("heptane_requests_denied_total", "Requests that no role allowed",
                    [&server] { return static_cast<double>(server.gate().incidents().denied_total()); });
  telemetry.counter("heptane_snapshots_total", "Snapshots published",
                    value_of(server.snapshots().counters().taken_total));
  telemetry.counter("heptane_snapshots_failed_total", "Snapshots given up",
                    value_of(server.snapshots().counters().failed_total));
}

}  // namespace heptane::server
