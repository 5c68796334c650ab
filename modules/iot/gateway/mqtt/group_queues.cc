#include "modules/iot/gateway/mqtt/group_queues.h"

#include <algorithm>

#include "modules/iot/gateway/mqtt/broker.h"
#include "modules/iot/gateway/mqtt/group_outbox.h"

namespace heptane::iot::mqtt {

namespace {

// A request says whose it is: this bit, the key, a number.
constexpr RequestId kRequests = 1ULL << 62;
constexpr int kKeyShift = 24;

}  // namespace

void GroupQueues::detach() {
  context_ = nullptr;
  for (const auto& [key, outbox] : outboxes_) outbox->detach();
}

uint64_t GroupQueues::add(GroupOutbox& outbox) {
  outboxes_.emplace(++last_key_, &outbox);
  const Name name{outbox.group().name(), outbox.group().filter()};
  by_name_.erase(name);  // whose texts are another group's
  by_name_.emplace(name, &outbox);
  return last_key_;
}

void GroupQueues::remove(const GroupOutbox& outbox) {
  outboxes_.erase(outbox.key());
  const auto named = by_name_.find(Name{outbox.group().name(), outbox.group().filter()});
  if (named != by_name_.end() && named->second == &outbox) by_name_.erase(named);
}

std::shared_ptr<SharedGroup> GroupQueues::find(std::string_view name, std::string_view filter) const {
  const auto named = by_name_.find(Name{name, filter});
  return named == by_name_.end() ? nullptr : named->second->group().weak_from_this().lock();
}

RequestId GroupQueues::make_request(uint64_t key) {
  last_request_ = (last_request_ + 1) % (1U << kKeyShift);
  return kRequests | key << kKeyShift | last_request_;
}

net::SessionTimerId GroupQueues::arm(uint64_t key, int64_t delay_ns) {
  const net::SessionTimerId timer = context_->arm(delay_ns);
  timers_.emplace(timer, key);
  return timer;
}

// The group lives as long as what is returned.
std::shared_ptr<SharedGroup> GroupQueues::find(uint64_t key, GroupOutbox*& outbox) const {
  const auto found = outboxes_.find(key);
  outbox = found == outboxes_.end() ? nullptr : found->second;
  return outbox == nullptr ? nullptr : outbox->group().shared_from_this();
}

void GroupQueues::found(uint64_t key, const Reply& reply) {
  GroupOutbox* outbox = nullptr;
  const std::shared_ptr<SharedGroup> group = find(key, outbox);
  if (outbox == nullptr) return;
  const Result<GroupInfo> info = decode_group(reply);
  if (!info || info->number == 0) return broker_.make_volatile(group);
  outbox->begin(*info);
  check(group);
}

bool GroupQueues::on_reply(RequestId request, const Reply& reply) {
  if ((request & kRequests) == 0) return false;
  GroupOutbox* outbox = nullptr;
  const std::shared_ptr<SharedGroup> group = find((request & ~kRequests) >> kKeyShift, outbox);
  if (outbox == nullptr) return true;
  outbox->take_reply(request, reply);
  check(group);
  return true;
}

bool GroupQueues::on_records(RequestId request, const net::RecordsRead& records) {
  GroupOutbox* outbox = nullptr;
  const std::shared_ptr<SharedGroup> group = find((request & ~kRequests) >> kKeyShift, outbox);
  if (outbox == nullptr) return true;
  outbox->take_records(request, records);
  check(group);
  return true;
}

bool GroupQueues::on_timer(net::SessionTimerId timer) {
  const auto armed = timers_.find(timer);
  if (armed == timers_.end()) return false;
  GroupOutbox* outbox = nullptr;
  const std::shared_ptr<SharedGroup> group = find(armed->second, outbox);
  timers_.erase(armed);
  if (outbox == nullptr) return true;
  outbox->take_timer(timer);
  check(group);
  return true;
}

std::vector<uint64_t> GroupQueues::keys_of(uint64_t number) const {
  std::vector<uint64_t> its;
  for (const auto& [key, outbox] : outboxes_)
    if (outbox->number() == number) its.push_back(key);
  return its;
}

void GroupQueues::settled(const Settled& settled) {
  if (settled.kind != Settlement::sent) return;
  for (const uint64_t key : keys_of(settled.session)) {
    GroupOutbox* outbox = nullptr;
    const std::shared_ptr<SharedGroup> group = find(key, outbox);
    if (outbox == nullptr) continue;
    outbox->told_sent(settled.value);
    check(group);
  }
}

// What does not stay one of the members may have in its own queue now.
void GroupQueues::denied(const Settled& settled, bool stays) {
  for (const uint64_t key : keys_of(settled.session)) {
    GroupOutbox* outbox = nullptr;
    const std::shared_ptr<SharedGroup> group = find(key, outbox);
    if (outbox == nullptr) continue;
    outbox->denied(settled.value, stays);
    if (!stays) group->wake_members();
  }
}

// The machine has no such group any more, and may have another one of the name; or its messages cannot be read now.
void GroupQueues::check(const std::shared_ptr<SharedGroup>& group) {
  GroupOutbox* outbox = group->outbox();
  if (outbox == nullptr || !outbox->broken()) return;
  if (!outbox->stale()) return outbox->read_again_later();
  if (group->empty()) return broker_.make_volatile(group);
  broker_.renew_queue(group);
}

void GroupQueues::stall(GroupOutbox& outbox) {
  if (!outbox.mark_stalled(true)) stalled_.push_back(outbox.group().weak_from_this());
}

void GroupQueues::pump() {
  again_ = pumping_;
  if (stalled_.empty() || pumping_) return;
  pumping_ = true;
  do {
    again_ = false;
    std::vector<std::weak_ptr<SharedGroup>> waiting;
    waiting.swap(stalled_);
    for (const std::weak_ptr<SharedGroup>& one : waiting) {
      const std::shared_ptr<SharedGroup> group = one.lock();
      if (!group || group->outbox() == nullptr) continue;
      group->outbox()->mark_stalled(false);
      group->outbox()->pump();
    }
  } while (again_);
  pumping_ = false;
}

// Choices.

void GroupQueues::choose(Choice choice) {
  choice_bytes_ += choice.message->bytes.size();
  if (Subscriber* member = broker_.find(choice.member)) ++member->choices;
  choices_.push_back(std::move(choice));
  broker_.wake();
}

// Behind what its group gets back: that unmarks it. By topic also behind what was chosen for its member before: what of it is not
// taken goes first.
bool GroupQueues::waits(const Choice& choice) const {
  if (broker_.keeper().returns_to(choice.assigned.group)) return true;
  return choice.group->by_topic() && choosing_.contains({choice.assigned.group, choice.member});
}

void GroupQueues::send() {
  std::vector<Choice> batch;
  for (Choice& choice : std::exchange(choices_, {})) {
    if (waits(choice)) {
      choices_.push_back(std::move(choice));
      continue;
    }
    batch.push_back(std::move(choice));
    if (batch.size() == kAssignedMax) submit(std::exchange(batch, {}));
  }
  if (!batch.empty()) submit(std::move(batch));
}

void GroupQueues::submit(std::vector<Choice> batch) {
  std::vector<Assigned> assigned;
  for (const Choice& choice : batch) {
    assigned.push_back(choice.assigned);
    if (choice.group->by_topic()) choosing_.emplace(choice.assigned.group, choice.member);
  }
  under_way_ += batch.size();
  batches_.emplace(++last_batch_, std::move(batch));
  broker_.keeper().assign(last_batch_, assigned);
}

void GroupQueues::assigned(uint64_t batch, const Reply& reply) {
  const auto found = batches_.find(batch);
  if (found == batches_.end()) return;
  const std::vector<Choice> choices = std::move(found->second);
  batches_.erase(found);
  under_way_ -= choices.size();
  const Bytes statuses = reply.payload.view();
  for (size_t i = 0; i < choices.size(); ++i) {
    choice_bytes_ -= choices[i].message->bytes.size();
    if (Subscriber* member = broker_.find(choices[i].member)) --member->choices;
    const bool told = reply.ok() && i < statuses.size();
    const AssignStatus status = told ? static_cast<AssignStatus>(statuses[i]) : AssignStatus::full;
    const bool taken = status == AssignStatus::assigned || status == AssignStatus::marked;
    choosing_.erase({choices[i].assigned.group, choices[i].member});
    if (!taken && choices[i].group->by_topic()) take_back_behind(choices[i]);
    finish(choices[i], status);
  }
  if (!choices_.empty()) broker_.wake();
  pump();
}

// What waits for the same member is newer: it goes behind the one that was not taken.
void GroupQueues::take_back_behind(const Choice& first) {
  std::vector<Choice> behind;
  for (Choice& choice : std::exchange(choices_, {})) {
    const bool its = choice.assigned.group == first.assigned.group && choice.member == first.member;
    (its ? behind : choices_).push_back(std::move(choice));
  }
  for (const Choice& choice : behind) {
    choice_bytes_ -= choice.message->bytes.size();
    if (Subscriber* member = broker_.find(choice.member)) --member->choices;
    finish(choice, AssignStatus::full);
  }
}

void GroupQueues::finish(const Choice& choice, AssignStatus status) {
  const std::shared_ptr<SharedGroup> group = choice.group;
  GroupOutbox* outbox = group->outbox();
  const bool its = outbox != nullptr && outbox->number() == choice.assigned.group;
  if (its) outbox->chosen(choice.assigned.number, status);
  const bool marked = status == AssignStatus::marked;
  Subscriber* member = marked || status == AssignStatus::assigned ? broker_.find(choice.member) : nullptr;
  if (choice.assigned.session != 0) {
    if (member != nullptr) member->wake_kept();
    return;
  }
  if (!marked && status != AssignStatus::assigned) return;
  // Who is gone meanwhile leaves it to another. Where the queue does not have it any more (the broker's older logic, or the
  // group ended) that one must be there.
  const bool queued = marked && its;
  if (member == nullptr && queued) return outbox->give_back(choice.assigned.number, true);
  if (member == nullptr) return broker_.deliver_again(group, choice.message, true);
  Delivery delivery;
  delivery.qos = 2;
  delivery.retain = choice.assigned.retain && choice.message->view.retain;
  if (choice.assigned.id != 0) delivery.subscription_ids.push_back(choice.assigned.id);
  delivery.group = group;
  delivery.hold = choice.hold;
  if (queued) {
    delivery.number = choice.assigned.number;
    delivery.queue = outbox->key();
  }
  delivery.chosen = true;
  member->deliver(choice.message, delivery);
}

}  // namespace heptane::iot::mqtt
