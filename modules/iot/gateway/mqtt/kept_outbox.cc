#include "modules/iot/gateway/mqtt/kept_outbox.h"

namespace heptane::iot::mqtt {

namespace {

constexpr uint64_t kAheadMax = KeptOutbox::kIds - 1;
constexpr Fault kWrongAck{Reason::protocol_error, "an acknowledgement that this message does not have"};

}  // namespace

void KeptOutbox::begin(Start start, net::SessionContext& context) {
  may_receive_ = std::move(start.may_receive);
  tells_ = start.tells;
  Queue queue;
  queue.session = start.session;
  queue.epoch = start.epoch;
  queue.sent_upto = start.sent_upto;
  queue.ahead = start.ahead;
  queue.flush_each = start.flush_each;
  begin_reading(queue, &context);
}

bool KeptOutbox::may_send(uint64_t number) {
  while (!order_.empty()) {
    const auto found = sent_.find(id_of(order_.front()));
    if (found != sent_.end() && found->second.number == order_.front()) break;
    order_.pop_front();
  }
  if (!order_.empty() && number - order_.front() >= kAheadMax) return false;
  return !sent_.contains(id_of(number)) && outbox_.has_window_beside();
}

void KeptOutbox::pump() {
  while (!broken_ && !items_.empty() && send_first()) items_.pop_front();
  go_on();
}

// Its connection may be ended already, or revoked.
void KeptOutbox::read_ended() {
  if (Subscriber* owner = context_ == nullptr ? nullptr : broker_.find(context_->id())) owner->pump_kept();
}

void KeptOutbox::put_sent(uint64_t number, Wants wants) {
  sent_.insert_or_assign(id_of(number), Sent{number, wants});
  order_.push_back(number);
  note_sent(number);
  outbox_.set_beside(sent_.size());
}

void KeptOutbox::forget_sent(std::map<PacketId, Sent>::iterator sent) {
  sent_.erase(sent);
  outbox_.set_beside(sent_.size());
}

// False: it waits.
bool KeptOutbox::send_first() {
  Item& item = items_.front();
  const PacketId id = id_of(item.number);
  if (item.gone) {
    settle(item.number, Settlement::gone);
    return true;
  }
  if (!may_send(item.number)) return false;
  if ((item.flags & Reference::kReleased) != 0) {
    put_sent(item.number, Wants::pubcomp);
    outbox_.write_ack(PacketType::pubrel, id, Reason::success);
    return true;
  }
  if (!item.message) load();
  if (!item.message) return false;
  const bool may = !may_receive_ || may_receive_(item.message->view.topic);
  const auto qos = static_cast<uint8_t>(item.flags & Reference::kQosMask);
  const Delivery delivery{qos, (item.flags & Reference::kRetain) != 0, std::move(item.ids), {}};
  const bool again = item.number < queue_.sent_upto;
  if (may && tells_ && !again && outbox_.is_expired(*item.message)) {
    settle(item.number, Settlement::expired);
    return true;
  }
  if (!may) outbox_.pass_over();
  if (!may || !outbox_.send_as(*item.message, delivery, id, again)) {
    settle(item.number, Settlement::acknowledged);  // expired, too large, or not its to receive: counts as delivered
    return true;
  }
  put_sent(item.number, qos == 1 ? Wants::puback : Wants::pubrec);
  return true;
}

void KeptOutbox::finish(PacketId id) {
  const auto found = sent_.find(id);
  settle(found->second.number, Settlement::acknowledged);
  forget_sent(found);
}

Fault KeptOutbox::on_puback(PacketId id) {
  const auto found = sent_.find(id);
  if (found == sent_.end()) return {};
  if (found->second.wants != Wants::puback) return kWrongAck;
  finish(id);
  return {};
}

Fault KeptOutbox::on_pubrec(PacketId id, Reason reason) {
  const auto found = sent_.find(id);
  if (found == sent_.end()) {
    outbox_.write_ack(PacketType::pubrel, id, Reason::packet_id_not_found);
    return {};
  }
  if (found->second.wants == Wants::puback) return kWrongAck;
  if (static_cast<uint8_t>(reason) >= 0x80) {
    finish(id);
    return {};
  }
  if (found->second.wants == Wants::pubcomp) {
    outbox_.write_ack(PacketType::pubrel, id, Reason::success);
  } else if (found->second.wants == Wants::pubrec) {
    found->second.wants = Wants::synced;
    settle(found->second.number, Settlement::received);
  }
  return {};
}

void KeptOutbox::received(uint64_t number) {
  const PacketId id = id_of(number);
  const auto found = sent_.find(id);
  if (found == sent_.end() || found->second.number != number || found->second.wants != Wants::synced) return;
  found->second.wants = Wants::pubcomp;
  outbox_.write_ack(PacketType::pubrel, id, Reason::success);
}

Fault KeptOutbox::on_pubcomp(PacketId id) {
  const auto found = sent_.find(id);
  if (found == sent_.end()) return {};
  if (found->second.wants != Wants::pubcomp) return kWrongAck;
  finish(id);
  return {};
}

}  // namespace heptane::iot::mqtt
