// What the log says of MQTT, in the log's order, and what follows from it in plain maps: which messages there are, which declared
// streams' filters matched each at its place, what is retained, whose wills are due.
//
// Rules, looked at after every start: what a publisher was told of is in the log, of each publisher in order, at QoS 2 and over
// HTTP once; each declared stream, and iot.messages, has in each partition exactly the messages that the filters say, in the
// log's order; the broker's retained messages are the last ones of their topics; a will is in the log at most once, only when
// it is due and never when its client was back before; a connection that ended without DISCONNECT leaves it; CONNACK says that there
// is a session when there is one by the log's times; log time never goes back. One owner.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "kernel/base/disk.h"
#include "kernel/server/server.h"
#include "modules/iot/machine/broker_machine.h"
#include "sim/checker.h"
#include "sim/mqtt_watch.h"

namespace heptane::sim {

class MqttLog {
 public:
  explicit MqttLog(MqttWatch& watch) : watch_(watch) {}

  // After a turn of the shard: reads what is synced before it becomes history.
  void follow(server::Server& server, const iot::BrokerMachine& broker, Checker& checker);
  // After a start. `damaged`: bytes at rest were changed.
  void audit(server::Server& server, const iot::BrokerMachine& broker, Disk& disk, Checker& checker, bool damaged);
  // Everybody else has come to an end: reads all; true when no will is awaited any more, and then the watch knows.
  bool learn(server::Server& server, Disk& disk, Checker& checker);
  // What is awaited then, as a text.
  std::string awaited() const;

 private:
  struct Logged {
    Sequence sequence = 0;
    LogTime time = 0;
    CommandType type = 0;
    std::vector<std::byte> payload;
    std::optional<std::vector<std::byte>> note;  // of messages that became records
  };
  struct Message {
    std::string topic;
    std::string payload;
  };
  struct Stream {
    std::string filter;
    std::vector<std::vector<size_t>> partitions;  // of messages_
  };
  // The session of a client with wills.
  struct Mortal {
    bool there = false;
    bool connected = false;
    uint64_t run = 0;
    uint32_t connection = 0;
    uint32_t expiry_s = 0;
    uint32_t delay_s = 0;
    bool will = false;
    LogTime ended = 0;
    bool ended_by_boot = false;
  };
  using Session = std::pair<uint64_t, uint64_t>;  // number, epoch

  Result<void> read(server::Server& server, Sequence upto);
  bool catch_up(server::Server& server, Sequence upto, Checker& checker, bool damaged);
  void note_sessions(const iot::BrokerMachine& broker);
  void note_queues(const iot::BrokerMachine& broker);
  void run(const Logged& command, Checker& checker);
  void run_publish(const Logged& command, Checker& checker);
  void run_open(const Logged& command, Checker& checker);
  void run_close(const Logged& command, Checker& checker);
  void run_will_due(const Logged& command, Checker& checker);
  void run_boot(const Logged& command);
  void end_connections();
  Mortal* mortal_of(uint64_t number, uint64_t epoch);
  LogTime ended(const Mortal& mortal) const;
  LogTime due(const Mortal& mortal) const;
  std::optional<MessageName> take_will(const Logged& command, Checker& checker);
  void take(std::string_view topic, std::string_view payload, uint8_t qos, bool retain, Checker& checker);
  void take_name(MessageName name, uint8_t qos, Checker& checker);
  void place(std::string_view topic);
  void declare(const Logged& command);

  void compare_acknowledged(Checker& checker) const;
  void compare_retained(const iot::BrokerMachine& broker, Checker& checker) const;
  void compare_present(Checker& checker);
  void compare_losses(server::Server& server, Disk& disk, Checker& checker);
  void compare_streams(server::Server& server, Disk& disk, Checker& checker, bool damaged);
  void compare_partition(server::Server& server, Disk& disk, const std::string& name, uint32_t partition,
                         const std::vector<size_t>& expected, Checker& checker, bool damaged);

  MqttWatch& watch_;
  std::vector<Logged> log_;  // synced, not run yet
  Sequence read_ = 0;        // so far
  LogTime last_time_ = 0;
  bool went_back_ = false;
  bool blind_ = false;  // the log was history before it was read, or is damaged
  std::vector<Message> messages_;
  std::map<std::string, Stream> streams_;
  std::vector<size_t> in_messages_;  // those in iot.messages
  std::map<std::string, std::string> retained_;
  std::vector<uint32_t> newest_;  // of each publisher
  std::map<uint32_t, Mortal> mortals_;
  std::map<Session, MessageName> sessions_;  // whose connection it is, by its will
  std::map<MessageName, bool> present_;      // what CONNACK must say
  std::set<MessageName> wills_;
  uint64_t run_ = 0;
  LogTime booted_ = 0;
  uint32_t grace_s_ = 0;
};

// The broker among the machines; null: there is none. Before bugs are planted.
const iot::BrokerMachine* find_broker(const server::Modules& modules);

}  // namespace heptane::sim
