// All credentials, by number, by hash, and by whose they are. State of the provisioning machine; the shard thread's.
//
// Invariants: a hash is there once for all things and claims; a number is never used again; save() is canonical.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "kernel/base/ids.h"
#include "kernel/shard/snapshot_io.h"
#include "modules/iot/machine/provisioning/credential_api.h"

namespace heptane::iot::devices {

class Credentials {
 public:
  // Null: there is none.
  const CredentialRow* find(uint32_t number) const;
  const CredentialRow* by_hash(std::string_view hash) const;
  const CredentialRow* find(const CredentialName& name) const;
  std::vector<const CredentialRow*> of_thing(std::string_view thing) const;
  const std::map<std::string, uint32_t, std::less<>>& claims() const { return claims_; }

  // Of a hash, and of a claim's name, that is not there.
  const CredentialRow& add(const Credential& credential, LogTime now);
  // What is said of it from now on; a change of its state is another version.
  const CredentialRow& change(uint32_t number, CredentialState state, LogTime expires, LogTime now);
  void remove(uint32_t number);
  // Returns their numbers.
  std::vector<uint32_t> remove_of_thing(std::string_view thing);

  size_t size() const { return rows_.size(); }
  bool full() const;
  bool fresh() const { return next_ == 1; }
  size_t bytes() const { return bytes_; }

  void save(SnapshotWriter& writer) const;
  Result<void> restore(SnapshotReader& reader);

 private:
  static size_t bytes_of(const CredentialRow& row);
  static std::string key_of(std::string_view thing, std::string_view hash);
  void put(CredentialRow row);

  std::map<uint32_t, CredentialRow> rows_;
  std::map<std::string, uint32_t, std::less<>> by_hash_;
  std::map<std::string, uint32_t, std::less<>> by_thing_;  // thing, `/`, which no name has, and the hash
  std::map<std::string, uint32_t, std::less<>> claims_;    // by name
  uint32_t next_ = 1;
  size_t bytes_ = 0;
};

}  // namespace heptane::iot::devices
