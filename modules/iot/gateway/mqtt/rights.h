// What a client may do with topics: the permissions of its user's roles on the module `mqtt`, compiled. In a pattern `%u` is the
// user's name and `%c` the client identifier; one that holds `+`, `#` or `/`, begins a topic with `$`, or is empty, makes the
// pattern match nothing, and a `*` in it is no wildcard. `*` alone names nothing that begins with `$`, as `#` does not, but for who may
// administer: a device is not to use what is another's or the server's because it may use "everything". A pattern names topics and filters as text: what may be subscribed to may
// be received, so a topic may be received when a filter that may be subscribed to matches it.
//
// A device that its own credential proved has the roles that the credential names; its thing's name is the user's.
//
// Compiled once for each user, and where a pattern names the client for each client; swapped whole when the roles say something
// else (RightsTable). Bounds: what roles may hold; kPrincipalsMax users. The I/O thread's.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "kernel/auth/rules.h"

namespace heptane::iot::mqtt {

class Rights {
 public:
  Rights(const auth::Role& grants, std::string_view user, std::string_view client);

  bool may(auth::Verb verb, std::string_view topic_or_filter) const;
  // Some filter that may be subscribed to matches it; the level above a `#` does not belong to it.
  bool may_receive(std::string_view topic) const;
  // There may be a topic of this filter that may be received.
  bool may_meet(std::string_view filter) const;

  // nullopt: it matches nothing.
  static std::optional<std::string> expanded(std::string_view pattern, std::string_view user, std::string_view client);

 private:
  struct Pattern {
    std::string text;
    bool any_rest = false;  // whatever begins with the text
    bool all = false;       // whoever has it may administer
    auth::Verbs verbs = 0;

    bool is_closed_to(std::string_view text) const;
    bool matches(std::string_view text) const;
    bool receives(std::string_view topic) const;
    bool meets(std::string_view filter) const;
  };
  std::vector<Pattern> patterns_;
};

// Of one user.
struct Grants {
  auth::Role role;
  bool names_client = false;
  std::shared_ptr<const Rights> rights;  // of each of its clients; null: each has its own
};

// What a connection holds.
struct HeldRights {
  std::shared_ptr<const Grants> grants;
  std::shared_ptr<const Rights> rights;
  uint64_t generation = 0;  // of the users, at which it was so
};

class RightsTable {
 public:
  static constexpr size_t kPrincipalsMax = auth::kUsersLimit;

  using RoleNames = std::set<std::string, std::less<>>;

  // For an identity that is in force. `roles`: that a device has; null: a user's.
  HeldRights hold(auth::Rules& rules, const auth::Identity& identity, std::string_view client,
                  const RoleNames* roles = nullptr);
  // True: the roles say something else, and `held` was swapped.
  bool renew(auth::Rules& rules, const auth::Identity& identity, std::string_view client, HeldRights& held,
             const RoleNames* roles = nullptr);

 private:
  struct Entry {
    uint64_t generation = 0;
    std::shared_ptr<const Grants> grants;
  };
  using Entries = std::map<std::string, Entry, std::less<>>;
  std::shared_ptr<const Grants> find(auth::Rules& rules, const auth::Identity& identity, uint64_t generation);
  std::shared_ptr<const Grants> find_of_roles(auth::Rules& rules, const RoleNames& roles, uint64_t generation);
  static std::shared_ptr<const Grants> keep(Entries& entries, std::string key, Entry entry);

  Entries users_;
  Entries by_roles_;  // of devices, by the names of their roles
};

}  // namespace heptane::iot::mqtt
