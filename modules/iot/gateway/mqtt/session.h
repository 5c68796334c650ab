// An MQTT connection (3.1, 3.1.1, 5.0): packets in, packets out. CONNECT is the first and comes in time; what breaks the
// protocol closes the connection, with the reason in MQTT 5. A session ends with its connection, or is a durable one, which the
// machine has (session_api.h): then CONNECT, SUBSCRIBE, UNSUBSCRIBE, PUBREL and the client's PUBREC are answered when the
// machine's part of it is synced, and QoS 1 and 2 come out of its queue (kept_outbox.h). Owned by one I/O thread.
//
// Limits (MqttOptions): a packet's size, a topic's, subscriptions, Receive Maximum (kOpenMax in MQTT 3, which has no such word), one
// SUBSCRIBE or UNSUBSCRIBE at a time; while publishes find no room the connection is not read, and closed after a while.
#pragma once

#include <boost/container/flat_map.hpp>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kernel/net/session.h"
#include "modules/iot/gateway/mqtt/broker.h"
#include "modules/iot/gateway/mqtt/inbox.h"
#include "modules/iot/gateway/mqtt/kept_outbox.h"
#include "modules/iot/gateway/mqtt/kept_walks.h"
#include "modules/iot/gateway/mqtt/outbox.h"
#include "modules/iot/gateway/mqtt/publisher_rights.h"

namespace heptane::iot::mqtt {

// The client's will, as long as it may be published.
struct WillPlace {  // in the machine, where the will is kept
  uint64_t session = 0;
  uint64_t epoch = 0;
};
struct OwnWill {
  std::string topic;
  std::string payload;
  std::string properties;
  std::optional<uint32_t> expiry_s;
  uint8_t qos = 0;
  bool retain = false;
  uint32_t delay_s = 0;
};
// What CONNECT said, for its answer.
struct Greeting {
  bool clean = true;
  bool assigned = false;
  uint32_t expiry_s = 0;  // that the session gets; 0: it ends with the connection
  std::optional<uint32_t> asked_expiry_s;
  uint16_t keep_alive_s = 0;
  uint32_t packet_bytes_max = UINT32_MAX;
  Outbox::Limits limits;
  std::unique_ptr<Proof> proof{};  // while the password is being checked; nothing else is known then
  net::SessionTimerId here = 0;    // then it is computed here; 0: not armed
  RequestId device_asked = 0;      // the machine is asked whose credential it is; 0: it is not
  std::string packet{};            // CONNECT's body, meanwhile
};
// By what a device proved who it is.
struct DeviceProof {
  devices::CredentialRow row;
  net::SessionTimerId expiry = 0;  // 0: not armed
};
// A certificate that is being signed, on a worker: nobody else looks at it meanwhile.
struct ClaimSigning {
  std::shared_ptr<void> room;  // of those that are being signed
  std::shared_ptr<const crypto::CertificateAuthority> authority;
  std::string request;
  std::string serial;
  int64_t now_s = 0;
  int64_t lifetime_s = 0;
  Result<crypto::IssuedCertificate> issued = Error{Errc::internal, "it was not signed", 0};
  void run();
};
// What a claim asked, until it is answered.
struct ClaimRequest {
  static constexpr RequestId kWork = 1ULL << 42;  // of the session's work
  uint64_t ticket = 0;
  std::string topic;
  std::shared_ptr<ClaimSigning> signing{};  // null: not being signed
  crypto::IssuedCertificate certificate{};
  std::string token{};  // of the certificate; empty: a thing is asked for
  RequestId asked = 0;  // the command under way
};
// A filter whose retained messages are being fetched.
struct Walk {
  std::string filter;
  std::string after;
  uint8_t qos = 0;
  uint32_t subscription_id = 0;
  uint16_t levels_min = 0;
  uint64_t kept = 0;  // its number where the session knows how far it is (kept_walks.h); 0: it does not
};
// What is retained could not be read: it is tried again, each time later, up to kReadWithinNs since the first time.
struct ReadAgain {
  net::SessionTimerId timer = 0;  // 0: not armed
  int64_t delay_ns = 0;
  int64_t since_ns = 0;
};
struct Wanted {
  std::string filter;
  Subscription subscription;
  uint64_t walk = 0;  // that its machine hears of; 0: none
};
// Where it was subscribed to what its client may not read any more.
struct Readable {
  std::map<std::string, uint16_t> filters;  // that it may read, with their levels_min
  net::SessionTimerId timer = 0;            // then the others are dropped; 0: they are
};
// A SUBSCRIBE that waits for its first retained messages, in a durable session for the log; an UNSUBSCRIBE that waits for it.
struct Pending {
  PacketId id = 0;
  bool subscribes = true;
  std::vector<uint8_t> codes;
  std::vector<Wanted> wanted;
};

inline constexpr const char* kGoodBye = "the client said good-bye";

// A client that is the server itself: a bridge's side here. It may everything, nobody proves who it is, and its session is a longer
// one: of QoS 0, too (KeptSession::captures).
struct OwnClient {
  uint32_t expiry_s = 0;  // of its session
  uint32_t queue_max = 0;
};
// Such a client's identifier; no other one has one like it.
inline constexpr std::string_view kOwnClients = "$bridge/";

class MqttSession final : public net::Session, public Subscriber {
 public:
  static constexpr int64_t kReadAgainNs = 100'000'000;        // then twice as long each time
  static constexpr int64_t kReadAgainMostNs = 5'000'000'000;  // but not longer
  static constexpr int64_t kReadWithinNs = 30'000'000'000;    // then its client is told
  static constexpr size_t kOpenMax = 10'000;
  static constexpr size_t kStrangersBytesMax = size_t{256} << 10;  // of a CONNECT
  static constexpr size_t kClientIdBytesMax = kClientLimitBytes;

  // `framed`: what is written outside of its own calls needs a timer to leave (a WebSocket's frames are sent at a call's end).
  MqttSession(Broker& broker, bool framed) : broker_(broker), framed_(framed) {}
  MqttSession(Broker& broker, const OwnClient& own)
      : broker_(broker), framed_(false), own_(std::make_unique<const OwnClient>(own)) {}

  void on_open(net::SessionContext& context) override;
  size_t on_bytes(Bytes input, net::SessionContext& context) override;
  void on_reply(RequestId request, const Reply& reply, net::SessionContext& context) override;
  void on_records(RequestId request, const net::RecordsRead& records, net::SessionContext& context) override;
  void on_worked(RequestId request, net::SessionContext& context) override;
  void on_writable(net::SessionContext& context) override;
  void on_stalled(net::SessionContext& context) override;
  void on_timer(net::SessionTimerId timer, net::SessionContext& context) override;
  void on_stop(net::SessionContext& context) override;
  void on_close(net::CloseReason reason) override;

  SessionId session_id() const override { return context_->id(); }
  std::string_view client_id() const override { return client_id_; }
  std::string_view identity() const override { return identity_.name; }
  uint64_t thing_connection() const override { return thing_by_client_ ? thing_connection_ : 0; }
  void deliver(const MessagePtr& message, const Delivery& delivery) override;
  bool has_window(uint8_t qos) const override { return outbox_.has_window(qos, choices); }
  bool may_receive(std::string_view topic) override {
    return !(filters_ || readable_) || (may_receive_now(topic) && still_reads(topic));
  }
  bool is_still_allowed() override;
  void published(uint64_t ticket, Reason reason) override;
  void taken_over() override;
  void credential_changed(const devices::CredentialRow& row) override;
  void credential_gone() override;
  bool yields() const override { return is_claim(); }
  void resume() override;
  bool hold() override;
  void check_keep_alive(int64_t now_ns) override;
  void kept_answer(Keeper::Kind kind, const Reply& reply) override;
  void settled(const Settled& settled) override;
  Durable durable() const override;
  bool hears(std::string_view topic) const override;
  bool ask(const MessageView& message) override;
  void wake_kept() override;
  void pump_kept() override;
  ClientFacts facts() const override;
  void each_subscription(const std::function<void(std::string_view, const Subscription&)>& each) const override;
  void kick(bool with_will) override;

 private:
  // Hides that of topics.h: as far as the configuration lets a client go.
  bool within_limits(std::string_view topic_or_filter) const;
  bool five() const { return version_ == Version::v5; }
  void take(const Frame& frame);

  // connecting.cc
  void take_connect(const Frame& frame);
  void trace_connect(const Connect& packet, const Frame& frame);
  void refuse_connect(ConnectStage stage, Version version, const Fault& fault);
  Fault check_connect(const Connect& packet);
  Fault authenticate(const Connect& packet, const Frame& frame);
  Fault prove(const Connect& packet, const Frame& frame);
  void prove_here_later();
  void prove_here();
  void take_proof(bool ran);
  bool proving() const { return greeting_ && (greeting_->proof || greeting_->device_asked != 0); }
  void admit(const Connect& packet);
  Fault check_will(const Will& will);
  void hold_rights();
  void begin(const Connect& packet);
  Greeting greeting_of(const Connect& packet) const;
  void open_kept();
  void take_opened(const Reply& reply);
  void adopt(const OpenedSession& opened, ChangeFilters& lost, ChangeFilters& changed);
  bool reads(std::string_view topic) const;
  bool still_reads(std::string_view topic) const;
  void begin_volatile();
  void take_rate();
  void write_connack(bool present);
  void take_disconnect(const Frame& frame);
  void start_keep_alive();

  // device_proof.cc
  Fault ask_by_certificate(const Frame& frame);
  Fault ask_by_token(const Connect& packet, const Frame& frame);
  Fault ask_device(devices::CredentialKind kind, const std::string& hash, const Frame& frame);
  void take_device(const Reply& reply);
  void arm_expiry();
  void take_expiry();
  bool credential_is_over() const;
  const devices::Credential::Names* device_roles() const { return device_ ? &device_->row.credential.roles : nullptr; }

  // claim_requests.cc
  bool is_claim() const;
  bool claim_may(auth::Verb verb, std::string_view topic) const;
  Reason use_claim(const MessageView& message, uint64_t ticket);
  void ask_for_certificate(std::string_view payload);
  void take_signed();
  void ask_for_thing(std::string_view by, std::string_view payload);
  void submit_claim(uint16_t type, Buffer payload);
  void take_claim(const Reply& reply);
  void end_claim(Errc error, std::string_view why);
  void end_claim_with(const std::string& payload, bool accepted);
  void reject_claim(const ClaimRequest& request, Errc error, std::string_view why);
  void answer_claim(const ClaimRequest& request, const std::string& payload, bool accepted);

  // publishing.cc
  void take_publish(const Frame& frame);
  void publish_once(const Publish& packet, const MessageView& message);
  void publish_with_answer(const Publish& packet, MessageView& message);
  void passed(const MessageView& message);
  Fault check_open() const;
  void take_ack(const Frame& frame);
  void take_pubrel(PacketId id);
  void write_acks();
  void note_refused(Reason reason);
  void refuse_over_quota(uint64_t ticket);
  bool may_publish(std::string_view topic);
  bool comes_by_queue(const Message& message) const;
  void tell_denied(ToldKind kind, std::string_view subject, bool reserved);
  void wait_for_room();
  void stop_reading();
  void taken_at_last();
  bool may(auth::Verb verb, std::string_view topic);
  bool has_right(auth::Verb verb, std::string_view topic) const;

  // services.cc
  Reason use_service(const MessageView& message, uint64_t ticket);
  void refuse_service(uint64_t ticket, Reason reason);
  std::optional<Delivery> own_delivery(std::string_view topic) const;
  Reason answer_method(const MessageView& message, uint64_t ticket);
  void listen_for_methods(std::string_view filter);
  bool is_own_thing(std::string_view topic) const;
  bool is_own_method(auth::Verb verb, std::string_view topic) const;
  std::string_view thing() const { return thing_by_client_ ? std::string_view(client_id_) : identity_.name; }
  bool is_thing_by_client() const;
  void tell_thing(bool connected);

  // subscribing.cc
  void take_subscribe(const Frame& frame);
  uint8_t judge(const Filter& filter, uint32_t subscription_id, Pending& pending);
  bool may_subscribe(std::string_view own);
  bool is_met(std::string_view own) const;
  bool still_holds(std::string_view filter, const Subscription& subscription) const;
  bool holds_all(const std::vector<Wanted>& wanted) const;
  bool keeps_its_filters() const;
  std::map<std::string, uint16_t> readable_filters() const;
  void narrow_later();
  void narrow();
  void lose(const std::vector<std::string>& filters);
  void narrow_filters(const std::vector<std::string>& filters);
  void withhold();
  uint16_t levels_min_of(std::string_view own) const;
  bool wants(const Walk& walk, std::string_view topic);
  void tell_subscribed(const Wanted& wanted);
  void take_unsubscribe(const Frame& frame);
  void ask_kept(uint16_t type, Pending pending);
  void take_changed(const Reply& reply);
  void activate(Pending& pending);
  void withdraw(Pending& pending);
  void forget_filter(std::string_view filter);
  void walk();
  void read_again_later();
  void forget_walk(const Wanted& wanted);
  bool ask_retained();
  bool ask_sources(const RetainedPage& page);
  void take_sources(const Reply& reply);
  void put_off_walk();
  void take_retained(const Reply& reply);
  void push_retained(const Reply& reply, const RetainedPage& page, Walk& walk);
  bool gives(const Walk& walk, const MessageView& message);
  void push_sys(const Walk& walk);
  uint64_t mark_page(const RetainedPage& page, const std::vector<bool>& given, const Walk& walk, bool end);
  void tell_walked(bool leaves);
  void resume_walks(const OpenedSession& opened);

  void give_back(const MessagePtr& message, const Delivery& delivery);
  void pay(const Frame& frame);
  void slow_down(const Frame& frame);
  bool pause_while_owing(bool is_told);
  void read_on();
  bool slowed() const { return outbox_.known_numbers() != nullptr && outbox_.known_numbers()->rate.timer != 0; }
  void write(const ByteWriter& out, size_t packets = 1) {
    broker_.counters().packets_out.add(packets);
    broker_.counters().bytes_out.add(out.size());
    payer_.went(out.size());
    if (broker_.traces().active()) trace(true, out.view());
    context_->write_copy(out.view());
  }
  void trace(bool out, Bytes packets) {
    broker_.traces().packets(context_->id(), out, packets, version_, context_->utc_ns());
  }
  void note_error(std::string_view what) { broker_.errors().note(client_id_, what, context_->utc_ns()); }
  void write_reason(PacketType type, Reason reason);
  void write_ack(PacketType type, PacketId id, Reason reason);
  void fail(const Fault& fault);
  void end(net::CloseReason reason, const char* why, bool with_will);
  void leave(bool with_will);
  bool may_leave_will();
  void take_narrowing();
  bool publish_stamped_will();
  void leave_kept(bool with_will);
  void leave_will(bool with_will);
  void keep_shared(const std::vector<std::pair<Delivery, MessagePtr>>& shared);
  void pump();
  void check_kept();
  void touched();
  bool in_force();
  bool may_receive_now(std::string_view topic);
  void revoke();
  // A client that is silent for longer is gone (§3.1.2.10).
  int64_t keep_alive_ns() const { return int64_t{keep_alive_s_} * 1'500'000'000; }

  // Many clients do nothing: what they are lies close together, what few need is made when they do.
  Broker& broker_;
  const bool framed_;
  bool captures_ = false;  // what it has at QoS 0 is in its queue
  Version version_ = Version::v311;
  uint16_t keep_alive_s_ = 0;
  uint32_t connected_s_ = 0;  // since 1970; 0: CONNACK has not said so
  net::SessionContext* context_ = nullptr;
  std::string client_id_;
  auth::Identity identity_;
  std::unique_ptr<DeviceProof> device_;          // null: it is no device that a credential proved
  std::unique_ptr<ClaimRequest> claim_request_;  // null: none is under way
  std::unique_ptr<HeldRights> rights_;           // null: it may everything, or has not proved who it is
  std::unique_ptr<const OwnClient> own_;         // null: a client like any
  bool connected_ = false;
  bool entered_ = false;
  bool closed_ = false;
  bool stopping_ = false;
  bool paused_ = false;
  bool filters_ = false;          // a filter reaches beyond what it may read: each message is looked at
  bool revoked_ = false;          // what proved who it is does not count any more
  bool held_ = false;             // what it published is tried again
  bool opening_ = false;          // CONNECT waits for the machine
  bool thing_by_client_ = false;  // the thing that is connected here is called as the client is
  bool kept_asked_ = false;       // it asked for a session that outlives the connection
  bool listens_ = false;          // for methods of its thing
  bool asks_sources_ = false;     // whose a page's messages are; then it is read again
  bool over_quota_ = false;       // the message that came is more than its user may send
  uint32_t last_request_ = 0;
  std::unique_ptr<Greeting> greeting_;     // from CONNECT until CONNACK
  std::optional<uint32_t> last_expiry_s_;  // DISCONNECT said so
  std::unique_ptr<OwnWill> will_;          // null: none
  std::unique_ptr<WillPlace> will_place_;  // of a session that ends with its connection and has a will
  Payer payer_;
  Inbox inbox_;
  Outbox outbox_;
  std::unique_ptr<KeptOutbox> kept_;       // null: the session ends with the connection
  std::unique_ptr<KeptWalks> kept_walks_;  // null: likewise, or the machine's logic does not know them
  boost::container::flat_map<std::string, Subscription, std::less<>> subscriptions_;
  std::unique_ptr<Readable> readable_;  // null: it may read whatever it was subscribed to
  std::unique_ptr<Pending> pending_;
  std::vector<Walk> walks_;                   // the next one first
  std::unique_ptr<Walk> walking_;             // the one whose query is under way
  std::unique_ptr<RetainedSources> sources_;  // of the page that is read; null: of none
  std::unique_ptr<ReadAgain> read_again_;     // null: nothing failed
  RequestId asked_ = 0;                       // the query under way; 0: none
  uint64_t thing_connection_ = 0;             // 0: its CONNECT is not accepted yet
  int64_t heard_ns_ = 0;
  net::SessionTimerId timer_ = 0;        // CONNECT's deadline
  net::SessionTimerId pause_timer_ = 0;  // 0: not armed
  net::SessionTimerId flush_timer_ = 0;
};

// A user as AWS's SDKs say it, without what they append to it.
std::string_view user_without_sdk(std::string_view user);

// Clients' messages do not go there.
// What is published there is asked of a service, or answers it.
bool is_service(std::string_view topic);
// A message's own properties, as the machine keeps them.
std::string message_properties(const Properties& properties);

}  // namespace heptane::iot::mqtt
