// Devices, rules and series in a simulation: who takes part in which seeds, their models, and when all of them are at their end.
// Of twelve seeds two have rules over readings and the ledger, two shadows and jobs, two (beside the ledger's clients) series, one a bridge
// to another broker. One owner.
#pragma once

#include <memory>
#include <vector>

#include "sim/bridge_watch.h"
#include "sim/device_clients.h"
#include "sim/mqtt_listener.h"
#include "sim/remote_broker.h"
#include "sim/rules_watch.h"
#include "sim/series_watch.h"

namespace heptane::sim {

struct IotCounts {
  RulesWatch::Counts rules;
  ShadowsWatch::Counts shadows;
  JobsWatch::Counts jobs;
  SeriesWatch::Counts series;
  BridgeWatch::Counts bridge;
  IotCounts& operator+=(const IotCounts& other);
};
// For the report.
std::string text_of(const IotCounts& counts);

class IotWorld {
 public:
  IotWorld(uint64_t seed, const server::Modules& modules);
  // In this seed, where there are such machines.
  static bool has_rules(uint64_t seed);
  static bool has_bridge(uint64_t seed);
  // Few others take part.
  bool is_alone() const { return what_ == What::rules || what_ == What::devices || what_ == What::bridge; }

  void make_clients(ClientWorld& world, MqttWatch& mqtt, std::vector<std::unique_ptr<SimClient>>& clients);
  // As the configuration would.
  void configure(server::Module& module);
  // The machines of the server that starts, before bugs are planted.
  void started(const server::Modules& modules);
  // After a turn of the shard.
  void follow(server::Server& server);
  // After a start. `damaged`: bytes at rest were changed.
  void audit(server::Server& server, Disk& disk, Checker& checker, bool damaged);
  // Without faults: what clients at their end wait for.
  void look();
  // Clients are at their end: all that must follow has.
  bool has_ended(server::Server& server, Disk& disk, Checker& checker);
  // What has not ended, as a text.
  std::string awaited() const;
  // Time must pass in seconds.
  bool has_timers() const { return what_ == What::devices || what_ == What::bridge; }
  // Nothing happens but by time.
  bool waits_for_time() const;
  // A query found the projection of series standing still: the next start lets it go on.
  bool stands_still() const { return series_.stands_still; }
  IotCounts counts() const {
    return {rules_.counts(), devices_.shadows.counts(), devices_.jobs.counts(), series_.counts, bridge_.counts};
  }

 private:
  enum class What : uint8_t { nothing, rules, devices, series, bridge };
  void make_rules(ClientWorld& world, MqttWatch& mqtt, std::vector<std::unique_ptr<SimClient>>& clients);
  void make_devices(ClientWorld& world, MqttWatch& mqtt, std::vector<std::unique_ptr<SimClient>>& clients);
  void make_series(ClientWorld& world, std::vector<std::unique_ptr<SimClient>>& clients);
  void make_bridge(ClientWorld& world, MqttWatch& mqtt, std::vector<std::unique_ptr<SimClient>>& clients);
  void count_files(Disk& disk);

  const uint64_t seed_;
  What what_ = What::nothing;
  RulesWatch rules_;
  DevicesWatch devices_;
  SeriesWatch series_;
  BridgeWatch bridge_;
  SimRemoteBroker* remote_ = nullptr;
  std::vector<const SimMqttListener*> listeners_;
  std::vector<const SimThing*> things_;
  RulesMachines rules_machines_;
  const iot::devices::DevicesMachine* devices_machine_ = nullptr;
  const iot::devices::JobsMachine* jobs_machine_ = nullptr;
};

}  // namespace heptane::sim
