// The exchange over HTTP: /api/v1/exchange on the admin listener. What is done is a command of the exchange machine; a repeat of an
// order or a replace is recognised by its ClOrdID, of what moves money by Idempotency-Key. What is shown is as of what is synced.
//
// Rights, while authentication is on: of operators `admin:exchange`, of those who bust trades and move the house's money
// `admin:market_ops`; of traders on the module `exchange` the name of their firm
// (`exchange:alpha=create` enters orders, `alter` replaces, `delete` cancels, `read` looks), and `exchange:market=read` for
// instruments, books and market data. The I/O thread's.
#pragma once

#include "kernel/net/http/router.h"
#include "modules/fintech/domain/exchange/expansion.h"

namespace heptane::fintech::market {
class MarketFeed;
}

namespace heptane::fintech::exchange_http {

// The feed outlives the router. `expand` and `zones` are called on a worker.
void add_routes(http::HttpRouter& router, market::MarketFeed& feed, exchange::Expand expand, exchange::FindZone zones);

// Its parts.
void add_market_routes(http::HttpRouter& router);
void add_market_data_routes(http::HttpRouter& router, market::MarketFeed& feed);
void add_firm_routes(http::HttpRouter& router);
void add_order_routes(http::HttpRouter& router);
void add_fix_session_routes(http::HttpRouter& router, exchange::FindZone zones);
void add_correction_routes(http::HttpRouter& router);
void add_positions_routes(http::HttpRouter& router);
void add_risk_routes(http::HttpRouter& router);
void add_review_routes(http::HttpRouter& router);
void add_risk_backtest_route(http::HttpRouter& router);
void add_calendar_routes(http::HttpRouter& router, exchange::Expand expand);

}  // namespace heptane::fintech::exchange_http
