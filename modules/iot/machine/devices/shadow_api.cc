#include "modules/iot/machine/devices/shadow_api.h"

namespace heptane::iot::devices {

Buffer encode(const ShadowRequest& request) {
  ByteWriter out;
  append_request(out, request);
  return Buffer::take(out.release());
}

std::optional<ShadowRequest> decode_shadow_request(Bytes payload) {
  ByteReader in(payload);
  ShadowRequest request = read_request(in);
  if (!in.complete()) return std::nullopt;
  return request;
}

Buffer encode_shadow_query(std::string_view thing, std::string_view name, int64_t now_s) {
  ByteWriter out;
  append_text(out, thing);
  append_text(out, name);
  out.le<int64_t>(now_s);
  return Buffer::take(out.release());
}

Buffer encode(const ShadowReply& reply) {
  ByteWriter out;
  out.le<PartitionId>(reply.partition);
  out.u8(static_cast<uint8_t>(reply.statuses.size()));
  for (const PublishStatus status : reply.statuses) out.u8(static_cast<uint8_t>(status));
  out.append(reply.messages.view());
  return Buffer::take(out.release());
}

std::optional<ShadowReply> decode_shadow_reply(const Buffer& payload) {
  ByteReader in(payload.view());
  ShadowReply reply;
  reply.partition = in.le<PartitionId>();
  const uint8_t count = in.u8();
  for (uint8_t i = 0; i < count; ++i) reply.statuses.push_back(static_cast<PublishStatus>(in.u8()));
  reply.messages = payload.slice(in.position());
  for (uint8_t i = 0; i < count && !in.failed(); ++i) reply.last = read_message(in).payload;
  if (!in.complete() || count == 0) return std::nullopt;
  return reply;
}

// Headers as messages of clients have them (machine/view_render.cc), so that they are read the same way; from no client.
void render_shadows(const LoggedCommand& logged, uint16_t number, RecordWriter& out) {
  if (number != kShadowsView.number || logged.results.empty()) return;
  static constexpr std::string_view kQos = "1";
  const ViewHeader headers[] = {{"mqtt.qos", as_bytes(kQos)}, {"mqtt.client", {}}};
  ByteReader in(logged.results.front());
  while (in.remaining() > 0 && !in.failed() && !out.full()) {
    const MessageView message = read_message(in);
    if (out.wants())
      out.add({as_bytes(message.topic), true, as_bytes(message.payload), headers});
    else
      out.skip();
  }
}

}  // namespace heptane::iot::devices
