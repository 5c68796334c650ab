// MQTT in a simulation: who takes part, and its end.
#include "kernel/config/settings.h"
#include "sim/mqtt_client.h"
#include "sim/mqtt_losses.h"
#include "sim/mqtt_members.h"
#include "sim/mqtt_operator.h"
#include "sim/ports.h"
#include "sim/simulator.h"

namespace heptane::sim {

namespace {

// In a quarter of the seeds with MQTT all queues are small, and nobody takes part who must get everything.
constexpr uint64_t kSmallQueuesEach = 12;
constexpr uint64_t kSmallQueues = 9;

}  // namespace

// In a third of the seeds.
void Simulation::make_mqtt_clients() {
  SeededRandom chance(SeededRandom(options_.seed * 1'000'003 + 11).next());
  const auto publishers = static_cast<uint32_t>(1 + chance.below(3));
  for (uint32_t i = 0; i < publishers; ++i)
    clients_.push_back(std::make_unique<SimMqttPublisher>(world_, mqtt_watch_, i, kMqttPort));
  const bool operates = !chance.one_in(3);
  if (operates) clients_.push_back(std::make_unique<SimMqttOperator>(world_, mqtt_watch_, kAdminPort));
  if (options_.seed % kSmallQueuesEach == kSmallQueues) return make_mqtt_crammed(chance);
  static constexpr const char* kFilters[] = {"sim/#", "sim/+/1", "app/#", "sim/0/+"};
  for (uint32_t i = static_cast<uint32_t>(1 + chance.below(2)); i > 0; --i) {
    const char* filter = i == 1 ? kFilters[0] : kFilters[chance.below(std::size(kFilters))];
    clients_.push_back(std::make_unique<SimMqttSubscriber>(world_, mqtt_watch_, i, kMqttPort, filter));
  }
  if (!chance.one_in(3)) make_mqtt_group(chance);
  if (chance.one_in(2)) clients_.push_back(std::make_unique<SimMqttKeeper>(world_, mqtt_watch_, 0, kMqttPort, false));
  clients_.push_back(std::make_unique<SimMqttKeeper>(world_, mqtt_watch_, 1, kMqttPort, true));
  // Timers of their sessions' expiry are none of the ledger's.
  if (!with_ledger_) make_mqtt_mortals(chance);
}

void Simulation::make_mqtt_crammed(SeededRandom& chance) {
  static constexpr const char* kPolicies[] = {"drop_oldest", "drop_newest", "refuse"};
  static constexpr const char* kFilters[] = {"sim/#", "sim/+/1", "sim/0/+"};
  mqtt_watch_.queue_max = static_cast<int64_t>(1 + chance.below(8));
  mqtt_watch_.queue_full = kPolicies[chance.below(std::size(kPolicies))];
  if (mqtt_watch_.queue_full == "refuse") mqtt_watch_.window = 1;
  for (uint32_t i = static_cast<uint32_t>(1 + chance.below(3)); i > 0; --i) {
    const char* filter = i == 1 ? kFilters[0] : kFilters[chance.below(std::size(kFilters))];
    const auto qos = static_cast<uint8_t>(1 + chance.below(2));
    clients_.push_back(
        std::make_unique<SimMqttCrammed>(world_, mqtt_watch_, i, kMqttPort, SimMqttReceiver::Wish{filter, qos, true}));
  }
}

// As the configuration would.
void Simulation::configure_mqtt(server::Modules& modules) const {
  if (mqtt_watch_.queue_max == 0 && !mqtt_watch_.by_topic) return;
  for (const auto& module : modules) {
    auto table = std::make_shared<config::KeyTable>();
    table->add(module->keys());
    if (table->find("mqtt.queue_max") == nullptr) continue;
    config::Settings settings(table);
    if (mqtt_watch_.by_topic) settings.give("mqtt.shared", std::string("by_topic"));
    if (mqtt_watch_.queue_max > 0) {
      settings.give("mqtt.queue_max", mqtt_watch_.queue_max);
      settings.give("mqtt.queue_full", mqtt_watch_.queue_full);
    }
    module->configure(settings);
  }
}

void Simulation::make_mqtt_group(SeededRandom& chance) {
  static constexpr const char* kFilters[] = {"sim/#", "sim/+/0", "app/#", "sim/+/+"};
  mqtt_watch_.groups.push_back({"g", kFilters[chance.below(std::size(kFilters))]});
  const size_t group = mqtt_watch_.groups.size() - 1;
  mqtt_watch_.by_topic = SeededRandom(options_.seed * 1'000'003 + 12).one_in(2);
  const uint64_t durable = 1 + chance.below(2);
  const uint64_t members = durable + chance.below(3);
  for (uint32_t i = 0; i < members; ++i)
    clients_.push_back(std::make_unique<SimMqttMember>(world_, mqtt_watch_, group, i, kMqttPort, i < durable));
}

void Simulation::make_mqtt_mortals(SeededRandom& chance) {
  with_mortals_ = true;
  clients_.push_back(std::make_unique<SimMqttHeir>(world_, mqtt_watch_, kMqttPort));
  for (uint32_t i = static_cast<uint32_t>(1 + chance.below(2)); i > 0; --i) {
    const auto expiry_s = static_cast<uint32_t>(chance.one_in(4) ? 0 : 2 + chance.below(8));
    clients_.push_back(std::make_unique<SimMqttMortal>(world_, mqtt_watch_, i, kMqttPort, expiry_s));
  }
}

// Everybody has: wills come, then the newcomer looks at what is retained.
bool Simulation::mqtt_has_ended() {
  if (!with_mqtt_ || mqtt_watch_.log_is_known) return true;
  (void)mqtt_log_.learn(*server_, disk_, checker_);
  return false;
}

}  // namespace heptane::sim
