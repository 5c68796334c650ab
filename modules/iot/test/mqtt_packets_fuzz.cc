// Any bytes as packets of each version. What decodes must encode to something that decodes to the same.

#include "kernel/base/assert.h"
#include "modules/iot/domain/mqtt/packets.h"

namespace {

using namespace heptane;
using namespace heptane::iot::mqtt;

template <class Packet, class Decode, class Encode>
void check(const Frame& frame, const Decode& decode, const Encode& encode) {
  Packet packet;
  if (decode(frame, packet)) return;
  ByteWriter out;
  encode(packet, out);
  Frame again;
  HEPTANE_ASSERT(!read_frame(out.view(), size_t{1} << 24, again) && again.size == out.size(), "not one whole packet");
  Packet same;
  HEPTANE_ASSERT(!decode(again, same), "what was encoded does not decode");
  HEPTANE_ASSERT(same == packet, "another packet came back");
}

void check_acks(const Frame& frame, Version version) {
  check<Ack>(
      frame, [&](const Frame& f, Ack& p) { return decode_ack(f, version, p); },
      [&](const Ack& p, ByteWriter& out) { encode(frame.type, p, version, out); });
}

void check_frame(const Frame& frame, Version version) {
  switch (frame.type) {
    case PacketType::connect:
      return check<Connect>(
          frame,
          [](const Frame& f, Connect& p) {
            ConnectStage stage{};
            return decode_connect(f, p, stage);
          },
          [](const Connect& p, ByteWriter& out) { encode(p, out); });
    case PacketType::connack:
      return check<Connack>(
          frame, [&](const Frame& f, Connack& p) { return decode_connack(f, version, p); },
          [&](const Connack& p, ByteWriter& out) { encode(p, version, out); });
    case PacketType::publish:
      return check<Publish>(
          frame, [&](const Frame& f, Publish& p) { return decode_publish(f, version, p); },
          [&](const Publish& p, ByteWriter& out) { encode(p, version, out); });
    case PacketType::puback:
    case PacketType::pubrec:
    case PacketType::pubrel:
    case PacketType::pubcomp: return check_acks(frame, version);
    case PacketType::subscribe:
      return check<Subscribe>(
          frame, [&](const Frame& f, Subscribe& p) { return decode_subscribe(f, version, p); },
          [&](const Subscribe& p, ByteWriter& out) { encode(p, version, out); });
    case PacketType::unsubscribe:
      return check<Unsubscribe>(
          frame, [&](const Frame& f, Unsubscribe& p) { return decode_unsubscribe(f, version, p); },
          [&](const Unsubscribe& p, ByteWriter& out) { encode(p, version, out); });
    case PacketType::suback:
      return check<FilterAck>(
          frame, [&](const Frame& f, FilterAck& p) { return decode_suback(f, version, p); },
          [&](const FilterAck& p, ByteWriter& out) { encode(PacketType::suback, p, version, out); });
    case PacketType::unsuback:
      return check<FilterAck>(
          frame, [&](const Frame& f, FilterAck& p) { return decode_unsuback(f, version, p); },
          [&](const FilterAck& p, ByteWriter& out) { encode(PacketType::unsuback, p, version, out); });
    case PacketType::disconnect:
      return check<Farewell>(
          frame, [&](const Frame& f, Farewell& p) { return decode_disconnect(f, version, p); },
          [&](const Farewell& p, ByteWriter& out) { encode(PacketType::disconnect, p, version, out); });
    case PacketType::auth:
      return check<Farewell>(
          frame, [&](const Frame& f, Farewell& p) { return decode_auth(f, version, p); },
          [&](const Farewell& p, ByteWriter& out) { encode(PacketType::auth, p, version, out); });
    default: (void)decode_empty(frame);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  for (const Version version : {Version::v31, Version::v311, Version::v5}) {
    Bytes input(reinterpret_cast<const std::byte*>(data), size);
    Frame frame;
    while (!read_frame(input, size_t{1} << 20, frame) && frame.size > 0) {
      check_frame(frame, version);
      input = input.subspan(frame.size);
    }
  }
  return 0;
}
