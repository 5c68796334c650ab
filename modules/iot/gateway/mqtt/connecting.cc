// CONNECT, DISCONNECT and the keep-alive.

#include <algorithm>

#include "kernel/net/network.h"
#include "kernel/net/peer.h"
#include "modules/iot/gateway/mqtt/session.h"

namespace heptane::iot::mqtt {

namespace {

constexpr int64_t kNsPerSecond = 1'000'000'000;
constexpr uint32_t kOwnAhead = 4'096;          // of the server's own clients
constexpr size_t kCredentialsBytesMax = 1022;  // user and password
constexpr Fault kWrongPassword{Reason::bad_user_or_password, "authentication failed"};

// The raw part behind write_properties' length.
std::string without_length(const ByteWriter& out) {
  ByteReader in(out.view());
  uint32_t length = 0;
  (void)read_variable(in, length);
  return std::string(as_text(in.rest()));
}

// Nothing is dropped from the head of a queue of the other kinds: there the machine need not hear what is sent.
uint32_t ahead_of(const MqttOptions& options) {
  if (queue_full_of(options) != QueueFull::drop_oldest) return UINT32_MAX;
  return std::max<uint32_t>(1, static_cast<uint32_t>(options.queue_max) / 4);
}

}  // namespace

std::string message_properties(const Properties& properties) {
  Properties own;
  own.payload_format = properties.payload_format;
  own.content_type = properties.content_type;
  own.response_topic = properties.response_topic;
  own.correlation_data = properties.correlation_data;
  own.user = properties.user;
  if (own == Properties{}) return {};
  ByteWriter out;
  write_properties(out, own);
  return without_length(out);
}

void MqttSession::take_connect(const Frame& frame) {
  Connect packet;
  ConnectStage stage{};
  Fault fault = decode_connect(frame, packet, stage);
  if (!fault && broker_.traces().active()) trace_connect(packet, frame);
  if (!fault) fault = check_connect(packet);
  if (!fault) fault = authenticate(packet, frame);
  if (closed_ || connected_ || entered_) return;  // its proof was taken at once
  if (fault) return refuse_connect(stage, packet.version, fault);
  if (!proving()) admit(packet);
}

// Whoever it is has proved it.
void MqttSession::admit(const Connect& packet) {
  client_id_ = std::string(packet.client_id);
  hold_rights();
  const Fault fault = packet.will ? check_will(*packet.will) : Fault{};
  if (fault) return refuse_connect(ConnectStage::known, packet.version, fault);
  begin(packet);
}

void MqttSession::hold_rights() {
  auth::Rules* rules = broker_.options().rules;
  if (rules == nullptr || own_) return;
  rights_ = std::make_unique<HeldRights>(broker_.rights().hold(*rules, identity_, client_id_, device_roles()));
}

// Without what is in it: a password may be.
void MqttSession::trace_connect(const Connect& packet, const Frame& frame) {
  version_ = packet.version;
  broker_.traces().connecting(packet.client_id, context_->id());
  ByteWriter head;
  head.u8(static_cast<uint8_t>(static_cast<int>(PacketType::connect) << 4));
  write_variable(head, static_cast<uint32_t>(frame.body.size()));
  trace(false, head.view());
}

// MQTT 3 has words for some refusals alone; what is malformed is closed without any.
void MqttSession::refuse_connect(ConnectStage stage, Version version, const Fault& fault) {
  broker_.counters().malformed.add();
  Connack answer;
  version_ = version;
  if (stage == ConnectStage::wrong_version) version_ = Version::v5;  // 5.0 §3.1.2.2 lets a server answer in its form
  const bool words = five() || (fault.reason != Reason::malformed_packet && fault.reason != Reason::protocol_error);
  if (stage != ConnectStage::unknown && words) {
    answer.code = five() ? static_cast<uint8_t>(fault.reason) : return_code_of(fault.reason);
    ByteWriter out;
    encode(answer, version_, out);
    write(out);
  }
  end(net::CloseReason::protocol_error, fault.why, false);
}

Fault MqttSession::check_connect(const Connect& packet) {
  version_ = packet.version;
  if (packet.properties.authentication_method)
    return {Reason::bad_authentication_method, "enhanced authentication is not offered"};
  if (!own_ && packet.client_id.starts_with(kOwnClients))
    return {Reason::invalid_client_id, "client identifiers below $bridge/ are the server's own"};
  if (packet.client_id.size() > kClientIdBytesMax)
    return {Reason::invalid_client_id, "a client identifier has at most 1,024 bytes"};
  const bool assigns = packet.version == Version::v5 || (packet.version == Version::v311 && packet.clean_start);
  if (packet.client_id.empty() && !assigns)
    return {Reason::invalid_client_id, "a client without an identifier asks for a session to be kept"};
  return {};
}

// By certificate, or by user and password, where a token is a password too, and a device's token as well.
Fault MqttSession::authenticate(const Connect& packet, const Frame& frame) {
  if (own_) {
    identity_.name = packet.client_id;
    return {};
  }
  auth::Authenticator* authenticator = broker_.options().authenticator;
  if (authenticator == nullptr)
    return broker_.options().allow_anonymous ? Fault{}
                                             : Fault{Reason::not_authorised, "nobody can prove who he is here"};
  const auth::Peer peer = net::peer_of(*context_, "mqtt");
  const bool by_sdk_alone = packet.user && !packet.user->empty() && user_without_sdk(*packet.user).empty();
  if (!packet.user || by_sdk_alone) {
    const auto identity = authenticator->by_certificate(peer);
    if (!identity) return ask_by_certificate(frame);
    identity_ = *identity;
    return {};
  }
  const std::vector<std::string_view> mechanisms = authenticator->mechanisms(peer);
  if (std::find(mechanisms.begin(), mechanisms.end(), "PLAIN") == mechanisms.end())
    return {Reason::not_authorised, "passwords are not taken without TLS"};
  if (packet.password && devices::is_device_token(*packet.password)) return ask_by_token(packet, frame);
  return prove(packet, frame);
}

// What must be computed is not computed here: nothing more is read until it is, and CONNECT's deadline goes on.
Fault MqttSession::prove(const Connect& packet, const Frame& frame) {
  const std::string_view password = packet.password.value_or("");
  const std::string_view user = user_without_sdk(*packet.user);
  if (user.size() + password.size() > kCredentialsBytesMax) return kWrongPassword;
  auth::Proving proving = broker_.options().authenticator->prove(user, password, net::peer_of(*context_, "mqtt"));
  if (auto* known = std::get_if<Result<auth::Identity>>(&proving)) {
    if (!*known) return kWrongPassword;
    identity_ = std::move(**known);
    return {};
  }
  auto& work = std::get<std::unique_ptr<auth::PasswordProof>>(proving);
  const auto start = [this] {
    return context_->work(Proof::kRequest, [job = greeting_->proof->job()] { job->run(); });
  };
  greeting_ = std::make_unique<Greeting>();
  greeting_->proof =
      std::make_unique<Proof>(broker_.proofs(), std::move(work), net::network_of(context_->remote()),
                              std::string(as_text(frame.body)), Proof::Calls{start, [this] { prove_here_later(); }});
  context_->pause_input(paused_ = true);
  if (broker_.proofs().enter(*greeting_->proof)) return {};
  greeting_.reset();
  return {Reason::server_busy, "too many passwords are being checked"};
}

// Its turn comes by the end of another connection: its own may have begun to close, and hears of nothing any more then.
void MqttSession::prove_here_later() { greeting_->here = context_->arm(0); }

void MqttSession::prove_here() {
  const bool may = greeting_->proof->proof().may_run_here();
  if (may) greeting_->proof->proof().run();
  take_proof(may);
}

void MqttSession::on_worked(RequestId request, net::SessionContext&) {
  if (closed_) return;
  if (proving() && request == Proof::kRequest) take_proof(true);
  if (claim_request_ && claim_request_->signing && request == ClaimRequest::kWork) take_signed();
}

// CONNECT goes on where it stopped.
void MqttSession::take_proof(bool ran) {
  const std::unique_ptr<Proof> taken = std::move(greeting_->proof);
  Result<auth::Identity> identity = ran ? taken->proof().finish() : Error{Errc::overloaded, "", 0};
  Frame frame;
  frame.type = PacketType::connect;
  frame.body = as_bytes(taken->packet());
  Connect packet;
  ConnectStage stage{};
  const Fault fault = decode_connect(frame, packet, stage);
  if (fault) return refuse_connect(stage, packet.version, fault);  // it was well-formed before
  if (!ran) return refuse_connect(stage, packet.version, {Reason::server_busy, "too many passwords are being checked"});
  if (!identity) return refuse_connect(stage, packet.version, kWrongPassword);
  taken->was_right();
  identity_ = std::move(*identity);
  if (!in_force()) return refuse_connect(stage, packet.version, kWrongPassword);  // since it was asked
  admit(packet);
  if (!closed_ && framed_ && flush_timer_ == 0) flush_timer_ = context_->arm(0);
}

Fault MqttSession::check_will(const Will& will) {
  if (!within_limits(will.topic)) return {Reason::topic_name_invalid, "the will's topic is too long"};
  const bool reserved = broker_.reserves(will.topic);
  if (reserved || !may(auth::Verb::write, will.topic)) {
    tell_denied(ToldKind::denied_will, will.topic, reserved);
    return {Reason::not_authorised, "the will's topic is not this client's to publish to"};
  }
  will_ = std::make_unique<OwnWill>();
  OwnWill& own = *will_;
  own.topic = will.topic;
  own.payload = will.payload;
  own.properties = message_properties(will.properties);
  own.expiry_s = will.properties.message_expiry_s;
  own.qos = will.qos;
  own.retain = will.retain;
  own.delay_s = will.properties.will_delay_s.value_or(0);
  return {};
}

void MqttSession::begin(const Connect& packet) {
  greeting_ = std::make_unique<Greeting>(greeting_of(packet));
  if (greeting_->assigned) {
    client_id_ = broker_.make_client_id(context_->id());
    // One that is kept must be nobody's of an earlier run either.
    if (greeting_->expiry_s > 0 || will_) client_id_ += "-" + std::to_string(context_->utc_ns());
    greeting_->clean = true;
    hold_rights();
  }
  if (broker_.enter(*this) == Broker::Entry::refused)
    return refuse_connect(ConnectStage::known, version_,
                          {Reason::not_authorised, "somebody else has this client identifier"});
  entered_ = true;
  if (!payer_.begin(own_ ? nullptr : broker_.options().quotas, identity_, framed_))
    return refuse_connect(ConnectStage::known, version_,
                          {Reason::quota_exceeded, "more connections than quotas.connections allows"});
  if (device_) broker_.devices().add(identity_.name, context_->id());
  broker_.traces().entered(client_id_, context_->id());
  kept_asked_ = greeting_->asked_expiry_s.value_or(0) > 0;
  if (greeting_->expiry_s == 0 && !will_ && (greeting_->assigned || is_claim() || broker_.keeper().none()))
    return begin_volatile();
  context_->pause_input(paused_ = opening_ = true);
  // The log must know of a will: it is published though the server ends with the connection.
  if (greeting_->expiry_s > 0 || will_) return open_kept();
  broker_.keeper().find(context_->id(), client_id_);
}

Greeting MqttSession::greeting_of(const Connect& packet) const {
  const MqttOptions& options = broker_.options();
  Greeting greeting;
  greeting.clean = packet.clean_start;
  greeting.assigned = packet.client_id.empty();
  greeting.asked_expiry_s = packet.properties.session_expiry_s;
  const uint32_t asked_s = five() ? greeting.asked_expiry_s.value_or(0) : packet.clean_start ? 0 : UINT32_MAX;
  greeting.expiry_s = is_claim() ? 0 : std::min(asked_s, static_cast<uint32_t>(options.max_session_expiry_s));
  if (own_) greeting.expiry_s = own_->expiry_s;
  greeting.keep_alive_s = packet.keep_alive_s;
  greeting.packet_bytes_max = packet.properties.maximum_packet_size.value_or(UINT32_MAX);
  Outbox::Limits& limits = greeting.limits;
  limits.version = version_;
  limits.window =
      packet.properties.receive_maximum.value_or(five() ? UINT16_MAX : static_cast<uint16_t>(options.max_inflight));
  limits.window = std::min<uint32_t>(limits.window, UINT16_MAX - 1);
  limits.queue_max = static_cast<uint32_t>(options.queue_max);
  limits.packet_bytes_max = greeting.packet_bytes_max;
  constexpr uint16_t kAliasesMax = 64;  // each is a topic that is remembered
  limits.alias_max = std::min(packet.properties.topic_alias_maximum.value_or(0), kAliasesMax);
  return greeting;
}

void MqttSession::begin_volatile() {
  opening_ = false;
  connected_ = true;
  outbox_.begin(greeting_->limits, broker_, *context_, payer_);
  write_connack(false);
  resume();
}

void MqttSession::open_kept() {
  const MqttOptions& options = broker_.options();
  OpenSession open;
  open.client = client_id_;
  open.owner = identity_.name;
  open.clean = greeting_->clean;
  open.queue_full = queue_full_of(options);
  open.expiry_s = greeting_->expiry_s;
  open.queue_max = static_cast<uint32_t>(options.queue_max);
  open.ahead = ahead_of(options);
  if (own_) {
    open.captures = true;
    open.queue_max = own_->queue_max;
    open.queue_full = QueueFull::drop_oldest;
    open.ahead = kOwnAhead;
  }
  if (will_) {
    WillView& will = open.will.emplace();
    will.delay_s = will_->delay_s;
    will.message.qos = will_->qos;
    will.message.retain = will_->retain;
    will.message.expiry_s = will_->expiry_s;
    will.message.topic = will_->topic;
    will.message.client = client_id_;
    will.message.properties = will_->properties;
    will.message.payload = will_->payload;
  }
  broker_.keeper().open(context_->id(), open, identity_.principal);
}

void MqttSession::take_opened(const Reply& reply) {
  opening_ = false;
  const Result<OpenedSession> opened =
      reply.ok() ? decode_opened(reply.payload.view()) : Error{*reply.error, reply.message};
  if (!opened) {
    const bool others = opened.error().code == Errc::unauthorised || opened.error().code == Errc::stale;
    will_.reset();
    return refuse_connect(ConnectStage::known, version_,
                          {others ? Reason::not_authorised : Reason::server_unavailable, "there is no session for it"});
  }
  const auto session = static_cast<uint64_t>(reply.numbers[0]);
  const auto epoch = static_cast<uint64_t>(reply.numbers[1]);
  if (!in_force()) {
    broker_.keeper().close({session, epoch, false, {}, opened->sent_upto});
    will_.reset();
    return refuse_connect(ConnectStage::known, version_,
                          {Reason::not_authorised, "what proved who it is does not count any more"});
  }
  if (greeting_->expiry_s == 0 && !opened->present) {
    will_place_ = std::make_unique<WillPlace>(WillPlace{session, epoch});
    return begin_volatile();
  }
  connected_ = true;
  // Its own identifiers lie above those of the session's queue. What the client holds of an earlier connection's is not used
  // again at once.
  constexpr uint64_t kFreshEach = 1'021;
  greeting_->limits.first_id = KeptOutbox::kIds + 1;
  greeting_->limits.skipped_ids =
      static_cast<PacketId>((epoch - 1) * kFreshEach % (uint64_t{UINT16_MAX} - KeptOutbox::kIds));
  greeting_->limits.window = std::min<uint32_t>(greeting_->limits.window, UINT16_MAX - greeting_->limits.first_id);
  outbox_.begin(greeting_->limits, broker_, *context_, payer_);
  KeptOutbox::Start start;
  start.session = session;
  start.epoch = epoch;
  start.sent_upto = opened->sent_upto;
  start.ahead = own_ ? kOwnAhead : ahead_of(broker_.options());
  start.tells = opened->tells;
  start.flush_each = std::max<size_t>(1, static_cast<size_t>(broker_.options().queue_max) / 8);
  for (const OpenedSession::Received& one : opened->received) inbox_.remember(one.id, one.content);
  ChangeFilters lost{session, epoch, {}};
  ChangeFilters changed{session, epoch, {}};
  adopt(*opened, lost, changed);
  if (!lost.wishes.empty()) broker_.keeper().change(0, kUnsubscribe, lost, {});
  if (!changed.wishes.empty()) broker_.keeper().change(0, kSubscribe, changed, identity_.principal);
  if (rights_) start.may_receive = [this](std::string_view topic) { return reads(topic) && still_reads(topic); };
  captures_ = opened->captures;
  kept_ = std::make_unique<KeptOutbox>(broker_, outbox_);
  broker_.counters().durable_clients.add();
  kept_->begin(std::move(start), *context_);
  if (opened->keeps_walks) kept_walks_ = std::make_unique<KeptWalks>();
  write_connack(opened->present);
  if (closed_) return;
  resume();
  kept_->wake();
  resume_walks(*opened);
  touched();
  broker_.groups().pump();
}

// Subscriptions go on, as far as their client may still have them. What of others is in the queue, or comes until the machine has
// heard of it, is not the client's any more.
void MqttSession::adopt(const OpenedSession& opened, ChangeFilters& lost, ChangeFilters& changed) {
  std::map<std::string, uint16_t> readable;
  for (const OpenedSession::Subscribed& one : opened.subscriptions) {
    const auto shared = parse_shared(one.filter);
    const std::string_view own = shared ? shared->filter : one.filter;
    if (!may_subscribe(own)) {
      lost.wishes.push_back({one.filter, {}});
      continue;
    }
    KeptSubscription now = one.subscription;
    now.levels_min = levels_min_of(own);
    if (now != one.subscription) changed.wishes.push_back({one.filter, now});
    readable.insert_or_assign(std::string(own), now.levels_min);
    Subscription subscription;
    subscription.subscriber = this;
    subscription.qos = one.subscription.qos;
    subscription.no_local = one.subscription.no_local;
    subscription.retain_as_published = one.subscription.retain_as_published;
    subscription.id = one.subscription.id;
    subscription.levels_min = now.levels_min;
    broker_.subscribe(one.filter, subscription);
    subscriptions_.insert_or_assign(std::string(one.filter), subscription);
  }
  if (!lost.wishes.empty() || !changed.wishes.empty())
    readable_ = std::make_unique<Readable>(Readable{std::move(readable), 0});
}

// As its rights are, whatever it was subscribed to when the message came.
bool MqttSession::reads(std::string_view topic) const {
  return !rights_ || is_own_thing(topic) || rights_->rights->may_receive(topic);
}

bool MqttSession::still_reads(std::string_view topic) const {
  if (!readable_) return true;
  const size_t levels = levels_of(topic);
  return std::any_of(readable_->filters.begin(), readable_->filters.end(),
                     [&](const auto& one) { return levels >= one.second && matches(one.first, topic); });
}

// Limits, and else what differs from what the client asked for.
void MqttSession::write_connack(bool present) {
  const MqttOptions& options = broker_.options();
  Connack answer;
  answer.session_present = present && version_ != Version::v31;
  Properties& say = answer.properties;
  say.topic_alias_maximum = static_cast<uint16_t>(options.topic_alias_maximum);
  say.maximum_packet_size = static_cast<uint32_t>(options.maximum_packet_size);
  say.receive_maximum = static_cast<uint16_t>(options.receive_maximum);
  if (greeting_->assigned) say.assigned_client_id = client_id_;
  if (kept_asked_ && greeting_->expiry_s != *greeting_->asked_expiry_s) say.session_expiry_s = greeting_->expiry_s;
  int64_t keep_alive_s = greeting_->keep_alive_s;
  const int64_t longest_s = options.max_keep_alive_s;
  if (five() && longest_s > 0 && (keep_alive_s == 0 || keep_alive_s > longest_s)) {
    keep_alive_s = longest_s;
    say.server_keep_alive_s = static_cast<uint16_t>(longest_s);
  }
  keep_alive_s_ = static_cast<uint16_t>(keep_alive_s);
  ByteWriter out;
  encode(answer, version_, out);
  if (out.size() > greeting_->packet_bytes_max)
    return end(net::CloseReason::protocol_error, "the client takes no packet as large as CONNACK", false);
  write(out);
  greeting_.reset();
  connected_s_ = static_cast<uint32_t>(context_->utc_ns() / kNsPerSecond);
  broker_.counters().connects.add();
  broker_.presence().connected(facts());
  broker_.history().connected(facts());
  tell_thing(true);
  start_keep_alive();
  take_rate();
}

// What it owes of an earlier connection, and its user of any.
void MqttSession::take_rate() {
  if (own_) return;
  const MqttOptions& options = broker_.options();
  if (options.max_messages_per_second > 0 || options.max_bytes_per_second > 0) {
    const bool known_user = identity_.principal.id != auth::kLocalId;
    const int64_t now_ns = context_->monotonic_ns();
    const auto rate = known_user ? broker_.rates().take_of_user(identity_.name, client_id_, now_ns)
                                 : broker_.rates().take(identity_.name, client_id_, now_ns);
    if (rate) outbox_.numbers().rate = *rate;
  }
  if (pause_while_owing(five())) broker_.counters().slowed.add();
}

void MqttSession::take_disconnect(const Frame& frame) {
  Farewell packet;
  if (const Fault fault = decode_disconnect(frame, version_, packet)) return fail(fault);
  if (packet.properties.session_expiry_s.value_or(0) > 0 && !kept_asked_)
    return fail({Reason::protocol_error, "a session that was not to be kept cannot be kept now"});
  if (packet.properties.session_expiry_s)
    last_expiry_s_ =
        std::min(*packet.properties.session_expiry_s, static_cast<uint32_t>(broker_.options().max_session_expiry_s));
  if (packet.reason == Reason::success) will_.reset();
  end(net::CloseReason::session_closed, kGoodBye, true);
}

void MqttSession::start_keep_alive() {
  if (timer_ != 0) context_->cancel(std::exchange(timer_, 0));
  if (keep_alive_s_ > 0) broker_.watch_keep_alive(context_->id(), context_->monotonic_ns() + keep_alive_ns());
}

// A connection that is not read is not blamed for silence.
void MqttSession::check_keep_alive(int64_t now_ns) {
  if (paused_ || slowed()) heard_ns_ = now_ns;
  const int64_t due_ns = heard_ns_ + keep_alive_ns();
  if (due_ns > now_ns) return broker_.watch_keep_alive(context_->id(), due_ns);
  broker_.counters().keep_alive.add();
  if (five()) write_reason(PacketType::disconnect, Reason::keep_alive_timeout);
  end(net::CloseReason::deadline, "nothing came for one and a half times the keep-alive", true);
}

}  // namespace heptane::iot::mqtt
