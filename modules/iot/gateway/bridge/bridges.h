// All bridges, as the configuration says: those that are new are begun, those that are gone or said otherwise are stopped; a stopped
// one's session here stays until it expires. They share one session without a peer as their way to the shard.
//
// One that is stopped stays in memory: the I/O loop may know its protocol until the server ends. The I/O thread's.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "kernel/net/session.h"
#include "modules/iot/gateway/bridge/bridge.h"

namespace heptane::iot::bridge {

class Bridges final : public Ways {
 public:
  Bridges(mqtt::Broker& broker, Dialer dialer, std::string via)
      : broker_(broker), dialer_(std::move(dialer)), via_(std::move(via)) {}

  // What the configuration says.
  void want(std::vector<WantedBridge> wanted);
  // Of those that are wanted, by their names.
  std::vector<BridgeFacts> facts() const;
  const BridgeCounters& counters() const { return counters_; }

  // The resident session's side.
  void attach(net::SessionContext& context);
  void detach() { context_ = nullptr; }
  void shut_down();
  void on_reply(RequestId request, const Reply& reply);
  void on_records(RequestId request, const net::RecordsRead& records);
  void on_timer(net::SessionTimerId timer);

  // Ways
  bool submit(Submission submission, Replied done) override;
  bool query(QueryRequest query, Replied done) override;
  bool read(ReadRequest read, Read done) override;
  net::SessionTimerId arm(int64_t delay_ns, std::function<void()> fire) override;
  void cancel(net::SessionTimerId timer) override;
  int64_t monotonic_ns() const override { return context_ == nullptr ? 0 : context_->monotonic_ns(); }
  int64_t utc_ns() const override { return context_ == nullptr ? 0 : context_->utc_ns(); }

 private:
  void follow();

  mqtt::Broker& broker_;
  const Dialer dialer_;
  const std::string via_;
  BridgeCounters counters_;
  std::vector<WantedBridge> wanted_;
  std::map<std::string, std::unique_ptr<Bridge>> bridges_;
  std::vector<std::unique_ptr<Bridge>> stopped_;
  net::SessionContext* context_ = nullptr;
  RequestId last_request_ = 0;
  std::map<RequestId, Replied> replies_;
  std::map<RequestId, Read> reads_;
  std::map<net::SessionTimerId, std::function<void()>> timers_;
};

class BridgesProtocol final : public net::Protocol {
 public:
  explicit BridgesProtocol(Bridges& bridges) : bridges_(bridges) {}
  std::string_view name() const override { return "bridges"; }
  std::unique_ptr<net::Session> open(const net::Address& remote) override;
  size_t message_limit_bytes() const override { return 1; }

 private:
  Bridges& bridges_;
};

}  // namespace heptane::iot::bridge
