// Who on this loop waits for which partition to advance. A subscription fires once, the shard's as well as a session's.
// However many sessions wait for a partition, the shard has at most one subscription of this loop for it, and what it last
// said is remembered: a consumer that asks again and again costs the shard nothing. The loop's thread.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <tuple>
#include <utility>

#include "kernel/net/session.h"

namespace heptane::net {

class Subscriptions {
 public:
  struct Due {
    SessionId session = 0;
    SubscriptionId subscription = 0;
    Offset durable_end = 0;
  };
  // What the loop asks of the shard.
  struct Arm {
    PartitionId partition = kNoPartition;
    Offset from = 0;
  };

  bool watches(PartitionId partition) const { return watches_.contains(partition); }
  size_t size() const { return watches_.size(); }
  void watch(PartitionId partition) { watches_[partition]; }
  // Forgets a partition that nobody waits for. The link id is to be unsubscribed, 0 = the shard knows nothing of it;
  // nullopt: somebody waits for every one.
  std::optional<uint64_t> evict();

  // The partition is watched. Due at once when its known end is past `from`.
  void add(SessionId session, SubscriptionId subscription, PartitionId partition, Offset from);
  void remove(SessionId session, SubscriptionId subscription);
  void remove_all(SessionId session);

  // A partition whose waiters need the shard's news; armed() takes it off.
  std::optional<Arm> next_to_arm();
  void armed(PartitionId partition, uint64_t link_id);
  // The shard's news. An end that is not past what was asked for: the partition is gone; waiters hear of it once.
  void advanced(uint64_t link_id, Offset durable_end);

  // Takes one that is due.
  std::optional<Due> pop_due();
  bool any_due() const { return !due_.empty(); }

 private:
  struct Watch {
    uint64_t link_id = 0;  // 0: the shard is not asked
    Offset end = -1;       // known synced end; -1 = not known: the shard will answer with the present one
    uint64_t waiters = 0;
    bool gone = false;
  };
  using Key = std::pair<SessionId, SubscriptionId>;
  struct Waiter {
    PartitionId partition = kNoPartition;
    Offset from = 0;
  };
  using Waiters = std::map<Key, Waiter>;

  Waiters::iterator erase(Waiters::iterator at);

  std::map<PartitionId, Watch> watches_;
  std::map<uint64_t, PartitionId> partition_of_link_;
  Waiters waiters_;
  std::set<std::tuple<PartitionId, Offset, SessionId, SubscriptionId>> by_offset_;
  std::set<PartitionId> to_arm_;  // may have waiters; the shard is not asked
  std::set<PartitionId> due_;     // may have waiters behind their end
};

}  // namespace heptane::net
