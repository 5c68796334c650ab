#include "sim/jobs_watch.h"

#include <algorithm>
#include <charconv>

#include "sim/mqtt_listener.h"

namespace heptane::sim {

namespace {

using http::JsonDocument;
using http::JsonValue;

constexpr std::string_view kThings = "$aws/things/";
constexpr std::string_view kOfExecutions = "$aws/events/jobExecution/";
constexpr std::string_view kOfJobs = "$aws/events/job/";

// Who takes an execution from where to where.
struct Step {
  std::string_view from;
  std::string_view to;
  std::string_view by;
};
constexpr Step kSteps[] = {
    {"QUEUED", "IN_PROGRESS", "thing"},      {"QUEUED", "SUCCEEDED", "thing"},
    {"QUEUED", "FAILED", "thing"},           {"QUEUED", "REJECTED", "thing"},
    {"IN_PROGRESS", "IN_PROGRESS", "thing"}, {"IN_PROGRESS", "SUCCEEDED", "thing"},
    {"IN_PROGRESS", "FAILED", "thing"},      {"IN_PROGRESS", "REJECTED", "thing"},
    {"QUEUED", "CANCELED", "server"},        {"IN_PROGRESS", "CANCELED", "server"},
    {"IN_PROGRESS", "TIMED_OUT", "server"},
};

bool has_step(std::string_view from, std::string_view to, std::string_view by) {
  return std::any_of(std::begin(kSteps), std::end(kSteps),
                     [&](const Step& step) { return step.from == from && step.to == to && step.by == by; });
}

bool is_open(std::string_view status) { return status == "QUEUED" || status == "IN_PROGRESS"; }

std::string text_in(const JsonValue& object, std::string_view name) {
  const auto found = object.find(name);
  return found ? std::string(found->text()) : std::string();
}

uint64_t number_in(const JsonValue& object, std::string_view name) {
  const auto found = object.find(name);
  return found ? static_cast<uint64_t>(found->integer().value_or(0)) : 0;
}

std::string_view take_part(std::string_view& rest, char end) {
  const size_t at = rest.find(end);
  const std::string_view part = rest.substr(0, at);
  rest = at == std::string_view::npos ? std::string_view() : rest.substr(at + 1);
  return part;
}

std::optional<uint64_t> number_of(std::string_view text) {
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size() ? std::optional(number) : std::nullopt;
}

// Those that may be there: clients name few.
std::vector<const iot::devices::Job*> jobs_of(const iot::devices::JobsMachine& machine) {
  std::vector<const iot::devices::Job*> all;
  for (uint32_t i = 0; i < kJobNames; ++i)
    if (const iot::devices::Job* job = machine.jobs().find(job_name(i))) all.push_back(job);
  return all;
}

}  // namespace

std::string job_name(uint32_t number) { return "job-" + std::to_string(number); }
std::string thing_name(uint32_t number) { return "thing-" + std::to_string(number); }

std::string token_text(const JobToken& token) {
  std::string text = std::to_string(token.thing) + "." + std::to_string(token.number);
  if (!token.status.empty()) text += "." + token.status;
  return token.version ? text + "." + std::to_string(*token.version) : text;
}

std::optional<JobToken> parse_job_token(std::string_view text) {
  const auto thing = number_of(take_part(text, '.'));
  const auto number = number_of(take_part(text, '.'));
  if (!thing || !number) return std::nullopt;
  JobToken token{static_cast<uint32_t>(*thing), static_cast<uint32_t>(*number)};
  token.status = take_part(text, '.');
  if (!text.empty()) token.version = number_of(text);
  return token;
}

uint64_t JobsWatch::version_of(const std::string& thing, const std::string& job) const {
  const auto number = current_.find({thing, job});
  return number == current_.end() ? 0 : executions_.at(number->second).version;
}

// False: nothing is known any more.
bool JobsWatch::catch_up(server::Server& server, Disk& disk, Checker& checker, bool damaged) {
  if (checker.lost_tail_allowed()) blind_ = true;
  if (blind_) return false;
  const Result<void> done = tail_.read(server, disk, [&](Offset, std::string_view topic, std::string_view payload) {
    std::string heard = SimMqttListener::heard(topic, payload);
    if (topic.starts_with(kThings) && known_told_.insert(heard).second) told_.push_back(std::move(heard));
    if (!checker.failed()) take(topic, payload, checker);
  });
  if (!done && !damaged) checker.fail(done.error().message);
  blind_ = !done;
  return done.ok() && !checker.failed();
}

void JobsWatch::audit(server::Server& server, const iot::devices::JobsMachine& machine, Disk& disk, Checker& checker,
                      bool damaged) {
  if (!catch_up(server, disk, checker, damaged)) return;
  if (!all_answered()) checker.fail("a request of a thing was acknowledged, and its answer is not in iot.jobs");
  for (const std::string& job : made)
    if (machine.jobs().find(job) == nullptr) checker.fail(job + " was made and acknowledged, and is not there");
  compare_machine(machine, checker);
  ++counts_.audits;
}

void JobsWatch::look(const iot::devices::JobsMachine& machine) {
  using iot::devices::JobState;
  are_open = false;
  for (const iot::devices::Job* job : jobs_of(machine))
    are_open |= job->row.state == JobState::in_progress || job->row.state == JobState::deleting || job->sweeping ||
                iot::devices::open_of(job->row.counts) > 0;
}

std::string JobsWatch::awaited(const iot::devices::JobsMachine& machine) const {
  std::string text = all_answered() ? "" : "; answers to things";
  for (const iot::devices::Job* job : jobs_of(machine)) {
    text += "; " + job->id() + " " + std::string(iot::devices::state_text(job->row.state)) +
            (job->sweeping ? ", sweeping" : "") + (job->step == 0 ? ", rests" : ", goes on") + ":";
    for (const uint64_t count : job->row.counts) text += " " + std::to_string(count);
  }
  return text;
}

bool JobsWatch::has_ended(server::Server& server, Disk& disk, Checker& checker) {
  return !catch_up(server, disk, checker, false) || all_answered();
}

bool JobsWatch::all_answered() const {
  for (size_t thing = 0; thing < acknowledged.size(); ++thing)
    for (uint32_t number = 1; number <= acknowledged[thing]; ++number)
      if (thing >= answered_.size() || !answered_[thing].contains(number)) return false;
  return true;
}

// What is told, record by record.

void JobsWatch::take(std::string_view topic, std::string_view payload, Checker& checker) {
  const auto parsed = JsonDocument::parse(std::string(payload));
  if (!parsed) return checker.fail("iot.jobs holds what is no JSON");
  const JsonValue root = (*parsed)->root();
  if (topic.starts_with(kOfExecutions)) return take_event(root, checker);
  if (topic.starts_with(kOfJobs)) return take_end_of_job(text_in(root, "operation"), root, checker);
  std::string_view rest = topic.substr(kThings.size());
  const std::string thing(take_part(rest, '/'));
  (void)take_part(rest, '/');  // jobs
  if (const auto token = parse_job_token(text_in(root, "clientToken"))) {
    if (answered_.size() <= token->thing) answered_.resize(token->thing + 1);
    answered_[token->thing].insert(token->number);
  }
  take_of_thing(thing, rest, root, checker);
}

void JobsWatch::take_of_thing(const std::string& thing, std::string_view what, JsonValue root, Checker& checker) {
  if (what == "notify") return take_open(thing, root, checker);
  if (what == "start-next/accepted") return take_started(thing, root, checker);
  if (what == "notify-next" || what.ends_with("get/accepted")) {
    const auto execution = root.find("execution");
    if (!execution || execution->size() == 0) return;
    Execution* known = find(thing, text_in(*execution, "jobId"));
    if (known == nullptr || known->status != text_in(*execution, "status") ||
        known->version != number_in(*execution, "versionNumber"))
      checker.fail(thing + " was told of another execution than the one that it has: " + std::string(root.raw()));
    return;
  }
  std::string_view rest = what;
  const std::string job(take_part(rest, '/'));
  if (rest == "update/accepted") return take_update(thing, job, root, checker);
  if (what.ends_with("/rejected")) return take_rejection(thing, job, root, checker);
  if (what != "get/accepted") checker.fail("iot.jobs holds an answer that nobody asked for: " + std::string(what));
}

JobsWatch::Execution* JobsWatch::find(const std::string& thing, const std::string& job) {
  const auto number = current_.find({thing, job});
  return number == current_.end() ? nullptr : &executions_.at(number->second);
}

bool JobsWatch::move(Execution& execution, const std::string& status, uint64_t version, std::string_view by,
                     Checker& checker) {
  const bool right = has_step(execution.status, status, by) && version == execution.version + 1 && !execution.gone;
  if (!right)
    checker.fail(execution.job + " went at " + execution.thing + " from " + execution.status + ", version " +
                 std::to_string(execution.version) + ", to " + status + ", version " + std::to_string(version));
  execution.status = status;
  execution.version = version;
  ++counts_.moves;
  counts_.ended += is_open(status) ? 0 : 1;
  return right;
}

void JobsWatch::take_update(const std::string& thing, const std::string& job, JsonValue root, Checker& checker) {
  Execution* execution = find(thing, job);
  const auto state = root.find("executionState");
  if (execution == nullptr || !state) return checker.fail(thing + " has updated what it has not: " + job);
  const auto token = parse_job_token(text_in(root, "clientToken"));
  if (token && token->version && *token->version != execution->version)
    return checker.fail(thing + " has updated " + job + " at version " + std::to_string(execution->version) +
                        " where it named " + std::to_string(*token->version));
  move(*execution, text_in(*state, "status"), number_in(*state, "versionNumber"), "thing", checker);
}

void JobsWatch::take_rejection(const std::string& thing, const std::string& job, JsonValue root, Checker& checker) {
  const std::string code = text_in(root, "code");
  const auto token = parse_job_token(text_in(root, "clientToken"));
  const Execution* execution = find(thing, job);
  ++counts_.rejected;
  bool right = code == "RequestThrottled";
  if (code == "ResourceNotFound") right = execution == nullptr;
  if (code == "TerminalStateReached") right = execution != nullptr && !is_open(execution->status);
  if (code == "VersionMismatch")
    right = execution != nullptr && token && token->version && *token->version != execution->version;
  if (code == "InvalidStateTransition")
    right = execution != nullptr && token && !has_step(execution->status, token->status, "thing");
  const auto state = root.find("executionState");
  if (state && execution != nullptr)
    right = right && text_in(*state, "status") == execution->status &&
            number_in(*state, "versionNumber") == execution->version;
  if (!right)
    checker.fail(thing + " was told " + code + " of " + job +
                 (execution == nullptr ? "" : ", which is " + execution->status));
}

// One that was queued goes on, one that is in progress is given again.
void JobsWatch::take_started(const std::string& thing, JsonValue root, Checker& checker) {
  const auto said = root.find("execution");
  if (!said || said->size() == 0) {
    if (!open_of(thing).empty()) checker.fail(thing + " was told that nothing is open for it");
    return;
  }
  Execution* execution = find(thing, text_in(*said, "jobId"));
  const uint64_t version = number_in(*said, "versionNumber");
  if (execution == nullptr) return checker.fail(thing + " has begun what it has not");
  if (execution->status == "IN_PROGRESS" && version == execution->version) return;
  move(*execution, text_in(*said, "status"), version, "thing", checker);
}

std::set<JobsWatch::Number> JobsWatch::open_of(const std::string& thing) const {
  std::set<Number> open;
  for (const auto& [thing_and_job, number] : current_) {
    const Execution& execution = executions_.at(number);
    if (thing_and_job.first == thing && is_open(execution.status) && !execution.gone) open.insert(number);
  }
  return open;
}

// What is new in the list was queued; what is missing goes with its job.
void JobsWatch::take_open(const std::string& thing, JsonValue root, Checker& checker) {
  std::set<Number> missing = open_of(thing);
  const auto jobs = root.find("jobs");
  for (auto list = jobs ? jobs->first() : std::nullopt; list; list = list->next()) {
    const std::string status(list->name());
    for (auto one = list->first(); one; one = one->next()) {
      const Number number = number_in(*one, "executionNumber");
      missing.erase(number);
      const auto [at, is_new] = executions_.try_emplace(number, Execution{text_in(*one, "jobId"), thing});
      const Execution& execution = at->second;
      if (is_new) current_[{thing, execution.job}] = number;
      if (execution.thing != thing || execution.status != status || execution.gone ||
          execution.version != number_in(*one, "versionNumber"))
        return checker.fail(thing + " was told of " + execution.job + " as " + status + ", and it is " +
                            execution.status);
    }
  }
  for (const Number number : missing) executions_.at(number).gone = true;
}

void JobsWatch::take_event(JsonValue root, Checker& checker) {
  const auto found = executions_.find(number_in(root, "executionNumber"));
  const std::string status = text_in(root, "status");
  const uint64_t version = number_in(root, "versionNumber");
  if (found == executions_.end()) return checker.fail("the end of an execution is told that nobody had: " + status);
  Execution& execution = found->second;
  if (execution.status == "IN_PROGRESS" && status == "TIMED_OUT") ++counts_.timed_out;
  if (execution.status != status && !move(execution, status, version, "server", checker)) return;
  if (execution.version != version || execution.end_told || is_open(status))
    return checker.fail("the end of " + execution.job + " at " + execution.thing +
                        " is told twice, or of another version");
  execution.end_told = true;
}

void JobsWatch::take_end_of_job(std::string_view operation, JsonValue root, Checker& checker) {
  const std::string job = text_in(root, "jobId");
  std::map<std::string, uint64_t> counts;
  for (const auto& [thing_and_job, number] : current_)
    if (thing_and_job.second == job) ++counts[executions_.at(number).status];
  const auto said = root.find("counts");
  for (const char* status : {"SUCCEEDED", "FAILED", "REJECTED", "TIMED_OUT", "IN_PROGRESS", "QUEUED"}) {
    const bool open = is_open(status);
    if (operation == "completed" && open && counts[status] > 0)
      return checker.fail(job + " is told to be complete, and is open");
    if (operation != "deleted" && said && number_in(*said, status) != counts[status])
      return checker.fail(job + " is told to have " + std::to_string(number_in(*said, status)) + " " + status +
                          " instead of " + std::to_string(counts[status]));
  }
  if (operation == "canceled" && counts["QUEUED"] > 0) return checker.fail(job + " was canceled, and is still queued");
  ++(operation == "deleted" ? counts_.deleted : counts_.jobs_ended);
  if (operation == "completed" && !completed_.insert(job).second)
    return checker.fail(job + " is told twice to be complete");
  if (operation != "deleted") return;
  completed_.erase(job);
  std::erase_if(current_, [&](const auto& one) { return one.first.second == job; });
}

// What is compared.

void JobsWatch::compare_machine(const iot::devices::JobsMachine& machine, Checker& checker) const {
  using namespace iot::devices;
  size_t known = 0;
  for (const Job* job : jobs_of(machine)) {
    for (auto at = machine.jobs().behind(job->number, ""); at != machine.jobs().end() && at->first.first == job->number;
         ++at) {
      const JobExecution& is = at->second.execution;
      if (is.version == 0) continue;  // its thing does not know of it
      ++known;
      const auto number = current_.find({at->first.second, job->id()});
      const auto must = number == current_.end() ? executions_.end() : executions_.find(number->second);
      const bool same = must != executions_.end() && must->first == is.number && must->second.version == is.version &&
                        must->second.status == status_text(is.status);
      if (!same)
        return checker.fail(job->id() + " is at " + at->first.second + " " + std::string(status_text(is.status)) +
                            ", version " + std::to_string(is.version) + ", and was told to be " +
                            (must == executions_.end()
                                 ? "nothing"
                                 : must->second.status + ", version " + std::to_string(must->second.version)));
    }
    const bool is_complete = job->row.state == JobState::completed;
    if (job->row.state == JobState::deleting) continue;  // slice by slice, whatever it was
    if (is_complete != completed_.contains(job->id()))
      return checker.fail(
          job->id() + (is_complete ? " is complete, and was not told to be" : " is told to be complete, and is not"));
  }
  if (known != current_.size())
    checker.fail(std::to_string(current_.size()) + " executions were told of, and " + std::to_string(known) +
                 " are there");
}

}  // namespace heptane::sim
