// The machine of jobs: what an operator has many things do, with its roll-out, its end and what every thing says of it. The shard
// thread's.
//
// Invariants: every status changes as the table of job_execution.h has it, and is told in `iot.jobs` by the same command; every
// request of a thing is answered by the command that carries it, rejections too; what an operator does is in the audit trail by the
// same command. Work on many things is done in slices (kStepThings, kStepVisits, kStepBytes), each a command that a timer of the
// machine's own makes: a job has at most one of them armed. Times are log times. Its commands are in no transaction.
#pragma once

#include <atomic>

#include "modules/iot/machine/devices/devices_machine.h"
#include "modules/iot/machine/devices/fleets_machine.h"
#include "modules/iot/machine/jobs/jobs.h"

namespace heptane::iot::devices {

// What is kept of all jobs. Of the logic, not of the configuration; tests have smaller ones.
struct JobsLimits {
  size_t executions = kExecutionsMax;
  size_t bytes = kJobsBytesMax;
};

class JobsMachine final : public StateMachine, public ThingWatch {
 public:
  explicit JobsMachine(JobsLimits limits = {}) : limits_(limits) {}

  MachineId id() const override { return kJobsMachineId; }
  std::string_view name() const override { return "jobs"; }
  void apply(const Command& command, Effects& effects) override;
  void query(const Query& query, Reply& reply) const override;
  void open_scope() override { ++scopes_; }
  void close_scope(ScopeOutcome) override { --scopes_; }
  uint64_t memory_bytes() const override { return jobs_.bytes(); }
  void save(SnapshotWriter& writer) const override { jobs_.save(writer); }
  Result<void> restore(SnapshotReader& reader) override;
  bool fresh() const override { return jobs_.fresh(); }
  void make_fresh() override;
  // What a thing asks as well: it ends what is open. Where state is at its bound it makes none (has_room_for).
  bool relieves(CommandType type) const override {
    return type == kDeleteJob || type == kCancelJob || type == kJobRequest;
  }
  RenderView renderer() const override { return render_jobs; }

  MachineId watch_id() const override { return kJobsMachineId; }
  void thing_gone(std::string_view thing, const Command& command, Effects& effects) override;

  const Jobs& jobs() const { return jobs_; }

  // For metrics; any thread.
  uint64_t jobs_count() const { return jobs_count_.load(std::memory_order_relaxed); }
  uint64_t executions_count() const { return executions_count_.load(std::memory_order_relaxed); }

 private:
  // What a request of a thing finds.
  struct Found {
    JobFault fault = JobFault::none;
    Job* job = nullptr;  // null: there is none, and that is no fault ($next)
    HeldExecution* held = nullptr;
  };
  struct Now {
    LogTime time = 0;
    Effects& effects;
    int64_t seconds() const;
  };

  // What a thing has open, as JSON arrays.
  struct Lists {
    std::string in_progress;
    std::string queued;
  };

  void apply_create(const Command& command, Effects& effects);
  void apply_cancel(const Command& command, Effects& effects);
  void apply_delete(const Command& command, Effects& effects);
  bool begin(Sequence sequence, Effects& effects);
  bool has_room(Effects& effects) const;
  bool has_room_for(const HeldExecution& held, const JobRequest& request) const;
  void tell(const Command& command, Effects& effects);
  void reply(Effects& effects, JobPlace place, int64_t number);
  JobPlace place(const Effects& effects) const;
  void count();

  // job_steps.cc: slices of work
  void apply_step(const Command& command, Effects& effects);
  void step(Job& job, const Now& now);
  void find_targets(Job& job, const Now& now);
  void find_of_group(Job& job, const Now& now);
  void add_target(Job& job, std::string_view thing, LogTime created);
  void release(Job& job, const Now& now);
  void release_one(Job& job, const std::string& thing, HeldExecution& held, const Now& now);
  void sweep_open(Job& job, const Now& now);
  void sweep_all(Job& job, const Now& now);
  void apply_time_out(const Command& command, Effects& effects);
  bool slice_is_full(size_t changes, size_t visits) const;

  // job_progress.cc: what follows from a change
  void end_execution(Job& job, const std::string& thing, HeldExecution& held, JobStatus status, const Now& now);
  void stop(Job& job, std::string_view reason, bool force, const Now& now);
  void advance(Job& job, const Now& now);
  bool may_release(const Job& job) const;
  void work_at(Job& job, LogTime due, const Now& now);
  void time_out_at_due(const Job& job, std::string_view thing, HeldExecution& held, const Now& now);
  void tell_open(std::string_view thing, uint64_t next_before, const Now& now);
  void tell_next(std::string_view thing, const Now& now);
  void tell_end(const Job& job, std::string_view thing, const JobExecution& execution, const Now& now);
  void tell_job(const Job& job, std::string_view operation, const Now& now);
  Lists lists_of(std::string_view thing) const;

  // job_requests.cc
  void apply_request(const Command& command, Effects& effects);
  JobFault answer(const JobRequest& request, const Now& now);
  Found find(const JobRequest& request);
  JobFault get_pending(const JobRequest& request, const Now& now);
  JobFault start_next(const JobRequest& request, const Now& now);
  JobFault describe(const JobRequest& request, const Now& now);
  JobFault update(const JobRequest& request, const Now& now);
  void change(Job& job, HeldExecution& held, const JobRequest& request, JobStatus status, const Now& now);
  void accept_execution(const JobRequest& request, const Job* job, const HeldExecution* held, const Now& now);
  void reject(const JobRequest& request, JobFault fault, const JobExecution* execution, const Now& now);

  void query_job(const Query& query, Reply& reply) const;
  void query_executions(const JobsPageQuery& query, Reply& reply) const;

  const JobsLimits limits_;
  Jobs jobs_;
  JobNotes notes_;            // of the running command
  uint64_t document_of_ = 0;  // the job whose document the notes have once
  size_t scopes_ = 0;
  // deterministic: metrics read them, apply() never does
  std::atomic<uint64_t> jobs_count_{0};
  // deterministic: likewise
  std::atomic<uint64_t> executions_count_{0};
};

}  // namespace heptane::iot::devices
