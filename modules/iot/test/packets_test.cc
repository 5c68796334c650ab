// The codec against bytes written by hand, and against itself: whatever is encoded decodes to the same values.

#include "modules/iot/domain/mqtt/packets.h"

#include <gtest/gtest.h>

#include <array>
#include <random>
#include <string>

namespace heptane::iot::mqtt {
namespace {

constexpr size_t kLimit = 1 << 20;

std::string bytes(std::initializer_list<int> values) {
  std::string out;
  for (const int value : values) out += static_cast<char>(value);
  return out;
}

Frame frame_of(std::string_view packet) {
  Frame frame;
  EXPECT_FALSE(read_frame(as_bytes(packet), kLimit, frame));
  EXPECT_EQ(frame.size, packet.size());
  return frame;
}

std::string text(const ByteWriter& out) { return std::string(as_text(out.view())); }

Reason reason_of(std::string_view packet, Version version) {
  Frame frame;
  if (const Fault fault = read_frame(as_bytes(packet), kLimit, frame)) return fault.reason;
  if (frame.type == PacketType::publish) {
    Publish publish;
    return decode_publish(frame, version, publish).reason;
  }
  if (frame.type == PacketType::subscribe) {
    Subscribe subscribe;
    return decode_subscribe(frame, version, subscribe).reason;
  }
  Ack ack;
  return decode_ack(frame, version, ack).reason;
}

TEST(Packets, AConnectOfEachVersion) {
  const std::string old = bytes({0x10, 15, 0, 6}) + "MQIsdp" + bytes({3, 2, 0, 10, 0, 1}) + "p";
  Connect packet;
  ConnectStage stage{};
  ASSERT_FALSE(decode_connect(frame_of(old), packet, stage));
  EXPECT_EQ(packet.version, Version::v31);
  EXPECT_EQ(packet.client_id, "p");
  EXPECT_EQ(packet.keep_alive_s, 10);

  const std::string full = bytes({0x10, 43, 0, 4}) + "MQTT" + bytes({5, 0xEE, 0, 60, 5, 0x11, 0, 0, 1, 0, 0, 2}) +
                           "id" + bytes({5, 0x18, 0, 0, 0, 9, 0, 4}) + "will" + bytes({0, 3}) + "end" + bytes({0, 1}) +
                           "u" + bytes({0, 1}) + "p";
  packet = {};
  ASSERT_FALSE(decode_connect(frame_of(full), packet, stage));
  EXPECT_EQ(packet.version, Version::v5);
  EXPECT_EQ(packet.properties.session_expiry_s, 256);
  ASSERT_TRUE(packet.will);
  EXPECT_EQ(packet.will->qos, 1);
  EXPECT_TRUE(packet.will->retain);
  EXPECT_EQ(packet.will->topic, "will");
  EXPECT_EQ(packet.will->payload, "end");
  EXPECT_EQ(packet.will->properties.will_delay_s, 9);
  EXPECT_EQ(packet.user, "u");
  EXPECT_EQ(packet.password, "p");
  ByteWriter out;
  encode(packet, out);
  EXPECT_EQ(text(out), full);
}

TEST(Packets, AVersionThatThereIsNotIsToldFromWhatIsNoMqtt) {
  Connect packet;
  ConnectStage stage{};
  EXPECT_EQ(decode_connect(frame_of(bytes({0x10, 6, 0, 4}) + "MQTT"), packet, stage).reason, Reason::malformed_packet);
  EXPECT_EQ(stage, ConnectStage::unknown);
  const std::string six = bytes({0x10, 13, 0, 4}) + "MQTT" + bytes({6, 2, 0, 10, 0, 1}) + "p";
  EXPECT_EQ(decode_connect(frame_of(six), packet, stage).reason, Reason::unsupported_version);
  EXPECT_EQ(stage, ConnectStage::wrong_version);
}

TEST(Packets, ConnackHasItsLimitsFirst) {
  Connack packet;
  packet.properties.receive_maximum = 20;
  packet.properties.maximum_packet_size = 2'000'000;
  packet.properties.topic_alias_maximum = 10;
  packet.properties.session_expiry_s = 0;
  ByteWriter out;
  encode(packet, Version::v5, out);
  EXPECT_EQ(text(out),
            bytes({0x20, 19, 0, 0, 16, 0x22, 0, 10, 0x27, 0, 0x1E, 0x84, 0x80, 0x21, 0, 20, 0x11, 0, 0, 0, 0}));
}

TEST(Packets, APublishAndItsAcknowledgement) {
  Publish publish;
  publish.qos = 1;
  publish.topic = "a/b";
  publish.id = 0x1234;
  publish.payload = "x";
  ByteWriter out;
  encode(publish, Version::v311, out);
  EXPECT_EQ(text(out), bytes({0x32, 8, 0, 3}) + "a/b" + bytes({0x12, 0x34}) + "x");
  out.clear();
  encode(PacketType::puback, Ack{0x1234, Reason::no_matching_subscribers, {}}, Version::v5, out);
  EXPECT_EQ(text(out), bytes({0x40, 3, 0x12, 0x34, 0x10}));
  out.clear();
  encode(PacketType::pubrel, Ack{7, Reason::success, {}}, Version::v5, out);
  EXPECT_EQ(text(out), bytes({0x62, 2, 0, 7}));
}

TEST(Packets, FaultsHaveTheirReasons) {
  const auto publish = [](int first, const std::string& properties) {
    const std::string body = bytes({0, 1}) + "t" + bytes({0, 1}) + properties + "p";
    return bytes({first, static_cast<int>(body.size())}) + body;
  };
  EXPECT_EQ(reason_of(publish(0x32, bytes({2, 1, 1})), Version::v5), Reason::success);
  EXPECT_EQ(reason_of(publish(0x32, bytes({2, 1, 2})), Version::v5), Reason::protocol_error);        // its value
  EXPECT_EQ(reason_of(publish(0x32, bytes({4, 1, 1, 1, 1})), Version::v5), Reason::protocol_error);  // twice
  EXPECT_EQ(reason_of(publish(0x32, bytes({2, 0x24, 0})), Version::v5), Reason::protocol_error);     // not here
  EXPECT_EQ(reason_of(publish(0x32, bytes({1, 0x24})), Version::v5), Reason::malformed_packet);      // cut off
  EXPECT_EQ(reason_of(publish(0x32, bytes({2, 0x7F, 0})), Version::v5), Reason::malformed_packet);   // unknown
  EXPECT_EQ(reason_of(publish(0x36, bytes({0})), Version::v5), Reason::malformed_packet);            // QoS 3
  EXPECT_EQ(reason_of(publish(0x38, bytes({0})), Version::v5), Reason::malformed_packet);            // QoS 0 again
  EXPECT_EQ(reason_of(bytes({0x30, 2, 0, 0}), Version::v311), Reason::malformed_packet);             // no topic
  EXPECT_EQ(reason_of(bytes({0x40, 2, 0, 0}), Version::v311), Reason::protocol_error);               // id 0
  EXPECT_EQ(reason_of(bytes({0x40, 3, 0, 1, 0xFF}), Version::v5), Reason::protocol_error);           // reason code
  EXPECT_EQ(reason_of(bytes({0x82, 2, 0, 1}), Version::v311), Reason::malformed_packet);             // no filter
  EXPECT_EQ(reason_of(bytes({0x82, 6, 0, 1, 0, 1, 'p', 3}), Version::v311), Reason::malformed_packet);
  EXPECT_EQ(reason_of(bytes({0x00, 0}), Version::v5), Reason::protocol_error);
  const std::string shared = bytes({0x82, 16, 0, 1, 0, 0, 10}) + "$share/p/p" + bytes({4});
  EXPECT_EQ(reason_of(shared, Version::v5), Reason::protocol_error);
}

TEST(Packets, FramesArriveInPiecesAndAreJudgedEarly) {
  const std::string packet = bytes({0x30, 0x85, 0x01}) + std::string(133, 'x');
  Frame frame;
  for (size_t length = 0; length < packet.size(); ++length) {
    ASSERT_FALSE(read_frame(as_bytes(std::string_view(packet).substr(0, length)), kLimit, frame));
    ASSERT_EQ(frame.size, 0U);
    ASSERT_GT(frame.needed, length);
    ASSERT_LE(frame.needed, packet.size());
  }
  EXPECT_FALSE(read_frame(as_bytes(packet + "more"), kLimit, frame));
  EXPECT_EQ(frame.size, packet.size());
  EXPECT_EQ(read_frame(as_bytes(bytes({0x30, 0xFF, 0xFF, 0xFF, 0x7F})), kLimit, frame).reason,
            Reason::packet_too_large);
  EXPECT_EQ(read_frame(as_bytes(bytes({0x30, 0xFF, 0xFF, 0xFF, 0xFF})), kLimit, frame).reason,
            Reason::malformed_packet);
  EXPECT_EQ(read_frame(as_bytes(bytes({0x0A})), kLimit, frame).reason, Reason::protocol_error);
}

TEST(Packets, MoreThan64UserPropertiesAreTooMany) {
  Publish publish;
  publish.topic = "t";
  publish.properties.user.assign(kUserPropertiesLimit, {"k", "v"});
  ByteWriter out;
  encode(publish, Version::v5, out);
  Publish decoded;
  const std::string most = text(out);
  EXPECT_FALSE(decode_publish(frame_of(most), Version::v5, decoded));
  publish.properties.user.push_back({"k", "v"});
  out.clear();
  encode(publish, Version::v5, out);
  const std::string more = text(out);
  EXPECT_EQ(decode_publish(frame_of(more), Version::v5, decoded).reason, Reason::quota_exceeded);
}

// Values from a seed.
class Maker {
 public:
  explicit Maker(uint32_t seed) : random_(seed) {}
  uint32_t below(uint32_t bound) { return static_cast<uint32_t>(random_() % bound); }
  bool coin() { return below(2) == 0; }
  std::string_view word() {
    static constexpr std::array<std::string_view, 6> kWords = {"", "a", "b/c", "plant/1/temp", "\xC3\xA4", "$x"};
    return kWords[below(kWords.size())];
  }
  std::string_view topic() { return coin() ? "plant/1" : "\xF0\xAA\x9B\x94"; }
  PacketId id() { return static_cast<PacketId>(1 + below(65'535)); }
  void message(Properties& p) {
    if (coin()) p.payload_format = static_cast<uint8_t>(below(2));
    if (coin()) p.message_expiry_s = static_cast<uint32_t>(random_());
    if (coin()) p.content_type = word();
    if (coin()) p.response_topic = topic();
    if (coin()) p.correlation_data = std::string_view("\0\xFF", 2);
    user(p);
  }
  void user(Properties& p) {
    for (uint32_t i = below(4); i > 0; --i) p.user.push_back({word(), word()});
  }
  void answer(Properties& p) {
    if (coin()) p.reason_string = word();
    user(p);
  }

 private:
  std::mt19937 random_;
};

constexpr std::array<Version, 3> kVersions = {Version::v31, Version::v311, Version::v5};

TEST(PacketsProperty, WhatIsEncodedDecodesToTheSame) {
  for (uint32_t seed = 1; seed <= 3000; ++seed) {
    Maker make(seed);
    const Version version = kVersions[make.below(3)];
    const bool five = version == Version::v5;
    ByteWriter out;
    SCOPED_TRACE(seed);

    Connect connect;
    connect.version = version;
    connect.clean_start = make.coin();
    connect.keep_alive_s = make.id();
    connect.client_id = make.word();
    if (make.coin()) {
      Will& will = connect.will.emplace();
      will.topic = make.topic();
      will.payload = make.word();
      will.qos = static_cast<uint8_t>(make.below(3));
      will.retain = make.coin();
      if (five) make.message(will.properties);
      if (five && make.coin()) will.properties.will_delay_s = make.id();
    }
    if (make.coin()) connect.user = make.word();
    if (connect.user && make.coin()) connect.password = std::string_view("\0\x80", 2);
    if (five) make.user(connect.properties);
    if (five && make.coin()) connect.properties.receive_maximum = make.id();
    encode(connect, out);
    const std::string connect_bytes = text(out);
    Connect connect_read;
    ConnectStage stage{};
    ASSERT_FALSE(decode_connect(frame_of(connect_bytes), connect_read, stage));
    ASSERT_EQ(connect_read, connect);

    Publish publish;
    publish.qos = static_cast<uint8_t>(make.below(3));
    publish.dup = publish.qos > 0 && make.coin();
    publish.retain = make.coin();
    publish.topic = make.topic();
    publish.id = publish.qos > 0 ? make.id() : PacketId{0};
    publish.payload = make.word();
    if (five) make.message(publish.properties);
    if (five && make.coin()) publish.properties.subscription_ids = {1, 128, 16'384, kVariableIntegerMax};
    out.clear();
    encode(publish, version, out);
    const std::string publish_bytes = text(out);
    Publish publish_read;
    ASSERT_FALSE(decode_publish(frame_of(publish_bytes), version, publish_read));
    ASSERT_EQ(publish_read, publish);

    Subscribe subscribe;
    subscribe.id = make.id();
    if (five) make.user(subscribe.properties);
    for (uint32_t i = 1 + make.below(4); i > 0; --i)
      subscribe.filters.push_back({make.coin() ? "a/+/#" : "$share/g/x", static_cast<uint8_t>(make.below(3)), false,
                                   five && make.coin(), static_cast<uint8_t>(five ? make.below(3) : 0)});
    out.clear();
    encode(subscribe, version, out);
    const std::string subscribe_bytes = text(out);
    Subscribe subscribe_read;
    ASSERT_FALSE(decode_subscribe(frame_of(subscribe_bytes), version, subscribe_read));
    ASSERT_EQ(subscribe_read, subscribe);

    Unsubscribe unsubscribe{make.id(), {}, {"a", "+/b"}};
    if (five) make.user(unsubscribe.properties);
    out.clear();
    encode(unsubscribe, version, out);
    const std::string unsubscribe_bytes = text(out);
    Unsubscribe unsubscribe_read;
    ASSERT_FALSE(decode_unsubscribe(frame_of(unsubscribe_bytes), version, unsubscribe_read));
    ASSERT_EQ(unsubscribe_read, unsubscribe);

    Ack ack{make.id(), five && make.coin() ? Reason::quota_exceeded : Reason::success, {}};
    if (five) make.answer(ack.properties);
    out.clear();
    encode(PacketType::pubrec, ack, version, out);
    const std::string ack_bytes = text(out);
    Ack ack_read;
    ASSERT_FALSE(decode_ack(frame_of(ack_bytes), version, ack_read));
    ASSERT_EQ(ack_read, ack);

    FilterAck filters{make.id(), {}, {0, 2, 0x80}};
    if (five) make.answer(filters.properties);
    out.clear();
    encode(PacketType::suback, filters, version, out);
    const std::string suback_bytes = text(out);
    FilterAck filters_read;
    ASSERT_FALSE(decode_suback(frame_of(suback_bytes), version, filters_read));
    ASSERT_EQ(filters_read, filters);
    if (!five) filters.codes.clear();
    out.clear();
    encode(PacketType::unsuback, filters, version, out);
    const std::string unsuback_bytes = text(out);
    FilterAck unsuback_read;
    ASSERT_FALSE(decode_unsuback(frame_of(unsuback_bytes), version, unsuback_read));
    ASSERT_EQ(unsuback_read, filters);

    Connack connack{make.coin(), 0, {}};
    if (five) make.answer(connack.properties);
    if (five && make.coin()) connack.properties.server_keep_alive_s = make.id();
    out.clear();
    encode(connack, version, out);
    const std::string connack_bytes = text(out);
    Connack connack_read;
    ASSERT_FALSE(decode_connack(frame_of(connack_bytes), version, connack_read));
    ASSERT_EQ(connack_read, connack);

    Farewell farewell{five ? Reason::session_taken_over : Reason::success, {}};
    if (five) make.answer(farewell.properties);
    out.clear();
    encode(PacketType::disconnect, farewell, version, out);
    const std::string farewell_bytes = text(out);
    Farewell farewell_read;
    ASSERT_FALSE(decode_disconnect(frame_of(farewell_bytes), version, farewell_read));
    ASSERT_EQ(farewell_read, farewell);
  }
}

}  // namespace
}  // namespace heptane::iot::mqtt
