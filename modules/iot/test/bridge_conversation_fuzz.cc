// Any bytes as what a remote broker sends to a bridge; the first byte says the version and whether the conversation is greeted before
// them. What goes to either side must be packets of its version, and the broker here answers all that it gets.

#include "kernel/base/assert.h"
#include "modules/iot/domain/bridge/conversation.h"

namespace {

using namespace heptane;
using namespace heptane::iot;
using namespace heptane::iot::bridge;

constexpr int64_t kSecond = 1'000'000'000;

// Whole packets alone. Returns what the broker here answers.
std::string answers(const std::string& packets) {
  ByteWriter out;
  for (Bytes rest = as_bytes(packets); !rest.empty();) {
    mqtt::Frame frame;
    HEPTANE_ASSERT(!mqtt::read_frame(rest, size_t{4} << 20, frame) && frame.size > 0, "not a whole packet");
    rest = rest.subspan(frame.size);
    mqtt::Publish publish;
    mqtt::Ack ack;
    if (frame.type == mqtt::PacketType::connect) mqtt::encode(mqtt::Connack{}, mqtt::Version::v5, out);
    if (frame.type == mqtt::PacketType::publish) {
      HEPTANE_ASSERT(!decode_publish(frame, mqtt::Version::v5, publish), "a PUBLISH that is none");
      const auto type = publish.qos == 1 ? mqtt::PacketType::puback : mqtt::PacketType::pubrec;
      if (publish.qos > 0) mqtt::encode(type, mqtt::Ack{publish.id, {}, {}}, mqtt::Version::v5, out);
    }
    if (frame.type == mqtt::PacketType::pubrel && !decode_ack(frame, mqtt::Version::v5, ack))
      mqtt::encode(mqtt::PacketType::pubcomp, mqtt::Ack{ack.id, {}, {}}, mqtt::Version::v5, out);
  }
  return std::string(as_text(out.view()));
}

void feed_local(Conversation& talk) {
  const std::string answer = answers(talk.take_local());
  for (Bytes rest = as_bytes(answer); !rest.empty();) {
    mqtt::Frame frame;
    HEPTANE_ASSERT(!mqtt::read_frame(rest, SIZE_MAX, frame), "an answer that is no packet");
    talk.from_local(frame, kSecond);
    rest = rest.subspan(frame.size);
  }
  answers(talk.take_remote());
}

void feed_remote(Conversation& talk, Bytes rest) {
  while (!rest.empty() && !talk.ended() && talk.takes_remote()) {
    mqtt::Frame frame;
    if (mqtt::read_frame(rest, size_t{1} << 20, frame) || frame.size == 0) return;
    talk.from_remote(frame, kSecond);
    feed_local(talk);
    rest = rest.subspan(frame.size);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  Terms terms;
  terms.name = "b";
  terms.client_id = "c";
  terms.via = "me";
  terms.version = (data[0] & 1) != 0 ? mqtt::Version::v5 : mqtt::Version::v311;
  terms.mappings = {{Direction::out, "#", "a/", "x/", 2}, {Direction::in, "#", "d/", "", 2}};
  Memory memory;
  Conversation talk(terms, memory, Conversation::Kind::relay);
  talk.start(kSecond);
  ByteWriter greeting;
  mqtt::encode(mqtt::Connack{}, terms.version, greeting);
  if ((data[0] & 2) != 0) feed_remote(talk, greeting.view());
  feed_remote(talk, Bytes(reinterpret_cast<const std::byte*>(data), size).subspan(1));
  talk.pass_time(60 * kSecond);
  talk.remote_gone(Gone::closed, "gone", 61 * kSecond);
  return 0;
}
