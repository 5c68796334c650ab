#include "modules/iot/gateway/mqtt/group_outbox.h"

#include <algorithm>
#include <set>
#include <utility>

namespace heptane::iot::mqtt {

namespace {

constexpr int64_t kNsPerSecond = 1'000'000'000;
constexpr int64_t kRetryNs = 100'000'000;  // of what the log or a member's session had no room for

}  // namespace

GroupOutbox::GroupOutbox(Broker& broker, SharedGroup& group)
    : QueueReader(broker), group_(group), key_(broker.groups().add(*this)) {}

GroupOutbox::~GroupOutbox() { broker_.groups().remove(*this); }

void GroupOutbox::begin(const GroupInfo& info) {
  if (number() != 0) return;
  Queue queue;
  queue.session = info.number;
  queue.epoch = kGroupEpoch;
  queue.sent_upto = info.sent_upto;
  queue.ahead = info.ahead;
  queue.flush_each = std::max<size_t>(1, static_cast<size_t>(broker_.options().queue_max) / 8);
  begin_reading(queue, broker_.groups().context());
  wake();
  deliver_older(info.began);
}

// No queue has it: there was no group then, or another one, which told what it lost.
void GroupOutbox::deliver_older(uint64_t began) {
  const std::shared_ptr<SharedGroup> alive = group_.shared_from_this();
  std::vector<MessagePtr> older;
  for (MessagePtr& message : unconfirmed_) {
    if (!message || message->sequence == 0 || message->sequence >= began) continue;
    unconfirmed_bytes_ -= message->bytes.size();
    older.push_back(std::move(message));
  }
  for (const MessagePtr& message : older) broker_.deliver_again(alive, message);
}

RequestId GroupOutbox::make_request() { return broker_.groups().make_request(key_); }

net::SessionTimerId GroupOutbox::arm(int64_t delay_ns) { return broker_.groups().arm(key_, delay_ns); }

void GroupOutbox::publish(const MessagePtr& message) {
  unconfirmed_.push_back(message);
  unconfirmed_bytes_ += message->bytes.size();
  while (unconfirmed_.size() > kUnconfirmedMax || unconfirmed_bytes_ > kUnconfirmedBytesMax) {
    if (number() == 0 && unconfirmed_.front()) broker_.counters().dropped_queue.add();
    forget_unconfirmed();
    if (covered_ > 0) --covered_;
  }
  if (number() != 0) wake();
}

void GroupOutbox::page_came() {
  for (; covered_ > 0; --covered_) forget_unconfirmed();
}

void GroupOutbox::forget_unconfirmed() {
  if (unconfirmed_.front()) unconfirmed_bytes_ -= unconfirmed_.front()->bytes.size();
  unconfirmed_.pop_front();
}

// It came out of the queue: a member has it, and no other one is to get it. Those of one partition are in the order of their
// offsets.
void GroupOutbox::confirm(const RecordPlace& place) {
  for (MessagePtr& message : unconfirmed_) {
    const bool placed = message && message->place.partition != kNoPartition;
    if (!placed || message->place.partition != place.partition) continue;
    if (message->place.offset > place.offset) return;
    if (message->place.offset < place.offset) continue;
    unconfirmed_bytes_ -= message->bytes.size();
    message = nullptr;
    return;
  }
}

std::vector<MessagePtr> GroupOutbox::leftovers() {
  merge_lanes();
  std::vector<MessagePtr> left;
  std::set<std::pair<PartitionId, Offset>> known;
  const auto take = [&](const MessagePtr& message) {
    if (!message) return;
    const RecordPlace& place = message->place;
    const bool placed = place.partition != kNoPartition;
    if (!placed || known.emplace(place.partition, place.offset).second) left.push_back(message);
  };
  try_denied();
  for (const auto& [number, item] : returned_) take(item.message);
  for (const Item& item : items_) take(item.message);
  for (const MessagePtr& message : unconfirmed_) take(message);
  return left;
}

// A member may leave while it is given something, and the group with it.
void GroupOutbox::pump() {
  if (pumping_ || number() == 0) return;
  const std::shared_ptr<SharedGroup> alive = group_.shared_from_this();
  pumping_ = true;
  const bool due = denied_due_ns_ != 0 && context_ != nullptr && context_->monotonic_ns() >= denied_due_ns_;
  if (due) try_denied();
  look_at_lanes();
  while (!broken_ && hand_out()) {
  }
  pumping_ = false;
  try_denied_later();
  go_on();
}

// False: it waits, or there is nothing.
bool GroupOutbox::hand_out() {
  if (group_.empty()) return false;
  if (std::exchange(changes_, group_.changes()) != group_.changes()) {
    merge_lanes();
    try_denied();
  }
  if (group_.by_topic()) return hand_out_by_topic();
  if (returned_.empty() && items_.empty()) return false;
  Item& item = returned_.empty() ? items_.front() : returned_.begin()->second;
  bool dropped = false;
  if (!can_be_sent(item, dropped)) return dropped;
  const auto qos = static_cast<uint8_t>(item.flags & Reference::kQosMask);
  bool anybody = false;
  const Subscription* member = group_.choose(qos, item.message->view.topic, anybody);
  if (!anybody) return drop(Settlement::denied);
  if (member == nullptr || !has_room(item, *member)) {
    broker_.groups().stall(*this);
    return false;
  }
  const Subscription to = *member;
  if (may_have(item, to)) send(take_first(), to);
  return true;
}

// Of the first one. False: it waits for its message, or is dropped.
bool GroupOutbox::can_be_sent(Item& item, bool& dropped) {
  const auto lost = [&](Settlement why) {
    dropped = drop(why);
    return false;
  };
  if (item.gone) return lost(Settlement::gone);
  // An earlier run's member has it, or has not: nobody knows.
  if ((item.flags & Reference::kChosen) != 0) return lost(Settlement::abandoned);
  if (!item.message) load();
  if (!item.message) return false;
  return item.sent || !is_over(*item.message) || lost(Settlement::expired);
}

bool GroupOutbox::has_room(const Item& item, const Subscription& member) const {
  const auto qos = std::min(static_cast<uint8_t>(item.flags & Reference::kQosMask), member.qos);
  return member.subscriber->has_window(qos) && (qos < 2 || broker_.groups().has_room());
}

// A choice is in the log before its member is given the message: of one whose rights are gone that is known before it is made. What
// needs no choice he gives back.
bool GroupOutbox::may_have(const Item& item, const Subscription& member) {
  const auto qos = std::min(static_cast<uint8_t>(item.flags & Reference::kQosMask), member.qos);
  return qos < 2 || (member.subscriber->is_still_allowed() && member.subscriber->may_receive(item.message->view.topic));
}

GroupOutbox::Item GroupOutbox::take_first() {
  Item item;
  if (!returned_.empty()) {
    item = std::move(returned_.begin()->second);
    returned_.erase(returned_.begin());
  } else {
    item = std::move(items_.front());
    items_.pop_front();
  }
  return item;
}

bool GroupOutbox::drop(Settlement why) {
  if (why == Settlement::denied) return deny();
  settle(take_first().number, why);
  return true;
}

// One that is away may receive what nobody here may: it is asked for at once, so that who is back meanwhile is woken. False: too
// much is asked for.
bool GroupOutbox::deny() {
  if (denied_.size() >= kLanedMax || denied_bytes_ >= kLanedBytesMax) return false;
  Item item = take_first();
  const uint64_t number = item.number;
  denied_bytes_ += item.message->bytes.size();
  denied_.insert_or_assign(number, Denied{std::move(item), false});
  broker_.keeper().settle_now(settler(), {queue_.session, queue_.epoch, number, Settlement::denied});
  return true;
}

void GroupOutbox::denied(uint64_t number, bool stays) {
  const auto found = denied_.find(number);
  if (found == denied_.end()) return;
  found->second.stays = stays;
  if (!stays) {
    denied_bytes_ -= found->second.item.message->bytes.size();
    denied_.erase(found);
  } else if (denied_due_ns_ == 0 && context_ != nullptr) {
    denied_due_ns_ = context_->monotonic_ns() + kDeniedAgainNs;
  }
  pump();
}

// Those that stay: members here may receive them now, or those that are away have room.
void GroupOutbox::try_denied() {
  denied_due_ns_ = 0;
  for (auto at = denied_.begin(); at != denied_.end();) {
    Denied& denied = at->second;
    if (!denied.stays) {
      ++at;
      continue;
    }
    denied_bytes_ -= denied.item.message->bytes.size();
    returned_.insert_or_assign(at->first, std::move(denied.item));
    at = denied_.erase(at);
  }
}

void GroupOutbox::try_denied_later() {
  if (denied_due_ns_ == 0 || context_ == nullptr) return;
  again_later(std::max<int64_t>(1, denied_due_ns_ - context_->monotonic_ns()));
}

bool GroupOutbox::is_over(const Message& message) const {
  if (!message.view.expiry_s || context_ == nullptr) return false;
  if ((context_->monotonic_ns() - message.received_ns) / kNsPerSecond < *message.view.expiry_s) return false;
  broker_.counters().dropped_expired.add();
  return true;
}

void GroupOutbox::send(Item item, const Subscription& member) {
  const uint64_t number = item.number;
  const MessagePtr message = item.message;
  const auto qos = std::min(static_cast<uint8_t>(item.flags & Reference::kQosMask), member.qos);
  const bool retain = member.retain_as_published && (item.flags & Reference::kRetain) != 0;
  const TopicHolds::Token hold = qos > 0 ? group_.hold(message->view.topic, member) : TopicHolds::Token{};
  note_sent(number);
  confirm(item.place);
  out_.insert_or_assign(number, std::move(item));
  if (qos == 2) {
    note_choosing(message->view.topic);
    const Subscriber::Durable durable = member.subscriber->durable();
    broker_.groups().choose(
        {group_.shared_from_this(),
         member.subscriber->session_id(),
         {queue_.session, number, durable.session, durable.epoch, member.id, member.retain_as_published},
         message,
         hold});
    return;
  }
  Delivery delivery;
  delivery.qos = qos;
  delivery.retain = retain;
  if (member.id != 0) delivery.subscription_ids.push_back(member.id);
  delivery.group = group_.shared_from_this();
  delivery.number = number;
  delivery.queue = key_;
  delivery.hold = hold;
  member.subscriber->deliver(message, delivery);
}

void GroupOutbox::acknowledged(uint64_t number) {
  if (out_.erase(number) > 0) settle(number, Settlement::acknowledged);
}

// The log hears of it before the next choice.
void GroupOutbox::give_back(uint64_t number, bool chosen) {
  auto given = out_.extract(number);
  if (given.empty()) return;
  given.mapped().sent = true;
  returned_.insert(std::move(given));
  if (chosen) settle(number, Settlement::returned);
  if (chosen) broker_.keeper().flush();
  broker_.groups().stall(*this);
}

void GroupOutbox::abandoned(uint64_t number) {
  if (out_.erase(number) > 0) settle(number, Settlement::abandoned);
}

void GroupOutbox::chosen(uint64_t number, AssignStatus status) {
  note_chosen(number);
  if (status == AssignStatus::marked) return;
  if (status == AssignStatus::stale) return give_back(number, false);
  if (status != AssignStatus::full) {
    out_.erase(number);
    return;
  }
  auto given = out_.extract(number);
  if (!given.empty()) {
    given.mapped().sent = true;
    returned_.insert(std::move(given));
  }
  again_later(kRetryNs);
}

}  // namespace heptane::iot::mqtt
