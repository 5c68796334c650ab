#include "modules/iot/gateway/mqtt/rights.h"

#include <algorithm>

#include "modules/iot/domain/topics/topics.h"

namespace heptane::iot::mqtt {

namespace {

constexpr std::string_view kModule = "mqtt";
constexpr std::string_view kClient = "%c";
constexpr std::string_view kUser = "%u";

// One level, and of a client's topics: a name must not reach where the pattern does not.
bool is_usable(std::string_view value, bool begins) {
  if (value.empty() || value.find_first_of("+#/") != std::string_view::npos) return false;
  return !begins || value.front() != '$';
}

// As in a filter: `+` is any level, but none of the server's own first ones.
bool level_matches(std::string_view want, std::string_view level, bool first) {
  if (want != "+") return want == level;
  return !first || !level.starts_with('$');
}

}  // namespace

std::optional<std::string> Rights::expanded(std::string_view pattern, std::string_view user, std::string_view client) {
  std::string text;
  while (!pattern.empty()) {
    const bool is_client = pattern.starts_with(kClient);
    if (!is_client && !pattern.starts_with(kUser)) {
      text += pattern.front();
      pattern.remove_prefix(1);
      continue;
    }
    const std::string_view value = is_client ? client : user;
    if (!is_usable(value, text.empty())) return std::nullopt;
    text += value;
    pattern.remove_prefix(kClient.size());
  }
  return text;
}

Rights::Rights(const auth::Role& grants, std::string_view user, std::string_view client) {
  for (const auth::Permission& permission : grants) {
    Pattern pattern;
    std::string_view text = permission.pattern;
    pattern.any_rest = text.ends_with('*');
    if (pattern.any_rest) text.remove_suffix(1);
    std::optional<std::string> whole = expanded(text, user, client);
    if (!whole) continue;
    pattern.text = std::move(*whole);
    pattern.all = (permission.verbs & static_cast<auth::Verbs>(auth::Verb::admin)) != 0;
    pattern.verbs = pattern.all ? auth::kAllVerbs : permission.verbs;
    patterns_.push_back(std::move(pattern));
  }
}

bool Rights::may(auth::Verb verb, std::string_view text) const {
  const auto bit = static_cast<auth::Verbs>(verb);
  return std::any_of(patterns_.begin(), patterns_.end(),
                     [&](const Pattern& one) { return (one.verbs & bit) != 0 && one.matches(text); });
}

bool Rights::may_receive(std::string_view topic) const {
  const auto read = static_cast<auth::Verbs>(auth::Verb::read);
  return std::any_of(patterns_.begin(), patterns_.end(),
                     [&](const Pattern& one) { return (one.verbs & read) != 0 && one.receives(topic); });
}

bool Rights::may_meet(std::string_view filter) const {
  const auto read = static_cast<auth::Verbs>(auth::Verb::read);
  return std::any_of(patterns_.begin(), patterns_.end(),
                     [&](const Pattern& one) { return (one.verbs & read) != 0 && one.meets(filter); });
}

// Any other text of a pattern that does not begin with `$` begins none that does. What bridges say of themselves is anybody's: mosquitto's
// default is a will there.
bool Rights::Pattern::is_closed_to(std::string_view other) const {
  return text.empty() && any_rest && !all && other.starts_with('$') &&
         !iot::matches("$SYS/broker/connection/+/state", other);
}

bool Rights::Pattern::matches(std::string_view other) const {
  if (is_closed_to(other)) return false;
  return any_rest ? other.starts_with(text) : other == text;
}

// Level by level the text is what the filter would have there; its last level, where anything may follow, only begins it.
bool Rights::Pattern::receives(std::string_view topic) const {
  if (is_closed_to(topic)) return false;
  Levels wanted(text);
  Levels levels(topic);
  for (bool first = true;; first = false) {
    const auto want = wanted.next();
    const auto level = levels.next();
    if (!want || !level) return !want && !level;
    const bool hidden = first && level->starts_with('$');
    if (*want == "#") return !hidden && wanted.done();
    if (any_rest && wanted.done()) return level_matches(*want, *level, first) || level->starts_with(*want);
    if (!level_matches(*want, *level, first)) return false;
  }
}

bool Rights::Pattern::meets(std::string_view filter) const {
  if (!any_rest) return valid_filter(text) && overlap(text, filter);
  if (is_closed_to(filter)) return false;
  Levels wanted(text);
  Levels levels(filter);
  for (bool first = true;; first = false) {
    const auto want = wanted.next();
    const auto level = levels.next();
    if (!want || !level) return !want && !level;
    const bool hidden = first && (want->starts_with('$') || level->starts_with('$'));
    if (*level == "#") return !hidden;
    if (*want == "#") return !hidden && wanted.done();
    if (*level == "+" || *want == "+") {
      if (hidden && *want != *level) return false;
      if (wanted.done()) return true;
      continue;
    }
    if (wanted.done()) return level->starts_with(*want);
    if (*want != *level) return false;
  }
}

// The table.

std::shared_ptr<const Grants> RightsTable::find(auth::Rules& rules, const auth::Identity& identity,
                                                uint64_t generation) {
  const auto found = users_.find(identity.name);
  if (found != users_.end() && found->second.generation == generation) return found->second.grants;
  std::optional<auth::Role> granted = rules.grants(identity, kModule);
  if (!granted) {  // it is not in force: nothing of this is true of others of its name
    auto none = std::make_shared<Grants>();
    none->rights = std::make_shared<const Rights>(none->role, identity.name, "");
    return none;
  }
  auth::Role role = std::move(*granted);
  if (found != users_.end() && found->second.grants->role == role) {
    found->second.generation = generation;
    return found->second.grants;
  }
  auto grants = std::make_shared<Grants>();
  grants->role = std::move(role);
  grants->names_client = std::any_of(grants->role.begin(), grants->role.end(), [](const auth::Permission& permission) {
    return permission.pattern.find(kClient) != std::string::npos;
  });
  if (!grants->names_client) grants->rights = std::make_shared<const Rights>(grants->role, identity.name, "");
  return keep(users_, identity.name, {generation, std::move(grants)});
}

// Each of the devices has rights of its own: patterns name it.
std::shared_ptr<const Grants> RightsTable::find_of_roles(auth::Rules& rules, const RoleNames& roles,
                                                         uint64_t generation) {
  std::string key;
  for (const std::string& role : roles) key += role + ',';
  const auto found = by_roles_.find(key);
  if (found != by_roles_.end() && found->second.generation == generation) return found->second.grants;
  auth::Role role = rules.grants_of(roles, kModule);
  if (found != by_roles_.end() && found->second.grants->role == role) {
    found->second.generation = generation;
    return found->second.grants;
  }
  auto grants = std::make_shared<Grants>();
  grants->role = std::move(role);
  grants->names_client = true;
  return keep(by_roles_, std::move(key), {generation, std::move(grants)});
}

std::shared_ptr<const Grants> RightsTable::keep(Entries& entries, std::string key, Entry entry) {
  if (!entries.contains(key) && entries.size() >= kPrincipalsMax) entries.erase(entries.begin());
  return entries.insert_or_assign(std::move(key), std::move(entry)).first->second.grants;
}

// The generation is asked first: what is read behind it is not older.
HeldRights RightsTable::hold(auth::Rules& rules, const auth::Identity& identity, std::string_view client,
                             const RoleNames* roles) {
  HeldRights held;
  held.generation = rules.generation();
  held.grants =
      roles == nullptr ? find(rules, identity, held.generation) : find_of_roles(rules, *roles, held.generation);
  held.rights = held.grants->rights;
  if (!held.rights) held.rights = std::make_shared<const Rights>(held.grants->role, identity.name, client);
  return held;
}

bool RightsTable::renew(auth::Rules& rules, const auth::Identity& identity, std::string_view client, HeldRights& held,
                        const RoleNames* roles) {
  const uint64_t generation = rules.generation();
  if (generation == held.generation) return false;
  const std::shared_ptr<const Grants> now =
      roles == nullptr ? find(rules, identity, generation) : find_of_roles(rules, *roles, generation);
  if (now == held.grants || now->role == held.grants->role) {
    held.generation = generation;
    return false;
  }
  held = hold(rules, identity, client, roles);
  return true;
}

}  // namespace heptane::iot::mqtt
