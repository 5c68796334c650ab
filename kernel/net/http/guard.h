// Who asks, and may they: looked at after the route is known and before a body is read. Credentials come with every
// request: `Authorization: Bearer TOKEN` (or `Token TOKEN`), `Authorization: Basic` (user and password; RFC 7617), or a client
// certificate. A browser cannot send Authorization with a WebSocket: its page offers the subprotocols `heptane` and
// `heptane.token.TOKEN`, and the first of them is agreed on where the route has none of its own.
// Passwords and tokens are taken over TLS or from this machine alone. The I/O threads'.
#pragma once

#include <optional>

#include "kernel/auth/gate.h"
#include "kernel/net/http/message.h"
#include "kernel/net/http/parser.h"
#include "kernel/net/http/router.h"
#include "kernel/net/session.h"

namespace heptane::http {

inline constexpr std::string_view kTokenSubprotocol = "heptane";

// Sets `identity`, or says why not: 401 or 403. A null gate lets everybody in as `local`.
std::optional<HttpResponse> guard(auth::Gate* gate, const RequestHead& head, const HttpRequest& request,
                                  const Needs& needs, const net::SessionContext& context, auth::Identity& identity);

// 403, with what is missing.
HttpResponse forbidden(std::string_view who, std::string_view module, std::string_view resource, auth::Verb verb);

}  // namespace heptane::http
