// The operators' listener: health, metrics, and the first part of /api/v1. Everything in the options is fixed before the
// first connection; the functions in it are called on the I/O thread.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kernel/admin/operations.h"
#include "kernel/archive/command_of_record.h"
#include "kernel/archive/explain.h"
#include "kernel/base/telemetry.h"
#include "kernel/blobs/blob_store.h"
#include "kernel/net/http/listener_words.h"
#include "kernel/net/http/session.h"
#include "kernel/streams/view_input.h"

namespace heptane::admin {

constexpr uint16_t kDefaultPort = 7070;

struct Readiness {
  bool ready = false;
  std::string phase;  // what the server is doing meanwhile: `restore`, `replay`, `stopping`
  uint64_t done = 0;  // of `total`, in units of the phase
  uint64_t total = 0;
};

struct SnapshotStatus {
  uint64_t request = 0;      // the number of the one that was just asked for; 0: none was
  uint64_t answered = 0;     // requests up to this number have been dealt with
  bool last_failed = false;  // the newest attempt
  uint64_t taken = 0;        // since the start
  uint64_t failed = 0;       // since the start
  uint64_t bytes = 0;        // of the last one
  Sequence sequence = 0;
};

// Looks into the files of the log. `watermark` is asked on the I/O thread; the others block and run on a worker.
struct LogLooks {
  std::function<Sequence()> watermark;
  std::function<Result<archive::Explanation>(Sequence)> command;
  std::function<Result<Sequence>(const archive::RecordPlace&)> maker;  // the command that made a record
};

struct AdminOptions {
  std::vector<std::string> hosts;  // besides loopback's names
  http::HttpLimits limits;
  std::function<Readiness()> readiness;              // absent: always ready
  bool wait_until_ready = false;                     // while a start goes on, only health and metrics answer
  http::HttpCounters* counters = nullptr;            // outlives the protocol
  const Telemetry* telemetry = nullptr;              // outlives the protocol; absent: no metrics
  std::shared_ptr<const OperationTable> operations;  // absent: the kernel's own
  std::function<SnapshotStatus(bool ask)> snapshot;  // asks for one, or only looks; absent: no route
  std::optional<LogLooks> looks{};                   // absent: no routes
  blobs::BlobStore* blobs = nullptr;  // outlives the protocol, opened before the first request; absent: no routes
  auth::Gate* gate = nullptr;     // outlives the protocol; absent: nobody is asked who he is, and there are no users
  net::Quotas* quotas = nullptr;  // outlives the protocol; absent: no limits
  const streams::ViewInputs* view_inputs = nullptr;   // outlive the protocol; absent: nobody appends to views
  std::function<void(http::HttpRouter&)> add_routes;  // the modules' endpoints; may be absent
};

class AdminProtocol final : public net::Protocol {
 public:
  explicit AdminProtocol(AdminOptions options);

  std::string_view name() const override { return protocol_.name(); }
  std::unique_ptr<net::Session> open(const net::Address& remote) override { return protocol_.open(remote); }
  size_t message_limit_bytes() const override { return protocol_.message_limit_bytes(); }
  int64_t idle_timeout_ns() const override { return protocol_.idle_timeout_ns(); }
  std::span<const std::string_view> alpn() const override { return http::kHttpAlpn; }
  std::string_view refusal() const override { return http::kHttpRefusal; }

 private:
  http::HttpProtocol protocol_;
};

// The parts, for listeners of other names.
void add_health_routes(http::HttpRouter& router, std::function<Readiness()> readiness, const Telemetry* telemetry);
void add_live_metrics_route(http::HttpRouter& router, const Telemetry& telemetry);  // which outlives the router
void add_explain_routes(http::HttpRouter& router, const LogLooks& looks);
void add_transact_route(http::HttpRouter& router, std::shared_ptr<const OperationTable> operations);
void add_snapshot_routes(http::HttpRouter& router, std::function<SnapshotStatus(bool)> snapshot);
void add_stream_routes(http::HttpRouter& router, const streams::ViewInputs* view_inputs = nullptr);
void add_auth_routes(http::HttpRouter& router, auth::Gate& gate);
void add_upgrade_routes(http::HttpRouter& router);
void add_read_route(http::HttpRouter& router);
void add_append_route(http::HttpRouter& router, const streams::ViewInputs* view_inputs = nullptr);
void add_tail_route(http::HttpRouter& router);
// The OpenAPI document of the routes that are there, its own included: the last to be added.
void add_openapi_route(http::HttpRouter& router);
void describe_routes(http::HttpRouter& router);  // those that are added elsewhere, if they are there

}  // namespace heptane::admin
