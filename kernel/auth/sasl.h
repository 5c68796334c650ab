// How clients prove who they are and what they may then do: the seam between protocols and the store of principals. SASL
// mechanisms carry opaque messages (RFC 4422); their number and content are the mechanism's. Called by the I/O threads.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "kernel/auth/directory.h"
#include "kernel/base/bytes.h"
#include "kernel/base/result.h"
#include "kernel/shard/messages.h"

namespace heptane::auth {

// Where a client comes from.
struct Peer {
  std::string remote;            // numeric address, for the audit trail
  bool encrypted = false;        // TLS
  bool loopback = false;         // 127.0.0.0/8, ::1 or a Unix socket
  std::string certificate_name;  // common name of a verified client certificate; empty: none
  std::string_view protocol;     // `kafka`, `http`; a literal
  std::string named{};           // whom the protocol has named before the mechanism does, and instead; empty: nobody
};

// Somebody who has proved it.
struct Identity {
  Principal principal;
  std::string name = "local";
  std::string token;  // hash of the token that proved it; empty: another proof
};

struct SaslStep {
  enum class Outcome : uint8_t { go_on, done, refused };
  Outcome outcome = Outcome::refused;
  std::string answer;  // the mechanism's message to the client
  std::string reason;  // refused: for a person, without saying whether user or password was wrong
  Identity identity;   // done
};

// One client's attempt. A step that is done or refused is its last.
class SaslExchange {
 public:
  virtual ~SaslExchange() = default;
  virtual SaslStep step(Bytes message) = 0;
};

// A password that costs thousands of hashes to be checked, in halves, so that another thread may do what costs.
class PasswordProof {
 public:
  virtual ~PasswordProof() = default;
  virtual void run() = 0;  // once, on any thread: touches nothing but the proof
  // The I/O threads' again. Errors as in Authenticator::prove.
  virtual bool may_run_here() = 0;        // one more in this second does not hold up an I/O thread for too long
  virtual Result<Identity> finish() = 0;  // after run()
};
// Known at once (a token, a password that is remembered, a refusal), or what must be run first.
using Proving = std::variant<Result<Identity>, std::unique_ptr<PasswordProof>>;

class Authenticator {
 public:
  virtual ~Authenticator() = default;
  // Those that this connection may use, the best one first: PLAIN only where nobody listens in.
  virtual std::vector<std::string_view> mechanisms(const Peer& peer) const = 0;
  // `mechanism` is one of them.
  virtual std::unique_ptr<SaslExchange> begin(std::string_view mechanism, const Peer& peer) = 0;
  // What PLAIN carries. Errc::unauthorised, without saying what was wrong; overloaded.
  virtual Proving prove(std::string_view user, std::string_view password, const Peer& peer) {
    (void)user, (void)password, (void)peer;
    return Error{Errc::unauthorised, "passwords are not taken here", 0};
  }
  // The user of the client's certificate, when it has one that counts.
  virtual std::optional<Identity> by_certificate(const Peer& peer) = 0;
  // A user whom the configuration names, for a listener whose clients cannot say who they are: nothing proves it.
  virtual std::optional<Identity> by_configuration(std::string_view user) const {
    (void)user;
    return std::nullopt;
  }
  // Still there and unchanged. Asked at every request.
  virtual bool in_force(const Identity& identity) const = 0;
  // False is noted as a denied request; `from` is the remote address.
  virtual bool allows(const Identity& identity, std::string_view from, std::string_view module,
                      std::string_view resource, Verb verb) = 0;
  // As allows, not noted: for a right that a request may use and need not.
  virtual bool may(const Identity& identity, std::string_view module, std::string_view resource, Verb verb) const {
    (void)identity, (void)module, (void)resource, (void)verb;
    return false;
  }
  // Any verb. Not noted: what may not be seen is left out of lists.
  virtual bool sees(const Identity& identity, std::string_view module, std::string_view resource) const = 0;
};

}  // namespace heptane::auth
