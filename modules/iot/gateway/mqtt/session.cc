#include "modules/iot/gateway/mqtt/session.h"

#include <algorithm>
#include <utility>

namespace heptane::iot::mqtt {

namespace {
constexpr size_t kShortestPacketBytes = 2;
constexpr int64_t kNsPerSecond = 1'000'000'000;
}  // namespace

void MqttSession::on_open(net::SessionContext& context) {
  context_ = &context;
  if (!own_) broker_.counters().sockets.add();
  heard_ns_ = context.monotonic_ns();
  context.need(kShortestPacketBytes);
  timer_ = context.arm(broker_.options().connect_timeout_s * kNsPerSecond);
  context.watch_output(broker_.options().write_timeout_s * kNsPerSecond);
}

bool MqttSession::within_limits(std::string_view topic_or_filter) const {
  if (own_) return iot::within_limits(topic_or_filter);
  const MqttOptions& options = broker_.options();
  return topic_or_filter.size() <= static_cast<size_t>(options.max_topic_bytes) &&
         levels_of(topic_or_filter) <= static_cast<size_t>(options.max_topic_levels);
}

// One packet a call.
size_t MqttSession::on_bytes(Bytes input, net::SessionContext& context) {
  if (closed_) return input.size();
  heard_ns_ = context.monotonic_ns();
  const auto most = static_cast<size_t>(broker_.options().maximum_packet_size);
  Frame frame;
  const Fault fault = read_frame(input, connected_ ? most : std::min(most, kStrangersBytesMax), frame);
  const bool stranger = !connected_ && frame.type != PacketType::connect;
  if (fault || stranger) {
    fail(fault ? fault : Fault{Reason::protocol_error, "the first packet is no CONNECT"});
    return input.size();
  }
  if (frame.size == 0) {
    context.need(frame.needed);
    return 0;
  }
  // A CONNECT says first whose it is.
  if (broker_.traces().active() && frame.type != PacketType::connect) trace(false, input.first(frame.size));
  broker_.counters().packets_in.add();
  broker_.counters().bytes_in.add(frame.size);
  pay(frame);
  take(frame);
  if (connected_ && !closed_) slow_down(frame);
  return closed_ ? input.size() : frame.size;
}

// What MQTT 5 is refused for its user's debts does not make them larger: who tries again and again would never get out of them.
void MqttSession::pay(const Frame& frame) {
  const bool publishes = frame.type == PacketType::publish;
  over_quota_ = publishes && five() && payer_.is_over();
  if (over_quota_) return;
  const bool changes = frame.type == PacketType::subscribe || frame.type == PacketType::unsubscribe;
  payer_.came(frame.size, publishes || changes);
}

void MqttSession::slow_down(const Frame& frame) {
  if (own_) return;
  const MqttOptions& options = broker_.options();
  const bool rates = options.max_messages_per_second > 0 || options.max_bytes_per_second > 0;
  if (!rates && !payer_.counts()) return;
  const int64_t messages = frame.type == PacketType::publish ? 1 : 0;
  if (rates)
    outbox_.numbers().rate.use(messages, options.max_messages_per_second, static_cast<int64_t>(frame.size),
                               options.max_bytes_per_second, heard_ns_);
  if (!slowed() && pause_while_owing(five() && messages > 0)) broker_.counters().slowed.add();
}

// What MQTT 5 publishes is told of debts (0x97); there is no such word for its other packets, and none in MQTT 3.
bool MqttSession::pause_while_owing(bool is_told) {
  const int64_t quota_ns = is_told ? 0 : payer_.pause_ns();
  if (quota_ns == 0 && outbox_.known_numbers() == nullptr) return false;
  ClientNumbers& numbers = outbox_.numbers();
  const int64_t now_ns = context_->monotonic_ns();
  if (quota_ns == 0 || five() || !payer_.owes_himself())
    numbers.owes_since_ns = 0;
  else if (numbers.owes_since_ns == 0)
    numbers.owes_since_ns = now_ns;
  const int64_t pause_ns = std::max(numbers.rate.pause_ns(now_ns), quota_ns);
  if (pause_ns == 0) return false;
  numbers.rate.timer = context_->arm(pause_ns);
  context_->pause_input(true);
  return true;
}

// Its time to be read from again has come.
void MqttSession::read_on() {
  ClientNumbers& numbers = outbox_.numbers();
  numbers.rate.timer = 0;
  if (!pause_while_owing(five())) return context_->pause_input(paused_);
  const int64_t most_ns = broker_.options().no_room_timeout_s * kNsPerSecond;
  if (numbers.owes_since_ns != 0 && context_->monotonic_ns() - numbers.owes_since_ns >= most_ns)
    end(net::CloseReason::limit, "its user owed for what he sent, for too long", true);
}

void MqttSession::take(const Frame& frame) {
  constexpr Fault kServersOnly{Reason::protocol_error, "a packet that only a server sends"};
  if (connected_ && !in_force()) return revoke();
  if (readable_ && readable_->timer != 0) take_narrowing();
  if (closed_) return;
  switch (frame.type) {
    case PacketType::connect:
      return connected_ ? fail({Reason::protocol_error, "a second CONNECT"}) : take_connect(frame);
    case PacketType::publish: return take_publish(frame);
    case PacketType::puback:
    case PacketType::pubrec:
    case PacketType::pubrel:
    case PacketType::pubcomp: return take_ack(frame);
    case PacketType::subscribe: return take_subscribe(frame);
    case PacketType::unsubscribe: return take_unsubscribe(frame);
    case PacketType::pingreq: {
      if (const Fault fault = decode_empty(frame)) return fail(fault);
      ByteWriter out;
      encode_empty(PacketType::pingresp, out);
      return write(out);
    }
    case PacketType::disconnect: return take_disconnect(frame);
    case PacketType::auth: return fail({Reason::protocol_error, "AUTH without an authentication method in CONNECT"});
    case PacketType::connack: return fail(kServersOnly);
    default: return fail(frame.flags != 0 ? Fault{Reason::malformed_packet, "reserved flags are set"} : kServersOnly);
  }
}

void MqttSession::take_narrowing() {
  context_->cancel(std::exchange(readable_->timer, 0));
  narrow();
}

void MqttSession::on_reply(RequestId request, const Reply& reply, net::SessionContext&) {
  if (closed_) return;
  if (kept_ && request >= KeptOutbox::kRequests) {
    if (!in_force()) return revoke();
    kept_->take_reply(request, reply);
    return check_kept();
  }
  if (greeting_ && greeting_->device_asked == request) return take_device(reply);
  if (claim_request_ && claim_request_->asked == request) return take_claim(reply);
  if (request != asked_) return;
  asked_ = 0;
  take_retained(reply);
}

void MqttSession::on_records(RequestId request, const net::RecordsRead& records, net::SessionContext&) {
  if (closed_ || !kept_) return;
  if (!in_force()) return revoke();
  kept_->take_records(request, records);
  check_kept();
}

// What it has for its client cannot be had: the client is told to come again, and nothing of it is lost.
void MqttSession::check_kept() {
  if (closed_ || !kept_ || !kept_->broken()) return;
  if (five()) write_reason(PacketType::disconnect, Reason::implementation_specific);
  end(net::CloseReason::limit, "the session's messages cannot be read", true);
}

void MqttSession::on_writable(net::SessionContext&) {
  if (closed_ || !connected_) return;
  if (!in_force()) return revoke();
  pump();
  tell_walked(false);
  walk();
}

void MqttSession::on_stalled(net::SessionContext&) {
  if (closed_) return;
  if (connected_ && five()) write_reason(PacketType::disconnect, Reason::quota_exceeded);
  end(net::CloseReason::deadline, "it took nothing of what waited for it", true);
}

// What is fetched on purpose first, then the session's queue, in one window.
void MqttSession::pump() {
  outbox_.pump();
  if (kept_) kept_->pump();
  broker_.groups().pump();
}

void MqttSession::on_timer(net::SessionTimerId timer, net::SessionContext&) {
  if (timer == flush_timer_) flush_timer_ = 0;  // what was written leaves at the end of this call
  if (closed_) return;
  if (kept_ && kept_->take_timer(timer)) return check_kept();
  if (proving() && greeting_->proof && timer == greeting_->here) return prove_here();
  if (device_ && timer == device_->expiry) return take_expiry();
  if (readable_ && timer == readable_->timer) {
    readable_->timer = 0;
    return narrow();
  }
  if (read_again_ && timer == read_again_->timer) {
    read_again_->timer = 0;
    if (walks_.empty()) read_again_.reset();
    return walk();
  }
  if (timer == timer_) {
    timer_ = 0;
    return end(net::CloseReason::deadline, "no CONNECT came in time", false);
  }
  if (slowed() && timer == outbox_.numbers().rate.timer) return read_on();
  if (payer_.take_timer(timer)) return on_writable(*context_);
  if (timer == pause_timer_) {
    pause_timer_ = 0;
    if (!paused_ || (pending_ && !held_)) return;
    if (five()) write_reason(PacketType::disconnect, Reason::quota_exceeded);
    end(net::CloseReason::limit, "there was no room for its messages", true);
  }
}

void MqttSession::on_stop(net::SessionContext&) {
  if (!closed_ && connected_ && five()) write_reason(PacketType::disconnect, Reason::server_shutting_down);
  broker_.things().flush();
  broker_.presence().flush();  // while there is a way to the log
}

void MqttSession::on_close(net::CloseReason reason) {
  if (entered_ && !closed_) {
    const bool stops = reason == net::CloseReason::shutdown;
    note_error("the connection broke");
    if (connected_s_ != 0) broker_.history().disconnected(facts(), stops ? "the server stops" : "the connection broke");
    if (connected_s_ != 0 && !stops) {
      broker_.presence().disconnected(facts(), "the connection broke");
      tell_thing(false);
    }
  }
  if (!closed_) broker_.traces().closed(context_->id(), "the connection broke", context_->utc_ns());
  closed_ = true;
  if (greeting_) greeting_->proof.reset();
  stopping_ = reason == net::CloseReason::shutdown;
  leave(!stopping_);
}

void MqttSession::deliver(const MessagePtr& message, const Delivery& delivery) {
  if (closed_) return give_back(message, delivery);
  if (!in_force()) {
    revoke();
    return give_back(message, delivery);
  }
  const bool in_queue = kept_ && !delivery.group && (delivery.qos > 0 || comes_by_queue(*message));
  if (!in_queue && !may_receive(message->view.topic)) {
    if (!delivery.group) outbox_.pass_over();
    if (delivery.group && readable_) withhold();  // what waits is older
    return give_back(message, delivery);          // its rights changed since it was chosen
  }
  if (in_queue)
    kept_->wake();
  else
    outbox_.push(message, delivery);
  touched();
}

// A message at QoS 0 that is a record, or becomes one, of a session that captures those.
bool MqttSession::comes_by_queue(const Message& message) const {
  if (!captures_) return false;
  const std::string_view topic = message.view.topic;
  const bool record =
      message.place.partition != kNoPartition || broker_.declared().capture_of(topic) != Declared::Capture::none;
  return record && std::any_of(subscriptions_.begin(), subscriptions_.end(),
                               [&](const auto& one) { return one.second.qos > 0 && matches(one.first, topic); });
}

void MqttSession::give_back(const MessagePtr& message, const Delivery& delivery) {
  if (delivery.group) broker_.give_back(delivery, message);
}

Subscriber::Durable MqttSession::durable() const {
  return kept_ ? Durable{kept_->session(), kept_->epoch()} : Durable{};
}

void MqttSession::wake_kept() {
  if (closed_ || !kept_) return;
  kept_->wake();
  touched();
}

void MqttSession::pump_kept() {
  if (closed_ || !kept_) return;
  if (!in_force()) return revoke();
  kept_->pump();
  check_kept();
  touched();
}

// Of what its rights are now: what it is subscribed to without them is dropped (narrow), and its will is looked at in the end.
bool MqttSession::in_force() {
  const auth::Authenticator* authenticator = broker_.options().authenticator;
  if (authenticator == nullptr || own_) return true;
  if (revoked_ || credential_is_over() || (!device_ && !authenticator->in_force(identity_))) return false;
  const auto* roles = device_roles();
  if (!rights_ || !broker_.rights().renew(*broker_.options().rules, identity_, client_id_, *rights_, roles))
    return true;
  if (!closed_ && !keeps_its_filters()) narrow_later();
  return true;
}

// One whose rights are gone is told so when it is given something. Each message asks each member of its groups: who it is is looked
// up where the roles changed alone.
bool MqttSession::may_receive_now(std::string_view topic) {
  if (revoked_) return true;
  const bool same = rights_ && rights_->generation == broker_.options().rules->generation();
  return (!same && !in_force()) || reads(topic);
}

// One that waits for its session is looked at before it is answered.
bool MqttSession::is_still_allowed() {
  if (closed_) return false;
  if (!connected_ || in_force()) return true;
  revoke();
  return false;
}

// Its user or token is gone: it is told before it gets anything more. Its will was the old one's.
void MqttSession::revoke() {
  will_.reset();
  if (five()) write_reason(PacketType::disconnect, Reason::administrative_action);
  end(net::CloseReason::session_closed, "what proved who it is does not count any more", true);
}

void MqttSession::published(uint64_t ticket, Reason reason) {
  if (closed_) return;
  inbox_.complete(ticket, reason);
  write_acks();
  if (held_ && !closed_) taken_at_last();
  touched();
}

// One of those that were refused for now: the others have their time from here on.
void MqttSession::taken_at_last() {
  if (pause_timer_ != 0) context_->cancel(std::exchange(pause_timer_, 0));
  if (inbox_.unacknowledged() > 0) return stop_reading();
  held_ = false;
  resume();
}

void MqttSession::taken_over() {
  if (connected_ && five()) write_reason(PacketType::disconnect, Reason::session_taken_over);
  end(net::CloseReason::session_closed, "the client connected again", true);
}

void MqttSession::resume() {
  if (!paused_ || held_ || pending_ || opening_ || closed_) return;
  if (pause_timer_ != 0) context_->cancel(std::exchange(pause_timer_, 0));
  paused_ = false;
  heard_ns_ = context_->monotonic_ns();  // what it sent meanwhile could not be heard
  context_->pause_input(slowed());
  touched();
}

void MqttSession::write_ack(PacketType type, PacketId id, Reason reason) {
  ByteWriter out;
  encode(type, Ack{id, reason, {}}, version_, out);
  write(out);
}

void MqttSession::write_reason(PacketType type, Reason reason) {
  ByteWriter out;
  encode(type, Farewell{reason, {}}, version_, out);
  write(out);
}

// What the peer broke: it is told why, where its version has words for it.
void MqttSession::fail(const Fault& fault) {
  broker_.counters().malformed.add();
  if (connected_ && five()) write_reason(PacketType::disconnect, fault.reason);
  end(net::CloseReason::protocol_error, fault.why, true);
}

void MqttSession::end(net::CloseReason reason, const char* why, bool with_will) {
  if (std::exchange(closed_, true)) return;
  if (greeting_) greeting_->proof.reset();
  if (entered_ && std::string_view(why) != kGoodBye) note_error(why);
  if (entered_ && connected_s_ != 0) {
    broker_.presence().disconnected(facts(), why);
    broker_.history().disconnected(facts(), why);
    tell_thing(false);
  }
  broker_.traces().closed(context_->id(), why, context_->utc_ns());
  leave(with_will);
  context_->close(reason, why);
}

// The session is over: nobody is subscribed here any more, what others can still have goes to them.
void MqttSession::leave(bool with_will) {
  if (!std::exchange(entered_, false)) return;
  const bool has_will = with_will && !stopping_ && may_leave_will();
  for (const auto& [filter, subscription] : subscriptions_) broker_.unsubscribe(filter, *this);
  subscriptions_.clear();
  if (listens_) broker_.methods().left(thing(), context_->id());
  broker_.leave(*this);
  if (device_) broker_.devices().remove(identity_.name, context_->id());
  claim_request_.reset();
  payer_.leave();
  if (const ClientNumbers* numbers = outbox_.known_numbers())
    broker_.rates().put(identity_.name, client_id_, numbers->rate, context_->monotonic_ns());
  if (kept_) {
    broker_.counters().durable_clients.subtract();
    leave_kept(has_will);
  }
  if (will_place_) leave_will(has_will);
  const auto shared = outbox_.take_shared();
  if (stopping_) return keep_shared(shared);
  if (!with_will) return;
  for (const auto& [delivery, message] : shared) broker_.give_back(delivery, message);
  broker_.groups().pump();
}

// What was promised to one whose rights are gone is not.
bool MqttSession::may_leave_will() {
  if (!in_force()) return false;
  if (!will_ || has_right(auth::Verb::write, will_->topic)) return true;
  broker_.counters().dropped_denied.add();
  tell_denied(ToldKind::denied_will, will_->topic, false);
  return false;
}

// The server stops: what was chosen for it and never left is another's after the next start, and what it settled is in the log.
void MqttSession::keep_shared(const std::vector<std::pair<Delivery, MessagePtr>>& shared) {
  for (const auto& [delivery, message] : shared)
    if (delivery.chosen && delivery.number) broker_.give_back(delivery, message);
  broker_.keeper().stop();
}

// The machine has the will. When the server stops the session stays as it is: the next start ends it.
void MqttSession::leave_kept(bool with_will) {
  tell_walked(true);
  if (stopping_) return broker_.keeper().stop();
  CloseSession close;
  close.session = kept_->session();
  close.epoch = kept_->epoch();
  close.with_will = with_will && will_ != nullptr;
  close.expiry_s = last_expiry_s_;
  close.sent_upto = kept_->sent_upto();
  broker_.keeper().close(close);
}

// The same of one that is there for its will alone. One with a time in it is published first: a crash in between publishes the
// machine's, too.
void MqttSession::leave_will(bool with_will) {
  if (stopping_) return broker_.keeper().stop();
  const bool due = with_will && will_ != nullptr;
  CloseSession close;
  close.session = will_place_->session;
  close.epoch = will_place_->epoch;
  close.with_will = due && !publish_stamped_will();
  broker_.keeper().close(close);
}

// False: it is published as it is.
bool MqttSession::publish_stamped_will() {
  const auto stamped = broker_.sparkplug().stamped(will_->topic, will_->payload, context_->utc_ns());
  if (!stamped) return false;
  MessageView message;
  message.qos = will_->qos;
  message.retain = will_->retain;
  message.expiry_s = will_->expiry_s;
  message.topic = will_->topic;
  message.client = client_id_;
  message.properties = will_->properties;
  message.payload = *stamped;
  broker_.publish_will(message, {0, 0, identity_.principal, context_->monotonic_ns()});
  passed(message);
  return true;
}

void MqttSession::kept_answer(Keeper::Kind kind, const Reply& reply) {
  if (closed_) return;
  if (kind == Keeper::Kind::change) return take_changed(reply);
  if (kind == Keeper::Kind::open) return take_opened(reply);
  if (reply.numbers[0] != 0) return open_kept();
  if (in_force()) return begin_volatile();
  will_.reset();
  refuse_connect(ConnectStage::known, version_,
                 {Reason::not_authorised, "what proved who it is does not count any more"});
}

void MqttSession::settled(const Settled& settled) {
  if (closed_ || !kept_ || settled.session != kept_->session() || settled.epoch != kept_->epoch()) return;
  if (settled.kind == Settlement::received) kept_->received(settled.value);
  if (settled.kind == Settlement::sent) {
    if (!in_force()) return revoke();
    kept_->told_sent(settled.value);
    check_kept();
  }
  if (settled.kind == Settlement::released) {
    const auto id = static_cast<PacketId>(settled.value);
    inbox_.release(id);
    write_ack(PacketType::pubcomp, id, Reason::success);
  }
  touched();
}

// For operators.

ClientFacts MqttSession::facts() const {
  ClientFacts facts;
  facts.client = client_id_;
  facts.user = identity_.name;
  facts.known_user = identity_.principal.id != auth::kLocalId;
  facts.remote = &context_->remote();
  facts.version = version_;
  facts.keep_alive_s = keep_alive_s_;
  facts.connected_s = connected_s_;
  facts.heard_ms = (context_->utc_ns() - (context_->monotonic_ns() - heard_ns_)) / 1'000'000;
  facts.session = kept_ ? kept_->session() : 0;
  facts.subscriptions = subscriptions_.size();
  facts.queued = outbox_.queued();
  facts.in_flight = outbox_.in_flight() + (kept_ ? kept_->in_flight() : 0);
  if (const ClientNumbers* numbers = outbox_.known_numbers()) facts.numbers = *numbers;
  return facts;
}

void MqttSession::each_subscription(const std::function<void(std::string_view, const Subscription&)>& each) const {
  for (const auto& [filter, subscription] : subscriptions_) each(filter, subscription);
}

// Its durable session stays; what it had of its groups goes to their other members, with its will and without.
void MqttSession::kick(bool with_will) {
  if (closed_) return;
  if (!with_will) will_.reset();
  if (connected_ && five()) write_reason(PacketType::disconnect, Reason::administrative_action);
  end(net::CloseReason::session_closed, "an operator ended the connection", true);
}

void MqttSession::touched() {
  if (framed_ && flush_timer_ == 0 && !closed_) flush_timer_ = context_->arm(0);
}

}  // namespace heptane::iot::mqtt
