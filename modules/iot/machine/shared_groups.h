// Groups of shared subscriptions that have a durable member: `$share/NAME/FILTER` (MQTT 5.0 §4.8.2). A group's queue is that of
// a session which nobody connects to (KeptSession::group, of epoch kGroupEpoch): references, delivery numbers, limits, losses and
// refusals are a session's, and so are its commands and queries.
//
// Invariants:
// - A group is there as long as a session is subscribed to it (KeptSubscription::joined), connected or not: until the last
//   one unsubscribes or ends, which is when the longest expiry of its durable members has passed. What is then in its
//   queue is lost, and told.
// - A message that the filter matches is one reference in the group's queue, until a member has acknowledged it or it is
//   assigned. Who gets it at QoS 1 is the gateway's choice and in no log: what a member leaves unacknowledged goes to another.
// - At QoS 2 the choice is a command: the reference goes from the group's queue to that of the member's session, which
//   finishes it, whatever happens; the PUBLISH leaves when that is synced. That for a member without a durable session stays in
//   the queue, marked (Reference::kChosen), until the gateway says what became of it: done, returned because it never left, or
//   abandoned, which is a loss. Nobody else gets it meanwhile; what a crash finds marked is abandoned. (Before the broker's logic 5
//   it was out of the queue with the choice.)
// - What none of the connected members may receive goes into the queue of one that is away and may (KeptSessions::heirs_of); it is lost,
//   and told, where there is none. Where they are full it stays in the group's queue. (Before logic 5 it was lost at once.)
// - A group's limits are those that the session had with which it began.
// The machine's.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "modules/iot/machine/api.h"
#include "modules/iot/machine/kept_sessions.h"

namespace heptane::iot {

constexpr uint64_t kGroupEpoch = 1;
constexpr size_t kAssignedMax = 256;  // by one command

// kAssignShared: the member that gets a message at QoS 2. Reply payload: an AssignStatus for each.
struct Assigned {
  uint64_t group = 0;
  uint64_t number = 0;   // in the group's queue
  uint64_t session = 0;  // the member's durable one; 0: it has none
  uint64_t epoch = 0;
  uint32_t id = 0;      // of the member's subscription; 0: none
  bool retain = false;  // the member takes the message's as it is
};
enum class AssignStatus : uint8_t {
  assigned = 0,
  gone = 1,    // it is not in the group's queue
  stale = 2,   // of a connection that is not the session's any more
  full = 3,    // the session's queue is
  marked = 4,  // a member's without a session; it stays in the group's queue until it is said what became of it
};
Buffer encode(const std::vector<Assigned>& assigned);
std::optional<std::vector<Assigned>> decode_assigned(Bytes payload);

// kQueryGroup; the payload is the filter with `$share/`. Reply numbers: the group's, 0 when there is none, and how far it was sent;
// payload: so many numbers above that may have been sent, too, u32, and with which command the group began, u64 (0: not known).
struct GroupInfo {
  uint64_t number = 0;
  uint64_t sent_upto = 0;
  uint32_t ahead = 0;
  uint64_t began = 0;
};
Result<GroupInfo> decode_group(const Reply& reply);

// For operators. The payload: at most so many u16, groups behind this one (`$share/…`). Reply: rows; numbers: how many, 1 when there is
// more.
constexpr uint16_t kQueryGroups = 60;
constexpr size_t kGroupRowsMax = 1'000;
struct GroupRow {
  uint64_t number = 0;
  std::string_view shared;
  uint32_t members = 0;  // durable ones, connected or not
  uint64_t queued = 0;
  uint32_t queue_max = 0;
  uint64_t lost = 0;
};
Buffer encode_groups_query(std::string_view after, uint16_t max);
Result<std::vector<GroupRow>> decode_group_rows(Bytes payload);

}  // namespace heptane::iot
