// What a client writes to a job's topic and what an operator says of a job: read, put into a command, taken out of it, answered.
// Whatever it is, the answers are JSON that the one reader reads, and a command comes back from its bytes.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "kernel/base/assert.h"
#include "kernel/net/http/json.h"
#include "modules/iot/gateway/devices/job_json.h"
#include "modules/iot/machine/jobs/job_api.h"

namespace {

using namespace heptane;
using namespace heptane::iot::devices;

void check_json(const std::string& text) { HEPTANE_ASSERT(http::JsonDocument::parse(text).ok(), "an answer is JSON"); }

void ask(JobOperation operation, std::string_view job, std::string_view payload) {
  const Buffer command = encode(read_job_request(JobTopic{"thing", job, operation}, payload));
  const auto request = decode_job_request(command.view());
  HEPTANE_ASSERT(request.has_value(), "a request comes back");
  HEPTANE_ASSERT(as_text(encode(*request).view()) == as_text(command.view()), "a request is what it was");
  check_json(rejection(*request, request->fault, "", 1));
  JobExecution execution;
  if (request->details) execution.details = *request->details;
  check_json(execution_json("j", "t", execution, "{}", 1));
  check_json(state_json(execution));
}

void plan(std::string_view text) {
  const auto read = job_plan_of_json(std::string(text));
  if (!read) return;
  const Buffer command = encode(*read);
  const auto back = decode_job_plan(command.view());
  HEPTANE_ASSERT(back && as_text(encode(*back).view()) == as_text(command.view()), "a job comes back");
  check_json(back->document);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  (void)decode_job_request(as_bytes(input));
  (void)decode_job_plan(as_bytes(input));
  (void)decode_cancel_job(as_bytes(input));
  (void)decode_jobs_page_query(as_bytes(input));
  (void)decode_jobs_page(as_bytes(input));
  (void)decode_executions_page(as_bytes(input));
  if (const auto topic = parse_job_topic(input)) (void)is_possible(*topic);
  ask(JobOperation::get_pending, "", input);
  ask(JobOperation::start_next, "", input);
  ask(JobOperation::describe, "$next", input);
  ask(JobOperation::update, "j", input);
  plan(input);
  return 0;
}
