// Jobs in the machine: roll-out, thresholds, time-outs, bounded work, what is told; and random runs beside a naive model.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>

#include "kernel/net/http/json.h"
#include "modules/iot/test/jobs_rig.h"

namespace heptane::iot::devices {

namespace {

using test::JobsRig;
using test::kMinute;
using test::kSecond;
using test::plan;

std::vector<std::string> named(size_t count) {
  std::vector<std::string> names;
  for (size_t i = 0; i < count; ++i) {
    std::string digits = std::to_string(i);
    names.push_back("t" + std::string(6 - digits.size(), '0') + digits);
  }
  return names;
}

std::vector<std::string> payloads(const JobsRig& rig, std::string_view topic) {
  std::vector<std::string> all;
  for (const auto& [key, value] : rig.records)
    if (key == topic) all.push_back(value);
  return all;
}

}  // namespace

TEST(JobsMachine, ToldAsItHappens) {
  JobsRig rig({"pump"});
  ASSERT_TRUE(rig.create(plan("a", {"pump"})).ok());
  rig.fire();
  ASSERT_EQ(rig.start("pump"), JobFault::none);
  ASSERT_EQ(rig.update("pump", "a", JobStatus::succeeded), JobFault::none);
  std::vector<std::string> topics;
  for (const auto& [topic, payload] : rig.records) {
    topics.push_back(topic);
    EXPECT_TRUE(http::JsonDocument::parse(payload).ok()) << payload;
  }
  const std::string root = "$aws/things/pump/jobs/";
  EXPECT_EQ(topics, (std::vector<std::string>{root + "notify", root + "notify-next", root + "start-next/accepted",
                                              root + "a/update/accepted", "$aws/events/jobExecution/a/succeeded",
                                              root + "notify", root + "notify-next", "$aws/events/job/a/completed"}));
  EXPECT_EQ(rig.trail.told.back(), "jobs.create a: ");
}

TEST(JobsMachine, AJobToManyIsNotOneEntry) {
  constexpr size_t kThings = 3'000;
  JobsRig rig(named(kThings));
  JobPlan large = plan("a", {});
  large.document = R"({"x":")" + std::string(30'000, 'x') + R"("})";
  ASSERT_TRUE(rig.create(large).ok());
  const size_t before = rig.commands;
  rig.fire();
  EXPECT_EQ(rig.count("a", JobStatus::queued), kThings);
  EXPECT_GT(rig.commands - before, kThings / kStepThings);
  EXPECT_LT(rig.notes_max, size_t{300} << 10);  // the document is in each entry once
  EXPECT_EQ(payloads(rig, "$aws/things/t002999/jobs/notify-next").size(), 1U);
  ASSERT_TRUE(rig.cancel("a", false).ok());
  rig.fire();
  EXPECT_EQ(rig.count("a", JobStatus::canceled), kThings);
  ASSERT_TRUE(rig.remove("a", false).ok());
  rig.restore();
  rig.fire();
  EXPECT_FALSE(rig.job("a"));
  EXPECT_EQ(rig.jobs.memory_bytes(), 0U);
  EXPECT_EQ(payloads(rig, "$aws/events/job/a/deleted").size(), 1U);
}

TEST(JobsMachine, RateIsOfLogTime) {
  JobsRig rig(named(300));
  JobPlan slow = plan("a", {});
  slow.per_minute = 120;
  ASSERT_TRUE(rig.create(slow).ok());
  rig.fire();
  EXPECT_EQ(rig.count("a", JobStatus::queued), 2U);
  rig.pass(kMinute - 1);
  EXPECT_EQ(rig.count("a", JobStatus::queued), 120U);
  rig.restore();
  rig.pass(2 * kMinute);
  EXPECT_EQ(rig.count("a", JobStatus::queued), 300U);
}

TEST(JobsMachine, WhatIsInProgressIsNext) {
  JobsRig rig({"pump"});
  for (const char* id : {"a", "b"}) ASSERT_TRUE(rig.create(plan(id, {"pump"})).ok());
  rig.fire();
  ASSERT_EQ(rig.update("pump", "b", JobStatus::in_progress), JobFault::none);
  EXPECT_NE(rig.records.back().second.find(R"("jobId":"b")"), std::string::npos);  // notify-next
  ASSERT_EQ(rig.start("pump"), JobFault::none);
  EXPECT_EQ(rig.executions("a")["pump"].status, JobStatus::queued);
  ASSERT_EQ(rig.update("pump", "b", JobStatus::succeeded), JobFault::none);
  ASSERT_EQ(rig.start("pump"), JobFault::none);
  EXPECT_EQ(rig.executions("a")["pump"].status, JobStatus::in_progress);
}

TEST(JobsMachine, TimeOuts) {
  JobsRig rig({"pump", "tap"});
  JobPlan timed = plan("a", {"pump", "tap"});
  timed.timeout_minutes = 10;
  ASSERT_TRUE(rig.create(timed).ok());
  rig.pass(kMinute);
  ASSERT_EQ(rig.start("pump"), JobFault::none);
  rig.pass(9 * kMinute);
  JobRequest step = JobsRig::request(JobOperation::start_next, "tap");
  step.step_minutes = 5;
  ASSERT_EQ(rig.ask(step), JobFault::none);
  rig.restore();
  EXPECT_EQ(rig.count("a", JobStatus::in_progress), 2U);
  rig.pass(kMinute);
  EXPECT_EQ(rig.executions("a")["pump"].status, JobStatus::timed_out);
  rig.pass(3 * kMinute);
  EXPECT_EQ(rig.executions("a")["tap"].status, JobStatus::in_progress);
  step = JobsRig::request(JobOperation::update, "tap", "a");
  step.step_minutes = -1;
  ASSERT_EQ(rig.ask(step), JobFault::none);
  rig.pass(5 * kMinute);
  EXPECT_EQ(rig.executions("a")["tap"].status, JobStatus::in_progress);
  rig.pass(kMinute);
  EXPECT_EQ(rig.executions("a")["tap"].status, JobStatus::timed_out);
  EXPECT_EQ(rig.job("a")->state, JobState::completed);
  EXPECT_EQ(rig.kernel.timers.size(), 0U);
}

TEST(JobsMachine, AThingWithManyOpenJobsRejectsMore) {
  JobsRig rig({"pump"});
  for (size_t i = 0; i <= kOpenOfThing; ++i) ASSERT_TRUE(rig.create(plan("j" + std::to_string(i), {"pump"})).ok());
  rig.fire();
  EXPECT_EQ(rig.count("j49", JobStatus::queued), 1U);
  EXPECT_EQ(rig.count("j50", JobStatus::rejected), 1U);
  EXPECT_EQ(rig.job("j50")->state, JobState::completed);
  ASSERT_TRUE(rig.apply(rig.devices, kDeleteThing, Buffer::copy_of("pump")).ok());
  EXPECT_EQ(rig.count("j49", JobStatus::removed), 1U);
  EXPECT_EQ(rig.job("j0")->state, JobState::completed);
}

TEST(JobsMachine, WhatADeletedThingHadOpenFitsIntoOneCommand) {
  JobsRig rig({"pump"});
  for (size_t i = 0; i < kOpenOfThing; ++i) {
    const std::string id = "j" + std::to_string(i);
    ASSERT_TRUE(rig.create(plan(id, {"pump"})).ok());
    rig.fire();
    JobRequest update = JobsRig::request(JobOperation::update, "pump", id);
    update.details.emplace();
    for (size_t n = 0; n < kDetailsMax; ++n)
      (*update.details)[std::string(kDetailNameBytesMax - 1, 'n') + std::to_string(n)] =
          std::string(kDetailValueBytesMax, '"');
    ASSERT_EQ(rig.ask(update), JobFault::none);
  }
  rig.restore();
  ASSERT_TRUE(rig.apply(rig.devices, kDeleteThing, Buffer::copy_of("pump")).ok());
  EXPECT_EQ(rig.count("j49", JobStatus::removed), 1U);
  EXPECT_LT(rig.notes_max, size_t{400} << 10);
}

TEST(JobsMachine, ABlobStaysAsLongAsTheJob) {
  JobsRig rig({"pump"});
  blobs::Blob blob;
  blob.digest[0] = std::byte{1};
  blob.bytes = 5;
  JobPlan image = plan("a", {"pump"});
  image.blob = blobs::digest_text(blob.digest);
  EXPECT_EQ(rig.create(image).error, Errc::not_found);
  ASSERT_TRUE(rig.apply(rig.blobs, blobs::kPutBlob, blobs::encode(blob)).ok());
  ASSERT_TRUE(rig.create(image).ok());
  ASSERT_TRUE(rig.apply(rig.blobs, blobs::kDropBlob, blobs::encode(blob.digest)).ok());
  EXPECT_TRUE(rig.blobs.names(blob.digest));
  ASSERT_TRUE(rig.remove("a", true).ok());
  rig.fire();
  EXPECT_FALSE(rig.blobs.names(blob.digest));
}

TEST(JobsMachine, NothingIsLeftOfWhatIsRefused) {
  JobsRig rig({"pump"});
  EXPECT_EQ(rig.create(plan("a", {"nobody"})).error, Errc::not_found);
  EXPECT_EQ(rig.cancel("a", false).error, Errc::not_found);
  EXPECT_EQ(rig.remove("a", true).error, Errc::not_found);
  EXPECT_TRUE(rig.jobs.fresh());
  ASSERT_TRUE(rig.create(plan("a", {"pump"})).ok());
  EXPECT_EQ(rig.create(plan("a", {"pump"})).error, Errc::exists);
  EXPECT_EQ(rig.remove("a", false).error, Errc::refused);
  EXPECT_EQ(rig.apply(rig.jobs, kCreateJob, Buffer::copy_of("x")).error, Errc::invalid_argument);
}

TEST(JobsMachine, TheRateHoldsFromStageToStage) {
  JobsRig rig(named(40));
  JobPlan slow = plan("a", {});
  slow.per_minute = 60;
  slow.stages = {5, 50, 100};
  ASSERT_TRUE(rig.create(slow).ok());
  rig.pass(kSecond);
  ASSERT_EQ(rig.count("a", JobStatus::queued), 2U);
  rig.restore();
  for (const char* thing : {"t000000", "t000001"})
    ASSERT_EQ(rig.update(thing, "a", JobStatus::succeeded), JobFault::none);
  rig.pass(kSecond - 1);
  EXPECT_EQ(rig.job("a")->stage, 1);
  EXPECT_EQ(rig.count("a", JobStatus::queued), 0U);
  rig.pass(1);
  EXPECT_EQ(rig.count("a", JobStatus::queued), 1U);
}

TEST(JobsMachine, TheRateHoldsWhereASliceIsFullEarly) {
  constexpr size_t kThings = 400;
  JobsRig rig(named(kThings));
  for (size_t i = 0; i < kPendingShown; ++i) {
    ASSERT_TRUE(rig.create(plan("before" + std::to_string(i), {})).ok());
    rig.fire();
  }
  JobPlan rated = plan("a", {});
  rated.per_minute = 60 * 200;
  ASSERT_TRUE(rig.create(rated).ok());
  rig.fire();
  EXPECT_LT(rig.count("a", JobStatus::queued), 200U);
  rig.pass(kSecond);
  EXPECT_GE(rig.count("a", JobStatus::queued), 200U);
  rig.pass(kSecond);
  EXPECT_EQ(rig.count("a", JobStatus::queued), kThings);
}

TEST(JobsMachine, WhatThingsHaveOpenCountsAsWork) {
  JobsRig rig(named(100));
  for (size_t i = 0; i < kOpenOfThing; ++i) {
    ASSERT_TRUE(rig.create(plan("j" + std::to_string(i), {})).ok());
    rig.fire();
  }
  ASSERT_TRUE(rig.create(plan("more", {})).ok());
  const size_t before = rig.commands;
  rig.fire();
  EXPECT_EQ(rig.count("more", JobStatus::rejected), 100U);
  EXPECT_GE(rig.commands - before, 1 + 100 * (1 + kOpenOfThing) / kStepVisits);
}

TEST(JobsMachine, AJobThatDoesNotFitLeavesNothing) {
  JobsRig rig(named(3'000), "all", {.executions = 1'500, .bytes = kJobsBytesMax});
  ASSERT_TRUE(rig.create(plan("a", {})).ok());
  rig.fire();
  EXPECT_EQ(rig.job("a")->state, JobState::canceled);
  EXPECT_EQ(rig.job("a")->reason, "the server keeps no more executions of jobs");
  EXPECT_EQ(rig.jobs.jobs().executions_count(), 0U);
  EXPECT_EQ(payloads(rig, "$aws/events/job/a/canceled").size(), 1U);
  rig.restore();
  ASSERT_TRUE(rig.remove("a", false).ok());
  rig.fire();
  EXPECT_EQ(rig.jobs.memory_bytes(), 0U);
}

TEST(JobsMachine, WhereStateIsAtItsBoundThingsCanFinish) {
  JobsRig rig({"pump", "tap"}, "all", {.executions = kExecutionsMax, .bytes = 8'000});
  ASSERT_TRUE(rig.create(plan("a", {"pump", "tap"})).ok());
  rig.fire();
  JobRequest update = JobsRig::request(JobOperation::update, "pump", "a");
  update.details = {{"log", std::string(1'000, 'x')}};
  ASSERT_EQ(rig.ask(update), JobFault::none);
  for (size_t n = 0; n < kDetailsMax; ++n) (*update.details)["n" + std::to_string(n)] = std::string(900, 'x');
  update.details->erase("log");
  EXPECT_TRUE(rig.jobs.relieves(kJobRequest));
  EXPECT_EQ(rig.ask(update), JobFault::no_room);
  JobRequest start = JobsRig::request(JobOperation::start_next, "tap");
  start.details = update.details;
  EXPECT_EQ(rig.ask(start), JobFault::no_room);
  EXPECT_EQ(rig.executions("a")["tap"].status, JobStatus::queued);
  EXPECT_LE(rig.jobs.memory_bytes(), 8'000U);
  update.details = {{"log", std::string(999, 'y')}};
  update.status = JobStatus::succeeded;
  EXPECT_EQ(rig.ask(update), JobFault::none);
  EXPECT_EQ(rig.update("tap", "a", JobStatus::failed), JobFault::none);
  EXPECT_EQ(rig.job("a")->state, JobState::completed);
}

TEST(JobsMachine, WhereStateIsAtItsBoundRollOutsWait) {
  JobsRig rig(named(3), "all", {.executions = kExecutionsMax, .bytes = 20'000});
  JobPlan slow = plan("a", {});
  slow.per_minute = 60;
  ASSERT_TRUE(rig.create(slow).ok());
  rig.fire();
  JobPlan large = plan("large", {"t000000"});
  large.document = R"({"x":")" + std::string(20'000, 'x') + R"("})";
  ASSERT_TRUE(rig.create(large).ok());
  rig.pass(kMinute);
  EXPECT_EQ(rig.job("large")->state, JobState::canceled);
  EXPECT_EQ(rig.count("a", JobStatus::queued), 1U);
  ASSERT_TRUE(rig.remove("large", false).ok());
  rig.pass(kMinute);
  EXPECT_EQ(rig.count("a", JobStatus::queued), 3U);
}

TEST(JobsMachine, AThingOfTheSameNameIsAnotherThing) {
  JobsRig rig({"a", "b", "c"});
  const auto replace = [&](const std::string& thing) {
    ASSERT_TRUE(rig.apply(rig.devices, kDeleteThing, Buffer::copy_of(thing)).ok());
    ++rig.now;
    rig.add_thing(thing);
  };
  JobPlan slow = plan("slow", {});
  slow.per_minute = 1;
  ASSERT_TRUE(rig.create(slow).ok());
  rig.fire();
  replace("b");
  ASSERT_TRUE(rig.create(plan("late", {"b", "c"})).ok());
  replace("c");
  rig.pass(3 * kMinute);
  EXPECT_EQ(rig.executions("slow")["a"].status, JobStatus::queued);
  EXPECT_EQ(rig.executions("slow")["b"].status, JobStatus::removed);
  EXPECT_EQ(rig.executions("slow")["c"].status, JobStatus::removed);
  EXPECT_EQ(rig.executions("late")["b"].status, JobStatus::queued);
  EXPECT_FALSE(rig.executions("late").contains("c"));
}

TEST(JobsMachine, AnAbortedJobKeepsItsReason) {
  JobsRig rig({"a", "b"});
  JobPlan aborted = plan("j", {});
  aborted.abort_percent = 1;
  ASSERT_TRUE(rig.create(aborted).ok());
  rig.fire();
  ASSERT_EQ(rig.start("b"), JobFault::none);
  ASSERT_EQ(rig.update("a", "j", JobStatus::failed), JobFault::none);
  rig.fire();
  ASSERT_TRUE(rig.cancel("j", true).ok());
  rig.fire();
  EXPECT_EQ(rig.job("j")->reason, "abort threshold");
  EXPECT_EQ(rig.executions("j")["b"].status, JobStatus::canceled);
}

TEST(JobsMachine, ItIsToldWhenAllIsCanceled) {
  JobsRig rig(named(500));
  ASSERT_TRUE(rig.create(plan("a", {})).ok());
  rig.fire();
  ASSERT_TRUE(rig.cancel("a", false).ok());
  EXPECT_TRUE(payloads(rig, "$aws/events/job/a/canceled").empty());
  rig.fire();
  const std::vector<std::string> told = payloads(rig, "$aws/events/job/a/canceled");
  ASSERT_EQ(told.size(), 1U);
  EXPECT_NE(told.front().find(R"("counts":{"CANCELED":500})"), std::string::npos) << told.front();
}

TEST(JobsMachine, WhatIsOpenMustBeAmongItsThings) {
  JobsRig rig({"pump"});
  ASSERT_TRUE(rig.create(plan("a", {"pump"})).ok());
  rig.fire();
  MemorySnapshot saved;
  rig.jobs.save(saved);
  // Its end: how many things have open ones u64, the thing, its count u32, its job u64.
  const size_t thing = sizeof(uint32_t) + 4;
  const size_t one = thing + sizeof(uint32_t) + sizeof(uint64_t);
  const size_t cut = saved.bytes().size() - one - sizeof(uint64_t);
  MemorySnapshot none;
  SnapshotWriter& into_none = none;
  none.write(saved.bytes().first(cut));
  into_none.le<uint64_t>(0);
  JobsMachine restored;
  EXPECT_FALSE(restored.restore(none).ok());
  MemorySnapshot twice;
  SnapshotWriter& into_twice = twice;
  twice.write(saved.bytes().first(cut + sizeof(uint64_t) + thing));
  into_twice.le<uint32_t>(2);
  twice.write(saved.bytes().last(sizeof(uint64_t)));
  twice.write(saved.bytes().last(sizeof(uint64_t)));
  EXPECT_FALSE(restored.restore(twice).ok());
  EXPECT_TRUE(restored.restore(saved).ok());
}

TEST(JobsMachine, PagesEndWhenManyWereLookedAt) {
  JobsRig rig(named(kStepVisits + 10));
  ASSERT_TRUE(rig.create(plan("many", {})).ok());
  rig.fire();
  const auto page_of = [&](uint16_t type, uint8_t status, const std::string& after) {
    JobsPageQuery query;
    query.job = "many";
    query.after = after;
    query.status = status;
    Reply reply;
    rig.jobs.query({type, encode(query).view(), {}}, reply);
    return reply;
  };
  Reply reply = page_of(kQueryExecutions, static_cast<uint8_t>(JobStatus::failed), "");
  EXPECT_EQ(reply.numbers[0], 0);
  EXPECT_EQ(reply.numbers[1], 1);
  reply = page_of(kQueryExecutions, static_cast<uint8_t>(JobStatus::failed),
                  decode_executions_page(reply.payload.view())->last);
  EXPECT_EQ(reply.numbers[1], 0);
  for (size_t i = 0; i < kStepVisits; ++i) ASSERT_TRUE(rig.create(plan("j" + std::to_string(i), {"t000000"})).ok());
  ASSERT_TRUE(rig.remove("many", true).ok());
  reply = page_of(kQueryJobs, static_cast<uint8_t>(JobState::canceled), "");
  EXPECT_EQ(reply.numbers[0], 0);
  EXPECT_EQ(reply.numbers[1], 1);
  const std::string last = decode_jobs_page(reply.payload.view())->last;
  reply = page_of(kQueryJobs, static_cast<uint8_t>(JobState::deleting), last);
  EXPECT_EQ(decode_jobs_page(reply.payload.view())->rows.size(), 1U);
  EXPECT_EQ(reply.numbers[1], 0);
}

// The naive model: lists that are looked through from their beginning, everything that follows computed anew.

namespace {

struct ModelJob {
  JobPlan plan;
  JobState state = JobState::in_progress;
  size_t stage = 0;
  std::map<std::string, JobStatus> things;
  size_t made = 0;

  size_t in(std::initializer_list<JobStatus> statuses) const {
    size_t count = 0;
    for (const auto& [thing, status] : things)
      count += static_cast<size_t>(std::find(statuses.begin(), statuses.end(), status) != statuses.end());
    return count;
  }
};

class Model {
 public:
  std::map<std::string, ModelJob> jobs;
  std::map<std::string, std::vector<std::string>> open;  // by thing, as they came
  std::map<std::string, size_t> born;                    // things, on the model's own clock
  size_t clock = 0;

  void move(const std::string& id, const std::string& thing, JobStatus to) {
    jobs[id].things[thing] = to;
    std::erase(open[thing], id);
    if (to == JobStatus::queued) open[thing].push_back(id);
  }
  void set_in_progress(const std::string& id, const std::string& thing) {
    jobs[id].things[thing] = JobStatus::in_progress;
  }

  std::string next(const std::string& thing) {
    for (const std::string& id : open[thing])
      if (jobs[id].things[thing] == JobStatus::in_progress) return id;
    return open[thing].empty() ? "" : open[thing].front();
  }

  void stop(const std::string& id, bool force) {
    ModelJob& job = jobs[id];
    job.state = JobState::canceled;
    for (const auto& [thing, status] : std::map(job.things)) {
      const bool goes =
          status == JobStatus::waiting || status == JobStatus::queued || (force && status == JobStatus::in_progress);
      if (goes) move(id, thing, JobStatus::canceled);
    }
  }

  // Whatever follows by now.
  void settle(const std::string& id) {
    using enum JobStatus;
    ModelJob& job = jobs[id];
    while (job.state == JobState::in_progress) {
      const size_t executed = job.in({succeeded, failed, timed_out, rejected});
      const size_t bad = job.in({failed, timed_out, rejected});
      if (job.plan.abort_percent != 0 && executed >= job.plan.abort_minimum &&
          bad * 100 >= job.plan.abort_percent * executed)
        return stop(id, false);
      if (job.in({waiting, queued, in_progress}) == 0) {
        job.state = JobState::completed;
        return;
      }
      const size_t percent = job.plan.stages.empty() ? 100 : job.plan.stages[job.stage];
      const size_t have = job.things.size() - job.in({waiting});
      if (have * 100 < percent * job.things.size()) {
        const auto one = std::find_if(job.things.begin(), job.things.end(),
                                      [](const auto& of) { return of.second == JobStatus::waiting; });
        move(id, one->first, born[one->first] > job.made ? removed : queued);
        continue;
      }
      const size_t ended = have - job.in({queued, in_progress});
      const bool last = job.stage + 1 >= job.plan.stages.size();
      if (last || ended * 100 < job.plan.advance_percent * have) return;
      ++job.stage;
    }
  }
};

class RandomRun {
 public:
  explicit RandomRun(uint32_t seed) : random_(seed), rig_(kThings) {}

  void step() {
    switch (pick(24)) {
      case 0: return create();
      case 1: return cancel();
      case 2: return remove();
      case 3: return rig_.restore();
      case 4:
        if (pick(4) == 0) delete_thing();
        return;
      case 5: return time_out();
      case 6:
      case 7:
      case 8:
      case 9:
      case 10: return start();
      case 11:
      case 12: return create();
      default: return update();
    }
  }

  void compare() {
    for (const auto& [id, job] : model_.jobs) {
      const auto row = rig_.job(id);
      ASSERT_TRUE(row) << id;
      ASSERT_EQ(row->state, job.state) << id;
      const auto executions = rig_.executions(id);
      ASSERT_EQ(executions.size(), job.things.size());
      for (const auto& [thing, status] : job.things)
        ASSERT_EQ(status_text(executions.at(thing).status), status_text(status)) << id << ' ' << thing;
    }
    ASSERT_EQ(rig_.jobs.jobs().size(), model_.jobs.size());
  }

 private:
  static inline const std::vector<std::string> kThings{"a", "b", "c", "d", "e", "f", "g"};
  size_t pick(size_t below) { return random_() % below; }
  std::string some_job() { return "j" + std::to_string(pick(6)); }

  void create() {
    std::vector<std::string> things;
    for (const std::string& thing : things_)
      if (pick(2) == 0) things.push_back(thing);
    JobPlan job = plan(some_job(), things);
    if (things.empty() && things_.empty()) return;
    if (pick(2) == 0) job.stages = {30, 60, 100};
    job.advance_percent = static_cast<uint8_t>(pick(2) == 0 ? 100 : 50);
    if (pick(2) == 0) job.abort_percent = static_cast<uint8_t>(1 + pick(100));
    job.abort_minimum = static_cast<uint32_t>(1 + pick(3));
    job.timeout_minutes = 5;
    const bool made = rig_.create(job).ok();
    ASSERT_EQ(made, !model_.jobs.contains(job.id));
    rig_.fire();
    if (!made) return;
    ModelJob& in_model = model_.jobs[job.id];
    in_model.plan = job;
    in_model.made = ++model_.clock;
    for (const std::string& thing : things.empty() ? std::vector(things_.begin(), things_.end()) : things)
      in_model.things[thing] = JobStatus::waiting;
    model_.settle(job.id);
  }

  void cancel() {
    const std::string id = some_job();
    const bool force = pick(2) == 0;
    const bool done = rig_.cancel(id, force).ok();
    rig_.fire();
    const auto found = model_.jobs.find(id);
    if (found == model_.jobs.end() || found->second.state == JobState::completed) {
      ASSERT_FALSE(done);
    } else if (done) {
      model_.stop(id, force);
    } else {
      ASSERT_EQ(found->second.state, JobState::canceled);
    }
  }

  void remove() {
    const std::string id = some_job();
    const bool done = rig_.remove(id, true).ok();
    rig_.fire();
    ASSERT_EQ(done, model_.jobs.contains(id));
    for (auto& [thing, open] : model_.open) std::erase(open, id);
    model_.jobs.erase(id);
  }

  void delete_thing() {
    if (things_.empty()) return;
    const std::string thing = *std::next(things_.begin(), static_cast<std::ptrdiff_t>(pick(things_.size())));
    ASSERT_TRUE(rig_.apply(rig_.devices, kDeleteThing, Buffer::copy_of(thing)).ok());
    ++rig_.now;
    rig_.add_thing(thing);
    model_.born[thing] = ++model_.clock;
    for (const std::string& id : std::vector(model_.open[thing])) {
      model_.move(id, thing, JobStatus::removed);
      model_.settle(id);
    }
    rig_.fire();
  }

  // All that is in progress; which one is first does not matter to the ends, but to the stages.
  void time_out() {
    for (const auto& [id, job] : model_.jobs)
      if (job.in({JobStatus::in_progress}) > 0 && (!job.plan.stages.empty() || job.plan.abort_percent != 0)) return;
    rig_.pass(5 * kMinute);
    for (const auto& [id, job] : std::map(model_.jobs))
      for (const auto& [thing, status] : job.things)
        if (status == JobStatus::in_progress) {
          model_.move(id, thing, JobStatus::timed_out);
          model_.settle(id);
        }
  }

  void start() {
    const std::string& thing = kThings[pick(kThings.size())];
    ASSERT_EQ(rig_.start(thing), JobFault::none);
    const std::string id = model_.next(thing);
    if (!id.empty()) model_.set_in_progress(id, thing);
  }

  void update() {
    const std::string& thing = kThings[pick(kThings.size())];
    const std::string id = pick(2) == 0 ? some_job() : model_.next(thing);
    if (id.empty()) return;
    static constexpr JobStatus kWanted[] = {JobStatus::in_progress, JobStatus::succeeded, JobStatus::succeeded,
                                            JobStatus::failed, JobStatus::rejected};
    const JobStatus wanted = kWanted[pick(std::size(kWanted))];
    const JobFault fault = rig_.update(thing, id, wanted);
    rig_.fire();
    const auto& open = model_.open[thing];
    if (std::find(open.begin(), open.end(), id) == open.end()) {
      ASSERT_NE(fault, JobFault::none);
      return;
    }
    ASSERT_EQ(fault, JobFault::none);
    if (wanted == JobStatus::in_progress) return model_.set_in_progress(id, thing);
    model_.move(id, thing, wanted);
    model_.settle(id);
  }

  std::mt19937 random_;
  JobsRig rig_;
  Model model_;
  std::set<std::string> things_{kThings.begin(), kThings.end()};
};

}  // namespace

TEST(JobsMachine, RandomRunsAreAsTheModelHasThem) {
  for (uint32_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    RandomRun run(seed);
    for (size_t i = 0; i < 200; ++i) {
      run.step();
      run.compare();
      if (testing::Test::HasFatalFailure()) return;
    }
  }
}

}  // namespace heptane::iot::devices
