// Queries over things: what each term means, what is refused and where; random queries against a naive reading of the tree that they
// were written from.
#include "modules/iot/domain/devices/fleet_query.h"

#include <gtest/gtest.h>

#include <functional>
#include <random>

#include "modules/iot/test/devices_rig.h"

namespace heptane::iot::devices {

namespace {

Thing pump() {
  Thing thing;
  thing.name = "pump-1";
  thing.type = "pump";
  thing.attributes = {{"site", "north"}, {"bar", "2.50"}, {"note", "a b"}, {"empty", ""}};
  thing.tags = {"new", "hot"};
  thing.groups = {"plant", "spare"};
  return thing;
}

bool wants(const std::string& text, const Thing& thing = pump(), bool connected = true) {
  const auto query = FleetQuery::parse(text);
  EXPECT_TRUE(query.ok()) << text << ": " << (query ? "" : query.error().message);
  return query && query->wants(thing, connected);
}

}  // namespace

TEST(FleetQuery, TermsMeanWhatTheySay) {
  for (const char* yes : {"thingName:pump-1",
                          "thingName:pump-*",
                          "thingName:*-1",
                          "thingName:p??p-*",
                          "thingName:*",
                          "thingTypeName:pump",
                          "thingGroupNames:plant",
                          "thingGroupNames:sp*",
                          "tags:hot",
                          "attributes.site:north",
                          "attributes.site:n*h",
                          "attributes.note:\"a b\"",
                          "attributes.empty:\"\"",
                          "attributes.empty:*",
                          "attributes.bar:>2.4",
                          "attributes.bar:>=2.5",
                          "attributes.bar:<3",
                          "attributes.bar:<= 2.50",
                          "attributes.bar:[2 TO 2.5]",
                          "attributes.bar:[ -1 TO 3 ]",
                          "connectivity.connected:true",
                          "NOT thingName:x",
                          "NOT NOT thingName:pump-1",
                          "thingTypeName:pump AND attributes.site:north",
                          "thingTypeName:pump attributes.site:north",
                          "thingTypeName:x OR attributes.site:north",
                          "thingTypeName:x AND tags:y OR tags:hot",
                          "tags:hot OR thingTypeName:x AND tags:y",
                          "(tags:x OR tags:hot) AND (thingName:pump-1)",
                          "NOT (tags:x AND tags:hot)"})
    EXPECT_TRUE(wants(yes)) << yes;
  for (const char* no :
       {"thingName:pump", "thingName:pump-?1", "thingTypeName:Pump", "thingGroupNames:none", "attributes.none:*",
        "NOT attributes.site:*", "attributes.site:>1", "attributes.bar:>2.5", "attributes.bar:<2.5",
        "attributes.bar:[3 TO 4]", "attributes.bar:2.5", "connectivity.connected:false", "thingName:\"pump-*\"",
        "tags:x OR tags:y", "tags:hot AND (thingName:x OR thingName:y)", "NOT tags:hot OR thingName:x"})
    EXPECT_FALSE(wants(no)) << no;
  EXPECT_FALSE(wants("thingTypeName:*",
                     [] {
                       Thing thing = pump();
                       thing.type.clear();
                       return thing;
                     }()))
      << "it has no type";
  EXPECT_TRUE(wants("connectivity.connected:false", pump(), false));
  EXPECT_TRUE(wants("thingName:" + std::string(200, '*') + "1"));
}

TEST(FleetQuery, WhatIsWrongIsToldWithItsPlace) {
  const auto refusal = [](const std::string& text) {
    const auto query = FleetQuery::parse(text);
    return query ? std::string("taken") : query.error().message;
  };
  EXPECT_EQ(refusal(""), "query: a term is missing (at byte 1)");
  EXPECT_EQ(refusal("tags:a AND"), "query: a term is missing (at byte 11)");
  EXPECT_EQ(refusal("(tags:a"), "query: a parenthesis is not closed (at byte 8)");
  EXPECT_EQ(refusal("tags:a)"), "query: there is something behind the end (at byte 7)");
  EXPECT_EQ(refusal("tags"), "query: a term is FIELD:VALUE (at byte 5)");
  EXPECT_EQ(refusal("tags:"), "query: a value is missing (at byte 6)");
  EXPECT_NE(refusal("shadow.reported.x:1").find("no such field"), std::string::npos);
  EXPECT_NE(refusal("attributes.a/b:1").find("no such field"), std::string::npos);
  for (const char* wrong :
       {"tags:\"a", "attributes.a:>x", "attributes.a:[1 TO x]", "attributes.a:[1,2]", "connectivity.connected:yes",
        "NOT", "OR tags:a", "tags:a OR", "connectivity.connected:>1", "attributes.a:>1.2.3"})
    EXPECT_TRUE(refusal(wrong).starts_with("query: ")) << wrong;
  std::string many = "tags:a";
  for (int i = 1; i < 64; ++i) many += " OR tags:a";
  EXPECT_EQ(refusal(many), "taken");
  EXPECT_NE(refusal(many + " tags:a").find("more than 64 terms"), std::string::npos);
  EXPECT_EQ(refusal(std::string(15, '(') + "tags:a" + std::string(15, ')')), "taken");
  EXPECT_NE(refusal(std::string(16, '(') + "tags:a" + std::string(16, ')')).find("more than 16 deep"),
            std::string::npos);
  EXPECT_NE(refusal("tags:" + std::string(1'020, 'x')).find("1,024 bytes"), std::string::npos);
}

TEST(FleetQuery, NumbersAreComparedExactly) {
  const char* const ordered[] = {"-1000000000000000000000000000000", "-2.5", "-2.05", "-1",  "0",
                                 "0.000000000000000000000000000001", "0.5",  "1",     "1.5", "10",
                                 "1000000000000000000000000000001"};
  for (size_t i = 0; i < std::size(ordered); ++i)
    for (size_t j = 0; j < std::size(ordered); ++j)
      EXPECT_EQ(compare_numbers(ordered[i], ordered[j]), i < j ? -1 : i > j ? 1 : 0) << ordered[i] << ' ' << ordered[j];
  EXPECT_EQ(compare_numbers("-0", "0.00"), 0);
  EXPECT_EQ(compare_numbers("007.10", "7.1"), 0);
  for (const char* none : {"", "-", ".", "1.", ".5", "1e3", "+1", " 1", "0x1"}) EXPECT_FALSE(is_number(none)) << none;
  EXPECT_FALSE(is_number(std::string(37, '1')));
}

// A tree is written with more parentheses than it needs, and read naively.
TEST(FleetQuery, AgreesWithANaiveModel) {
  std::mt19937_64 random(11);
  const auto pick = [&](size_t count) { return random() % count; };
  struct Made {
    std::string text;
    std::function<bool(const Thing&, bool)> wants;
  };
  const auto term = [&]() -> Made {
    const std::string letter(1, static_cast<char>('a' + pick(3)));
    switch (pick(5)) {
      case 0: return {"thingName:" + letter + "*", [=](const Thing& of, bool) { return of.name.starts_with(letter); }};
      case 1: return {"tags:" + letter, [=](const Thing& of, bool) { return of.tags.contains(letter); }};
      case 2:
        return {"attributes." + letter + ":*", [=](const Thing& of, bool) { return of.attributes.contains(letter); }};
      case 3: {
        const int bound = static_cast<int>(pick(9)) - 4;
        return {"attributes." + letter + ":<" + std::to_string(bound), [=](const Thing& of, bool) {
                  const auto found = of.attributes.find(letter);
                  return found != of.attributes.end() && std::stoi(found->second) < bound;
                }};
      }
      default: return {"connectivity.connected:false", [](const Thing&, bool connected) { return !connected; }};
    }
  };
  const std::function<Made(size_t)> tree = [&](size_t depth) -> Made {
    if (depth == 0 || pick(4) == 0) return term();
    const Made one = tree(depth - 1);
    if (pick(4) == 0) return {"NOT (" + one.text + ")", [=](const Thing& of, bool c) { return !one.wants(of, c); }};
    const Made other = tree(depth - 1);
    if (pick(2) == 0)
      return {"(" + one.text + ") OR (" + other.text + ")",
              [=](const Thing& of, bool c) { return one.wants(of, c) || other.wants(of, c); }};
    return {"(" + one.text + (pick(2) == 0 ? ") AND (" : ") (") + other.text + ")",
            [=](const Thing& of, bool c) { return one.wants(of, c) && other.wants(of, c); }};
  };
  std::vector<std::pair<Thing, bool>> things;
  for (int i = 0; i < 60; ++i) {
    Thing thing;
    thing.name = std::string(1, static_cast<char>('a' + pick(3))) + std::to_string(i);
    for (char c = 'a'; c <= 'c'; ++c) {
      if (pick(2) == 0) thing.tags.insert(std::string(1, c));
      if (pick(2) == 0) thing.attributes[std::string(1, c)] = std::to_string(static_cast<int>(pick(9)) - 4);
    }
    things.emplace_back(thing, pick(2) == 0);
  }
  for (int round = 0; round < 500; ++round) {
    const Made made = tree(4);
    const auto query = FleetQuery::parse(made.text);
    if (made.text.size() > kQueryBytesMax) continue;
    ASSERT_TRUE(query.ok()) << made.text << query.error().message;
    for (const auto& [thing, connected] : things)
      ASSERT_EQ(query->wants(thing, connected), made.wants(thing, connected)) << made.text << ' ' << thing.name;
  }
}

// Page by page the registry shows what a query wants, however little a page holds.
TEST(FleetQuery, ARegistryIsAskedPageByPage) {
  test::DevicesRig rig;
  for (int i = 0; i < 50; ++i) {
    Thing thing = test::thing("t-" + std::to_string(100 + i));
    thing.attributes["n"] = std::to_string(i);
    rig.create(thing);
  }
  rig.connection("t-149", 1, true);
  ThingsQuery query;
  query.limit = 3;
  query.query = "attributes.n:>=40 AND NOT connectivity.connected:true";
  size_t pages = 0;
  EXPECT_EQ(rig.list(query, &pages).size(), 9U);
  EXPECT_EQ(pages, 4U);
  query.query = "attributes.n:";
  EXPECT_EQ(rig.ask(kQueryThings, encode(query)).error, Errc::invalid_argument);
}

TEST(FleetQuery, APageEndsWhenItsQueryHasComparedEnough) {
  test::DevicesRig rig;
  constexpr size_t kThings = 10;
  for (size_t i = 0; i < kThings; ++i) {
    Thing thing = test::thing("t-" + std::to_string(i));
    thing.attributes["note"] = std::string(1'000, 'a');
    rig.create(thing);
  }
  ThingsQuery query;
  query.limit = 100;
  query.query = "attributes.note:" + std::string(900, 'a') + "*";
  size_t pages = 0;
  EXPECT_EQ(rig.list(query, &pages).size(), kThings);
  EXPECT_EQ(pages, 1U) << "a rest is not gone back in";
  pages = 0;
  query.query = "attributes.note:*" + std::string(500, 'a') + "b";
  EXPECT_TRUE(rig.list(query, &pages).empty());
  EXPECT_EQ(pages, kThings);
}

}  // namespace heptane::iot::devices
