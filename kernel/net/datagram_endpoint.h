// One address for datagrams: the socket, its session, and the context between them. A bounded number of datagrams is looked
// at in a turn; the others wait in the system's buffer, which drops what does not fit. Internal to kernel/net; the loop's thread.
#pragma once

#include <memory>

#include "kernel/net/datagrams.h"
#include "kernel/net/loop_core.h"

namespace heptane::net {

class DatagramEndpoint final : public DatagramContext, public DatagramEvents {
 public:
  DatagramEndpoint(LoopCore& core, DatagramProtocol& protocol, std::unique_ptr<DatagramSocket> socket, SessionId id,
                   uint16_t index);
  ~DatagramEndpoint() override;
  DatagramEndpoint(const DatagramEndpoint&) = delete;
  DatagramEndpoint& operator=(const DatagramEndpoint&) = delete;

  void open();
  bool readable() const { return readable_; }
  void process();  // one turn's share of what is there
  void deliver(RequestId request, const Reply& reply);
  void deliver_timer(SessionTimerId timer) { session_->on_timer(timer, *this); }
  size_t outstanding() const { return outstanding_; }

  void on_datagrams() override { readable_ = true; }

  bool send(const Address& to, Bytes payload) override;
  bool submit(RequestId request, Submission submission) override;
  bool query(RequestId request, QueryRequest query) override;
  SessionTimerId arm(int64_t delay_ns) override;
  void cancel(SessionTimerId timer) override;
  int64_t monotonic_ns() const override { return core_.clock.monotonic_ns(); }
  int64_t utc_ns() const override { return core_.clock.utc_ns(); }
  SessionId id() const override { return id_; }
  const Address& local() const override { return socket_->local(); }

 private:
  bool send_request(ShardRequest&& request);

  LoopCore& core_;
  DatagramProtocol& protocol_;
  std::unique_ptr<DatagramSocket> socket_;
  std::unique_ptr<DatagramSession> session_;
  const SessionId id_;
  const uint16_t index_;
  uint32_t outstanding_ = 0;
  bool readable_ = false;
};

}  // namespace heptane::net
