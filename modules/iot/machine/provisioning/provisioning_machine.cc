#include "modules/iot/machine/provisioning/provisioning_machine.h"

#include "kernel/base/assert.h"
#include "kernel/shard/audit_port.h"
#include "kernel/shard/users_port.h"

namespace heptane::iot::devices {

namespace {

constexpr size_t kStoredTemplateBytesMax = 2 * kTemplateBytesMax;

void audit(const Command& command, std::string_view action, const Credential& on, std::string_view detail,
           Effects& effects) {
  auto* trail = dynamic_cast<AuditPort*>(&effects.enlist(machine_ids::kAuth));
  HEPTANE_ASSERT(trail != nullptr, "the machine of users keeps the audit trail");
  std::string what(kind_text(on.kind));
  what += ' ' + short_id(on.hash);
  what += ' ';
  what += detail;
  trail->audit_done(command, action, on.is_claim() ? on.claim : on.thing, what, effects);
}

void reply_row(Effects& effects, const CredentialRow& row) {
  ByteWriter out;
  append_row(out, row);
  effects.reply(out.view(), row.number);
}

}  // namespace

// Whoever proves to be the thing would have what is the user's, his durable sessions among it.
bool ProvisioningMachine::is_users(std::string_view thing, Effects& effects) {
  const auto* users = dynamic_cast<UsersPort*>(&effects.enlist(machine_ids::kAuth));
  HEPTANE_ASSERT(users != nullptr, "the machine of users knows who there is");
  return users->has_user(thing);
}

void ProvisioningMachine::apply(const Command& command, Effects& effects) {
  if (scopes_ > 0)
    return effects.refuse(Errc::unsupported, 0, "what is done to devices' credentials is a command of its own");
  switch (command.type) {
    case kAddCredential:
    case kAddAnyCredential: apply_add(command, effects); break;
    case kChangeCredential: apply_change(command, effects); break;
    case kDropCredential: apply_drop(command, effects); break;
    case kPutTemplate: apply_put_template(command, effects); break;
    case kDropTemplate: apply_drop_template(command, effects); break;
    case kIssueCertificate: apply_issue(command, effects); break;
    case kProvision: apply_provision(command, effects); break;
    default: effects.refuse(Errc::unsupported, 0, "the machine of provisioning has no such command");
  }
  count();
}

void ProvisioningMachine::apply_add(const Command& command, Effects& effects) {
  const auto credential = decode_credential(command.payload);
  if (!credential) return effects.refuse(Errc::invalid_argument, 0, "the command is no credential");
  if (std::string wrong = wrong_credential(*credential); !wrong.empty())
    return effects.refuse(Errc::invalid_argument, 0, std::move(wrong));
  const Registry& registry = effects.port<DevicesMachine>(kDevicesMachineId).registry();
  if (!credential->is_claim() && !registry.has(credential->thing))
    return effects.refuse(Errc::not_found, 0, "there is no thing " + credential->thing);
  if (!credential->is_claim() && command.type != kAddAnyCredential && is_users(credential->thing, effects))
    return effects.refuse(Errc::unauthorised, 0,
                          "there is a user " + credential->thing + ": its credentials need admin on auth:*");
  if (credentials_.by_hash(credential->hash) != nullptr)
    return effects.refuse(Errc::exists, 0, "this certificate or token is somebody's already");
  if (credential->is_claim() && credentials_.claims().contains(credential->claim))
    return effects.refuse(Errc::exists, 0, "there is a claim " + credential->claim);
  if (credential->is_claim() && credentials_.claims().size() >= kClaimsMax)
    return effects.refuse(Errc::overloaded, 0, "there are 256 claims already");
  if (credentials_.full()) return effects.refuse(Errc::overloaded, 0, "there are too many credentials");
  if (!credential->is_claim() && credentials_.of_thing(credential->thing).size() >= kCredentialsOfThing)
    return effects.refuse(Errc::overloaded, 0, "a thing has at most 10 credentials: drop those that are revoked");
  const CredentialRow& row = credentials_.add(*credential, command.time);
  audit(command, "devices.credential.add", row.credential, state_text(row.credential.state), effects);
  effects.reply(row.number);
}

void ProvisioningMachine::apply_change(const Command& command, Effects& effects) {
  const auto change = decode_change_credential(command.payload);
  if (!change) return effects.refuse(Errc::invalid_argument, 0, "the command is no change of a credential");
  const CredentialRow* row = credentials_.find(change->name);
  if (row == nullptr) return effects.refuse(Errc::not_found, 0, "there is no such credential");
  const CredentialState state = change->state.value_or(row->credential.state);
  const LogTime expires = change->expires.value_or(row->credential.expires);
  if (row->credential.state == CredentialState::revoked && state != CredentialState::revoked)
    return effects.refuse(Errc::refused, 0, "what is revoked stays revoked: add another credential");
  const CredentialRow& now = credentials_.change(row->number, state, expires, command.time);
  audit(command, "devices.credential.change", now.credential, state_text(state), effects);
  reply_row(effects, now);
}

void ProvisioningMachine::apply_drop(const Command& command, Effects& effects) {
  const auto name = decode_credential_name(command.payload);
  if (!name) return effects.refuse(Errc::invalid_argument, 0, "the command names no credential");
  const CredentialRow* row = credentials_.find(*name);
  if (row == nullptr) return effects.refuse(Errc::not_found, 0, "there is no such credential");
  const Credential& credential = row->credential;
  const bool over = credential.expires != 0 && credential.expires <= command.time;
  if (credential.state != CredentialState::revoked && !over)
    return effects.refuse(Errc::refused, 0, "the credential is not revoked: revoke it first");
  const int64_t number = row->number;
  audit(command, "devices.credential.drop", credential, state_text(credential.state), effects);
  credentials_.remove(row->number);
  effects.reply(number);
}

// The registry has it in the audit trail.
void ProvisioningMachine::thing_gone(std::string_view thing, const Command&, Effects&) {
  credentials_.remove_of_thing(thing);
  count();
}

bool ProvisioningMachine::in_force(const Principal& principal) const {
  const CredentialRow* row = credentials_.find(principal.id & ~kFirstForeignPrincipal);
  return row != nullptr && row->version == principal.version && row->credential.state == CredentialState::active;
}

std::string ProvisioningMachine::principal_name(const Principal& principal) const {
  const CredentialRow* row = credentials_.find(principal.id & ~kFirstForeignPrincipal);
  if (row == nullptr) return "device #" + std::to_string(principal.id & ~kFirstForeignPrincipal);
  return row->credential.is_claim() ? "claim " + row->credential.claim : "device " + row->credential.thing;
}

std::string ProvisioningMachine::holder_of(const Principal& principal) const {
  const CredentialRow* row = credentials_.find(principal.id & ~kFirstForeignPrincipal);
  return row == nullptr ? std::string() : row->credential.holder();
}

void ProvisioningMachine::query(const Query& query, Reply& reply) const {
  if (query.type == kQueryProof) return query_proof(query, reply);
  if (query.type == kQueryCredentials) return query_of_thing(query, reply);
  if (query.type == kQueryCredentialsOf) return query_of_things(query, reply);
  if (query.type == kQueryTemplates) return query_templates(query, reply);
  if (query.type == kQueryClaims) return query_claims(query, reply);
  reply.error = Errc::unsupported;
  reply.message = "the machine of provisioning has no such query";
}

void ProvisioningMachine::query_proof(const Query& query, Reply& reply) const {
  ByteReader in(query.payload);
  const uint8_t kind = in.u8();
  const CredentialRow* row = credentials_.by_hash(as_text(in.take(in.le<uint16_t>())));
  const auto now = in.le<LogTime>();
  if (!in.complete() || row == nullptr || static_cast<uint8_t>(row->credential.kind) != kind) return;
  if (!row->credential.counts(now)) return;
  ByteWriter out;
  append_row(out, *row);
  reply.payload = Buffer::take(out.release());
  reply.numbers = {1, 0};
}

void ProvisioningMachine::query_of_thing(const Query& query, Reply& reply) const {
  const auto rows = credentials_.of_thing(as_text(query.payload));
  ByteWriter out;
  for (const CredentialRow* row : rows) append_row(out, *row);
  reply.payload = Buffer::take(out.release());
  reply.numbers = {static_cast<int64_t>(rows.size()), 0};
}

void ProvisioningMachine::query_of_things(const Query& query, Reply& reply) const {
  ByteReader in(query.payload);
  ByteWriter out;
  for (size_t i = 0; i < kThingsAskedMax && in.remaining() > 0; ++i)
    for (const CredentialRow* row : credentials_.of_thing(as_text(in.take(in.le<uint16_t>())))) append_row(out, *row);
  if (!in.complete()) reply.error = Errc::invalid_argument;
  reply.payload = Buffer::take(out.release());
}

void ProvisioningMachine::save(SnapshotWriter& writer) const {
  credentials_.save(writer);
  pending_.save(writer);
  writer.le<uint32_t>(static_cast<uint32_t>(templates_.size()));
  for (const auto& [name, of] : templates_) writer.blob(encode(of).view());
}

Result<void> ProvisioningMachine::restore(SnapshotReader& reader) {
  make_fresh();
  HEPTANE_TRY(credentials_.restore(reader));
  HEPTANE_TRY(pending_.restore(reader));
  const auto templates = reader.le<uint32_t>();
  for (uint32_t i = 0; i < templates && !reader.failed(); ++i) {
    const std::string bytes = reader.text(kStoredTemplateBytesMax);
    auto of = decode_template(as_bytes(bytes));
    if (!of || !templates_.emplace(of->name, *of).second) reader.fail();
    template_bytes_ += bytes.size();
  }
  if (reader.failed()) return Error{Errc::corrupt, "the templates of provisioning are cut off", 0};
  count();
  return {};
}

void ProvisioningMachine::make_fresh() {
  credentials_ = {};
  pending_ = {};
  templates_.clear();
  template_bytes_ = 0;
  count();
}

}  // namespace heptane::iot::devices
