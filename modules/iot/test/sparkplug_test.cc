// Sparkplug B without a broker: topics, payloads byte by byte, what is known of edge nodes.
#include <gtest/gtest.h>

#include <limits>
#include <random>
#include <set>

#include "modules/iot/domain/sparkplug/nodes.h"
#include "modules/iot/test/sparkplug_payloads.h"

namespace heptane::iot::test {

namespace {

using namespace sparkplug;

constexpr int64_t kSecond = 1'000'000'000;

Topic topic(MessageType type, std::string_view device = "") { return {"plant", type, "edge-1", device}; }

// Of an outcome: `NAME:TYPE` each.
std::string names(const Nodes::Outcome& outcome) {
  std::string all;
  for (const auto& named : outcome.metrics) all += std::string(named.name) + ':' + std::to_string(named.type) + ' ';
  return all;
}

class SparkplugNodes : public testing::Test {
 protected:
  Nodes::Outcome take(MessageType type, const std::string& bytes, std::string_view device = "") {
    payload_ = read_payload(bytes_ = bytes);
    EXPECT_TRUE(payload_);
    return nodes_.take(topic(type, device), *payload_, now_ns_);
  }
  static std::string birth(uint64_t bd_seq) {
    return at_ms(1) + metric(name_is("bdSeq") + type_is(8) + long_is(bd_seq)) +
           metric(name_is("Node Control/Rebirth") + type_is(11) + truth_is(false)) +
           metric(name_is("Temp") + alias_is(1) + type_is(10) + real_is(20.5)) +
           metric(name_is("Level") + alias_is(2) + type_is(3) + whole_is(7)) + seq(0);
  }
  static std::string data(uint64_t number, uint64_t alias = 1) {
    return at_ms(2) + metric(alias_is(alias) + real_is(21)) + seq(number);
  }

  int64_t now_ns_ = 1;
  Nodes nodes_{30 * kSecond};
  std::string bytes_;
  std::optional<Payload> payload_;
};

}  // namespace

TEST(SparkplugTopic, OfNodesAndDevices) {
  const auto node = parse_topic("spBv1.0/plant/NBIRTH/edge-1");
  ASSERT_TRUE(node);
  EXPECT_EQ(node->group, "plant");
  EXPECT_EQ(node->node, "edge-1");
  EXPECT_EQ(node->type, MessageType::nbirth);
  const auto device = parse_topic("spBv1.0/plant/DDATA/edge-1/pump");
  ASSERT_TRUE(device);
  EXPECT_EQ(device->device, "pump");
  EXPECT_EQ(metrics_topic(*node), "$sparkplug/metrics/plant/edge-1");
  EXPECT_EQ(metrics_topic(*device), "$sparkplug/metrics/plant/edge-1/pump");
  EXPECT_EQ(command_topic(*device), "spBv1.0/plant/NCMD/edge-1");
  EXPECT_EQ(certificate_topic("spBv1.0/plant/NBIRTH/edge-1"), "$sparkplug/certificates/spBv1.0/plant/NBIRTH/edge-1");
  for (const char* none :
       {"spBv1.0", "spBv1.0/plant/NBIRTH", "spBv1.0/plant/NBIRTH/", "spBv1.0//NBIRTH/e", "spBv1.0/STATE/host",
        "spBv1.0/plant/NBIRTH/e/d", "spBv1.0/plant/DDATA/e", "spBv1.0/plant/DDATA/e/", "spBv1.0/plant/DDATA/e/d/x",
        "spBv1.0/plant/nbirth/e", "spAv1.0/plant/NBIRTH/e", "x/spBv1.0/plant/NBIRTH/e"})
    EXPECT_FALSE(parse_topic(none)) << none;
  EXPECT_TRUE(is_awares("$sparkplug"));
  EXPECT_TRUE(is_awares("$sparkplug/metrics/a"));
  EXPECT_FALSE(is_awares("$sparkplugs"));
}

TEST(SparkplugPayload, AsItStandsOnTheWire) {
  // timestamp 300; metric {name "T", alias 5, timestamp 1, datatype 10, double 1.0}; seq 255.
  const std::string bytes("\x08\xAC\x02\x12\x12\x0A\x01T\x10\x05\x18\x01\x20\x0A\x69\0\0\0\0\0\0\xF0\x3F\x18\xFF\x01",
                          26);
  const auto payload = read_payload(bytes);
  ASSERT_TRUE(payload);
  EXPECT_EQ(payload->timestamp_ms, 300U);
  EXPECT_EQ(payload->seq, 255U);
  ASSERT_EQ(payload->metrics.size(), 1U);
  const Metric& one = payload->metrics.front();
  EXPECT_EQ(one.name, "T");
  EXPECT_EQ(one.alias, 5U);
  EXPECT_EQ(one.timestamp_ms, 1U);
  EXPECT_EQ(one.type, 10U);
  EXPECT_EQ(one.value, Value(1.0));
  EXPECT_TRUE(read_payload("")) << "all fields are optional";
}

TEST(SparkplugPayload, WhatIsCutOffIsNone) {
  const std::string bytes = at_ms(1'700'000'000'000) + metric(name_is("T") + type_is(10) + real_is(1)) +
                            bytes_field(4, "uuid") + double_field(9, 1) + float_field(8, 1) + seq(3);
  std::set<size_t> whole;
  for (size_t size = 0; size <= bytes.size(); ++size)
    if (read_payload(std::string_view(bytes).substr(0, size))) whole.insert(size);
  EXPECT_EQ(whole.size(), 7U) << "where a field ends, and nowhere else";
  EXPECT_TRUE(whole.contains(bytes.size()));
}

TEST(SparkplugPayload, WhatIsNone) {
  const std::string eleven(10, '\x80');
  for (const std::string& wrong : {
           std::string("\x0B\x0C", 2),           // a group
           std::string("\x00\x01", 2),           // field 0
           std::string("\x0F\x01", 2),           // a wire type that there is not
           "\x08" + eleven + '\1',               // a number of eleven bytes
           bytes_field(1, "x"),                  // the time is no number
           number_field(2, 1),                   // a metric is one
           metric(number_field(1, 1)),           // a name is one
           metric(bytes_field(13, "12345678")),  // a double is a text
           metric(name_is(std::string(kMetricNameBytesMax + 1, 'n'))),
       })
    EXPECT_FALSE(read_payload(wrong));
  EXPECT_TRUE(read_payload(metric(name_is(std::string(kMetricNameBytesMax, 'n')))));
  std::string many;
  for (size_t i = 0; i < kMetricsMax; ++i) many += metric("");
  EXPECT_TRUE(read_payload(many));
  EXPECT_FALSE(read_payload(many + metric("")));
}

TEST(SparkplugPayload, ADeathIsStampedAndStaysAsItWas) {
  const std::string rest = metric(name_is("bdSeq") + type_is(8) + long_is(3)) + bytes_field(77, "unknown");
  EXPECT_EQ(with_timestamp(at_ms(5) + rest, 9), at_ms(9) + rest);
  EXPECT_EQ(with_timestamp(rest + at_ms(5), 9), at_ms(9) + rest);
  EXPECT_EQ(with_timestamp("", 9), at_ms(9));
  EXPECT_FALSE(with_timestamp("\x08", 9));
}

TEST(SparkplugPayload, ARebirthIsACommandThatNodesKnow) {
  const std::string bytes = rebirth_command(300);
  const auto payload = read_payload(bytes);
  ASSERT_TRUE(payload);
  EXPECT_EQ(payload->timestamp_ms, 300U);
  EXPECT_FALSE(payload->seq) << "commands have none";
  ASSERT_EQ(payload->metrics.size(), 1U);
  EXPECT_EQ(payload->metrics[0].name, "Node Control/Rebirth");
  EXPECT_EQ(payload->metrics[0].type, 11U);
  EXPECT_EQ(payload->metrics[0].value, Value(true));
}

TEST(SparkplugPayload, ScalarsAsJson) {
  EXPECT_EQ(json_of(Value(uint32_t{0xFF}), 1), "-1");
  EXPECT_EQ(json_of(Value(uint32_t{0xFFFFFFFF}), 1), "-1") << "some widen it";
  EXPECT_EQ(json_of(Value(uint32_t{0x8000}), 2), "-32768");
  EXPECT_EQ(json_of(Value(uint32_t{0xFFFFFFFE}), 3), "-2");
  EXPECT_EQ(json_of(Value(uint32_t{0xFFFFFFFE}), 7), "4294967294");
  EXPECT_EQ(json_of(Value(UINT64_MAX), 4), "-1");
  EXPECT_EQ(json_of(Value(UINT64_MAX), 8), "18446744073709551615");
  EXPECT_EQ(json_of(Value(0.1F), 9), "0.1");
  EXPECT_EQ(json_of(Value(0.1), 10), "0.1");
  EXPECT_EQ(json_of(Value(376283748374627350528.0), 10), "3.7628374837462735e+20") << "no whole number of 69 bits";
  EXPECT_EQ(json_of(Value(-1e17), 10), "-1e+17");
  EXPECT_EQ(json_of(Value(std::numeric_limits<double>::infinity()), 10), "null");
  EXPECT_EQ(json_of(Value(std::numeric_limits<float>::quiet_NaN()), 9), "null");
  EXPECT_EQ(json_of(Value(false), 11), "false");
  EXPECT_EQ(json_of(Value(), 10), "null");
  EXPECT_FALSE(json_of(Value(std::string_view("x")), 12)) << "a text is whoever writes it to quote";
  EXPECT_FALSE(json_of(Value(Compound{}), 16));
  EXPECT_FALSE(json_of(Value(), 17)) << "no scalar, though it has no value";
  EXPECT_EQ(type_name(10), "Double");
  EXPECT_EQ(type_name(16), "");
  EXPECT_EQ(type_name(UINT32_MAX), "");
}

TEST(SparkplugPayload, NullTakesTheValueAway) {
  const std::string bytes = metric(name_is("T") + real_is(1) + number_field(7, 1));
  EXPECT_EQ(read_payload(bytes)->metrics.front().value, Value());
}

TEST_F(SparkplugNodes, DataHaveTheNamesAndTypesOfTheirBirth) {
  EXPECT_EQ(names(take(MessageType::nbirth, birth(0))), "Temp:10 Level:3 ");
  EXPECT_EQ(names(take(MessageType::ndata, data(1))), "Temp:10 ");
  EXPECT_EQ(names(take(MessageType::ndata, data(2, 2))), "Level:3 ");
  EXPECT_EQ(names(take(MessageType::ndata, metric(name_is("Level") + whole_is(1)) + seq(3))), "Level:3 ");
  const auto unknown = take(MessageType::ndata, data(4, 3));
  EXPECT_EQ(unknown.unnamed, 1U);
  EXPECT_TRUE(unknown.gap) << "a birth is missing";
}

TEST_F(SparkplugNodes, ADeviceHasItsOwnAliases) {
  take(MessageType::nbirth, birth(0));
  const std::string pump = metric(name_is("Speed") + alias_is(9) + type_is(3) + whole_is(1)) + seq(1);
  EXPECT_EQ(names(take(MessageType::dbirth, pump, "pump")), "Speed:3 ");
  EXPECT_EQ(names(take(MessageType::ddata, data(2, 9), "pump")), "Speed:3 ");
  EXPECT_EQ(take(MessageType::ddata, data(3, 9), "fan").unnamed, 1U);
  EXPECT_FALSE(take(MessageType::ddeath, seq(4), "pump").gap);
  EXPECT_EQ(take(MessageType::ddata, data(5, 9), "pump").unnamed, 1U) << "it is dead";
}

TEST_F(SparkplugNodes, SequenceNumbersGoRoundAndAGapIsSeenOnce) {
  take(MessageType::nbirth, birth(0));
  for (uint64_t number = 1; number < 600; ++number)
    ASSERT_FALSE(take(MessageType::ndata, data(number % 256)).gap) << number;
  auto gap = take(MessageType::ndata, data((600 + 1) % 256));
  EXPECT_TRUE(gap.gap);
  EXPECT_TRUE(gap.rebirth);
  EXPECT_EQ(names(gap), "Temp:10 ") << "its birth is known all the same";
  EXPECT_FALSE(take(MessageType::ndata, data((600 + 2) % 256)).gap);
  EXPECT_TRUE(take(MessageType::ndata, metric(alias_is(1) + real_is(1))).gap) << "none is wrong, too";
}

TEST_F(SparkplugNodes, ANodeIsAskedOnceInAWhile) {
  EXPECT_TRUE(take(MessageType::ndata, data(7)).rebirth) << "nobody saw its birth";
  now_ns_ += 29 * kSecond;
  EXPECT_FALSE(take(MessageType::ndata, data(8)).rebirth);
  now_ns_ += kSecond;
  EXPECT_TRUE(take(MessageType::ndata, data(9)).rebirth);
  now_ns_ += 30 * kSecond;
  EXPECT_FALSE(take(MessageType::nbirth, birth(0)).rebirth);
  EXPECT_FALSE(take(MessageType::ndata, data(1)).rebirth);
  Nodes silent(0);
  EXPECT_FALSE(silent.take(topic(MessageType::ndata), *payload_, now_ns_).rebirth);
}

TEST_F(SparkplugNodes, ADeathBehindTheNextBirthIsTheOneBefores) {
  const auto death = [](uint64_t bd_seq) { return at_ms(1) + metric(name_is("bdSeq") + type_is(8) + long_is(bd_seq)); };
  take(MessageType::nbirth, birth(4));
  take(MessageType::nbirth, birth(5));
  take(MessageType::ndeath, death(4));
  EXPECT_EQ(nodes_.count(), 1U);
  take(MessageType::ndeath, death(5));
  EXPECT_EQ(nodes_.count(), 0U);
  EXPECT_EQ(nodes_.bytes(), 0U);
  take(MessageType::ndeath, death(5));
  EXPECT_EQ(nodes_.count(), 0U);
}

TEST_F(SparkplugNodes, CommandsAreNobodysMessages) {
  take(MessageType::nbirth, birth(0));
  EXPECT_EQ(names(take(MessageType::ncmd, rebirth_command(1))), "");
  EXPECT_FALSE(take(MessageType::ndata, data(1)).gap);
}

TEST_F(SparkplugNodes, WhoCompressesIsNotCounted) {
  const std::string compressed = bytes_field(4, "SPBV1.0_COMPRESSED") + bytes_field(5, "body") +
                                 metric(name_is("algorithm") + type_is(12) + text_is("GZIP"));
  take(MessageType::nbirth, birth(0));
  const auto outcome = take(MessageType::ndata, compressed);
  EXPECT_TRUE(outcome.metrics.empty());
  EXPECT_FALSE(outcome.gap);
  EXPECT_FALSE(take(MessageType::ndata, data(7)).gap);
  take(MessageType::nbirth, birth(0));
  EXPECT_TRUE(take(MessageType::ndata, data(7)).gap);
}

// What the birth before said is not so any more, and the node is not asked for what it would say again.
TEST_F(SparkplugNodes, OfABirthThatCannotBeReadNothingOldIsBelieved) {
  const std::string compressed = bytes_field(4, "SPBV1.0_COMPRESSED") + bytes_field(5, "body");
  for (const bool reads : {true, false}) {
    take(MessageType::nbirth, birth(0));
    EXPECT_EQ(take(MessageType::ndata, data(1)).unnamed, 0U);
    if (reads)
      take(MessageType::nbirth, compressed);
    else
      nodes_.take_unread(topic(MessageType::nbirth));
    const auto outcome = take(MessageType::ndata, data(1));
    EXPECT_EQ(outcome.unnamed, 1U);
    EXPECT_FALSE(outcome.rebirth);
    EXPECT_EQ(nodes_.bytes(), 0U);
  }
}

TEST_F(SparkplugNodes, WhoDiesIsNotAskedTheSooner) {
  EXPECT_TRUE(take(MessageType::ndata, data(7)).rebirth);
  take(MessageType::ndeath, at_ms(1));
  EXPECT_FALSE(take(MessageType::ndata, data(7)).rebirth);
  now_ns_ += 30 * kSecond;
  take(MessageType::ndeath, at_ms(1));
  EXPECT_EQ(nodes_.count(), 0U);
  EXPECT_TRUE(take(MessageType::ndata, data(7)).rebirth);
}

TEST_F(SparkplugNodes, OneNodeTakesItsShare) {
  Nodes shared(kSecond, {2, 10, 10'000, 600});
  const auto payload = [this](const std::string& bytes) { return *read_payload(bytes_ = bytes); };
  for (int device = 0; device < 9; ++device) {
    const std::string speed = metric(name_is("Speed") + alias_is(9) + type_is(3) + whole_is(1));
    shared.take(topic(MessageType::dbirth, "d" + std::to_string(device)), payload(speed + seq(1)), 1);
  }
  EXPECT_LT(shared.bytes(), 2'000U);
  shared.take({"plant", MessageType::nbirth, "edge-2", ""}, payload(birth(0)), 1);
  EXPECT_EQ(shared.take({"plant", MessageType::ndata, "edge-2", ""}, payload(data(1)), 1).unnamed, 0U);
}

TEST_F(SparkplugNodes, WhatFindsNoRoomIsNotKnownAndNotAskedFor) {
  const auto payload = [this](const std::string& bytes) { return *read_payload(bytes_ = bytes); };
  Nodes few(kSecond, {1, 1, 1'000});
  few.take(topic(MessageType::nbirth), payload(birth(0)), 1);
  const Topic other{"plant", MessageType::ndata, "edge-2", ""};
  auto outcome = few.take(other, payload(data(1)), 1);
  EXPECT_EQ(outcome.unnamed, 1U);
  EXPECT_FALSE(outcome.rebirth);
  const std::string speed = metric(name_is("Speed") + alias_is(9) + type_is(3) + whole_is(1));
  EXPECT_FALSE(few.take(topic(MessageType::dbirth, "a"), payload(speed + seq(1)), 1).rebirth);
  EXPECT_FALSE(few.take(topic(MessageType::dbirth, "b"), payload(speed + seq(2)), 1).rebirth);
  outcome = few.take(topic(MessageType::ddata, "b"), payload(data(3, 9)), 1);
  EXPECT_EQ(outcome.unnamed, 1U);
  EXPECT_FALSE(outcome.rebirth);
  Nodes narrow(kSecond, {1, 1, 400});
  narrow.take(topic(MessageType::nbirth), payload(birth(0)), 1);
  EXPECT_LE(narrow.bytes(), 400U);
  EXPECT_FALSE(narrow.take(topic(MessageType::ndata), payload(data(1, 2)), 1).rebirth);
}

// Births, data and deaths of a node and its devices in any order, against a list of what was born.
TEST_F(SparkplugNodes, AgreeWithANaiveList) {
  std::mt19937 random(5);
  std::map<std::string, std::map<uint64_t, std::string>> known;
  bool born = false;
  uint64_t next = 0;
  const std::vector<std::string> devices{"", "a", "b"};
  for (int step = 0; step < 20'000; ++step) {
    const std::string& device = devices[random() % devices.size()];
    const uint64_t alias = random() % 4;
    const std::string name = "m" + std::to_string(random() % 50);
    const std::string said = metric(name_is(name) + alias_is(alias) + type_is(10) + real_is(1));
    const uint64_t number = random() % 8 == 0 ? random() % 256 : next;
    const auto kind = random() % 16;
    const bool counted = kind < 15 || !device.empty();
    if (kind == 0) {
      take(MessageType::nbirth, said + seq(number));
      known.clear();
      known[""][alias] = name;
      born = true;
    } else if (kind == 1 && !device.empty()) {
      const auto outcome = take(MessageType::dbirth, said + seq(number), device);
      EXPECT_EQ(outcome.gap, !born || number != next);
      known[device] = {{alias, name}};
    } else if (kind == 15 && device.empty()) {
      take(MessageType::ndeath, at_ms(1));
      known.clear();
      born = false;
    } else if (kind == 15) {
      EXPECT_EQ(take(MessageType::ddeath, seq(number), device).gap, !born || number != next);
      known.erase(device);
    } else {
      const auto type = device.empty() ? MessageType::ndata : MessageType::ddata;
      const auto outcome = take(type, data(number, alias), device);
      const auto found = known[device].find(alias);
      const bool named = found != known[device].end();
      EXPECT_EQ(names(outcome), named ? found->second + ":10 " : "");
      EXPECT_EQ(outcome.gap, !born || number != next || !named);
    }
    if (counted) next = (number + 1) % 256;
  }
}

}  // namespace heptane::iot::test
