// The queue of a group with durable members, as the machine has it (machine/shared_groups.h), for those who are connected: each
// message goes to one that has room, in turn. What it acknowledges at QoS 1 the machine hears of lazily; what it leaves
// without an answer goes to another, before what was not sent. At QoS 2 the choice is synced before the message leaves: a
// durable session has it in its own queue then; what another member does not finish is returned where it never left, and else
// abandoned, which is a loss (MQTT 5.0 §4.8.2).
//
// What no member may receive, and members that are away have no room for, is tried again each kDeniedAgainNs and when the members change.
// Bounds of it: as of the lanes.
//
// By topic (shared_group.h) messages wait in lanes, one for each member, in the order of their numbers: who has no room holds up
// his topics alone. Bounds of the lanes together: kLanedMax messages and kLanedBytesMax; then all wait (group_by_topic.cc).
//
// It is made before it is known whether the machine has such a group; what is published until the machine's queue has been asked
// is remembered, so that nothing is missed where there is none (any more): at most kUnconfirmedMax messages and
// kUnconfirmedBytesMax, the oldest go, counted. What was published before the queue began is in none: whoever is connected gets it.
// Bounds of what is with members: their windows. One group's; the I/O thread's.
#pragma once

#include <deque>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "modules/iot/gateway/mqtt/queue_reader.h"
#include "modules/iot/machine/shared_groups.h"

namespace heptane::iot::mqtt {

class GroupOutbox final : public QueueReader {
 public:
  static constexpr size_t kUnconfirmedMax = 1'000;
  static constexpr size_t kUnconfirmedBytesMax = size_t{4} << 20;
  static constexpr size_t kLanedMax = 1'024;
  static constexpr size_t kLanedBytesMax = size_t{4} << 20;
  static constexpr int64_t kDeniedAgainNs = 5'000'000'000;

  GroupOutbox(Broker& broker, SharedGroup& group);
  ~GroupOutbox() override;

  SharedGroup& group() const { return group_; }
  uint64_t key() const { return key_; }
  uint64_t number() const { return queue_.session; }  // the machine's; 0: it was not found yet
  void begin(const GroupInfo& info);
  void detach() { context_ = nullptr; }

  // A message for it is in the log.
  void publish(const MessagePtr& message);
  void pump() override;
  void read_ended() override { pump(); }
  void acknowledged(uint64_t number);
  // `chosen`: the log knows who has it, and it never left.
  void give_back(uint64_t number, bool chosen);
  // Its member is gone, and may have it (QoS 2).
  void abandoned(uint64_t number);
  void chosen(uint64_t number, AssignStatus status);
  // The machine knows that no member here may receive it. `stays`: it has nobody else to give it to now.
  void denied(uint64_t number, bool stays);
  // Returns what it was.
  bool mark_stalled(bool stalled) { return std::exchange(stalled_, stalled); }
  // What is at hand and nobody has, in the order in which it came.
  std::vector<MessagePtr> leftovers();

 private:
  RequestId make_request() override;
  net::SessionTimerId arm(int64_t delay_ns) override;
  SessionId settler() const override { return 0; }
  void page_asked() override { covered_ = unconfirmed_.size(); }
  void page_came() override;
  void forget_unconfirmed();
  void confirm(const RecordPlace& place);
  void deliver_older(uint64_t began);
  bool hand_out();
  bool can_be_sent(Item& item, bool& dropped);
  Item take_first();
  bool drop(Settlement why);
  bool deny();
  void try_denied();
  void try_denied_later();
  bool is_over(const Message& message) const;
  bool has_room(const Item& item, const Subscription& member) const;
  static bool may_have(const Item& item, const Subscription& member);
  void send(Item item, const Subscription& member);

  // group_by_topic.cc
  bool hand_out_by_topic();
  bool send_from_lanes();
  void look_at_lanes();
  void merge_lanes();
  SessionId departed_with(std::string_view topic) const;
  void note_choosing(std::string_view topic);
  void note_chosen(uint64_t number);

  SharedGroup& group_;
  const uint64_t key_;
  std::map<uint64_t, Item> out_;       // with a member, by their numbers
  std::map<uint64_t, Item> returned_;  // and those that were
  struct Denied {
    Item item;
    bool stays = false;  // the machine said so
  };
  std::map<uint64_t, Denied> denied_;
  size_t denied_bytes_ = 0;
  int64_t denied_due_ns_ = 0;  // when those that stay are tried again; 0: there are none
  struct Laned {
    Item item;
    TopicHolds::Token hold;
  };
  std::map<SessionId, std::map<uint64_t, Laned>> lanes_;  // by members; none is empty
  std::map<std::string, size_t, std::less<>> choosing_;   // topics: their choices under way
  std::set<SessionId> ready_;                             // lanes that are to be looked at, while it is pumped
  size_t laned_ = 0;
  size_t laned_bytes_ = 0;
  uint64_t changes_ = 0;  // of the members, that are known
  std::deque<MessagePtr> unconfirmed_;
  size_t unconfirmed_bytes_ = 0;
  size_t covered_ = 0;  // of them, by the page that is asked for
  bool pumping_ = false;
  bool stalled_ = false;
};

}  // namespace heptane::iot::mqtt
