// The whole server in a world of its own: the real recovery, log, shard, streams, ledger and gateways over a simulated disk,
// network, clock and generator, on one thread. One seed decides everything: which role takes the next turn, what clients
// send, when the power fails, which sectors survive. The same seed is the same run, to the last byte (docs/simulator.md).
//
// After every restart the log is compared with what was promised to clients (checker.h), the ledger with a model of it
// (ledger_watch.h), and the state with a replay of a copy of the disk. One owner; a simulation runs once.
#pragma once

#include <array>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "kernel/server/server.h"
#include "sim/checker.h"
#include "sim/exchange_watch.h"
#include "sim/iot_world.h"
#include "sim/kafka_client.h"
#include "sim/ledger_client.h"
#include "sim/ledger_watch.h"
#include "sim/mqtt_log.h"
#include "sim/mqtt_watch.h"
#include "sim/planted_ledger.h"
#include "sim/sim_clock.h"
#include "sim/sim_disk.h"
#include "sim/sim_net.h"
#include "sim/simulator_bugs.h"
#include "sim/view_watch.h"

namespace heptane::sim {

using MakeModules = server::Modules (*)();

struct SimulationOptions {
  uint64_t seed = 1;
  uint64_t steps = 2000;
  PlantedBug bug = PlantedBug::none;
  MakeModules make_modules = nullptr;
};

struct SimulationResult {
  bool failed = false;
  std::string failure;
  uint64_t step = 0;     // of the failure, or of the end
  Hash128 fingerprint;   // of everything that happened and of the disk at the end
  std::string trace;     // the last lines, when it failed
  bool refused = false;  // a start refused bytes that had been damaged at rest
  uint64_t starts = 0;
  uint64_t power_cuts = 0;
  uint64_t kills = 0;
  uint64_t fatal_errors = 0;
  uint64_t acknowledged = 0;
  uint64_t seen = 0;
  uint64_t torn_tails = 0;
  uint64_t device_lies = 0;  // writes that were to be lost or misdirected
  uint64_t viewed = 0;       // records of a view, read after starts
  uint64_t archived = 0;     // archive segments made
  uint64_t rewritten = 0;    // of them, such as were written again without what was dead
  uint64_t past_states = 0;  // states of the past that were made again
  LedgerWatch::Counts ledger;
  uint64_t recounts = 0;  // of the ledger, by the server itself
  MqttWatch mqtt;
  IotCounts iot;
  ExchangeWatch::Counts exchange;
  uint64_t ledger_repeats = 0;  // requests of the ledger that were answered once more
};

class Simulation {
 public:
  explicit Simulation(SimulationOptions options);
  ~Simulation();
  Simulation(const Simulation&) = delete;
  Simulation& operator=(const Simulation&) = delete;

  SimulationResult run();

 private:
  static constexpr size_t kTraceLines = 100;
  enum Role : uint8_t { kIo, kShard, kCommit, kHelper, kReader, kDisk, kClient, kTime };
  static constexpr size_t kRoles = 8;

  // The run (simulator.cc).
  void make_clients();
  void make_kafka_readers();
  void make_traders();
  // Few others take part.
  bool is_alone() const { return iot_.is_alone() || with_exchange_; }
  void phases();
  bool over() const { return checker_.failed() || refused_; }
  void step(bool with_faults);
  Role next_role();
  void turn(Role role);
  void turn_while_down();
  void clients_turn();
  void after_turn();
  void shard_turn();
  void commit_turn();
  void note_live_hash();
  void come_to_an_end();
  bool all_finished();
  bool has_settled();
  void let_series_go_on();
  void stop_cleanly();
  void end_cleanly();
  void come_to_rest();
  void trace(const std::string& line);
  SimulationResult result();

  // MQTT (simulator_mqtt.cc).
  void make_mqtt_clients();
  void make_mqtt_crammed(SeededRandom& chance);
  void configure_mqtt(server::Modules& modules) const;
  void make_mqtt_group(SeededRandom& chance);
  void make_mqtt_mortals(SeededRandom& chance);
  bool mqtt_has_ended();

  // What goes wrong (simulator_faults.cc).
  void maybe_fault();
  void fault();
  void count_archived();
  void power_cut(const char* why);
  void kill(const char* why);
  void end_of_process();
  void arm_disk_fault();
  void squeeze_disk();
  void change_time();
  void damage(const char* when);
  void damage_while_running();
  void clear_faults();
  void forget_faults();

  // Starts and what is checked after them (simulator_audit.cc).
  void start();
  void start_failed(const Error& error, uint64_t faults_before);
  void audit();
  void audit_topic(size_t topic);
  void check_evidence(const log::RecoveryReport& report);
  void compare_with_live();
  void compare_with_replay(bool after_power_cut);
  void compare_with_past();
  server::ServerOptions server_options() const;
  server::Modules modules() const { return plant(options_.make_modules(), options_.bug); }

  const SimulationOptions options_;
  SeededRandom random_;  // of the schedule
  SeededRandom net_random_;
  SeededRandom client_random_;
  SeededRandom server_random_;
  SeededRandom audit_random_;
  SeededRandom damage_random_;
  SimClock clock_;
  SimDisk disk_;
  PlantedDisk planted_;
  SimNet net_;
  size_t topics_;
  Checker checker_;
  ViewWatch view_;
  const bool with_ledger_;  // clients of it
  LedgerWatch ledger_watch_;
  const bool with_exchange_;  // likewise
  ExchangeWatch exchange_watch_;
  const bool with_mqtt_;  // clients of it
  bool with_mortals_ = false;
  MqttWatch mqtt_watch_;
  MqttLog mqtt_log_{mqtt_watch_};
  IotWorld iot_;
  ClientWorld world_;
  std::vector<std::unique_ptr<SimClient>> clients_;
  std::vector<SimLedgerClient*> ledger_clients_;
  std::unique_ptr<server::Server> server_;          // none: the process is down
  const fintech::LedgerMachine* ledger_ = nullptr;  // of server_
  const iot::BrokerMachine* broker_ = nullptr;      // likewise
  ExchangeMachines exchange_;                       // likewise

  server::ServerOptions server_options_;
  uint64_t fault_every_ = 0;  // steps, on average
  std::array<uint64_t, kRoles> paused_until_{};
  uint64_t squeezed_until_ = 0;
  bool was_squeezed_ = false;
  uint64_t step_ = 0;
  std::optional<Error> fatal_;
  bool stopping_ = false;
  bool names_may_fail_ = false;  // a failed sync of a directory is armed
  bool damaged_ = false;         // bytes at rest were changed
  bool refused_ = false;
  std::map<Sequence, Hash128> live_hashes_;
  std::set<Sequence> synced_;  // where the watermark stood: what was written behind it says so

  std::deque<std::string> trace_;
  DigestAccumulator history_;
  SimulationResult counts_;
};

SimulationResult simulate(const SimulationOptions& options);
// The command that repeats it.
std::string repeat_command(const SimulationOptions& options);

}  // namespace heptane::sim
