// What a conversation does where something is too large, too much or refused, and at ends of connections.

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "modules/iot/domain/bridge/conversation.h"

namespace heptane::iot::bridge {
namespace {

using mqtt::Frame;
using mqtt::PacketId;
using mqtt::PacketType;
using mqtt::Publish;
using mqtt::Reason;
using mqtt::Version;

constexpr int64_t kSecond = 1'000'000'000;

template <class Write>
std::string bytes(const Write& write) {
  ByteWriter out;
  write(out);
  return std::string(as_text(out.view()));
}

std::string ack(PacketType type, PacketId id, Reason reason = Reason::success) {
  return bytes([&](ByteWriter& out) { mqtt::encode(type, mqtt::Ack{id, reason, {}}, Version::v5, out); });
}

std::string publish(std::string_view topic, std::string_view payload, PacketId id, uint8_t qos, size_t properties = 0) {
  Publish packet;
  packet.topic = topic;
  packet.payload = payload;
  packet.id = id;
  packet.qos = qos;
  packet.properties.user.assign(properties, {"k", "v"});
  return bytes([&](ByteWriter& out) { mqtt::encode(packet, Version::v5, out); });
}

std::string text_of(const std::vector<mqtt::UserProperty>& properties, std::string_view key) {
  for (const mqtt::UserProperty& one : properties)
    if (one.key == key) return std::string(one.value);
  return {};
}

// What it writes to one side, packet by packet.
class Written {
 public:
  explicit Written(std::string text) : text_(std::move(text)) {
    for (Bytes rest = as_bytes(text_); !rest.empty(); rest = rest.subspan(frames_.back().size)) {
      Frame frame;
      if (mqtt::read_frame(rest, SIZE_MAX, frame) || frame.size == 0) {
        ADD_FAILURE() << "no packet";
        return;
      }
      frames_.push_back(frame);
    }
  }
  Written(const Written&) = delete;
  Written& operator=(const Written&) = delete;

  std::vector<Publish> publishes() const {
    std::vector<Publish> all;
    for (const Frame& frame : frames_) {
      if (frame.type != PacketType::publish) continue;
      EXPECT_FALSE(decode_publish(frame, Version::v5, all.emplace_back()));
    }
    return all;
  }
  size_t longest() const {
    size_t most = 0;
    for (const Frame& frame : frames_) most = std::max(most, frame.size);
    return most;
  }
  bool has(const std::string& packet) const { return text_.find(packet) != std::string::npos; }

 private:
  std::string text_;
  std::vector<Frame> frames_;
};

class BridgeLimits : public testing::Test {
 protected:
  BridgeLimits() {
    terms_.name = "b";
    terms_.client_id = "c";
    terms_.via = "me";
    terms_.mappings = {{Direction::out, "#", "a/", "x/", 2}, {Direction::in, "#", "d/", "y/", 2}};
  }

  void begin(bool known = true) {
    talk_ = std::make_unique<Conversation>(terms_, memory_, Conversation::Kind::relay);
    talk_->start(now_ns_);
    const std::string greeting = talk_->take_remote();
    mqtt::Connect connect;
    mqtt::ConnectStage stage{};
    Frame frame;
    ASSERT_FALSE(mqtt::read_frame(as_bytes(greeting), SIZE_MAX, frame));
    ASSERT_FALSE(decode_connect(frame, connect, stage));
    told_ = connect.properties.receive_maximum.value_or(0);
    const auto connack = [](bool present) {
      return bytes([&](ByteWriter& out) { mqtt::encode(mqtt::Connack{present, 0, {}}, Version::v5, out); });
    };
    remote(connack(known));
    here(connack(known));
    talk_->take_remote();
    talk_->take_local();
    talk_->take_events();
  }
  void remote(const std::string& text) { feed(text, true); }
  void here(const std::string& text) { feed(text, false); }
  void disconnect(Reason reason) {
    remote(bytes([&](ByteWriter& out) {
      mqtt::encode(PacketType::disconnect, mqtt::Farewell{reason, {}}, Version::v5, out);
    }));
  }
  std::vector<std::string> events() {
    std::vector<std::string> all;
    for (const Event& one : talk_->take_events())
      all.push_back(std::to_string(static_cast<int>(one.what)) + ' ' + one.subject + '|' + one.why);
    return all;
  }
  // True: the message is a dead letter now.
  bool buried(const std::string& message) {
    talk_->take_local();
    here(message);
    return !Written(talk_->take_local()).publishes().empty();
  }

  Terms terms_;
  Memory memory_;
  std::unique_ptr<Conversation> talk_;
  int64_t now_ns_ = kSecond;
  uint16_t told_ = 0;  // the remote, of how many it may send ahead

 private:
  void feed(const std::string& text, bool remote) {
    for (Bytes rest = as_bytes(text); !rest.empty();) {
      Frame frame;
      ASSERT_FALSE(mqtt::read_frame(rest, SIZE_MAX, frame));
      ASSERT_GT(frame.size, 0U);
      if (remote)
        talk_->from_remote(frame, now_ns_);
      else
        talk_->from_local(frame, now_ns_);
      rest = rest.subspan(frame.size);
    }
  }
};

using Texts = std::vector<std::string>;

TEST_F(BridgeLimits, OneUserPropertyTooManyIsADeadLetter) {
  begin();
  here(publish("a/t", "payload", 7, 1, mqtt::kUserPropertiesLimit));
  ASSERT_FALSE(talk_->ended()) << talk_->why();
  const Written local(talk_->take_local());
  ASSERT_EQ(local.publishes().size(), 1U);
  EXPECT_EQ(local.publishes()[0].payload, "payload");
  EXPECT_EQ(text_of(local.publishes()[0].properties.user, "remote_topic"), "x/t");
  EXPECT_EQ(talk_->take_remote(), "");
  here(ack(PacketType::puback, 65'533));
  EXPECT_TRUE(Written(talk_->take_local()).has(ack(PacketType::puback, 7)));
  EXPECT_EQ(memory_.tally.dead_letters, 1U);
}

TEST_F(BridgeLimits, WhatIsTooLargeForTheRemoteIsADeadLetterAtAnyQos) {
  for (const uint8_t qos : {0, 1, 2}) {
    talk_ = std::make_unique<Conversation>(terms_, memory_, Conversation::Kind::relay);
    talk_->start(now_ns_);
    mqtt::Connack connack{true, 0, {}};
    const auto packet = [&] { return bytes([&](ByteWriter& out) { mqtt::encode(connack, Version::v5, out); }); };
    const std::string small = packet();
    connack.properties.maximum_packet_size = 64;
    remote(packet());
    const std::string greeting = talk_->take_local();
    Frame frame;
    mqtt::Connect connect;
    mqtt::ConnectStage stage{};
    ASSERT_FALSE(mqtt::read_frame(as_bytes(greeting), SIZE_MAX, frame));
    ASSERT_FALSE(decode_connect(frame, connect, stage));
    EXPECT_FALSE(connect.properties.maximum_packet_size) << "the session here drops nothing because of the remote";
    here(small);
    talk_->take_remote();
    talk_->take_local();
    here(publish("a/t", std::string(64, 'x'), qos > 0 ? 7 : 0, qos));
    const Written local(talk_->take_local());
    ASSERT_EQ(local.publishes().size(), 1U);
    EXPECT_EQ(local.publishes()[0].payload, std::string(64, 'x'));
    EXPECT_EQ(text_of(local.publishes()[0].properties.user, "reason"), "0x95");
    EXPECT_EQ(talk_->take_remote(), "");
    here(ack(PacketType::puback, 65'533));
    EXPECT_EQ(memory_.tally.dead_letters, qos + 1U);
  }
}

TEST_F(BridgeLimits, WhatCannotBeReadOfTheRemotesIsRefusedAndTheRestGoesOn) {
  begin();
  remote(publish("y/many", "p", 3, 1, mqtt::kUserPropertiesLimit + 1));
  remote(publish("y/many", "p", 4, 2, mqtt::kUserPropertiesLimit + 1));
  remote(publish("y/t", "good", 5, 1));
  ASSERT_FALSE(talk_->ended()) << talk_->why();
  const Written there(talk_->take_remote());
  EXPECT_TRUE(there.has(ack(PacketType::puback, 3, Reason::unspecified)));
  EXPECT_TRUE(there.has(ack(PacketType::pubrec, 4, Reason::unspecified)));
  EXPECT_EQ(Written(talk_->take_local()).publishes().size(), 1U);
  EXPECT_EQ(events(), (Texts{"4 y/many|more than 64 user properties", "4 y/many|more than 64 user properties"}));
  EXPECT_EQ(memory_.tally.refused, 2U);
}

TEST_F(BridgeLimits, WhatGrewTooLargeOnItsWayIsRefused) {
  terms_.packet_bytes_max = 1'024;
  terms_.mappings[1].local_prefix = "a/long/prefix/";
  begin();
  const std::string fits = publish("y/t", std::string(1'010, 'x'), 3, 1);
  ASSERT_LE(fits.size(), 1'024U);
  remote(fits);
  ASSERT_FALSE(talk_->ended());
  EXPECT_EQ(talk_->take_local(), "");
  EXPECT_TRUE(Written(talk_->take_remote()).has(ack(PacketType::puback, 3, Reason::unspecified)));
  EXPECT_EQ(events(), Texts{"4 y/t|0x95"});
}

TEST_F(BridgeLimits, WhatIsTooLargeIsPassedOver) {
  terms_.packet_bytes_max = 1'024;
  begin();
  const std::string large = publish("y/large", std::string(5'000, 'x'), 9, 2);
  const auto over = [&](size_t known) { return talk_->pass_over(as_bytes(std::string_view(large).substr(0, known))); };
  const Conversation::PassedOver first = over(4);
  EXPECT_EQ(first.bytes, 0U);
  ASSERT_GT(first.needed, 4U);
  EXPECT_EQ(over(first.needed).needed > 0 ? over(large.size()).bytes : large.size(), large.size());
  ASSERT_FALSE(talk_->ended());
  EXPECT_TRUE(Written(talk_->take_remote()).has(ack(PacketType::pubrec, 9, Reason::unspecified)));
  EXPECT_EQ(events(), Texts{"4 y/large|0x95"});
  // Nothing else may be as long.
  EXPECT_EQ(talk_->pass_over(as_bytes(std::string("\x90\xFF\x7F", 3))).bytes, 0U);
  EXPECT_TRUE(talk_->ended());
}

TEST_F(BridgeLimits, ARemoteThatIsFullForNowBuriesNothing) {
  const std::string message = publish("a/t", "p", 7, 1);
  for (int i = 0; i < 8; ++i) {
    begin();
    EXPECT_FALSE(buried(message));
    disconnect(i % 2 == 0 ? Reason::quota_exceeded : Reason::server_busy);
    EXPECT_TRUE(talk_->ended());
  }
  for (int i = 0; i < 8; ++i) {  // the network
    begin();
    EXPECT_FALSE(buried(message));
    talk_->remote_gone(Gone::broke, "reset", now_ns_);
  }
  for (int i = 0; i < 8; ++i) {  // long after it was sent
    begin();
    EXPECT_FALSE(buried(message));
    now_ns_ += 30 * kSecond;
    talk_->remote_gone(Gone::closed, "closed", now_ns_);
  }
}

TEST_F(BridgeLimits, ARemoteThatSaysThatItIsTheMessageHasItThreeTimes) {
  const std::string message = publish("a/t", "p", 7, 1);
  for (int i = 0; i < 3; ++i) {
    begin();
    EXPECT_FALSE(buried(message));
    disconnect(Reason::packet_too_large);
  }
  begin();
  EXPECT_TRUE(buried(message));
}

TEST_F(BridgeLimits, OnlyWhatWentAloneIsSuspectedWhereNothingIsSaid) {
  const std::string both = publish("a/t", "1", 7, 1) + publish("a/t", "2", 8, 1);
  begin();
  EXPECT_FALSE(buried(both));
  talk_->remote_gone(Gone::closed, "closed", now_ns_);
  EXPECT_EQ(memory_.closes, 0U);
  for (int i = 0; i < 3; ++i) {
    begin();
    EXPECT_FALSE(buried(both)) << i;
    EXPECT_EQ(Written(talk_->take_remote()).publishes().size(), 1U) << "alone";
    talk_->remote_gone(Gone::closed, "closed", now_ns_);
  }
  begin();
  EXPECT_TRUE(buried(both));
}

TEST_F(BridgeLimits, AQosThatWasLoweredIsThatOfTheQueueToo) {
  terms_.mappings[0].qos = 1;
  begin();
  here(publish("a/t", "p", 7, 2));
  const Written there(talk_->take_remote());
  ASSERT_EQ(there.publishes().size(), 1U);
  EXPECT_EQ(there.publishes()[0].qos, 1);
  remote(ack(PacketType::puback, 7));
  ASSERT_FALSE(talk_->ended()) << talk_->why();
  EXPECT_TRUE(Written(talk_->take_local()).has(ack(PacketType::pubrec, 7, Reason::unspecified))) << "done here";
  EXPECT_EQ(memory_.tally.acknowledged, 1U);
  EXPECT_EQ(talk_->waiting_bytes(), 0U);
  terms_.mappings[0].qos = 0;
  here(publish("a/t", "p", 8, 1));
  const Written more(talk_->take_remote());
  ASSERT_EQ(more.publishes().size(), 1U);
  EXPECT_EQ(more.publishes()[0].qos, 0);
  EXPECT_TRUE(Written(talk_->take_local()).has(ack(PacketType::puback, 8)));
}

TEST_F(BridgeLimits, ADeadLetterIsCutToWhatFits) {
  terms_.packet_bytes_max = 1'024;
  begin();
  const std::string name = "a/" + std::string(900, 'n');
  here(publish(name, std::string(4'000, 'x'), 7, 1, mqtt::kUserPropertiesLimit));
  here(publish("a/t", std::string(4'000, 'x'), 8, 1, mqtt::kUserPropertiesLimit));
  const Written local(talk_->take_local());
  const std::vector<Publish> first = local.publishes();
  ASSERT_GE(first.size(), 1U);
  EXPECT_LE(local.longest(), 1'024U);
  EXPECT_EQ(text_of(first[0].properties.user, "cut"), "true");
  EXPECT_EQ(text_of(first[0].properties.user, "reason"), "there is no room for another user property");
  here(ack(PacketType::puback, 65'533));
  const Written next(talk_->take_local());
  const std::vector<Publish> second = first.size() > 1 ? std::vector{first[1]} : next.publishes();
  ASSERT_EQ(second.size(), 1U);
  EXPECT_LE(next.longest(), 1'024U);
  EXPECT_EQ(text_of(second[0].properties.user, "topic"), "a/t");
  EXPECT_GT(second[0].payload.size(), 800U);
}

TEST_F(BridgeLimits, ADeadLetterThatIsNotTakenHoldsNothingUp) {
  begin();
  here(publish("a/t", "p", 7, 1));
  remote(ack(PacketType::puback, 7, Reason::not_authorised));
  talk_->take_local();
  talk_->take_events();
  here(ack(PacketType::puback, 65'533, Reason::not_authorised));
  ASSERT_FALSE(talk_->ended());
  EXPECT_EQ(events(), Texts{"4 $bridge/b/dead_letter|0x87"});
  EXPECT_EQ(memory_.tally.dead_letters, 0U);
  EXPECT_TRUE(Written(talk_->take_local()).has(ack(PacketType::puback, 7)));
  // For now there is no room: it is written again.
  for (PacketId id = 8; id < 20; ++id) here(publish("a/t", "p", id, 1));
  for (PacketId id = 8; id < 20; ++id) remote(ack(PacketType::puback, id, Reason::not_authorised));
  EXPECT_EQ(Written(talk_->take_local()).publishes().size(), Conversation::kLettersMax);
  here(ack(PacketType::puback, 65'533, Reason::quota_exceeded));
  EXPECT_TRUE(talk_->ended());
  EXPECT_TRUE(Written(talk_->take_local()).publishes().empty()) << "behind DISCONNECT";
}

TEST_F(BridgeLimits, DeadLettersAndWhatComesInStayWithinWhatIsTakenHere) {
  for (const uint16_t most : {2, 8, 40, 1'024}) {
    SCOPED_TRACE(most);
    terms_.receive_maximum = most;
    memory_ = {};
    begin();
    size_t open = 0;
    const auto count = [&] {
      open += Written(talk_->take_local()).publishes().size();
      EXPECT_LE(open, most);
    };
    for (PacketId id = 1; id <= 200; ++id) here(publish("a/t", "p", id, 1));
    for (PacketId id = 1; id <= 200; ++id) remote(ack(PacketType::puback, id, Reason::not_authorised));
    count();
    for (PacketId id = 1; id <= told_ && talk_->takes_remote(); ++id) remote(publish("y/t", "p", id, 1));
    count();
    for (int i = 0; i < 1'000 && open > 0; ++i) {
      --open;
      here(ack(PacketType::puback, 1));
      count();
      ASSERT_FALSE(talk_->ended()) << talk_->why();
    }
    EXPECT_EQ(memory_.tally.dead_letters, 200U);
    EXPECT_EQ(talk_->waiting_bytes(), 0U);
  }
}

// What releases them comes behind as many as the remote may send.
TEST_F(BridgeLimits, AFullWindowAtQos2IsReleased) {
  terms_.receive_maximum = 16;
  begin();
  ASSERT_GT(told_, 0);
  for (PacketId id = 1; id <= told_; ++id) {
    ASSERT_TRUE(talk_->takes_remote());
    remote(publish("y/t", "p", id, 2));
    here(ack(PacketType::pubrec, id));
  }
  ASSERT_TRUE(talk_->takes_remote());
  remote(ack(PacketType::pubrel, 1));
  here(ack(PacketType::pubcomp, 1));
  EXPECT_TRUE(Written(talk_->take_remote()).has(ack(PacketType::pubcomp, 1)));
}

TEST_F(BridgeLimits, ARemoteThatForgotAtQos2IsTold) {
  begin();
  here(publish("a/t", "p", 7, 2));
  remote(ack(PacketType::pubrec, 7));
  here(ack(PacketType::pubrel, 7));
  remote(ack(PacketType::pubcomp, 7, Reason::packet_id_not_found));
  EXPECT_EQ(memory_.tally.unsure, 1U);
  EXPECT_EQ(events(), Texts{"2 |0x92 to PUBREL"});
  // One of an earlier connection may be done already, where the session is still there.
  begin();
  here(ack(PacketType::pubrel, 8));
  remote(ack(PacketType::pubcomp, 8, Reason::packet_id_not_found));
  EXPECT_EQ(memory_.tally.unsure, 1U);
  begin(false);
  here(ack(PacketType::pubrel, 9));
  remote(ack(PacketType::pubcomp, 9, Reason::packet_id_not_found));
  EXPECT_EQ(memory_.tally.unsure, 2U);
}

TEST_F(BridgeLimits, WhatIsOnItsWayCountsAsMemory) {
  begin();
  here(publish("a/t", std::string(10'000, 'x'), 7, 1));
  EXPECT_EQ(Written(talk_->take_remote()).publishes().size(), 1U);
  EXPECT_GT(talk_->waiting_bytes(), 10'000U);
  remote(ack(PacketType::puback, 7));
  EXPECT_EQ(talk_->waiting_bytes(), 0U);
}

TEST_F(BridgeLimits, WhatNoMappingCarriesIsTold) {
  begin();
  here(publish("other/t", "p", 7, 1));
  remote(publish("other/t", "p", 3, 1));
  EXPECT_EQ(events(), (Texts{"4 other/t|no mapping carries it", "4 other/t|no mapping carries it"}));
  EXPECT_EQ(memory_.tally.unmapped, 2U);
}

TEST_F(BridgeLimits, WhatIsKnownOfAMessageIsNotOfAnother) {
  begin();
  here(publish("a/t", "bad", 7, 1));
  remote(ack(PacketType::puback, 7, Reason::not_authorised));
  ASSERT_EQ(memory_.condemned.size(), 1U);
  begin();
  EXPECT_FALSE(buried(publish("a/t", "good", 7, 1))) << "the same topic and identifier";
  EXPECT_TRUE(buried(publish("a/t", "bad", 7, 1)));
  begin(false);
  EXPECT_TRUE(memory_.condemned.empty()) << "the session here is another one";
  EXPECT_FALSE(buried(publish("a/t", "bad", 7, 1)));
}

}  // namespace
}  // namespace heptane::iot::bridge
