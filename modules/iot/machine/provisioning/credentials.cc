#include "modules/iot/machine/provisioning/credentials.h"

#include "kernel/base/assert.h"
#include "modules/iot/domain/devices/thing.h"

namespace heptane::iot::devices {

namespace {

constexpr size_t kRowBytes = 480;  // nodes of the maps and what texts take beside their bytes
constexpr size_t kNameBytes = 64;  // of a role or template, likewise
constexpr size_t kStoredBytesMax = 16 << 10;

}  // namespace

size_t Credentials::bytes_of(const CredentialRow& row) {
  const Credential& of = row.credential;
  size_t bytes = kRowBytes + 3 * of.hash.size() + 2 * of.thing.size() + 2 * of.claim.size();
  for (const std::string& role : of.roles) bytes += kNameBytes + role.size();
  for (const std::string& name : of.templates) bytes += kNameBytes + name.size();
  return bytes;
}

std::string Credentials::key_of(std::string_view thing, std::string_view hash) {
  std::string key(thing);
  key += '/';
  key += hash;
  return key;
}

bool Credentials::full() const { return rows_.size() >= kCredentialsMax || next_ >= kFirstForeignPrincipal; }

const CredentialRow* Credentials::find(uint32_t number) const {
  const auto found = rows_.find(number);
  return found == rows_.end() ? nullptr : &found->second;
}

const CredentialRow* Credentials::by_hash(std::string_view hash) const {
  const auto found = by_hash_.find(hash);
  return found == by_hash_.end() ? nullptr : find(found->second);
}

const CredentialRow* Credentials::find(const CredentialName& name) const {
  if (!name.claim.empty()) {
    const auto found = claims_.find(name.claim);
    return found == claims_.end() ? nullptr : find(found->second);
  }
  const CredentialRow* row = by_hash(name.hash);
  return row != nullptr && row->credential.thing == name.thing ? row : nullptr;
}

std::vector<const CredentialRow*> Credentials::of_thing(std::string_view thing) const {
  std::vector<const CredentialRow*> rows;
  const std::string from = key_of(thing, "");
  for (auto at = by_thing_.lower_bound(from); at != by_thing_.end() && at->first.starts_with(from); ++at)
    rows.push_back(find(at->second));
  return rows;
}

void Credentials::put(CredentialRow row) {
  const Credential& of = row.credential;
  by_hash_[of.hash] = row.number;
  if (of.is_claim())
    claims_[of.claim] = row.number;
  else
    by_thing_[key_of(of.thing, of.hash)] = row.number;
  bytes_ += bytes_of(row);
  rows_.emplace(row.number, std::move(row));
}

const CredentialRow& Credentials::add(const Credential& credential, LogTime now) {
  HEPTANE_ASSERT(by_hash(credential.hash) == nullptr, "a credential is added once");
  const uint32_t number = next_++;
  put({number, 1, credential, now, now});
  return rows_.at(number);
}

const CredentialRow& Credentials::change(uint32_t number, CredentialState state, LogTime expires, LogTime now) {
  CredentialRow& row = rows_.at(number);
  if (row.credential.state != state) ++row.version;
  row.credential.state = state;
  row.credential.expires = expires;
  row.changed = now;
  return row;
}

void Credentials::remove(uint32_t number) {
  const auto found = rows_.find(number);
  HEPTANE_ASSERT(found != rows_.end(), "what is removed is there");
  const Credential& of = found->second.credential;
  by_hash_.erase(of.hash);
  if (of.is_claim())
    claims_.erase(of.claim);
  else
    by_thing_.erase(key_of(of.thing, of.hash));
  bytes_ -= bytes_of(found->second);
  rows_.erase(found);
}

std::vector<uint32_t> Credentials::remove_of_thing(std::string_view thing) {
  std::vector<uint32_t> numbers;
  for (const CredentialRow* row : of_thing(thing)) numbers.push_back(row->number);
  for (const uint32_t number : numbers) remove(number);
  return numbers;
}

void Credentials::save(SnapshotWriter& writer) const {
  writer.le<uint32_t>(next_);
  writer.le<uint64_t>(rows_.size());
  for (const auto& [number, row] : rows_) {
    ByteWriter out;
    append_row(out, row);
    writer.blob(out.view());
  }
}

Result<void> Credentials::restore(SnapshotReader& reader) {
  *this = {};
  next_ = reader.le<uint32_t>();
  const auto count = reader.le<uint64_t>();
  for (uint64_t i = 0; i < count && !reader.failed(); ++i) {
    const std::string bytes = reader.text(kStoredBytesMax);
    auto row = decode_credential_row(as_bytes(bytes));
    const bool known = row && (find(row->number) != nullptr || by_hash(row->credential.hash) != nullptr);
    if (!row || known || row->number >= next_ || !wrong_credential(row->credential).empty()) reader.fail();
    if (reader.failed()) break;
    put(std::move(*row));
  }
  if (reader.failed()) return Error{Errc::corrupt, "the credentials of devices are cut off"};
  return {};
}

}  // namespace heptane::iot::devices
