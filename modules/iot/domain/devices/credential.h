// What proves that a connection is a device's, or that of somebody who may provision devices (a claim): a client certificate, known
// by its fingerprint, or a token, known by its hash. Nothing here is a secret: a token is 192 bits of chance. Pure; any thread.
//
// A device may have several: a new one is used before the old one is revoked, and who it is stays the same.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <string_view>

#include "kernel/base/bytes.h"
#include "kernel/base/ids.h"

namespace heptane::iot::devices {

constexpr size_t kCredentialHashBytes = 32;   // SHA-256 of the certificate's DER; of the token as it is said
constexpr size_t kRolesOfCredentialMax = 16;  // names of roles, as users have them
constexpr size_t kRoleBytesMax = 64;
constexpr size_t kTemplatesOfClaimMax = 16;
constexpr std::string_view kDeviceTokenPrefix = "hpd_";
constexpr size_t kDeviceTokenBytes = 24;  // of chance, in hexadecimal behind the prefix
// It looks like one: a user's password may begin so, too.
bool is_device_token(std::string_view password);

enum class CredentialKind : uint8_t { certificate = 1, token = 2 };
enum class CredentialState : uint8_t { active = 1, inactive = 2, revoked = 3 };  // revoked: for ever
std::string_view kind_text(CredentialKind kind);
std::string_view state_text(CredentialState state);

struct Credential {
  using Names = std::set<std::string, std::less<>>;
  CredentialKind kind = CredentialKind::certificate;
  CredentialState state = CredentialState::active;
  std::string hash;     // kCredentialHashBytes
  std::string thing;    // whose it is; empty: a claim's
  std::string claim;    // its name; empty: a device's
  Names roles;          // what its holder may besides the thing's own topics
  Names templates;      // of a claim: by which it may provision
  LogTime expires = 0;  // 0: never
  bool is_claim() const { return !claim.empty(); }
  // What whoever proved it is called: the thing; of a claim a name that no thing and no user has.
  std::string holder() const { return is_claim() ? "claim/" + claim : thing; }
  bool counts(LogTime now) const { return state == CredentialState::active && (expires == 0 || now < expires); }
  // Its thing is nobody else's. What an operator took back holds it until it is dropped; what is over does not.
  bool holds(LogTime now) const { return state != CredentialState::active || counts(now); }
  bool operator==(const Credential&) const = default;
};

// What is wrong with it, for a person; empty: nothing. Roles and templates need not be there.
std::string wrong_credential(const Credential& credential);

void append_credential(ByteWriter& out, const Credential& credential);
// Sets the reader failed when it is none. Not judged (wrong_credential).
Credential read_credential(ByteReader& in);

}  // namespace heptane::iot::devices
