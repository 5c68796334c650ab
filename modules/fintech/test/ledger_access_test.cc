// Who may move whose money: accounts of machines, reserved ids, the right to withdraw, the audit trail; in the machine, over
// HTTP, in transactions and for TigerBeetle's clients. Every test ends with a replay that must come to the same state.
#include <algorithm>

#include "modules/fintech/test/access_world.h"
#include "modules/fintech/test/tigerbeetle_talk.h"

namespace heptane::fintech::test {
namespace {

using Names = std::vector<std::string>;

constexpr uint64_t kTill = 100;  // the shop's account
constexpr Uint128 kVault = reserved_id(kShopId, 1);

// What the log says a caller may do.
constexpr uint8_t kNoRight = rights_of(false);
constexpr uint8_t kWithdraws = rights_of(true);
constexpr uint8_t kOldProgram = 0;

Transfer wide(Transfer moved, Uint128 id) {
  moved.id = id;
  return moved;
}
Transfer of_shop(uint64_t number, uint64_t from, uint64_t to, uint64_t amount, uint16_t flags = 0) {
  return wide(transfer(0, from, to, amount, flags), reserved_id(kShopId, number));
}

class LedgerAccess : public AccessWorld {
 protected:
  // Accounts 1 and 2 are nobody's; the till has 50 in it.
  LedgerAccess() {
    EXPECT_EQ(outside<Account>({account(1), account(2)}, kNoRight), (Names{"created", "created"}));
    EXPECT_EQ(toy<Account>(kShopId, kOpen, {account(kTill)}), Names{"created"});
    EXPECT_EQ(outside<Transfer>({transfer(1, 1, kTill, 50)}, kNoRight), Names{"created"});
  }
  ~LedgerAccess() override { crash_and_recover(); }

  std::string pay(uint64_t id, uint64_t from, uint64_t to, std::string_view more = "") {
    return R"({"id":")" + std::to_string(id) + R"(","debit_account_id":")" + std::to_string(from) +
           R"(","credit_account_id":")" + std::to_string(to) + R"(","amount_raw":"5","ledger":1,"code":1)" +
           std::string(more) + "}";
  }
  bool audited(std::string_view piece) const {
    return std::any_of(audit_.begin(), audit_.end(),
                       [&](const std::string& event) { return event.find(piece) != std::string::npos; });
  }
};

TEST_F(LedgerAccess, ReservedIdsAreNobodysButTheirMachines) {
  EXPECT_EQ(machine_of_id(reserved_id(17, 5)), 17);
  EXPECT_EQ(machine_of_id(reserved_id(0xFFFF, ~uint64_t{0})), 0) << "2^128 - 1 is no id";
  for (const Uint128 id : {Uint128{0}, Uint128{1}, kUint128Max >> 1, kReservedIds - 1}) EXPECT_EQ(machine_of_id(id), 0);

  const Transfer reserved = wide(transfer(0, 1, 2, 5), reserved_id(kShopId, 7));
  EXPECT_EQ(outside<Transfer>({reserved, transfer(2, 1, 2, 5), reserved}, kWithdraws),
            (Names{"id_already_failed", "created", "id_already_failed"}));
  Account vault = account(0);
  vault.id = kVault;
  EXPECT_EQ(outside<Account>({vault}, kWithdraws), Names{"exists_with_different_flags"});
  EXPECT_EQ(toy<Account>(kRivalId, kOpen, {vault}), Names{"exists_with_different_flags"});
  EXPECT_EQ(toy<Account>(kShopId, kOpen, {vault, vault}), (Names{"created", "exists"}));
  EXPECT_EQ(outside<Account>({vault}, kNoRight), Names{"exists"}) << "what is there may be known";
  // The refusal above used nothing up.
  EXPECT_EQ(toy<Transfer>(kRivalId, kPay, {reserved}), Names{"id_already_failed"});
  EXPECT_EQ(toy<Transfer>(kShopId, kPay, {reserved}), Names{"created"});
  EXPECT_EQ(outside<Transfer>({reserved}, kNoRight), Names{"exists"});

  crash_and_recover();
  EXPECT_TRUE(audited(R"("action":"request","by":"local","on":"ledger:reserved create","detail":"id )" +
                      number_text(reserved.id) + R"(","outcome":"denied","count":2,)"));
  EXPECT_TRUE(audited("id " + number_text(kVault)));
  EXPECT_EQ(audit().size(), 2U) << "before version 4 what machines try is their own affair";
}

// What a machine is refused is audited like what clients are, of each kind once in a command; a look ahead is none.
TEST_F(LedgerAccess, WhatTheRivalIsRefusedIsAudited) {
  namespace f = transfer_flags;
  shard_->adopt({}, true);
  settle();
  const Transfer reserved = wide(transfer(0, 1, 2, 5), reserved_id(kShopId, 7));
  const Transfer debits = transfer(21, kTill, 2, 1);
  EXPECT_EQ(toy<Transfer>(kRivalId, kCheck, {reserved, debits}),
            (Names{"id_already_failed", "debit_account_not_found"}));
  EXPECT_EQ(toy<Transfer>(kRivalId, kPay, {reserved, debits, transfer(22, kTill, 2, 1), transfer(23, 1, 2, 1)}),
            (Names{"id_already_failed", "debit_account_not_found", "debit_account_not_found", "created"}));
  EXPECT_EQ(toy<Transfer>(kRivalId, kPayChain, {transfer(24, 1, kTill, 0, f::kPending | f::kClosingCredit)}),
            Names{"credit_account_not_found"});
  Account vault = account(0);
  vault.id = kVault;
  EXPECT_EQ(toy<Account>(kRivalId, kOpen, {vault, vault}),
            (Names{"exists_with_different_flags", "exists_with_different_flags"}));
  EXPECT_FALSE(ask<Transfer>(kRivalId, kPayAndRefuse, {transfer(25, kTill, 2, 1)}).ok()) << "it takes all of it back";

  crash_and_recover();
  const std::string by = ", asked by machine " + std::to_string(kRivalId) + R"(","outcome":"denied","count":1,)";
  EXPECT_TRUE(audited(R"("on":"ledger:reserved create","detail":"id )" + number_text(reserved.id) + by));
  EXPECT_TRUE(audited(R"("on":"ledger:withdraw create","detail":"account or pending transfer 100, transfer 21)" + by));
  EXPECT_TRUE(audited(R"("on":"ledger:owned alter","detail":"account or pending transfer 100, transfer 24)" + by));
  EXPECT_TRUE(audited("id " + number_text(kVault) + by));
  EXPECT_EQ(audit().size(), 4U) << "one of each kind in a command";
}

// What the ledger adds to the entry of a machine that moves one transfer: its record stands there whole.
TEST_F(LedgerAccess, AMachinesTransferTakesLittleRoomInItsEntry) {
  const auto entry_bytes = [this] {
    crash_and_recover();
    uint64_t bytes = 0;
    (void)log_.recover({}, [&](const log::BatchView& batch, const log::BatchPlace&) -> Result<void> {
      bytes += batch.header().body_bytes;
      return {};
    });
    return bytes;
  };
  Transfer widest = of_shop(1, kTill, 2, 5);
  widest.user_data_128 = kUint128Max;
  widest.user_data_64 = UINT64_MAX;
  widest.user_data_32 = UINT32_MAX;
  widest.code = UINT16_MAX;
  const Transfer refused = of_shop(2, 99, 2, 5);
  const uint64_t before = entry_bytes();
  EXPECT_EQ(toy<Transfer>(kShopId, kPay, {refused}), Names{"debit_account_not_found"});
  const uint64_t without = entry_bytes();
  EXPECT_EQ(toy<Transfer>(kShopId, kPay, {widest}), Names{"created"});
  EXPECT_LE(entry_bytes() - without, without - before + 240);
  EXPECT_LE(entry_bytes() - without, 443U);
}

// A log of a program that knew nothing of ranges goes on meaning what it did.
TEST_F(LedgerAccess, CommandsOfOlderProgramsKnowNoRanges) {
  const Uint128 id = reserved_id(kShopId, 9);
  Account there = account(0);
  there.id = id;
  EXPECT_EQ(outside<Account>({there}, kOldProgram), Names{"created"});
  EXPECT_EQ(outside<Transfer>({wide(transfer(0, 1, 2, 5), id)}, kOldProgram), Names{"created"});
  Caller old;
  old.client = 5;
  old.release = tigerbeetle::kRelease;
  std::byte bytes[Caller::kBytes];
  old.write(bytes);
  EXPECT_EQ(load_le<uint32_t>(bytes + 44), tigerbeetle::kRelease) << "as it always was";
  old.rights = kWithdraws;
  old.write(bytes);
  EXPECT_EQ(Caller::read(bytes).release, tigerbeetle::kRelease);
  EXPECT_EQ(Caller::read(bytes).rights, kWithdraws);
}

TEST_F(LedgerAccess, FromOutsideOneMayDepositAndWithTheRightWithdraw) {
  namespace f = transfer_flags;
  EXPECT_EQ(outside<Transfer>({transfer(10, kTill, 2, 5)}, kNoRight), Names{"debit_account_not_found"});
  EXPECT_EQ(outside<Transfer>({transfer(10, 1, kTill, 5)}, kNoRight), Names{"id_already_failed"}) << "it was used up";
  EXPECT_EQ(outside<Transfer>({transfer(11, kTill, 2, 5, f::kPending), transfer(12, kTill, 2, 5, f::kBalancingDebit)},
                              kNoRight),
            (Names{"debit_account_not_found", "debit_account_not_found"}));
  EXPECT_EQ(outside<Transfer>({transfer(13, 1, kTill, 5, f::kLinked), transfer(14, kTill, 2, 5)}, kNoRight),
            (Names{"linked_event_failed", "debit_account_not_found"}));
  EXPECT_EQ(posted(kTill), 50U);

  EXPECT_EQ(outside<Transfer>({transfer(15, kTill, 2, 5)}, kWithdraws), Names{"created"});
  EXPECT_EQ(outside<Transfer>({transfer(16, kTill, 2, 5, f::kPending)}, kWithdraws), Names{"created"});
  EXPECT_EQ(outside<Transfer>({resolving(17, 16, kUint128Max, f::kPost)}, kNoRight),
            Names{"pending_transfer_not_found"});
  EXPECT_EQ(outside<Transfer>({resolving(18, 16, kUint128Max, f::kPost)}, kWithdraws), Names{"created"});
  EXPECT_EQ(posted(kTill), 40U);
  // A deposit that is pending is its maker's.
  EXPECT_EQ(outside<Transfer>({transfer(19, 1, kTill, 5, f::kPending), resolving(20, 19, 0, f::kVoid)}, kNoRight),
            (Names{"created", "created"}));

  crash_and_recover();
  EXPECT_TRUE(audited(R"("on":"ledger:withdraw create","detail":"account or pending transfer 100, transfer 10",)"
                      R"("outcome":"denied","count":1,)"));
  EXPECT_TRUE(audited(R"(transfer 11","outcome":"denied","count":2,)"));
  EXPECT_TRUE(audited("account or pending transfer 16, transfer 17"));
  EXPECT_EQ(audit().size(), 4U);
}

TEST_F(LedgerAccess, NobodyOutsideClosesOrResolvesWhatIsAMachines) {
  namespace f = transfer_flags;
  EXPECT_EQ(outside<Transfer>({transfer(10, 1, kTill, 0, f::kPending | f::kClosingCredit)}, kWithdraws),
            Names{"credit_account_not_found"});
  EXPECT_EQ(outside<Transfer>({transfer(11, kTill, 1, 0, f::kPending | f::kClosingDebit)}, kWithdraws),
            Names{"debit_account_not_found"});
  EXPECT_EQ(outside<Transfer>({transfer(12, 1, 2, 0, f::kPending | f::kClosingDebit)}, kNoRight), Names{"created"});
  EXPECT_EQ(outside<Transfer>({resolving(13, 12, 0, f::kVoid)}, kNoRight), Names{"created"});

  const Transfer held = of_shop(1, kTill, 2, 30, f::kPending);
  EXPECT_EQ(toy<Transfer>(kShopId, kPay, {held}), Names{"created"});
  Transfer post = resolving(14, 0, kUint128Max, f::kPost);
  post.pending_id = held.id;
  EXPECT_EQ(outside<Transfer>({post}, kWithdraws), Names{"pending_transfer_not_found"});
  EXPECT_EQ(toy<Transfer>(kRivalId, kPay, {wide(post, 20)}), Names{"pending_transfer_not_found"});
  EXPECT_EQ(toy<Transfer>(kRivalId, kPay, {transfer(21, kTill, 2, 1)}), Names{"debit_account_not_found"});
  EXPECT_EQ(toy<Transfer>(kRivalId, kPay, {transfer(22, 1, kTill, 1)}), Names{"created"});
  EXPECT_EQ(toy<Transfer>(kShopId, kPay, {wide(post, reserved_id(kShopId, 2))}), Names{"created"});
  EXPECT_EQ(posted(kTill), 21U);

  crash_and_recover();
  EXPECT_EQ(std::count_if(audit().begin(), audit().end(),
                          [](const std::string& event) {
                            return event.find("\"on\":\"ledger:owned alter\"") != std::string::npos;
                          }),
            3);
}

// What a machine has sealed is its own alone: who may withdraw, and other machines, neither credit nor debit it.
TEST_F(LedgerAccess, NobodyElseMovesAnythingOfASealedAccount) {
  Account safe = account(kTill + 1000);
  safe.code = kSealedCode | 1;
  EXPECT_EQ(toy<Account>(kShopId, kOpen, {safe}), Names{"created"});
  EXPECT_EQ(toy<Transfer>(kShopId, kPay, {of_shop(1, kTill, kTill + 1000, 20)}), Names{"created"});
  EXPECT_EQ(outside<Transfer>({transfer(10, 1, kTill + 1000, 5)}, kWithdraws), Names{"credit_account_not_found"});
  EXPECT_EQ(outside<Transfer>({transfer(11, kTill + 1000, 1, 5)}, kWithdraws), Names{"debit_account_not_found"});
  EXPECT_EQ(toy<Transfer>(kRivalId, kPay, {transfer(12, 1, kTill + 1000, 5)}), Names{"credit_account_not_found"});
  EXPECT_EQ(posted(kTill + 1000), 20U);
  EXPECT_EQ(toy<Transfer>(kShopId, kPay, {of_shop(2, kTill + 1000, 1, 20)}), Names{"created"});
  // The bit says nothing of an account that is nobody's.
  Account plain = account(kTill + 1001);
  plain.code = kSealedCode | 1;
  EXPECT_EQ(outside<Account>({plain}, kNoRight), Names{"created"});
  EXPECT_EQ(outside<Transfer>({transfer(13, 1, kTill + 1001, 5)}, kNoRight), Names{"created"});
  crash_and_recover();
  for (const char* moved : {"10", "11"})
    EXPECT_TRUE(audited(R"("on":"ledger:owned alter","detail":"account or pending transfer 1100, transfer )" +
                        std::string(moved) + R"(","outcome":"denied","count":1,)"));
  EXPECT_EQ(audit().size(), 2U) << "before version 4 what machines try is their own affair";
}

// The machine that owns an account, what it takes back, what it leaves to a timer; all of it in the views.
TEST_F(LedgerAccess, ThePortChecksMovesChainsAndTellsTheViews) {
  namespace f = transfer_flags;
  EXPECT_EQ(toy<Transfer>(kShopId, kCheck, {of_shop(1, kTill, 2, 5), of_shop(2, kTill, 99, 5)}),
            (Names{"created", "credit_account_not_found"}));
  EXPECT_EQ(ledger().transfers().size(), 1U);
  EXPECT_EQ(toy<Transfer>(kShopId, kPayChain, {of_shop(3, kTill, 2, 5), of_shop(4, kTill, 99, 5)}),
            (Names{"linked_event_failed", "credit_account_not_found"}));
  const Hash128 before = shard_->state_hash();
  EXPECT_EQ(ask<Transfer>(kShopId, kPayAndRefuse, {of_shop(5, kTill, 2, 5)}).error, Errc::refused);
  EXPECT_EQ(shard_->state_hash(), before);
  EXPECT_EQ(toy<Transfer>(kShopId, kPayChain, {of_shop(6, kTill, 2, 5), of_shop(7, kTill, 1, 6)}),
            (Names{"created", "created"}));
  Transfer timed = of_shop(8, kTill, 2, 0, f::kPending | f::kClosingCredit);
  timed.timeout = 1;
  EXPECT_EQ(toy<Transfer>(kShopId, kPay, {timed}), Names{"created"});
  EXPECT_TRUE(ledger().find_account(2)->has(account_flags::kClosed));
  clock_.advance(1'100'000'000);
  settle();
  EXPECT_FALSE(ledger().find_account(2)->has(account_flags::kClosed)) << "the ledger's own timer gave it back";
  ASSERT_TRUE(ask<Transfer>(kShopId, kPayLater, {of_shop(9, kTill, 2, 2)}).ok());
  clock_.advance(1'100'000'000);
  settle();
  EXPECT_EQ(posted(kTill), 37U);
  // In one transaction with somebody outside.
  const std::vector<Transfer> paid{of_shop(10, kTill, 2, 1)};
  ScaledTransfer from_outside;
  from_outside.transfer = transfer(30, 1, kTill, 9);
  const Buffer moved = encode(std::vector<ScaledTransfer>{from_outside});
  const Bytes paid_bytes{reinterpret_cast<const std::byte*>(paid.data()), sizeof(Transfer)};
  ASSERT_TRUE(submit(streams::make_command(
                         machine_ids::kKernel, kTransact,
                         encode_transact({{kShopId, kPay, kNoPartition, paid_bytes},
                                          {kLedgerMachineId, kTransferAllOutside, kNoPartition, moved.view()}})))
                  .ok());

  crash_and_recover();
  const std::vector<std::string>& transfers = rendered(kTransfersView);
  ASSERT_EQ(transfers.size(), ledger().transfers().size());
  for (uint32_t i = 0; i < transfers.size(); ++i) {
    const Transfer stored = ledger().transfers().body(i);
    for (const std::string& piece :
         {"{\"id\":\"" + number_text(stored.id) + "\"", "\"amount\":\"" + number_text(stored.amount) + "\"",
          "\"debit_account_id\":\"" + number_text(stored.debit_account_id) + "\"",
          "\"timestamp\":\"" + std::to_string(stored.timestamp) + "\"}"})
      EXPECT_NE(transfers[i].find(piece), std::string::npos) << transfers[i] << " lacks " << piece;
  }
  EXPECT_NE(transfers[1].find(R"("flags":["linked"])"), std::string::npos) << transfers[1];
  EXPECT_NE(transfers[2].find(R"("flags":[])"), std::string::npos) << transfers[2];
  const std::vector<std::string>& accounts = rendered(kAccountsView);
  ASSERT_EQ(accounts.size(), 5U);
  EXPECT_NE(accounts[2].find(R"("event":"created","id":"100")"), std::string::npos);
  EXPECT_NE(accounts[2].find(R"(,"owner":)" + std::to_string(kShopId) + "}"), std::string::npos) << accounts[2];
  EXPECT_NE(accounts[3].find(R"("event":"closed","id":"2")"), std::string::npos);
  EXPECT_NE(accounts[4].find(R"("event":"reopened","id":"2")"), std::string::npos);
}

TEST_F(LedgerAccess, OverHttpARoleSaysWhoWithdraws) {
  const auto transfers = [&](std::string_view user, const std::string& rows) {
    return post(user, "ledger/transfers", R"({"transfers":[)" + rows + "]}");
  };
  EXPECT_NE(transfers("teller", pay(10, 1, kTill)).find(R"("status":"created")"), std::string::npos);
  const std::string refused = transfers("teller", pay(11, kTill, 2));
  EXPECT_NE(refused.find("409"), std::string::npos) << refused;
  EXPECT_NE(refused.find(R"("code":"debit_account_not_found")"), std::string::npos) << refused;
  EXPECT_NE(transfers("cashier", pay(12, kTill, 2)).find(R"("status":"created")"), std::string::npos);
  EXPECT_EQ(posted(kTill), 50U);
}

// Before its log has the newest version of the ledger's logic, and after.
TEST_F(LedgerAccess, OverHttpAPostIsASettlementOnceTheLogKnowsThem) {
  const auto pend_and_post = [&](uint64_t id) {
    const auto send = [&](const std::string& row) {
      return post("teller", "ledger/transfers", R"({"transfers":[)" + row + "]}");
    };
    EXPECT_NE(send(pay(id, 1, 2, R"(,"flags":["pending"])")).find(R"("status":"created")"), std::string::npos);
    const std::string posted = send(R"({"id":")" + std::to_string(id + 1) + R"(","pending_id":")" + std::to_string(id) +
                                    R"(","flags":["post_pending_transfer"]})");
    EXPECT_NE(posted.find(R"("status":"created")"), std::string::npos) << posted;
  };
  pend_and_post(10);
  shard_->adopt({}, true);
  settle();
  pend_and_post(20);
  EXPECT_EQ(posted(2), 10U);
}

// What a transaction refuses leaves nothing in the log: the gateway notes it.
TEST_F(LedgerAccess, ATransactionThatMayNotWithdrawIsRefusedAndNoted) {
  const auto transact = [&](std::string_view user, const std::string& row) {
    return post(user, "transact", R"({"operations":[{"transfer":)" + row + "}]}");
  };
  const Hash128 before = shard_->state_hash();
  const std::string refused = transact("teller", pay(10, kTill, 2));
  EXPECT_NE(refused.find("transfers[0]: debit_account_not_found"), std::string::npos) << refused;
  EXPECT_NE(refused.find(R"("detail":21})"), std::string::npos) << refused;
  const std::string nobody = transact("teller", pay(10, 77, 2));
  EXPECT_NE(nobody.find("transfers[0]: debit_account_not_found"), std::string::npos) << nobody;
  EXPECT_EQ(shard_->state_hash(), before);
  EXPECT_EQ(noted(), Names{"teller ledger: operation 0: transfers[0]: debit_account_not_found"})
      << "an account that is not there is no incident";

  EXPECT_NE(transact("cashier", pay(10, kTill, 2)).find("200"), std::string::npos);
  EXPECT_EQ(posted(kTill), 45U);
  std::string reserved = pay(1, 1, 2);
  reserved.replace(reserved.find("\"1\""), 3, '"' + number_text(reserved_id(kShopId, 1)) + '"');
  EXPECT_NE(transact("cashier", reserved).find("id_already_failed"), std::string::npos);
  EXPECT_EQ(noted(), Names{"cashier ledger: operation 0: transfers[0]: id_already_failed"});
}

// The client of the protocol sees the same, and never whose an account is.
TEST_F(LedgerAccess, TigerbeetlesClientsActAsTheirUser) {
  const auto talk = [&](const std::string& user, uint64_t id) {
    tigerbeetle::TigerbeetleOptions options;
    options.user = user;
    options.authenticator = &gate_;
    tigerbeetle::TigerbeetleProtocol protocol(options);
    const std::unique_ptr<net::Session> session = protocol.open({});
    http::test::FakeContext context(*session);
    answer_from_the_shard(context);
    session->on_open(context);
    Client client;
    client.id = id;
    std::string text;
    const auto ask = [&](uint8_t operation, const std::vector<std::byte>& body) {
      const std::string message = client.message(operation, Bytes(body));
      context.output.clear();
      context.send(message);
      if (operation == tigerbeetle::kRegisterOperation) std::memcpy(&client.session, context.output.data() + 216, 8);
      text += describe(context.output, client, message);
      ++client.request;
    };
    ask(tigerbeetle::kRegisterOperation, std::vector<std::byte>(256));
    ask(147, body_of<Transfer>({{transfer(id, kTill, 2, 5), transfer(id + 1, 1, kTill, 5)}}));
    ask(140, body_of<Uint128>({{kTill}}));
    EXPECT_TRUE(context.output.size() >= 256 + sizeof(Account));
    Account seen;
    std::memcpy(&seen, context.output.data() + 256, sizeof seen);
    EXPECT_EQ(seen.reserved, 0U);
    return text;
  };
  const std::string teller = talk("teller", 1000);
  EXPECT_NE(teller.find("debit_account_not_found at"), std::string::npos) << teller;
  EXPECT_NE(teller.find("created at"), std::string::npos) << teller;
  const std::string cashier = talk("cashier", 2000);
  EXPECT_EQ(cashier.find("not_found"), std::string::npos) << cashier;
  EXPECT_EQ(posted(kTill), 55U);
  expect_transcript("owners", "= teller, who may not withdraw\n" + teller + "= cashier, who may\n" + cashier);
}

// The logged number holds from its place on; a lower one makes room at the next registration.
TEST_F(LedgerAccess, TheNumberOfSessionsIsLogged) {
  const auto set = [&](std::string_view value) {
    ByteWriter payload;
    for (const std::string_view text : {kClientSessionsKey, value}) {
      payload.le<uint32_t>(static_cast<uint32_t>(text.size()));
      payload.append(text);
    }
    ASSERT_TRUE(submit(streams::make_command(machine_ids::kKernel, kSetConfig, Buffer::take(payload.release()))).ok());
  };
  const auto enter = [&](uint64_t client) {
    std::vector<std::byte> bytes(Caller::kBytes);
    Caller caller;
    caller.client = client;
    caller.release = 1;
    caller.write(bytes.data());
    ASSERT_TRUE(submit(streams::make_command(kLedgerMachineId, kRegister, Buffer::take(std::move(bytes)))).ok());
  };
  for (uint64_t client = 1; client <= kClientSessions + 3; ++client) enter(client);
  EXPECT_EQ(machine_->sessions().size(), kClientSessions);
  set("2");
  EXPECT_EQ(machine_->sessions().size(), kClientSessions);
  enter(200);
  EXPECT_EQ(machine_->sessions().size(), 2U);
  EXPECT_NE(machine_->sessions().find(kClientSessions + 3), nullptr);
  set("1000000");
  for (uint64_t client = 300; client < 400; ++client) enter(client);
  EXPECT_EQ(machine_->sessions().size(), 102U);
  crash_and_recover();
  EXPECT_EQ(machine_->sessions().size(), 102U);
  set("");
  enter(500);
  EXPECT_EQ(machine_->sessions().size(), kClientSessions);
}

}  // namespace
}  // namespace heptane::fintech::test
