// What makes the broker a Sparkplug aware one (Eclipse Sparkplug 3.0.0 §10.1.4): births are kept below `$sparkplug/certificates/` as
// retained messages, which are the machine's and in the log; a death that is a will says when it is published; a node of which a message
// is missing is asked for its births; and, where that is wanted, metrics become messages of JSON below `$sparkplug/metrics/`, for
// rules and series. Messages go their way whatever becomes of that. The I/O thread's.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "kernel/shard/messages.h"
#include "modules/iot/domain/sparkplug/nodes.h"
#include "modules/iot/gateway/mqtt/options.h"
#include "modules/iot/machine/api.h"

namespace heptane::iot::mqtt {

class Broker;

class SparkplugWatch {
 public:
  SparkplugWatch(Broker& broker, const MqttOptions& options);

  // Topics of the server's own, where it is aware.
  bool owns(std::string_view topic) const { return options_.sparkplug && sparkplug::is_awares(topic); }

  // A message of a client that went its way. What follows from it is published in the name of who published it.
  void passed(const MessageView& message, const Principal& principal, int64_t utc_ns, int64_t now_ns);
  // What a will says when it is published; nullopt: as it was said.
  std::optional<std::string> stamped(std::string_view topic, std::string_view payload, int64_t utc_ns) const;

 private:
  // Of the message at hand.
  struct Cause {
    std::string_view client;
    const Principal& principal;
    int64_t utc_ms = 0;
    int64_t now_ns = 0;
  };
  bool publish(MessageView message, const Cause& cause);
  void keep_birth(const MessageView& message, const Cause& cause);
  void ask_for_births(const sparkplug::Topic& topic, const Cause& cause);
  void tell_metrics(const sparkplug::Topic& topic, const sparkplug::Payload& payload,
                    const sparkplug::Nodes::Outcome& outcome, const Cause& cause);
  void tell(const std::string& topic, const sparkplug::Nodes::Named& metric, uint64_t time_ms, const Cause& cause);

  Broker& broker_;
  const MqttOptions& options_;
  sparkplug::Nodes nodes_;
};

}  // namespace heptane::iot::mqtt
