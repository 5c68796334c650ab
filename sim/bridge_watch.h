// A bridge in a simulation: what local publishers and the remote broker (remote_broker.h) number and promise each other, and what of it
// each side must have in the end.
//
// Rules. Out: of each publisher the remote gets the numbers in order, at QoS 2 once while both sides keep their sessions, at QoS 1 at least
// once; all that the log has comes, but what is a dead letter. Only what the remote put off (0x97) may come behind newer ones. A dead
// letter has a reason: the remote's refusal, or that it closed three times. In: what the remote had an acknowledgement for is in
// the log after every start, in order, at QoS 2 once; only what the remote lost with its session is missing. What came in does not go
// out, and what came from here is not in the log again. Where acknowledged data was damaged on purpose, nothing is promised any
// more. One owner.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "kernel/base/disk.h"
#include "kernel/base/random.h"
#include "sim/checker.h"
#include "sim/mqtt_messages.h"
#include "sim/stream_tail.h"

namespace heptane::sim {

// One publisher's numbers, from 1 on, as they come to one place.
class NumbersWay {
 public:
  explicit NumbersWay(uint8_t qos) : qos_(qos) {}
  // What is wrong; empty: nothing.
  std::string arrived(uint32_t number);
  // Refused for now: it may come behind newer ones.
  void put_off(uint32_t number) { put_off_.insert(number); }
  // Who has it forgot that.
  void may_come_again(uint32_t number) { twice_.insert(number); }
  bool has(uint32_t number) const { return number <= newest_ && !missing_.contains(number); }
  uint32_t newest() const { return newest_; }
  uint8_t qos() const { return qos_; }
  uint64_t again() const { return again_; }
  // Below the newest one, that did not come.
  const std::set<uint32_t>& missing() const { return missing_; }

 private:
  const uint8_t qos_;
  uint32_t newest_ = 0;
  uint64_t again_ = 0;
  std::set<uint32_t> missing_;
  std::set<uint32_t> put_off_;
  std::set<uint32_t> twice_;
};

class BridgeWatch {
 public:
  struct Counts {
    uint64_t out = 0;        // messages that the remote took
    uint64_t in = 0;         // records of the remote's
    uint64_t again = 0;      // that came once more, both ways
    uint64_t connects = 0;   // sessions begun or resumed at the remote
    uint64_t cuts = 0;       // connections that the remote ended or lost
    uint64_t crashes = 0;    // of the remote
    uint64_t forgotten = 0;  // sessions that it lost by one
    uint64_t hours = 0;      // that it was away for whole
    uint64_t put_off = 0;    // answers 0x97
    uint64_t dead_letters = 0;
    uint64_t echoes = 0;  // of the bridge's own messages
    uint64_t audits = 0;
    Counts& operator+=(const Counts& other);
  };
  // How it is configured, and what the remote is, in this seed.
  struct Setting {
    bool five = true;
    uint8_t out_qos = 2;
    uint8_t in_qos = 2;
    uint32_t messages_per_second = 0;
    uint16_t receive_maximum = 0;  // of the remote; 0: it says none
    uint32_t fault_each = 800;     // turns of the remote
    uint32_t close_each = 0;       // messages, at which it ends the connection instead of an answer; 0: none
    bool hour = false;             // its first crash keeps it away for one
  };

  // Configured so.
  void choose(SeededRandom& chance);
  std::vector<std::string> tables() const;
  const Setting& setting() const { return setting_; }
  static constexpr const char* kHost = "remote.sim";
  static constexpr uint16_t kPort = 11'883;
  static constexpr uint32_t kPublishersMax = 3;
  static constexpr uint32_t kNumbersMax = 120;

  // Messages. Out: `up/P/T` here, `site/up/P/T` there. In: `down/P/T` there, `up/down/P/T` here.
  static SimMessage out_message(MessageName name);
  static SimMessage in_message(MessageName name);
  // The remote never takes it (MQTT 5).
  static bool is_refused(const SimMessage& message);
  static uint8_t qos_of(uint32_t publisher) { return static_cast<uint8_t>(1 + publisher % 2); }

  // What clients here know.
  uint32_t add_publisher();
  void acknowledged(MessageName name) { promised_[name.from] = name.number; }
  bool may_begin = false;  // the remote was connected: the session here is there

  // What the remote knows.
  uint32_t add_remote_publisher();
  void reached(const SimMessage& message, Checker& checker);
  void put_off(const SimMessage& message);
  void refused(const SimMessage& message);
  void forgot(const SimMessage& message);  // it had it at QoS 2, and lost its session
  void sender_acknowledged(MessageName name) { in_promised_[name.from].insert(name.number); }
  void sender_lost(MessageName name) { in_lost_[name.from].insert(name.number); }
  Counts counts;

  // After a start. `damaged`: bytes at rest were changed.
  void audit(server::Server& server, Disk& disk, Checker& checker, bool damaged);
  // Clients have come to their end: all that is in the log is at the remote, or a dead letter.
  bool has_ended(server::Server& server, Disk& disk, Checker& checker);
  std::string awaited() const;

 private:
  bool read(server::Server& server, Disk& disk, Checker& checker, bool damaged);
  void logged(std::string_view topic, std::string_view payload, Checker& checker);
  void dead_letter(std::string_view payload, Checker& checker);
  void compare(Checker& checker) const;
  bool is_done(uint32_t publisher, uint32_t number) const;

  Setting setting_;
  std::vector<uint32_t> promised_;  // of each publisher, numbers from 1 to here
  std::vector<NumbersWay> logged_;
  std::vector<NumbersWay> out_;
  std::vector<std::set<uint32_t>> refused_;
  std::vector<std::set<uint32_t>> dead_;
  std::vector<NumbersWay> in_;
  std::vector<std::set<uint32_t>> in_promised_;
  std::vector<std::set<uint32_t>> in_lost_;
  StreamTail stream_{"bridge.sim.1"};
  StreamTail others_{"iot.messages"};
  bool blind_ = false;
};

}  // namespace heptane::sim
