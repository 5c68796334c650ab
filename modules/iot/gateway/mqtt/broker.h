// What the connections of one I/O thread share: who is subscribed to what, who has which client identifier, and the way of a
// message. A message at QoS 0 that is not retained goes from publisher to subscribers at once; every other one is collected
// into one command a turn, and goes out when the shard's answer says that it is synced: to the subscribers first, then the
// publisher is told. Answers come in the log's order, so that is the order of what everybody sees.
//
// What a durable session gets at QoS 1 and 2 comes out of its queue in the machine; a message here only wakes it (kept_outbox.h).
//
// What is refused for now (a full disk) and cannot be told to its publisher (MQTT 3) is tried again, in its order: everything that
// was sent behind it is refused by the shard as well (Submission::chain), its publisher is not read meanwhile, and what came after
// the refusal of another waits until all that was sent before is answered: some of it may stand behind what is held by then.
//
// It outlives connections: a publisher that is gone does not take its message with it. Its own way to the shard is a session
// without a peer (mqtt.h). Bounds: kWaitingBytesMax and kWaitingMax of what is not acknowledged; at half of it, or
// of what the way of shadow requests holds, publishers are not read any more. The I/O thread's.
#pragma once

#include <array>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "kernel/net/session.h"
#include "modules/iot/domain/mqtt/packets.h"
#include "modules/iot/domain/topics/topic_tree.h"
#include "modules/iot/gateway/mqtt/client_facts.h"
#include "modules/iot/gateway/mqtt/declared.h"
#include "modules/iot/gateway/mqtt/device_sessions.h"
#include "modules/iot/gateway/mqtt/group_queues.h"
#include "modules/iot/gateway/mqtt/history.h"
#include "modules/iot/gateway/mqtt/job_service.h"
#include "modules/iot/gateway/mqtt/keep_alive.h"
#include "modules/iot/gateway/mqtt/keeper.h"
#include "modules/iot/gateway/mqtt/method_calls.h"
#include "modules/iot/gateway/mqtt/options.h"
#include "modules/iot/gateway/mqtt/presence.h"
#include "modules/iot/gateway/mqtt/proofs.h"
#include "modules/iot/gateway/mqtt/provisioning_desk.h"
#include "modules/iot/gateway/mqtt/rate_table.h"
#include "modules/iot/gateway/mqtt/rights.h"
#include "modules/iot/gateway/mqtt/rights_sweep.h"
#include "modules/iot/gateway/mqtt/shadow_service.h"
#include "modules/iot/gateway/mqtt/shared_group.h"
#include "modules/iot/gateway/mqtt/sparkplug_watch.h"
#include "modules/iot/gateway/mqtt/stored_reads.h"
#include "modules/iot/gateway/mqtt/sys_topics.h"
#include "modules/iot/gateway/mqtt/telling.h"
#include "modules/iot/gateway/mqtt/thing_presence.h"
#include "modules/iot/gateway/mqtt/tracing.h"
#include "modules/iot/machine/api.h"
#include "modules/iot/machine/provisioning/credential_api.h"

namespace heptane::iot::mqtt {

// A message on its way to subscribers. Fixed once made; the views point into `bytes`. What several get in the same form is
// encoded once, by the first of them: at QoS 0, in MQTT 3 and in MQTT 5.
struct Message {
  Buffer bytes;
  MessageView view;
  SessionId from = 0;         // the publisher's connection; 0: it is gone
  int64_t received_ns = 0;    // monotonic
  mutable bool many = false;  // several get it
  mutable std::array<Buffer, 2> packets{};
  RecordPlace place{};    // of its record; no partition: it has none, or it is not known
  uint64_t sequence = 0;  // of its command; 0: not known
};
using MessagePtr = std::shared_ptr<const Message>;

class Broker;

// A message of a page of retained ones (kept_walks.h).
struct PageMark {
  uint64_t page = 0;  // 0: of none
  uint32_t place = 0;
};

// How one subscriber gets one message.
struct Delivery {
  uint8_t qos = 0;
  bool retain = false;
  std::vector<uint32_t> subscription_ids;
  std::shared_ptr<SharedGroup> group{};  // it came for the group
  std::optional<uint64_t> number{};      // and out of its queue
  uint64_t queue = 0;                    // of which GroupOutbox, by its key: the group may have got another since
  bool chosen = false;                   // at QoS 2: whoever has it is the only one, which the log knows
  PageMark mark{};
  TopicHolds::Token hold{};  // its topic is this member's, where groups are served by topic
};

// A connected client as the broker sees it.
class Subscriber {
 public:
  virtual ~Subscriber() = default;
  virtual SessionId session_id() const = 0;
  virtual std::string_view client_id() const = 0;  // the same as long as it has entered
  virtual std::string_view identity() const = 0;   // who it is, for takeover
  virtual void deliver(const MessagePtr& message, const Delivery& delivery) = 0;
  // It would send a message of this QoS now.
  virtual bool has_window(uint8_t qos) const = 0;
  // Where its filters reach beyond what it may read now: a message of this topic is its. Elsewhere it is always.
  virtual bool may_receive(std::string_view topic) = 0;
  // What it published under this ticket is done.
  virtual void published(uint64_t ticket, Reason reason) = 0;
  virtual void taken_over() = 0;
  // Whoever else proves who he is may have its client identifier: it is nobody yet.
  virtual bool yields() const { return false; }
  // Of what it proved by who it is, where that is a device's credential: it is so now; it is gone with its thing.
  virtual void credential_changed(const devices::CredentialRow& row) { (void)row; }
  virtual void credential_gone() {}
  // There is room again for what it wants to publish.
  virtual void resume() = 0;
  // What it published was refused for now, and its protocol has no word for that: it is tried again. It publishes nothing more
  // until it was told of all. False: it can be told.
  virtual bool hold() = 0;
  // It asked for this with watch_keep_alive().
  virtual void check_keep_alive(int64_t now_ns) = 0;
  // Of its durable session: the answer to what it asked, and what it settled now and is synced.
  virtual void kept_answer(Keeper::Kind kind, const Reply& reply) = 0;
  virtual void settled(const Settled& settled) = 0;
  struct Durable {
    uint64_t session = 0;  // 0: it has none
    uint64_t epoch = 0;
  };
  virtual Durable durable() const = 0;
  // What proved who it is counts; may_receive() goes by its rights as they are now. False: it was told that it does not, and has left.
  virtual bool is_still_allowed() = 0;
  // The number of the connection of the thing that is called as the client is (thing_presence.h); 0: it is none.
  virtual uint64_t thing_connection() const = 0;
  // A filter of its own, of no group, matches the topic.
  virtual bool hears(std::string_view topic) const = 0;
  // Gives it this message, which is nobody else's and not logged, where it hears it. False: it does not, or has left.
  virtual bool ask(const MessageView& message) = 0;
  // There is more in its queue.
  virtual void wake_kept() = 0;
  // What it waits for may have been read.
  virtual void pump_kept() = 0;

  // For operators.
  virtual ClientFacts facts() const = 0;
  virtual void each_subscription(
      const std::function<void(std::string_view filter, const Subscription& subscription)>& each) const = 0;
  virtual void kick(bool with_will) = 0;

  // Of groups' messages at QoS 2, for it, on their way to the log.
  size_t choices = 0;

  // The broker's scratch: which delivery of the current message is this client's.
  uint64_t round = 0;
  size_t slot = 0;
};

class Broker {
 public:
  static constexpr size_t kWaitingMax = 20'000;
  static constexpr size_t kWaitingBytesMax = size_t{64} << 20;

  explicit Broker(MqttOptions options) : options_(std::move(options)) {}

  const MqttOptions& options() const { return options_; }
  MqttCounters& counters() { return counters_; }
  Keeper& keeper() { return keeper_; }
  Declared& declared() { return declared_; }
  GroupQueues& groups() { return group_queues_; }

  struct ByClientId {
    using is_transparent = void;
    bool operator()(const Subscriber* one, const Subscriber* other) const {
      return one->client_id() < other->client_id();
    }
    bool operator()(const Subscriber* one, std::string_view id) const { return one->client_id() < id; }
    bool operator()(std::string_view id, const Subscriber* one) const { return id < one->client_id(); }
  };

  // Clients.
  enum class Entry : uint8_t { entered, refused };  // refused: somebody else has the identifier
  Entry enter(Subscriber& subscriber);
  void leave(Subscriber& subscriber);
  void watch_keep_alive(SessionId session, int64_t due_ns);
  Subscriber* find(SessionId session) const;
  std::string make_client_id(SessionId session) const;

  Subscriber* find(std::string_view client_id) const;
  const std::set<Subscriber*, ByClientId>& clients() const { return clients_; }  // in the order of their identifiers
  Traces& traces() { return traces_; }
  LastErrors& errors() { return errors_; }
  Proofs& proofs() { return proofs_; }
  Presence& presence() { return presence_; }
  Telling& telling() { return telling_; }
  History& history() { return history_; }
  RightsTable& rights() { return rights_; }
  RateTable& rates() { return rates_; }
  ThingPresence& things() { return things_; }
  DeviceSessions& devices() { return devices_; }
  ProvisioningDesk& desk() { return desk_; }
  ShadowService& shadows() { return shadows_; }
  JobService& jobs() { return jobs_; }
  MethodCalls& methods() { return methods_; }
  SparkplugWatch& sparkplug() { return sparkplug_; }
  // Topics where clients publish no messages: the server's own, and those of services.
  bool reserves(std::string_view topic) const;
  SysTopics& sys() { return sys_; }

  // Subscriptions. True: it is a new one.
  bool subscribe(std::string_view filter, const Subscription& subscription);
  bool unsubscribe(std::string_view filter, const Subscriber& subscriber);
  // The group that is called so, `$share/NAME/FILTER`, where a member is connected; null: there is none.
  const SharedGroup* group_of(std::string_view shared);
  // A durable session is a member now: asks the machine for the group's queue.
  void ask_for_queue(std::string_view shared);
  // There is no such queue (any more).
  void make_volatile(const std::shared_ptr<SharedGroup>& group);
  // The queue is not there any more, and there may be another one.
  void renew_queue(const std::shared_ptr<SharedGroup>& group);

  // Messages.
  struct Publisher {
    SessionId session = 0;  // 0: nobody waits (a will)
    uint64_t ticket = 0;
    Principal principal;
    int64_t now_ns = 0;
    bool pushed = false;  // subscribers have it already
  };
  // One of its own, which is not logged.
  static std::shared_ptr<Message> make_message(const MessageView& message, const Publisher& publisher);
  // At QoS 0 and not retained. Not for the log, or of relaxed streams alone: to subscribers at once. Of another stream: when it
  // is synced. What finds no room in the log is counted, and dropped where it waits for it.
  void publish_once(const MessageView& message, const Publisher& publisher);
  // Not logged: at once. Returns how many get it.
  size_t publish_volatile(const MessageView& message, const Publisher& publisher);
  // Logged; Subscriber::published follows. False: there is no room, nothing was taken.
  bool publish_logged(const MessageView& message, const Publisher& publisher);
  // A will, when its connection ended. Dropped when there is no way to the log any more.
  void publish_will(const MessageView& message, const Publisher& publisher);
  bool crowded() const {
    return waiting_ >= kWaitingMax / 2 || waiting_bytes_ >= kWaitingBytesMax / 2 || shadows_.crowded() ||
           jobs_.crowded();
  }
  void wait_for_room(Subscriber& subscriber) { paused_.push_back(subscriber.session_id()); }
  // A shared message whose member is gone without having acknowledged it.
  // `chosen`: nobody else has it.
  void deliver_again(const std::shared_ptr<SharedGroup>& group, const MessagePtr& message, bool chosen = false);
  void give_back(const Delivery& delivery, const MessagePtr& message);
  // What others had the machine publish, in the order of the answers: messages one behind the other, the answer of a publish.
  void release_foreign(const Buffer& messages, size_t count, const Reply& reply);
  // What another machine published, out of the log, in its order.
  void deliver_stored(const MessagePtr& message, const RecordPlace& place);
  // A will that the machine published.
  void deliver_will(const Buffer& bytes, const MessageView& message, uint64_t sequence);
  // One of those that were logged last; null: it is not at hand.
  MessagePtr recent(const RecordPlace& place) const;
  StoredReads& stored() { return stored_; }

  // The resident session's side.
  void attach(net::SessionContext& context);
  void detach();
  void wake() { wake_later(0); }
  void on_reply(RequestId request, const Reply& reply);
  void on_records(RequestId request, const net::RecordsRead& records) {
    if (!jobs_.on_records(request, records)) group_queues_.on_records(request, records);
  }
  void on_timer(net::SessionTimerId timer);

 private:
  struct Waiting {
    SessionId session = 0;
    uint64_t ticket = 0;
    int64_t received_ns = 0;
    bool pushed = false;
  };
  struct Batch {
    Principal principal;
    uint32_t chain = 0;
    ByteWriter bytes;  // of the messages; the count stands before them
    std::vector<Waiting> waiting;
  };
  struct InFlight {
    RequestId request = 0;
    Principal principal;
    uint32_t chain = 0;
    Buffer payload;
    std::vector<Waiting> waiting;
    Bytes messages() const { return payload.view().subspan(sizeof(uint16_t)); }
  };
  struct Target {
    Subscriber* subscriber = nullptr;
    Delivery delivery;
  };

  void close_batch();
  void send_batches();
  void wake_later(int64_t delay_ns);
  void release(const InFlight& batch, const Reply& reply);
  // Those that are to be tried again go into `full`.
  void release_messages(const Buffer& messages, const std::vector<Waiting>& waiting, const Reply& reply, Batch& full);
  void refuse(const InFlight& batch, Errc error);
  bool hold_publisher(const Waiting& waiting);
  void put_off(Batch held, int64_t delay_ns);
  void hold_behind(const std::set<SessionId>& publishers);
  void refuse_behind(const std::set<SessionId>& publishers, Errc error);
  std::vector<Batch> take_behind(const std::set<SessionId>& publishers);
  static std::set<SessionId> publishers_of(const Batch& batch);
  static void hold_of(Batch& batch, const std::set<SessionId>& publishers, Batch& held);
  void try_again();
  void tell(const Waiting& waiting, Reason reason);
  size_t deliver(const MessagePtr& message);
  // Likewise, of one that `make` gives, which is asked for it where somebody is to have it.
  template <class Make>
  size_t deliver(const MessageView& view, SessionId from, const Make& make);
  template <class Make>
  size_t collect(const MessageView& view, SessionId from, const Make& make);
  void add_target(const MessageView& view, SessionId from, const Subscription& subscription);
  void remember(const MessagePtr& message);
  void resume_paused();
  void check_keep_alives();
  void arm_keep_alives();
  SharedGroup* find_group(std::string_view name, std::string_view filter);
  SharedGroup* find_or_add_group(std::string_view name, std::string_view filter);
  std::unique_ptr<GroupOutbox> ask_for_queue(SharedGroup& group);
  struct Again {
    std::shared_ptr<SharedGroup> group;
    MessagePtr message;
    bool chosen = false;
  };
  void deliver_to_another(const Again& again);
  static Delivery delivery_of(const std::shared_ptr<SharedGroup>& group, const Subscription& member,
                              const MessageView& message);

  static constexpr size_t kRecentMax = 4'096;
  static constexpr size_t kRecentBytesMax = size_t{4} << 20;

  MqttOptions options_;
  StoredReads stored_;  // before those whose queues are read
  MqttCounters counters_;
  Traces traces_;
  LastErrors errors_;
  Proofs proofs_;
  Presence presence_{options_, counters_};
  Telling telling_{options_, counters_};
  History history_{options_, *this};
  RightsTable rights_;
  RightsSweep rights_sweep_{*this};
  RateTable rates_;
  ThingPresence things_{*this};
  DeviceSessions devices_{*this};
  ProvisioningDesk desk_{options_};
  ShadowService shadows_{*this};
  JobService jobs_{*this};
  MethodCalls methods_{*this};
  SparkplugWatch sparkplug_{*this, options_};
  SysTopics sys_{*this};
  Keeper keeper_{*this};
  Declared declared_{options_.report};
  GroupQueues group_queues_{*this};
  net::SessionContext* context_ = nullptr;
  net::SessionTimerId timer_ = 0;       // 0: not armed
  net::SessionTimerId held_timer_ = 0;  // likewise
  net::SessionTimerId keep_alive_timer_ = 0;
  std::unordered_map<SessionId, Subscriber*> sessions_;
  std::set<Subscriber*, ByClientId> clients_;
  KeepAliveWheel keep_alives_;
  TopicTree<Subscription> subscriptions_;
  TopicTree<std::shared_ptr<SharedGroup>> groups_;
  Batch batch_;
  std::deque<Batch> closed_batches_;  // that found no room in the ring
  std::deque<Batch> held_;            // that were refused for now; the publishers of all that is in them are held
  std::deque<Batch> held_behind_;     // what the same ones had sent behind that
  uint32_t chain_ = 1;
  std::deque<InFlight> in_flight_;
  RequestId last_request_ = 0;
  size_t waiting_ = 0;
  size_t waiting_bytes_ = 0;
  using PlaceKey = std::pair<PartitionId, Offset>;
  std::map<PlaceKey, MessagePtr> recent_;  // by their places, kept where there are durable sessions
  std::deque<PlaceKey> recent_order_;      // the oldest first
  size_t recent_bytes_ = 0;
  std::vector<SessionId> paused_;
  std::vector<Target> targets_;
  std::deque<Again> again_;        // what is given to one member after the other, however many give it back
  std::vector<Again> given_back_;  // by the one who is being given something
  bool delivers_again_ = false;
  uint64_t round_ = 0;
};

}  // namespace heptane::iot::mqtt
