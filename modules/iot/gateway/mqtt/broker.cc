#include "modules/iot/gateway/mqtt/broker.h"

#include <algorithm>
#include <utility>

#include "kernel/base/crc32c.h"

namespace heptane::iot::mqtt {

namespace {

constexpr int64_t kRetryNs = 1'000'000;  // when the shard's ring is full
constexpr size_t kCountBytes = sizeof(uint16_t);

// What a client is told of a command that the shard refused.
Reason reason_of(Errc error) {
  switch (error) {
    case Errc::overloaded:
    case Errc::no_space: return Reason::quota_exceeded;
    case Errc::unauthorised:
    case Errc::stale: return Reason::not_authorised;
    default: return Reason::implementation_specific;
  }
}

Reason reason_of(PublishStatus status) {
  return status == PublishStatus::kept ? Reason::success : Reason::quota_exceeded;
}

// A message that waits for a slow subscriber must not keep the much larger command in memory that it came with.
void own_bytes(Message& message, Bytes encoded) {
  if (encoded.size() > message.bytes.size() / 2) return;
  message.bytes = Buffer::copy_of(encoded);
  ByteReader in(message.bytes.view());
  message.view = read_message(in);
}

bool same(const Principal& one, const Principal& other) { return one.id == other.id && one.version == other.version; }

}  // namespace

// Groups.

bool SharedGroup::put(const Subscription& subscription) {
  for (Subscription& member : members_) {
    if (member.subscriber != subscription.subscriber) continue;
    member = subscription;
    return false;
  }
  members_.push_back(subscription);
  return true;
}

bool SharedGroup::remove(const Subscriber& subscriber) {
  return std::erase_if(members_, [&](const Subscription& member) { return member.subscriber == &subscriber; }) > 0;
}

const Subscription* SharedGroup::next(uint8_t qos) {
  const Subscription* chosen = nullptr;
  for (size_t i = 0; i < members_.size() && chosen == nullptr; ++i) {
    const Subscription& member = members_[(turn_ + i) % members_.size()];
    if (!member.subscriber->has_window(std::min(qos, member.qos))) continue;
    chosen = &member;
    turn_ += i;
  }
  if (chosen == nullptr && !members_.empty()) chosen = &members_[turn_ % members_.size()];
  if (!members_.empty()) turn_ = (turn_ + 1) % members_.size();
  return chosen;
}

// Clients.

Broker::Entry Broker::enter(std::string_view client_id, Subscriber& subscriber) {
  const auto found = clients_.find(client_id);
  if (found != clients_.end()) {
    Subscriber& before = *found->second;
    if (before.identity() != subscriber.identity()) return Entry::refused;
    counters_.taken_over.add();
    before.taken_over();  // it leaves
  }
  clients_.insert_or_assign(std::string(client_id), &subscriber);
  sessions_.insert_or_assign(subscriber.session_id(), &subscriber);
  counters_.clients.add();
  return Entry::entered;
}

void Broker::leave(std::string_view client_id, Subscriber& subscriber) {
  const auto found = clients_.find(client_id);
  if (found != clients_.end() && found->second == &subscriber) clients_.erase(found);
  sessions_.erase(subscriber.session_id());
  counters_.clients.subtract();
}

std::string Broker::make_client_id(SessionId session) const { return "auto-" + std::to_string(session); }

Subscriber* Broker::find(SessionId session) const {
  const auto found = sessions_.find(session);
  return found == sessions_.end() ? nullptr : found->second;
}

// Subscriptions.

SharedGroup* Broker::find_group(std::string_view name, std::string_view filter) {
  auto* groups = groups_.at(filter);
  if (groups == nullptr) return nullptr;
  for (const auto& group : *groups)
    if (group->name() == name) return group.get();
  return nullptr;
}

bool Broker::subscribe(std::string_view filter, const Subscription& subscription) {
  if (const auto shared = parse_shared(filter)) {
    SharedGroup* group = find_group(shared->group, shared->filter);
    if (group == nullptr) {
      auto made = std::make_shared<SharedGroup>(std::string(shared->group), std::string(shared->filter));
      group = made.get();
      groups_.insert(shared->filter, std::move(made));
    }
    const bool added = group->put(subscription);
    if (added) counters_.subscriptions.add();
    return added;
  }
  if (auto* there = subscriptions_.at(filter))
    for (Subscription& other : *there) {
      if (other.subscriber != subscription.subscriber) continue;
      other = subscription;
      return false;
    }
  subscriptions_.insert(filter, subscription);
  counters_.subscriptions.add();
  return true;
}

bool Broker::unsubscribe(std::string_view filter, const Subscriber& subscriber) {
  bool removed = false;
  if (const auto shared = parse_shared(filter)) {
    SharedGroup* group = find_group(shared->group, shared->filter);
    removed = group != nullptr && group->remove(subscriber);
    if (removed && group->empty()) groups_.remove(shared->filter, [&](const auto& one) { return one.get() == group; });
  } else {
    removed = subscriptions_.remove(filter, [&](const Subscription& one) { return one.subscriber == &subscriber; });
  }
  if (removed) counters_.subscriptions.subtract();
  return removed;
}

// Messages.

size_t Broker::publish_volatile(const MessageView& message, const Publisher& publisher) {
  ByteWriter bytes;
  append_message(bytes, message);
  auto made = std::make_shared<Message>();
  made->bytes = Buffer::take(bytes.release());
  ByteReader in(made->bytes.view());
  made->view = read_message(in);
  made->from = publisher.session;
  made->received_ns = publisher.now_ns;
  return deliver(made);
}

bool Broker::publish_logged(const MessageView& message, const Publisher& publisher) {
  if (context_ == nullptr || waiting_ >= kWaitingMax || waiting_bytes_ >= kWaitingBytesMax) return false;
  if (!batch_.waiting.empty() && !same(batch_.principal, publisher.principal)) close_batch();
  batch_.principal = publisher.principal;
  const size_t before = batch_.bytes.size();
  append_message(batch_.bytes, message);
  batch_.waiting.push_back({publisher.session, publisher.ticket, publisher.now_ns});
  ++waiting_;
  waiting_bytes_ += batch_.bytes.size() - before;
  if (batch_.waiting.size() >= kPublishesMax || batch_.bytes.size() >= kPublishBytesTarget) close_batch();
  wake_later(0);
  return true;
}

void Broker::publish_will(const MessageView& message, const Publisher& publisher) {
  counters_.wills.add();
  if (message.qos == 0 && !message.retain)
    publish_volatile(message, publisher);
  else if (!publish_logged(message, publisher))
    counters_.refused.add();
}

void Broker::wake_later(int64_t delay_ns) {
  if (timer_ == 0 && context_ != nullptr) timer_ = context_->arm(delay_ns);
}

void Broker::on_timer(net::SessionTimerId timer) {
  if (timer != timer_) return;
  timer_ = 0;
  close_batch();
  send_batches();
}

void Broker::close_batch() {
  if (batch_.waiting.empty()) return;
  closed_batches_.push_back(std::exchange(batch_, {}));
}

void Broker::send_batches() {
  while (!closed_batches_.empty() && context_ != nullptr) {
    Batch& batch = closed_batches_.front();
    ByteWriter whole;
    whole.reserve(kCountBytes + batch.bytes.size());
    whole.le<uint16_t>(static_cast<uint16_t>(batch.waiting.size()));
    whole.append(batch.bytes.view());
    Submission submission;
    submission.machine = kBrokerMachineId;
    submission.type = kPublish;
    submission.payload = Buffer::take(whole.release());
    submission.payload_crc = crc32c(submission.payload.view());
    submission.principal = batch.principal;
    const Buffer payload = submission.payload;
    if (!context_->submit(++last_request_, std::move(submission))) return wake_later(kRetryNs);
    in_flight_.push_back({last_request_, payload, std::move(batch.waiting)});
    closed_batches_.pop_front();
  }
}

void Broker::on_reply(RequestId request, const Reply& reply) {
  if (in_flight_.empty() || in_flight_.front().request != request) return;
  const InFlight batch = std::move(in_flight_.front());
  in_flight_.pop_front();
  waiting_ -= batch.waiting.size();
  waiting_bytes_ -= std::min(waiting_bytes_, batch.payload.size() - kCountBytes);
  release(batch, reply);
  if (!crowded()) resume_paused();
}

void Broker::release(const InFlight& batch, const Reply& reply) {
  if (!reply.ok()) {
    for (const Waiting& waiting : batch.waiting) tell(waiting, reason_of(*reply.error));
    return;
  }
  ByteReader in(batch.payload.view().subspan(kCountBytes));
  const Bytes statuses = reply.payload.view();
  for (size_t i = 0; i < batch.waiting.size(); ++i) {
    const Waiting& waiting = batch.waiting[i];
    auto message = std::make_shared<Message>();
    const Bytes rest = in.rest();
    message->bytes = batch.payload;
    message->view = read_message(in);
    own_bytes(*message, rest.first(rest.size() - in.remaining()));
    message->from = waiting.session;
    message->received_ns = waiting.received_ns;
    const Reason reason = i < statuses.size() ? reason_of(static_cast<PublishStatus>(statuses[i])) : Reason::success;
    if (reason != Reason::success) {
      tell(waiting, reason);
      continue;
    }
    counters_.logged.add();
    const size_t receivers = deliver(message);
    tell(waiting, receivers == 0 ? Reason::no_matching_subscribers : Reason::success);
  }
}

void Broker::tell(const Waiting& waiting, Reason reason) {
  if (static_cast<uint8_t>(reason) >= 0x80) counters_.refused.add();
  if (Subscriber* publisher = find(waiting.session)) publisher->published(waiting.ticket, reason);
}

void Broker::resume_paused() {
  const std::vector<SessionId> paused = std::exchange(paused_, {});
  for (const SessionId session : paused)
    if (Subscriber* subscriber = find(session)) subscriber->resume();
}

// Overlapping subscriptions of a client are one delivery, at the highest QoS, with all identifiers.
size_t Broker::deliver(const MessagePtr& message) {
  collect(message);
  // Deliveries may come back here (a group's member that is gone): the list is taken along.
  std::vector<Target> targets = std::exchange(targets_, {});
  for (const Target& target : targets) target.subscriber->deliver(message, target.delivery);
  const size_t receivers = targets.size();
  targets.clear();
  if (targets_.empty()) targets_ = std::move(targets);  // its memory serves the next message
  return receivers;
}

void Broker::collect(const MessagePtr& message) {
  ++round_;
  targets_.clear();
  subscriptions_.match(message->view.topic, [&](const Subscription& one) { add_target(*message, one); });
  groups_.match(message->view.topic, [&](const std::shared_ptr<SharedGroup>& group) {
    const Subscription* member = group->next(message->view.qos);
    if (member == nullptr) return;
    Delivery delivery{std::min(message->view.qos, member->qos), false, {}, group};
    if (member->id != 0) delivery.subscription_ids.push_back(member->id);
    targets_.push_back({member->subscriber, std::move(delivery)});
  });
}

void Broker::add_target(const Message& message, const Subscription& subscription) {
  Subscriber& subscriber = *subscription.subscriber;
  if (subscription.no_local && message.from == subscriber.session_id()) return;
  if (subscription.levels_min > 0 && levels_of(message.view.topic) < subscription.levels_min) return;
  if (subscriber.round != round_) {
    subscriber.round = round_;
    subscriber.slot = targets_.size();
    targets_.push_back({&subscriber, {}});
  }
  Delivery& delivery = targets_[subscriber.slot].delivery;
  delivery.qos = std::max(delivery.qos, std::min(message.view.qos, subscription.qos));
  delivery.retain = delivery.retain || (subscription.retain_as_published && message.view.retain);
  if (subscription.id != 0) delivery.subscription_ids.push_back(subscription.id);
}

void Broker::deliver_again(const std::shared_ptr<SharedGroup>& group, const MessagePtr& message) {
  const Subscription* member = group->next(message->view.qos);
  if (member == nullptr) return;
  Delivery delivery{std::min(message->view.qos, member->qos), false, {}, group};
  if (member->id != 0) delivery.subscription_ids.push_back(member->id);
  member->subscriber->deliver(message, delivery);
}

}  // namespace heptane::iot::mqtt
