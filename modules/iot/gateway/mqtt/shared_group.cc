#include "modules/iot/gateway/mqtt/shared_group.h"

#include <algorithm>
#include <utility>

#include "kernel/base/hash128.h"
#include "modules/iot/domain/topics/topics.h"
#include "modules/iot/gateway/mqtt/group_outbox.h"

namespace heptane::iot::mqtt {

namespace {

uint64_t hash_of(std::string_view text) { return hash128(as_bytes(text)).low; }

// Every bit of both reaches every bit of it (the finalizer of splitmix64).
uint64_t mixed(uint64_t one, uint64_t other) {
  uint64_t x = one ^ (other * 0x9E3779B97F4A7C15);
  x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9;
  x = (x ^ x >> 27) * 0x94D049BB133111EB;
  return x ^ x >> 31;
}

bool may_receive(const Subscription& member, std::string_view topic) {
  if (member.levels_min > 0 && levels_of(topic) < member.levels_min) return false;
  return member.subscriber->may_receive(topic);
}

}  // namespace

// The last token's end takes it out, unless another member has the topic since.
struct TopicHolds::Hold {
  Hold(std::weak_ptr<Holds> all, std::string_view of, SessionId whose)
      : holds(std::move(all)), topic(of), member(whose) {}
  Hold(const Hold&) = delete;
  Hold& operator=(const Hold&) = delete;
  ~Hold() {
    const std::shared_ptr<Holds> all = holds.lock();
    if (!all) return;
    const auto found = all->find(topic);
    if (found != all->end() && found->second.expired()) all->erase(found);
  }

  std::weak_ptr<Holds> holds;
  std::string topic;
  SessionId member;
};

TopicHolds::Token TopicHolds::take(std::string_view topic, SessionId member) {
  const auto found = holds_->find(topic);
  if (found != holds_->end())
    if (std::shared_ptr<const Hold> there = found->second.lock(); there && there->member == member) return there;
  auto made = std::make_shared<const Hold>(holds_, topic, member);
  holds_->insert_or_assign(std::string(topic), made);
  return made;
}

SessionId TopicHolds::holder(std::string_view topic) const {
  const auto found = holds_->find(topic);
  const std::shared_ptr<const Hold> there = found == holds_->end() ? nullptr : found->second.lock();
  return there ? there->member : 0;
}

SharedGroup::SharedGroup(std::string name, std::string filter, bool by_topic)
    : name_(std::move(name)), filter_(std::move(filter)), by_topic_(by_topic) {}

SharedGroup::~SharedGroup() = default;

std::unique_ptr<GroupOutbox> SharedGroup::set_outbox(std::unique_ptr<GroupOutbox> outbox) {
  return std::exchange(outbox_, std::move(outbox));
}

bool SharedGroup::put(const Subscription& subscription) {
  ++changes_;
  const auto [at, added] = places_.emplace(subscription.subscriber->session_id(), members_.size());
  if (added)
    members_.push_back({subscription, hash_of(subscription.subscriber->client_id())});
  else
    members_[at->second].subscription = subscription;
  return added;
}

bool SharedGroup::remove(const Subscriber& subscriber) {
  ++changes_;
  const auto found = places_.find(subscriber.session_id());
  if (found == places_.end()) return false;
  const size_t place = found->second;
  places_.erase(found);
  members_.erase(members_.begin() + static_cast<std::ptrdiff_t>(place));
  for (auto& [session, at] : places_)
    if (at > place) --at;
  return true;
}

const Subscription* SharedGroup::find(SessionId session) const {
  const auto found = places_.find(session);
  return found == places_.end() ? nullptr : &members_[found->second].subscription;
}

// One that is woken may leave.
void SharedGroup::wake_members() const {
  std::vector<Subscriber*> all;
  for (const Member& member : members_) all.push_back(member.subscription.subscriber);
  for (Subscriber* one : all) {
    const auto there = std::find_if(members_.begin(), members_.end(),
                                    [&](const Member& member) { return member.subscription.subscriber == one; });
    if (there != members_.end()) one->wake_kept();
  }
}

void SharedGroup::each_member(const std::function<void(const Subscription&)>& each) const {
  for (const Member& member : members_) each(member.subscription);
}

const Subscription* SharedGroup::next(uint8_t qos, std::string_view topic) {
  if (by_topic_) return member_of(topic);
  const size_t turn = turn_;
  bool anybody = false;
  if (const Subscription* member = choose(qos, topic, anybody)) return member;
  for (size_t i = 0; anybody; ++i) {
    const size_t at = (turn + i) % members_.size();
    if (!may_receive(members_[at].subscription, topic)) continue;
    turn_ = (at + 1) % members_.size();
    return &members_[at].subscription;
  }
  return nullptr;
}

const Subscription* SharedGroup::choose(uint8_t qos, std::string_view topic, bool& anybody) {
  for (size_t i = 0; i < members_.size(); ++i) {
    const size_t at = (turn_ + i) % members_.size();
    const Subscription& member = members_[at].subscription;
    if (!may_receive(member, topic)) continue;
    anybody = true;
    if (!member.subscriber->has_window(std::min(qos, member.qos))) continue;
    turn_ = (at + 1) % members_.size();
    return &member;
  }
  return nullptr;
}

const Subscription* SharedGroup::member_of(std::string_view topic) const {
  const SessionId holder = holds_.holder(topic);
  const Subscription* there = holder == 0 ? nullptr : find(holder);
  if (there != nullptr && may_receive(*there, topic)) return there;
  const uint64_t hash = hash_of(topic);
  const Subscription* best = nullptr;
  uint64_t best_weight = 0;
  for (const Member& member : members_) {
    if (!may_receive(member.subscription, topic)) continue;
    const uint64_t weight = mixed(member.hash, hash);
    if (best != nullptr && weight <= best_weight) continue;
    best = &member.subscription;
    best_weight = weight;
  }
  return best;
}

TopicHolds::Token SharedGroup::hold(std::string_view topic, const Subscription& member) {
  return by_topic_ ? holds_.take(topic, member.subscriber->session_id()) : TopicHolds::Token{};
}

}  // namespace heptane::iot::mqtt
