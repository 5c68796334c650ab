// What things write to their jobs' topics, read into requests, and what an operator says of a job: JSON by the one reader. Nothing is
// read that is longer than kJobRequestBytesMax. Pure; any thread.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "kernel/base/result.h"
#include "modules/iot/domain/devices/job.h"
#include "modules/iot/domain/devices/job_request.h"

namespace heptane::iot::devices {

// A fault is the request's (JobRequest::fault), with the client token where it could be read.
JobRequest read_job_request(const JobTopic& topic, std::string_view payload);
// One that has this fault whatever it says.
JobRequest refused_job_request(const JobTopic& topic, std::string_view payload, JobFault fault);

// What the server makes of images; what is absent is not asked.
struct ImageRules {
  std::function<Result<void>(std::string_view url)> check_url{};
  // The link to a blob for so many minutes; absent: there are none.
  std::function<Result<std::string>(const std::string& digest, int64_t minutes)> link{};
};
// An operator's job. invalid_argument, or what a rule says: what is wrong with it, for a person.
Result<JobPlan> job_plan_of_json(std::string text, const ImageRules& rules = {});

}  // namespace heptane::iot::devices
