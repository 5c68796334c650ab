// The outbox in the machine: records in the run's entry, how far they were sent, letters, and what late or foreign commands may not do.
#include <gtest/gtest.h>

#include "kernel/base/random.h"
#include "modules/iot/machine/rules/outbox_api.h"
#include "modules/iot/test/rules_world.h"

namespace heptane::iot::rules::test {
namespace {

RuleDefinition posting(const std::string& name = "hook") {
  RuleDefinition rule;
  rule.name = name;
  rule.sql = "SELECT n FROM STREAM readings";
  rule.source = "readings";
  rule.http = HttpAction{"https://hooks.example.com/x"};
  return rule;
}

class RuleOutbox : public testing::Test {
 protected:
  RuleOutbox() {
    world.make_stream("readings");
    EXPECT_TRUE(world.put(posting()).ok());
  }
  Reply run(const std::string& name, Offset from, size_t inputs) {
    const Offset upto = from + static_cast<Offset>(inputs);
    world.fill("readings", upto);
    const RuleRow row = world.rule(name);
    RuleCommit head;
    head.rule = name;
    head.version = row.version;
    head.partition = world.partition("readings");
    head.from = from;
    head.upto = upto;
    ByteWriter bytes;
    for (Offset offset = from; offset < upto; ++offset) {
      RuleInput input;
      input.offset = offset;
      input.payload = "{}";
      input.is_json = true;
      input.posts = true;
      input.row = R"({"n":1})";
      append_input(bytes, input);
    }
    return world.run(kRulesMachineId, kRuleCommit, encode(head, bytes.view(), static_cast<uint16_t>(inputs)));
  }
  Reply sent(const std::string& name, Offset from, Offset upto, uint32_t posted,
             std::vector<OutboxLetter> letters = {}) {
    OutboxCommit commit;
    commit.rule = name;
    commit.created = world.rule(name).created;
    commit.from = from;
    commit.upto = upto;
    commit.posted = posted;
    commit.letters = std::move(letters);
    return world.run(kRulesMachineId, kOutboxCommit, encode(commit));
  }

  RulesWorld world;
};

// Records as a reader of the log gets them.
class Rendered final : public RecordWriter {
 public:
  bool wants() const override { return true; }
  bool full() const override { return false; }
  void skip() override {}
  void add(const ViewRecord& record) override {
    lines.push_back(std::string(as_text(record.key)) + ' ' + std::string(as_text(record.value)) + ' ' +
                    std::to_string(record.headers.size()));
  }
  std::vector<std::string> lines;
};

TEST_F(RuleOutbox, ARunPostsInItsEntryAndTheCursorFollows) {
  EXPECT_EQ(world.rule("hook").outbox, Offset{0});
  ASSERT_TRUE(run("hook", 0, 3).ok());
  EXPECT_EQ(world.end("iot.outbox"), 3);
  EXPECT_EQ(world.rule("hook").counters.posts, 3u);
  const Reply told = sent("hook", 0, 2, 2);
  ASSERT_TRUE(told.ok()) << told.message;
  EXPECT_EQ(told.numbers[1], 2);
  world.crash_and_recover();
  EXPECT_EQ(world.rule("hook").outbox, Offset{2});
  EXPECT_EQ(world.rule("hook").counters.posted, 2u);
  // Again, from elsewhere, further than there is anything, more than there was.
  EXPECT_EQ(sent("hook", 0, 2, 2).error, Errc::stale);
  EXPECT_EQ(sent("hook", 3, 3, 0).error, Errc::stale);
  EXPECT_EQ(sent("hook", 2, 4, 1).error, Errc::invalid_argument);
  EXPECT_EQ(sent("hook", 2, 3, 2).error, Errc::invalid_argument);
  EXPECT_EQ(world.rule("hook").counters.posted, 2u);
}

TEST_F(RuleOutbox, WhatIsGivenUpIsADeadLetter) {
  ASSERT_TRUE(run("hook", 0, 2).ok());
  const Reply told = sent("hook", 0, 2, 1, {{1, "hook/1/0:2/1", "https://hooks.example.com/x", "answered with 404"}});
  ASSERT_TRUE(told.ok()) << told.message;
  const auto reply = decode_commit_reply(told.payload);
  ASSERT_TRUE(reply);
  ASSERT_EQ(reply->statuses.size(), 1u);
  ByteReader in(reply->messages.view());
  const MessageView message = read_message(in);
  EXPECT_EQ(message.topic, "$rules/hook/dead_letter");
  EXPECT_EQ(message.payload, R"({"event":"dead_letter","why":"answered with 404","idempotency_key":"hook/1/0:2/1",)"
                             R"("url":"https://hooks.example.com/x","stream":"iot.outbox","offset":1})");
  EXPECT_EQ(world.rule("hook").counters.dead_letters, 1u);
  EXPECT_EQ(world.end("iot.rules"), 1);
}

TEST_F(RuleOutbox, AnotherRuleOfTheNameBeginsBehindWhatIsThere) {
  ASSERT_TRUE(run("hook", 0, 2).ok());
  const RuleRow before = world.rule("hook");
  ASSERT_TRUE(world.run(kRulesMachineId, kDropRule, Buffer::copy_of("hook")).ok());
  ASSERT_TRUE(world.put(posting()).ok());
  EXPECT_EQ(world.rule("hook").outbox, Offset{2});
  // Of the one before.
  OutboxCommit late;
  late.rule = "hook";
  late.created = before.created;
  late.from = late.upto = 2;
  const Reply reply = world.run(kRulesMachineId, kOutboxCommit, encode(late));
  EXPECT_EQ(reply.error, before.created == world.rule("hook").created ? std::optional<Errc>() : Errc::stale);
  // One that posts no more has nothing to send; one that posts again begins anew.
  RuleDefinition silent = posting();
  silent.http.reset();
  silent.publish = PublishAction{"'x'"};
  ASSERT_TRUE(world.put(silent).ok());
  EXPECT_FALSE(world.rule("hook").outbox);
  EXPECT_EQ(sent("hook", 2, 2, 0).error, Errc::not_found);
}

TEST_F(RuleOutbox, WhatIsGoneIsPassedOver) {
  ASSERT_TRUE(run("hook", 0, 4).ok());
  world.trim("iot.outbox", 3);
  // From the middle of what is gone: it had read so far.
  EXPECT_TRUE(sent("hook", 2, 3, 1).ok());
  EXPECT_EQ(world.rule("hook").counters.dead_letters, 1u);
  EXPECT_EQ(world.end("iot.rules"), 1);
  EXPECT_EQ(sent("hook", 4, 4, 0).error, Errc::stale);
  EXPECT_TRUE(sent("hook", 3, 4, 1).ok());
}

TEST_F(RuleOutbox, WhatIsRefusedMakesNoStream) {
  EXPECT_EQ(sent("hook", 3, 3, 0).error, Errc::stale);
  EXPECT_EQ(sent("hook", 0, 3, 0).error, Errc::invalid_argument);
  EXPECT_FALSE(world.has("iot.rules"));
}

TEST_F(RuleOutbox, NoRuleReadsIt) {
  RuleDefinition rule = posting("loop");
  rule.source = "iot.outbox";
  EXPECT_EQ(world.put(rule).error, Errc::invalid_argument);
}

TEST_F(RuleOutbox, RecordsAreRenderedOutOfTheEntry) {
  const std::string key = idempotency_key("hook", 7, 12, 0);
  MessageView message;
  message.topic = "$rules/hook/dead_letter";
  message.payload = "{}";
  ByteWriter told;
  append_message(told, message);
  message.topic = key;
  message.payload = R"({"url":"u","body":{}})";
  ByteWriter posts;
  append_message(posts, message);
  LoggedCommand logged;
  logged.results = {told.view(), posts.view()};
  Rendered outbox;
  render_rules(logged, kOutboxView.number, outbox);
  EXPECT_EQ(outbox.lines, std::vector<std::string>{R"(hook/7/0:12/0 {"url":"u","body":{}} 0)"});
  Rendered rules;
  render_rules(logged, kRulesView.number, rules);
  EXPECT_EQ(rules.lines, std::vector<std::string>{"$rules/hook/dead_letter {} 2"});
  logged.results.pop_back();
  Rendered none;
  render_rules(logged, kOutboxView.number, none);
  EXPECT_TRUE(none.lines.empty());
}

TEST_F(RuleOutbox, WhatIsPublishedIsRenderedOutOfTheRun) {
  ByteWriter inputs;
  for (const Offset offset : {0, 1, 2}) {
    RuleInput input;
    input.offset = offset;
    if (offset == 1) input.fault = "no JSON";
    if (offset != 1) input.publish_topic = "alarm/a";
    if (offset != 1) input.row = R"({"n":1})";
    if (offset == 2) input.hops = 3;
    append_input(inputs, input);
  }
  RuleCommit head;
  head.rule = "hook";
  head.upto = 3;
  const Buffer run = encode(head, inputs.view(), 3);
  MessageView letter;
  letter.topic = "$rules/hook/dead_letter";
  letter.payload = "{}";
  ByteWriter told;
  append_told(told, uint16_t{0});
  append_told(told, letter);
  append_told(told, uint16_t{2});
  const auto rendered = [&](uint32_t version) {
    LoggedCommand logged;
    logged.command.type = kRuleCommit;
    logged.command.payload = run.view();
    logged.results = {told.view()};
    logged.version = version;
    Rendered out;
    render_rules(logged, kRulesView.number, out);
    return out.lines;
  };
  EXPECT_EQ(rendered(kLogicOnce),
            (std::vector<std::string>{R"(alarm/a {"n":1} 2)", "$rules/hook/dead_letter {} 2", R"(alarm/a {"n":1} 3)"}));
  // Behind what is none there is nothing more; of before, messages stand there whole.
  append_told(told, uint16_t{3});
  EXPECT_EQ(rendered(kLogicOnce).size(), 3U);
  told.clear();
  append_message(told, letter);
  EXPECT_EQ(rendered(RulesMachine::kLogicWindows), std::vector<std::string>{"$rules/hook/dead_letter {} 2"});
}

// Two rules share the outbox; each one's cursor is its own, over crashes.
TEST_F(RuleOutbox, CursorsAreEachRulesOwn) {
  ASSERT_TRUE(world.put(posting("other")).ok());
  SeededRandom random(3);
  std::map<std::string, Offset> read{{"hook", 0}, {"other", 0}};
  std::map<std::string, Offset> next{{"hook", 0}, {"other", 0}};
  next["other"] = *world.rule("other").outbox;
  for (int step = 0; step < 200; ++step) {
    const std::string name = random.below(2) == 0 ? "hook" : "other";
    if (random.below(2) == 0) {
      ASSERT_TRUE(run(name, read[name], 1).ok());
      ++read[name];
    } else if (const Offset upto = world.end("iot.outbox"); upto > next[name]) {
      ASSERT_TRUE(sent(name, next[name], upto, 0).ok());
      next[name] = upto;
    }
    if (random.below(20) == 0) world.crash_and_recover();
    for (const auto& [rule, offset] : next) ASSERT_EQ(world.rule(rule).outbox, offset);
  }
  const std::string before = world.state();
  MemorySnapshot saved;
  world.machine().save(saved);
  ASSERT_TRUE(world.machine().restore(saved).ok());
  EXPECT_EQ(world.state(), before);
  EXPECT_EQ(world.rule("other").outbox, next["other"]);
}

}  // namespace
}  // namespace heptane::iot::rules::test
