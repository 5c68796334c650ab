// Rules over orders: windows beside one that keeps every event, conditions beside the plainest way to judge a tree, fuel, room, what is
// wrong and where.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>

#include "kernel/base/random.h"
#include "modules/fintech/domain/risk_rules/rule_book.h"
#include "modules/fintech/gateway/http/risk_json.h"

namespace heptane::fintech::risk_rules {
namespace {

using exchange_http::list_of_json;
using exchange_http::rules_of_json;

constexpr LogTime kSecond = 1'000'000'000;
constexpr LogTime kBegin = 1'700'000'000 * kSecond;

WindowSpec window(uint32_t seconds, uint32_t exact = kExactDefault, uint32_t keys = kKeysDefault) {
  WindowSpec spec;
  spec.name = "w";
  spec.adds = Adds::quantity;
  spec.seconds = seconds;
  spec.exact = exact;
  spec.keys = keys;
  return spec;
}

// Keeps all there ever was.
class NaiveWindow {
 public:
  void add(uint64_t key, Uint128 amount, LogTime now) { events_.push_back({key, now, amount}); }
  // Of what came behind `from`.
  Uint128 sum(uint64_t key, LogTime from) const {
    Uint128 all = 0;
    for (const Event& event : events_)
      if (event.key == key && event.at > from) all += event.amount;
    return all;
  }
  uint32_t count(uint64_t key, LogTime from) const {
    uint32_t all = 0;
    for (const Event& event : events_) all += event.key == key && event.at > from ? 1 : 0;
    return all;
  }

 private:
  struct Event {
    uint64_t key;
    LogTime at;
    Uint128 amount;
  };
  std::vector<Event> events_;
};

std::vector<Window::Saved> rows_of(const Window& of) {
  std::vector<Window::Saved> rows;
  of.each([&](const Window::Saved& row) { rows.push_back(row); });
  return rows;
}

bool same(const std::vector<Window::Saved>& a, const std::vector<Window::Saved>& b) {
  const auto equal_events = [](const Window::Event& x, const Window::Event& y) {
    return x.at == y.at && x.low == y.low && x.high == y.high;
  };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [&](const Window::Saved& x, const Window::Saved& y) {
    return x.key == y.key && x.last == y.last && x.coarse == y.coarse &&
           std::equal(x.events.begin(), x.events.end(), y.events.begin(), y.events.end(), equal_events);
  });
}

TEST(RiskWindow, IsExactUpToItsCapThenWithinABucket) {
  SeededRandom random(11);
  size_t exact = 0;
  size_t coarse = 0;
  for (int round = 0; round < 40; ++round) {
    const auto seconds = static_cast<uint32_t>(1 + random.below(100));
    const auto cap = static_cast<uint32_t>(1 + random.below(40));
    const LogTime length = seconds * kSecond;
    const LogTime reach = 64 * ((length + 62) / 63);  // of buckets
    Room room;
    Window window_of(window(seconds, cap), round);
    NaiveWindow naive;
    std::array<bool, 4> beyond{};  // more than the cap since it was empty last
    LogTime now = kBegin;
    for (int step = 0; step < 600; ++step) {
      now += static_cast<LogTime>(random.below(static_cast<uint64_t>(length) / (random.one_in(20) ? 1 : 20)));
      const uint64_t key = random.below(beyond.size());
      const Window::Reading reading = window_of.read(key, now, room);
      const Uint128 least = naive.sum(key, now - length);
      ASSERT_FALSE(reading.full);
      if (naive.count(key, now - reach) == 0) beyond[key] = false;
      if (!beyond[key]) {
        ++exact;
        ASSERT_TRUE(reading.sum == least) << round << ' ' << step;
      } else {
        ++coarse;
        ASSERT_TRUE(reading.sum >= least) << round << ' ' << step;
        ASSERT_TRUE(reading.sum <= naive.sum(key, now - reach)) << round << ' ' << step;
      }
      if (random.one_in(3)) continue;
      const Uint128 amount = random.below(1'000);
      window_of.add(key, amount, now, room);
      naive.add(key, amount, now);
      if (naive.count(key, now - length) > cap) beyond[key] = true;
    }
  }
  EXPECT_GT(exact, 1'000U);
  EXPECT_GT(coarse, 1'000U);
}

TEST(RiskWindow, SaysThatItIsFullUntilWhatWasLeftOutIsOver) {
  Room room;
  Window of(window(10, 4, 2), 0);
  LogTime now = kBegin;
  of.add(1, 1, now, room);
  of.add(2, 1, now + kSecond, room);
  EXPECT_FALSE(of.read(1, now + kSecond, room).full);
  EXPECT_TRUE(of.read(3, now + kSecond, room).full);
  of.add(3, 5, now + 2 * kSecond, room);  // is left out: of those that came later nothing is known for sure
  EXPECT_FALSE(of.read(1, now + 3 * kSecond, room).full);
  EXPECT_TRUE(of.read(3, now + 11 * kSecond, room).full);
  now += 12 * kSecond;
  EXPECT_FALSE(of.read(3, now, room).full);
  EXPECT_TRUE(of.read(1, now, room).sum == 0);
  of.add(3, 5, now, room);
  EXPECT_TRUE(of.read(3, now, room).sum == 5);
  EXPECT_EQ(of.keys(), 1U) << "those that are over have made room";
  EXPECT_EQ(room.used, 1U);

  Room small{0, 3};
  Window other(window(10), 0);
  for (uint64_t key = 0; key < 3; ++key) other.add(key, 1, now, small);
  EXPECT_TRUE(other.read(0, now, small).full);
  EXPECT_EQ(small.used, 3U);
}

// Else whoever makes many keys stops everybody who was there before.
TEST(RiskWindow, WithoutRoomForKeysThoseThatWereThereBeforeAreStillCounted) {
  Room room{0, 1'000};
  Window one(window(10, 6, 3), 1);
  for (const uint64_t key : {1, 2, 3}) one.add(key, 5, kBegin, room);
  one.add(4, 5, kBegin + kSecond, room);
  EXPECT_FALSE(one.read(1, kBegin + kSecond, room).full);
  EXPECT_EQ(one.read(1, kBegin + kSecond, room).sum, 5U);
  EXPECT_TRUE(one.read(4, kBegin + kSecond, room).full) << "its event was left out";
  EXPECT_TRUE(one.read(9, kBegin + kSecond, room).full) << "and so may one of this key have been";
  // The first ones are over and make room; what was left out of 4 and 9 still counts.
  one.add(4, 5, kBegin + 10 * kSecond, room);
  EXPECT_TRUE(one.read(4, kBegin + 10 * kSecond, room).full);
  EXPECT_FALSE(one.read(4, kBegin + 11 * kSecond, room).full);
}

TEST(RiskWindow, KeepsNoMemoryOfWhatIsOver) {
  Room room{0, 1'000};
  Window one(window(10, 100, 3), 1);
  for (int event = 0; event < 100; ++event) one.add(1, 5, kBegin, room);
  one.add(1, 5, kBegin + 20 * kSecond, room);
  one.add(1, 5, kBegin + 21 * kSecond, room);
  EXPECT_EQ(room.used, 2U);
  EXPECT_EQ(rows_of(one)[0].events.size(), 2U);
}

TEST(RiskWindow, GoesOnFromWhatWasSaved) {
  SeededRandom random(5);
  const WindowSpec spec = window(20, 6, 40);
  Room room{0, 100};
  Window one(spec, 1);
  LogTime now = kBegin;
  for (int step = 0; step < 3'000; ++step) {
    now += static_cast<LogTime>(random.below(kSecond));
    one.add(random.below(60), random.below(100), now, room);
    if (step % 100 != 0) continue;
    Room again_room{0, 100};
    Window again(spec, 2);
    again.restore_left_out(one.left_out());
    for (const Window::Saved& row : rows_of(one)) ASSERT_TRUE(again.restore(row, again_room));
    ASSERT_TRUE(same(rows_of(one), rows_of(again)));
    ASSERT_EQ(room.used, again_room.used);
    for (uint64_t key = 0; key < 60; ++key) {
      const Window::Reading a = one.read(key, now, room);
      const Window::Reading b = again.read(key, now, again_room);
      ASSERT_TRUE(a.sum == b.sum && a.full == b.full && a.looked == b.looked);
    }
    std::swap(one, again);
    std::swap(room, again_room);
  }
  Window fresh(spec, 3);
  Room empty;
  EXPECT_FALSE(fresh.restore({1, now, now, false, {}}, empty));
  EXPECT_FALSE(fresh.restore({1, now, now, true, std::vector<Window::Event>(65)}, empty));
  EXPECT_FALSE(fresh.restore({1, now, now, true, {{5, 1, 0}, {5, 1, 0}}}, empty));
}

// The bound of one window with all of its keys: what is said of it in the README.
TEST(RiskWindow, AMillionKeysTakeWhatIsSaid) {
  constexpr uint32_t kKeys = 1'000'000;
  constexpr uint64_t kEventsOfEach = 2;
  Room room;
  Window of(window(3'600, kExactDefault, kKeysMax), 7);
  for (uint64_t event = 0; event < kKeys * kEventsOfEach; ++event)
    of.add(event % kKeys, 1, kBegin + static_cast<LogTime>(event), room);
  EXPECT_EQ(of.keys(), kKeys);
  EXPECT_EQ(room.used, kKeys * kEventsOfEach);
  const double mib = static_cast<double>(of.memory_bytes()) / (1 << 20);
  std::printf("a window of 1 M keys with 2 events each: %.0f MiB\n", mib);
  EXPECT_LT(of.memory_bytes(), uint64_t{256} << 20);
}

// ---- rules

struct Shown {
  std::string account = "alpha/main";
  Facts facts;
  Shown() {
    const auto text = [&](Field field) -> std::string_view& { return facts.texts[static_cast<size_t>(field)]; };
    text(Field::account) = account;
    text(Field::firm) = "alpha";
    text(Field::instrument) = "BTC/USD";
    text(Field::side) = "buy";
    text(Field::type) = "limit";
    text(Field::action) = "new";
    facts.ids = {0, 7, 3, 2, 9};
    facts.quantity = facts.more_quantity = 500;
    facts.price = 10'000;
    facts.notional = 5'000'000;
    facts.more_notional = 5'000'000;
    facts.time = kBegin;
  }
  Shown(const Shown&) = delete;
  Shown& operator=(const Shown&) = delete;
};

RuleSetSpec rules(const std::string& json) {
  auto spec = rules_of_json(json);
  EXPECT_TRUE(spec.ok()) << (spec ? "" : spec.error().message);
  return spec ? *spec : RuleSetSpec();
}

List list(const std::string& name, const std::string& json) {
  auto read = list_of_json(json, name);
  EXPECT_TRUE(read.ok()) << (read ? "" : read.error().message);
  return read ? *read : List();
}

// What is said against it; empty: nothing.
std::string wrong(const std::string& json) {
  const auto spec = rules_of_json(json);
  if (!spec) return spec.error().message;
  Lists lists;
  lists["accounts"] = list("accounts", R"({"items": ["alpha/main"]})");
  lists["sizes"] = list("sizes", R"({"items": [500]})");
  const auto program = Program::compile(*spec, lists);
  return program ? "" : program.error().message;
}

std::string rule_when(const std::string& condition) {
  return R"({"windows": {"w": {"key": ["account"], "seconds": 10}}, "rules": [{"name": "r", "then": "deny", "when": )" +
         condition + "}]}";
}

TEST(RiskRules, WhatIsWrongIsNamedWithItsPath) {
  EXPECT_EQ(wrong(rule_when(R"({">": [{"window": "w"}, 5]})")), "");
  EXPECT_EQ(wrong(rule_when(R"({"all": [{"is": ["side", "buy"]}, {">": [{"window": "x"}, 5]}]})")),
            "rules[0].when.all[1].>[0].window: there is no window x");
  EXPECT_EQ(wrong(rule_when(R"({"any": [{"in": ["account", "nobody"]}]})")),
            "rules[0].when.any[0].in: there is no list nobody: put it first");
  EXPECT_EQ(wrong(rule_when(R"({"in": ["account", "sizes"]})")),
            "rules[0].when.in: the list sizes is one of numbers, account is not");
  EXPECT_EQ(wrong(rule_when(R"({"in": ["quantity", "accounts"]})")),
            "rules[0].when.in: the list accounts is one of texts, quantity is not");
  EXPECT_EQ(wrong(rule_when(R"({"not": {"+": [1, 2]}})")),
            "rules[0].when.not: + is a number where a condition is needed");
  EXPECT_EQ(wrong(rule_when(R"({">": [{"is": ["side", "buy"]}, 1]})")),
            "rules[0].when.>[0]: is is a condition where a number is needed");
  EXPECT_EQ(wrong(rule_when(R"({">": [1]})")), "rules[0].when.>: is two numbers");
  EXPECT_EQ(wrong(rule_when(R"({">": [1.5, 2]})")),
            R"(rules[0].when.>[0]: is a whole number, or an object of one member such as {">": [...]})");
  EXPECT_EQ(wrong(rule_when(R"({"all": []})")), "rules[0].when.all: is at least one condition");
  EXPECT_EQ(wrong(rule_when(R"({"is": ["quantity", "5"]})")),
            "rules[0].when.is: quantity is a number: compare it with =");
  EXPECT_EQ(wrong(rule_when(R"({"=": [{"field": "side"}, 5]})")),
            "rules[0].when.=[0].field: side is a text: use is or in");
  EXPECT_EQ(wrong(rule_when(R"({"=": [{"field": "colour"}, 5]})")).substr(0, 48),
            "rules[0].when.=[0].field: \"colour\" is no field: ");
  EXPECT_EQ(wrong(rule_when(R"({"xor": []})")).substr(0, 33), "rules[0].when.xor: is not known: ");
  EXPECT_EQ(wrong(R"({"rules": [{"name": "r", "then": "allow", "when": {"is": ["side", "buy"]}}]})"),
            "rules[0].then is one of review, deny");
  EXPECT_EQ(wrong(R"({"rules": [{"name": "r", "then": "deny"}]})"), "rules[0].when is missing");
  EXPECT_EQ(wrong(R"({"rules": [], "windows": {"w": {"key": ["account", "account"], "seconds": 1}}})"),
            "windows.w.key: names the same twice");
  EXPECT_EQ(wrong(R"({"rules": [], "windows": {"w": {"key": ["price"], "seconds": 1}}})"),
            "windows.w.key is one or two of account, firm, instrument, session");
  EXPECT_EQ(wrong(R"({"rules": [], "windows": {"w": {"key": ["firm"], "seconds": 0}}})"),
            "windows.w.seconds must be from 1 to 2678400");
  std::string deep = R"({"is": ["side", "buy"]})";
  for (int n = 0; n < 12; ++n) deep = R"({"not": )" + deep + "}";
  EXPECT_NE(wrong(rule_when(deep)).find("is nested deeper than 12"), std::string::npos);
}

Outcome judged(const std::string& json, const Facts& facts, std::string* why = nullptr) {
  RuleBook book;
  EXPECT_TRUE(book.put_list(list("blocked", R"({"items": ["beta/main", "alpha/main"]})")).ok());
  EXPECT_TRUE(book.put(rules(json)).ok());
  const Outcome outcome = book.judge(facts);
  if (why != nullptr && outcome.verdict != Verdict::allow) *why = book.why(outcome, facts);
  return outcome;
}

TEST(RiskRules, TheWorstVerdictWinsAndSaysWhy) {
  const Shown shown;
  std::string why;
  const std::string three = R"({"rules": [
    {"name": "small", "then": "review", "when": {"<": [{"field": "quantity"}, 1000]}},
    {"name": "list", "then": "deny", "when": {"in": ["account", "blocked"]}},
    {"name": "large", "then": "deny", "when": {">": [{"field": "quantity"}, 1]}}]})";
  Outcome outcome = judged(three, shown.facts, &why);
  EXPECT_EQ(outcome.verdict, Verdict::deny);
  EXPECT_EQ(why, "rule list: account is alpha/main, the rule looks for it in the list blocked");
  outcome = judged(rule_when(R"({">": [{"*": [{"field": "price"}, 2]}, 19999]})"), shown.facts, &why);
  EXPECT_EQ(outcome.verdict, Verdict::deny);
  EXPECT_EQ(why, "rule r: what is reckoned is 20000, its limit is 19999");
  outcome = judged(rule_when(R"({">=": [{"window": "w"}, 1]})"), shown.facts, &why);
  EXPECT_EQ(outcome.verdict, Verdict::deny) << "the order at hand counts";
  EXPECT_EQ(why, "rule r: w is 1, its limit is 1");
  EXPECT_EQ(judged(rule_when(R"({"is": ["session", "A"]})"), shown.facts).verdict, Verdict::allow);
}

TEST(RiskRules, FuelAndNumbersThatAreTooLargeAnswerOnError) {
  const Shown shown;
  std::string why;
  const auto rule = [](const std::string& more, const std::string& when) {
    return R"({"rules": [{"name": "r", "then": "deny", )" + more + R"("when": )" + when + "}]}";
  };
  const std::string four = R"({">": [{"field": "price"}, 1]})";  // takes 3
  EXPECT_EQ(judged(rule(R"("fuel": 3, )", four), shown.facts).verdict, Verdict::deny);
  Outcome outcome = judged(rule(R"("fuel": 2, )", four), shown.facts, &why);
  EXPECT_EQ(outcome.verdict, Verdict::review);
  EXPECT_EQ(outcome.cause, Cause::fuel);
  EXPECT_EQ(why, "rule r: it takes more than its fuel, 2");
  EXPECT_EQ(judged(rule(R"("fuel": 2, "on_error": "allow", )", four), shown.facts).verdict, Verdict::allow);
  std::string large = "9223372036854775807";
  for (int n = 0; n < 3; ++n) large = R"({"*": [9223372036854775807, )" + large + "]}";
  outcome = judged(rule(R"("on_error": "deny", )", R"({">": [)" + large + ", 1]}"), shown.facts, &why);
  EXPECT_EQ(outcome.verdict, Verdict::deny);
  EXPECT_EQ(outcome.cause, Cause::overflow);
}

TEST(RiskRules, WithoutRoomTheyAnswerReviewNeverAllow) {
  Shown shown;
  RuleBook book;
  ASSERT_TRUE(book.put(rules(R"({"windows": {"w": {"key": ["account"], "seconds": 10, "keys": 2}}, "rules": [
    {"name": "r", "then": "deny", "on_error": "allow", "when": {">": [{"window": "w"}, 1000]}}]})"))
                  .ok());
  for (const uint32_t account : {1U, 2U, 3U}) {
    shown.facts.ids[static_cast<size_t>(KeyPart::account)] = account;
    const Outcome outcome = book.judge(shown.facts);
    EXPECT_EQ(outcome.verdict, account == 3 ? Verdict::review : Verdict::allow);
    EXPECT_EQ(outcome.cause, account == 3 ? Cause::full : Cause::none);
    book.count(shown.facts);
  }
}

TEST(RiskRules, WindowsThatStayGoOnAndListsThatAreNamedStay) {
  Shown shown;
  RuleBook book;
  const std::string both =
      R"({"windows": {"a": {"key": ["firm"], "seconds": 10}, "b": {"key": ["session"], "seconds": 10}}, "rules": []})";
  ASSERT_TRUE(book.put(rules(both)).ok());
  book.count(shown.facts);
  ASSERT_TRUE(book.put_list(list("sides", R"({"items": ["sell"]})")).ok());
  ASSERT_TRUE(
      book
          .put(rules(
              R"({"windows": {"b": {"key": ["session"], "seconds": 10}, "a": {"key": ["firm"], "seconds": 11}}, "rules": [
    {"name": "sides", "then": "deny", "when": {"in": ["side", "sides"]}},
    {"name": "b", "then": "deny", "when": {">": [{"window": "b"}, 1]}}]})"))
          .ok());
  EXPECT_EQ(book.version(), 3U);
  EXPECT_EQ(book.windows()[0].keys(), 1U);
  EXPECT_EQ(book.windows()[1].keys(), 0U) << "another length";
  EXPECT_EQ(book.judge(shown.facts).rule, 1U);
  EXPECT_EQ(book.remove_list("sides").error().code, Errc::refused);
  EXPECT_EQ(book.put_list(list("sides", R"({"items": [1]})")).error().code, Errc::refused);
  ASSERT_TRUE(book.put_list(list("sides", R"({"items": ["buy", "sell"]})")).ok());
  EXPECT_EQ(book.judge(shown.facts).rule, 0U);
  EXPECT_EQ(book.put(rules(rule_when(R"({"in": ["side", "none"]})"))).error().code, Errc::invalid_argument);
  EXPECT_EQ(book.version(), 4U) << "what is refused changes nothing";
  ASSERT_TRUE(book.put(std::nullopt).ok());
  EXPECT_FALSE(book.on());
  while (book.frees()) book.free_some();
  ASSERT_TRUE(book.remove_list("sides").ok());
}

// ---- trees at random

class Trees {
 public:
  explicit Trees(uint64_t seed) : random_(seed) {}

  std::vector<Node> condition() {
    std::vector<Node> nodes;
    add_condition(nodes, 0);
    return nodes;
  }

 private:
  static constexpr uint32_t kDeep = 5;

  void add(std::vector<Node>& nodes, NodeKind kind, uint32_t children) {
    Node& node = nodes.emplace_back();
    node.kind = kind;
    node.children = children;
  }
  void add_condition(std::vector<Node>& nodes, uint32_t depth) {
    const uint64_t what = random_.below(depth >= kDeep ? 8 : 12);
    if (what >= 8) return add_many(nodes, depth);
    if (what >= 2) {
      add(nodes, static_cast<NodeKind>(static_cast<uint8_t>(NodeKind::less) + random_.below(6)), 2);
      add_number(nodes, depth + 1);
      return add_number(nodes, depth + 1);
    }
    add(nodes, what == 0 ? NodeKind::is : NodeKind::in, 0);
    Node& node = nodes.back();
    node.field = what == 1 && random_.one_in(2) ? Field::quantity : Field::side;
    node.text = what == 0 ? (random_.one_in(2) ? "buy" : "sell") : node.field == Field::quantity ? "sizes" : "sides";
  }
  void add_many(std::vector<Node>& nodes, uint32_t depth) {
    const bool one = random_.one_in(4);
    const auto children = static_cast<uint32_t>(one ? 1 : 1 + random_.below(4));
    add(nodes, one ? NodeKind::negate : random_.one_in(2) ? NodeKind::all : NodeKind::any, children);
    for (uint32_t n = 0; n < children; ++n) add_condition(nodes, depth + 1);
  }
  void add_number(std::vector<Node>& nodes, uint32_t depth) {
    const uint64_t what = random_.below(depth >= kDeep ? 3 : 5);
    if (what >= 3) {
      add(nodes, static_cast<NodeKind>(static_cast<uint8_t>(NodeKind::add) + random_.below(3)), 2);
      add_number(nodes, depth + 1);
      return add_number(nodes, depth + 1);
    }
    add(nodes, what == 0 ? NodeKind::number : what == 1 ? NodeKind::field : NodeKind::window, 0);
    nodes.back().number = static_cast<int64_t>(random_.below(2'000)) - 500;
    nodes.back().field = static_cast<Field>(static_cast<uint8_t>(Field::quantity) + random_.below(3));
    nodes.back().text = "w";
  }

  SeededRandom random_;
};

// A node after the other, everything judged.
class NaiveJudge {
 public:
  NaiveJudge(const std::vector<Node>& nodes, const Facts& facts, const Lists& lists, Int128 in_window)
      : nodes_(nodes), facts_(facts), lists_(lists), in_window_(in_window) {}
  Int128 value() {
    const Node& node = nodes_[next_++];
    std::vector<Int128> parts;
    for (uint32_t n = 0; n < node.children; ++n) parts.push_back(value());
    switch (node.kind) {
      case NodeKind::number: return node.number;
      case NodeKind::field: return facts_.number(node.field);
      case NodeKind::window: return in_window_;
      case NodeKind::add: return parts[0] + parts[1];
      case NodeKind::subtract: return parts[0] - parts[1];
      case NodeKind::multiply: return parts[0] * parts[1];
      case NodeKind::less: return parts[0] < parts[1];
      case NodeKind::at_most: return parts[0] <= parts[1];
      case NodeKind::equal: return parts[0] == parts[1];
      case NodeKind::unequal: return parts[0] != parts[1];
      case NodeKind::at_least: return parts[0] >= parts[1];
      case NodeKind::more: return parts[0] > parts[1];
      case NodeKind::all: return std::all_of(parts.begin(), parts.end(), [](Int128 part) { return part != 0; });
      case NodeKind::any: return std::any_of(parts.begin(), parts.end(), [](Int128 part) { return part != 0; });
      case NodeKind::negate: return parts[0] == 0;
      case NodeKind::is: return facts_.text(node.field) == node.text;
      case NodeKind::in: return in_list(node);
    }
    return 0;
  }

 private:
  bool in_list(const Node& node) const {
    const List& of = lists_.at(node.text);
    if (!of.numbers) return std::find(of.texts.begin(), of.texts.end(), facts_.text(node.field)) != of.texts.end();
    return std::any_of(of.values.begin(), of.values.end(),
                       [&](int64_t value) { return value == facts_.number(node.field); });
  }

  const std::vector<Node>& nodes_;
  const Facts& facts_;
  const Lists& lists_;
  Int128 in_window_;
  size_t next_ = 0;
};

TEST(RiskRules, AgreeWithTheirTreesNodeByNode) {
  Trees trees(3);
  SeededRandom random(4);
  Shown shown;
  RuleBook book;
  ASSERT_TRUE(book.put_list(list("sizes", R"({"items": [1, 2, 3, 5, 8, 13]})")).ok());
  ASSERT_TRUE(book.put_list(list("sides", R"({"items": ["sell"]})")).ok());
  size_t held = 0;
  constexpr int kTrees = 3'000;
  for (int round = 0; round < kTrees; ++round) {
    RuleSetSpec spec;
    spec.windows = {window(10)};
    spec.rules.push_back({"r", trees.condition(), Verdict::deny, Verdict::review, kFuelMax});
    const Result<void> put = book.put(spec);
    ASSERT_TRUE(put.ok()) << put.error().message;
    for (int order = 0; order < 4; ++order) {
      shown.facts.quantity = static_cast<Int128>(random.below(16));
      shown.facts.more_quantity = random.below(16);
      shown.facts.price = static_cast<Int128>(random.below(2'000));
      shown.facts.notional = shown.facts.price * shown.facts.quantity;
      shown.facts.texts[static_cast<size_t>(Field::side)] = random.one_in(2) ? "buy" : "sell";
      shown.facts.time += static_cast<LogTime>(random.below(5 * kSecond));
      const Room room;
      const Uint128 before = book.windows()[0].read(shown.facts.key(spec.windows[0]), shown.facts.time, room).sum;
      const auto in_window = static_cast<Int128>(before + shown.facts.more_quantity);
      const bool holds = NaiveJudge(spec.rules[0].when, shown.facts, book.lists(), in_window).value() != 0;
      const Outcome outcome = book.judge(shown.facts);
      ASSERT_EQ(outcome.verdict, holds ? Verdict::deny : Verdict::allow) << round;
      EXPECT_TRUE(!holds || !book.why(outcome, shown.facts).empty());
      held += holds ? 1 : 0;
      if (outcome.verdict == Verdict::allow) book.count(shown.facts);
    }
  }
  EXPECT_GT(held, 1'000U);
  EXPECT_LT(held, 11'000U);
}

TEST(RiskRules, ProgramsOfNoJsonAreJudgedToo) {
  RuleSetSpec spec;
  spec.rules.push_back({"r", {}, Verdict::deny, Verdict::review, kFuelDefault});
  EXPECT_EQ(Program::compile(spec, {}).error().message, "rules[0].when: is missing");
  Node is;
  is.kind = NodeKind::is;
  spec.rules[0].when = {is, is};
  EXPECT_EQ(Program::compile(spec, {}).error().message, "rules[0].when: more follows behind the condition");
  Node many;
  many.kind = NodeKind::all;
  many.children = UINT32_MAX;
  spec.rules[0].when = {many, is};
  EXPECT_EQ(Program::compile(spec, {}).error().message, "rules[0].when.all[1]: is missing");
  spec.rules.resize(kRulesMax + 1);
  EXPECT_EQ(Program::compile(spec, {}).error().message, "rules: there are more than 128");
}

}  // namespace
}  // namespace heptane::fintech::risk_rules
