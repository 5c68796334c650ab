// Any bytes as a client's stream into a session with the real ledger behind it. The first byte says how: 0 as they are;
// else as messages (u16 length, bytes) whose size and checksums are put right, so that what lies behind them is reached.
// What the session answers must be what the protocol's client takes; nothing may be left waiting.

#include <cstdint>

#include "kernel/base/assert.h"
#include "modules/fintech/test/tigerbeetle_world.h"

namespace {

using namespace heptane;
using namespace heptane::fintech;

// Every answer is a whole message with right checksums.
void check(std::string_view answer) {
  while (!answer.empty()) {
    HEPTANE_ASSERT(answer.size() >= 256, "half a message");
    tigerbeetle::Frame frame;
    HEPTANE_ASSERT(tigerbeetle::read_frame(as_bytes(answer.substr(0, 256)), frame) == nullptr, "no message");
    HEPTANE_ASSERT(frame.size <= answer.size(), "half a body");
    HEPTANE_ASSERT(tigerbeetle::body_is_whole(frame, as_bytes(answer.substr(256, frame.size - 256))), "wrong body");
    answer.remove_prefix(frame.size);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  std::string_view input(reinterpret_cast<const char*>(data), size);
  const bool sealed = input[0] != 0;
  input.remove_prefix(1);
  for (const OperationRow& row : kOperations) (void)parse_body(row, as_bytes(input));
  fintech::test::World world;
  if (!sealed) {
    check(world.send(input));
    return 0;
  }
  while (input.size() > 2 && !world.closed()) {
    const size_t length = std::min<size_t>(load_le<uint16_t>(as_bytes(input).data()), input.size() - 2);
    std::string message(input.substr(2, length));
    input.remove_prefix(2 + length);
    if (message.size() < 256) message.resize(256);
    const auto whole = static_cast<uint32_t>(message.size());
    fintech::test::put(message, 96, {reinterpret_cast<const char*>(&whole), 4});
    fintech::test::seal(message);
    check(world.send(message));
  }
  return 0;
}
