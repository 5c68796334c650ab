// Any bytes as a client's stream into a session, with the streams model behind it. The first byte says in what pieces the
// bytes come. Nothing may crash, be written after the close, or be left waiting without a reason.

#include <cstdint>

#include "kernel/base/assert.h"
#include "modules/data/gateway/kafka/kafka.h"
#include "modules/data/test/fake_context.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace heptane;
  if (size == 0) return 0;
  data::kafka::KafkaOptions options;
  options.max_request_bytes = 64 << 10;
  data::kafka::KafkaProtocol protocol(options);
  const std::unique_ptr<net::Session> session = protocol.open({});
  data::kafka::test::FakeContext context(*session);
  context.create_stream("t", 2);
  context.create_stream("flights", 1);
  session->on_open(context);
  const size_t piece = data[0] == 0 ? size : data[0];
  std::string pending;
  for (size_t at = 1; at < size && !context.closed; at += piece) {
    pending.append(reinterpret_cast<const char*>(data) + at, std::min(piece, size - at));
    const size_t consumed = session->on_bytes(as_bytes(pending), context);
    HEPTANE_ASSERT(consumed <= pending.size(), "consumed more than there was");
    pending.erase(0, consumed);
    context.deliver();
    context.pass_time(1'000'000);
  }
  context.pass_time(120'000'000'000);
  HEPTANE_ASSERT(context.outstanding() == 0 && context.subscriptions() == 0, "a request is left waiting");
  return 0;
}
