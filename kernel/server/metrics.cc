#include "kernel/server/metrics.h"

#include <algorithm>

#include "kernel/base/version.h"
#include "kernel/server/server.h"

namespace heptane::server {

namespace {

template <class T>
Telemetry::Value value_of(const std::atomic<T>& value) {
  return [&value] { return static_cast<double>(value.load(std::memory_order_relaxed)); };
}

Telemetry::Value value_of(const net::Counter& counter) {
  return [&counter] { return static_cast<double>(counter.value()); };
}

Telemetry::Value seconds_of(const std::atomic<int64_t>& ns) {
  return [&ns] { return static_cast<double>(ns.load(std::memory_order_relaxed)) / 1e9; };
}

const char* reason_name(net::CloseReason reason) {
  switch (reason) {
    case net::CloseReason::peer_closed: return "peer_closed";
    case net::CloseReason::peer_reset: return "peer_reset";
    case net::CloseReason::session_closed: return "session_closed";
    case net::CloseReason::protocol_error: return "protocol_error";
    case net::CloseReason::limit: return "limit";
    case net::CloseReason::deadline: return "deadline";
    case net::CloseReason::shutdown: return "shutdown";
  }
  return "other";
}

void register_start(Server& server, Telemetry& telemetry) {
  telemetry.gauge("heptane_build_info", "1; the version is the label", [] { return 1.0; },
                  {{"version", std::string(kVersion)}});
  telemetry.gauge("heptane_ready", "1 while the server serves: 0 while it starts or stops",
                  [&server] { return server.readiness().ready ? 1.0 : 0.0; });
  telemetry.gauge("heptane_start_done_bytes", "Restored or replayed so far; 0 when ready",
                  [&server] { return static_cast<double>(server.readiness().done); });
  telemetry.gauge("heptane_start_expected_bytes", "To restore or replay at most; 0 when ready",
                  [&server] { return static_cast<double>(server.readiness().total); });
  telemetry.gauge("heptane_start_duration_seconds", "From the start to ready; 0 until then",
                  [&server] { return static_cast<double>(server.start_ns()) / 1e9; });
}

void register_io(Server& server, Telemetry& telemetry) {
  const net::IoCounters& io = server.io().counters();
  telemetry.gauge("heptane_connections", "Open connections", value_of(io.open));
  telemetry.counter("heptane_connections_accepted_total", "Connections accepted", value_of(io.accepted));
  telemetry.counter("heptane_connections_refused_total", "Connections closed at once: over the limit",
                    value_of(io.refused));
  for (size_t i = 0; i < net::kCloseReasons; ++i) {
    const auto reason = static_cast<net::CloseReason>(i);
    telemetry.counter("heptane_connections_closed_total", "Connections closed, by reason",
                      value_of(io.closed_for(reason)), {{"reason", reason_name(reason)}});
  }
  telemetry.counter("heptane_received_bytes_total", "Bytes received on connections", value_of(io.bytes_in));
  telemetry.counter("heptane_sent_bytes_total", "Bytes sent on connections", value_of(io.bytes_out));
  telemetry.counter("heptane_shard_requests_total", "Requests sent to the shard", value_of(io.requests));
  telemetry.counter("heptane_requests_overloaded_total", "Requests that found no room on their way to the shard",
                    value_of(io.overloaded));
  telemetry.counter("heptane_replies_dropped_total", "Replies for connections that were gone",
                    value_of(io.replies_dropped));
  telemetry.counter("heptane_input_stops_total", "Times a connection was not read from, for lack of room",
                    value_of(io.input_stops));
  telemetry.gauge("heptane_unanswered_requests", "Requests for which the shard owes an answer",
                  [&server] { return static_cast<double>(server.io().unanswered()); });
  telemetry.gauge("heptane_request_memory_bytes", "Payloads on their way to the shard",
                  value_of(server.link().request_bytes));
}

void register_http(Server& server, Telemetry& telemetry) {
  const http::HttpCounters& counters = server.http_counters();
  for (size_t i = 1; i < http::HttpCounters::kClasses; ++i)
    telemetry.counter("heptane_http_responses_total", "HTTP responses, by class of the status",
                      value_of(counters.responses[i]), {{"class", std::to_string(i) + "xx"}, {"listener", "admin"}});
}

void register_listeners(Server& server, Telemetry& telemetry) {
  for (const Endpoint& endpoint : server.endpoints())
    telemetry.gauge("heptane_listener_insecure", "1: reachable from beyond loopback without authentication and TLS",
                    [insecure = endpoint.insecure] { return insecure ? 1.0 : 0.0; }, {{"listener", endpoint.name}});
}

void register_shard(Server& server, Telemetry& telemetry) {
  const ShardCounters& counters = server.shard().counters();
  telemetry.counter("heptane_commands_total", "Commands applied and kept", value_of(counters.commands_total));
  telemetry.counter("heptane_commands_refused_total", "Commands answered with a refusal",
                    value_of(counters.refused_total));
  telemetry.counter("heptane_commands_overloaded_total", "Commands refused for lack of memory or disk space",
                    value_of(counters.overloaded_total));
  for (const auto& [module, count] : server.shard().slow_applies())
    telemetry.counter("heptane_slow_applies_total", "Commands whose apply() took longer than its budget",
                      value_of(*count), {{"module", module}});
  telemetry.gauge("heptane_commands_denied", "Commands that ended the server while they were applied, and are refused",
                  [&server] { return static_cast<double>(server.shard().denied_commands()); });
  telemetry.counter("heptane_queries_total", "Queries answered", value_of(counters.queries_total));
  const HeldCommands& held = server.shard().held_commands();
  telemetry.gauge("heptane_commands_held", "Requests that wait for what a command needs of files, or behind one",
                  [&held] { return static_cast<double>(held.held()); });
  telemetry.counter("heptane_commands_held_total", "Commands that waited for the disk before they were applied",
                    [&held] { return static_cast<double>(held.waited_total()); });
  telemetry.counter("heptane_commands_held_refused_total",
                    "Requests refused because too many wait for the disk, or because it did not answer",
                    [&held] { return static_cast<double>(held.refused_total()); });
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
  telemetry.gauge(
      "heptane_upgrades_available", "Machines with a newer logic version than the one the log follows", [&server] {
        const std::vector<MachineVersion> versions = server.shard().versions();
        return static_cast<double>(
            std::count_if(versions.begin(), versions.end(), [](const MachineVersion& v) { return v.upgradable(); }));
      });
  telemetry.gauge("heptane_streams", "Streams",
                  [&server] { return static_cast<double>(server.streams().stream_count()); });
}

void register_reads(Server& server, Telemetry& telemetry) {
  telemetry.counter("heptane_reads_from_memory_total", "Reads of records that waited for no disk",
                    value_of(server.read_counters().from_memory_total));
  telemetry.counter("heptane_reads_by_readers_total", "Reads of records handed to the reader threads",
                    value_of(server.read_counters().by_readers_total));
  telemetry.gauge("heptane_reads_waiting", "Reads of records with the reader threads",
                  [&server] { return static_cast<double>(server.reads_waiting()); });
}

void register_auth(Server& server, Telemetry& telemetry) {
  telemetry.counter("heptane_authentications_failed_total", "Passwords, tokens and proofs that were wrong",
                    [&server] { return static_cast<double>(server.gate().incidents().failed_total()); });
  telemetry.counter("heptane_requests_denied_total", "Requests that no role allowed",
                    [&server] { return static_cast<double>(server.gate().incidents().denied_total()); });
}

void register_quotas(Server& server, Telemetry& telemetry) {
  const net::Quotas& quotas = server.quotas();
  telemetry.counter("heptane_throttled_total", "Times a client was told to wait, or was slowed down, by a quota",
                    value_of(quotas.throttled()));
  telemetry.counter("heptane_throttled_seconds_total", "How long clients had to wait by quotas",
                    [&quotas] { return static_cast<double>(quotas.throttled_ns().value()) / 1e9; });
  telemetry.counter("heptane_quota_connections_refused_total", "Connections of a user above quotas.connections",
                    value_of(quotas.connections_refused()));
}

void register_machine(const StateMachine& machine, Telemetry& telemetry) {
  telemetry.gauge("heptane_machine_memory_bytes", "Memory of a machine's state",
                  [&machine] { return static_cast<double>(machine.memory_bytes()); },
                  {{"machine", std::string(machine.name())}});
}

void register_log(Server& server, Telemetry& telemetry) {
  telemetry.counter("heptane_log_batches_total", "Batches written and synced",
                    [&server] { return static_cast<double>(server.committer().batches_total()); });
  telemetry.counter("heptane_log_bytes_total", "Bytes of batches written and synced",
                    [&server] { return static_cast<double>(server.committer().bytes_total()); });
  telemetry.histogram("heptane_commit_duration_seconds", "Write and sync of one batch", server.commit_seconds());
  telemetry.histogram("heptane_commit_batch_bytes", "Size of one batch", server.batch_bytes());
  telemetry.counter("heptane_log_segments_inline_total", "Segments the commit had to make because none was ready",
                    [&server] { return static_cast<double>(server.segment_log().segments_made_inline_total()); });
  telemetry.gauge("heptane_log_prepared_bytes", "Room in the log that needs no more disk space",
                  [&server] { return static_cast<double>(server.log().prepared_bytes()); });
  telemetry.gauge("heptane_log_replayed_bytes", "Log that the last start replayed",
                  [&server] { return static_cast<double>(server.recovery().bytes); });
}

void register_snapshots(Server& server, Telemetry& telemetry) {
  const snapshot::SnapshotCounters& counters = server.snapshots().counters();
  telemetry.counter("heptane_snapshots_total", "Snapshots published", value_of(counters.taken_total));
  telemetry.counter("heptane_snapshots_failed_total", "Snapshots given up", value_of(counters.failed_total));
  telemetry.counter("heptane_snapshots_stuck_total", "Snapshots given up because their file did not grow any more",
                    value_of(counters.stuck_total));
  const SnapshotCheckCounters& checks = server.snapshot_check().counters();
  const auto compared = [&](const char* result, const std::atomic<uint64_t>& total) {
    telemetry.counter("heptane_snapshot_comparisons_total", "Comparisons of two snapshots since the start, by result",
                      value_of(total), {{"result", result}});
  };
  compared("same", checks.same_total);
  compared("different", checks.differing_total);
  compared("none", checks.failed_total);
  telemetry.gauge("heptane_snapshot_last_sequence", "Sequence of the last snapshot", value_of(counters.last_sequence));
  telemetry.gauge("heptane_snapshot_last_bytes", "Size of the last snapshot", value_of(counters.last_bytes));
  telemetry.gauge("heptane_snapshot_last_pause_seconds", "How long the last snapshot stopped the shard",
                  seconds_of(counters.last_pause_ns));
}

void register_blobs(Server& server, Telemetry& telemetry) {
  const blobs::BlobStore& store = server.blob_store();
  telemetry.gauge("heptane_blobs", "Blobs with a file", [&store] { return static_cast<double>(store.stored()); });
  telemetry.gauge("heptane_blobs_bytes", "Size of all blobs",
                  [&store] { return static_cast<double>(store.stored_bytes()); });
  telemetry.gauge("heptane_blob_uploads", "Uploads of blobs under way",
                  [&store] { return static_cast<double>(store.uploads()); });
  telemetry.counter("heptane_blobs_removed_total", "Files of blobs that nothing named any more",
                    [&server] { return static_cast<double>(server.blob_collector().removed_total()); });
  telemetry.gauge("heptane_work_waiting", "Jobs of connections with the worker thread",
                  [&server] { return static_cast<double>(server.work_waiting()); });
}

void register_archive(Server& server, Telemetry& telemetry) {
  const archive::ArchiverCounters& counters = server.archiver().counters();
  telemetry.counter("heptane_archive_segments_total", "Archive segments made", value_of(counters.archived_total));
  telemetry.counter("heptane_archive_rewritten_total", "Archive segments written again",
                    value_of(counters.rewritten_total));
  telemetry.counter("heptane_archive_dropped_total", "Archive segments in which nothing lived any more",
                    value_of(counters.dropped_total));
  telemetry.counter("heptane_archive_failed_total", "Archive segments given up", value_of(counters.failed_total));
  telemetry.gauge("heptane_archive_bytes", "Size of all archive segments", value_of(counters.bytes));
}

}  // namespace

void register_start_metrics(Server& server, Telemetry& telemetry) {
  register_start(server, telemetry);
  register_io(server, telemetry);
  register_http(server, telemetry);
  if (server.options().process_metrics) register_process_metrics(telemetry);
}

void register_metrics(Server& server, Telemetry& telemetry) {
  register_shard(server, telemetry);
  telemetry.gauge("heptane_machine_memory_bytes", "Memory of a machine's state",
                  [&server] { return static_cast<double>(server.shard().kernel().memory_bytes()); },
                  {{"machine", "kernel"}});
  register_machine(server.streams(), telemetry);
  register_machine(server.users(), telemetry);
  register_machine(server.blobs(), telemetry);
  for (const std::unique_ptr<Module>& module : server.modules())
    for (const StateMachine* machine : module->machines()) register_machine(*machine, telemetry);
  register_log(server, telemetry);
  register_snapshots(server, telemetry);
  register_archive(server, telemetry);
  register_blobs(server, telemetry);
  register_reads(server, telemetry);
  register_auth(server, telemetry);
  register_quotas(server, telemetry);
  register_listeners(server, telemetry);
}

}  // namespace heptane::server
