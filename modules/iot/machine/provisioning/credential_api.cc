#include "modules/iot/machine/provisioning/credential_api.h"

#include "modules/iot/domain/devices/thing.h"

namespace heptane::iot::devices {

namespace {

constexpr size_t kShortIdDigits = 16;
constexpr char kDigits[] = "0123456789abcdef";

int value_of(char digit) {
  if (digit >= '0' && digit <= '9') return digit - '0';
  return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

template <class T>
std::optional<T> whole(const ByteReader& in, T value) {
  if (!in.complete()) return std::nullopt;
  return value;
}

CredentialName read_credential_name(ByteReader& in) {
  CredentialName name;
  name.thing = read_text(in, kNameLimitBytes);
  name.claim = read_text(in, kNameLimitBytes);
  name.hash = read_text(in, kCredentialHashBytes);
  return name;
}

void append_name(ByteWriter& out, const CredentialName& name) {
  append_text(out, name.thing);
  append_text(out, name.claim);
  append_text(out, name.hash);
}

}  // namespace

Buffer encode(const CredentialName& name) {
  ByteWriter out;
  append_name(out, name);
  return Buffer::take(out.release());
}

std::optional<CredentialName> decode_credential_name(Bytes payload) {
  ByteReader in(payload);
  CredentialName name = read_credential_name(in);
  return whole(in, std::move(name));
}

Buffer encode(const ChangeCredential& change) {
  ByteWriter out;
  append_name(out, change.name);
  out.u8(change.state ? static_cast<uint8_t>(*change.state) : 0);
  out.u8(change.expires ? 1 : 0);
  out.le<LogTime>(change.expires.value_or(0));
  return Buffer::take(out.release());
}

std::optional<ChangeCredential> decode_change_credential(Bytes payload) {
  ByteReader in(payload);
  ChangeCredential change;
  change.name = read_credential_name(in);
  const uint8_t state = in.u8();
  if (state > static_cast<uint8_t>(CredentialState::revoked)) in.fail();
  if (state != 0) change.state = static_cast<CredentialState>(state);
  const bool has_expiry = in.u8() != 0;
  const auto expires = in.le<LogTime>();
  if (has_expiry) change.expires = expires;
  if (has_expiry && expires < 0) in.fail();
  return whole(in, std::move(change));
}

Buffer encode(const Credential& credential) {
  ByteWriter out;
  append_credential(out, credential);
  return Buffer::take(out.release());
}

std::optional<Credential> decode_credential(Bytes payload) {
  ByteReader in(payload);
  Credential credential = read_credential(in);
  return whole(in, std::move(credential));
}

void append_row(ByteWriter& out, const CredentialRow& row) {
  out.le<uint32_t>(row.number);
  out.le<uint32_t>(row.version);
  append_credential(out, row.credential);
  out.le<LogTime>(row.created);
  out.le<LogTime>(row.changed);
}

CredentialRow read_credential_row(ByteReader& in) {
  CredentialRow row;
  row.number = in.le<uint32_t>();
  row.version = in.le<uint32_t>();
  row.credential = read_credential(in);
  row.created = in.le<LogTime>();
  row.changed = in.le<LogTime>();
  return row;
}

std::optional<CredentialRow> decode_credential_row(Bytes payload) {
  ByteReader in(payload);
  CredentialRow row = read_credential_row(in);
  return whole(in, std::move(row));
}

std::optional<std::vector<CredentialRow>> decode_credential_rows(Bytes payload) {
  ByteReader in(payload);
  std::vector<CredentialRow> rows;
  while (in.remaining() > 0 && !in.failed()) rows.push_back(read_credential_row(in));
  return whole(in, std::move(rows));
}

Buffer encode_proof_query(CredentialKind kind, std::string_view hash, LogTime now) {
  ByteWriter out;
  out.u8(static_cast<uint8_t>(kind));
  append_text(out, hash);
  out.le<LogTime>(now);
  return Buffer::take(out.release());
}

std::string id_of_hash(std::string_view hash) {
  std::string id;
  id.reserve(2 * hash.size());
  for (const char c : hash) {
    const auto byte = static_cast<uint8_t>(c);
    id += kDigits[byte >> 4];
    id += kDigits[byte & 15];
  }
  return id;
}

std::string short_id(std::string_view hash) { return id_of_hash(hash).substr(0, kShortIdDigits); }

std::optional<std::string> hash_of_id(std::string_view id) {
  if (id.size() != 2 * kCredentialHashBytes) return std::nullopt;
  std::string hash;
  for (size_t i = 0; i < id.size(); i += 2) {
    const int high = value_of(id[i]);
    const int low = value_of(id[i + 1]);
    if (high < 0 || low < 0) return std::nullopt;
    hash += static_cast<char>(high << 4 | low);
  }
  return hash;
}

}  // namespace heptane::iot::devices
