#include "modules/iot/gateway/devices/job_json.h"

#include <algorithm>
#include <charconv>
#include <system_error>

#include "kernel/base/result.h"
#include "kernel/net/http/json.h"
#include "modules/iot/domain/devices/image_link.h"
#include "modules/iot/domain/devices/json_object.h"
#include "modules/iot/domain/devices/thing.h"

namespace heptane::iot::devices {

namespace {

using http::JsonDocument;
using http::JsonFields;
using http::JsonType;
using http::JsonValue;

constexpr size_t kUrlBytesMax = 2'048;
constexpr int64_t kHundred = 100;

JobRequest request_to(const JobTopic& topic) {
  JobRequest request;
  request.operation = topic.operation;
  request.thing = topic.thing;
  request.job = topic.job;
  request.include_document = topic.operation != JobOperation::update;
  return request;
}

// Absent and null are the same.
std::optional<JsonValue> member(const JsonValue& root, std::string_view name) {
  auto value = root.find(name);
  if (value && value->type() == JsonType::null) return std::nullopt;
  return value;
}

JobFault read_token(const JsonValue& root, JobRequest& request) {
  const auto token = member(root, "clientToken");
  if (!token) return JobFault::none;
  if (token->type() != JsonType::text || token->text().size() > kJobTokenBytesMax)
    return JobFault::invalid_client_token;
  request.client_token = token->text();
  return JobFault::none;
}

// AWS IoT's clients in C and C++ write numbers and booleans as texts: `"1"`, `"true"`. A text that is anything else is none.
std::optional<int64_t> number_of(const JsonValue& value) {
  if (value.type() != JsonType::text) return value.integer();
  const std::string_view text = value.text();
  int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const bool whole = error == std::errc() && end == text.data() + text.size();
  if (!whole) return std::nullopt;
  return number;
}

std::optional<bool> flag_of(const JsonValue& value) {
  if (value.type() == JsonType::boolean) return value.boolean();
  if (value.text() == "true") return true;
  if (value.text() == "false") return false;
  return std::nullopt;
}

JobFault read_number(const JsonValue& root, std::string_view name, JobFault fault, std::optional<uint64_t>& into) {
  const auto value = member(root, name);
  if (!value) return JobFault::none;
  const auto number = number_of(*value);
  if (!number || *number < 0) return fault;
  into = static_cast<uint64_t>(*number);
  return JobFault::none;
}

JobFault read_flag(const JsonValue& root, std::string_view name, bool& into) {
  const auto value = member(root, name);
  if (!value) return JobFault::none;
  const auto flag = flag_of(*value);
  if (!flag) return JobFault::invalid_flag;
  into = *flag;
  return JobFault::none;
}

JobFault read_status(const JsonValue& root, JobRequest& request) {
  const auto value = member(root, "status");
  const auto status = value ? status_of(value->text()) : std::nullopt;
  const bool settable = status && moves(JobStatus::in_progress, *status, Mover::device);
  if (!settable) return JobFault::invalid_status;
  request.status = *status;
  return JobFault::none;
}

JobFault read_details(const JsonValue& root, JobRequest& request) {
  const auto object = member(root, "statusDetails");
  if (!object) return JobFault::none;
  if (object->type() != JsonType::object || object->size() > kDetailsMax) return JobFault::invalid_details;
  JobDetails details;
  for (auto one = object->first(); one; one = one->next()) {
    if (one->type() != JsonType::text) return JobFault::invalid_details;
    details.emplace(one->name(), one->text());
  }
  if (!valid_details(details)) return JobFault::invalid_details;
  request.details = std::move(details);
  return JobFault::none;
}

JobFault read_step(const JsonValue& root, JobRequest& request) {
  const auto value = member(root, "stepTimeoutInMinutes");
  if (!value) return JobFault::none;
  const auto minutes = number_of(*value);
  const bool over = minutes == -1 && request.operation == JobOperation::update;
  const bool within = minutes && *minutes >= 1 && *minutes <= kTimeOutMinutesMax;
  if (!over && !within) return JobFault::invalid_step;
  request.step_minutes = *minutes;
  return JobFault::none;
}

// What AWS IoT's clients say besides the topic must be the same.
JobFault read_job(const JsonValue& root, const JobRequest& request) {
  const auto job = member(root, "jobId");
  return !job || job->text() == request.job ? JobFault::none : JobFault::invalid_job;
}

JobFault read_start(const JsonValue& root, JobRequest& request) {
  const JobFault fault = read_details(root, request);
  return fault != JobFault::none ? fault : read_step(root, request);
}

JobFault read_describe(const JsonValue& root, JobRequest& request) {
  JobFault fault = read_job(root, request);
  if (fault == JobFault::none) fault = read_number(root, "executionNumber", JobFault::invalid_number, request.number);
  if (fault == JobFault::none) fault = read_flag(root, "includeJobDocument", request.include_document);
  return fault;
}

JobFault read_update(const JsonValue& root, JobRequest& request) {
  JobFault fault = read_status(root, request);
  if (fault == JobFault::none) fault = read_start(root, request);
  if (fault == JobFault::none) fault = read_describe(root, request);
  if (fault == JobFault::none)
    fault = read_number(root, "expectedVersion", JobFault::invalid_version, request.expected_version);
  if (fault == JobFault::none) fault = read_flag(root, "includeJobExecutionState", request.include_state);
  return fault;
}

JobFault read(const JobTopic& topic, std::string_view payload, JobRequest& request) {
  if (!is_possible(topic)) return JobFault::invalid_topic;
  if (payload.size() > kJobRequestBytesMax) return JobFault::too_large;
  if (payload.empty() && topic.operation != JobOperation::update) return JobFault::none;
  const auto document = JsonDocument::parse(std::string(payload));
  if (!document || (*document)->root().type() != JsonType::object) return JobFault::invalid_json;
  const JsonValue root = (*document)->root();
  const JobFault fault = read_token(root, request);
  if (fault != JobFault::none) return fault;
  switch (topic.operation) {
    case JobOperation::get_pending: return JobFault::none;
    case JobOperation::start_next: return read_start(root, request);
    case JobOperation::describe: return read_describe(root, request);
    case JobOperation::update: return read_update(root, request);
  }
  return JobFault::none;
}

// An operator's job.

std::vector<std::string> names_of(JsonFields& fields, std::string_view name) {
  std::vector<std::string> names;
  const auto list = fields.array(name);
  for (auto one = list ? list->first() : std::nullopt; one; one = one->next()) {
    if (one->type() != JsonType::text) fields.fail(fields.path_of(name) + " must be texts");
    names.emplace_back(one->text());
  }
  std::sort(names.begin(), names.end());  // total order: texts
  return names;
}

std::vector<uint8_t> stages_of(JsonFields& fields) {
  std::vector<uint8_t> stages;
  const auto list = fields.array("stages_percent");
  for (auto one = list ? list->first() : std::nullopt; one; one = one->next()) {
    const auto percent = one->integer();
    const bool within = percent && *percent >= 1 && *percent <= kHundred;
    if (!within) fields.fail(fields.path_of("stages_percent") + " must be 1 to 100");
    stages.push_back(within ? static_cast<uint8_t>(*percent) : 0);
  }
  return stages;
}

Result<void> read_rollout(const std::optional<JsonValue>& value, JobPlan& plan) {
  if (!value) return {};
  JsonFields fields(*value, "rollout");
  plan.per_minute = static_cast<uint32_t>(fields.integer_or("per_minute", 0, 1, kPerMinuteMax));
  plan.stages = stages_of(fields);
  plan.advance_percent = static_cast<uint8_t>(fields.integer_or("advance_percent", kHundred, 1, kHundred));
  return fields.finish();
}

Result<void> read_abort(const std::optional<JsonValue>& value, JobPlan& plan) {
  if (!value) return {};
  JsonFields fields(*value, "abort");
  plan.abort_percent = static_cast<uint8_t>(fields.integer("percent", 1, kHundred));
  plan.abort_minimum = static_cast<uint32_t>(fields.integer_or("min_executed", 1, 1, INT32_MAX));
  return fields.finish();
}

Result<std::string> blob_image(const std::string& blob, int64_t link_minutes, const ImageRules& rules) {
  JsonObject image;
  image.text("blob", blob).text("path", "/api/v1/blobs/" + blob);
  if (link_minutes == 0) return image.end();
  if (!rules.link) return Error{Errc::invalid_argument, "image.link_minutes: the server has no devices.image_link_key"};
  const Result<std::string> link = rules.link(blob, link_minutes);
  if (!link) return link.error();
  return image.text("url", *link).end();
}

Result<std::string> url_image(const std::string& url, const ImageRules& rules) {
  const bool web = url.starts_with("https://") || url.starts_with("http://");
  if (!web || url.size() > kUrlBytesMax)
    return Error{Errc::invalid_argument, "image.url begins with https:// or http:// and has at most 2,048 bytes"};
  if (rules.check_url) HEPTANE_TRY(rules.check_url(url));
  return JsonObject().text("url", url).end();
}

// What the document gets as its member `image`.
Result<std::string> read_image(const JsonValue& value, const ImageRules& rules, JobPlan& plan) {
  JsonFields fields(value, "image");
  const std::string url(fields.text_or("url", ""));
  plan.blob = fields.text_or("blob", "");
  const int64_t link_minutes = fields.integer_or("link_minutes", 0, 1, kLinkMinutesMax);
  HEPTANE_TRY(fields.finish());
  if (url.empty() == plan.blob.empty()) return Error{Errc::invalid_argument, "image has either url or blob"};
  if (plan.blob.empty() && link_minutes != 0) return Error{Errc::invalid_argument, "image.link_minutes is of a blob"};
  return plan.blob.empty() ? url_image(url, rules) : blob_image(plan.blob, link_minutes, rules);
}

Result<void> read_document(const std::optional<JsonValue>& document, const std::optional<JsonValue>& image,
                           const ImageRules& rules, JobPlan& plan) {
  if (document && document->type() != JsonType::object)
    return Error{Errc::invalid_argument, "document must be an object"};
  if (!document && !image) return Error{Errc::invalid_argument, "a job needs a document or an image"};
  plan.document = document ? document->raw() : "{}";
  if (!image) return {};
  if (document && document->find("image"))
    return Error{Errc::invalid_argument, "the document has an image: image would be another"};
  const Result<std::string> text = read_image(*image, rules, plan);
  if (!text) return text.error();
  plan.document.pop_back();
  plan.document += (document && document->size() > 0 ? ",\"image\":" : "\"image\":") + *text + "}";
  return {};
}

}  // namespace

JobRequest read_job_request(const JobTopic& topic, std::string_view payload) {
  JobRequest request = request_to(topic);
  const JobFault fault = read(topic, payload, request);
  if (fault == JobFault::none) return request;
  const std::string token = std::move(request.client_token);
  request = request_to(topic);
  request.client_token = token;
  request.fault = fault;
  return request;
}

JobRequest refused_job_request(const JobTopic& topic, std::string_view payload, JobFault fault) {
  JobRequest request = request_to(topic);
  request.fault = fault;
  if (payload.size() > kJobRequestBytesMax) return request;
  const auto document = JsonDocument::parse(std::string(payload));
  if (document && (*document)->root().type() == JsonType::object) (void)read_token((*document)->root(), request);
  return request;
}

Result<JobPlan> job_plan_of_json(std::string text, const ImageRules& rules) {
  auto document = JsonDocument::parse(std::move(text));
  if (!document) return document.error();
  JsonFields fields((*document)->root(), "");
  JobPlan plan;
  plan.id = fields.text("id");
  plan.description = fields.text_or("description", "");
  const auto said = fields.value("document");
  const auto image = fields.value("image");
  plan.things = names_of(fields, "things");
  plan.groups = names_of(fields, "groups");
  const auto rollout = fields.value("rollout");
  const auto abort = fields.value("abort");
  plan.timeout_minutes =
      static_cast<uint32_t>(fields.integer_or("in_progress_timeout_minutes", 0, 1, kTimeOutMinutesMax));
  HEPTANE_TRY(fields.finish());
  HEPTANE_TRY(read_rollout(rollout, plan));
  HEPTANE_TRY(read_abort(abort, plan));
  HEPTANE_TRY(read_document(said, image, rules, plan));
  std::string wrong = wrong_plan(plan);
  if (!wrong.empty()) return Error{Errc::invalid_argument, std::move(wrong)};
  return plan;
}

}  // namespace heptane::iot::devices
