// WebSockets against any input: the first byte says how the rest is cut into pieces; whole and cut must answer alike. An
// even second byte: a handler of messages; odd: a session of bytes.

#include "kernel/base/assert.h"
#include "kernel/net/http/fake_context.h"
#include "kernel/net/http/websocket.h"
#include "kernel/net/http/websocket_stream.h"

namespace heptane::http {
namespace {

class Echo final : public WebSocketHandler {
 public:
  void on_text(std::string_view message, WebSocket& socket) override { socket.send_text(message); }
  void on_binary(Bytes message, WebSocket& socket) override { socket.send_binary(message); }
};

class Lines final : public net::Session {
 public:
  size_t on_bytes(Bytes input, net::SessionContext& context) override {
    const size_t end = as_text(input).find('a');
    if (end == std::string_view::npos) return 0;
    context.write(Buffer::copy_of(input.subspan(0, end + 1)));
    return end + 1;
  }
  void on_reply(RequestId, const Reply&, net::SessionContext&) override {}
};

std::unique_ptr<WebSocketHandler> handler(bool stream) {
  if (stream) return std::make_unique<WebSocketStream>(std::make_unique<Lines>(), 100);
  return std::make_unique<Echo>();
}

std::string answers(std::string_view input, size_t piece_bytes, bool stream) {
  WebSocketLimits limits;
  limits.message_bytes = 200;
  WebSocketSession session(handler(stream), limits);
  test::FakeContext context(session);
  session.on_open(context);
  for (size_t at = 0; at < input.size() && !context.closed; at += piece_bytes)
    context.send(input.substr(at, piece_bytes));
  HEPTANE_ASSERT(context.closed || context.kept() <= 14 + 125, "more is kept than a frame's head");
  return context.output;
}

}  // namespace
}  // namespace heptane::http

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace heptane::http;
  if (size < 3 || size > 4000) return 0;
  const std::string_view input(reinterpret_cast<const char*>(data) + 2, size - 2);
  const bool stream = (data[1] & 1) != 0;
  const std::string whole = answers(input, input.size(), stream);
  HEPTANE_ASSERT(answers(input, 1 + data[0] % 64, stream) == whole, "answers depend on how the bytes arrive");
  return 0;
}
