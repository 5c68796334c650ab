// The machine over a real shard on a log in memory, beside a naive model; what the I/O threads see of it and when.
#include "kernel/auth/auth_machine.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "kernel/base/crc32c.h"
#include "kernel/log/memory_log.h"
#include "kernel/shard/shard.h"
#include "kernel/shard/transact.h"
#include "kernel/streams/record_batch.h"
#include "kernel/streams/streams_machine.h"
#include "sim/sim_clock.h"

namespace heptane::auth {
namespace {

constexpr LogTime kSecondNs = 1'000'000'000;

class StringWriter final : public SnapshotWriter {
 public:
  void write(Bytes bytes) override { text += as_text(bytes); }
  std::string text;
};
class StringReader final : public SnapshotReader {
 public:
  explicit StringReader(std::string_view text) : reader_(as_bytes(text)) {}
  bool read(MutableBytes into) override {
    const Bytes bytes = reader_.take(into.size());
    if (reader_.failed()) return false;
    std::copy(bytes.begin(), bytes.end(), into.begin());
    return true;
  }

 private:
  ByteReader reader_;
};

std::string saved(const AuthMachine& machine) {
  StringWriter writer;
  machine.save(writer);
  return writer.text;
}

Verifiers verifiers(char fill) {
  Verifiers made;
  for (size_t i = 0; i < 2; ++i)
    made[i] = {"salt", 4096, std::string(i == 0 ? 32 : 64, fill), std::string(i == 0 ? 32 : 64, fill)};
  return made;
}

std::string hash_of(uint32_t number) {
  std::string hash(kTokenHashBytes, 'h');
  std::memcpy(hash.data(), &number, sizeof number);
  return hash;
}

class Bench {
 public:
  Bench() { boot(); }

  void crash_and_recover() {
    log_.drop();
    boot();
  }

  Reply run(Submission submission) {
    submit(std::move(submission));
    settle();
    std::optional<Reply> answer = reply();
    HEPTANE_ASSERT(answer.has_value(), "no reply");
    return *answer;
  }
  Reply run(AuthCommand type, Buffer payload, Principal principal = {}) {
    Submission submission = streams::make_command(machine_ids::kAuth, type, std::move(payload));
    submission.principal = principal;
    return run(std::move(submission));
  }
  void submit(Submission submission) {
    submission.payload_crc = crc32c(submission.payload.view());
    const bool pushed = link_->requests.try_push(ShardRequest{1, 7, std::move(submission)});
    HEPTANE_ASSERT(pushed, "the ring is full");
  }
  void settle() {
    for (bool more = true; more && !log_.append_in_flight();) {
      more = shard_->run_once();
      more = committer_->run_once() || more;
      more = !link_->requests.empty() || more;
    }
    shard_->run_once();
  }
  std::optional<Reply> reply() {
    ShardReply* front = link_->gated.front();
    if (front == nullptr || front->gate > link_->watermark.load()) return std::nullopt;
    Reply taken = std::get<Reply>(std::move(front->body));
    link_->gated.pop();
    return taken;
  }
  void pass(LogTime ns) {
    clock_.advance(ns);
    settle();
  }
  // The values of the audit trail.
  std::vector<std::string> audit() {
    std::vector<std::string> values;
    const PartitionId partition = streams_->find_partition(kAuditStream, 0).value_or(kNoPartition);
    const Result<void> read =
        log_.read(1, shard_->last_applied(), [&](const log::BatchView& batch, const log::BatchPlace&) {
          return batch.for_each_entry([&](const log::EntryView& entry, Sequence) -> Result<void> {
            if (entry.header.kind == log::EntryKind::records && entry.header.partition == partition)
              streams_->for_each_packed(entry.payload,
                                        [&](Offset, Bytes value) { values.emplace_back(as_text(value)); });
            return {};
          });
        });
    HEPTANE_ASSERT(read.ok(), "the log does not read");
    return values;
  }

  AuthMachine& machine() { return *machine_; }
  AuthStore& store() { return *store_; }
  log::MemoryLog& log() { return log_; }
  Shard& shard() { return *shard_; }

 private:
  void boot() {
    committer_ = std::make_unique<Committer>(log_, [](const Error&) { HEPTANE_ASSERT(false, "the log failed"); });
    link_ = std::make_unique<ShardLink>(1 << 10);
    shard_ = std::make_unique<Shard>(ShardOptions{}, clock_, *committer_);
    streams_ = std::make_unique<streams::StreamsMachine>();
    machine_ = std::make_unique<AuthMachine>();
    store_ = std::make_unique<AuthStore>();
    shard_->add_machine(*streams_);
    shard_->add_machine(*machine_);
    shard_->set_streams(*streams_);
    shard_->set_principals(*machine_);
    shard_->attach(*link_);
    const Result<log::RecoveryReport> report = log_.recover(
        {}, [this](const log::BatchView& batch, const log::BatchPlace& place) { return shard_->replay(batch, place); });
    HEPTANE_ASSERT(report.ok(), "replay computed something else");
    store_->start(std::make_shared<const Directory>(machine_->directory()), [this] { return committer_->watermark(); });
    machine_->publish_to(*store_);
    shard_->start(report->end);
    settle();
  }

  SeededRandom random_{1};
  sim::SimClock clock_;
  log::MemoryLog log_{random_};
  std::unique_ptr<Committer> committer_;
  std::unique_ptr<ShardLink> link_;
  std::unique_ptr<Shard> shard_;
  std::unique_ptr<streams::StreamsMachine> streams_;
  std::unique_ptr<AuthMachine> machine_;
  std::unique_ptr<AuthStore> store_;
};

Reply create(Bench& bench, std::string_view name, std::vector<std::string_view> roles = {}) {
  return bench.run(kCreateUser, encode(CreateUser{name, false, verifiers('v'), std::move(roles)}));
}

TEST(AuthMachine, UsersRolesAndWhatTheyMayDo) {
  Bench bench;
  ASSERT_TRUE(create(bench, "alice").ok());
  EXPECT_EQ(create(bench, "alice").error, Errc::exists);
  EXPECT_EQ(create(bench, "no spaces").error, Errc::invalid_argument);
  EXPECT_EQ(create(bench, "token").error, Errc::invalid_argument);
  EXPECT_EQ(create(bench, "bob", {"nobody"}).error, Errc::not_found);
  const CreateRole orders{"orders", {{"streams", "orders-*", 3}, {"groups", "g", 1}}};
  ASSERT_TRUE(bench.run(kCreateRole, encode(orders)).ok());
  EXPECT_EQ(bench.run(kCreateRole, encode(CreateRole{"x", {{"streams", "a*b", 1}}})).error, Errc::invalid_argument);
  EXPECT_EQ(bench.run(kCreateRole, encode(CreateRole{"x", {{"planets", "a", 1}}})).error, Errc::invalid_argument);
  EXPECT_EQ(bench.run(kCreateRole, encode(CreateRole{"reader", {{"streams", "a", 1}}})).error, Errc::exists);
  ASSERT_TRUE(bench.run(kGrant, encode(Grant{"alice", "orders"})).ok());
  EXPECT_EQ(bench.run(kDeleteRole, encode(Named{"orders"})).error, Errc::refused);

  const AuthStore::View view = bench.store().view();
  const User& alice = *view->user("alice");
  EXPECT_TRUE(view->allows(alice, "streams", "orders-eu", Verb::read));
  EXPECT_TRUE(view->allows(alice, "streams", "orders-eu", Verb::write));
  EXPECT_FALSE(view->allows(alice, "streams", "orders-eu", Verb::remove));
  EXPECT_FALSE(view->allows(alice, "streams", "orders", Verb::read));
  EXPECT_TRUE(view->sees(alice, "groups", "g"));
  EXPECT_FALSE(view->sees(alice, "groups", "gg"));
  ASSERT_TRUE(bench.run(kRevoke, encode(Grant{"alice", "orders"})).ok());
  EXPECT_FALSE(bench.store().view()->sees(*bench.store().view()->user("alice"), "groups", "g"));
  EXPECT_TRUE(bench.run(kDeleteRole, encode(Named{"orders"})).ok());
}

// Readers of every stream do not read the audit trail, and not even administrators write it.
TEST(AuthMachine, TheAuditTrailIsItsOwn) {
  Bench bench;
  create(bench, "root", {"admin"});
  create(bench, "eve", {"writer"});
  const AuthStore::View view = bench.store().view();
  EXPECT_TRUE(view->allows(*view->user("root"), "streams", "audit", Verb::read));
  EXPECT_FALSE(view->allows(*view->user("root"), "streams", "audit", Verb::write));
  EXPECT_FALSE(view->allows(*view->user("root"), "streams", "audit", Verb::remove));
  EXPECT_FALSE(view->sees(*view->user("eve"), "streams", "audit"));
  const std::vector<std::string> trail = bench.audit();
  ASSERT_EQ(trail.size(), 2u);
  EXPECT_TRUE(trail[1].starts_with(
      R"({"action":"user.create","by":"local","on":"eve","detail":"roles writer","outcome":"done","time_ms":)"))
      << trail[1];
  EXPECT_EQ(trail[1].find("vvvv"), std::string::npos);
}

TEST(AuthMachine, TheLastAdministratorStays) {
  Bench bench;
  create(bench, "root", {"admin"});
  EXPECT_EQ(bench.run(kDeleteUser, encode(Named{"root"})).error, Errc::refused);
  EXPECT_EQ(bench.run(kRevoke, encode(Grant{"root", "admin"})).error, Errc::refused);
  create(bench, "second", {"admin"});
  EXPECT_TRUE(bench.run(kDeleteUser, encode(Named{"root"})).ok());
}

// Invariant 1: what is applied and not synced proves nothing, and a revocation is in force when it is acknowledged.
TEST(AuthStore, SeesWhatIsSyncedAndNothingElse) {
  Bench bench;
  bench.log().hold();
  bench.submit(
      streams::make_command(machine_ids::kAuth, kCreateUser, encode(CreateUser{"alice", false, verifiers('v'), {}})));
  bench.settle();
  EXPECT_NE(bench.machine().directory().user("alice"), nullptr);
  EXPECT_EQ(bench.store().view()->user("alice"), nullptr);
  EXPECT_FALSE(bench.reply().has_value());
  bench.log().release();
  bench.settle();
  EXPECT_NE(bench.store().view()->user("alice"), nullptr);
  EXPECT_TRUE(bench.reply().has_value());
}

TEST(AuthStore, ARolledBackChangeIsNeverSeen) {
  Bench bench;
  create(bench, "alice");
  const Buffer more = encode(CreateUser{"bob", false, verifiers('b'), {}});
  const Buffer gone = encode(Named{"nobody"});
  const std::vector<Operation> operations{{machine_ids::kAuth, kCreateUser, kNoPartition, more.view()},
                                          {machine_ids::kAuth, kDeleteUser, kNoPartition, gone.view()}};
  const std::string before = saved(bench.machine());
  const Reply reply = bench.run(streams::make_command(machine_ids::kKernel, kTransact, encode_transact(operations)));
  EXPECT_EQ(reply.error, Errc::not_found);
  EXPECT_EQ(saved(bench.machine()), before);
  create(bench, "carol");
  EXPECT_EQ(bench.store().view()->user("bob"), nullptr);
  EXPECT_NE(bench.store().view()->user("carol"), nullptr);
}

// Whatever was on its way: a changed principal's command is refused by the shard itself.
TEST(AuthMachine, AStalePrincipalIsRefused) {
  Bench bench;
  const Reply made = create(bench, "alice");
  const Principal alice{static_cast<uint32_t>(made.numbers[0]), static_cast<uint32_t>(made.numbers[1])};
  EXPECT_TRUE(bench.run(kCreateRole, encode(CreateRole{"r1", {{"streams", "a", 1}}}), alice).ok());
  ASSERT_TRUE(bench.run(kSetPassword, encode(SetPassword{"alice", verifiers('w')})).ok());
  EXPECT_EQ(bench.run(kCreateRole, encode(CreateRole{"r2", {{"streams", "a", 1}}}), alice).error, Errc::unauthorised);
  const Principal now{alice.id, alice.version + 1};
  EXPECT_TRUE(bench.run(kCreateRole, encode(CreateRole{"r2", {{"streams", "a", 1}}}), now).ok());
  ASSERT_TRUE(bench.run(kDeleteUser, encode(Named{"alice"})).ok());
  EXPECT_EQ(bench.run(kDeleteRole, encode(Named{"r2"}), now).error, Errc::unauthorised);
  bench.crash_and_recover();
  EXPECT_NE(bench.machine().directory().role("r2"), nullptr);
}

TEST(AuthMachine, TokensExpireByLogTime) {
  Bench bench;
  create(bench, "alice");
  ASSERT_TRUE(bench.run(kIssueToken, encode(IssueToken{hash_of(1), "alice", "short", 10 * kSecondNs})).ok());
  ASSERT_TRUE(bench.run(kIssueToken, encode(IssueToken{hash_of(2), "alice", "long", 0})).ok());
  EXPECT_EQ(bench.run(kIssueToken, encode(IssueToken{hash_of(2), "alice", "again", 0})).error, Errc::exists);
  bench.pass(9 * kSecondNs);
  EXPECT_NE(bench.store().view()->token(hash_of(1)), nullptr);
  bench.crash_and_recover();
  bench.pass(2 * kSecondNs);
  EXPECT_EQ(bench.store().view()->token(hash_of(1)), nullptr);
  EXPECT_NE(bench.store().view()->token(hash_of(2)), nullptr);
  EXPECT_NE(bench.audit().back().find(R"("action":"token.expire")"), std::string::npos);
  ASSERT_TRUE(bench.run(kRevokeToken, encode(Named{token_id(hash_of(2))})).ok());
  EXPECT_EQ(bench.run(kRevokeToken, encode(Named{token_id(hash_of(2))})).error, Errc::not_found);
  ASSERT_TRUE(bench.run(kIssueToken, encode(IssueToken{hash_of(3), "alice", "third", 10 * kSecondNs})).ok());
  ASSERT_TRUE(bench.run(kDeleteUser, encode(Named{"alice"})).ok());
  EXPECT_TRUE(bench.machine().directory().tokens.empty()) << "tokens go with their owner, and their timers";
  EXPECT_TRUE(bench.shard().kernel().timers.empty());
}

TEST(AuthMachine, TheOneTimeTokenEndsWithTheFirstCredentialOfAnAdministrator) {
  Bench bench;
  const std::string key(kTokenHashBytes, 'k');
  ASSERT_TRUE(bench.run(kBootstrap, encode(Bootstrap{"admin", hash_of(1), key, 3600 * kSecondNs})).ok());
  EXPECT_FALSE(bench.machine().directory().has_usable_admin(false));
  EXPECT_TRUE(bench.machine().directory().has_usable_admin(true));
  create(bench, "alice", {"writer"});
  EXPECT_NE(bench.store().view()->token(hash_of(1)), nullptr) << "alice is no administrator";
  ASSERT_TRUE(bench.run(kSetPassword, encode(SetPassword{"admin", verifiers('p')})).ok());
  EXPECT_EQ(bench.store().view()->token(hash_of(1)), nullptr);
  EXPECT_EQ(bench.run(kBootstrap, encode(Bootstrap{"admin", hash_of(2), key, kSecondNs})).error, Errc::exists);
}

TEST(AuthMachine, AnUnusedOneTimeTokenIsReplaced) {
  Bench bench;
  const std::string key(kTokenHashBytes, 'k');
  ASSERT_TRUE(bench.run(kBootstrap, encode(Bootstrap{"admin", hash_of(1), key, 10 * kSecondNs})).ok());
  bench.pass(20 * kSecondNs);
  EXPECT_FALSE(bench.machine().directory().has_usable_admin(true));
  ASSERT_TRUE(bench.run(kBootstrap, encode(Bootstrap{"admin", hash_of(2), key, 10 * kSecondNs})).ok());
  EXPECT_EQ(bench.machine().directory().tokens.size(), 1u);
}

TEST(AuthMachine, ReportsAreTheKernelsOwn) {
  Bench bench;
  const Reply made = create(bench, "alice");
  Report report;
  report.rows.push_back({Incident::denied, "al\"ice", "127.0.0.1", "streams:orders write", 3});
  report.others = 7;
  const Principal alice{static_cast<uint32_t>(made.numbers[0]), 1};
  EXPECT_EQ(bench.run(kReport, encode(report), alice).error, Errc::unauthorised);
  ASSERT_TRUE(bench.run(kReport, encode(report)).ok());
  const std::vector<std::string> trail = bench.audit();
  ASSERT_EQ(trail.size(), 3u);
  EXPECT_TRUE(trail[1].starts_with(
      R"({"action":"request","by":"al\"ice","from":"127.0.0.1","on":"streams:orders write","outcome":"denied","count":3)"));
  EXPECT_TRUE(trail[2].starts_with(R"({"action":"others","outcome":"denied","count":7)"));
}

TEST(AuthMachine, ANoteIsTheDoersAndNeverATransactions) {
  Bench bench;
  const Reply made = create(bench, "alice", {"admin"});
  const Principal alice{static_cast<uint32_t>(made.numbers[0]), 1};
  const Buffer note = encode(Note{"upgrade.activate", "streams", "logic version 1 to 2", "done"});
  ASSERT_TRUE(bench.run(kNote, note, alice).ok());
  EXPECT_EQ(bench.run(kNote, encode(Note{std::string(256, 'x'), "", "", ""}), alice).error, Errc::invalid_argument);
  Submission transact;
  transact.machine = machine_ids::kKernel;
  transact.type = kTransact;
  transact.payload = encode_transact({{machine_ids::kAuth, kNote, kNoPartition, note.view()}});
  transact.principal = alice;
  EXPECT_EQ(bench.run(std::move(transact)).error, Errc::unsupported) << "a client could write what it likes";
  const std::vector<std::string> trail = bench.audit();
  ASSERT_EQ(trail.size(), 2u);
  EXPECT_TRUE(trail[1].starts_with(
      R"({"action":"upgrade.activate","by":"alice","on":"streams","detail":"logic version 1 to 2","outcome":"done")"))
      << trail[1];
}

TEST(AuthMachine, DumpsLeaveSecretsOut) {
  const Buffer create = encode(CreateUser{"bob", false, verifiers('b'), {}});
  EXPECT_TRUE(holds_secrets(machine_ids::kAuth, kSetPassword, {}));
  EXPECT_FALSE(holds_secrets(machine_ids::kAuth, kGrant, {}));
  const Buffer hidden = encode_transact({{machine_ids::kAuth, kCreateUser, kNoPartition, create.view()}});
  EXPECT_TRUE(holds_secrets(machine_ids::kKernel, kTransact, hidden.view()));
  const Buffer harmless = encode_transact({{machine_ids::kStreams, streams::kDeleteStream, kNoPartition, {}}});
  EXPECT_FALSE(holds_secrets(machine_ids::kKernel, kTransact, harmless.view()));
}

// Random commands, some of them inside transactions that fail: a naive model says what must be there.
struct Model {
  struct User {
    uint32_t version = 1;
    std::set<std::string> roles;
    bool operator==(const User&) const = default;
  };
  std::map<std::string, User> users;
  std::map<uint32_t, std::string> tokens;  // number to owner
  std::set<std::string> roles;
  bool operator==(const Model&) const = default;

  size_t admins() const {
    size_t count = 0;
    for (const auto& [name, user] : users) count += user.roles.contains("admin");
    return count;
  }
  bool last_admin(const std::string& name) const { return admins() == 1 && users.at(name).roles.contains("admin"); }
};

struct Step {
  AuthCommand type;
  Buffer payload;
  bool expected = false;
};

Step random_step(SeededRandom& random, Model& model) {
  const std::string user = "u" + std::to_string(random.below(6));
  const std::string role = random.one_in(3) ? "admin" : "r" + std::to_string(random.below(4));
  const auto number = static_cast<uint32_t>(random.below(8));
  const bool known = model.users.contains(user);
  const bool role_there = role == "admin" || model.roles.contains(role);
  switch (random.below(8)) {
    case 0:
      if (!known) model.users[user] = {};
      return {kCreateUser, encode(CreateUser{user, false, verifiers('v'), {}}), !known};
    case 1: {
      const bool done = known && !model.last_admin(user);
      if (done) {
        model.users.erase(user);
        std::erase_if(model.tokens, [&](const auto& token) { return token.second == user; });
      }
      return {kDeleteUser, encode(Named{user}), done};
    }
    case 2:
      if (known) ++model.users[user].version;
      return {kSetPassword, encode(SetPassword{user, verifiers('w')}), known};
    case 3: {
      const bool done = known && !model.tokens.contains(number);
      if (done) model.tokens[number] = user;
      return {kIssueToken, encode(IssueToken{hash_of(number), user, "t", 0}), done};
    }
    case 4: return {kRevokeToken, encode(Named{token_id(hash_of(number))}), model.tokens.erase(number) > 0};
    case 5: {
      const bool done = known && role_there && model.users[user].roles.insert(role).second;
      return {kGrant, encode(Grant{user, role}), done};
    }
    case 6: {
      const bool done = known && model.users[user].roles.contains(role) && !(role == "admin" && model.last_admin(user));
      if (done) model.users[user].roles.erase(role);
      return {kRevoke, encode(Grant{user, role}), done};
    }
    default: {
      if (role == "admin") return {kDeleteRole, encode(Named{role}), false};
      if (!model.roles.contains(role)) {
        model.roles.insert(role);
        return {kCreateRole, encode(CreateRole{role, {{"streams", "*", 1}}}), true};
      }
      for (const auto& [name, holder] : model.users)
        if (holder.roles.contains(role)) return {kDeleteRole, encode(Named{role}), false};
      model.roles.erase(role);
      return {kDeleteRole, encode(Named{role}), true};
    }
  }
}

Model seen(const Directory& directory) {
  Model model;
  for (const auto& [name, user] : directory.users)
    model.users[name] = {user->version, {user->roles.begin(), user->roles.end()}};
  for (const auto& [hash, token] : directory.tokens)
    model.tokens[load_le<uint32_t>(as_bytes(hash).data())] = token->owner;
  for (const auto& [name, role] : directory.roles) model.roles.insert(name);
  return model;
}

TEST(AuthMachine, AgreesWithANaiveModel) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    SeededRandom random(seed);
    Bench bench;
    Model model;
    for (int round = 0; round < 150; ++round) {
      SCOPED_TRACE("seed " + std::to_string(seed) + " round " + std::to_string(round));
      if (random.one_in(3)) {
        // Several in one transaction: all or none.
        Model then = model;
        bool all = true;
        std::vector<Step> steps;
        for (uint64_t left = 1 + random.below(4); left > 0; --left) steps.push_back(random_step(random, then));
        std::vector<Operation> operations;
        for (const Step& step : steps) {
          operations.push_back({machine_ids::kAuth, step.type, kNoPartition, step.payload.view()});
          all = all && step.expected;
        }
        const Reply reply =
            bench.run(streams::make_command(machine_ids::kKernel, kTransact, encode_transact(operations)));
        ASSERT_EQ(reply.ok(), all) << reply.message;
        if (all) model = then;
      } else {
        Step step = random_step(random, model);
        const Reply reply = bench.run(step.type, std::move(step.payload));
        ASSERT_EQ(reply.ok(), step.expected) << reply.message;
      }
      ASSERT_EQ(seen(bench.machine().directory()), model);
      ASSERT_EQ(seen(*bench.store().view()), model);
      if (random.one_in(40)) bench.crash_and_recover();
    }
    const std::string snapshot = saved(bench.machine());
    AuthMachine restored;
    StringReader reader(snapshot);
    ASSERT_TRUE(restored.restore(reader).ok());
    EXPECT_EQ(saved(restored), snapshot);
    EXPECT_EQ(seen(restored.directory()), model);
    bench.crash_and_recover();
    EXPECT_EQ(saved(bench.machine()), snapshot);
  }
}

TEST(AuthMachine, ACutSnapshotIsRefused) {
  Bench bench;
  create(bench, "alice", {"reader"});
  const std::string snapshot = saved(bench.machine());
  for (size_t length = 0; length < snapshot.size(); ++length) {
    AuthMachine restored;
    StringReader reader(std::string_view(snapshot).substr(0, length));
    EXPECT_FALSE(restored.restore(reader).ok()) << length;
  }
}

}  // namespace
}  // namespace heptane::auth
