// What things ask about their jobs, each request one command with its answer.

#include "modules/iot/domain/devices/json_object.h"
#include "modules/iot/machine/jobs/jobs_machine.h"

namespace heptane::iot::devices {

namespace {

constexpr LogTime kNsPerMinute = 60'000'000'000;

}  // namespace

void JobsMachine::apply_request(const Command& command, Effects& effects) {
  const auto request = decode_job_request(command.payload);
  if (!request) return effects.refuse(Errc::invalid_argument, 0, "the command is no request of a thing");
  if (!begin(command.sequence, effects)) return;
  const JobPlace before = place(effects);
  const JobFault fault = answer(*request, {command.time, effects});
  tell(command, effects);
  reply(effects, before, static_cast<int64_t>(fault));
}

JobFault JobsMachine::answer(const JobRequest& request, const Now& now) {
  JobFault fault = request.fault;
  const bool known = now.effects.port<DevicesMachine>(kDevicesMachineId).registry().has(request.thing);
  if (fault == JobFault::none && !known) fault = JobFault::no_thing;
  if (fault != JobFault::none) {
    reject(request, fault, nullptr, now);
    return fault;
  }
  switch (request.operation) {
    case JobOperation::get_pending: return get_pending(request, now);
    case JobOperation::start_next: return start_next(request, now);
    case JobOperation::describe: return describe(request, now);
    case JobOperation::update: return update(request, now);
  }
  return fault;
}

void JobsMachine::reject(const JobRequest& request, JobFault fault, const JobExecution* execution, const Now& now) {
  const std::string state = execution == nullptr ? std::string() : state_json(*execution);
  notes_.add(answer_topic(request, "rejected"), rejection(request, fault, state, now.seconds()));
}

JobFault JobsMachine::get_pending(const JobRequest& request, const Now& now) {
  const Lists lists = lists_of(request.thing);
  JsonObject out;
  out.raw("inProgressJobs", lists.in_progress).raw("queuedJobs", lists.queued);
  out.number("timestamp", static_cast<uint64_t>(now.seconds()));
  notes_.add(answer_topic(request, "accepted"), out.end(request.client_token));
  return JobFault::none;
}

// The answer has an execution without members when there is none.
void JobsMachine::accept_execution(const JobRequest& request, const Job* job, const HeldExecution* held,
                                   const Now& now) {
  std::string execution = "{}";
  if (job != nullptr) {
    const std::string_view document = request.include_document ? job->row.plan.document : std::string_view();
    execution = execution_json(job->id(), request.thing, held->execution, document, now.time);
  }
  JsonObject out;
  out.raw("execution", execution).number("timestamp", static_cast<uint64_t>(now.seconds()));
  notes_.add(answer_topic(request, "accepted"), out.end(request.client_token));
}

JobsMachine::Found JobsMachine::find(const JobRequest& request) {
  const bool next = request.job == kNextJob;
  Job* job = next ? jobs_.find(jobs_.next_of(request.thing)) : jobs_.find(request.job);
  if (next && job == nullptr) return {};
  HeldExecution* held = job == nullptr ? nullptr : jobs_.find_execution(job->number, request.thing);
  const bool seen = held != nullptr && held->execution.version > 0;
  const bool its = seen && (!request.number || *request.number == held->execution.number);
  if (!its) return {JobFault::no_execution, nullptr, nullptr};
  return {JobFault::none, job, held};
}

JobFault JobsMachine::describe(const JobRequest& request, const Now& now) {
  Found found = find(request);
  const bool terminal = found.held != nullptr && is_ended(found.held->execution.status);
  if (terminal) found.fault = JobFault::terminal;
  if (found.fault != JobFault::none)
    reject(request, found.fault, nullptr, now);
  else
    accept_execution(request, found.job, found.held, now);
  return found.fault;
}

// Where state is at its bound an execution may go on, but with no more details than it has.
bool JobsMachine::has_room_for(const HeldExecution& held, const JobRequest& request) const {
  if (!request.details) return true;
  const size_t before = Jobs::bytes_of(held.execution.details);
  const size_t after = Jobs::bytes_of(*request.details);
  return after <= before || jobs_.bytes() + (after - before) <= limits_.bytes;
}

// One that is in progress is given again as it is, but for the time that the thing says.
JobFault JobsMachine::start_next(const JobRequest& request, const Now& now) {
  Job* job = jobs_.find(jobs_.next_of(request.thing));
  HeldExecution* held = job == nullptr ? nullptr : jobs_.find_execution(job->number, request.thing);
  const bool starts = job != nullptr && held->execution.status == JobStatus::queued;
  if (starts && !has_room_for(*held, request)) {
    reject(request, JobFault::no_room, nullptr, now);
    return JobFault::no_room;
  }
  if (starts) {
    change(*job, *held, request, JobStatus::in_progress, now);
  } else if (job != nullptr && request.step_minutes) {
    held->execution.step_due = now.time + *request.step_minutes * kNsPerMinute;
    time_out_at_due(*job, request.thing, *held, now);
  }
  accept_execution(request, job, held, now);
  return JobFault::none;
}

JobFault JobsMachine::update(const JobRequest& request, const Now& now) {
  const Found found = find(request);
  const JobExecution* execution = found.held == nullptr ? nullptr : &found.held->execution;
  JobFault fault = found.fault;
  if (fault == JobFault::none && request.expected_version && *request.expected_version != execution->version)
    fault = JobFault::version_mismatch;
  if (fault == JobFault::none && !moves(execution->status, request.status, Mover::device))
    fault = JobFault::invalid_transition;
  if (fault == JobFault::none && !has_room_for(*found.held, request)) fault = JobFault::no_room;
  if (fault != JobFault::none) {
    reject(request, fault, execution, now);
    return fault;
  }
  // The answer comes before what follows from the change.
  JobExecution changed = *execution;
  ++changed.version;
  changed.status = request.status;
  if (request.details) changed.details = *request.details;
  JsonObject out;
  if (request.include_state) out.raw("executionState", state_json(changed));
  if (request.include_document) out.raw("jobDocument", found.job->row.plan.document);
  out.number("timestamp", static_cast<uint64_t>(now.seconds()));
  notes_.add(answer_topic(request, "accepted"), out.end(request.client_token));
  change(*found.job, *found.held, request, request.status, now);
  advance(*found.job, now);
  return fault;
}

void JobsMachine::change(Job& job, HeldExecution& held, const JobRequest& request, JobStatus status, const Now& now) {
  JobExecution& execution = held.execution;
  if (request.details) jobs_.set_details(held, *request.details);
  if (is_ended(status)) return end_execution(job, request.thing, held, status, now);
  if (execution.started_s == 0) {
    execution.started_s = now.seconds();
    const auto minutes = static_cast<LogTime>(job.row.plan.timeout_minutes);
    execution.job_due = minutes == 0 ? 0 : now.time + minutes * kNsPerMinute;
  }
  if (request.step_minutes)
    execution.step_due = *request.step_minutes < 0 ? 0 : now.time + *request.step_minutes * kNsPerMinute;
  ++execution.version;
  execution.updated_s = now.seconds();
  const uint64_t next = jobs_.next_of(request.thing);
  jobs_.set_status(job, request.thing, held, status);
  time_out_at_due(job, request.thing, held, now);
  if (jobs_.next_of(request.thing) != next) tell_next(request.thing, now);
}

}  // namespace heptane::iot::devices
