// The machine by itself: commits, pages, expiry by its own timer, scopes, limits, snapshots.

#include <gtest/gtest.h>

#include <random>

#include "kernel/shard/command_run.h"
#include "modules/data/machine/consumer_offsets/consumer_offsets.h"

namespace heptane::data::offsets {
namespace {

constexpr LogTime kHourNs = 3600LL * 1'000'000'000;

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
  bool at_end() const { return reader_.complete(); }

 private:
  ByteReader reader_;
};

struct Bench {
  Bench() { machines.add(machine); }
  Reply apply(CommandType type, const Buffer& payload, LogTime time) {
    Command command;
    command.sequence = ++sequence;
    command.time = time;
    command.machine = kMachineId;
    command.type = type;
    command.payload = payload.view();
    run.begin(command.sequence, time);
    run.apply(machine, command);
    Reply reply = run.reply();
    DigestAccumulator digest;
    if (run.outcome() == CommandOutcome::kept) run.keep(command, 0, false, digest);
    return reply;
  }
  Reply commit(std::string_view group, std::string_view topic, uint32_t partition, Offset offset, LogTime time = 0,
               std::string_view metadata = "") {
    return apply(kCommit, encode(Commit{group, {{topic, {}, partition, offset, 3, metadata}}}), time);
  }
  // Timers that are due, as the shard fires them.
  int fire(LogTime until) {
    int fired = 0;
    for (LogTime due = 0;; ++fired) {
      const TimerId timer = kernel.first_due(due);
      if (timer == 0 || due > until) return fired;
      kernel.disarm(timer);
      EXPECT_TRUE(apply(kExpire, {}, due).ok());
    }
  }
  std::vector<CommittedOffset> fetch(std::string_view group) {
    std::vector<CommittedOffset> all;
    FetchQuery query{group, {}, 0};
    for (;;) {
      const Buffer payload = encode(query);
      Reply& reply = *replies.emplace_back(std::make_unique<Reply>());
      machine.query({kFetch, payload.view(), {}}, reply);
      const auto page = decode_offsets(reply.payload.view());
      EXPECT_TRUE(page.ok());
      all.insert(all.end(), page->begin(), page->end());
      ++pages;
      if (reply.numbers[0] == 0) return all;
      query.after_topic = page->back().topic;
      query.after_partition = page->back().partition;
    }
  }
  std::string saved() const {
    StringWriter writer;
    machine.save(writer);
    return writer.text;
  }

  ConsumerOffsets machine;
  MachineTable machines;
  KernelState kernel;
  CommandRun run{machines, kernel};
  Sequence sequence = 0;
  std::vector<std::unique_ptr<Reply>> replies;  // what fetched offsets lie in
  int pages = 0;
};

TEST(ConsumerOffsets, ACommitReplacesTheOneBefore) {
  Bench bench;
  EXPECT_TRUE(bench.commit("g", "t", 0, 5, 10, "first").ok());
  EXPECT_TRUE(bench.commit("g", "t", 0, 3, 20, "second").ok());  // back, too
  EXPECT_TRUE(bench.commit("g", "t", 1, 7, 30).ok());
  const auto offsets = bench.fetch("g");
  ASSERT_EQ(offsets.size(), 2u);
  EXPECT_EQ(offsets[0].offset, 3);
  EXPECT_EQ(offsets[0].metadata, "second");
  EXPECT_EQ(offsets[0].leader_epoch, 3);
  EXPECT_EQ(offsets[1].offset, 7);
  EXPECT_TRUE(bench.fetch("h").empty());
}

TEST(ConsumerOffsets, ForgetsSevenDaysAfterTheLastCommit) {
  Bench bench;
  bench.commit("g", "old", 0, 1, 0);
  bench.commit("g", "kept", 0, 1, 0);
  bench.commit("g", "kept", 0, 2, 30 * kHourNs);
  EXPECT_EQ(bench.kernel.timers.size(), 1u);
  EXPECT_EQ(bench.fire(kRetentionNs - 1), 0);
  EXPECT_EQ(bench.machine.size(), 2u);
  EXPECT_EQ(bench.fire(kRetentionNs), 1);
  ASSERT_EQ(bench.fetch("g").size(), 1u);
  EXPECT_EQ(bench.fetch("g")[0].topic, "kept");
  EXPECT_EQ(bench.fire(kRetentionNs + 30 * kHourNs), 1);
  EXPECT_EQ(bench.machine.size(), 0u);
  EXPECT_TRUE(bench.kernel.timers.empty());  // nothing to wait for
  bench.commit("g", "t", 0, 1, 1000 * kHourNs);
  EXPECT_EQ(bench.kernel.timers.size(), 1u);
}

TEST(ConsumerOffsets, ForgetsManyInSeveralCommands) {
  Bench bench;
  Commit commit{"g", {}};
  for (uint32_t i = 0; i < kCommitLimit; ++i) commit.offsets.push_back({"t", {}, i, 1, 3, ""});
  EXPECT_TRUE(bench.apply(kCommit, encode(commit), 0).ok());
  bench.commit("g", "u", 0, 1, 0);
  EXPECT_EQ(bench.fire(kRetentionNs + kHourNs), 2);
  EXPECT_EQ(bench.machine.size(), 0u);
}

TEST(ConsumerOffsets, PagesItsAnswers) {
  Bench bench;
  const std::string metadata(4000, 'm');
  for (uint32_t i = 0; i < 200; ++i) bench.commit("g", "t" + std::to_string(i % 7), i, i, 0, metadata);
  const auto offsets = bench.fetch("g");
  EXPECT_EQ(offsets.size(), 200u);
  EXPECT_GT(bench.pages, 2);
  for (size_t i = 1; i < offsets.size(); ++i)
    EXPECT_LT(std::pair(offsets[i - 1].topic, offsets[i - 1].partition),
              std::pair(offsets[i].topic, offsets[i].partition));
}

TEST(ConsumerOffsets, DeletesAGroup) {
  Bench bench;
  bench.commit("g", "t", 0, 1);
  bench.commit("h", "t", 0, 1);
  const Reply deleted = bench.apply(kDeleteGroup, encode(DeleteGroup{"g"}), 0);
  EXPECT_EQ(deleted.numbers, (std::array<int64_t, 2>{1, 0}));
  EXPECT_EQ(bench.apply(kDeleteGroup, encode(DeleteGroup{"g"}), 0).error, Errc::not_found);
  EXPECT_EQ(bench.machine.size(), 1u);
}

TEST(ConsumerOffsets, RefusesAndLeavesNoTrace) {
  Bench bench;
  bench.commit("g", "t", 0, 1);
  const std::string before = bench.saved();
  EXPECT_EQ(bench.commit("", "t", 0, 1).error, Errc::invalid_argument);
  EXPECT_EQ(bench.commit(std::string(256, 'g'), "t", 0, 1).error, Errc::invalid_argument);
  EXPECT_EQ(bench.commit("g", "", 0, 1).error, Errc::invalid_argument);
  EXPECT_EQ(bench.commit("g", "t", 0, -1).error, Errc::invalid_argument);
  EXPECT_EQ(bench.commit("g", "t", 0, 1, 0, std::string(4097, 'm')).error, Errc::invalid_argument);
  EXPECT_EQ(bench.apply(kCommit, Buffer::copy_of("rubbish"), 0).error, Errc::invalid_argument);
  EXPECT_EQ(bench.apply(77, {}, 0).error, Errc::unsupported);
  EXPECT_EQ(bench.saved(), before);
}

TEST(ConsumerOffsets, IsBounded) {
  Bench bench;
  Commit commit{"g", {}};
  for (uint32_t i = 0; i < kCommitLimit; ++i) commit.offsets.push_back({"t", {}, i, 1, 3, ""});
  for (size_t kept = 0; kept < kEntriesLimit; kept += kCommitLimit) {
    EXPECT_TRUE(bench.apply(kCommit, encode(commit), 0).ok());
    for (CommittedOffset& offset : commit.offsets) offset.partition += static_cast<uint32_t>(kCommitLimit);
  }
  EXPECT_EQ(bench.commit("g", "u", 0, 1).error, Errc::overloaded);
  EXPECT_TRUE(bench.commit("g", "t", 0, 2).ok());  // what is there may change
}

// Random commands, in scopes that are kept or rolled back: rolled back, the state is what it was, byte for byte; and a
// state read back from its snapshot saves the same bytes and goes on the same way.
TEST(ConsumerOffsets, ScopesRollBackAndSnapshotsReadBack) {
  Bench bench;
  std::minstd_rand random(7);
  const auto pick = [&](uint32_t below) { return static_cast<uint32_t>(random() % below); };
  for (int step = 0; step < 2000; ++step) {
    const std::string before = bench.saved();
    const bool scoped = pick(2) == 0;
    const bool nested = scoped && pick(2) == 0;
    if (scoped) bench.machine.open_scope();
    if (nested) bench.machine.open_scope();
    for (uint32_t i = 0; i <= pick(3); ++i) {
      const std::string group = "g" + std::to_string(pick(3));
      if (pick(5) == 0)
        bench.apply(kDeleteGroup, encode(DeleteGroup{group}), step * kHourNs);
      else if (pick(5) == 0)
        bench.apply(kExpire, {}, step * kHourNs);
      else
        bench.commit(group, "t" + std::to_string(pick(2)), pick(3), step, step * kHourNs, std::string(pick(20), 'm'));
    }
    if (nested) bench.machine.close_scope(pick(2) == 0 ? ScopeOutcome::keep : ScopeOutcome::roll_back);
    const bool roll_back = scoped && pick(2) == 0;
    if (scoped) bench.machine.close_scope(roll_back ? ScopeOutcome::roll_back : ScopeOutcome::keep);
    if (roll_back) {
      ASSERT_EQ(bench.saved(), before) << step;
    }

    const std::string saved = bench.saved();
    ConsumerOffsets again;
    StringReader reader(saved);
    ASSERT_TRUE(again.restore(reader).ok());
    EXPECT_TRUE(reader.at_end());
    StringWriter writer;
    again.save(writer);
    ASSERT_EQ(writer.text, saved) << step;
    EXPECT_EQ(again.memory_bytes(), bench.machine.memory_bytes());
  }
}

TEST(ConsumerOffsets, ASnapshotThatIsCutIsRefused) {
  Bench bench;
  bench.commit("g", "t", 0, 1, 0, "m");
  const std::string saved = bench.saved();
  for (size_t length = 0; length < saved.size(); ++length) {
    ConsumerOffsets again;
    StringReader reader(std::string_view(saved).substr(0, length));
    EXPECT_FALSE(again.restore(reader).ok()) << length;
  }
}

}  // namespace
}  // namespace heptane::data::offsets
