#include "modules/iot/gateway/mqtt/outbox.h"

#include <algorithm>

#include "modules/iot/gateway/mqtt/group_outbox.h"

namespace heptane::iot::mqtt {

namespace {

constexpr size_t kSharedPayloadBytes = 4 << 10;  // above it a payload is not copied for each client
constexpr size_t kSharedPacketBytes = 2 * kSharedPayloadBytes;
constexpr int64_t kNsPerSecond = 1'000'000'000;
constexpr Fault kWrongAck{Reason::protocol_error, "an acknowledgement that this message does not have"};

}  // namespace

void Outbox::begin(const Limits& limits, Broker& broker, net::SessionContext& context, Payer& payer) {
  limits_ = limits;
  broker_ = &broker;
  context_ = &context;
  payer_ = &payer;
  last_id_ = static_cast<PacketId>(limits.first_id - 1 + limits.skipped_ids);
}

ClientNumbers& Outbox::numbers() {
  if (!numbers_) numbers_ = std::make_unique<ClientNumbers>();
  return *numbers_;
}

void Outbox::drop(net::Counter& why) {
  why.add();
  ++numbers().dropped;
}

void Outbox::pass_over() { drop(broker_->counters().dropped_denied); }

bool Outbox::socket_full() const { return context_->output_full() || (context_->output_blocked() && is_backed_up()); }

// Bytes have their numbers modulo 2^32: what is queued is far less.
bool Outbox::is_backed_up() const {
  if (!state_) return false;
  Fifo<uint32_t>& unsent = state_->unsent;
  const uint32_t taken = context_->output_taken();
  while (!unsent.empty() && static_cast<int32_t>(unsent.front() - taken) <= 0) unsent.pop_front();
  if (unsent.size() < static_cast<size_t>(broker_->options().max_unsent)) return false;
  context_->await_taken();
  return true;
}

void Outbox::note_unsent() {
  if (!context_->output_blocked()) {
    if (state_) state_->unsent.clear();
    return;
  }
  state().unsent.push_back(context_->output_taken() + static_cast<uint32_t>(context_->output_bytes()));
}

void Outbox::sent_publish(size_t bytes, size_t payload_bytes) {
  note_unsent();
  MqttCounters& counters = broker_->counters();
  counters.sent.add();
  counters.packets_out.add();
  counters.bytes_out.add(bytes);
  counters.payload_out.add(payload_bytes);
  numbers().went(bytes);
  payer_->went(bytes);
}

void Outbox::trace(Bytes packet) {
  if (broker_->traces().active())
    broker_->traces().packets(context_->id(), true, packet, limits_.version, context_->utc_ns());
}

Outbox::State& Outbox::state() {
  if (!state_) state_ = std::make_unique<State>();
  return *state_;
}

bool Outbox::has_window(uint8_t qos, size_t more) const {
  if (output_full()) return false;
  const bool full = state_ && state_->held_bytes >= kHeldBytesMax;
  return qos == 0 || (queued() == 0 && in_flight() + beside_ + more < limits_.window && !full);
}

void Outbox::push(const MessagePtr& message, const Delivery& delivery, bool fetched) {
  if (delivery.qos == 0) {
    finish(delivery);
    if (fetched ? socket_full() : output_full()) return drop(broker_->counters().dropped_output);
    if (same_for_many(*message, delivery)) return write_same(*message);
    send(*message, delivery, 0);
    return;
  }
  Item item{message, delivery, 0, Wants::puback};
  const size_t bytes = bytes_of(item);
  State& mine = state();
  // Out of a group's queue it comes only where there is a window, or from one who left it; of a page there is one above the limit
  // at most.
  const bool full = mine.queue.size() >= limits_.queue_max || mine.held_bytes + bytes > kHeldBytesMax;
  const bool must = delivery.number || delivery.chosen || delivery.mark.page != 0;
  if (full && !must) return drop(broker_->counters().dropped_queue);
  mine.held_bytes += bytes;
  mine.queue.push_back(std::move(item));
  pump();
}

void Outbox::pump() {
  while (queued() > 0 && in_flight() + beside_ < limits_.window && !output_full()) {
    Item item = std::move(state_->queue.front());
    state_->queue.pop_front();
    const PacketId id = take_id();
    if (!send(*item.message, item.delivery, id)) {
      state_->held_bytes -= bytes_of(item);
      finish(item.delivery);
      continue;
    }
    item.number = ++state_->sent_count;
    item.wants = item.delivery.qos == 1 ? Wants::puback : Wants::pubrec;
    state_->sent.emplace(id, std::move(item));
  }
}

size_t Outbox::bytes_of(const Item& item) {
  constexpr size_t kOwnBytes = 256;  // of the item, the map's node, the message's own
  const MessageView& view = item.message->view;
  return kOwnBytes + view.topic.size() + view.properties.size() + view.payload.size();
}

Outbox::Item* Outbox::find_sent(PacketId id) {
  if (!state_) return nullptr;
  const auto found = state_->sent.find(id);
  return found == state_->sent.end() ? nullptr : &found->second;
}

void Outbox::forget(PacketId id) {
  const auto found = state_->sent.find(id);
  state_->held_bytes -= bytes_of(found->second);
  const Item item = std::move(found->second);
  state_->sent.erase(found);
  finish(item.delivery);
}

// The group's queue that it came out of; null: none, or it is not there any more.
GroupOutbox* Outbox::queue_of(const Delivery& delivery) {
  GroupOutbox* outbox = delivery.number ? delivery.group->outbox() : nullptr;
  return outbox != nullptr && outbox->key() == delivery.queue ? outbox : nullptr;
}

// At QoS 2 it left, and nobody else may get it (§4.8.2). Who said PUBREC has it.
void Outbox::give_up(const Item& item) {
  GroupOutbox* outbox = queue_of(item.delivery);
  if (outbox == nullptr) return;
  if (item.wants == Wants::pubcomp)
    outbox->acknowledged(*item.delivery.number);
  else
    outbox->abandoned(*item.delivery.number);
}

// It counts as delivered.
void Outbox::finish(const Delivery& delivery) {
  if (GroupOutbox* outbox = queue_of(delivery)) outbox->acknowledged(*delivery.number);
  if (delivery.mark.page != 0) state().done.push_back(delivery.mark);
}

// The window is smaller than the number of identifiers, so there is a free one.
PacketId Outbox::take_id() {
  do {
    ++last_id_;
    if (last_id_ < limits_.first_id) last_id_ = limits_.first_id;
  } while (state_->sent.contains(last_id_));
  return last_id_;
}

bool Outbox::send_as(const Message& message, const Delivery& delivery, PacketId id, bool again) {
  return send(message, delivery, id, again);
}

bool Outbox::is_expired(const Message& message) {
  uint32_t left_s = 0;
  if (!expired(message, left_s)) return false;
  drop(broker_->counters().dropped_expired);
  return true;
}

// The seconds it has left; of a message that waits, the time it waited is taken off (§3.3.2.3.3).
bool Outbox::expired(const Message& message, uint32_t& left_s) const {
  if (!message.view.expiry_s) return false;
  const int64_t waited_s = std::max<int64_t>(0, context_->monotonic_ns() - message.received_ns) / kNsPerSecond;
  if (waited_s >= *message.view.expiry_s) return true;
  left_s = *message.view.expiry_s - static_cast<uint32_t>(waited_s);
  return false;
}

ByteWriter Outbox::make_properties(const Message& message, const Delivery& delivery, uint32_t expiry_left_s,
                                   std::string_view& topic) {
  ByteWriter own;
  const MessageView& view = message.view;
  if (state_ || limits_.alias_max > 0) {
    auto& aliases = state().aliases;
    if (const auto known = aliases.find(topic); known != aliases.end()) {
      own.u8(0x23);
      own.be<uint16_t>(known->second);
      topic = {};
    } else if (aliases.size() < limits_.alias_max) {
      const auto alias = static_cast<uint16_t>(aliases.size() + 1);
      aliases.emplace(topic, alias);
      own.u8(0x23);
      own.be<uint16_t>(alias);
    }
  }
  if (view.expiry_s) {
    own.u8(0x02);
    own.be<uint32_t>(expiry_left_s);
  }
  for (const uint32_t id : delivery.subscription_ids) {
    own.u8(0x0B);
    write_variable(own, id);
  }
  ByteWriter out;
  write_variable(out, static_cast<uint32_t>(own.size() + view.properties.size()));
  out.append(own.view());
  out.append(view.properties);
  return out;
}

// Nothing in the packet is this client's own, and others get it too.
bool Outbox::same_for_many(const Message& message, const Delivery& delivery) const {
  const MessageView& view = message.view;
  return message.many && delivery.qos == 0 && !delivery.retain && !view.expiry_s && delivery.subscription_ids.empty() &&
         limits_.alias_max == 0 && limits_.packet_bytes_max > kSharedPacketBytes &&
         view.topic.size() + view.properties.size() + view.payload.size() < kSharedPayloadBytes;
}

void Outbox::write_same(const Message& message) {
  const bool five = limits_.version == Version::v5;
  Buffer& packet = message.packets[five ? 1 : 0];
  if (packet.empty()) {
    const MessageView& view = message.view;
    ByteWriter rest;
    write_text(rest, view.topic);
    if (five) write_variable(rest, static_cast<uint32_t>(view.properties.size()));
    if (five) rest.append(view.properties);
    rest.append(view.payload);
    ByteWriter out;
    out.u8(static_cast<uint8_t>(static_cast<int>(PacketType::publish) << 4));
    write_variable(out, static_cast<uint32_t>(rest.size()));
    out.append(rest.view());
    packet = Buffer::take(out.release());
  }
  trace(packet.view());
  context_->write(packet);
  sent_publish(packet.size(), message.view.payload.size());
}

// False: it is not for this client any more, which counts as delivered (§3.1.2.11.4). One that was sent before does not expire:
// the client may hold a part of it (§4.4).
bool Outbox::send(const Message& message, const Delivery& delivery, PacketId id, bool again) {
  const MessageView& view = message.view;
  uint32_t left_s = 0;
  if (expired(message, left_s) && !again) {
    drop(broker_->counters().dropped_expired);
    return false;
  }
  constexpr size_t kOwnBytes = 16;  // fixed header, lengths, identifier, alias, expiry
  const size_t most = view.topic.size() + view.properties.size() + view.payload.size() + kOwnBytes +
                      5 * delivery.subscription_ids.size();
  std::string_view topic = view.topic;
  ByteWriter properties;
  // An alias that is made for a packet which is not sent would be lost: whoever may be too large for the client has none.
  const uint16_t alias_max = limits_.alias_max;
  if (most > limits_.packet_bytes_max) limits_.alias_max = 0;
  if (limits_.version == Version::v5) properties = make_properties(message, delivery, left_s, topic);
  limits_.alias_max = alias_max;
  const size_t id_bytes = delivery.qos > 0 ? sizeof id : 0;
  const size_t body = 2 + topic.size() + id_bytes + properties.size() + view.payload.size();
  if (body > kVariableIntegerMax || 1 + variable_size(static_cast<uint32_t>(body)) + body > limits_.packet_bytes_max) {
    drop(broker_->counters().dropped_size);
    return false;
  }
  ByteWriter head;
  const bool shared = view.payload.size() > kSharedPayloadBytes;
  head.reserve(kOwnBytes + body - (shared ? view.payload.size() : 0));
  const int flags = (again ? 8 : 0) | delivery.qos << 1 | (delivery.retain ? 1 : 0);
  head.u8(static_cast<uint8_t>(static_cast<int>(PacketType::publish) << 4 | flags));
  write_variable(head, static_cast<uint32_t>(body));
  write_text(head, topic);
  if (delivery.qos > 0) head.be<uint16_t>(id);
  head.append(properties.view());
  if (!shared) head.append(view.payload);
  trace(head.view());
  context_->write_copy(head.view());
  if (shared) {
    const Bytes payload = as_bytes(view.payload);
    const auto at = static_cast<size_t>(payload.data() - message.bytes.data());
    context_->write(message.bytes.slice(at, payload.size()));
  }
  sent_publish(1 + variable_size(static_cast<uint32_t>(body)) + body, view.payload.size());
  return true;
}

Fault Outbox::on_puback(PacketId id) {
  const Item* found = find_sent(id);
  if (found == nullptr) return {};  // of another life of the client
  if (found->wants != Wants::puback) return kWrongAck;
  forget(id);
  pump();
  return {};
}

Fault Outbox::on_pubrec(PacketId id, Reason reason) {
  Item* found = find_sent(id);
  if (found == nullptr) {
    write_ack(PacketType::pubrel, id, Reason::packet_id_not_found);
    return {};
  }
  if (found->wants == Wants::puback) return kWrongAck;
  if (static_cast<uint8_t>(reason) >= 0x80) {
    forget(id);
    pump();
    return {};
  }
  found->wants = Wants::pubcomp;
  write_ack(PacketType::pubrel, id, Reason::success);
  return {};
}

Fault Outbox::on_pubcomp(PacketId id) {
  const Item* found = find_sent(id);
  if (found == nullptr) return {};
  if (found->wants != Wants::pubcomp) return kWrongAck;
  forget(id);
  pump();
  return {};
}

void Outbox::write_ack(PacketType type, PacketId id, Reason reason) {
  ByteWriter out;
  encode(type, Ack{id, reason, {}}, limits_.version, out);
  trace(out.view());
  broker_->counters().packets_out.add();
  broker_->counters().bytes_out.add(out.size());
  context_->write_copy(out.view());
}

std::vector<std::pair<Delivery, MessagePtr>> Outbox::take_queued(
    const std::function<bool(std::string_view topic)>& keeps) {
  std::vector<std::pair<Delivery, MessagePtr>> taken;
  Fifo<Item> kept;
  for (size_t left = queued(); left > 0; --left) {
    Item item = std::move(state_->queue.front());
    state_->queue.pop_front();
    if (keeps(item.message->view.topic)) {
      kept.push_back(std::move(item));
      continue;
    }
    state_->held_bytes -= bytes_of(item);
    if (!item.delivery.group) finish(item.delivery);
    taken.emplace_back(std::move(item.delivery), std::move(item.message));
  }
  if (state_) state_->queue = std::move(kept);
  return taken;
}

std::vector<std::pair<Delivery, MessagePtr>> Outbox::take_shared() {
  if (!state_) return {};
  std::vector<const Item*> items;
  for (const auto& [id, item] : state_->sent) items.push_back(&item);
  std::sort(items.begin(), items.end(), [](const Item* one, const Item* other) { return one->number < other->number; });
  for (const Item& item : state_->queue) items.push_back(&item);
  std::vector<std::pair<Delivery, MessagePtr>> shared;
  for (const Item* item : items) {
    if (!item->delivery.group) continue;
    if (item->number == 0 || item->delivery.qos == 1)
      shared.emplace_back(item->delivery, item->message);
    else
      give_up(*item);
  }
  state_->sent.clear();
  state_->queue.clear();
  state_->held_bytes = 0;
  return shared;
}

}  // namespace heptane::iot::mqtt
