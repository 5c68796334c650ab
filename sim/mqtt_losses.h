// What durable sessions with small queues lose, against what `iot.events` says of it. Whoever has such a session knows the numbers of
// what it gets (a packet's identifier is 1 + its number); the log says which messages its filter matched, in their order.
//
// Rules: each of them has the next number, or is one that a gap names as never queued; each number was delivered or is in a gap
// of numbers; the gaps count as many as were not delivered, so that nothing that is named as lost was; a queue that refuses loses
// nothing. One owner.
#pragma once

#include <string>
#include <vector>

#include "kernel/base/disk.h"
#include "kernel/server/server.h"
#include "sim/checker.h"
#include "sim/mqtt_client.h"

namespace heptane::sim {

// Away often, and slow to acknowledge.
class SimMqttCrammed final : public SimMqttReceiver {
 public:
  SimMqttCrammed(ClientWorld& world, MqttWatch& watch, uint32_t number, uint16_t port, Wish wish);
  bool finished() const override;

 private:
  bool on_message(const Arrived& message) override;
  void go_on() override;
  uint32_t away_one_in() const override { return 30; }
  MqttWatch::Crammed& its() const { return watch_.crammed[number_]; }

  const size_t number_;
};

// Everybody has come to an end. `matched`: the payloads of what the filter matched, in the log's order.
void compare_losses(const MqttWatch::Crammed& client, const std::vector<std::string>& matched,
                    const std::vector<std::string>& events, Checker& checker);
// The values of `iot.events`.
std::vector<std::string> read_events(server::Server& server, Disk& disk, Checker& checker);
// What gaps of a client count.
uint64_t lost_of(const std::string& client, const std::vector<std::string>& events);

}  // namespace heptane::sim
