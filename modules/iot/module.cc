#include "modules/iot/module.h"

#include "kernel/admin/answers.h"
#include "kernel/net/http/exchange.h"
#include "kernel/net/http/websocket_stream.h"
#include "kernel/server/server_keys.h"
#include "modules/iot/gateway/mqtt/mqtt.h"
#include "modules/iot/gateway/mqtt/session.h"
#include "modules/iot/machine/broker_machine.h"

namespace heptane::iot {

namespace {

using config::bind;
using config::Type;
using mqtt::MqttCounters;
using mqtt::MqttOptions;

constexpr uint16_t kMqttPort = 1883;
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
                                     .help =
                                         "Messages at QoS 1 and 2 that wait for one client's acknowledgements; what "
                                         "comes then is dropped and counted",
                                     .min = 1,
                                     .max = 100'000}),
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
  const auto dropped = [&](const char* reason, const net::Counter& counter) {
    telemetry.counter("heptane_mqtt_dropped_total", "Messages that one subscriber did not get, by reason",
                      value_of(counter), {{"reason", reason}});
  };
  dropped("output_full", counters.dropped_output);
  dropped("queue_full", counters.dropped_queue);
  dropped("too_large", counters.dropped_size);
  dropped("expired", counters.dropped_expired);
  const auto closed = [&](const char* reason, const net::Counter& counter) {
    telemetry.counter("heptane_mqtt_closed_total", "Connections that the broker closed, by reason", value_of(counter),
                      {{"reason", reason}});
  };
  closed("malformed", counters.malformed);
  closed("keep_alive", counters.keep_alive);
  closed("taken_over", counters.taken_over);
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
  std::string_view name() const override { return "iot"; }

  std::vector<config::Key> keys() const override {
    std::vector<config::Key> keys = server::listener_keys("mqtt", kMqttPort);
    for (config::Key& key : config::keys_of<MqttOptions>(mqtt_keys())) keys.push_back(std::move(key));
    return keys;
  }

  // Fixed at start: clients were told.
  void configure(const config::Settings& settings) override {
    if (broker_ == nullptr) settings.land<MqttOptions>(mqtt_keys(), options_);
  }

  // Open: CONNECT says who the client is.
  void add_routes(http::HttpRouter& router) override {
    router.add(http::Method::get, "/mqtt", [this](http::HttpExchange& exchange) { open_websocket(exchange); },
               {.needs = {"", "", auth::Verb::read, true, false}, .doc = websocket_doc()});
  }

  std::vector<StateMachine*> machines() override { return {&machine_}; }

  std::vector<server::ListenerSpec> listeners(const server::ServerFacts& facts) override {
    options_.authenticator = facts.authenticator;
    broker_ = std::make_unique<mqtt::Broker>(options_);
    mqtt_ = std::make_unique<mqtt::MqttProtocol>(*broker_);
    resident_ = std::make_unique<mqtt::ResidentProtocol>(*broker_);
    return {{mqtt_.get(), kMqttPort, false, resident_.get()}};
  }

  void register_metrics(Telemetry& telemetry) override { register_mqtt(broker_->counters(), telemetry); }

 private:
  void open_websocket(http::HttpExchange& exchange) {
    if (broker_ == nullptr)
      return exchange.respond(admin::error_response(Error{Errc::not_found, "the module iot is off"}));
    const auto most = static_cast<size_t>(options_.maximum_packet_size);
    http::WebSocketOptions options;
    options.subprotocols = {"mqtt", "mqttv3.1"};
    options.limits.message_bytes = most;
    auto session = std::make_unique<mqtt::MqttSession>(*broker_, true);
    exchange.upgrade(std::make_unique<http::WebSocketStream>(std::move(session), most), options);
  }

  BrokerMachine machine_;
  MqttOptions options_;
  std::unique_ptr<mqtt::Broker> broker_;
  std::unique_ptr<mqtt::MqttProtocol> mqtt_;
  std::unique_ptr<mqtt::ResidentProtocol> resident_;
};

}  // namespace

std::unique_ptr<server::Module> make_module() { return std::make_unique<IotModule>(); }

}  // namespace heptane::iot
