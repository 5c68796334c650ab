// Groups that are served by topic. A message is put into the lane of its topic's member first, and leaves it when that one has
// room: in a lane the order is that of the numbers, so what was given back goes before what is newer.

#include <utility>

#include "modules/iot/gateway/mqtt/group_outbox.h"

namespace heptane::iot::mqtt {

// False: all wait, or there is nothing.
bool GroupOutbox::hand_out_by_topic() {
  if (send_from_lanes()) return true;
  if (laned_ > 0) broker_.groups().stall(*this);
  if (returned_.empty() && items_.empty()) return false;
  const bool full = laned_ >= kLanedMax || laned_bytes_ >= kLanedBytesMax;
  if (full && returned_.empty()) return false;
  Item& item = returned_.empty() ? items_.front() : returned_.begin()->second;
  bool dropped = false;
  if (!can_be_sent(item, dropped)) return dropped;
  const std::string_view topic = item.message->view.topic;
  const SessionId departed = departed_with(topic);
  const Subscription* member = departed != 0 ? nullptr : group_.member_of(topic);
  if (departed == 0 && member == nullptr) return drop(Settlement::denied);
  const SessionId lane = departed != 0 ? departed : member->subscriber->session_id();
  Laned laned{{}, departed != 0 ? TopicHolds::Token{} : group_.hold(topic, *member)};
  laned.item = take_first();
  ++laned_;
  laned_bytes_ += laned.item.message->bytes.size();
  const uint64_t number = laned.item.number;
  ready_.insert(lane);
  lanes_[lane].emplace(number, std::move(laned));
  return true;
}

// Somebody may have room again.
void GroupOutbox::look_at_lanes() {
  for (const auto& [member, lane] : lanes_) ready_.insert(member);
}

// The first one of a lane whose member has room. Who has none gets none while it is pumped.
bool GroupOutbox::send_from_lanes() {
  while (!ready_.empty()) {
    const auto lane = lanes_.find(*ready_.begin());
    const Subscription* member = lane == lanes_.end() ? nullptr : group_.find(lane->first);
    if (member == nullptr || !has_room(lane->second.begin()->second.item, *member)) {
      ready_.erase(ready_.begin());
      continue;
    }
    const Subscription to = *member;
    if (!may_have(lane->second.begin()->second.item, to)) {
      merge_lanes();  // its topics are others' now, whether it has left or not
      return true;
    }
    const auto first = lane->second.begin();
    Laned taken = std::move(first->second);
    lane->second.erase(first);
    if (lane->second.empty()) lanes_.erase(lane);
    --laned_;
    laned_bytes_ -= taken.item.message->bytes.size();
    send(std::move(taken.item), to);
    return true;
  }
  return false;
}

// Whose choice of the topic is under way though he is gone: it may come back, and then goes first. 0: nobody's.
SessionId GroupOutbox::departed_with(std::string_view topic) const {
  if (!choosing_.contains(topic)) return 0;
  const SessionId holder = group_.holder_of(topic);
  return group_.find(holder) == nullptr ? holder : 0;
}

void GroupOutbox::note_choosing(std::string_view topic) {
  if (group_.by_topic()) ++choosing_[std::string(topic)];
}

// What waited for it may go on.
void GroupOutbox::note_chosen(uint64_t number) {
  const auto item = out_.find(number);
  if (!group_.by_topic() || item == out_.end()) return;
  const auto found = choosing_.find(item->second.message->view.topic);
  if (found == choosing_.end() || --found->second > 0) return;
  const bool waited = departed_with(found->first) != 0;
  choosing_.erase(found);
  if (!waited) return;
  merge_lanes();
  broker_.groups().stall(*this);
}

// The members are others: topics may be too.
void GroupOutbox::merge_lanes() {
  for (auto& [member, lane] : lanes_)
    for (auto& [number, laned] : lane) returned_.emplace(number, std::move(laned.item));
  lanes_.clear();
  ready_.clear();
  laned_ = 0;
  laned_bytes_ = 0;
}

}  // namespace heptane::iot::mqtt
