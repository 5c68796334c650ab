// What a claim writes to provisioning's topics, and templates as operators write them: read, put into commands, taken out of them, put
// together to things. Whatever it is, what comes back is what went in, and answers are JSON that the one reader reads.
#include <cstddef>
#include <cstdint>

#include "kernel/base/assert.h"
#include "modules/iot/gateway/devices/provisioning_json.h"
#include "modules/iot/machine/provisioning/provisioning_api.h"

namespace {

using namespace heptane;
using namespace heptane::iot::devices;

void check_answer(const std::string& answer) {
  HEPTANE_ASSERT(http::JsonDocument::parse(answer).ok(), "an answer is JSON");
}

void check_request(const ProvisioningTemplate& of, const ProvisionRequest& request) {
  const Buffer command = encode(ProvisionThing{std::string(32, 'x'), of.name, request.parameters});
  const auto back = decode_provision(command.view());
  HEPTANE_ASSERT(back && back->parameters == request.parameters, "a request comes back");
  const Result<Thing> thing = thing_of(of, request.parameters, std::string(64, 'a'));
  check_answer(thing ? provisioned_answer(thing->name, of.configuration)
                     : rejected_answer(400, "InvalidParameter", thing.error().message));
}

}  // namespace

// Lines: a template, then requests.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view input(reinterpret_cast<const char*>(data), size);
  (void)decode_template(as_bytes(input));
  (void)decode_issue(as_bytes(input));
  (void)decode_provision(as_bytes(input));
  (void)decode_credential(as_bytes(input));
  (void)parse_provisioning_topic(input);
  (void)is_answer_of_claim(input, {"t"});
  const size_t first = input.find('\n');
  const auto of = template_of_json(std::string(input.substr(0, first)), "t");
  if (of) {
    const auto back = decode_template(encode(*of).view());
    HEPTANE_ASSERT(back && *back == *of, "a template comes back");
    http::JsonWriter out;
    write_template(out, *of);
    check_answer(out.take());
  }
  while (!input.empty()) {
    const size_t end = input.find('\n');
    const std::string_view payload = input.substr(0, end);
    const auto issue = read_issue_request(payload);
    check_answer(issue ? issued_answer("t", "i", *issue) : rejected_answer(400, "x", issue.error().message));
    if (const auto request = read_provision_request(payload); of && request) check_request(*of, *request);
    input = end == std::string_view::npos ? std::string_view() : input.substr(end + 1);
  }
  return 0;
}
