// Commands that ended the server while they were applied: who is to blame, and what comes of it.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <thread>

#include "kernel/server/apply_guard.h"
#include "test/shard_harness.h"

namespace heptane::test {
namespace {

class ShardGuard : public testing::Test {
 protected:
  ShardGuard() { HEPTANE_ASSERT(::mkdir(directory_.c_str(), 0700) == 0, "a directory of that name is there"); }
  ~ShardGuard() override {
    ::unlink((directory_ + "/applying").c_str());
    ::rmdir(directory_.c_str());
  }
  // In a child of its own, all of it: a batch's memory does not outlive a fork, and the guard is the thread's that applies.
  void apply_until(const std::function<void()>& end) const {
    const auto guard = server::ApplyGuardFile::open(directory_);
    ShardHarness harness;
    harness.shard().set_guard((*guard)->guard());
    if (end) harness.kv().on_crash(end);
    harness.run(kKvId, kKvCrash, kv_payload("a", ""));
  }
  // What the next start finds, and what it answers to the same command, whose apply() is harmless now.
  std::optional<Errc> next_start(bool found_crash) const {
    const auto guard = server::ApplyGuardFile::open(directory_);
    EXPECT_TRUE(guard.ok()) << guard.error().message;
    EXPECT_EQ((*guard)->found_crash() != 0, found_crash);
    ShardHarness harness;
    harness.shard().set_guard((*guard)->guard());
    harness.kv().on_crash([] {});
    const std::optional<Errc> answer = harness.run(kKvId, kKvCrash, kv_payload("a", "")).error;
    EXPECT_TRUE(harness.run(kKvId, kKvPut, kv_payload("a", "1")).ok());
    return answer;
  }

  const std::string directory_ = testing::TempDir() + "/guard-" + std::to_string(::getpid());
};

TEST_F(ShardGuard, ACommandThatCrashedOnceIsRefused) {
  EXPECT_DEATH(apply_until({}), "");
  EXPECT_EQ(next_start(true), Errc::internal);
  EXPECT_EQ(next_start(false), Errc::internal);
}

TEST_F(ShardGuard, AbortIsACrash) {
  EXPECT_EXIT(apply_until([] { std::abort(); }), testing::KilledBySignal(SIGABRT), "");
  EXPECT_EQ(next_start(true), Errc::internal);
}

// The kill of an operator, or of a test, finds some command at work: it is not to blame.
TEST_F(ShardGuard, WhoIsKilledInTheMiddleOfACommandIsNotCondemnedForIt) {
  const auto kill = [] { ::raise(SIGKILL); };
  EXPECT_EXIT(apply_until(kill), testing::KilledBySignal(SIGKILL), "");
  EXPECT_EXIT(apply_until(kill), testing::KilledBySignal(SIGKILL), "");
  EXPECT_EQ(next_start(false), std::nullopt);
  EXPECT_EXIT(apply_until(kill), testing::KilledBySignal(SIGKILL), "");
  EXPECT_EXIT(apply_until(kill), testing::KilledBySignal(SIGKILL), "");
  EXPECT_EQ(next_start(false), std::nullopt) << "not three in a row";
}

// As where there is no memory for it.
TEST_F(ShardGuard, ACommandInWhichTheServerDiesThreeTimesInARowIsRefused) {
  for (int death = 0; death < 3; ++death)
    EXPECT_EXIT(apply_until([] { ::raise(SIGKILL); }), testing::KilledBySignal(SIGKILL), "");
  EXPECT_EQ(next_start(true), Errc::internal);
}

TEST_F(ShardGuard, ASignalFromOutsideIsNotTheCommands) {
  EXPECT_EXIT(apply_until([] { ::kill(::getpid(), SIGABRT); }), testing::KilledBySignal(SIGABRT), "");
  EXPECT_EQ(next_start(false), std::nullopt);
}

TEST_F(ShardGuard, AnotherThreadsFaultIsNotTheCommands) {
  const auto elsewhere = [] { std::thread([] { std::abort(); }).join(); };
  EXPECT_EXIT(apply_until(elsewhere), testing::KilledBySignal(SIGABRT), "");
  EXPECT_EQ(next_start(false), std::nullopt);
}

}  // namespace
}  // namespace heptane::test
