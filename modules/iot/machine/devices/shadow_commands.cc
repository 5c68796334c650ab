// Shadows as commands (shadow_api.h): a request is judged by its thing and its shadow, answered into `iot.shadows` and announced to
// the broker, whose durable sessions get it like any message.

#include "kernel/streams/streams_machine.h"
#include "modules/iot/machine/broker_machine.h"
#include "modules/iot/machine/devices/devices_machine.h"
#include "modules/iot/machine/devices/shadow_api.h"

namespace heptane::iot::devices {

namespace {

constexpr LogTime kNsPerSecond = 1'000'000'000;
constexpr size_t kAnswersMax = 4;
constexpr size_t kAnswerBytesMax = size_t{768} << 10;  // of one request, all together

}  // namespace

std::optional<PartitionId> DevicesMachine::shadows_view(const Command& command, Effects& effects) {
  auto& streams = effects.port<streams::StreamsMachine>(machine_ids::kStreams);
  const streams::StreamConfig config{kShadowsRetentionMs, kShadowsRetentionBytes};
  return streams.ensure_view(kShadowsStream, kShadowsView, command.sequence, config);
}

DevicesMachine::ToldShadows DevicesMachine::keep(const ShadowChanges& changes, PartitionId partition,
                                                 const Command& command, Effects& effects) {
  const Effects::Turn turn(effects, kDevicesMachineId);
  for (const auto& [key, shadow] : changes.changed()) keep(key.first, key.second, shadow, command.time, effects);
  ToldShadows told{{partition, {}, Buffer::copy_of(changes.messages()), {}}, effects.next_offset(partition)};
  effects.emit_view(partition, changes.answers());
  effects.log_result(told.reply.messages.view());
  told.reply.statuses = effects.port<BrokerMachine>(kBrokerMachineId)
                            .announce(told.reply.messages.view(), {partition, told.first}, command, effects);
  return told;
}

void DevicesMachine::apply_shadow(const Command& command, Effects& effects) {
  const auto request = decode_shadow_request(command.payload);
  if (!request) return effects.refuse(Errc::invalid_argument, 0, "the command is no request of a shadow");
  const auto& broker = effects.port<BrokerMachine>(kBrokerMachineId);
  if (!broker.has_room_to_announce() || !effects.room_for(kAnswersMax, kAnswerBytesMax))
    return effects.refuse(Errc::overloaded, 0, "too many messages are on their way to durable sessions");
  const auto partition = shadows_view(command, effects);
  if (!partition) return effects.refuse(Errc::exists, 0, kShadowsTaken);
  ShadowChanges changes(registry_, shadows_);
  const ShadowOutcome outcome = changes.judge(*request, command.time / kNsPerSecond);
  changes.take(*request, outcome);
  const ToldShadows told = keep(changes, *partition, command, effects);
  effects.reply(encode(told.reply).view(), outcome.code, told.first);
}

// A grave is forgotten when its time is over, unless there is another shadow by then.
void DevicesMachine::keep(const std::string& thing, const std::string& name, const Shadow& shadow, LogTime now,
                          Effects& effects) {
  TimerId timer = 0;
  if (shadow.deleted) {
    ByteWriter payload;
    append_text(payload, thing);
    append_text(payload, name);
    payload.le<uint64_t>(shadow.version);
    timer = effects.arm(now + kGraveSeconds * kNsPerSecond, kForgetShadow, payload.view());
  }
  const TimerId before = shadows_.put(thing, name, shadow, timer);
  if (before != 0) effects.cancel(before);
}

void DevicesMachine::apply_forget_shadow(const Command& command, Effects& effects) {
  ByteReader in(command.payload);
  const std::string_view thing = read_text(in, kNameLimitBytes);
  const std::string_view name = read_text(in, kShadowNameBytesMax);
  const auto version = in.le<uint64_t>();
  if (!in.complete()) return effects.refuse(Errc::invalid_argument, 0, "the command names no shadow");
  const Shadow shadow = shadows_.find(thing, name);
  if (shadow.deleted && shadow.version == version) shadows_.forget(thing, name);
  effects.reply(0);
}

void DevicesMachine::query_shadow(const Query& query, Reply& reply) const {
  ByteReader in(query.payload);
  ShadowRequest request;
  request.thing = read_text(in, kNameLimitBytes);
  request.name = read_text(in, kShadowNameBytesMax);
  const auto now_s = in.le<int64_t>();
  if (!in.complete()) {
    reply.error = Errc::invalid_argument;
    reply.message = "the query names no shadow";
    return;
  }
  const ShadowOutcome outcome = ShadowChanges(registry_, shadows_).judge(request, now_s);
  reply.payload = Buffer::copy_of(outcome.answers.back().payload);
  reply.numbers = {outcome.code, 0};
}

void DevicesMachine::query_shadow_names(const Query& query, Reply& reply) const {
  if (!registry_.has(as_text(query.payload))) {
    reply.error = Errc::not_found;
    reply.message = "there is no such thing";
    return;
  }
  int64_t classic = 0;
  int64_t count = 0;
  ByteWriter out;
  for (const std::string& name : shadows_.names(as_text(query.payload))) {
    if (name.empty()) {
      classic = 1;
      continue;
    }
    append_text(out, name);
    ++count;
  }
  reply.payload = Buffer::take(out.release());
  reply.numbers = {count, classic};
}

}  // namespace heptane::iot::devices
