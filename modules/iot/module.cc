#include "modules/iot/module.h"

#include <cstdio>

#include "kernel/admin/answers.h"
#include "kernel/net/http/exchange.h"
#include "kernel/net/http/websocket_stream.h"
#include "kernel/net/io_loop.h"
#include "kernel/server/metrics.h"
#include "kernel/server/server_keys.h"
#include "modules/iot/device_keys.h"
#include "modules/iot/gateway/bridge/bridges.h"
#include "modules/iot/gateway/http/bridge_route.h"
#include "modules/iot/gateway/http/credential_routes.h"
#include "modules/iot/gateway/http/device_routes.h"
#include "modules/iot/gateway/http/mqtt_routes.h"
#include "modules/iot/gateway/http/past_devices.h"
#include "modules/iot/gateway/http/provisioning_routes.h"
#include "modules/iot/gateway/http/rule_routes.h"
#include "modules/iot/gateway/http/stream_routes.h"
#include "modules/iot/gateway/mqtt/mqtt.h"
#include "modules/iot/gateway/mqtt/session.h"
#include "modules/iot/gateway/mqtt/stream_settings.h"
#include "modules/iot/gateway/mqtt/view_publisher.h"
#include "modules/iot/gateway/rules/http_courier.h"
#include "modules/iot/gateway/rules/outbox_runner.h"
#include "modules/iot/gateway/rules/rule_settings.h"
#include "modules/iot/gateway/series/series_http.h"
#include "modules/iot/gateway/series/table_seed.h"
#include "modules/iot/image_options.h"
#include "modules/iot/machine/broker_machine.h"
#include "modules/iot/machine/devices/devices_machine.h"
#include "modules/iot/machine/devices/fleets_machine.h"
#include "modules/iot/machine/jobs/jobs_machine.h"
#include "modules/iot/machine/provisioning/provisioning_machine.h"
#include "modules/iot/machine/rules/command_words.h"
#include "modules/iot/machine/rules/rules_machine.h"
#include "modules/iot/machine/series/series_machine.h"

namespace heptane::iot {

namespace {

using config::bind;
using config::Type;
using mqtt::MqttCounters;
using mqtt::MqttOptions;

constexpr uint16_t kMqttPort = 1883;
constexpr uint16_t kSeriesPort = 8086;
constexpr int64_t kKiB = 1 << 10;
constexpr int64_t kMiB = 1 << 20;

using Keys = std::vector<config::Binding<MqttOptions>>;

const Keys& mqtt_keys() {
  static const Keys keys = {
      bind<&MqttOptions::receive_maximum>({.name = "mqtt.receive_maximum",
                                           .type = Type::integer,
                                           .help = "Messages at QoS 1 and 2 that a client may send ahead of their "
                                                   "acknowledgements (MQTT 5)",
                                           .min = 1,
                                           .max = 65'535}),
      bind<&MqttOptions::maximum_packet_size>({.name = "mqtt.maximum_packet_size",
                                               .type = Type::size,
                                               .help = "A longer packet closes the connection",
                                               .min = kKiB,
                                               .max = 3 * kMiB}),
      bind<&MqttOptions::topic_alias_maximum>({.name = "mqtt.topic_alias_maximum",
                                               .type = Type::integer,
                                               .help = "Topic aliases that a client may use",
                                               .min = 0,
                                               .max = 1'000}),
      bind<&MqttOptions::max_keep_alive_s>({.name = "mqtt.max_keep_alive_seconds",
                                            .type = Type::integer,
                                            .help = "A client of MQTT 5 that asks for more, or for none, is told this; "
                                                    "0: whatever the client says",
                                            .min = 0,
                                            .max = 65'535}),
      bind<&MqttOptions::max_inflight>({.name = "mqtt.max_inflight",
                                        .type = Type::integer,
                                        .help = "Unacknowledged messages to a client of MQTT 3",
                                        .min = 1,
                                        .max = 65'534}),
      bind<&MqttOptions::queue_max>({.name = "mqtt.queue_max",
                                     .type = Type::integer,
                                     .help = "Messages at QoS 1 and 2 that wait for one client, connected or not",
                                     .min = 1,
                                     .max = 100'000}),
      bind<&MqttOptions::queue_full>({.name = "mqtt.queue_full",
                                      .type = Type::choice,
                                      .help = "What becomes of a message for a durable session whose queue is full; "
                                              "`refuse`: its publisher is told, and keeps it",
                                      .choices = {"drop_oldest", "drop_newest", "refuse"}}),
      bind<&MqttOptions::shared>({.name = "mqtt.shared",
                                  .type = Type::choice,
                                  .help =
                                      "Which member of a shared group gets a message: `round_robin`: one with room, in "
                                      "turn; `by_topic`: always the same one of a topic, which keeps their order",
                                  .choices = {"round_robin", "by_topic"}}),
      bind<&MqttOptions::max_session_expiry_s>(
          {.name = "mqtt.max_session_expiry_seconds",
           .type = Type::integer,
           .help = "A session outlives its connection at most so long; 0: none does",
           .min = 0,
           .max = 365 * 24 * 3600}),
      bind<&MqttOptions::max_topic_bytes>({.name = "mqtt.max_topic_bytes",
                                           .type = Type::integer,
                                           .help = "Bytes of a client's topic or filter",
                                           .min = 1,
                                           .max = kTopicLimitBytes}),
      bind<&MqttOptions::max_topic_levels>({.name = "mqtt.max_topic_levels",
                                            .type = Type::integer,
                                            .help = "Levels of a client's topic or filter",
                                            .min = 1,
                                            .max = kTopicLimitLevels}),
      bind<&MqttOptions::max_subscriptions>({.name = "mqtt.max_subscriptions",
                                             .type = Type::integer,
                                             .help = "Subscriptions of one client",
                                             .min = 1,
                                             .max = kSubscriptionsOfSession}),
      bind<&MqttOptions::max_user_properties>({.name = "mqtt.max_user_properties",
                                               .type = Type::integer,
                                               .help = "User properties of a client's PUBLISH",
                                               .min = 0,
                                               .max = mqtt::kUserPropertiesLimit}),
      bind<&MqttOptions::connect_timeout_s>({.name = "mqtt.connect_timeout_seconds",
                                             .type = Type::integer,
                                             .help = "A connection without CONNECT is closed after it",
                                             .min = 1,
                                             .max = 3'600}),
      bind<&MqttOptions::no_room_timeout_s>({.name = "mqtt.no_room_timeout_seconds",
                                             .type = Type::integer,
                                             .help = "A client that is not read because there is no room for its "
                                                     "messages is closed after it",
                                             .min = 1,
                                             .max = 3'600}),
      bind<&MqttOptions::write_timeout_s>(
          {.name = "mqtt.write_timeout_seconds",
           .type = Type::integer,
           .help = "A client that takes no byte of what waits for it is closed after it",
           .min = 1,
           .max = 3'600}),
      bind<&MqttOptions::max_unsent>({.name = "mqtt.max_unsent",
                                      .type = Type::integer,
                                      .help = "Messages that a client's connection has not taken; beyond it those at "
                                              "QoS 0 are dropped and others wait",
                                      .min = 1,
                                      .max = 1'000'000}),
      bind<&MqttOptions::allow_anonymous>({.name = "mqtt.allow_anonymous",
                                           .type = Type::boolean,
                                           .help =
                                               "Clients connect without proving who they are, where auth.enabled is "
                                               "off, which beyond loopback is refused unless listen.mqtt.insecure says "
                                               "so; false: with it off nobody connects"}),
      bind<&MqttOptions::max_messages_per_second>(
          {.name = "mqtt.max_messages_per_second",
           .type = Type::integer,
           .help = "A client that publishes more is not read until it is within it; 0: as many as it likes",
           .min = 0,
           .max = 1'000'000'000}),
      bind<&MqttOptions::max_bytes_per_second>(
          {.name = "mqtt.max_bytes_per_second",
           .type = Type::size,
           .help = "A client that sends more is not read until it is within it; 0: as many as it likes",
           .min = 0,
           .max = int64_t{1} << 40}),
      bind<&MqttOptions::filter_deliveries>(
          {.name = "mqtt.filter_deliveries",
           .type = Type::boolean,
           .help =
               "A topic filter that reaches beyond what its client may read is taken, and each message is looked at; "
               "else the filter is refused"}),
      bind<&MqttOptions::check_retain_source>(
          {.name = "mqtt.check_retain_source",
           .type = Type::boolean,
           .help = "A retained message whose publisher may not publish there any more is not given to subscribers"}),
      bind<&MqttOptions::presence>({.name = "mqtt.presence",
                                    .type = Type::choice,
                                    .help =
                                        "Whose connections the stream iot.presence tells: nobody's, those of clients "
                                        "that proved who they are and of registered devices, everybody's",
                                    .choices = {"off", "users", "all"}}),
      bind<&MqttOptions::sys_interval_s>({.name = "mqtt.sys_interval_seconds",
                                          .type = Type::integer,
                                          .help = "How often what has changed below $SYS/broker/ goes to its "
                                                  "subscribers; 0: there is no $SYS",
                                          .min = 0,
                                          .max = 3600}),
      bind<&MqttOptions::restart_grace_s>({.name = "mqtt.restart_grace_seconds",
                                           .type = Type::integer,
                                           .help =
                                               "After a start of the server the wills of durable sessions wait so long "
                                               "for their clients to be back",
                                           .min = 0,
                                           .max = 3600}),
      bind<&MqttOptions::authority_certificate>(
          {.name = "provisioning.ca_certificate",
           .type = Type::text,
           .help =
               "The authority that signs certificates of devices, PEM; empty: none are signed. Devices' TLS needs it "
               "in tls.client_ca"}),
      bind<&MqttOptions::authority_key>({.name = "provisioning.ca_key",
                                         .type = Type::text,
                                         .help = "Its private key, PEM, not encrypted, mode 0600"}),
      bind<&MqttOptions::certificate_days>({.name = "provisioning.certificate_days",
                                            .type = Type::integer,
                                            .help = "How long a certificate is good that is signed",
                                            .min = 1,
                                            .max = 36'500}),
      bind<&MqttOptions::token_minutes>({.name = "provisioning.token_minutes",
                                         .type = Type::integer,
                                         .help = "How long a certificate waits to become a device's",
                                         .min = 1,
                                         .max = 24 * 60}),
      bind<&MqttOptions::claims_per_minute>({.name = "provisioning.max_per_minute",
                                             .type = Type::integer,
                                             .help = "Requests of one claim in a minute; beyond them 429",
                                             .min = 1,
                                             .max = 1'000'000}),
      bind<&MqttOptions::sparkplug>({.name = "sparkplug.enabled",
                                     .type = Type::boolean,
                                     .help = "The broker is Sparkplug B aware: births are kept below "
                                             "$sparkplug/certificates/, deaths say when they are, who misses a message "
                                             "is asked to be born again"}),
      bind<&MqttOptions::sparkplug_metrics>({.name = "sparkplug.metrics",
                                             .type = Type::boolean,
                                             .help = "Where it is: each metric becomes a message of JSON below "
                                                     "$sparkplug/metrics/, for rules and series"}),
      bind<&MqttOptions::sparkplug_rebirth_s>({.name = "sparkplug.rebirth_seconds",
                                               .type = Type::integer,
                                               .help = "Where it is: so often an edge node is asked for its births at "
                                                       "most; 0: never",
                                               .min = 0,
                                               .max = 24 * 3600}),
      bind<&MqttOptions::streams>({.name = "mqtt.streams",
                                   .type = Type::tables,
                                   .help = "Streams over topic filters: tables with name, filter and, where wanted, "
                                           "retention_ms, retention_bytes, partitions, qos0, publish, relaxed; one "
                                           "taken out stays until it is dropped over HTTP",
                                   .wrong = mqtt::wrong_stream_table,
                                   .wrong_together = mqtt::wrong_stream_tables,
                                   .warnings = mqtt::overlapping_streams,
                                   .reloadable = true}),
  };
  return keys;
}

struct RuleOptions {
  std::vector<std::string> rules{};       // as the configuration has them
  std::vector<std::string> http_allow{};  // where they may post to
  std::string http_ca{};                  // a file of authorities; empty: the system's
};

std::string wrong_allowed(const std::string& entry) {
  const auto list = rules::AllowList::parse({entry});
  return list ? std::string() : list.error().message;
}

const std::vector<config::Binding<RuleOptions>>& rule_keys() {
  static const std::vector<config::Binding<RuleOptions>> keys = {
      bind<&RuleOptions::rules>({.name = "iot.rules",
                                 .type = Type::tables,
                                 .help = "Rules: tables with name, sql and what becomes of each row (transfer_*, "
                                         "order_*, append_*, publish_topic, shadow_*, http_url, series_*); one "
                                         "that is taken out stays until it is dropped",
                                 .wrong = rules::wrong_rule_table,
                                 .wrong_together = rules::wrong_rule_tables,
                                 .reloadable = true}),
      bind<&RuleOptions::http_allow>(
          {.name = "iot.http_allow",
           .type = Type::texts,
           .help =
               "Where rules may post to: hosts, *.hosts, addresses and blocks of them, each with or without :port. An "
               "address that is not public is posted to only where the list holds it, whatever name leads there",
           .wrong = wrong_allowed,
           .reloadable = true}),
      bind<&RuleOptions::http_ca>({.name = "iot.http_ca",
                                   .type = Type::text,
                                   .help = "Authorities that https servers of rules' posts are proved by: a PEM file; "
                                           "empty: the system's",
                                   .reloadable = true}),
  };
  return keys;
}

struct BridgeOptions {
  std::vector<std::string> bridges{};  // as the configuration has them
};

const std::vector<config::Binding<BridgeOptions>>& bridge_keys() {
  static const std::vector<config::Binding<BridgeOptions>> keys = {
      bind<&BridgeOptions::bridges>(
          {.name = "bridge",
           .type = Type::tables,
           .help = "Bridges to other MQTT brokers: a table with name and address, and one with name, direction and "
                   "filter for each thing it carries; a bridge that is taken out is stopped",
           .wrong = bridge::wrong_bridge_table,
           .wrong_together = bridge::wrong_bridge_tables,
           .reloadable = true}),
  };
  return keys;
}

Telemetry::Value value_of(const net::Counter& counter) {
  return [&counter] { return static_cast<double>(counter.value()); };
}

void register_mqtt(const MqttCounters& counters, Telemetry& telemetry) {
  telemetry.gauge("heptane_mqtt_clients", "Connected MQTT clients", value_of(counters.clients));
  telemetry.gauge("heptane_mqtt_subscriptions", "Subscriptions of connected clients", value_of(counters.subscriptions));
  telemetry.counter("heptane_mqtt_received_total", "PUBLISH packets from clients", value_of(counters.received));
  telemetry.counter("heptane_mqtt_sent_total", "PUBLISH packets to clients", value_of(counters.sent));
  telemetry.counter("heptane_mqtt_logged_total", "Messages that are in the log and synced", value_of(counters.logged));
  telemetry.counter("heptane_mqtt_refused_total", "Messages of clients that were not taken",
                    value_of(counters.refused));
  telemetry.counter("heptane_mqtt_wills_total", "Wills published", value_of(counters.wills));
  telemetry.counter("heptane_mqtt_slowed_total", "How often a client was not read because it sent more than it may",
                    value_of(counters.slowed));
  telemetry.counter("heptane_mqtt_presence_dropped_total", "What the stream iot.presence was not told",
                    value_of(counters.presence_dropped));
  telemetry.counter("heptane_devices_presence_dropped_total", "Connections of devices that the registry was not told",
                    value_of(counters.things_dropped));
  telemetry.counter("heptane_mqtt_jobs_dropped_total", "Records of iot.jobs that could not be read for subscribers",
                    value_of(counters.jobs_dropped));
  telemetry.counter("heptane_device_methods_total", "Calls of devices' methods that devices were sent",
                    value_of(counters.methods_sent));
  telemetry.counter("heptane_device_methods_unanswered_total", "Of those, given up without an answer",
                    value_of(counters.methods_unanswered));
  telemetry.counter("heptane_device_methods_late_total", "Devices' answers to methods that nobody waited for",
                    value_of(counters.methods_late));
  telemetry.counter("heptane_sparkplug_births_total", "Births that were kept", value_of(counters.sparkplug_births));
  telemetry.counter("heptane_sparkplug_gaps_total", "Messages of edge nodes behind one that is missing",
                    value_of(counters.sparkplug_gaps));
  telemetry.counter("heptane_sparkplug_rebirths_total", "How often edge nodes were asked for their births",
                    value_of(counters.sparkplug_rebirths));
  telemetry.counter("heptane_sparkplug_metrics_total", "Metrics that became messages of JSON",
                    value_of(counters.sparkplug_metrics));
  telemetry.counter("heptane_sparkplug_malformed_total", "Payloads that could not be read",
                    value_of(counters.sparkplug_malformed));
  const auto unsaid = [&](const char* reason, const net::Counter& counter) {
    telemetry.counter("heptane_sparkplug_dropped_total", "Births and metrics that became no messages, by reason",
                      value_of(counter), {{"reason", reason}});
  };
  unsaid("unnamed", counters.sparkplug_unnamed);
  unsaid("compound", counters.sparkplug_compound);
  unsaid("refused", counters.sparkplug_refused);
  telemetry.counter("heptane_mqtt_events_dropped_total", "What the stream iot.events was not told of clients",
                    value_of(counters.events_dropped));
  const auto dropped = [&](const char* reason, const net::Counter& counter) {
    telemetry.counter("heptane_mqtt_dropped_total", "Messages that one subscriber did not get, by reason",
                      value_of(counter), {{"reason", reason}});
  };
  dropped("output_full", counters.dropped_output);
  dropped("queue_full", counters.dropped_queue);
  dropped("too_large", counters.dropped_size);
  dropped("expired", counters.dropped_expired);
  dropped("not_allowed", counters.dropped_denied);
  const auto closed = [&](const char* reason, const net::Counter& counter) {
    telemetry.counter("heptane_mqtt_closed_total", "Connections that the broker closed, by reason", value_of(counter),
                      {{"reason", reason}});
  };
  closed("malformed", counters.malformed);
  closed("keep_alive", counters.keep_alive);
  closed("taken_over", counters.taken_over);
}

void register_bridges(const bridge::BridgeCounters& counters, Telemetry& telemetry) {
  telemetry.gauge("heptane_bridges_connected", "Bridges that are connected to their remote brokers",
                  value_of(counters.connected));
  telemetry.counter("heptane_bridge_connects_total", "Connections of bridges that remote brokers accepted",
                    value_of(counters.connects));
  telemetry.counter("heptane_bridge_sent_total", "PUBLISH packets to remote brokers, repeats included",
                    value_of(counters.sent));
  telemetry.counter("heptane_bridge_acknowledged_total", "Messages that remote brokers acknowledged",
                    value_of(counters.acknowledged));
  telemetry.counter("heptane_bridge_received_total",
                    "PUBLISH packets from remote brokers that went on, repeats included", value_of(counters.received));
  telemetry.counter("heptane_bridge_dead_letters_total", "Messages that a remote broker did not take",
                    value_of(counters.dead_letters));
  telemetry.counter("heptane_bridge_unsure_total",
                    "Messages at QoS 2 of which a remote broker forgot that it had them before they were released",
                    value_of(counters.unsure));
  const auto dropped = [&](const char* reason, const net::Counter& counter) {
    telemetry.counter("heptane_bridge_dropped_total", "Messages that a bridge did not carry, by reason",
                      value_of(counter), {{"reason", reason}});
  };
  dropped("loop", counters.looped);
  dropped("unmapped", counters.unmapped);
  dropped("refused", counters.refused);
}

http::RouteDoc websocket_doc() {
  return {
      .summary = "MQTT over WebSocket",
      .text =
          "The connection becomes a WebSocket of the subprotocol mqtt (MQTT 5.0 §6); who the client is, it says in "
          "CONNECT.",
      .parameters = {},
      .bodies = {},
      .answers = {
          {101, "the connection is a WebSocket", {}},
          {404, "the module iot is off", {{R"({"$ref":"#/components/schemas/Error"})"}}},
          {426, "this needs the opening handshake of a WebSocket", {{R"({"$ref":"#/components/schemas/Error"})"}}}}};
}

class IotModule final : public server::Module {
 public:
  explicit IotModule(int64_t query_slice_ns) : query_slice_ns_(query_slice_ns) {
    devices_.add_watch(jobs_);
    devices_.add_watch(provisioning_);
  }

  std::string_view name() const override { return "iot"; }
  void use_lua(rules::LuaStarter start) { start_lua_ = std::move(start); }

  std::vector<config::Key> keys() const override {
    std::vector<config::Key> keys = server::listener_keys("mqtt", kMqttPort);
    for (config::Key& key : config::keys_of<MqttOptions>(mqtt_keys())) keys.push_back(std::move(key));
    for (config::Key& key : device_keys()) keys.push_back(std::move(key));
    for (config::Key& key : config::keys_of<ImageOptions>(image_keys())) keys.push_back(std::move(key));
    for (config::Key& key : config::keys_of<RuleOptions>(rule_keys())) keys.push_back(std::move(key));
    for (config::Key& key : config::keys_of<BridgeOptions>(bridge_keys())) keys.push_back(std::move(key));
    for (config::Key& key : server::listener_keys("series", kSeriesPort)) keys.push_back(std::move(key));
    for (config::Key& key : series_keys()) keys.push_back(std::move(key));
    return keys;
  }

  // Fixed at start, but for the streams and rules: clients were told.
  void configure(const config::Settings& settings) override {
    series_head_bytes_ = settings.number(kSeriesHeadBytes);
    configure_bridges(settings);
    series_limits_.memory_bytes = static_cast<uint64_t>(settings.number(kSeriesMemoryBytes));
    series_limits_.query_ns = settings.number(kSeriesQuerySeconds) * 1'000'000'000;
    configure_broker(settings);
    configure_rules(settings);
    settings.land<ImageOptions>(image_keys(), image_options_);
    if (broker_ != nullptr) load_images();
  }

  // Open: CONNECT says who the client is.
  void add_routes(http::HttpRouter& router) override {
    router.add(http::Method::get, "/mqtt", [this](http::HttpExchange& exchange) { open_websocket(exchange); },
               {.needs = {"", "", auth::Verb::read, true, false}, .doc = websocket_doc()});
    mqtt_http::add_routes(router, [this] { return broker_.get(); });
    bridge::add_bridge_route(router, [this] { return bridges_.get(); });
    add_stream_routes(router);
    devices::add_device_routes(router);
    devices::add_provisioning_routes(router);
    devices::add_credential_routes(
        router, [this](size_t bytes) { return random_bytes_ ? random_bytes_(bytes) : std::string(); });
    devices::add_shadow_routes(router);
    devices::add_job_routes(router, [this] { return images(); });
    devices::add_image_route(
        router, [this] { return images(); }, [this] { return blobs_; });
    devices::add_fleet_routes(router);
    rules::add_rule_routes(router);
  }

  std::vector<server::PastView> past_views() const override {
    return {{"devices", "things", "Every thing.", [this](bool json) { return devices::past_things(devices_, json); }},
            {"devices", "shadows", "Every shadow's document.",
             [this](bool json) { return devices::past_shadows(devices_, json); }}};
  }

  std::vector<CommandWords> command_words() const override {
    const std::span<const CommandWords> words = rules::rules_words();
    return {words.begin(), words.end()};
  }

  std::vector<StateMachine*> machines() override {
    return {&machine_, &devices_, &jobs_, &rules_machine_, &series_, &provisioning_, &fleets_};
  }

  std::vector<server::ListenerSpec> listeners(const server::ServerFacts& facts) override {
    options_.authenticator = facts.authenticator;
    if (facts.authenticator != nullptr) rules_ = auth::rules_of(*facts.authenticator);
    options_.rules = rules_.get();
    options_.quotas = facts.quotas;
    random_bytes_ = [gate = facts.gate](size_t bytes) { return gate->random_bytes(bytes); };
    options_.random = random_bytes_;
    options_.report = [](const std::string& line) { std::fprintf(stderr, "heptane: %s\n", line.c_str()); };
    load_authority();
    blobs_ = facts.blobs;
    broker_ = std::make_unique<mqtt::Broker>(options_);
    load_images();
    broker_->sys().set_kept([this] {
      return mqtt::SysTopics::Kept{machine_.sessions_count(), machine_.references_count(), machine_.retained_count(),
                                   machine_.retained_bytes(), machine_.expired_count(),    server::resident_bytes()};
    });
    broker_->things().set_count([this] { return devices_.things_count(); });
    broker_->presence().set_count([this] { return devices_.things_count(); });
    broker_->devices().set_count([this] { return provisioning_.credentials_count(); });
    broker_->declared().take(machine_.declared().list().view());
    broker_->declared().want(wanted_streams());
    mqtt_ = std::make_unique<mqtt::MqttProtocol>(*broker_);
    resident_ = std::make_unique<mqtt::ResidentProtocol>(*broker_);
    publisher_ = std::make_unique<mqtt::ViewPublisher>(*broker_);
    runner_ = std::make_unique<rules::RuleRunner>(options_.report);
    runner_->want(rules::rules_of_tables(rule_options_.rules));
    courier_ = std::make_unique<rules::HttpCourier>(*facts.io);
    outbox_ = std::make_unique<rules::OutboxRunner>(*courier_, options_.report);
    runner_->set_outbox(outbox_.get());
    runner_->set_lua(start_lua_);
    configure_courier();
    rule_session_ = std::make_unique<rules::RuleProtocol>(*runner_);
    outbox_session_ = std::make_unique<rules::OutboxProtocol>(*outbox_);
    open_series(facts);
    open_bridges(facts);
    return {{mqtt_.get(),
             kMqttPort,
             false,
             {resident_.get(), rule_session_.get(), outbox_session_.get(), bridge_session_.get()}},
            {series_http_.get(), kSeriesPort, false, {series_resident_.get()}}};
  }

  streams::ViewInput* view_input() override { return publisher_.get(); }

  std::vector<server::AnswerWatch> answer_watches() override {
    const auto changed = [this](const Buffer&, const Reply& reply) {
      if (reply.ok() && !reply.repeated) runner_->changed();
    };
    const auto jobs = [this](const Buffer&, const Reply& reply) { broker_->jobs().heard(reply); };
    return {{devices::kJobsMachineId, devices::kCreateJob, jobs},
            {devices::kJobsMachineId, devices::kJobRequest, jobs},
            {rules::kRulesMachineId, rules::kPutRule, changed},
            {rules::kRulesMachineId, rules::kDropRule, changed},
            {rules::kRulesMachineId, rules::kPauseRule, changed},
            {rules::kRulesMachineId, rules::kResumeRule, changed},
            {rules::kRulesMachineId, rules::kOutboxCommit,
             [this](const Buffer&, const Reply& reply) { deliver_rules(reply); }},
            {rules::kRulesMachineId, rules::kRuleCommit,
             [this](const Buffer&, const Reply& reply) { deliver_rules(reply); }},
            {devices::kDevicesMachineId, devices::kShadowRequest,
             [this](const Buffer&, const Reply& reply) { broker_->shadows().deliver(reply); }},
            {devices::kDevicesMachineId, devices::kCreateThings,
             [this](const Buffer& payload, const Reply& reply) { broker_->things().created(payload, reply); }},
            {devices::kDevicesMachineId, devices::kDeleteThing,
             [this](const Buffer& payload, const Reply& reply) { broker_->devices().thing_gone(payload, reply); }},
            {devices::kProvisioningMachineId, devices::kChangeCredential,
             [this](const Buffer&, const Reply& reply) { broker_->devices().changed(reply); }},
            {devices::kProvisioningMachineId, devices::kDropCredential,
             [this](const Buffer& payload, const Reply& reply) { broker_->devices().dropped(payload, reply); }},
            {series::kSeriesMachineId, series::kCreateDatabase,
             [this](const Buffer&, const Reply&) { projection_->poke(); }}};
  }

  void register_metrics(Telemetry& telemetry) override {
    register_mqtt(broker_->counters(), telemetry);
    register_bridges(bridges_->counters(), telemetry);
    register_series(telemetry);
    telemetry.gauge("heptane_mqtt_sessions", "Sessions that outlive their connections",
                    [this] { return static_cast<double>(machine_.sessions_count()); });
    telemetry.gauge("heptane_devices", "Devices in the registry",
                    [this] { return static_cast<double>(devices_.things_count()); });
    telemetry.gauge("heptane_device_credentials", "Credentials of devices, revoked ones included",
                    [this] { return static_cast<double>(provisioning_.credentials_count()); });
    telemetry.gauge("heptane_jobs", "Jobs that are kept", [this] { return static_cast<double>(jobs_.jobs_count()); });
    telemetry.gauge("heptane_job_executions", "Executions of jobs that are kept",
                    [this] { return static_cast<double>(jobs_.executions_count()); });
    telemetry.gauge("heptane_rules", "Rules that are declared",
                    [this] { return static_cast<double>(rules_machine_.rules_count()); });
    telemetry.gauge("heptane_rules_paused", "Rules that are paused",
                    [this] { return static_cast<double>(rules_machine_.paused_count()); });
    telemetry.gauge("heptane_rules_waiting", "Rules for whose runs there was no room for a second or longer",
                    [this] { return static_cast<double>(runner_->waiting_count()); });
    telemetry.gauge("heptane_rules_lag_records", "Records that rules have not read yet, paused ones included",
                    [this] { return static_cast<double>(runner_->lag().records()); });
    telemetry.gauge("heptane_rules_lag_seconds",
                    "For how long the rule that is furthest behind has not read what was there then",
                    [this] { return static_cast<double>(runner_->lag().age_ns()) / 1e9; });
    telemetry.counter("heptane_rules_dead_letters_total", "What rules could make nothing of, or was refused",
                      [this] { return static_cast<double>(rules_machine_.dead_letters_count()); });
    telemetry.gauge("heptane_mqtt_queued", "Messages in the queues of durable sessions",
                    [this] { return static_cast<double>(machine_.references_count()); });
    telemetry.counter("heptane_mqtt_session_lost_total",
                      "Messages that durable sessions and shared groups lost: a full queue, a trimmed or expired "
                      "message, a session's end",
                      [this] { return static_cast<double>(machine_.lost_count()); });
  }

 private:
  void configure_broker(const config::Settings& settings) {
    if (broker_ == nullptr) return settings.land<MqttOptions>(mqtt_keys(), options_);
    MqttOptions wanted;
    settings.land<MqttOptions>(mqtt_keys(), wanted);
    if (wanted.streams == options_.streams && !bridges_changed_) return;
    options_.streams = wanted.streams;
    broker_->declared().want(wanted_streams());
    if (std::exchange(bridges_changed_, false)) bridges_->want(bridge::bridges_of_tables(bridge_options_.bridges));
  }

  void configure_bridges(const config::Settings& settings) {
    BridgeOptions wanted;
    settings.land<BridgeOptions>(bridge_keys(), wanted);
    bridges_changed_ = bridges_ != nullptr && wanted.bridges != bridge_options_.bridges;
    bridge_options_ = std::move(wanted);
  }

  // Those that bridges need behind those that are declared by name, which hold where both are.
  std::vector<StreamDeclaration> wanted_streams() const {
    std::vector<StreamDeclaration> streams = mqtt::streams_of_tables(options_.streams);
    for (StreamDeclaration& stream : bridge::streams_of_bridges(bridge::bridges_of_tables(bridge_options_.bridges)))
      streams.push_back(std::move(stream));
    return streams;
  }

  void open_bridges(const server::ServerFacts& facts) {
    net::IoLoop* loop = facts.io;
    bridge::Dialer dialer{[loop](net::Protocol& protocol, net::OutboundOptions options) {
                            return loop->add_outbound(protocol, std::move(options));
                          },
                          [loop](SessionId outbound) { loop->stop_outbound(outbound); }};
    bridges_ = std::make_unique<bridge::Bridges>(*broker_, std::move(dialer), log_id_text(facts.log_id));
    bridges_->want(bridge::bridges_of_tables(bridge_options_.bridges));
    bridge_session_ = std::make_unique<bridge::BridgesProtocol>(*bridges_);
  }

  // Without it devices that are there go on, and no other is provisioned.
  void load_authority() {
    if (options_.authority_certificate.empty() && options_.authority_key.empty()) return;
    auto loaded = crypto::CertificateAuthority::load(options_.authority_certificate, options_.authority_key);
    if (loaded)
      options_.authority = std::move(*loaded);
    else
      options_.report("no device is provisioned: " + loaded.error().message);
  }

  const devices::ImageSettings* images() const { return broker_ == nullptr ? nullptr : &images_; }
  // Links that are not signed any more are good no longer.
  void load_images() {
    const Result<void> taken = take_images(image_options_, images_);
    if (!taken) options_.report("no links to images of jobs: " + taken.error().message);
  }

  // Behind the streams, which rules may read.
  void configure_rules(const config::Settings& settings) {
    RuleOptions wanted;
    settings.land<RuleOptions>(rule_keys(), wanted);
    const bool news = wanted.rules != rule_options_.rules;
    rule_options_ = std::move(wanted);
    if (courier_ != nullptr) configure_courier();
    if (news && runner_ != nullptr) runner_->want(rules::rules_of_tables(rule_options_.rules));
  }

  void configure_courier() {
    auto allowed = rules::AllowList::parse(rule_options_.http_allow);
    courier_->configure(allowed ? std::move(*allowed) : rules::AllowList(), rule_options_.http_ca);
  }

  // What a run of a rule told, as messages to whoever is connected, before the runner hears of it.
  void deliver_rules(const Reply& reply) {
    if (!reply.ok()) return;
    const auto told = rules::decode_commit_reply(reply.payload);
    if (!told) return;
    if (told->shadows) release(*told->shadows, reply);
    if (!told->statuses.empty()) release({told->partition, reply.numbers[0], told->statuses, told->messages}, reply);
  }

  void release(const rules::CommitReply::Told& told, const Reply& reply) {
    ByteWriter statuses;
    for (const PublishStatus status : told.statuses) statuses.u8(static_cast<uint8_t>(status));
    statuses.le<PartitionId>(told.partition);
    Reply published;
    published.sequence = reply.sequence;
    published.time = reply.time;
    published.numbers = {static_cast<int64_t>(told.statuses.size()), told.first};
    published.payload = Buffer::take(statuses.release());
    broker_->release_foreign(told.messages, told.statuses.size(), published);
  }

  void open_series(const server::ServerFacts& facts) {
    projection_ =
        std::make_unique<series::Projection>(*facts.disk, facts.data_directory + "/series",
                                             static_cast<uint64_t>(series_head_bytes_), facts.log_id, options_.report);
    projection_->store().set_query_slice_ns(query_slice_ns_);
    series_resident_ = std::make_unique<series::ProjectionProtocol>(*projection_);
    series_http_ = std::make_unique<http::HttpProtocol>(
        "series", series::make_series_service(*projection_, series_limits_, facts.gate, facts.quotas,
                                              series_http_counters_, facts.http_hosts));
  }

  void register_series(Telemetry& telemetry) {
    for (size_t i = 1; i < http::HttpCounters::kClasses; ++i)
      telemetry.counter("heptane_http_responses_total", "HTTP responses, by class of the status",
                        [&count = series_http_counters_.responses[i]] {
                          return static_cast<double>(count.load(std::memory_order_relaxed));
                        },
                        {{"class", std::to_string(i) + "xx"}, {"listener", "series"}});
    const series::SeriesStore& store = projection_->store();
    telemetry.gauge("heptane_series", "Series of all databases",
                    [this] { return static_cast<double>(series_.series_count()); });
    telemetry.gauge("heptane_series_points", "Points that are shown, repeats of a time included",
                    [&store] { return static_cast<double>(store.points_count()); });
    telemetry.gauge("heptane_series_shown_offset", "Records of iot.lines that queries see",
                    [&store] { return static_cast<double>(store.applied()); });
    telemetry.gauge("heptane_series_head_bytes", "Points that are in memory and in no file",
                    [&store] { return static_cast<double>(store.head_bytes()); });
    telemetry.gauge("heptane_series_gap_records",
                    "Records of iot.lines that are not shown: the log did not hold them any more",
                    [&store] { return static_cast<double>(store.gap_records()); });
    telemetry.gauge("heptane_series_files", "Chunk files",
                    [&store] { return static_cast<double>(store.files_count()); });
    telemetry.counter("heptane_series_merges_total", "How often small chunk files became one",
                      [&store] { return static_cast<double>(store.merges_count()); });
    telemetry.gauge("heptane_series_memory_bytes", "What series, fields and the places of their chunks take",
                    [&store] { return static_cast<double>(store.memory_bytes()); });
  }

  void open_websocket(http::HttpExchange& exchange) {
    if (broker_ == nullptr)
      return exchange.respond(admin::error_response(Error{Errc::not_found, "the module iot is off"}));
    const auto most = static_cast<size_t>(options_.maximum_packet_size);
    http::WebSocketOptions options;
    options.subprotocols = {"mqtt", "mqttv3.1"};
    options.limits.message_bytes = most;
    options.limits.slow_reader_ns = 2 * options_.write_timeout_s * 1'000'000'000;  // the session's own comes first
    auto session = std::make_unique<mqtt::MqttSession>(*broker_, true);
    exchange.upgrade(std::make_unique<http::WebSocketStream>(std::move(session), most), options);
  }

  BrokerMachine machine_;
  devices::DevicesMachine devices_;
  devices::JobsMachine jobs_;
  devices::ProvisioningMachine provisioning_;
  devices::FleetsMachine fleets_;
  rules::RulesMachine rules_machine_;
  series::SeriesMachine series_{series::table_seed()};
  MqttOptions options_;
  RuleOptions rule_options_;
  ImageOptions image_options_;
  devices::ImageSettings images_;
  blobs::BlobStore* blobs_ = nullptr;
  BridgeOptions bridge_options_;
  bool bridges_changed_ = false;
  std::unique_ptr<auth::Rules> rules_;
  std::function<std::string(size_t)> random_bytes_;
  std::unique_ptr<mqtt::Broker> broker_;
  std::unique_ptr<mqtt::MqttProtocol> mqtt_;
  std::unique_ptr<mqtt::ResidentProtocol> resident_;
  std::unique_ptr<mqtt::ViewPublisher> publisher_;
  std::unique_ptr<rules::RuleRunner> runner_;
  std::unique_ptr<rules::RuleProtocol> rule_session_;
  std::unique_ptr<bridge::Bridges> bridges_;
  std::unique_ptr<bridge::BridgesProtocol> bridge_session_;
  std::unique_ptr<rules::HttpCourier> courier_;
  std::unique_ptr<rules::OutboxRunner> outbox_;
  std::unique_ptr<rules::OutboxProtocol> outbox_session_;
  const int64_t query_slice_ns_;
  rules::LuaStarter start_lua_ = rules::start_lua_process;
  int64_t series_head_bytes_ = kSeriesHeadDefault;
  series::SeriesLimits series_limits_;
  std::unique_ptr<series::Projection> projection_;
  std::unique_ptr<series::ProjectionProtocol> series_resident_;
  http::HttpCounters series_http_counters_;
  std::unique_ptr<http::HttpProtocol> series_http_;
};

}  // namespace

std::unique_ptr<server::Module> make_module(int64_t query_slice_ns) {
  return std::make_unique<IotModule>(query_slice_ns);
}

void use_lua(server::Module& module, rules::LuaStarter start) {
  if (auto* iot = dynamic_cast<IotModule*>(&module)) iot->use_lua(std::move(start));
}

}  // namespace heptane::iot
