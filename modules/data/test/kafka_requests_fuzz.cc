// Any bytes as a client's stream into a session, with the streams model behind it: every API. The first byte says in what
// pieces the bytes come. Nothing may crash, be written after the close, or be left waiting without a reason.
//
// The same bytes as one message of an API that they choose, request and response: what can be read is written, read and
// written again to the same bytes.

#include <cstdint>

#include "kernel/base/assert.h"
#include "modules/data/gateway/kafka/all_messages.h"
#include "modules/data/gateway/kafka/kafka.h"
#include "modules/data/test/fake_context.h"

namespace {

using namespace heptane;
using namespace heptane::data::kafka;

template <class Message>
std::string written(const Message& message, Encoding encoding) {
  Encoder encoder(encoding);
  encoder.write(message, false);
  std::string bytes;
  for (const Buffer& piece : encoder.finish()) bytes += as_text(piece.view());
  return bytes;
}

template <class Message>
void read_and_write(Bytes bytes, Encoding encoding) {
  Message message;
  if (!Decoder(bytes, encoding).message(message)) return;
  const std::string once = written(message, encoding);
  Message again;
  HEPTANE_ASSERT(Decoder(as_bytes(once), encoding).message(again), "what was written cannot be read");
  HEPTANE_ASSERT(written(again, encoding) == once, "what was read is written otherwise");
}

void as_message(Bytes bytes) {
  if (bytes.size() < 2) return;
  const Api& api = kApis[static_cast<size_t>(bytes[0]) % kApis.size()];
  const auto versions = static_cast<size_t>(api.advertised_max - api.readable_min) + 1;
  const auto version =
      static_cast<int16_t>(api.readable_min + static_cast<int>(static_cast<size_t>(bytes[1]) % versions));
  const Encoding encoding{version, version >= api.first_flexible};
  with_messages(api.key, [&](auto messages) {
    read_and_write<typename decltype(messages)::Request>(bytes.subspan(2), encoding);
    read_and_write<typename decltype(messages)::Response>(bytes.subspan(2), encoding);
  });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  as_message({reinterpret_cast<const std::byte*>(data), size});
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
