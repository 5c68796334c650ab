// InfluxDB's HTTP API, as far as the module's README says: /write, /api/v2/write, /query, /ping and /health on a listener of their
// own. What is written needs `write` on admin:series/DATABASE, what is asked `read`, a database is made with `create` and dropped with
// `delete`. The I/O thread's.
#pragma once

#include <string>
#include <vector>

#include "kernel/net/http/session.h"
#include "modules/iot/gateway/series/projection.h"

namespace heptane::iot::series {

constexpr int64_t kQueryWaitNs = 5'000'000'000;  // for a place among the queries that are being answered

struct SeriesLimits {
  uint64_t memory_bytes = uint64_t{4} << 30;  // of the projection: beyond it nothing is written
  int64_t query_ns = int64_t{60} * 1'000'000'000;
};

void add_write_routes(http::HttpRouter& router, const Projection& projection, const SeriesLimits& limits);
void add_query_routes(http::HttpRouter& router, Projection& projection, const SeriesLimits& limits);
void add_health_routes(http::HttpRouter& router, const Projection& projection);

// All of them outlive the service.
http::HttpService make_series_service(Projection& projection, const SeriesLimits& limits, auth::Gate* gate,
                                      net::Quotas* quotas, http::HttpCounters& counters,
                                      std::vector<std::string> hosts);

// Errors as version 1 of the API has them, and version 2.
http::HttpResponse error_v1(int status, std::string_view message);
http::HttpResponse error_v2(int status, std::string_view message);

// Rights on a database.
bool may(http::HttpExchange& exchange, std::string_view database, auth::Verb verb);

}  // namespace heptane::iot::series
