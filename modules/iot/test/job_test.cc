// Jobs as the field has them: statuses, documents, requests, plans.
#include <gtest/gtest.h>

#include "kernel/net/http/json.h"
#include "modules/iot/domain/devices/image_link.h"
#include "modules/iot/domain/devices/job.h"
#include "modules/iot/gateway/devices/job_json.h"
#include "modules/iot/machine/jobs/job_api.h"

namespace heptane::iot::devices {

namespace {

JobFault fault_of(std::string_view topic, std::string_view payload) {
  const auto parsed = parse_job_topic(topic);
  EXPECT_TRUE(parsed) << topic;
  return parsed ? read_job_request(*parsed, payload).fault : JobFault::invalid_topic;
}

std::string why_not(std::string text) {
  const auto plan = job_plan_of_json(std::move(text));
  return plan ? "" : plan.error().message;
}

}  // namespace

TEST(JobExecution, WhatIsAtItsEndStaysThere) {
  for (size_t from = 0; from < kJobStatuses; ++from)
    for (size_t to = 0; to < kJobStatuses; ++to)
      if (is_ended(static_cast<JobStatus>(from))) {
        EXPECT_EQ(kMoves[from][to], Mover::nobody);
      }
  EXPECT_TRUE(moves(JobStatus::in_progress, JobStatus::in_progress, Mover::device));
  EXPECT_TRUE(moves(JobStatus::queued, JobStatus::failed, Mover::device));
  EXPECT_FALSE(moves(JobStatus::queued, JobStatus::canceled, Mover::device));
  EXPECT_FALSE(moves(JobStatus::waiting, JobStatus::in_progress, Mover::device));
  EXPECT_TRUE(moves(JobStatus::in_progress, JobStatus::timed_out, Mover::server));
  EXPECT_FALSE(moves(JobStatus::queued, JobStatus::timed_out, Mover::server));
}

TEST(JobExecution, DocumentsAreAsAwsHasThem) {
  JobExecution execution;
  execution.number = 7;
  execution.status = JobStatus::in_progress;
  execution.version = 2;
  execution.queued_s = 100;
  execution.started_s = execution.updated_s = 110;
  execution.job_due = 180'000'000'000;
  execution.step_due = 170'500'000'000;
  execution.details = {{"a", "\"x\""}};
  EXPECT_EQ(execution_json("j", "t", execution, "{}", 111'000'000'000),
            R"({"jobId":"j","thingName":"t","status":"IN_PROGRESS","statusDetails":{"a":"\"x\""},"queuedAt":100,)"
            R"("startedAt":110,"lastUpdatedAt":110,"versionNumber":2,"executionNumber":7,)"
            R"("approximateSecondsBeforeTimedOut":59,"jobDocument":{}})");
  const ExecutionParts parts = execution_parts("j", "t", execution, 111'000'000'000);
  EXPECT_EQ(parts.head + "{}" + parts.tail, execution_json("j", "t", execution, "{}", 111'000'000'000));
  EXPECT_EQ(state_json(execution), R"({"status":"IN_PROGRESS","statusDetails":{"a":"\"x\""},"versionNumber":2})");
  ByteWriter out;
  append_execution(out, execution);
  ByteReader in(out.view());
  EXPECT_EQ(read_execution(in), execution);
  EXPECT_TRUE(in.complete());
}

TEST(JobRequest, Topics) {
  EXPECT_EQ(parse_job_topic("$aws/things/t/jobs/get")->operation, JobOperation::get_pending);
  EXPECT_EQ(parse_job_topic("$aws/things/t/jobs/start-next")->operation, JobOperation::start_next);
  EXPECT_EQ(parse_job_topic("$aws/things/t/jobs/$next/get")->job, "$next");
  EXPECT_EQ(parse_job_topic("$aws/things/t/jobs/get/update")->job, "get");
  for (const char* topic : {"$aws/things/t/jobs", "$aws/things/t/jobs/notify", "$aws/things/t/jobs/a/get/accepted",
                            "$aws/things/t/jobs//get", "$aws/things/t t/jobs/get", "$aws/things/t/jobs/a/cancel",
                            "$aws/things/t/shadow/get", "jobs/get"})
    EXPECT_FALSE(parse_job_topic(topic)) << topic;
  EXPECT_FALSE(parse_job_topic("$aws/things/t/jobs/" + std::string(129, 'x') + "/get"));
  EXPECT_EQ(fault_of("$aws/things/t/jobs/" + std::string(65, 'x') + "/get", ""), JobFault::invalid_topic);
  EXPECT_EQ(fault_of("$aws/things/t/jobs/$next/update", R"({"status":"FAILED"})"), JobFault::invalid_topic);
}

TEST(JobRequest, FaultsAreFound) {
  const std::string update = "$aws/things/t/jobs/j/update";
  EXPECT_EQ(fault_of(update, R"({"status":"SUCCEEDED","statusDetails":null,"executionNumber":null})"), JobFault::none);
  EXPECT_EQ(fault_of(update, ""), JobFault::invalid_json);
  EXPECT_EQ(fault_of(update, "[]"), JobFault::invalid_json);
  EXPECT_EQ(fault_of(update, R"({"status":"QUEUED"})"), JobFault::invalid_status);
  EXPECT_EQ(fault_of(update, R"({"status":"FAILED","statusDetails":{"a b":"c"}})"), JobFault::invalid_details);
  EXPECT_EQ(fault_of(update, R"({"status":"FAILED","statusDetails":{"a":"\n"}})"), JobFault::invalid_details);
  EXPECT_EQ(fault_of(update, R"({"status":"FAILED","expectedVersion":"1x"})"), JobFault::invalid_version);
  EXPECT_EQ(fault_of(update, R"({"status":"FAILED","jobId":"k"})"), JobFault::invalid_job);
  EXPECT_EQ(fault_of(update, R"({"status":"FAILED","includeJobDocument":1})"), JobFault::invalid_flag);
  EXPECT_EQ(fault_of(update, R"({"status":"IN_PROGRESS","stepTimeoutInMinutes":-1})"), JobFault::none);
  EXPECT_EQ(fault_of("$aws/things/t/jobs/start-next", R"({"stepTimeoutInMinutes":-1})"), JobFault::invalid_step);
  EXPECT_EQ(fault_of("$aws/things/t/jobs/get", R"({"clientToken":)" + ('"' + std::string(65, 'x')) + "\"}"),
            JobFault::invalid_client_token);
  EXPECT_EQ(fault_of("$aws/things/t/jobs/get", std::string(kJobRequestBytesMax + 1, ' ')), JobFault::too_large);
  const JobRequest refused =
      refused_job_request(*parse_job_topic(update), R"({"clientToken":"c","status":1})", JobFault::throttled);
  EXPECT_EQ(rejection(refused, refused.fault, "", 5),
            R"({"code":"RequestThrottled","message":"Too many requests","timestamp":5,"clientToken":"c"})");
}

// As AWS IoT's clients in C and C++ write them.
TEST(JobRequest, QuotedNumbersAndFlags) {
  const auto read = [](std::string_view topic, std::string_view payload) {
    return read_job_request(*parse_job_topic(topic), payload);
  };
  const std::string update = "$aws/things/t/jobs/j/update";
  // The library for embedded C.
  const JobRequest embedded = read(update, R"({"status":"SUCCEEDED","expectedVersion":"2"})");
  EXPECT_EQ(embedded.fault, JobFault::none);
  EXPECT_EQ(embedded.expected_version, 2U);
  // The SDKs for embedded C and C++, with all that they can say.
  const JobRequest full =
      read(update, R"({"status":"IN_PROGRESS","statusDetails":{"step":"download"},"expectedVersion":"1",)"
                   R"("executionNumber":"3","includeJobExecutionState":"true","includeJobDocument":"true",)"
                   R"("stepTimeoutInMinutes":"-1","clientToken":"t"})");
  EXPECT_EQ(full.fault, JobFault::none);
  EXPECT_EQ(full.expected_version, 1U);
  EXPECT_EQ(full.number, 3U);
  EXPECT_EQ(full.step_minutes, -1);
  EXPECT_TRUE(full.include_state && full.include_document);
  const JobRequest described =
      read("$aws/things/t/jobs/$next/get", R"({"executionNumber":"1","includeJobDocument":"false","clientToken":"t"})");
  EXPECT_EQ(described.fault, JobFault::none);
  EXPECT_FALSE(described.include_document);
  for (const char* number : {"", " 1", "1 ", "+1", "-1", "0x1", "1.0", "1e1", "18446744073709551616", "true"})
    EXPECT_EQ(fault_of(update, R"({"status":"FAILED","expectedVersion":")" + std::string(number) + "\"}"),
              JobFault::invalid_version)
        << number;
  for (const char* flag : {"", "TRUE", "1", "yes"})
    EXPECT_EQ(fault_of(update, R"({"status":"FAILED","includeJobDocument":")" + std::string(flag) + "\"}"),
              JobFault::invalid_flag)
        << flag;
  EXPECT_EQ(fault_of(update, R"({"status":"IN_PROGRESS","stepTimeoutInMinutes":"0"})"), JobFault::invalid_step);
}

TEST(JobPlan, OfJson) {
  const auto plan = job_plan_of_json(
      R"({"id":"j","document":{"a":[1]},"image":{"url":"https://h/x"},"things":["b","a"],"groups":["g"],)"
      R"("rollout":{"per_minute":90,"stages_percent":[1,10,100],"advance_percent":80},)"
      R"("abort":{"percent":20,"min_executed":5},"in_progress_timeout_minutes":30})");
  ASSERT_TRUE(plan.ok());
  EXPECT_EQ(plan->document, R"({"a":[1],"image":{"url":"https://h/x"}})");
  EXPECT_EQ(plan->things, (std::vector<std::string>{"a", "b"}));
  const auto back = decode_job_plan(encode(*plan).view());
  ASSERT_TRUE(back);
  EXPECT_EQ(encode(*back).view().size(), encode(*plan).view().size());
  EXPECT_EQ(back->stages, (std::vector<uint8_t>{1, 10, 100}));
  EXPECT_NE(why_not(R"({"id":"j","document":{},"things":["a","a"]})"), "");
  EXPECT_NE(why_not(R"({"id":"j","document":{},"things":["a"],"rollout":{"stages_percent":[10,10,100]}})"), "");
  EXPECT_NE(why_not(R"({"id":"j","document":{},"things":["a"],"more":1})"), "");
  EXPECT_NE(why_not(R"({"id":"j","document":{"image":1},"image":{"url":"https://h"},"things":["a"]})"), "");
  EXPECT_NE(why_not(R"({"id":"j","image":{"url":"https://h","blob":"x"},"things":["a"]})"), "");
  EXPECT_EQ(why_not(R"({"id":"j","image":{"url":"https://h"},"things":["a"]})"), "");
  const std::string large =
      R"({"id":"j","document":{"x":")" + std::string(kDocumentBytesMax, 'x') + R"("},"things":["a"]})";
  EXPECT_NE(why_not(large), "");
}

TEST(JobPlan, ImagesGoByTheServersRules) {
  const std::string digest(64, 'a');
  const std::string blob = R"({"id":"j","image":{"blob":")" + digest + R"(","link_minutes":5},"things":["a"]})";
  EXPECT_NE(why_not(blob), "") << "there is no key";
  std::string asked;
  ImageRules rules;
  rules.link = [&](const std::string& of, int64_t minutes) {
    asked = of + ' ' + std::to_string(minutes);
    return Result<std::string>("https://hub/link");
  };
  rules.check_url = [](std::string_view url) {
    return url == "https://good/x" ? Result<void>() : Result<void>(Error{Errc::invalid_argument, "not this one", 0});
  };
  const auto plan = job_plan_of_json(blob, rules);
  ASSERT_TRUE(plan.ok());
  EXPECT_EQ(asked, digest + " 5");
  EXPECT_EQ(plan->blob, digest);
  EXPECT_EQ(plan->document, R"({"image":{"blob":")" + digest + R"(","path":"/api/v1/blobs/)" + digest +
                                R"(","url":"https://hub/link"}})");
  EXPECT_TRUE(job_plan_of_json(R"({"id":"j","image":{"url":"https://good/x"},"things":["a"]})", rules).ok());
  const auto other = job_plan_of_json(R"({"id":"j","image":{"url":"https://bad/x"},"things":["a"]})", rules);
  ASSERT_FALSE(other.ok());
  EXPECT_EQ(other.error().message, "not this one");
  EXPECT_NE(why_not(R"({"id":"j","image":{"url":"https://h","link_minutes":5},"things":["a"]})"), "");
  EXPECT_NE(why_not(R"({"id":"j","image":{"blob":")" + digest + R"(","link_minutes":10081},"things":["a"]})"), "");
}

TEST(ImageLink, SaysWhatIsSigned) {
  EXPECT_EQ(image_link("abc", 17, "f0"), "/api/v1/device-images/abc?expires=17&signature=f0");
  EXPECT_EQ(image_link_text("abc", 17), "heptane device image\nabc\n17");
  EXPECT_EQ(link_expiry("17"), 17);
  for (const char* wrong : {"", "0", "-1", "017", "17 ", "1e3", "x", "9999999999999"})
    EXPECT_FALSE(link_expiry(wrong)) << wrong;
}

TEST(JobPlan, PaceIsTheRate) {
  for (const uint32_t per_minute : {1U, 7U, 60U, 90U, 1'000U, 100'000U, kPerMinuteMax}) {
    const Pace pace = pace_of(per_minute);
    ASSERT_GT(pace.things, 0U);
    const double rate = 60e9 * pace.things / static_cast<double>(pace.wait);
    EXPECT_NEAR(rate, per_minute, per_minute * 1e-3) << per_minute;
  }
  EXPECT_EQ(pace_of(0).wait, 0);
}

TEST(JobPlan, Thresholds) {
  JobPlan plan;
  plan.abort_percent = 50;
  plan.abort_minimum = 4;
  JobCounts counts{};
  counts[static_cast<size_t>(JobStatus::failed)] = 2;
  counts[static_cast<size_t>(JobStatus::succeeded)] = 1;
  counts[static_cast<size_t>(JobStatus::canceled)] = 9;
  EXPECT_FALSE(is_to_abort(plan, counts));
  counts[static_cast<size_t>(JobStatus::succeeded)] = 2;
  EXPECT_TRUE(is_to_abort(plan, counts));
  counts[static_cast<size_t>(JobStatus::succeeded)] = 3;
  EXPECT_FALSE(is_to_abort(plan, counts));
  plan.stages = {1, 50, 100};
  EXPECT_EQ(stage_limit(plan, 0, counts), 1U);
  EXPECT_EQ(stage_limit(plan, 1, counts), 7U);
  EXPECT_EQ(stage_limit(plan, 2, counts), 14U);
}

}  // namespace heptane::iot::devices
