// Rights of the one user of a test. Test support; one thread's.
#pragma once

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "kernel/auth/rules.h"
#include "kernel/auth/sasl.h"

namespace heptane::iot::test {

// One user, whose rights are filters and topics by their text; with others he is another identity's.
class OneUsersRights final : public auth::Authenticator, public auth::Rules {
 public:
  std::vector<std::string_view> mechanisms(const auth::Peer&) const override { return {}; }
  std::unique_ptr<auth::SaslExchange> begin(std::string_view, const auth::Peer&) override { return nullptr; }
  std::optional<auth::Identity> by_certificate(const auth::Peer&) override { return auth::Identity{}; }
  bool in_force(const auth::Identity&) const override { return counts; }
  bool allows(const auth::Identity&, std::string_view, std::string_view, std::string_view, auth::Verb) override {
    return false;
  }
  bool sees(const auth::Identity&, std::string_view, std::string_view) const override { return true; }
  std::optional<auth::Role> grants(const auth::Identity&, std::string_view) const override {
    auth::Role role{{"mqtt", "*", static_cast<auth::Verbs>(auth::Verb::write)}};
    for (const std::string& filter : reads)
      role.push_back({"mqtt", filter, static_cast<auth::Verbs>(auth::Verb::read)});
    return role;
  }
  uint64_t generation() const override { return ++asked; }  // they may have changed
  void note_denied(const auth::Identity&, std::string_view, std::string_view, std::string_view, auth::Verb) override {}

  std::set<std::string> reads;
  bool counts = true;
  mutable uint64_t asked = 0;
};

}  // namespace heptane::iot::test
