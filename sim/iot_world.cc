#include "sim/iot_world.h"

#include <algorithm>

#include "kernel/config/settings.h"
#include "modules/iot/device_keys.h"
#include "modules/iot/module.h"
#include "sim/find_machine.h"
#include "sim/planted_ledger.h"
#include "sim/ports.h"
#include "sim/rules_clients.h"

namespace heptane::sim {

namespace {

constexpr uint64_t kEach = 6;  // seeds
constexpr uint64_t kRulesSeed = 2;
constexpr uint64_t kDevicesSeed = 4;
constexpr uint64_t kSeriesSeed = 5;
// Of so many one: those that the ledger has to itself otherwise.
constexpr uint64_t kBridgeEach = 12;
constexpr uint64_t kBridgeSeed = 7;
constexpr const char* kSeriesDirectory = "data/series";
// Listeners must hear all that came while they were away.
constexpr int64_t kQueueMax = 50'000;
// So few that a seed writes many files.
constexpr int64_t kHeadBytes = 700;

SeededRandom chance_of(uint64_t seed) { return SeededRandom(SeededRandom(seed * 1'000'003 + 12).next()); }

}  // namespace

IotCounts& IotCounts::operator+=(const IotCounts& other) {
  rules.commits += other.rules.commits;
  rules.inputs += other.rules.inputs;
  rules.transfers += other.rules.transfers;
  rules.repeats += other.rules.repeats;
  rules.dead_letters += other.rules.dead_letters;
  rules.changes += other.rules.changes;
  rules.audits += other.rules.audits;
  rules.lua_rows += other.rules.lua_rows;
  rules.lua_pauses += other.rules.lua_pauses;
  rules.gaps += other.rules.gaps;
  shadows.updates += other.shadows.updates;
  shadows.deltas += other.shadows.deltas;
  shadows.conflicts += other.shadows.conflicts;
  shadows.rejected += other.shadows.rejected;
  shadows.deleted += other.shadows.deleted;
  shadows.audits += other.shadows.audits;
  jobs.moves += other.jobs.moves;
  jobs.ended += other.jobs.ended;
  jobs.timed_out += other.jobs.timed_out;
  jobs.rejected += other.jobs.rejected;
  jobs.jobs_ended += other.jobs.jobs_ended;
  jobs.deleted += other.jobs.deleted;
  jobs.audits += other.jobs.audits;
  series.written += other.series.written;
  series.queries += other.series.queries;
  series.rows += other.series.rows;
  series.checked += other.series.checked;
  series.stalled += other.series.stalled;
  series.files += other.series.files;
  series.audits += other.series.audits;
  bridge += other.bridge;
  return *this;
}

std::string text_of(const IotCounts& counts) {
  const auto& [rules, shadows, jobs, series, bridge] = counts;
  std::string text;
  const auto add = [&](uint64_t count, const char* what) { text += std::to_string(count) + what; };
  text += "rules: ";
  add(rules.commits, " commits over ");
  add(rules.inputs, " records, ");
  add(rules.transfers, " transfers, ");
  add(rules.repeats, " repeats, ");
  add(rules.dead_letters, " dead letters, ");
  add(rules.changes, " changes of rules, ");
  add(rules.audits, " comparisons, ");
  add(rules.lua_rows, " rows of Lua, ");
  add(rules.lua_pauses, " pauses because of it, ");
  add(rules.gaps, " given up; shadows: ");
  add(shadows.updates, " updates, ");
  add(shadows.deltas, " deltas, ");
  add(shadows.conflicts, " conflicts, ");
  add(shadows.deleted, " deletions, ");
  add(shadows.audits, " comparisons; jobs: ");
  add(jobs.jobs_ended, " ended, ");
  add(jobs.deleted, " deleted, ");
  add(jobs.moves, " moves of executions, ");
  add(jobs.ended, " of them ends, ");
  add(jobs.timed_out, " timed out, ");
  add(jobs.rejected, " requests refused, ");
  add(jobs.audits, " comparisons; series: ");
  add(series.written, " requests written, ");
  add(series.queries, " queries with ");
  add(series.rows, " rows, ");
  add(series.checked, " series compared whole, ");
  add(series.files, " chunk files found by starts, ");
  add(series.stalled, " answers that the projection stands still; bridge: ");
  add(bridge.out, " messages out, ");
  add(bridge.in, " in, ");
  add(bridge.again, " again, ");
  add(bridge.connects, " connections, ");
  add(bridge.cuts, " ended, ");
  add(bridge.crashes, " crashes of the remote, ");
  add(bridge.forgotten, " sessions forgotten, ");
  add(bridge.hours, " hours away, ");
  add(bridge.put_off, " put off, ");
  add(bridge.dead_letters, " dead letters, ");
  add(bridge.echoes, " echoes, ");
  add(bridge.audits, " comparisons");
  return text;
}

IotWorld::IotWorld(uint64_t seed, const server::Modules& modules) : seed_(seed), rules_(chance_of(seed).next()) {
  started(modules);
  if (devices_machine_ == nullptr) return;
  if (seed % kEach == kRulesSeed && rules_machines_.ledger != nullptr) what_ = What::rules;
  if (seed % kEach == kDevicesSeed) what_ = What::devices;
  if (seed % kEach == kSeriesSeed) what_ = What::series;
  if (has_bridge(seed)) what_ = What::bridge;
}

bool IotWorld::has_rules(uint64_t seed) { return seed % kEach == kRulesSeed; }
bool IotWorld::has_bridge(uint64_t seed) { return seed % kBridgeEach == kBridgeSeed; }

void IotWorld::started(const server::Modules& modules) {
  rules_machines_ = {find_machine<iot::rules::RulesMachine>(modules, iot::rules::kRulesMachineId),
                     find_ledger(modules)};
  devices_machine_ = find_machine<iot::devices::DevicesMachine>(modules, iot::devices::kDevicesMachineId);
  jobs_machine_ = find_machine<iot::devices::JobsMachine>(modules, iot::devices::kJobsMachineId);
}

void IotWorld::make_clients(ClientWorld& world, MqttWatch& mqtt, std::vector<std::unique_ptr<SimClient>>& clients) {
  switch (what_) {
    case What::nothing: return;
    case What::rules: return make_rules(world, mqtt, clients);
    case What::devices: return make_devices(world, mqtt, clients);
    case What::series: return make_series(world, clients);
    case What::bridge: return make_bridge(world, mqtt, clients);
  }
}

void IotWorld::make_rules(ClientWorld& world, MqttWatch& mqtt, std::vector<std::unique_ptr<SimClient>>& clients) {
  SeededRandom chance = chance_of(seed_);
  const auto meters = static_cast<uint32_t>(1 + chance.below(kMetersMax));
  for (uint32_t i = 0; i < meters; ++i)
    clients.push_back(std::make_unique<SimMeter>(world, mqtt, rules_, i, kMqttPort));
  clients.push_back(std::make_unique<SimRulesOperator>(world, rules_, kAdminPort));
  auto listener = std::make_unique<SimMqttListener>(world, mqtt, "bills", kMqttPort, "bill/+", rules_.bills());
  listeners_.push_back(listener.get());
  clients.push_back(std::move(listener));
}

void IotWorld::make_devices(ClientWorld& world, MqttWatch& mqtt, std::vector<std::unique_ptr<SimClient>>& clients) {
  SeededRandom chance = chance_of(seed_);
  const auto things = static_cast<uint32_t>(2 + chance.below(4));
  for (uint32_t i = 0; i < things; ++i) {
    auto thing = std::make_unique<SimThing>(world, mqtt, devices_, i, kMqttPort);
    things_.push_back(thing.get());
    clients.push_back(std::move(thing));
  }
  const auto apps = static_cast<uint32_t>(1 + chance.below(3));
  for (uint32_t i = 0; i < apps; ++i)
    clients.push_back(std::make_unique<SimShadowApp>(world, mqtt, devices_, i, kMqttPort));
  clients.push_back(std::make_unique<SimDevicesOperator>(world, mqtt, devices_, kAdminPort));
  auto shadows = std::make_unique<SimMqttListener>(world, mqtt, "shadows", kMqttPort, "$aws/things/+/shadow/#",
                                                   devices_.shadows.answers());
  auto jobs =
      std::make_unique<SimMqttListener>(world, mqtt, "jobs", kMqttPort, "$aws/things/+/jobs/#", devices_.jobs.told());
  listeners_ = {shadows.get(), jobs.get()};
  clients.push_back(std::move(shadows));
  clients.push_back(std::move(jobs));
}

void IotWorld::make_series(ClientWorld& world, std::vector<std::unique_ptr<SimClient>>& clients) {
  SeededRandom chance = chance_of(seed_);
  const auto writers = static_cast<uint32_t>(1 + chance.below(3));
  for (uint32_t i = 0; i < writers; ++i)
    clients.push_back(std::make_unique<SimSeriesWriter>(world, series_, i, kSeriesPort));
  clients.push_back(std::make_unique<SimSeriesReader>(world, series_, kSeriesPort));
}

void IotWorld::make_bridge(ClientWorld& world, MqttWatch& mqtt, std::vector<std::unique_ptr<SimClient>>& clients) {
  SeededRandom chance = chance_of(seed_);
  bridge_.choose(chance);
  const auto publishers = static_cast<uint32_t>(1 + chance.below(BridgeWatch::kPublishersMax));
  for (uint32_t i = 0; i < publishers; ++i)
    clients.push_back(std::make_unique<SimBridgedPublisher>(world, mqtt, bridge_, i, kMqttPort));
  auto remote = std::make_unique<SimRemoteBroker>(world, bridge_,
                                                  static_cast<uint32_t>(1 + chance.below(BridgeWatch::kPublishersMax)));
  remote_ = remote.get();
  clients.push_back(std::move(remote));
}

void IotWorld::configure(server::Module& module) {
  if (what_ == What::nothing) return;
  auto table = std::make_shared<config::KeyTable>();
  table->add(module.keys());
  if (table->find(iot::kSeriesHeadBytes) == nullptr) return;
  config::Settings settings(table);
  settings.give("mqtt.queue_max", kQueueMax);
  settings.give(std::string(iot::kSeriesHeadBytes), kHeadBytes);
  if (what_ == What::bridge) settings.give("bridge", bridge_.tables());
  module.configure(settings);
  if (what_ == What::rules) iot::use_lua(module, rules_.lua.starter());
}

void IotWorld::follow(server::Server& server) {
  if (what_ == What::rules) rules_.follow(server, rules_machines_);
  if (what_ == What::bridge) remote_->serve();  // it is one against few
}

void IotWorld::audit(server::Server& server, Disk& disk, Checker& checker, bool damaged) {
  series_.stands_still = false;
  if (what_ == What::rules) rules_.audit(server, rules_machines_, disk, checker, damaged);
  if (what_ == What::series) series_.audit(server, disk, checker, damaged);
  if (what_ == What::series) count_files(disk);
  if (what_ == What::bridge) bridge_.audit(server, disk, checker, damaged);
  if (what_ != What::devices) return;
  for (uint32_t thing = 0; thing < devices_.registered && !checker.lost_tail_allowed(); ++thing)
    if (!devices_machine_->registry().has(thing_name(thing)))
      checker.fail(thing_name(thing) + " was registered and acknowledged, and is not there");
  devices_.shadows.audit(server, *devices_machine_, disk, checker, damaged);
  devices_.jobs.audit(server, *jobs_machine_, disk, checker, damaged);
}

// Of the projection, that a start finds.
void IotWorld::count_files(Disk& disk) {
  const auto names = disk.list(kSeriesDirectory);
  if (!names) return;
  series_.counts.files += static_cast<uint64_t>(
      std::count_if(names->begin(), names->end(), [](const std::string& name) { return name.ends_with(".chunks"); }));
}

void IotWorld::look() {
  if (what_ == What::devices) devices_.jobs.look(*jobs_machine_);
}

std::string IotWorld::awaited() const {
  switch (what_) {
    case What::nothing: return {};
    case What::rules: return rules_.awaited(*rules_machines_.rules);
    case What::devices: return devices_.jobs.awaited(*jobs_machine_);
    case What::series: return "; the series " + series_.next_to_check();
    case What::bridge: return bridge_.awaited();
  }
  return {};
}

bool IotWorld::waits_for_time() const {
  if (what_ == What::bridge) return remote_->rests();
  return what_ == What::devices && devices_.jobs.are_open &&
         std::all_of(things_.begin(), things_.end(), [](const auto* thing) { return thing->rests(); });
}

bool IotWorld::has_ended(server::Server& server, Disk& disk, Checker& checker) {
  bool ended = true;
  if (what_ == What::rules) ended = rules_.has_ended(server, rules_machines_, disk, checker);
  if (what_ == What::series) ended = series_.has_ended(server, disk, checker);
  if (what_ == What::bridge) ended = bridge_.has_ended(server, disk, checker);
  if (what_ == What::devices) {
    ended = devices_.shadows.has_ended(server, disk, checker);
    ended = devices_.jobs.has_ended(server, disk, checker) && ended;
  }
  return ended && std::all_of(listeners_.begin(), listeners_.end(), [](const auto* one) { return one->finished(); });
}

}  // namespace heptane::sim
