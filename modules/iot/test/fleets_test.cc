// Fleets: what is kept of them, and jobs that aim at them.
#include <gtest/gtest.h>

#include "modules/iot/test/jobs_rig.h"

namespace heptane::iot::devices {

namespace {

using test::JobsRig;
using test::kMinute;

Fleet fleet(const std::string& name, const std::string& query) { return {name, "", query, 0}; }

Reply create(JobsRig& rig, const Fleet& wanted) { return rig.apply(rig.fleets, kCreateFleet, encode(wanted)); }

void add(JobsRig& rig, const std::string& name, const std::string& site) {
  Thing thing;
  thing.name = name;
  thing.attributes["site"] = site;
  EXPECT_TRUE(rig.apply(rig.devices, kCreateThings, encode_things({thing})).ok());
}

JobPlan plan_for(const std::string& group) {
  JobPlan plan;
  plan.id = "job";
  plan.document = "{}";
  plan.groups = {group};
  return plan;
}

}  // namespace

TEST(Fleets, AreKeptAndDropped) {
  JobsRig rig({"a"}, "plant");
  rig.trail.told.clear();
  ASSERT_TRUE(create(rig, fleet("north", "attributes.site:north")).ok());
  EXPECT_EQ(create(rig, fleet("north", "tags:x")).error, Errc::exists);
  EXPECT_EQ(create(rig, fleet("plant", "tags:x")).error, Errc::exists) << "a group is called so";
  EXPECT_EQ(create(rig, fleet("x", "tags:")).error, Errc::invalid_argument);
  EXPECT_EQ(create(rig, fleet("a b", "tags:x")).error, Errc::invalid_argument);
  const Buffer whole = encode(fleet("y", "tags:x"));
  for (size_t length = 0; length < whole.size(); ++length)
    EXPECT_EQ(rig.apply(rig.fleets, kCreateFleet, whole.slice(0, length)).error, Errc::invalid_argument);
  MemorySnapshot saved;
  rig.fleets.save(saved);
  const size_t bytes = rig.fleets.memory_bytes();
  ASSERT_TRUE(rig.fleets.restore(saved).ok() && saved.at_end());
  EXPECT_EQ(rig.fleets.memory_bytes(), bytes);
  ASSERT_NE(rig.fleets.find("north"), nullptr);
  EXPECT_EQ(rig.fleets.find("north")->query, "attributes.site:north");
  EXPECT_TRUE(rig.apply(rig.fleets, kDropFleet, Buffer::copy_of("north")).ok());
  EXPECT_EQ(rig.apply(rig.fleets, kDropFleet, Buffer::copy_of("north")).error, Errc::not_found);
  EXPECT_TRUE(rig.fleets.fresh());
  EXPECT_EQ(rig.fleets.memory_bytes(), 0U);
  EXPECT_EQ(rig.trail.told, (std::vector<std::string>{"fleets.create north: attributes.site:north",
                                                      "fleets.drop north: attributes.site:north"}));
}

TEST(Fleets, AreBounded) {
  JobsRig rig({});
  for (size_t i = 0; i < kFleetsMax; ++i) EXPECT_TRUE(create(rig, fleet("f" + std::to_string(i), "tags:x")).ok());
  EXPECT_EQ(create(rig, fleet("more", "tags:x")).error, Errc::overloaded);
  Reply reply;
  const Buffer first = encode_fleets_query("", false);
  rig.fleets.query({kQueryFleets, first.view(), {}}, reply);
  EXPECT_EQ(decode_fleets(reply.payload.view())->size(), kFleetsOfPage);
  EXPECT_EQ(reply.numbers[1], 1);
}

TEST(Fleets, AJobIsForThoseThatTheQueryWantsWhenItIsMade) {
  JobsRig rig({});
  constexpr int kThings = 5'000;  // more than one slice looks at
  for (int i = 0; i < kThings; ++i) add(rig, "t" + std::to_string(10'000 + i), i % 10 == 0 ? "north" : "south");
  EXPECT_EQ(rig.create(plan_for("north")).error, Errc::not_found);
  ASSERT_TRUE(create(rig, fleet("north", "attributes.site:north")).ok());
  ASSERT_TRUE(rig.create(plan_for("north")).ok());
  rig.pass(kMinute);
  const auto made = rig.job("job");
  ASSERT_TRUE(made && made->found);
  EXPECT_EQ(total_of(made->counts), kThings / 10);
  EXPECT_EQ(count_of(made->counts, JobStatus::queued), kThings / 10);
  add(rig, "later", "north");
  rig.pass(kMinute);
  EXPECT_EQ(total_of(rig.job("job")->counts), kThings / 10) << "one that comes later is not in it";
}

// A group, or another fleet, of that name is none of its targets.
TEST(Fleets, AJobGoesByWhatTheFleetWasWhenItWasMade) {
  for (const bool made_again : {false, true}) {
    JobsRig rig({});
    add(rig, "a", "north");
    add(rig, "b", "south");
    ASSERT_TRUE(create(rig, fleet("all", "attributes.site:north")).ok());
    ASSERT_TRUE(rig.create(plan_for("all")).ok());
    ASSERT_TRUE(rig.apply(rig.fleets, kDropFleet, Buffer::copy_of("all")).ok());
    if (made_again) {
      ASSERT_TRUE(create(rig, fleet("all", "attributes.site:south")).ok());
    }
    rig.add_thing("c", "all");
    rig.restore();
    rig.pass(kMinute);
    const auto made = rig.job("job");
    ASSERT_TRUE(made && made->found);
    EXPECT_EQ(total_of(made->counts), 1U) << made_again;
    EXPECT_TRUE(rig.executions("job").contains("a")) << made_again;
  }
}

}  // namespace heptane::iot::devices
