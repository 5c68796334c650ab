// An MQTT connection (3.1, 3.1.1, 5.0): packets in, packets out. CONNECT is the first within kConnectWithinNs; what breaks the
// protocol closes the connection, with the reason in MQTT 5. A session ends with its connection: what is to be kept beyond it
// is the broker's (wills) or the machine's (messages). Owned by one I/O thread.
//
// Limits: a packet's size, kSubscriptionsMax subscriptions, Receive Maximum (kOpenMax in MQTT 3, which has no such word), one
// SUBSCRIBE at a time; while publishes find no room the connection is not read, and closed after kNoRoomNs.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kernel/net/session.h"
#include "modules/iot/gateway/mqtt/broker.h"
#include "modules/iot/gateway/mqtt/inbox.h"
#include "modules/iot/gateway/mqtt/outbox.h"

namespace heptane::iot::mqtt {

// The client's will, as long as it may be published.
struct OwnWill {
  std::string topic;
  std::string payload;
  std::string properties;
  std::optional<uint32_t> expiry_s;
  uint8_t qos = 0;
  bool retain = false;
};
// A filter whose retained messages are being fetched.
struct Walk {
  std::string filter;
  std::string after;
  uint8_t qos = 0;
  uint32_t subscription_id = 0;
  uint16_t levels_min = 0;
};
struct Wanted {
  std::string filter;
  Subscription subscription;
};
// A SUBSCRIBE that waits for its first retained messages.
struct Pending {
  PacketId id = 0;
  std::vector<uint8_t> codes;
  std::vector<Wanted> wanted;
};

class MqttSession final : public net::Session, public Subscriber {
 public:
  static constexpr int64_t kConnectWithinNs = 10'000'000'000;
  static constexpr int64_t kNoRoomNs = 30'000'000'000;
  static constexpr size_t kSubscriptionsMax = 1000;
  static constexpr size_t kOpenMax = 10'000;
  static constexpr size_t kStrangersBytesMax = size_t{256} << 10;  // of a CONNECT
  static constexpr size_t kClientIdBytesMax = kClientLimitBytes;

  // `framed`: what is written outside of its own calls needs a timer to leave (a WebSocket's frames are sent at a call's end).
  MqttSession(Broker& broker, bool framed) : broker_(broker), framed_(framed) {}

  void on_open(net::SessionContext& context) override;
  size_t on_bytes(Bytes input, net::SessionContext& context) override;
  void on_reply(RequestId request, const Reply& reply, net::SessionContext& context) override;
  void on_writable(net::SessionContext& context) override;
  void on_timer(net::SessionTimerId timer, net::SessionContext& context) override;
  void on_close(net::CloseReason reason) override;

  SessionId session_id() const override { return context_->id(); }
  std::string_view identity() const override { return identity_.name; }
  void deliver(const MessagePtr& message, const Delivery& delivery) override;
  bool has_window(uint8_t qos) const override { return outbox_.has_window(qos); }
  void published(uint64_t ticket, Reason reason) override;
  void taken_over() override;
  void resume() override;

 private:
  bool five() const { return version_ == Version::v5; }
  void take(const Frame& frame);

  // connecting.cc
  void take_connect(const Frame& frame);
  void refuse_connect(ConnectStage stage, Version version, const Fault& fault);
  Fault check_connect(const Connect& packet);
  Fault authenticate(const Connect& packet);
  Fault check_will(const Will& will);
  void begin(const Connect& packet);
  void write_connack(const Connect& packet, bool assigned);
  void take_disconnect(const Frame& frame);
  void start_keep_alive();
  void check_keep_alive();

  // publishing.cc
  void take_publish(const Frame& frame);
  void publish_once(const Publish& packet, const MessageView& message);
  void publish_with_answer(const Publish& packet, const MessageView& message);
  Fault check_open() const;
  void take_ack(const Frame& frame);
  void write_acks();
  bool may_publish(std::string_view topic);
  void wait_for_room();
  bool may(auth::Verb verb, std::string_view topic);

  // subscribing.cc
  void take_subscribe(const Frame& frame);
  uint8_t judge(const Filter& filter, uint32_t subscription_id, Pending& pending);
  void take_unsubscribe(const Frame& frame);
  void activate(Pending& pending);
  void walk();
  bool ask_retained();
  void take_retained(const Reply& reply);
  void push_retained(const Reply& reply);

  void write(const ByteWriter& out);
  void write_reason(PacketType type, Reason reason);
  void fail(const Fault& fault);
  void end(net::CloseReason reason, const char* why, bool with_will);
  void leave(bool with_will);
  void touched();
  bool in_force() const;
  void revoke();

  Broker& broker_;
  const bool framed_;
  net::SessionContext* context_ = nullptr;
  Version version_ = Version::v311;
  std::string client_id_;
  auth::Identity identity_;
  bool connected_ = false;
  bool entered_ = false;
  bool closed_ = false;
  bool paused_ = false;
  bool kept_asked_ = false;  // it asked for a session that outlives the connection
  std::optional<OwnWill> will_;
  Inbox inbox_;
  Outbox outbox_;
  std::map<std::string, Subscription, std::less<>> subscriptions_;
  std::optional<Pending> pending_;
  std::deque<Walk> walks_;
  Walk walking_;  // the one whose query is under way
  RequestId last_request_ = 0;
  RequestId asked_ = 0;  // the query under way; 0: none
  int64_t keep_alive_ns_ = 0;
  int64_t heard_ns_ = 0;
  net::SessionTimerId timer_ = 0;        // CONNECT's deadline, then the keep-alive
  net::SessionTimerId pause_timer_ = 0;  // 0: not armed
  net::SessionTimerId flush_timer_ = 0;
};

// A message's own properties, as the machine keeps them.
std::string message_properties(const Properties& properties);

}  // namespace heptane::iot::mqtt
