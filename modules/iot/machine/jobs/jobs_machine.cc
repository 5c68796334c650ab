#include "modules/iot/machine/jobs/jobs_machine.h"

#include "kernel/base/assert.h"
#include "kernel/blobs/blobs_machine.h"
#include "kernel/shard/audit_port.h"
#include "kernel/streams/streams_machine.h"
#include "modules/iot/machine/broker_machine.h"

namespace heptane::iot::devices {

namespace {

constexpr LogTime kNsPerSecond = 1'000'000'000;
constexpr size_t kNotesMax = 4 * kStepThings;
constexpr size_t kNoteBytesMax = size_t{768} << 10;  // of a command: a slice, and what the last thing of it is told

void audit(const Command& command, std::string_view action, std::string_view on, std::string_view detail,
           Effects& effects) {
  auto* trail = dynamic_cast<AuditPort*>(&effects.enlist(machine_ids::kAuth));
  HEPTANE_ASSERT(trail != nullptr, "the machine of users keeps the audit trail");
  trail->audit_done(command, action, on, detail, effects);
}

// A target that is not there; empty: all are.
std::string missing_target(const JobPlan& plan, const Registry& registry, const FleetsMachine& fleets) {
  for (const std::string& thing : plan.things)
    if (!registry.has(thing)) return "there is no thing " + thing;
  for (const std::string& group : plan.groups)
    if (!registry.has_group(group) && fleets.find(group) == nullptr)
      return "no thing is in the group " + group + ", and no fleet is called so";
  return {};
}

FleetQueries queries_of(const JobPlan& plan, const FleetsMachine& fleets) {
  FleetQueries queries;
  for (const std::string& group : plan.groups)
    if (const Fleet* fleet = fleets.find(group)) queries.emplace(group, fleet->query);
  return queries;
}

bool reference_blob(const std::string& blob, Effects& effects) {
  const auto digest = blobs::parse_digest(blob);
  return digest && effects.port<blobs::BlobsMachine>(machine_ids::kBlobs).reference(*digest);
}

void release_blob(const std::string& blob, Effects& effects) {
  if (const auto digest = blobs::parse_digest(blob))
    effects.port<blobs::BlobsMachine>(machine_ids::kBlobs).release(*digest);
}

}  // namespace

int64_t JobsMachine::Now::seconds() const { return time / kNsPerSecond; }

void JobsMachine::apply(const Command& command, Effects& effects) {
  if (scopes_ > 0) return effects.refuse(Errc::unsupported, 0, "what is done to jobs is a command of its own");
  notes_ = {};
  document_of_ = 0;
  switch (command.type) {
    case kCreateJob: apply_create(command, effects); break;
    case kCancelJob: apply_cancel(command, effects); break;
    case kDeleteJob: apply_delete(command, effects); break;
    case kJobRequest: apply_request(command, effects); break;
    case kStepJob: apply_step(command, effects); break;
    case kTimeOutExecution: apply_time_out(command, effects); break;
    default: effects.refuse(Errc::unsupported, 0, "the machine of jobs has no such command");
  }
  count();
}

// False: refused.
bool JobsMachine::begin(Sequence sequence, Effects& effects) {
  if (!has_room(effects)) {
    effects.refuse(Errc::overloaded, 0, "too many messages are on their way to durable sessions");
    return false;
  }
  auto& streams = effects.port<streams::StreamsMachine>(machine_ids::kStreams);
  const auto partition = streams.ensure_view(kJobsStream, kJobsView, sequence, {kJobsRetentionMs, kJobsRetentionBytes});
  if (!partition) {
    effects.refuse(Errc::exists, 0, "the stream iot.jobs was made by a client and has records: delete it");
    return false;
  }
  jobs_.set_partition(*partition);
  return true;
}

bool JobsMachine::has_room(Effects& effects) const {
  return effects.port<BrokerMachine>(kBrokerMachineId).has_room_to_announce() &&
         effects.room_for(kNotesMax, kNoteBytesMax);
}

JobPlace JobsMachine::place(const Effects& effects) const {
  return {jobs_.partition(), effects.next_offset(jobs_.partition())};
}

// What the command noted becomes records, and reaches durable sessions.
void JobsMachine::tell(const Command& command, Effects& effects) {
  if (notes_.count() == 0) return;
  const RecordPlace first{jobs_.partition(), effects.next_offset(jobs_.partition())};
  const Buffer notes = notes_.finish();
  effects.emit_view(first.partition, static_cast<uint32_t>(notes_.count()));
  effects.log_result(notes.view());
  auto& broker = effects.port<BrokerMachine>(kBrokerMachineId);
  broker.announce(announcement_of(notes.view()).view(), first, command, effects);
}

void JobsMachine::reply(Effects& effects, JobPlace place, int64_t number) {
  effects.reply(encode(place).view(), number);
}

void JobsMachine::apply_create(const Command& command, Effects& effects) {
  const auto plan = decode_job_plan(command.payload);
  if (!plan) return effects.refuse(Errc::invalid_argument, 0, "the command is no job");
  if (jobs_.find(plan->id) != nullptr) return effects.refuse(Errc::exists, 0, "there is a job " + plan->id);
  if (jobs_.size() >= kJobsMax) return effects.refuse(Errc::overloaded, 0, "there are 10,000 jobs: delete some");
  const Registry& registry = effects.port<DevicesMachine>(kDevicesMachineId).registry();
  const auto& fleets = effects.port<FleetsMachine>(kFleetsMachineId);
  if (std::string missing = missing_target(*plan, registry, fleets); !missing.empty())
    return effects.refuse(Errc::not_found, 0, std::move(missing));
  if (!plan->blob.empty() && !reference_blob(plan->blob, effects))
    return effects.refuse(Errc::not_found, 0, "there is no blob " + plan->blob);
  if (!begin(command.sequence, effects)) return release_blob(plan->blob, effects);
  const JobPlace before = place(effects);
  Job& job = jobs_.add(*plan, queries_of(*plan, fleets), command.time);
  work_at(job, command.time, {command.time, effects});
  audit(command, "jobs.create", plan->id, "", effects);
  reply(effects, before, 0);
}

void JobsMachine::apply_cancel(const Command& command, Effects& effects) {
  const auto cancel = decode_cancel_job(command.payload);
  if (!cancel) return effects.refuse(Errc::invalid_argument, 0, "the command cancels no job");
  Job* job = jobs_.find(cancel->id);
  if (job == nullptr) return effects.refuse(Errc::not_found, 0, "there is no job " + cancel->id);
  const bool more = job->row.state == JobState::canceled && cancel->force && !job->row.forced;
  if (!job->works() && !more)
    return effects.refuse(Errc::refused, 0, "the job is " + std::string(state_text(job->row.state)));
  if (!begin(command.sequence, effects)) return;
  const JobPlace before = place(effects);
  stop(*job, cancel->reason, cancel->force, {command.time, effects});
  audit(command, "jobs.cancel", cancel->id, cancel->force ? "force" : "", effects);
  tell(command, effects);
  reply(effects, before, 0);
}

void JobsMachine::apply_delete(const Command& command, Effects& effects) {
  if (command.payload.empty()) return effects.refuse(Errc::invalid_argument, 0, "the command deletes no job");
  const bool force = command.payload.front() != std::byte{0};
  const std::string id(as_text(command.payload.subspan(1)));
  Job* job = jobs_.find(id);
  if (job == nullptr) return effects.refuse(Errc::not_found, 0, "there is no job " + id);
  const bool ended = job->row.ended != 0 && open_of(job->row.counts) == 0;
  if (job->row.state == JobState::deleting || (!ended && !force))
    return effects.refuse(Errc::refused, 0,
                          "the job is " + std::string(state_text(job->row.state)) +
                              (ended ? "" : " and not at its end everywhere: force deletes it"));
  if (!begin(command.sequence, effects)) return;
  const JobPlace before = place(effects);
  job->row.state = JobState::deleting;
  job->row.updated = command.time;
  work_at(*job, command.time, {command.time, effects});
  audit(command, "jobs.delete", id, force ? "force" : "", effects);
  reply(effects, before, 0);
}

// The things' own lists: who would be told is gone.
void JobsMachine::thing_gone(std::string_view thing, const Command& command, Effects& effects) {
  const std::vector<uint64_t> open = jobs_.open_of(thing);
  if (open.empty()) return;
  const Effects::Turn turn(effects, kJobsMachineId);
  notes_ = {};
  document_of_ = 0;
  const Now now{command.time, effects};
  const std::string name(thing);
  for (const uint64_t number : open) {
    Job& job = *jobs_.find(number);
    end_execution(job, name, *jobs_.find_execution(number, thing), JobStatus::removed, now);
    advance(job, now);
  }
  tell(command, effects);
  count();
}

void JobsMachine::query(const Query& query, Reply& reply) const {
  const auto refuse = [&](Errc code, const char* why) {
    reply.error = code;
    reply.message = why;
  };
  if (query.type == kQueryJob) return query_job(query, reply);
  if (query.type == kQueryJobsPlace) {
    reply.payload = encode(JobPlace{jobs_.partition(), 0});
    reply.numbers = {jobs_.partition() == kNoPartition ? 0 : 1, 0};
    return;
  }
  const auto page = decode_jobs_page_query(query.payload);
  if (!page) return refuse(Errc::invalid_argument, "the query is no page");
  if (query.type == kQueryJobs) return jobs_.page(*page, reply);
  if (query.type == kQueryExecutions) return query_executions(*page, reply);
  refuse(Errc::unsupported, "the machine of jobs has no such query");
}

void JobsMachine::query_job(const Query& query, Reply& reply) const {
  const Job* job = jobs_.find(as_text(query.payload));
  if (job == nullptr) return;
  ByteWriter out;
  append_row(out, job->row);
  reply.payload = Buffer::take(out.release());
  reply.numbers = {1, 0};
}

void JobsMachine::query_executions(const JobsPageQuery& query, Reply& reply) const {
  if (const Job* job = jobs_.find(query.job)) return jobs_.executions(*job, query, reply);
  reply.error = Errc::not_found;
  reply.message = "there is no job " + query.job;
}

void JobsMachine::count() {
  jobs_count_.store(jobs_.size(), std::memory_order_relaxed);
  executions_count_.store(jobs_.executions_count(), std::memory_order_relaxed);
}

Result<void> JobsMachine::restore(SnapshotReader& reader) {
  Result<void> done = jobs_.restore(reader);
  count();
  return done;
}

void JobsMachine::make_fresh() {
  jobs_ = {};
  count();
}

}  // namespace heptane::iot::devices
