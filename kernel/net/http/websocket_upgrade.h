// The opening handshake of a WebSocket, the server's side (RFC 6455 §4.2). Host and Origin were checked before, as for every
// request. Pure.
#pragma once

#include <variant>

#include "kernel/net/http/message.h"
#include "kernel/net/http/websocket.h"

namespace heptane::http {

// The headers of the answer 101, or the refusal.
std::variant<std::vector<Header>, HttpResponse> answer_handshake(const HttpRequest& request, bool http_1_0,
                                                                 const WebSocketOptions& options);

}  // namespace heptane::http
