// How the clients of a listener prove who they are: the seam between the Kafka protocol and the store of principals. SASL
// mechanisms carry opaque messages (RFC 4422); their number and content are the mechanism's. Called by the I/O threads.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "kernel/net/session.h"
#include "kernel/shard/messages.h"

namespace heptane::data::kafka {

struct SaslStep {
  enum class Outcome : uint8_t { go_on, done, refused };
  Outcome outcome = Outcome::refused;
  std::string answer;   // the mechanism's message to the client
  std::string reason;   // refused: for a person, without saying whether user or password was wrong
  Principal principal;  // done
};

// One client's attempt. A step that is done or refused is its last.
class SaslExchange {
 public:
  virtual ~SaslExchange() = default;
  virtual SaslStep step(Bytes message) = 0;
};

class Authenticator {
 public:
  virtual ~Authenticator() = default;
  // Those that this connection may use, the best one first: PLAIN only where nobody listens in.
  virtual std::vector<std::string_view> mechanisms(const net::SessionContext& connection) const = 0;
  // `mechanism` is one of them.
  virtual std::unique_ptr<SaslExchange> begin(std::string_view mechanism, const net::SessionContext& connection) = 0;
};

}  // namespace heptane::data::kafka
