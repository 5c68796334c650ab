#include "sim/mqtt_operator.h"

namespace heptane::sim {

namespace {

constexpr std::string_view kTaken = "app-in";  // the stream that publishes
constexpr uint32_t kNumbersMax = 60;

}  // namespace

SimMqttOperator::SimMqttOperator(ClientWorld& world, MqttWatch& watch, uint16_t port)
    : SimHttpClient(world, "mqtt-operator", port),
      watch_(watch),
      number_(static_cast<uint32_t>(watch.publishers.size())),
      partitions_(static_cast<uint32_t>(1 + world.random.below(3))) {
  watch_.publishers.push_back({1, true, 0});
}

void SimMqttOperator::declare(const std::string& name, const std::string& filter, uint32_t partitions, bool publish) {
  ask("POST", "/api/v1/mqtt/streams",
      R"({"name":)" + quoted(name) + R"(,"filter":)" + quoted(filter) + R"(,"partitions":)" +
          std::to_string(partitions) + R"(,"publish":)" + (publish ? "true" : "false") + "}");
}

void SimMqttOperator::append() {
  const SimMessage message = message_of({number_, next_}, true);
  ask("POST", "/api/v1/streams/" + std::string(kTaken) + "/records",
      R"({"records":[{"key":)" + quoted(message.topic) + R"(,"value":)" + quoted(message.payload) + "}]}",
      "Idempotency-Key: app-" + std::to_string(next_) + "\r\n");
}

// Streams over what durable sessions are subscribed to are changed, not dropped: their messages would be lost with them.
void SimMqttOperator::compose() {
  const uint64_t choice = step_++ == 0 ? 0 : 1 + world_.random.below(14);
  switch (choice) {
    case 0: return declare(std::string(kTaken), "app/#", 1, true);
    case 1: return declare("sim-all", "sim/#", partitions_, false);
    case 2: return declare("sim-some", world_.random.one_in(2) ? "sim/+/1" : "sim/0/#", 1, false);
    case 3: return declare("app-more", world_.random.one_in(2) ? "app/1" : "app/+", 1, false);
    case 4: return declare("tap-all", "tap/#", partitions_, false);
    case 5: return declare("tap-some", world_.random.one_in(2) ? "tap/+/0" : "tap/1/#", 1, false);
    case 6:
      return ask("DELETE", world_.random.one_in(2) ? "/api/v1/mqtt/streams/tap-all" : "/api/v1/mqtt/streams/tap-some",
                 "");
    default:
      if (watch_.all_subscribed() && next_ <= kNumbersMax) append();
  }
}

bool SimMqttOperator::on_response(int status, std::string_view) {
  const bool dropped = request().starts_with("DELETE") && status == 404;
  if (status != 200 && status != 201 && !dropped) return false;
  if (request().find("/records ") == std::string_view::npos) return true;
  watch_.publishers[number_].acknowledged = next_++;
  ++watch_.appended;
  return true;
}

}  // namespace heptane::sim
