// Sessions as commands: opened, closed, expired; subscriptions, acknowledgements, wills; the way of a message into their queues.

#include <algorithm>
#include <map>
#include <utility>

#include "kernel/streams/streams_machine.h"
#include "modules/iot/machine/broker_machine.h"
#include "modules/iot/machine/record_notes.h"

namespace heptane::iot {

namespace {

constexpr size_t kConnectionsPerSlice = 1'000;
constexpr size_t kPageItems = 256;
constexpr size_t kQueuePageBytes = size_t{256} << 10;
constexpr size_t kWillsPerPage = 4'096;
constexpr LogTime kNsPerSecond = KeptSession::kNsPerSecond;
// Stands in a snapshot's count of messages on their way where each has its command's sequence.
constexpr uint32_t kSequencesFollow = uint32_t{1} << 31;

Bytes payload_of(uint64_t& number) { return {reinterpret_cast<const std::byte*>(&number), sizeof number}; }

KeptWill kept(const WillView& view) {
  KeptWill will;
  will.delay_s = view.delay_s;
  will.qos = view.message.qos;
  will.retain = view.message.retain;
  will.expiry_s = view.message.expiry_s;
  will.topic = view.message.topic;
  will.properties = view.message.properties;
  will.payload = view.message.payload;
  return will;
}

// The broker's logic knows them from 5 on.
bool is_of_returns(const Settled& settled) {
  return settled.kind == Settlement::returned || settled.kind == Settlement::abandoned;
}

MessageView view_of(const KeptWill& will, std::string_view client) {
  MessageView view;
  view.qos = will.qos;
  view.retain = will.retain;
  view.expiry_s = will.expiry_s;
  view.topic = will.topic;
  view.client = client;
  view.properties = will.properties;
  view.payload = will.payload;
  return view;
}

}  // namespace

// They belong to connections, whose commands stand alone: none is undone, so nothing of theirs is undoable.
void BrokerMachine::apply_session(const Command& command, Effects& effects) {
  if (!scopes_.empty()) return effects.refuse(Errc::unsupported, 0, "a session's command is in no transaction");
  switch (command.type) {
    case kOpenSession: return apply_open(command, effects);
    case kCloseSession: return apply_close(command, effects);
    case kSubscribe: return apply_subscribe(command, effects);
    case kUnsubscribe: return apply_unsubscribe(command, effects);
    case kSettle: return apply_settle(command, effects);
    case kBoot: return apply_boot(command, effects);
    case kPublishWill: return apply_publish_will(command, effects);
    case kExpireSession: return apply_expire_session(command, effects);
    case kContinueFanOut: return apply_continue(command, effects);
    case kEndConnections: return apply_end_connections(command, effects);
    case kAssignShared: return apply_assign(command, effects);
    case kEndGroup: return apply_end_group(command, effects);
    case kWalked: return apply_walked(command, effects);
    default: return effects.refuse(Errc::unsupported, 0, "the broker has no such command");
  }
}

KeptSession* BrokerMachine::current(uint64_t session, uint64_t epoch) {
  KeptSession* found = sessions_.find(session);
  return found != nullptr && found->epoch == epoch ? found : nullptr;
}

// 0: at no time, or the client is there.
LogTime BrokerMachine::will_due(const KeptSession& session) const {
  if (!session.will || is_connected(session)) return 0;
  return session.connected ? end_of_run(session) : session.will_due;
}

// When the will of a session that an earlier run left open is due.
LogTime BrokerMachine::end_of_run(const KeptSession& session) const {
  const uint32_t delay_s = std::max(grace_s_, std::min(session.will->delay_s, session.expiry_s));
  return booted_ + static_cast<LogTime>(delay_s) * kNsPerSecond;
}

// Its end was not the client's, who was connected when a run of the server ended: the last one, or in the logic of today any.
bool BrokerMachine::ended_with_server(const KeptSession& session) const {
  return session.connected || session.ended == booted_ || session.ended_with_server;
}

// Opening and closing.

void BrokerMachine::apply_open(const Command& command, Effects& effects) {
  const auto open = decode_open_session(command.payload);
  if (!open) return effects.refuse(Errc::invalid_argument, 0, "the command is no session that begins");
  KeptSession* there = sessions_.find(open->client);
  if (there != nullptr && there->owner != open->owner)
    return effects.refuse(Errc::unauthorised, 0, "the session belongs to another user");
  if (there == nullptr && sessions_.size() >= kSessionsMax)
    return effects.refuse(Errc::overloaded, 0, "there is no room for another session");
  WillOut will;
  uint64_t epoch = 0;
  uint64_t replaced = 0;
  bool made = true;
  if (there != nullptr) {
    epoch = there->epoch;
    const LogTime expires = ended(*there) + static_cast<LogTime>(there->expiry_s) * kNsPerSecond;
    made = open->clean || (!is_connected(*there) && expires <= command.time);
    // Who is back after the server's end has no will to be published.
    const bool with_server = ended_with_server(*there);
    const LogTime due = will_due(*there);
    const bool missed = !with_server && due != 0 && due <= command.time;  // before it was asked for
    const bool left = there->will && !is_connected(*there) && !(with_server && due > command.time);
    if (made ? left : missed) publish_will(*there, command, effects, will);
    if (!made && there->connected) there->assume_sent();
    if (made) replaced = there->number;
    if (made && !open->clean) expired_count_.fetch_add(1, std::memory_order_relaxed);
    if (made) end_session(*there, command.time, effects, open->clean ? Loss::session_discarded : Loss::session_expired);
  }
  KeptSession& session = made ? sessions_.add(open->client, open->owner) : *there;
  if (session.timer != 0) effects.cancel(std::exchange(session.timer, 0));
  session.epoch = epoch + 1;
  session.run = run_;
  session.connected = true;
  session.ended_with_server = false;
  sessions_.set_queue_full(session, open->queue_full);
  const bool captures = open->captures && version_ >= kLogicCaptures;
  sessions_.set_captures(session, captures);
  sessions_.set_queue_max(session, captures ? open->queue_max : std::min(open->queue_max, kQueueLimit));
  session.ahead = open->ahead;
  session.dropped_upto = 0;
  session.expiry_s = open->expiry_s;
  session.will_due = 0;
  sessions_.set_will(session, open->will ? std::optional(kept(*open->will)) : std::nullopt);
  join_all(session);
  ByteWriter out;
  will.write(out);
  append_opened(out, session, !made, events_.told(), version_ >= kLogicWalks, replaced);
  effects.reply(out.view(), static_cast<int64_t>(session.number), static_cast<int64_t>(session.epoch));
}

void BrokerMachine::apply_close(const Command& command, Effects& effects) {
  const auto close = decode_close_session(command.payload);
  if (!close) return effects.refuse(Errc::invalid_argument, 0, "the command is no session that ends");
  WillOut will;
  LogTime due = 0;
  KeptSession* session = current(close->session, close->epoch);
  const bool changes = session != nullptr && is_connected(*session);
  if (changes) {
    if (close->expiry_s) session->expiry_s = *close->expiry_s;
    if (!close->with_will) sessions_.set_will(*session, std::nullopt);
    settle(*session, {close->session, close->epoch, close->sent_upto, Settlement::sent});
    session->connected = false;
    session->dropped_upto = 0;
    session->ended = command.time;
    const uint32_t delay_s = session->will ? std::min(session->will->delay_s, session->expiry_s) : 0;
    if (session->will && delay_s == 0)
      publish_will(*session, command, effects, will);
    else if (session->will)
      due = session->will_due = command.time + static_cast<LogTime>(delay_s) * kNsPerSecond;
    expire_later(*session, command.time, effects);
  }
  ByteWriter out;
  will.write(out);
  effects.reply(out.view(), changes ? 1 : 0, due);
}

// At once, or when its time has come. A session whose will is due then waits for that to be published (kPublishWill).
void BrokerMachine::expire_later(KeptSession& session, LogTime now, Effects& effects, Loss reason) {
  if (session.expiry_s == 0 && !session.will) return end_session(session, now, effects, reason);
  if (session.expiry_s == 0) return;
  session.timer = effects.arm(session.expires_at(), kExpireSession, payload_of(session.number));
}

// What is in its queue is lost. (Before that was told it was not counted either.)
void BrokerMachine::end_session(KeptSession& session, LogTime now, Effects& effects, Loss reason) {
  if (session.timer != 0) effects.cancel(session.timer);
  leave_all(session, now, effects);
  const ReferenceQueue& queue = session.queue;
  if (events_.told() && queue.waiting() > 0) {
    events_.lost(session, reason, queue.next_waiting(0), queue.last_waiting(), queue.waiting());
    sessions_.lose(session, queue.waiting());
  }
  sessions_.remove(session.number);
}

void BrokerMachine::apply_expire_session(const Command& command, Effects& effects) {
  ByteReader in(command.payload);
  KeptSession* session = sessions_.find(in.le<uint64_t>());
  if (session != nullptr && !session->connected && session->expires_at() <= command.time) {
    session->timer = 0;
    // Its will is due, too: whoever publishes it ends the session.
    session->expiry_s = 0;
    expired_count_.fetch_add(1, std::memory_order_relaxed);
    expire_later(*session, command.time, effects, Loss::session_expired);
  }
  effects.reply(0);
}

void BrokerMachine::apply_boot(const Command& command, Effects& effects) {
  ByteReader in(command.payload);
  const auto grace_s = in.le<uint32_t>();
  if (!in.complete()) return effects.refuse(Errc::invalid_argument, 0, "the command is no start of the server");
  ++run_;
  booted_ = command.time;
  grace_s_ = grace_s;
  effects.reply(static_cast<int64_t>(run_));
}

// A slice of the connections that the last run left open.
void BrokerMachine::apply_end_connections(const Command& command, Effects& effects) {
  ByteReader in(command.payload);
  uint64_t after = in.le<uint64_t>();
  if (!in.complete()) return effects.refuse(Errc::invalid_argument, 0, "the command names no session");
  auto at = sessions_.all().upper_bound(after);
  for (size_t i = 0; at != sessions_.all().end() && i < kConnectionsPerSlice && events_.room(); ++i) {
    KeptSession& session = at->second;
    after = session.number;
    ++at;
    if (session.group || !session.connected || session.run == run_) continue;
    if (session.will) session.will_due = end_of_run(session);
    session.assume_sent();
    session.connected = false;
    session.dropped_upto = 0;
    session.ended = booted_;
    session.ended_with_server = version_ >= kLogicRelaxed;
    expire_later(session, command.time, effects);
  }
  effects.reply(static_cast<int64_t>(after), at != sessions_.all().end() ? 1 : 0);
}

// Wills.

void BrokerMachine::apply_publish_will(const Command& command, Effects& effects) {
  ByteReader in(command.payload);
  const auto number = in.le<uint64_t>();
  const auto epoch = in.le<uint64_t>();
  const bool drops = version_ >= kLogicRelaxed && in.remaining() > 0 && in.u8() == 1;
  if (!in.complete()) return effects.refuse(Errc::invalid_argument, 0, "the command is no will");
  WillOut will;
  bool dropped = false;
  KeptSession* session = current(number, epoch);
  const LogTime due = session == nullptr ? 0 : will_due(*session);
  if (due != 0 && due <= command.time) {
    dropped = drops;
    if (drops)
      drop_will(*session);
    else
      publish_will(*session, command, effects, will);
    if (session->expiry_s == 0 && !session->connected)
      end_session(*session, command.time, effects, Loss::session_ended);
  }
  ByteWriter out;
  will.write(out);
  const WillEnd end = dropped ? WillEnd::dropped : will.published ? WillEnd::published : WillEnd::none;
  effects.reply(out.view(), static_cast<int64_t>(end), due);
}

void BrokerMachine::drop_will(KeptSession& session) {
  sessions_.set_will(session, std::nullopt);
  session.will_due = 0;
}

void BrokerMachine::WillOut::write(ByteWriter& out) const {
  out.u8(published ? 1 : 0);
  out.append(message.view());
}

// It becomes a record and reaches sessions like any message; QoS 0 that is not retained reaches connected clients alone, and
// streams that want it. What finds no room is lost.
void BrokerMachine::publish_will(KeptSession& session, const Command& command, Effects& effects, WillOut& out) {
  const KeptWill will = *session.will;
  const std::string client = session.client;
  drop_will(session);
  const std::string owner = session.owner;
  MessageView message = view_of(will, client);
  if (version_ >= kLogicSources && message.retain && owner != "local") message.source = owner;
  ByteWriter bytes;
  append_message(bytes, message);
  const Targets targets = declared_.match(message);
  if (will.qos > 0 || will.retain || !targets.empty()) {
    const size_t margin = events_.told() ? EventNote::kMarginBytes : 0;
    const size_t records = std::max<size_t>(1, targets.size());
    const size_t note_bytes = bytes.size() + (targets.empty() ? 1 : note_bytes_max(1, {targets}));
    if (!effects.room_for(records, note_bytes + margin)) return;
    leave_room(effects, records, note_bytes);
    const auto partition = messages_partition(command, effects);
    if (!partition) return;
    const PartitionId home = home_of(targets, *partition, effects);
    const RecordPlace place{home, effects.next_offset(home)};
    if (!became_a_record(take(message, place, command.time, effects))) return;
    if (targets.empty()) effects.emit_view(home, 1);
    for (const Target& target : targets) effects.emit_view(target.partition, 1);
    ByteWriter note;
    append_note_of_will(note, targets, bytes.view());
    effects.log_result(note.view());
  }
  out.message = std::move(bytes);
  out.published = true;
}

// Subscriptions and acknowledgements.

void BrokerMachine::apply_subscribe(const Command& command, Effects& effects) {
  const auto change = decode_change_filters(command.payload);
  if (!change) return effects.refuse(Errc::invalid_argument, 0, "the command is no subscription");
  KeptSession* session = current(change->session, change->epoch);
  if (session == nullptr || !session->connected) return effects.reply(0);
  std::map<std::string_view, uint32_t> taken;  // the last place of each
  for (uint32_t place = 0; place < change->wishes.size(); ++place) {
    const ChangeFilters::Wish& wish = change->wishes[place];
    const auto there = session->subscriptions.find(wish.filter);
    const bool known = there != session->subscriptions.end();
    if (!known && session->subscriptions.size() >= kSubscriptionsOfSession) continue;
    KeptSubscription subscription = wish.subscription;
    subscription.joined = known && there->second.joined;
    const auto walk = session->walks.find(wish.filter);
    const std::optional<KeptWalk> under_way = walk == session->walks.end() ? std::nullopt : std::optional(walk->second);
    sessions_.subscribe(*session, wish.filter, subscription);
    // One that is under way goes on.
    const bool begins = wish.walk != 0;
    if (version_ >= kLogicWalks && (begins || under_way))
      sessions_.begin_walk(*session, wish.filter, begins ? wish.walk : under_way->number);
    if (under_way && !begins) sessions_.walk_to(*session, wish.filter, under_way->after);
    if (is_shared(wish.filter) && version_ >= kLogicGroups) join(*session, wish.filter);
    taken.insert_or_assign(wish.filter, place);
  }
  std::vector<uint32_t> places;
  for (const auto& [filter, place] : taken) places.push_back(place);
  std::sort(places.begin(), places.end());  // total order: places
  events_.subscribed(*session, std::move(places));
  effects.reply(1);
}

void BrokerMachine::apply_unsubscribe(const Command& command, Effects& effects) {
  const auto change = decode_change_filters(command.payload);
  if (!change) return effects.refuse(Errc::invalid_argument, 0, "the command is no list of filters");
  KeptSession* session = current(change->session, change->epoch);
  if (session == nullptr || !session->connected) return effects.reply(0);
  for (const ChangeFilters::Wish& wish : change->wishes) {
    const auto there = session->subscriptions.find(wish.filter);
    if (there != session->subscriptions.end() && there->second.joined)
      leave(*session, wish.filter, command.time, effects);
    sessions_.unsubscribe(*session, wish.filter);
  }
  effects.reply(1);
}

void BrokerMachine::apply_settle(const Command& command, Effects& effects) {
  const auto settled = decode_settled(command.payload);
  const bool known =
      settled && (version_ >= kLogicReturns || std::none_of(settled->begin(), settled->end(), is_of_returns));
  if (!known) return effects.refuse(Errc::invalid_argument, 0, "the command is no list of acknowledgements");
  ByteWriter kept;
  int64_t kept_count = 0;
  for (const Settled& one : *settled) {
    KeptSession* session = current(one.session, one.epoch);
    if (session == nullptr) continue;
    settle(*session, one);
    const bool denied = version_ >= kLogicReturns && one.kind == Settlement::denied;
    if (!denied || session->queue.find(one.value) == nullptr) continue;
    kept.le<uint64_t>(one.session);
    kept.le<uint64_t>(one.value);
    ++kept_count;
  }
  effects.reply(kept.view(), static_cast<int64_t>(settled->size()), kept_count);
}

void BrokerMachine::apply_walked(const Command& command, Effects& effects) {
  const auto walked = decode_walked(command.payload);
  if (!walked) return effects.refuse(Errc::invalid_argument, 0, "the command is no list of filters and topics");
  for (const WalkedBy& one : *walked) {
    KeptSession* session = current(one.session, one.epoch);
    if (session == nullptr) continue;
    const auto walk = session->walks.find(one.walked.filter);
    if (walk == session->walks.end() || walk->second.number != one.walked.walk) continue;
    if (one.walked.end)
      sessions_.end_walk(*session, one.walked.filter);
    else
      sessions_.walk_to(*session, one.walked.filter, one.walked.after);
  }
  effects.reply(static_cast<int64_t>(walked->size()));
}

void BrokerMachine::settle(KeptSession& session, const Settled& settled) {
  switch (settled.kind) {
    case Settlement::acknowledged: sessions_.settle(session, settled.value); return;
    case Settlement::gone: return lose(session, settled, Loss::trimmed);
    case Settlement::expired: return lose(session, settled, Loss::message_expired);
    case Settlement::abandoned: return lose(session, settled, Loss::member_gone);
    case Settlement::denied:
      if (version_ >= kLogicReturns && leave_to_heir(session, settled.value)) return;
      return lose(session, settled, Loss::not_allowed);
    case Settlement::returned:
      if (Reference* reference = session.queue.find(settled.value)) reference->flags &= ~uint32_t{Reference::kChosen};
      return;
    case Settlement::received:
      if (Reference* reference = session.queue.find(settled.value)) reference->flags |= Reference::kReleased;
      return;
    case Settlement::released: return sessions_.forget_received(session, static_cast<PacketNumber>(settled.value));
    case Settlement::sent:
      session.sent_upto = std::max(session.sent_upto, std::min(settled.value, session.queue.next_number()));
      return;
  }
}

// What cannot be told now stays in the queue, until it is said again.
void BrokerMachine::lose(KeptSession& session, const Settled& settled, Loss reason) {
  if (!events_.room() || !sessions_.settle(session, settled.value)) return;
  sessions_.lose(session);
  events_.lost(session, {reason, settled.value});
}

// The client's own message at QoS 2: taken once, until it is released. Another one under the same identifier is from a client
// that forgot.
bool BrokerMachine::knows(const Sender& sender, const MessageView& message) const {
  const KeptSession* session = sessions_.find(sender.session);
  const auto found = session->received.find(sender.id);
  return found != session->received.end() && found->second == content_of(message.topic, message.payload);
}

void BrokerMachine::remember(const MessageView& message) {
  KeptSession& session = *sessions_.find(message.sender->session);
  const PacketNumber id = message.sender->id;
  if (!scopes_.empty()) {
    const auto found = session.received.find(id);
    std::optional<uint64_t> before;
    if (found != session.received.end()) before = found->second;
    undo_.push_back([this, number = session.number, id, before] {
      KeptSession& changed = *sessions_.find(number);
      if (before)
        sessions_.add_received(changed, id, *before);
      else
        sessions_.forget_received(changed, id);
    });
  }
  sessions_.add_received(session, id, content_of(message.topic, message.payload));
}

// Into the queues.

// Others are on their way, or this command has reached as many sessions as it may.
bool BrokerMachine::waits() const { return reached_ >= kReachedMax || !fan_outs_.empty(); }

// False: it is for no session. One that waits is not matched now: the work of a command is bounded.
bool BrokerMachine::fan_out(const MessageView& message, const RecordPlace& place, LogTime now, Effects& effects) {
  if (!reaches_queues(message.qos)) return false;
  std::optional<KeptMatching> matching;
  if (is_matched()) matching.emplace(sessions_, matched(message), 0);
  if (matching && matching->current() == nullptr) return false;
  FanOut work{place, 0, message.qos, message.retain, std::string(message.topic), std::string(message.client), 0};
  if (version_ >= kLogicReturns) work.sequence = sequence_;
  const bool done = !waits() && reach(*matching, work);
  if (matching) visits_ += matching->visits();
  if (done) return true;
  if (fan_outs_.empty()) effects.arm(now, kContinueFanOut, {});
  fan_outs_.push_back(std::move(work));
  if (!scopes_.empty()) undo_.push_back([this] { fan_outs_.pop_back(); });
  return true;
}

// True: it has reached all. A group that began later has nothing of it: the gateway gave the message to whoever was connected.
bool BrokerMachine::reach(KeptMatching& matching, FanOut& work) {
  for (; matching.current() != nullptr; matching.next()) {
    const Match& match = *matching.current();
    if (work.sequence != 0 && match.session->began > work.sequence) continue;
    if (reached_ >= kReachedMax || !events_.room()) return false;
    ++reached_;
    work.after = match.session->number;
    const KeptSessions::Pushed pushed = sessions_.push(match, work.place);
    if (pushed.loss) events_.lost(*match.session, *pushed.loss);
    if (scopes_.empty()) {
      sessions_.trim(*match.session);
      continue;
    }
    touched_.push_back(match.session->number);
    undo_.push_back(
        [this, number = match.session->number, pushed] { sessions_.undo(*sessions_.find(number), pushed); });
  }
  return true;
}

// In older logs what a transaction had dropped stayed in the queue until the next acknowledgement.
void BrokerMachine::trim_touched() {
  if (version_ >= kLogicWalks)
    for (const uint64_t number : touched_)
      if (KeptSession* session = sessions_.find(number)) sessions_.trim(*session);
  touched_.clear();
}

void BrokerMachine::apply_continue(const Command& command, Effects& effects) {
  while (!fan_outs_.empty() && reached_ < kReachedMax) {
    ++reached_;  // a message for nobody is work, too
    FanOut& work = fan_outs_.front();
    KeptMatching matching(sessions_, {work.topic, work.client, work.qos, work.retain}, work.after);
    const bool done = reach(matching, work);
    visits_ += matching.visits();
    if (!done) break;
    fan_outs_.pop_front();
  }
  if (!fan_outs_.empty()) effects.arm(command.time, kContinueFanOut, {});
  effects.reply(0);
}

// Queries.

void BrokerMachine::query_queue(const Query& query, Reply& reply) const {
  const auto asked = decode_queue_query(query.payload);
  ByteWriter out;
  const KeptSession* session = asked ? sessions_.find(asked->session) : nullptr;
  int64_t count = 0;
  int64_t flags = fan_outs_.empty() ? 0 : QueuePage::kComing;
  if (session == nullptr || session->epoch != asked->epoch) {
    flags = QueuePage::kStale;
  } else {
    const size_t most = std::min<size_t>(asked->max, kPageItems);
    const ReferenceQueue& queue = session->queue;
    uint64_t number = queue.next_waiting(asked->from);
    for (; number < queue.next_number() && static_cast<size_t>(count) < most && out.size() < kQueuePageBytes;
         number = queue.next_waiting(number + 1)) {
      const Reference& reference = queue.at(number);
      append_item(out, {number,
                        {reference.partition, reference.offset},
                        static_cast<uint8_t>(reference.flags),
                        sessions_.sets().of(reference.ids)});
      ++count;
    }
    if (number < queue.next_number()) flags |= QueuePage::kMore;
  }
  reply.payload = Buffer::take(out.release());
  reply.numbers = {count, flags};
}

void BrokerMachine::query_wills(const Query& query, Reply& reply) const {
  ByteReader in(query.payload);
  const auto after = in.le<uint64_t>();
  ByteWriter out;
  bool more = false;
  size_t visits = 0;
  uint64_t last = after;
  for (auto at = sessions_.all().upper_bound(after); at != sessions_.all().end(); ++at) {
    if (visits++ == kWillsPerPage) {
      more = true;
      break;
    }
    last = at->first;
    const LogTime due = will_due(at->second);
    if (due == 0) continue;
    out.le<uint64_t>(at->first);
    out.le<uint64_t>(at->second.epoch);
    out.le<LogTime>(due);
  }
  reply.payload = Buffer::take(out.release());
  reply.numbers = {static_cast<int64_t>(last), more ? 1 : 0};
}

void BrokerMachine::query_will(const Query& query, Reply& reply) const {
  ByteReader in(query.payload);
  const KeptSession* session = sessions_.find(in.le<uint64_t>());
  const auto epoch = in.le<uint64_t>();
  if (session == nullptr || session->epoch != epoch || !session->will) return;
  reply.numbers[0] = version_ >= kLogicRelaxed ? 1 : 0;
  reply.payload = encode(WillFacts{session->owner, session->client, session->will->topic});
}

// Snapshots.

void BrokerMachine::save_sessions(SnapshotWriter& writer) const {
  sessions_.save(writer);
  writer.le<uint64_t>(run_);
  writer.le<LogTime>(booted_);
  writer.le<uint32_t>(grace_s_);
  const bool sequences =
      std::any_of(fan_outs_.begin(), fan_outs_.end(), [](const FanOut& w) { return w.sequence != 0; });
  writer.le<uint32_t>(static_cast<uint32_t>(fan_outs_.size()) | (sequences ? kSequencesFollow : 0));
  for (const FanOut& work : fan_outs_) {
    writer.le<PartitionId>(work.place.partition);
    writer.le<Offset>(work.place.offset);
    writer.le<uint64_t>(work.after);
    writer.le<uint8_t>(work.qos);
    writer.le<uint8_t>(work.retain ? 1 : 0);
    writer.text(work.topic);
    writer.text(work.client);
    if (sequences) writer.le<Sequence>(work.sequence);
  }
}

Result<void> BrokerMachine::restore_sessions(SnapshotReader& reader) {
  if (Result<void> sessions = sessions_.restore(reader); !sessions) return sessions;
  run_ = reader.le<uint64_t>();
  booted_ = reader.le<LogTime>();
  grace_s_ = reader.le<uint32_t>();
  const auto marked = reader.le<uint32_t>();
  const uint32_t count = marked & ~kSequencesFollow;
  for (uint32_t i = 0; i < count && !reader.failed(); ++i) {
    FanOut work;
    work.place.partition = reader.le<PartitionId>();
    work.place.offset = reader.le<Offset>();
    work.after = reader.le<uint64_t>();
    work.qos = reader.le<uint8_t>();
    work.retain = reader.le<uint8_t>() != 0;
    work.topic = reader.text(kTopicLimitBytes);
    work.client = reader.text(kClientLimitBytes);
    if ((marked & kSequencesFollow) != 0) work.sequence = reader.le<Sequence>();
    fan_outs_.push_back(std::move(work));
  }
  if (reader.failed()) return Error{Errc::corrupt, "the broker's sessions are cut off"};
  return {};
}

}  // namespace heptane::iot
