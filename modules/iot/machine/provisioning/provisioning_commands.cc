// Templates, and what a claim asks: a certificate that is nobody's yet, then to be made the thing whose it becomes.

#include <algorithm>
#include <charconv>

#include "kernel/base/assert.h"
#include "kernel/shard/audit_port.h"
#include "modules/iot/machine/provisioning/provisioning_machine.h"

namespace heptane::iot::devices {

namespace {

void audit(const Command& command, std::string_view action, std::string_view on, std::string_view detail,
           Effects& effects) {
  auto* trail = dynamic_cast<AuditPort*>(&effects.enlist(machine_ids::kAuth));
  HEPTANE_ASSERT(trail != nullptr, "the machine of users keeps the audit trail");
  trail->audit_done(command, action, on, detail, effects);
}

// As it was logged; what was never logged is the default.
size_t pending_max(const Effects& effects) {
  const std::string_view text = effects.config(kMaxPending);
  int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const bool said = error == std::errc() && end == text.data() + text.size() && number > 0;
  return static_cast<size_t>(said ? std::min(number, kPendingCeiling) : kPendingDefault);
}

}  // namespace

void ProvisioningMachine::apply_put_template(const Command& command, Effects& effects) {
  const auto wanted = decode_template(command.payload);
  if (!wanted) return effects.refuse(Errc::invalid_argument, 0, "the command is no template");
  if (std::string wrong = wrong_template(*wanted); !wrong.empty())
    return effects.refuse(Errc::invalid_argument, 0, std::move(wrong));
  const auto found = templates_.find(wanted->name);
  if (found == templates_.end() && templates_.size() >= kTemplatesMax)
    return effects.refuse(Errc::overloaded, 0, "there are 100 templates already");
  if (found != templates_.end() && found->second == *wanted) return effects.unchanged(0);
  const int64_t is_new = found == templates_.end() ? 1 : 0;
  if (is_new == 0) template_bytes_ -= encode(found->second).size();
  template_bytes_ += command.payload.size();
  templates_.insert_or_assign(wanted->name, *wanted);
  audit(command, "provisioning.template.put", wanted->name, is_new == 1 ? "new" : "changed", effects);
  effects.reply(is_new);
}

void ProvisioningMachine::apply_drop_template(const Command& command, Effects& effects) {
  const auto found = templates_.find(as_text(command.payload));
  if (found == templates_.end()) return effects.refuse(Errc::not_found, 0, "there is no such template");
  template_bytes_ -= encode(found->second).size();
  audit(command, "provisioning.template.drop", found->first, "", effects);
  templates_.erase(found);
  effects.reply(0);
}

// Null: it is no claim's, or the claim does not count any more.
const CredentialRow* ProvisioningMachine::claim_of(const Command& command) const {
  if (command.principal.id < kFirstForeignPrincipal || !in_force(command.principal)) return nullptr;
  const CredentialRow* row = credentials_.find(command.principal.id & ~kFirstForeignPrincipal);
  return row->credential.is_claim() && row->credential.counts(command.time) ? row : nullptr;
}

const ProvisioningTemplate* ProvisioningMachine::template_of(const CredentialRow& claim, std::string_view name) const {
  const auto found = templates_.find(name);
  if (found == templates_.end() || !found->second.enabled) return nullptr;
  return claim.credential.templates.contains(name) ? &found->second : nullptr;
}

void ProvisioningMachine::apply_issue(const Command& command, Effects& effects) {
  const auto issue = decode_issue(command.payload);
  if (!issue) return effects.refuse(Errc::invalid_argument, 0, "the command is no certificate");
  const CredentialRow* claim = claim_of(command);
  if (claim == nullptr) return effects.refuse(Errc::unauthorised, 0, "a claim asks for certificates");
  if (pending_.has(issue->token_hash) || credentials_.by_hash(issue->hash) != nullptr)
    return effects.refuse(Errc::exists, 0, "this certificate or token is there already");
  pending_.sweep(command.time);
  pending_.make_room(claim->number, pending_max(effects), command.time);
  pending_.add(issue->token_hash,
               {issue->hash, claim->number, command.time + issue->lifetime, issue->certificate_ends});
  effects.reply(0);
}

// Nobody gets a thing that somebody has, nor one that was taken away from somebody, until an operator lets it go.
std::optional<Error> ProvisioningMachine::judge(const ProvisioningTemplate& by, const Thing& thing,
                                                const Registry& registry, LogTime now) const {
  const bool there = registry.has(thing.name);
  if (there && by.things == TemplateThings::make)
    return Error{Errc::exists, "there is a thing " + thing.name + " already", 0};
  if (!there && by.things == TemplateThings::registered)
    return Error{Errc::not_found, "there is no thing " + thing.name + ": it must be registered before", 0};
  const auto held = credentials_.of_thing(thing.name);
  if (std::any_of(held.begin(), held.end(), [now](const CredentialRow* row) { return row->credential.holds(now); }))
    return Error{Errc::exists, "the thing " + thing.name + " has a credential: revoke it and drop it first", 0};
  if (held.size() >= kCredentialsOfThing || credentials_.full())
    return Error{Errc::overloaded, "there are too many credentials: drop those that are revoked", 0};
  return std::nullopt;
}

void ProvisioningMachine::apply_provision(const Command& command, Effects& effects) {
  const auto asked = decode_provision(command.payload);
  if (!asked) return effects.refuse(Errc::invalid_argument, 0, "the command provisions nothing");
  const CredentialRow* claim = claim_of(command);
  const PendingCertificate* found = pending_.find(asked->token_hash, command.time);
  if (claim == nullptr || found == nullptr || found->claim != claim->number)
    return effects.refuse(Errc::unauthorised, 0, "the token is no certificate's of this claim, was used, or is over");
  const ProvisioningTemplate* by = template_of(*claim, asked->template_name);
  if (by == nullptr) return effects.refuse(Errc::not_found, 0, "there is no such template for this claim");
  const PendingCertificate pending = *found;
  if (credentials_.by_hash(pending.hash) != nullptr)
    return effects.refuse(Errc::exists, 0, "an operator made this certificate somebody's meanwhile");
  const Result<Thing> thing = thing_of(*by, asked->parameters, id_of_hash(pending.hash));
  if (!thing) return effects.refuse(thing.error().code, 0, thing.error().message);
  auto& devices = effects.port<DevicesMachine>(kDevicesMachineId);
  if (auto refused = judge(*by, *thing, devices.registry(), command.time))
    return effects.refuse(refused->code, 0, std::move(refused->message));
  if (is_users(thing->name, effects)) return effects.refuse(Errc::exists, 0, "there is a user " + thing->name);
  if (const Result<void> made = devices.provision(*thing, command, effects); !made)
    return effects.refuse(made.error().code, 0, made.error().message);
  Credential credential;
  credential.hash = pending.hash;
  credential.thing = thing->name;
  credential.roles = by->roles;
  credential.expires = pending.certificate_ends;
  credentials_.add(credential, command.time);
  pending_.remove(asked->token_hash);
  audit(command, "devices.provision", thing->name, "template " + by->name + ", certificate " + short_id(pending.hash),
        effects);
  effects.reply(encode(Provisioned{thing->name, by->configuration}).view());
}

void ProvisioningMachine::query_templates(const Query& query, Reply& reply) const {
  const auto wanted = decode_names_query(query.payload);
  if (!wanted) {
    reply.error = Errc::invalid_argument;
    reply.message = "the query names no template";
    return;
  }
  ByteWriter out;
  int64_t count = 0;
  auto at = wanted->alone ? templates_.find(wanted->after) : templates_.upper_bound(wanted->after);
  const size_t most = wanted->alone ? 1 : kTemplatesOfPage;
  for (; at != templates_.end() && static_cast<size_t>(count) < most; ++at, ++count) append_template(out, at->second);
  reply.payload = Buffer::take(out.release());
  reply.numbers = {count, !wanted->alone && at != templates_.end() ? 1 : 0};
}

void ProvisioningMachine::query_claims(const Query& query, Reply& reply) const {
  const auto wanted = decode_names_query(query.payload);
  if (!wanted) {
    reply.error = Errc::invalid_argument;
    reply.message = "the query names no claim";
    return;
  }
  ByteWriter out;
  int64_t count = 0;
  const auto& claims = credentials_.claims();
  auto at = wanted->alone ? claims.find(wanted->after) : claims.upper_bound(wanted->after);
  const size_t most = wanted->alone ? 1 : kClaimsOfPage;
  for (; at != claims.end() && static_cast<size_t>(count) < most; ++at, ++count)
    append_row(out, *credentials_.find(at->second));
  reply.payload = Buffer::take(out.release());
  reply.numbers = {count, !wanted->alone && at != claims.end() ? 1 : 0};
}

}  // namespace heptane::iot::devices
