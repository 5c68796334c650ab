// What the groups with durable members share (group_outbox.h): the way of their requests to the shard and back, the choices of
// members at QoS 2 on their way to the log, and which groups wait for a member that has room. Bounds: a group waits once; kChoicesMax
// choices and kChoiceBytesMax of their messages. One broker's; the I/O thread's.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string_view>
#include <utility>
#include <vector>

#include "kernel/net/session.h"
#include "modules/iot/machine/session_api.h"
#include "modules/iot/machine/shared_groups.h"

namespace heptane::iot::mqtt {

class Broker;
class GroupOutbox;
class SharedGroup;
struct Message;

class GroupQueues {
 public:
  static constexpr size_t kChoicesMax = 4 * kAssignedMax;
  static constexpr size_t kChoiceBytesMax = size_t{16} << 20;

  explicit GroupQueues(Broker& broker) : broker_(broker) {}

  void attach(net::SessionContext& context) { context_ = &context; }
  void detach();
  net::SessionContext* context() const { return context_; }

  // Outboxes, by a key that is never used again.
  uint64_t add(GroupOutbox& outbox);
  void remove(const GroupOutbox& outbox);
  // The group of that name, when its members are gone and one still has a message of its queue; null: there is none.
  std::shared_ptr<SharedGroup> find(std::string_view name, std::string_view filter) const;
  RequestId make_request(uint64_t key);
  net::SessionTimerId arm(uint64_t key, int64_t delay_ns);
  // What the machine says of the group that asked. `key`: its.
  void found(uint64_t key, const Reply& reply);

  bool on_reply(RequestId request, const Reply& reply);
  bool on_records(RequestId request, const net::RecordsRead& records);
  bool on_timer(net::SessionTimerId timer);
  void settled(const Settled& settled);
  // `stays`: it is in the group's queue as before.
  void denied(const Settled& settled, bool stays);

  // It has something that no member has room for, or gets something back.
  void stall(GroupOutbox& outbox);
  // Somebody may have room.
  void pump();

  // The member that gets a message at QoS 2, which leaves when that is synced.
  struct Choice {
    std::shared_ptr<SharedGroup> group;
    SessionId member = 0;
    Assigned assigned;
    std::shared_ptr<const Message> message;
    std::shared_ptr<const void> hold;  // Delivery::hold
  };
  bool has_room() const { return choices_.size() + under_way_ < kChoicesMax && choice_bytes_ < kChoiceBytesMax; }
  void choose(Choice choice);
  void send();
  void assigned(uint64_t batch, const Reply& reply);

 private:
  std::shared_ptr<SharedGroup> find(uint64_t key, GroupOutbox*& outbox) const;
  std::vector<uint64_t> keys_of(uint64_t number) const;
  void check(const std::shared_ptr<SharedGroup>& group);
  bool waits(const Choice& choice) const;
  void submit(std::vector<Choice> batch);
  void take_back_behind(const Choice& first);
  void finish(const Choice& choice, AssignStatus status);

  Broker& broker_;
  net::SessionContext* context_ = nullptr;
  using Name = std::pair<std::string_view, std::string_view>;  // the group's, its filter
  std::map<uint64_t, GroupOutbox*> outboxes_;
  std::map<Name, GroupOutbox*> by_name_;  // the newest one of each
  uint64_t last_key_ = 0;
  uint32_t last_request_ = 0;
  std::map<net::SessionTimerId, uint64_t> timers_;
  std::vector<std::weak_ptr<SharedGroup>> stalled_;
  bool pumping_ = false;
  bool again_ = false;  // somebody wants it meanwhile
  std::vector<Choice> choices_;
  std::map<uint64_t, std::vector<Choice>> batches_;
  std::set<std::pair<uint64_t, SessionId>> choosing_;  // by topic: groups and members of which choices are in batches_
  uint64_t last_batch_ = 0;
  size_t under_way_ = 0;
  size_t choice_bytes_ = 0;  // of both
};

}  // namespace heptane::iot::mqtt
