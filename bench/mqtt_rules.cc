#include "bench/mqtt_rules.h"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "bench/mqtt_brokers.h"
#include "bench/mqtt_wire.h"

namespace heptane::bench {

namespace {

constexpr double kRateBar = 0.5;
constexpr int64_t kStartNs = 10'000'000'000;
constexpr const char* kPayload = R"({"t":21.5,"unit":"C","site":"north","line":7,"seq":1000000001})";
constexpr const char* kSql = "SELECT topic(2) AS sensor, t, round(t * 1.8 + 32, 1) AS f FROM 'ruled/+' WHERE t > 20";

// Of ten publishers, each to a subscriber of its own.
MqttShape shape_of(const char* name, const char* said, const char* heard) {
  MqttShape shape;
  shape.name = name;
  shape.publishers = shape.subscribers = 10;
  shape.qos = 1;
  shape.in_flight = 500;
  shape.said = said;
  shape.heard = heard;
  shape.payload = kPayload;
  return shape;
}

struct Way {
  std::vector<double> rates;  // messages a second that arrive
  std::vector<double> cpu;    // of the server, microseconds for one
  std::vector<double> load;   // of the load, the same
};

void measure(const MqttShape& shape, const HeptaneBroker& broker, Way& way) {
  const auto span_ns = static_cast<int64_t>(from_environment("BENCH_MQTT_MS", 2000)) * 1'000'000;
  MqttLoad load(broker.port(), shape);
  load.run(span_ns / 5);  // warm-up
  const uint64_t before = load.delivered();
  const double cpu_before = cpu_seconds(broker.pid());
  const double own_before = own_cpu_seconds();
  const int64_t begin_ns = now_ns();
  load.run(span_ns);
  const double seconds = static_cast<double>(now_ns() - begin_ns) / 1e9;
  const auto count = static_cast<double>(load.delivered() - before);
  way.cpu.push_back((cpu_seconds(broker.pid()) - cpu_before) * 1e6 / count);
  way.load.push_back((own_cpu_seconds() - own_before) * 1e6 / count);
  way.rates.push_back(count / seconds);
  load.drain();
}

std::string a_second(double value) { return rate(value); }

std::string cost(const Way& way) {
  char text[96];
  std::snprintf(text, sizeof text, "%.2f us, the load %.2f us", median(way.cpu), median(way.load));
  return text;
}

// The rule is in the configuration; it reads what comes when it is there.
std::string settings_file(const Scratch& scratch) {
  const std::string directory = std::filesystem::absolute(scratch.below("mqtt-rules-settings"));
  std::filesystem::create_directories(directory);
  std::ofstream file(directory + "/heptane.toml");
  file << "[[iot.rules]]\nname = \"bench\"\nsql = \"" << kSql << "\"\npublish_topic = \"'made/' || sensor\"\n";
  return directory + "/heptane.toml";
}

void wait_for_rule(const HeptaneBroker& broker) {
  for (const int64_t end_ns = now_ns() + kStartNs; broker.metric("heptane_rules") < 1; ::usleep(1000)) {
    if (now_ns() < end_ns) continue;
    std::fprintf(stderr, "bench: the rule is not declared\n");
    std::exit(1);
  }
}

}  // namespace

void add_rules_mqtt(const Scratch& scratch, Report& report) {
  const HeptaneBroker broker(scratch.below("mqtt-rules"), Security::none, {"--config", settings_file(scratch)});
  wait_for_rule(broker);
  report.setting("rule", std::string(kSql) + "; published to 'made/' || sensor; messages of 62 B, all of which pass");
  const MqttShape ruled = shape_of("through a rule", "ruled", "made");
  const MqttShape plain = shape_of("without a rule", "plain", "plain");
  Way with;
  Way without;
  std::vector<double> ratios;
  for (uint64_t i = 0; i < from_environment("BENCH_MQTT_PAIRS", 5); ++i) {
    if (i % 2 == 0) measure(ruled, broker, with);
    measure(plain, broker, without);
    if (i % 2 == 1) measure(ruled, broker, with);
    ratios.push_back(with.rates.back() / without.rates.back());
  }
  report.row({"rule: filter, projection, publish; QoS 1 synced, 10 to 10, 500 in flight each: messages",
              spread(with.rates, a_second), "the same without a rule " + spread(without.rates, a_second),
              spread(ratios, ratio), ">= 0.5", median(ratios) >= kRateBar});
  report.row({"server CPU for a message", cost(with), "without " + cost(without),
              ratio(median(with.cpu) / median(without.cpu)), "", true});
}

}  // namespace heptane::bench
