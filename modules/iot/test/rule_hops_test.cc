// Rules of several servers that feed each other over a bridge: what they publish counts through how many it has gone, and a circle ends.
#include <gtest/gtest.h>

#include <map>

#include "kernel/streams/record_batch.h"
#include "modules/iot/domain/rules/hops.h"
#include "modules/iot/gateway/rules/compiled_rule.h"
#include "modules/iot/machine/message_headers.h"
#include "modules/iot/test/rules_world.h"

namespace heptane::iot::rules::test {
namespace {

using Headers = std::vector<std::pair<std::string, std::string>>;

Headers counted(const std::string& hops) { return {{"heptane-hops", hops}}; }

RuleDefinition rule_of(const std::string& sql) {
  RuleDefinition rule;
  rule.name = "r";
  rule.sql = sql;
  rule.publish = PublishAction{"'made/t'"};
  const Result<void> good = check_rule(rule);
  HEPTANE_ASSERT(good.ok(), "it is a rule");
  return rule;
}

CompiledRule compiled(const std::string& sql) {
  Result<CompiledRule> made = CompiledRule::compile(rule_of(sql));
  HEPTANE_ASSERT(made.ok(), "it is a rule");
  return std::move(*made);
}

void put_text(ByteWriter& out, std::string_view text) {
  out.zigzag(static_cast<int64_t>(text.size()));
  out.append(text);
}

// A message as a stream has it.
class Record {
 public:
  explicit Record(const Headers& headers, std::string value = R"({"n":1})", int64_t ms = 0) : value_(std::move(value)) {
    for (const auto& [key, text] : headers) {
      put_text(headers_, key);
      put_text(headers_, text);
    }
    view_.timestamp_ms = ms;
    view_.has_key = view_.has_value = true;
    view_.key = as_bytes(std::string_view("in/t"));
    view_.value = as_bytes(value_);
    view_.headers = headers_.view();
    view_.header_count = static_cast<uint32_t>(headers.size());
  }
  Record(const Record&) = delete;
  Record& operator=(const Record&) = delete;
  const streams::RecordView& at(Offset offset) {
    view_.offset = offset;
    return view_;
  }

 private:
  std::string value_;
  ByteWriter headers_;
  streams::RecordView view_;
};

// The one input that the bytes hold, as the machine reads it.
struct Read {
  uint8_t hops = 0;
  std::string fault;
  std::string row;
};
std::optional<Read> read_back(const ByteWriter& bytes) {
  RuleCommit head;
  head.rule = "r";
  head.upto = 100;
  const Buffer run = encode(head, bytes.view(), 1);
  const auto commit = decode_commit(run.view());
  if (!commit) return std::nullopt;
  const RuleInput& input = commit->inputs.front();
  return Read{input.hops, std::string(input.fault), std::string(input.row)};
}

std::optional<Read> made_of(const Headers& headers, const std::string& sql = "SELECT n FROM 'in/+'") {
  const CompiledRule rule = compiled(sql);
  Workspace work;
  ByteWriter bytes;
  if (!rule.append_input_of(Record(headers).at(0), 0, work, bytes)) return std::nullopt;
  return read_back(bytes);
}

TEST(RuleHops, ReadsNumbersAndNothingElse) {
  EXPECT_EQ(hops_of("0"), 0);
  EXPECT_EQ(hops_of("8"), 8);
  EXPECT_EQ(hops_of("9"), kHopsMax + 1);
  EXPECT_EQ(hops_of("4294967295"), kHopsMax + 1);
  EXPECT_EQ(hops_of("99999999999999999999"), kHopsMax + 1);
  for (const char* text : {"", "-1", "+1", " 1", "1 ", "x", "0x1"}) EXPECT_EQ(hops_of(text), 0) << text;
}

TEST(RuleHops, WhatNeverWasOnABridgeIsNotCounted) {
  EXPECT_EQ(made_of({})->hops, 0);
  EXPECT_EQ(made_of({{"heptane.position", "0:7"}, {"mqtt.qos", "1"}, {"mqtt.client", "meter"}, {"unit", "C"}})->hops,
            0);
}

TEST(RuleHops, WhatCameOverABridgeIs) {
  const Headers sent_on = {{"mqtt.qos", "1"}, {"mqtt.client", "heptane-1f-hub"}, {"heptane-via", "a"}};
  EXPECT_EQ(made_of(sent_on)->hops, 1);
  EXPECT_EQ(made_of({{"mqtt.qos", "1"}, {"mqtt.client", "$bridge/hub"}})->hops, 1);
  EXPECT_EQ(made_of({{"mqtt.client", "$bridge/hub"}, {"heptane-hops", "3"}})->hops, 4);
  EXPECT_EQ(made_of({{"mqtt.client", "x"}, {"heptane-hops", "2"}, {"heptane-hops", "5"}})->hops, 6);
  EXPECT_EQ(made_of({{"mqtt.client", "x"}, {"heptane-hops", "many"}})->hops, 1);
  EXPECT_EQ(made_of({{"heptane-hops", "7"}})->hops, kHopsMax);
}

TEST(RuleHops, BeyondTheMostItIsADeadLetterWhereTheRuleWantsIt) {
  for (const char* hops : {"8", "9", "300", "99999999999999999999"}) {
    const auto made = made_of({{"heptane-hops", hops}});
    ASSERT_TRUE(made) << hops;
    EXPECT_EQ(made->fault, kTooManyHops);
    EXPECT_EQ(made->hops, 0);
    EXPECT_FALSE(made_of({{"heptane-hops", hops}}, "SELECT n FROM 'in/+' WHERE n > 1")) << hops;
  }
}

TEST(RuleHops, AWindowsRowHasTheMostOfItsRecords) {
  const CompiledRule rule = compiled("SELECT count(*) AS n FROM 'in/+' WINDOW TUMBLING (SIZE 1 SECOND)");
  for (const bool again : {false, true}) {
    Windows windows = rule.windows_at({});
    const auto take = [&](Record record, Offset offset) {
      ByteWriter told;
      if (again)
        rule.rebuild(record.at(offset), windows);
      else
        rule.offer(record.at(offset), kEventMsMax, windows, told);
      return told.size() == 0 ? std::string() : read_back(told)->fault;
    };
    if (again) windows.raise(500);
    EXPECT_EQ(take(Record({}, "{}", 1), 0), "");
    EXPECT_EQ(take(Record(counted("4"), "{}", 2), 1), "");
    EXPECT_EQ(take(Record(counted("2"), "{}", 3), 2), "");
    EXPECT_EQ(take(Record(counted("8"), "{}", 4), 3), again ? "" : kTooManyHops);
    windows.raise(1'000);
    const auto row = windows.take_row();
    ASSERT_TRUE(row);
    ByteWriter bytes;
    ASSERT_TRUE(rule.append_input_of(*row, "", bytes));
    const auto made = read_back(bytes);
    ASSERT_TRUE(made);
    EXPECT_EQ(made->hops, 5) << again;
    EXPECT_EQ(made->row, R"({"n":3})") << again;
  }
}

TEST(RuleHops, LuaHandsThemOn) {
  RuleDefinition definition = rule_of("SELECT n FROM 'in/+'");
  definition.lua = "return function(row) return row end";
  const Result<CompiledRule> rule = CompiledRule::compile(definition);
  ASSERT_TRUE(rule.ok());
  const auto call = rule->lua_call_of(Record(counted("3")).at(0), 0);
  ASSERT_TRUE(call);
  ByteWriter bytes;
  ASSERT_TRUE(rule->append_input_of(*call, Frame{FrameKind::row, R"({"n":1})"}, bytes));
  EXPECT_EQ(read_back(bytes)->hops, 4);
  const auto last = rule->lua_call_of(Record(counted("8")).at(0), 0);
  ASSERT_TRUE(last);
  EXPECT_EQ(last->fault, kTooManyHops);
}

// What the machine publishes of an input, as a bridge carries it: the headers of its record.
class Circle : public testing::Test {
 protected:
  Circle() {
    world.make_stream("rule.r");
    EXPECT_TRUE(world.put(rule_of("SELECT n FROM 'in/+'")).ok());
  }
  // nullopt: nothing but a dead letter.
  std::optional<Headers> published(const Headers& of) {
    const CompiledRule rule = compiled("SELECT n FROM 'in/+'");
    world.fill("rule.r", next + 1);
    Workspace work;
    ByteWriter bytes;
    EXPECT_TRUE(rule.append_input_of(Record(of).at(next), 0, work, bytes));
    RuleCommit head;
    head.rule = "r";
    head.version = world.rule("r").version;
    head.partition = world.partition("rule.r");
    head.from = next;
    head.upto = ++next;
    const Reply reply = world.run(kRulesMachineId, kRuleCommit, encode(head, bytes.view(), 1));
    EXPECT_TRUE(reply.ok()) << reply.message;
    const auto told = decode_commit_reply(reply.payload);
    EXPECT_TRUE(told);
    ByteReader in(told->messages.view());
    const MessageView message = read_message(in);
    if (message.topic != "made/t") return std::nullopt;
    MessageHeaders made;
    made.of(message);
    Headers headers;
    for (const ViewHeader& header : made.all()) headers.emplace_back(header.key, as_text(header.value));
    return headers;
  }

  RulesWorld world;
  Offset next = 0;
};

TEST_F(Circle, EndsAfterEightRules) {
  const Headers from_nobody = {{"mqtt.qos", "1"}, {"mqtt.client", ""}};
  std::optional<Headers> headers = published({{"mqtt.qos", "1"}, {"mqtt.client", "meter"}});
  ASSERT_EQ(headers, from_nobody) << "nobody pays for it on one server";
  for (int hops = 1; hops <= kHopsMax; ++hops) {
    headers->insert(headers->begin() + 2, {"heptane-via", "a"});
    headers = published(*headers);
    Headers wanted = from_nobody;
    wanted.emplace_back("heptane-hops", std::to_string(hops));
    ASSERT_EQ(headers, wanted);
    if (hops == 5) world.crash_and_recover();
  }
  EXPECT_EQ(published(*headers), std::nullopt);
  EXPECT_EQ(world.rule("r").counters.published, 9U);
  EXPECT_EQ(world.rule("r").counters.dead_letters, 1U);
}

}  // namespace
}  // namespace heptane::iot::rules::test
