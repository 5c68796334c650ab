// Who there is and what they may do: users with SCRAM verifiers, API tokens (their hashes alone), roles. A value: the auth
// machine owns one and publishes immutable copies, which the I/O threads ask. Copies share everything but the maps.
//
// Rules: README.md. Bounds are constants here; the machine refuses what would pass them.
#pragma once

#include <array>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "kernel/base/ids.h"
#include "kernel/shard/messages.h"
#include "kernel/shard/snapshot_io.h"

namespace heptane::auth {

constexpr size_t kUsersLimit = 4096;
constexpr size_t kTokensLimit = 8192;
constexpr size_t kRolesLimit = 256;
constexpr size_t kPermissionsLimit = 64;  // of one role
constexpr size_t kRolesOfUserLimit = 16;
constexpr size_t kNameLimitBytes = 64;  // of users, roles, tokens
constexpr size_t kPatternLimitBytes = 255;
constexpr size_t kSaltLimitBytes = 64;
constexpr uint32_t kIterationsMin = 4096;  // RFC 7677 §4
constexpr uint32_t kIterationsMax = 1'000'000;
constexpr uint32_t kLocalId = 1;  // `local`: loopback while authentication is off
constexpr uint32_t kFirstUserId = 16;
constexpr size_t kTokenHashBytes = 32;
constexpr std::string_view kAdminRole = "admin";
constexpr std::string_view kAuditStream = "audit";

// What somebody does to a resource. `admin` includes every other verb.
enum class Verb : uint8_t { read = 1, write = 2, create = 4, alter = 8, remove = 16, admin = 32 };
using Verbs = uint8_t;
constexpr Verbs kAllVerbs = 63;
std::string_view verb_name(Verb verb);
std::optional<Verb> verb_of(std::string_view name);
std::string verbs_text(Verbs verbs);  // `read,write`

// Modules with resources: `streams` (names), `groups` (consumer groups), `blobs` (their SHA-256), `cluster`, `auth`, `ledger`,
// `admin`; `*` is any.
struct Permission {
  std::string module;
  std::string pattern;  // a resource's name; a `*` at its end stands for any rest
  Verbs verbs = 0;
  bool operator==(const Permission&) const = default;
};
bool matches(std::string_view pattern, std::string_view name);

using Role = std::vector<Permission>;
// `admin`, `writer`, `reader`; null for another name.
const Role* built_in_role(std::string_view name);

// SCRAM (RFC 5802 §3): what proves a password without being one.
struct Verifier {
  std::string salt;
  uint32_t iterations = 0;  // 0: there is no verifier
  std::string stored_key;
  std::string server_key;
  bool operator==(const Verifier&) const = default;
  bool exists() const { return iterations != 0; }
};
// By SHA-256 and SHA-512, in this order: both are made when a password is set.
using Verifiers = std::array<Verifier, 2>;

struct User {
  uint32_t id = 0;
  uint32_t version = 0;      // another one after every change of what proves it; roles count at once
  bool certificate = false;  // a verified client certificate with this common name proves it
  Verifiers verifiers;
  std::set<std::string, std::less<>> roles;
  bool has_password() const { return verifiers[0].exists(); }
};

struct Token {
  std::string name;
  std::string owner;  // acts as this user
  uint32_t owner_id = 0;
  LogTime issued = 0;
  LogTime expires = 0;    // 0 = never
  bool one_time = false;  // gone as soon as an administrator has a password or another token
  uint64_t timer = 0;     // of its expiry; 0 = none
};
// Names a token without giving it away: the first 8 bytes of its hash in hexadecimal.
std::string token_id(std::string_view hash);

class Directory {
 public:
  std::map<std::string, std::shared_ptr<const User>, std::less<>> users;
  std::map<std::string, std::shared_ptr<const Token>, std::less<>> tokens;  // by SHA-256
  std::map<std::string, std::shared_ptr<const Role>, std::less<>> roles;    // without the built-in ones
  std::map<uint32_t, std::string> names;                                    // of users by id
  uint32_t next_id = kFirstUserId;
  std::string probe_key;  // makes the salts of users that do not exist

  const User* user(std::string_view name) const;
  const Token* token(std::string_view hash) const;
  const Role* role(std::string_view name) const;              // built-in ones too
  std::string_view hash_of_token(std::string_view id) const;  // empty: no such token

  bool allows(const User& user, std::string_view module, std::string_view resource, Verb verb) const;
  // Any verb on it: who may do something with a thing may know of it.
  bool sees(const User& user, std::string_view module, std::string_view resource) const;
  size_t admins() const;  // users with the role admin
  // Somebody can prove to be an administrator: a password, a certificate, a token. One-time tokens count when asked.
  bool has_usable_admin(bool count_one_time) const;

  uint64_t memory_bytes() const;
  void save(SnapshotWriter& writer) const;
  Result<void> restore(SnapshotReader& reader);

 private:
  Verbs verbs_on(const User& user, std::string_view module, std::string_view resource) const;
};

// [A-Za-z0-9._@-]{1,64}
bool valid_name(std::string_view name);

}  // namespace heptane::auth
