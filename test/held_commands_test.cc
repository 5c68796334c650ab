// Commands that wait for what they need of files, and what becomes of those that are too many, too late or in the way of a
// stop.
#include "kernel/shard/held_commands.h"

#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>

#include "sim/sim_clock.h"

namespace heptane::test {
namespace {

using Taken = HeldCommands::Taken;

struct World;

// Done when the disk has given the command's row; each step is one row looked at.
class Fetching final : public Prefetch {
 public:
  Fetching(World& world, RequestId request);
  ~Fetching() override;
  Step step(int64_t& work) override;

 private:
  World& world_;
  const RequestId request_;
};

// Commands lack their row until it is on hand; queries lack nothing.
struct World {
  sim::SimClock clock;
  ShardLink link{1 << 12};
  std::set<RequestId> on_disk;      // rows that the disk has not given
  std::set<RequestId> held;         // rows in memory because somebody holds them
  std::map<RequestId, int> rounds;  // how often more turns out to be lacking
  int64_t work_of_a_row = 1;
  bool full = false;  // the batch in the making
  std::vector<RequestId> taken;
  std::map<RequestId, std::string> refused;
  HeldCommands commands{
      clock,
      [this](ShardLink&, ShardRequest& request, std::unique_ptr<Prefetch>& lacking) { return take(request, lacking); },
      [this](ShardLink&, const ShardRequest& request, const char* why) {
        EXPECT_TRUE(refused.emplace(request.request, why).second) << "answered twice";
      }};

  Taken take(ShardRequest& request, std::unique_ptr<Prefetch>& lacking) {
    if (full) return Taken::stalled;
    const bool command = std::holds_alternative<Submission>(request.body);
    if (command && (!held.contains(request.request) || rounds[request.request]-- > 0)) {
      lacking = std::make_unique<Fetching>(*this, request.request);
      return Taken::lacks;
    }
    taken.push_back(request.request);
    return Taken::yes;
  }
  // As the shard does with what comes through its link.
  void ask(SessionId session, ShardRequest request) {
    request.session = session;
    if (commands.follow(link, request)) return;
    std::unique_ptr<Prefetch> lacking;
    if (take(request, lacking) == Taken::lacks) commands.hold(link, std::move(request), std::move(lacking));
  }
  void command(SessionId session, RequestId request, size_t bytes = 1) {
    Submission submission;
    submission.payload = Buffer::copy_of(std::string(bytes, 'c'));
    ask(session, {session, request, std::move(submission)});
  }
  void cold(SessionId session, RequestId request, size_t bytes = 1) {
    on_disk.insert(request);
    command(session, request, bytes);
  }
  void query(SessionId session, RequestId request) { ask(session, {session, request, QueryRequest{}}); }
  void disk_gives(RequestId request) {
    on_disk.erase(request);
    clock.advance(HeldCommands::kDiskEveryNs);
  }
  void settle() {
    while (commands.run_once(false)) continue;
  }
};

Fetching::Fetching(World& world, RequestId request) : world_(world), request_(request) {}
Fetching::~Fetching() { world_.held.erase(request_); }
Prefetch::Step Fetching::step(int64_t& work) {
  if (work <= 0) return Step::more;
  work -= world_.work_of_a_row;
  if (world_.on_disk.contains(request_)) return Step::waits;
  world_.held.insert(request_);
  return Step::done;
}

using Requests = std::vector<RequestId>;

TEST(HeldCommands, WhatTheDiskHasGivenIsTakenAtOnce) {
  World world;
  world.commands.run_once(false);
  world.command(1, 1);
  EXPECT_EQ(world.taken, Requests{1});
  EXPECT_TRUE(world.commands.empty());
  EXPECT_EQ(world.commands.waited_total(), 0U);
  EXPECT_TRUE(world.held.empty()) << "it leaves memory once the command was taken";
}

TEST(HeldCommands, OthersGoOnAndTheSessionKeepsItsOrder) {
  World world;
  world.commands.run_once(false);
  world.cold(1, 1);
  world.query(1, 2);
  world.command(1, 3);
  world.cold(2, 4);
  world.command(3, 5);
  world.query(3, 6);
  EXPECT_EQ(world.taken, (Requests{5, 6}));
  EXPECT_EQ(world.commands.held(), 4U);
  EXPECT_FALSE(world.commands.run_once(false)) << "nothing to do until the disk has answered";
  EXPECT_EQ(world.commands.next_deadline_ns(), world.clock.monotonic_ns() + HeldCommands::kDiskEveryNs);
  world.disk_gives(4);
  world.settle();
  EXPECT_EQ(world.taken, (Requests{5, 6, 4}));
  world.disk_gives(1);
  world.settle();
  EXPECT_EQ(world.taken, (Requests{5, 6, 4, 1, 2, 3}));
  EXPECT_TRUE(world.commands.empty());
  EXPECT_EQ(world.commands.waited_total(), 2U);
  EXPECT_EQ(world.commands.next_deadline_ns(), INT64_MAX);
}

TEST(HeldCommands, WhatTurnsOutToBeLackingIsFetchedBeforeTheCommandIsTaken) {
  World world;
  world.commands.run_once(false);
  world.rounds[1] = 3;
  world.cold(1, 1);
  world.disk_gives(1);
  world.settle();
  EXPECT_EQ(world.taken, Requests{1});
  EXPECT_EQ(world.rounds[1], -1);
}

TEST(HeldCommands, WithoutRoomNothingIsLost) {
  World world;
  world.commands.run_once(false);
  world.cold(1, 1);
  world.command(1, 2);
  world.full = true;
  world.disk_gives(1);
  EXPECT_FALSE(world.commands.run_once(false));
  EXPECT_EQ(world.commands.next_deadline_ns(), INT64_MAX) << "what makes room wakes the shard";
  world.full = false;
  world.settle();
  EXPECT_EQ(world.taken, (Requests{1, 2}));
}

TEST(HeldCommands, ATurnDoesSoMuchForAllOfThemTogether) {
  World world;
  world.work_of_a_row = Prefetch::kWork;
  world.commands.run_once(false);
  for (SessionId session = 1; session <= 5; ++session) world.command(session, session);
  EXPECT_EQ(world.taken, Requests{1});
  for (size_t turn = 2; turn <= 5; ++turn) {
    EXPECT_EQ(world.commands.next_deadline_ns(), 0) << "there is more to do at once";
    EXPECT_EQ(world.commands.run_once(false), turn < 5);
    EXPECT_EQ(world.taken.size(), turn);
  }
}

TEST(HeldCommands, OneThatLacksMoreAndMoreLeavesTheOthersTheirTurn) {
  World world;
  world.work_of_a_row = Prefetch::kWork;
  world.commands.run_once(false);
  world.rounds[1] = 10;
  world.command(1, 1);
  world.command(2, 2);
  world.commands.run_once(false);
  world.commands.run_once(false);
  EXPECT_EQ(world.taken, Requests{2});
  world.settle();
  EXPECT_EQ(world.taken, (Requests{2, 1}));
}

TEST(HeldCommands, WhatIsLookedAtAgainIsWorkByItsSize) {
  World world;
  world.commands.run_once(false);
  world.rounds[1] = 3;
  world.command(1, 1, size_t{64} * Prefetch::kWork);
  for (size_t turn = 1; turn <= 3; ++turn) {
    EXPECT_TRUE(world.taken.empty()) << turn;
    world.commands.run_once(false);
  }
  EXPECT_EQ(world.taken, Requests{1});
}

TEST(HeldCommands, WhoNeedsNoDiskWaitsForNobody) {
  World world;
  world.commands.run_once(false);
  for (SessionId session = 1; session <= HeldCommands::kFetching; ++session) world.cold(session, session);
  world.command(100, 100);
  EXPECT_EQ(world.taken, (Requests{100})) << "its row is there";
  world.disk_gives(7);
  world.settle();
  EXPECT_EQ(world.taken, (Requests{100, 7}));
}

TEST(HeldCommands, AreBounded) {
  World world;
  world.commands.run_once(false);
  for (RequestId id = 1; id <= HeldCommands::kHeldMost; ++id) world.cold(id % 2, id);
  EXPECT_TRUE(world.refused.empty());
  world.cold(1, 5000);
  world.cold(9, 5001);
  EXPECT_EQ(world.refused.size(), 2U);
  EXPECT_EQ(world.commands.held(), HeldCommands::kHeldMost);
  world.on_disk.clear();
  world.clock.advance(HeldCommands::kDiskEveryNs);
  world.settle();
  EXPECT_EQ(world.taken.size(), HeldCommands::kHeldMost);

  World large;
  large.commands.run_once(false);
  large.cold(1, 1, HeldCommands::kHeldBytesMost);
  large.cold(2, 2);
  EXPECT_TRUE(large.refused.contains(2));
  large.disk_gives(1);
  large.settle();
  large.cold(2, 3, HeldCommands::kHeldBytesMost);
  EXPECT_FALSE(large.refused.contains(3)) << "what was taken makes room";
}

TEST(HeldCommands, TooLateIsRefusedAndLeavesNothing) {
  World world;
  world.commands.run_once(false);
  world.cold(1, 1);
  world.clock.advance(1000);
  world.command(1, 2);
  world.clock.advance(HeldCommands::kDeadlineNs - 1000);
  world.settle();
  EXPECT_TRUE(world.refused.contains(1));
  EXPECT_EQ(world.refused.size(), 1U);
  EXPECT_EQ(world.taken, Requests{2});
  EXPECT_TRUE(world.commands.empty());
  EXPECT_EQ(world.commands.refused_total(), 1U);
}

TEST(HeldCommands, WhoStopsTakesAllAsTheyAre) {
  World world;
  world.commands.run_once(false);
  for (SessionId session = 1; session <= 20; ++session) world.cold(session, session);
  world.query(3, 30);
  for (RequestId id = 1; id <= 20; ++id) world.held.insert(id);  // a shard that stops answers `closed`
  world.commands.run_once(true);
  EXPECT_EQ(world.taken.size(), 21U);
  EXPECT_TRUE(world.commands.empty());
}

}  // namespace
}  // namespace heptane::test
