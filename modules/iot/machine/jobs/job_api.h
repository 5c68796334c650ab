// Commands and queries of the jobs machine. What things are told, and what became of jobs, is in the stream `iot.jobs`, a view that
// is rendered from what the commands noted, and reaches subscribers as messages at QoS 1. Not in transactions. Little-endian; texts:
// length u16 and bytes. Any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernel/base/bytes.h"
#include "kernel/base/ids.h"
#include "kernel/shard/state_machine.h"
#include "kernel/shard/views.h"
#include "modules/iot/domain/devices/job.h"
#include "modules/iot/domain/devices/job_request.h"

namespace heptane::iot::devices {

constexpr MachineId kJobsMachineId = machine_ids::kFirstModule + 6;

// Every reply's payload is a JobPlace: where the records of this command are, or would be.
enum JobsCommand : CommandType {
  kCreateJob = 1,  // payload: a JobPlan. Refused: exists, overloaded (kJobsMax), not_found (the blob), invalid_argument
  kCancelJob = 2,  // payload CancelJob. Refused: not_found, refused (it is at its end)
  kDeleteJob = 3,  // payload: force u8, the id. Refused: not_found, refused (it is not at its end, and no force)
  kJobRequest = 4,  // payload: a JobRequest, of a thing. Always answered. Refused: overloaded
  // The machine's own timers.
  kStepJob = 10,           // payload: the job's number u64: the next slice of its work
  kTimeOutExecution = 11,  // payload: the job's number u64, the execution's number u64, the thing
};

enum JobsQuery : uint16_t {
  kQueryJob = 1,  // payload: id. Reply payload: a JobRow with its document; numbers: 1, or 0 when there is none
  kQueryJobs =
      2,  // payload JobsPageQuery; reply payload: the id that was looked at last, JobRows without documents; numbers:
          // rows, 1 when there is more
  kQueryExecutions = 3,  // payload JobsPageQuery with a job; reply payload: the thing that was looked at last,
                         // ExecutionRows; numbers: rows, 1 when there is more. Refused: not_found
  kQueryJobsPlace = 4,   // reply payload: JobPlace; numbers: 1, or 0 when the stream was never used
};

constexpr size_t kJobsMax = 10'000;                // that are kept
constexpr size_t kExecutionsMax = 5'000'000;       // of all jobs
constexpr size_t kJobsBytesMax = size_t{2} << 30;  // of all state of jobs: a roll-out and statusDetails make no more
constexpr size_t kOpenOfThing = 50;                // a thing with so many open ones rejects more
constexpr size_t kPendingShown = 15;               // of each status, to a thing
constexpr size_t kStepThings = 200;                // executions that one slice of work changes
constexpr size_t kStepVisits = 4'096;              // what it looks at
constexpr size_t kStepBytes = size_t{256} << 10;   // of messages that it makes
constexpr size_t kJobRowsMax = 1'000;
constexpr size_t kJobRowsBytesMax = size_t{512} << 10;

// Key = topic, value = payload.
constexpr ViewId kJobsView{kJobsMachineId, 1};
constexpr std::string_view kJobsStream = "iot.jobs";
constexpr int64_t kJobsRetentionMs = 7 * 24 * int64_t{3'600'000};
constexpr int64_t kJobsRetentionBytes = int64_t{1} << 30;

enum class JobState : uint8_t { in_progress = 0, canceled = 1, completed = 2, deleting = 3 };
constexpr uint8_t kJobStates = 4;
std::string_view state_text(JobState state);  // `DELETION_IN_PROGRESS`

struct JobPlace {
  PartitionId partition = kNoPartition;
  Offset next = 0;
};
Buffer encode(const JobPlace& place);
std::optional<JobPlace> decode_job_place(Bytes payload);

Buffer encode(const JobPlan& plan);
std::optional<JobPlan> decode_job_plan(Bytes payload);

struct CancelJob {
  std::string id;
  std::string reason;  // at most kDescriptionBytesMax
  bool force = false;  // what is in progress, too
};
Buffer encode(const CancelJob& cancel);
std::optional<CancelJob> decode_cancel_job(Bytes payload);

Buffer encode_delete_job(std::string_view id, bool force);

Buffer encode(const JobRequest& request);
std::optional<JobRequest> decode_job_request(Bytes payload);

struct JobRow {
  JobPlan plan;
  JobState state = JobState::in_progress;
  bool forced = false;
  bool found = false;  // all targets are known
  uint8_t stage = 0;
  std::string reason;
  LogTime created = 0;
  LogTime updated = 0;
  LogTime ended = 0;  // 0: it is not
  JobCounts counts{};
};
void append_row(ByteWriter& out, const JobRow& row, bool with_document = true);
JobRow read_job_row(ByteReader& in);

struct JobsPageQuery {
  std::string job;    // of executions
  std::string after;  // a job's id, a thing
  uint16_t limit = 100;
  std::optional<uint8_t> status;  // a JobState; of executions a JobStatus
};
Buffer encode(const JobsPageQuery& query);
std::optional<JobsPageQuery> decode_jobs_page_query(Bytes payload);
struct JobsPage {
  std::string last;
  std::vector<JobRow> rows;
};
std::optional<JobsPage> decode_jobs_page(Bytes payload);

struct ExecutionRow {
  std::string thing;
  JobExecution execution;
};
struct ExecutionsPage {
  std::string last;
  std::vector<ExecutionRow> rows;
};
void append_row(ByteWriter& out, const ExecutionRow& row);
std::optional<ExecutionsPage> decode_executions_page(Bytes payload);

// What a command tells: messages, whose payloads may have the one document in their middle, so that the log has it once.
class JobNotes {
 public:
  void set_document(std::string_view document) { document_ = document; }
  void add(std::string_view topic, std::string_view payload) { add(topic, payload, false, {}); }
  void add_with_document(std::string_view topic, const ExecutionParts& parts, std::string_view before,
                         std::string_view behind);
  size_t count() const { return count_; }
  size_t bytes() const { return items_.size() + document_.size(); }
  Buffer finish() const;

 private:
  void add(std::string_view topic, std::string_view head, bool document, std::string_view tail);
  std::string document_;
  ByteWriter items_;
  size_t count_ = 0;
};

// The machine's renderer.
void render_jobs(const LoggedCommand& logged, uint16_t number, RecordWriter& out);
// The notes as messages without their payloads, one behind the other (append_message): whose queues they go to, the topics say.
Buffer announcement_of(Bytes notes);

}  // namespace heptane::iot::devices
