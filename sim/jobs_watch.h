// Jobs in a simulation: what the stream `iot.jobs` says, in its order, and what becomes of each execution by a table of its own.
//
// Rules, looked at after every start: every request that a thing was told of is answered in the stream; an execution goes from one
// status to the next as the table has it, by one version each, ends once and is told once; a request is accepted where the table has its
// move and the version that it named is the execution's, and else rejected with the reason; what a thing is told to be open is what is; a job is told to be complete
// when all of its executions are at their end, with the counts that they have; the machine's executions are those of the stream, no
// more and no less; a job that was made, acknowledged and not deleted is there. At the end every job is at its end. One owner.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "kernel/base/disk.h"
#include "kernel/net/http/json.h"
#include "modules/iot/machine/jobs/jobs_machine.h"
#include "sim/checker.h"
#include "sim/stream_tail.h"

namespace heptane::sim {

constexpr uint32_t kJobNames = 4;  // of jobs, used again when one is deleted
std::string job_name(uint32_t number);
std::string thing_name(uint32_t number);

// What a request's client token says of it: `THING.NUMBER`, of an update behind it `.STATUS` and, where it named one, `.VERSION`.
struct JobToken {
  uint32_t thing = 0;
  uint32_t number = 0;
  std::string status{};
  std::optional<uint64_t> version{};
};
std::string token_text(const JobToken& token);
std::optional<JobToken> parse_job_token(std::string_view text);

class JobsWatch {
 public:
  struct Counts {
    uint64_t moves = 0;  // of executions
    uint64_t ended = 0;  // of them
    uint64_t timed_out = 0;
    uint64_t rejected = 0;  // requests that the table refuses
    uint64_t jobs_ended = 0;
    uint64_t deleted = 0;
    uint64_t audits = 0;
  };

  // What clients know: of each thing the number of the newest request that was acknowledged; jobs that were made.
  std::vector<uint32_t> acknowledged;
  std::set<std::string> made;
  bool are_open = true;  // look()

  void audit(server::Server& server, const iot::devices::JobsMachine& machine, Disk& disk, Checker& checker,
             bool damaged);
  // Whether anything is open or goes on, by the machine.
  void look(const iot::devices::JobsMachine& machine);
  // What is open, as a text.
  std::string awaited(const iot::devices::JobsMachine& machine) const;
  // Reads what is synced; true when all that was acknowledged is answered.
  bool has_ended(server::Server& server, Disk& disk, Checker& checker);
  // What things were told, as SimMqttListener::heard has it, each once.
  const std::vector<std::string>& told() const { return told_; }
  // The version of the execution of the job that the thing has, as the log last had it; 0: none.
  uint64_t version_of(const std::string& thing, const std::string& job) const;
  const Counts& counts() const { return counts_; }

 private:
  struct Execution {
    std::string job;
    std::string thing;
    std::string status = "QUEUED";
    uint64_t version = 1;
    bool end_told = false;
    bool gone = false;  // with its job, whose end is told behind it
  };
  using Number = uint64_t;

  bool catch_up(server::Server& server, Disk& disk, Checker& checker, bool damaged);
  void take(std::string_view topic, std::string_view payload, Checker& checker);
  void take_of_thing(const std::string& thing, std::string_view what, http::JsonValue root, Checker& checker);
  void take_update(const std::string& thing, const std::string& job, http::JsonValue root, Checker& checker);
  void take_rejection(const std::string& thing, const std::string& job, http::JsonValue root, Checker& checker);
  void take_started(const std::string& thing, http::JsonValue root, Checker& checker);
  void take_open(const std::string& thing, http::JsonValue root, Checker& checker);
  void take_event(http::JsonValue root, Checker& checker);
  void take_end_of_job(std::string_view operation, http::JsonValue root, Checker& checker);
  bool move(Execution& execution, const std::string& status, uint64_t version, std::string_view by, Checker& checker);
  Execution* find(const std::string& thing, const std::string& job);
  std::set<Number> open_of(const std::string& thing) const;
  void compare_machine(const iot::devices::JobsMachine& machine, Checker& checker) const;
  bool all_answered() const;

  StreamTail tail_{"iot.jobs"};
  std::map<Number, Execution> executions_;
  std::map<std::pair<std::string, std::string>, Number> current_;  // by thing and job
  std::set<std::string> completed_;
  std::vector<std::set<uint32_t>> answered_;  // by thing
  std::vector<std::string> told_;
  std::set<std::string> known_told_;
  bool blind_ = false;
  Counts counts_;
};

}  // namespace heptane::sim
