// A job: a document for many things, with how it is rolled out to them and when that is stopped. What an operator says of it is
// bounded and checked before it is kept. Pure; any thread.
//
// Stages: of all targets the first stage's percentage gets the job; the next stage begins when so many percent of those that have it
// (`advance_percent`) are at their end. The rate holds in every stage.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernel/base/bytes.h"
#include "kernel/base/ids.h"
#include "modules/iot/domain/devices/job_execution.h"

namespace heptane::iot::devices {

constexpr size_t kDocumentBytesMax = 32 << 10;  // with the image
constexpr size_t kDescriptionBytesMax = 1'024;
constexpr size_t kTargetThingsMax = 1'000;  // by name
constexpr size_t kTargetGroupsMax = 100;
constexpr size_t kStagesMax = 10;
constexpr uint32_t kPerMinuteMax = 1'000'000;

struct JobPlan {
  std::string id;
  std::string description;
  std::string document;             // JSON
  std::string blob;                 // digest of a stored blob that it names; empty: none
  std::vector<std::string> things;  // in order, none twice
  std::vector<std::string> groups;
  uint32_t per_minute = 0;      // 0: as fast as can be
  std::vector<uint8_t> stages;  // percentages that grow, to 100; empty: one stage
  uint8_t advance_percent = 100;
  uint8_t abort_percent = 0;     // so many of those at their end failed, timed out or rejected it; 0: never
  uint32_t abort_minimum = 1;    // of those at their end
  uint32_t timeout_minutes = 0;  // in progress; 0: none
};
// What is wrong with it, for a person; empty: nothing.
std::string wrong_plan(const JobPlan& plan);
void append_plan(ByteWriter& out, const JobPlan& plan, bool with_document = true);
// Sets the reader failed when it is none. Not judged (wrong_plan).
JobPlan read_plan(ByteReader& in);

using JobCounts = std::array<uint64_t, kJobStatuses>;  // by status
inline uint64_t count_of(const JobCounts& counts, JobStatus status) { return counts[static_cast<size_t>(status)]; }
uint64_t total_of(const JobCounts& counts);
uint64_t open_of(const JobCounts& counts);
// Those that can tell how the job does: without what was removed or canceled.
uint64_t executed_of(const JobCounts& counts);

// The counts say that it is to be stopped.
bool is_to_abort(const JobPlan& plan, const JobCounts& counts);
// How many things may have the job in this stage.
uint64_t stage_limit(const JobPlan& plan, size_t stage, const JobCounts& counts);
// Those that have it are far enough for the next stage.
bool is_stage_over(const JobPlan& plan, const JobCounts& counts);

// How many at once and how long after them the next ones.
struct Pace {
  uint32_t things = 0;
  LogTime wait = 0;
};
Pace pace_of(uint32_t per_minute);

}  // namespace heptane::iot::devices
