// A job's work, a slice at a time: its targets are found, get it at its rate and stage by stage, lose it when it is canceled, and are
// forgotten when it is deleted. And what a thing did not finish in time.

#include "kernel/blobs/blobs_machine.h"
#include "modules/iot/machine/jobs/jobs_machine.h"

namespace heptane::iot::devices {

namespace {

constexpr LogTime kAgainNs = 100'000'000;    // the broker has no room
constexpr LogTime kFullNs = 10'000'000'000;  // state is at its bound
constexpr size_t kFoundEach = 1'000;         // of a group, in a slice
constexpr std::string_view kTooManyJobs = "the server keeps no more executions of jobs";

}  // namespace

bool JobsMachine::slice_is_full(size_t changes, size_t visits) const {
  return changes >= kStepThings || visits >= kStepVisits || notes_.bytes() >= kStepBytes;
}

void JobsMachine::apply_step(const Command& command, Effects& effects) {
  ByteReader in(command.payload);
  Job* job = jobs_.find(in.le<uint64_t>());
  if (!in.complete() || job == nullptr) return effects.reply(0);
  const Now now{command.time, effects};
  job->step = 0;
  if (has_room(effects))
    step(*job, now);
  else
    work_at(*job, command.time + kAgainNs, now);
  tell(command, effects);
  effects.reply(0);
}

void JobsMachine::step(Job& job, const Now& now) {
  if (job.row.state == JobState::deleting) return sweep_all(job, now);
  if (job.sweeping) return sweep_open(job, now);
  if (!job.works()) return;
  if (!job.row.found)
    find_targets(job, now);
  else if (jobs_.bytes() > limits_.bytes)
    return work_at(job, now.time + kFullNs, now);
  else
    release(job, now);
  advance(job, now);
}

void JobsMachine::find_targets(Job& job, const Now& now) {
  const JobPlan& plan = job.row.plan;
  const Registry& registry = now.effects.port<DevicesMachine>(kDevicesMachineId).registry();
  for (; job.things_found < plan.things.size(); ++job.things_found) {
    const std::string& thing = plan.things[job.things_found];
    if (const auto created = registry.created(thing)) add_target(job, thing, *created);
  }
  if (job.groups_found < plan.groups.size()) find_of_group(job, now);
  const bool fits = jobs_.executions_count() <= limits_.executions && jobs_.bytes() <= limits_.bytes;
  if (!fits) return stop(job, kTooManyJobs, false, now);
  job.row.found = job.groups_found == plan.groups.size();
  if (!job.row.found) work_at(job, now.time, now);
}

// One that was registered behind the job is another thing.
void JobsMachine::add_target(Job& job, std::string_view thing, LogTime created) {
  if (created <= job.row.created) jobs_.add_execution(job, thing);
}

void JobsMachine::find_of_group(Job& job, const Now& now) {
  ThingsQuery query;
  query.after = job.found_upto;
  query.limit = kFoundEach;
  const std::string& group = job.row.plan.groups[job.groups_found];
  const auto fleet = job.fleets.find(group);
  if (fleet != job.fleets.end())
    query.query = fleet->second;
  else
    query.group = group;
  Reply reply;
  now.effects.port<DevicesMachine>(kDevicesMachineId).registry().page(query, reply);
  const auto page = reply.ok() ? decode_things_page(reply.payload.view()) : std::nullopt;
  if (!page) return stop(job, "its targets cannot be looked up", false, now);
  for (const ThingRow& row : page->rows) add_target(job, row.thing.name, row.created);
  job.found_upto = page->last;
  if (reply.numbers[1] != 0) return;
  job.found_upto.clear();
  ++job.groups_found;
}

// So many at once as its rate says; the next ones wait as long as these are worth.
void JobsMachine::release(Job& job, const Now& now) {
  const Pace pace = pace_of(job.row.plan.per_minute);
  notes_.set_document(job.row.plan.document);
  document_of_ = job.number;
  size_t released = 0;
  size_t visits = 0;
  const auto more = [&] { return job.works() && may_release(job) && released < pace.things; };
  for (auto at = jobs_.behind(job.number, job.released_upto); at != jobs_.end() && at->first.first == job.number;
       ++at) {
    if (!more() || slice_is_full(released, visits)) break;
    visits += 1 + jobs_.open_of(at->first.second).size();
    job.released_upto = at->first.second;
    if (at->second.execution.status != JobStatus::waiting) continue;
    release_one(job, at->first.second, at->second, now);
    ++released;
  }
  job.next_release = now.time + pace.wait * static_cast<LogTime>(released) / pace.things;
  if (job.works() && may_release(job)) work_at(job, job.next_release, now);
}

void JobsMachine::release_one(Job& job, const std::string& thing, HeldExecution& held, const Now& now) {
  JobExecution& execution = held.execution;
  execution.number = jobs_.next_execution_number();
  execution.queued_s = execution.updated_s = now.seconds();
  execution.version = 1;
  const auto created = now.effects.port<DevicesMachine>(kDevicesMachineId).registry().created(thing);
  if (!created || *created > job.row.created)  // gone, or another one of that name
    return end_execution(job, thing, held, JobStatus::removed, now);
  if (jobs_.open_of(thing).size() >= kOpenOfThing) {
    jobs_.set_details(held, {{"reason", "50 jobs are open for the thing"}});
    return end_execution(job, thing, held, JobStatus::rejected, now);
  }
  const uint64_t next = jobs_.next_of(thing);
  jobs_.set_status(job, thing, held, JobStatus::queued);
  tell_open(thing, next, now);
}

// What is in progress stays so, and may end as it will, where it is not forced.
void JobsMachine::sweep_open(Job& job, const Now& now) {
  size_t changes = 0;
  size_t visits = 0;
  auto at = jobs_.behind(job.number, job.swept_upto);
  while (at != jobs_.end() && at->first.first == job.number) {
    if (slice_is_full(changes, visits)) return work_at(job, now.time, now);
    const auto one = at++;
    visits += 1 + jobs_.open_of(one->first.second).size();
    job.swept_upto = one->first.second;
    if (!job.row.found) {  // nobody knows of it, and it may be why there is no room
      jobs_.erase_execution(job, one);
      continue;
    }
    const JobStatus status = one->second.execution.status;
    const bool stays = status == JobStatus::in_progress && !job.row.forced;
    if (stays || !moves(status, JobStatus::canceled, Mover::server)) continue;
    if (is_open(status)) ++changes;
    end_execution(job, one->first.second, one->second, JobStatus::canceled, now);
  }
  job.sweeping = false;
  job.swept_upto.clear();
  tell_job(job, "canceled", now);
}

void JobsMachine::sweep_all(Job& job, const Now& now) {
  size_t changes = 0;
  size_t visits = 0;
  for (auto at = jobs_.behind(job.number, ""); at != jobs_.end() && at->first.first == job.number;) {
    if (slice_is_full(changes, visits)) return work_at(job, now.time, now);
    const std::string thing = at->first.second;
    visits += 1 + jobs_.open_of(thing).size();
    const uint64_t next = jobs_.next_of(thing);
    const bool open = is_open(at->second.execution.status);
    if (at->second.timer != 0) now.effects.cancel(at->second.timer);
    jobs_.erase_execution(job, at++);
    if (!open) continue;
    tell_open(thing, next, now);
    ++changes;
  }
  tell_job(job, "deleted", now);
  if (const auto digest = blobs::parse_digest(job.row.plan.blob))
    now.effects.port<blobs::BlobsMachine>(machine_ids::kBlobs).release(*digest);
  jobs_.erase(job);
}

void JobsMachine::apply_time_out(const Command& command, Effects& effects) {
  ByteReader in(command.payload);
  const auto number = in.le<uint64_t>();
  const auto execution = in.le<uint64_t>();
  const std::string thing(read_text(in, kNameLimitBytes));
  Job* job = jobs_.find(number);
  HeldExecution* held = jobs_.find_execution(number, thing);
  const bool its = job != nullptr && held != nullptr && held->execution.number == execution;
  if (!in.complete() || !its || held->execution.status != JobStatus::in_progress) return effects.reply(0);
  const Now now{command.time, effects};
  held->timer = 0;
  if (has_room(effects)) {
    end_execution(*job, thing, *held, JobStatus::timed_out, now);
    advance(*job, now);
  } else {
    held->timer = effects.arm(command.time + kAgainNs, kTimeOutExecution, command.payload);
  }
  tell(command, effects);
  effects.reply(0);
}

}  // namespace heptane::iot::devices
