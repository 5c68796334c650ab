// SUBSCRIBE and UNSUBSCRIBE, and the retained messages that a subscription begins with. The subscription is in force from the
// place in the log at which the first of them were read: what came before is among them, what comes later arrives live. One of
// a durable session is in force from its own place in the log, and what is retained is read behind it.

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
  std::vector<Walk> older;
  older.swap(walks_);
  for (const Filter& filter : packet.filters) pending.codes.push_back(judge(filter, id, pending));
  const bool kept = kept_ && !pending.wanted.empty();
  if (!kept && walks_.empty()) {
    walks_ = std::move(older);
    return activate(pending);
  }
  if (!kept && asked_ == 0 && !ask_retained()) {
    // The shard has no room: nothing is subscribed to.
    walks_ = std::move(older);
    withdraw(pending);
    return activate(pending);
  }
  for (Walk& walk : older) walks_.push_back(std::move(walk));
  if (kept) return ask_kept(kSubscribe, std::move(pending));
  pending_ = std::make_unique<Pending>(std::move(pending));
  context_->pause_input(paused_ = true);
}

void MqttSession::withdraw(Pending& pending) {
  pending.wanted.clear();
  for (uint8_t& code : pending.codes)
    if (code < kRefused3) code = five() ? static_cast<uint8_t>(Reason::quota_exceeded) : kRefused3;
}

// The log first: the client hears of it when it is synced.
void MqttSession::ask_kept(uint16_t type, Pending pending) {
  ChangeFilters change;
  change.session = kept_->session();
  change.epoch = kept_->epoch();
  for (const Wanted& wanted : pending.wanted) {
    const Subscription& of = wanted.subscription;
    const KeptSubscription kept{of.id, of.levels_min, of.qos, of.no_local, of.retain_as_published, false};
    change.wishes.push_back({wanted.filter, kept, wanted.walk});
  }
  broker_.keeper().change(context_->id(), type, change, type == kSubscribe ? identity_.principal : Principal{});
  pending_ = std::make_unique<Pending>(std::move(pending));
  context_->pause_input(paused_ = true);
}

void MqttSession::take_changed(const Reply& reply) {
  if (!in_force()) return revoke();
  Pending pending = std::move(*pending_);
  pending_.reset();
  if (!reply.ok()) {
    for (const Wanted& wanted : pending.wanted) forget_walk(wanted);
    withdraw(pending);
  }
  activate(pending);
  resume();
  kept_->wake();
  walk();
  touched();
}

// Its SUBSCRIBE was refused: an earlier one's goes on.
void MqttSession::forget_walk(const Wanted& wanted) {
  std::erase_if(walks_, [&](const Walk& walk) { return walk.filter == wanted.filter && walk.kept == wanted.walk; });
  if (wanted.walk == 0) return;
  kept_walks_->forget(wanted.filter);
  const auto older =
      std::find_if(walks_.begin(), walks_.end(), [&](const Walk& walk) { return walk.filter == wanted.filter; });
  const Walk* walk = older != walks_.end() ? &*older : walking_.get();
  if (walk != nullptr && walk->filter == wanted.filter) kept_walks_->resume(walk->filter, walk->kept);
}

// The code for SUBACK; what is granted is put down in `pending`, what is retained for it in walks_.
uint8_t MqttSession::judge(const Filter& filter, uint32_t subscription_id, Pending& pending) {
  const auto refused = [this](Reason reason) { return five() ? static_cast<uint8_t>(reason) : kRefused3; };
  const bool shared = is_shared(filter.filter);
  if (!within_limits(filter.filter) || (shared && !parse_shared(filter.filter)))
    return refused(Reason::topic_filter_invalid);
  const std::string_view own = own_filter(filter.filter);
  if (!may_subscribe(own)) {
    tell_denied(ToldKind::denied_subscribe, filter.filter, false);
    return refused(Reason::not_authorised);
  }
  const bool known = subscriptions_.find(filter.filter) != subscriptions_.end();
  if (!known &&
      subscriptions_.size() + pending.wanted.size() >= static_cast<size_t>(broker_.options().max_subscriptions))
    return refused(Reason::quota_exceeded);
  Subscription subscription;
  subscription.subscriber = this;
  subscription.qos = filter.qos;
  subscription.no_local = filter.no_local;
  subscription.retain_as_published = filter.retain_as_published;
  subscription.id = subscription_id;
  subscription.levels_min = levels_min_of(own);
  if (readable_) readable_->filters.insert_or_assign(std::string(own), subscription.levels_min);
  const bool fetches = !shared && (filter.retain_handling == 0 || (filter.retain_handling == 1 && !known));
  const uint64_t walk = fetches && kept_walks_ ? kept_walks_->begin(filter.filter) : 0;
  pending.wanted.push_back({std::string(filter.filter), subscription, walk});
  if (fetches)
    walks_.push_back({std::string(filter.filter), {}, filter.qos, subscription_id, subscription.levels_min, walk});
  return filter.qos;
}

// What reaches beyond what the client may read, and meets it, is taken where deliveries are filtered.
bool MqttSession::may_subscribe(std::string_view own) {
  if (!in_force()) return false;
  if (!is_met(own)) return may(auth::Verb::read, own);
  filters_ = true;
  return true;
}

bool MqttSession::is_met(std::string_view own) const {
  if (!rights_ || !broker_.options().filter_deliveries || has_right(auth::Verb::read, own)) return false;
  return rights_->rights->may_meet(own);
}

// Of plant/# the topic plant is its own right. Where each message is looked at that says so.
uint16_t MqttSession::levels_min_of(std::string_view own) const {
  if (!rights_ || !own.ends_with("/#") || is_met(own)) return 0;
  if (has_right(auth::Verb::read, own.substr(0, own.size() - 2))) return 0;
  return static_cast<uint16_t>(levels_of(own));
}

bool MqttSession::still_holds(std::string_view filter, const Subscription& subscription) const {
  const std::string_view own = own_filter(filter);
  if (filters_ && broker_.options().filter_deliveries) return is_met(own) || has_right(auth::Verb::read, own);
  return has_right(auth::Verb::read, own) && levels_min_of(own) <= subscription.levels_min;
}

// The roles say something else than before: whether it may still have what it is subscribed to.
bool MqttSession::keeps_its_filters() const {
  for (const auto& [filter, subscription] : subscriptions_)
    if (!still_holds(filter, subscription)) return false;
  return !pending_ || !pending_->subscribes || holds_all(pending_->wanted);
}

bool MqttSession::holds_all(const std::vector<Wanted>& wanted) const {
  return std::all_of(wanted.begin(), wanted.end(),
                     [this](const Wanted& one) { return still_holds(one.filter, one.subscription); });
}

// Of what it is subscribed to, as its rights are.
std::map<std::string, uint16_t> MqttSession::readable_filters() const {
  std::map<std::string, uint16_t> filters;
  const auto put = [&](std::string_view filter) {
    const std::string_view own = own_filter(filter);
    if (is_met(own) || has_right(auth::Verb::read, own)) filters.insert_or_assign(std::string(own), levels_min_of(own));
  };
  for (const auto& [filter, subscription] : subscriptions_) put(filter);
  if (pending_ && pending_->subscribes)
    for (const Wanted& wanted : pending_->wanted) put(wanted.filter);
  return filters;
}

// Nothing more comes of what it may not read. Its subscriptions are dropped when nobody is on the way through them.
void MqttSession::narrow_later() {
  if (!readable_) readable_ = std::make_unique<Readable>();
  readable_->filters = readable_filters();
  if (readable_->timer == 0) readable_->timer = context_->arm(0);
}

void MqttSession::narrow() {
  readable_->filters = readable_filters();
  std::vector<std::string> lost;
  std::vector<std::string> narrowed;
  for (const auto& [filter, subscription] : subscriptions_) {
    if (still_holds(filter, subscription)) continue;
    const std::string_view own = own_filter(filter);
    (is_met(own) || has_right(auth::Verb::read, own) ? narrowed : lost).push_back(filter);
  }
  withhold();
  narrow_filters(narrowed);
  lose(lost);
  if (!kept_) readable_.reset();  // no queue has any more of it
  broker_.groups().pump();
}

// What waits for its client and is not its any more goes to others of its group, or is passed over.
void MqttSession::withhold() {
  const auto withheld =
      outbox_.take_queued([this](std::string_view topic) { return reads(topic) && still_reads(topic); });
  for (const auto& [delivery, message] : withheld) {
    if (!delivery.group) outbox_.pass_over();
    give_back(message, delivery);
  }
  tell_walked(false);
}

// Of plant/# it may read less than it might.
void MqttSession::narrow_filters(const std::vector<std::string>& filters) {
  ChangeFilters changed;
  for (const std::string& filter : filters) {
    Subscription& of = subscriptions_.find(filter)->second;
    of.levels_min = levels_min_of(own_filter(filter));
    broker_.subscribe(filter, of);
    changed.wishes.push_back({filter, {of.id, of.levels_min, of.qos, of.no_local, of.retain_as_published, false}});
    for (Walk& walk : walks_)
      if (walk.filter == filter) walk.levels_min = of.levels_min;
  }
  if (!kept_ || filters.empty()) return;
  changed.session = kept_->session();
  changed.epoch = kept_->epoch();
  broker_.keeper().change(0, kSubscribe, changed, identity_.principal);
}

// Of a durable session the log hears of it: its queue gets no more of it.
void MqttSession::lose(const std::vector<std::string>& filters) {
  ChangeFilters lost;
  for (const std::string& filter : filters) {
    tell_denied(ToldKind::denied_subscribe, filter, false);
    forget_filter(filter);
    if (kept_walks_) kept_walks_->forget(filter);
    std::erase_if(walks_, [&](const Walk& walk) { return walk.filter == filter; });
    lost.wishes.push_back({filter, {}});
  }
  if (!kept_ || filters.empty()) return;
  lost.session = kept_->session();
  lost.epoch = kept_->epoch();
  broker_.keeper().change(0, kUnsubscribe, lost, {});
}

bool MqttSession::wants(const Walk& walk, std::string_view topic) {
  return levels_of(topic) >= walk.levels_min && may_receive(topic);
}

void MqttSession::tell_subscribed(const Wanted& wanted) {
  const std::string address = net::to_text(context_->remote());
  ToldEvent event;
  event.kind = ToldKind::subscribed;
  event.qos = wanted.subscription.qos;
  event.client = client_id_;
  event.user = identity_.name;
  event.address = address;
  event.subject = wanted.filter;
  broker_.telling().subscribed(event, identity_.principal.id != auth::kLocalId);
}

void MqttSession::activate(Pending& pending) {
  for (const Wanted& wanted : pending.wanted) {
    if (!pending.subscribes) {
      forget_filter(wanted.filter);
      continue;
    }
    broker_.subscribe(wanted.filter, wanted.subscription);
    subscriptions_.insert_or_assign(wanted.filter, wanted.subscription);
    listen_for_methods(wanted.filter);
    if (!kept_) tell_subscribed(wanted);
  }
  if (pending.subscribes && rights_ && !holds_all(pending.wanted)) narrow_later();
  ByteWriter out;
  const PacketType type = pending.subscribes ? PacketType::suback : PacketType::unsuback;
  encode(type, FilterAck{pending.id, {}, std::move(pending.codes)}, version_, out);
  write(out);
  broker_.groups().pump();
}

void MqttSession::forget_filter(std::string_view filter) {
  const auto found = subscriptions_.find(filter);
  if (found == subscriptions_.end()) return;
  broker_.unsubscribe(filter, *this);
  subscriptions_.erase(found);
}

void MqttSession::take_unsubscribe(const Frame& frame) {
  Unsubscribe packet;
  if (const Fault fault = decode_unsubscribe(frame, version_, packet)) return fail(fault);
  Pending pending;
  pending.id = packet.id;
  pending.subscribes = false;
  for (const std::string_view filter : packet.filters) {
    const bool known = subscriptions_.find(filter) != subscriptions_.end();
    if (known) pending.wanted.push_back({std::string(filter), {}, 0});
    if (kept_walks_) kept_walks_->forget(filter);
    std::erase_if(walks_, [&](const Walk& walk) { return walk.filter == filter; });
    pending.codes.push_back(static_cast<uint8_t>(known ? Reason::success : Reason::no_subscription_existed));
  }
  if (kept_ && !pending.wanted.empty()) return ask_kept(kUnsubscribe, std::move(pending));
  activate(pending);
}

// Goes on with what is retained, while the client takes it. Of a durable session's SUBSCRIBE it is read when the subscription is
// in force.
void MqttSession::walk() {
  if (kept_ && pending_) return;
  if (closed_ || walks_.empty() || asked_ != 0 || !outbox_.has_room()) return;
  if (read_again_ && read_again_->timer != 0) return;
  if (!ask_retained()) read_again_later();
}

// A client that waits in vain comes again: what is retained is then fetched anew.
void MqttSession::read_again_later() {
  const int64_t now_ns = context_->monotonic_ns();
  if (!read_again_) read_again_ = std::make_unique<ReadAgain>(ReadAgain{0, kReadAgainNs, now_ns});
  if (now_ns - read_again_->since_ns >= kReadWithinNs) {
    if (five()) write_reason(PacketType::disconnect, Reason::implementation_specific);
    return end(net::CloseReason::limit, "what is retained cannot be read", true);
  }
  if (read_again_->timer != 0) return;
  read_again_->timer = context_->arm(read_again_->delay_ns);
  read_again_->delay_ns = std::min(2 * read_again_->delay_ns, kReadAgainMostNs);
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
  walking_ = std::make_unique<Walk>(std::move(walks_.front()));
  walks_.erase(walks_.begin());
  if (walks_.empty()) walks_.shrink_to_fit();  // most clients subscribe once
  return true;
}

void MqttSession::take_retained(const Reply& reply) {
  if (!in_force()) return revoke();
  if (std::exchange(asks_sources_, false)) return take_sources(reply);
  if (pending_ && !kept_) {
    Pending pending = std::move(*pending_);
    pending_.reset();
    activate(pending);
    resume();
  }
  const bool still = subscriptions_.find(walking_->filter) != subscriptions_.end();
  const Result<RetainedPage> page =
      reply.ok() ? decode_retained_page(reply.payload.view()) : Error{*reply.error, reply.message};
  if (page && still && ask_sources(*page)) return;
  if (!page && still) return put_off_walk();
  const std::unique_ptr<Walk> walking = std::move(walking_);
  if (page) read_again_.reset();
  if (still) {
    push_retained(reply, *page, *walking);
    tell_walked(false);
    if (reply.numbers[1] != 0) walks_.insert(walks_.begin(), std::move(*walking));
  }
  sources_.reset();
  walk();
}

// The page is read again when it is known what its devices are proved by: what comes live meanwhile is newer than what it has now.
bool MqttSession::ask_sources(const RetainedPage& page) {
  if (!sources_) sources_ = std::make_unique<RetainedSources>(broker_);
  QueryRequest query;
  query.machine = devices::kProvisioningMachineId;
  query.type = devices::kQueryCredentialsOf;
  query.payload = sources_->wanted(page);
  if (query.payload.empty()) return false;
  if (!context_->query(last_request_ + 1, std::move(query))) {
    put_off_walk();
    return true;
  }
  asked_ = ++last_request_;
  asks_sources_ = true;
  return true;
}

// What is not used at once is asked for again.
void MqttSession::take_sources(const Reply& reply) {
  if (!sources_->take(reply)) return put_off_walk();
  walks_.insert(walks_.begin(), std::move(*std::exchange(walking_, nullptr)));
  walk();
  if (asked_ == 0) sources_.reset();
}

void MqttSession::put_off_walk() {
  sources_.reset();
  walks_.insert(walks_.begin(), std::move(*std::exchange(walking_, nullptr)));
  read_again_later();
}

bool MqttSession::gives(const Walk& walk, const MessageView& message) {
  return wants(walk, message.topic) && sources_->allows(message, context_->utc_ns());
}

void MqttSession::push_retained(const Reply& reply, const RetainedPage& page, Walk& walk) {
  const int64_t now = context_->monotonic_ns();
  const int64_t utc = context_->utc_ns();
  // Rights are asked once: they may change between two questions, and a page counts what is pushed of it.
  std::vector<bool> given;
  for (const RetainedPage::Item& item : page.items) given.push_back(gives(walk, item.message));
  PageMark mark;
  if (walk.kept != 0) mark.page = mark_page(page, given, walk, reply.numbers[1] == 0);
  for (size_t i = 0; i < page.items.size(); ++i) {
    const RetainedPage::Item& item = page.items[i];
    auto message = std::make_shared<Message>();
    message->bytes = reply.payload;
    message->view = item.message;
    message->received_ns = now - std::max<int64_t>(0, utc - item.stored);
    Delivery delivery{std::min(item.message.qos, walk.qos), true, {}, {}};
    if (walk.subscription_id != 0) delivery.subscription_ids.push_back(walk.subscription_id);
    if (!given[i]) {
      if (!may_receive(item.message.topic)) outbox_.pass_over();
      continue;
    }
    delivery.mark = mark;
    ++mark.place;
    outbox_.push(message, delivery, true);
  }
  const bool first = walk.after.empty();
  walk.after = page.last;
  if (first && walk.filter.starts_with("$SYS/")) push_sys(walk);
}

// What the broker says of itself is as if it were retained.
void MqttSession::push_sys(const Walk& walk) {
  Delivery delivery{0, true, {}, {}};
  if (walk.subscription_id != 0) delivery.subscription_ids.push_back(walk.subscription_id);
  broker_.sys().each(walk.filter, [&](std::string_view topic, std::string_view value) {
    MessageView message;
    message.retain = true;
    message.topic = topic;
    message.payload = value;
    if (!wants(walk, topic)) return;
    outbox_.push(Broker::make_message(message, {0, 0, {}, context_->monotonic_ns()}), delivery, true);
  });
}

uint64_t MqttSession::mark_page(const RetainedPage& page, const std::vector<bool>& given, const Walk& walk, bool end) {
  std::vector<std::string> topics;
  for (size_t i = 0; i < page.items.size(); ++i)
    if (given[i]) topics.emplace_back(page.items[i].message.topic);
  return kept_walks_->add_page(walk.kept, walk.filter, std::move(topics), page.last, end);
}

void MqttSession::tell_walked(bool leaves) {
  if (!kept_walks_) return;
  for (const PageMark& mark : outbox_.take_done()) kept_walks_->done(mark);
  for (Walked& walked : kept_walks_->take_progress(leaves))
    broker_.keeper().walked({kept_->session(), kept_->epoch(), std::move(walked)});
}

// What an earlier connection did not get done.
void MqttSession::resume_walks(const OpenedSession& opened) {
  for (const OpenedSession::Walk& one : opened.walks) {
    const auto found = subscriptions_.find(one.filter);
    if (found == subscriptions_.end()) continue;
    const Subscription& of = found->second;
    walks_.push_back({std::string(one.filter), std::string(one.after), of.qos, of.id, of.levels_min,
                      kept_walks_->resume(one.filter, one.number)});
  }
  walk();
}

}  // namespace heptane::iot::mqtt
