// What comes from one client at QoS 1 and 2: acknowledgements in the order in which the messages came, the identifiers that
// wait for PUBREL, and topic aliases (MQTT 5.0 §4.3, §4.9, §3.3.2.3.4). One connection's; the I/O thread's.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "modules/iot/domain/mqtt/packets.h"
#include "modules/iot/gateway/mqtt/fifo.h"

namespace heptane::iot::mqtt {

class Inbox {
 public:
  // Acknowledgements: a place in the order, then the outcome; whatever is first and has one comes out.
  uint64_t expect(PacketId id, uint8_t qos);
  void complete(uint64_t ticket, Reason reason);
  struct Due {
    PacketType type = PacketType::puback;
    PacketId id = 0;
    Reason reason = Reason::success;
  };
  bool take_due(Due& due);
  size_t unacknowledged() const { return state_ ? state_->expected.size() : 0; }

  // QoS 2. `fresh`: not seen, or another message under an identifier that its sender has not released; `again`: the one that is
  // known; `too_often`: once more than a client has reason to.
  enum class Arrival : uint8_t { fresh, again, too_often };
  Arrival receive(PacketId id, std::string_view topic, const Publish& publish);
  bool release(PacketId id) { return state_ && state_->received.erase(id) > 0; }
  bool knows(PacketId id) const { return state_ && state_->received.contains(id); }
  // One of an earlier connection.
  void remember(PacketId id, uint64_t content) { state().received.insert_or_assign(id, Received{content, 0}); }
  // Messages that the client may not forget yet, for Receive Maximum.
  size_t open() const { return state_ ? state_->received.size() + state_->open_qos1 : 0; }

  // The topic of a publish, by its alias or not. Fault: there is no such alias.
  Fault resolve(const Publish& publish, uint16_t alias_max, std::string_view& topic);

 private:
  struct Expected {
    PacketId id = 0;
    uint8_t qos = 1;
    bool done = false;
    Reason reason = Reason::success;
  };
  struct Received {
    uint64_t content = 0;
    uint32_t repeats = 0;
  };
  struct State {
    Fifo<Expected> expected;  // from first_ticket
    uint64_t first_ticket = 1;
    size_t open_qos1 = 0;
    std::map<PacketId, Received> received;
    std::vector<std::string> aliases;
  };
  State& state() {
    if (!state_) state_ = std::make_unique<State>();
    return *state_;
  }
  std::unique_ptr<State> state_;  // null: nothing came at QoS 1 or 2, or under an alias
};

}  // namespace heptane::iot::mqtt
