// One bridge: first its session here is made and subscribed, so that what is published is kept for the remote from then on; then the
// connection to the remote is made, kept and made again, and on each of them a conversation (domain/bridge/conversation.h) carries
// packets between the remote and a client of the broker here (local_client.h), which comes and goes with the connection.
//
// Bounds: the conversation's; kInputBytesMax that wait for the broker here; above them the remote is not read. The I/O thread's.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "kernel/net/io_counters.h"
#include "kernel/net/outbound.h"
#include "kernel/net/session.h"
#include "modules/iot/domain/bridge/conversation.h"
#include "modules/iot/gateway/bridge/bridge_settings.h"
#include "modules/iot/gateway/bridge/local_client.h"
#include "modules/iot/gateway/mqtt/broker.h"

namespace heptane::iot::bridge {

struct BridgeCounters {
  net::Counter connected;  // bridges, now
  net::Counter connects;
  net::Counter sent;
  net::Counter acknowledged;
  net::Counter received;
  net::Counter looped;
  net::Counter unmapped;
  net::Counter dead_letters;
  net::Counter refused;
  net::Counter unsure;
};

// Connections outward (IoLoop). `stop` ends one for good.
struct Dialer {
  std::function<SessionId(net::Protocol&, net::OutboundOptions)> dial;
  std::function<void(SessionId)> stop;
};

// What an operator sees of a bridge.
struct BridgeFacts {
  std::string name;
  std::string address;
  std::string state;  // preparing, connecting, connected, stopped
  int64_t since_ms = 0;
  std::string last_error;  // empty: none
  Tally tally;
  size_t in_flight = 0;
  uint64_t connects = 0;
};

class Bridge {
 public:
  static constexpr size_t kInputBytesMax = size_t{256} << 10;
  static constexpr int64_t kRetryNs = 1'000'000'000;             // of what is needed here
  static constexpr int64_t kRedialNs = 30'000'000'000;           // when its files cannot be read
  static constexpr int64_t kRefreshNs = 24 * 3'600'000'000'000;  // a session that is away for long is opened again

  Bridge(WantedBridge wanted, mqtt::Broker& broker, Ways& ways, const Dialer& dialer, BridgeCounters& counters);
  ~Bridge();
  Bridge(const Bridge&) = delete;
  Bridge& operator=(const Bridge&) = delete;

  const WantedBridge& wanted() const { return wanted_; }
  const WantedBridge& said() const { return said_; }  // by the configuration
  // `via`: this server's name for the remote and for other bridges.
  void begin(const std::string& via);
  // For good: it is not wanted any more.
  void stop(std::string_view why);
  // The server stops.
  void shut_down();
  BridgeFacts facts() const;

  // The connection to the remote.
  void remote_opened(net::SessionContext& context);
  size_t remote_bytes(Bytes input, net::SessionContext& context);
  void remote_writable();
  void remote_closed(net::CloseReason reason);

 private:
  class RemoteProtocol;
  enum class State : uint8_t { idle, preparing, connecting, connected, stopped };

  void prepare();
  void prepared();
  void dial();
  Result<net::OutboundOptions> outbound_options();
  Result<void> read_password();
  void begin_conversation(Conversation::Kind kind);
  void open_local();
  void wake();
  void pump();
  bool turn();
  bool carry_from_local();
  void to_remote();
  void hold_remote();
  size_t refuse_frame(const mqtt::Fault& fault, const mqtt::Frame& frame, Bytes input, net::SessionContext& context);
  size_t pass_over(size_t bytes);
  void take_events();
  void tell(Happening what, std::string_view subject, std::string_view why);
  void tell_event(iot::ToldKind kind, std::string_view subject, std::string_view why);
  void count();
  void finish();
  void disconnected(const std::string& why);
  void arm();
  using What = void (Bridge::*)();
  void later(net::SessionTimerId& timer, int64_t delay_ns, What what);
  void set_state(State state);
  void note_error(std::string_view what);

  const WantedBridge said_;
  WantedBridge wanted_;  // with what follows from this server
  mqtt::Broker& broker_;
  Ways& ways_;
  const Dialer& dialer_;
  BridgeCounters& counters_;
  std::unique_ptr<RemoteProtocol> protocol_;
  State state_ = State::idle;
  int64_t since_ms_ = 0;
  std::string last_error_;
  SessionId outbound_ = 0;  // 0: not dialled yet
  Memory memory_;
  Tally counted_;  // of memory_.tally, what the counters have
  uint64_t connects_ = 0;
  std::unique_ptr<Conversation> conversation_;
  std::shared_ptr<LocalClient> local_;
  net::SessionContext* remote_ = nullptr;  // null: not connected
  bool remote_held_ = false;
  size_t passed_over_ = 0;  // so many bytes of the remote's are still to be
  bool pumping_ = false;
  bool again_ = false;
  net::SessionTimerId wake_timer_ = 0;     // 0: not armed
  net::SessionTimerId due_timer_ = 0;      // likewise
  int64_t due_ns_ = 0;                     // when it fires
  net::SessionTimerId later_timer_ = 0;    // of what is tried again
  net::SessionTimerId refresh_timer_ = 0;  // kRefreshNs
};

}  // namespace heptane::iot::bridge
