// HTTP sessions against any input: the first byte says how the rest is cut into pieces; whole and cut must answer alike.

#include "kernel/base/assert.h"
#include "kernel/net/http/fake_context.h"
#include "kernel/net/http/json.h"
#include "kernel/net/http/session.h"

namespace heptane::http {
namespace {

class Echo final : public WebSocketHandler {
 public:
  void on_text(std::string_view message, WebSocket& socket) override { socket.send_text(message); }
  void on_binary(Bytes message, WebSocket& socket) override { socket.send_binary(message); }
};

const HttpService& service() {
  static const HttpService instance = [] {
    HttpService made;
    made.limits.body_bytes = 512;
    made.limits.head_bytes = 1024;
    made.limits.request_line_bytes = 256;
    made.router.add(Method::get, "/a/{b}", [](HttpExchange& exchange) {
      exchange.respond({200, "text/plain", exchange.request().params[0].second, {}});
    });
    made.router.add(Method::post, "/a", [](HttpExchange& exchange) {
      const auto document = JsonDocument::parse(std::move(exchange.request().body));
      exchange.respond({200, "text/plain", document ? std::string((*document)->root().raw()) : "no", {}});
    });
    made.router.add(Method::get, "/pieces", [](HttpExchange& exchange) {
      exchange.start({200, "text/plain", "", {}});
      exchange.send_piece("piece", [](HttpExchange& room) { room.end("last"); });
    });
    made.router.add(Method::get, "/socket",
                    [](HttpExchange& exchange) { exchange.upgrade(std::make_unique<Echo>(), {}); });
    made.router.add(Method::post, "/ask", [](HttpExchange& exchange) {
      exchange.submit({}, [](HttpExchange& answered, const Reply&) { answered.respond({200, "", "", {}}); });
    });
    return made;
  }();
  return instance;
}

std::string answers(std::string_view input, size_t piece_bytes) {
  HttpSession session(service());
  test::FakeContext context(session);
  context.on_submit = [](const Submission&) { return Reply{}; };
  for (size_t at = 0; at < input.size() && !context.closed; at += piece_bytes)
    context.send(input.substr(at, piece_bytes));
  return context.output;
}

}  // namespace
}  // namespace heptane::http

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace heptane::http;
  if (size < 2 || size > 4000) return 0;
  const std::string_view input(reinterpret_cast<const char*>(data) + 1, size - 1);
  const std::string whole = answers(input, input.size());
  HEPTANE_ASSERT(answers(input, 1 + data[0] % 64) == whole, "answers depend on how the bytes arrive");
  return 0;
}
