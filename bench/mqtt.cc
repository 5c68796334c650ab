// The MQTT broker beside mosquitto, which keeps everything in memory: messages a second, and what the broker's processor has to do
// for one. They take turns; the figures are medians of the pairs, the spread stands behind them. QoS 1 of ours is synced before the
// PUBACK. The load's own processor time stands beside, because both sides share a machine with it.

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "bench/benches.h"
#include "bench/mqtt_brokers.h"
#include "bench/mqtt_clients.h"
#include "bench/mqtt_retained.h"
#include "bench/mqtt_return.h"
#include "bench/mqtt_rules.h"
#include "bench/mqtt_wire.h"
#include "bench/raw_writer.h"
#include "bench/report.h"
#include "kernel/log/batch.h"

namespace heptane::bench {

namespace {

using Spread = MqttShape::Spread;

struct Bars {
  double rate = 0;  // at least so many times the peer's; 0: none
  double cpu = 0;   // at most so many times the peer's for a message; 0: none
};
struct Case {
  const char* group;
  MqttShape shape;
  Bars bars;
};

// In order of their worth: who has little time begins here.
const Case kCases[] = {
    {"qos1", {"QoS 1 synced, 10 to 10, 100 in flight each, 64 B", 10, 10, Spread::pairs, 1, 64, 100, false}, {1, 0}},
    {"qos1", {"QoS 1 synced, 1 to 1, 1 in flight, 64 B", 1, 1, Spread::pairs, 1, 64, 1, false}, {}},
    {"qos1", {"QoS 1 synced, 1 to 1, 20 in flight, 64 B", 1, 1, Spread::pairs, 1, 64, 20, false}, {}},
    {"qos0", {"QoS 0, 1 to 1, 1,000 in flight, 64 B", 1, 1, Spread::pairs, 0, 64, 1000, false}, {2, 0.5}},
    {"qos0", {"QoS 0, 1 to 1, 1,000 in flight, 1 KiB", 1, 1, Spread::pairs, 0, 1024, 1000, false}, {2, 0.5}},
    {"qos0", {"QoS 0, 10 to 10, 100 in flight each, 64 B", 10, 10, Spread::pairs, 0, 64, 100, false}, {2, 0.5}},
    {"qos0", {"QoS 0, 10 to 10, 100 in flight each, 1 KiB", 10, 10, Spread::pairs, 0, 1024, 100, false}, {2, 0.5}},
    {"fanout", {"fan-out 1 to 1,000, one at a time, 64 B", 1, 1000, Spread::all, 0, 64, 1, true}, {1.3, 0.5}},
    {"fanout", {"fan-out 1 to 1,000, bursts of 16, 64 B", 1, 1000, Spread::all, 0, 64, 16, true}, {5, 0.5}},
    {"shared", {"shared 1,000 to 5, QoS 0, 1 in flight each, 64 B", 1000, 5, Spread::shared, 0, 64, 1, false}, {2, 0}},
    {"shared",
     {"shared 1,000 to 5, QoS 0, 10 in flight each, 64 B", 1000, 5, Spread::shared, 0, 64, 10, false},
     {2, 0}},
    {"shared",
     {"shared 1,000 to 5, QoS 1 synced, 1 in flight each, 64 B", 1000, 5, Spread::shared, 1, 64, 1, false},
     {1, 0}},
};

struct Side {
  std::vector<double> rates;  // deliveries a second
  std::vector<double> cpu;    // of the broker, microseconds a delivery
  std::vector<double> load;   // of the load, the same
  std::vector<double> p50;    // PUBACK
  std::vector<double> p99;
  std::vector<double> per_sync;  // messages
};

// `heptane`: the broker is ours, and counts its syncs.
void measure(const MqttShape& shape, uint16_t port, pid_t pid, const HeptaneBroker* heptane, Side& side) {
  const auto span_ns = static_cast<int64_t>(from_environment("BENCH_MQTT_MS", 2000)) * 1'000'000;
  MqttLoad load(port, shape);
  load.run(span_ns / 5);  // warm-up
  load.measure_latency(shape.qos > 0);
  const double syncs_before = heptane == nullptr ? 0 : heptane->metric("heptane_log_batches_total");
  const uint64_t messages_before = load.completed();
  const uint64_t before = load.delivered();
  const double cpu_before = cpu_seconds(pid);
  const double own_before = own_cpu_seconds();
  const int64_t begin_ns = now_ns();
  load.run(span_ns);
  const double seconds = static_cast<double>(now_ns() - begin_ns) / 1e9;
  const auto count = static_cast<double>(load.delivered() - before);
  side.cpu.push_back((cpu_seconds(pid) - cpu_before) * 1e6 / count);
  side.load.push_back((own_cpu_seconds() - own_before) * 1e6 / count);
  side.rates.push_back(count / seconds);
  load.measure_latency(false);
  if (heptane != nullptr) {
    const double syncs = heptane->metric("heptane_log_batches_total") - syncs_before;
    if (syncs > 0) side.per_sync.push_back(static_cast<double>(load.completed() - messages_before) / syncs);
  }
  load.drain();
  side.p50.push_back(quantile(load.latencies(), 0.5));
  side.p99.push_back(quantile(load.latencies(), 0.99));
}

std::string number(double value, const char* unit) {
  char text[32];
  std::snprintf(text, sizeof text, value < 10 ? "%.2f%s" : "%.0f%s", value, unit);
  return text;
}

// "2.31 (2.10 to 2.44)"
std::string spread(const std::vector<double>& values) {
  const auto [least, most] = std::minmax_element(values.begin(), values.end());
  return ratio(median(values)) + " (" + ratio(*least) + " to " + ratio(*most) + ")";
}
std::string rates(const std::vector<double>& values) {
  const auto [least, most] = std::minmax_element(values.begin(), values.end());
  return rate(median(values)) + " (" + rate(*least) + " to " + rate(*most) + ")";
}

std::vector<double> pairwise(const std::vector<double>& ours, const std::vector<double>& peers) {
  std::vector<double> ratios;
  for (size_t i = 0; i < std::min(ours.size(), peers.size()); ++i) ratios.push_back(ours[i] / peers[i]);
  return ratios;
}

std::string at_least(const char* sign, double bar) {
  if (bar == 0) return {};
  char text[32];
  std::snprintf(text, sizeof text, "%s %.3g", sign, bar);
  return text;
}

// Rows of one case. Without the peer: ours alone, and no bar.
void add_rows(const Case& one, const Side& ours, const Side& peer, Report& report) {
  const std::string what = one.shape.name;
  const bool both = !peer.rates.empty();
  const bool copies = one.shape.spread == Spread::all;
  const std::vector<double> speed = pairwise(ours.rates, peer.rates);
  report.row({what + (copies ? ": deliveries" : ": messages"), rates(ours.rates),
              both ? "mosquitto " + rates(peer.rates) : "-", both ? spread(speed) : "-",
              both ? at_least(">=", one.bars.rate) : "", !both || median(speed) >= one.bars.rate});
  const auto cpu_text = [](const Side& side) {
    return number(median(side.cpu), " us") + ", the load " + number(median(side.load), " us");
  };
  const std::vector<double> cost = pairwise(ours.cpu, peer.cpu);
  report.row({std::string("broker CPU for a ") + (copies ? "delivery" : "message"), cpu_text(ours),
              both ? "mosquitto " + cpu_text(peer) : "-", both ? spread(cost) : "-",
              both ? at_least("<=", one.bars.cpu) : "", !both || one.bars.cpu == 0 || median(cost) <= one.bars.cpu});
}

void add_qos1_rows(const Side& ours, const Side& peer, double probe_us, Report& report) {
  const auto acks = [](const Side& side) { return micros(median(side.p50)) + ", " + micros(median(side.p99)); };
  const bool both = !peer.p50.empty();
  report.row({"PUBACK p50, p99", acks(ours), both ? "mosquitto " + acks(peer) : "-",
              both ? ratio(median(ours.p50) / median(peer.p50)) : "-", "", true});
  report.row({"messages a sync", ours.per_sync.empty() ? "-" : number(median(ours.per_sync), ""),
              "probe " + micros(probe_us), "", "", true});
}

// The least that a sync costs now.
double probe_sync_us(RawWriter& raw) {
  std::vector<double> micros;
  for (int i = 0; i < 100; ++i) {
    const int64_t begin_ns = now_ns();
    raw.write(log::kBlockBytes);
    micros.push_back(static_cast<double>(now_ns() - begin_ns) / 1e3);
  }
  return quantile(micros, 0.5);
}

void run_case(const Case& one, const HeptaneBroker& ours, const MosquittoBroker* peer, RawWriter& raw, Report& report) {
  const uint64_t pairs = from_environment("BENCH_MQTT_PAIRS", 5);
  Side our_side;
  Side peer_side;
  std::vector<double> probes;
  for (uint64_t i = 0; i < pairs; ++i) {
    const auto measure_ours = [&] { measure(one.shape, ours.port(), ours.pid(), &ours, our_side); };
    if (i % 2 == 0) measure_ours();
    if (peer != nullptr) measure(one.shape, peer->port(), peer->pid(), nullptr, peer_side);
    if (i % 2 == 1) measure_ours();
    if (one.shape.qos > 0) probes.push_back(probe_sync_us(raw));
  }
  add_rows(one, our_side, peer_side, report);
  if (one.shape.qos > 0) add_qos1_rows(our_side, peer_side, median(probes), report);
}

// BENCH_MQTT_ROWS: a list of groups; empty: all.
bool wanted(const std::string& group) {
  const char* text = std::getenv("BENCH_MQTT_ROWS");
  if (text == nullptr || *text == '\0') return true;
  std::istringstream list(text);
  for (std::string name; std::getline(list, name, ',');)
    if (name == group) return true;
  return false;
}

}  // namespace

bool bench_mqtt(const Scratch& scratch) {
  const size_t descriptors = allow_descriptors();
  Report report("mqtt");
  report.setting("Heptane", kHeptaneMqttSettings);
  report.setting("load",
                 "MQTT 3.1.1, one thread, epoll, packets encoded beforehand; a message is in flight until it has "
                 "arrived and, at QoS 1, is acknowledged");
  // The other groups say for themselves how they are measured.
  if (std::any_of(std::begin(kCases), std::end(kCases), [](const Case& one) { return wanted(one.group); }))
    report.setting("pairs (QoS 0, QoS 1, fan-out, shared)",
                   std::to_string(from_environment("BENCH_MQTT_PAIRS", 5)) + " of " +
                       std::to_string(from_environment("BENCH_MQTT_MS", 2000)) +
                       " ms each, taking turns; medians (least to most); ratios are medians of the pairs'");
  {
    const HeptaneBroker ours(scratch.below("mqtt"), Security::none);
    const auto peer = MosquittoBroker::start(scratch.below("mosquitto"), Security::none);
    report.setting("mosquitto", peer ? kMosquittoSettings : "not installed");
    RawWriter raw(scratch.below("mqtt-raw"));
    for (const Case& one : kCases)
      if (wanted(one.group)) run_case(one, ours, peer.get(), raw, report);
  }
  if (wanted("idle")) add_idle_mqtt(scratch, descriptors, report);
  if (wanted("retained")) add_retained_mqtt(scratch, report);
  if (wanted("return")) add_return_mqtt(scratch, report);
  if (wanted("rule")) add_rules_mqtt(scratch, report);
  if (wanted("reconnect")) add_reconnect_mqtt(scratch, report);
  if (wanted("first")) add_first_connects_mqtt(scratch, report);
  return report.print();
}

}  // namespace heptane::bench
