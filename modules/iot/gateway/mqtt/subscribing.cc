// SUBSCRIBE and UNSUBSCRIBE, and the retained messages that a subscription begins with. The subscription is in force from the
// place in the log at which the first of them were read: what came before is among them, what comes later arrives live.

#include <algorithm>

#include "modules/iot/gateway/mqtt/session.h"

namespace heptane::iot::mqtt {

namespace {

constexpr uint8_t kRefused3 = 0x80;

// The filter that matches topics: of a shared subscription, the one behind the group.
std::string_view own_filter(std::string_view filter) {
  const auto shared = parse_shared(filter);
  return shared ? shared->filter : filter;
}

}  // namespace

void MqttSession::take_subscribe(const Frame& frame) {
  Subscribe packet;
  if (const Fault fault = decode_subscribe(frame, version_, packet)) return fail(fault);
  Pending pending;
  pending.id = packet.id;
  const uint32_t id = packet.properties.subscription_ids.empty() ? 0 : packet.properties.subscription_ids.front();
  std::deque<Walk> older;
  older.swap(walks_);
  for (const Filter& filter : packet.filters) pending.codes.push_back(judge(filter, id, pending));
  if (walks_.empty()) {
    walks_ = std::move(older);
    return activate(pending);
  }
  if (asked_ == 0 && !ask_retained()) {
    // The shard has no room: nothing is subscribed to.
    walks_ = std::move(older);
    pending.wanted.clear();
    for (uint8_t& code : pending.codes)
      if (code < kRefused3) code = five() ? static_cast<uint8_t>(Reason::quota_exceeded) : kRefused3;
    return activate(pending);
  }
  for (Walk& walk : older) walks_.push_back(std::move(walk));
  pending_ = std::move(pending);
  context_->pause_input(paused_ = true);
}

// The code for SUBACK; what is granted is put down in `pending`, what is retained for it in walks_.
uint8_t MqttSession::judge(const Filter& filter, uint32_t subscription_id, Pending& pending) {
  const auto refused = [this](Reason reason) { return five() ? static_cast<uint8_t>(reason) : kRefused3; };
  const bool shared = is_shared(filter.filter);
  if (!within_limits(filter.filter) || (shared && !parse_shared(filter.filter)))
    return refused(Reason::topic_filter_invalid);
  const std::string_view own = own_filter(filter.filter);
  if (!may(auth::Verb::read, own)) return refused(Reason::not_authorised);
  const bool known = subscriptions_.find(filter.filter) != subscriptions_.end();
  if (!known && subscriptions_.size() + pending.wanted.size() >= kSubscriptionsMax)
    return refused(Reason::quota_exceeded);
  Subscription subscription;
  subscription.subscriber = this;
  subscription.qos = filter.qos;
  subscription.no_local = filter.no_local;
  subscription.retain_as_published = filter.retain_as_published;
  subscription.id = subscription_id;
  auth::Authenticator* authenticator = broker_.options().authenticator;
  if (authenticator != nullptr && own.ends_with("/#")) {
    const std::string_view parent = own.substr(0, own.size() - 2);
    if (!authenticator->sees(identity_, "mqtt", parent) || !may(auth::Verb::read, parent))
      subscription.levels_min = static_cast<uint16_t>(levels_of(own));
  }
  pending.wanted.push_back({std::string(filter.filter), subscription});
  const bool fetches = !shared && (filter.retain_handling == 0 || (filter.retain_handling == 1 && !known));
  if (fetches) walks_.push_back({std::string(filter.filter), {}, filter.qos, subscription_id, subscription.levels_min});
  return filter.qos;
}

void MqttSession::activate(Pending& pending) {
  for (const Wanted& wanted : pending.wanted) {
    broker_.subscribe(wanted.filter, wanted.subscription);
    subscriptions_.insert_or_assign(wanted.filter, wanted.subscription);
  }
  ByteWriter out;
  encode(PacketType::suback, FilterAck{pending.id, {}, std::move(pending.codes)}, version_, out);
  write(out);
}

void MqttSession::take_unsubscribe(const Frame& frame) {
  Unsubscribe packet;
  if (const Fault fault = decode_unsubscribe(frame, version_, packet)) return fail(fault);
  FilterAck answer;
  answer.id = packet.id;
  for (const std::string_view filter : packet.filters) {
    const auto found = subscriptions_.find(filter);
    const bool known = found != subscriptions_.end();
    if (known) {
      broker_.unsubscribe(filter, *this);
      subscriptions_.erase(found);
    }
    std::erase_if(walks_, [&](const Walk& walk) { return walk.filter == filter; });
    answer.codes.push_back(static_cast<uint8_t>(known ? Reason::success : Reason::no_subscription_existed));
  }
  ByteWriter out;
  encode(PacketType::unsuback, answer, version_, out);
  write(out);
}

// Goes on with what is retained, while the client takes it.
void MqttSession::walk() {
  if (closed_ || walks_.empty() || asked_ != 0 || !outbox_.has_room()) return;
  ask_retained();
}

bool MqttSession::ask_retained() {
  const Walk& next = walks_.front();
  QueryRequest query;
  query.machine = kBrokerMachineId;
  query.type = kQueryRetained;
  query.payload = encode(RetainedQuery{next.filter, next.after});
  query.principal = identity_.principal;
  if (!context_->query(last_request_ + 1, std::move(query))) return false;
  asked_ = ++last_request_;
  walking_ = std::move(walks_.front());
  walks_.pop_front();
  return true;
}

void MqttSession::take_retained(const Reply& reply) {
  if (!in_force()) return revoke();
  if (pending_) {
    Pending pending = std::move(*pending_);
    pending_.reset();
    activate(pending);
    resume();
  }
  const bool still = subscriptions_.find(walking_.filter) != subscriptions_.end();
  if (reply.ok() && still) {
    push_retained(reply);
    if (reply.numbers[1] != 0) walks_.push_front(std::move(walking_));
  }
  walk();
}

void MqttSession::push_retained(const Reply& reply) {
  const Result<RetainedPage> page = decode_retained_page(reply.payload.view());
  if (!page) return;
  const int64_t now = context_->monotonic_ns();
  const int64_t utc = context_->utc_ns();
  for (const RetainedPage::Item& item : page->items) {
    auto message = std::make_shared<Message>();
    message->bytes = reply.payload;
    message->view = item.message;
    message->received_ns = now - std::max<int64_t>(0, utc - item.stored);
    Delivery delivery{std::min(item.message.qos, walking_.qos), true, {}, {}};
    if (walking_.subscription_id != 0) delivery.subscription_ids.push_back(walking_.subscription_id);
    if (levels_of(item.message.topic) >= walking_.levels_min) outbox_.push(message, delivery);
  }
  walking_.after = page->last;
}

}  // namespace heptane::iot::mqtt
