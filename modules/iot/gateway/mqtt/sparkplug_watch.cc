#include "modules/iot/gateway/mqtt/sparkplug_watch.h"

#include "kernel/net/http/json_writer.h"
#include "modules/iot/domain/topics/topics.h"
#include "modules/iot/gateway/mqtt/broker.h"

namespace heptane::iot::mqtt {

namespace {

constexpr int64_t kNsPerSecond = 1'000'000'000;
constexpr int64_t kNsPerMillisecond = 1'000'000;

// nullopt: it is no scalar.
std::optional<std::string> json_of(const sparkplug::Nodes::Named& named, uint64_t time_ms) {
  const std::string_view type = sparkplug::type_name(named.type);
  const auto* text = std::get_if<std::string_view>(&named.metric->value);
  const auto value = text == nullptr ? sparkplug::json_of(named.metric->value, named.type) : std::string();
  if (!value) return std::nullopt;
  http::JsonWriter out;
  out.begin_object().key("name").text(named.name).key("value");
  if (text == nullptr)
    out.raw(*value);
  else
    out.text(*text);
  out.key("timestamp").unsigned_number(time_ms);
  if (!type.empty()) out.key("type").text(type);
  if (named.metric->historical) out.key("historical").boolean(true);
  out.end_object();
  std::string json = out.take();
  json.pop_back();  // its line's end
  return json;
}

}  // namespace

SparkplugWatch::SparkplugWatch(Broker& broker, const MqttOptions& options)
    : broker_(broker), options_(options), nodes_(options.sparkplug_rebirth_s * kNsPerSecond) {}

void SparkplugWatch::passed(const MessageView& message, const Principal& principal, int64_t utc_ns, int64_t now_ns) {
  if (!options_.sparkplug) return;
  const auto topic = sparkplug::parse_topic(message.topic);
  if (!topic || sparkplug::is_command(topic->type)) return;
  const auto payload = sparkplug::read_payload(message.payload);
  const Cause cause{message.client, principal, utc_ns / kNsPerMillisecond, now_ns};
  const bool birth = sparkplug::is_birth(topic->type);
  // A retained message without payload would take the certificate away.
  if (birth && !message.payload.empty()) keep_birth(message, cause);
  if (!payload && birth) nodes_.take_unread(*topic);
  if (!payload) return broker_.counters().sparkplug_malformed.add();
  const auto outcome = nodes_.take(*topic, *payload, now_ns);
  if (outcome.gap) broker_.counters().sparkplug_gaps.add();
  broker_.counters().sparkplug_unnamed.add(outcome.unnamed);
  if (options_.sparkplug_metrics) tell_metrics(*topic, *payload, outcome, cause);
  if (outcome.rebirth) ask_for_births(*topic, cause);
}

// False: there was no room, and it is counted.
bool SparkplugWatch::publish(MessageView message, const Cause& cause) {
  message.client = cause.client;
  if (broker_.publish_logged(message, {0, 0, cause.principal, cause.now_ns})) return true;
  broker_.counters().sparkplug_refused.add();
  return false;
}

// As it passed.
void SparkplugWatch::keep_birth(const MessageView& message, const Cause& cause) {
  const std::string topic = sparkplug::certificate_topic(message.topic);
  MessageView kept;
  kept.qos = 1;
  kept.retain = true;
  kept.topic = topic;
  kept.payload = message.payload;
  if (within_limits(topic) && publish(kept, cause)) broker_.counters().sparkplug_births.add();
}

void SparkplugWatch::ask_for_births(const sparkplug::Topic& topic, const Cause& cause) {
  const std::string to = sparkplug::command_topic(topic);
  const std::string payload = sparkplug::rebirth_command(static_cast<uint64_t>(cause.utc_ms));
  MessageView command;
  command.topic = to;
  command.payload = payload;
  broker_.counters().sparkplug_rebirths.add();
  broker_.publish_once(command, {0, 0, cause.principal, cause.now_ns});
}

void SparkplugWatch::tell_metrics(const sparkplug::Topic& topic, const sparkplug::Payload& payload,
                                  const sparkplug::Nodes::Outcome& outcome, const Cause& cause) {
  if (outcome.metrics.empty()) return;
  const std::string to = sparkplug::metrics_topic(topic);
  const uint64_t came_ms = payload.timestamp_ms.value_or(static_cast<uint64_t>(cause.utc_ms));
  if (!within_limits(to)) return;
  for (const auto& metric : outcome.metrics) tell(to, metric, metric.metric->timestamp_ms.value_or(came_ms), cause);
}

void SparkplugWatch::tell(const std::string& topic, const sparkplug::Nodes::Named& metric, uint64_t time_ms,
                          const Cause& cause) {
  const auto json = json_of(metric, time_ms);
  if (!json) return broker_.counters().sparkplug_compound.add();
  // One message may be thousands of metrics: the room that is left is for what clients publish.
  if (broker_.crowded()) return broker_.counters().sparkplug_refused.add();
  MessageView message;
  message.qos = 1;
  message.topic = topic;
  message.payload = *json;
  if (publish(message, cause)) broker_.counters().sparkplug_metrics.add();
}

std::optional<std::string> SparkplugWatch::stamped(std::string_view topic, std::string_view payload,
                                                   int64_t utc_ns) const {
  const auto parsed = options_.sparkplug ? sparkplug::parse_topic(topic) : std::nullopt;
  if (!parsed || parsed->type != sparkplug::MessageType::ndeath) return std::nullopt;
  return sparkplug::with_timestamp(payload, static_cast<uint64_t>(utc_ns / kNsPerMillisecond));
}

}  // namespace heptane::iot::mqtt
