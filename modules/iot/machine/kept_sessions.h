// What of a client outlives its connection (MQTT 5.0 §4.1): subscriptions, references to the messages that it has not
// acknowledged, the identifiers of QoS 2 messages that it has not released, its will.
//
// A reference is 16 bytes and copies no payload: it names a record that the message is, by partition and offset. Those stay
// when the log's segments become archives of records, which a command's sequence does not. Every reference of a session has the
// next delivery number; numbers [first, first + size) are there or marked done, so an acknowledgement names one for ever. A
// session's epoch counts its connections: what carries an older one changes nothing. Sets of subscription identifiers are
// interned. Everything is ordered by what the log said, nothing by hash or address. The machine's.
//
// What is dropped from a full queue is the oldest one that was not sent: the client may hold state of one that was.
#pragma once

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernel/shard/effects.h"
#include "kernel/shard/snapshot_io.h"
#include "modules/iot/domain/topics/topic_tree.h"
#include "modules/iot/machine/api.h"

namespace heptane::iot {

struct Reference {
  static constexpr uint8_t kQosMask = 3;
  static constexpr uint8_t kRetain = 4;
  static constexpr uint8_t kReleased = 8;  // QoS 2: the client said PUBREC
  static constexpr uint8_t kDone = 16;     // acknowledged or dropped, and not the oldest
  static constexpr uint8_t kChosen =
      32;  // QoS 2, of a group: a member without a durable session has it, and nobody else may

  Offset offset = 0;
  PartitionId partition = kNoPartition;
  uint32_t ids : 24 = 0;  // a set of IdSets; 0: none
  uint32_t flags : 8 = 0;

  bool done() const { return (flags & kDone) != 0; }
};
static_assert(sizeof(Reference) == 16);

// References one behind the other, found by their place. In blocks: a queue of millions grows at its end and is taken off at its beginning
// without being moved, so that a push copies no more than a block. All but the last are full.
class ReferenceBlocks {
 public:
  static constexpr size_t kBlock = 4'096;

  size_t size() const { return blocks_.empty() ? 0 : (blocks_.size() - 1) * kBlock + blocks_.back().size() - begin_; }
  Reference& operator[](size_t place) { return blocks_[(begin_ + place) / kBlock][(begin_ + place) % kBlock]; }
  const Reference& operator[](size_t place) const {
    return blocks_[(begin_ + place) / kBlock][(begin_ + place) % kBlock];
  }
  void push_back(const Reference& reference);
  // Of one that is not empty.
  Reference take_last();
  Reference take_first();

 private:
  std::vector<std::vector<Reference>> blocks_;
  size_t begin_ = 0;  // in the first one
};

// In the order of their numbers. Taking the first one off costs nothing until half of the memory is free. One that is not done
// for long can be set aside, so that those behind it that are done take no memory.
class ReferenceQueue {
 public:
  size_t waiting() const { return waiting_; }  // those that are not done
  size_t size() const { return span() + aside_.size() + freed_; }
  size_t span() const { return items_.size(); }  // from the oldest one that is not set aside
  uint64_t first_number() const { return first_number_; }
  uint64_t next_number() const { return first_number_ + span(); }
  uint64_t last_waiting() const;  // there is one
  // The first one from there on, or next_number() and more.
  uint64_t next_waiting(uint64_t from) const;
  // nullptr: it is not there, or done.
  Reference* find(uint64_t number);
  const Reference& at(uint64_t number) const {
    return number < first_number_ ? aside_.at(number) : items_[number - first_number_];
  }
  void push(const Reference& reference);
  void set_done(uint64_t number);
  // Undoes set_done and push.
  void set_waiting(uint64_t number);
  Reference take_last();
  // Takes off what is done at the beginning; returns how many.
  size_t trim();
  // There is one, and it is not done.
  void set_first_aside();
  const std::map<uint64_t, Reference>& aside() const { return aside_; }
  void put_aside(uint64_t number, const Reference& reference);
  void start_at(uint64_t number) { first_number_ = number; }
  // Some that were ever in it have a set of identifiers.
  bool had_ids() const { return had_ids_; }

 private:
  ReferenceBlocks items_;
  size_t waiting_ = 0;
  uint64_t first_number_ = 0;
  std::map<uint64_t, Reference> aside_;  // by number, all lower than first_number_
  bool had_ids_ = false;
  size_t freed_ = 0;  // done and not in aside_ any more, which trim() does not know yet
};

// Sets of subscription identifiers by number, counted by the references that use them.
class IdSets {
 public:
  static constexpr uint32_t kNumberMax = (1U << 24) - 1;  // more than there are references

  // The set's number, used once more; 0 for the empty one.
  uint32_t use(const std::vector<uint32_t>& sorted_ids);
  void release(uint32_t set);
  // Undoes a release, and uses from `last` on.
  void use_again(uint32_t set, const std::vector<uint32_t>& ids);
  uint32_t last() const { return last_; }
  void set_last(uint32_t last) { last_ = last; }
  const std::vector<uint32_t>& of(uint32_t set) const;
  size_t bytes() const { return bytes_; }

  void save(SnapshotWriter& writer) const;
  Result<void> restore(SnapshotReader& reader);

 private:
  struct Set {
    std::vector<uint32_t> ids;
    uint64_t uses = 0;
  };
  void put(uint32_t number, const std::vector<uint32_t>& ids, uint64_t uses);

  std::map<uint32_t, Set> sets_;
  std::map<std::vector<uint32_t>, uint32_t> numbers_;
  uint32_t last_ = 0;
  size_t bytes_ = 0;
};

struct KeptSubscription {
  uint32_t id = 0;  // 0: none
  uint16_t levels_min = 0;
  uint8_t qos = 0;
  bool no_local = false;
  bool retain_as_published = false;
  bool joined = false;  // of a group: it counts as a member; the machine's alone
  friend bool operator==(const KeptSubscription&, const KeptSubscription&) = default;
};

struct KeptWalk {
  uint64_t number = 0;  // its gateway's, so that what is said of an earlier one of the filter does not count
  std::string after;
};

struct KeptWill {
  uint32_t delay_s = 0;
  uint8_t qos = 0;
  bool retain = false;
  std::optional<uint32_t> expiry_s;
  std::string topic;
  std::string properties;
  std::string payload;
};

// What becomes of a message for a session whose queue is full.
enum class QueueFull : uint8_t {
  drop_oldest = 0,
  drop_newest = 1,
  refuse = 2,  // its publisher is told, and keeps it
};

// Why a message is lost to a session. The numbers are the log's.
enum class Loss : uint8_t {
  drop_oldest = 1,        // its queue was full
  drop_newest = 2,        // likewise; never in the queue
  references_full = 3,    // all queues together were; never in the queue
  numbers_full = 4,       // kNumbersMax; never in the queue
  trimmed = 5,            // the log does not keep the message
  message_expired = 6,    // before it was sent
  session_expired = 7,    // with all that was in its queue
  session_discarded = 8,  // its client asked for a clean one
  session_ended = 9,      // with its connection
  not_allowed = 10,       // nobody who may receive it
  group_ended = 11,       // its last durable member left, with all that was in its queue
  member_gone = 12,       // of a group at QoS 2: sent to a member that was gone before it said that it has it
};
struct LostReference {
  Loss reason = Loss::drop_oldest;
  uint64_t number = 0;  // never in the queue: the next one's
};

struct KeptSession {
  using Subscriptions = std::map<std::string, KeptSubscription, std::less<>>;

  uint64_t number = 0;  // never used again
  std::string client;
  std::string owner;  // the user; nobody else takes it over
  uint64_t epoch = 0;
  uint64_t run = 0;  // of the server, in which it was connected last
  bool connected = false;
  QueueFull queue_full = QueueFull::drop_oldest;
  uint32_t queue_max = 0;
  uint32_t expiry_s = 0;           // 0: it ends with its connection (and is here for its will)
  LogTime ended = 0;               // when the connection did
  bool ended_with_server = false;  // with a run of the server, in the logic that knows (6)
  // A bridge's: messages at QoS 0 that are records are in its queue, at QoS 1, and its numbers reach kNumbersMax further than the
  // queue is long, because it sends none while one lies kNumbersMax behind it.
  bool captures = false;
  TimerId timer = 0;     // of its expiry; 0: none
  LogTime will_due = 0;  // 0: not due
  Subscriptions subscriptions;
  // Filters whose retained messages the client does not have yet: those up to the topic it has.
  std::map<std::string, KeptWalk, std::less<>> walks;
  ReferenceQueue queue;
  uint64_t sent_upto = 0;                     // numbers below it may have been sent
  uint32_t ahead = 0;                         // while connected, so many above it, too
  uint64_t dropped_upto = 0;                  // from maybe_sent_upto() to here all are done
  std::map<PacketNumber, uint64_t> received;  // QoS 2 from the client, not released: their contents
  std::optional<KeptWill> will;
  uint64_t lost = 0;     // references that were dropped: queue full, trimmed
  bool group = false;    // the queue of a group, which nobody connects to (shared_groups.h)
  uint32_t members = 0;  // of the group: sessions that are subscribed to it
  uint64_t began = 0;    // of the group: the sequence of the command with which it did; 0: of before that was known

  uint64_t maybe_sent_upto() const { return sent_upto + (connected ? ahead : 0); }
  // A connection is over that did not say how far it came.
  void assume_sent() { sent_upto = std::min(queue.next_number(), maybe_sent_upto()); }
  LogTime expires_at() const { return ended + static_cast<LogTime>(expiry_s) * kNsPerSecond; }
  static constexpr LogTime kNsPerSecond = 1'000'000'000;
};

// One session's share of a message: overlapping subscriptions are one delivery at the highest QoS with all identifiers.
struct Match {
  KeptSession* session = nullptr;
  uint8_t qos = 0;
  bool retain = false;
  std::vector<uint32_t> ids;
};

// What is matched with sessions. The texts are its caller's, as long as it is.
struct MatchedMessage {
  std::string_view topic;
  std::string_view publisher;
  uint8_t qos = 0;
  bool retain = false;
};

inline MatchedMessage matched(const MessageView& message) {
  return {message.topic, message.client, message.qos, message.retain};
}

// A session's subscription at its filter, where they lie by the sessions' numbers.
struct KeptEntry {
  KeptSession* session = nullptr;
  KeptSubscription subscription;
};

// A record that is a message.
struct RecordPlace {
  PartitionId partition = kNoPartition;
  Offset offset = 0;
};

class KeptSessions {
 public:
  KeptSession* find(uint64_t number);
  const KeptSession* find(uint64_t number) const { return const_cast<KeptSessions*>(this)->find(number); }
  KeptSession* find(std::string_view client);
  const KeptSession* find(std::string_view client) const { return const_cast<KeptSessions*>(this)->find(client); }
  KeptSession& add(std::string_view client, std::string_view owner);
  // A group is called as it is subscribed to; `like`: whose limits it gets.
  KeptSession* find_group(std::string_view shared);
  const KeptSession* find_group(std::string_view shared) const {
    return const_cast<KeptSessions*>(this)->find_group(shared);
  }
  KeptSession& add_group(std::string_view shared, std::string_view filter, const KeptSession& like);
  // A group's heirs: its members that may receive whatever its filter matches, at QoS 1 or 2. They follow from subscriptions.
  const std::set<uint64_t>& heirs_of(const KeptSession& group) const;
  void set_heir(const KeptSession& group, const KeptSession& session);
  void drop_heir(const KeptSession& group, const KeptSession& session);
  void remove(uint64_t number);
  bool empty() const { return sessions_.empty(); }
  bool ever_used() const { return last_number_ > 0; }
  size_t size() const { return sessions_.size() - by_group_.size(); }  // without groups
  const std::map<std::string, uint64_t, std::less<>>& groups() const { return by_group_; }
  const std::map<uint64_t, KeptSession>& all() const { return sessions_; }
  std::map<uint64_t, KeptSession>& all() { return sessions_; }

  void subscribe(KeptSession& session, std::string_view filter, const KeptSubscription& subscription);
  bool unsubscribe(KeptSession& session, std::string_view filter);
  // A subscription's retained messages, up to this topic, are with the client. Of one that is walked.
  void begin_walk(KeptSession& session, std::string_view filter, uint64_t number);
  void walk_to(KeptSession& session, std::string_view filter, std::string_view after);
  void end_walk(KeptSession& session, std::string_view filter);
  void set_will(KeptSession& session, std::optional<KeptWill> will);
  void add_received(KeptSession& session, PacketNumber id, uint64_t content);
  void forget_received(KeptSession& session, PacketNumber id);

  // One of the sessions that get this message (KeptMatching) refuses it. Of the filters' sessions and of those that are full the fewer are
  // looked at.
  bool is_refused(const MatchedMessage& message) const;
  void set_queue_full(KeptSession& session, QueueFull what);
  void set_captures(KeptSession& session, bool captures);
  // There are sessions that take messages at QoS 0.
  bool any_captures() const { return capturing_ > 0; }
  void set_queue_max(KeptSession& session, uint32_t most);
  // There are sessions that refuse when they are full.
  bool any_refuses() const { return refusing_ > 0; }
  // A message for it would lose something.
  bool full(const KeptSession& session) const {
    return session.queue.waiting() >= session.queue_max || no_number(session) || no_reference(session);
  }
  // Packet identifiers are made of a session's numbers, none of a group's. One that captures has them sent in their turn, but behind
  // the oldest unacknowledged one no more than that may be done.
  static bool no_number(const KeptSession& session) {
    const uint64_t most = kNumbersMax + (session.captures ? session.queue_max : 0);
    return !session.group && session.queue.size() >= most;
  }
  bool no_reference(const KeptSession& session) const {
    return references_ >= kReferencesMax || (session.captures && captured_ >= kCapturedMax);
  }
  // A message for it would be refused.
  bool refuses(const KeptSession& session) const { return session.queue_full == QueueFull::refuse && full(session); }
  // What push did, to be undone.
  struct Pushed {
    bool kept = false;
    std::optional<uint64_t> dropped;
    uint32_t dropped_set = 0;
    std::vector<uint32_t> dropped_ids;
    uint64_t dropped_upto = 0;
    uint32_t last_set = 0;
    uint64_t lost = 0;
    uint64_t all_lost = 0;
    std::optional<LostReference> loss;  // this message, or the one that made room
  };
  Pushed push(const Match& match, const RecordPlace& place);
  void undo(KeptSession& session, const Pushed& pushed);
  // Frees what is done at the beginning of the queue; follows a push that is not undone any more.
  void trim(KeptSession& session);
  // The number is acknowledged; false: it was not there.
  bool settle(KeptSession& session, uint64_t number);
  void lose(KeptSession& session, uint64_t count = 1);
  uint64_t references() const { return references_; }
  uint64_t captured() const { return captured_; }  // of those, of sessions that capture
  uint64_t lost() const { return lost_; }

  size_t bytes() const { return bytes_ + references_ * sizeof(Reference) + sets_.bytes(); }
  const IdSets& sets() const { return sets_; }

  void save(SnapshotWriter& writer) const;
  Result<void> restore(SnapshotReader& reader);

 private:
  friend class KeptMatching;
  static size_t bytes_of(const KeptSession& session);
  KeptSession& place(std::string_view client, std::string_view owner);
  void put(std::string_view filter, const KeptEntry& entry);
  void index(KeptSession& session);
  void note_full(const KeptSession& session);
  void find_heirs();
  void unindex(const KeptSession& session);
  void release_all(KeptSession& session);
  void more(const KeptSession& session, uint64_t references);
  void fewer(const KeptSession& session, uint64_t references);
  std::optional<uint64_t> oldest_unsent(KeptSession& session) const;

  std::map<uint64_t, KeptSession> sessions_;
  std::map<std::string, uint64_t, std::less<>> by_client_;
  std::map<std::string, uint64_t, std::less<>> by_group_;
  std::map<uint64_t, std::set<uint64_t>> heirs_;  // by group; none is empty
  TopicTree<KeptEntry> tree_;
  IdSets sets_;
  uint64_t last_number_ = 0;
  uint64_t refusing_ = 0;  // sessions with QueueFull::refuse
  std::set<uint64_t>
      full_;  // of those, the ones whose own queue is full; one that is not full any more may be there still
  uint64_t capturing_ = 0;   // sessions that capture
  uint64_t references_ = 0;  // with those that are done and not the oldest
  uint64_t captured_ = 0;    // of those, of sessions that capture
  uint64_t lost_ = 0;        // of all sessions, those that are gone included
  size_t bytes_ = 0;
};

// The sessions that get a message in their queues, by their numbers, beginning behind `after`: found one after the other, so whoever
// stops has paid for those before, and goes on from the last one's number. Work to begin: the filters that match. As long as no
// subscription changes.
class KeptMatching {
 public:
  KeptMatching(const KeptSessions& sessions, const MatchedMessage& message, uint64_t after);

  // nullptr: there is no more.
  const Match* current() const { return match_.session == nullptr ? nullptr : &match_; }
  void next();
  // Subscriptions that were looked at.
  size_t visits() const { return visits_; }

 private:
  using Entries = std::span<const KeptEntry>;
  void take_first();

  MatchedMessage message_;
  size_t levels_;
  std::vector<Entries> filters_;  // what is left of each, none empty; a heap, the lowest number first
  Match match_;
  size_t visits_ = 0;
};

}  // namespace heptane::iot
