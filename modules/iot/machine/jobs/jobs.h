// The jobs and their executions, with what every thing has open, in the order in which it got it. State of the jobs machine; the
// shard thread's.
//
// Invariants: a job's counts are those of its executions; a thing's open ones are those that are queued or in progress, oldest
// first, and at most kOpenOfThing; save() is canonical.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kernel/shard/effects.h"
#include "kernel/shard/snapshot_io.h"
#include "modules/iot/machine/jobs/job_api.h"

namespace heptane::iot::devices {

// Queries of fleets, by their names.
using FleetQueries = std::map<std::string, std::string, std::less<>>;

struct Job {
  uint64_t number = 0;  // in the order in which they were made; never used again
  JobRow row;
  FleetQueries fleets;       // of its groups those that were fleets when it was made, as they were then
  TimerId step = 0;          // of its next slice of work; 0: it waits for its executions, or for nothing
  LogTime next_release = 0;  // its rate lets no more things have it before
  // How far the targets are found: things by name, then group after group over the registry.
  uint32_t things_found = 0;
  uint32_t groups_found = 0;
  std::string found_upto;     // of the group's walk
  std::string released_upto;  // things up to this one have the job
  bool sweeping = false;      // what is open is being canceled
  std::string swept_upto;

  const std::string& id() const { return row.plan.id; }
  bool works() const { return row.state == JobState::in_progress; }
};

struct HeldExecution {
  JobExecution execution;
  TimerId timer = 0;  // of its time-out
};

class Jobs {
 public:
  using Key = std::pair<uint64_t, std::string>;  // job, thing
  using Executions = std::map<Key, HeldExecution>;

  Job* find(std::string_view id);
  const Job* find(std::string_view id) const;
  Job* find(uint64_t number);
  const Job* find(uint64_t number) const { return const_cast<Jobs*>(this)->find(number); }
  Job& add(const JobPlan& plan, FleetQueries fleets, LogTime now);
  // One without executions.
  void erase(const Job& job);

  // False: it is there.
  bool add_execution(Job& job, std::string_view thing);
  HeldExecution* find_execution(uint64_t job, std::string_view thing);
  const HeldExecution* find_execution(uint64_t job, std::string_view thing) const {
    return const_cast<Jobs*>(this)->find_execution(job, thing);
  }
  void set_details(HeldExecution& held, JobDetails details);
  static size_t bytes_of(const JobDetails& details);
  // Counts it there, and opens or closes it for its thing.
  void set_status(Job& job, std::string_view thing, HeldExecution& held, JobStatus status);
  void erase_execution(Job& job, Executions::iterator at);
  // Those of the job, behind this thing.
  Executions::iterator behind(uint64_t job, std::string_view thing) {
    return executions_.upper_bound({job, std::string(thing)});
  }
  Executions::const_iterator behind(uint64_t job, std::string_view thing) const {
    return executions_.upper_bound({job, std::string(thing)});
  }
  Executions::iterator end() { return executions_.end(); }
  Executions::const_iterator end() const { return executions_.end(); }

  // Numbers of jobs that are open for the thing, the oldest first.
  const std::vector<uint64_t>& open_of(std::string_view thing) const;
  // The one that is next: in progress, else the oldest; 0: none.
  uint64_t next_of(std::string_view thing) const;

  uint64_t next_execution_number() { return ++last_execution_; }
  void set_partition(PartitionId partition) { partition_ = partition; }
  PartitionId partition() const { return partition_; }

  // In the order of their identifiers.
  void page(const JobsPageQuery& query, Reply& reply) const;
  void executions(const Job& job, const JobsPageQuery& query, Reply& reply) const;

  bool fresh() const { return jobs_.empty() && last_job_ == 0 && partition_ == kNoPartition; }
  size_t size() const { return jobs_.size(); }
  size_t executions_count() const { return executions_.size(); }
  size_t bytes() const { return bytes_; }

  void save(SnapshotWriter& writer) const;
  Result<void> restore(SnapshotReader& reader);

 private:
  static constexpr size_t kExecutionBytes = 256;  // of the map's node and what strings take beside their bytes
  static constexpr size_t kOpenBytes = 120;
  static constexpr size_t kJobBytes = 2'560;  // also of the longest reason, and of the names that its walks are at

  static size_t bytes_of(const Job& job);
  void open(std::string_view thing, uint64_t job);
  void close(std::string_view thing, uint64_t job);
  void restore_job(SnapshotReader& reader);
  void restore_execution(SnapshotReader& reader);
  void restore_open(SnapshotReader& reader);
  bool all_are_open() const;

  std::map<uint64_t, Job> jobs_;
  std::map<std::string, uint64_t, std::less<>> ids_;
  Executions executions_;
  std::map<std::string, std::vector<uint64_t>, std::less<>> open_;
  uint64_t last_job_ = 0;
  uint64_t last_execution_ = 0;
  PartitionId partition_ = kNoPartition;  // of iot.jobs
  size_t bytes_ = 0;
};

}  // namespace heptane::iot::devices
