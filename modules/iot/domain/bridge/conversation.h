// A bridge's side of two MQTT conversations: with the remote broker, whose client it is, and with the broker here, whose client it
// is too, under the identifier `$bridge/NAME`. Both sessions are durable and know what is unacknowledged; a conversation carries
// packets from one to the other and keeps no message that only it has:
//
//   broker here ──PUBLISH 7──▶ conversation ──PUBLISH 7──▶ remote        the identifier is the sender's, so each side's session knows
//   broker here ◀──PUBACK 7── conversation ◀──PUBACK 7── remote          again after a crash what it was sent
//
// Invariants: nothing is acknowledged to one side before the other has acknowledged it, but what a loop would be or what became a dead
// letter that is synced here. To the remote goes first what it may have already, then new, in the order of the queue here; never more
// than its Receive Maximum without an acknowledgement (the session here is opened with that), nor faster than the rate. What the
// remote refuses with 0x97 is sent again, before anything newer; another refusal, or three closes at the same message when it
// went alone, makes it a dead letter: a message on `$bridge/NAME/dead_letter` here.
//
// Bounds: kWindowMax messages of the queue here are held, and no new ones while they have more bytes than the local client's
// output may have; kOpenMax from the remote and kLettersMax dead letters are unanswered. One conversation lasts as long as one connection to the remote, or
// (Kind::prepare) until the session here is there with its subscriptions. Pure: packets in, packets out, time is told; any thread.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kernel/base/bytes.h"
#include "modules/iot/domain/bridge/mapping.h"
#include "modules/iot/domain/bridge/token_bucket.h"
#include "modules/iot/domain/mqtt/packets.h"

namespace heptane::iot::bridge {

// What a bridge is, as far as a conversation needs to know.
struct Terms {
  std::string name;
  std::string client_id;  // at the remote
  std::optional<std::string> user{};
  std::optional<std::string> password{};
  mqtt::Version version = mqtt::Version::v5;  // v5 or v311
  bool private_bit = false;  // MQTT 3.1.1 as other brokers' bridges speak it: what we published does not come back
  uint16_t keep_alive_s = 60;
  uint32_t remote_expiry_s = 7 * 24 * 3600;  // of the session at the remote (MQTT 5)
  std::vector<Mapping> mappings{};
  int64_t messages_per_second = 0;      // to the remote; 0: any
  int64_t bytes_per_second = 0;         // likewise
  std::string via{};                    // this server's name in kVia
  uint32_t packet_bytes_max = 1 << 20;  // that the broker here takes
  uint16_t receive_maximum = 1024;      // likewise
};

std::string local_client_id(std::string_view name);
std::string dead_letter_topic(std::string_view name);

enum class Happening : uint8_t {
  connected = 1,
  session_lost = 2,    // the remote does not know the session that it should have
  dead_letter = 3,     // topic, reason
  refused = 4,         // a message that is not carried, or a dead letter that is not taken: topic, reason
  filter_refused = 5,  // filter, reason
};
struct Event {
  Happening what = Happening::connected;
  std::string subject{};
  std::string why{};
};

struct Tally {
  uint64_t sent = 0;          // PUBLISH to the remote
  uint64_t acknowledged = 0;  // by the remote
  uint64_t received = 0;      // PUBLISH from the remote that went on to the broker here
  uint64_t looped = 0;        // not carried: they came from here or through too many servers
  uint64_t unmapped = 0;      // of no mapping (any more)
  uint64_t dead_letters = 0;
  uint64_t refused = 0;
  uint64_t unsure = 0;  // at QoS 2, of which the remote forgot that it had them before they were released
};

// How the connection to the remote ended.
enum class Gone : uint8_t {
  otherwise = 0,
  broke = 1,    // an error of the connection
  closed = 2,   // by the remote, without a word
  refused = 3,  // by the remote, because of what it was sent
};

// What outlives a conversation.
struct Memory {
  bool remote_known = false;  // the remote should have a session
  uint64_t suspect = 0;       // the message (key_of) because of which the remote may have closed; 0: none
  uint32_t closes = 0;        // one behind the other
  size_t careful = 0;         // so many messages go alone
  // What is to be a dead letter and why, by key_of, until the session here knows that it is done.
  std::map<uint64_t, std::string> condemned{};
  TokenBucket bucket{};
  Tally tally{};
};

class Conversation {
 public:
  static constexpr size_t kWindowMax = 256;
  static constexpr size_t kOpenMax = 512;
  static constexpr uint32_t kClosesMax = 3;
  static constexpr int64_t kAnswerWithinNs = 10'000'000'000;  // CONNACK
  static constexpr int64_t kHoldFirstNs = 1'000'000'000;      // behind 0x97; then twice as long each time
  static constexpr int64_t kHoldMostNs = 30'000'000'000;
  static constexpr size_t kGrowthBytes = 2'048;  // of a packet on its way through: topic and kVia
  static constexpr size_t kLettersMax = 4;
  static constexpr int64_t kCloseWithinNs = 5'000'000'000;  // behind a message, so that it may be because of it

  enum class Kind : uint8_t { prepare, relay };
  Conversation(const Terms& terms, Memory& memory, Kind kind);

  // The connection to the remote is there (relay), or is not needed (prepare).
  void start(int64_t now_ns);
  // One packet each. Frames of the remote only while takes_remote().
  void from_remote(const mqtt::Frame& frame, int64_t now_ns);
  void from_local(const mqtt::Frame& frame, int64_t now_ns);
  // The remote is connected: the session here is to be opened, to which take_local() goes.
  bool wants_local() const { return wants_local_; }
  // What that session is subscribed to; called before its CONNACK is given.
  void know_filters(std::vector<std::string> filters) { known_filters_ = std::move(filters); }
  // One more than the remote was told to send, which it does not: what releases those at QoS 2 is read.
  bool takes_remote() const {
    if (stage_ == Stage::greeting) return true;
    const bool room = letters_open_ == 0 || terms_.receive_maximum > letters_max() + 1;
    return local_connected_ && open_in_ <= open_max() && room;
  }
  // Of a PUBLISH that is longer than what is taken here: its beginning. It is answered for.
  struct PassedOver {
    size_t bytes =
        0;  // to be passed over, `beginning` included; 0: more of it must be known, or the conversation ended
    size_t needed = 0;  // so much of it
  };
  PassedOver pass_over(Bytes beginning);
  // The connection takes more.
  void set_writable(bool writable, int64_t now_ns);
  void pass_time(int64_t now_ns);
  int64_t due_ns() const;  // when pass_time has something to do; INT64_MAX: never
  // The connection to the remote is gone.
  void remote_gone(Gone how, std::string_view why, int64_t now_ns);
  void local_gone(std::string_view why) { end(why); }
  // On our part: both sides hear of it.
  void leave(std::string_view why) { end(why); }

  bool ended() const { return stage_ == Stage::ended; }
  Kind kind() const { return kind_; }
  bool prepared() const { return prepared_; }
  bool connected() const { return stage_ == Stage::relaying && local_connected_; }
  const std::string& why() const { return why_; }
  std::string take_remote() { return std::exchange(to_remote_, {}); }
  std::string take_local() { return std::exchange(to_local_, {}); }
  std::vector<Event> take_events() { return std::exchange(events_, {}); }
  size_t waiting_bytes() const { return waiting_bytes_; }  // of messages for the remote that are not done
  size_t in_flight() const { return flying_.size(); }

 private:
  enum class Stage : uint8_t { idle, greeting, relaying, ended };
  // A message on its way to the remote.
  struct Out {
    uint64_t order = 0;
    uint64_t key = 0;  // which it is, in this conversation and the next
    mqtt::PacketId id = 0;
    uint8_t qos = 0;           // here
    uint8_t remote_qos = 0;    // there
    std::string topic;         // here
    std::string remote_topic;  // there
    std::string packet;        // for the remote; empty: there is none
    size_t payload_bytes = 0;  // at its end
    int64_t sent_ns = 0;
    std::string_view payload() const { return std::string_view(packet).substr(packet.size() - payload_bytes); }
  };
  struct Letter {
    Out out;
    std::string why;
  };
  // What the broker here answers next to what it was sent, in that order.
  struct Expected {
    mqtt::PacketId id = 0;
    uint8_t qos = 0;
    std::optional<Out> letter{};  // of this message: a dead letter
  };

  // Of what the broker here lets a client send ahead: dead letters, and one more than the remote was told.
  size_t letters_max() const { return terms_.receive_maximum > 4 * kLettersMax ? kLettersMax : 1; }
  size_t open_max() const {
    const size_t kept = letters_max() + 1;
    return terms_.receive_maximum > kept ? std::min<size_t>(kOpenMax, terms_.receive_maximum - kept) : 1;
  }
  bool five() const { return terms_.version == mqtt::Version::v5; }
  template <class Packet>
  void tell_local(const Packet& packet);
  void local_ack(mqtt::PacketType type, mqtt::PacketId id, mqtt::Reason reason = mqtt::Reason::success);
  void remote_ack(mqtt::PacketType type, mqtt::PacketId id, mqtt::Reason reason = mqtt::Reason::success);
  void to_remote(std::string_view packet, int64_t now_ns);
  void greet_remote(int64_t now_ns);
  void greet_local();
  void take_connack(const mqtt::Frame& frame, int64_t now_ns);
  bool agrees(const mqtt::Connack& packet);
  void take_local_connack(const mqtt::Frame& frame);
  void subscribe_here();
  void subscribe_there();
  void take_suback(const mqtt::Frame& frame);
  void take_local_suback(const mqtt::Frame& frame);

  // Out.
  void carry_out(const mqtt::Frame& frame, int64_t now_ns);
  static uint64_t key_of(const mqtt::Publish& packet);
  std::string packet_for_remote(const mqtt::Publish& packet, const Mapped& as) const;
  std::string why_not(const Out& out, const mqtt::Publish& packet) const;
  void settle_here(const Out& out, mqtt::Reason reason);
  void take_remote_answer(const mqtt::Frame& frame, int64_t now_ns);
  void answered(Out out, mqtt::Reason reason, mqtt::PacketType type, int64_t now_ns);
  void pump(int64_t now_ns);
  void send_refused_again(int64_t now_ns);
  bool may_send() const { return writable_ && refused_.empty() && (memory_.careful == 0 || flying_.empty()); }
  void done(const Out& out) { waiting_bytes_ -= out.packet.size(); }
  void suspect_first(Gone how, int64_t now_ns);
  void released(const mqtt::Ack& pubcomp);
  void unmapped(std::string_view topic);
  void bury(Out out, std::string why);
  void send_letters();
  std::string letter_of(const Letter& letter) const;

  // In.
  void carry_in(const mqtt::Frame& frame);
  static std::optional<mqtt::Publish> head_of(const mqtt::Frame& frame);
  void absorb_in(const mqtt::Publish& packet, mqtt::Reason reason);
  void refuse_in(const mqtt::Publish& packet, mqtt::Reason reason, std::string_view why);
  void take_local_answer(const mqtt::Frame& frame);
  void buried(const Out& out, mqtt::Reason reason);
  void acquit(uint64_t key);
  bool loops(const mqtt::Properties& properties, size_t most) const;

  void fail(const char* who, const mqtt::Fault& fault);
  void end(std::string_view why);
  void note(Happening what, std::string_view subject = {}, std::string_view why = {});

  const Terms& terms_;
  Memory& memory_;
  const Kind kind_;
  Stage stage_ = Stage::idle;
  bool wants_local_ = false;
  bool local_connected_ = false;
  bool prepared_ = false;
  bool writable_ = true;
  bool retains_ = true;   // the remote does
  bool resumed_ = false;  // the remote knew its session
  size_t window_ = 1;
  uint32_t remote_packet_max_ = UINT32_MAX;
  std::vector<std::string> known_filters_;
  std::string why_;
  std::string to_remote_;
  std::string to_local_;
  std::vector<Event> events_;

  uint64_t last_order_ = 0;
  std::deque<Out> queue_;  // not sent yet
  size_t waiting_bytes_ = 0;
  std::map<mqtt::PacketId, Out> flying_;  // sent, without PUBACK or PUBREC
  std::map<uint64_t, Out> refused_;       // with 0x97, by their order
  int64_t hold_until_ns_ = 0;
  int64_t hold_ns_ = kHoldFirstNs;

  std::deque<Letter> letters_;           // that wait for their turn
  size_t letters_open_ = 0;              // without PUBACK
  std::set<mqtt::PacketId> unreleased_;  // of this conversation, with PUBREC and without PUBCOMP

  std::deque<Expected> expected_;
  size_t open_in_ = 0;                    // of the remote's, unanswered
  std::set<mqtt::PacketId> open_qos2_;    // likewise, without PUBCOMP
  std::set<mqtt::PacketId> absorbed_in_;  // at QoS 2, not carried: PUBREL is answered here

  int64_t deadline_ns_ = INT64_MAX;  // of CONNACK
  int64_t ping_due_ns_ = INT64_MAX;
  int64_t keep_alive_ns_ = 0;
  bool awaits_pong_ = false;
  int64_t local_ping_due_ns_ = INT64_MAX;
  int64_t local_keep_alive_ns_ = 0;
};

}  // namespace heptane::iot::bridge
