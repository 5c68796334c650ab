// What a thing asks about its jobs, over the topics of AWS IoT's jobs service, and what it is told when that is refused. Pure; any
// thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "kernel/base/bytes.h"
#include "modules/iot/domain/devices/job_execution.h"

namespace heptane::iot::devices {

constexpr std::string_view kNextJob = "$next";    // in place of a job's identifier: the one that is next
constexpr size_t kTopicJobIdBytesMax = 128;       // longer ones are not answered: the answer's topic must fit
constexpr size_t kJobRequestBytesMax = 32 << 10;  // of a request
constexpr size_t kJobTokenBytesMax = 64;          // of a client token
constexpr size_t kJobsInFlight = 10;              // requests of a thing without their answers

enum class JobOperation : uint8_t { get_pending = 0, start_next = 1, describe = 2, update = 3 };

// The numbers are the log's; codes are AWS IoT's.
enum class JobFault : uint8_t {
  none = 0,
  invalid_json = 1,
  invalid_topic = 2,
  too_large = 3,
  invalid_client_token = 4,
  invalid_status = 5,
  invalid_details = 6,
  invalid_version = 7,
  invalid_number = 8,
  invalid_flag = 9,
  invalid_step = 10,
  no_thing = 11,
  no_execution = 12,
  version_mismatch = 13,
  invalid_transition = 14,
  terminal = 15,
  throttled = 16,
  invalid_job = 17,
  no_room = 18,
};
constexpr JobFault kLastJobFault = JobFault::no_room;

// `$aws/things/THING/jobs/get`, `…/start-next`, `…/JOB/get`, `…/JOB/update`
struct JobTopic {
  std::string_view thing;
  std::string_view job;  // empty: of none; may be $next, or none that is possible
  JobOperation operation = JobOperation::get_pending;
};
// A topic to publish requests to; nullopt: it is none.
std::optional<JobTopic> parse_job_topic(std::string_view topic);
// The job's identifier cannot be one that this operation takes.
bool is_possible(const JobTopic& topic);

struct JobRequest {
  JobOperation operation = JobOperation::get_pending;
  JobFault fault = JobFault::none;  // found by who read it
  std::string thing;
  std::string job;
  std::string client_token;                   // empty: none
  JobStatus status = JobStatus::in_progress;  // of an update
  std::optional<JobDetails> details;
  std::optional<uint64_t> expected_version;
  std::optional<uint64_t> number;       // only if it is this execution
  std::optional<int64_t> step_minutes;  // -1: the time-out that the thing said is over
  bool include_state = false;
  bool include_document = true;
};
void append_request(ByteWriter& out, const JobRequest& request);
JobRequest read_job_request(ByteReader& in);

// The topic of its answer: `accepted` or `rejected`.
std::string answer_topic(const JobRequest& request, std::string_view answer);
// Below `$aws/things/THING/jobs/`.
std::string job_topic(std::string_view thing, std::string_view rest);
// `state`: of the execution, as state_json() has it; empty: without.
std::string rejection(const JobRequest& request, JobFault fault, std::string_view state, int64_t now_s);
std::string_view code_text(JobFault fault);  // `InvalidRequest`; of none: empty

}  // namespace heptane::iot::devices
