#include "kernel/auth/auth_machine.h"

#include <algorithm>

#include "kernel/streams/streams_machine.h"

namespace heptane::auth {

namespace {

constexpr LogTime kNsPerMs = 1'000'000;
constexpr const char* kBadName = "a name is 1 to 64 of a-z A-Z 0-9 . _ @ -";

void append_quoted(std::string& out, std::string_view text) {
  static constexpr char kDigits[] = "0123456789abcdef";
  out += '"';
  for (const char c : text) {
    const auto byte = static_cast<uint8_t>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (byte < 0x20 || byte >= 0x7f) {
      out += "\\u00";
      out += kDigits[byte >> 4];
      out += kDigits[byte & 15];
    } else {
      out += c;
    }
  }
  out += '"';
}

void append_member(std::string& out, std::string_view name, std::string_view value) {
  if (out.size() > 1) out += ',';
  append_quoted(out, name);
  out += ':';
  append_quoted(out, value);
}

void append_member(std::string& out, std::string_view name, int64_t value) {
  if (out.size() > 1) out += ',';
  append_quoted(out, name);
  out += ':' + std::to_string(value);
}

bool valid_permission(const Permission& permission) {
  static constexpr std::string_view kModules[] = {"*",      "streams", "groups", "cluster", "auth",
                                                  "ledger", "admin",   "blobs",  "mqtt",    "exchange"};
  if (std::find(std::begin(kModules), std::end(kModules), permission.module) == std::end(kModules)) return false;
  const std::string_view pattern = permission.pattern;
  if (pattern.empty() || pattern.size() > kPatternLimitBytes) return false;
  if (pattern.find('*') < pattern.size() - 1) return false;
  return permission.verbs != 0 && permission.verbs <= kAllVerbs;
}

std::string no_user(std::string_view name) { return "there is no user " + std::string(name); }
std::string no_role(std::string_view name) { return "there is no role " + std::string(name); }

}  // namespace

void AuthMachine::apply(const Command& command, Effects& effects) {
  switch (command.type) {
    case kCreateUser: create_user(command, effects); break;
    case kAlterUser: alter_user(command, effects); break;
    case kDeleteUser: delete_user(command, effects); break;
    case kSetPassword: set_password(command, effects); break;
    case kIssueToken: issue_token(command, effects); break;
    case kRevokeToken:
    case kExpireToken: revoke_token(command, effects); break;
    case kCreateRole: create_role(command, effects); break;
    case kDeleteRole: delete_role(command, effects); break;
    case kGrant: grant(command, effects); break;
    case kRevoke: revoke(command, effects); break;
    case kBootstrap: bootstrap(command, effects); break;
    case kReport: report(command, effects); break;
    case kNote: note(command, effects); break;
    default: return effects.refuse(Errc::unsupported, 0, "there is no such command about users");
  }
  if (dirty_) stage();
}

void AuthMachine::query(const Query& query, Reply& reply) const {
  (void)query;
  reply.error = Errc::unsupported;
  reply.message = "users are asked for at the admin listener";
}

// Users.

void AuthMachine::create_user(const Command& command, Effects& effects) {
  const Result<CreateUser> create = decode_create_user(command.payload);
  if (!create) return effects.refuse(create.error().code, 0, create.error().message);
  if (!valid_name(create->name)) return effects.refuse(Errc::invalid_argument, 0, kBadName);
  if (create->name == "local" || create->name == "token")
    return effects.refuse(Errc::invalid_argument, 0, "the names local and token have a meaning of their own");
  if (create->verifiers[0].exists() && !valid_verifiers(create->verifiers))
    return effects.refuse(Errc::invalid_argument, 0, "the password's verifiers are malformed");
  if (state_.user(create->name) != nullptr) return effects.refuse(Errc::exists, 0, "there is a user of that name");
  if (state_.users.size() >= kUsersLimit) return effects.refuse(Errc::overloaded, 0, "there are 4096 users already");
  if (create->roles.size() > kRolesOfUserLimit)
    return effects.refuse(Errc::overloaded, 0, "a user has at most 16 roles");
  User user;
  for (const std::string_view role : create->roles) {
    if (state_.role(role) == nullptr) return effects.refuse(Errc::not_found, 0, no_role(role));
    user.roles.emplace(role);
  }
  Directory& state = changed(command);
  user.id = state.next_id++;
  user.version = 1;
  user.certificate = create->certificate;
  if (create->verifiers[0].exists()) user.verifiers = create->verifiers;
  const bool has_credential = user.has_password() || user.certificate;
  const int64_t id = user.id;
  std::string roles;
  for (const std::string& role : user.roles) roles += (roles.empty() ? "roles " : ",") + role;
  put_user(state, create->name, std::move(user));
  if (has_credential) end_one_time_tokens(state, create->name, effects);
  audit(command, "user.create", create->name, effects, roles);
  effects.reply(id, 1);
}

void AuthMachine::alter_user(const Command& command, Effects& effects) {
  const Result<AlterUser> alter = decode_alter_user(command.payload);
  if (!alter) return effects.refuse(alter.error().code, 0, alter.error().message);
  const User* before = state_.user(alter->name);
  if (before == nullptr) return effects.refuse(Errc::not_found, 0, no_user(alter->name));
  User user = *before;
  user.certificate = alter->certificate;
  ++user.version;
  const int64_t id = user.id;
  const int64_t version = user.version;
  put_user(changed(command), alter->name, std::move(user));
  audit(command, "user.alter", alter->name, effects, alter->certificate ? "certificate on" : "certificate off");
  effects.reply(id, version);
}

void AuthMachine::delete_user(const Command& command, Effects& effects) {
  const Result<Named> target = decode_named(command.payload);
  if (!target) return effects.refuse(target.error().code, 0, target.error().message);
  const User* user = state_.user(target->name);
  if (user == nullptr) return effects.refuse(Errc::not_found, 0, no_user(target->name));
  if (is_last_admin(target->name))
    return effects.refuse(Errc::refused, 0, "the last user with the role admin stays: grant it to another one first");
  Directory& state = changed(command);
  audit(command, "user.delete", target->name, effects);
  drop_tokens_of(state, target->name, effects);
  state.names.erase(state.user(target->name)->id);
  state.users.erase(state.users.find(target->name));
  effects.reply(0);
}

void AuthMachine::set_password(const Command& command, Effects& effects) {
  const Result<SetPassword> set = decode_set_password(command.payload);
  if (!set) return effects.refuse(set.error().code, 0, set.error().message);
  const User* before = state_.user(set->name);
  if (before == nullptr) return effects.refuse(Errc::not_found, 0, no_user(set->name));
  if (!valid_verifiers(set->verifiers))
    return effects.refuse(Errc::invalid_argument, 0, "the password's verifiers are malformed");
  User user = *before;
  user.verifiers = set->verifiers;
  ++user.version;
  const int64_t id = user.id;
  const int64_t version = user.version;
  Directory& state = changed(command);
  put_user(state, set->name, std::move(user));
  end_one_time_tokens(state, set->name, effects);
  audit(command, "user.password", set->name, effects);
  effects.reply(id, version);
}

// Tokens.

void AuthMachine::issue_token(const Command& command, Effects& effects) {
  const Result<IssueToken> issue = decode_issue_token(command.payload);
  if (!issue) return effects.refuse(issue.error().code, 0, issue.error().message);
  const User* owner = state_.user(issue->owner);
  if (owner == nullptr) return effects.refuse(Errc::not_found, 0, no_user(issue->owner));
  if (issue->hash.size() != kTokenHashBytes || issue->lifetime_ns < 0 || !valid_name(issue->name))
    return effects.refuse(Errc::invalid_argument, 0, kBadName);
  if (!state_.hash_of_token(token_id(issue->hash)).empty())
    return effects.refuse(Errc::exists, 0, "there is such a token");
  if (state_.tokens.size() >= kTokensLimit) return effects.refuse(Errc::overloaded, 0, "there are 8192 tokens already");
  Token token;
  token.name = issue->name;
  token.owner = issue->owner;
  token.owner_id = owner->id;
  token.issued = command.time;
  Directory& state = changed(command);
  end_one_time_tokens(state, issue->owner, effects);
  put_token(state, issue->hash, std::move(token), issue->lifetime_ns, effects);
  audit(command, "token.create", token_id(issue->hash), effects, "of " + std::string(issue->owner));
  effects.reply(state.token(issue->hash)->expires);
}

void AuthMachine::revoke_token(const Command& command, Effects& effects) {
  const Result<Named> target = decode_named(command.payload);
  if (!target) return effects.refuse(target.error().code, 0, target.error().message);
  const std::string hash(state_.hash_of_token(target->name));
  if (hash.empty()) return effects.refuse(Errc::not_found, 0, "there is no token " + std::string(target->name));
  const std::string owner = state_.token(hash)->owner;
  drop_token(changed(command), hash, effects);
  audit(command, command.type == kExpireToken ? "token.expire" : "token.revoke", target->name, effects, "of " + owner);
  effects.reply(0);
}

// Roles.

void AuthMachine::create_role(const Command& command, Effects& effects) {
  const Result<CreateRole> create = decode_create_role(command.payload);
  if (!create) return effects.refuse(create.error().code, 0, create.error().message);
  if (!valid_name(create->name)) return effects.refuse(Errc::invalid_argument, 0, kBadName);
  if (create->permissions.empty() || create->permissions.size() > kPermissionsLimit)
    return effects.refuse(Errc::invalid_argument, 0, "a role has 1 to 64 permissions");
  if (!std::all_of(create->permissions.begin(), create->permissions.end(), valid_permission))
    return effects.refuse(
        Errc::invalid_argument, 0,
        "a permission has a module (streams, groups, blobs, cluster, auth, ledger, admin or *), a pattern of 1 to "
        "255 bytes with a * at most at its end, and verbs");
  if (state_.role(create->name) != nullptr) return effects.refuse(Errc::exists, 0, "there is a role of that name");
  if (state_.roles.size() >= kRolesLimit) return effects.refuse(Errc::overloaded, 0, "there are 256 roles already");
  std::string detail;
  for (const Permission& permission : create->permissions)
    detail += (detail.empty() ? "" : "; ") + permission.module + ':' + permission.pattern + ' ' +
              verbs_text(permission.verbs);
  changed(command).roles[std::string(create->name)] = std::make_shared<const Role>(create->permissions);
  audit(command, "role.create", create->name, effects, detail);
  effects.reply(0);
}

void AuthMachine::delete_role(const Command& command, Effects& effects) {
  const Result<Named> target = decode_named(command.payload);
  if (!target) return effects.refuse(target.error().code, 0, target.error().message);
  if (built_in_role(target->name) != nullptr) return effects.refuse(Errc::refused, 0, "a built-in role stays");
  const auto found = state_.roles.find(target->name);
  if (found == state_.roles.end()) return effects.refuse(Errc::not_found, 0, no_role(target->name));
  for (const auto& [name, user] : state_.users)
    if (user->roles.contains(target->name))
      return effects.refuse(Errc::refused, 0, "the user " + name + " has this role: revoke it first");
  Directory& state = changed(command);
  state.roles.erase(state.roles.find(target->name));
  audit(command, "role.delete", target->name, effects);
  effects.reply(0);
}

void AuthMachine::grant(const Command& command, Effects& effects) {
  const Result<Grant> grant = decode_grant(command.payload);
  if (!grant) return effects.refuse(grant.error().code, 0, grant.error().message);
  const User* before = state_.user(grant->user);
  if (before == nullptr) return effects.refuse(Errc::not_found, 0, no_user(grant->user));
  if (state_.role(grant->role) == nullptr) return effects.refuse(Errc::not_found, 0, no_role(grant->role));
  if (before->roles.contains(grant->role)) return effects.refuse(Errc::exists, 0, "the user has this role");
  if (before->roles.size() >= kRolesOfUserLimit)
    return effects.refuse(Errc::overloaded, 0, "a user has at most 16 roles");
  User user = *before;
  user.roles.emplace(grant->role);
  put_user(changed(command), grant->user, std::move(user));
  audit(command, "role.grant", grant->user, effects, grant->role);
  effects.reply(0);
}

void AuthMachine::revoke(const Command& command, Effects& effects) {
  const Result<Grant> revoke = decode_grant(command.payload);
  if (!revoke) return effects.refuse(revoke.error().code, 0, revoke.error().message);
  const User* before = state_.user(revoke->user);
  if (before == nullptr) return effects.refuse(Errc::not_found, 0, no_user(revoke->user));
  if (!before->roles.contains(revoke->role))
    return effects.refuse(Errc::not_found, 0, "the user does not have this role");
  if (revoke->role == kAdminRole && is_last_admin(revoke->user))
    return effects.refuse(Errc::refused, 0,
                          "the last user with the role admin keeps it: grant it to another one first");
  User user = *before;
  user.roles.erase(user.roles.find(revoke->role));
  put_user(changed(command), revoke->user, std::move(user));
  audit(command, "role.revoke", revoke->user, effects, revoke->role);
  effects.reply(0);
}

// The first start, and one after the only way in was never used.
void AuthMachine::bootstrap(const Command& command, Effects& effects) {
  const Result<Bootstrap> boot = decode_bootstrap(command.payload);
  if (!boot) return effects.refuse(boot.error().code, 0, boot.error().message);
  if (!valid_name(boot->user) || boot->hash.size() != kTokenHashBytes || boot->lifetime_ns <= 0 ||
      boot->probe_key.size() != kTokenHashBytes)
    return effects.refuse(Errc::invalid_argument, 0, "the first administrator's token is malformed");
  if (state_.has_usable_admin(false)) return effects.refuse(Errc::exists, 0, "there is an administrator");
  Directory& state = changed(command);
  if (state.probe_key.empty()) state.probe_key = boot->probe_key;
  User user;
  if (const User* before = state.user(boot->user)) {
    user = *before;
  } else {
    user.id = state.next_id++;
    user.version = 1;
  }
  user.roles.emplace(kAdminRole);
  Token token;
  token.name = "one-time";
  token.owner = boot->user;
  token.owner_id = user.id;
  token.issued = command.time;
  token.one_time = true;
  put_user(state, boot->user, std::move(user));
  end_one_time_tokens(state, boot->user, effects);
  put_token(state, boot->hash, std::move(token), boot->lifetime_ns, effects);
  audit(command, "bootstrap", boot->user, effects, "one-time token " + token_id(boot->hash));
  effects.reply(0);
}

void AuthMachine::report(const Command& command, Effects& effects) {
  const Result<Report> report = decode_report(command.payload);
  if (!report) return effects.refuse(report.error().code, 0, report.error().message);
  if (command.principal.id != kLocalId)
    return effects.refuse(Errc::unauthorised, 0, "the server alone reports what it refused");
  for (const ReportRow& row : report->rows) {
    std::string json = "{";
    append_member(json, "action", row.incident == Incident::denied ? "request" : "authenticate");
    append_member(json, "by", row.who);
    append_member(json, "from", row.from);
    append_member(json, "on", row.what);
    append_member(json, "outcome", row.incident == Incident::denied ? "denied" : "failed");
    append_member(json, "count", static_cast<int64_t>(row.count));
    append_member(json, "time_ms", command.time / kNsPerMs);
    emit(command, row.who, json + '}', effects);
  }
  if (report->others > 0) {
    std::string json = "{";
    append_member(json, "action", "others");
    append_member(json, "outcome", "denied");
    append_member(json, "count", static_cast<int64_t>(report->others));
    append_member(json, "time_ms", command.time / kNsPerMs);
    emit(command, "", json + '}', effects);
  }
  effects.reply(static_cast<int64_t>(report->rows.size()));
}

void AuthMachine::note(const Command& command, Effects& effects) {
  const Result<Note> note = decode_note(command.payload);
  if (!note) return effects.refuse(note.error().code, 0, note.error().message);
  if (!scopes_.empty()) return effects.refuse(Errc::unsupported, 0, "the server alone notes what it did");
  audit(command, note->action, note->on, effects, note->detail, note->outcome);
  effects.reply(0);
}

// What the commands share.

Directory& AuthMachine::changed(const Command& command) {
  if (!scopes_.empty() && !scopes_.back()) scopes_.back() = state_;
  last_change_ = command.sequence;
  dirty_ = true;
  return state_;
}

void AuthMachine::put_user(Directory& state, std::string_view name, User user) {
  state.names[user.id] = name;
  state.users[std::string(name)] = std::make_shared<const User>(std::move(user));
}

void AuthMachine::put_token(Directory& state, std::string_view hash, Token token, LogTime lifetime_ns,
                            Effects& effects) {
  LogTime expires = 0;
  if (lifetime_ns > 0 && !__builtin_add_overflow(token.issued, lifetime_ns, &expires)) {
    const std::string id = token_id(hash);
    const Buffer payload = encode(Named{id});
    token.expires = expires;
    token.timer = effects.arm(expires, kExpireToken, payload.view());
  }
  state.tokens[std::string(hash)] = std::make_shared<const Token>(std::move(token));
}

// By value: the name may be the map's own.
void AuthMachine::drop_token(Directory& state, std::string hash, Effects& effects) {
  const auto found = state.tokens.find(hash);
  if (found->second->timer != 0) effects.cancel(found->second->timer);
  state.tokens.erase(found);
}

void AuthMachine::drop_tokens_of(Directory& state, std::string_view owner, Effects& effects) {
  std::vector<std::string> gone;
  for (const auto& [hash, token] : state.tokens)
    if (token->owner == owner) gone.push_back(hash);
  for (const std::string& hash : gone) drop_token(state, hash, effects);
}

void AuthMachine::end_one_time_tokens(Directory& state, std::string_view owner, Effects& effects) {
  if (!state.user(owner)->roles.contains(kAdminRole)) return;
  std::vector<std::string> gone;
  for (const auto& [hash, token] : state.tokens)
    if (token->one_time) gone.push_back(hash);
  for (const std::string& hash : gone) drop_token(state, hash, effects);
}

bool AuthMachine::is_last_admin(std::string_view user) const {
  return state_.admins() == 1 && state_.user(user)->roles.contains(kAdminRole);
}

bool AuthMachine::in_force(const Principal& principal) const {
  if (principal.id == kLocalId) return true;
  if (principal.id >= kFirstForeignPrincipal) return others_ != nullptr && others_->in_force(principal);
  const auto name = state_.names.find(principal.id);
  return name != state_.names.end() && state_.user(name->second)->version == principal.version;
}

std::string AuthMachine::holder_of(const Principal& principal) const {
  if (principal.id >= kFirstForeignPrincipal && others_ != nullptr) return others_->holder_of(principal);
  const auto name = state_.names.find(principal.id);
  return name == state_.names.end() ? std::string() : name->second;
}

std::string AuthMachine::who(const Principal& principal) const {
  if (principal.id == kLocalId) return "local";
  if (principal.id >= kFirstForeignPrincipal && others_ != nullptr) return others_->principal_name(principal);
  const auto name = state_.names.find(principal.id);
  return name == state_.names.end() ? "#" + std::to_string(principal.id) : name->second;
}

void AuthMachine::audit(const Command& command, std::string_view action, std::string_view on, Effects& effects,
                        std::string_view detail, std::string_view outcome) {
  const std::string by = who(command.principal);
  std::string json = "{";
  append_member(json, "action", action);
  append_member(json, "by", by);
  append_member(json, "on", on);
  if (!detail.empty()) append_member(json, "detail", detail);
  append_member(json, "outcome", outcome);
  append_member(json, "time_ms", command.time / kNsPerMs);
  emit(command, by, json + '}', effects);
}

void AuthMachine::audit_denied(const Command& command, std::string_view on, std::string_view detail, uint64_t count,
                               Effects& effects) {
  const std::string by = who(command.principal);
  std::string json = "{";
  append_member(json, "action", "request");
  append_member(json, "by", by);
  append_member(json, "on", on);
  append_member(json, "detail", detail);
  append_member(json, "outcome", "denied");
  append_member(json, "count", static_cast<int64_t>(count));
  append_member(json, "time_ms", command.time / kNsPerMs);
  emit(command, by, json + '}', effects);
}

void AuthMachine::emit(const Command& command, std::string_view by, const std::string& json, Effects& effects) {
  auto& streams = effects.port<streams::StreamsMachine>(machine_ids::kStreams);
  effects.emit(Event{streams.ensure_stream(kAuditStream, command.sequence), as_bytes(by), true, as_bytes(json)});
}

// Scopes.

void AuthMachine::close_scope(ScopeOutcome outcome) {
  std::optional<Directory> before = std::move(scopes_.back());
  scopes_.pop_back();
  if (!before) return;
  if (outcome == ScopeOutcome::roll_back) {
    state_ = std::move(*before);
    stage();
  } else if (!scopes_.empty() && !scopes_.back()) {
    scopes_.back() = std::move(before);
  }
}

void AuthMachine::stage() {
  dirty_ = false;
  if (store_ != nullptr) store_->stage(last_change_, std::make_shared<const Directory>(state_));
}

}  // namespace heptane::auth
