// A bridge's conversation by transcripts (test/bridge_transcripts/), and its parts.
//
// A line is a step: `remote> WORDS` and `here> WORDS` what either side sends, `remote< WORDS` and `here< WORDS` all that it was sent
// since, `begin` a conversation (with what the one before left), `prepare` one that prepares, `pass 2s`, `closed` the remote closes,
// `ended WHY`, `event NAME SUBJECT|WHY`, `say KEY` of the terms. Words are as in mqtt_world.h; a line that begins with # is a remark.

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>

#include "modules/iot/domain/bridge/conversation.h"
#include "modules/iot/gateway/bridge/bridge_settings.h"
#include "modules/iot/test/mqtt_world.h"

namespace heptane::iot::bridge {
namespace {

using iot::test::bytes_of;
using iot::test::hex_of;

constexpr int64_t kSecond = 1'000'000'000;

class Script {
 public:
  Script() {
    terms_.name = "b";
    terms_.client_id = "c";
    terms_.via = "me";
    terms_.mappings = {{Direction::out, "#", "a/", "x/", 2}, {Direction::in, "#", "d/", "y/", 2}};
  }

  // What is not so; empty: nothing.
  std::string run(std::istream& in) {
    size_t number = 0;
    for (std::string line; std::getline(in, line);) {
      ++number;
      const std::string wrong = line.empty() || line[0] == '#' ? std::string() : step(line);
      if (!wrong.empty()) return "line " + std::to_string(number) + ": " + line + "\n  " + wrong;
    }
    return {};
  }

 private:
  std::string step(const std::string& line) {
    const size_t space = std::min(line.find(' '), line.size());
    const std::string what = line.substr(0, space);
    const std::string rest = line.substr(std::min(space + 1, line.size()));
    if (what == "begin" || what == "prepare") return begin(what == "begin");
    if (what == "say") return say(rest);
    if (what == "pass") return pass(std::stoll(rest) * kSecond);
    if (what == "closed") return talk_->remote_gone(Gone::closed, "closed", now_ns_), std::string();
    if (what == "ended") return same(rest, talk_->ended() ? talk_->why() : "it goes on");
    if (what == "event") return event(rest);
    if (what == "remote>" || what == "here>") return send(what == "remote>", bytes_of(rest));
    std::string& seen = what == "remote<" ? remote_ : here_;
    remote_ += talk_->take_remote();
    here_ += talk_->take_local();
    return same(hex_of(bytes_of(rest)), hex_of(std::exchange(seen, {})));
  }

  static std::string same(const std::string& wanted, const std::string& is) {
    return wanted == is ? std::string() : "is " + is;
  }

  std::string begin(bool relays) {
    remote_.clear();
    here_.clear();
    talk_ = std::make_unique<Conversation>(terms_, memory_,
                                           relays ? Conversation::Kind::relay : Conversation::Kind::prepare);
    talk_->start(now_ns_);
    return {};
  }

  std::string say(const std::string& what) {
    if (what == "3.1.1") terms_.version = mqtt::Version::v311;
    if (what == "private") terms_.private_bit = true;
    if (what == "slow") terms_.messages_per_second = 1;
    if (what == "narrow") terms_.bytes_per_second = 10;
    if (what == "stale") stale_ = {"old/#"};
    return {};
  }

  std::string pass(int64_t ns) {
    now_ns_ += ns;
    if (talk_->due_ns() <= now_ns_) talk_->pass_time(now_ns_);
    return {};
  }

  std::string event(const std::string& wanted) {
    static constexpr const char* kNames[] = {"",        "connected",     "session_lost", "dead_letter",
                                             "refused", "filter_refused"};
    for (Event& one : talk_->take_events()) events_.push_back(std::move(one));
    if (events_.empty()) return "none";
    const Event first = events_.front();
    events_.erase(events_.begin());
    return same(wanted, std::string(kNames[static_cast<size_t>(first.what)]) + ' ' + first.subject + '|' + first.why);
  }

  std::string send(bool remote, const std::string& bytes) {
    talk_->know_filters(stale_);
    Bytes rest = as_bytes(bytes);
    while (!rest.empty()) {
      mqtt::Frame frame;
      if (mqtt::read_frame(rest, SIZE_MAX, frame) || frame.size == 0) return "no packet";
      if (remote && !talk_->takes_remote()) return "the remote is not read";
      remote ? talk_->from_remote(frame, now_ns_) : talk_->from_local(frame, now_ns_);
      rest = rest.subspan(frame.size);
    }
    return {};
  }

  Terms terms_;
  Memory memory_;
  std::unique_ptr<Conversation> talk_;
  std::vector<std::string> stale_;
  std::vector<Event> events_;
  std::string remote_;
  std::string here_;
  int64_t now_ns_ = kSecond;
};

class Transcript : public testing::TestWithParam<std::string> {};

TEST_P(Transcript, IsWhatIsSaid) {
  std::ifstream file(GetParam());
  ASSERT_TRUE(file) << GetParam();
  EXPECT_EQ(Script().run(file), "");
}

std::vector<std::string> transcripts() {
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator("modules/iot/test/bridge_transcripts"))
    files.push_back(entry.path().string());
  std::sort(files.begin(), files.end());
  return files;
}

INSTANTIATE_TEST_SUITE_P(Bridge, Transcript, testing::ValuesIn(transcripts()),
                         [](const auto& info) { return std::filesystem::path(info.param).stem().string(); });

std::optional<std::string> called(const std::vector<Mapping>& mappings, Direction direction, std::string_view topic) {
  const auto as = mapped(mappings, direction, topic);
  return as ? std::optional(as->topic) : std::nullopt;
}

TEST(BridgeMapping, TopicsAreCalledOtherwise) {
  const std::vector<Mapping> mappings = {{Direction::out, "temp/+", "plant/", "site/7/", 1},
                                         {Direction::out, "#", "", "all/", 1},
                                         {Direction::in, "#", "from/", "", 1}};
  EXPECT_EQ(called(mappings, Direction::out, "plant/temp/1"), "site/7/temp/1");
  EXPECT_EQ(called(mappings, Direction::out, "plant/other"), "all/plant/other");
  EXPECT_EQ(called(mappings, Direction::in, "x"), "from/x");
  EXPECT_EQ(called(mappings, Direction::in, "$SYS/x"), std::nullopt) << "# does not match it";
  EXPECT_EQ(called({{Direction::out, "#", "a/", "", 1}}, Direction::out, "a"), std::nullopt) << "no name is left";
  EXPECT_EQ(called({{Direction::out, "#", "", "p/", 1}}, Direction::out, std::string(1'024, 'x')), std::nullopt);
}

// # and + have no topic that begins with $; behind a prefix they would have, and who may publish there could be anybody here.
TEST(BridgeMapping, NoPrefixLeadsBelowADollar) {
  const std::string shadow = "$aws/things/pump/shadow/update";
  const std::vector<Mapping> all = {{Direction::in, "#", "", "site-7/", 1}, {Direction::out, "+/x", "plant/", "", 1}};
  EXPECT_EQ(called(all, Direction::in, "site-7/" + shadow), std::nullopt);
  EXPECT_EQ(called(all, Direction::in, "site-7/a"), "a");
  EXPECT_EQ(called(all, Direction::out, "plant/$CONTROL/x"), std::nullopt);
  EXPECT_EQ(called(all, Direction::out, "plant/a/x"), "a/x");
  EXPECT_EQ(
      called({{Direction::in, "$aws/things/+/shadow/update", "", "site-7/", 1}}, Direction::in, "site-7/" + shadow),
      shadow)
      << "it is said";
}

TEST(BridgeTokens, ARateIsKept) {
  TokenBucket bucket;
  int64_t now_ns = kSecond;
  int sent = 0;
  for (const int64_t end_ns = now_ns + 10 * kSecond; now_ns < end_ns; now_ns += 1'000'000)
    for (; bucket.free_at_ns() <= now_ns; ++sent) bucket.use(100, 50, 100'000, now_ns);
  EXPECT_GE(sent, 500);
  EXPECT_LE(sent, 506);
}

const std::string kHub = "name=hub\naddress=hub.example\n";

TEST(BridgeSettings, WhatIsWrongIsSaid) {
  EXPECT_EQ(wrong_bridge_table(kHub), "");
  EXPECT_NE(wrong_bridge_table("address=hub\n"), "");
  EXPECT_NE(wrong_bridge_table("name=a b\naddress=hub\n").find("a bridge's name is"), std::string::npos);
  EXPECT_NE(wrong_bridge_table("name=hub\n").find("an address or a filter"), std::string::npos);
  EXPECT_NE(wrong_bridge_table(kHub + "protocol=4\n").find("3.1.1-bridge"), std::string::npos);
  EXPECT_NE(wrong_bridge_table(kHub + "colour=red\n").find("there is no such key"), std::string::npos);
  EXPECT_NE(wrong_bridge_table(kHub + "ca_file=x\n").find("tls = true"), std::string::npos);
  EXPECT_NE(wrong_bridge_table(kHub + "filter=a/#/b\n").find("topic filter"), std::string::npos);
  EXPECT_NE(wrong_bridge_table("name=hub\nfilter=a\nuser=x\n").find("first table"), std::string::npos);
  EXPECT_NE(wrong_bridge_tables({kHub}).find("carries nothing"), std::string::npos);
  EXPECT_NE(wrong_bridge_tables({kHub + "filter=a\n", kHub}).find("two tables"), std::string::npos);
  EXPECT_NE(wrong_bridge_tables({"name=x\nfilter=a\n"}).find("no table says its address"), std::string::npos);
}

TEST(BridgeSettings, LoopsThatCannotBeToldApartAreRefused) {
  const std::string in = "name=hub\ndirection=in\nfilter=#\n";
  const std::string out = "name=hub\ndirection=out\nfilter=plant/#\n";
  EXPECT_EQ(wrong_bridge_tables({kHub, out, in}), "") << "MQTT 5 has no local";
  EXPECT_NE(wrong_bridge_tables({kHub + "protocol=3.1.1\n", out, in}).find("would come back"), std::string::npos);
  EXPECT_EQ(wrong_bridge_tables({kHub + "protocol=3.1.1-bridge\n", out, in}), "");
  EXPECT_EQ(wrong_bridge_tables({kHub + "protocol=3.1.1\n", out, "name=hub\ndirection=in\nfilter=commands/#\n"}), "");
}

// Two bridges to one broker: neither knows the other's messages there but by the property that MQTT 3.1.1 has not.
TEST(BridgeSettings, TwoBridgesThatMeetAtOneBrokerAreRefused) {
  const auto why = [](const std::string& out_protocol, const std::string& in_protocol, const std::string& in_rest) {
    return wrong_bridge_tables({kHub + "protocol=" + out_protocol + "\ndirection=out\nfilter=plant/#\n",
                                "name=back\nprotocol=" + in_protocol + "\ndirection=in\n" + in_rest});
  };
  const std::string same = "address=hub.example:1883\nfilter=plant/+\n";
  EXPECT_EQ(why("5", "5", same), "") << "heptane-via tells them";
  EXPECT_EQ(why("3.1.1", "3.1.1", same),
            "bridges hub and back: the out filter plant/# and the in filter plant/+ meet at hub.example:1883, and in "
            "MQTT 3.1.1 what went out would come back: say protocol = \"5\" in both, or other prefixes");
  EXPECT_NE(why("3.1.1", "5", same), "");
  EXPECT_NE(why("5", "3.1.1", same), "");
  EXPECT_NE(why("3.1.1-bridge", "3.1.1-bridge", same), "") << "the bit is about a client's own messages";
  EXPECT_EQ(why("3.1.1", "3.1.1", "address=hub.example:1884\nfilter=plant/+\n"), "");
  EXPECT_EQ(why("3.1.1", "3.1.1", "address=hub.example\nfilter=commands/#\n"), "");
}

TEST(BridgeSettings, TheQueueHoldsWhatItsBytesMay) {
  const auto queue_max = [](const std::string& more, size_t others = 0) {
    std::vector<std::string> tables = {kHub + more + "filter=a/#\n"};
    for (size_t i = 0; i < others; ++i) tables.push_back("name=b" + std::to_string(i) + "\naddress=h\nfilter=a/#\n");
    EXPECT_EQ(wrong_bridge_table(tables[0]), "");
    return bridges_of_tables(tables).at(0).queue_max;
  };
  EXPECT_EQ(queue_max(""), 1'000'000U);
  EXPECT_EQ(queue_max("max_bytes=20000\n"), 1'000'000U) << "retention takes whole extents: the bytes are met first";
  EXPECT_EQ(queue_max("", 3), 1'000'000U);
  EXPECT_EQ(queue_max("", 4), kCapturedMax / 5 - 65'536) << "together they stay below what all may have";
  EXPECT_EQ(queue_max("", 63), kCapturedMax / 64 - 65'536);
  EXPECT_EQ(queue_max("max_messages=7\n", 1), 7U);
  EXPECT_EQ(queue_max("max_messages=5000000\n", 63), kCaptureLimit);
  EXPECT_NE(wrong_bridge_table(kHub + "max_messages=0\n"), "");
  EXPECT_NE(wrong_bridge_table(kHub + "max_messages=5000001\n"), "");
}

TEST(BridgeSettings, ItsQueueFollowsNoOtherBridgesChange) {
  const auto one = bridges_of_tables({kHub + "filter=a/#\n"});
  const auto two = bridges_of_tables({kHub + "filter=a/#\n", "name=b\naddress=h\nfilter=a/#\n"});
  EXPECT_TRUE(one.at(0) == two.at(0)) << "it would end and begin anew";
  EXPECT_FALSE(one.at(0) == bridges_of_tables({kHub + "max_messages=7\nfilter=a/#\n"}).at(0));
}

TEST(BridgeSettings, EachOutFilterHasAStream) {
  const auto bridges = bridges_of_tables({kHub + "max_bytes=1MiB\nmax_age=2h\n", "name=hub\nfilter=a/#\n",
                                          "name=hub\nfilter=b\nqos=0\n", "name=hub\nfilter=c\nlocal_prefix=p/\n"});
  ASSERT_EQ(bridges.size(), 1U);
  EXPECT_EQ(bridges[0].port, 1883);
  const auto streams = streams_of_bridges(bridges);
  ASSERT_EQ(streams.size(), 2U);
  EXPECT_EQ(streams[0].name, "bridge.hub.1");
  EXPECT_EQ(streams[1].name, "bridge.hub.3");
  EXPECT_EQ(streams[1].filter, "p/c");
  EXPECT_EQ(streams[1].retention_bytes, 1 << 20);
  EXPECT_EQ(streams[1].retention_ms, 7'200'000);
  EXPECT_TRUE(streams[1].qos0);
  EXPECT_EQ(wrong_declaration(streams[1]), "");
}

}  // namespace
}  // namespace heptane::iot::bridge
