#include "modules/iot/domain/devices/job.h"

#include <algorithm>

#include "modules/iot/domain/devices/thing.h"

namespace heptane::iot::devices {

namespace {

constexpr uint32_t kAtOnceMax = 200;
constexpr uint64_t kHundred = 100;
constexpr uint32_t kSecondsPerMinute = 60;
constexpr LogTime kNsPerMinute = 60'000'000'000;
constexpr size_t kDigestDigits = 64;

void append_names(ByteWriter& out, const std::vector<std::string>& names) {
  out.le<uint16_t>(static_cast<uint16_t>(names.size()));
  for (const std::string& name : names) append_text(out, name);
}

std::vector<std::string> read_names(ByteReader& in, size_t most) {
  const auto count = in.le<uint16_t>();
  if (count > most) in.fail();
  std::vector<std::string> names;
  for (uint16_t i = 0; i < count && !in.failed(); ++i) names.emplace_back(read_text(in, kNameLimitBytes));
  return names;
}

bool are_names(const std::vector<std::string>& names, size_t most) {
  if (names.size() > most || !std::all_of(names.begin(), names.end(), valid_name)) return false;
  return std::adjacent_find(names.begin(), names.end(), std::greater_equal<>()) == names.end();
}

bool are_stages(const std::vector<uint8_t>& stages) {
  if (stages.empty()) return true;
  const bool grow = std::adjacent_find(stages.begin(), stages.end(), std::greater_equal<>()) == stages.end();
  return stages.size() <= kStagesMax && stages.front() > 0 && stages.back() == kHundred && grow;
}

}  // namespace

std::string wrong_plan(const JobPlan& plan) {
  if (!valid_job_id(plan.id)) return "a job's id is 1 to 64 of a-z A-Z 0-9 _ -";
  if (plan.description.size() > kDescriptionBytesMax) return "a description has at most 1,024 bytes";
  if (plan.document.empty() || plan.document.size() > kDocumentBytesMax) return "a job's document has at most 32 KiB";
  if (plan.things.empty() && plan.groups.empty()) return "a job needs targets: things or groups";
  if (!are_names(plan.things, kTargetThingsMax)) return "things are at most 1,000 names of things, none twice";
  if (!are_names(plan.groups, kTargetGroupsMax)) return "groups are at most 100 names of groups, none twice";
  if (plan.per_minute > kPerMinuteMax) return "per_minute is at most 1,000,000";
  if (!are_stages(plan.stages)) return "stages_percent are at most 10 numbers that grow, the last one 100";
  const bool percents = plan.abort_percent <= kHundred && plan.advance_percent >= 1 && plan.advance_percent <= kHundred;
  if (!percents) return "percentages are 1 to 100";
  if (plan.timeout_minutes > kTimeOutMinutesMax) return "in_progress_timeout_minutes is at most 10,080";
  if (!plan.blob.empty() && plan.blob.size() != kDigestDigits) return "a blob is named by its SHA-256";
  return {};
}

void append_plan(ByteWriter& out, const JobPlan& plan, bool with_document) {
  append_text(out, plan.id);
  append_text(out, plan.description);
  append_text(out, with_document ? plan.document : std::string_view());
  append_text(out, plan.blob);
  append_names(out, plan.things);
  append_names(out, plan.groups);
  out.le<uint32_t>(plan.per_minute);
  out.u8(static_cast<uint8_t>(plan.stages.size()));
  for (const uint8_t percent : plan.stages) out.u8(percent);
  out.u8(plan.advance_percent);
  out.u8(plan.abort_percent);
  out.le<uint32_t>(plan.abort_minimum);
  out.le<uint32_t>(plan.timeout_minutes);
}

JobPlan read_plan(ByteReader& in) {
  JobPlan plan;
  plan.id = read_text(in, kJobIdBytesMax);
  plan.description = read_text(in, kDescriptionBytesMax);
  plan.document = read_text(in, kDocumentBytesMax);
  plan.blob = read_text(in, kDigestDigits);
  plan.things = read_names(in, kTargetThingsMax);
  plan.groups = read_names(in, kTargetGroupsMax);
  plan.per_minute = in.le<uint32_t>();
  const uint8_t stages = in.u8();
  if (stages > kStagesMax) in.fail();
  for (uint8_t i = 0; i < stages && !in.failed(); ++i) plan.stages.push_back(in.u8());
  plan.advance_percent = in.u8();
  plan.abort_percent = in.u8();
  plan.abort_minimum = in.le<uint32_t>();
  plan.timeout_minutes = in.le<uint32_t>();
  return plan;
}

uint64_t total_of(const JobCounts& counts) {
  uint64_t total = 0;
  for (const uint64_t count : counts) total += count;
  return total;
}

uint64_t open_of(const JobCounts& counts) {
  return count_of(counts, JobStatus::queued) + count_of(counts, JobStatus::in_progress);
}

uint64_t executed_of(const JobCounts& counts) {
  return count_of(counts, JobStatus::succeeded) + count_of(counts, JobStatus::failed) +
         count_of(counts, JobStatus::timed_out) + count_of(counts, JobStatus::rejected);
}

bool is_to_abort(const JobPlan& plan, const JobCounts& counts) {
  const uint64_t executed = executed_of(counts);
  if (plan.abort_percent == 0 || executed == 0 || executed < plan.abort_minimum) return false;
  const uint64_t bad = executed - count_of(counts, JobStatus::succeeded);
  return bad * kHundred >= uint64_t{plan.abort_percent} * executed;
}

// Rounded up: a stage is never without a thing.
uint64_t stage_limit(const JobPlan& plan, size_t stage, const JobCounts& counts) {
  const uint64_t total = total_of(counts);
  if (stage >= plan.stages.size()) return total;
  return (total * plan.stages[stage] + kHundred - 1) / kHundred;
}

bool is_stage_over(const JobPlan& plan, const JobCounts& counts) {
  const uint64_t have = total_of(counts) - count_of(counts, JobStatus::waiting);
  const uint64_t ended = have - open_of(counts);
  return ended * kHundred >= uint64_t{plan.advance_percent} * have;
}

Pace pace_of(uint32_t per_minute) {
  if (per_minute == 0) return {kAtOnceMax, 0};
  const uint32_t each_second = (per_minute + kSecondsPerMinute - 1) / kSecondsPerMinute;
  const uint32_t things = std::clamp<uint32_t>(each_second, 1, kAtOnceMax);
  return {things, kNsPerMinute * things / per_minute};
}

}  // namespace heptane::iot::devices
