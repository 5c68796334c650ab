#include "modules/iot/domain/devices/credential.h"

#include <algorithm>

#include "modules/iot/domain/devices/thing.h"

namespace heptane::iot::devices {

namespace {

constexpr uint8_t kLastKind = 2;
constexpr uint8_t kLastState = 3;

// As users and roles are called (kernel/auth).
bool is_role_name(std::string_view name) {
  return !name.empty() && name.size() <= kRoleBytesMax && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
           c == '@' || c == '-';
  });
}

void append_names(ByteWriter& out, const Credential::Names& names) {
  out.u8(static_cast<uint8_t>(names.size()));
  for (const std::string& name : names) append_text(out, name);
}

// Names come in order.
Credential::Names read_names(ByteReader& in, size_t most) {
  Credential::Names names;
  const uint8_t count = in.u8();
  if (count > most) in.fail();
  for (uint8_t i = 0; i < count && !in.failed(); ++i) {
    const std::string_view name = read_text(in, kNameLimitBytes);
    if (!names.empty() && name <= *names.rbegin()) in.fail();
    names.emplace_hint(names.end(), name);
  }
  return names;
}

}  // namespace

std::string_view kind_text(CredentialKind kind) { return kind == CredentialKind::token ? "token" : "certificate"; }

std::string_view state_text(CredentialState state) {
  if (state == CredentialState::revoked) return "revoked";
  return state == CredentialState::inactive ? "inactive" : "active";
}

bool is_device_token(std::string_view password) {
  if (!password.starts_with(kDeviceTokenPrefix)) return false;
  const std::string_view digits = password.substr(kDeviceTokenPrefix.size());
  return digits.size() == 2 * kDeviceTokenBytes && std::all_of(digits.begin(), digits.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

std::string wrong_credential(const Credential& credential) {
  if (credential.hash.size() != kCredentialHashBytes) return "a credential is named by a SHA-256";
  if (credential.thing.empty() == credential.claim.empty()) return "a credential is a thing's or a claim's";
  if (!valid_name(credential.is_claim() ? credential.claim : credential.thing))
    return "a name is 1 to 128 of a-z A-Z 0-9 : _ -";
  if (credential.is_claim() && credential.kind != CredentialKind::certificate) return "a claim is a certificate";
  if (credential.is_claim() && (credential.templates.empty() || !credential.roles.empty()))
    return "a claim has templates, and no roles";
  if (!credential.is_claim() && !credential.templates.empty()) return "a device's credential has no templates";
  if (credential.roles.size() > kRolesOfCredentialMax || credential.templates.size() > kTemplatesOfClaimMax)
    return "a credential has at most 16 roles or templates";
  if (!std::all_of(credential.roles.begin(), credential.roles.end(), is_role_name))
    return "a role's name is 1 to 64 of a-z A-Z 0-9 . _ @ -";
  if (!std::all_of(credential.templates.begin(), credential.templates.end(), valid_name))
    return "a template's name is 1 to 128 of a-z A-Z 0-9 : _ -";
  if (credential.expires < 0) return "a credential expires at a time";
  return {};
}

void append_credential(ByteWriter& out, const Credential& credential) {
  out.u8(static_cast<uint8_t>(credential.kind));
  out.u8(static_cast<uint8_t>(credential.state));
  append_text(out, credential.hash);
  append_text(out, credential.thing);
  append_text(out, credential.claim);
  append_names(out, credential.roles);
  append_names(out, credential.templates);
  out.le<LogTime>(credential.expires);
}

Credential read_credential(ByteReader& in) {
  Credential credential;
  const uint8_t kind = in.u8();
  const uint8_t state = in.u8();
  if (kind == 0 || kind > kLastKind || state == 0 || state > kLastState) in.fail();
  credential.kind = static_cast<CredentialKind>(kind);
  credential.state = static_cast<CredentialState>(state);
  credential.hash = read_text(in, kCredentialHashBytes);
  credential.thing = read_text(in, kNameLimitBytes);
  credential.claim = read_text(in, kNameLimitBytes);
  credential.roles = read_names(in, kRolesOfCredentialMax);
  credential.templates = read_names(in, kTemplatesOfClaimMax);
  credential.expires = in.le<LogTime>();
  return credential;
}

}  // namespace heptane::iot::devices
