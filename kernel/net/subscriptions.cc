#include "kernel/net/subscriptions.h"

#include <algorithm>
#include <limits>

#include "kernel/base/assert.h"

namespace heptane::net {

namespace {
constexpr Offset kBeforeAll = std::numeric_limits<Offset>::min();
}  // namespace

std::optional<uint64_t> Subscriptions::evict() {
  const auto unused =
      std::find_if(watches_.begin(), watches_.end(), [](const auto& item) { return item.second.waiters == 0; });
  if (unused == watches_.end()) return std::nullopt;
  const uint64_t link_id = unused->second.link_id;
  partition_of_link_.erase(link_id);
  to_arm_.erase(unused->first);
  due_.erase(unused->first);
  watches_.erase(unused);
  return link_id;
}

void Subscriptions::add(SessionId session, SubscriptionId subscription, PartitionId partition, Offset from) {
  const auto found = watches_.find(partition);
  HEPTANE_ASSERT(found != watches_.end(), "a partition is watched before anybody waits for it");
  Watch& watch = found->second;
  ++watch.waiters;
  waiters_.emplace(Key(session, subscription), Waiter{partition, from});
  by_offset_.emplace(partition, from, session, subscription);
  if (watch.end > from) due_.insert(partition);
  if (watch.link_id == 0) to_arm_.insert(partition);
}

void Subscriptions::remove(SessionId session, SubscriptionId subscription) {
  const auto found = waiters_.find({session, subscription});
  if (found != waiters_.end()) erase(found);
}

void Subscriptions::remove_all(SessionId session) {
  auto at = waiters_.lower_bound({session, 0});
  while (at != waiters_.end() && at->first.first == session) at = erase(at);
}

Subscriptions::Waiters::iterator Subscriptions::erase(Waiters::iterator at) {
  const auto [session, subscription] = at->first;
  const Waiter& waiter = at->second;
  by_offset_.erase({waiter.partition, waiter.from, session, subscription});
  --watches_.at(waiter.partition).waiters;
  return waiters_.erase(at);
}

std::optional<Subscriptions::Arm> Subscriptions::next_to_arm() {
  while (!to_arm_.empty()) {
    const PartitionId partition = *to_arm_.begin();
    const Watch& watch = watches_.at(partition);
    if (watch.waiters > 0 && !watch.gone) return Arm{partition, watch.end};
    to_arm_.erase(to_arm_.begin());
  }
  return std::nullopt;
}

void Subscriptions::armed(PartitionId partition, uint64_t link_id) {
  watches_.at(partition).link_id = link_id;
  partition_of_link_[link_id] = partition;
  to_arm_.erase(partition);
}

void Subscriptions::advanced(uint64_t link_id, Offset durable_end) {
  const auto found = partition_of_link_.find(link_id);
  if (found == partition_of_link_.end()) return;  // evicted meanwhile
  const PartitionId partition = found->second;
  partition_of_link_.erase(found);
  Watch& watch = watches_.at(partition);
  watch.link_id = 0;
  watch.gone = durable_end <= watch.end;
  watch.end = durable_end;
  to_arm_.insert(partition);
  due_.insert(partition);
}

std::optional<Subscriptions::Due> Subscriptions::pop_due() {
  while (!due_.empty()) {
    const PartitionId partition = *due_.begin();
    const Watch& watch = watches_.at(partition);
    const Offset durable_end = watch.end;
    const auto first = by_offset_.lower_bound({partition, kBeforeAll, 0, 0});
    const bool none = first == by_offset_.end() || std::get<0>(*first) != partition;
    if (none && watch.gone) {
      to_arm_.erase(partition);
      watches_.erase(partition);
    }
    if (none || (!watch.gone && std::get<1>(*first) >= durable_end)) {
      due_.erase(due_.begin());
      continue;
    }
    const auto [ignored, from, session, subscription] = *first;
    remove(session, subscription);
    return Due{session, subscription, durable_end};
  }
  return std::nullopt;
}

}  // namespace heptane::net
