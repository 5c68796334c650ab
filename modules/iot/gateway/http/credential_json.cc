#include "modules/iot/gateway/http/credential_json.h"

#include <algorithm>

#include "kernel/base/base64.h"
#include "kernel/crypto/digest.h"

namespace heptane::iot::devices {

namespace {

using http::JsonDocument;
using http::JsonFields;
using http::JsonType;

constexpr int64_t kNsPerMs = 1'000'000;
constexpr int64_t kLatestMs = INT64_MAX / kNsPerMs;
constexpr std::string_view kBegin = "-----BEGIN CERTIFICATE-----";
constexpr std::string_view kEnd = "-----END CERTIFICATE-----";

void write_names(http::JsonWriter& out, std::string_view name, const Credential::Names& names) {
  if (names.empty()) return;
  out.key(name).begin_array();
  for (const std::string& one : names) out.text(one);
  out.end_array();
}

}  // namespace

Result<std::string> fingerprint_of_pem(std::string_view pem) {
  const auto wrong = [](const char* why) { return Error{Errc::invalid_argument, why, 0}; };
  if (pem.size() > kPemBytesMax) return wrong("certificate has at most 16 KiB of PEM");
  const size_t begin = pem.find(kBegin);
  const size_t end = begin == std::string_view::npos ? begin : pem.find(kEnd, begin);
  if (end == std::string_view::npos) return wrong("certificate is no PEM text of a certificate");
  std::string digits(pem.substr(begin + kBegin.size(), end - begin - kBegin.size()));
  std::erase_if(digits, [](char c) { return c == '\n' || c == '\r' || c == ' '; });
  const auto der = base64_decoded(digits);
  if (!der || der->empty()) return wrong("certificate is no PEM text of a certificate");
  return crypto::digest(crypto::Hash::sha256, *der);
}

CredentialState read_state(JsonFields& fields, bool may_be_revoked) {
  const std::string_view state = fields.text_or("state", "active");
  if (state == "revoked" && may_be_revoked) return CredentialState::revoked;
  if (state != "active" && state != "inactive")
    fields.fail(may_be_revoked ? "state must be active, inactive or revoked" : "state must be active or inactive");
  return state == "inactive" ? CredentialState::inactive : CredentialState::active;
}

LogTime read_expiry(JsonFields& fields) { return fields.integer_or("expires_ms", 0, 1, kLatestMs) * kNsPerMs; }

Credential::Names read_names(JsonFields& fields, std::string_view name) {
  Credential::Names names;
  const auto list = fields.array(name);
  for (auto one = list ? list->first() : std::nullopt; one; one = one->next()) {
    if (one->type() != JsonType::text) fields.fail(fields.path_of(name) + " must be texts");
    names.emplace(one->text());
  }
  return names;
}

std::string read_certificate_hash(JsonFields& fields) {
  const std::string_view said = fields.text_or("fingerprint", "");
  const std::string_view pem = fields.text_or("certificate", "");
  if (said.empty() == pem.empty()) {
    fields.fail("say fingerprint (SHA-256, 64 hexadecimal digits) or certificate (PEM)");
    return {};
  }
  if (!pem.empty()) {
    Result<std::string> hash = fingerprint_of_pem(pem);
    if (!hash) fields.fail(hash.error().message);
    return hash ? std::move(*hash) : std::string();
  }
  // As openssl prints it, too: capitals, with colons.
  std::string id(said);
  std::erase(id, ':');
  std::transform(id.begin(), id.end(), id.begin(), [](char c) { return c >= 'A' && c <= 'F' ? char(c + 32) : c; });
  auto hash = hash_of_id(id);
  if (!hash) fields.fail("fingerprint is a SHA-256: 64 hexadecimal digits");
  return hash.value_or("");
}

Result<Credential> credential_of_json(std::string text, std::string_view thing) {
  auto document = JsonDocument::parse(std::move(text));
  if (!document) return document.error();
  JsonFields fields((*document)->root(), "");
  Credential credential;
  credential.thing = thing;
  const std::string_view kind = fields.text("kind");
  if (kind != "certificate" && kind != "token") fields.fail("kind must be certificate or token");
  credential.kind = kind == "token" ? CredentialKind::token : CredentialKind::certificate;
  if (kind == "certificate") credential.hash = read_certificate_hash(fields);
  credential.state = read_state(fields, false);
  credential.expires = read_expiry(fields);
  credential.roles = read_names(fields, "roles");
  HEPTANE_TRY(fields.finish());
  return credential;
}

Result<ChangeCredential> credential_change_of_json(std::string text, CredentialName name) {
  auto document = JsonDocument::parse(std::move(text));
  if (!document) return document.error();
  const http::JsonValue root = (*document)->root();
  JsonFields fields(root, "");
  ChangeCredential change;
  change.name = std::move(name);
  const auto said = root.type() == JsonType::object ? root.find("state") : std::nullopt;
  const CredentialState state = read_state(fields, true);
  if (said) change.state = state;
  const auto expires = root.type() == JsonType::object ? root.find("expires_ms") : std::nullopt;
  if (expires && expires->type() == JsonType::null) {
    (void)fields.value("expires_ms");
    change.expires = 0;
  } else if (expires) {
    change.expires = read_expiry(fields);
  }
  HEPTANE_TRY(fields.finish());
  if (!change.state && !change.expires) return Error{Errc::invalid_argument, "say state or expires_ms", 0};
  return change;
}

void write_credential(http::JsonWriter& out, const CredentialRow& row) {
  const Credential& of = row.credential;
  out.key("id").text(id_of_hash(of.hash)).key("kind").text(kind_text(of.kind)).key("state").text(state_text(of.state));
  write_names(out, "roles", of.roles);
  write_names(out, "templates", of.templates);
  if (of.expires != 0) out.key("expires_ms").number(of.expires / kNsPerMs);
  out.key("created_ms").number(row.created / kNsPerMs).key("changed_ms").number(row.changed / kNsPerMs);
}

}  // namespace heptane::iot::devices
