// The ledger over HTTP: /api/v1/ledger/... on the admin listener. What is created is a command like a TigerBeetle client's,
// without its session: a repeat is recognised by the ids, and by Idempotency-Key. See the module's README for the forms.
#pragma once

#include "kernel/net/http/router.h"

namespace heptane::fintech::ledger_http {

void add_routes(http::HttpRouter& router);

// Its parts.
void add_create_routes(http::HttpRouter& router);
void add_read_routes(http::HttpRouter& router);
void add_position_route(http::HttpRouter& router);

}  // namespace heptane::fintech::ledger_http
