// What the acceptance scripts do not ask: settings, bounds, numbers that outlive a connection, a peer and a line that lose anything.

#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "kernel/base/random.h"
#include "modules/fintech/test/fix_echo.h"
#include "modules/fintech/test/fix_text.h"

namespace heptane::fix::test {
namespace {

constexpr int64_t kSecond = 1'000'000'000;
constexpr int64_t kStart = 1'796'011'506'789'000'000;

// A venue, one connection at a time, and a peer whose messages are written out.
class World {
 public:
  World() {
    venue.settings.reset_on_logon = false;
    connect();
  }

  void connect() {
    connection.reset();
    connection = std::make_unique<EchoConnection>(venue, now_ns);
  }

  // `A|34=1|98=0|`: the type, then its fields; what the header needs beside it is put in. What came back, times and envelope left out.
  std::string say(const std::string& text) {
    connection->on_bytes(message_of(text), now_ns);
    return heard();
  }
  std::string log_on(uint64_t number = 1, const std::string& more = "98=0|108=30|") {
    return say("A|34=" + std::to_string(number) + "|" + more);
  }
  std::string order(uint64_t number, const std::string& id) { return say(order_text(number, id)); }

  std::string order_text(uint64_t number, const std::string& id) const {
    return "D|34=" + std::to_string(number) + "|11=" + id + "|54=1|55=S|40=1|38=1|60=" + time_of(now_ns) + "|";
  }

  std::string message_of(const std::string& text) const {
    const size_t end = text.find('|') + 1;
    return whole("35=" + text.substr(0, end) + "49=TW44|56=ISLD|52=" + time_of(now_ns) + "|" + text.substr(end));
  }

  static std::string time_of(int64_t time_ns) {
    std::string text;
    append_timestamp(text, time_ns, 3);
    return text;
  }

  std::string heard() {
    std::string text;
    std::string& out = connection->out();
    while (!out.empty()) {
      const Frame frame = next_frame(out);
      Message message;
      EXPECT_EQ(message.read(std::string_view(out).substr(frame.begin, frame.size)), nullptr);
      text += message.type();
      for (const FieldView& field : message.fields().subspan(3)) add(text, message, field);
      text += ' ';
      out.erase(0, frame.begin + frame.size);
    }
    return connection->closed() ? text + "closed" : text;
  }

  // To the next timer.
  std::string wait() {
    now_ns = *connection->session().next_timer();
    connection->on_timer(now_ns);
    return heard();
  }

  int64_t now_ns = kStart;
  EchoVenue venue;
  std::unique_ptr<EchoConnection> connection;

 private:
  static void add(std::string& text, const Message& message, const FieldView& field) {
    static constexpr int32_t kLeftOut[] = {
        kCheckSum, kSenderCompID, kTargetCompID, kSendingTime, kOrigSendingTime, 38, 40, 54, 55, 60};
    for (const int32_t tag : kLeftOut)
      if (field.tag == tag) return;
    text += '|' + std::to_string(field.tag) + '=' + std::string(message.value(field));
  }
};

TEST(FixSession, NumbersOutliveAConnection) {
  World world;
  EXPECT_EQ(world.log_on(), "A|34=1|98=0|108=30 ");
  EXPECT_EQ(world.order(2, "a"), "D|34=2|11=a ");
  world.connection->on_disconnected();
  world.connect();
  EXPECT_EQ(world.log_on(3), "A|34=3|98=0|108=30 ");
  EXPECT_EQ(world.say("2|34=4|7=1|16=0|"), "4|34=1|43=Y|36=2|123=Y D|34=2|43=Y|11=a 4|34=3|43=Y|36=4|123=Y ");
  EXPECT_EQ(world.say("2|34=5|7=2|16=2|"), "D|34=2|43=Y|11=a ");
  EXPECT_EQ(world.say("2|34=6|7=4|16=9|"), "");
  world.connection->on_disconnected();
  world.connect();
  EXPECT_EQ(world.log_on(3), "5|34=4|58=MsgSeqNum too low, expecting 7 but received 3 closed");
}

TEST(FixSession, AResentMessageEqualsTheFirst) {
  World world;
  world.log_on();
  world.connection->on_bytes(world.message_of(world.order_text(2, "a")), world.now_ns);
  const std::string first = world.connection->out();
  world.heard();
  world.now_ns += 5 * kSecond;
  world.connection->on_bytes(world.message_of("2|34=3|7=2|16=2|"), world.now_ns);
  Message one, again;
  ASSERT_EQ(one.read(first), nullptr);
  ASSERT_EQ(again.read(world.connection->out()), nullptr);
  std::vector<std::string> a, b;
  const auto fields = [](const Message& message, std::vector<std::string>& out) {
    for (const FieldView& field : message.fields())
      if (field.tag != 43 && field.tag != 52 && field.tag != 122 && field.tag != 9 && field.tag != 10)
        out.push_back(std::to_string(field.tag) + "=" + std::string(message.value(field)));
  };
  fields(one, a);
  fields(again, b);
  EXPECT_EQ(a, b);
  EXPECT_EQ(again.find(kOrigSendingTime), one.find(kSendingTime));
}

TEST(FixSession, ResetsAsItsSettingsSay) {
  World world;
  world.venue.settings.reset_on_logout = true;
  world.log_on();
  EXPECT_EQ(world.say("5|34=2|"), "5|34=2 closed");
  world.connect();
  EXPECT_EQ(world.log_on(), "A|34=1|98=0|108=30 ");
  world.connection->on_disconnected();
  world.connect();
  EXPECT_EQ(world.log_on(2), "A|34=2|98=0|108=30 ");
  world.venue.settings.reset_on_disconnect = true;
  world.connection->on_disconnected();
  world.connect();
  EXPECT_EQ(world.log_on(1), "A|34=1|98=0|108=30 ");
  EXPECT_EQ(world.log_on(1, "98=0|108=30|141=Y|"), "A|34=1|98=0|108=30|141=Y ");
  EXPECT_EQ(world.log_on(2, "98=0|108=30|141=Y|"), "5|34=2|58=MsgSeqNum(34) must be 1 with ResetSeqNumFlag(141) closed")
      << "the number after the Logon's: what is refused resets nothing";
}

TEST(FixSession, ALogonThatIsRefusedErasesNothing) {
  for (const char* refused : {"1|98=0|108=4000", "1|98=1|108=30", "2|98=0|108=30"}) {
    World world;
    world.log_on();
    world.order(2, "a");
    world.connection->on_disconnected();
    world.connect();
    world.venue.settings.reset_on_disconnect = true;  // nobody was connected whose session this ends
    const std::string answer = world.say("A|34=" + std::string(refused) + "|141=Y|");
    EXPECT_TRUE(answer.starts_with("5|34=3|58=") && answer.ends_with(" closed")) << answer;
    world.connection->on_disconnected();
    EXPECT_EQ(world.venue.next_inbound, 3u) << refused;
    world.connect();
    world.log_on(3);
    EXPECT_EQ(world.say("2|34=4|7=2|16=2|"), "D|34=2|43=Y|11=a ") << refused;
  }
}

TEST(FixSession, ALogonWithNumber0ErasesNothing) {
  World world;
  world.log_on();
  world.connection->on_disconnected();
  world.venue.settings.reset_on_logon = true;
  world.connect();
  EXPECT_EQ(world.log_on(0), "5|34=2|58=MsgSeqNum too low, expecting 1 but received 0 closed");
  EXPECT_EQ(world.venue.next_inbound, 2u);
}

TEST(FixSession, NobodyIsLetInByALogout) {
  World world;
  world.venue.settings.reset_on_disconnect = true;
  world.venue.next_inbound = 7;
  world.connection->session().log_out("closing time", world.now_ns);
  EXPECT_EQ(world.heard(), "closed") << "who has not logged on uses up no number";
  EXPECT_EQ(world.order(7, "a"), "closed");
  EXPECT_TRUE(world.venue.seen.empty());
  EXPECT_EQ(world.venue.next_inbound, 7u);
}

TEST(FixSession, ALogonOfALowNumberIsNoDuplicate) {
  World world;
  world.venue.next_inbound = 7;
  for (const std::string& dup : {std::string("43=Y|"), "43=Y|122=" + World::time_of(world.now_ns) + "|"}) {
    const uint64_t number = world.venue.store.next_number();
    EXPECT_EQ(world.say("A|34=3|" + dup + "98=0|108=30|"),
              "5|34=" + std::to_string(number) + "|58=MsgSeqNum too low, expecting 7 but received 3 closed");
    EXPECT_EQ(world.order(7, "a"), "closed");
    world.connect();
  }
}

// A host whose numbers are kept elsewhere: what it is told shows later.
class SlowHost final : public SessionHost {
 public:
  Admission admit(const Message&) override { return {true, {}}; }
  uint64_t next_inbound() const override { return 7; }
  void set_next_inbound(uint64_t number) override { next_ = number; }
  void reset_numbers() override { ++resets_; }
  void send(const Draft& draft) override { sent_ += draft.type; }
  void send_again(uint64_t, uint64_t) override {}
  Handled on_application(const Message&) override { return Handled::taken; }
  void close(const char* why) override { sent_ += why; }

  uint64_t next_ = 0;
  int resets_ = 0;
  std::string sent_;
};

TEST(FixSession, NumbersThatAreResetNeedNotBeSoAtOnce) {
  World world;
  SlowHost host;
  Session session(world.venue.settings, host, world.now_ns);
  session.on_bytes(world.message_of("A|34=1|98=0|108=30|141=Y|"), world.now_ns);
  EXPECT_EQ(host.sent_, "A");
  EXPECT_EQ(host.next_, 2u);
  EXPECT_EQ(host.resets_, 1);
}

TEST(FixSession, WhatALogonMayAsk) {
  World world;
  world.venue.settings.heart_bt_int_min_s = 5;
  world.venue.settings.heart_bt_int_max_s = 60;
  EXPECT_EQ(world.log_on(1, "98=0|108=4|"), "5|34=1|58=HeartBtInt(108) must be 5 to 60 closed");
  world.connect();
  EXPECT_EQ(world.log_on(1, "98=1|108=5|"), "5|34=2|58=EncryptMethod(98) must be 0 closed");
  world.connect();
  EXPECT_EQ(world.log_on(1, "98=0|108=60|"), "A|34=3|98=0|108=60 ");
  EXPECT_EQ(world.log_on(2), "5|34=4|58=already logged on ");
  EXPECT_EQ(world.say("5|34=2|"), "closed");
  world.connect();
  EXPECT_EQ(world.say("A|34=3|98=0|"), "closed") << "108 is missing: nobody is told who has not shown who he is";
  EXPECT_EQ(world.connection->why(), "the Logon is not valid");
}

TEST(FixSession, NobodyWhoSaysNothingStays) {
  World world;
  EXPECT_EQ(world.wait(), "closed");
  EXPECT_EQ(world.now_ns, kStart + 10 * kSecond);
}

TEST(FixSession, HeartbeatsThenAQuestionThenTheEnd) {
  World world;
  world.log_on(1, "98=0|108=10|");
  EXPECT_EQ(world.wait(), "0|34=2 ");
  EXPECT_EQ(world.now_ns, kStart + 10 * kSecond);
  EXPECT_EQ(world.wait(), "1|34=3|112=TEST ");
  EXPECT_EQ(world.now_ns, kStart + 12 * kSecond);
  EXPECT_EQ(world.wait(), "closed");
  EXPECT_EQ(world.now_ns, kStart + 24 * kSecond);
}

TEST(FixSession, WithoutHeartbeatsNothingIsEverDue) {
  World world;
  world.venue.settings.heart_bt_int_min_s = 0;
  world.log_on(1, "98=0|108=0|");
  EXPECT_EQ(world.connection->session().next_timer(), std::nullopt);
}

TEST(FixSession, WhatIsSentByOthersPutsTheHeartbeatOff) {
  World world;
  world.log_on(1, "98=0|108=10|");
  world.connection->session().on_sent(kStart + kSecond);
  world.wait();
  EXPECT_EQ(world.now_ns, kStart + 11 * kSecond);
}

TEST(FixSession, ALogoutThatIsNotAnsweredEnds) {
  World world;
  world.log_on();
  world.connection->session().log_out("closing time", world.now_ns);
  EXPECT_EQ(world.heard(), "5|34=2|58=closing time ");
  EXPECT_EQ(world.order(2, "a"), "D|34=3|11=a ") << "what the peer said before it heard us counts";
  EXPECT_EQ(world.wait(), "closed");
  EXPECT_EQ(world.now_ns, kStart + 2 * kSecond);
}

TEST(FixSession, AGapIsAskedForInPieces) {
  World world;
  world.venue.settings.max_messages_in_resend_request = 2;
  world.log_on();
  EXPECT_EQ(world.order(7, "g"), "2|34=2|7=2|16=3 ");
  EXPECT_EQ(world.order(2, "b"), "D|34=3|11=b ");
  EXPECT_EQ(world.order(3, "c"), "D|34=4|11=c 2|34=5|7=4|16=5 ");
  EXPECT_EQ(world.say("4|34=4|43=Y|123=Y|36=6|"), "2|34=6|7=6|16=6 ");
  EXPECT_EQ(world.order(6, "f"), "D|34=7|11=f D|34=8|11=g ");
}

// Numbers and types of what was sent.
std::string numbers_of(const std::string& out) {
  std::string text;
  for (std::string_view rest = out; !rest.empty();) {
    const Frame frame = next_frame(rest);
    Message message;
    EXPECT_EQ(message.read(rest.substr(0, frame.size)), nullptr);
    text += std::string(message.type()) + std::string(message.find(kMsgSeqNum).value_or("")) + ' ';
    rest.remove_prefix(frame.size);
  }
  return text;
}

class FixResend : public ::testing::Test {
 protected:
  void say(std::string_view type) {
    std::string out;
    send_next(venue_.peers, venue_.store, {type, {}, {}}, kStart, out);
  }
  std::string piece() {
    std::string out;
    resend_.send(venue_.peers, venue_.store, kStart, 1, out);
    return numbers_of(out);
  }

  EchoVenue venue_;
  Resend resend_;
};

TEST_F(FixResend, EndsThoughMoreIsSentMeanwhile) {
  for (int i = 0; i < 3; ++i) say("8");
  resend_.add(venue_.store, 1, 0);
  std::string all;
  for (int i = 0; i < 10 && resend_.is_pending(); ++i) {
    say("8");
    all += piece();
  }
  EXPECT_EQ(all, "81 82 83 ");
  EXPECT_FALSE(resend_.is_pending());
}

TEST_F(FixResend, IsOneHoweverOftenThePeerAsks) {
  for (int i = 0; i < 6; ++i) say("8");
  resend_.add(venue_.store, 2, 3);
  EXPECT_EQ(piece(), "82 ");
  resend_.add(venue_.store, 5, 0);
  resend_.add(venue_.store, 9, 0);
  resend_.add(venue_.store, 1, 1);
  for (int i = 0; i < 50; ++i) resend_.add(venue_.store, 1, 0);
  std::string all;
  for (int i = 0; i < 10 && resend_.is_pending(); ++i) all += piece();
  EXPECT_EQ(all, "81 82 83 84 85 86 ");
}

TEST_F(FixResend, FillsGapsUpToItsEnd) {
  for (const char* type : {"A", "8", "0", "0", "8", "0"}) say(type);
  resend_.add(venue_.store, 0, 4);
  std::string all;
  for (int i = 0; i < 10 && resend_.is_pending(); ++i) all += piece();
  EXPECT_EQ(all, "41 82 43 ");
  resend_.add(venue_.store, 6, 6);
  resend_.clear();
  EXPECT_EQ(piece(), "");
}

TEST(FixSession, WhatWaitsIsBoundedAndComesAgain) {
  World world;
  world.log_on();
  EXPECT_EQ(world.order(3, "3"), "2|34=2|7=2|16=0 ");
  const uint64_t last = 3 + kWaitingMessagesMax + 5;
  for (uint64_t number = 4; number <= last; ++number) EXPECT_EQ(world.order(number, std::to_string(number)), "");
  const std::string answers = world.order(2, "2");
  EXPECT_EQ(std::count(answers.begin(), answers.end(), 'D'), static_cast<ptrdiff_t>(1 + kWaitingMessagesMax));
  // The rest was dropped: it lacks, and is asked for.
  EXPECT_EQ(world.order(last + 1, "x"), "2|34=1004|7=1003|16=0 ");
}

TEST(FixSession, AWrongMessageThatComesTooEarlyIsRefusedInItsTurn) {
  World world;
  world.log_on();
  EXPECT_EQ(world.say("D|34=3|11=b|"), "2|34=2|7=2|16=0 ");
  EXPECT_EQ(world.order(2, "a"), "D|34=3|11=a 3|34=4|45=3|58=Required tag missing|371=40|372=D|373=1 ");
}

TEST(FixSession, WhoSaysNothingThatCanBeReadIsLoggedOut) {
  World world;
  world.log_on();
  const std::string garbled = with_ends("8=FIX.4.4|9=5|35=0|34=2|10=000|");
  for (uint32_t i = 1; i < kGarbledMax; ++i) world.connection->on_bytes(garbled, world.now_ns);
  EXPECT_EQ(world.order(2, "a"), "D|34=2|11=a ") << "in a row";
  for (uint32_t i = 1; i < kGarbledMax; ++i) world.connection->on_bytes(garbled, world.now_ns);
  EXPECT_EQ(world.heard(), "");
  world.connection->on_bytes(garbled, world.now_ns);
  EXPECT_EQ(world.heard(), "5|34=3|58=too many garbled messages ");
}

TEST(FixSession, WhatIsRefusedUsesUpItsNumber) {
  World world;
  world.log_on();
  EXPECT_EQ(world.say("4|34=4|36=1|"),
            "3|34=2|45=4|58=Value is incorrect (out of range) for this tag|372=4|373=5 2|34=3|7=2|16=0 ");
  world.say("0|34=2|");
  EXPECT_EQ(world.say("0|34=3|"), "");
  EXPECT_EQ(world.venue.next_inbound, 5u) << "4 is not asked for: it was answered";
  EXPECT_EQ(world.say("4|34=5|36=1|"), "3|34=4|45=5|58=Value is incorrect (out of range) for this tag|372=4|373=5 ");
  EXPECT_EQ(world.say("2|34=8|7=1|"), "3|34=5|45=8|58=Required tag missing|371=16|372=2|373=1 2|34=6|7=6|16=0 ");
}

TEST(FixSession, WhatRefusesIsNotRefused) {
  World world;
  world.log_on();
  EXPECT_EQ(world.say("j|34=2|372=D|380=3|"), "") << "not supported";
  EXPECT_EQ(world.say("j|34=3|380=3|"), "") << "without a required field";
  EXPECT_EQ(world.say("3|34=4|"), "");
  EXPECT_EQ(world.say("3|34=5|45=x|"), "");
  EXPECT_EQ(world.order(6, "a"), "D|34=2|11=a ") << "each has used up its number";
}

TEST(FixSession, ARejectOfNoTypeNamesNone) {
  World world;
  world.log_on();
  EXPECT_EQ(world.say("|34=2|"), "3|34=2|45=2|58=Invalid MsgType|373=11 ");
}

TEST(FixSession, WhoeverIsAtFaultIsNotServed) {
  World world;
  world.log_on();
  world.order(2, "a");
  EXPECT_EQ(world.log_on(3), "5|34=3|58=already logged on ");
  EXPECT_EQ(world.order(3, "b"), "");
  EXPECT_EQ(world.order(9, "c"), "") << "what lacks is not asked for either";
  EXPECT_EQ(world.say("1|34=3|112=x|"), "");
  EXPECT_EQ(world.say("2|34=9|7=2|16=2|"), "D|34=2|43=Y|11=a ");
  EXPECT_EQ(world.say("5|34=3|"), "closed");
  EXPECT_EQ(world.venue.seen.size(), 1u);
}

TEST(FixSession, WhatWaitsIsNotServedAfterAFault) {
  World world;
  world.log_on();
  world.order(3, "b");
  const std::string wrong = whole("35=0|34=2|49=WT|56=ISLD|52=" + World::time_of(world.now_ns) + "|");
  world.connection->on_bytes(wrong, world.now_ns);
  EXPECT_EQ(world.heard(), "3|34=3|45=2|58=CompID problem|372=0|373=9 5|34=4 ");
  EXPECT_TRUE(world.venue.seen.empty());
}

TEST(FixSession, NumbersBeyond64BitsAreNone) {
  World world;
  world.log_on();
  const std::string huge = "99999999999999999999";
  EXPECT_EQ(world.say("2|34=2|7=" + huge + "|16=0|"),
            "3|34=2|45=2|58=Incorrect data format for value|371=7|372=2|373=6 ");
  EXPECT_EQ(world.say("2|34=3|7=1|16=" + huge + "|"),
            "3|34=3|45=3|58=Incorrect data format for value|371=16|372=2|373=6 ");
  EXPECT_EQ(world.say("D|34=4|11=a|54=1|55=S|40=1|60=" + World::time_of(world.now_ns) + "|453=" + huge + "|"),
            "3|34=4|45=4|58=Incorrect data format for value|371=453|372=D|373=6 ");
  EXPECT_EQ(world.say("A|34=5|98=0|108=" + huge + "|141=Y|"), "closed");
}

TEST(FixSession, NumbersThatAreNone) {
  World world;
  world.log_on();
  EXPECT_EQ(world.say("0|34=x|"), "5|34=2|58=MsgSeqNum(34) is missing or no number closed");
  world.connect();
  EXPECT_EQ(world.say("A|98=0|108=30|"), "closed");
  world.connect();
  world.log_on(2);
  EXPECT_EQ(world.say("4|34=3|36=1000000000000|"),
            "3|34=4|45=3|58=Value is incorrect (out of range) for this tag|372=4|373=5 ");
  EXPECT_EQ(world.say("0|34=18446744073709551615|"), "2|34=5|7=4|16=0 ");
}

TEST(FixSession, LatencyNeedNotBeLookedAt) {
  World world;
  world.venue.settings.max_latency_s = 0;
  world.log_on();
  const std::string old = whole("35=1|34=2|49=TW44|56=ISLD|52=20000101-00:00:00|112=x|");
  world.connection->on_bytes(old, world.now_ns);
  EXPECT_EQ(world.heard(), "0|34=2|112=x ");
}

TEST(FixSession, WhatWaitedIsNotLate) {
  World world;
  world.log_on(1, "98=0|108=600|");
  world.order(3, "b");
  world.now_ns += 300 * kSecond;
  EXPECT_EQ(world.order(2, "a"), "D|34=3|11=a D|34=4|11=b ");
}

TEST(FixSession, WhatWaitedTooLongIsLate) {
  World world;
  world.log_on();
  world.order(12, "late");
  for (uint64_t number = 2; number <= 10; ++number) {
    world.now_ns += 25 * kSecond;
    world.order(number, std::to_string(number));
  }
  EXPECT_EQ(world.order(11, "11"), "D|34=12|11=11 3|34=13|45=12|58=SendingTime accuracy problem|372=D|373=10 5|34=14 ");
  EXPECT_FALSE(world.venue.seen.contains("late"));
}

// What is said beside heartbeats within 10 timers; the peer says at each of them that it is there.
std::string wait_for_more(World& world, uint64_t& number) {
  for (int i = 0; i < 10; ++i) {
    const std::string said = world.wait();
    world.say("0|34=" + std::to_string(number++) + "|");
    if (!said.starts_with("0|")) return said;
  }
  return "nothing";
}

TEST(FixSession, AGapThatIsNotFilledIsAskedForAgainThenTheEnd) {
  World world;
  world.log_on(1, "98=0|108=10|");
  EXPECT_EQ(world.order(3, "b"), "2|34=2|7=2|16=0 ");
  uint64_t number = 4;
  EXPECT_EQ(wait_for_more(world, number), "2|34=3|7=2|16=0 ");
  EXPECT_EQ(world.now_ns, kStart + 10 * kSecond);
  EXPECT_EQ(wait_for_more(world, number), "2|34=4|7=2|16=0 ");
  EXPECT_EQ(world.now_ns, kStart + 20 * kSecond);
  EXPECT_EQ(wait_for_more(world, number), "5|34=5|58=the gap from 2 is not filled ");
  EXPECT_EQ(world.now_ns, kStart + 30 * kSecond);
  EXPECT_EQ(wait_for_more(world, number), "closed");
}

TEST(FixSession, AGapThatIsFilledSlowlyIsWaitedFor) {
  World world;
  world.venue.settings.heart_bt_int_min_s = 0;
  world.venue.settings.max_latency_s = 0;
  world.log_on(1, "98=0|108=0|");
  EXPECT_EQ(world.order(9, "i"), "2|34=2|7=2|16=0 ");
  for (uint64_t lacking = 2; lacking < 9; ++lacking) {
    EXPECT_TRUE(world.wait().ends_with("|7=" + std::to_string(lacking) + "|16=0 "));
    EXPECT_TRUE(world.wait().ends_with("|7=" + std::to_string(lacking) + "|16=0 "));
    world.now_ns += 29 * kSecond;
    EXPECT_TRUE(world.order(lacking, std::to_string(lacking)).starts_with("D|"));
    world.now_ns += kSecond;
  }
  EXPECT_EQ(world.connection->session().next_timer(), std::nullopt);
}

TEST(FixSession, AGapFillLeadsOn) {
  World world;
  world.log_on();
  EXPECT_EQ(world.say("4|34=2|123=Y|36=2|"),
            "3|34=2|45=2|58=Value is incorrect (out of range) for this tag|372=4|373=5 ");
  EXPECT_EQ(world.say("4|34=3|123=Y|36=4|"), "");
  EXPECT_EQ(world.say("1|34=4|112=x|"), "0|34=3|112=x ");
}

TEST(FixSession, RejectsGoTheWayBack) {
  World world;
  world.log_on();
  const std::string routed = whole("35=8|34=2|49=TW44|56=ISLD|52=" + World::time_of(world.now_ns) +
                                   "|115=a|129=b|144=c|37=o|17=e|150=0|39=0|55=S|54=1|151=1|14=0|6=0|");
  world.connection->on_bytes(routed, world.now_ns);
  EXPECT_EQ(world.heard(), "j|34=2|116=b|128=a|145=c|45=2|58=Unsupported Message Type|372=8|380=3 ");
}

// A peer with numbers of its own that loses single messages and, if `cuts`, connections, and with them anything under way in either
// direction, at random places. Without cuts only the session itself can find out what lacks. In the end each order has reached the
// application once, in its order, and each answer the peer.
class Peer {
 public:
  Peer(World& world, uint64_t seed, bool cuts) : world_(world), random_(seed), cuts_(cuts) {}

  void run(uint64_t orders) {
    constexpr int kTurnsMax = 100'000;
    for (int turn = 0; answers_.size() < orders && turn < kTurnsMax && !::testing::Test::HasFailure(); ++turn) {
      if (cuts_ && connected_ && random_.one_in(40)) disconnect();
      if (!connected_) connect();
      if (sent_.size() < orders && random_.one_in(2)) send_order();
      if (random_.one_in(20)) send("1|", "112=t|", false);
      if (!cuts_) pass_time();
      read();
      if (connected_ && sent_.size() == orders && !random_.one_in(3)) send("1|", "112=t|", false);
    }
  }
  const std::vector<std::string>& answers() const { return answers_; }
  uint64_t disconnects() const { return disconnects_; }

 private:
  void connect() {
    world_.connect();
    connected_ = true;
    asked_upto_ = 0;
    send("A|", "98=0|108=30|", false);
    read();
  }
  void disconnect() {
    // What the acceptor said is lost.
    world_.connection->out().clear();
    world_.connection->on_disconnected();
    connected_ = false;
    ++disconnects_;
  }

  void pass_time() {
    world_.now_ns += kSecond;
    world_.connection->on_timer(world_.now_ns);
    ASSERT_FALSE(world_.connection->closed()) << world_.connection->why();
  }

  void send_order() {
    const std::string id = "o" + std::to_string(sent_.size());
    sent_.push_back(next_out_);
    send("D|", "11=" + id + "|54=1|55=S|40=1|38=1|60=" + World::time_of(world_.now_ns) + "|", true);
  }
  void send(const std::string& type, const std::string& body, bool application) {
    const std::string text = type + "34=" + std::to_string(next_out_) + "|" + body;
    if (application) kept_[next_out_] = type + "\n" + body;
    ++next_out_;
    if (!cuts_ && type == "A|") return say(text);
    put(text);
  }
  void put(const std::string& text) {
    if (connected_ && !random_.one_in(60)) say(text);  // else it is lost
  }
  void say(const std::string& text) { world_.connection->on_bytes(world_.message_of(text), world_.now_ns); }

  void read() {
    std::string& out = world_.connection->out();
    while (connected_ && !out.empty()) {
      const Frame frame = next_frame(out);
      const std::string bytes = out.substr(frame.begin, frame.size);
      out.erase(0, frame.begin + frame.size);
      Message message;
      ASSERT_EQ(message.read(bytes), nullptr);
      ASSERT_NE(message.type(), "5") << readable(bytes);
      take(message);
    }
  }
  void take(const Message& message) {
    const uint64_t number = *message.number(kMsgSeqNum);
    if (message.type() == "2") send_again(*message.number(kBeginSeqNo));
    if (number < next_in_) return;
    if (number > next_in_) {
      if (asked_upto_ < number) send("2|", "7=" + std::to_string(next_in_) + "|16=0|", false);
      asked_upto_ = number;
      return;
    }
    next_in_ = message.type() == "4" ? *message.number(kNewSeqNo) : number + 1;
    if (message.type() == "D") answers_.emplace_back(*message.find(11));
  }
  void send_again(uint64_t begin) {
    for (uint64_t number = begin; number < next_out_; ++number) {
      const auto kept = kept_.find(number);
      const std::string head = "34=" + std::to_string(number) + "|43=Y|122=" + World::time_of(world_.now_ns) + "|";
      if (kept == kept_.end()) {
        put("4|" + head + "123=Y|36=" + std::to_string(number + 1) + "|");
      } else {
        const size_t end = kept->second.find('\n');
        put(kept->second.substr(0, end) + head + kept->second.substr(end + 1));
      }
    }
  }

  World& world_;
  SeededRandom random_;
  bool cuts_;
  bool connected_ = false;
  uint64_t next_out_ = 1;
  uint64_t next_in_ = 1;
  uint64_t asked_upto_ = 0;
  uint64_t disconnects_ = 0;
  std::map<uint64_t, std::string> kept_;
  std::vector<uint64_t> sent_;
  std::vector<std::string> answers_;
};

// How often a connection was lost.
uint64_t trade_over_lossy_lines(bool cuts) {
  constexpr uint64_t kOrders = 200;
  std::vector<std::string> expected;
  for (uint64_t i = 0; i < kOrders; ++i) expected.push_back("o" + std::to_string(i));
  uint64_t disconnects = 0;
  for (uint64_t seed = 1; seed <= 50 && !::testing::Test::HasFailure(); ++seed) {
    World world;
    Peer peer(world, seed, cuts);
    peer.run(kOrders);
    EXPECT_EQ(peer.answers(), expected) << seed;
    disconnects += peer.disconnects();
  }
  return disconnects;
}

TEST(FixSession, NothingIsLostOrDoubledWhateverTheLineLoses) { EXPECT_GT(trade_over_lossy_lines(true), 100u); }

TEST(FixSession, NothingIsLostOrDoubledOnOneConnection) { EXPECT_EQ(trade_over_lossy_lines(false), 0u); }

}  // namespace
}  // namespace heptane::fix::test
