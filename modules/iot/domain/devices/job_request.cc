#include "modules/iot/domain/devices/job_request.h"

#include "modules/iot/domain/devices/json_object.h"
#include "modules/iot/domain/devices/thing.h"
#include "modules/iot/domain/topics/topics.h"

namespace heptane::iot::devices {

namespace {

constexpr std::string_view kThings = "$aws/things/";

struct FaultRow {
  JobFault fault;
  std::string_view code;
  std::string_view text;
};
constexpr FaultRow kFaults[] = {
    {JobFault::none, "", ""},
    {JobFault::invalid_json, "InvalidJson", "The request is not a JSON object in UTF-8"},
    {JobFault::invalid_topic, "InvalidTopic", "The topic names no job"},
    {JobFault::too_large, "InvalidRequest", "The request is longer than 32 KiB"},
    {JobFault::invalid_client_token, "InvalidRequest", "clientToken must be a text of at most 64 bytes"},
    {JobFault::invalid_status, "InvalidRequest", "status must be IN_PROGRESS, SUCCEEDED, FAILED or REJECTED"},
    {JobFault::invalid_details, "InvalidRequest",
     "statusDetails must be at most 10 texts of at most 1,024 bytes without control characters"},
    {JobFault::invalid_version, "InvalidRequest", "expectedVersion must be a number"},
    {JobFault::invalid_number, "InvalidRequest", "executionNumber must be a number"},
    {JobFault::invalid_flag, "InvalidRequest", "includeJobDocument and includeJobExecutionState are true or false"},
    {JobFault::invalid_step, "InvalidRequest", "stepTimeoutInMinutes must be 1 to 10080; in an update also -1"},
    {JobFault::no_thing, "ResourceNotFound", "Thing not found"},
    {JobFault::no_execution, "ResourceNotFound", "The thing has no such job execution"},
    {JobFault::version_mismatch, "VersionMismatch", "The job execution has another version"},
    {JobFault::invalid_transition, "InvalidStateTransition", "The job execution cannot get this status"},
    {JobFault::terminal, "TerminalStateReached", "The job execution is at its end"},
    {JobFault::throttled, "RequestThrottled", "Too many requests"},
    {JobFault::invalid_job, "InvalidRequest", "jobId must be the one of the topic"},
    {JobFault::no_room, "RequestThrottled", "The server keeps no more statusDetails: send fewer, or none"},
};

const FaultRow& row_of(JobFault fault) {
  for (const FaultRow& row : kFaults)
    if (row.fault == fault) return row;
  return kFaults[0];
}

std::string_view word_of(JobOperation operation) {
  switch (operation) {
    case JobOperation::get_pending: return "get";
    case JobOperation::start_next: return "start-next";
    case JobOperation::describe: return "get";
    case JobOperation::update: return "update";
  }
  return "";
}

bool is_of_a_job(JobOperation operation) {
  return operation == JobOperation::describe || operation == JobOperation::update;
}

void append_optional(ByteWriter& out, const std::optional<uint64_t>& value) {
  out.u8(value ? 1 : 0);
  out.le<uint64_t>(value.value_or(0));
}
std::optional<uint64_t> read_optional(ByteReader& in) {
  const bool there = in.u8() != 0;
  const auto value = in.le<uint64_t>();
  return there ? std::optional(value) : std::nullopt;
}

}  // namespace

std::string_view code_text(JobFault fault) { return row_of(fault).code; }

std::optional<JobTopic> parse_job_topic(std::string_view topic) {
  if (!topic.starts_with(kThings)) return std::nullopt;
  Levels levels(topic.substr(kThings.size()));
  JobTopic parsed;
  parsed.thing = levels.next().value_or("");
  if (!valid_name(parsed.thing) || levels.next().value_or("") != "jobs") return std::nullopt;
  const std::string_view word = levels.next().value_or("");
  if (levels.done()) {
    if (word != "get" && word != "start-next") return std::nullopt;
    parsed.operation = word == "get" ? JobOperation::get_pending : JobOperation::start_next;
    return parsed;
  }
  parsed.job = word;
  const std::string_view operation = levels.next().value_or("");
  const bool known = operation == "get" || operation == "update";
  if (!known || !levels.done() || word.empty() || word.size() > kTopicJobIdBytesMax) return std::nullopt;
  parsed.operation = operation == "get" ? JobOperation::describe : JobOperation::update;
  return parsed;
}

bool is_possible(const JobTopic& topic) {
  if (!is_of_a_job(topic.operation) || valid_job_id(topic.job)) return true;
  return topic.operation == JobOperation::describe && topic.job == kNextJob;
}

void append_request(ByteWriter& out, const JobRequest& request) {
  out.u8(static_cast<uint8_t>(request.operation));
  out.u8(static_cast<uint8_t>(request.fault));
  append_text(out, request.thing);
  append_text(out, request.job);
  append_text(out, request.client_token);
  out.u8(static_cast<uint8_t>(request.status));
  out.u8(request.details ? 1 : 0);
  if (request.details) append_details(out, *request.details);
  append_optional(out, request.expected_version);
  append_optional(out, request.number);
  out.u8(request.step_minutes ? 1 : 0);
  out.le<int64_t>(request.step_minutes.value_or(0));
  out.u8(request.include_state ? 1 : 0);
  out.u8(request.include_document ? 1 : 0);
}

JobRequest read_job_request(ByteReader& in) {
  JobRequest request;
  const uint8_t operation = in.u8();
  const uint8_t fault = in.u8();
  request.operation = static_cast<JobOperation>(operation);
  request.fault = static_cast<JobFault>(fault);
  request.thing = read_text(in, kNameLimitBytes);
  request.job = read_text(in, kTopicJobIdBytesMax);
  request.client_token = read_text(in, kJobTokenBytesMax);
  const uint8_t status = in.u8();
  request.status = static_cast<JobStatus>(status);
  if (in.u8() != 0) request.details = read_details(in);
  request.expected_version = read_optional(in);
  request.number = read_optional(in);
  const bool has_step = in.u8() != 0;
  const auto step = in.le<int64_t>();
  if (has_step) request.step_minutes = step;
  request.include_state = in.u8() != 0;
  request.include_document = in.u8() != 0;
  const bool known = operation <= static_cast<uint8_t>(JobOperation::update) &&
                     fault <= static_cast<uint8_t>(kLastJobFault) && status < kJobStatuses;
  const bool within = step >= -1 && step <= kTimeOutMinutesMax;
  if (!known || !within || !valid_name(request.thing) || is_of_a_job(request.operation) == request.job.empty())
    in.fail();
  return request;
}

std::string job_topic(std::string_view thing, std::string_view rest) {
  std::string topic(kThings);
  topic += thing;
  topic += "/jobs/";
  topic += rest;
  return topic;
}

std::string answer_topic(const JobRequest& request, std::string_view answer) {
  std::string rest;
  if (is_of_a_job(request.operation)) rest += request.job + "/";
  rest += word_of(request.operation);
  rest += '/';
  rest += answer;
  return job_topic(request.thing, rest);
}

std::string rejection(const JobRequest& request, JobFault fault, std::string_view state, int64_t now_s) {
  const FaultRow& row = row_of(fault);
  JsonObject out;
  out.text("code", row.code).text("message", row.text).number("timestamp", static_cast<uint64_t>(now_s));
  if (!state.empty()) out.raw("executionState", state);
  return out.end(request.client_token);
}

}  // namespace heptane::iot::devices
