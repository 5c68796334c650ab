#include "modules/iot/gateway/mqtt/publisher_rights.h"

#include <algorithm>
#include <utility>

#include "modules/iot/gateway/mqtt/broker.h"

namespace heptane::iot::mqtt {

namespace {

Publication publication_of(const MessageView& message) { return {message.source, message.client, message.topic}; }

}  // namespace

bool user_may_publish(Broker& broker, const Publication& what) {
  auth::Rules* rules = broker.options().rules;
  const std::optional<auth::Identity> user = broker.options().authenticator->by_configuration(what.publisher);
  if (rules == nullptr || !user) return false;
  return broker.rights().hold(*rules, *user, what.client).rights->may(auth::Verb::write, what.topic);
}

bool device_may_publish(Broker& broker, const Publication& what, const std::vector<devices::CredentialRow>& rows,
                        int64_t utc_ns) {
  auth::Rules* rules = broker.options().rules;
  if (rules == nullptr) return false;
  return std::any_of(rows.begin(), rows.end(), [&](const devices::CredentialRow& row) {
    if (!row.credential.counts(utc_ns)) return false;
    const auth::Identity device{row.principal(), row.credential.holder(), {}};
    const HeldRights held = broker.rights().hold(*rules, device, what.client, &row.credential.roles);
    return held.rights->may(auth::Verb::write, what.topic);
  });
}

// What the server itself keeps under a name of its own, as certificates of Sparkplug's births, is no client's publication.
bool RetainedSources::checks(const MessageView& message) const {
  const MqttOptions& options = broker_.options();
  return !broker_.reserves(message.topic) && options.check_retain_source && options.authenticator != nullptr &&
         !message.source.empty();
}

Buffer RetainedSources::wanted(const RetainedPage& page) {
  if (!broker_.devices().any()) return {};
  ByteWriter names;
  for (const RetainedPage::Item& item : page.items) {
    const std::string_view source = item.message.source;
    if (devices_.contains(source) || !checks(item.message)) continue;
    if (user_may_publish(broker_, publication_of(item.message))) continue;
    devices_.emplace(source, std::vector<devices::CredentialRow>());
    names.le<uint16_t>(static_cast<uint16_t>(source.size()));
    names.append(source);
  }
  return names.size() == 0 ? Buffer() : Buffer::take(names.release());
}

bool RetainedSources::take(const Reply& reply) {
  auto rows = reply.ok() ? devices::decode_credential_rows(reply.payload.view()) : std::nullopt;
  if (!rows) return false;
  for (devices::CredentialRow& row : *rows) {
    const std::string thing = row.credential.thing;
    devices_[thing].push_back(std::move(row));
  }
  return true;
}

bool RetainedSources::allows(const MessageView& message, int64_t utc_ns) const {
  if (!checks(message)) return true;
  const Publication what = publication_of(message);
  if (user_may_publish(broker_, what)) return true;
  const auto device = devices_.find(message.source);
  return device != devices_.end() && device_may_publish(broker_, what, device->second, utc_ns);
}

}  // namespace heptane::iot::mqtt
