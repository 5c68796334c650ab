// The jobs machine with the devices, the broker and the streams, and what a shard does for them. Test support.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "kernel/blobs/blobs_machine.h"
#include "kernel/shard/command_run.h"
#include "kernel/shard/memory_snapshot.h"
#include "kernel/streams/streams_machine.h"
#include "modules/iot/machine/broker_machine.h"
#include "modules/iot/machine/jobs/jobs_machine.h"
#include "modules/iot/test/trail.h"

namespace heptane::iot::devices::test {

constexpr LogTime kSecond = 1'000'000'000;
constexpr LogTime kMinute = 60 * kSecond;

class JobsRig {
 public:
  explicit JobsRig(const std::vector<std::string>& things, const std::string& group = "all", JobsLimits limits = {})
      : jobs(limits) {
    devices.add_watch(jobs);
    kernel.versions[kBrokerMachineId] = broker.newest_version();
    for (StateMachine* machine :
         std::initializer_list<StateMachine*>{&streams, &broker, &devices, &fleets, &jobs, &blobs, &trail})
      machines_.add(*machine);
    run_.set_streams(&streams);
    for (const std::string& name : things) add_thing(name, group);
  }

  void add_thing(const std::string& name, const std::string& group = "all") {
    Thing thing{.name = name, .type = {}, .attributes = {}, .tags = {}, .groups = {group}};
    EXPECT_TRUE(apply(devices, kCreateThings, encode_things({thing})).ok());
  }

  Reply apply(StateMachine& machine, CommandType type, const Buffer& payload) {
    Command command;
    command.sequence = sequence_ + 1;
    command.time = now;
    command.machine = machine.id();
    command.type = type;
    command.payload = payload.view();
    run_.begin(command.sequence, command.time);
    run_.apply(machine, command);
    Reply reply = run_.reply();
    outcome = run_.outcome();
    if (outcome != CommandOutcome::kept) return reply;
    ++sequence_;
    ++commands;
    take_records(command);
    DigestAccumulator digest;
    run_.keep(command, 0, false, digest);
    return reply;
  }

  Reply create(const JobPlan& plan) { return apply(jobs, kCreateJob, encode(plan)); }
  Reply cancel(const std::string& id, bool force) { return apply(jobs, kCancelJob, encode(CancelJob{id, "", force})); }
  Reply remove(const std::string& id, bool force) { return apply(jobs, kDeleteJob, encode_delete_job(id, force)); }
  JobFault ask(const JobRequest& request) {
    const Reply reply = apply(jobs, kJobRequest, encode(request));
    EXPECT_TRUE(reply.ok()) << reply.message;
    return static_cast<JobFault>(reply.numbers[0]);
  }
  JobFault start(const std::string& thing) { return ask(request(JobOperation::start_next, thing)); }
  JobFault update(const std::string& thing, const std::string& job, JobStatus status) {
    JobRequest asked = request(JobOperation::update, thing, job);
    asked.status = status;
    return ask(asked);
  }
  static JobRequest request(JobOperation operation, const std::string& thing, const std::string& job = "") {
    JobRequest request;
    request.operation = operation;
    request.thing = thing;
    request.job = job;
    return request;
  }

  // What is due fires, and what becomes due by it.
  void fire() {
    LogTime due = 0;
    for (TimerId id = kernel.first_due(due); id != 0 && due <= now; id = kernel.first_due(due)) {
      const Timer timer = kernel.timers.at(id);
      kernel.disarm(id);
      StateMachine& machine = timer.machine == kJobsMachineId ? static_cast<StateMachine&>(jobs) : broker;
      EXPECT_TRUE(apply(machine, timer.type, Buffer::copy_of(timer.payload)).ok());
    }
  }
  void pass(LogTime time) {
    const LogTime until = now + time;
    LogTime due = 0;
    while (kernel.first_due(due) != 0 && due <= until) {
      now = std::max(now, due);
      fire();
    }
    now = until;
  }

  std::optional<JobRow> job(const std::string& id) const {
    Reply reply;
    jobs.query({kQueryJob, as_bytes(id), {}}, reply);
    if (reply.numbers[0] == 0) return std::nullopt;
    ByteReader in(reply.payload.view());
    JobRow row = read_job_row(in);
    EXPECT_TRUE(in.complete());
    return row;
  }
  uint64_t count(const std::string& id, JobStatus status) const { return count_of(job(id)->counts, status); }

  std::map<std::string, JobExecution> executions(const std::string& id) const {
    std::map<std::string, JobExecution> all;
    JobsPageQuery query;
    query.job = id;
    query.limit = 7;
    for (bool more = true; more;) {
      Reply reply;
      jobs.query({kQueryExecutions, encode(query).view(), {}}, reply);
      const auto page = decode_executions_page(reply.payload.view());
      if (!page) return all;
      for (const ExecutionRow& row : page->rows) all[row.thing] = row.execution;
      query.after = page->last;
      more = reply.numbers[1] != 0;
    }
    return all;
  }

  void restore() {
    MemorySnapshot saved;
    jobs.save(saved);
    const size_t bytes = jobs.memory_bytes();
    ASSERT_TRUE(jobs.restore(saved).ok() && saved.at_end());
    MemorySnapshot again;
    jobs.save(again);
    ASSERT_EQ(as_text(again.bytes()), as_text(saved.bytes()));
    ASSERT_EQ(jobs.memory_bytes(), bytes);
  }

  streams::StreamsMachine streams;
  BrokerMachine broker;
  DevicesMachine devices;
  FleetsMachine fleets;
  JobsMachine jobs;
  blobs::BlobsMachine blobs;
  iot::test::Trail trail;
  KernelState kernel;
  LogTime now = 1'700'000'000 * kSecond;
  CommandOutcome outcome = CommandOutcome::kept;
  size_t commands = 0;
  size_t notes_max = 0;                                      // bytes that a command noted
  std::vector<std::pair<std::string, std::string>> records;  // of iot.jobs: topic, payload

 private:
  class Records final : public RecordWriter {
   public:
    explicit Records(std::vector<std::pair<std::string, std::string>>& out) : out_(out) {}
    bool wants() const override { return true; }
    bool full() const override { return false; }
    void skip() override { FAIL(); }
    void add(const ViewRecord& record) override { out_.emplace_back(as_text(record.key), as_text(record.value)); }

   private:
    std::vector<std::pair<std::string, std::string>>& out_;
  };

  void take_records(const Command& command) {
    ByteWriter extensions;
    if (run_.adds_to_entry()) run_.append_additions(extensions, 0, 0);
    notes_max = std::max(notes_max, extensions.size());
    for (const log::ViewRun& run : run_.view_runs()) {
      if (run.machine != kJobsMachineId) continue;
      LoggedCommand logged;
      logged.command = command;
      logged.results = log::results_of(extensions.view(), run.machine);
      const size_t before = records.size();
      Records out(records);
      jobs.renderer()(logged, run.view, out);
      EXPECT_EQ(records.size() - before, run.count);
    }
  }

  MachineTable machines_;
  CommandRun run_{machines_, kernel};
  Sequence sequence_ = 0;
};

inline JobPlan plan(std::string id, std::vector<std::string> things) {
  JobPlan plan;
  plan.id = std::move(id);
  plan.document = R"({"do":"it"})";
  plan.things = std::move(things);
  if (plan.things.empty()) plan.groups = {"all"};
  return plan;
}

}  // namespace heptane::iot::devices::test
