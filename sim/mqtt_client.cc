#include "sim/mqtt_client.h"

#include <utility>

namespace heptane::sim {

namespace {

enum Packet : uint8_t {
  kConnect = 0x10,
  kConnack = 0x20,
  kPublish = 0x30,
  kPuback = 0x40,
  kPubrec = 0x50,
  kPubrel = 0x62,
  kPubcomp = 0x70,
  kSubscribe = 0x82,
  kSuback = 0x90,
  kDisconnect = 0xE0,
};
constexpr uint32_t kNumbersMax = 250;  // of all publishers together below what a session's queue holds
constexpr uint16_t kIds = 1'000;
constexpr uint32_t kBodyMax = 1 << 20;

void put_text(ByteWriter& out, std::string_view text) {
  out.be<uint16_t>(static_cast<uint16_t>(text.size()));
  out.append(text);
}

// One property of four bytes.
void put_property(ByteWriter& out, uint8_t id, uint32_t value) {
  out.u8(5);
  out.u8(id);
  out.be<uint32_t>(value);
}

void skip_properties(ByteReader& in) { in.skip(in.varint()); }

uint16_t id_of(uint32_t number) { return static_cast<uint16_t>(1 + number % kIds); }

}  // namespace

void SimMqttClient::send(uint8_t first, Bytes body) {
  ByteWriter out;
  out.u8(first);
  out.varint(body.size());
  out.append(body);
  write_raw(out.view());
}

void SimMqttClient::send_id(uint8_t first, uint16_t id) {
  ByteWriter body;
  body.be<uint16_t>(id);
  send(first, body.view());
}

void SimMqttClient::connect_again() {
  ++watch_.taken_over;
  leave_open();
}

void SimMqttClient::on_connected() {
  ready_ = false;
  const Greeting say = greeting();
  five_ = say.five;
  ByteWriter body;
  put_text(body, "MQTT");
  body.u8(five_ ? 5 : 4);
  body.u8(static_cast<uint8_t>((say.clean ? 2 : 0) | (say.will ? 4 | say.will->qos << 3 : 0)));
  body.be<uint16_t>(0);
  if (five_) put_property(body, 0x11, say.expiry_s);
  put_text(body, name_);
  if (say.will) {
    if (five_) put_property(body, 0x18, say.will->delay_s);
    put_text(body, say.will->message.topic);
    put_text(body, say.will->message.payload);
  }
  send(kConnect, body.view());
}

// False: the connection is gone.
bool SimMqttClient::take_frames() {
  while (connected()) {
    ByteReader in{Bytes(input_)};
    const uint8_t first = in.u8();
    const uint64_t length = in.varint();
    if (in.failed()) return true;
    if (length > kBodyMax) {
      world_.checker.fail(name_ + " was sent a packet of a size that none has");
      return false;
    }
    const Bytes body = in.take(length);
    if (in.failed()) return true;
    const bool right = take(first, body);
    if (!right && !world_.checker.failed())
      world_.checker.fail(name_ + " was sent packet " + std::to_string(first) + ", which is out of place");
    if (!right) return false;
    if (connected()) input_.erase(input_.begin(), input_.begin() + static_cast<std::ptrdiff_t>(in.position()));
  }
  return connected();
}

bool SimMqttClient::take(uint8_t first, Bytes body) {
  if (first == kDisconnect && five_) {
    reconnect_later("told to go");
    return true;
  }
  if (ready_) return on_packet(first, body);
  if (first != kConnack || (five_ ? body.size() < 3 : body.size() != 2)) return false;
  if (body[1] != std::byte{0}) {
    reconnect_later("refused");
    return true;
  }
  const bool present = body[0] == std::byte{1};
  if (had_one_ && !present && keeps_session() && promised()) {
    world_.checker.fail(name_ + " had a session, and it is gone");
    return false;
  }
  if (present) ++watch_.resumed;
  had_one_ = true;
  ready_ = true;
  on_session(present);
  return true;
}

// Publishing.

bool SimMqttSender::awake() {
  if (!finishing_ && ready() && connected() && world_.random.one_in(400)) connect_again();
  return true;
}

void SimMqttSender::on_session(bool) {
  for (const Open& open : open_) send_open(open, true);
}

void SimMqttSender::send_open(const Open& open, bool again) {
  if (open.received) return send_id(kPubrel, id_of(open.number));
  const SimMessage sent = message(open.number);
  ByteWriter body;
  put_text(body, sent.topic);
  body.be<uint16_t>(id_of(open.number));
  body.append(sent.payload);
  send(static_cast<uint8_t>(kPublish | qos_ << 1 | (again ? 8 : 0) | (sent.retain ? 1 : 0)), body.view());
}

void SimMqttSender::go_on() {
  if (!ready()) return;
  const bool more = goes_on() && may_send(next_);
  if (!more || open_.size() >= watch_.window || !world_.random.one_in(3)) return;
  open_.push_back({next_++, false});
  send_open(open_.back(), false);
}

// Answers come in the order of what was sent. Of what a device has lost that it promised to keep they are given at once.
bool SimMqttSender::on_packet(uint8_t first, Bytes body) {
  ByteReader in(body);
  const auto id = in.be<uint16_t>();
  if (!in.complete()) return false;
  for (Open& open : open_) {
    if (id_of(open.number) != id) continue;
    if (first == kPubrec && qos_ == 2) {
      open.received = true;
      send_id(kPubrel, id);
      return true;
    }
    const bool last = (first == kPuback && qos_ == 1) || (first == kPubcomp && qos_ == 2 && open.received);
    if (!last || &open != &open_.front()) return !promised();
    acknowledge();
    return true;
  }
  return !promised();
}

void SimMqttSender::acknowledge() {
  const uint32_t number = open_.front().number;
  open_.pop_front();
  ++watch_.acknowledged;
  acknowledged(number);
}

SimMqttPublisher::SimMqttPublisher(ClientWorld& world, MqttWatch& watch, uint32_t number, uint16_t port)
    : SimMqttSender(world, watch, "mqtt-publisher-" + std::to_string(number), port,
                    static_cast<uint8_t>(1 + number % 2)),
      number_(number) {
  watch_.publishers.push_back({qos_, false, 0});
}

bool SimMqttPublisher::may_send(uint32_t number) { return watch_.all_subscribed() && number <= kNumbersMax; }

void SimMqttPublisher::acknowledged(uint32_t number) { watch_.publishers[number_].acknowledged = number; }

// Receiving.

SimMqttReceiver::SimMqttReceiver(ClientWorld& world, MqttWatch& watch, const std::string& name, uint16_t port,
                                 Wish wish)
    : SimMqttClient(world, watch, name, port), wish_(std::move(wish)) {
  if (wish_.awaited) ++watch_.subscribers;
}

bool SimMqttReceiver::wrong(const std::string& what) {
  if (!promised()) return true;
  world_.checker.fail(name_ + " got " + what);
  return false;
}

// Away now and then, with all that it has not acknowledged.
bool SimMqttReceiver::awake() {
  if (finishing_ || !ready() || !connected() || !world_.random.one_in(away_one_in())) return true;
  if (world_.random.one_in(3))
    connect_again();
  else
    reconnect_later("away");
  return true;
}

void SimMqttReceiver::on_session(bool present) {
  asked_ = false;
  answers_.clear();
  if (present) return;
  subscribed_ = false;
  received_.clear();
}

void SimMqttReceiver::go_on() {
  if (!ready()) return;
  if (!subscribed_ && !asked_ && ready_to_subscribe()) subscribe();
  while (!answers_.empty() && !world_.random.one_in(3)) {
    send_id(answers_.front().first, answers_.front().second);
    answers_.pop_front();
  }
}

void SimMqttReceiver::subscribe() {
  asked_ = true;
  ByteWriter body;
  body.be<uint16_t>(1);
  if (five()) body.u8(0);
  put_text(body, wish_.filter);
  body.u8(wish_.qos);
  send(kSubscribe, body.view());
}

bool SimMqttReceiver::on_packet(uint8_t first, Bytes body) {
  if ((first & 0xF0) == kPublish) return on_publish(first & 0x0F, body);
  ByteReader in(body);
  if (first == kSuback) return on_suback(in);
  const auto id = in.be<uint16_t>();
  if (first != kPubrel || !in.complete()) return false;
  received_.erase(id);
  answers_.emplace_back(kPubcomp, id);
  return true;
}

bool SimMqttReceiver::on_suback(ByteReader& in) {
  in.skip(2);
  if (five()) skip_properties(in);
  const uint8_t code = in.u8();
  if (code >= 0x80) {
    reconnect_later("refused");
    return true;
  }
  if (code != wish_.qos || !in.complete()) return false;
  subscribed_ = true;
  if (wish_.awaited && !std::exchange(counted_, true)) ++watch_.subscribed;
  return true;
}

bool SimMqttReceiver::on_publish(uint8_t flags, Bytes body) {
  ByteReader in(body);
  Arrived message;
  message.qos = flags >> 1 & 3;
  message.retain = (flags & 1) != 0;
  message.again = (flags & 8) != 0;
  message.topic = as_text(in.take(in.be<uint16_t>()));
  const auto id = message.id = message.qos > 0 ? in.be<uint16_t>() : uint16_t{0};
  if (five()) skip_properties(in);
  if (in.failed() || message.qos > wish_.qos) return false;
  message.payload = as_text(in.rest());
  if (message.qos > 0) answers_.emplace_back(message.qos == 2 ? kPubrec : kPuback, id);
  if (message.qos == 2 && !received_.insert(id).second) {
    ++watch_.again;
    return true;
  }
  return on_message(message);
}

// Every number.

SimMqttSubscriber::SimMqttSubscriber(ClientWorld& world, MqttWatch& watch, uint32_t number, uint16_t port,
                                     std::string filter)
    : SimMqttReceiver(world, watch, "mqtt-subscriber-" + std::to_string(number), port, {std::move(filter), 2, true}) {}

bool SimMqttSubscriber::finished() const {
  if (!promised()) return true;
  if (!subscribed()) return false;
  for (uint32_t i = 0; i < watch_.publishers.size(); ++i)
    if (watch_.next_of(i, i < got_.size() ? got_[i] : 0, wish_.filter) <= watch_.publishers[i].acknowledged)
      return false;
  return true;
}

bool SimMqttSubscriber::on_message(const Arrived& message) {
  const auto name = name_of(message.payload);
  if (!name || name->from >= watch_.publishers.size() || message.retain) return false;
  const MqttWatch::Publisher& from = watch_.publishers[name->from];
  const SimMessage sent = message_of(*name, from.appended);
  if (message.qos != from.qos || sent.topic != message.topic || sent.payload != message.payload) return false;
  if (got_.size() <= name->from) got_.resize(name->from + 1);
  uint32_t& newest = got_[name->from];
  if (name->number == watch_.next_of(name->from, newest, wish_.filter)) {
    newest = name->number;
    ++watch_.delivered;
    return true;
  }
  if (name->number <= newest && from.qos == 1) {
    ++watch_.again;
    return true;
  }
  return wrong(std::to_string(name->number) + " of publisher " + std::to_string(name->from) + " behind " +
               std::to_string(newest));
}

}  // namespace heptane::sim
