// More commands and queries of the machine that knows what proves who a device is (credential_api.h): templates, claims, and how a
// device that shows a claim gets a credential of its own. A private key is in none of them, nor is a token: the log has a certificate's
// SHA-256 and that of the token that says whose it is. Any thread.
#pragma once

#include "modules/iot/domain/devices/provisioning_template.h"
#include "modules/iot/machine/provisioning/credential_api.h"

namespace heptane::iot::devices {

enum TemplateCommand : CommandType {
  kPutTemplate = 4,   // payload: a ProvisioningTemplate; reply numbers: 1 where it is new. Refused: invalid_argument,
                      // overloaded
  kDropTemplate = 5,  // payload: its name. Refused: not_found
  kIssueCertificate =
      6,           // payload IssueCertificate, by a claim. Refused: unauthorised (no claim), exists. Where too many of
                   // the claim's certificates wait, the oldest is nobody's any more
  kProvision = 7,  // payload ProvisionThing, by a claim. Reply payload: a Provisioned. Refused: unauthorised (the
                   // token), not_found (the template, or a thing that must be registered), invalid_argument,
                   // exists (the thing, a user of its name, the certificate is somebody's), overloaded
};

enum TemplateQuery : uint16_t {
  kQueryTemplates = 3,  // payload: templates behind this one (text), alone u8. Reply payload: templates; numbers: how
                        // many, 1 where there is more. Alone: the one of the name
  kQueryClaims = 4,     // payload: claims behind this one (text), alone u8. Reply payload: CredentialRows; likewise
};

constexpr size_t kTemplatesMax = 100;
constexpr size_t kClaimsMax = 256;
constexpr size_t kTemplatesOfPage = 20;
constexpr size_t kClaimsOfPage = 100;

// Logged configuration: certificates of one claim that wait for their things.
constexpr std::string_view kMaxPending = "provisioning.max_pending";
constexpr int64_t kPendingDefault = 100;
constexpr int64_t kPendingCeiling = 1'000;
constexpr LogTime kTokenLifetimeMax = LogTime{24} * 3'600 * 1'000'000'000;

struct IssueCertificate {
  std::string hash;        // of the certificate
  std::string token_hash;  // SHA-256 of the token
  LogTime lifetime = 0;    // of the token
  LogTime certificate_ends = 0;
};
Buffer encode(const IssueCertificate& issue);
std::optional<IssueCertificate> decode_issue(Bytes payload);

struct ProvisionThing {
  std::string token_hash;
  std::string template_name;
  Parameters parameters;
};
Buffer encode(const ProvisionThing& provision);
std::optional<ProvisionThing> decode_provision(Bytes payload);

struct Provisioned {
  std::string thing;
  std::string configuration;  // JSON; empty: none
};
Buffer encode(const Provisioned& provisioned);
std::optional<Provisioned> decode_provisioned(Bytes payload);

Buffer encode(const ProvisioningTemplate& of);
std::optional<ProvisioningTemplate> decode_template(Bytes payload);
std::optional<std::vector<ProvisioningTemplate>> decode_templates(Bytes payload);

Buffer encode_names_query(std::string_view after, bool alone);
struct NamesQuery {
  std::string after;  // or the one
  bool alone = false;
};
std::optional<NamesQuery> decode_names_query(Bytes payload);

}  // namespace heptane::iot::devices
