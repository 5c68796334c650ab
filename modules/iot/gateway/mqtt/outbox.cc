#include "modules/iot/gateway/mqtt/outbox.h"

#include <algorithm>

namespace heptane::iot::mqtt {

namespace {

constexpr size_t kSharedPayloadBytes = 4 << 10;  // above it a payload is not copied for each client
constexpr int64_t kNsPerSecond = 1'000'000'000;
constexpr Fault kWrongAck{Reason::protocol_error, "an acknowledgement that this message does not have"};

}  // namespace

void Outbox::begin(const Limits& limits, MqttCounters& counters, net::SessionContext& context) {
  limits_ = limits;
  counters_ = &counters;
  context_ = &context;
}

bool Outbox::has_window(uint8_t qos) const {
  if (context_->output_full()) return false;
  return qos == 0 || (queue_.empty() && sent_.size() < limits_.window);
}

void Outbox::push(const MessagePtr& message, const Delivery& delivery) {
  Item item{message, delivery, 0, Wants::puback};
  if (delivery.qos == 0) {
    if (context_->output_full()) return counters_->dropped_output.add();
    send(item, 0);
    return;
  }
  const size_t bytes = bytes_of(item);
  if (queue_.size() >= limits_.queue_max || held_bytes_ + bytes > kHeldBytesMax) return counters_->dropped_queue.add();
  held_bytes_ += bytes;
  queue_.push_back(std::move(item));
  pump();
}

void Outbox::pump() {
  while (!queue_.empty() && sent_.size() < limits_.window && !context_->output_full()) {
    Item item = std::move(queue_.front());
    queue_.pop_front();
    const PacketId id = take_id();
    if (!send(item, id)) {
      held_bytes_ -= bytes_of(item);
      continue;
    }
    item.number = ++sent_count_;
    item.wants = item.delivery.qos == 1 ? Wants::puback : Wants::pubrec;
    sent_.emplace(id, std::move(item));
  }
}

size_t Outbox::bytes_of(const Item& item) {
  constexpr size_t kOwnBytes = 256;  // of the item, the map's node, the message's own
  const MessageView& view = item.message->view;
  return kOwnBytes + view.topic.size() + view.properties.size() + view.payload.size();
}

void Outbox::forget(std::map<PacketId, Item>::iterator sent) {
  held_bytes_ -= bytes_of(sent->second);
  sent_.erase(sent);
}

// The window is smaller than the number of identifiers, so there is a free one.
PacketId Outbox::take_id() {
  do {
    ++last_id_;
  } while (last_id_ == 0 || sent_.contains(last_id_));
  return last_id_;
}

// The seconds it has left; of a message that waits, the time it waited is taken off (§3.3.2.3.3).
bool Outbox::expired(const Message& message, uint32_t& left_s) const {
  if (!message.view.expiry_s) return false;
  const int64_t waited_s = std::max<int64_t>(0, context_->monotonic_ns() - message.received_ns) / kNsPerSecond;
  if (waited_s >= *message.view.expiry_s) return true;
  left_s = *message.view.expiry_s - static_cast<uint32_t>(waited_s);
  return false;
}

void Outbox::write_properties(ByteWriter& out, const Item& item, uint32_t expiry_left_s, std::string_view& topic) {
  ByteWriter own;
  const MessageView& view = item.message->view;
  if (const auto known = aliases_.find(topic); known != aliases_.end()) {
    own.u8(0x23);
    own.be<uint16_t>(known->second);
    topic = {};
  } else if (aliases_.size() < limits_.alias_max) {
    const auto alias = static_cast<uint16_t>(aliases_.size() + 1);
    aliases_.emplace(topic, alias);
    own.u8(0x23);
    own.be<uint16_t>(alias);
  }
  if (view.expiry_s) {
    own.u8(0x02);
    own.be<uint32_t>(expiry_left_s);
  }
  for (const uint32_t id : item.delivery.subscription_ids) {
    own.u8(0x0B);
    write_variable(own, id);
  }
  write_variable(out, static_cast<uint32_t>(own.size() + view.properties.size()));
  out.append(own.view());
  out.append(view.properties);
}

// False: it is not for this client any more, which counts as delivered (§3.1.2.11.4).
bool Outbox::send(Item& item, PacketId id) {
  const MessageView& view = item.message->view;
  uint32_t left_s = 0;
  if (expired(*item.message, left_s)) {
    counters_->dropped_expired.add();
    return false;
  }
  constexpr size_t kOwnBytes = 16;  // fixed header, lengths, identifier, alias, expiry
  const size_t most = view.topic.size() + view.properties.size() + view.payload.size() + kOwnBytes +
                      5 * item.delivery.subscription_ids.size();
  std::string_view topic = view.topic;
  ByteWriter behind;  // the topic
  if (item.delivery.qos > 0) behind.be<uint16_t>(id);
  // An alias that is made for a packet which is not sent would be lost: whoever may be too large for the client has none.
  const uint16_t alias_max = limits_.alias_max;
  if (most > limits_.packet_bytes_max) limits_.alias_max = 0;
  if (limits_.version == Version::v5) write_properties(behind, item, left_s, topic);
  limits_.alias_max = alias_max;
  const size_t body = 2 + topic.size() + behind.size() + view.payload.size();
  if (body > kVariableIntegerMax || 1 + variable_size(static_cast<uint32_t>(body)) + body > limits_.packet_bytes_max) {
    counters_->dropped_size.add();
    return false;
  }
  ByteWriter head;
  const bool shared = view.payload.size() > kSharedPayloadBytes;
  head.reserve(most + kOwnBytes);
  const int flags = item.delivery.qos << 1 | (item.delivery.retain ? 1 : 0);
  head.u8(static_cast<uint8_t>(static_cast<int>(PacketType::publish) << 4 | flags));
  write_variable(head, static_cast<uint32_t>(body));
  write_text(head, topic);
  head.append(behind.view());
  if (!shared) head.append(view.payload);
  context_->write(Buffer::take(head.release()));
  if (shared) {
    const Bytes payload = as_bytes(view.payload);
    const auto at = static_cast<size_t>(payload.data() - item.message->bytes.data());
    context_->write(item.message->bytes.slice(at, payload.size()));
  }
  counters_->sent.add();
  return true;
}

Fault Outbox::on_puback(PacketId id) {
  const auto found = sent_.find(id);
  if (found == sent_.end()) return {};  // of another life of the client
  if (found->second.wants != Wants::puback) return kWrongAck;
  forget(found);
  pump();
  return {};
}

Fault Outbox::on_pubrec(PacketId id, Reason reason) {
  const auto found = sent_.find(id);
  if (found == sent_.end()) {
    write_ack(PacketType::pubrel, id, Reason::packet_id_not_found);
    return {};
  }
  if (found->second.wants == Wants::puback) return kWrongAck;
  if (static_cast<uint8_t>(reason) >= 0x80) {
    forget(found);
    pump();
    return {};
  }
  found->second.wants = Wants::pubcomp;
  write_ack(PacketType::pubrel, id, Reason::success);
  return {};
}

Fault Outbox::on_pubcomp(PacketId id) {
  const auto found = sent_.find(id);
  if (found == sent_.end()) return {};
  if (found->second.wants != Wants::pubcomp) return kWrongAck;
  forget(found);
  pump();
  return {};
}

void Outbox::write_ack(PacketType type, PacketId id, Reason reason) {
  ByteWriter out;
  encode(type, Ack{id, reason, {}}, limits_.version, out);
  context_->write(Buffer::take(out.release()));
}

std::vector<std::pair<std::shared_ptr<SharedGroup>, MessagePtr>> Outbox::take_shared() {
  std::vector<const Item*> items;
  for (const auto& [id, item] : sent_) items.push_back(&item);
  std::sort(items.begin(), items.end(), [](const Item* one, const Item* other) { return one->number < other->number; });
  for (const Item& item : queue_) items.push_back(&item);
  std::vector<std::pair<std::shared_ptr<SharedGroup>, MessagePtr>> shared;
  for (const Item* item : items) {
    // QoS 2 that was sent is the member's to finish, and goes with its session (§4.8.2).
    const bool sent = item->number != 0;
    if (item->delivery.group && (!sent || item->delivery.qos == 1))
      shared.emplace_back(item->delivery.group, item->message);
  }
  sent_.clear();
  queue_.clear();
  held_bytes_ = 0;
  return shared;
}

}  // namespace heptane::iot::mqtt
