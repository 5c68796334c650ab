#include "modules/iot/gateway/mqtt/inbox.h"

#include <functional>

namespace heptane::iot::mqtt {

uint64_t Inbox::expect(PacketId id, uint8_t qos) {
  expected_.push_back({id, qos, false, Reason::success});
  if (qos == 1) ++open_qos1_;
  return first_ticket_ + expected_.size() - 1;
}

void Inbox::complete(uint64_t ticket, Reason reason) {
  if (ticket < first_ticket_ || ticket - first_ticket_ >= expected_.size()) return;
  Expected& expected = expected_[ticket - first_ticket_];
  expected.done = true;
  expected.reason = reason;
}

bool Inbox::take_due(Due& due) {
  if (expected_.empty() || !expected_.front().done) return false;
  const Expected first = expected_.front();
  expected_.pop_front();
  ++first_ticket_;
  if (first.qos == 1) --open_qos1_;
  due = {first.qos == 1 ? PacketType::puback : PacketType::pubrec, first.id, first.reason};
  // That nobody listens is told by PUBACK alone, as other brokers do.
  if (first.qos == 2 && first.reason == Reason::no_matching_subscribers) due.reason = Reason::success;
  if (first.qos == 2 && static_cast<uint8_t>(due.reason) >= 0x80) received_.erase(first.id);
  return true;
}

Inbox::Arrival Inbox::receive(PacketId id, const Publish& publish) {
  constexpr uint32_t kRepeatsMax = 1;
  const std::hash<std::string_view> hash;
  const size_t content = hash(publish.topic) * 31 + hash(publish.payload);
  const auto [at, fresh] = received_.try_emplace(id, Received{content, 0});
  if (fresh) return Arrival::fresh;
  if (at->second.hash != content) {
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
  if (aliases_.size() < alias) aliases_.resize(alias);
  std::string& known = aliases_[alias - 1];
  if (!publish.topic.empty())
    known = publish.topic;
  else if (known.empty())
    return {Reason::protocol_error, "a topic alias that stands for nothing"};
  topic = known;
  return {};
}

}  // namespace heptane::iot::mqtt
