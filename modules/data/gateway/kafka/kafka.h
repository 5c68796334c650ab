// The Kafka protocol of one listener. Sessions speak it without I/O (kernel/net/session.h); what they ask goes to the
// streams machine. Options change only between two turns; counters may be read from any thread, the rest belongs to the I/O threads.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "kernel/auth/sasl.h"
#include "kernel/net/quota.h"
#include "kernel/net/session.h"
#include "kernel/streams/view_input.h"
#include "modules/data/gateway/kafka/api.h"

namespace heptane::data::kafka {

struct KafkaOptions {
  bool auto_create = true;                       // kafka.auto_create: Metadata that allows it creates unknown topics
  size_t max_request_bytes = size_t{8} << 20;    // kafka.max_request_bytes: a longer request closes the connection
  size_t max_record_batch_bytes = 1'048'588;     // kafka.max_record_batch_bytes: a longer batch is refused (error 10)
  size_t max_fetch_bytes = size_t{16} << 20;     // records in one Fetch response, whatever the client asks
  net::Address advertised;                       // where clients shall connect; empty host: where they did
  std::string cluster_id;                        // the log id as text
  int32_t leader_epoch = 0;                      // the shard's epoch
  uint16_t listener = 0;                         // origin that is logged with each command
  auth::Authenticator* authenticator = nullptr;  // null: clients need not say who they are. Outlives the protocol
  net::Quotas* quotas = nullptr;                 // null: no limits. Outlive the protocol
  const streams::ViewInputs* view_inputs = nullptr;  // null: nobody appends to views. Outlive the protocol
  int64_t default_retention_ms = -1;                 // streams.retention_ms, for who asks
  int64_t default_retention_bytes = -1;
  int64_t idle_timeout_ns = 600'000'000'000;
};

struct KafkaCounters {
  std::atomic<uint64_t> requests{0};
  std::array<std::atomic<uint64_t>, kApis.size()> requests_by_api{};  // in the order of kApis; those that are known
  std::atomic<uint64_t> record_batches{0};                            // appended or repeated
  std::atomic<uint64_t> record_batches_refused{0};                    // answered with an error
  std::atomic<uint64_t> malformed_requests{0};                        // closed: a request that cannot be read
  std::atomic<uint64_t> oversized_requests{0};                        // closed: length negative or over the limit
  std::atomic<uint64_t> unknown_apis{0};                              // closed: no such API key here
  std::atomic<uint64_t> unsupported_versions{0};                      // answered with error 35 or closed
  std::atomic<uint64_t> requests_past_deadline{0};                    // no answer came in time
  std::atomic<uint64_t> unauthenticated_requests{0};                  // closed: before the client had proved who it is
  std::atomic<uint64_t> failed_authentications{0};
  std::atomic<uint64_t> over_quota{0};  // closed: more connections than the principal may have
};

class KafkaProtocol final : public net::Protocol {
 public:
  explicit KafkaProtocol(KafkaOptions options) : options_(std::move(options)) {}

  std::string_view name() const override { return "kafka"; }
  std::unique_ptr<net::Session> open(const net::Address& remote) override;
  size_t message_limit_bytes() const override { return options_.max_request_bytes + 4; }
  int64_t idle_timeout_ns() const override { return options_.idle_timeout_ns; }

  const KafkaOptions& options() const { return options_; }
  // Limits from now on. On the I/O thread, between two turns.
  void set_options(KafkaOptions options) { options_ = std::move(options); }
  KafkaCounters& counters() { return counters_; }

 private:
  KafkaOptions options_;
  KafkaCounters counters_;
};

}  // namespace heptane::data::kafka
