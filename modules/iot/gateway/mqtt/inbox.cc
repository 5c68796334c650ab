#include "modules/iot/gateway/mqtt/inbox.h"

#include "modules/iot/machine/api.h"

namespace heptane::iot::mqtt {

uint64_t Inbox::expect(PacketId id, uint8_t qos) {
  State& mine = state();
  mine.expected.push_back({id, qos, false, Reason::success});
  if (qos == 1) ++mine.open_qos1;
  return mine.first_ticket + mine.expected.size() - 1;
}

void Inbox::complete(uint64_t ticket, Reason reason) {
  if (!state_ || ticket < state_->first_ticket || ticket - state_->first_ticket >= state_->expected.size()) return;
  Expected& expected = state_->expected[ticket - state_->first_ticket];
  expected.done = true;
  expected.reason = reason;
}

bool Inbox::take_due(Due& due) {
  if (!state_ || state_->expected.empty() || !state_->expected.front().done) return false;
  const Expected first = state_->expected.front();
  state_->expected.pop_front();
  ++state_->first_ticket;
  if (first.qos == 1) --state_->open_qos1;
  due = {first.qos == 1 ? PacketType::puback : PacketType::pubrec, first.id, first.reason};
  // That nobody listens is told by PUBACK alone, as other brokers do.
  if (first.qos == 2 && first.reason == Reason::no_matching_subscribers) due.reason = Reason::success;
  if (first.qos == 2 && static_cast<uint8_t>(due.reason) >= 0x80) state_->received.erase(first.id);
  return true;
}

Inbox::Arrival Inbox::receive(PacketId id, std::string_view topic, const Publish& publish) {
  constexpr uint32_t kRepeatsMax = 1;
  const uint64_t content = content_of(topic, publish.payload);
  const auto [at, fresh] = state().received.try_emplace(id, Received{content, 0});
  if (fresh) return Arrival::fresh;
  if (at->second.content != content) {
    at->second = {content, 0};
    return Arrival::fresh;
  }
  return ++at->second.repeats > kRepeatsMax ? Arrival::too_often : Arrival::again;
}

Fault Inbox::resolve(const Publish& publish, uint16_t alias_max, std::string_view& topic) {
  topic = publish.topic;
  if (!publish.properties.topic_alias) return {};
  const uint16_t alias = *publish.properties.topic_alias;
  if (alias == 0 || alias > alias_max) return {Reason::topic_alias_invalid, "a topic alias beyond the maximum"};
  std::vector<std::string>& aliases = state().aliases;
  if (aliases.size() < alias) aliases.resize(alias);
  std::string& known = aliases[alias - 1];
  if (!publish.topic.empty())
    known = publish.topic;
  else if (known.empty())
    return {Reason::protocol_error, "a topic alias that stands for nothing"};
  topic = known;
  return {};
}

}  // namespace heptane::iot::mqtt
