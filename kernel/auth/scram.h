// SCRAM on the server's side (RFC 5802, RFC 7677) without channel binding: what a verifier is made of, and one exchange.
// Nonce and salts come from outside; a user that does not exist takes the same steps with a made-up verifier. Pure.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "kernel/auth/directory.h"
#include "kernel/auth/sasl.h"
#include "kernel/crypto/digest.h"

namespace heptane::auth {

constexpr size_t kScramMessageLimitBytes = 4096;

Verifier make_verifier(crypto::Hash hash, std::string_view password, std::string salt, uint32_t iterations);
// Of a user who does not exist, the same every time it is asked for.
Verifier made_up_verifier(crypto::Hash hash, std::string_view key, std::string_view name, uint32_t iterations);
// Costs the iterations.
bool proves(crypto::Hash hash, const Verifier& verifier, std::string_view password);

class ScramServer final : public SaslExchange {
 public:
  struct Candidate {
    Verifier verifier;
    std::optional<Identity> identity;  // none: nobody of this name; no proof will do
  };
  using Find = std::function<Candidate(std::string_view name)>;
  using Failed = std::function<void(std::string_view name)>;

  // `nonce` is printable and without a comma. `named`: who it is about whatever the client's message says, which may then
  // name nobody (PostgreSQL 15 manual, 55.3.1); empty: whom the message names.
  ScramServer(crypto::Hash hash, std::string nonce, Find find, Failed failed, std::string named = {})
      : hash_(hash),
        nonce_(std::move(nonce)),
        find_(std::move(find)),
        failed_(std::move(failed)),
        named_(std::move(named)) {}

  SaslStep step(Bytes message) override;

 private:
  SaslStep first(std::string_view message);
  SaslStep last(std::string_view message);
  SaslStep refuse(const char* why);

  const crypto::Hash hash_;
  std::string nonce_;
  Find find_;
  Failed failed_;
  const std::string named_;
  bool started_ = false;
  std::string name_;
  std::string binding_;   // gs2 header in base64, as the client must repeat it
  std::string messages_;  // client-first-message-bare "," server-first-message
  Candidate candidate_;
};

}  // namespace heptane::auth
