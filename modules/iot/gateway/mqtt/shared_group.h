// The connected members of `$share/NAME/FILTER`. Each message goes to one of them: in turn, one with room first; or, where groups
// are served by topic (`mqtt.shared`), to its topic's member, so that what has one topic is in order. Where a durable session is
// a member, connected or not, what comes at QoS 1 and 2 comes out of the machine's queue (group_outbox.h). The I/O thread's.
//
// A topic's member is the one whose client identifier and topic have the highest hash together: who comes or goes moves the topics
// that are or were his, and no others. As long as a member has messages of a topic the topic stays with him (TopicHolds).
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "kernel/net/session.h"

namespace heptane::iot::mqtt {

class GroupOutbox;
class Subscriber;

struct Subscription {
  Subscriber* subscriber = nullptr;
  uint8_t qos = 0;
  bool no_local = false;
  bool retain_as_published = false;
  uint32_t id = 0;          // 0: none
  uint16_t levels_min = 0;  // fewer levels are not for it: `a/#` of one who may not read `a` itself
};

// Which member has which topic. There are as many as there are topics of messages that are with members.
class TopicHolds {
 public:
  using Token = std::shared_ptr<const void>;
  // The topic is this member's as long as anybody has such a token.
  Token take(std::string_view topic, SessionId member);
  SessionId holder(std::string_view topic) const;  // 0: nobody
  size_t size() const { return holds_->size(); }

 private:
  struct Hold;
  using Holds = std::map<std::string, std::weak_ptr<const Hold>, std::less<>>;
  std::shared_ptr<Holds> holds_ = std::make_shared<Holds>();
};

class SharedGroup : public std::enable_shared_from_this<SharedGroup> {
 public:
  SharedGroup(std::string name, std::string filter, bool by_topic);
  ~SharedGroup();
  SharedGroup(const SharedGroup&) = delete;
  SharedGroup& operator=(const SharedGroup&) = delete;
  const std::string& name() const { return name_; }
  const std::string& filter() const { return filter_; }
  bool by_topic() const { return by_topic_; }
  bool empty() const { return members_.empty(); }
  size_t size() const { return members_.size(); }
  // Another number after each change of the members.
  uint64_t changes() const { return changes_; }
  // True: the subscriber is a new member.
  bool put(const Subscription& subscription);
  bool remove(const Subscriber& subscriber);
  const Subscription* find(SessionId session) const;
  void wake_members() const;
  void each_member(const std::function<void(const Subscription&)>& each) const;

  // Who gets a message at once, with room or without; null: nobody may receive it.
  const Subscription* next(uint8_t qos, std::string_view topic);
  // In turn: one that has room and may receive the topic. `anybody`: there are such, with room or without.
  const Subscription* choose(uint8_t qos, std::string_view topic, bool& anybody);
  // By topic: its member, with room or without; null: nobody may receive it.
  const Subscription* member_of(std::string_view topic) const;
  // Who has messages of the topic, a member or not any more; 0: nobody.
  SessionId holder_of(std::string_view topic) const { return holds_.holder(topic); }
  // For what is given to that member; none where groups are not served by topic.
  TopicHolds::Token hold(std::string_view topic, const Subscription& member);

  GroupOutbox* outbox() const { return outbox_.get(); }  // null: there is no queue
  std::unique_ptr<GroupOutbox> set_outbox(std::unique_ptr<GroupOutbox> outbox);

 private:
  struct Member {
    Subscription subscription;
    uint64_t hash = 0;  // of its client identifier
  };

  const std::string name_;
  const std::string filter_;
  const bool by_topic_;
  std::vector<Member> members_;
  std::map<SessionId, size_t> places_;  // in members_
  size_t turn_ = 0;
  uint64_t changes_ = 0;
  TopicHolds holds_;
  std::unique_ptr<GroupOutbox> outbox_;
};

}  // namespace heptane::iot::mqtt
