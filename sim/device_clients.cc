#include "sim/device_clients.h"

namespace heptane::sim {

namespace {

constexpr uint32_t kOperatorStepsMax = 40;
constexpr uint32_t kAppRequestsMax = 70;
constexpr uint32_t kThingRequestsMax = 80;
constexpr uint32_t kIdleTurns = 8;  // of a thing at its end between two requests

std::string topic_of_thing(uint32_t thing, const std::string& rest) {
  return "$aws/things/" + thing_name(thing) + "/" + rest;
}

}  // namespace

// The operator.

void SimDevicesOperator::make_job(const std::string& job) {
  std::string things;
  for (uint32_t i = 0; i < watch_.things; ++i)
    if (i == 0 || !world_.random.one_in(4)) things += (things.empty() ? "" : ",") + quoted(thing_name(i));
  static constexpr const char* kRollouts[] = {"", R"(,"rollout":{"per_minute":60})",
                                              R"(,"rollout":{"stages_percent":[30,100],"advance_percent":60})",
                                              R"(,"rollout":{"per_minute":120,"stages_percent":[50,100]})"};
  static constexpr const char* kMore[] = {"", R"(,"abort":{"percent":50,"min_executed":2})",
                                          R"(,"in_progress_timeout_minutes":1)",
                                          R"(,"abort":{"percent":30},"in_progress_timeout_minutes":1)"};
  job_ = job;
  ask("POST", "/api/v1/jobs",
      R"({"id":)" + quoted(job) + R"(,"document":{"do":"it"},"things":[)" + things + "]" +
          kRollouts[world_.random.below(std::size(kRollouts))] + kMore[world_.random.below(std::size(kMore))] + "}");
}

void SimDevicesOperator::compose() {
  if (!watch_.all_registered())
    return ask("POST", "/api/v1/devices",
               R"({"name":)" + quoted(thing_name(watch_.registered)) + R"(,"groups":["all"]})");
  if (!mqtt_.all_subscribed() || steps_++ >= kOperatorStepsMax) return;
  const std::string job = job_name(static_cast<uint32_t>(world_.random.below(kJobNames)));
  switch (world_.random.below(8)) {
    case 0:
      return ask("POST", "/api/v1/jobs/" + job + "/cancel",
                 world_.random.one_in(2) ? R"({"reason":"enough","force":true})" : R"({"reason":"enough"})");
    case 1: watch_.jobs.made.erase(job); return ask("DELETE", "/api/v1/jobs/" + job + "?force=true", "");
    case 2: watch_.jobs.made.erase(job); return ask("DELETE", "/api/v1/jobs/" + job, "");
    default: return make_job(job);
  }
}

// What was there or was done before is no mistake: it may be the lost answer's doing.
bool SimDevicesOperator::on_response(int status, std::string_view) {
  if (status != 200 && status != 201 && status != 404 && status != 409) return false;
  if (request().starts_with("POST /api/v1/devices ")) ++watch_.registered;
  if (request().starts_with("POST /api/v1/jobs ") && status == 201) watch_.jobs.made.insert(job_);
  return true;
}

// Apps.

SimShadowApp::SimShadowApp(ClientWorld& world, MqttWatch& mqtt, DevicesWatch& watch, uint32_t number, uint16_t port)
    : SimMqttSender(world, mqtt, "shadow-app-" + std::to_string(number), port, 1), devices_(watch), number_(number) {
  devices_.shadows.acknowledged.push_back(0);
}

bool SimShadowApp::may_send(uint32_t number) {
  if (!watch_.all_subscribed() || !devices_.all_registered() || number > kAppRequestsMax) return false;
  if (!requests_.contains(number)) requests_[number] = compose(number);
  return true;
}

void SimShadowApp::acknowledged(uint32_t number) {
  requests_.erase(number);
  devices_.shadows.acknowledged[number_] = number;
}

std::string SimShadowApp::section() {
  std::string text;
  for (const char* name : {"a", "b", "c", "d"}) {
    if (!world_.random.one_in(3)) continue;
    text += (text.empty() ? "" : ",") + quoted(name) + ":";
    text += world_.random.one_in(4) ? "null" : std::to_string(world_.random.below(3));
  }
  return "{" + text + "}";
}

SimMessage SimShadowApp::compose(uint32_t number) {
  const auto thing = static_cast<uint32_t>(world_.random.below(devices_.things));
  const std::string name = world_.random.one_in(3) ? "/name/cfg" : "";
  ShadowToken token{number_, number, {}};
  // The newest version that is known, or one that was before.
  if (world_.random.one_in(3)) {
    const uint64_t version = devices_.shadows.version_of(thing_name(thing) + "/shadow" + name);
    token.version = version - std::min<uint64_t>(version, world_.random.below(2));
  }
  const uint64_t what = world_.random.below(10);
  std::string body =
      R"({"clientToken":)" + quoted(token_text(ShadowToken{number_, number, what == 0 ? std::nullopt : token.version}));
  if (what != 0 && token.version) body += R"(,"version":)" + std::to_string(*token.version);
  if (what > 1) {
    body += R"(,"state":{)";
    if (what > 4) body += R"("desired":)" + (world_.random.one_in(12) ? "null" : section());
    if (what > 4 && what < 7) body += ",";
    if (what < 7) body += R"("reported":)" + (world_.random.one_in(12) ? "null" : section());
    body += "}";
  }
  const std::string operation = what == 0 ? "get" : what == 1 ? "delete" : "update";
  return {topic_of_thing(thing, "shadow" + name + "/" + operation), body + "}"};
}

// Things.

SimThing::SimThing(ClientWorld& world, MqttWatch& mqtt, DevicesWatch& watch, uint32_t number, uint16_t port)
    : SimMqttSender(world, mqtt, thing_name(number), port, 1), devices_(watch), number_(number) {
  ++devices_.things;
  devices_.jobs.acknowledged.push_back(0);
}

bool SimThing::may_send(uint32_t number) {
  if (!watch_.all_subscribed() || !devices_.all_registered()) return false;
  if (finishing_ ? ++idle_ % kIdleTurns != 0 : number > kThingRequestsMax) return false;
  if (!requests_.contains(number)) requests_[number] = compose(number);
  return true;
}

void SimThing::acknowledged(uint32_t number) {
  requests_.erase(number);
  devices_.jobs.acknowledged[number_] = number;
}

SimMessage SimThing::update(uint32_t number, const std::string& job, const std::string& status, bool with_version) {
  JobToken token{number_, number, status};
  if (with_version) token.version = devices_.jobs.version_of(thing_name(number_), job);
  std::string body = R"({"status":)" + quoted(status) + R"(,"includeJobExecutionState":true,"clientToken":)" +
                     quoted(token_text(token));
  if (token.version) body += R"(,"expectedVersion":)" + std::to_string(*token.version);
  return {topic_of_thing(number_, "jobs/" + job + "/update"), body + "}"};
}

SimMessage SimThing::compose(uint32_t number) {
  const std::string token = R"({"clientToken":)" + quoted(token_text(JobToken{number_, number})) + "}";
  const std::string job = job_name(static_cast<uint32_t>(world_.random.below(kJobNames)));
  static constexpr const char* kStatuses[] = {"IN_PROGRESS", "SUCCEEDED", "FAILED", "REJECTED", "SUCCEEDED"};
  if (finishing_ && number % 2 == 0) return update(number, job_name(number / 2 % kJobNames), "SUCCEEDED", false);
  switch (world_.random.below(10)) {
    case 0: return {topic_of_thing(number_, "jobs/get"), token};
    case 1: return {topic_of_thing(number_, "jobs/" + job + "/get"), token};
    case 2: return {topic_of_thing(number_, "jobs/$next/get"), token};
    case 3:
    case 4:
    case 5: return {topic_of_thing(number_, "jobs/start-next"), token};
    default: return update(number, job, kStatuses[world_.random.below(std::size(kStatuses))], world_.random.one_in(3));
  }
}

}  // namespace heptane::sim
