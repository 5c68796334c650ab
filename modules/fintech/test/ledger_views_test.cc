// The ledger's views against the ledger itself: every record that is rendered out of the log's entries says what the state
// says, whatever failed, was resolved, balanced, closed, expired or taken back in between.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <memory>
#include <regex>

#include "kernel/log/memory_log.h"
#include "kernel/shard/shard.h"
#include "kernel/shard/transact.h"
#include "kernel/streams/streams_machine.h"
#include "kernel/streams/view_batches.h"
#include "modules/fintech/machine/ledger/ledger_machine.h"
#include "modules/fintech/machine/ledger/view_numbers.h"
#include "sim/sim_clock.h"

namespace heptane::fintech::test {
namespace {

struct Record {
  std::string key;
  std::string value;
};

class LedgerViews : public testing::Test {
 protected:
  LedgerViews() : log_(random_) { boot(); }

  // Replays the whole log into a new machine, and renders every entry on the way.
  void boot() {
    committer_ = std::make_unique<Committer>(log_, [](const Error&) {});
    link_ = std::make_unique<ShardLink>(1 << 10);
    shard_ = std::make_unique<Shard>(ShardOptions{}, clock_, *committer_);
    streams_ = std::make_unique<streams::StreamsMachine>();
    machine_ = std::make_unique<LedgerMachine>();
    shard_->add_machine(*streams_);
    shard_->add_machine(*machine_);
    shard_->set_streams(*streams_);
    shard_->attach(*link_);
    renderers_ = ViewRenderers();
    renderers_.add(*machine_);
    rendered_.clear();
    next_.clear();
    recovery_ = log_.recover({}, [this](const log::BatchView& batch, const log::BatchPlace& place) -> Result<void> {
      HEPTANE_TRY(batch.for_each_entry([this](const log::EntryView& entry, Sequence) { return render(entry); }));
      return shard_->replay(batch, place);
    });
    ASSERT_TRUE(recovery_) << recovery_.error().message;
    shard_->start(recovery_->end);
  }
  Result<void> render(const log::EntryView& entry) {
    const auto views = log::views_of(entry.extensions);
    if (!views) return views.error();
    if (!*views) return {};
    for (const log::ViewRun& run : (*views)->runs) {
      EXPECT_EQ(run.machine, kLedgerMachineId);
      EXPECT_EQ(run.first, next_[run.view]);
      next_[run.view] = run.end();
      streams::ViewBatches batches(renderers_, {});
      const Result<bool> all = batches.add(entry, **views, run, run.first);
      if (!all) return all.error();
      for (const Buffer& batch : batches.take())
        HEPTANE_TRY(streams::for_each_record(batch.view(), [&](const streams::RecordView& record) {
          rendered_[run.view].push_back({std::string(as_text(record.key)), std::string(as_text(record.value))});
        }));
      expect_tail_alone(entry, **views, run);
    }
    return {};
  }
  // From the middle on it is the same.
  void expect_tail_alone(const log::EntryView& entry, const log::EntryViews& views, const log::ViewRun& run) {
    const auto from = run.first + static_cast<Offset>(random_.below(run.count));
    streams::ViewBatches batches(renderers_, {});
    ASSERT_TRUE(batches.add(entry, views, run, from));
    Offset next = from;
    const std::vector<Record>& all = rendered_[run.view];
    for (const Buffer& batch : batches.take())
      ASSERT_TRUE(streams::for_each_record(batch.view(), [&](const streams::RecordView& record) {
        ASSERT_EQ(record.offset, next);
        ASSERT_EQ(as_text(record.value), all[static_cast<size_t>(next++)].value);
      }));
    ASSERT_EQ(next, run.end());
  }

  void settle() {
    for (bool more = true; more;) {
      more = shard_->run_once();
      more = committer_->run_once() || more || !link_->requests.empty();
    }
    shard_->run_once();
  }
  Reply run(CommandType type, Buffer payload, MachineId machine = kLedgerMachineId) {
    EXPECT_TRUE(link_->requests.try_push(
        ShardRequest{1, ++request_, streams::make_command(machine, type, std::move(payload))}));
    settle();
    ShardReply* front = link_->gated.front();
    HEPTANE_ASSERT(front != nullptr, "no reply");
    Reply reply = std::move(std::get<Reply>(front->body));
    link_->gated.pop();
    return reply;
  }
  template <class Row>
  static Buffer payload(const std::vector<std::vector<Row>>& batches) {
    MultiBatchWriter writer(sizeof(Row));
    for (const auto& batch : batches) {
      const auto* bytes = reinterpret_cast<const std::byte*>(batch.data());
      writer.out().insert(writer.out().end(), bytes, bytes + batch.size() * sizeof(Row));
      writer.end_batch();
    }
    ByteWriter whole;
    whole.zeros(Caller::kBytes);  // without a session
    whole.append(writer.finish());
    return Buffer::take(whole.release());
  }

  Account draw_account() {
    Account account{};
    account.id = ++last_account_ * (random_.one_in(2) ? 1 : Uint128{1} << 90);
    if (random_.one_in(6)) account.id = 1;  // exists, or is the first
    account.user_data_128 = random_.below(3);
    account.user_data_64 = random_.next();
    account.ledger = 1;
    account.code = static_cast<uint16_t>(1 + random_.below(5));
    account.flags = random_.one_in(3) ? account_flags::kHistory : 0;
    accounts_.push_back(account.id);
    return account;
  }
  Transfer draw_transfer() {
    const auto account = [&] { return accounts_[random_.below(accounts_.size())]; };
    Transfer transfer{};
    transfer.id = ++last_transfer_;
    transfer.debit_account_id = account();
    transfer.credit_account_id = account();
    transfer.amount = random_.below(100);
    transfer.user_data_128 = random_.one_in(2) ? Uint128{random_.next()} << 50 : 0;
    transfer.user_data_64 = random_.below(2);
    transfer.user_data_32 = static_cast<uint32_t>(random_.below(2));
    transfer.ledger = 1;
    transfer.code = static_cast<uint16_t>(1 + random_.below(9));
    switch (random_.below(6)) {
      case 0:
        transfer.flags = random_.one_in(2) ? transfer_flags::kBalancingDebit : transfer_flags::kBalancingCredit;
        transfer.amount = random_.one_in(2) ? kUint128Max : transfer.amount;
        break;
      case 1:
        transfer.flags = transfer_flags::kPending;
        transfer.timeout = static_cast<uint32_t>(random_.below(3));
        break;
      case 2:
        transfer.flags = transfer_flags::kPending |
                         (random_.one_in(2) ? transfer_flags::kClosingDebit : transfer_flags::kClosingCredit);
        transfer.timeout = static_cast<uint32_t>(random_.below(3));
        break;
      case 3:
      case 4: {
        transfer = Transfer{};
        transfer.id = last_transfer_;
        transfer.pending_id = 1 + random_.below(last_transfer_);
        transfer.flags = random_.one_in(3) ? transfer_flags::kPost : transfer_flags::kVoid;
        transfer.amount = transfer.flags == transfer_flags::kPost ? kUint128Max : 0;
        transfer.user_data_64 = random_.below(2);
        break;
      }
      default: break;
    }
    if (random_.one_in(6)) transfer.flags |= transfer_flags::kLinked;
    return transfer;
  }
  Buffer draw_transfers() {
    std::vector<std::vector<Transfer>> batches(1 + random_.below(3));
    for (std::vector<Transfer>& batch : batches)
      for (uint64_t i = random_.below(6); i > 0; --i) batch.push_back(draw_transfer());
    return payload(batches);
  }

  // The operation of a transaction: all of it or nothing, some amounts in decimals of the asset.
  Buffer draw_chain() {
    std::vector<ScaledTransfer> chain(1 + random_.below(2));
    for (ScaledTransfer& each : chain) {
      each.transfer = draw_transfer();
      const bool scaled = each.transfer.amount < 1000 && random_.one_in(2);
      each.decimals = scaled ? static_cast<uint8_t>(random_.below(3)) : ScaledTransfer::kRaw;
    }
    return encode(chain);
  }

  std::string flags_text(uint16_t flags, const std::vector<const char*>& names) {
    std::string text;
    for (size_t bit = 0; bit < names.size(); ++bit)
      if ((flags >> bit & 1) != 0) text += fmt::format("{}\"{}\"", text.empty() ? "" : ",", names[bit]);
    return "[" + text + "]";
  }
  std::string expected(const Transfer& t) {
    return fmt::format(
        R"({{"id":"{}","debit_account_id":"{}","credit_account_id":"{}","amount":"{}","pending_id":"{}",)"
        R"("user_data_128":"{}","user_data_64":"{}","user_data_32":{},"timeout":{},"ledger":{},"code":{},)"
        R"("flags":{},"timestamp":"{}"}})",
        t.id, t.debit_account_id, t.credit_account_id, t.amount, t.pending_id, t.user_data_128, t.user_data_64,
        t.user_data_32, t.timeout, t.ledger, t.code,
        flags_text(t.flags, {"linked", "pending", "post_pending_transfer", "void_pending_transfer", "balancing_debit",
                             "balancing_credit", "closing_debit", "closing_credit", "imported"}),
        t.timestamp);
  }
  void expect_transfers() {
    const std::vector<Record>& records = rendered_[kTransfersView.number];
    const TransferStore& transfers = machine_->ledger().transfers();
    ASSERT_EQ(records.size(), transfers.size());
    for (uint32_t i = 0; i < transfers.size(); ++i) {
      const Transfer transfer = transfers.body(i);
      ASSERT_EQ(records[i].value, expected(transfer));
      ASSERT_EQ(records[i].key, fmt::format("{}", transfer.id));
    }
  }
  // Each account was created first, then closed and opened again by turns; its last turn is what the state says.
  void expect_accounts() {
    std::map<std::string, std::string> last;
    uint64_t turns = 0;
    for (const Record& record : rendered_[kAccountsView.number]) {
      std::string& before = last[record.key];
      const std::string event = record.value.substr(10, record.value.find('"', 10) - 10);
      ASSERT_EQ(event, before.empty() ? "created" : before == "closed" ? "reopened" : "closed") << record.value;
      ASSERT_NE(record.value.find("\"id\":\"" + record.key + "\""), std::string::npos);
      before = event;
      if (event != "created") ++turns;
    }
    const auto& accounts = machine_->ledger().accounts();
    ASSERT_EQ(last.size(), accounts.size());
    for (uint32_t i = 0; i < accounts.size(); ++i)
      ASSERT_EQ(last[fmt::format("{}", accounts[i].id)] == "closed", accounts[i].has(account_flags::kClosed));
    turns_ = turns;
  }

  SeededRandom random_{5};
  sim::SimClock clock_;
  log::MemoryLog log_;
  RequestId request_ = 0;
  uint64_t last_account_ = 0;
  uint64_t last_transfer_ = 0;
  uint64_t turns_ = 0;
  std::vector<Uint128> accounts_;
  std::unique_ptr<Committer> committer_;
  std::unique_ptr<ShardLink> link_;
  std::unique_ptr<Shard> shard_;
  std::unique_ptr<streams::StreamsMachine> streams_;
  std::unique_ptr<LedgerMachine> machine_;
  ViewRenderers renderers_;
  std::map<uint16_t, std::vector<Record>> rendered_;
  std::map<uint16_t, Offset> next_;
  Result<log::RecoveryReport> recovery_ = log::RecoveryReport{};
};

// Nor by one that a client gave the stream before the first record; a log follows from version 2 on.
TEST_F(LedgerViews, AreNeverTrimmedByARetention) {
  const auto accounts = [&](Uint128 id) {
    Account account{};
    account.id = id;
    account.ledger = account.code = 1;
    return run(kCreateAccounts, payload<Account>({{account}}));
  };
  const auto alter = [&](std::string_view name) {
    return run(streams::kAlterStream, streams::encode(streams::AlterStream{name, {1, -1}}), machine_ids::kStreams);
  };
  const std::string early(kAccountsStream);
  ASSERT_TRUE(
      run(streams::kCreateStream, streams::encode(streams::CreateStream{early, 1, {1, -1}}), machine_ids::kStreams)
          .ok());
  ASSERT_TRUE(accounts(1).ok());
  EXPECT_EQ(streams_->retained(0).size(), 1U);
  EXPECT_TRUE(alter(kAccountsStream).ok());

  shard_->adopt({}, true);
  settle();
  ASSERT_TRUE(accounts(2).ok());
  EXPECT_TRUE(streams_->retained(0).empty());
  EXPECT_EQ(alter(kAccountsStream).error, Errc::refused);
  EXPECT_TRUE(streams_->retained(0).empty());
  const Hash128 state = shard_->state_hash();
  boot();
  EXPECT_EQ(shard_->state_hash(), state);
  EXPECT_EQ(alter(kAccountsStream).error, Errc::refused);
}

TEST_F(LedgerViews, SayWhatTheStateSays) {
  ASSERT_TRUE(run(kPutAsset, encode(Asset{.ledger = 1, .scale = 2, .code = "USD"})).ok());
  uint64_t chains = 0;
  for (int round = 0; round < 3000; ++round) {
    clock_.advance(static_cast<int64_t>(random_.below(400'000'000)));
    settle();
    if (round % 40 == 0) {
      std::vector<Account> created{draw_account(), draw_account()};
      if (round == 0)
        for (int i = 0; i < 40; ++i) created.push_back(draw_account());
      ASSERT_TRUE(run(kCreateAccounts, payload<Account>({created})).ok());
    } else if (random_.one_in(4)) {
      if (run(kTransferAll, draw_chain()).ok()) ++chains;
    } else if (random_.one_in(3)) {
      std::vector<Buffer> parts(1 + random_.below(3));
      for (Buffer& part : parts) part = draw_transfers();
      if (random_.one_in(4)) parts.back() = Buffer::copy_of("malformed");
      std::vector<heptane::Operation> operations;
      for (const Buffer& part : parts)
        operations.push_back({kLedgerMachineId, kCreateTransfers, kNoPartition, part.view()});
      (void)run(kTransact, encode_transact(operations), machine_ids::kKernel);
    } else {
      ASSERT_TRUE(run(kCreateTransfers, draw_transfers()).ok());
    }
  }
  ASSERT_NO_FATAL_FAILURE(boot());
  ASSERT_NO_FATAL_FAILURE(expect_transfers());
  ASSERT_NO_FATAL_FAILURE(expect_accounts());
  EXPECT_GT(machine_->ledger().transfers().size(), 1000U);
  EXPECT_GT(turns_, 50U);
  EXPECT_GT(chains, 20U);
  EXPECT_EQ(streams_->durable_end(*streams_->find_partition(kTransfersStream, 0)),
            static_cast<Offset>(machine_->ledger().transfers().size()));
}

// The texts as they are for ever.
TEST_F(LedgerViews, TheirTextNeverChanges) {
  Account first{};
  first.id = 1;
  first.user_data_128 = kUint128Max;
  first.user_data_64 = UINT64_MAX;
  first.ledger = 7;
  first.code = 3;
  first.flags = account_flags::kHistory;
  Account second{};
  second.id = 2;
  second.ledger = 7;
  second.code = 4;
  ASSERT_TRUE(run(kCreateAccounts, payload<Account>({{first, second}})).ok());
  Transfer close{};
  close.id = 10;
  close.debit_account_id = 1;
  close.credit_account_id = 2;
  close.amount = 5;
  close.user_data_32 = 9;
  close.ledger = 7;
  close.code = 8;
  close.flags = transfer_flags::kPending | transfer_flags::kClosingCredit;
  Transfer open{};
  open.id = 11;
  open.pending_id = 10;
  open.flags = transfer_flags::kVoid;
  ASSERT_TRUE(run(kCreateTransfers, payload<Transfer>({{close, open}})).ok());
  ASSERT_NO_FATAL_FAILURE(boot());
  const auto at = [&](uint32_t i) { return std::to_string(machine_->ledger().transfers().body(i).timestamp); };
  const auto made = [&](uint32_t i) { return std::to_string(machine_->ledger().accounts()[i].timestamp); };
  const std::vector<Record>& transfers = rendered_[kTransfersView.number];
  ASSERT_EQ(transfers.size(), 2U);
  EXPECT_EQ(transfers[0].value,
            R"({"id":"10","debit_account_id":"1","credit_account_id":"2","amount":"5","pending_id":"0",)"
            R"("user_data_128":"0","user_data_64":"0","user_data_32":9,"timeout":0,"ledger":7,"code":8,)"
            R"("flags":["pending","closing_credit"],"timestamp":")" +
                at(0) + R"("})");
  EXPECT_EQ(transfers[1].value,
            R"({"id":"11","debit_account_id":"1","credit_account_id":"2","amount":"5","pending_id":"10",)"
            R"("user_data_128":"0","user_data_64":"0","user_data_32":9,"timeout":0,"ledger":7,"code":8,)"
            R"("flags":["void_pending_transfer"],"timestamp":")" +
                at(1) + R"("})");
  const std::vector<Record>& accounts = rendered_[kAccountsView.number];
  ASSERT_EQ(accounts.size(), 4U);
  EXPECT_EQ(accounts[0].value,
            R"({"event":"created","id":"1","user_data_128":"340282366920938463463374607431768211455",)"
            R"("user_data_64":"18446744073709551615","user_data_32":0,"ledger":7,"code":3,"flags":["history"],)"
            R"("timestamp":")" +
                made(0) + R"("})");
  EXPECT_EQ(accounts[2].value, R"({"event":"closed","id":"2","transfer_id":"10","timestamp":")" + at(0) + R"("})");
  EXPECT_EQ(accounts[3].value, R"({"event":"reopened","id":"2","transfer_id":"11","timestamp":")" + at(1) + R"("})");
}

// `names` of one record: `id text`, in their order.
std::vector<std::string> members(const std::string& object) {
  static const std::regex kMember(R"re("([a-z_0-9]+)":(.))re");
  std::vector<std::string> found;
  for (std::sregex_iterator at(object.begin(), object.end(), kMember), end; at != end; ++at)
    found.push_back((*at)[1].str() + ((*at)[2] == "\"" ? " text" : (*at)[2] == "[" ? " array" : " number"));
  return found;
}

// The rows of the README's table whose last column has `word`.
std::vector<std::string> documented(const std::string& stream, const std::string& word) {
  static const std::regex kRow(R"re(\| `([a-z_0-9]+)` \| ([a-z]+) \|(.*)\|)re");
  std::ifstream readme("modules/fintech/README.md");
  std::vector<std::string> rows;
  bool inside = false;
  for (std::string line; std::getline(readme, line);) {
    inside = line.starts_with("| Of `" + stream + "`") || (inside && line.starts_with("|"));
    std::smatch row;
    if (inside && std::regex_match(line, row, kRow) && row[3].str().find(word) != std::string::npos)
      rows.push_back(row[1].str() + " " + row[2].str());
  }
  return rows;
}

TEST_F(LedgerViews, TheReadmeSaysTheirFields) {
  Account account{};
  account.ledger = account.code = 1;
  std::vector<Account> accounts(2, account);
  accounts[0].id = 1;
  accounts[1].id = 2;
  ASSERT_TRUE(run(kCreateAccounts, payload<Account>({accounts})).ok());
  Transfer close{};
  close.id = 10;
  close.debit_account_id = 1;
  close.credit_account_id = 2;
  close.ledger = close.code = 1;
  close.flags = transfer_flags::kPending | transfer_flags::kClosingCredit;
  Transfer open{};
  open.id = 11;
  open.pending_id = 10;
  open.flags = transfer_flags::kVoid;
  ASSERT_TRUE(run(kCreateTransfers, payload<Transfer>({{close, open}})).ok());
  ASSERT_NO_FATAL_FAILURE(boot());
  for (const Record& record : rendered_[kTransfersView.number])
    EXPECT_EQ(members(record.value), documented("fintech.transfers", ""));
  const std::vector<Record>& told = rendered_[kAccountsView.number];
  ASSERT_EQ(told.size(), 4U);
  std::vector<std::string> created = documented("fintech.accounts", "created");
  ASSERT_FALSE(created.empty());
  EXPECT_EQ(created.back(), "owner number");
  created.pop_back();  // nobody's, here
  EXPECT_EQ(members(told[0].value), created);
  EXPECT_EQ(members(told[2].value), documented("fintech.accounts", "closed"));
  EXPECT_EQ(members(told[3].value), documented("fintech.accounts", "reopened"));
}

// What another machine makes stands whole in its note: at most this for each.
TEST_F(LedgerViews, WhatMachinesMakeTakesLittleRoomInTheLog) {
  Transfer widest{};
  widest.id = widest.debit_account_id = widest.credit_account_id = widest.pending_id = kUint128Max;
  widest.amount = widest.user_data_128 = kUint128Max;
  widest.user_data_64 = UINT64_MAX;
  widest.user_data_32 = widest.timeout = widest.ledger = UINT32_MAX;
  widest.code = UINT16_MAX;
  widest.flags = transfer_flags::kLinked | transfer_flags::kPending | transfer_flags::kClosingDebit |
                 transfer_flags::kClosingCredit;
  ViewNote note;
  note.begin_port(NoteForm::port_transfers);
  constexpr uint64_t kEvents = 100;
  for (uint64_t i = 0; i < kEvents; ++i) note.add_port(widest, {UINT64_MAX, 0, 0}, machine_->ledger());
  EXPECT_LE(note.finish().size() / kEvents, 176U);
}

// The bar: 176 bytes of log for each transfer, also where one half resolves the other and takes everything from it.
TEST_F(LedgerViews, TakeLittleRoomInTheLog) {
  const auto entry_bytes = [this] {
    uint64_t bytes = 0;
    (void)log_.recover({}, [&](const log::BatchView& batch, const log::BatchPlace&) -> Result<void> {
      bytes += batch.header().body_bytes;
      return {};
    });
    return bytes;
  };
  Account account{};
  account.ledger = account.code = 1;
  std::vector<Account> accounts(2, account);
  accounts[0].id = kUint128Max - 1;
  accounts[1].id = kUint128Max - 2;
  ASSERT_TRUE(run(kCreateAccounts, payload<Account>({accounts})).ok());
  ASSERT_NO_FATAL_FAILURE(boot());
  const uint64_t before = entry_bytes();
  std::vector<Transfer> pendings(8189);
  std::vector<Transfer> posts(8189);
  for (uint64_t i = 0; i < 8189; ++i) {
    Transfer& pending = pendings[i] = Transfer{};
    pending.id = kUint128Max - 10 - i;
    pending.debit_account_id = accounts[0].id;
    pending.credit_account_id = accounts[1].id;
    pending.amount = uint64_t{1} << 60;
    pending.user_data_128 = kUint128Max - i;
    pending.user_data_64 = UINT64_MAX;
    pending.user_data_32 = UINT32_MAX;
    pending.ledger = 1;
    pending.code = 60'000;
    pending.flags = transfer_flags::kPending;
    Transfer& post = posts[i] = Transfer{};
    post.id = kUint128Max - 10'000 - i;
    post.pending_id = pending.id;
    post.amount = kUint128Max;
    post.flags = transfer_flags::kPost;
  }
  ASSERT_TRUE(run(kCreateTransfers, payload<Transfer>({pendings})).ok());
  ASSERT_NO_FATAL_FAILURE(boot());
  const uint64_t between = entry_bytes();
  EXPECT_LE((between - before) / pendings.size(), 129U);
  // As the operation of a transaction, in decimals, which says of each what it became.
  const auto chain_of = [](std::vector<Transfer> rows, Uint128 ids, uint8_t decimals) {
    std::vector<ScaledTransfer> chain;
    for (Transfer& row : rows) {
      row.id -= ids;
      if (row.pending_id != 0) row.pending_id -= ids;
      chain.push_back({row, decimals});
    }
    return encode(chain);
  };
  constexpr Uint128 kOthers = 1'000'000;
  ASSERT_TRUE(run(kPutAsset, encode(Asset{1, 2, "USD"})).ok());
  ASSERT_NO_FATAL_FAILURE(boot());
  const uint64_t chains = entry_bytes();
  ASSERT_TRUE(run(kTransferAll, chain_of(pendings, kOthers, 0)).ok());
  ASSERT_TRUE(run(kTransferAll, chain_of(posts, kOthers, ScaledTransfer::kRaw)).ok());
  ASSERT_NO_FATAL_FAILURE(boot());
  const uint64_t behind = entry_bytes();
  EXPECT_LE((behind - chains) / (2 * pendings.size()), 176U);
  ASSERT_TRUE(run(kCreateTransfers, payload<Transfer>({posts})).ok());
  ASSERT_NO_FATAL_FAILURE(boot());
  EXPECT_EQ(machine_->ledger().transfers().size(), 4 * pendings.size());
  EXPECT_LE((between - before + entry_bytes() - behind) / (2 * pendings.size()), 176U);
  EXPECT_LE((entry_bytes() - behind) / posts.size(), 218U) << "posts alone";
  ASSERT_NO_FATAL_FAILURE(expect_transfers());
}

// Somebody's stream of that name stays theirs, and the ledger goes on without the view.
TEST_F(LedgerViews, AStreamWithRecordsIsNotTaken) {
  run(streams::kCreateStream, streams::encode(streams::CreateStream{kAccountsStream, 1, {}}), machine_ids::kStreams);
  const streams::EventRecord record{false, {}, as_bytes("theirs")};
  run(streams::kAppendEvents, streams::encode(streams::AppendEvents{kAccountsStream, -1, {record}, 0}),
      machine_ids::kStreams);
  Account account{};
  account.id = 1;
  account.ledger = account.code = 1;
  ASSERT_TRUE(run(kCreateAccounts, payload<Account>({{account}})).ok());
  EXPECT_EQ(machine_->ledger().accounts().size(), 1U);
  EXPECT_EQ(streams_->durable_end(*streams_->find_partition(kAccountsStream, 0)), 1);
  ASSERT_NO_FATAL_FAILURE(boot());
}

// A transaction whose records are more than one command may make is refused, and nothing of it stays.
TEST_F(LedgerViews, ATransactionOfTooManyRecordsIsRefusedWhole) {
  constexpr uint64_t kEvents = 8189;
  for (uint64_t part = 0; part < 6; ++part) {
    std::vector<Account> accounts(kEvents, Account{});
    for (uint64_t i = 0; i < kEvents; ++i) {
      accounts[i].id = 1 + part * kEvents + i;
      accounts[i].ledger = accounts[i].code = 1;
    }
    ASSERT_TRUE(run(kCreateAccounts, payload<Account>({accounts})).ok());
  }
  // Each makes three records: the transfer and the two accounts that it closes.
  std::vector<Buffer> parts;
  for (uint64_t part = 0; part < 3; ++part) {
    std::vector<Transfer> closing(kEvents, Transfer{});
    for (uint64_t i = 0; i < kEvents; ++i) {
      closing[i].id = 1 + part * kEvents + i;
      closing[i].debit_account_id = 2 * closing[i].id - 1;
      closing[i].credit_account_id = 2 * closing[i].id;
      closing[i].ledger = closing[i].code = 1;
      closing[i].flags = transfer_flags::kPending | transfer_flags::kClosingDebit | transfer_flags::kClosingCredit;
    }
    parts.push_back(payload<Transfer>({closing}));
  }
  std::vector<heptane::Operation> operations;
  for (const Buffer& part : parts)
    operations.push_back({kLedgerMachineId, kCreateTransfers, kNoPartition, part.view()});
  const Hash128 before = shard_->state_hash();
  const Reply refused = run(kTransact, encode_transact(operations), machine_ids::kKernel);
  EXPECT_NE(refused.message.find("65,536 records"), std::string::npos) << refused.message;
  EXPECT_EQ(shard_->state_hash(), before);
  operations.pop_back();
  ASSERT_TRUE(run(kTransact, encode_transact(operations), machine_ids::kKernel).ok());
  ASSERT_NO_FATAL_FAILURE(boot());
  EXPECT_EQ(rendered_[kTransfersView.number].size(), 2 * kEvents);
  ASSERT_NO_FATAL_FAILURE(expect_accounts());
}

}  // namespace
}  // namespace heptane::fintech::test
