#include "sim/mqtt_members.h"

namespace heptane::sim {

namespace {

constexpr int64_t kNsPerSecond = 1'000'000'000;

std::string text_of(MessageName name) {
  return std::to_string(name.number) + " of publisher " + std::to_string(name.from);
}

}  // namespace

// Groups.

SimMqttMember::SimMqttMember(ClientWorld& world, MqttWatch& watch, size_t group, uint32_t number, uint16_t port,
                             bool durable)
    : SimMqttReceiver(world, watch, "mqtt-member-" + std::to_string(group) + "-" + std::to_string(number), port,
                      {watch.groups[group].shared(), static_cast<uint8_t>(durable ? 2 : 1), durable}),
      group_(group),
      durable_(durable) {}

SimMqttClient::Greeting SimMqttMember::greeting() {
  Greeting say;
  say.clean = !durable_;
  return say;
}

bool SimMqttMember::finished() const { return !promised() || watch_.is_complete(group()); }

std::string SimMqttMember::state() const {
  return name_ + " (" + std::to_string(group().delivered.size()) + " delivered to the group)";
}

bool SimMqttMember::on_message(const Arrived& message) {
  const auto name = name_of(message.payload);
  if (!name || name->from >= watch_.publishers.size() || message.retain) return false;
  const MqttWatch::Publisher& from = watch_.publishers[name->from];
  const SimMessage sent = message_of(*name, from.appended);
  if (sent.topic != message.topic || sent.payload != message.payload || message.qos > from.qos) return false;
  if (!filter_matches(group().filter, message.topic)) return wrong("what the group's filter does not match");
  if (message.qos == 2 && !group().finished.insert(*name).second)
    return wrong(text_of(*name) + ", which a member of the group has finished at QoS 2");
  if (watch_.by_topic && !is_in_order(*name, message))
    return wrong(text_of(*name) + " of " + sent.topic + ", which is not the next one there");
  if (group().delivered.insert(*name).second)
    ++watch_.shared;
  else
    ++watch_.again;
  return true;
}

// What a durable member has at QoS 2 nobody waits for: a newer one may be another's who has it before.
bool SimMqttMember::is_in_order(MessageName name, const Arrived& message) {
  const std::string topic(message.topic);
  if (watch_.publishers[name.from].qos == 1)
    return group().delivered.contains(name) || watch_.is_next(group(), name, topic);
  if (message.qos == 1) return true;
  uint32_t& newest = newest_[{name.from, topic}];
  if (name.number <= newest) return false;
  newest = name.number;
  return true;
}

void SimMqttMember::on_session(bool present) {
  SimMqttReceiver::on_session(present);
  if (!present) newest_.clear();
}

// Retained messages.

SimMqttKeeper::SimMqttKeeper(ClientWorld& world, MqttWatch& watch, uint32_t number, uint16_t port, bool newcomer)
    : SimMqttReceiver(world, watch, (newcomer ? "mqtt-newcomer-" : "mqtt-keeper-") + std::to_string(number), port,
                      {"keep/#", static_cast<uint8_t>(1 + number % 2), false}),
      newcomer_(newcomer),
      subscribes_at_(newcomer ? 0 : static_cast<uint32_t>(world.random.below(120))) {}

SimMqttClient::Greeting SimMqttKeeper::greeting() {
  Greeting say;
  say.clean = newcomer_;
  return say;
}

bool SimMqttKeeper::ready_to_subscribe() const {
  return newcomer_ ? watch_.log_is_known : finishing_ || watch_.acknowledged >= subscribes_at_;
}

bool SimMqttKeeper::awake() { return newcomer_ ? watch_.log_is_known : SimMqttReceiver::awake(); }

bool SimMqttKeeper::finished() const {
  if (!promised() || !watch_.log_is_known) return true;
  for (const auto& one : watch_.retained)
    if (!had_.contains(one)) return false;
  return true;
}

std::string SimMqttKeeper::state() const {
  for (const auto& one : watch_.retained)
    if (!had_.contains(one)) return name_ + " (waits for " + one.second.substr(0, 12) + " of " + one.first + ")";
  return name_;
}

bool SimMqttKeeper::on_message(const Arrived& message) {
  const bool removes = message.payload.empty() && !message.retain;
  const auto name = name_of(message.payload);
  if (!removes && (!name || message_of(*name, false).topic != message.topic)) return false;
  const auto there = watch_.retained.find(std::string(message.topic));
  const bool is_there = there != watch_.retained.end() && there->second == message.payload;
  if (newcomer_ && !is_there && !watch_.log_is_lost)
    return wrong("what is not retained at " + std::string(message.topic));
  if (newcomer_ && !message.retain) return wrong("what is retained as if it was new");
  had_.emplace(std::string(message.topic), std::string(message.payload));
  return true;
}

// Wills.

bool SimMqttHeir::finished() const {
  if (!promised()) return true;
  if (!subscribed()) return false;
  for (const MessageName& will : watch_.wills)
    if (!had_.contains(will)) return false;
  return true;
}

bool SimMqttHeir::on_message(const Arrived& message) {
  const auto name = name_of(message.payload);
  if (!name || will_of(*name).topic != message.topic || message.retain) return false;
  if (had_.insert(*name).second) return true;
  ++watch_.again;
  if (message.qos == 1) return true;
  return wrong("the will of connection " + std::to_string(name->number) + " of client " + std::to_string(name->from) +
               " twice");
}

SimMqttMortal::SimMqttMortal(ClientWorld& world, MqttWatch& watch, uint32_t number, uint16_t port, uint32_t expiry_s)
    : SimMqttReceiver(world, watch, "mqtt-mortal-" + std::to_string(number), port, {"sim/+/2", 1, false}),
      number_(number),
      expiry_s_(expiry_s) {}

SimMqttClient::Greeting SimMqttMortal::greeting() {
  Greeting say;
  say.five = true;
  say.clean = world_.random.one_in(6);
  say.expiry_s = expiry_s_;
  Will& will = say.will.emplace();
  will.message = will_of({number_, ++connection_});
  will.qos = static_cast<uint8_t>(1 + number_ % 2);
  will.delay_s = static_cast<uint32_t>(world_.random.below(4));
  return say;
}

void SimMqttMortal::stay_away() {
  const uint64_t most = world_.random.one_in(2) ? 100'000'000 : 12 * uint64_t{kNsPerSecond};
  away_until_ns_ = world_.clock.monotonic_ns() + static_cast<int64_t>(world_.random.below(most));
}

// A connection that has begun ends in one of its ways.
bool SimMqttMortal::awake() {
  if (dead_) return false;
  if (!watch_.all_subscribed()) return false;
  if (!connected()) {
    if (leaving_) stay_away();
    leaving_ = false;
    return finishing_ || world_.clock.monotonic_ns() >= away_until_ns_;
  }
  if (!ready() || leaving_) return true;
  if (finishing_) {
    if (watch_.server_stops) return true;
    dead_ = fresh_;
    // A will that no log has is gone with its server, whose end this client may not have noticed.
    if (dead_ && (expiry_s_ > 0 || met_ == watch_.starts)) watch_.deaths[number_] = {connection_, expiry_s_ > 0};
    reconnect_later(dead_ ? "dies for good" : "comes once more");
    return false;
  }
  if (!world_.random.one_in(60)) return true;
  switch (world_.random.below(4)) {
    case 0: connect_again(); return true;
    case 1:
      leaving_ = true;
      send(0xE0, {});
      return true;
    default:
      reconnect_later("dies");
      stay_away();
      return false;
  }
}

void SimMqttMortal::on_session(bool present) {
  SimMqttReceiver::on_session(present);
  watch_.present[{number_, connection_}] = present;
  fresh_ = finishing_ && !watch_.server_stops;
  met_ = watch_.starts;
  if (!present) got_.clear();
}

// In order and none left out, from the first one of a session on.
bool SimMqttMortal::on_message(const Arrived& message) {
  const auto name = name_of(message.payload);
  if (!name || name->from >= watch_.publishers.size() || message_of(*name, false).topic != message.topic) return false;
  got_.resize(watch_.publishers.size());
  uint32_t& newest = got_[name->from];
  if (newest == 0 || name->number == watch_.next_of(name->from, newest, wish_.filter)) {
    newest = name->number;
    ++watch_.delivered;
    return true;
  }
  ++watch_.again;
  if (name->number <= newest) return true;
  return wrong(text_of(*name) + " behind " + std::to_string(newest) + " in one session");
}

}  // namespace heptane::sim
