// What the connections of one I/O thread share: who is subscribed to what, who has which client identifier, and the way of a
// message. A message at QoS 0 that is not retained goes from publisher to subscribers at once; every other one is collected
// into one command a turn, and goes out when the shard's answer says that it is synced: to the subscribers first, then the
// publisher is told. Answers come in the log's order, so that is the order of what everybody sees.
//
// It outlives connections: a publisher that is gone does not take its message with it. Its own way to the shard is a session
// without a peer (mqtt.h). Bounds: kWaitingBytesMax and kWaitingMax of what is not acknowledged; at half of it
// publishers are not read any more. The I/O thread's.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "kernel/net/session.h"
#include "modules/iot/domain/mqtt/packets.h"
#include "modules/iot/domain/topics/topic_tree.h"
#include "modules/iot/gateway/mqtt/options.h"
#include "modules/iot/machine/api.h"

namespace heptane::iot::mqtt {

// A message on its way to subscribers. Fixed once made; the views point into `bytes`.
struct Message {
  Buffer bytes;
  MessageView view;
  SessionId from = 0;       // the publisher's connection; 0: it is gone
  int64_t received_ns = 0;  // monotonic
};
using MessagePtr = std::shared_ptr<const Message>;

class Broker;
class SharedGroup;

// How one subscriber gets one message.
struct Delivery {
  uint8_t qos = 0;
  bool retain = false;
  std::vector<uint32_t> subscription_ids;
  std::shared_ptr<SharedGroup> group{};  // it came for the group
};

// A connected client as the broker sees it.
class Subscriber {
 public:
  virtual ~Subscriber() = default;
  virtual SessionId session_id() const = 0;
  virtual std::string_view identity() const = 0;  // who it is, for takeover
  virtual void deliver(const MessagePtr& message, const Delivery& delivery) = 0;
  // It would send a message of this QoS now.
  virtual bool has_window(uint8_t qos) const = 0;
  // What it published under this ticket is done.
  virtual void published(uint64_t ticket, Reason reason) = 0;
  virtual void taken_over() = 0;
  // There is room again for what it wants to publish.
  virtual void resume() = 0;

  // The broker's scratch: which delivery of the current message is this client's.
  uint64_t round = 0;
  size_t slot = 0;
};

struct Subscription {
  Subscriber* subscriber = nullptr;
  uint8_t qos = 0;
  bool no_local = false;
  bool retain_as_published = false;
  uint32_t id = 0;          // 0: none
  uint16_t levels_min = 0;  // fewer levels are not for it: `a/#` of one who may not read `a` itself
};

// The members of `$share/NAME/FILTER`; each message goes to one of them, in turn, one with room first.
class SharedGroup {
 public:
  SharedGroup(std::string name, std::string filter) : name_(std::move(name)), filter_(std::move(filter)) {}
  const std::string& name() const { return name_; }
  const std::string& filter() const { return filter_; }
  bool empty() const { return members_.empty(); }
  // True: the subscriber is a new member.
  bool put(const Subscription& subscription);
  bool remove(const Subscriber& subscriber);
  const Subscription* next(uint8_t qos);

 private:
  const std::string name_;
  const std::string filter_;
  std::vector<Subscription> members_;
  size_t turn_ = 0;
};

class Broker {
 public:
  static constexpr size_t kWaitingMax = 20'000;
  static constexpr size_t kWaitingBytesMax = size_t{64} << 20;

  explicit Broker(MqttOptions options) : options_(options) {}

  const MqttOptions& options() const { return options_; }
  MqttCounters& counters() { return counters_; }

  // Clients.
  enum class Entry : uint8_t { entered, refused };  // refused: somebody else has the identifier
  Entry enter(std::string_view client_id, Subscriber& subscriber);
  void leave(std::string_view client_id, Subscriber& subscriber);
  std::string make_client_id(SessionId session) const;

  // Subscriptions. True: it is a new one.
  bool subscribe(std::string_view filter, const Subscription& subscription);
  bool unsubscribe(std::string_view filter, const Subscriber& subscriber);

  // Messages.
  struct Publisher {
    SessionId session = 0;  // 0: nobody waits (a will)
    uint64_t ticket = 0;
    Principal principal;
    int64_t now_ns = 0;
  };
  // Not logged: at once. Returns how many get it.
  size_t publish_volatile(const MessageView& message, const Publisher& publisher);
  // Logged; Subscriber::published follows. False: there is no room, nothing was taken.
  bool publish_logged(const MessageView& message, const Publisher& publisher);
  // A will, when its connection ended. Dropped when there is no way to the log any more.
  void publish_will(const MessageView& message, const Publisher& publisher);
  bool crowded() const { return waiting_ >= kWaitingMax / 2 || waiting_bytes_ >= kWaitingBytesMax / 2; }
  void wait_for_room(Subscriber& subscriber) { paused_.push_back(subscriber.session_id()); }
  // A shared message whose member is gone without having acknowledged it.
  void deliver_again(const std::shared_ptr<SharedGroup>& group, const MessagePtr& message);

  // The resident session's side.
  void attach(net::SessionContext& context) { context_ = &context; }
  void detach() { context_ = nullptr; }
  void on_reply(RequestId request, const Reply& reply);
  void on_timer(net::SessionTimerId timer);

 private:
  struct Waiting {
    SessionId session = 0;
    uint64_t ticket = 0;
    int64_t received_ns = 0;
  };
  struct Batch {
    Principal principal;
    ByteWriter bytes;  // of the messages; the count stands before them
    std::vector<Waiting> waiting;
  };
  struct InFlight {
    RequestId request = 0;
    Buffer payload;
    std::vector<Waiting> waiting;
  };
  struct Target {
    Subscriber* subscriber = nullptr;
    Delivery delivery;
  };

  void close_batch();
  void send_batches();
  void wake_later(int64_t delay_ns);
  void release(const InFlight& batch, const Reply& reply);
  void tell(const Waiting& waiting, Reason reason);
  size_t deliver(const MessagePtr& message);
  void collect(const MessagePtr& message);
  void add_target(const Message& message, const Subscription& subscription);
  Subscriber* find(SessionId session) const;
  void resume_paused();
  SharedGroup* find_group(std::string_view name, std::string_view filter);

  MqttOptions options_;
  MqttCounters counters_;
  net::SessionContext* context_ = nullptr;
  net::SessionTimerId timer_ = 0;  // 0: not armed
  std::unordered_map<SessionId, Subscriber*> sessions_;
  std::map<std::string, Subscriber*, std::less<>> clients_;
  TopicTree<Subscription> subscriptions_;
  TopicTree<std::shared_ptr<SharedGroup>> groups_;
  Batch batch_;
  std::deque<Batch> closed_batches_;  // that found no room in the ring
  std::deque<InFlight> in_flight_;
  RequestId last_request_ = 0;
  size_t waiting_ = 0;
  size_t waiting_bytes_ = 0;
  std::vector<SessionId> paused_;
  std::vector<Target> targets_;
  uint64_t round_ = 0;
};

}  // namespace heptane::iot::mqtt
