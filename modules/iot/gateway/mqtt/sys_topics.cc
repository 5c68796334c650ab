#include "modules/iot/gateway/mqtt/sys_topics.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "kernel/base/version.h"
#include "modules/iot/domain/topics/topics.h"
#include "modules/iot/gateway/mqtt/broker.h"

namespace heptane::iot::mqtt {

namespace {

constexpr int64_t kNsPerSecond = 1'000'000'000;
constexpr std::string_view kRoot = "$SYS/broker/";
constexpr std::array<double, 3> kMinutes = {1, 5, 15};
constexpr const char* kSpans[] = {"1min", "5min", "15min"};

}  // namespace

void SysTopics::attach(net::SessionContext& context) {
  context_ = &context;
  started_ns_ = looked_ns_ = context.monotonic_ns();
  if (kept_) expired_before_ = kept_().expired;
  const int64_t interval_s = broker_.options().sys_interval_s;
  if (interval_s > 0) timer_ = context.arm(interval_s * kNsPerSecond);
}

bool SysTopics::on_timer(net::SessionTimerId timer) {
  if (timer_ == 0 || timer != timer_) return false;
  look();
  timer_ = context_->arm(broker_.options().sys_interval_s * kNsPerSecond);
  const int64_t now_ns = context_->monotonic_ns();
  for (const auto& [topic, value] : changed_) {
    MessageView message;
    message.topic = topic;
    message.payload = value;
    broker_.publish_volatile(message, {0, 0, {}, now_ns});
  }
  return true;
}

void SysTopics::each(std::string_view filter,
                     const std::function<void(std::string_view topic, std::string_view value)>& visit) {
  if (context_ == nullptr || broker_.options().sys_interval_s == 0) return;
  if (values_.empty()) look();  // before the first interval is over
  for (const auto& [topic, value] : values_)
    if (matches(filter, topic)) visit(topic, value);
}

void SysTopics::put(std::string_view name, std::string value) {
  std::string topic(kRoot);
  topic += name;
  std::string& known = values_[topic];
  if (known == value) return;
  known = value;
  changed_.emplace(std::move(topic), std::move(value));
}

void SysTopics::put_load(std::string_view name, uint64_t total, int64_t interval_ns) {
  const auto found = loads_.try_emplace(std::string(name)).first;
  Load& load = found->second;
  const double minutes = static_cast<double>(interval_ns) / static_cast<double>(60 * kNsPerSecond);
  const double rate = minutes > 0 ? static_cast<double>(total - load.before) / minutes : 0;
  load.before = total;
  for (size_t i = 0; i < kMinutes.size(); ++i) {
    const double kept = std::exp(-minutes / kMinutes[i]);
    load.averages[i] = rate + kept * (load.averages[i] - rate);
    char text[32];
    std::snprintf(text, sizeof text, "%.2f", load.averages[i]);
    put("load/" + std::string(name) + '/' + kSpans[i], std::string(text));
  }
}

void SysTopics::look() {
  changed_.clear();
  const int64_t now_ns = context_->monotonic_ns();
  const int64_t interval_ns = now_ns - looked_ns_;
  looked_ns_ = now_ns;
  const Kept kept = kept_ ? kept_() : Kept{};
  put("version", "heptane version " + std::string(kVersion));
  put("uptime", std::to_string((now_ns - started_ns_) / kNsPerSecond) + " seconds");
  resident_bytes_max_ = std::max(resident_bytes_max_, kept.resident_bytes);
  put("heap/current", kept.resident_bytes);
  put("heap/maximum", resident_bytes_max_);
  put_clients(kept);
  put_messages(kept);
  put_loads(interval_ns);
}

// `active` and `inactive` are mosquitto's older names.
void SysTopics::put_clients(const Kept& kept) {
  const uint64_t connected = broker_.counters().clients.value();
  const uint64_t away = kept.sessions - std::min(kept.sessions, broker_.counters().durable_clients.value());
  clients_max_ = std::max(clients_max_, connected + away);
  put("clients/connected", connected);
  put("clients/active", connected);
  put("clients/disconnected", away);
  put("clients/inactive", away);
  put("clients/expired", kept.expired - std::min(kept.expired, expired_before_));
  put("clients/total", connected + away);
  put("clients/maximum", clients_max_);
}

void SysTopics::put_messages(const Kept& kept) {
  const MqttCounters& counters = broker_.counters();
  put("messages/received", counters.packets_in.value());
  put("messages/sent", counters.packets_out.value());
  put("publish/messages/received", counters.received.value());
  put("publish/messages/sent", counters.sent.value());
  put("publish/messages/dropped", dropped());
  put("publish/bytes/received", counters.payload_in.value());
  put("publish/bytes/sent", counters.payload_out.value());
  put("bytes/received", counters.bytes_in.value());
  put("bytes/sent", counters.bytes_out.value());
  put("subscriptions/count", counters.subscriptions.value());
  put("shared_subscriptions/count", counters.shared.value());
  put("retained messages/count", kept.retained);
  put("store/messages/count", kept.queued + kept.retained);
  put("messages/stored", kept.queued + kept.retained);
  put("store/messages/bytes", kept.retained_bytes);
}

void SysTopics::put_loads(int64_t interval_ns) {
  const MqttCounters& counters = broker_.counters();
  put_load("messages/received", counters.packets_in.value(), interval_ns);
  put_load("messages/sent", counters.packets_out.value(), interval_ns);
  put_load("publish/received", counters.received.value(), interval_ns);
  put_load("publish/sent", counters.sent.value(), interval_ns);
  put_load("publish/dropped", dropped(), interval_ns);
  put_load("bytes/received", counters.bytes_in.value(), interval_ns);
  put_load("bytes/sent", counters.bytes_out.value(), interval_ns);
  put_load("sockets", counters.sockets.value(), interval_ns);
  put_load("connections", counters.connects.value(), interval_ns);
}

uint64_t SysTopics::dropped() const {
  const MqttCounters& counters = broker_.counters();
  return counters.dropped_output.value() + counters.dropped_queue.value() + counters.dropped_size.value() +
         counters.dropped_expired.value();
}

}  // namespace heptane::iot::mqtt
