#include "modules/iot/machine/kept_sessions.h"

#include <algorithm>
#include <utility>

#include "kernel/base/assert.h"
#include "modules/iot/machine/shared_groups.h"

namespace heptane::iot {

namespace {

using Entries = std::span<const KeptEntry>;

bool is_before(const KeptEntry& entry, uint64_t number) { return entry.session->number < number; }

// Of those that begin with the lowest number: the order of a heap.
bool is_behind(const Entries& one, const Entries& other) {
  return one.front().session->number > other.front().session->number;
}

// At which QoS the session gets it; nullopt: not by this subscription.
std::optional<uint8_t> qos_by(const KeptEntry& entry, const MatchedMessage& message, size_t levels) {
  const KeptSubscription& subscription = entry.subscription;
  if (levels < subscription.levels_min) return std::nullopt;
  if (subscription.no_local && entry.session->client == message.publisher) return std::nullopt;
  const uint8_t most = message.qos == 0 && entry.session->captures ? 1 : message.qos;
  return std::min(most, subscription.qos);
}

constexpr size_t kSessionBytes = 512;  // with its nodes in two maps
constexpr size_t kSubscriptionBytes = 256;
constexpr size_t kSetBytes = 192;
constexpr size_t kReceivedBytes = 64;
constexpr size_t kWalkBytes = 128;
constexpr size_t kHeirBytes = 64;                    // with its share of its group's node
constexpr size_t kGroupSpanMax = 4'096;              // of numbers, most of which are done
constexpr size_t kTextLimitBytes = size_t{1} << 20;  // of anything in a snapshot
// In a snapshot.
constexpr uint8_t kNoLocal = 1;
constexpr uint8_t kJoined = 2;
constexpr uint8_t kConnected = 1;
constexpr uint8_t kEndedWithServer = 2;
constexpr uint8_t kCaptures = 4;
constexpr uint8_t kGroup = 0x80;  // beside QueueFull
constexpr uint8_t kBegan = 0x40;  // likewise
constexpr uint8_t kRetainAsPublished = 1;
constexpr uint8_t kWalks = 2;

size_t bytes_of(const std::optional<KeptWill>& will) {
  return will ? will->topic.size() + will->properties.size() + will->payload.size() : 0;
}

void save_will(SnapshotWriter& writer, const std::optional<KeptWill>& will) {
  writer.le<uint8_t>(will ? 1 : 0);
  if (!will) return;
  writer.le<uint32_t>(will->delay_s);
  writer.le<uint8_t>(will->qos);
  writer.le<uint8_t>(will->retain ? 1 : 0);
  writer.le<uint8_t>(will->expiry_s ? 1 : 0);
  writer.le<uint32_t>(will->expiry_s.value_or(0));
  writer.text(will->topic);
  writer.text(will->properties);
  writer.text(will->payload);
}

std::optional<KeptWill> read_will(SnapshotReader& reader) {
  if (reader.le<uint8_t>() == 0) return std::nullopt;
  KeptWill will;
  will.delay_s = reader.le<uint32_t>();
  will.qos = reader.le<uint8_t>();
  will.retain = reader.le<uint8_t>() != 0;
  const bool expires = reader.le<uint8_t>() != 0;
  const auto expiry_s = reader.le<uint32_t>();
  if (expires) will.expiry_s = expiry_s;
  will.topic = reader.text(kTextLimitBytes);
  will.properties = reader.text(kTextLimitBytes);
  will.payload = reader.text(kTextLimitBytes);
  return will;
}

void save_subscriptions(SnapshotWriter& writer, const KeptSession& session) {
  writer.le<uint32_t>(static_cast<uint32_t>(session.subscriptions.size()));
  for (const auto& [filter, subscription] : session.subscriptions) {
    writer.text(filter);
    writer.le<uint32_t>(subscription.id);
    writer.le<uint16_t>(subscription.levels_min);
    writer.le<uint8_t>(subscription.qos);
    writer.le<uint8_t>(
        static_cast<uint8_t>((subscription.no_local ? kNoLocal : 0) | (subscription.joined ? kJoined : 0)));
    const auto walk = session.walks.find(filter);
    const bool walks = walk != session.walks.end();
    writer.le<uint8_t>(
        static_cast<uint8_t>((subscription.retain_as_published ? kRetainAsPublished : 0) | (walks ? kWalks : 0)));
    if (!walks) continue;
    writer.le<uint64_t>(walk->second.number);
    writer.text(walk->second.after);
  }
}

void read_subscriptions(SnapshotReader& reader, KeptSession& session) {
  const auto count = reader.le<uint32_t>();
  for (uint32_t i = 0; i < count && !reader.failed(); ++i) {
    std::string filter = reader.text(kTextLimitBytes);
    KeptSubscription subscription;
    subscription.id = reader.le<uint32_t>();
    subscription.levels_min = reader.le<uint16_t>();
    subscription.qos = reader.le<uint8_t>();
    const auto flags = reader.le<uint8_t>();
    subscription.no_local = (flags & kNoLocal) != 0;
    subscription.joined = (flags & kJoined) != 0;
    const auto more = reader.le<uint8_t>();
    subscription.retain_as_published = (more & kRetainAsPublished) != 0;
    if ((more & kWalks) != 0) {
      KeptWalk& walk = session.walks[filter];
      walk.number = reader.le<uint64_t>();
      walk.after = reader.text(kTextLimitBytes);
    }
    session.subscriptions.emplace(std::move(filter), subscription);
  }
}

void save_reference(SnapshotWriter& writer, const Reference& reference) {
  writer.le<Offset>(reference.offset);
  writer.le<PartitionId>(reference.partition);
  writer.le<uint32_t>(reference.ids);
  writer.le<uint8_t>(static_cast<uint8_t>(reference.flags));
}

Reference read_reference(SnapshotReader& reader) {
  Reference reference;
  reference.offset = reader.le<Offset>();
  reference.partition = reader.le<PartitionId>();
  reference.ids = reader.le<uint32_t>() & IdSets::kNumberMax;
  reference.flags = reader.le<uint8_t>();
  return reference;
}

void save_queue(SnapshotWriter& writer, const ReferenceQueue& queue) {
  writer.le<uint64_t>(queue.first_number());
  writer.le<uint32_t>(static_cast<uint32_t>(queue.span()));
  for (uint64_t number = queue.first_number(); number < queue.next_number(); ++number)
    save_reference(writer, queue.at(number));
}

void save_aside(SnapshotWriter& writer, const ReferenceQueue& queue) {
  writer.le<uint32_t>(static_cast<uint32_t>(queue.aside().size()));
  for (const auto& [number, reference] : queue.aside()) {
    writer.le<uint64_t>(number);
    save_reference(writer, reference);
  }
}

void read_queue(SnapshotReader& reader, ReferenceQueue& queue) {
  queue.start_at(reader.le<uint64_t>());
  const auto count = reader.le<uint32_t>();
  for (uint32_t i = 0; i < count && !reader.failed(); ++i) queue.push(read_reference(reader));
}

void read_aside(SnapshotReader& reader, ReferenceQueue& queue) {
  const auto count = reader.le<uint32_t>();
  for (uint32_t i = 0; i < count && !reader.failed(); ++i) {
    const auto number = reader.le<uint64_t>();
    queue.put_aside(number, read_reference(reader));
  }
}

}  // namespace

// Sets of identifiers.

void IdSets::put(uint32_t number, const std::vector<uint32_t>& ids, uint64_t uses) {
  sets_.emplace(number, Set{ids, uses});
  numbers_.emplace(ids, number);
  bytes_ += kSetBytes + 2 * sizeof(uint32_t) * ids.size();
}

uint32_t IdSets::use(const std::vector<uint32_t>& sorted_ids) {
  if (sorted_ids.empty()) return 0;
  const auto found = numbers_.find(sorted_ids);
  if (found == numbers_.end()) {
    do last_ = last_ % kNumberMax + 1;
    while (sets_.find(last_) != sets_.end());
    put(last_, sorted_ids, 1);
    return last_;
  }
  ++sets_.at(found->second).uses;
  return found->second;
}

void IdSets::use_again(uint32_t set, const std::vector<uint32_t>& ids) {
  if (set == 0) return;
  const auto found = sets_.find(set);
  if (found == sets_.end()) return put(set, ids, 1);
  ++found->second.uses;
}

void IdSets::release(uint32_t set) {
  if (set == 0) return;
  const auto found = sets_.find(set);
  HEPTANE_ASSERT(found != sets_.end() && found->second.uses > 0, "a set of identifiers is released too often");
  if (--found->second.uses > 0) return;
  bytes_ -= kSetBytes + 2 * sizeof(uint32_t) * found->second.ids.size();
  numbers_.erase(found->second.ids);
  sets_.erase(found);
}

const std::vector<uint32_t>& IdSets::of(uint32_t set) const {
  static const std::vector<uint32_t> none;
  const auto found = sets_.find(set);
  return found == sets_.end() ? none : found->second.ids;
}

void IdSets::save(SnapshotWriter& writer) const {
  writer.le<uint32_t>(last_);
  writer.le<uint32_t>(static_cast<uint32_t>(sets_.size()));
  for (const auto& [number, set] : sets_) {
    writer.le<uint32_t>(number);
    writer.le<uint64_t>(set.uses);
    writer.le<uint32_t>(static_cast<uint32_t>(set.ids.size()));
    for (const uint32_t id : set.ids) writer.le<uint32_t>(id);
  }
}

Result<void> IdSets::restore(SnapshotReader& reader) {
  *this = {};
  const auto last = reader.le<uint32_t>();
  const auto count = reader.le<uint32_t>();
  for (uint32_t i = 0; i < count && !reader.failed(); ++i) {
    const auto number = reader.le<uint32_t>();
    const auto uses = reader.le<uint64_t>();
    const auto size = reader.le<uint32_t>();
    std::vector<uint32_t> ids;
    for (uint32_t k = 0; k < size && !reader.failed(); ++k) ids.push_back(reader.le<uint32_t>());
    if (ids.empty() || reader.failed()) return Error{Errc::corrupt, "a set of subscription identifiers is cut off"};
    put(number, ids, uses);
  }
  last_ = last;
  return {};
}

// Sessions.

KeptSession* KeptSessions::find(uint64_t number) {
  const auto found = sessions_.find(number);
  return found == sessions_.end() ? nullptr : &found->second;
}

KeptSession* KeptSessions::find(std::string_view client) {
  const auto found = by_client_.find(client);
  return found == by_client_.end() ? nullptr : find(found->second);
}

KeptSession* KeptSessions::find_group(std::string_view shared) {
  const auto found = by_group_.find(shared);
  return found == by_group_.end() ? nullptr : find(found->second);
}

KeptSession& KeptSessions::add(std::string_view client, std::string_view owner) {
  KeptSession& session = place(client, owner);
  by_client_.insert_or_assign(session.client, session.number);
  return session;
}

// It counts as connected: so many numbers as a connection may have sent untold are never dropped.
KeptSession& KeptSessions::add_group(std::string_view shared, std::string_view filter, const KeptSession& like) {
  KeptSession& group = place(shared, {});
  by_group_.emplace(group.client, group.number);
  group.group = true;
  group.epoch = kGroupEpoch;
  group.connected = true;
  set_queue_full(group, like.queue_full);
  set_queue_max(group, like.queue_max);
  group.ahead = like.ahead;
  KeptSubscription all;
  all.qos = 2;
  all.retain_as_published = true;
  subscribe(group, filter, all);
  return group;
}

const std::set<uint64_t>& KeptSessions::heirs_of(const KeptSession& group) const {
  static const std::set<uint64_t> kNone;
  const auto found = heirs_.find(group.number);
  return found == heirs_.end() ? kNone : found->second;
}

void KeptSessions::set_heir(const KeptSession& group, const KeptSession& session) {
  const auto there = session.subscriptions.find(group.client);
  const bool joined = there != session.subscriptions.end() && there->second.joined;
  const bool inherits = joined && there->second.levels_min == 0 && there->second.qos > 0;
  if (!inherits) return drop_heir(group, session);
  if (heirs_[group.number].insert(session.number).second) bytes_ += kHeirBytes;
}

void KeptSessions::drop_heir(const KeptSession& group, const KeptSession& session) {
  const auto found = heirs_.find(group.number);
  if (found == heirs_.end() || found->second.erase(session.number) == 0) return;
  bytes_ -= kHeirBytes;
  if (found->second.empty()) heirs_.erase(found);
}

void KeptSessions::find_heirs() {
  for (const auto& [number, session] : sessions_)
    for (const auto& [filter, subscription] : session.subscriptions) {
      KeptSession* group = subscription.joined ? find_group(filter) : nullptr;
      if (group != nullptr) set_heir(*group, session);
    }
}

KeptSession& KeptSessions::place(std::string_view client, std::string_view owner) {
  const uint64_t number = ++last_number_;
  KeptSession& session = sessions_[number];
  session.number = number;
  session.client = client;
  session.owner = owner;
  bytes_ += bytes_of(session);
  return session;
}

void KeptSessions::remove(uint64_t number) {
  KeptSession* session = find(number);
  if (session == nullptr) return;
  set_queue_full(*session, QueueFull::drop_oldest);
  set_captures(*session, false);
  release_all(*session);
  unindex(*session);
  bytes_ -= kHeirBytes * heirs_of(*session).size();
  heirs_.erase(number);
  bytes_ -= bytes_of(*session);
  auto& names = session->group ? by_group_ : by_client_;
  const auto named = names.find(session->client);
  if (named != names.end() && named->second == number) names.erase(named);
  sessions_.erase(number);
}

size_t KeptSessions::bytes_of(const KeptSession& session) {
  size_t bytes = kSessionBytes + 2 * session.client.size() + session.owner.size() + iot::bytes_of(session.will);
  for (const auto& [filter, subscription] : session.subscriptions) bytes += kSubscriptionBytes + 2 * filter.size();
  for (const auto& [filter, walk] : session.walks) bytes += kWalkBytes + filter.size() + walk.after.size();
  return bytes + kReceivedBytes * session.received.size();
}

// Members of groups are the gateway's while they are connected.
void KeptSessions::index(KeptSession& session) {
  for (const auto& [filter, subscription] : session.subscriptions)
    if (!is_shared(filter)) put(filter, {&session, subscription});
}

// Most come with the highest number.
void KeptSessions::put(std::string_view filter, const KeptEntry& entry) {
  tree_.insert(filter, entry);
  std::vector<KeptEntry>& there = *tree_.at(filter);
  const auto last = there.end() - 1;
  std::rotate(std::lower_bound(there.begin(), last, entry.session->number, is_before), last, there.end());
}

void KeptSessions::unindex(const KeptSession& session) {
  for (const auto& [filter, subscription] : session.subscriptions)
    tree_.remove(filter, [&](const KeptEntry& entry) { return entry.session == &session; });
}

// A done reference holds no set any more.
void KeptSessions::release_all(KeptSession& session) {
  const ReferenceQueue& queue = session.queue;
  const uint64_t none = queue.next_number();
  for (uint64_t number = queue.had_ids() ? queue.next_waiting(0) : none; number < none;
       number = queue.next_waiting(number + 1))
    sets_.release(queue.at(number).ids);
  fewer(session, queue.size());
  session.queue = {};
  note_full(session);
}

void KeptSessions::subscribe(KeptSession& session, std::string_view filter, const KeptSubscription& subscription) {
  unsubscribe(session, filter);
  session.subscriptions.emplace(std::string(filter), subscription);
  bytes_ += kSubscriptionBytes + 2 * filter.size();
  if (!is_shared(filter)) put(filter, {&session, subscription});
}

bool KeptSessions::unsubscribe(KeptSession& session, std::string_view filter) {
  const auto found = session.subscriptions.find(filter);
  if (found == session.subscriptions.end()) return false;
  tree_.remove(filter, [&](const KeptEntry& entry) { return entry.session == &session; });
  bytes_ -= kSubscriptionBytes + 2 * filter.size();
  end_walk(session, filter);
  session.subscriptions.erase(found);
  return true;
}

void KeptSessions::begin_walk(KeptSession& session, std::string_view filter, uint64_t number) {
  end_walk(session, filter);
  session.walks.emplace(std::string(filter), KeptWalk{number, {}});
  bytes_ += kWalkBytes + filter.size();
}

void KeptSessions::walk_to(KeptSession& session, std::string_view filter, std::string_view after) {
  const auto walk = session.walks.find(filter);
  if (walk == session.walks.end() || after <= walk->second.after) return;
  bytes_ += after.size() - walk->second.after.size();
  walk->second.after = after;
}

void KeptSessions::end_walk(KeptSession& session, std::string_view filter) {
  const auto walk = session.walks.find(filter);
  if (walk == session.walks.end()) return;
  bytes_ -= kWalkBytes + walk->first.size() + walk->second.after.size();
  session.walks.erase(walk);
}

void KeptSessions::set_will(KeptSession& session, std::optional<KeptWill> will) {
  bytes_ -= iot::bytes_of(session.will);
  session.will = std::move(will);
  bytes_ += iot::bytes_of(session.will);
}

void KeptSessions::add_received(KeptSession& session, PacketNumber id, uint64_t content) {
  if (session.received.insert_or_assign(id, content).second) bytes_ += kReceivedBytes;
}

void KeptSessions::forget_received(KeptSession& session, PacketNumber id) {
  if (session.received.erase(id) > 0) bytes_ -= kReceivedBytes;
}

void KeptSessions::set_queue_full(KeptSession& session, QueueFull what) {
  if (session.queue_full == QueueFull::refuse) --refusing_;
  session.queue_full = what;
  if (session.queue_full == QueueFull::refuse) ++refusing_;
  note_full(session);
}

void KeptSessions::set_queue_max(KeptSession& session, uint32_t most) {
  session.queue_max = most;
  note_full(session);
}

// What all queues have together is looked at where it counts.
void KeptSessions::note_full(const KeptSession& session) {
  const bool full = session.queue.waiting() >= session.queue_max || no_number(session);
  if (full && session.queue_full == QueueFull::refuse)
    full_.insert(session.number);
  else if (!full_.empty())
    full_.erase(session.number);
}

bool KeptSessions::is_refused(const MatchedMessage& message) const {
  const bool all = references_ >= kReferencesMax || captured_ >= kCapturedMax;
  if (refusing_ == 0 || (full_.empty() && !all)) return false;
  const size_t levels = levels_of(message.topic);
  const auto refuses_it = [&](const KeptEntry& entry) {
    return refuses(*entry.session) && qos_by(entry, message, levels).value_or(0) > 0;
  };
  bool refused = false;
  tree_.match_filters(message.topic, [&](const std::vector<KeptEntry>& there) {
    if (refused) return;
    if (all || there.size() <= full_.size()) {
      refused = std::any_of(there.begin(), there.end(), refuses_it);
      return;
    }
    refused = std::any_of(full_.begin(), full_.end(), [&](uint64_t number) {
      const auto found = std::lower_bound(there.begin(), there.end(), number, is_before);
      return found != there.end() && found->session->number == number && refuses_it(*found);
    });
  });
  return refused;
}

void KeptSessions::set_captures(KeptSession& session, bool captures) {
  const size_t references = session.queue.size();
  if (session.captures) --capturing_;
  fewer(session, references);
  session.captures = captures;
  more(session, references);
  if (session.captures) ++capturing_;
}

void KeptSessions::more(const KeptSession& session, uint64_t references) {
  references_ += references;
  if (session.captures) captured_ += references;
}

void KeptSessions::fewer(const KeptSession& session, uint64_t references) {
  references_ -= references;
  if (session.captures) captured_ -= references;
}

// Moves dropped_upto there.
std::optional<uint64_t> KeptSessions::oldest_unsent(KeptSession& session) const {
  ReferenceQueue& queue = session.queue;
  uint64_t& at = session.dropped_upto;
  at = std::max({at, session.maybe_sent_upto(), queue.first_number()});
  while (at < queue.next_number() && queue.at(at).done()) ++at;
  if (at >= queue.next_number() || (queue.at(at).flags & Reference::kReleased) != 0) return std::nullopt;
  return at;
}

void KeptSessions::lose(KeptSession& session, uint64_t count) {
  session.lost += count;
  lost_ += count;
}

// Where there is no room, something is lost: what came before or this.
KeptSessions::Pushed KeptSessions::push(const Match& match, const RecordPlace& place) {
  KeptSession& session = *match.session;
  Pushed pushed;
  pushed.last_set = sets_.last();
  pushed.lost = session.lost;
  pushed.all_lost = lost_;
  pushed.dropped_upto = session.dropped_upto;
  const bool full = session.queue.waiting() >= session.queue_max;
  const std::optional<uint64_t> oldest =
      full && session.queue_full == QueueFull::drop_oldest ? oldest_unsent(session) : std::nullopt;
  const bool no_reference = KeptSessions::no_reference(session);
  const bool no_number = KeptSessions::no_number(session);
  if (full || no_reference || no_number) {
    lose(session);
    pushed.loss = LostReference{no_reference ? Loss::references_full
                                : no_number  ? Loss::numbers_full
                                : oldest     ? Loss::drop_oldest
                                             : Loss::drop_newest,
                                session.queue.next_number()};
  }
  if (no_reference || no_number || (full && !oldest)) return pushed;
  const uint32_t set = sets_.use(match.ids);
  if (oldest) {
    pushed.dropped = oldest;
    pushed.loss->number = *oldest;
    pushed.dropped_set = session.queue.at(*oldest).ids;
    pushed.dropped_ids = sets_.of(pushed.dropped_set);
    sets_.release(pushed.dropped_set);
    session.queue.set_done(*oldest);
  }
  Reference reference;
  reference.offset = place.offset;
  reference.partition = place.partition;
  reference.ids = set & IdSets::kNumberMax;
  reference.flags = static_cast<uint8_t>(match.qos | (match.retain ? Reference::kRetain : 0));
  session.queue.push(reference);
  more(session, 1);
  note_full(session);
  pushed.kept = true;
  return pushed;
}

void KeptSessions::undo(KeptSession& session, const Pushed& pushed) {
  session.lost = pushed.lost;
  lost_ = pushed.all_lost;
  session.dropped_upto = pushed.dropped_upto;
  if (!pushed.kept) return;
  sets_.release(session.queue.take_last().ids);
  fewer(session, 1);
  if (pushed.dropped) {
    session.queue.set_waiting(*pushed.dropped);
    sets_.use_again(pushed.dropped_set, pushed.dropped_ids);
  }
  sets_.set_last(pushed.last_set);
  note_full(session);
}

// What a group's member keeps unacknowledged is set aside: behind it thousands may be done.
void KeptSessions::trim(KeptSession& session) {
  ReferenceQueue& queue = session.queue;
  fewer(session, queue.trim());
  const auto mostly_done = [&] {
    return queue.span() > kGroupSpanMax && 2 * (queue.waiting() - queue.aside().size()) < queue.span();
  };
  while (session.group && queue.first_number() < session.maybe_sent_upto() && mostly_done()) {
    queue.set_first_aside();
    fewer(session, queue.trim());
  }
}

bool KeptSessions::settle(KeptSession& session, uint64_t number) {
  const Reference* reference = session.queue.find(number);
  if (reference == nullptr) return false;
  sets_.release(reference->ids);
  session.queue.set_done(number);
  trim(session);
  note_full(session);
  return true;
}

// Matching.

KeptMatching::KeptMatching(const KeptSessions& sessions, const MatchedMessage& message, uint64_t after)
    : message_(message), levels_(levels_of(message.topic)) {
  sessions.tree_.match_filters(message.topic, [&](const std::vector<KeptEntry>& there) {
    const auto first = std::lower_bound(there.begin(), there.end(), after + 1, is_before);
    if (first != there.end()) filters_.emplace_back(first, there.end());
  });
  std::make_heap(filters_.begin(), filters_.end(), is_behind);  // total order: equal ones are one match
  next();
}

// One session's share of it.
void KeptMatching::next() {
  match_ = {};
  while (match_.qos == 0 && !filters_.empty()) {
    match_ = {};
    match_.session = filters_.front().front().session;
    while (!filters_.empty() && filters_.front().front().session == match_.session) take_first();
  }
  if (match_.qos == 0) match_.session = nullptr;    // the last ones have nothing to keep
  std::sort(match_.ids.begin(), match_.ids.end());  // total order: numbers
}

void KeptMatching::take_first() {
  std::pop_heap(filters_.begin(), filters_.end(), is_behind);  // total order: as above
  Entries& entries = filters_.back();
  const KeptEntry& entry = entries.front();
  ++visits_;
  if (const auto qos = qos_by(entry, message_, levels_)) {
    match_.qos = std::max(match_.qos, *qos);
    match_.retain = match_.retain || (entry.subscription.retain_as_published && message_.retain);
    if (entry.subscription.id != 0) match_.ids.push_back(entry.subscription.id);
  }
  entries = entries.subspan(1);
  if (entries.empty())
    filters_.pop_back();
  else
    std::push_heap(filters_.begin(), filters_.end(), is_behind);  // total order: as above
}

void KeptSessions::save(SnapshotWriter& writer) const {
  sets_.save(writer);
  writer.le<uint64_t>(lost_);
  writer.le<uint64_t>(last_number_);
  writer.le<uint64_t>(sessions_.size());
  for (const auto& [number, session] : sessions_) {
    writer.le<uint64_t>(number);
    writer.text(session.client);
    writer.text(session.owner);
    writer.le<uint64_t>(session.epoch);
    writer.le<uint64_t>(session.run);
    const int connection = (session.connected ? kConnected : 0) | (session.ended_with_server ? kEndedWithServer : 0) |
                           (session.captures ? kCaptures : 0);
    writer.le<uint8_t>(static_cast<uint8_t>(connection));
    const int kind = (session.group ? kGroup : 0) | (session.began != 0 ? kBegan : 0);
    writer.le<uint8_t>(static_cast<uint8_t>(static_cast<int>(session.queue_full) | kind));
    writer.le<uint32_t>(session.queue_max);
    writer.le<uint32_t>(session.expiry_s);
    writer.le<LogTime>(session.ended);
    writer.le<TimerId>(session.timer);
    writer.le<LogTime>(session.will_due);
    writer.le<uint64_t>(session.lost);
    writer.le<uint64_t>(session.sent_upto);
    writer.le<uint32_t>(session.ahead);
    writer.le<uint64_t>(session.dropped_upto);
    save_subscriptions(writer, session);
    save_queue(writer, session.queue);
    writer.le<uint32_t>(static_cast<uint32_t>(session.received.size()));
    for (const auto& [id, content] : session.received) {
      writer.le<PacketNumber>(id);
      writer.le<uint64_t>(content);
    }
    save_will(writer, session.will);
    if (!session.group) continue;
    writer.le<uint32_t>(session.members);
    save_aside(writer, session.queue);
    if (session.began != 0) writer.le<uint64_t>(session.began);
  }
}

Result<void> KeptSessions::restore(SnapshotReader& reader) {
  *this = {};
  if (Result<void> sets = sets_.restore(reader); !sets) return sets;
  const auto lost = reader.le<uint64_t>();
  const auto last_number = reader.le<uint64_t>();
  const auto count = reader.le<uint64_t>();
  for (uint64_t i = 0; i < count && !reader.failed(); ++i) {
    last_number_ = reader.le<uint64_t>() - 1;
    const std::string client = reader.text(kTextLimitBytes);
    const std::string owner = reader.text(kTextLimitBytes);
    KeptSession& session = place(client, owner);
    bytes_ -= bytes_of(session);
    session.epoch = reader.le<uint64_t>();
    session.run = reader.le<uint64_t>();
    const auto connection = reader.le<uint8_t>();
    session.connected = (connection & kConnected) != 0;
    session.ended_with_server = (connection & kEndedWithServer) != 0;
    set_captures(session, (connection & kCaptures) != 0);
    const auto kind = reader.le<uint8_t>();
    session.group = (kind & kGroup) != 0;
    (session.group ? by_group_ : by_client_).insert_or_assign(session.client, session.number);
    set_queue_full(session, static_cast<QueueFull>(kind & ~(kGroup | kBegan)));
    session.queue_max = reader.le<uint32_t>();
    session.expiry_s = reader.le<uint32_t>();
    session.ended = reader.le<LogTime>();
    session.timer = reader.le<TimerId>();
    session.will_due = reader.le<LogTime>();
    session.lost = reader.le<uint64_t>();
    session.sent_upto = reader.le<uint64_t>();
    session.ahead = reader.le<uint32_t>();
    session.dropped_upto = reader.le<uint64_t>();
    read_subscriptions(reader, session);
    read_queue(reader, session.queue);
    const auto received = reader.le<uint32_t>();
    for (uint32_t k = 0; k < received && !reader.failed(); ++k) {
      const auto id = reader.le<PacketNumber>();
      session.received.emplace(id, reader.le<uint64_t>());
    }
    session.will = read_will(reader);
    if (session.group) {
      session.members = reader.le<uint32_t>();
      read_aside(reader, session.queue);
      if ((kind & kBegan) != 0) session.began = reader.le<uint64_t>();
    }
    bytes_ += bytes_of(session);
    more(session, session.queue.size());
    note_full(session);
    index(session);
  }
  last_number_ = last_number;
  lost_ = lost;
  find_heirs();
  if (reader.failed() || sessions_.size() != count) return Error{Errc::corrupt, "the broker's sessions are cut off"};
  return {};
}

}  // namespace heptane::iot
