// Two messages, split at the first zero byte, for the server's side of SCRAM: nobody gets in, nothing is read beyond the end.
#include <cstdint>

#include "kernel/auth/scram.h"
#include "kernel/base/assert.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace heptane;
  using namespace heptane::auth;
  const std::string input(reinterpret_cast<const char*>(data), size);
  const size_t split = std::min(input.find('\0'), input.size());
  const std::string first = input.substr(0, split);
  const std::string second = input.substr(std::min(split + 1, input.size()));
  int failures = 0;
  ScramServer server(
      crypto::Hash::sha256, "nonce",
      [](std::string_view name) -> ScramServer::Candidate {
        return {made_up_verifier(crypto::Hash::sha256, "key", name, 4096), Identity{{17, 1}, std::string(name), {}}};
      },
      [&](std::string_view) { ++failures; });
  if (server.step(as_bytes(first)).outcome != SaslStep::Outcome::go_on) {
    HEPTANE_ASSERT(failures == 1, "a refusal is noted once");
    return 0;
  }
  HEPTANE_ASSERT(server.step(as_bytes(second)).outcome == SaslStep::Outcome::refused, "nobody knows this key");
  HEPTANE_ASSERT(failures == 1, "a refusal is noted once");
  return 0;
}
