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

// Operations with an optional right get the type that says whether the one who asks has it. Behind what makes the
// transaction's idempotency hash: a repeat is one, whatever was granted meanwhile.
void write_rights(http::HttpExchange& exchange, TransactRequest& request);
// Notes for the audit trail what a machine refused because the one who asked may not do it. Takes that bit out of the detail.
void note_denied(http::HttpExchange& exchange, const TransactRequest& request, Reply& reply);

}  // namespace heptane::admin
