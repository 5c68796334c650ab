#include "kernel/auth/directory.h"

#include <algorithm>

namespace heptane::auth {

namespace {

constexpr std::array<std::pair<Verb, std::string_view>, 6> kVerbNames{{{Verb::read, "read"},
                                                                       {Verb::write, "write"},
                                                                       {Verb::create, "create"},
                                                                       {Verb::alter, "alter"},
                                                                       {Verb::remove, "delete"},
                                                                       {Verb::admin, "admin"}}};
constexpr uint64_t kBytesPerItem = 512;
constexpr size_t kTokenIdBytes = 8;

constexpr Verbs bit(Verb verb) { return static_cast<Verbs>(verb); }
constexpr Verbs kWriterVerbs = bit(Verb::read) | bit(Verb::write) | bit(Verb::create);

void save_verifier(SnapshotWriter& writer, const Verifier& verifier) {
  writer.text(verifier.salt);
  writer.le<uint32_t>(verifier.iterations);
  writer.text(verifier.stored_key);
  writer.text(verifier.server_key);
}

Verifier restore_verifier(SnapshotReader& reader) {
  Verifier verifier;
  verifier.salt = reader.text(kSaltLimitBytes);
  verifier.iterations = reader.le<uint32_t>();
  verifier.stored_key = reader.text(64);
  verifier.server_key = reader.text(64);
  return verifier;
}

int hex_value(char digit) {
  if (digit >= '0' && digit <= '9') return digit - '0';
  return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}
char hex_digit(unsigned value) { return "0123456789abcdef"[value & 15]; }

}  // namespace

std::string_view verb_name(Verb verb) {
  for (const auto& [known, name] : kVerbNames)
    if (known == verb) return name;
  return "";
}

std::optional<Verb> verb_of(std::string_view name) {
  for (const auto& [verb, known] : kVerbNames)
    if (known == name) return verb;
  return std::nullopt;
}

std::string verbs_text(Verbs verbs) {
  std::string text;
  for (const auto& [verb, name] : kVerbNames) {
    if ((verbs & bit(verb)) == 0) continue;
    if (!text.empty()) text += ',';
    text += name;
  }
  return text;
}

bool matches(std::string_view pattern, std::string_view name) {
  if (!pattern.ends_with('*')) return pattern == name;
  pattern.remove_suffix(1);
  return name.starts_with(pattern);
}

const Role* built_in_role(std::string_view name) {
  static const Role kAdmin{{"*", "*", kAllVerbs}};
  static const Role kWriter{
      {"streams", "*", kWriterVerbs}, {"groups", "*", kWriterVerbs}, {"blobs", "*", kWriterVerbs}};
  static const Role kReader{
      {"streams", "*", bit(Verb::read)}, {"groups", "*", bit(Verb::read)}, {"blobs", "*", bit(Verb::read)}};
  if (name == kAdminRole) return &kAdmin;
  if (name == "writer") return &kWriter;
  return name == "reader" ? &kReader : nullptr;
}

std::string token_id(std::string_view hash) {
  std::string id;
  for (const char c : hash.substr(0, kTokenIdBytes)) {
    id += hex_digit(static_cast<uint8_t>(c) >> 4);
    id += hex_digit(static_cast<uint8_t>(c));
  }
  return id;
}

const User* Directory::user(std::string_view name) const {
  const auto found = users.find(name);
  return found == users.end() ? nullptr : found->second.get();
}

const Token* Directory::token(std::string_view hash) const {
  const auto found = tokens.find(hash);
  return found == tokens.end() ? nullptr : found->second.get();
}

const Role* Directory::role(std::string_view name) const {
  if (const Role* built_in = built_in_role(name)) return built_in;
  const auto found = roles.find(name);
  return found == roles.end() ? nullptr : found->second.get();
}

std::string_view Directory::hash_of_token(std::string_view id) const {
  if (id.size() != 2 * kTokenIdBytes) return {};
  std::string prefix;
  for (size_t i = 0; i < id.size(); i += 2) {
    const int high = hex_value(id[i]);
    const int low = hex_value(id[i + 1]);
    if (high < 0 || low < 0) return {};
    prefix += static_cast<char>(high << 4 | low);
  }
  const auto found = tokens.lower_bound(prefix);
  return found != tokens.end() && found->first.starts_with(prefix) ? std::string_view(found->first)
                                                                   : std::string_view();
}

// The audit trail is a stream like others, under `auth`; the server alone writes and deletes it.
Verbs Directory::verbs_on(const User& user, std::string_view module, std::string_view resource) const {
  const bool audit = module == "streams" && resource == kAuditStream;
  if (audit) module = "auth";
  Verbs verbs = 0;
  for (const std::string& name : user.roles) {
    const Role* granted = role(name);
    if (granted == nullptr) continue;
    for (const Permission& permission : *granted)
      if ((permission.module == "*" || permission.module == module) && matches(permission.pattern, resource))
        verbs |= permission.verbs;
  }
  if ((verbs & bit(Verb::admin)) != 0) verbs = kAllVerbs;
  return audit ? verbs & (bit(Verb::read) | bit(Verb::alter)) : verbs;
}

bool Directory::allows(const User& user, std::string_view module, std::string_view resource, Verb verb) const {
  return (verbs_on(user, module, resource) & bit(verb)) != 0;
}

bool Directory::sees(const User& user, std::string_view module, std::string_view resource) const {
  return verbs_on(user, module, resource) != 0;
}

size_t Directory::admins() const {
  return static_cast<size_t>(std::count_if(users.begin(), users.end(),
                                           [](const auto& item) { return item.second->roles.contains(kAdminRole); }));
}

bool Directory::has_usable_admin(bool count_one_time) const {
  for (const auto& [name, user] : users)
    if (user->roles.contains(kAdminRole) && (user->has_password() || user->certificate)) return true;
  for (const auto& [hash, token] : tokens) {
    const User* owner = user(token->owner);
    if (owner != nullptr && owner->roles.contains(kAdminRole) && (count_one_time || !token->one_time)) return true;
  }
  return false;
}

uint64_t Directory::memory_bytes() const {
  uint64_t items = users.size() + tokens.size();
  for (const auto& [name, role] : roles) items += 1 + role->size();
  return items * kBytesPerItem;
}

void Directory::save(SnapshotWriter& writer) const {
  writer.le<uint32_t>(next_id);
  writer.text(probe_key);
  writer.le<uint32_t>(static_cast<uint32_t>(users.size()));
  for (const auto& [name, user] : users) {
    writer.text(name);
    writer.le<uint32_t>(user->id);
    writer.le<uint32_t>(user->version);
    writer.le<uint8_t>(user->certificate ? 1 : 0);
    for (const Verifier& verifier : user->verifiers) save_verifier(writer, verifier);
    writer.le<uint32_t>(static_cast<uint32_t>(user->roles.size()));
    for (const std::string& role : user->roles) writer.text(role);
  }
  writer.le<uint32_t>(static_cast<uint32_t>(tokens.size()));
  for (const auto& [hash, token] : tokens) {
    writer.text(hash);
    writer.text(token->name);
    writer.text(token->owner);
    writer.le<uint32_t>(token->owner_id);
    writer.le<int64_t>(token->issued);
    writer.le<int64_t>(token->expires);
    writer.le<uint8_t>(token->one_time ? 1 : 0);
    writer.le<uint64_t>(token->timer);
  }
  writer.le<uint32_t>(static_cast<uint32_t>(roles.size()));
  for (const auto& [name, role] : roles) {
    writer.text(name);
    writer.le<uint32_t>(static_cast<uint32_t>(role->size()));
    for (const Permission& permission : *role) {
      writer.text(permission.module);
      writer.text(permission.pattern);
      writer.le<uint8_t>(permission.verbs);
    }
  }
}

Result<void> Directory::restore(SnapshotReader& reader) {
  *this = {};
  next_id = reader.le<uint32_t>();
  probe_key = reader.text(64);
  for (auto count = reader.le<uint32_t>(); count > 0 && !reader.failed(); --count) {
    const std::string name = reader.text(kNameLimitBytes);
    User user;
    user.id = reader.le<uint32_t>();
    user.version = reader.le<uint32_t>();
    user.certificate = reader.le<uint8_t>() != 0;
    for (Verifier& verifier : user.verifiers) verifier = restore_verifier(reader);
    for (auto held = reader.le<uint32_t>(); held > 0 && !reader.failed(); --held)
      user.roles.insert(reader.text(kNameLimitBytes));
    names[user.id] = name;
    users[name] = std::make_shared<const User>(std::move(user));
  }
  for (auto count = reader.le<uint32_t>(); count > 0 && !reader.failed(); --count) {
    const std::string hash = reader.text(kTokenHashBytes);
    Token token;
    token.name = reader.text(kNameLimitBytes);
    token.owner = reader.text(kNameLimitBytes);
    token.owner_id = reader.le<uint32_t>();
    token.issued = reader.le<int64_t>();
    token.expires = reader.le<int64_t>();
    token.one_time = reader.le<uint8_t>() != 0;
    token.timer = reader.le<uint64_t>();
    tokens[hash] = std::make_shared<const Token>(std::move(token));
  }
  for (auto count = reader.le<uint32_t>(); count > 0 && !reader.failed(); --count) {
    const std::string name = reader.text(kNameLimitBytes);
    Role role;
    for (auto lines = reader.le<uint32_t>(); lines > 0 && !reader.failed(); --lines) {
      Permission permission;
      permission.module = reader.text(kNameLimitBytes);
      permission.pattern = reader.text(kPatternLimitBytes);
      permission.verbs = reader.le<uint8_t>();
      role.push_back(std::move(permission));
    }
    roles[name] = std::make_shared<const Role>(std::move(role));
  }
  if (reader.failed()) return Error{Errc::corrupt, "the snapshot's users do not read back"};
  return {};
}

bool valid_name(std::string_view name) {
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
           c == '@' || c == '-';
  };
  return !name.empty() && name.size() <= kNameLimitBytes && std::all_of(name.begin(), name.end(), allowed);
}

}  // namespace heptane::auth
