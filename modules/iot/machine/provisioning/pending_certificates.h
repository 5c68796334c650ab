// Certificates that claims got and that are nobody's yet, by the hash of the token that says whose they become. State of the provisioning
// machine; the shard thread's.
//
// Invariant: a token is good once, until its time is over, for the claim that got it. Those that are over go when others come; where a
// claim has too many, its oldest.
#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "kernel/base/ids.h"
#include "kernel/shard/snapshot_io.h"

namespace heptane::iot::devices {

struct PendingCertificate {
  std::string hash;
  uint32_t claim = 0;  // the number of its credential
  LogTime expires = 0;
  LogTime certificate_ends = 0;
};

class PendingCertificates {
 public:
  // Null: there is none whose time is not over.
  const PendingCertificate* find(std::string_view token_hash, LogTime now) const;
  // There are fewer of the claim then, whose time is not over: the oldest are gone.
  void make_room(uint32_t claim, size_t most, LogTime now);
  // Of a token that is not there.
  void add(const std::string& token_hash, const PendingCertificate& pending);
  bool has(std::string_view token_hash) const { return by_token_.find(token_hash) != by_token_.end(); }
  void remove(std::string_view token_hash);
  // Some of those whose time is over.
  void sweep(LogTime now);

  size_t size() const { return by_token_.size(); }
  size_t bytes() const { return by_token_.size() * kEntryBytes; }

  void save(SnapshotWriter& writer) const;
  Result<void> restore(SnapshotReader& reader);

 private:
  static constexpr size_t kEntryBytes = 470;
  static constexpr size_t kSweepMost = 16;

  std::map<std::string, PendingCertificate, std::less<>> by_token_;
  std::set<std::pair<LogTime, std::string>> by_expiry_;
  std::map<uint32_t, std::set<std::pair<LogTime, std::string>>> of_claims_;  // when each is over, and its token
};

}  // namespace heptane::iot::devices
