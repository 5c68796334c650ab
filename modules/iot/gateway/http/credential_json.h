// Credentials of devices as the JSON of /api/v1/devices/{thing}/credentials: read with what is wrong named, written in one order. A
// certificate is said as its fingerprint or as PEM, of which the fingerprint alone is kept. Any thread.
#pragma once

#include <string>

#include "kernel/net/http/json.h"
#include "kernel/net/http/json_writer.h"
#include "modules/iot/machine/provisioning/credential_api.h"

namespace heptane::iot::devices {

constexpr size_t kPemBytesMax = 16 << 10;

// The hash of the first certificate of a PEM text. Errc::invalid_argument.
Result<std::string> fingerprint_of_pem(std::string_view pem);

// `{"kind": "certificate", "fingerprint": 64 digits | "certificate": PEM, "state", "expires_ms", "roles"}`; of a token without a
// hash: whoever asks gets a new one.
Result<Credential> credential_of_json(std::string text, std::string_view thing);
// `{"state": ..., "expires_ms": ... or null}`
Result<ChangeCredential> credential_change_of_json(std::string text, CredentialName name);

// The members that tell its state, of an object that is open.
void write_credential(http::JsonWriter& out, const CredentialRow& row);

// For what has such members as well. What is wrong is told by the fields.
CredentialState read_state(http::JsonFields& fields, bool may_be_revoked);
LogTime read_expiry(http::JsonFields& fields);
Credential::Names read_names(http::JsonFields& fields, std::string_view name);
// Of `fingerprint` or `certificate`.
std::string read_certificate_hash(http::JsonFields& fields);

}  // namespace heptane::iot::devices
