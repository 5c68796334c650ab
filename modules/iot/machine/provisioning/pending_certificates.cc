#include "modules/iot/machine/provisioning/pending_certificates.h"

#include <iterator>
#include <vector>

#include "kernel/base/assert.h"
#include "modules/iot/domain/devices/credential.h"

namespace heptane::iot::devices {

const PendingCertificate* PendingCertificates::find(std::string_view token_hash, LogTime now) const {
  const auto found = by_token_.find(token_hash);
  return found == by_token_.end() || found->second.expires <= now ? nullptr : &found->second;
}

void PendingCertificates::make_room(uint32_t claim, size_t most, LogTime now) {
  const auto found = of_claims_.find(claim);
  if (found == of_claims_.end()) return;
  const auto first = found->second.lower_bound({now + 1, ""});
  const auto count = static_cast<size_t>(std::distance(first, found->second.end()));
  if (count < most) return;
  std::vector<std::string> oldest;
  for (auto at = first; oldest.size() <= count - most; ++at) oldest.push_back(at->second);
  for (const std::string& token : oldest) remove(token);
}

void PendingCertificates::add(const std::string& token_hash, const PendingCertificate& pending) {
  const bool added = by_token_.emplace(token_hash, pending).second;
  HEPTANE_ASSERT(added, "a token is there once");
  by_expiry_.emplace(pending.expires, token_hash);
  of_claims_[pending.claim].emplace(pending.expires, token_hash);
}

void PendingCertificates::remove(std::string_view token_hash) {
  const auto found = by_token_.find(token_hash);
  HEPTANE_ASSERT(found != by_token_.end(), "what is removed is there");
  by_expiry_.erase({found->second.expires, found->first});
  const auto of_claim = of_claims_.find(found->second.claim);
  of_claim->second.erase({found->second.expires, found->first});
  if (of_claim->second.empty()) of_claims_.erase(of_claim);
  by_token_.erase(found);
}

void PendingCertificates::sweep(LogTime now) {
  for (size_t i = 0; i < kSweepMost && !by_expiry_.empty() && by_expiry_.begin()->first <= now; ++i)
    remove(std::string(by_expiry_.begin()->second));
}

void PendingCertificates::save(SnapshotWriter& writer) const {
  writer.le<uint64_t>(by_token_.size());
  for (const auto& [token, pending] : by_token_) {
    writer.text(token);
    writer.text(pending.hash);
    writer.le<uint32_t>(pending.claim);
    writer.le<LogTime>(pending.expires);
    writer.le<LogTime>(pending.certificate_ends);
  }
}

Result<void> PendingCertificates::restore(SnapshotReader& reader) {
  *this = {};
  const auto count = reader.le<uint64_t>();
  for (uint64_t i = 0; i < count && !reader.failed(); ++i) {
    const std::string token = reader.text(kCredentialHashBytes);
    PendingCertificate pending;
    pending.hash = reader.text(kCredentialHashBytes);
    pending.claim = reader.le<uint32_t>();
    pending.expires = reader.le<LogTime>();
    pending.certificate_ends = reader.le<LogTime>();
    if (has(token)) reader.fail();
    if (!reader.failed()) add(token, pending);
  }
  if (reader.failed()) return Error{Errc::corrupt, "the certificates that wait are cut off"};
  return {};
}

}  // namespace heptane::iot::devices
