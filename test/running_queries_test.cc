// Queries in slices, and what becomes of those that are too many, too long or in the way of a stop.
#include "kernel/shard/running_queries.h"

#include <gtest/gtest.h>

#include <map>

#include "sim/sim_clock.h"

namespace heptane::test {
namespace {

using Step = QueryInSlices::Step;

// Done in the slice with the number that its payload's size says; its answer says how often it was begun.
class Counting final : public QueryInSlices {
 public:
  Counting(size_t slices, std::vector<RequestId>& order, Step between)
      : left_(slices), size_(slices), order_(order), between_(between) {}
  Step step(Reply& reply) override {
    order_.push_back(size_);
    if (--left_ > 0) return between_;
    reply.numbers[0] = static_cast<int64_t>(size_);
    return Step::done;
  }

 private:
  size_t left_;
  const size_t size_;
  std::vector<RequestId>& order_;
  const Step between_;
};

struct World {
  sim::SimClock clock;
  std::vector<RequestId> order;  // of slices, by the size of the query
  std::map<RequestId, Reply> answers;
  Step between = Step::more;
  RunningQueries queries{clock, [this](const QueryRequest& query) { return begin(query); },
                         [this](const RunningQueries::Asked& asked, Reply reply) {
                           EXPECT_FALSE(answers.contains(asked.request)) << "answered twice";
                           answers[asked.request] = std::move(reply);
                         }};

  std::unique_ptr<QueryInSlices> begin(const QueryRequest& query) {
    return std::make_unique<Counting>(query.payload.size(), order, between);
  }
  void ask(RequestId request, size_t slices) {
    RunningQueries::Asked asked;
    asked.request = request;
    asked.query.payload = Buffer::copy_of(std::string(slices, 'q'));
    std::unique_ptr<QueryInSlices> query = begin(asked.query);
    queries.take(std::move(asked), std::move(query));
  }
};

TEST(RunningQueries, AShortOneIsAnsweredAtOnceAndLongOnesTakeTurns) {
  World world;
  world.ask(1, 1);
  EXPECT_EQ(world.answers.at(1).numbers[0], 1);
  EXPECT_TRUE(world.queries.empty());
  world.ask(2, 4);
  world.ask(3, 3);
  world.order.clear();
  while (world.queries.run_once(false)) continue;
  EXPECT_EQ(world.order, (std::vector<RequestId>{4, 3, 4, 3, 4}));
  EXPECT_TRUE(world.answers.at(2).ok() && world.answers.at(3).ok());
  EXPECT_FALSE(world.queries.run_once(false));
}

TEST(RunningQueries, OneSliceATurn) {
  World world;
  for (RequestId id = 1; id <= 3; ++id) world.ask(id, 10);
  for (int turn = 0; turn < 20; ++turn) {
    world.order.clear();
    world.queries.run_once(false);
    EXPECT_EQ(world.order.size(), 1U);
  }
}

TEST(RunningQueries, AreBoundedAndNoneIsForgotten) {
  World world;
  const size_t asked = RunningQueries::kRunningMost + RunningQueries::kWaitingMost + 10;
  for (RequestId id = 1; id <= asked; ++id) world.ask(id, 3);
  EXPECT_EQ(world.order.size(), RunningQueries::kUnfinishedMost) << "one turn begins no more";
  size_t refused = 0;
  for (const auto& [id, reply] : world.answers) refused += reply.error == Errc::overloaded ? 1 : 0;
  EXPECT_EQ(refused, world.answers.size());
  EXPECT_EQ(refused, asked - RunningQueries::kUnfinishedMost - RunningQueries::kWaitingMost);
  while (world.queries.run_once(false)) continue;
  EXPECT_EQ(world.answers.size(), asked);
  World large;
  for (RequestId id = 1; id <= RunningQueries::kUnfinishedMost; ++id) large.ask(id, 3);
  large.ask(100, RunningQueries::kWaitingBytesMost + 1);
  EXPECT_EQ(large.answers.at(100).error, Errc::overloaded);
}

TEST(RunningQueries, OneThatWaitsForTheDiskLetsTheOthersThroughAndIsLookedAtAgain) {
  World world;
  world.between = Step::waits;
  world.ask(1, 3);
  EXPECT_FALSE(world.queries.run_once(false)) << "nothing to do until the disk has answered";
  EXPECT_EQ(world.queries.next_deadline_ns(), world.clock.monotonic_ns() + RunningQueries::kDiskEveryNs);
  world.between = Step::more;
  world.ask(2, 3);
  EXPECT_TRUE(world.queries.run_once(false));
  world.queries.run_once(false);
  EXPECT_TRUE(world.answers.contains(2));
  for (int i = 0; i < 2; ++i) {
    EXPECT_FALSE(world.answers.contains(1));
    world.clock.advance(RunningQueries::kDiskEveryNs);
    world.queries.run_once(false);
  }
  EXPECT_TRUE(world.answers.at(1).ok());
}

TEST(RunningQueries, TooLongIsRefusedAndSoIsWhatRunsWhenTheServerStops) {
  World world;
  for (RequestId id = 1; id <= 20; ++id) world.ask(id, 1'000'000);
  world.clock.advance(RunningQueries::kDeadlineNs - 1);
  world.queries.run_once(false);
  EXPECT_TRUE(world.answers.empty());
  world.clock.advance(1);
  world.queries.run_once(false);
  EXPECT_EQ(world.answers.size(), 20U);
  for (const auto& [id, reply] : world.answers) EXPECT_EQ(reply.error, Errc::deadline);
  EXPECT_TRUE(world.queries.empty());
  world.answers.clear();
  for (RequestId id = 1; id <= 20; ++id) world.ask(id, 1'000'000);
  world.queries.run_once(true);
  EXPECT_EQ(world.answers.size(), 20U);
  for (const auto& [id, reply] : world.answers) EXPECT_EQ(reply.error, Errc::closed);
}

}  // namespace
}  // namespace heptane::test
