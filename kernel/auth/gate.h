// What gateways ask: who is this, is it still so, may they do that. Answers come from what is synced (AuthStore). While
// authentication is off everybody is `local`, who may do everything. What is refused is noted for the audit trail.
//
// A password costs thousands of hashes: one that was right is remembered under a key of this process; what must be computed is
// handed to a worker by protocols that can wait (prove), and limited in number where it is not. The I/O threads' (one mutex around
// what is remembered).
#pragma once

#include <array>
#include <memory>
#include <mutex>
#include <set>

#include "kernel/auth/auth_store.h"
#include "kernel/auth/incidents.h"
#include "kernel/auth/sasl.h"
#include "kernel/base/clock.h"
#include "kernel/base/random.h"

namespace heptane::auth {

struct AuthOptions {
  bool enabled = false;
  bool plain_on_loopback = false;  // PLAIN without TLS from this machine
  uint32_t iterations = 4096;      // of new verifiers
};

// A password that somebody chose, prepared (saslprep.h): at least 8 characters, at most 256 bytes. Errc::invalid_argument says
// what is wrong, as a predicate.
Result<std::string> new_password(std::string_view password);

class Gate final : public Authenticator {
 public:
  static constexpr size_t kRememberedLimit = 32'768;
  static constexpr uint32_t kComputedPerSecond = 50;  // passwords, on I/O threads

  Gate(AuthOptions options, Clock& clock, Random& random);

  AuthStore& store() { return store_; }
  Incidents& incidents() { return incidents_; }
  const Incidents& incidents() const { return incidents_; }
  const AuthOptions& options() const { return options_; }
  bool enabled() const { return options_.enabled; }
  AuthStore::View view() const { return store_.view(); }

  // Errc::unauthorised (the message does not say what was wrong), overloaded (too many at once). Wrong ones are noted.
  Result<Identity> by_password(std::string_view user, std::string_view password, const Peer& peer);
  Proving prove(std::string_view user, std::string_view password, const Peer& peer) override;
  Result<Identity> by_token(std::string_view secret, const Peer& peer);
  std::optional<Identity> by_certificate(const Peer& peer) override;

  std::optional<Identity> by_configuration(std::string_view user) const override;

  std::vector<std::string_view> mechanisms(const Peer& peer) const override;
  std::unique_ptr<SaslExchange> begin(std::string_view mechanism, const Peer& peer) override;

  bool in_force(const Identity& identity) const override;
  bool allows(const Identity& identity, std::string_view from, std::string_view module, std::string_view resource,
              Verb verb) override;
  bool sees(const Identity& identity, std::string_view module, std::string_view resource) const override;
  bool may(const Identity& identity, std::string_view module, std::string_view resource, Verb verb) const override;

  // For commands: what is logged of a password (a prepared one), and a new token.
  // Salts are drawn by the I/O thread; what costs is done on any, with nothing of the gate.
  using Salts = std::array<std::string, 2>;
  Salts make_salts();
  static Verifiers make_verifiers(std::string_view password, const Salts& salts, uint32_t iterations);
  Verifiers make_verifiers(std::string_view password) {
    return make_verifiers(password, make_salts(), options_.iterations);
  }
  struct NewToken {
    std::string secret;  // `hpt_` and 48 hexadecimal digits; shown once
    std::string hash;
  };
  NewToken make_token();
  std::string random_bytes(size_t count);

 private:
  class Proof;
  const User* user_of(const Directory& directory, const Identity& identity) const;
  std::unique_ptr<SaslExchange> begin_scram(size_t which, const Peer& peer);
  Error refused(std::string_view who, const Peer& peer, std::string_view how);
  bool may_compute();
  void remember(std::string entry);

  const AuthOptions options_;
  Clock& clock_;
  Random& random_;
  AuthStore store_;
  Incidents incidents_;
  std::mutex mutex_;
  const std::string key_;  // of what is remembered, and of made-up salts until the log has its own
  std::set<std::string, std::less<>> remembered_;
  int64_t second_ns_ = 0;
  uint32_t computed_ = 0;  // in the second that began then
};

}  // namespace heptane::auth
