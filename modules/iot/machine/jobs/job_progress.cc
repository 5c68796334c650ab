// What follows from a change of an execution: things hear what is open for them, the job goes on, stops or is at its end.

#include <algorithm>

#include "kernel/base/assert.h"
#include "modules/iot/domain/devices/json_object.h"
#include "modules/iot/machine/jobs/jobs_machine.h"

namespace heptane::iot::devices {

namespace {

constexpr std::string_view kExecutionEvents = "$aws/events/jobExecution/";
constexpr std::string_view kJobEvents = "$aws/events/job/";
constexpr std::string_view kEmptyList = "[]";
constexpr std::string_view kAborted = "abort threshold";

std::string counts_json(const JobCounts& counts) {
  JsonObject out;
  for (size_t i = 0; i < kJobStatuses; ++i)
    if (counts[i] > 0) out.number(status_text(static_cast<JobStatus>(i)), counts[i]);
  return out.end();
}

std::string event_word(JobStatus status) {
  std::string word(status_text(status));
  for (char& c : word)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return word;
}

}  // namespace

// One that ends, wherever it stood.
void JobsMachine::end_execution(Job& job, const std::string& thing, HeldExecution& held, JobStatus status,
                                const Now& now) {
  const JobStatus before = held.execution.status;
  const bool by_device = moves(before, status, Mover::device);
  HEPTANE_ASSERT(by_device || moves(before, status, Mover::server), "an execution ends as the table says");
  if (held.timer != 0) now.effects.cancel(held.timer);
  held.timer = 0;
  held.execution.job_due = held.execution.step_due = 0;
  held.execution.updated_s = now.seconds();
  if (is_open(before)) ++held.execution.version;
  const uint64_t next = is_open(before) ? jobs_.next_of(thing) : 0;
  jobs_.set_status(job, thing, held, status);
  if (before == JobStatus::waiting && held.execution.version == 0) return;  // nobody knew of it
  tell_end(job, thing, held.execution, now);
  if (is_open(before) && status != JobStatus::removed) tell_open(thing, next, now);
}

// No more things get it. It is told when all is canceled.
void JobsMachine::stop(Job& job, std::string_view reason, bool force, const Now& now) {
  job.row.state = JobState::canceled;
  job.row.forced = job.row.forced || force;
  if (!reason.empty()) job.row.reason = reason;
  job.row.updated = now.time;
  if (job.row.ended == 0) job.row.ended = now.time;
  job.sweeping = true;
  job.swept_upto.clear();
  work_at(job, now.time, now);
}

void JobsMachine::advance(Job& job, const Now& now) {
  if (!job.works()) return;
  const JobCounts& counts = job.row.counts;
  if (is_to_abort(job.row.plan, counts)) return stop(job, kAborted, false, now);
  const bool waiting = count_of(counts, JobStatus::waiting) > 0;
  if (!job.row.found) return;
  if (!waiting && devices::open_of(counts) == 0) {
    job.row.state = JobState::completed;
    job.row.updated = job.row.ended = now.time;
    return tell_job(job, "completed", now);
  }
  if (!waiting || job.step != 0) return;
  const auto is_last = [&] { return static_cast<size_t>(job.row.stage) + 1 >= job.row.plan.stages.size(); };
  while (!may_release(job) && !is_last() && is_stage_over(job.row.plan, counts)) ++job.row.stage;
  if (may_release(job)) work_at(job, std::max(now.time, job.next_release), now);
}

bool JobsMachine::may_release(const Job& job) const {
  const JobCounts& counts = job.row.counts;
  const uint64_t waiting = count_of(counts, JobStatus::waiting);
  return waiting > 0 && total_of(counts) - waiting < stage_limit(job.row.plan, job.row.stage, counts);
}

// In place of what was to be next.
void JobsMachine::work_at(Job& job, LogTime due, const Now& now) {
  if (job.step != 0) now.effects.cancel(job.step);
  ByteWriter payload;
  payload.le<uint64_t>(job.number);
  job.step = now.effects.arm(due, kStepJob, payload.view());
}

void JobsMachine::time_out_at_due(const Job& job, std::string_view thing, HeldExecution& held, const Now& now) {
  if (held.timer != 0) now.effects.cancel(held.timer);
  held.timer = 0;
  if (held.execution.due() == 0) return;
  ByteWriter payload;
  payload.le<uint64_t>(job.number);
  payload.le<uint64_t>(held.execution.number);
  append_text(payload, thing);
  held.timer = now.effects.arm(held.execution.due(), kTimeOutExecution, payload.view());
}

// The list that the thing has open has changed.
void JobsMachine::tell_open(std::string_view thing, uint64_t next_before, const Now& now) {
  const Lists lists = lists_of(thing);
  JsonObject jobs;
  if (lists.in_progress != kEmptyList) jobs.raw("IN_PROGRESS", lists.in_progress);
  if (lists.queued != kEmptyList) jobs.raw("QUEUED", lists.queued);
  JsonObject out;
  out.number("timestamp", static_cast<uint64_t>(now.seconds())).raw("jobs", jobs.end());
  notes_.add(job_topic(thing, "notify"), out.end());
  if (jobs_.next_of(thing) != next_before) tell_next(thing, now);
}

void JobsMachine::tell_next(std::string_view thing, const Now& now) {
  const std::string topic = job_topic(thing, "notify-next");
  const Job* job = jobs_.find(jobs_.next_of(thing));
  const std::string stamp = std::to_string(now.seconds());
  if (job == nullptr) return notes_.add(topic, "{\"timestamp\":" + stamp + "}");
  const JobExecution& execution = jobs_.find_execution(job->number, thing)->execution;
  const ExecutionParts parts = execution_parts(job->id(), thing, execution, now.time);
  const std::string before = "{\"timestamp\":" + stamp + ",\"execution\":";
  if (job->number == document_of_) return notes_.add_with_document(topic, parts, before, "}");
  notes_.add(topic, before + parts.head + job->row.plan.document + parts.tail + "}");
}

// Without details where there are many of them: a command's notes are bounded, and lists of executions have them.
void JobsMachine::tell_end(const Job& job, std::string_view thing, const JobExecution& execution, const Now& now) {
  const std::string word = event_word(execution.status);
  JsonObject out;
  out.text("eventType", "JOB_EXECUTION").text("operation", word).text("jobId", job.id()).text("thingName", thing);
  out.text("status", status_text(execution.status));
  if (notes_.bytes() < kStepBytes) out.raw("statusDetails", details_json(execution.details));
  out.number("executionNumber", execution.number).number("versionNumber", execution.version);
  out.number("timestamp", static_cast<uint64_t>(now.seconds()));
  notes_.add(std::string(kExecutionEvents) + job.id() + "/" + word, out.end());
}

void JobsMachine::tell_job(const Job& job, std::string_view operation, const Now& now) {
  JsonObject out;
  out.text("eventType", "JOB").text("operation", operation).text("jobId", job.id());
  out.text("status", state_text(job.row.state));
  if (!job.row.reason.empty()) out.text("comment", job.row.reason);
  out.raw("counts", counts_json(job.row.counts)).number("timestamp", static_cast<uint64_t>(now.seconds()));
  notes_.add(std::string(kJobEvents) + job.id() + "/" + std::string(operation), out.end());
}

// The oldest of each status.
JobsMachine::Lists JobsMachine::lists_of(std::string_view thing) const {
  std::string lists[2];
  size_t counts[2] = {};
  for (const uint64_t number : jobs_.open_of(thing)) {
    const JobExecution& execution = jobs_.find_execution(number, thing)->execution;
    const size_t which = execution.status == JobStatus::in_progress ? 0 : 1;
    if (counts[which]++ >= kPendingShown) continue;
    lists[which] += (lists[which].empty() ? "" : ",") + summary_json(jobs_.find(number)->id(), execution);
  }
  return {"[" + lists[0] + "]", "[" + lists[1] + "]"};
}

}  // namespace heptane::iot::devices
