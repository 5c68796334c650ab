#include "modules/iot/machine/jobs/jobs.h"

#include <algorithm>

#include "kernel/base/assert.h"
#include "modules/iot/domain/devices/fleet_query.h"
#include "modules/iot/domain/devices/thing.h"

namespace heptane::iot::devices {

namespace {

constexpr size_t kFleetBytes = 128;                      // of the map's node and what strings take beside their bytes
constexpr size_t kStoredLimitBytes = size_t{512} << 10;  // of a job, beyond what it can be

void append_job(ByteWriter& out, const Job& job) {
  out.le<uint64_t>(job.number);
  append_row(out, job.row);
  out.le<TimerId>(job.step);
  out.le<LogTime>(job.next_release);
  out.le<uint32_t>(job.things_found);
  out.le<uint32_t>(job.groups_found);
  append_text(out, job.found_upto);
  append_text(out, job.released_upto);
  out.u8(job.sweeping ? 1 : 0);
  append_text(out, job.swept_upto);
  if (job.fleets.empty()) return;  // as before there were fleets
  out.u8(static_cast<uint8_t>(job.fleets.size()));
  for (const auto& [name, query] : job.fleets) {
    append_text(out, name);
    append_text(out, query);
  }
}

// Names come in order.
FleetQueries read_fleets(ByteReader& in) {
  FleetQueries fleets;
  const uint8_t count = in.u8();
  if (count == 0 || count > kTargetGroupsMax) in.fail();
  for (uint8_t i = 0; i < count && !in.failed(); ++i) {
    const std::string_view name = read_text(in, kNameLimitBytes);
    if (!fleets.empty() && name <= fleets.rbegin()->first) in.fail();
    fleets.emplace_hint(fleets.end(), name, read_text(in, kQueryBytesMax));
  }
  return fleets;
}

Job read_job(ByteReader& in) {
  Job job;
  job.number = in.le<uint64_t>();
  job.row = read_job_row(in);
  job.step = in.le<TimerId>();
  job.next_release = in.le<LogTime>();
  job.things_found = in.le<uint32_t>();
  job.groups_found = in.le<uint32_t>();
  job.found_upto = read_text(in, kNameLimitBytes);
  job.released_upto = read_text(in, kNameLimitBytes);
  job.sweeping = in.u8() != 0;
  job.swept_upto = read_text(in, kNameLimitBytes);
  if (in.remaining() > 0) job.fleets = read_fleets(in);
  return job;
}

}  // namespace

size_t Jobs::bytes_of(const Job& job) {
  const JobPlan& plan = job.row.plan;
  size_t names = 0;
  for (const std::string& name : plan.things) names += sizeof(std::string) + name.size();
  for (const std::string& name : plan.groups) names += sizeof(std::string) + name.size();
  for (const auto& [name, query] : job.fleets) names += kFleetBytes + name.size() + query.size();
  return kJobBytes + 2 * plan.id.size() + plan.description.size() + plan.document.size() + names;
}

size_t Jobs::bytes_of(const JobDetails& details) {
  size_t bytes = 0;
  for (const auto& [name, value] : details) bytes += kOpenBytes + name.size() + value.size();
  return bytes;
}

Job* Jobs::find(uint64_t number) {
  const auto found = jobs_.find(number);
  return found == jobs_.end() ? nullptr : &found->second;
}

Job* Jobs::find(std::string_view id) {
  const auto found = ids_.find(id);
  return found == ids_.end() ? nullptr : find(found->second);
}

const Job* Jobs::find(std::string_view id) const { return const_cast<Jobs*>(this)->find(id); }

Job& Jobs::add(const JobPlan& plan, FleetQueries fleets, LogTime now) {
  Job& job = jobs_[++last_job_];
  job.number = last_job_;
  job.row.plan = plan;
  job.fleets = std::move(fleets);
  job.row.created = job.row.updated = now;
  ids_.emplace(plan.id, job.number);
  bytes_ += bytes_of(job);
  return job;
}

void Jobs::erase(const Job& job) {
  bytes_ -= bytes_of(job);
  ids_.erase(job.id());
  jobs_.erase(job.number);
}

bool Jobs::add_execution(Job& job, std::string_view thing) {
  const auto [at, added] = executions_.try_emplace({job.number, std::string(thing)});
  if (!added) return false;
  ++job.row.counts[static_cast<size_t>(JobStatus::waiting)];
  bytes_ += kExecutionBytes + thing.size();
  return true;
}

HeldExecution* Jobs::find_execution(uint64_t job, std::string_view thing) {
  const auto found = executions_.find({job, std::string(thing)});
  return found == executions_.end() ? nullptr : &found->second;
}

void Jobs::set_details(HeldExecution& held, JobDetails details) {
  bytes_ -= bytes_of(held.execution.details);
  held.execution.details = std::move(details);
  bytes_ += bytes_of(held.execution.details);
}

void Jobs::set_status(Job& job, std::string_view thing, HeldExecution& held, JobStatus status) {
  const JobStatus before = held.execution.status;
  --job.row.counts[static_cast<size_t>(before)];
  ++job.row.counts[static_cast<size_t>(status)];
  held.execution.status = status;
  if (!is_open(before) && is_open(status)) open(thing, job.number);
  if (is_open(before) && !is_open(status)) close(thing, job.number);
}

void Jobs::erase_execution(Job& job, Executions::iterator at) {
  const std::string& thing = at->first.second;
  HeldExecution& held = at->second;
  if (is_open(held.execution.status)) close(thing, job.number);
  --job.row.counts[static_cast<size_t>(held.execution.status)];
  bytes_ -= kExecutionBytes + thing.size() + bytes_of(held.execution.details);
  executions_.erase(at);
}

void Jobs::open(std::string_view thing, uint64_t job) {
  const auto [at, made] = open_.try_emplace(std::string(thing));
  if (made) bytes_ += kOpenBytes + thing.size();
  at->second.push_back(job);
  bytes_ += sizeof(uint64_t);
}

void Jobs::close(std::string_view thing, uint64_t job) {
  const auto found = open_.find(thing);
  HEPTANE_ASSERT(found != open_.end(), "what is open is among the thing's");
  bytes_ -= sizeof(uint64_t) * std::erase(found->second, job);
  if (!found->second.empty()) return;
  bytes_ -= kOpenBytes + thing.size();
  open_.erase(found);
}

const std::vector<uint64_t>& Jobs::open_of(std::string_view thing) const {
  static const std::vector<uint64_t> kNone;
  const auto found = open_.find(thing);
  return found == open_.end() ? kNone : found->second;
}

uint64_t Jobs::next_of(std::string_view thing) const {
  const std::vector<uint64_t>& open = open_of(thing);
  for (const uint64_t job : open)
    if (find_execution(job, thing)->execution.status == JobStatus::in_progress) return job;
  return open.empty() ? 0 : open.front();
}

void Jobs::page(const JobsPageQuery& query, Reply& reply) const {
  const size_t most = std::clamp<size_t>(query.limit, 1, kJobRowsMax);
  ByteWriter rows;
  int64_t count = 0;
  size_t visits = 0;
  std::string_view last;
  auto at = ids_.upper_bound(query.after);
  for (; at != ids_.end() && static_cast<size_t>(count) < most; ++at) {
    if (visits++ == kStepVisits || rows.size() >= kJobRowsBytesMax) break;
    last = at->first;
    const JobRow& row = find(at->second)->row;
    if (query.status && static_cast<uint8_t>(row.state) != *query.status) continue;
    append_row(rows, row, false);
    ++count;
  }
  ByteWriter out;
  append_text(out, last);
  out.append(rows.view());
  reply.payload = Buffer::take(out.release());
  reply.numbers = {count, at != ids_.end() ? 1 : 0};
}

void Jobs::executions(const Job& job, const JobsPageQuery& query, Reply& reply) const {
  const size_t most = std::clamp<size_t>(query.limit, 1, kJobRowsMax);
  ByteWriter rows;
  int64_t count = 0;
  size_t visits = 0;
  std::string_view last;
  auto at = behind(job.number, query.after);
  const auto is_its = [&] { return at != end() && at->first.first == job.number; };
  for (; is_its() && static_cast<size_t>(count) < most; ++at) {
    if (visits++ == kStepVisits || rows.size() >= kJobRowsBytesMax) break;
    last = at->first.second;
    if (query.status && static_cast<uint8_t>(at->second.execution.status) != *query.status) continue;
    append_row(rows, ExecutionRow{at->first.second, at->second.execution});
    ++count;
  }
  ByteWriter out;
  append_text(out, last);
  out.append(rows.view());
  reply.payload = Buffer::take(out.release());
  reply.numbers = {count, is_its() ? 1 : 0};
}

void Jobs::save(SnapshotWriter& writer) const {
  writer.le<uint64_t>(last_job_);
  writer.le<uint64_t>(last_execution_);
  writer.le<PartitionId>(partition_);
  writer.le<uint64_t>(jobs_.size());
  for (const auto& [number, job] : jobs_) {
    ByteWriter out;
    append_job(out, job);
    writer.blob(out.view());
  }
  writer.le<uint64_t>(executions_.size());
  for (const auto& [key, held] : executions_) {
    ByteWriter out;
    out.le<uint64_t>(key.first);
    append_text(out, key.second);
    append_execution(out, held.execution);
    out.le<TimerId>(held.timer);
    writer.blob(out.view());
  }
  writer.le<uint64_t>(open_.size());
  for (const auto& [thing, jobs] : open_) {
    writer.text(thing);
    writer.le<uint32_t>(static_cast<uint32_t>(jobs.size()));
    for (const uint64_t job : jobs) writer.le<uint64_t>(job);
  }
}

void Jobs::restore_job(SnapshotReader& reader) {
  const std::string bytes = reader.text(kStoredLimitBytes);
  ByteReader in(as_bytes(bytes));
  Job job = read_job(in);
  if (!in.complete() || ids_.contains(job.id())) return reader.fail();
  job.row.counts = {};  // of its executions
  ids_.emplace(job.id(), job.number);
  bytes_ += bytes_of(job);
  jobs_.emplace_hint(jobs_.end(), job.number, std::move(job));
}

void Jobs::restore_execution(SnapshotReader& reader) {
  const std::string bytes = reader.text(kStoredLimitBytes);
  ByteReader in(as_bytes(bytes));
  Key key;
  key.first = in.le<uint64_t>();
  key.second = read_text(in, kNameLimitBytes);
  HeldExecution held;
  held.execution = read_execution(in);
  held.timer = in.le<TimerId>();
  Job* job = find(key.first);
  if (!in.complete() || job == nullptr) return reader.fail();
  ++job->row.counts[static_cast<size_t>(held.execution.status)];
  bytes_ += kExecutionBytes + key.second.size() + bytes_of(held.execution.details);
  executions_.emplace_hint(executions_.end(), std::move(key), std::move(held));
}

void Jobs::restore_open(SnapshotReader& reader) {
  const std::string thing = reader.text(kNameLimitBytes);
  const auto count = reader.le<uint32_t>();
  if (count == 0 || count > kOpenOfThing) return reader.fail();
  for (uint32_t i = 0; i < count && !reader.failed(); ++i) {
    const auto job = reader.le<uint64_t>();
    const HeldExecution* held = find_execution(job, thing);
    const std::vector<uint64_t>& before = open_of(thing);
    const bool twice = std::find(before.begin(), before.end(), job) != before.end();
    if (twice || held == nullptr || !is_open(held->execution.status)) return reader.fail();
    open(thing, job);
  }
}

// Every execution that is open is among its thing's: those that are there are open, and none twice.
bool Jobs::all_are_open() const {
  uint64_t open = 0;
  for (const auto& [number, job] : jobs_) open += devices::open_of(job.row.counts);
  for (const auto& [thing, jobs] : open_) open -= jobs.size();
  return open == 0;
}

Result<void> Jobs::restore(SnapshotReader& reader) {
  *this = {};
  last_job_ = reader.le<uint64_t>();
  last_execution_ = reader.le<uint64_t>();
  partition_ = reader.le<PartitionId>();
  const auto jobs = reader.le<uint64_t>();
  for (uint64_t i = 0; i < jobs && !reader.failed(); ++i) restore_job(reader);
  const auto executions = reader.le<uint64_t>();
  for (uint64_t i = 0; i < executions && !reader.failed(); ++i) restore_execution(reader);
  const auto open = reader.le<uint64_t>();
  for (uint64_t i = 0; i < open && !reader.failed(); ++i) restore_open(reader);
  if (!all_are_open()) reader.fail();
  if (reader.failed()) return Error{Errc::corrupt, "the jobs are cut off"};
  return {};
}

}  // namespace heptane::iot::devices
