// The exchange over FIX: own scripts in the form of the acceptance scripts (test/fix/*.def), and what no script can say: crashes, lines
// that are cut, many orders.
//
// A script's lines: `I1,` is sent over connection 1, `E1,` must come there, `e1,` it ends, `i1,CONNECT ALPHA` and `i1,DISCONNECT` are the
// peer's doing; `x` lines are the world's: `crash`, `pass SECONDS`, `phase PHASE`, `reset NAME`, `risk ORDERS`, `review SECONDS`
// (by a rule, until they are denied), `decide ORDER allow|deny`. `|` ends a field. 8, 49, 56 and 52 are put
// in where an `I` line lacks them, 9 and 10 too; of what came these are compared where an `E` line has them, times by their form. With
// HEPTANE_FIX_RECORD=1 scripts are written anew, with what came in place of what was expected.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "modules/fintech/test/fix_hand.h"

namespace heptane::fintech::fixgate::test {
namespace {

const std::filesystem::path kFolder = "modules/fintech/test/fix";

class Script {
 public:
  // What went wrong; empty: nothing.
  std::string run(const std::filesystem::path& path) {
    world_.open_market();
    const bool records = std::getenv("HEPTANE_FIX_RECORD") != nullptr;
    std::ifstream file(path);
    std::string written;
    int number = 0;
    for (std::string line; std::getline(file, line);) {
      ++number;
      const bool expected = line.starts_with("E") || line.starts_with("e");
      if (records && expected) continue;
      const std::string done = line.empty() || line[0] == '#' ? line : step(line);
      if (records) written += line + '\n' + all_said();
      if (done != line && !records)
        return path.filename().string() + ":" + std::to_string(number) + ":\n   got " + done + "\nwanted " + line;
    }
    if (records) std::ofstream(path) << written;
    const std::string rest = all_said();
    return rest.empty() || records ? "" : path.filename().string() + ": at the end:\n" + rest;
  }

 private:
  struct Peer {
    std::string name;
    Line* line = nullptr;
    bool told_end = false;  // a script has said that it ended
  };

  // The line as it should have been.
  std::string step(const std::string& line) {
    const size_t comma = line.find(',');
    const int id = line[0] == 'x' ? 0 : std::atoi(line.c_str() + 1);
    const std::string rest = line[0] == 'x' ? line.substr(2) : line.substr(comma + 1);
    const std::string head = line.substr(0, comma + 1);
    if (line[0] == 'x') {
      order(rest);
    } else if (line[0] == 'i') {
      connect(id, rest);
    } else if (line[0] == 'I') {
      Peer& peer = peers_.at(id);
      if (!peer.line->closed()) peer.line->send(message_of(rest, peer.name, world_.rig.now));
      world_.run();
    } else if (line[0] == 'e') {
      Peer& peer = peers_.at(id);
      peer.told_end = peer.line->closed();
      return head + (peer.told_end ? peer.line->why() : "it goes on");
    } else {
      return head + expect(peers_.at(id));
    }
    return line;
  }

  void connect(int id, const std::string& rest) {
    if (rest.starts_with("CONNECT")) {
      peers_[id] = {rest.substr(8), &world_.connect(), false};
    } else {
      peers_.at(id).line->cut();
      peers_.at(id).told_end = true;
    }
    world_.run();
  }

  // More than so many orders of a session in a minute are denied.
  bool put_rule(int64_t most) {
    using risk_rules::NodeKind;
    exchange::RiskRulesPut put;
    put.spec.windows.emplace_back();
    put.spec.windows[0].name = "orders";
    put.spec.windows[0].first = risk_rules::KeyPart::session;
    put.spec.windows[0].seconds = 60;
    put.spec.rules.emplace_back();
    put.spec.rules[0].name = "fast";
    put.spec.rules[0].when = {
        {NodeKind::more, {}, 0, "", 2}, {NodeKind::window, {}, 0, "orders", 0}, {NodeKind::number, {}, most, "", 0}};
    return world_.rig.ask(exchange::kPutRiskRules, put).ok();
  }

  // Orders of ten and more wait for a review, and are denied when it is over.
  bool put_review(uint32_t seconds) {
    using risk_rules::NodeKind;
    exchange::RiskRulesPut put;
    put.spec.rules.emplace_back();
    put.spec.rules[0].name = "large";
    put.spec.rules[0].then = risk_rules::Verdict::review;
    put.spec.rules[0].when = {{NodeKind::at_least, {}, 0, "", 2},
                              {NodeKind::field, risk_rules::Field::quantity, 0, "", 0},
                              {NodeKind::number, {}, 10'000, "", 0}};
    put.spec.reviews = {{0, seconds, false}};
    return world_.rig.ask(exchange::kPutRiskRules, put).ok();
  }

  void order(const std::string& text) {
    std::stringstream words(text);
    std::string what;
    std::string more;
    words >> what >> more;
    if (what == "crash") world_.crash();
    if (what == "pass") world_.pass(std::atoll(more.c_str()) * kSecond);
    if (what == "session") change_session(more, words);
    bool good = true;
    if (what == "reset") good = world_.rig.ask(exchange::kResetFixSession, exchange::FixReset{more, 10, 20}).ok();
    if (what == "phase") good = set_phase(more, words.str().ends_with("uncross"));
    if (what == "bust") good = put_right(more, words);
    if (what == "risk") good = put_rule(std::atoll(more.c_str()));
    if (what == "review") good = put_review(static_cast<uint32_t>(std::atoi(more.c_str())));
    if (what == "decide") {
      const bool allow = text.ends_with("allow");
      const exchange::ReviewDecision decision{static_cast<uint64_t>(std::atoll(more.c_str())), allow, "looked at"};
      good = world_.rig.ask(exchange::kDecideReview, decision).ok();
    }
    if (what == "kill") {
      const exchange::SwitchChange kill{exchange::Whose::firm, more, "", "", false, "test"};
      good = world_.rig.ask(exchange::kSwitch, kill).ok();
    }
    if (what == "http_cancel") {
      const exchange::CancelOrder cancel{"alpha", std::strtoull(more.c_str(), nullptr, 10), ""};
      good = world_.rig.ask(exchange::kCancelOrder, cancel).ok();
    }
    EXPECT_TRUE(good) << text;
    if (what == "http_sell") world_.rig.enter(world_.rig.sell(more, "100.00"));
    world_.run();
  }

  // `bust 1` takes a trade back, `bust 1 0.5 101` corrects it.
  bool put_right(const std::string& trade, std::stringstream& words) {
    exchange::BustTrade asked{std::strtoull(trade.c_str(), nullptr, 10), "fat finger", std::nullopt};
    std::string quantity;
    std::string price;
    if (words >> quantity >> price)
      asked.agreed = exchange::AgreedTrade{exchange::test::said(price), exchange::test::said(quantity)};
    return world_.rig.ask(exchange::kBustTrade, asked).ok();
  }

  bool set_phase(const std::string& name, bool uncross) {
    for (uint8_t number = 0; number <= exchange::kLast<book::Phase>; ++number) {
      const auto phase = static_cast<book::Phase>(number);
      if (exchange::phase_name(phase) != name) continue;
      return world_.rig.ask(exchange::kSetPhase, exchange::PhaseChange{"BTC/USD", phase, uncross}).ok();
    }
    return false;
  }

  void change_session(const std::string& name, std::stringstream& words) {
    exchange::FixSpec spec = world_.session(name).spec;
    for (std::string word; words >> word;) {
      if (word == "cancel_never") spec.cancel = exchange::FixCancel::never;
      if (word == "cancel_on_disconnect") spec.cancel = exchange::FixCancel::on_disconnect;
      if (word == "cancel_on_logout") spec.cancel = exchange::FixCancel::on_disconnect_and_logout;
      if (word.starts_with("grace=")) spec.grace_s = static_cast<uint32_t>(std::atoi(word.c_str() + 6));
      if (word == "fields_may_be_empty") spec.validate_fields_have_values = false;
      if (word == "spare_gtc") spec.spare_gtc = true;
      exchange::FixHours& hours = spec.access.hours;
      if (word.starts_with("start=")) hours.start_s = std::atoi(word.c_str() + 6);
      if (word.starts_with("end=")) hours.end_s = std::atoi(word.c_str() + 4);
      hours.non_stop = hours.non_stop && !word.starts_with("end=");
      if (word == "reset_on_logon") spec.reset_on_logon = true;
      if (word == "reset_on_logout") spec.reset_on_logout = true;
      if (word == "reset_on_disconnect") spec.reset_on_disconnect = true;
      if (word.starts_with("digits=")) spec.timestamp_precision = static_cast<uint8_t>(std::atoi(word.c_str() + 7));
    }
    world_.put(spec);
  }

  // What nobody has looked at, as lines of a script.
  std::string all_said() {
    std::string out;
    for (auto& [id, peer] : peers_) {
      const std::string comma = std::to_string(id) + ",";
      while (!peer.line->out().empty()) out += "E" + comma + expect(peer) + '\n';
      if (peer.line->closed() && !peer.told_end) out += "e" + comma + peer.line->why() + '\n';
      peer.told_end = peer.told_end || peer.line->closed();
    }
    return out;
  }

  static std::string expect(Peer& peer) {
    const std::string got = take_one(peer.line->out());
    if (got.empty()) return "nothing; closed: " + peer.line->why();
    const std::string fault = fault_of(got);
    return fault.empty() ? expected_form(got) : expected_form(got) + " is wrong: " + fault;
  }

  FixWorld world_;
  std::map<int, Peer> peers_;
};

TEST(FixExchange, EveryScript) {
  std::vector<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::directory_iterator(kFolder))
    if (entry.path().extension() == ".def") paths.push_back(entry.path());
  std::sort(paths.begin(), paths.end());
  EXPECT_GE(paths.size(), 20u);
  for (const auto& path : paths) EXPECT_EQ(Script().run(path), "");
}

// A peer as other engines are: numbers that outlive connections, what lacks is asked for, what was asked for is sent again.
class Peer {
 public:
  Peer(FixWorld& world, std::string name, std::string side)
      : world_(world), name_(std::move(name)), side_(std::move(side)) {}

  void connect() {
    line_ = &world_.connect();
    logged_on_ = awaiting_ = false;
    say("35=A", "98=0|108=30|", false);
  }
  bool connected() const { return line_ != nullptr && !line_->closed(); }
  bool logged_on() const { return connected() && logged_on_; }
  void cut() {
    if (line_ != nullptr) line_->cut();
  }
  void forget_line() { line_ = nullptr; }
  void order(const std::string& price) {
    const std::string id = name_ + std::to_string(orders++);
    say("35=D",
        "11=" + id + "|1=main|55=BTC/USD|54=" + side_ + "|60=20231114-22:13:20|38=0.1|40=2|44=" + price + "|59=1|",
        true);
  }
  // Takes what came, part by part.
  void read() {
    if (line_ == nullptr) return;
    for (std::string bytes = take_one(line_->out()); !bytes.empty(); bytes = take_one(line_->out())) {
      EXPECT_EQ(fault_of(bytes), "") << readable(bytes);
      fix::Message message;
      ASSERT_EQ(message.read(bytes), nullptr);
      take(message);
    }
  }

  uint64_t orders = 0;
  std::map<std::string, int> acknowledged;
  std::set<std::string> executions;
  uint64_t filled = 0;

 private:
  void say(const std::string& type, const std::string& body, bool kept) {
    sent_.push_back(kept ? type + '|' + body : "");
    send(type, sent_.size(), body);
  }
  void send(const std::string& type, uint64_t number, const std::string& body) {
    if (connected())
      line_->send(message_of(type + "|34=" + std::to_string(number) + '|' + body, name_, world_.rig.now));
  }

  void take(const fix::Message& message) {
    const uint64_t number = message.number(fix::kMsgSeqNum).value_or(0);
    const std::string_view type = message.type();
    if (type == "5") ADD_FAILURE() << "logged out: " << message.find(fix::kText).value_or("");
    if (type == "2") send_again(message.number(7).value_or(0), message.number(16).value_or(0));
    if (type == "A") logged_on_ = true;
    if (number > next_in_) {
      if (!std::exchange(awaiting_, true)) say("35=2", "7=" + std::to_string(next_in_) + "|16=0|", false);
      return;
    }
    if (number < next_in_) {
      EXPECT_TRUE(message.flag(fix::kPossDupFlag)) << readable(std::string(message.bytes()));
      return;
    }
    awaiting_ = false;
    next_in_ = type == "4" ? message.number(fix::kNewSeqNo).value_or(0) : number + 1;
    if (type == "1") say("35=0", "112=" + std::string(message.find(fix::kTestReqID).value_or("")) + '|', false);
    if (type == "8") take_report(message);
    if (type == "3" || type == "j") ADD_FAILURE() << readable(std::string(message.bytes()));
  }
  void take_report(const fix::Message& message) {
    const std::string_view kind = message.find(150).value_or("");
    if (kind == "0" || kind == "8") ++acknowledged[std::string(message.find(11).value_or(""))];
    EXPECT_TRUE(executions.emplace(message.find(17).value_or("")).second) << message.find(17).value_or("");
    if (kind == "F") filled += static_cast<uint64_t>(message.decimal(32, 3).value_or(0));
  }
  void send_again(uint64_t begin, uint64_t end) {
    const uint64_t upto = end == 0 ? sent_.size() : std::min<uint64_t>(end, sent_.size());
    for (uint64_t number = begin; number <= upto; ++number) {
      uint64_t next = number;
      while (next <= upto && sent_[next - 1].empty()) ++next;
      const std::string again = "43=Y|122=20231114-22:13:20|";
      if (next != number) send("35=4", number, again + "123=Y|36=" + std::to_string(next) + '|');
      number = next;
      if (number > upto) return;
      const std::string& kept = sent_[number - 1];
      send(kept.substr(0, kept.find('|')), number, again + kept.substr(kept.find('|') + 1));
    }
  }

  FixWorld& world_;
  const std::string name_;
  const std::string side_;
  Line* line_ = nullptr;
  bool logged_on_ = false;
  bool awaiting_ = false;
  uint64_t next_in_ = 1;
  std::vector<std::string> sent_;  // empty: of the session layer
};

// Lines are cut, the server crashes at any command, queues are full: no logout, no order lost, none entered twice, no number twice.
class Chaos {
 public:
  explicit Chaos(uint32_t seed) : seed_(seed) { world_.open_market(); }

  void run(size_t steps) {
    for (size_t n = 0; n < steps; ++n) {
      step();
      if (::testing::Test::HasFailure()) return;
    }
    const auto all = [&] {
      return std::all_of(peers_.begin(), peers_.end(),
                         [](const Peer& peer) { return peer.acknowledged.size() == peer.orders; });
    };
    for (size_t n = 0; n < 1'000 && (n < 100 || !all()); ++n) calm();
    uint64_t filled = 0;
    for (const Peer& peer : peers_) {
      EXPECT_EQ(peer.acknowledged.size(), peer.orders);
      for (const auto& [id, times] : peer.acknowledged) EXPECT_EQ(times, 1) << id;
      EXPECT_GT(peer.orders, steps / 8);
      filled += peer.filled;
    }
    EXPECT_EQ(peers_[0].filled, peers_[1].filled);
    const auto usage = world_.rig.exchange.directory().peek(exchange::Whose::firm, 1, 1);
    EXPECT_TRUE(static_cast<uint64_t>(usage.exposure.position) == peers_[0].filled);
    EXPECT_GT(filled, 0u);
  }

 private:
  uint32_t random(uint32_t below) {
    seed_ = seed_ * 1'664'525 + 1'013'904'223;
    return (seed_ >> 8) % below;
  }
  void step() {
    for (Peer& peer : peers_) {
      if (!peer.connected() && random(4) == 0) peer.connect();
      if (peer.logged_on() && random(2) == 0) peer.order(random(3) == 0 ? "99.0" : "100.0");
      if (random(60) == 0) peer.cut();
    }
    if (random(50) == 0) world_.submits_refused = random(4);
    world_.run_some(random(6));
    if (random(3) == 0)
      for (Peer& peer : peers_) peer.read();
    if (random(80) == 0) {
      world_.crash();
      for (Peer& peer : peers_) peer.forget_line();
    }
    if (random(40) == 0) world_.pass(kSecond / 2);
  }
  void calm() {
    for (Peer& peer : peers_)
      if (!peer.connected()) peer.connect();
    world_.pass(kSecond / 10);
    for (Peer& peer : peers_) peer.read();
    world_.run();
  }

  uint32_t seed_;
  FixWorld world_;
  std::array<Peer, 2> peers_{Peer(world_, "ALPHA", "1"), Peer(world_, "BETA", "2")};
};

TEST(FixExchange, NothingIsLostAndNothingIsDoneTwice) {
  for (uint32_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Chaos(seed).run(600);
    if (HasFailure()) return;
  }
}

TEST(FixExchange, AMassCancelGoesOnInPiecesAndIsReportedLast) {
  for (const bool crashes : {false, true}) {
    FixWorld world;
    world.open_market();
    Hand beta(world, "BETA");
    enter_many(world, beta);
    EXPECT_EQ(count_of(beta.heard(), "|150=0|"), kMany);
    if (!crashes) {
      beta.say("35=q", "11=q|530=7|60=20231114-22:13:20|");
      world.run();
      const std::vector<std::string> heard = beta.heard();
      ASSERT_EQ(heard.size(), kMany + 1);
      EXPECT_EQ(count_of(heard, "|150=4|"), kMany);
      EXPECT_NE(heard.back().find("35=r|"), std::string::npos);
      EXPECT_NE(heard.back().find("|533=550|"), std::string::npos);
      continue;
    }
    beta.say("35=q", "11=q|530=7|60=20231114-22:13:20|");
    world.run_some(1);  // the request is applied, what it left is not
    EXPECT_LT(world.rig.exchange.orders().open(), kMany);
    EXPECT_GT(world.rig.exchange.orders().open(), 0u);
    world.crash();
    EXPECT_TRUE(world.rig.exchange.orders().open() == 0);
    EXPECT_NE(world.said("BETA").back().find("533=550"), std::string::npos);
  }
}

TEST(FixExchange, ASweepFitsInItsEntriesWithAllItsDropCopies) {
  FixWorld world;
  world.open_market();
  world.put(FixWorld::spec("DROP2", "alpha", exchange::FixRole::drop_copy));
  world.put(FixWorld::spec("DROP3", "beta", exchange::FixRole::drop_copy));
  world.put(FixWorld::spec("DROP4", "beta", exchange::FixRole::drop_copy));
  EXPECT_EQ(
      world.rig.ask(exchange::kPutFixSession, FixWorld::spec("DROP5", "beta", exchange::FixRole::drop_copy)).error,
      Errc::overloaded);
  Hand alpha(world, "ALPHA");
  Hand beta(world, "BETA");
  enter_many(world, beta);
  beta.heard();
  alpha.say("35=D", "11=all|1=main|55=BTC/USD|54=1|60=20231114-22:13:20|38=55.0|40=2|44=100.0|59=1|");
  world.run();
  EXPECT_EQ(count_of(beta.heard(), "|150=F|"), kMany);
  const std::vector<std::string> heard = alpha.heard();
  EXPECT_EQ(count_of(heard, "|150=F|"), kMany);
  EXPECT_NE(heard.back().find("|39=2|"), std::string::npos);
  EXPECT_EQ(world.said("DROP4").size(), 2 * kMany);
  constexpr size_t kEntryMax = size_t{1} << 20;
  EXPECT_LT(world.rig.note_bytes_max, kEntryMax / 2);
}

TEST(FixExchange, MoreOrdersThanAnEntryHoldsAreNotToldAtOnce) {
  FixWorld world;
  world.open_market();
  Hand beta(world, "BETA");
  enter_many(world, beta);
  beta.heard();
  beta.say("35=AF", "584=s|585=7|");
  world.run();
  EXPECT_EQ(beta.heard(), std::vector<std::string>{"35=j|34=552|372=AF|379=s|380=0|58=too many orders: ask by account, "
                                                   "symbol or side|"});
}

TEST(FixExchange, ACommandWithoutTheOneBeforeItIsRefused) {
  FixWorld world;
  world.open_market();
  const auto put = [&](uint64_t connection, uint32_t serial, uint64_t had_in) {
    exchange::FixInput input;
    input.session = "ALPHA";
    input.connection = connection;
    input.serial = serial;
    input.had_in = had_in;
    input.next_in = 2;
    input.drafts = {{"0", "", ""}};
    return world.rig.ask(exchange::kFixInput, input).error;
  };
  EXPECT_EQ(put(7, 2, 1), Errc::stale);  // not opened
  EXPECT_EQ(put(7, 1, 9), Errc::stale);  // another number is expected
  EXPECT_EQ(put(7, 1, 1), std::nullopt);
  EXPECT_EQ(put(7, 3, 1), Errc::stale);
  EXPECT_EQ(put(7, 2, 1), std::nullopt);
  EXPECT_EQ(put(8, 1, 2), std::nullopt);  // another connection
  EXPECT_EQ(put(7, 3, 1), Errc::stale);
  exchange::FixInput large;
  large.session = "ALPHA";
  large.connection = 8;
  large.serial = 2;
  large.drafts.resize(exchange::kFixDraftsMax + 1);
  EXPECT_EQ(world.rig.ask(exchange::kFixInput, large).error, Errc::too_large);
  large.drafts.assign(5, {"0", "", std::string(exchange::kFixDraftBytesMax - 1, 'x')});
  EXPECT_EQ(world.rig.ask(exchange::kFixInput, large).error, Errc::too_large);
  large.drafts.clear();
  for (const auto ask :
       {exchange::FixAsk::enter, exchange::FixAsk::replace, exchange::FixAsk::status, exchange::FixAsk::mass_status}) {
    large.request.emplace().ask = ask;
    EXPECT_EQ(world.rig.ask(exchange::kFixInput, large).error, Errc::invalid_argument);
  }
  EXPECT_EQ(world.session("ALPHA").next_out, 4u);
}

// Of what nobody takes nothing piles up: it is read again when there is room.
TEST(FixExchange, ASlowReaderIsSentNoMoreThanItTakes) {
  FixWorld world;
  world.open_market();
  Hand beta(world, "BETA");
  world.run();
  beta.heard();
  beta.line().set_output_full(true);
  enter_many(world, beta);
  EXPECT_TRUE(beta.heard().empty());
  beta.line().set_output_full(false);
  beta.line().session().on_writable(beta.line());
  world.run();
  EXPECT_EQ(beta.heard().size(), kMany);
}

// Of a book it is told the whole again, of trades everything.
TEST(FixExchange, ASlowReaderOfMarketDataMissesNoTrade) {
  FixWorld world;
  world.open_market();
  Hand watch(world, "MARKET");
  world.run();
  watch.heard();
  watch.say("35=V", "262=m|263=1|264=0|265=1|267=3|269=0|269=1|269=2|146=1|55=BTC/USD|");
  world.pass(kSecond);
  EXPECT_EQ(count_of(watch.heard(), "35=W|"), 1u);
  watch.line().set_output_full(true);
  for (int n = 0; n < 20; ++n) {
    world.rig.enter(world.rig.sell("0.5", "100"));
    world.rig.enter(world.rig.buy("0.3", "100"));
    world.pass(kSecond / 10);
  }
  EXPECT_TRUE(watch.heard().empty());
  watch.line().set_output_full(false);
  watch.line().session().on_writable(watch.line());
  world.pass(kSecond);
  const std::vector<std::string> heard = watch.heard();
  EXPECT_EQ(count_of(heard, "35=W|"), 1u);
  const size_t trades = world.rig.told[exchange::kTradesView.number].size();
  EXPECT_GE(trades, 20u);
  for (size_t n = 1; n <= trades; ++n) EXPECT_EQ(count_of(heard, "|278=" + std::to_string(n) + "|"), 1u);
}

// What came too early is dealt with all at once: whatever it is, what is said to it is short and fits in its entries.
TEST(FixExchange, WhatIsLongIsNotAnsweredAtLength) {
  FixWorld world;
  world.open_market();
  Hand alpha(world, "ALPHA");
  world.run();
  alpha.heard();
  constexpr uint64_t kLong = 25;
  const std::string type = "35=" + std::string(40'000, 'Z');
  for (uint64_t number = 3; number < 3 + kLong; ++number)
    alpha.line().send(message_of(type + "|34=" + std::to_string(number) + '|', "ALPHA", world.rig.now));
  world.run();
  EXPECT_EQ(count_of(alpha.heard(), "35=2|"), 1u);
  alpha.line().send(message_of("35=0|34=2|", "ALPHA", world.rig.now));
  world.run();
  EXPECT_EQ(count_of(alpha.heard(), "|373=11|"), kLong);
  EXPECT_FALSE(alpha.line().closed());
  EXPECT_LT(world.rig.note_bytes_max, size_t{16} << 10);
}

// Views of the exchange that come later do not move them: what stands in a log is theirs for ever.
TEST(FixExchange, SessionsStreamsAreViewsOfTheirOwn) {
  FixWorld world;
  world.open_market();
  EXPECT_EQ(world.session("ALPHA").view().number, 1'001);
  EXPECT_EQ(world.session("DROP").view().number, 1'003);
  Hand alpha(world, "ALPHA");
  world.run();
  ASSERT_EQ(world.rig.told[1'001].size(), 1u);
}

TEST(FixExchange, OrdersOfAConnectionThatIsLostWhileOthersAreCancelledAreCancelledToo) {
  for (const bool is_back : {false, true}) {
    FixWorld world;
    world.open_market();
    exchange::FixSpec spec = FixWorld::spec("BETA", "beta");
    spec.cancel = exchange::FixCancel::on_disconnect;
    spec.grace_s = 5;
    world.put(spec);
    Hand beta(world, "BETA");
    enter_many(world, beta);
    const auto end = [&] {
      const exchange::FixSession& session = world.session("BETA");
      exchange::FixEnd ended{"BETA", session.connection, session.serial, false, session.next_in, false};
      EXPECT_TRUE(world.rig.ask(exchange::kFixEnd, ended).ok());
    };
    end();
    world.rig.now += 5 * kSecond;
    ASSERT_TRUE(world.rig.fire_one());
    ASSERT_TRUE(world.session("BETA").cancelling);

    exchange::FixInput input;
    input.session = "BETA";
    input.connection = 77;
    input.serial = 1;
    input.had_in = input.next_in = world.session("BETA").next_in;
    input.request.emplace().order = world.rig.sell("0.1", "100.0");
    input.request->client_id = "late";
    EXPECT_TRUE(world.rig.ask(exchange::kFixOrders, input).ok());
    end();
    world.rig.fire();
    EXPECT_EQ(world.rig.exchange.orders().open(), 1u);  // within its own grace
    if (is_back) {
      input.connection = 78;
      input.request.reset();
      EXPECT_TRUE(world.rig.ask(exchange::kFixInput, input).ok());
    }
    world.rig.now += 5 * kSecond;
    world.rig.fire();
    EXPECT_EQ(world.rig.exchange.orders().open(), is_back ? 1u : 0u);
  }
}

constexpr const char* kOrderA = "11=a|1=main|55=BTC/USD|54=1|60=20231114-22:13:20|38=1.0|40=2|44=100.0|59=1|";

// What ended so long ago that it is not kept any more is neither done again nor called rejected.
TEST(FixExchange, APossibleResendOfAForgottenOrderIsNotDoneAgain) {
  FixWorld world;
  world.open_market();
  Hand alpha(world, "ALPHA");
  alpha.say("35=D", kOrderA);
  world.run();
  world.rig.enter(world.rig.sell("1.0", "100.00"));
  for (size_t n = 0; n < exchange::kEndedKept; ++n) {
    exchange::NewOrder passing = world.rig.sell("0.1", "100.00");
    passing.tif = book::TimeInForce::ioc;
    const Buffer payload = exchange::packed(passing);
    ASSERT_TRUE(world.rig
                    .ExchangeShard::apply(world.rig.exchange, exchange::kNewOrder, payload, world.rig.now,
                                          [](const Command&) {})
                    .ok());
  }
  ASSERT_EQ(world.rig.find(1), nullptr);
  world.run();
  EXPECT_EQ(count_of(alpha.heard(), "|150=F|"), 1u);
  alpha.say("35=D", std::string("97=Y|") + kOrderA);
  alpha.say("35=G", "97=Y|41=a|" + std::string(kOrderA));
  alpha.say("35=F", "97=Y|11=a|41=a|55=BTC/USD|54=1|60=20231114-22:13:20|");
  alpha.say("35=H", "11=a|55=BTC/USD|54=1|");
  alpha.say("35=H", "11=z|37=1|55=BTC/USD|54=1|");
  world.run();
  const std::vector<std::string> heard = alpha.heard();
  EXPECT_EQ(heard.size(), 5u);
  EXPECT_EQ(count_of(heard, "|380=0|58=it is known, but its details are in the session's stream alone|"), 5u);
  EXPECT_EQ(count_of(heard, "|379=a|"), 4u);
}

// Orders are refused, what ends them is done, all in its order, and the connection goes on.
TEST(FixExchange, WhereThereIsNoRoomOrdersAreRefusedAndCancelled) {
  FixWorld world;
  world.open_market();
  Hand alpha(world, "ALPHA");
  alpha.say("35=D", kOrderA);
  world.run();
  alpha.heard();
  world.no_room = true;
  const auto order = [](const std::string& id) {
    return "11=" + id + "|1=main|55=BTC/USD|54=1|60=20231114-22:13:20|38=1.0|40=2|44=100.0|59=1|";
  };
  alpha.say("35=D", order("b"));
  alpha.say("35=1", "112=here|");
  alpha.say("35=G", "41=a|" + order("c"));
  alpha.say("35=D", order("d"));
  alpha.say("35=F", "11=e|41=a|55=BTC/USD|54=1|60=20231114-22:13:20|");
  alpha.say("35=H", "11=a|55=BTC/USD|54=1|");
  world.run();
  const std::vector<std::string> heard = alpha.heard();
  ASSERT_EQ(heard.size(), 6u);
  EXPECT_NE(heard[0].find("35=8|34=3|37=NONE|11=b|"), std::string::npos) << heard[0];
  EXPECT_NE(heard[0].find("|150=8|39=8|"), std::string::npos) << heard[0];
  EXPECT_EQ(heard[1], "35=0|34=4|112=here|");
  EXPECT_NE(heard[2].find("35=9|34=5|37=1|11=c|41=a|39=0|"), std::string::npos) << heard[2];
  EXPECT_NE(heard[3].find("35=8|34=6|37=NONE|11=d|"), std::string::npos) << heard[3];
  EXPECT_NE(heard[4].find("35=8|34=7|37=1|11=e|41=a|"), std::string::npos) << heard[4];
  EXPECT_EQ(heard[5], "35=j|34=8|372=H|379=a|380=0|58=the server has no room for it now|");
  EXPECT_EQ(world.rig.exchange.orders().open(), 0u);
  world.no_room = false;
  alpha.say("35=D", order("b"));
  world.run();
  EXPECT_EQ(count_of(alpha.heard(), "|150=0|"), 1u);
  EXPECT_FALSE(alpha.line().closed());
}

// Of a mass cancel only who asked for it has asked.
TEST(FixExchange, AMassCancelOfAnotherSessionIsUnasked) {
  FixWorld world;
  world.open_market();
  world.put(FixWorld::spec("ALPHA2", "alpha"));
  Hand alpha(world, "ALPHA");
  Hand other(world, "ALPHA2");
  alpha.say("35=D", kOrderA);
  other.say("35=D", "11=b|1=main|55=BTC/USD|54=1|60=20231114-22:13:20|38=1.0|40=2|44=100.0|59=1|");
  world.run();
  alpha.say("35=q", "11=q|530=7|60=20231114-22:13:20|");
  world.run();
  const std::vector<std::string> asked = alpha.heard();
  EXPECT_EQ(count_of(asked, "|150=4|"), 1u);
  EXPECT_EQ(count_of(asked, "|378=8|"), 0u);
  EXPECT_EQ(count_of(other.heard(), "|378=8|58=mass cancel|"), 1u);
}

// A reset at the end of a connection holds whatever became of its last commands.
TEST(FixExchange, ResetOnDisconnectIsDoneAlsoWhereCommandsWereLost) {
  FixWorld world;
  world.open_market();
  exchange::FixSpec spec = FixWorld::spec("ALPHA", "alpha");
  spec.reset_on_disconnect = true;
  world.put(spec);
  Hand alpha(world, "ALPHA");
  world.run();
  EXPECT_EQ(world.session("ALPHA").next_out, 2u);
  world.submits_refused = 100;
  alpha.say("35=1", "112=lost|");
  alpha.line().cut();
  world.submits_refused = 0;
  world.pass(kSecond);
  EXPECT_EQ(world.session("ALPHA").next_out, 1u);
  EXPECT_EQ(world.session("ALPHA").next_in, 1u);
}

TEST(FixExchange, WhatWasSaidKeepsItsCompId) {
  FixWorld world;
  world.open_market();
  exchange::FixSpec spec = FixWorld::spec("ALPHA", "alpha");
  spec.comp_id = "BEFORE";
  world.put(spec);
  spec.comp_id = "HEPTANE";
  world.put(spec);
  Hand alpha(world, "ALPHA");
  world.run();
  spec.comp_id = "LATER";
  EXPECT_EQ(world.rig.ask(exchange::kPutFixSession, spec).error, Errc::refused);
  EXPECT_TRUE(world.rig.ask(exchange::kResetFixSession, exchange::FixReset{"ALPHA", 1, 1}).ok());
  world.put(spec);
}

// The end of all connections of an earlier run is not the end of one of this run.
TEST(FixExchange, ALogonWaitsUntilTheConnectionsOfAnEarlierRunAreOver) {
  FixWorld world;
  world.open_market();
  Hand before(world, "ALPHA");
  world.run();
  world.ends_refused = 3;
  world.crash();
  Hand alpha(world, "ALPHA");
  world.run();
  EXPECT_TRUE(alpha.heard().empty());
  world.pass(kSecond);
  EXPECT_EQ(count_of(alpha.heard(), "35=A|"), 1u);
  EXPECT_NE(world.session("ALPHA").connection, 0u);
  EXPECT_FALSE(alpha.line().closed());
}

// Whom we log out has not logged out: his orders are those of a lost connection.
TEST(FixExchange, WhomWeLogOutIsLost) {
  FixWorld world;
  world.open_market();
  exchange::FixSpec spec = FixWorld::spec("ALPHA", "alpha");
  spec.cancel = exchange::FixCancel::on_disconnect;
  world.put(spec);
  Hand alpha(world, "ALPHA");
  alpha.say("35=D", kOrderA);
  world.run();
  ASSERT_EQ(world.rig.exchange.orders().open(), 1u);
  alpha.say("35=A", "98=0|108=30|");  // a second Logon is a fault
  world.run();
  EXPECT_EQ(count_of(alpha.heard(), "35=5|"), 1u);
  alpha.say("35=5", "");
  world.run();
  EXPECT_TRUE(alpha.line().closed());
  EXPECT_EQ(world.rig.exchange.orders().open(), 0u);
}

}  // namespace
}  // namespace heptane::fintech::fixgate::test
