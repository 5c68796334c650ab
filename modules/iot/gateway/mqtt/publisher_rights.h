// Whether somebody who need not be connected may publish a message now: whose a will is, or what is retained. He is known by his
// name alone: a user's, or a device's, whichever of its credentials proves it. The I/O thread's.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "modules/iot/machine/api.h"
#include "modules/iot/machine/provisioning/credential_api.h"

namespace heptane::iot::mqtt {

class Broker;

struct Publication {
  std::string_view publisher;
  std::string_view client;
  std::string_view topic;
};
// With authentication on. False: he is no user, too.
bool user_may_publish(Broker& broker, const Publication& what);
// `rows`: the credentials of the device that the publisher's name is.
bool device_may_publish(Broker& broker, const Publication& what, const std::vector<devices::CredentialRow>& rows,
                        int64_t utc_ns);

// Which messages of one page of retained ones are given out (`mqtt.check_retain_source`).
class RetainedSources {
 public:
  explicit RetainedSources(Broker& broker) : broker_(broker) {}

  // What the machine of provisioning must tell before, and was not asked yet: the payload of a kQueryCredentialsOf; empty: nothing.
  Buffer wanted(const RetainedPage& page);
  // Its answer. False: it has none.
  bool take(const Reply& reply);
  bool allows(const MessageView& message, int64_t utc_ns) const;

 private:
  bool checks(const MessageView& message) const;

  Broker& broker_;
  std::map<std::string, std::vector<devices::CredentialRow>, std::less<>> devices_;  // those that were asked for
};

}  // namespace heptane::iot::mqtt
