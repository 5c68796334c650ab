// Any bytes as a client's stream into a session with the real broker behind it; the first byte says which CONNECT comes before
// them (0: none; the last two begin durable sessions, which come back after a crash). What the session answers must be packets of the version; a subscriber of everything takes what comes of it.

#include "kernel/base/assert.h"
#include "modules/iot/test/mqtt_world.h"

namespace {

using namespace heptane;
using namespace heptane::iot;

constexpr const char* kConnects[] = {"10 r15 s6 'MQIsdp' 03 02 k0 s1 'f'", "10 r13 s4 'MQTT' 04 02 k0 s1 'f'",
                                     "10 r14 s4 'MQTT' 05 02 k0 00 s1 'f'", "10 r13 s4 'MQTT' 04 00 k0 s1 'f'",
                                     "10 r19 s4 'MQTT' 05 00 k0 05 11 L60 s1 'f'"};
constexpr size_t kFirstDurable = 4;

void check(const std::string& answer) {
  Bytes rest = as_bytes(answer);
  while (!rest.empty()) {
    mqtt::Frame frame;
    HEPTANE_ASSERT(!mqtt::read_frame(rest, size_t{4} << 20, frame) && frame.size > 0, "not a whole packet");
    rest = rest.subspan(frame.size);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t version = static_cast<uint8_t>(input[0]) % 6;
  iot::test::World world;
  world.send("s", iot::test::bytes_of("10 r14 s4 'MQTT' 05 02 k0 00 s1 's'"));
  world.send("s", iot::test::bytes_of("82 r7 m1 00 s1 '#' 02"));
  if (version > 0) world.send("f", iot::test::bytes_of(kConnects[version - 1]));
  world.send("f", input.substr(1));
  check(world.take_output("s"));
  check(world.take_output("f"));
  world.pass_time(60'000'000'000);
  world.break_off("f");
  check(world.take_output("s"));
  if (version < kFirstDurable) return 0;
  world.crash();
  world.send("f", iot::test::bytes_of(kConnects[version - 1]));
  check(world.take_output("f"));
  return 0;
}
