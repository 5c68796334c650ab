// What a client writes to a shadow's topic: read, put into a command, taken out of it, applied to a shadow and shown. Whatever it is,
// the answers are JSON that the one reader reads, and the state is within its bounds and comes back from its bytes.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "kernel/base/assert.h"
#include "kernel/net/http/json.h"
#include "modules/iot/gateway/devices/shadow_json.h"
#include "modules/iot/machine/devices/shadow_api.h"

namespace {

using namespace heptane;
using namespace heptane::iot::devices;

void check_answers(const ShadowOutcome& outcome) {
  HEPTANE_ASSERT(!outcome.answers.empty(), "a request is answered");
  for (const ShadowAnswer& answer : outcome.answers) {
    const auto read = http::JsonDocument::parse(answer.payload);
    HEPTANE_ASSERT(read.ok(), "an answer is JSON");
  }
}

// The shadow behind the request.
Shadow step(const Shadow& shadow, ShadowOperation operation, std::string_view payload) {
  const ShadowTopic topic{"thing", "name", operation};
  const Buffer command = encode(read_shadow_request(topic, payload));
  const auto request = decode_shadow_request(command.view());
  HEPTANE_ASSERT(request.has_value(), "a request comes back");
  const ShadowOutcome outcome = answer_request(*request, shadow, 1'700'000'000);
  check_answers(outcome);
  if (!outcome.changed) return shadow;
  ByteWriter bytes;
  append_shadow(bytes, outcome.shadow);
  ByteReader in(bytes.view());
  const Shadow back = read_shadow(in);
  ByteWriter again;
  append_shadow(again, back);
  HEPTANE_ASSERT(in.complete() && as_text(bytes.view()) == as_text(again.view()), "a shadow comes back");
  return back;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view input(reinterpret_cast<const char*>(data), size);
  (void)decode_shadow_request(as_bytes(input));
  (void)parse_shadow_topic(input);
  Shadow shadow;
  while (!input.empty()) {
    const size_t end = input.find('\n');
    const std::string_view payload = input.substr(0, end);
    shadow = step(shadow, ShadowOperation::update, payload);
    step(shadow, ShadowOperation::get, payload);
    step(shadow, ShadowOperation::remove, payload);
    input = end == std::string_view::npos ? std::string_view() : input.substr(end + 1);
  }
  return 0;
}
