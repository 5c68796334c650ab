#include "kernel/net/http/websocket_upgrade.h"

#include <openssl/evp.h>

#include <array>

#include "kernel/base/assert.h"
#include "kernel/net/http/guard.h"
#include "kernel/net/http/json.h"

namespace heptane::http {

namespace {

constexpr std::string_view kKeySuffix = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
constexpr size_t kKeyBytes = 16;

std::string accept_of(std::string_view key) {
  const std::string text = std::string(key) + std::string(kKeySuffix);
  std::array<char, EVP_MAX_MD_SIZE> digest;
  unsigned length = 0;
  const int done = EVP_Digest(text.data(), text.size(), reinterpret_cast<unsigned char*>(digest.data()), &length,
                              EVP_sha1(), nullptr);
  HEPTANE_ASSERT(done == 1, "OpenSSL knows SHA-1");
  return base64_encoded({digest.data(), length});
}

HttpResponse upgrade_required(std::string_view message) {
  HttpResponse response = HttpResponse::error(426, "upgrade_required", message);
  response.headers = {{"Upgrade", "websocket"}, {"Sec-WebSocket-Version", "13"}};
  return response;
}

HttpResponse malformed(std::string_view message) { return HttpResponse::error(400, "malformed", message); }

}  // namespace

std::variant<std::vector<Header>, HttpResponse> answer_handshake(const HttpRequest& request, bool http_1_0,
                                                                 const WebSocketOptions& options) {
  const bool asks = request.header_has("Connection", "upgrade") && request.header_has("Upgrade", "websocket");
  if (request.method != Method::get || http_1_0 || !asks)
    return upgrade_required("a WebSocket is here: open it with a GET of HTTP/1.1 that asks for the upgrade");
  if (request.header("Sec-WebSocket-Version") != "13")
    return upgrade_required("the WebSocket version here is 13: send Sec-WebSocket-Version: 13");
  const std::string_view key = request.header("Sec-WebSocket-Key");
  const std::optional<std::string> nonce = base64_decoded(key);
  if (!nonce || nonce->size() != kKeyBytes) return malformed("Sec-WebSocket-Key must be 16 bytes in base64");
  if (!request.body.empty()) return malformed("the opening handshake of a WebSocket has no body");
  std::vector<Header> headers = {
      {"Upgrade", "websocket"}, {"Connection", "Upgrade"}, {"Sec-WebSocket-Accept", accept_of(key)}};
  // A browser that brought its token this way needs an answer to what it offered (guard.h).
  if (options.subprotocols.empty() && request.header_has("Sec-WebSocket-Protocol", kTokenSubprotocol))
    headers.push_back({"Sec-WebSocket-Protocol", std::string(kTokenSubprotocol)});
  if (options.subprotocols.empty()) return headers;
  for (const std::string_view subprotocol : options.subprotocols) {
    if (!request.header_has("Sec-WebSocket-Protocol", subprotocol)) continue;
    headers.push_back({"Sec-WebSocket-Protocol", std::string(subprotocol)});
    return headers;
  }
  return malformed("offer one of the subprotocols spoken here in Sec-WebSocket-Protocol");
}

}  // namespace heptane::http
