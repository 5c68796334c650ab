// Market data as JSON: books, trades, candles. Prices and quantities are texts of decimal digits. Pure.
#pragma once

#include "kernel/net/http/json_writer.h"
#include "modules/fintech/gateway/market/watcher.h"

namespace heptane::fintech::exchange_http {

constexpr int64_t kNsPerMilli = 1'000'000;

// Members of an object that has begun.
void write_depth(http::JsonWriter& out, const market::Quote& quote, const exchange::Depth& depth);
void write_changes(http::JsonWriter& out, const market::Quote& quote, uint64_t from_sequence, uint64_t sequence,
                   const std::vector<exchange::LevelChange>& changes);
void write_trade(http::JsonWriter& out, const market::Trade& trade);
void write_candle(http::JsonWriter& out, const market::Quote& quote, const exchange::Candle& candle, bool closed);

}  // namespace heptane::fintech::exchange_http
