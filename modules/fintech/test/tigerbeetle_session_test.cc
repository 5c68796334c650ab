// The session against the real ledger, as transcripts: modules/fintech/test/transcripts/.
#include <gtest/gtest.h>

#include "modules/fintech/test/tigerbeetle_talk.h"
#include "sim/sim_clock.h"

namespace heptane::fintech::test {
namespace {

using tigerbeetle::kRegisterOperation;

TEST(TigerbeetleSession, EveryOperation) {
  namespace f = transfer_flags;
  Talk talk;
  talk.ask<Account>(
      "create accounts 1 with history, 2, 3 with a limit", 146,
      {{account(1, account_flags::kHistory), account(2), account(3, account_flags::kDebitsMustNotExceedCredits)}});
  talk.ask<Account>("two batches and an empty one", 146, {{account(1, account_flags::kHistory)}, {}, {account(4)}});
  Transfer timed = transfer(12, 1, 2, 70, f::kPending);
  timed.timeout = 5;
  talk.ask<Transfer>("transfer, pending, pending with a time-out, over the limit", 147,
                     {{transfer(10, 1, 2, 100), transfer(11, 1, 2, 50, f::kPending), timed, transfer(13, 3, 1, 1)}});
  talk.ask<Transfer>("post in part, void, post again, repeat, the used-up id", 147,
                     {{resolving(20, 11, 30, f::kPost), resolving(21, 12, 0, f::kVoid),
                       resolving(22, 11, kUint128Max, f::kPost), transfer(10, 1, 2, 100), transfer(13, 3, 1, 1)}});
  talk.ask<Transfer>("a chain that holds, a chain that breaks, an open one", 147,
                     {{transfer(30, 1, 2, 1, f::kLinked), transfer(31, 2, 1, 1), transfer(32, 1, 2, 1, f::kLinked),
                       transfer(33, 1, 99, 1), transfer(34, 1, 2, 1, f::kLinked)}});
  talk.ask<Transfer>("balancing, closing", 147,
                     {{transfer(40, 2, 1, 1000, f::kBalancingDebit),
                       transfer(41, 1, 4, 0, f::kPending | f::kClosingCredit), transfer(42, 1, 4, 1)}});
  talk.ask("lookup accounts 1, 2, 9, 4", 140, Bytes(body_of<Uint128>({{1, 2, 9, 4}})));
  talk.ask("lookup transfers 10, 21, 99", 141, Bytes(body_of<Uint128>({{10, 21, 99}})));
  AccountFilter filter{};
  filter.account_id = 1;
  filter.limit = 3;
  filter.flags = filter_flags::kDebits | filter_flags::kCredits;
  talk.ask<AccountFilter>("transfers of account 1", 142, {{filter}});
  filter.flags |= filter_flags::kReversed;
  talk.ask<AccountFilter>("its balances, the last first", 143, {{filter}});
  filter.account_id = 2;
  talk.ask<AccountFilter>("balances of an account without history", 143, {{filter}});
  QueryFilter query{};
  query.limit = 2;
  query.code = 10;
  talk.ask<QueryFilter>("query accounts", 144, {{query}});
  query.code = 20;
  talk.ask<QueryFilter>("query transfers, twice in a message", 145, {{query}, {query}});
  query.limit = 0;
  talk.ask<QueryFilter>("an invalid filter", 145, {{query}});
  talk.ask<Account>("an empty batch of accounts", 146, {{}});
  talk.ask<Transfer>("two empty batches of transfers", 147, {{}, {}});
  talk.ask<Uint128>("an empty batch of accounts to look up", 140, {{}});
  talk.ask<Uint128>("an empty batch of transfers to look up", 141, {{}});
  talk.raw("ping", talk.client.ping(77));
  expect_transcript("operations", talk.text);
}

// As sent; of a post that has none, that of the transfer it posts.
TEST(TigerbeetleSession, UserData) {
  Talk talk;
  const auto noted = [](auto row) {
    row.user_data_128 = 1001;
    row.user_data_64 = 1002;
    row.user_data_32 = 1003;
    return row;
  };
  talk.ask<Account>("create accounts, one with user data", 146, {{noted(account(1)), account(2)}});
  talk.ask<Transfer>("create a pending transfer with user data, post it", 147,
                     {{noted(transfer(10, 1, 2, 100, transfer_flags::kPending)),
                       resolving(11, 10, kUint128Max, transfer_flags::kPost)}});
  talk.ask("lookup accounts", 140, Bytes(body_of<Uint128>({{1, 2}})));
  talk.ask("lookup transfers", 141, Bytes(body_of<Uint128>({{10, 11}})));
  QueryFilter query{};
  query.user_data_64 = 1002;
  query.limit = 5;
  talk.ask<QueryFilter>("query transfers by user data", 145, {{query}});
  expect_transcript("user_data", talk.text);
}

TEST(TigerbeetleSession, ImportedEvents) {
  Talk talk;
  Account a = account(1, account_flags::kImported);
  a.timestamp = 10;
  Account b = account(2, account_flags::kImported);
  b.timestamp = 20;
  Account old = account(3, account_flags::kImported);
  old.timestamp = 15;
  Account ahead = account(4, account_flags::kImported);
  ahead.timestamp = 1'000'000'000;
  talk.ask<Account>("imported accounts, one that goes back, one ahead, one that is not imported", 146,
                    {{a, b, old, ahead, account(5)}});
  Transfer t = transfer(1, 1, 2, 5, transfer_flags::kImported);
  t.timestamp = 30;
  Transfer early = transfer(2, 1, 2, 5, transfer_flags::kImported);
  early.timestamp = 20;
  Transfer waits = transfer(3, 1, 2, 5, transfer_flags::kImported | transfer_flags::kPending);
  waits.timestamp = 31;
  waits.timeout = 1;
  talk.ask<Transfer>("imported transfers", 147, {{t, early, waits}});
  talk.ask<Transfer>("one imported where none is expected", 147, {{transfer(4, 1, 2, 1), t}});
  expect_transcript("imported", talk.text);
}

TEST(TigerbeetleSession, ARepeatGetsTheSameReply) {
  Talk talk;
  ++talk.client.request;
  const std::string message = talk.client.message(146, body_of<Account>({{account(1)}}));
  const std::string first = talk.world.send(message);
  EXPECT_EQ(talk.world.send(message), first);
  ++talk.client.request;
  const std::string read = talk.client.message(140, body_of<Uint128>({{1}}));
  const std::string answer = talk.world.send(read);
  EXPECT_EQ(talk.world.send(read), answer);  // computed again
  EXPECT_EQ(talk.world.machine().ledger().accounts().size(), 1U);
  talk.client.request -= 1;
  EXPECT_EQ(talk.world.send(talk.client.message(146, body_of<Account>({{account(2)}}))),
            "");  // another one of its number
  EXPECT_FALSE(talk.world.closed());
}

// Near a limit, too: the money has moved, and the client asks until it is told.
TEST(TigerbeetleSession, ARepeatGetsTheSameReplyWhereThereIsNoRoom) {
  namespace f = transfer_flags;
  for (const uint32_t version : {kLogicPortAudit, kLogicSettlements, kLogicBriefs})
    for (const Errc limit : {Errc::overloaded, Errc::no_space}) {
      Talk talk;
      talk.world.use_version(version);
      const auto asked_twice = [&](uint8_t operation, const std::vector<std::byte>& body) {
        ++talk.client.request;
        const std::string message = talk.client.message(operation, body);
        const std::string first = talk.world.send(message);
        EXPECT_NE(first, "");
        talk.world.no_room = limit;
        EXPECT_EQ(talk.world.send(message), first);
        EXPECT_EQ(talk.world.context().timers(), 0U);
        talk.world.no_room.reset();
      };
      asked_twice(146, body_of<Account>({{account(1), account(2)}}));
      asked_twice(147, body_of<Transfer>({{transfer(10, 1, 2, 5, f::kPending), transfer(11, 1, 2, 7, f::kPending)}}));
      asked_twice(147, body_of<Transfer>({{resolving(20, 10, kUint128Max, f::kPost), resolving(21, 11, 0, f::kVoid)}}));
      EXPECT_EQ(static_cast<uint64_t>(talk.world.machine().ledger().find_account(1)->debits_posted), 5U);

      talk.world.no_room = limit;
      ++talk.client.request;
      EXPECT_EQ(talk.world.send(talk.client.message(147, body_of<Transfer>({{transfer(30, 1, 2, 1)}}))), "")
          << "new money comes again when there is room";
      Client other = talk.client;
      other.id = 9;
      const std::string late = other.message(147, body_of<Transfer>({{transfer(31, 1, 2, 1)}}));
      EXPECT_EQ(describe(talk.world.send(late), other, late), "< eviction of client 9: reason 1\n");
    }
}

// A log from before settlements were commands of their own never sees one, and the client sees no difference.
TEST(TigerbeetleSession, PostsAndVoidsAreCommandsOfTheirOwn) {
  namespace f = transfer_flags;
  for (const uint32_t version : {kLogicPortAudit, kLogicSettlements, kLogicBriefs}) {
    Talk talk;
    talk.world.use_version(version);
    talk.ask<Account>("create accounts", 146, {{account(1), account(2)}});
    talk.ask<Transfer>("pending ones", 147, {{transfer(10, 1, 2, 5, f::kPending), transfer(11, 1, 2, 5, f::kPending)}});
    talk.ask<Transfer>("none", 147, {{}});
    talk.ask<Transfer>("one of them and a new one", 147,
                       {{resolving(20, 10, 3, f::kPost), transfer(12, 1, 2, 1, f::kPending)}});
    talk.world.submitted.clear();
    talk.ask<Transfer>("two batches", 147, {{resolving(21, 11, 0, f::kVoid)}, {resolving(22, 12, 1, f::kPost)}});
    const std::vector<CommandType> newest{kSettleTransfers};
    const std::vector<CommandType> older{kSettleTransfers, kCreateTransfers};
    EXPECT_EQ(talk.world.submitted, version >= kLogicSettlements ? newest : older);
    const Account* debited = talk.world.machine().ledger().find_account(1);
    EXPECT_TRUE(debited->debits_pending == 0 && debited->debits_posted == 4);
    EXPECT_EQ(talk.text.substr(talk.text.rfind("> ")).find("eviction"), std::string::npos);
    EXPECT_EQ(talk.world.context().timers(), 0U);
  }
}

TEST(TigerbeetleSession, WhoOnlyReadsIsInUseOnceAMinute) {
  Talk talk;
  const auto touches = [&] { return std::ranges::count(talk.world.submitted, CommandType{kTouch}); };
  const auto read = [&] { talk.ask<Uint128>("a read", 140, {{1}}); };
  EXPECT_EQ(touches(), 0);
  read();
  read();
  EXPECT_EQ(touches(), 1);
  const ClientSession before = *talk.world.machine().sessions().find(talk.client.id);
  EXPECT_GT(before.touched, before.used);
  talk.world.context().pass_time(tigerbeetle::TigerbeetleSession::kTouchEveryNs);
  read();
  read();
  EXPECT_EQ(touches(), 2);
  EXPECT_GT(talk.world.machine().sessions().find(talk.client.id)->touched, before.touched);
  EXPECT_EQ(talk.text.find("eviction"), std::string::npos);
}

TEST(TigerbeetleSession, Evictions) {
  std::string text;
  const auto with = [&](auto change, std::string_view what, uint8_t operation, Bytes body) {
    Talk talk;
    change(talk.client);
    talk.ask(what, operation, body);
    EXPECT_FALSE(talk.world.closed()) << what;
    text += talk.text.substr(talk.text.rfind("> "));
  };
  const auto same = [](Client&) {};
  const std::vector<std::byte> accounts = body_of<Account>({{account(1)}});
  with([](Client& c) { c.id = 9; }, "a client without a session", 146, accounts);
  with([](Client& c) { c.id = 9; }, "a read without a session", 140, body_of<Uint128>({{1}}));
  with([](Client& c) { c.release = tigerbeetle::release(0, 16, 78); }, "an older release", 138, accounts);
  with([](Client& c) { c.release = tigerbeetle::release(0, 18, 0); }, "a newer release", 146, accounts);
  with(same, "an operation that is not served", 137, accounts);
  with(same, "an operation of older clients", 138, accounts);
  with(same, "a body that is no batches", 146, std::vector<std::byte>(128));
  with(same, "an empty body", 146, {});
  with(same, "a count that lies", 146, body_of<Uint128>({{1, 2, 3, 4, 5, 6, 7}}));
  with(same, "two filters in a batch", 145, body_of<QueryFilter>({{{}, {}}}));
  for (const uint8_t operation : {142, 143})
    with(same, "an empty batch of filters, operation " + std::to_string(operation), operation,
         body_of<AccountFilter>({{}}));
  for (const uint8_t operation : {144, 145})
    with(same, "an empty batch of filters, operation " + std::to_string(operation), operation,
         body_of<QueryFilter>({{}}));
  QueryFilter many{};
  many.limit = 8000;
  with(same, "more results than a reply holds", 145, body_of<QueryFilter>({{many}, {many}}));
  Talk late(false);
  late.client.id = 2;
  late.enter();
  late.client.id = 1;
  late.client.session = 0;
  late.enter();
  late.client.session -= 1;
  late.ask("a session from before", 146, accounts);
  text += late.text.substr(late.text.rfind("> "));
  with([](Client& c) { c.release -= 1; }, "another release within a session", 146, accounts);
  Talk small(false);
  small.raw("a registration without its body", small.client.message(kRegisterOperation, {}));
  small.client.release = tigerbeetle::release(0, 15, 3);
  small.raw("an old one of that kind", small.client.message(kRegisterOperation, {}));
  text += small.text;
  expect_transcript("evictions", text);
}

TEST(TigerbeetleSession, WhatIsNoMessageCloses) {
  const auto closes = [](auto change) {
    Talk talk;
    ++talk.client.request;
    std::string message = talk.client.message(146, body_of<Account>({{account(1)}}));
    change(message);
    const std::string answer = talk.world.send(message);
    return talk.world.closed() && answer.empty();
  };
  const auto sealed = [](auto change) {
    return [change](std::string& m) {
      change(m);
      seal(m);
    };
  };
  EXPECT_FALSE(closes([](std::string&) {}));
  EXPECT_TRUE(closes([](std::string& m) { m[0] ^= 1; }));
  EXPECT_TRUE(closes([](std::string& m) { m[97] ^= 1; }));
  EXPECT_TRUE(closes([](std::string& m) { m[300] ^= 1; }));
  EXPECT_TRUE(closes(sealed([](std::string& m) { m[80] = 1; })));                        // cluster
  EXPECT_TRUE(closes(sealed([](std::string& m) { put(m, 96, {"\xFF\0\0\0", 4}); })));    // smaller than its header
  EXPECT_TRUE(closes(sealed([](std::string& m) { put(m, 96, {"\x01\0\x10\0", 4}); })));  // over 1 MiB
  EXPECT_TRUE(closes(sealed([](std::string& m) { m[112] = 1; })));                       // protocol
  EXPECT_TRUE(closes(sealed([](std::string& m) { m[100] = 1; })));                       // epoch
  EXPECT_TRUE(closes(sealed([](std::string& m) { m[104] = 1; })));                       // view
  EXPECT_TRUE(closes(sealed([](std::string& m) { m[108] = m[109] = 0; })));              // release
  for (const size_t reserved : {16, 48, 64, 116, 127, 144, 197, 204, 255})
    EXPECT_TRUE(closes(sealed([reserved](std::string& m) { m[reserved] = 1; }))) << reserved;
  for (const char command : {0, 1, 2, 4, 6, 8, 18, 99})
    EXPECT_TRUE(closes(sealed([command](std::string& m) { m[114] = command; }))) << int{command};
  EXPECT_TRUE(closes(sealed([](std::string& m) { put(m, 160, std::string(16, '\0')); })));  // client
  EXPECT_TRUE(closes(sealed([](std::string& m) { put(m, 176, std::string(8, '\0')); })));   // session
  EXPECT_TRUE(closes(sealed([](std::string& m) { put(m, 192, std::string(4, '\0')); })));   // request
}

TEST(TigerbeetleSession, BytesInAnyPieces) {
  Talk whole;
  Talk pieces;
  ++whole.client.request;
  const std::string message = whole.client.message(146, body_of<Account>({{account(1)}, {account(2)}}));
  const std::string two = whole.client.ping(5) + message;
  const std::string want = whole.world.send(two);
  std::string got;
  for (const char byte : two) got += pieces.world.send({&byte, 1});
  EXPECT_EQ(got, want);
}

TEST(TigerbeetleSession, ARequestUnderWayIsNotAskedTwice) {
  Talk talk;
  ++talk.client.request;
  const std::string message = talk.client.message(140, body_of<Uint128>({{1}}));
  talk.world.context().hold_answers = true;
  EXPECT_EQ(talk.world.send(message + message + message), "");
  talk.world.context().deliver();
  EXPECT_EQ(describe(talk.world.context().output, talk.client, message),
            "< reply to request 1: commit 1, timestamp 1001000\n<   batch\n");
  EXPECT_EQ(talk.world.context().timers(), 0U);
}

TEST(TigerbeetleSession, AFullServerIsAskedAgain) {
  Talk talk;
  ++talk.client.request;
  const std::string message = talk.client.message(146, body_of<Account>({{account(1)}}));
  talk.world.context().queue_full = true;
  EXPECT_EQ(talk.world.send(message), "");
  talk.world.context().queue_full = false;
  EXPECT_NE(talk.world.send(message), "");
  // An answer that does not come is forgotten after a while; the client's next try is a new question.
  ++talk.client.request;
  const std::string read = talk.client.message(140, body_of<Uint128>({{1}}));
  talk.world.context().hold_answers = true;
  EXPECT_EQ(talk.world.send(read), "");
  talk.world.context().pass_time(tigerbeetle::TigerbeetleSession::kRequestDeadlineNs);
  EXPECT_EQ(talk.world.context().timers(), 0U);
  talk.world.context().deliver();
  EXPECT_NE(talk.world.send(read), "");
}

net::QuotaConfig limits_of_local(net::QuotaLimits limits) {
  net::QuotaConfig config;
  config.principals["local"] = limits;
  return config;
}

TEST(TigerbeetleSession, WhoOwesByAQuotaIsReadFromLater) {
  constexpr int64_t kSecondNs = 1'000'000'000;
  for (const bool answers : {false, true}) {
    sim::SimClock clock;
    net::Quotas quotas(clock);
    World world(&quotas);
    Client client;
    client.request = 1;
    client.session = 1;
    const std::string ping = client.ping(5);
    const auto bytes = static_cast<int64_t>(ping.size());
    quotas.configure(limits_of_local({.bytes_in = answers ? 0 : bytes, .bytes_out = answers ? bytes : 0}));
    EXPECT_NE(world.send(ping), "");
    EXPECT_FALSE(world.context().paused()) << "a second is saved up";
    EXPECT_NE(world.send(ping), "");
    EXPECT_TRUE(world.context().paused());
    EXPECT_EQ(world.send(ping), "");
    const auto pass = [&](int64_t ns) {
      clock.advance(ns);
      world.context().pass_time(ns);
      return world.context().output;
    };
    EXPECT_EQ(pass(kSecondNs / 2), "") << "too early";
    EXPECT_NE(pass(kSecondNs / 2), "");
    EXPECT_FALSE(world.closed());
    EXPECT_GT(quotas.throttled().value(), 0U);
  }
}

TEST(TigerbeetleSession, RequestsAndConnectionsCountForTheQuotas) {
  sim::SimClock clock;
  net::Quotas quotas(clock);
  quotas.configure(limits_of_local({.bytes_in = 0, .bytes_out = 0, .requests = 1, .connections = 1}));
  World world(&quotas);
  Client client;
  EXPECT_NE(world.send(client.ping(1) + client.ping(2) + client.ping(3)), "");
  EXPECT_FALSE(world.context().paused()) << "a ping is no request";
  client.request = 1;
  client.session = 1;
  const std::string request = client.message(140, body_of<Uint128>({{1}}));
  world.send(request);
  world.send(request);
  EXPECT_TRUE(world.context().paused());
  World other(&quotas);
  EXPECT_EQ(other.send(client.ping(1)), "");
  EXPECT_TRUE(other.closed());
  EXPECT_EQ(quotas.connections_refused().value(), 1U);
}

}  // namespace
}  // namespace heptane::fintech::test
