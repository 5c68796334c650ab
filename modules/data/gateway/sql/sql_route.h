// GET /api/v1/sql on the admin listener: one statement, its rows as JSON or CSV, piece by piece as the client reads them. Rights and
// limits are those of every protocol that carries SQL. The I/O thread's.
#pragma once

#include <functional>

#include "kernel/auth/gate.h"
#include "kernel/net/http/router.h"
#include "modules/data/gateway/sql/sql_service.h"

namespace heptane::data::sql {

// What the route needs once the server runs; null before that, and where the module is off.
struct SqlAccess {
  Engine* engine = nullptr;
  SqlService* service = nullptr;
  auth::Gate* gate = nullptr;
};

// What one who proved who he is may read; good for any thread as long as the gate is there.
std::function<bool(std::string_view stream)> readable_by(const auth::Gate* gate, auth::Identity identity);
void add_sql_route(http::HttpRouter& router, std::function<SqlAccess()> access);

}  // namespace heptane::data::sql
