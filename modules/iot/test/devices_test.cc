// The registry of things: commands, limits, pages, groups, presence; against a naive model.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "modules/iot/gateway/http/device_json.h"
#include "modules/iot/test/devices_rig.h"

namespace heptane::iot::devices {

namespace {

using test::DevicesRig;
using test::kSecond;
using test::thing;

std::vector<std::string> names_of(const std::vector<ThingRow>& rows) {
  std::vector<std::string> names;
  for (const ThingRow& row : rows) names.push_back(row.thing.name);
  return names;
}

}  // namespace

TEST(Devices, AThingIsMadeChangedAndGone) {
  DevicesRig rig;
  Thing pump = thing("pump-1");
  pump.type = "pump";
  pump.attributes = {{"site", "north"}, {"serial", "A 17"}};
  pump.tags = {"new"};
  EXPECT_TRUE(rig.create(pump).ok());
  EXPECT_EQ(rig.create(pump).error, Errc::exists);
  UpdateThing update{.name = "pump-1", .expected_version = 1, .change = {}};
  update.change.attributes = {{"site", "south"}, {"serial", std::nullopt}, {"nothing", std::nullopt}};
  update.change.groups = {{"plant", "spare"}};
  rig.now += kSecond;
  EXPECT_EQ(rig.update(update).numbers[0], 2);
  EXPECT_EQ(rig.update(update).error, Errc::stale);
  update.expected_version = 0;
  EXPECT_EQ(rig.update(update).numbers[0], 2);
  EXPECT_EQ(rig.outcome, CommandOutcome::unchanged);
  const auto row = rig.machine.registry().find("pump-1");
  ASSERT_TRUE(row);
  EXPECT_EQ(row->thing.type, "pump");
  EXPECT_EQ(row->thing.attributes, (decltype(row->thing.attributes){{"site", "south"}}));
  EXPECT_EQ(row->thing.tags, pump.tags);
  EXPECT_EQ(row->updated - row->created, kSecond);
  rig.restore();
  EXPECT_TRUE(rig.remove("pump-1").ok());
  EXPECT_EQ(rig.remove("pump-1").error, Errc::not_found);
  EXPECT_EQ(rig.update(update).error, Errc::not_found);
  EXPECT_TRUE(rig.machine.fresh());
  EXPECT_EQ(rig.machine.memory_bytes(), 0U);
  EXPECT_EQ(rig.trail.told, (std::vector<std::string>{"devices.create pump-1: ", "devices.update pump-1: version 2",
                                                      "devices.delete pump-1: "}));
}

TEST(Devices, OfManyEachIsMadeWholeOrNotAtAll) {
  DevicesRig rig;
  rig.kernel.config["devices.max_things"] = "3";
  rig.kernel.config["devices.max_attributes"] = "1";
  Thing wide = thing("wide");
  wide.attributes = {{"a", "1"}, {"b", "2"}};
  const Reply reply =
      rig.apply(kCreateThings, encode_things({thing("a"), thing("b"), thing("a"), wide, thing("c"), thing("d")}));
  ASSERT_TRUE(reply.ok());
  EXPECT_EQ(reply.numbers[0], 3);
  const char expected[] = {0, 0, 1, 3, 0, 2};
  EXPECT_EQ(as_text(reply.payload.view()), std::string_view(expected, sizeof expected));
  EXPECT_EQ(names_of(rig.list({})), (std::vector<std::string>{"a", "b", "c"}));
  EXPECT_EQ(rig.create(thing("d")).error, Errc::overloaded);
  EXPECT_EQ(rig.create(wide).error, Errc::invalid_argument);
  EXPECT_EQ(rig.trail.told, (std::vector<std::string>{"devices.create a: things: 3"}));
}

TEST(Devices, LimitsHoldForChangesAsWell) {
  DevicesRig rig;
  rig.kernel.config["devices.max_thing_bytes"] = "40";
  EXPECT_TRUE(rig.create(thing("a")).ok());
  UpdateThing update{.name = "a", .expected_version = 0, .change = {}};
  update.change.attributes = {{"text", std::string(36, 'x')}};
  EXPECT_EQ(rig.update(update).error, Errc::invalid_argument);
  update.change.attributes = {{"text", std::string(35, 'x')}};
  EXPECT_TRUE(rig.update(update).ok());
}

TEST(Devices, WhatIsNoThingIsNone) {
  const ThingLimits limits;
  Thing bad = thing("");
  EXPECT_NE(wrong_thing(bad, limits), "");
  for (const char* name : {"a/b", "a+", "\xC3\xA9", "a b"}) EXPECT_NE(wrong_thing(thing(name), limits), "") << name;
  EXPECT_NE(wrong_thing(thing(std::string(129, 'a')), limits), "");
  EXPECT_EQ(wrong_thing(thing(std::string(128, 'a')), limits), "");
  Thing value = thing("a");
  value.attributes["x"] = "\xFF";
  EXPECT_NE(wrong_thing(value, limits), "");
  value.attributes["x"] = "line\nline";
  EXPECT_NE(wrong_thing(value, limits), "");
  value.attributes["x"] = "Z\xC3\xBCrich, 8\xC2\xB0";
  EXPECT_EQ(wrong_thing(value, limits), "");
  Thing tags = thing("a");
  for (int i = 0; i < 51; ++i) tags.tags.insert("t" + std::to_string(i));
  EXPECT_NE(wrong_thing(tags, limits), "");
}

TEST(Devices, CommandsThatAreCutOffAreRefused) {
  DevicesRig rig;
  Thing whole = thing("pump");
  whole.attributes = {{"a", "b"}};
  whole.tags = {"t"};
  const Buffer payload = encode_things({whole});
  for (size_t length = 0; length < payload.size(); ++length)
    EXPECT_EQ(rig.apply(kCreateThings, payload.slice(0, length)).error, Errc::invalid_argument) << length;
  EXPECT_TRUE(rig.machine.fresh());
  EXPECT_TRUE(rig.apply(kCreateThings, payload).ok());
}

TEST(Devices, ACommandsBytesAreBounded) {
  DevicesRig rig;
  rig.kernel.config["devices.max_attributes"] = "1000";
  rig.kernel.config["devices.max_thing_bytes"] = "65536";
  std::vector<Thing> things;
  const auto payload = [&] { return encode_things(things); };
  while (payload().size() <= kCreateBytesMax) {
    Thing wide = thing("t" + std::to_string(things.size()));
    for (int i = 0; i < 60; ++i) wide.attributes["a" + std::to_string(i)] = std::string(kValueLimitBytes, 'x');
    things.push_back(wide);
  }
  EXPECT_EQ(rig.apply(kCreateThings, payload()).error, Errc::invalid_argument);
  EXPECT_TRUE(rig.machine.fresh());
  things.pop_back();
  EXPECT_EQ(rig.apply(kCreateThings, payload()).numbers[0], static_cast<int64_t>(things.size()));
}

// What is told late, or twice, or of a run before, does not undo what came later.
TEST(Devices, AnOldConnectionsEndIsNoNews) {
  DevicesRig rig;
  rig.create(thing("a"));
  const auto state = [&] { return rig.machine.registry().find("a")->presence; };
  EXPECT_FALSE(state().connected);
  EXPECT_EQ(state().since, 0);
  rig.connection("a", 5, true);
  EXPECT_TRUE(state().connected);
  rig.now += kSecond;
  rig.connection("a", 9, true);
  rig.connection("a", 5, false);
  EXPECT_EQ(rig.outcome, CommandOutcome::unchanged);
  EXPECT_TRUE(state().connected);
  EXPECT_EQ(state().since, rig.now);
  rig.restore();
  rig.connection("a", 9, false);
  EXPECT_FALSE(state().connected);
  rig.connection("a", 9, true);  // its beginning comes behind its end
  EXPECT_FALSE(state().connected);
  rig.connection("a", 10, true);
  rig.apply(kStarted, {});
  EXPECT_FALSE(state().connected);
  EXPECT_EQ(state().since, rig.now);
  rig.connection("a", 2, true);  // of the new run
  EXPECT_TRUE(state().connected);
  rig.restore();
  rig.connection("b", 3, true);
  EXPECT_EQ(rig.outcome, CommandOutcome::unchanged);
}

TEST(Devices, APageEndsAfterSoManyVisits) {
  DevicesRig rig;
  std::vector<Thing> things;
  for (int i = 0; i < 9'000; ++i) {
    char name[16];
    std::snprintf(name, sizeof name, "t%05d", i);
    things.push_back(thing(name));
    if (i == 8'999) things.back().type = "rare";
    if (things.size() < kCreatesMax) continue;
    ASSERT_TRUE(rig.apply(kCreateThings, encode_things(things)).ok());
    things.clear();
  }
  ThingsQuery rare;
  rare.type = "rare";
  size_t pages = 0;
  EXPECT_EQ(names_of(rig.list(rare, &pages)), (std::vector<std::string>{"t08999"}));
  EXPECT_EQ(pages, 3U);
  pages = 0;
  ThingsQuery all;
  all.limit = 1'000;
  EXPECT_EQ(rig.list(all, &pages).size(), 9'000U);
  EXPECT_EQ(pages, 9U);
}

// However few of them are wanted: each is read to be judged, while nothing else is done.
TEST(Devices, APageEndsAfterSoManyBytes) {
  DevicesRig rig;
  constexpr size_t kValues = 7;
  for (int i = 0; i < 100; ++i) {
    Thing wide = thing("t" + std::to_string(100 + i));
    for (size_t value = 0; value < kValues; ++value)
      wide.attributes["a" + std::to_string(value)] = std::string(kValueLimitBytes, 'x');
    ASSERT_TRUE(rig.create(wide).ok());
  }
  ThingsQuery none;
  none.type = "none";
  const auto page = decode_things_page(rig.ask(kQueryThings, encode(none)).payload.view());
  ASSERT_TRUE(page);
  EXPECT_EQ(page->last, "t136");  // 37 of a little more than 7 KiB are the first beyond 256 KiB
  size_t pages = 0;
  EXPECT_TRUE(rig.list(none, &pages).empty());
  EXPECT_EQ(pages, 3U);
}

TEST(Devices, GroupsAreMemoryAsWell) {
  DevicesRig rig;
  rig.create(thing("a"));
  rig.create(thing("b"));
  const size_t bare = rig.machine.memory_bytes();
  const std::string group(kNameLimitBytes, 'g');
  UpdateThing join{.name = "a", .expected_version = 0, .change = {}};
  join.change.groups = {group};
  ASSERT_TRUE(rig.update(join).ok());
  const size_t first = rig.machine.memory_bytes();
  EXPECT_GT(first, bare + 2 * group.size());  // the thing's, and the group
  join.name = "b";
  ASSERT_TRUE(rig.update(join).ok());
  EXPECT_LT(rig.machine.memory_bytes() - first, first - bare);  // the group was there
  rig.restore();
  for (const char* name : {"a", "b"}) {
    UpdateThing leave{.name = name, .expected_version = 0, .change = {}};
    leave.change.groups.emplace();
    ASSERT_TRUE(rig.update(leave).ok());
  }
  EXPECT_EQ(rig.machine.memory_bytes(), bare);
}

// A naive registry: all that is said in one map.
class Naive {
 public:
  std::map<std::string, Thing> things;

  std::vector<std::string> matching(const ThingsQuery& query) const {
    std::vector<std::string> names;
    for (const auto& [name, one] : things) {
      const bool typed = query.type.empty() || one.type == query.type;
      const bool tagged = query.tag.empty() || one.tags.count(query.tag) == 1;
      const bool grouped = query.group.empty() || one.groups.count(query.group) == 1;
      const auto attribute = one.attributes.find(query.attribute);
      const bool has = attribute != one.attributes.end() && (!query.value || *query.value == attribute->second);
      if (typed && tagged && grouped && (query.attribute.empty() || has)) names.push_back(name);
    }
    return names;
  }
  std::map<std::string, uint64_t> groups() const {
    std::map<std::string, uint64_t> counts;
    for (const auto& [name, one] : things)
      for (const std::string& group : one.groups) ++counts[group];
    return counts;
  }
};

TEST(Devices, AgreeWithANaiveModelWhateverHappens) {
  std::mt19937 random(17);
  const auto pick = [&](uint32_t most) { return static_cast<uint32_t>(random() % most); };
  const auto word = [&](const char* kind) { return kind + std::to_string(pick(4)); };
  const auto words = [&](const char* kind) {
    std::set<std::string, std::less<>> some;
    for (uint32_t i = pick(3); i > 0; --i) some.insert(word(kind));
    return some;
  };
  DevicesRig rig;
  Naive naive;
  for (int step = 0; step < 4'000; ++step) {
    rig.now += kSecond;
    const std::string name = "t" + std::to_string(pick(60));
    const auto known = naive.things.find(name);
    const uint32_t what = pick(10);
    if (what < 4) {
      Thing made = thing(name);
      made.type = word("type");
      made.attributes[word("a")] = word("v");
      made.tags = words("tag");
      made.groups = words("group");
      ASSERT_EQ(rig.create(made).ok(), known == naive.things.end());
      naive.things.emplace(name, made);
    } else if (what < 7) {
      UpdateThing update{.name = name, .expected_version = 0, .change = {}};
      if (pick(2) == 0) update.change.groups = words("group");
      if (pick(2) == 0) update.change.tags = words("tag");
      update.change.attributes[word("a")] = pick(2) == 0 ? std::optional(word("v")) : std::nullopt;
      ASSERT_EQ(rig.update(update).ok(), known != naive.things.end());
      if (known == naive.things.end()) continue;
      if (update.change.groups) known->second.groups = *update.change.groups;
      if (update.change.tags) known->second.tags = *update.change.tags;
      for (const auto& [attribute, value] : update.change.attributes) {
        known->second.attributes.erase(attribute);
        if (value) known->second.attributes[attribute] = *value;
      }
    } else if (what == 7) {
      ASSERT_EQ(rig.remove(name).ok(), naive.things.erase(name) == 1);
    } else {
      ThingsQuery query;
      query.limit = static_cast<uint16_t>(1 + pick(7));
      if (pick(2) == 0) query.type = word("type");
      if (pick(3) == 0) query.tag = word("tag");
      if (pick(3) == 0) query.group = word("group");
      if (pick(3) == 0) query.attribute = word("a");
      if (!query.attribute.empty() && pick(2) == 0) query.value = word("v");
      ASSERT_EQ(names_of(rig.list(query)), naive.matching(query));
    }
    if (step % 500 == 0) rig.restore();
  }
  const Reply groups = rig.ask(kQueryGroups, encode_groups_query("", 100));
  const auto rows = decode_groups(groups.payload.view());
  ASSERT_TRUE(rows);
  std::map<std::string, uint64_t> counted;
  for (const GroupRow& row : *rows) counted[row.name] = row.things;
  EXPECT_EQ(counted, naive.groups());
  for (const ThingRow& row : rig.list({})) EXPECT_EQ(row.thing, naive.things.at(row.thing.name));
}

TEST(DevicesJson, AThingIsReadAndWritten) {
  const auto made =
      thing_of_json(R"({"name":"a","type":"pump","attributes":{"x":"1"},"tags":["t","t"],"groups":["g"]})");
  ASSERT_TRUE(made.ok()) << made.error().message;
  EXPECT_EQ(made->tags.size(), 1U);
  http::JsonWriter out;
  write_row(out, {.thing = *made,
                  .version = 3,
                  .created = 5'000'000,
                  .updated = 7'000'000,
                  .presence = {.connected = true, .since = 9'000'000}});
  EXPECT_EQ(out.take(), R"({"name":"a","type":"pump","attributes":{"x":"1"},"tags":["t"],"groups":["g"],"version":3,)"
                        R"("created_ms":5,"updated_ms":7,"connected":true,"connected_ms":9})"
                        "\n");
}

TEST(DevicesJson, WhatIsWrongIsNamed) {
  const auto why = [](const char* text) {
    const auto made = thing_of_json(text);
    return made.ok() ? std::string() : made.error().message;
  };
  EXPECT_NE(why(R"({"type":"x"})").find("name"), std::string::npos);
  EXPECT_NE(why(R"({"name":"a","attributes":{"x":1}})").find("no text: x"), std::string::npos);
  EXPECT_NE(why(R"({"name":"a","attributes":{"x":null}})").find("no text: x"), std::string::npos);
  EXPECT_NE(why(R"({"name":"a","tags":[1]})").find("tags"), std::string::npos);
  EXPECT_NE(why(R"({"name":"a","colour":"red"})").find("colour"), std::string::npos);
  EXPECT_NE(why(R"({"name":"a b"})").find("name"), std::string::npos);
  const auto update = update_of_json(R"({"attributes":{"x":null,"y":"1"},"type":"","version":4})", "a");
  ASSERT_TRUE(update.ok()) << update.error().message;
  EXPECT_EQ(update->expected_version, 4U);
  EXPECT_EQ(update->change.type, "");
  EXPECT_EQ(update->change.attributes.at("x"), std::nullopt);
  EXPECT_FALSE(update->change.tags || update->change.groups);
}

}  // namespace heptane::iot::devices
