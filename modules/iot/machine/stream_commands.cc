// Streams over topic filters as commands: declared, changed, dropped. Each is an event of the audit trail.

#include "kernel/shard/audit_port.h"
#include "kernel/streams/streams_machine.h"
#include "modules/iot/machine/broker_machine.h"

namespace heptane::iot {

namespace {

constexpr size_t kAuditBytes = 512;

std::string retention_text(int64_t said) { return said == kForEver ? "for ever" : std::to_string(said); }

streams::StreamConfig config_of(const StreamDeclaration& said, const Effects& effects) {
  streams::StreamConfig config =
      streams::StreamsMachine::with_defaults({said.retention_ms, said.retention_bytes}, effects);
  if (said.retention_ms == kForEver) config.retention_ms = -1;
  if (said.retention_bytes == kForEver) config.retention_bytes = -1;
  return config;
}

std::string detail_of(const StreamDeclaration& declaration) {
  std::string text = declaration.filter + ", partitions " + std::to_string(declaration.partitions);
  if (declaration.retention_ms != -1) text += ", retention_ms " + retention_text(declaration.retention_ms);
  if (declaration.retention_bytes != -1) text += ", retention_bytes " + retention_text(declaration.retention_bytes);
  if (declaration.qos0) text += ", qos0";
  if (declaration.publish) text += ", publish";
  if (declaration.relaxed) text += ", relaxed";
  return text;
}

void audit(const Command& command, std::string_view action, std::string_view on, const std::string& detail,
           Effects& effects) {
  auto* trail = dynamic_cast<AuditPort*>(&effects.enlist(machine_ids::kAuth));
  HEPTANE_ASSERT(trail != nullptr, "the machine of users keeps the audit trail");
  trail->audit_done(command, action, on, detail, effects);
}

// A list that is too long for an event of the audit trail is nothing that can be declared.
bool room_to_audit(const std::string& name, const std::string& detail, const Effects& effects) {
  return effects.room_for(1, kAuditBytes + name.size() + detail.size());
}

}  // namespace

void BrokerMachine::apply_streams(const Command& command, Effects& effects) {
  if (!scopes_.empty())
    return effects.refuse(Errc::unsupported, 0, "a stream over a topic filter is declared by a command of its own");
  if (command.type == kDropStream) return apply_drop_stream(command, effects);
  apply_declare_stream(command, effects);
}

void BrokerMachine::apply_declare_stream(const Command& command, Effects& effects) {
  const std::optional<DeclareStream> declare = decode_declare(command.payload);
  if (!declare) return effects.refuse(Errc::invalid_argument, 0, "the command is no declaration of a stream");
  const StreamDeclaration* said = &declare->stream;
  const std::string wrong = wrong_declaration(*said);
  if (!wrong.empty()) return effects.refuse(Errc::invalid_argument, 0, wrong);
  if (version_ < kLogicReturns && said->publish && said->partitions != 1)
    return effects.refuse(Errc::invalid_argument, 0, "a stream with publish = true has one partition");
  if (version_ < kLogicRelaxed && said->relaxed)
    return effects.refuse(Errc::invalid_argument, 0,
                          "relaxed streams need the broker's logic 6: heptane upgrade activate");
  if (!room_to_audit(said->name, detail_of(*said), effects))
    return effects.refuse(Errc::overloaded, 0, "there is no room for the audit trail");
  const DeclaredStream* there = declared_.find(said->name);
  if (there != nullptr) return change_stream(*there, *declare, command, effects);
  if (declared_.size() >= kDeclaredMax || declared_.partitions() + said->partitions > kAllPartitionsMax)
    return effects.refuse(Errc::refused, 0,
                          "at most 256 streams over topic filters, with 512 partitions, can be declared");
  auto& streams = effects.port<streams::StreamsMachine>(machine_ids::kStreams);
  const uint16_t first_view = declared_.free_views(said->partitions);
  const streams::StreamConfig config = config_of(*said, effects);
  auto partitions =
      streams.ensure_views(said->name, {kBrokerMachineId, first_view}, said->partitions, command.sequence, config);
  if (!partitions)
    return effects.refuse(
        Errc::exists, 0,
        "there is a stream " + said->name +
            " already, with records or another number of partitions: delete it, or choose another name");
  streams.configure_view(said->name, {kBrokerMachineId, first_view}, config);
  declared_.add({*said, first_view, std::move(*partitions)});
  audit(command, "mqtt.stream.declare", said->name, detail_of(*said), effects);
  effects.reply(declared_.list().view(), 1);
}

void BrokerMachine::change_stream(const DeclaredStream& there, const DeclareStream& declare, const Command& command,
                                  Effects& effects) {
  const StreamDeclaration& said = declare.stream;
  if (there.declaration == said) {
    effects.reply(declared_.list().view(), 0);
    return effects.unchanged(0);
  }
  if (!declare.may_change)
    return effects.refuse(Errc::unauthorised, 0,
                          "the stream " + said.name + " is declared otherwise, and to change it needs alter on it");
  if (there.declaration.partitions != said.partitions)
    return effects.refuse(Errc::invalid_argument, 0,
                          "the stream " + said.name + " has " + std::to_string(there.declaration.partitions) +
                              " partitions for as long as it is there: drop it first");
  const bool kept_otherwise =
      there.declaration.retention_ms != said.retention_ms || there.declaration.retention_bytes != said.retention_bytes;
  if (kept_otherwise) {
    auto& streams = effects.port<streams::StreamsMachine>(machine_ids::kStreams);
    streams.configure_view(said.name, {kBrokerMachineId, there.first_view}, config_of(said, effects));
  }
  declared_.change(said);
  audit(command, "mqtt.stream.change", said.name, detail_of(said), effects);
  effects.reply(declared_.list().view(), 2);
}

void BrokerMachine::apply_drop_stream(const Command& command, Effects& effects) {
  const std::string name(as_text(command.payload));
  const DeclaredStream* there = declared_.find(name);
  if (there == nullptr)
    return effects.refuse(Errc::not_found, 0, "no stream of that name is declared over a topic filter");
  const std::string detail = detail_of(there->declaration);
  if (!room_to_audit(name, detail, effects))
    return effects.refuse(Errc::overloaded, 0, "there is no room for the audit trail");
  auto& streams = effects.port<streams::StreamsMachine>(machine_ids::kStreams);
  streams.drop_view(name, {kBrokerMachineId, there->first_view}, command.sequence);
  declared_.remove(name);
  audit(command, "mqtt.stream.drop", name, detail, effects);
  effects.reply(declared_.list().view(), 1);
}

}  // namespace heptane::iot
