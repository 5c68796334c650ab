// A shard with the ledger, the users and two toys that own accounts; its log, rendered and replayed at every start; HTTP and
// TigerBeetle sessions in front of it, with users of different rights. Test support.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "kernel/admin/admin.h"
#include "kernel/auth/auth_machine.h"
#include "kernel/auth/gate.h"
#include "kernel/base/base64.h"
#include "kernel/log/memory_log.h"
#include "kernel/net/http/fake_context.h"
#include "kernel/shard/shard.h"
#include "kernel/shard/transact.h"
#include "kernel/streams/streams_machine.h"
#include "kernel/streams/view_batches.h"
#include "modules/fintech/domain/ledger/status_names.h"
#include "modules/fintech/gateway/http/ledger_operations.h"
#include "modules/fintech/gateway/http/ledger_routes.h"
#include "modules/fintech/gateway/tigerbeetle/tigerbeetle.h"
#include "modules/fintech/test/owner_toy.h"
#include "modules/fintech/test/tigerbeetle_world.h"
#include "sim/sim_clock.h"

namespace heptane::fintech::test {

constexpr std::string_view kPassword = "correct horse";

class AccessWorld : public testing::Test {
 protected:
  AccessWorld() : log_(random_), gate_({true, false, 4096}, clock_, random_) {
    add_user("teller", 16, {{"ledger", "accounts", auth::kAllVerbs}, {"ledger", "transfers", auth::kAllVerbs}});
    // Reading everything is no right to withdraw.
    grant("teller", {"ledger", "*", static_cast<auth::Verbs>(auth::Verb::read)});
    add_user("cashier", 17,
             {{"ledger", "accounts", auth::kAllVerbs},
              {"ledger", "transfers", auth::kAllVerbs},
              {"ledger", "withdraw", static_cast<auth::Verbs>(auth::Verb::create)}});
    gate_.store().start(std::make_shared<const auth::Directory>(directory_), [] { return Sequence{0}; });
    boot();
  }

  // Replays the log into new machines; renders its views and reads its audit trail on the way.
  void boot() {
    committer_ = std::make_unique<Committer>(log_, [](const Error&) {});
    link_ = std::make_unique<ShardLink>(1 << 10);
    shard_ = std::make_unique<Shard>(ShardOptions{}, clock_, *committer_);
    streams_ = std::make_unique<streams::StreamsMachine>();
    auth_ = std::make_unique<auth::AuthMachine>();
    machine_ = std::make_unique<LedgerMachine>();
    shop_ = std::make_unique<OwnerToy>(kShopId);
    rival_ = std::make_unique<OwnerToy>(kRivalId);
    for (StateMachine* machine :
         std::initializer_list<StateMachine*>{streams_.get(), auth_.get(), machine_.get(), shop_.get(), rival_.get()})
      shard_->add_machine(*machine);
    shard_->set_streams(*streams_);
    shard_->attach(*link_);
    renderers_ = ViewRenderers();
    renderers_.add(*machine_);
    rendered_.clear();
    audit_.clear();
    recovery_ = log_.recover({}, [this](const log::BatchView& batch, const log::BatchPlace& place) -> Result<void> {
      HEPTANE_TRY(batch.for_each_entry([this](const log::EntryView& entry, Sequence) { return look_at(entry); }));
      return shard_->replay(batch, place);
    });
    ASSERT_TRUE(recovery_) << recovery_.error().message;
    shard_->start(recovery_->end);
  }
  // What the log says is what the state was.
  void crash_and_recover() {
    settle();
    const Hash128 before = shard_->state_hash();
    log_.drop();
    boot();
    ASSERT_EQ(shard_->state_hash(), before);
  }
  void settle() {
    for (bool more = true; more;) {
      more = shard_->run_once();
      more = committer_->run_once() || more || !link_->requests.empty();
    }
    shard_->run_once();
  }
  Reply submit(Submission submission) {
    EXPECT_TRUE(link_->requests.try_push(ShardRequest{1, ++request_, std::move(submission)}));
    settle();
    ShardReply* front = link_->gated.front();
    HEPTANE_ASSERT(front != nullptr, "no reply");
    Reply reply = std::move(std::get<Reply>(front->body));
    link_->gated.pop();
    return reply;
  }

  // A toy's command; a result for each row.
  template <class Row>
  Reply ask(MachineId machine, CommandType type, const std::vector<Row>& rows) {
    const Bytes payload{reinterpret_cast<const std::byte*>(rows.data()), rows.size() * sizeof(Row)};
    return submit(streams::make_command(machine, type, Buffer::copy_of(payload)));
  }
  template <class Row>
  std::vector<std::string> toy(MachineId machine, CommandType type, const std::vector<Row>& rows) {
    return names<Row>(ask(machine, type, rows).payload.view());
  }
  // Somebody outside, as gateways write it.
  template <class Row>
  std::vector<std::string> outside(const std::vector<Row>& rows, uint8_t rights) {
    std::vector<std::byte> payload(Caller::kBytes);
    Caller caller;
    caller.rights = rights;
    caller.write(payload.data());
    const std::vector<std::byte> body = body_of<Row>({rows});
    payload.insert(payload.end(), body.begin(), body.end());
    constexpr bool kAccounts = std::is_same_v<Row, Account>;
    const Reply reply = submit(streams::make_command(
        kLedgerMachineId, kAccounts ? CommandType{kCreateAccounts} : CommandType{kCreateTransfers},
        Buffer::take(std::move(payload))));
    const auto batches = MultiBatch::parse(reply.payload.view(), sizeof(CreateResult));
    EXPECT_TRUE(batches.has_value()) << reply.message;
    return batches ? names<Row>(reply.payload.view().first(batches->elements() * sizeof(CreateResult)))
                   : std::vector<std::string>{};
  }
  template <class Row>
  static std::vector<std::string> names(Bytes results) {
    std::vector<std::string> found;
    for (; results.size() >= sizeof(CreateResult); results = results.subspan(sizeof(CreateResult))) {
      CreateResult result;
      std::memcpy(&result, results.data(), sizeof result);
      if constexpr (std::is_same_v<Row, Account>)
        found.emplace_back(status_name(static_cast<AccountStatus>(result.status)));
      else
        found.emplace_back(status_name(static_cast<TransferStatus>(result.status)));
    }
    return found;
  }

  // Over HTTP.
  std::string post(std::string_view user, const std::string& path, const std::string& body) {
    admin::AdminOptions options;
    auto operations = std::make_shared<admin::OperationTable>();
    ledger_http::add_operations(*operations);
    options.operations = operations;
    options.gate = &gate_;
    options.add_routes = ledger_http::add_routes;
    admin::AdminProtocol protocol(options);
    const std::unique_ptr<net::Session> session = protocol.open({});
    http::test::FakeContext context(*session);
    answer_from_the_shard(context);
    context.send("POST /api/v1/" + path + " HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n" +
                 "Authorization: Basic " + base64_encoded(std::string(user) + ":" + std::string(kPassword)) +
                 "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body);
    return context.output;
  }
  void answer_from_the_shard(http::test::FakeContext& context) {
    context.on_submit = [this](const Submission& submission) {
      Submission copy = streams::make_command(submission.machine, submission.type, submission.payload);
      copy.idempotency = submission.idempotency;
      return submit(std::move(copy));
    };
    context.on_query = [this](const QueryRequest& asked) {
      Reply reply;
      machine_->query({asked.type, asked.payload.view(), {}}, reply);
      return reply;
    };
  }
  // What gateways have noted for the audit trail.
  std::vector<std::string> noted() {
    clock_.advance(2'000'000'000);
    std::vector<std::string> found;
    const std::optional<Buffer> payload = gate_.incidents().take(clock_.monotonic_ns());
    if (!payload) return found;
    const Result<auth::Report> report = auth::decode_report(payload->view());
    EXPECT_TRUE(report.ok());
    for (const auth::ReportRow& row : report->rows) found.push_back(row.who + ' ' + row.what);
    return found;
  }

  // Of the log, as of the last start.
  const std::vector<std::string>& rendered(ViewId view) { return rendered_[view.number]; }
  const std::vector<std::string>& audit() const { return audit_; }
  const Ledger& ledger() const { return machine_->ledger(); }
  uint64_t posted(Uint128 account) const {
    const Account* found = ledger().find_account(account);
    return found == nullptr ? 0 : static_cast<uint64_t>(found->credits_posted - found->debits_posted);
  }

  SeededRandom random_{5};
  sim::SimClock clock_;
  log::MemoryLog log_;
  auth::Gate gate_;
  auth::Directory directory_;
  RequestId request_ = 0;
  std::unique_ptr<Committer> committer_;
  std::unique_ptr<ShardLink> link_;
  std::unique_ptr<Shard> shard_;
  std::unique_ptr<streams::StreamsMachine> streams_;
  std::unique_ptr<auth::AuthMachine> auth_;
  std::unique_ptr<LedgerMachine> machine_;
  std::unique_ptr<OwnerToy> shop_;
  std::unique_ptr<OwnerToy> rival_;
  ViewRenderers renderers_;
  std::map<uint16_t, std::vector<std::string>> rendered_;
  std::vector<std::string> audit_;
  Result<log::RecoveryReport> recovery_ = log::RecoveryReport{};

 private:
  void add_user(const std::string& name, uint32_t id, const auth::Role& role) {
    directory_.users[name] =
        std::make_shared<const auth::User>(auth::User{id, 1, false, gate_.make_verifiers(kPassword), {name}});
    directory_.roles[name] = std::make_shared<const auth::Role>(role);
  }
  void grant(const std::string& role, auth::Permission permission) {
    auth::Role more = *directory_.roles[role];
    more.push_back(std::move(permission));
    directory_.roles[role] = std::make_shared<const auth::Role>(std::move(more));
  }

  Result<void> look_at(const log::EntryView& entry) {
    // The audit trail is the only stream with events here.
    if (entry.header.kind == log::EntryKind::records)
      return streams::for_each_record(
          entry.payload, [this](const streams::RecordView& record) { audit_.emplace_back(as_text(record.value)); });
    const auto views = log::views_of(entry.extensions);
    if (!views) return views.error();
    if (!*views) return {};
    for (const log::ViewRun& run : (*views)->runs) {
      streams::ViewBatches batches(renderers_, {});
      const Result<bool> all = batches.add(entry, **views, run, run.first);
      if (!all) return all.error();
      for (const Buffer& batch : batches.take())
        HEPTANE_TRY(streams::for_each_record(batch.view(), [&](const streams::RecordView& record) {
          rendered_[run.view].emplace_back(as_text(record.value));
        }));
    }
    return {};
  }
};

}  // namespace heptane::fintech::test
