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

Buffer messages_of(const ShadowOutcome& outcome) {
  ByteWriter out;
  for (const ShadowAnswer& answer : outcome.answers) {
    MessageView message;
    message.qos = 1;
    message.topic = answer.topic;
    message.payload = answer.payload;
    append_message(out, message);
  }
  return Buffer::take(out.release());
}

}  // namespace

ShadowOutcome DevicesMachine::judge(const ShadowRequest& request, int64_t now_s) const {
  if (request.fault != ShadowFault::none) return reject(request, request.fault, now_s);
  if (!registry_.has(request.thing)) return reject(request, ShadowFault::no_thing, now_s);
  const bool adds = request.operation == ShadowOperation::update && !shadows_.has(request.thing, request.name);
  if (adds && shadows_.count(request.thing) >= kShadowsOfThing)
    return reject(request, ShadowFault::too_many_shadows, now_s);
  return answer_request(request, shadows_.find(request.thing, request.name), now_s);
}

void DevicesMachine::apply_shadow(const Command& command, Effects& effects) {
  const auto request = decode_shadow_request(command.payload);
  if (!request) return effects.refuse(Errc::invalid_argument, 0, "the command is no request of a shadow");
  auto& broker = effects.port<BrokerMachine>(kBrokerMachineId);
  if (!broker.has_room_to_announce() || !effects.room_for(kAnswersMax, kAnswerBytesMax))
    return effects.refuse(Errc::overloaded, 0, "too many messages are on their way to durable sessions");
  auto& streams = effects.port<streams::StreamsMachine>(machine_ids::kStreams);
  const streams::StreamConfig config{kShadowsRetentionMs, kShadowsRetentionBytes};
  const auto partition = streams.ensure_view(kShadowsStream, kShadowsView, command.sequence, config);
  if (!partition)
    return effects.refuse(Errc::exists, 0, "the stream iot.shadows was made by a client and has records: delete it");
  const ShadowOutcome outcome = judge(*request, command.time / kNsPerSecond);
  if (outcome.changed) keep(*request, outcome.shadow, command.time, effects);
  ShadowReply reply;
  reply.partition = *partition;
  reply.messages = messages_of(outcome);
  const Offset first = effects.next_offset(*partition);
  effects.emit_view(*partition, static_cast<uint32_t>(outcome.answers.size()));
  effects.log_result(reply.messages.view());
  reply.statuses = broker.announce(reply.messages.view(), {*partition, first}, command, effects);
  effects.reply(encode(reply).view(), outcome.code, first);
}

// A grave is forgotten when its time is over, unless there is another shadow by then.
void DevicesMachine::keep(const ShadowRequest& request, const Shadow& shadow, LogTime now, Effects& effects) {
  TimerId timer = 0;
  if (shadow.deleted) {
    ByteWriter payload;
    append_text(payload, request.thing);
    append_text(payload, request.name);
    payload.le<uint64_t>(shadow.version);
    timer = effects.arm(now + kGraveSeconds * kNsPerSecond, kForgetShadow, payload.view());
  }
  const TimerId before = shadows_.put(request.thing, request.name, shadow, timer);
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
  const ShadowOutcome outcome = judge(request, now_s);
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
