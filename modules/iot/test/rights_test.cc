// Who may what: patterns that name user and client, against a naive reading of them; filters that reach beyond what their client may
// read; rights that change; what is told of it.

#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "modules/iot/domain/topics/topics.h"
#include "modules/iot/gateway/mqtt/rights.h"
#include "modules/iot/gateway/mqtt/session.h"
#include "modules/iot/test/mqtt_world.h"

namespace heptane::iot::test {
namespace {

using auth::Verb;
using mqtt::Rights;

constexpr auth::Verbs kRead = static_cast<auth::Verbs>(Verb::read);
constexpr auth::Verbs kWrite = static_cast<auth::Verbs>(Verb::write);

Rights reader_of(const std::string& pattern, std::string_view user = "u", std::string_view client = "c") {
  return Rights({{"mqtt", pattern, kRead}}, user, client);
}

TEST(MqttRights, APatternNamesItsUserAndItsClient) {
  EXPECT_EQ(Rights::expanded("plant/%u/%c/", "al", "d-1"), "plant/al/d-1/");
  EXPECT_EQ(Rights::expanded("%c%u", "al", "%u"), "%ual") << "what a client calls itself is not looked into";
  EXPECT_EQ(Rights::expanded("100%", "al", "c"), "100%");
  for (const char* bad : {"", "a+", "#", "a/b"}) {
    EXPECT_EQ(Rights::expanded("d/%c", "al", bad), std::nullopt) << bad;
    EXPECT_EQ(Rights::expanded("d/%u", bad, "c"), std::nullopt) << bad;
    EXPECT_EQ(Rights::expanded("d/x", bad, bad), "d/x") << "where nobody is named it is nobody's matter";
  }
  EXPECT_EQ(Rights::expanded("%c/x", "al", "$SYS"), std::nullopt);
  EXPECT_EQ(Rights::expanded("d/%c", "al", "$SYS"), "d/$SYS");
}

TEST(MqttRights, AStarInANameIsNoWildcard) {
  const Rights rights = reader_of("d/%c", "u", "x*");
  EXPECT_TRUE(rights.may(Verb::read, "d/x*"));
  EXPECT_FALSE(rights.may(Verb::read, "d/xyz"));
  EXPECT_FALSE(rights.may(Verb::write, "d/x*"));
  EXPECT_TRUE(reader_of("d/%c/*", "u", "x").may(Verb::read, "d/x/#"));
}

// All of three levels of a small alphabet.
std::vector<std::string> texts(const std::vector<std::string>& levels, const std::vector<std::string>& firsts) {
  std::vector<std::string> all(firsts);
  for (size_t begin = 0, depth = 1; depth < 3; ++depth) {
    const size_t end = all.size();
    for (; begin < end; ++begin)
      for (const std::string& level : levels) all.push_back(all[begin] + "/" + level);
  }
  return all;
}

// `*` alone names no topic that begins with `$`, as `#` does not.
TEST(MqttRights, AStarAloneIsNoneOfTheServersTopics) {
  const Rights user({{"mqtt", "*", kRead | kWrite}}, "u", "c");
  for (const char* topic : {"$aws/things/pump-1/shadow/update", "$SYS/broker/uptime", "$"}) {
    EXPECT_FALSE(user.may(Verb::write, topic)) << topic;
    EXPECT_FALSE(user.may_receive(topic)) << topic;
  }
  for (const char* filter : {"$aws/#", "$aws/things/+/shadow/#", "$SYS/+", "$+/a"}) {
    EXPECT_FALSE(user.may(Verb::read, filter)) << filter;
    EXPECT_FALSE(user.may_meet(filter)) << filter;
  }
  for (const char* text : {"#", "+/$aws", "a/b", "/$SYS", ""}) EXPECT_TRUE(user.may(Verb::read, text)) << text;
  EXPECT_TRUE(user.may_receive("a/$b"));
  EXPECT_TRUE(user.may_meet("+/b"));
  EXPECT_TRUE(user.may(Verb::write, "$SYS/broker/connection/edge/state")) << "what bridges say of themselves";
  // Who may everything, and who says so.
  const Rights admin({{"mqtt", "*", auth::kAllVerbs}}, "u", "c");
  const Rights named({{"mqtt", "*", kRead}, {"mqtt", "$SYS/*", kRead}, {"mqtt", "$aws/*", kWrite}}, "u", "c");
  EXPECT_TRUE(admin.may(Verb::write, "$aws/things/pump-1/shadow/update"));
  EXPECT_TRUE(admin.may_receive("$SYS/x"));
  EXPECT_TRUE(admin.may_meet("$SYS/#"));
  EXPECT_TRUE(named.may(Verb::read, "$SYS/#"));
  EXPECT_TRUE(named.may(Verb::write, "$aws/things/pump-1/shadow/update"));
  EXPECT_FALSE(named.may(Verb::read, "$aws/things/pump-1/shadow/get/accepted"));
}

// By the words: a filter that the pattern names as text matches the topic, and not only by the level above its `#`.
bool naive_receives(const std::string& pattern, const std::vector<std::string>& filters, const std::string& topic) {
  return std::any_of(filters.begin(), filters.end(), [&](const std::string& filter) {
    if (!pattern.starts_with('$') && filter.starts_with('$')) return false;
    if (!auth::matches(pattern, filter) || !matches(filter, topic)) return false;
    return !filter.ends_with("/#") || levels_of(topic) >= levels_of(filter);
  });
}

TEST(MqttRights, WhatMayBeReceivedIsWhatAFilterThatMayBeSubscribedToMatches) {
  std::vector<std::string> filters;
  for (const std::string& text : texts({"a", "ab", "+", "#", ""}, {"a", "ab", "+", "#", "$x"}))
    if (valid_filter(text)) filters.push_back(text);
  const std::vector<std::string> topics = texts({"a", "ab", "b", ""}, {"a", "ab", "b", "$x"});
  std::vector<std::string> patterns = {"*"};
  for (const std::string& filter : filters) {
    patterns.push_back(filter);
    for (size_t bytes = 1; bytes <= filter.size(); ++bytes) patterns.push_back(filter.substr(0, bytes) + "*");
  }
  for (const std::string& pattern : patterns) {
    const Rights rights = reader_of(pattern);
    for (const std::string& topic : topics) {
      ASSERT_EQ(rights.may_receive(topic), naive_receives(pattern, filters, topic)) << pattern << " of " << topic;
      if (!rights.may_receive(topic)) continue;
      for (const std::string& filter : filters)
        ASSERT_TRUE(!matches(filter, topic) || rights.may_meet(filter)) << pattern << " and " << filter;
    }
  }
}

TEST(MqttRights, AFilterThatCannotMeetWhatMayBeReadIsKnown) {
  const Rights rights = reader_of("plant/a*");
  for (const char* filter : {"plant/+", "plant/#", "#", "+/a1/x", "plant/a/+"})
    EXPECT_TRUE(rights.may_meet(filter)) << filter;
  for (const char* filter : {"other/#", "plant/b", "plant", "+", "$SYS/#", "plant/b/#"})
    EXPECT_FALSE(rights.may_meet(filter)) << filter;
  EXPECT_FALSE(reader_of("d/%c/*", "u", "").may_meet("#"));
}

// Users with roles; whoever connects is `who`.
class Roles final : public auth::Authenticator, public auth::Rules {
 public:
  std::vector<std::string_view> mechanisms(const auth::Peer&) const override { return {}; }
  std::unique_ptr<auth::SaslExchange> begin(std::string_view, const auth::Peer&) override { return nullptr; }
  std::optional<auth::Identity> by_certificate(const auth::Peer&) override { return auth::Identity{{16, 1}, who, {}}; }
  std::optional<auth::Identity> by_configuration(std::string_view user) const override {
    if (!of.contains(std::string(user))) return std::nullopt;
    return auth::Identity{{16, 1}, std::string(user), {}};
  }
  bool in_force(const auth::Identity& identity) const override {
    const auto here = reinterpret_cast<uintptr_t>(__builtin_frame_address(0));
    lowest_frame = std::min(lowest_frame, here);
    ++looked_up;
    return of.contains(identity.name);
  }
  std::optional<auth::Role> grants(const auth::Identity& identity, std::string_view) const override {
    ++asked;
    return of.at(identity.name);
  }
  uint64_t generation() const override { return changes; }
  void note_denied(const auth::Identity&, std::string_view, std::string_view, std::string_view, Verb) override {
    ++denied;
  }
  bool allows(const auth::Identity&, std::string_view, std::string_view, std::string_view, Verb) override {
    return false;
  }
  bool sees(const auth::Identity&, std::string_view, std::string_view) const override { return false; }

  void set(const std::string& user, auth::Role role) {
    of[user] = std::move(role);
    ++changes;
  }

  std::map<std::string, auth::Role> of;
  std::string who;
  uint64_t changes = 1;
  int denied = 0;
  mutable int asked = 0;
  mutable int looked_up = 0;
  mutable uintptr_t lowest_frame = UINTPTR_MAX;
};

class RightsWorld : public testing::Test {
 protected:
  void start(bool filter_deliveries = false) {
    options_.authenticator = &roles_;
    options_.rules = &roles_;
    options_.filter_deliveries = filter_deliveries;
    roles_.set("all", {{"mqtt", "*", auth::kAllVerbs}});
    roles_.set("plant", {{"mqtt", "plant/*", kRead | kWrite}});
    world_ = std::make_unique<World>(options_);
    connect("p", "all");
  }
  static std::string text(const std::string& of) { return "s" + std::to_string(of.size()) + " '" + of + "' "; }
  static std::string whole(const std::string& first, const std::string& body) {
    const std::string bytes = bytes_of(body);
    return bytes_of(first + " r" + std::to_string(bytes.size())) + bytes;
  }
  // MQTT 5; the reason of CONNACK. What comes behind it stays.
  uint8_t connect(const std::string& name, const std::string& user, const std::string& more = "",
                  const std::string& flags = "02", const std::string& properties = "00", const std::string& id = "-") {
    roles_.who = user;
    world_->send(name,
                 whole("10", "s4 'MQTT' 05 " + flags + " k0 " + properties + " " + text(id == "-" ? name : id) + more));
    const std::string said = world_->take_output(name);
    if (said.size() < 4) return 0xFF;
    behind_ = said.substr(2 + static_cast<size_t>(static_cast<uint8_t>(said[1])));
    return static_cast<uint8_t>(said[3]);
  }
  uint8_t connect_durable(const std::string& name, const std::string& user) {
    return connect(name, user, "", "00", "05 11 L600");
  }
  // The code of SUBACK; what comes behind it stays.
  uint8_t subscribe(const std::string& name, const std::string& filter, const std::string& qos = "01") {
    world_->send(name, whole("82", "m9 00 " + text(filter) + qos));
    const std::string said = world_->take_output(name);
    const size_t at = said.find(bytes_of("90 04 m9 00"));
    if (at == std::string::npos) return 0xFF;
    behind_ = said.substr(at + 6);
    return static_cast<uint8_t>(said[at + 5]);
  }
  void publish(const std::string& topic, int qos = 0, bool retain = false, const std::string& from = "p") {
    const std::string first = std::string("3") + "0123456789ABCDEF"[qos << 1 | (retain ? 1 : 0)];
    world_->send(from, whole(first, text(topic) + (qos > 0 ? "m" + std::to_string(++last_id_) + " 00 'x'" : "00 'x'")));
  }
  // Topics of the PUBLISH packets that came, all of them acknowledged.
  std::vector<std::string> topics(const std::string& name, std::string said = {}) {
    said += world_->take_output(name);
    std::vector<std::string> found;
    while (!said.empty()) {
      const auto size = 2 + static_cast<size_t>(static_cast<uint8_t>(said[1]));
      if ((said[0] & 0xF0) == 0x30) {
        const auto length = static_cast<size_t>(static_cast<uint8_t>(said[3]));
        found.push_back(said.substr(4, length));
        if ((said[0] & 6) == 2) {
          world_->send(name, bytes_of("40 02") + said.substr(4 + length, 2));
          said += world_->take_output(name);
        }
      }
      said.erase(0, size);
    }
    return found;
  }
  uint64_t passed_over() { return world_->broker().counters().dropped_denied.value(); }
  void pass_seconds(int64_t seconds) { world_->pass_time(seconds * 1'000'000'000); }
  using Topics = std::vector<std::string>;

  Roles roles_;
  mqtt::MqttOptions options_;
  std::unique_ptr<World> world_;
  std::string behind_;
  int last_id_ = 0;
};

TEST_F(RightsWorld, EachClientHasItsOwnTopics) {
  start();
  roles_.set("al", {{"mqtt", "up/%u/%c/*", kWrite}, {"mqtt", "down/%c", kRead}});
  ASSERT_EQ(connect("d1", "al"), 0);
  EXPECT_EQ(subscribe("d1", "down/d1"), 1);
  EXPECT_EQ(subscribe("d1", "down/d2"), 0x87);
  EXPECT_EQ(subscribe("d1", "down/+"), 0x87);
  publish("up/al/d1/t", 1, false, "d1");
  EXPECT_TRUE(hex_of(world_->take_output("d1")).ends_with("10")) << "nobody is subscribed";
  publish("up/al/d2/t", 1, false, "d1");
  EXPECT_TRUE(hex_of(world_->take_output("d1")).ends_with("87"));
  // The will's topic is looked at in CONNECT.
  EXPECT_EQ(connect("d2", "al", "00 " + text("up/al/d2/will") + "s1 'x'", "06"), 0);
  EXPECT_EQ(connect("d3", "al", "00 " + text("up/al/d2/will") + "s1 'x'", "06"), 0x87);
  // Who calls itself by a wildcard has no topics; nor has who leaves it to the server to call it, in its will.
  ASSERT_EQ(connect("w", "al", "", "02", "00", "#"), 0);
  EXPECT_EQ(subscribe("w", "down/#"), 0x87);
  EXPECT_EQ(connect("n", "al", "00 " + text("up/al//will") + "s1 'x'", "06", "00", ""), 0x87);
  EXPECT_EQ(roles_.denied, 6);
}

TEST_F(RightsWorld, RulesAreCompiledOncePerUserAndSwappedWhole) {
  start();
  const int before = roles_.asked;
  for (int i = 0; i < 10; ++i) connect("c" + std::to_string(i), "plant");
  EXPECT_EQ(roles_.asked, before + 1);
  ASSERT_EQ(subscribe("c0", "plant/+"), 1);
  // More of it, and the others' matters, change nothing that is there.
  roles_.set("plant", {{"mqtt", "plant/*", kRead | kWrite}, {"mqtt", "more", kRead}});
  roles_.set("other", {});
  publish("plant/1");
  EXPECT_EQ(topics("c0"), Topics{"plant/1"});
  EXPECT_EQ(subscribe("c0", "more"), 1);
  // Less of it than is subscribed to: the subscription is dropped before anything more is delivered, and what is left is not.
  roles_.set("plant", {{"mqtt", "more", kRead}});
  publish("plant/1");
  publish("more");
  EXPECT_EQ(topics("c0"), Topics{"more"});
  pass_seconds(1);
  EXPECT_EQ(world_->broker().counters().subscriptions.value(), 1U);
  EXPECT_FALSE(world_->client("c0").context->closed);
  publish("plant/2", 1, false, "c1");
  EXPECT_TRUE(hex_of(world_->take_output("c1")).ends_with("87"));
  // A right that comes back brings no subscription back.
  roles_.set("plant", {{"mqtt", "plant/*", kRead}, {"mqtt", "more", kRead}});
  publish("plant/1");
  publish("more");
  EXPECT_EQ(topics("c0"), Topics{"more"});
  ASSERT_EQ(subscribe("c0", "plant/+"), 1);
  publish("plant/1");
  EXPECT_EQ(topics("c0"), Topics{"plant/1"});
  pass_seconds(2);
  const std::vector<std::string> events = world_->events();
  EXPECT_TRUE(std::any_of(events.begin(), events.end(), [](const std::string& event) {
    return event.ends_with(R"("action":"subscribe","filter":"plant/+","reason":"not_authorised"})");
  }));
  // Revocation closes.
  roles_.of.erase("plant");
  publish("plant/1");
  EXPECT_EQ(hex_of(world_->take_output("c0")), "E00198");
  EXPECT_TRUE(world_->client("c0").context->closed);
}

// What its client has not taken yet is not sent any more; another filter's is.
TEST_F(RightsWorld, WhatWaitsForAWindowIsWithheldWhenTheRightIsGone) {
  start();
  roles_.set("s", {{"mqtt", "plant/*", kRead}, {"mqtt", "more/*", kRead}});
  connect("s", "s", "", "02", "03 21 H1");
  ASSERT_EQ(subscribe("s", "plant/#"), 1);
  ASSERT_EQ(subscribe("s", "more/#"), 1);
  for (const char* topic : {"more/0", "plant/1", "more/2", "plant/3"}) publish(topic, 1);
  const std::string first = world_->take_output("s");
  roles_.set("s", {{"mqtt", "more/*", kRead}});
  EXPECT_EQ(topics("s", first), (Topics{"more/0", "more/2"}));
  EXPECT_EQ(passed_over(), 2U);
  EXPECT_FALSE(world_->client("s").context->closed);
}

// The log hears of it: its queue gets no more of it, and a crash changes nothing of that.
TEST_F(RightsWorld, ADurableSessionLosesTheSubscriptionsWhoseRightIsGone) {
  start();
  roles_.set("s", {{"mqtt", "plant/*", kRead}, {"mqtt", "more/*", kRead}});
  connect_durable("s", "s");
  ASSERT_EQ(subscribe("s", "plant/#"), 1);
  ASSERT_EQ(subscribe("s", "more/#"), 1);
  roles_.set("s", {{"mqtt", "more/*", kRead}});
  publish("plant/1", 1);
  publish("more/2", 1);
  EXPECT_EQ(topics("s"), Topics{"more/2"});
  pass_seconds(1);
  EXPECT_FALSE(world_->client("s").context->closed);
  const auto subscriptions = [&] { return world_->machine().sessions().all().begin()->second.subscriptions.size(); };
  EXPECT_EQ(subscriptions(), 1U);
  EXPECT_EQ(world_->machine().references_count(), 0U);
  world_->crash();
  connect("p", "all");
  roles_.set("s", {{"mqtt", "plant/*", kRead}, {"mqtt", "more/*", kRead}});
  publish("plant/3", 1);
  publish("more/4", 1);
  connect_durable("s", "s");
  EXPECT_EQ(topics("s", behind_), Topics{"more/4"});
  EXPECT_EQ(subscriptions(), 1U);
  EXPECT_EQ(world_->machine().lost_count(), 0U);
}

// Its connection stays, its will does not.
TEST_F(RightsWorld, AWillWhoseRightIsGoneWhenItsConnectionEndsIsNotPublished) {
  start();
  connect("w", "all");
  ASSERT_EQ(subscribe("w", "plant/#"), 1);
  for (const bool may : {true, false}) {
    ASSERT_EQ(connect("s", "plant", "00 " + text("plant/will") + "s1 'x'", "06"), 0);
    if (!may) roles_.set("plant", {});
    world_->send("s", bytes_of("C0 00"));
    EXPECT_EQ(hex_of(world_->take_output("s")), "D000");
    world_->break_off("s");
    pass_seconds(2);
    EXPECT_EQ(topics("w"), may ? Topics{"plant/will"} : Topics{});
  }
}

TEST_F(RightsWorld, AFilterThatReachesBeyondIsRefusedUnlessDeliveriesAreFiltered) {
  start();
  connect("s", "plant");
  EXPECT_EQ(subscribe("s", "#"), 0x87);
  EXPECT_EQ(subscribe("s", "+/1"), 0x87);
}

TEST_F(RightsWorld, WhatIsNotItsToReadIsPassedOverAndCounted) {
  start(true);
  publish("plant/kept", 1, true);
  publish("other/kept", 1, true);
  connect("s", "plant");
  EXPECT_EQ(subscribe("s", "other/#"), 0x87) << "which it can never receive anything of";
  ASSERT_EQ(subscribe("s", "#"), 1);
  EXPECT_EQ(topics("s", behind_), Topics{"plant/kept"});
  EXPECT_EQ(passed_over(), 1U);
  for (const int qos : {0, 1}) {
    publish("other/1", qos);
    publish("plant/1", qos);
    publish("plant", qos);
  }
  EXPECT_EQ(topics("s"), (Topics{"plant/1", "plant/1"}));
  EXPECT_EQ(passed_over(), 5U);
  EXPECT_EQ(world_->broker().find(std::string_view("s"))->facts().numbers.dropped, 5U);
  // Other rights count at once, and a filter that is taken anyway stays.
  roles_.set("plant", {{"mqtt", "other/*", kRead}});
  publish("plant/2");
  publish("other/2");
  EXPECT_EQ(topics("s"), Topics{"other/2"});
}

TEST_F(RightsWorld, InADurableQueueItDoesNotStandInTheWay) {
  start(true);
  connect_durable("s", "plant");
  ASSERT_EQ(subscribe("s", "#"), 1);
  world_->break_off("s");
  for (int i = 0; i < 600; ++i) publish("other/" + std::to_string(i), 1);
  publish("plant/1", 1);
  EXPECT_EQ(world_->machine().references_count(), 601U);
  connect("s", "plant", "", "00", "08 11 L600 21 H1");
  Topics came = topics("s", behind_);
  for (int i = 0; i < 5 && came.empty(); ++i) {
    pass_seconds(1);
    came = topics("s");
  }
  EXPECT_EQ(came, Topics{"plant/1"});
  pass_seconds(1);
  EXPECT_EQ(world_->machine().references_count(), 0U);
  EXPECT_EQ(world_->machine().lost_count(), 0U) << "what was never its is not lost";
  EXPECT_EQ(passed_over(), 600U);
}

TEST_F(RightsWorld, WhatOneMemberOfAGroupMayNotReadIsAnothers) {
  for (const bool durable : {false, true}) {
    start(true);
    if (durable)
      connect_durable("s", "plant");
    else
      connect("s", "plant");
    connect("t", "all");
    ASSERT_EQ(subscribe("s", "$share/g/#"), 1);
    ASSERT_EQ(subscribe("t", "$share/g/#"), 1);
    for (const int qos : {0, 1})
      for (int i = 0; i < 4; ++i) publish("other/" + std::to_string(i), qos);
    EXPECT_EQ(topics("s"), Topics{}) << durable;
    EXPECT_EQ(topics("t").size(), 8U) << durable;
    for (int i = 0; i < 4; ++i) publish("plant/" + std::to_string(i), 1);
    EXPECT_EQ(topics("s").size(), 2U) << durable;
    EXPECT_EQ(topics("t").size(), 2U) << durable;
    EXPECT_EQ(passed_over(), 0U);
    // Nobody is there who may.
    world_->break_off("t");
    publish("other/5", 1);
    publish("plant/5", 1);
    EXPECT_EQ(topics("s"), Topics{"plant/5"}) << durable;
    world_.reset();
  }
}

TEST_F(RightsWorld, WhatAGroupsMemberMayReadSinceItsLastPacketIsIts) {
  for (const bool durable : {false, true}) {
    start(true);
    if (durable)
      connect_durable("s", "plant");
    else
      connect("s", "plant");
    ASSERT_EQ(subscribe("s", "$share/g/#"), 1);
    roles_.set("plant", {{"mqtt", "other/*", kRead}});
    for (const int qos : {0, 1}) publish("other/" + std::to_string(qos), qos);
    EXPECT_EQ(topics("s"), (Topics{"other/0", "other/1"})) << durable;
    EXPECT_EQ(passed_over(), 0U) << durable;
    EXPECT_EQ(world_->machine().lost_count(), 0U) << durable;
    world_.reset();
  }
}

TEST_F(RightsWorld, MembersAreNotLookedUpForEachMessage) {
  constexpr int kMembers = 20;
  options_.shared = "by_topic";
  start(true);
  for (int i = 0; i < kMembers; ++i) {
    const std::string name = "m" + std::to_string(i);
    connect(name, "plant");
    ASSERT_EQ(subscribe(name, "$share/g/#"), 1);
  }
  const int before = roles_.looked_up;
  publish("plant/1");
  EXPECT_LT(roles_.looked_up - before, kMembers / 2);
}

// It was subscribed to when they came, and has the right to them no more.
TEST_F(RightsWorld, ADurableSessionIsNotSentWhatItMayNotReadAnyMore) {
  start();
  roles_.set("s", {{"mqtt", "plant/*", kRead}, {"mqtt", "more/*", kRead}});
  connect("s", "s", "", "00", "08 11 L600 21 H1");
  ASSERT_EQ(subscribe("s", "more/#"), 1);
  for (int i = 0; i < 3; ++i) publish("more/" + std::to_string(i), 1);
  const std::string first = world_->take_output("s");
  world_->send("s", whole("A2", "m9 00 " + text("more/#")));
  roles_.set("s", {{"mqtt", "plant/*", kRead}});
  EXPECT_EQ(topics("s", first), Topics{"more/0"});
  pass_seconds(1);
  EXPECT_EQ(topics("s"), Topics{});
  EXPECT_FALSE(world_->client("s").context->closed) << "it uses nothing that it lost";
  EXPECT_EQ(world_->machine().references_count(), 0U);
  EXPECT_EQ(world_->machine().lost_count(), 0U);
  EXPECT_EQ(passed_over(), 2U);
}

// It is looked at once a second.
TEST_F(RightsWorld, WhoDoesNothingHearsThatHeDoesNotCount) {
  start();
  ASSERT_EQ(connect("idle", "plant"), 0);
  ASSERT_EQ(subscribe("idle", "plant/#"), 1);
  roles_.set("other", {{"mqtt", "plant/*", kRead}});
  ASSERT_EQ(connect_durable("other", "other"), 0);
  ASSERT_EQ(subscribe("other", "plant/#"), 1);
  roles_.of.erase("plant");
  ++roles_.changes;
  pass_seconds(1);
  EXPECT_EQ(hex_of(world_->take_output("idle")), "E00198");
  EXPECT_TRUE(world_->client("idle").context->closed);
  EXPECT_EQ(world_->broker().find(std::string_view("idle")), nullptr);
  EXPECT_NE(world_->broker().find(std::string_view("other")), nullptr);
  EXPECT_EQ(world_->broker().counters().subscriptions.value(), 1U);
  // A right that is gone takes the subscription, and leaves the connection.
  roles_.set("other", {});
  pass_seconds(1);
  pass_seconds(1);
  EXPECT_FALSE(world_->client("other").context->closed);
  EXPECT_EQ(world_->broker().counters().subscriptions.value(), 0U);
}

TEST_F(RightsWorld, ClientsAreLookedAtAThousandATurnAndOnlyWhenSomethingChanged) {
  constexpr int kClients = 2 * static_cast<int>(mqtt::RightsSweep::kAtOnce) + 5;
  start();
  for (int i = 0; i < kClients; ++i) ASSERT_EQ(connect("c" + std::to_string(i), "plant"), 0);
  for (int turn = 0; turn < 4; ++turn) pass_seconds(1);
  const int before = roles_.looked_up;
  for (int turn = 0; turn < 4; ++turn) pass_seconds(1);
  EXPECT_EQ(roles_.looked_up, before);
  roles_.of.erase("plant");
  ++roles_.changes;
  for (int turn = 0; turn < 4; ++turn) pass_seconds(1);
  EXPECT_EQ(world_->broker().clients().size(), 1U);
}

// However many they are: the stack does not grow with them.
TEST_F(RightsWorld, AGroupWhoseMembersAllLoseTheirRightsLosesThemOneByOne) {
  constexpr int kMembers = 300;
  constexpr uintptr_t kStackMost = 64 << 10;
  start();
  for (int i = 0; i < kMembers; ++i) {
    const std::string name = "m" + std::to_string(i);
    ASSERT_EQ(connect(name, "plant"), 0);
    ASSERT_EQ(subscribe(name, "$share/g/plant/#"), 1);
  }
  roles_.set("plant", {});
  roles_.lowest_frame = UINTPTR_MAX;
  publish("plant/1", 1);
  for (int i = 0; i < kMembers; ++i) ASSERT_EQ(topics("m" + std::to_string(i)), Topics{}) << i;
  pass_seconds(1);
  EXPECT_EQ(world_->broker().counters().shared.value(), 0U);
  EXPECT_LT(reinterpret_cast<uintptr_t>(__builtin_frame_address(0)) - roles_.lowest_frame, kStackMost);
}

TEST_F(RightsWorld, WhoHasNoRoleMayNothing) {
  start();
  roles_.set("nobody", {});
  ASSERT_EQ(connect("s", "nobody"), 0);
  for (const char* filter : {"plant/1", "#", "+", "$SYS/#", "$share/g/plant/1"})
    EXPECT_EQ(subscribe("s", filter), 0x87);
  publish("plant/1", 1, false, "s");
  EXPECT_TRUE(hex_of(world_->take_output("s")).ends_with("87"));
  EXPECT_EQ(connect("t", "nobody", "00 " + text("plant/will") + "s1 'x'", "06"), 0x87);
}

// With a delay, and after a crash: its client is not there to be told.
TEST_F(RightsWorld, AWillWhoseRightIsGoneIsNotPublishedWhenItIsDue) {
  for (const bool may : {true, false}) {
    for (const bool crash : {false, true}) {
      start();
      connect("reader", "all");
      ASSERT_EQ(subscribe("reader", "plant/#"), 1);
      ASSERT_EQ(connect("w", "plant", "05 18 L5 " + text("plant/will") + "s1 'x'", "0C", "05 11 L600"), 0);
      if (crash)
        world_->crash();
      else
        world_->break_off("w");
      if (!may) roles_.set("plant", {{"mqtt", "other/*", kWrite}});
      if (crash) {
        connect("reader", "all");
        ASSERT_EQ(subscribe("reader", "plant/#"), 1);
      }
      for (int i = 0; i < 40; ++i) pass_seconds(1);
      EXPECT_EQ(topics("reader"), may ? Topics{"plant/will"} : Topics{}) << crash;
      EXPECT_EQ(passed_over(), may ? 0U : 1U);
      EXPECT_EQ(world_->broker().keeper().wills(), 0U);
      world_.reset();
    }
  }
}

// Older logic cannot drop a will: it is published as before, and its session ends.
TEST_F(RightsWorld, AWillThatCannotBeDroppedIsPublishedAndItsSessionEnds) {
  for (const uint32_t logic : {BrokerMachine::kLogicReturns, BrokerMachine::kLogicRelaxed}) {
    const bool drops = logic >= BrokerMachine::kLogicRelaxed;
    start();
    world_->set_logic(logic);
    connect("reader", "all");
    ASSERT_EQ(subscribe("reader", "plant/#"), 1);
    ASSERT_EQ(connect("w", "plant", "05 18 L5 " + text("plant/will") + "s1 'x'", "0C", "05 11 L5"), 0);
    world_->break_off("w");
    roles_.set("plant", {});
    for (int i = 0; i < 10; ++i) pass_seconds(1);
    EXPECT_EQ(topics("reader"), drops ? Topics{} : Topics{"plant/will"}) << logic;
    EXPECT_EQ(passed_over(), drops ? 1U : 0U) << logic;
    EXPECT_EQ(world_->machine().sessions_count(), 0U) << logic;
    EXPECT_EQ(world_->broker().keeper().wills(), 0U) << logic;
    world_.reset();
  }
}

TEST_F(RightsWorld, AWillIsAskedForAgainWhereItCouldNotBeLookedAt) {
  start();
  connect("reader", "all");
  ASSERT_EQ(subscribe("reader", "plant/#"), 1);
  ASSERT_EQ(connect("w", "plant", "05 18 L5 " + text("plant/will") + "s1 'x'", "0C", "05 11 L5"), 0);
  world_->break_off("w");
  world_->refuse_query(kQueryWill, Errc::unsupported);
  for (int i = 0; i < 10; ++i) pass_seconds(1);
  EXPECT_EQ(topics("reader"), Topics{"plant/will"});
  EXPECT_EQ(world_->machine().sessions_count(), 0U);
}

// Three members of a group by topic, who have messages of each topic, and one who survives them.
class ByTopic : public RightsWorld {
 protected:
  static constexpr int kTopics = 24;
  static constexpr int kEach = 3;
  void start_group(const std::string& properties) {
    options_.shared = "by_topic";
    start();
    for (const char* name : {"a", "b", "c"}) {
      connect(name, "plant", "", "02", properties);
      ASSERT_EQ(subscribe(name, "$share/g/plant/#"), 1);
    }
    connect("s", "all");
    ASSERT_EQ(subscribe("s", "$share/g/plant/#"), 1);
    for (int number = 0; number < kEach; ++number) publish_all(number);
  }
  void publish_all(int number) {
    for (int topic = 0; topic < kTopics; ++topic)
      world_->send("p", whole("32", text("plant/" + std::to_string(topic)) + "m" + std::to_string(++last_id_) +
                                        " 00 '" + std::to_string(number) + "'"));
  }
  // By topic what the survivor got.
  std::map<std::string, std::string> came() {
    std::map<std::string, std::string> numbers;
    const std::string said = world_->take_output("s");
    for (size_t at = 0; at < said.size(); at += 2 + static_cast<size_t>(said[at + 1]))
      numbers[said.substr(at + 4, static_cast<size_t>(said[at + 3]))] +=
          said[at + 1 + static_cast<size_t>(said[at + 1])];
    return numbers;
  }
};

// What they had of a topic goes to the survivor in its order, though each gives it to the next one first.
TEST_F(ByTopic, TheOrderOutlivesMembersWhoAreRevokedTogether) {
  start_group("00");
  roles_.of.erase("plant");
  publish_all(kEach);
  const auto all = came();
  EXPECT_EQ(all.size(), static_cast<size_t>(kTopics));
  for (const auto& [topic, numbers] : all) EXPECT_EQ(numbers, "0123") << topic;
}

// They stay connected: each keeps the one that it was sent.
TEST_F(ByTopic, WhatWaitsGoesToTheSurvivorInItsOrder) {
  start_group("03 21 H1");
  roles_.set("plant", {});
  publish_all(kEach);
  const auto all = came();
  EXPECT_EQ(all.size(), static_cast<size_t>(kTopics));
  size_t kept = 0;
  for (const auto& [topic, numbers] : all) {
    EXPECT_TRUE(numbers == "0123" || numbers == "123") << topic << " " << numbers;
    kept += 4 - numbers.size();
  }
  EXPECT_EQ(kept, 3U);
}

// The log would say that it has them.
TEST_F(RightsWorld, NothingIsChosenForADurableMemberWhoseRightsAreGone) {
  for (const char* shared : {"in_turn", "by_topic"}) {
    options_.shared = shared;
    start();
    connect_durable("s", "plant");
    connect_durable("t", "all");
    ASSERT_EQ(subscribe("s", "$share/g/plant/#", "02"), 2);
    ASSERT_EQ(subscribe("t", "$share/g/plant/#", "02"), 2);
    roles_.set("plant", {});
    for (int i = 0; i < 8; ++i) publish("plant/" + std::to_string(i), 2);
    pass_seconds(1);
    EXPECT_EQ(hex_of(world_->take_output("s")), "") << shared;
    EXPECT_EQ(topics("t").size(), 8U) << shared;
    EXPECT_EQ(world_->machine().lost_count(), 0U) << shared;
    world_.reset();
  }
}

// What is retained was asked for with a right, and is read without it.
TEST_F(RightsWorld, WhatIsRetainedIsNotSentWhenTheRightIsGoneMeanwhile) {
  start();
  publish("plant/kept", 1, true);
  connect("s", "plant");
  world_->hold(true);
  world_->send("s", whole("82", "m9 00 " + text("plant/#") + "01"));
  roles_.set("plant", {});
  world_->hold(false);
  world_->settle();
  EXPECT_EQ(hex_of(world_->take_output("s")), "900400090001");
  pass_seconds(1);
  publish("plant/kept");
  EXPECT_EQ(topics("s"), Topics{});
  EXPECT_EQ(world_->broker().counters().subscriptions.value(), 0U);
}

// iot.events.

TEST_F(RightsWorld, WhatIsDeniedIsToldOnceASecondWithACountOfTheOthers) {
  start();
  connect("s", "plant");
  for (int i = 0; i < 50; ++i) publish("other/" + std::to_string(i), 0, false, "s");
  EXPECT_EQ(subscribe("s", "other/#"), 0x87);
  publish("$SYS/x", 0, false, "p");
  EXPECT_EQ(world_->commands(), 0U) << "nothing waits for it";
  pass_seconds(2);
  std::vector<std::string> events = world_->events();
  for (std::string& event : events) event.erase(0, event.find(R"("client")"));
  const std::string s = R"("client":"s","user":"plant","address":"127.0.0.1:7070","action":)";
  const std::vector<std::string> wanted = {
      s + R"("publish","topic":"other/0","reason":"not_authorised"})",
      s + R"("subscribe","filter":"other/#","reason":"not_authorised"})",
      R"("client":"p","user":"all","address":"127.0.0.1:7070","action":"publish","topic":"$SYS/x",)"
      R"("reason":"reserved_topic"})",
      s + R"("publish","topic":"other/49","reason":"not_authorised","others":48})",
  };
  EXPECT_EQ(events, wanted);
  pass_seconds(5);
  EXPECT_EQ(world_->events().size(), wanted.size());
  EXPECT_EQ(world_->broker().telling().rows(), 0U);
}

// Who comes again and again is told of no more often.
TEST_F(RightsWorld, ADeniedWillIsToldAndNewConnectionsDoNotFillTheLog) {
  start();
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(connect("s", "plant", "00 " + text("other/will") + "s1 'x'", "06"), 0x87);
    world_->break_off("s");
  }
  pass_seconds(3);
  ASSERT_EQ(world_->events().size(), 2U);
  EXPECT_NE(world_->events()[1].find(R"("action":"will","topic":"other/will","reason":"not_authorised","others":18})"),
            std::string::npos)
      << world_->events()[1];
}

TEST_F(RightsWorld, SubscriptionsOfSessionsThatAreNotDurableAreToldWhoseConnectionsAre) {
  options_.presence = "users";
  start();
  connect("s", "plant");
  subscribe("s", "plant/#");
  pass_seconds(1);
  ASSERT_EQ(world_->events().size(), 1U);
  EXPECT_TRUE(world_->events()[0].ends_with(
      R"("client":"s","user":"plant","address":"127.0.0.1:7070","filter":"plant/#","qos":1})"))
      << world_->events()[0];
  World open;
  open.send("s", bytes_of("10 r13 s4 'MQTT' 04 02 k0 s1 's'"));
  open.send("s", bytes_of("82 r6 m1 s1 't' 01"));
  open.pass_time(2'000'000'000);
  EXPECT_TRUE(open.events().empty()) << "nobody proved who he is";
}

// Rates.

TEST_F(RightsWorld, ANewIdentifierIsNoNewRate) {
  options_.max_messages_per_second = 10;
  start();
  const auto received = [&] { return world_->broker().counters().received.value(); };
  for (const char* name : {"a", "b", "c"}) {
    connect(name, "plant");
    for (int i = 0; i < 30; ++i) publish("plant/1", 0, false, name);
    EXPECT_EQ(received(), 11U) << name;
    world_->break_off(name);
  }
  connect("other", "all");
  publish("plant/1", 0, false, "other");
  EXPECT_EQ(received(), 12U) << "another user has his own";
  EXPECT_EQ(world_->broker().rates().size(), 3U);
}

TEST_F(RightsWorld, WhoTakesOverWhatAnotherOwesDoesNotFreeHim) {
  options_.max_messages_per_second = 10;
  start();
  const auto received = [&] { return world_->broker().counters().received.value(); };
  connect("owes", "plant");
  for (int i = 0; i < 30; ++i) publish("plant/1", 0, false, "owes");
  EXPECT_EQ(received(), 11U);
  world_->break_off("owes");
  connect("innocent", "plant");
  connect("owes", "plant");
  for (int i = 0; i < 30; ++i) publish("plant/1", 0, false, "owes");
  EXPECT_EQ(received(), 11U);
}

}  // namespace
}  // namespace heptane::iot::test
