#include "modules/iot/gateway/mqtt/device_sessions.h"

#include "modules/iot/gateway/mqtt/broker.h"
#include "modules/iot/machine/provisioning/credential_api.h"

namespace heptane::iot::mqtt {

std::vector<SessionId> DeviceSessions::of(std::string_view holder) const {
  std::vector<SessionId> found;
  const std::string name(holder);
  for (auto at = sessions_.lower_bound({name, 0}); at != sessions_.end() && at->first == name; ++at)
    found.push_back(at->second);
  return found;
}

void DeviceSessions::changed(const Reply& reply) {
  const auto row = reply.ok() ? devices::decode_credential_row(reply.payload.view()) : std::nullopt;
  if (!row) return;
  for (const SessionId session : of(row->credential.holder()))
    if (Subscriber* client = broker_.find(session)) client->credential_changed(*row);
}

void DeviceSessions::dropped(const Buffer& payload, const Reply& reply) {
  const auto name = reply.ok() ? devices::decode_credential_name(payload.view()) : std::nullopt;
  if (!name) return;
  devices::CredentialRow gone;
  gone.number = static_cast<uint32_t>(reply.numbers[0]);
  gone.credential.thing = name->thing;
  gone.credential.claim = name->claim;
  gone.credential.state = devices::CredentialState::revoked;
  for (const SessionId session : of(gone.credential.holder()))
    if (Subscriber* client = broker_.find(session)) client->credential_changed(gone);
}

void DeviceSessions::thing_gone(const Buffer& payload, const Reply& reply) {
  if (!reply.ok()) return;
  for (const SessionId session : of(as_text(payload.view())))
    if (Subscriber* client = broker_.find(session)) client->credential_gone();
}

}  // namespace heptane::iot::mqtt
