// Any bytes as a client's stream into a session, with the scripted engine behind it. The first byte says in what pieces the
// bytes come, whether the client reads, and how far it is let in before. Nothing may crash, be written after the close, or
// leave a cursor or a connection behind; what the server says are whole messages.

#include <cstdint>

#include "kernel/base/assert.h"
#include "modules/data/test/postgres_world.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace heptane;
  using namespace heptane::data::postgres;
  if (size == 0) return 0;
  constexpr size_t kPieceMask = 0x1f;
  test::World world;
  world.options.max_message_bytes = 64 << 10;
  const bool reads = (data[0] & 0x20) == 0;
  const bool known = (data[0] & 0x40) != 0;
  if ((data[0] & 0x80) != 0) world.options.authenticator = &world.authenticator;
  test::Scripted rows;
  rows.parameters = {data::sql::Type::int32, data::sql::Type::text};
  rows.columns = {{"a", data::sql::Type::int32}, {"n", data::sql::Type::numeric, 9, 2}, {"t", data::sql::Type::text}};
  rows.rows = {{"1", "-250", "text"}, {std::nullopt, std::nullopt, std::nullopt}};
  rows.repeated = 3;
  world.engine.position = 5;
  for (const char* statement : {"SELECT 1", "SELECT $1, $2", "SELECT n", "SELECT * FROM t"})
    world.engine.answers[statement] = rows;
  world.open();
  if (known) world.send(test::startup_message({{"user", "alice"}}));
  world.stall_output(!reads);
  const size_t piece = (data[0] & kPieceMask) == 0 ? size : (data[0] & kPieceMask);
  for (size_t at = 1; at < size && !world.closed; at += piece)
    world.send({reinterpret_cast<const char*>(data) + at, std::min(piece, size - at)});
  world.drain_output();
  (void)test::lines_of(world.output);
  world.end();
  HEPTANE_ASSERT(world.engine.cursors == 0 && world.engine.connections == 0, "something is left behind");
  return 0;
}
