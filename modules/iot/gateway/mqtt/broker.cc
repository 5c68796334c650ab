#include "modules/iot/gateway/mqtt/broker.h"

#include <algorithm>
#include <utility>

#include "kernel/base/crc32c.h"
#include "modules/iot/gateway/mqtt/group_outbox.h"

namespace heptane::iot::mqtt {

namespace {

constexpr int64_t kRetryNs = 1'000'000;   // when the shard's ring is full
constexpr int64_t kHeldNs = 100'000'000;  // when it refused for now
constexpr int64_t kFullNs = 500'000'000;  // when a full queue did: what is tried is logged each time
constexpr int64_t kSecondNs = KeepAliveWheel::kSecondNs;
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
  switch (status) {
    case PublishStatus::kept:
    case PublishStatus::queued:
    case PublishStatus::fleeting:
    case PublishStatus::again: return Reason::success;
    case PublishStatus::stale: return Reason::unspecified;
    default: return Reason::quota_exceeded;
  }
}

// There may be room later.
bool is_full(PublishStatus status) {
  return status == PublishStatus::queue_full || status == PublishStatus::retained_full;
}

// Gives the message bytes of its own.
void own_bytes(Message& message) {
  MessageView& view = message.view;
  std::vector<std::byte> bytes(view.topic.size() + view.client.size() + view.properties.size() + view.payload.size());
  std::byte* end = bytes.data();
  for (std::string_view* part : {&view.topic, &view.client, &view.properties, &view.payload}) {
    std::copy(part->begin(), part->end(), reinterpret_cast<char*>(end));
    *part = as_text({end, part->size()});
    end += part->size();
  }
  message.bytes = Buffer::take(std::move(bytes));  // which moves no byte
}

bool same(const Principal& one, const Principal& other) { return one.id == other.id && one.version == other.version; }

}  // namespace

// Clients.

Broker::Entry Broker::enter(Subscriber& subscriber) {
  const auto found = clients_.find(subscriber.client_id());
  if (found != clients_.end()) {
    Subscriber& before = **found;
    if (before.identity() != subscriber.identity() && !before.yields()) return Entry::refused;
    counters_.taken_over.add();
    before.taken_over();  // it leaves
  }
  clients_.insert(&subscriber);
  sessions_.insert_or_assign(subscriber.session_id(), &subscriber);
  counters_.clients.add();
  rights_sweep_.watch();
  return Entry::entered;
}

void Broker::leave(Subscriber& subscriber) {
  const auto found = clients_.find(subscriber.client_id());
  if (found != clients_.end() && *found == &subscriber) clients_.erase(found);
  sessions_.erase(subscriber.session_id());
  counters_.clients.subtract();
}

std::string Broker::make_client_id(SessionId session) const { return "auto-" + std::to_string(session); }

Subscriber* Broker::find(SessionId session) const {
  const auto found = sessions_.find(session);
  return found == sessions_.end() ? nullptr : found->second;
}

Subscriber* Broker::find(std::string_view client_id) const {
  const auto found = clients_.find(client_id);
  return found == clients_.end() ? nullptr : *found;
}

void Broker::watch_keep_alive(SessionId session, int64_t due_ns) {
  if (context_ == nullptr) return;
  keep_alives_.put(session, context_->monotonic_ns(), due_ns);
  if (keep_alive_timer_ == 0) arm_keep_alives();
}

void Broker::check_keep_alives() {
  const int64_t now_ns = context_->monotonic_ns();
  for (const SessionId session : keep_alives_.take_due(now_ns))
    if (Subscriber* subscriber = find(session)) subscriber->check_keep_alive(now_ns);
  if (keep_alive_timer_ == 0 && !keep_alives_.empty()) arm_keep_alives();
}

void Broker::arm_keep_alives() {
  keep_alive_timer_ = context_->arm(std::min(keep_alives_.next_due_ns() - context_->monotonic_ns(), kSecondNs));
}

// Subscriptions.

SharedGroup* Broker::find_group(std::string_view name, std::string_view filter) {
  auto* groups = groups_.at(filter);
  if (groups == nullptr) return nullptr;
  for (const auto& group : *groups)
    if (group->name() == name) return group.get();
  return nullptr;
}

// One whose members are gone goes on: what one of them still has is not another's, too.
SharedGroup* Broker::find_or_add_group(std::string_view name, std::string_view filter) {
  if (SharedGroup* group = find_group(name, filter)) return group;
  std::shared_ptr<SharedGroup> group = group_queues_.find(name, filter);
  if (group)
    group->outbox()->wake();
  else
    group = std::make_shared<SharedGroup>(std::string(name), std::string(filter), options_.shared == "by_topic");
  groups_.insert(filter, group);
  return group.get();
}

bool Broker::subscribe(std::string_view filter, const Subscription& subscription) {
  if (const auto shared = parse_shared(filter)) {
    SharedGroup* group = find_or_add_group(shared->group, shared->filter);
    const bool added = group->put(subscription);
    if (added) counters_.subscriptions.add();
    if (added) counters_.shared.add();
    if (group->outbox() != nullptr)
      group_queues_.stall(*group->outbox());  // a member with room
    else if (!keeper_.none())
      ask_for_queue(*group);
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

const SharedGroup* Broker::group_of(std::string_view shared) {
  const auto parts = parse_shared(shared);
  return parts ? find_group(parts->group, parts->filter) : nullptr;
}

void Broker::ask_for_queue(std::string_view shared) {
  const auto parts = parse_shared(shared);
  SharedGroup* group = parts ? find_group(parts->group, parts->filter) : nullptr;
  if (group != nullptr && group->outbox() == nullptr) ask_for_queue(*group);
}

// Returns the outbox that it had.
std::unique_ptr<GroupOutbox> Broker::ask_for_queue(SharedGroup& group) {
  auto outbox = std::make_unique<GroupOutbox>(*this, group);
  keeper_.find_group(outbox->key(), "$share/" + group.name() + "/" + group.filter());
  return group.set_outbox(std::move(outbox));
}

// What is at hand of the old one is in the new one, or goes to who is connected when there is none.
void Broker::renew_queue(const std::shared_ptr<SharedGroup>& group) {
  const std::unique_ptr<GroupOutbox> ended = ask_for_queue(*group);
  for (const MessagePtr& message : ended->leftovers()) group->outbox()->publish(message);
}

void Broker::make_volatile(const std::shared_ptr<SharedGroup>& group) {
  const std::unique_ptr<GroupOutbox> ended = group->set_outbox(nullptr);
  for (const MessagePtr& message : ended->leftovers()) deliver_again(group, message);
}

bool Broker::unsubscribe(std::string_view filter, const Subscriber& subscriber) {
  bool removed = false;
  if (const auto shared = parse_shared(filter)) {
    SharedGroup* group = find_group(shared->group, shared->filter);
    removed = group != nullptr && group->remove(subscriber);
    if (removed) counters_.shared.subtract();
    // Whoever comes next reads the queue from its beginning: what was acknowledged is out of it by then.
    if (removed && group->empty() && group->outbox() != nullptr) keeper_.flush();
    if (removed && group->empty()) groups_.remove(shared->filter, [&](const auto& one) { return one.get() == group; });
  } else {
    removed = subscriptions_.remove(filter, [&](const Subscription& one) { return one.subscriber == &subscriber; });
  }
  if (removed) counters_.subscriptions.subtract();
  return removed;
}

// Messages.

std::shared_ptr<Message> Broker::make_message(const MessageView& message, const Publisher& publisher) {
  auto made = std::make_shared<Message>();
  made->view = message;
  own_bytes(*made);
  made->from = publisher.session;
  made->received_ns = publisher.now_ns;
  return made;
}

void Broker::publish_once(const MessageView& message, const Publisher& publisher) {
  const Declared::Capture capture = declared_.capture_of(message.topic);
  Publisher by = publisher;
  by.pushed = capture != Declared::Capture::strict;
  if (by.pushed) publish_volatile(message, publisher);
  if (capture != Declared::Capture::none && !publish_logged(message, by)) counters_.refused.add();
}

size_t Broker::publish_volatile(const MessageView& message, const Publisher& publisher) {
  return deliver(make_message(message, publisher));
}

bool Broker::publish_logged(const MessageView& message, const Publisher& publisher) {
  if (context_ == nullptr || waiting_ >= kWaitingMax || waiting_bytes_ >= kWaitingBytesMax) return false;
  if (!batch_.waiting.empty() && !same(batch_.principal, publisher.principal)) close_batch();
  batch_.principal = publisher.principal;
  batch_.chain = chain_;
  const size_t before = batch_.bytes.size();
  append_message(batch_.bytes, message);
  batch_.waiting.push_back({publisher.session, publisher.ticket, publisher.now_ns, publisher.pushed});
  ++waiting_;
  waiting_bytes_ += batch_.bytes.size() - before;
  if (batch_.waiting.size() >= kPublishesMax || batch_.bytes.size() >= kPublishBytesTarget) close_batch();
  wake_later(0);
  return true;
}

void Broker::publish_will(const MessageView& message, const Publisher& publisher) {
  counters_.wills.add();
  if (message.qos == 0 && !message.retain)
    publish_once(message, publisher);
  else if (!publish_logged(message, publisher))
    counters_.refused.add();
}

void Broker::wake_later(int64_t delay_ns) {
  if (timer_ == 0 && context_ != nullptr) timer_ = context_->arm(delay_ns);
}

void Broker::on_timer(net::SessionTimerId timer) {
  if (keeper_.on_timer(timer) || group_queues_.on_timer(timer) || declared_.on_timer(timer)) return;
  if (things_.on_timer(timer) || shadows_.on_timer(timer) || jobs_.on_timer(timer)) return;
  if (presence_.on_timer(timer) || sys_.on_timer(timer) || proofs_.on_timer(timer)) return;
  if (telling_.on_timer(timer) || history_.on_timer(timer) || rights_sweep_.on_timer(timer)) return;
  if (timer == held_timer_) {
    held_timer_ = 0;
    return try_again();
  }
  if (timer == keep_alive_timer_) {
    keep_alive_timer_ = 0;
    return check_keep_alives();
  }
  if (timer != timer_) return;
  timer_ = 0;
  close_batch();
  group_queues_.send();
  send_batches();
  if (closed_batches_.empty() && !keeper_.send()) wake_later(kRetryNs);
}

void Broker::attach(net::SessionContext& context) {
  context_ = &context;
  declared_.attach(context);
  group_queues_.attach(context);
  keeper_.attach(context);
  presence_.attach(context);
  things_.attach(context);
  shadows_.attach(context);
  jobs_.attach(context);
  proofs_.attach(context);
  sys_.attach(context);
  telling_.attach(context);
  history_.attach(context);
  rights_sweep_.attach(context);
}

void Broker::detach() {
  keeper_.detach();
  presence_.detach();
  things_.detach();
  shadows_.detach();
  jobs_.detach();
  proofs_.detach();
  sys_.detach();
  telling_.detach();
  history_.detach();
  rights_sweep_.detach();
  declared_.detach();
  group_queues_.detach();
  context_ = nullptr;
}

void Broker::close_batch() {
  if (batch_.waiting.empty()) return;
  closed_batches_.push_back(std::exchange(batch_, {}));
}

void Broker::send_batches() {
  while (!closed_batches_.empty() && context_ != nullptr) {
    Batch& batch = closed_batches_.front();
    if (!in_flight_.empty() && in_flight_.back().chain != batch.chain) return;
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
    submission.chain = batch.chain;
    const Buffer payload = submission.payload;
    if (!context_->submit(++last_request_, std::move(submission))) return wake_later(kRetryNs);
    in_flight_.push_back({last_request_, batch.principal, batch.chain, payload, std::move(batch.waiting)});
    closed_batches_.pop_front();
  }
}

// Whose an answer is says its number: no two have the same ones.
static_assert(2 * Presence::kRequests <= Telling::kRequests && 2 * Telling::kRequests <= History::kRequests &&
              2 * History::kRequests <= ThingPresence::kRequests &&
              2 * ThingPresence::kRequests <= ShadowService::kRequests &&
              2 * ShadowService::kRequests <= JobService::kRequests && 2 * JobService::kRequests <= JobService::kReads);

void Broker::on_reply(RequestId request, const Reply& reply) {
  if (things_.on_reply(request, reply)) return;
  if (shadows_.on_reply(request, reply) || jobs_.on_reply(request, reply)) {
    if (!crowded()) resume_paused();
    return;
  }
  if (keeper_.on_reply(request, reply) || group_queues_.on_reply(request, reply)) return;
  if (declared_.on_reply(request, reply) || telling_.on_reply(request, reply)) return;
  if (history_.on_reply(request) || presence_.on_reply(request, reply)) return;
  if (in_flight_.empty() || in_flight_.front().request != request) return;
  const InFlight batch = std::move(in_flight_.front());
  in_flight_.pop_front();
  waiting_ -= batch.waiting.size();
  waiting_bytes_ -= std::min(waiting_bytes_, batch.payload.size() - kCountBytes);
  release(batch, reply);
  if (!closed_batches_.empty() && in_flight_.empty()) wake_later(0);
  if (!crowded()) resume_paused();
}

void Broker::release(const InFlight& batch, const Reply& reply) {
  if (!reply.ok()) return refuse(batch, *reply.error);
  Batch full;
  full.principal = batch.principal;
  release_messages(batch.payload.slice(kCountBytes, batch.payload.size() - kCountBytes), batch.waiting, reply, full);
  if (!full.waiting.empty()) put_off(std::move(full), kFullNs);
}

void Broker::release_foreign(const Buffer& messages, size_t count, const Reply& reply) {
  const int64_t now_ns = context_ == nullptr ? 0 : context_->monotonic_ns();
  Batch nobodys;
  release_messages(messages, std::vector<Waiting>(count, Waiting{0, 0, now_ns}), reply, nobodys);
}

namespace {

struct Released {
  SessionId from = 0;
  int64_t received_ns = 0;
  Sequence sequence = 0;
  RecordPlace place{};  // of no partition: it is no record
};

// Out of the command that it came with, in which it has `bytes`.
MessagePtr message_of(const Buffer& messages, const MessageView& view, size_t bytes, const Released& released) {
  auto message = std::make_shared<Message>();
  message->bytes = messages;
  message->view = view;
  // A message that waits for a slow subscriber must not keep the much larger command in memory.
  if (bytes <= messages.size() / 2) own_bytes(*message);
  message->from = released.from;
  message->received_ns = released.received_ns;
  message->sequence = released.sequence;
  message->place = released.place;
  return message;
}

}  // namespace

void Broker::release_messages(const Buffer& messages, const std::vector<Waiting>& all, const Reply& reply,
                              Batch& full) {
  ByteReader in(messages.view());
  const size_t count = std::min(all.size(), reply.payload.size());
  const Bytes statuses = reply.payload.view().first(count);
  ByteReader behind(reply.payload.view().subspan(count));
  RecordPlace place{behind.le<PartitionId>(), reply.numbers[1]};  // of the next one in iot.messages
  DeclaredPlaces elsewhere(behind.rest());
  for (size_t i = 0; i < all.size(); ++i) {
    const Waiting& waiting = all[i];
    const size_t begin = in.position();
    const MessageView view = read_message(in);
    Released released{waiting.session, waiting.received_ns};
    // For whoever is to have it: what rules read has often no subscriber.
    MessagePtr made;
    const auto make = [&]() -> const MessagePtr& {
      if (!made) made = message_of(messages, view, in.position() - begin, released);
      return made;
    };
    const PublishStatus status = i < count ? static_cast<PublishStatus>(statuses[i]) : PublishStatus::kept;
    if (waiting.pushed && !became_a_record(status)) continue;  // its stream is gone
    if (status == PublishStatus::fleeting) {
      tell(waiting, deliver(view, waiting.session, make) == 0 ? Reason::no_matching_subscribers : Reason::success);
      continue;
    }
    if (!became_a_record(status)) {
      if (is_full(status) && hold_publisher(waiting)) {
        full.bytes.append(messages.view().subspan(begin, in.position() - begin));
        full.waiting.push_back(waiting);
        continue;
      }
      tell(waiting, reason_of(status));
      continue;
    }
    counters_.logged.add();
    released.sequence = reply.sequence;
    if (const auto declared = elsewhere.of(i))
      released.place = {declared->partition, declared->offset};
    else
      released.place = {place.partition, place.offset++};
    if (waiting.pushed) continue;
    if (status == PublishStatus::queued) remember(make());
    const size_t receivers = deliver(view, waiting.session, make);
    const bool nobody = receivers == 0 && status != PublishStatus::queued;
    tell(waiting, nobody ? Reason::no_matching_subscribers : Reason::success);
  }
}

void Broker::refuse(const InFlight& batch, Errc error) {
  const bool for_now = error == Errc::overloaded || error == Errc::no_space;
  Batch held;
  held.principal = batch.principal;
  std::set<SessionId> told;
  ByteReader in(batch.messages());
  for (const Waiting& waiting : batch.waiting) {
    const size_t begin = in.position();
    read_message(in);
    if (!for_now || !hold_publisher(waiting)) {
      tell(waiting, reason_of(error));
      if (for_now && waiting.ticket != 0) told.insert(waiting.session);
      continue;
    }
    held.bytes.append(batch.messages().subspan(begin, in.position() - begin));
    held.waiting.push_back(waiting);
  }
  if (!for_now) return;
  if (batch.chain == chain_) {
    close_batch();  // what is in it stands behind what was refused
    ++chain_;
  }
  refuse_behind(told, error);
  if (!held.waiting.empty()) put_off(std::move(held), kHeldNs);
}

// At QoS 0 nobody waits. False: whoever sent it is told.
bool Broker::hold_publisher(const Waiting& waiting) {
  Subscriber* publisher = waiting.ticket == 0 ? nullptr : find(waiting.session);
  return publisher != nullptr && publisher->hold();
}

void Broker::put_off(Batch held, int64_t delay_ns) {
  waiting_ += held.waiting.size();
  waiting_bytes_ += held.bytes.size();
  hold_behind(publishers_of(held));
  held_.push_back(std::move(held));
  if (held_timer_ == 0 && context_ != nullptr) held_timer_ = context_->arm(delay_ns);
}

std::set<SessionId> Broker::publishers_of(const Batch& batch) {
  std::set<SessionId> publishers;
  for (const Waiting& waiting : batch.waiting) publishers.insert(waiting.session);
  return publishers;
}

// What they sent behind a refusal, which might be taken: more of theirs may be on its way to be refused, and that goes before.
void Broker::hold_behind(const std::set<SessionId>& publishers) {
  std::vector<Batch> behind = take_behind(publishers);
  std::move(behind.begin(), behind.end(), std::back_inserter(held_behind_));
}

// Likewise of those who are told, and of those who are gone and send both again: it must not be in the log before what was refused.
void Broker::refuse_behind(const std::set<SessionId>& publishers, Errc error) {
  for (const Batch& behind : take_behind(publishers)) {
    waiting_ -= behind.waiting.size();
    waiting_bytes_ -= std::min(waiting_bytes_, behind.bytes.size());
    for (const Waiting& waiting : behind.waiting) tell(waiting, reason_of(error));
  }
}

std::vector<Broker::Batch> Broker::take_behind(const std::set<SessionId>& publishers) {
  std::vector<Batch> all;
  if (publishers.empty()) return all;
  const auto take_theirs = [&](Batch& later) {
    Batch behind;
    behind.principal = later.principal;
    hold_of(later, publishers, behind);
    if (!behind.waiting.empty()) all.push_back(std::move(behind));
  };
  for (Batch& later : closed_batches_)
    if (later.chain == chain_) take_theirs(later);
  std::erase_if(closed_batches_, [](const Batch& one) { return one.waiting.empty(); });
  take_theirs(batch_);
  return all;
}

// Moves their messages.
void Broker::hold_of(Batch& batch, const std::set<SessionId>& publishers, Batch& held) {
  Batch left;
  left.principal = batch.principal;
  left.chain = batch.chain;
  ByteReader in(batch.bytes.view());
  for (const Waiting& waiting : batch.waiting) {
    const size_t begin = in.position();
    read_message(in);
    Batch& to = publishers.contains(waiting.session) ? held : left;
    to.bytes.append(batch.bytes.view().subspan(begin, in.position() - begin));
    to.waiting.push_back(waiting);
  }
  batch = std::move(left);
}

// When all that stands behind it in the old chain was refused as well. Who is gone sends it again itself, at QoS 1 and 2.
void Broker::try_again() {
  const bool old = (!in_flight_.empty() && in_flight_.front().chain != chain_) ||
                   (!closed_batches_.empty() && closed_batches_.front().chain != chain_);
  if (old) {
    held_timer_ = context_->arm(kHeldNs);
    return;
  }
  std::deque<Batch> again;
  std::move(held_behind_.begin(), held_behind_.end(), std::back_inserter(held_));
  held_behind_.clear();
  for (Batch& held : std::exchange(held_, {})) {
    Batch left;
    left.principal = held.principal;
    left.chain = chain_;
    ByteReader in(held.bytes.view());
    for (const Waiting& waiting : held.waiting) {
      const size_t begin = in.position();
      read_message(in);
      if (find(waiting.session) == nullptr) {
        if (waiting.ticket == 0) counters_.refused.add();  // QoS 0: nobody sends it again
        continue;
      }
      left.bytes.append(held.bytes.view().subspan(begin, in.position() - begin));
      left.waiting.push_back(waiting);
    }
    waiting_ -= held.waiting.size() - left.waiting.size();
    waiting_bytes_ -= std::min(waiting_bytes_, held.bytes.size() - left.bytes.size());
    if (!left.waiting.empty()) again.push_back(std::move(left));
  }
  closed_batches_.insert(closed_batches_.begin(), std::make_move_iterator(again.begin()),
                         std::make_move_iterator(again.end()));
  send_batches();
  if (!crowded()) resume_paused();
}

// What durable sessions will ask for soon, so that they need not read it.
void Broker::remember(const MessagePtr& message) {
  const PlaceKey key{message->place.partition, message->place.offset};
  recent_.insert_or_assign(key, message);
  recent_order_.push_back(key);
  recent_bytes_ += message->bytes.size();
  while (recent_.size() > kRecentMax || recent_bytes_ > kRecentBytesMax) {
    const auto oldest = recent_.find(recent_order_.front());
    recent_bytes_ -= oldest->second->bytes.size();
    recent_.erase(oldest);
    recent_order_.pop_front();
  }
}

MessagePtr Broker::recent(const RecordPlace& place) const {
  const auto found = recent_.find({place.partition, place.offset});
  return found == recent_.end() ? nullptr : found->second;
}

void Broker::deliver_stored(const MessagePtr& message, const RecordPlace& place) {
  auto placed = std::make_shared<Message>(*message);
  placed->place = place;
  counters_.logged.add();
  if (!keeper_.none()) remember(placed);
  deliver(placed);
}

void Broker::deliver_will(const Buffer& bytes, const MessageView& message, uint64_t sequence) {
  counters_.wills.add();
  auto made = std::make_shared<Message>();
  made->bytes = bytes;
  made->view = message;
  made->received_ns = context_ == nullptr ? 0 : context_->monotonic_ns();
  made->sequence = sequence;
  deliver(made);
  if (context_ != nullptr) sparkplug_.passed(message, {}, context_->utc_ns(), made->received_ns);
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
  return deliver(message->view, message->from, [&]() -> const MessagePtr& { return message; });
}

template <class Make>
size_t Broker::deliver(const MessageView& view, SessionId from, const Make& make) {
  const size_t queued = collect(view, from, make);
  if (targets_.empty()) return queued;
  // Deliveries may come back here (a group's member that is gone): the list is taken along.
  std::vector<Target> targets = std::exchange(targets_, {});
  const MessagePtr message = make();
  message->many = targets.size() > 1;
  for (const Target& target : targets) target.subscriber->deliver(message, target.delivery);
  const size_t receivers = targets.size() + queued;
  targets.clear();
  if (targets_.empty()) targets_ = std::move(targets);  // its memory serves the next message
  return receivers;
}

// Returns how many groups have it in their queues.
template <class Make>
size_t Broker::collect(const MessageView& view, SessionId from, const Make& make) {
  size_t queued = 0;
  ++round_;
  targets_.clear();
  subscriptions_.match(view.topic, [&](const Subscription& one) { add_target(view, from, one); });
  groups_.match(view.topic, [&](const std::shared_ptr<SharedGroup>& group) {
    if (view.qos > 0 && group->outbox() != nullptr) {
      ++queued;
      return group->outbox()->publish(make());
    }
    const Subscription* member = group->next(view.qos, view.topic);
    if (member == nullptr) return counters_.dropped_denied.add();
    targets_.push_back({member->subscriber, delivery_of(group, *member, view)});
  });
  return queued;
}

Delivery Broker::delivery_of(const std::shared_ptr<SharedGroup>& group, const Subscription& member,
                             const MessageView& message) {
  Delivery delivery{std::min(message.qos, member.qos), false, {}, group};
  if (member.id != 0) delivery.subscription_ids.push_back(member.id);
  if (delivery.qos > 0) delivery.hold = group->hold(message.topic, member);
  return delivery;
}

void Broker::add_target(const MessageView& view, SessionId from, const Subscription& subscription) {
  Subscriber& subscriber = *subscription.subscriber;
  if (subscription.no_local && from == subscriber.session_id()) return;
  if (subscription.levels_min > 0 && levels_of(view.topic) < subscription.levels_min) return;
  if (subscriber.round != round_) {
    subscriber.round = round_;
    subscriber.slot = targets_.size();
    targets_.push_back({&subscriber, {}});
  }
  Delivery& delivery = targets_[subscriber.slot].delivery;
  delivery.qos = std::max(delivery.qos, std::min(view.qos, subscription.qos));
  delivery.retain = delivery.retain || (subscription.retain_as_published && view.retain);
  if (subscription.id != 0) delivery.subscription_ids.push_back(subscription.id);
}

void Broker::give_back(const Delivery& delivery, const MessagePtr& message) {
  GroupOutbox* outbox = delivery.group->outbox();
  const bool its = delivery.number && outbox != nullptr && outbox->key() == delivery.queue;
  if (its) return outbox->give_back(*delivery.number, delivery.chosen);
  deliver_again(delivery.group, message, delivery.chosen);
}

// Whoever is given it may give it back at once, with all that it had: that is older than what waits here, and goes before it.
void Broker::deliver_again(const std::shared_ptr<SharedGroup>& group, const MessagePtr& message, bool chosen) {
  given_back_.push_back({group, message, chosen});
  if (std::exchange(delivers_again_, true)) return;
  while (!given_back_.empty() || !again_.empty()) {
    again_.insert(again_.begin(), std::make_move_iterator(given_back_.begin()),
                  std::make_move_iterator(given_back_.end()));
    given_back_.clear();
    const Again again = std::move(again_.front());
    again_.pop_front();
    deliver_to_another(again);
  }
  delivers_again_ = false;
}

void Broker::deliver_to_another(const Again& again) {
  const Message& message = *again.message;
  const Subscription* member = again.group->next(message.view.qos, message.view.topic);
  if (member == nullptr && !again.group->empty()) counters_.dropped_denied.add();
  if (member == nullptr) return;
  Delivery delivery = delivery_of(again.group, *member, message.view);
  delivery.chosen = again.chosen;
  member->subscriber->deliver(again.message, delivery);
}

}  // namespace heptane::iot::mqtt
