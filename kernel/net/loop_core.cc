#include "kernel/net/loop_core.h"

#include <algorithm>
#include <utility>

#include "kernel/net/connection.h"

namespace heptane::net {

bool LoopCore::watch(PartitionId partition) {
  if (subscriptions.watches(partition)) return true;
  const size_t watches_max = std::max<size_t>(1, link.gated.capacity() / 4);
  if (subscriptions.size() >= watches_max) {
    // The unsubscription must find room before anything is forgotten.
    if (evictions_left == 0 || link.requests.size() == link.requests.capacity()) return false;
    const std::optional<uint64_t> link_id = subscriptions.evict();
    if (!link_id) return false;
    if (*link_id != 0) {
      --evictions_left;
      send({0, 0, UnsubscribeRequest{*link_id}});
    }
  }
  subscriptions.watch(partition);
  return true;
}

void LoopCore::arm_watches() {
  while (const auto arm = subscriptions.next_to_arm()) {
    // No room: the shard wakes this loop when it has taken requests, and the next turn tries again.
    if (!send({0, 0, SubscribeRequest{next_link_id, arm->partition, arm->from}})) return;
    subscriptions.armed(arm->partition, next_link_id++);
  }
}

void LoopCore::queue_ready(Connection& connection) {
  if (std::exchange(connection.ready_queued_, true)) return;
  ready.push_back(&connection);
}

void LoopCore::queue_dirty(Connection& connection) {
  if (std::exchange(connection.dirty_queued_, true)) return;
  dirty.push_back(&connection);
}

void LoopCore::take_ready(std::vector<Connection*>& into) {
  into.swap(ready);
  for (Connection* connection : into) connection->ready_queued_ = false;
}

void LoopCore::take_dirty(std::vector<Connection*>& into) {
  into.swap(dirty);
  for (Connection* connection : into) connection->dirty_queued_ = false;
}

namespace {

// Who dies in its turn was queued last.
void drop_last(std::vector<Connection*>& queue, Connection& connection) {
  const auto found = std::find(queue.rbegin(), queue.rend(), &connection);
  if (found != queue.rend()) queue.erase(std::next(found).base());
}

}  // namespace

void LoopCore::forget(Connection& connection) {
  if (connection.ready_queued_) drop_last(ready, connection);
  if (connection.dirty_queued_) drop_last(dirty, connection);
}

}  // namespace heptane::net
