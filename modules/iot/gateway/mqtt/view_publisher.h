// What Kafka and HTTP clients append to a declared stream, as messages: key = topic, value = payload, headers as the stream's
// own records have them. The command goes to the shard as their own, with their deadline; the broker hears of its answer, in the
// order of all answers, and delivers to whoever is connected. The I/O thread's.
//
// Of headers, mqtt.qos (1 where it is not said), mqtt.retain, mqtt.message_expiry, mqtt.payload_format, mqtt.content_type,
// mqtt.response_topic and mqtt.correlation_data are the message's; heptane.position and mqtt.client, which reading gives, are passed
// over: such a message is from no client. Others are user properties.
#pragma once

#include "kernel/streams/view_input.h"
#include "modules/iot/gateway/mqtt/broker.h"

namespace heptane::iot::mqtt {

class ViewPublisher final : public streams::ViewInput {
 public:
  explicit ViewPublisher(Broker& broker) : broker_(broker) {}
  bool takes(std::string_view stream) const override { return broker_.declared().taking(stream) != nullptr; }
  std::string why_not_altered(std::string_view stream) const override;
  // A record's partition is its topic's, as messages have it: one that is sent to another is refused with its batch.
  Result<Submission> make_append(std::string_view stream, std::optional<uint32_t> partition, Bytes record_batch,
                                 const MayWrite& may) override;
  MachineId machine() const override { return kBrokerMachineId; }
  std::vector<CommandType> commands() const override { return {kPublishRecords, kDeclareStream, kDropStream}; }
  void on_answer(CommandType command, const Buffer& payload, const Reply& reply) override;

 private:
  Broker& broker_;
};

}  // namespace heptane::iot::mqtt
