#include "modules/iot/domain/devices/job_execution.h"

#include <algorithm>

#include "modules/iot/domain/devices/json_object.h"
#include "modules/iot/domain/devices/thing.h"

namespace heptane::iot::devices {

namespace {

constexpr LogTime kNsPerSecond = 1'000'000'000;

constexpr std::string_view kTexts[kJobStatuses] = {"WAITING",   "QUEUED",   "IN_PROGRESS", "SUCCEEDED", "FAILED",
                                                   "TIMED_OUT", "REJECTED", "REMOVED",     "CANCELED"};

bool is_control(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; }

void add_times(JsonObject& out, const JobExecution& execution) {
  out.number("queuedAt", static_cast<uint64_t>(execution.queued_s));
  if (execution.started_s != 0) out.number("startedAt", static_cast<uint64_t>(execution.started_s));
  out.number("lastUpdatedAt", static_cast<uint64_t>(execution.updated_s));
  out.number("versionNumber", execution.version).number("executionNumber", execution.number);
}

JsonObject execution_object(std::string_view job, std::string_view thing, const JobExecution& execution, LogTime now) {
  JsonObject out;
  out.text("jobId", job).text("thingName", thing).text("status", status_text(execution.status));
  if (!execution.details.empty()) out.raw("statusDetails", details_json(execution.details));
  add_times(out, execution);
  if (execution.due() != 0) {
    const LogTime left = std::max<LogTime>(0, execution.due() - now);
    out.number("approximateSecondsBeforeTimedOut", static_cast<uint64_t>(left / kNsPerSecond));
  }
  return out;
}

}  // namespace

std::string_view status_text(JobStatus status) { return kTexts[static_cast<size_t>(status)]; }

std::optional<JobStatus> status_of(std::string_view text) {
  for (size_t i = 0; i < kJobStatuses; ++i)
    if (kTexts[i] == text) return static_cast<JobStatus>(i);
  return std::nullopt;
}

bool valid_details(const JobDetails& details) {
  if (details.size() > kDetailsMax) return false;
  return std::all_of(details.begin(), details.end(), [](const auto& one) {
    const bool value =
        one.second.size() <= kDetailValueBytesMax && std::none_of(one.second.begin(), one.second.end(), is_control);
    return valid_name(one.first) && value;
  });
}

bool valid_job_id(std::string_view id) {
  return id.size() <= kJobIdBytesMax && valid_name(id) && id.find(':') == std::string_view::npos;
}

void append_details(ByteWriter& out, const JobDetails& details) {
  out.u8(static_cast<uint8_t>(details.size()));
  for (const auto& [name, value] : details) {
    append_text(out, name);
    append_text(out, value);
  }
}

JobDetails read_details(ByteReader& in) {
  JobDetails details;
  const uint8_t count = in.u8();
  for (uint8_t i = 0; i < count && !in.failed(); ++i) {
    const std::string_view name = read_text(in, kDetailNameBytesMax);
    const std::string_view value = read_text(in, kDetailValueBytesMax);
    const bool ordered = details.empty() || details.rbegin()->first < name;
    if (!ordered) in.fail();
    details.emplace(name, value);
  }
  if (!valid_details(details)) in.fail();
  return details;
}

void append_execution(ByteWriter& out, const JobExecution& execution) {
  out.le<uint64_t>(execution.number);
  out.u8(static_cast<uint8_t>(execution.status));
  out.le<uint64_t>(execution.version);
  out.le<int64_t>(execution.queued_s);
  out.le<int64_t>(execution.started_s);
  out.le<int64_t>(execution.updated_s);
  out.le<LogTime>(execution.job_due);
  out.le<LogTime>(execution.step_due);
  append_details(out, execution.details);
}

JobExecution read_execution(ByteReader& in) {
  JobExecution execution;
  execution.number = in.le<uint64_t>();
  const uint8_t status = in.u8();
  if (status >= kJobStatuses) in.fail();
  execution.status = in.failed() ? JobStatus::waiting : static_cast<JobStatus>(status);
  execution.version = in.le<uint64_t>();
  execution.queued_s = in.le<int64_t>();
  execution.started_s = in.le<int64_t>();
  execution.updated_s = in.le<int64_t>();
  execution.job_due = in.le<LogTime>();
  execution.step_due = in.le<LogTime>();
  execution.details = read_details(in);
  return execution;
}

std::string execution_json(std::string_view job, std::string_view thing, const JobExecution& execution,
                           std::string_view document, LogTime now) {
  JsonObject out = execution_object(job, thing, execution, now);
  if (!document.empty()) out.raw("jobDocument", document);
  return out.end();
}

ExecutionParts execution_parts(std::string_view job, std::string_view thing, const JobExecution& execution,
                               LogTime now) {
  std::string text = execution_object(job, thing, execution, now).raw("jobDocument", "").end();
  text.pop_back();
  return {std::move(text), "}"};
}

std::string summary_json(std::string_view job, const JobExecution& execution) {
  JsonObject out;
  out.text("jobId", job);
  add_times(out, execution);
  return out.end();
}

std::string state_json(const JobExecution& execution) {
  JsonObject out;
  out.text("status", status_text(execution.status));
  out.raw("statusDetails", details_json(execution.details));
  return out.number("versionNumber", execution.version).end();
}

std::string details_json(const JobDetails& details) {
  JsonObject out;
  for (const auto& [name, value] : details) out.text(name, value);
  return out.end();
}

}  // namespace heptane::iot::devices
