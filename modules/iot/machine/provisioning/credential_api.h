// Commands and queries of the machine that knows what proves who a device is. Not in transactions. Little-endian; texts: length u16
// and bytes. Any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernel/base/bytes.h"
#include "kernel/shard/principal_source.h"
#include "kernel/shard/state_machine.h"
#include "modules/iot/domain/devices/credential.h"

namespace heptane::iot::devices {

constexpr MachineId kProvisioningMachineId = machine_ids::kFirstModule + 8;

enum ProvisioningCommand : CommandType {
  kAddCredential = 1,     // payload: a Credential; reply numbers: its number. Refused: not_found (the thing), exists,
                          // unauthorised (a user is called as the thing is), overloaded, invalid_argument
  kChangeCredential = 2,  // payload ChangeCredential; reply payload: the CredentialRow. Refused: not_found, refused (it
                          // is revoked)
  kDropCredential = 3,    // payload: a CredentialName; reply numbers: its number. Refused: not_found, refused (it is
                          // not revoked and has not expired)
  kAddAnyCredential = 8,  // as kAddCredential, by one who gives roles: of a thing, too, that is called as a user is
};

enum ProvisioningQuery : uint16_t {
  kQueryProof = 1,        // payload: kind u8, the hash, the time i64. Reply payload: a CredentialRow; numbers: 1, or 0
                          // where no credential counts that is so
  kQueryCredentials = 2,  // payload: a thing. Reply payload: its CredentialRows; numbers: how many
  // Payload: up to kThingsAskedMax things, the length of each u16 before it. Reply payload: the CredentialRows of all
  kQueryCredentialsOf = 5,
};

constexpr size_t kCredentialsOfThing = 10;
constexpr size_t kThingsAskedMax = 256;
constexpr size_t kCredentialsMax = 10'000'000;

// Of a thing one of its hash, of a claim the one of its name.
struct CredentialName {
  std::string thing;
  std::string claim;
  std::string hash;
};
Buffer encode(const CredentialName& name);
std::optional<CredentialName> decode_credential_name(Bytes payload);

// What is absent stays.
struct ChangeCredential {
  CredentialName name;
  std::optional<CredentialState> state;
  std::optional<LogTime> expires;  // 0: never
  // It may count by this, who did not before.
  bool lets_in() const { return state.value_or(CredentialState::active) == CredentialState::active; }
};
Buffer encode(const ChangeCredential& change);
std::optional<ChangeCredential> decode_change_credential(Bytes payload);

Buffer encode(const Credential& credential);
std::optional<Credential> decode_credential(Bytes payload);

struct CredentialRow {
  uint32_t number = 0;   // never used again
  uint32_t version = 1;  // another one after every change of its state
  Credential credential;
  LogTime created = 0;
  LogTime changed = 0;
  // Whoever proved it by this.
  Principal principal() const { return {kFirstForeignPrincipal | number, version}; }
};
void append_row(ByteWriter& out, const CredentialRow& row);
CredentialRow read_credential_row(ByteReader& in);
std::optional<CredentialRow> decode_credential_row(Bytes payload);
// One behind the other.
std::optional<std::vector<CredentialRow>> decode_credential_rows(Bytes payload);

Buffer encode_proof_query(CredentialKind kind, std::string_view hash, LogTime now);

// The first digits of the hash, as the audit trail names it.
std::string short_id(std::string_view hash);
// All of them, in hexadecimal; the other way: nullopt where they are none.
std::string id_of_hash(std::string_view hash);
std::optional<std::string> hash_of_id(std::string_view id);

}  // namespace heptane::iot::devices
