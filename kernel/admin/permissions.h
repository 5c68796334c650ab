// Who may use what of the admin listener; see permissions.cc for the table. Pure.
#pragma once

#include <optional>

#include "kernel/admin/transact_request.h"
#include "kernel/net/http/exchange.h"
#include "kernel/net/http/guard.h"
#include "kernel/net/http/router.h"

namespace heptane::admin {

// Of all routes of this listener that are there.
void require_permissions(http::HttpRouter& router);

// Each operation's stream, or what its module says that it needs, must be allowed; operations given by machine and type are
// for administrators.
std::optional<http::HttpResponse> transact_refusal(http::HttpExchange& exchange, const TransactRequest& request);

}  // namespace heptane::admin
