#include "modules/iot/gateway/mqtt/keeper.h"

#include <algorithm>

#include "kernel/base/crc32c.h"
#include "modules/iot/gateway/mqtt/broker.h"
#include "modules/iot/gateway/mqtt/publisher_rights.h"

namespace heptane::iot::mqtt {

namespace {

constexpr int64_t kRetryNs = 100'000'000;  // of what the shard refused and must take

Buffer numbers(std::initializer_list<uint64_t> values) {
  ByteWriter out;
  for (const uint64_t value : values) out.le<uint64_t>(value);
  return Buffer::take(out.release());
}

bool is_query(Keeper::Kind kind) {
  return kind == Keeper::Kind::find || kind == Keeper::Kind::counts || kind == Keeper::Kind::wills ||
         kind == Keeper::Kind::group || kind == Keeper::Kind::will_facts || kind == Keeper::Kind::will_credentials;
}

bool is_loss(Settlement kind) {
  return kind == Settlement::gone || kind == Settlement::expired || kind == Settlement::denied ||
         kind == Settlement::abandoned;
}

constexpr int64_t kAskAgainNs = 1'000'000'000;

// Of what nobody may receive, messages that are still in their groups' queues.
std::set<std::pair<uint64_t, uint64_t>> kept_of(const Reply& settled) {
  std::set<std::pair<uint64_t, uint64_t>> kept;
  ByteReader in(settled.payload.view());
  while (in.remaining() > 0 && !in.failed()) {
    const auto session = in.le<uint64_t>();
    kept.emplace(session, in.le<uint64_t>());
  }
  return kept;
}

// Nobody can be told that it was refused.
bool must_be_taken(Keeper::Kind kind) {
  return kind == Keeper::Kind::close || kind == Keeper::Kind::settle || kind == Keeper::Kind::boot ||
         kind == Keeper::Kind::end_connections || kind == Keeper::Kind::will || kind == Keeper::Kind::counts ||
         kind == Keeper::Kind::wills || kind == Keeper::Kind::will_facts || kind == Keeper::Kind::will_credentials ||
         kind == Keeper::Kind::group || kind == Keeper::Kind::walked;
}

}  // namespace

void Keeper::attach(net::SessionContext& context) {
  context_ = &context;
  Ask counts;
  counts.kind = Kind::counts;
  counts.type = kQueryCounts;
  first_.push_back(std::move(counts));
  broker_.wake();
}

void Keeper::detach() {
  context_ = nullptr;
  ready_ = false;
}

// What is asked.

void Keeper::ask(Ask ask) {
  if (context_ == nullptr) return;
  asks_.push_back(std::move(ask));
  broker_.wake();
}

void Keeper::find(SessionId from, std::string_view client) {
  Ask made;
  made.from = from;
  made.type = kQuerySession;
  made.payload = Buffer::copy_of(client);
  ask(std::move(made));
}

void Keeper::open(SessionId from, const OpenSession& open, const Principal& principal) {
  none_ = false;
  Ask made;
  made.kind = Kind::open;
  made.from = from;
  made.type = kOpenSession;
  made.payload = encode(open);
  made.principal = principal;
  ask(std::move(made));
}

// In nobody's name: who is revoked still leaves.
void Keeper::close(const CloseSession& close) {
  flush();
  Ask made;
  made.kind = Kind::close;
  made.type = kCloseSession;
  made.payload = encode(close);
  ask(std::move(made));
}

void Keeper::change(SessionId from, uint16_t type, const ChangeFilters& change, const Principal& principal) {
  Ask made;
  made.kind = Kind::change;
  made.from = from;
  made.type = type;
  made.payload = encode(change);
  made.principal = principal;
  ask(std::move(made));
}

void Keeper::find_group(uint64_t key, std::string_view shared) {
  Ask made;
  made.kind = Kind::group;
  made.type = kQueryGroup;
  made.payload = Buffer::copy_of(shared);
  made.key = key;
  ask(std::move(made));
}

void Keeper::assign(uint64_t batch, const std::vector<Assigned>& assigned) {
  Ask made;
  made.kind = Kind::assign;
  made.type = kAssignShared;
  made.payload = encode(assigned);
  made.key = batch;
  ask(std::move(made));
}

void Keeper::settle(const Settled& settled) {
  if (context_ == nullptr) return;
  lazy_.push_back(settled);
  if (is_loss(settled.kind)) ++losses_;
  if (settled.kind == Settlement::returned) ++returning_[settled.session];
  if (lazy_.size() >= kLazyMax || losses_ >= kLossesMax) return flush();
  flush_later();
}

void Keeper::walked(WalkedBy walked) {
  if (context_ == nullptr) return;
  walked_.push_back(std::move(walked));
  if (walked_.size() >= kWalkedMax) return flush();
  flush_later();
}

void Keeper::flush_later() {
  if (lazy_timer_ == 0) lazy_timer_ = context_->arm(kLazyNs);
}

void Keeper::settle_now(SessionId from, const Settled& settled) {
  waiting_.emplace_back(from, settled);
  settle(settled);
  broker_.wake();
}

void Keeper::flush() {
  if (context_ == nullptr) return;
  if (lazy_timer_ != 0) context_->cancel(std::exchange(lazy_timer_, 0));
  if (!lazy_.empty()) flush_settled();
  if (!walked_.empty()) flush_walked();
}

void Keeper::flush_walked() {
  Ask made;
  made.kind = Kind::walked;
  made.type = kWalked;
  made.payload = encode(std::exchange(walked_, {}));
  ask(std::move(made));
}

void Keeper::flush_settled() {
  Ask made;
  made.kind = Kind::settle;
  made.type = kSettle;
  for (const Settled& one : lazy_)
    if (one.kind == Settlement::returned) made.returns.push_back(one.session);
  made.payload = encode(std::exchange(lazy_, {}));
  losses_ = 0;
  made.waiting = std::exchange(waiting_, {});
  made.turn = ++last_turn_;
  ask(std::move(made));
}

void Keeper::stop() {
  flush();
  send();
}

// To the shard.

bool Keeper::submit(const Ask& ask) {
  if (is_query(ask.kind)) {
    QueryRequest query;
    query.machine = ask.kind == Kind::will_credentials ? devices::kProvisioningMachineId : kBrokerMachineId;
    query.type = ask.type;
    query.payload = ask.payload;
    return context_->query(last_request_ + 1, std::move(query));
  }
  Submission submission;
  submission.machine = kBrokerMachineId;
  submission.type = ask.type;
  submission.payload = ask.payload;
  submission.payload_crc = crc32c(ask.payload.view());
  submission.principal = ask.principal;
  return context_->submit(last_request_ + 1, std::move(submission));
}

bool Keeper::send() {
  if (context_ == nullptr) return true;
  if (!waiting_.empty()) flush();
  while (!first_.empty() || (ready_ && !asks_.empty())) {
    std::deque<Ask>& from = first_.empty() ? asks_ : first_;
    if (!submit(from.front())) return false;
    under_way_.emplace(++last_request_, std::move(from.front()));
    from.pop_front();
  }
  return true;
}

bool Keeper::on_reply(RequestId request, const Reply& reply) {
  const auto found = under_way_.find(request);
  if (found == under_way_.end()) return false;
  Ask ask = std::move(found->second);
  under_way_.erase(found);
  answer(ask, reply);
  return true;
}

void Keeper::answer(Ask& ask, const Reply& reply) {
  const bool later = !reply.ok() && (*reply.error == Errc::overloaded || *reply.error == Errc::no_space);
  if (later && must_be_taken(ask.kind)) {
    retries_.push_back(std::move(ask));
    if (retry_timer_ == 0) retry_timer_ = context_->arm(kRetryNs);
    return;
  }
  switch (ask.kind) {
    case Kind::counts: return take_counts(reply);
    case Kind::boot: return end_connections(0);
    case Kind::end_connections:
      started_ = reply.time;
      if (reply.numbers[1] != 0) return end_connections(static_cast<uint64_t>(reply.numbers[0]));
      return ask_wills(0);
    case Kind::wills: return take_wills(reply);
    case Kind::will_facts: return take_will_facts(ask, reply);
    case Kind::will_credentials: return take_credentials(ask, reply);
    case Kind::open: return take_opened(ask, reply);
    case Kind::settle: return take_settled(std::move(ask), reply);
    case Kind::will:
    case Kind::close: return take_will(ask, reply);
    case Kind::group: return broker_.groups().found(ask.key, reply);
    case Kind::assign: return broker_.groups().assigned(ask.key, reply);
    case Kind::change: return take_changed(ask, reply);
    case Kind::walked: return;
    case Kind::find:
      if (Subscriber* subscriber = broker_.find(ask.from)) subscriber->kept_answer(ask.kind, reply);
      return;
  }
}

bool Keeper::on_timer(net::SessionTimerId timer) {
  if (timer == lazy_timer_) {
    lazy_timer_ = 0;
    flush();
    return true;
  }
  if (timer == will_timer_) {
    will_timer_ = 0;
    publish_wills();
    return true;
  }
  if (timer != retry_timer_) return false;
  retry_timer_ = 0;
  std::deque<Ask>& to = ready_ ? asks_ : first_;
  for (Ask& again : retries_) to.push_back(std::move(again));
  retries_.clear();
  broker_.wake();
  return true;
}

// The start.

void Keeper::take_counts(const Reply& reply) {
  const bool had_none = reply.numbers[0] == 0;
  if (!had_none) none_ = false;  // else there is what was opened since it was asked
  if (had_none) {
    ready_ = true;
    return broker_.wake();
  }
  ByteWriter grace;
  grace.le<uint32_t>(static_cast<uint32_t>(broker_.options().restart_grace_s));
  Ask boot;
  boot.kind = Kind::boot;
  boot.type = kBoot;
  boot.payload = Buffer::take(grace.release());
  first_.push_back(std::move(boot));
  broker_.wake();
}

void Keeper::end_connections(uint64_t after) {
  Ask made;
  made.kind = Kind::end_connections;
  made.type = kEndConnections;
  made.payload = numbers({after});
  first_.push_back(std::move(made));
  broker_.wake();
}

void Keeper::ask_wills(uint64_t after) {
  Ask made;
  made.kind = Kind::wills;
  made.type = kQueryWills;
  made.payload = numbers({after});
  first_.push_back(std::move(made));
  broker_.wake();
}

void Keeper::take_wills(const Reply& reply) {
  const Result<std::vector<DueWill>> wills = decode_due_wills(reply.payload.view());
  if (wills)
    for (const DueWill& will : *wills) remember_will(will.session, will.epoch, will.due - started_);
  if (wills && reply.numbers[1] != 0) return ask_wills(static_cast<uint64_t>(reply.numbers[0]));
  ready_ = true;
  broker_.wake();
}

// Wills.

void Keeper::remember_will(uint64_t session, uint64_t epoch, int64_t delay_ns) {
  forget_will(session);
  const int64_t due_ns = context_->monotonic_ns() + delay_ns;
  wills_.emplace(session, Will{epoch, due_ns});
  wills_due_.emplace(due_ns, session);
  arm_wills();
}

void Keeper::forget_will(uint64_t session) {
  const auto found = wills_.find(session);
  if (found == wills_.end()) return;
  wills_due_.erase({found->second.due_ns, session});
  wills_.erase(found);
}

void Keeper::arm_wills() {
  if (will_timer_ != 0) context_->cancel(std::exchange(will_timer_, 0));
  if (wills_due_.empty()) return;
  constexpr int64_t kShortestNs = 20'000'000;
  will_timer_ = context_->arm(std::max(kShortestNs, wills_due_.begin()->first - context_->monotonic_ns()));
}

// The machine decides whether it is time, and whether the client is back. Where there are rights its user's are asked for first;
// where its logic cannot drop a will, it is published as before.
void Keeper::publish_wills() {
  const int64_t now = context_->monotonic_ns();
  while (!wills_due_.empty() && wills_due_.begin()->first <= now) {
    const uint64_t session = wills_due_.begin()->second;
    const uint64_t epoch = wills_.at(session).epoch;
    forget_will(session);
    if (broker_.options().authenticator == nullptr) {
      ask_for_will(session, epoch, false);
      continue;
    }
    Ask made;
    made.kind = Kind::will_facts;
    made.type = kQueryWill;
    made.payload = numbers({session, epoch});
    ask(std::move(made));
  }
  arm_wills();
}

void Keeper::ask_for_will(uint64_t session, uint64_t epoch, bool drops) {
  ByteWriter out;
  out.le<uint64_t>(session);
  out.le<uint64_t>(epoch);
  if (drops) out.u8(1);
  Ask made;
  made.kind = Kind::will;
  made.type = kPublishWill;
  made.payload = Buffer::take(out.release());
  ask(std::move(made));
}

void Keeper::take_will_facts(const Ask& ask, const Reply& reply) {
  if (reply.ok() && reply.payload.empty()) return;  // its client is back, and has another one
  ByteReader in(ask.payload.view());
  const auto session = in.le<uint64_t>();
  const auto epoch = in.le<uint64_t>();
  const auto will = reply.ok() ? decode_will_facts(reply.payload.view()) : std::nullopt;
  if (!will) return ask_again(session, epoch, kAskAgainNs);
  const bool can_drop = reply.numbers[0] != 0;
  const bool drops = can_drop && !user_may_publish(broker_, {will->owner, will->client, will->topic});
  if (!drops || !broker_.devices().any()) return ask_for_will(session, epoch, drops);
  ask_for_credentials({session, epoch, std::string(will->owner), std::string(will->client), std::string(will->topic)});
}

// The owner is no user, or not one who may: it may be a device.
void Keeper::ask_for_credentials(OwnedWill due) {
  Ask made;
  made.kind = Kind::will_credentials;
  made.type = devices::kQueryCredentials;
  made.payload = Buffer::copy_of(due.owner);
  made.due = std::make_shared<const OwnedWill>(std::move(due));
  ask(std::move(made));
}

void Keeper::take_credentials(const Ask& ask, const Reply& reply) {
  const OwnedWill& due = *ask.due;
  const auto rows = reply.ok() ? devices::decode_credential_rows(reply.payload.view()) : std::nullopt;
  if (!rows) return ask_again(due.session, due.epoch, kAskAgainNs);
  const Publication what{due.owner, due.client, due.topic};
  ask_for_will(due.session, due.epoch, !device_may_publish(broker_, what, *rows, context_->utc_ns()));
}

// Unless its client is back, and has another one.
void Keeper::ask_again(uint64_t session, uint64_t epoch, int64_t delay_ns) {
  const auto known = wills_.find(session);
  if (known == wills_.end() || known->second.epoch <= epoch) remember_will(session, epoch, delay_ns);
}

// To those who are connected; durable sessions have it in their queues.
bool Keeper::deliver_will(const Reply& reply) {
  ByteReader in(reply.payload.view());
  const bool published = reply.ok() && in.u8() != 0;
  if (published) broker_.deliver_will(reply.payload, read_message(in), reply.sequence);
  return published;
}

// What is due later, in log time, is asked for then. A will that is asked for too early is not asked for again at once.
void Keeper::take_will(const Ask& ask, const Reply& reply) {
  ByteReader in(ask.payload.view());
  const auto session = in.le<uint64_t>();
  const auto epoch = in.le<uint64_t>();
  const bool published = deliver_will(reply);
  const auto known = wills_.find(session);
  if (known != wills_.end() && known->second.epoch > epoch) return;
  forget_will(session);
  const bool dropped =
      ask.kind == Kind::will && reply.ok() && reply.numbers[0] == static_cast<int64_t>(WillEnd::dropped);
  if (dropped) broker_.counters().dropped_denied.add();
  if (published || dropped || !reply.ok() || reply.numbers[1] == 0) return;
  const int64_t left_ns = reply.numbers[1] - reply.time;
  remember_will(session, epoch, ask.kind == Kind::will ? std::max(kAskAgainNs, left_ns) : left_ns);
}

// Sessions.

void Keeper::take_opened(const Ask& ask, const Reply& reply) {
  deliver_will(reply);
  forget_will_of(reply);
  if (Subscriber* subscriber = broker_.find(ask.from)) return subscriber->kept_answer(ask.kind, reply);
  if (!reply.ok()) return;
  const Result<OpenedSession> opened = decode_opened(reply.payload.view());
  if (opened)
    for (const OpenedSession::Subscribed& one : opened->subscriptions)
      if (is_shared(one.filter)) broker_.ask_for_queue(one.filter);
  CloseSession gone;
  gone.session = static_cast<uint64_t>(reply.numbers[0]);
  gone.epoch = static_cast<uint64_t>(reply.numbers[1]);
  close(gone);
}

// Of the session before this connection.
void Keeper::forget_will_of(const Reply& opened) {
  if (!opened.ok()) return;
  const Result<OpenedSession> session = decode_opened(opened.payload.view());
  if (session && session->replaced != 0) forget_will(session->replaced);
  forget_will(static_cast<uint64_t>(opened.numbers[0]));
}

// Whatever has become of the client, the groups it is a member of have queues now.
void Keeper::take_changed(const Ask& ask, const Reply& reply) {
  const bool subscribed = reply.ok() && ask.type == kSubscribe;
  const auto change = subscribed ? decode_change_filters(ask.payload.view()) : std::nullopt;
  if (change)
    for (const ChangeFilters::Wish& wish : change->wishes)
      if (is_shared(wish.filter)) broker_.ask_for_queue(wish.filter);
  if (Subscriber* subscriber = broker_.find(ask.from)) subscriber->kept_answer(ask.kind, reply);
}

void Keeper::note_returned(const Ask& ask) {
  for (const uint64_t group : ask.returns)
    if (--returning_.at(group) == 0) returning_.erase(group);
  if (!ask.returns.empty()) broker_.wake();
}

// PUBREL goes out in the order of PUBREC (MQTT 5.0 §4.6), PUBCOMP in that of PUBREL: also where one of several commands was refused
// for now.
void Keeper::take_settled(Ask ask, const Reply& reply) {
  const uint64_t turn = ask.turn;
  early_.emplace(turn, std::pair(std::move(ask), reply));
  while (!early_.empty() && early_.begin()->first == told_turn_ + 1) {
    ++told_turn_;
    const auto next = early_.extract(early_.begin());
    tell_settled(next.mapped().first, next.mapped().second);
  }
}

void Keeper::tell_settled(const Ask& ask, const Reply& reply) {
  note_returned(ask);
  const std::set<std::pair<uint64_t, uint64_t>> kept = kept_of(reply);
  for (const auto& [session, settled] : ask.waiting) {
    const bool stays = !reply.ok() || kept.contains({settled.session, settled.value});
    if (settled.kind == Settlement::denied)
      broker_.groups().denied(settled, stays);
    else if (!reply.ok())
      continue;
    else if (session == 0)
      broker_.groups().settled(settled);
    else if (Subscriber* subscriber = broker_.find(session))
      subscriber->settled(settled);
  }
}

}  // namespace heptane::iot::mqtt
