#include "modules/iot/gateway/mqtt/shadow_service.h"

#include "modules/iot/gateway/devices/shadow_json.h"
#include "modules/iot/gateway/mqtt/broker.h"
#include "modules/iot/machine/devices/shadow_api.h"

namespace heptane::iot::mqtt {

ShadowService::ShadowService(Broker& broker)
    : ThingRequests(broker,
                    {kRequests, devices::kDevicesMachineId, devices::kShadowRequest, devices::kShadowsInFlight}) {}

bool ShadowService::request(const devices::ShadowTopic& topic, std::string_view payload, SessionId from,
                            uint64_t ticket, const Principal& principal) {
  const auto make = [&](bool too_many) {
    return devices::encode(too_many ? devices::refused_shadow_request(topic, payload, devices::ShadowFault::too_many)
                                    : devices::read_shadow_request(topic, payload));
  };
  return ThingRequests::request(topic.thing, make, from, ticket, principal);
}

// As the answer of a publish (Broker::release_foreign).
void ShadowService::deliver(const Reply& reply) {
  const auto answered = devices::decode_shadow_reply(reply.payload);
  if (!answered) return;
  ByteWriter statuses;
  for (const PublishStatus status : answered->statuses) statuses.u8(static_cast<uint8_t>(status));
  statuses.le<PartitionId>(answered->partition);
  Reply published;
  published.sequence = reply.sequence;
  published.time = reply.time;
  published.numbers = {static_cast<int64_t>(answered->statuses.size()), reply.numbers[1]};
  published.payload = Buffer::take(statuses.release());
  broker_.release_foreign(answered->messages, answered->statuses.size(), published);
}

}  // namespace heptane::iot::mqtt
