// Jobs over HTTP: /api/v1/jobs. What an operator does is a command; what is shown is as of what is synced.

#include "kernel/admin/answers.h"
#include "kernel/admin/request_parameters.h"
#include "kernel/net/http/exchange.h"
#include "kernel/net/http/json.h"
#include "kernel/net/http/json_writer.h"
#include "kernel/streams/api.h"
#include "modules/iot/domain/devices/image_link.h"
#include "modules/iot/domain/devices/thing.h"
#include "modules/iot/gateway/devices/job_json.h"
#include "modules/iot/gateway/http/device_routes.h"
#include "modules/iot/gateway/http/image_url.h"
#include "modules/iot/machine/jobs/job_api.h"

namespace heptane::iot::devices {

namespace {

using admin::error_response;
using admin::refusal_response;
using auth::Verb;
using http::HttpExchange;
using http::HttpResponse;
using http::JsonWriter;

constexpr int64_t kNsPerMs = 1'000'000;
constexpr int64_t kMsPerSecond = 1'000;
constexpr int64_t kLimitDefault = 100;
constexpr std::string_view kLimitSchema = R"({"type":"integer","minimum":1,"maximum":1000,"default":100})";

Submission command(CommandType type, Buffer payload) {
  return streams::make_command(kJobsMachineId, type, std::move(payload));
}
QueryRequest question(uint16_t type, Buffer payload) { return {kJobsMachineId, type, std::move(payload), {}}; }

Result<bool> flag(const http::HttpRequest& request, std::string_view name) {
  const auto text = request.query_value(name);
  if (!text) return false;
  if (*text != "true" && *text != "false") return admin::invalid(std::string(name) + " must be true or false");
  return *text == "true";
}

// A command of the machine, answered with the job's name.
void change(HttpExchange& exchange, Submission submission, std::string id, int status) {
  exchange.submit(std::move(submission), [id = std::move(id), status](HttpExchange& answered, const Reply& reply) {
    if (!reply.ok()) return answered.respond(refusal_response(reply));
    JsonWriter out;
    out.begin_object().key("id").text(id);
    if (!reply.repeated) out.key("position").text(position_text(0, reply.sequence));
    out.end_object();
    answered.respond(HttpResponse::json(status, out.take()));
  });
}

// Whoever gives devices a blob by a link may read it himself.
Result<std::string> link_to(HttpExchange& exchange, const ImageSettings& settings, const std::string& digest,
                            int64_t minutes) {
  if (!blobs::parse_digest(digest)) return admin::invalid("image.blob is a SHA-256 of 64 digits 0-9 a-f");
  if (!exchange.allowed("blobs", digest, Verb::read))
    return Error{Errc::unauthorised, "a link to a blob needs the right to read it", 0};
  constexpr int64_t kSecondsPerMinute = 60;
  const int64_t expires_s = exchange.context().utc_ns() / (kNsPerMs * kMsPerSecond) + minutes * kSecondsPerMinute;
  return settings.link_base + image_link(digest, expires_s, sign_link(settings, digest, expires_s));
}

void create(HttpExchange& exchange, const GetImages& images) {
  ImageRules rules;
  const ImageSettings* settings = images();
  if (settings != nullptr)
    rules.check_url = [settings](std::string_view url) { return check_image_url(*settings, url); };
  if (settings != nullptr && !settings->link_key.empty())
    rules.link = [&exchange, settings](const std::string& digest, int64_t minutes) {
      return link_to(exchange, *settings, digest, minutes);
    };
  const Result<JobPlan> plan = job_plan_of_json(std::move(exchange.request().body), rules);
  if (!plan) return exchange.respond(error_response(plan.error()));
  change(exchange, command(kCreateJob, encode(*plan)), plan->id, 201);
}

void cancel(HttpExchange& exchange) {
  auto document = http::JsonDocument::parse(exchange.request().body.empty() ? "{}" : exchange.request().body);
  if (!document) return exchange.respond(error_response(document.error()));
  http::JsonFields fields((*document)->root(), "");
  CancelJob cancel{std::string(exchange.request().param("job")), std::string(fields.text_or("reason", "")), false};
  const auto force = fields.value("force");
  if (force && force->type() != http::JsonType::boolean) fields.fail("force must be true or false");
  if (cancel.reason.size() > kDescriptionBytesMax) fields.fail("reason has at most 1,024 bytes");
  cancel.force = force && force->boolean();
  const Result<void> read = fields.finish();
  if (!read) return exchange.respond(error_response(read.error()));
  if (!valid_job_id(cancel.id)) return exchange.respond(error_response({Errc::not_found, "there is no such job", 0}));
  change(exchange, command(kCancelJob, encode(cancel)), cancel.id, 200);
}

void remove(HttpExchange& exchange) {
  const Result<void> known = admin::check_parameters(exchange.request(), {"force"});
  if (!known) return exchange.respond(error_response(known.error()));
  const Result<bool> force = flag(exchange.request(), "force");
  if (!force) return exchange.respond(error_response(force.error()));
  const std::string id(exchange.request().param("job"));
  change(exchange, command(kDeleteJob, encode_delete_job(id, *force)), id, 200);
}

// To look.

void write_names(JsonWriter& out, std::string_view name, const std::vector<std::string>& names) {
  out.key(name).begin_array();
  for (const std::string& one : names) out.text(one);
  out.end_array();
}

void write_rollout(JsonWriter& out, const JobRow& row) {
  const JobPlan& plan = row.plan;
  out.key("rollout").begin_object();
  if (plan.per_minute > 0) out.key("per_minute").unsigned_number(plan.per_minute);
  if (!plan.stages.empty()) {
    out.key("stages_percent").begin_array();
    for (const uint8_t percent : plan.stages) out.number(percent);
    out.end_array().key("advance_percent").number(plan.advance_percent).key("stage").number(row.stage + 1);
  }
  out.end_object();
  if (plan.abort_percent == 0) return;
  out.key("abort").begin_object().key("percent").number(plan.abort_percent);
  out.key("min_executed").unsigned_number(plan.abort_minimum).end_object();
}

void write_counts(JsonWriter& out, const JobCounts& counts) {
  out.key("counts").begin_object();
  for (size_t i = 0; i < kJobStatuses; ++i) out.key(status_text(static_cast<JobStatus>(i))).unsigned_number(counts[i]);
  out.end_object();
}

void write_job(JsonWriter& out, const JobRow& row) {
  const JobPlan& plan = row.plan;
  out.begin_object().key("id").text(plan.id).key("status").text(state_text(row.state));
  if (!row.reason.empty()) out.key("reason").text(row.reason);
  if (row.forced) out.key("forced").boolean(true);
  if (!plan.description.empty()) out.key("description").text(plan.description);
  if (!plan.document.empty()) out.key("document").raw(plan.document);
  write_names(out, "things", plan.things);
  write_names(out, "groups", plan.groups);
  write_rollout(out, row);
  if (plan.timeout_minutes > 0) out.key("in_progress_timeout_minutes").unsigned_number(plan.timeout_minutes);
  out.key("targets_known").boolean(row.found);
  write_counts(out, row.counts);
  out.key("created_ms").number(row.created / kNsPerMs).key("updated_ms").number(row.updated / kNsPerMs);
  if (row.ended != 0) out.key("ended_ms").number(row.ended / kNsPerMs);
  out.end_object();
}

void write_execution(JsonWriter& out, const ExecutionRow& row) {
  const JobExecution& execution = row.execution;
  out.begin_object().key("thing").text(row.thing).key("status").text(status_text(execution.status));
  if (!execution.details.empty()) out.key("details").raw(details_json(execution.details));
  if (execution.version > 0) {
    out.key("version").unsigned_number(execution.version).key("execution").unsigned_number(execution.number);
    out.key("queued_ms").number(execution.queued_s * kMsPerSecond);
    if (execution.started_s != 0) out.key("started_ms").number(execution.started_s * kMsPerSecond);
    out.key("updated_ms").number(execution.updated_s * kMsPerSecond);
  }
  out.end_object();
}

void show(HttpExchange& exchange) {
  const std::string id(exchange.request().param("job"));
  exchange.query(question(kQueryJob, Buffer::copy_of(id)), [id](HttpExchange& answered, const Reply& reply) {
    if (!reply.ok()) return answered.respond(refusal_response(reply));
    if (reply.numbers[0] == 0) return answered.respond(error_response({Errc::not_found, "there is no job " + id, 0}));
    ByteReader in(reply.payload.view());
    const JobRow row = read_job_row(in);
    if (!in.complete()) return answered.respond(error_response({Errc::corrupt, "a job is cut off", 0}));
    JsonWriter out;
    write_job(out, row);
    answered.respond(HttpResponse::json(200, out.take()));
  });
}

// Of a status by its name; nullopt in it: any.
template <class Text>
Result<std::optional<uint8_t>> status_parameter(const http::HttpRequest& request, uint8_t count, Text text_of) {
  const auto text = request.query_value("status");
  if (!text) return std::optional<uint8_t>();
  for (uint8_t i = 0; i < count; ++i)
    if (text_of(i) == *text) return std::optional<uint8_t>(i);
  return admin::invalid("there is no status " + std::string(text->substr(0, kJobIdBytesMax)));
}

std::string_view job_status_text(uint8_t number) { return state_text(static_cast<JobState>(number)); }
std::string_view execution_status_text(uint8_t number) { return status_text(static_cast<JobStatus>(number)); }

Result<JobsPageQuery> page_query(const http::HttpRequest& request, bool of_executions) {
  HEPTANE_TRY(admin::check_parameters(request, {"after", "limit", "status"}));
  JobsPageQuery query;
  query.job = request.param("job");
  query.after = request.query_value("after").value_or("");
  if (!query.after.empty() && !valid_name(query.after)) return admin::invalid("after is no name");
  if (of_executions && !valid_job_id(query.job)) return Error{Errc::not_found, "there is no such job"};
  const auto limit = admin::integer_parameter(request, "limit", kLimitDefault, 1, static_cast<int64_t>(kJobRowsMax));
  if (!limit) return limit.error();
  query.limit = static_cast<uint16_t>(*limit);
  auto status = of_executions ? status_parameter(request, kJobStatuses, execution_status_text)
                              : status_parameter(request, kJobStates, job_status_text);
  if (!status) return status.error();
  query.status = *status;
  return query;
}

void list(HttpExchange& exchange) {
  const Result<JobsPageQuery> query = page_query(exchange.request(), false);
  if (!query) return exchange.respond(error_response(query.error()));
  exchange.query(question(kQueryJobs, encode(*query)), [](HttpExchange& answered, const Reply& reply) {
    if (!reply.ok()) return answered.respond(refusal_response(reply));
    const auto page = decode_jobs_page(reply.payload.view());
    if (!page) return answered.respond(error_response({Errc::corrupt, "a page of jobs is cut off", 0}));
    JsonWriter out;
    out.begin_object().key("jobs").begin_array();
    for (const JobRow& row : page->rows) write_job(out, row);
    out.end_array();
    if (reply.numbers[1] != 0) out.key("next").text(page->last);
    out.end_object();
    answered.respond(HttpResponse::json(200, out.take()));
  });
}

void executions(HttpExchange& exchange) {
  const Result<JobsPageQuery> query = page_query(exchange.request(), true);
  if (!query) return exchange.respond(error_response(query.error()));
  exchange.query(question(kQueryExecutions, encode(*query)), [](HttpExchange& answered, const Reply& reply) {
    if (!reply.ok()) return answered.respond(refusal_response(reply));
    const auto page = decode_executions_page(reply.payload.view());
    if (!page) return answered.respond(error_response({Errc::corrupt, "a page of executions is cut off", 0}));
    JsonWriter out;
    out.begin_object().key("executions").begin_array();
    for (const ExecutionRow& row : page->rows) write_execution(out, row);
    out.end_array();
    if (reply.numbers[1] != 0) out.key("next").text(page->last);
    out.end_object();
    answered.respond(HttpResponse::json(200, out.take()));
  });
}

// What they say of themselves.

constexpr std::string_view kError = R"({"$ref":"#/components/schemas/Error"})";
constexpr std::string_view kDone =
    R"({"type":"object","required":["id"],"additionalProperties":false,"properties":{"id":{"type":"string"},)"
    R"("position":{"$ref":"#/components/schemas/Position"}}})";
constexpr std::string_view kThings =
    R"({"type":"array","maxItems":1000,"items":{"type":"string","pattern":"^[a-zA-Z0-9:_-]{1,128}$"}})";
constexpr std::string_view kGroups =
    R"({"type":"array","maxItems":100,"items":{"type":"string","pattern":"^[a-zA-Z0-9:_-]{1,128}$"}})";
constexpr std::string_view kCancel =
    R"({"type":"object","additionalProperties":false,"properties":{"reason":{"type":"string","maxLength":1024},)"
    R"("force":{"type":"boolean","default":false}}})";
constexpr std::string_view kExecutions =
    R"({"type":"object","required":["executions"],"additionalProperties":false,"properties":{"executions":{)"
    R"("type":"array","items":{"type":"object","required":["thing","status"],"additionalProperties":false,"properties":{)"
    R"("thing":{"type":"string"},"status":{"type":"string"},"details":{"type":"object","additionalProperties":{)"
    R"("type":"string"}},"version":{"type":"integer"},"execution":{"type":"integer"},"queued_ms":{"type":"integer"},)"
    R"("started_ms":{"type":"integer"},"updated_ms":{"type":"integer"}}}},"next":{"type":"string"}}})";
constexpr std::string_view kRollout =
    R"({"type":"object","additionalProperties":false,"properties":{"per_minute":{"type":"integer","minimum":1,)"
    R"("maximum":1000000},"stages_percent":{"type":"array","maxItems":10,"items":{"type":"integer","minimum":1,)"
    R"("maximum":100}},"advance_percent":{"type":"integer","minimum":1,"maximum":100,"default":100}}})";
constexpr std::string_view kAbort =
    R"({"type":"object","required":["percent"],"additionalProperties":false,"properties":{"percent":{"type":"integer",)"
    R"("minimum":1,"maximum":100},"min_executed":{"type":"integer","minimum":1,"default":1}}})";

const std::string& new_job_schema() {
  static const std::string schema =
      R"({"type":"object","required":["id"],"additionalProperties":false,"properties":{)"
      R"("id":{"type":"string","pattern":"^[a-zA-Z0-9_-]{1,64}$"},"description":{"type":"string","maxLength":1024},)"
      R"("document":{"type":"object"},"image":{"type":"object","additionalProperties":false,"properties":{)"
      R"("url":{"type":"string","maxLength":2048},"blob":{"type":"string","pattern":"^[0-9a-f]{64}$"},)"
      R"("link_minutes":{"type":"integer","minimum":1,"maximum":10080}}},"things":)" +
      std::string(kThings) + R"(,"groups":)" + std::string(kGroups) + R"(,"rollout":)" + std::string(kRollout) +
      R"(,"abort":)" + std::string(kAbort) +
      R"(,"in_progress_timeout_minutes":{"type":"integer","minimum":1,"maximum":10080}}})";
  return schema;
}

const std::string& job_schema() {
  static const std::string schema =
      R"({"type":"object","required":["id","status","things","groups","rollout","targets_known","counts","created_ms",)"
      R"("updated_ms"],"properties":{"id":{"type":"string"},"status":{"type":"string","enum":["IN_PROGRESS",)"
      R"("CANCELED","COMPLETED","DELETION_IN_PROGRESS"]},"reason":{"type":"string"},"forced":{"type":"boolean"},)"
      R"("description":{"type":"string"},"document":{"type":"object"},"things":)" +
      std::string(kThings) + R"(,"groups":)" + std::string(kGroups) +
      R"(,"rollout":{"type":"object"},"abort":{"type":"object"},"in_progress_timeout_minutes":{"type":"integer"},)"
      R"("targets_known":{"type":"boolean"},"counts":{"type":"object","additionalProperties":{"type":"integer"}},)"
      R"("created_ms":{"type":"integer"},"updated_ms":{"type":"integer"},"ended_ms":{"type":"integer"}}})";
  return schema;
}

const std::string& jobs_schema() {
  static const std::string schema =
      R"({"type":"object","required":["jobs"],"additionalProperties":false,"properties":{"jobs":{"type":"array",)"
      R"("items":)" +
      job_schema() + R"(},"next":{"type":"string"}}})";
  return schema;
}

http::Needs needs(Verb verb) { return {"admin", "devices", verb, false, false}; }

http::RouteDoc create_doc() {
  return {"Have many devices do something",
          "The document goes to every device of `things` and `groups` as they are now; `image` becomes its member of "
          "that name: a URL, or a stored blob, which stays as long as the job; with `link_minutes` the document has a "
          "`url` "
          "that is good for so long. `rollout.per_minute` and "
          "`rollout.stages_percent` stagger it: a stage begins when `advance_percent` of the devices that have the job "
          "are at their end. `abort` cancels the job when that share of those that are at their end failed, timed out "
          "or rejected it. `jobs.create` in the audit trail.",
          {},
          {{new_job_schema()}},
          {{201, "the job is there, synced", {{kDone}}},
           {404, "a target or the blob is not there", {{kError}}},
           {409, "a job of that name is there", {{kError}}}}};
}

http::RouteDoc cancel_doc() {
  return {"Cancel a job",
          "No more devices get it, and from those that have not begun it is taken. What is in progress goes on, but "
          "with `force`. A job that is canceled already can be canceled with `force`. `jobs.cancel` in the audit "
          "trail.",
          {},
          {{kCancel}},
          {{200, "canceled, synced; what is open is being taken back", {{kDone}}},
           {404, "there is no such job", {{kError}}},
           {409, "it is at its end", {{kError}}}}};
}

http::RouteDoc remove_doc() {
  return {
      "Delete a job",
      "With its executions; one that is not at its end everywhere only with `force`. `jobs.delete` in the audit trail.",
      {{"force", "also one that is not at its end", R"({"type":"string","enum":["true","false"]})"}},
      {},
      {{200, "it is being deleted, synced", {{kDone}}},
       {404, "there is no such job", {{kError}}},
       {409, "it is not at its end", {{kError}}}}};
}

}  // namespace

void add_job_routes(http::HttpRouter& router, const GetImages& images) {
  using http::Method;
  router.add(Method::get, "/api/v1/jobs", list,
             {.needs = needs(Verb::read),
              .doc = {"Jobs",
                      "In the order of their names, without their documents.",
                      {{"after", "names behind this one"},
                       {"limit", "at most so many", kLimitSchema},
                       {"status", "in this status"}},
                      {},
                      {{200, "as of what is synced", {{jobs_schema()}}}}}});
  router.add(Method::post, "/api/v1/jobs", [images](HttpExchange& exchange) { create(exchange, images); },
             {.needs = needs(Verb::write), .doc = create_doc()});
  router.add(Method::get, "/api/v1/jobs/{job}", show,
             {.needs = needs(Verb::read),
              .doc = {"One job",
                      "With how many devices are in each status.",
                      {},
                      {},
                      {{200, "as of what is synced", {{job_schema()}}}, {404, "there is no such job", {{kError}}}}}});
  router.add(Method::get, "/api/v1/jobs/{job}/executions", executions,
             {.needs = needs(Verb::read),
              .doc = {"What became of a job, device by device",
                      "In the order of the devices' names. `WAITING`: the roll-out has not reached it. A page that is "
                      "`limit` long or that looked at 4,096 says `next`: also one without any.",
                      {{"after", "devices behind this one"},
                       {"limit", "at most so many", kLimitSchema},
                       {"status", "in this status"}},
                      {},
                      {{200, "as of what is synced", {{kExecutions}}}, {404, "there is no such job", {{kError}}}}}});
  router.add(Method::post, "/api/v1/jobs/{job}/cancel", cancel, {.needs = needs(Verb::write), .doc = cancel_doc()});
  router.add(Method::del, "/api/v1/jobs/{job}", remove, {.needs = needs(Verb::remove), .doc = remove_doc()});
}

}  // namespace heptane::iot::devices
