// What one thing has to do of one job, with the statuses, versions and documents of AWS IoT's job executions (AWS IoT Core developer
// guide, "Jobs", "Using the AWS IoT jobs APIs"). Which status follows which is one table. Pure and deterministic; any thread.
//
// Invariants: what is at its end stays there; a version counts every change that the thing sees; a number is never used again, so
// that an execution of a job that was deleted is not taken for one of another job of that name.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "kernel/base/bytes.h"
#include "kernel/base/ids.h"

namespace heptane::iot::devices {

constexpr size_t kJobIdBytesMax = 64;
constexpr size_t kDetailsMax = 10;
constexpr size_t kDetailNameBytesMax = 128;
constexpr size_t kDetailValueBytesMax = 1024;
constexpr int64_t kTimeOutMinutesMax = 7 * 24 * 60;

// The numbers are the log's.
enum class JobStatus : uint8_t {
  waiting = 0,  // for the roll-out: the thing does not know of it
  queued = 1,
  in_progress = 2,
  succeeded = 3,
  failed = 4,
  timed_out = 5,
  rejected = 6,
  removed = 7,
  canceled = 8,
};
constexpr size_t kJobStatuses = 9;
std::string_view status_text(JobStatus status);  // `IN_PROGRESS`
std::optional<JobStatus> status_of(std::string_view text);

enum class Mover : uint8_t { nobody = 0, device = 1, server = 2 };
// Who takes an execution from one status to the other.
constexpr std::array<std::array<Mover, kJobStatuses>, kJobStatuses> kMoves = [] {
  using enum Mover;
  return std::array<std::array<Mover, kJobStatuses>, kJobStatuses>{{
      // waiting queued  in_pr.  succ.   failed  timed   reject. removed cancel.
      {nobody, server, nobody, nobody, nobody, nobody, server, server, server},  // waiting
      {nobody, nobody, device, device, device, nobody, device, server, server},  // queued
      {nobody, nobody, device, device, device, server, device, server, server},  // in_progress
      {},                                                                        // succeeded
      {},                                                                        // failed
      {},                                                                        // timed_out
      {},                                                                        // rejected
      {},                                                                        // removed
      {},                                                                        // canceled
  }};
}();
constexpr bool moves(JobStatus from, JobStatus to, Mover mover) {
  return kMoves[static_cast<size_t>(from)][static_cast<size_t>(to)] == mover;
}
// The thing knows of it and it is not at its end.
constexpr bool is_open(JobStatus status) { return status == JobStatus::queued || status == JobStatus::in_progress; }
constexpr bool is_ended(JobStatus status) { return status > JobStatus::in_progress; }

using JobDetails = std::map<std::string, std::string, std::less<>>;
// At most kDetailsMax; names of a-z A-Z 0-9 : _ -, values without control characters.
bool valid_details(const JobDetails& details);
// 1 to 64 of a-z A-Z 0-9 _ -
bool valid_job_id(std::string_view id);

struct JobExecution {
  uint64_t number = 0;
  JobStatus status = JobStatus::waiting;
  uint64_t version = 0;  // 0: while it waits
  int64_t queued_s = 0;  // since 1970; 0: it was not
  int64_t started_s = 0;
  int64_t updated_s = 0;
  LogTime job_due = 0;   // of the job's time-out; 0: it has none
  LogTime step_due = 0;  // of what the thing itself said
  JobDetails details;
  bool operator==(const JobExecution&) const = default;

  // When it times out; 0: never.
  LogTime due() const {
    if (job_due == 0 || step_due == 0) return job_due + step_due;
    return job_due < step_due ? job_due : step_due;
  }
};
void append_execution(ByteWriter& out, const JobExecution& execution);
JobExecution read_execution(ByteReader& in);
void append_details(ByteWriter& out, const JobDetails& details);
JobDetails read_details(ByteReader& in);

// As `get` says it; `document`: JSON, empty: without.
std::string execution_json(std::string_view job, std::string_view thing, const JobExecution& execution,
                           std::string_view document, LogTime now);
// The same in two parts: the document stands between them, so that it need not be written once for every thing.
struct ExecutionParts {
  std::string head;
  std::string tail;
};
ExecutionParts execution_parts(std::string_view job, std::string_view thing, const JobExecution& execution,
                               LogTime now);
// As lists have it.
std::string summary_json(std::string_view job, const JobExecution& execution);
std::string state_json(const JobExecution& execution);
std::string details_json(const JobDetails& details);

}  // namespace heptane::iot::devices
