// Shadows as a pure function: what is merged, what differs, what is answered with which code; against a naive model of flat paths.
#include <gtest/gtest.h>

#include <random>

#include "modules/iot/gateway/devices/shadow_json.h"

namespace heptane::iot::devices {

namespace {

constexpr int64_t kNow = 1'700'000'000;

ShadowRequest request(ShadowOperation operation, std::string_view payload) {
  return read_shadow_request({"pump", "", operation}, payload);
}

// A shadow and what was said of it.
struct Talk {
  Shadow shadow;
  int64_t now_s = kNow;

  ShadowOutcome say(ShadowOperation operation, std::string_view payload) {
    ShadowOutcome outcome = answer_request(request(operation, payload), shadow, now_s);
    if (outcome.changed) shadow = outcome.shadow;
    return outcome;
  }
  ShadowOutcome update(std::string_view payload) { return say(ShadowOperation::update, payload); }
  std::string get() { return say(ShadowOperation::get, "").answers.back().payload; }
  // `CODE message`
  std::string rejection(ShadowOperation operation, std::string_view payload) {
    const ShadowOutcome outcome = say(operation, payload);
    EXPECT_EQ(outcome.answers.size(), 1U);
    EXPECT_TRUE(outcome.answers.back().topic.ends_with("/rejected")) << payload;
    return outcome.answers.back().payload;
  }
};

std::vector<std::string> endings(const ShadowOutcome& outcome) {
  std::vector<std::string> words;
  for (const ShadowAnswer& answer : outcome.answers) words.push_back(answer.topic.substr(answer.topic.rfind('/') + 1));
  return words;
}

std::string rejected(int code, const std::string& message, const std::string& more = "") {
  return R"({"code":)" + std::to_string(code) + R"(,"message":")" + message + R"(","timestamp":1700000000)" + more +
         "}";
}

}  // namespace

TEST(Shadow, TopicsAreReadToTheirLastLevel) {
  const auto topic = parse_shadow_topic("$aws/things/a:b_C-1/shadow/update");
  ASSERT_TRUE(topic);
  EXPECT_EQ(topic->thing, "a:b_C-1");
  EXPECT_EQ(topic->name, "");
  EXPECT_EQ(topic->operation, ShadowOperation::update);
  const auto named = parse_shadow_topic("$aws/things/a/shadow/name/n/delete");
  ASSERT_TRUE(named);
  EXPECT_EQ(named->name, "n");
  EXPECT_EQ(named->operation, ShadowOperation::remove);
  for (const char* none :
       {"$aws", "$aws/things/a/shadow", "$aws/things/a/shadow/", "$aws/things/a/shadow/get/", "$aws/things//shadow/get",
        "$aws/things/a/shadow/get/accepted", "$aws/things/a/shadow/name/get", "$aws/things/a/shadow/name//get",
        "$aws/things/a/shadow/list", "$aws/things/a b/shadow/get", "$aws/things/a/jobs/get", "aws/things/a/shadow/get",
        "$awsx/things/a/shadow/get"})
    EXPECT_FALSE(parse_shadow_topic(none)) << none;
  EXPECT_FALSE(parse_shadow_topic("$aws/things/a/shadow/name/" + std::string(65, 'n') + "/get"));
  EXPECT_TRUE(is_service_topic("$aws") && is_service_topic("$aws/x") && !is_service_topic("$awsx"));
  EXPECT_TRUE(is_of_thing("$aws/things/a/shadow/get", "a"));
  EXPECT_FALSE(is_of_thing("$aws/things/ab/shadow/get", "a"));
  EXPECT_FALSE(is_of_thing("$aws/things/a", "a"));
  EXPECT_FALSE(is_of_thing("$aws/things/+/shadow/get", "+"));
  EXPECT_FALSE(is_of_thing("$aws/things//shadow/get", ""));
}

TEST(Shadow, DeltaComesBeforeAccepted) {
  Talk talk;
  const ShadowOutcome first =
      talk.update(R"({"state":{"desired":{"on":true,"level":3},"reported":{"level":3.0}},"clientToken":"c"})");
  EXPECT_EQ(first.code, 200);
  EXPECT_EQ(endings(first), (std::vector<std::string>{"delta", "documents", "accepted"}));
  EXPECT_EQ(first.answers[0].topic, "$aws/things/pump/shadow/update/delta");
  EXPECT_EQ(first.answers[0].payload, R"({"version":1,"timestamp":1700000000,"state":{"on":true},)"
                                      R"("metadata":{"on":{"timestamp":1700000000}},"clientToken":"c"})");
  EXPECT_EQ(first.answers[1].payload,
            R"({"current":{"state":{"desired":{"level":3,"on":true},"reported":{"level":3.0}},"metadata":{"desired":{)"
            R"("level":{"timestamp":1700000000},"on":{"timestamp":1700000000}},"reported":{"level":{)"
            R"("timestamp":1700000000}}},"version":1},"timestamp":1700000000,"clientToken":"c"})");
  EXPECT_EQ(first.answers[2].payload,
            R"({"state":{"desired":{"level":3,"on":true},"reported":{"level":3.0}},"metadata":{"desired":{"level":{)"
            R"("timestamp":1700000000},"on":{"timestamp":1700000000}},"reported":{"level":{"timestamp":1700000000}}},)"
            R"("version":1,"timestamp":1700000000,"clientToken":"c"})");
  talk.now_s += 5;
  const ShadowOutcome second = talk.update(R"({"state":{"reported":{"on":true}}})");
  EXPECT_EQ(endings(second), (std::vector<std::string>{"documents", "accepted"}));
  EXPECT_EQ(talk.get(),
            R"({"state":{"desired":{"level":3,"on":true},"reported":{"level":3.0,"on":true}},"metadata":{"desired":{)"
            R"("level":{"timestamp":1700000000},"on":{"timestamp":1700000000}},"reported":{"level":{)"
            R"("timestamp":1700000000},"on":{"timestamp":1700000005}}},"version":2,"timestamp":1700000005})");
}

TEST(Shadow, AGetShowsWhatDiffers) {
  Talk talk;
  talk.update(
      R"({"state":{"desired":{"a":{"x":1,"y":2},"list":[1,2]},"reported":{"a":{"x":1},"list":[1],"other":0}}})");
  EXPECT_NE(talk.get().find(R"("delta":{"a":{"y":2},"list":[1,2]})"), std::string::npos);
}

TEST(Shadow, NullTakesAwayAndArraysAreReplaced) {
  Talk talk;
  talk.update(R"({"state":{"desired":{"a":{"x":1,"y":2},"list":[1,{"z":null}]},"reported":{"r":1}}})");
  const ShadowOutcome outcome = talk.update(R"({"state":{"desired":{"a":{"x":null},"list":[]},"reported":null}})");
  EXPECT_EQ(outcome.answers.back().payload,
            R"({"state":{"desired":{"a":{"x":null},"list":[]},"reported":null},"metadata":{"desired":{"a":{"x":null},)"
            R"("list":[]},"reported":null},"version":2,"timestamp":1700000000})");
  EXPECT_NE(talk.get().find(R"("state":{"desired":{"a":{"y":2},"list":[]},"delta")"), std::string::npos);
  talk.update(R"({"state":{"desired":{"a":null,"list":null}}})");
  EXPECT_EQ(talk.get(), R"({"state":{},"metadata":{},"version":3,"timestamp":1700000000})");
}

TEST(Shadow, VersionsAreCheckedAndGoOnBehindADeletion) {
  Talk talk;
  EXPECT_EQ(talk.rejection(ShadowOperation::update, R"({"state":{},"version":1,"clientToken":"k"})"),
            rejected(409, "Version conflict", R"(,"clientToken":"k")"));
  talk.update(R"({"state":{"reported":{"a":1}}})");
  EXPECT_EQ(talk.update(R"({"state":{"reported":{"a":2}},"version":1})").code, 200);
  EXPECT_EQ(talk.update(R"({"state":{"reported":{"a":3}},"version":1})").code, 409);
  EXPECT_EQ(talk.shadow.version, 2U);
  EXPECT_EQ(talk.say(ShadowOperation::remove, R"({"version":1})").code, 409);
  EXPECT_EQ(talk.say(ShadowOperation::remove, R"({"clientToken":"z"})").answers.back().payload,
            R"({"version":2,"timestamp":1700000000,"clientToken":"z"})");
  EXPECT_EQ(talk.rejection(ShadowOperation::get, ""), rejected(404, "No shadow exists with name: 'pump'"));
  EXPECT_EQ(talk.rejection(ShadowOperation::remove, "{}"), rejected(404, "No shadow exists with name: 'pump'"));
  EXPECT_EQ(talk.update(R"({"state":{"reported":{"a":1}}})").shadow.version, 3U);
  EXPECT_EQ(talk.get().find("previous"), std::string::npos);
}

TEST(Shadow, FaultsHaveTheCodesAndTextsOfAws) {
  Talk talk;
  const auto why = [&](const std::string& payload) { return talk.rejection(ShadowOperation::update, payload); };
  EXPECT_EQ(why(""), rejected(400, "Invalid JSON"));
  EXPECT_EQ(why("{"), rejected(400, "Invalid JSON"));
  EXPECT_EQ(why("[]"), rejected(400, "Invalid JSON"));
  EXPECT_EQ(why(R"({"state":{"desired":{"a":1,"a":2}}})"), rejected(400, "Invalid JSON"));
  EXPECT_EQ(why("{}"), rejected(400, "Missing required node: state"));
  EXPECT_EQ(why(R"({"state":null})"), rejected(400, "State node must be an object"));
  EXPECT_EQ(why(R"({"state":{"desired":1}})"), rejected(400, "Desired node must be an object"));
  EXPECT_EQ(why(R"({"state":{"reported":[]}})"), rejected(400, "Reported node must be an object"));
  EXPECT_EQ(why(R"({"state":{"delta":{}}})"), rejected(400, "State contains an invalid node"));
  EXPECT_EQ(why(R"({"state":{},"version":-1})"), rejected(400, "Invalid version"));
  EXPECT_EQ(why(R"({"state":{},"version":"1"})"), rejected(400, "Invalid version"));
  EXPECT_EQ(why(R"({"state":{},"clientToken":7})"), rejected(400, "Invalid clientToken"));
  EXPECT_EQ(why(R"({"state":{},"clientToken":")" + std::string(65, 'x') + "\"}"), rejected(400, "Invalid clientToken"));
  EXPECT_EQ(why("{\"state\":{\"desired\":{\"a\":\"\xFF\"}}}"),
            rejected(415, "Unsupported documented encoding; supported encoding is UTF-8"));
  EXPECT_EQ(why(R"({"state":{"desired":{"a":")" + std::string(kShadowBytesMax, 'x') + "\"}}}"),
            rejected(413, "The payload exceeds the maximum size allowed"));
  EXPECT_EQ(why(R"({"clientToken":"t","state":5})"),
            rejected(400, "State node must be an object", R"(,"clientToken":"t")"));
  EXPECT_EQ(talk.shadow.version, 0U);
}

// Who sent many tells the answers apart by their tokens.
TEST(Shadow, ARefusedRequestKeepsItsToken) {
  const auto refused = [](std::string_view payload) {
    const ShadowRequest asked =
        refused_shadow_request({"pump", "n", ShadowOperation::update}, payload, ShadowFault::too_many);
    EXPECT_FALSE(asked.desired || asked.version);
    return answer_request(asked, {}, kNow).answers.at(0).payload;
  };
  EXPECT_EQ(refused(R"({"state":{"desired":{"a":1}},"version":2,"clientToken":"t"})"),
            rejected(429, "Too many requests", R"(,"clientToken":"t")"));
  const std::string long_token = R"({"clientToken":")" + std::string(kClientTokenBytesMax + 1, 'x') + "\"}";
  for (const std::string& payload : {std::string(), std::string("{"), std::string("[]"), long_token,
                                     R"({"clientToken":"t","a":")" + std::string(kShadowBytesMax, 'x') + "\"}"})
    EXPECT_EQ(refused(payload), rejected(429, "Too many requests"));
}

TEST(Shadow, SixLevelsAreTheMost) {
  Talk talk;
  const std::string deep = "JSON contains too many levels of nesting; maximum is 6";
  EXPECT_EQ(talk.update(R"({"state":{"desired":{"1":{"2":{"3":{"4":{"5":{}}}}}}}})").code, 200);
  EXPECT_EQ(talk.rejection(ShadowOperation::update, R"({"state":{"desired":{"1":{"2":{"3":{"4":{"5":[[]]}}}}}}})"),
            rejected(400, deep));
  const std::string deeper = R"({"state":{"reported":{"a":)" + std::string(40, '[') + std::string(40, ']') + "}}}";
  EXPECT_EQ(talk.rejection(ShadowOperation::update, deeper), rejected(400, deep));
}

TEST(Shadow, TheStateIsBoundedAsAWhole) {
  Talk talk;
  const std::string half(kShadowBytesMax / 2 + 10, 'x');
  EXPECT_EQ(talk.update(R"({"state":{"desired":{"a":")" + half + "\"}}}").code, 200);
  EXPECT_EQ(talk.update(R"({"state":{"reported":{"a":")" + half + "\"}}}").code, 413);
  EXPECT_EQ(talk.shadow.version, 1U);
  EXPECT_EQ(talk.update(R"({"state":{"desired":{"a":")" + half + "\"}}}").code, 200);
}

// Each value is a timestamp of an answer, so a state of many small ones would be answered with many times its bytes.
TEST(Shadow, ValuesAreBoundedAndSoAreAnswers) {
  Talk talk;
  const auto items = [](const char* section, size_t count) {
    std::string list = "0";
    for (size_t i = 1; i < count; ++i) list += ",0";
    return std::string(R"({"state":{")") + section + R"(":{"a":[)" + list + "]}}}";
  };
  const std::string why = rejected(413, "The state has too many values, items of arrays included; maximum is 1024");
  EXPECT_EQ(talk.rejection(ShadowOperation::update, items("desired", kShadowLeavesMax + 1)), why);
  EXPECT_EQ(talk.update(items("desired", kShadowLeavesMax)).code, 200);
  EXPECT_EQ(talk.update(items("desired", kShadowLeavesMax)).code, 200);  // replaced
  EXPECT_LT(talk.get().size(), size_t{48} << 10);
  EXPECT_EQ(talk.rejection(ShadowOperation::update, items("reported", 1)), why);  // with what is there
  EXPECT_EQ(talk.update(items("desired", kShadowLeavesMax - 1)).code, 200);
  EXPECT_EQ(talk.update(items("reported", 1)).code, 200);
}

TEST(Shadow, ACommandWithTooManyValuesIsNone) {
  ShadowRequest asked;
  asked.operation = ShadowOperation::update;
  asked.thing = "pump";
  asked.desired = JsonTree::object();
  JsonTree& list = asked.desired->members["a"];
  list.kind = TreeKind::array;
  list.items.resize(kShadowLeavesMax);
  const auto taken = [&] {
    ByteWriter out;
    append_request(out, asked);
    ByteReader in(out.view());
    read_request(in);
    return in.complete();
  };
  EXPECT_TRUE(taken());
  list.items.emplace_back();
  EXPECT_FALSE(taken());
}

TEST(Shadow, EscapesCountAsTheyWereWritten) {
  Talk talk;
  std::string text;
  for (int i = 0; i < 800; ++i) text += R"(\n\t\r\b\f)";
  const std::string state = R"({"desired":{"a":")" + text + R"("}})";
  EXPECT_EQ(talk.update(R"({"state":)" + state + "}").code, 200);
  EXPECT_NE(talk.get().find(text), std::string::npos);
}

TEST(Shadow, NumbersAreTheSameHoweverTheyAreWritten) {
  const auto same = [](const char* one, const char* other) {
    Talk talk;
    const ShadowOutcome outcome =
        talk.update(std::string(R"({"state":{"desired":{"n":)") + one + R"(},"reported":{"n":)" + other + "}}}");
    EXPECT_EQ(outcome.code, 200);
    return outcome.answers.size() == 2;
  };
  EXPECT_TRUE(same("1", "1.0") && same("1e2", "100") && same("0.5", "5e-1") && same("-0", "0.000") &&
              same("1200", "1.2E+3") && same("10", "1e1"));
  EXPECT_FALSE(same("1", "-1") || same("10", "1") || same("1.01", "1.1") || same("1", "\"1\"") || same("0", "false"));
}

TEST(Shadow, WhatIsCutOffIsNoRequest) {
  ByteWriter out;
  append_request(out,
                 request(ShadowOperation::update, R"({"state":{"desired":{"a":[1,"x",{"b":null}]}},"version":3})"));
  for (size_t length = 0; length < out.size(); ++length) {
    ByteReader in(out.view().first(length));
    read_request(in);
    EXPECT_FALSE(in.complete()) << length;
  }
  ByteReader in(out.view());
  const ShadowRequest back = read_request(in);
  EXPECT_TRUE(in.complete());
  std::string json;
  write_json(json, *back.desired);
  EXPECT_EQ(json, R"({"a":[1,"x",{"b":null}]})");
  EXPECT_EQ(back.version, 3U);
}

// The naive model: leaves by their paths.
namespace {

struct Leaf {
  std::string json;
  int64_t time_s = 0;
  bool operator==(const Leaf&) const = default;
};
using Flat = std::map<std::vector<std::string>, Leaf>;
using Path = std::vector<std::string>;

bool begins_with(const Path& path, const Path& prefix) {
  return path.size() >= prefix.size() && std::equal(prefix.begin(), prefix.end(), path.begin());
}

void flatten(const JsonTree& tree, const Path& path, Flat& out) {
  if (!tree.is_object()) {
    std::string json;
    write_json(json, tree);
    out[path] = {json, tree.time_s};
    return;
  }
  for (const auto& [name, member] : tree.members) {
    Path below = path;
    below.push_back(name);
    flatten(member, below, out);
  }
}

Flat flat_of(const std::optional<JsonTree>& tree) {
  Flat out;
  if (tree) flatten(*tree, {}, out);
  return out;
}

void erase_below(Flat& flat, const Path& path) {
  std::erase_if(flat, [&](const auto& entry) { return begins_with(entry.first, path); });
}

void naive_merge(Flat& flat, const JsonTree& patch, const Path& path, int64_t now_s) {
  if (!patch.is_object()) {
    erase_below(flat, path);
    if (patch.kind == TreeKind::null) return;
    std::string json;
    write_json(json, patch);
    flat[path] = {json, now_s};
    return;
  }
  flat.erase(path);  // a leaf becomes an object
  for (const auto& [name, member] : patch.members) {
    Path below = path;
    below.push_back(name);
    naive_merge(flat, member, below, now_s);
  }
}

// What of `wanted` is nowhere in `is` under the same path with the same value.
Flat naive_difference(const Flat& wanted, const Flat& is) {
  Flat out;
  for (const auto& [path, leaf] : wanted) {
    const auto there = is.find(path);
    if (there == is.end() || there->second.json != leaf.json) out[path] = leaf;
  }
  return out;
}

class Trees {
 public:
  explicit Trees(uint32_t seed) : random_(seed) {}
  uint32_t pick(uint32_t most) { return static_cast<uint32_t>(random_() % most); }
  JsonTree object(uint32_t depth) {
    JsonTree tree = JsonTree::object();
    for (uint32_t i = pick(4); i > 0; --i)
      tree.members[std::string(1, static_cast<char>('a' + pick(4)))] = value(depth);
    return tree;
  }

 private:
  JsonTree value(uint32_t depth) {
    JsonTree tree;
    switch (pick(depth == 0 ? 5 : 8)) {
      case 0: return tree;  // null
      case 1: tree.kind = TreeKind::yes; return tree;
      case 2:
        tree.kind = TreeKind::number;
        tree.text = std::to_string(pick(3));
        return tree;
      case 3:
        tree.kind = TreeKind::text;
        tree.text = std::string(1, static_cast<char>(pick(40)));
        return tree;
      case 4:
        tree.kind = TreeKind::array;
        for (uint32_t i = pick(3); i > 0; --i) tree.items.push_back(value(0));
        return tree;
      default: return object(depth - 1);
    }
  }
  std::mt19937 random_;
};

}  // namespace

TEST(Shadow, MergesAndDiffersAsANaiveModelDoes) {
  Trees trees(23);
  Shadow shadow;
  Flat desired;
  Flat reported;
  for (int step = 0; step < 20'000; ++step) {
    ShadowRequest asked;
    asked.operation = ShadowOperation::update;
    asked.thing = "t";
    const int64_t now_s = kNow + step;
    for (auto* section : {&asked.desired, &asked.reported}) {
      Flat& flat = section == &asked.desired ? desired : reported;
      const uint32_t what = trees.pick(20);
      if (what < 8) continue;
      *section = what == 19 ? JsonTree() : trees.object(3);
      if ((*section)->kind == TreeKind::null)
        flat.clear();
      else
        naive_merge(flat, **section, {}, now_s);
    }
    const ShadowOutcome outcome = answer_request(asked, shadow, now_s);
    ASSERT_EQ(outcome.code, 200);
    shadow = outcome.shadow;
    ASSERT_EQ(flat_of(shadow.desired), desired) << step;
    ASSERT_EQ(flat_of(shadow.reported), reported) << step;
    const auto delta = shadow.desired
                           ? difference(*shadow.desired, shadow.reported ? *shadow.reported : JsonTree::object())
                           : std::nullopt;
    ASSERT_EQ(flat_of(delta), naive_difference(desired, reported)) << step;
    ByteWriter bytes;
    append_shadow(bytes, shadow);
    ByteReader in(bytes.view());
    const Shadow back = read_shadow(in);
    ASSERT_TRUE(in.complete());
    ASSERT_EQ(flat_of(back.desired), desired);
    shadow = back;
  }
}

}  // namespace heptane::iot::devices
