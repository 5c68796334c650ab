// PostgreSQL's protocol 3.0 on one listener: what psql, drivers and dashboards read streams with. Sessions speak it without
// I/O (kernel/net/session.h); what a statement asks goes to the SQL engine (domain/sql/engine.h). Options change only between
// two turns; counters may be read and statements cancelled from any thread, the rest belongs to the I/O threads.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>

#include "kernel/auth/sasl.h"
#include "kernel/net/quota.h"
#include "kernel/net/session.h"
#include "modules/data/domain/sql/engine.h"

namespace heptane::data::postgres {

class Cancellation;

struct PostgresOptions {
  size_t max_message_bytes =
      size_t{8} << 20;            // postgres.max_message_bytes: a longer message ends the connection (54000)
  sql::Limits limits;             // of each statement
  sql::Engine* engine = nullptr;  // null: every query fails and says so. Outlives the protocol
  auth::Authenticator* authenticator = nullptr;  // null: clients need not say who they are. Outlives the protocol
  net::Quotas* quotas = nullptr;                 // null: no limits. Outlive the protocol
  std::function<std::string(size_t)> random;  // bytes for the keys that cancel; never called after the protocol's end
};

struct PostgresCounters {
  std::atomic<uint64_t> statements{0};
  std::atomic<uint64_t> statements_failed{0};
  std::atomic<uint64_t> cancel_requests{0};
  std::atomic<uint64_t> cancel_requests_unknown{0};  // no such key
  std::atomic<uint64_t> malformed_messages{0};       // the connection was closed
  std::atomic<uint64_t> oversized_messages{0};       // likewise
  std::atomic<uint64_t> unauthenticated{0};          // closed before they had proved who they are
  std::atomic<uint64_t> failed_authentications{0};
  std::atomic<uint64_t> over_quota{0};  // closed: more connections than the principal may have
};

// What a client must know to cancel a statement of another connection.
struct CancelKey {
  uint32_t process_id = 0;
  uint32_t secret = 0;
};

class PostgresProtocol final : public net::Protocol {
 public:
  explicit PostgresProtocol(PostgresOptions options) : options_(std::move(options)) {}

  std::string_view name() const override { return "postgres"; }
  std::unique_ptr<net::Session> open(const net::Address& remote) override;
  size_t message_limit_bytes() const override { return options_.max_message_bytes + 1; }
  std::span<const std::string_view> alpn() const override;
  std::string_view refusal() const override;

  const PostgresOptions& options() const { return options_; }
  void set_options(PostgresOptions options) { options_ = std::move(options); }
  PostgresCounters& counters() { return counters_; }

  // The sessions whose statements can be cancelled.
  CancelKey enter(std::shared_ptr<Cancellation> cancellation);
  void leave(const CancelKey& key);
  // A key that is nobody's does nothing.
  void cancel(const CancelKey& key);

 private:
  struct Cancellable {
    uint32_t secret = 0;
    std::shared_ptr<Cancellation> cancellation;
  };

  PostgresOptions options_;
  PostgresCounters counters_;
  std::mutex mutex_;
  std::unordered_map<uint32_t, Cancellable> cancellable_;  // by process id
  uint32_t last_process_id_ = 0;
};

}  // namespace heptane::data::postgres
