// What things write to their jobs' topics, read into requests, and what an operator says of a job: JSON by the one reader. Nothing is
// read that is longer than kJobRequestBytesMax. Pure; any thread.
#pragma once

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

// An operator's job. invalid_argument: what is wrong with it, for a person.
Result<JobPlan> job_plan_of_json(std::string text);

}  // namespace heptane::iot::devices
