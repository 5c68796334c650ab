// Commands and queries about sessions that outlive their connections. Every command names the session by its number and carries
// the epoch of the connection that it comes from: an old one changes nothing and is answered with 0. Little-endian; any thread.
//
// Texts: length u16 and bytes. A reply's payload begins with the wills that the command published: count u8, messages as in
// api.h; the gateway delivers them to whoever is connected.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "modules/iot/machine/api.h"
#include "modules/iot/machine/kept_sessions.h"

namespace heptane::iot {

struct WillView {
  uint32_t delay_s = 0;
  MessageView message;
};

// kOpenSession. Refused: unauthorised (another user's), overloaded (no room for another), unsupported (in a transaction).
struct OpenSession {
  std::string_view client;
  std::string_view owner;
  bool clean = false;  // what there was is discarded, with its will
  QueueFull queue_full = QueueFull::drop_oldest;
  uint32_t expiry_s = 0;
  uint32_t queue_max = 0;
  uint32_t ahead = 0;  // it sends no number that lies so far above what the machine knows to be sent (Settlement::sent)
  bool captures = false;  // KeptSession::captures, from logic 7 on
  std::optional<WillView> will{};
};
Buffer encode(const OpenSession& open);
std::optional<OpenSession> decode_open_session(Bytes payload);

// Reply: numbers are the session's and the epoch.
struct OpenedSession {
  std::vector<MessageView> wills;
  bool present = false;
  bool tells = false;     // what it loses is told in `iot.events`: the machine's logic is the second one
  uint64_t replaced = 0;  // the client's session that was discarded for it; 0: none
  uint64_t first_number = 0;
  uint64_t next_number = 0;
  uint64_t sent_upto = 0;  // numbers below it may have been sent
  struct Received {
    PacketNumber id = 0;
    uint64_t content = 0;
  };
  std::vector<Received> received;
  struct Subscribed {
    std::string_view filter;
    KeptSubscription subscription;
  };
  std::vector<Subscribed> subscriptions;
  // Filters whose retained messages the client does not have: those behind the topic.
  struct Walk {
    std::string_view filter;
    std::string_view after;
    uint64_t number = 0;
  };
  std::vector<Walk> walks;
  bool keeps_walks = false;  // the machine's logic knows them
  bool captures = false;     // KeptSession's
};
void append_opened(ByteWriter& out, const KeptSession& session, bool present, bool tells, bool walks,
                   uint64_t replaced);
Result<OpenedSession> decode_opened(Bytes payload);

// kCloseSession. Reply: numbers are 1 when it was the session's connection, and the log time at which the will is due (0: it is not).
struct CloseSession {
  uint64_t session = 0;
  uint64_t epoch = 0;
  bool with_will = false;
  std::optional<uint32_t> expiry_s{};  // another from now on
  uint64_t sent_upto = 0;
};
Buffer encode(const CloseSession& close);
std::optional<CloseSession> decode_close_session(Bytes payload);

// kSubscribe, kUnsubscribe (where subscriptions say nothing).
struct ChangeFilters {
  uint64_t session = 0;
  uint64_t epoch = 0;
  struct Wish {
    std::string_view filter;
    KeptSubscription subscription{};
    uint64_t walk =
        0;  // the number under which its client gets the retained messages, of which it has none; 0: it does not
  };
  std::vector<Wish> wishes;
};
Buffer encode(const ChangeFilters& change);
std::optional<ChangeFilters> decode_change_filters(Bytes payload);

// kSettle: what clients said of messages. Reply payload: session u64 and delivery number u64 of each one that was `denied` and is
// still in the group's queue, because the members that may receive it have no room: it is to be said again. Numbers: how many were
// settled, how many that are.
enum class Settlement : uint8_t {
  acknowledged = 1,  // PUBACK, PUBCOMP; `value`: the delivery number
  received = 2,      // PUBREC; the delivery number
  gone = 3,          // its message is not kept any more; the delivery number
  released = 4,      // PUBREL of the client's own message; its packet identifier
  sent = 5,          // numbers below it may have been sent
  expired = 6,       // its message's time was over before it was sent; the delivery number (OpenedSession::tells)
  denied = 7,        // none of a group's members that are connected may receive it; the delivery number
  returned = 8,      // chosen for a group's member, and never left: another gets it; the delivery number
  abandoned = 9,     // it left for a group's member that is gone, which did not say that it has it; the delivery number
};
struct Settled {
  uint64_t session = 0;
  uint64_t epoch = 0;
  uint64_t value = 0;
  Settlement kind = Settlement::acknowledged;
};
Buffer encode(const std::vector<Settled>& settled);
std::optional<std::vector<Settled>> decode_settled(Bytes payload);

// kWalked: clients have the retained messages of a filter up to a topic, or all of them.
struct Walked {
  std::string filter;
  std::string after;
  bool end = false;
  uint64_t walk = 0;  // its number
};
struct WalkedBy {
  uint64_t session = 0;
  uint64_t epoch = 0;
  Walked walked;
};
constexpr size_t kWalkedMax = 1'000;  // of one command
Buffer encode(const std::vector<WalkedBy>& walked);
std::optional<std::vector<WalkedBy>> decode_walked(Bytes payload);

// kQueryQueue: of what is there, numbers from `from` on, at most `max`.
struct QueueQuery {
  uint64_t session = 0;
  uint64_t epoch = 0;
  uint64_t from = 0;
  uint16_t max = 0;
};
Buffer encode(const QueueQuery& query);
std::optional<QueueQuery> decode_queue_query(Bytes payload);
// Reply: numbers are the count, and a bit each for: more is there, more will be (a fan-out is under way), the epoch is old.
struct QueuePage {
  static constexpr int64_t kMore = 1;
  static constexpr int64_t kComing = 2;
  static constexpr int64_t kStale = 4;
  struct Item {
    uint64_t number = 0;
    RecordPlace place{};
    uint8_t flags = 0;  // Reference's
    std::vector<uint32_t> ids;
  };
  std::vector<Item> items;
};
void append_item(ByteWriter& out, const QueuePage::Item& item);
Result<QueuePage> decode_queue_page(Bytes payload);

// kQueryWills.
struct DueWill {
  uint64_t session = 0;
  uint64_t epoch = 0;
  LogTime due = 0;
};
Result<std::vector<DueWill>> decode_due_wills(Bytes payload);

// kPublishWill: what became of it. None: it is not due, there is none, or it found no room.
enum class WillEnd : uint8_t { none = 0, published = 1, dropped = 2 };

// kQueryWill: whose a will is, and where it goes.
struct WillFacts {
  std::string_view owner;
  std::string_view client;
  std::string_view topic;
};
Buffer encode(const WillFacts& facts);
std::optional<WillFacts> decode_will_facts(Bytes payload);

// The wills at the beginning of a reply.
std::vector<MessageView> read_wills(ByteReader& in);

}  // namespace heptane::iot
