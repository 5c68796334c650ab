// Streams over topic filters in the machine: against a naive matcher, with changes, drops, refusals and rolled-back
// transactions that leave no trace, a durable session and snapshots in between; and the rules one by one.

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>

#include "kernel/shard/command_run.h"
#include "kernel/shard/memory_snapshot.h"
#include "kernel/shard/transact.h"
#include "kernel/streams/streams_machine.h"
#include "modules/iot/machine/broker_machine.h"
#include "modules/iot/machine/publish_records.h"
#include "modules/iot/test/broker_rig.h"
#include "modules/iot/test/trail.h"

namespace heptane::iot::test {
namespace {

struct Sent {
  std::string topic;
  uint8_t qos = 1;
  bool retain = false;
  std::string payload;
};

// `KEY VALUE` of what a view renders.
class Lines final : public RecordWriter {
 public:
  bool wants() const override { return true; }
  bool full() const override { return false; }
  void skip() override { FAIL() << "a record that is wanted is passed over"; }
  void add(const ViewRecord& record) override {
    lines.push_back(std::string(as_text(record.key)) + ' ' + std::string(as_text(record.value)));
  }
  std::vector<std::string> lines;
};

// With the records as they would be read.
class StreamsRig final : public MachineRig {
 public:
  explicit StreamsRig(uint32_t version = BrokerMachine().newest_version()) : MachineRig(version) {
    machines_.add(trail);
  }

  Reply declare(const StreamDeclaration& said) { return apply(kDeclareStream, encode(said)); }
  Reply drop(std::string_view name) { return apply(kDropStream, Buffer::copy_of(name)); }
  static Buffer publishes(const std::vector<Sent>& sent) {
    ByteWriter out;
    out.le<uint16_t>(static_cast<uint16_t>(sent.size()));
    for (const Sent& one : sent) {
      MessageView message;
      message.qos = one.qos;
      message.retain = one.retain;
      message.topic = one.topic;
      message.client = "publisher";
      message.payload = one.payload;
      append_message(out, message);
    }
    return Buffer::take(out.release());
  }
  Reply publish(const std::vector<Sent>& sent, bool rolled_back = false) {
    return apply(kPublish, publishes(sent), rolled_back);
  }

  std::vector<std::string> lines(std::string_view stream, uint32_t index = 0) const {
    const auto partition = streams.find_partition(stream, index);
    const auto found = partition ? records.find(*partition) : records.end();
    return found == records.end() ? std::vector<std::string>{} : found->second;
  }
  void restore_all() {
    restore();
    MemorySnapshot of_streams;
    streams.save(of_streams);
    ASSERT_TRUE(streams.restore(of_streams).ok());
    MemorySnapshot again;
    streams.save(again);
    ASSERT_EQ(as_text(again.bytes()), as_text(of_streams.bytes()));
  }
  // References of the session.
  std::vector<RecordPlace> places(uint64_t session, uint64_t epoch) const {
    std::vector<RecordPlace> places;
    for (const QueuePage::Item& item : queue(session, epoch)) places.push_back(item.place);
    return places;
  }

  Trail trail;
  std::map<PartitionId, std::vector<std::string>> records;

 private:
  void render(const LoggedCommand& logged, const log::ViewRun& run) override {
    Lines out;
    render_views(logged, run.view, out);
    ASSERT_EQ(out.lines.size(), run.count);
    std::vector<std::string>& kept = records[run.partition];
    ASSERT_EQ(static_cast<Offset>(kept.size()), run.first);
    kept.insert(kept.end(), out.lines.begin(), out.lines.end());
  }
};

StreamDeclaration over(std::string name, std::string filter, uint32_t partitions = 1) {
  StreamDeclaration said;
  said.name = std::move(name);
  said.filter = std::move(filter);
  said.partitions = partitions;
  return said;
}

using Texts = std::vector<std::string>;

TEST(DeclaredStreams, AMessageIsInEveryStreamThatMatchesElseInMessages) {
  StreamsRig rig;
  EXPECT_EQ(rig.declare(over("temps", "plant/+/temp")).numbers[0], 1);
  EXPECT_EQ(rig.declare(over("plant", "plant/#")).numbers[0], 1);
  const Reply reply =
      rig.publish({{"plant/a/temp", 1, false, "1"}, {"plant/a/rpm", 2, false, "2"}, {"other", 1, true, "3"}});
  EXPECT_EQ(rig.lines("temps"), Texts({"plant/a/temp 1"}));
  EXPECT_EQ(rig.lines("plant"), Texts({"plant/a/temp 1", "plant/a/rpm 2"}));
  EXPECT_EQ(rig.lines("iot.messages"), Texts({"other 3"}));
  // Where each is: in the first of its streams, by name.
  DeclaredPlaces places(reply.payload.view().subspan(3 + sizeof(PartitionId)));
  const auto first = places.of(0);
  const auto second = places.of(1);
  ASSERT_TRUE(first && second);
  EXPECT_EQ(first->partition, *rig.streams.find_partition("plant", 0));
  EXPECT_EQ(first->offset, 0);
  EXPECT_EQ(second->offset, 1);
  EXPECT_FALSE(places.of(2));
  EXPECT_EQ(reply.numbers[0], 3);
  EXPECT_EQ(reply.numbers[1], 0);
}

TEST(DeclaredStreams, ADeclarationHoldsFromItsPlaceAndIsAudited) {
  StreamsRig rig;
  rig.publish({{"a", 1, false, "before"}});
  rig.declare(over("s", "a"));
  rig.publish({{"a", 1, false, "in"}});
  EXPECT_TRUE(rig.declare(over("s", "a")).repeated);
  EXPECT_EQ(rig.declare(over("s", "b")).numbers[0], 2);
  rig.publish({{"a", 1, false, "after"}});
  EXPECT_EQ(rig.lines("s"), Texts({"a in"}));
  EXPECT_TRUE(rig.drop("s").ok());
  EXPECT_FALSE(rig.streams.find_partition("s", 0));
  EXPECT_EQ(rig.drop("s").error, Errc::not_found);
  rig.publish({{"b", 1, false, "late"}});
  EXPECT_EQ(rig.lines("iot.messages"), Texts({"a before", "a after", "b late"}));
  EXPECT_EQ(rig.trail.told, Texts({"mqtt.stream.declare s: a, partitions 1", "mqtt.stream.change s: b, partitions 1",
                                   "mqtt.stream.drop s: b, partitions 1"}));
}

TEST(DeclaredStreams, QosZeroIsForStreamsThatWantItAlone) {
  StreamsRig rig;
  rig.declare(over("plain", "t/#"));
  StreamDeclaration said = over("fleeting", "t/+");
  said.qos0 = true;
  rig.declare(said);
  rig.publish({{"t/1", 0, false, "a"}, {"t/1", 0, true, "b"}, {"t/1", 1, false, "c"}});
  EXPECT_EQ(rig.lines("fleeting"), Texts({"t/1 a", "t/1 b", "t/1 c"}));
  EXPECT_EQ(rig.lines("plain"), Texts({"t/1 b", "t/1 c"}));
}

TEST(DeclaredStreams, ARelaxedStreamIsOneOfQosZeroAndNothingOlderLogicKnows) {
  StreamDeclaration said = over("fast", "t/#");
  said.relaxed = true;
  EXPECT_EQ(StreamsRig().declare(said).error, Errc::invalid_argument) << "there is nothing that could be pushed early";
  said.qos0 = true;
  EXPECT_EQ(StreamsRig(BrokerMachine::kLogicReturns).declare(said).error, Errc::invalid_argument);
  StreamsRig rig;
  ASSERT_TRUE(rig.declare(said).ok());
  EXPECT_TRUE(rig.declare(said).repeated);
  EXPECT_EQ(rig.trail.told, Texts({"mqtt.stream.declare fast: t/#, partitions 1, qos0, relaxed"}));
  rig.publish({{"t/1", 0, false, "a"}});
  EXPECT_EQ(rig.lines("fast"), Texts({"t/1 a"}));
}

TEST(DeclaredStreams, ATopicIsInOnePartitionAsKafkasClientsPlaceIt) {
  // Of Kafka's own tests of its hash, cut to a positive number.
  const std::map<std::string, int32_t> known = {{"21", -973932308},
                                                {"foobar", -790332482},
                                                {"a-little-bit-long-string", -985981536},
                                                {"a-little-bit-longer-string", -1486304829},
                                                {"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971},
                                                {"abc", 479470107}};
  for (const auto& [text, hash] : known)
    EXPECT_EQ(partition_of(text, 1'000'003), (static_cast<uint32_t>(hash) & 0x7fffffff) % 1'000'003) << text;
  StreamsRig rig;
  rig.declare(over("many", "#", 5));
  std::set<uint32_t> used;
  for (int i = 0; i < 50; ++i) {
    const std::string topic = "t/" + std::to_string(i);
    rig.publish({{topic, 1, false, "1"}, {topic, 1, false, "2"}});
    const uint32_t index = partition_of(topic, 5);
    used.insert(index);
    const Texts lines = rig.lines("many", index);
    ASSERT_GE(lines.size(), 2U);
    EXPECT_EQ(Texts(lines.end() - 2, lines.end()), Texts({topic + " 1", topic + " 2"}));
  }
  EXPECT_EQ(used.size(), 5U);
}

TEST(DeclaredStreams, WhatCannotBeDeclaredIsRefusedAndLeavesNothing) {
  StreamsRig rig;
  const std::string before = rig.state();
  for (const char* name : {"", "a b", "iot.mine", "fintech.mine", "audit", "__x"})
    EXPECT_EQ(rig.declare(over(name, "a")).error, Errc::invalid_argument) << name;
  for (const char* filter : {"", "a/#/b", "a+", "$share/g/a", "$SYS/#", "$SYS", "$CONTROL/+"})
    EXPECT_EQ(rig.declare(over("s", filter)).error, Errc::invalid_argument) << filter;
  EXPECT_EQ(rig.declare(over("s", "a", 65)).error, Errc::invalid_argument);
  EXPECT_EQ(rig.declare(over("s", std::string(1025, 'a'))).error, Errc::invalid_argument);
  EXPECT_EQ(rig.apply(kDeclareStream, Buffer::copy_of("x")).error, Errc::invalid_argument);
  EXPECT_EQ(rig.apply(kDeclareStream, encode(over("s", "a")), true).error, Errc::unsupported);
  EXPECT_EQ(rig.state(), before);
  EXPECT_TRUE(rig.machine.fresh());
  rig.declare(over("s", "a", 2));
  EXPECT_EQ(rig.declare(over("s", "a", 3)).error, Errc::invalid_argument);  // partitions stay
  rig.drop("s");
  EXPECT_TRUE(rig.machine.fresh());
  EXPECT_EQ(rig.state(), before);
}

TEST(DeclaredStreams, ThereIsRoomForSoManyAndNumbersOfViewsAreUsedAgain) {
  StreamsRig rig;
  for (uint32_t i = 0; i < 8; ++i) EXPECT_TRUE(rig.declare(over("s" + std::to_string(i), "a", 64)).ok());
  EXPECT_EQ(rig.declare(over("more", "a")).error, Errc::refused);
  rig.drop("s3");
  EXPECT_TRUE(rig.declare(over("more", "a", 60)).ok());
  EXPECT_TRUE(rig.declare(over("most", "a", 4)).ok());
  EXPECT_EQ(rig.machine.declared().find("more")->first_view, rig.machine.declared().find("s2")->first_view + 64);
  EXPECT_EQ(rig.machine.declared().find("most")->first_view, rig.machine.declared().find("more")->first_view + 60);
  // The largest command there can be.
  std::vector<Sent> sent(kPublishesMax, Sent{"a", 1, false, "x"});
  EXPECT_TRUE(rig.publish(sent).ok());
  const uint32_t index = partition_of("a", 64);
  EXPECT_EQ(rig.lines("s0", index).size(), kPublishesMax);
  EXPECT_EQ(rig.lines("s7", index).size(), kPublishesMax);
}

TEST(DeclaredStreams, AStreamOfAClientIsTakenOverOnlyWithoutRecords) {
  StreamsRig rig;
  const PartitionId there = rig.streams.ensure_stream("made", 1);
  EXPECT_EQ(rig.declare(over("made", "a", 2)).error, Errc::exists);
  EXPECT_TRUE(rig.declare(over("made", "a")).ok());
  EXPECT_EQ(rig.machine.declared().find("made")->partitions, std::vector<PartitionId>{there});
  const PartitionId used = rig.streams.ensure_stream("used", 2);
  rig.streams.head(used)->next_offset = 1;
  EXPECT_EQ(rig.declare(over("used", "a")).error, Errc::exists);
}

// The path of most messages takes no byte more for what is declared elsewhere.
TEST(DeclaredStreams, AMessageOfNoDeclaredStreamCostsTheLogNothingMore) {
  StreamsRig rig;
  rig.publish({{"a", 1, false, "x"}});
  const size_t before = rig.last_extensions;
  const Reply plain = rig.publish({{"a", 1, false, "x"}, {"b", 1, false, "x"}});
  rig.declare(over("s", "c"));
  const Reply reply = rig.publish({{"a", 1, false, "x"}, {"b", 1, false, "x"}});
  EXPECT_EQ(rig.last_extensions, before);
  EXPECT_EQ(as_text(reply.payload.view()), as_text(plain.payload.view()));
}

// What clients of other protocols append.
Buffer appended(std::string_view stream, const std::vector<Sent>& sent, PublishRecords::Producer producer = {},
                uint16_t partition = 0) {
  PublishRecordsWriter out(stream, partition, producer, static_cast<uint16_t>(sent.size()));
  for (const Sent& one : sent) {
    MessageView message;
    message.qos = one.qos;
    message.retain = one.retain;
    message.topic = one.topic;
    message.payload = one.payload;
    out.add(message);
  }
  return out.finish();
}

StreamDeclaration publishing(std::string name, std::string filter) {
  StreamDeclaration said = over(std::move(name), std::move(filter));
  said.publish = true;
  return said;
}

TEST(DeclaredStreams, WhatIsAppendedIsPublishedAllOrNone) {
  StreamsRig rig;
  rig.declare(publishing("out", "cmd/#"));
  rig.declare(over("all", "#"));
  rig.publish({{"cmd/a", 1, false, "by MQTT"}});
  const Reply reply = rig.apply(kPublishRecords, appended("out", {{"cmd/a", 1, true, "1"}, {"cmd/b", 2, false, "2"}}));
  ASSERT_TRUE(reply.ok()) << reply.message;
  EXPECT_EQ(reply.numbers[0], 1);
  EXPECT_EQ(reply.numbers[1], 2);
  EXPECT_EQ(rig.lines("out"), Texts({"cmd/a by MQTT", "cmd/a 1", "cmd/b 2"}));
  EXPECT_EQ(rig.lines("all"), rig.lines("out"));
  EXPECT_EQ(rig.machine.retained().size(), 1U);
  // Nothing of a batch with a message that finds no room.
  OpenSession open;
  open.client = "full";
  open.queue_max = 1;
  open.expiry_s = 100;
  open.queue_full = QueueFull::refuse;
  const Reply opened = rig.apply(kOpenSession, encode(open));
  rig.apply(kSubscribe, encode(ChangeFilters{static_cast<uint64_t>(opened.numbers[0]),
                                             static_cast<uint64_t>(opened.numbers[1]),
                                             {{"cmd/b", {0, 0, 1, false, false}}}}));
  const std::string before = rig.state();
  const Reply full = rig.apply(
      kPublishRecords, appended("out", {{"cmd/a", 1, true, "new"}, {"cmd/b", 1, false, ""}, {"cmd/b", 1, false, ""}}));
  EXPECT_EQ(full.error, Errc::too_large) << "it never finds room";
  EXPECT_EQ(rig.state(), before);
  EXPECT_TRUE(rig.apply(kPublishRecords, appended("out", {{"cmd/b", 1, false, "3"}})).ok());
  EXPECT_EQ(rig.lines("out").back(), "cmd/b 3");
  const std::string filled = rig.state();
  EXPECT_EQ(rig.apply(kPublishRecords, appended("out", {{"cmd/b", 1, false, "4"}})).error, Errc::overloaded);
  EXPECT_EQ(rig.state(), filled);
  // Not what the stream does not take, whatever a gateway believed.
  EXPECT_EQ(rig.apply(kPublishRecords, appended("out", {{"other", 1, false, ""}})).error, Errc::refused);
  EXPECT_EQ(rig.apply(kPublishRecords, appended("out", {{"cmd/a", 0, false, ""}})).error, Errc::refused);
  EXPECT_EQ(rig.apply(kPublishRecords, appended("all", {{"cmd/a", 1, false, ""}})).error, Errc::refused);
  EXPECT_EQ(rig.apply(kPublishRecords, appended("none", {{"cmd/a", 1, false, ""}})).error, Errc::refused);
  EXPECT_EQ(rig.apply(kPublishRecords, Buffer::copy_of("x")).error, Errc::invalid_argument);
  EXPECT_EQ(rig.apply(kPublishRecords, appended("out", {{"cmd/a", 1, false, ""}}), true).error, Errc::unsupported);
}

// In the partition that its topic has, with what is published over MQTT: nothing of it is anywhere else.
TEST(DeclaredStreams, WhatIsAppendedGoesWhereItsTopicBelongs) {
  StreamsRig rig;
  StreamDeclaration said = publishing("out", "cmd/#");
  said.partitions = 4;
  ASSERT_TRUE(rig.declare(said).ok());
  std::map<uint32_t, std::vector<std::string>> topics;  // by partition
  for (int i = 0; i < 40; ++i) {
    const std::string topic = "cmd/" + std::to_string(i);
    topics[partition_of(topic, 4)].push_back(topic);
  }
  ASSERT_EQ(topics.size(), 4U);
  for (const auto& [index, its] : topics) {
    const auto at = static_cast<uint16_t>(index);
    rig.publish({{its[0], 1, false, "by MQTT"}});
    const Buffer batch = appended("out", {{its[0], 1, false, "1"}, {its[1], 1, false, "2"}}, {7, 0, 0}, at);
    const Reply reply = rig.apply(kPublishRecords, batch);
    ASSERT_TRUE(reply.ok()) << reply.message;
    EXPECT_EQ(reply.numbers[0], 1);
    const std::vector<std::string> wanted = {its[0] + " by MQTT", its[0] + " 1", its[1] + " 2"};
    EXPECT_EQ(rig.lines("out", index), wanted);
    // Producers count for each partition.
    const Reply repeat = rig.apply(kPublishRecords, batch);
    EXPECT_TRUE(repeat.ok() && repeat.repeated);
    EXPECT_EQ(repeat.numbers[0], 1);
    EXPECT_EQ(rig.lines("out", index), wanted);
    // One that belongs elsewhere takes its batch along.
    const std::string& others = topics[(index + 1) % 4][0];
    const Buffer wrong = appended("out", {{its[0], 1, false, "3"}, {others, 1, false, "4"}}, {}, at);
    EXPECT_EQ(rig.apply(kPublishRecords, wrong).error, Errc::refused);
  }
  EXPECT_EQ(rig.apply(kPublishRecords, appended("out", {{"cmd/1", 1, false, ""}}, {}, 4)).error, Errc::refused);
  EXPECT_EQ(rig.lines("iot.messages"), Texts());
}

TEST(DeclaredStreams, OlderLogicPublishesIntoOnePartitionAlone) {
  StreamsRig rig(BrokerMachine::kLogicWalks);
  StreamDeclaration said = publishing("out", "cmd/#");
  said.partitions = 2;
  EXPECT_EQ(rig.declare(said).error, Errc::invalid_argument);
  ASSERT_TRUE(rig.declare(publishing("out", "cmd/#")).ok());
  ASSERT_TRUE(rig.declare(over("many", "cmd/#", 2)).ok());
  // A change of one is no way around it.
  said.name = "many";
  EXPECT_EQ(rig.declare(said).error, Errc::invalid_argument);
  const std::string before = rig.state();
  EXPECT_EQ(rig.apply(kPublishRecords, appended("out", {{"cmd/1", 1, false, ""}}, {}, 1)).error,
            Errc::invalid_argument);
  EXPECT_EQ(rig.state(), before);
  EXPECT_TRUE(rig.apply(kPublishRecords, appended("out", {{"cmd/1", 1, false, ""}})).ok());
}

TEST(DeclaredStreams, WhatIsAppendedNeedsMessagesOfItsOwnToo) {
  StreamsRig rig;
  rig.streams.head(rig.streams.ensure_stream("iot.messages", 1))->next_offset = 1;
  rig.declare(publishing("out", "cmd/#"));
  EXPECT_EQ(rig.apply(kPublishRecords, appended("out", {{"cmd/a", 1, false, ""}})).error, Errc::exists);
}

TEST(DeclaredStreams, WhatIsAppendedLeavesNothingDroppedInAQueue) {
  StreamsRig rig;
  rig.declare(publishing("out", "cmd/#"));
  OpenSession open;
  open.client = "slow";
  open.queue_max = 10;
  open.expiry_s = 100;
  const Reply opened = rig.apply(kOpenSession, encode(open));
  const auto session = static_cast<uint64_t>(opened.numbers[0]);
  const auto epoch = static_cast<uint64_t>(opened.numbers[1]);
  rig.apply(kSubscribe, encode(ChangeFilters{session, epoch, {{"cmd/#", {0, 0, 1, false, false}}}}));
  const std::vector<Sent> batch(kPublishRecordsMax, Sent{"cmd/a", 1, false, "x"});
  for (int i = 0; i < 10; ++i) {
    ASSERT_TRUE(rig.apply(kPublishRecords, appended("out", batch)).ok());
    rig.fire();
    EXPECT_EQ(rig.machine.sessions().find(session)->queue.size(), 10U);
    EXPECT_EQ(rig.machine.sessions().references(), 10U);
  }
  const std::vector<RecordPlace> places = rig.places(session, epoch);
  ASSERT_EQ(places.size(), 10U);
  EXPECT_EQ(places.back().offset, static_cast<Offset>(10 * kPublishRecordsMax - 1));
  EXPECT_EQ(*rig.apply(kPublishRecords, appended("out", std::vector<Sent>(kPublishRecordsMax + 1, batch[0]))).error,
            Errc::invalid_argument);
}

// The work of an append is bounded; what was done of it is undone.
class LargeAppends : public testing::Test {
 protected:
  LargeAppends() { rig_.declare(publishing("out", "cmd/#")); }
  void is_too_large(const std::vector<Sent>& batch) {
    const std::string before = rig_.state();
    const Reply reply = rig_.apply(kPublishRecords, appended("out", batch));
    ASSERT_TRUE(reply.error.has_value());
    EXPECT_EQ(reply.error, Errc::too_large) << reply.message;
    EXPECT_EQ(rig_.state(), before);
    EXPECT_TRUE(rig_.lines("out").empty());
  }
  StreamsRig rig_;
};

TEST_F(LargeAppends, IntoManyStreams) {
  for (int i = 0; i < 7; ++i) rig_.declare(over("more" + std::to_string(i), "#"));
  is_too_large(std::vector<Sent>(kPublishRecordsMax, Sent{"cmd/a", 1, false, "x"}));
}

TEST_F(LargeAppends, ForManySessionsWhereOneRefuses) {
  for (int i = 0; i < 7; ++i) {
    const std::string client = "c" + std::to_string(i);
    OpenSession open;
    open.client = client;
    open.queue_max = kQueueLimit;
    open.expiry_s = 100;
    open.queue_full = QueueFull::refuse;
    const Reply opened = rig_.apply(kOpenSession, encode(open));
    const auto session = static_cast<uint64_t>(opened.numbers[0]);
    const auto epoch = static_cast<uint64_t>(opened.numbers[1]);
    rig_.apply(kSubscribe, encode(ChangeFilters{session, epoch, {{"cmd/#", {0, 0, 1, false, false}}}}));
  }
  is_too_large(std::vector<Sent>(kPublishRecordsMax, Sent{"cmd/a", 1, false, "x"}));
}

TEST_F(LargeAppends, OverRetainedMessages) {
  std::vector<Sent> tombstones;
  const std::string payload(size_t{1} << 20, 'x');
  for (int i = 0; i < 17; ++i) {
    const std::string topic = "cmd/" + std::to_string(i);
    ASSERT_TRUE(rig_.publish({{topic, 0, true, payload}}).ok());
    tombstones.push_back({topic, 1, true, ""});
  }
  rig_.records.clear();
  is_too_large(tombstones);
}

TEST(DeclaredStreams, WhoMayNotChangeAStreamDeclaresItAsItIs) {
  StreamsRig rig;
  rig.declare(over("s", "a"));
  const std::string before = rig.state();
  const Reply same = rig.apply(kDeclareStream, encode(over("s", "a"), false));
  EXPECT_TRUE(same.ok() && same.repeated);
  const auto all = decode_declarations(same.payload.view());
  ASSERT_TRUE(all);
  EXPECT_EQ(*all, std::vector<StreamDeclaration>{over("s", "a")});
  EXPECT_EQ(rig.apply(kDeclareStream, encode(over("s", "b"), false)).error, Errc::unauthorised);
  EXPECT_EQ(rig.state(), before);
  EXPECT_EQ(rig.apply(kDeclareStream, encode(over("new", "b"), false)).numbers[0], 1);
}

TEST(DeclaredStreams, ForEverIsNotTheDefault) {
  StreamsRig rig;
  rig.kernel.config["streams.retention_ms"] = "1000";
  rig.declare(over("s", "a"));
  ASSERT_EQ(rig.streams.retained(0).size(), 1U);
  EXPECT_EQ(rig.streams.retained(0)[0].config.retention_ms, 1000);
  StreamDeclaration said = over("s", "a");
  said.retention_ms = kForEver;
  EXPECT_EQ(rig.declare(said).numbers[0], 2);
  EXPECT_TRUE(rig.streams.retained(0).empty());
  said.retention_ms = kForEver - 1;
  EXPECT_EQ(rig.declare(said).error, Errc::invalid_argument);
}

TEST(DeclaredStreams, QosZeroThatNoStreamWantsAnyMoreIsNoRecord) {
  StreamsRig rig;
  const Reply none = rig.publish({{"x", 0, false, "a"}});
  EXPECT_EQ(none.payload.view()[0], static_cast<std::byte>(PublishStatus::fleeting));
  EXPECT_EQ(none.numbers[0], 0);
  rig.publish({{"x", 0, false, "b"}, {"x", 1, false, "c"}, {"x", 0, true, "d"}});
  rig.declare(over("s", "y"));
  rig.publish({{"x", 0, false, "e"}, {"y", 1, false, "f"}, {"y", 0, false, "g"}, {"x", 1, false, "h"}});
  EXPECT_EQ(rig.lines("iot.messages"), Texts({"x c", "x d", "x h"}));
  EXPECT_EQ(rig.lines("s"), Texts({"y f"}));
}

TEST(DeclaredStreams, ANumberedProducersRepeatIsPublishedOnce) {
  StreamsRig rig;
  rig.declare(publishing("out", "cmd/#"));
  const PublishRecords::Producer first{7, 0, 0};
  EXPECT_EQ(rig.apply(kPublishRecords, appended("out", {{"cmd/a", 1, false, "1"}, {"cmd/a", 1, false, "2"}}, first))
                .numbers[0],
            0);
  const Reply again =
      rig.apply(kPublishRecords, appended("out", {{"cmd/a", 1, false, "1"}, {"cmd/a", 1, false, "2"}}, first));
  EXPECT_TRUE(again.ok() && again.repeated);
  EXPECT_EQ(again.numbers[0], 0);
  EXPECT_EQ(rig.apply(kPublishRecords, appended("out", {{"cmd/a", 1, false, "9"}}, {7, 0, 5})).error, Errc::stale);
  EXPECT_EQ(rig.apply(kPublishRecords, appended("out", {{"cmd/a", 1, false, "3"}}, {7, 0, 2})).numbers[0], 2);
  EXPECT_EQ(rig.lines("out"), Texts({"cmd/a 1", "cmd/a 2", "cmd/a 3"}));
  // Also where the stream takes no such topic any more.
  rig.declare(publishing("out", "other/#"));
  const Reply late = rig.apply(kPublishRecords, appended("out", {{"cmd/a", 1, false, "3"}}, {7, 0, 2}));
  EXPECT_TRUE(late.ok() && late.repeated);
  EXPECT_EQ(late.numbers[0], 2);
}

TEST(DeclaredStreams, AWillIsInItsStreams) {
  StreamsRig rig;
  StreamDeclaration said = over("wills", "gone/#");
  said.qos0 = true;
  rig.declare(said);
  for (const uint8_t qos : {0, 1}) {
    OpenSession open;
    const std::string client = "c" + std::to_string(qos);
    open.client = client;
    const std::string topic = "gone/" + std::to_string(qos);
    open.queue_max = 10;
    open.expiry_s = 100;
    WillView& will = open.will.emplace();
    will.message.qos = qos;
    will.message.topic = topic;
    will.message.payload = "bye";
    const Reply opened = rig.apply(kOpenSession, encode(open));
    CloseSession close;
    close.session = static_cast<uint64_t>(opened.numbers[0]);
    close.epoch = static_cast<uint64_t>(opened.numbers[1]);
    close.with_will = true;
    rig.apply(kCloseSession, encode(close));
  }
  EXPECT_EQ(rig.lines("wills"), Texts({"gone/0 bye", "gone/1 bye"}));
  EXPECT_TRUE(rig.lines("iot.messages").empty());
}

// A telling of random commands beside a list of streams that are matched one by one.
class RandomRun {
 public:
  explicit RandomRun(uint32_t seed) : random_(seed) {}

  void run() {
    OpenSession open;
    open.client = "durable";
    open.queue_max = 100'000;
    open.expiry_s = 1'000;
    const Reply opened = rig_.apply(kOpenSession, encode(open));
    session_ = static_cast<uint64_t>(opened.numbers[0]);
    epoch_ = static_cast<uint64_t>(opened.numbers[1]);
    rig_.apply(kSubscribe, encode(ChangeFilters{session_, epoch_, {{"a/#", {0, 0, 1, false, false}}}}));
    for (int step = 0; step < 300; ++step) {
      const uint32_t dice = below(20);
      if (dice < 3)
        declare();
      else if (dice == 3)
        drop();
      else if (dice == 4)
        rig_.restore_all();
      else
        publish(dice == 5);
    }
    check();
  }

 private:
  uint32_t below(uint32_t end) { return static_cast<uint32_t>(random_() % end); }
  std::string level() { return std::string(1, static_cast<char>('a' + below(3))); }
  std::string topic() { return below(3) == 0 ? level() : level() + "/" + level(); }
  std::string filter() {
    static constexpr const char* kSome[] = {"#", "+", "a/#", "+/b", "a/+", "b", "+/+"};
    return below(3) == 0 ? topic() : kSome[below(7)];
  }

  void declare() {
    StreamDeclaration said = over("s" + std::to_string(below(6)), filter(), 1 + below(3));
    said.qos0 = below(3) == 0;
    said.relaxed = said.qos0 && below(2) == 0;
    const auto there = declared_.find(said.name);
    const bool changes_partitions = there != declared_.end() && there->second.partitions != said.partitions;
    const Reply reply = rig_.declare(said);
    ASSERT_EQ(reply.ok(), !changes_partitions) << reply.message;
    if (!reply.ok()) return;
    if (there == declared_.end()) contents_[said.name].assign(said.partitions, {});
    declared_[said.name] = said;
    if (!reply.repeated) {
      const auto all = decode_declarations(reply.payload.view());
      ASSERT_TRUE(all);
      ASSERT_EQ(all->size(), declared_.size());
      for (const StreamDeclaration& one : *all) ASSERT_EQ(one, declared_[one.name]);
    }
  }

  void drop() {
    const std::string name = "s" + std::to_string(below(6));
    ASSERT_EQ(rig_.drop(name).ok(), declared_.erase(name) == 1);
    contents_.erase(name);
  }

  void publish(bool rolled_back) {
    std::vector<Sent> sent;
    for (uint32_t i = 0, count = 1 + below(4); i < count; ++i)
      sent.push_back({topic(), static_cast<uint8_t>(below(3)), below(4) == 0, std::to_string(++payload_)});
    const std::string before = rolled_back ? rig_.state() : std::string();
    const Reply reply = rig_.publish(sent, rolled_back);
    ASSERT_TRUE(reply.ok()) << reply.message;
    if (rolled_back) {
      ASSERT_EQ(rig_.state(), before);
      return;
    }
    for (const Sent& one : sent) expect(one);
  }

  void expect(const Sent& sent) {
    const std::string line = sent.topic + ' ' + sent.payload;
    bool anywhere = false;
    for (const auto& [name, said] : declared_) {
      if (!matches(said.filter, sent.topic) || (sent.qos == 0 && !sent.retain && !said.qos0)) continue;
      contents_[name][partition_of(sent.topic, said.partitions)].push_back(line);
      anywhere = true;
    }
    if (!anywhere && (sent.qos > 0 || sent.retain)) messages_.push_back(line);
    if (sent.qos > 0 && matches("a/#", sent.topic)) queued_.push_back(line);
  }

  void check() {
    EXPECT_EQ(rig_.lines("iot.messages"), messages_);
    for (const auto& [name, partitions] : contents_)
      for (uint32_t i = 0; i < partitions.size(); ++i) EXPECT_EQ(rig_.lines(name, i), partitions[i]) << name << i;
    // What the session's references name is what it is to get, whichever stream it lies in; those of dropped streams too.
    const std::vector<RecordPlace> places = rig_.places(session_, epoch_);
    ASSERT_EQ(places.size(), queued_.size());
    for (size_t i = 0; i < places.size(); ++i)
      EXPECT_EQ(rig_.records[places[i].partition].at(static_cast<size_t>(places[i].offset)), queued_[i]);
  }

  std::mt19937 random_;
  StreamsRig rig_;
  uint64_t session_ = 0;
  uint64_t epoch_ = 0;
  int payload_ = 0;
  std::map<std::string, StreamDeclaration> declared_;
  std::map<std::string, std::vector<Texts>> contents_;
  Texts messages_;
  Texts queued_;
};

TEST(DeclaredStreams, AgreeWithANaiveMatcherWhateverHappens) {
  for (uint32_t seed = 1; seed <= 40 && !testing::Test::HasFailure(); ++seed) {
    SCOPED_TRACE(seed);
    RandomRun(seed).run();
  }
}

}  // namespace
}  // namespace heptane::iot::test
