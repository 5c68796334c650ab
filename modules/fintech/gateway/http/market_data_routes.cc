// Market data: candles, and the WebSocket of books, trades and candles.
#include "modules/fintech/gateway/http/exchange_answers.h"
#include "modules/fintech/gateway/http/exchange_routes.h"
#include "modules/fintech/gateway/http/market_json.h"
#include "modules/fintech/gateway/http/market_socket.h"

namespace heptane::fintech::exchange_http {

namespace {

using exchange::CandlesQuery;
using exchange::CandlesRow;
using exchange::CandleWidth;

constexpr int64_t kCandlesDefault = 100;
constexpr int64_t kCandlesMost = 1'000;
constexpr int64_t kMillisMost = std::numeric_limits<int64_t>::max() / kNsPerMilli;
constexpr int kGone = 410;
constexpr std::string_view kWidthSchema = R"({"type":"string","enum":["1s","1m","5m","15m","1h","1d"],"default":"1m"})";
constexpr std::string_view kLimitSchema = R"({"type":"integer","minimum":1,"maximum":1000,"default":100})";
constexpr std::string_view kCandles =
    R"({"type":"object","required":["symbol","width","candles"],"properties":{"symbol":{"type":"string"},"width":{)"
    R"("type":"string"},"candles":{"type":"array","items":{"type":"object","required":["start_ms","open","high","low",)"
    R"("close","volume","notional","trades","closed"]}},"kept_from_ms":{"type":"integer"},"next_ms":{)"
    R"("type":"integer"}}})";

Result<CandleWidth> width_of(std::string_view name) {
  for (size_t n = 0; n < exchange::kCandleWidths; ++n)
    if (const auto width = static_cast<CandleWidth>(n); name == exchange::candle_width_name(width)) return width;
  return Error{Errc::invalid_argument, "width is one of 1s, 1m, 5m, 15m, 1h, 1d", 0};
}

Result<CandlesQuery> parse_candles(const http::HttpRequest& request) {
  HEPTANE_TRY(admin::check_parameters(request, {"width", "from", "to", "limit"}));
  const auto width = width_of(request.query_value("width").value_or("1m"));
  if (!width) return width.error();
  const auto from = admin::integer_parameter(request, "from", 0, 0, kMillisMost);
  const auto to = admin::integer_parameter(request, "to", kMillisMost, 0, kMillisMost);
  const auto limit = admin::integer_parameter(request, "limit", kCandlesDefault, 1, kCandlesMost);
  for (const auto* number : {&from, &to, &limit})
    if (!*number) return number->error();
  CandlesQuery query;
  query.symbol = request.param("symbol");
  query.width = *width;
  if (request.query_value("from")) query.from = *from * kNsPerMilli;
  query.to = *to * kNsPerMilli;
  query.most = static_cast<uint32_t>(*limit);
  return query;
}

// By when it was asked.
bool is_over(const CandlesQuery& asked, const CandlesRow& row, const exchange::Candle& candle) {
  return asked.width == CandleWidth::day ? candle.start < row.day
                                         : candle.start + exchange::candle_width_ns(asked.width) <= asked.now;
}

HttpResponse candles_response(const CandlesQuery& asked, const CandlesRow& row) {
  if (asked.from && row.kept_from && *asked.from < *row.kept_from)
    return HttpResponse::error(kGone, "not_kept",
                               "candles of " + std::string(exchange::candle_width_name(asked.width)) +
                                   " are kept from " + std::to_string(*row.kept_from / kNsPerMilli) +
                                   " on; what was traded before is in fintech.trades");
  const market::Quote quote{row.price_scale, row.quantity_scale, row.quote_scale, {}, {}, {}, 0};
  JsonWriter out;
  out.begin_object().key("symbol").text(asked.symbol).key("width").text(exchange::candle_width_name(asked.width));
  out.key("candles").begin_array();
  for (const exchange::Candle& candle : row.candles) {
    out.begin_object();
    write_candle(out, quote, candle, is_over(asked, row, candle));
    out.end_object();
  }
  out.end_array();
  if (row.kept_from) out.key("kept_from_ms").number(*row.kept_from / kNsPerMilli);
  if (asked.from && row.candles.size() == asked.most)
    out.key("next_ms").number(row.candles.back().start / kNsPerMilli + 1);
  out.end_object();
  return HttpResponse::json(200, out.take());
}

void show_candles(HttpExchange& exchange) {
  Result<CandlesQuery> asked = parse_candles(exchange.request());
  if (!asked) return exchange.respond(admin::error_response(asked.error()));
  asked->now = exchange.context().utc_ns();
  exchange.query(question(exchange::kQueryCandles, *asked),
                 [asked = *asked](HttpExchange& answered, const Reply& reply) {
                   if (!reply.ok()) return answered.respond(admin::refusal_response(reply));
                   const auto row = exchange::unpacked<CandlesRow>(reply.payload.view());
                   answered.respond(row ? candles_response(asked, *row) : cut_off());
                 });
}

void open_socket(HttpExchange& exchange, market::MarketFeed& feed) {
  const Result<void> known = admin::check_parameters(exchange.request(), {});
  if (!known) return exchange.respond(admin::error_response(known.error()));
  http::WebSocketOptions options;
  options.limits.message_bytes = MarketSocket::kInputBytes;
  exchange.upgrade(std::make_unique<MarketSocket>(feed, exchange.standing("exchange", "market", auth::Verb::read)),
                   options);
}

}  // namespace

void add_market_data_routes(http::HttpRouter& router, market::MarketFeed& feed) {
  using http::Method;
  router.add(
      Method::get, "/api/v1/exchange/instruments/{symbol}/candles", show_candles,
      {.needs = of_market(),
       .doc = {"Candles of an instrument",
               "By log time, where there were trades; of a day: of the trade date. The last 1,024 of each width "
               "are kept. Without `from` the last ones, with it the first ones; then on with `next_ms`. A "
               "candle that is `closed` changes only where a trade of it is busted or corrected: volume, notional "
               "and number of trades follow.",
               {{"width", "of each candle", kWidthSchema},
                {"from", "milliseconds since 1970: those that begin then or later", http::kCountSchema},
                {"to", "milliseconds since 1970: those that begin before", http::kCountSchema},
                {"limit", "at most so many", kLimitSchema}},
               {},
               {{200, "as of what is synced", {{kCandles}}},
                {404, "there is no such instrument", {{kErrorSchema}}},
                {410, "candles of `from` are not kept any more", {{kErrorSchema}}},
                {501, "the log is of a program that kept no candles, and not upgraded", {{kErrorSchema}}}}}});
  router.add(
      Method::get, "/api/v1/exchange/market-data", [&feed](HttpExchange& exchange) { open_socket(exchange, feed); },
      {.needs = of_market(),
       .doc = {"Books, trades and candles over a WebSocket (RFC 6455)",
               "Text messages of JSON: `{\"op\":\"subscribe\",\"channel\":\"book\",\"symbol\":\"BTC-USD\","
               "\"levels\":10,\"id\":1}`; channels book (levels 1, 10, 100 or 1000), trades (`from`: an offset of "
               "fintech.trades), candles (width). A book is a snapshot and increments whose `from_sequence` is the "
               "sequence before; a new snapshot stands for all before it. A message of type error answers what is "
               "wrong. Closed with 4403 when the client lost the right to read market data, 1013 when it takes nothing "
               "for 20 seconds.",
               {},
               {},
               {{101, "the connection is a WebSocket", {}},
                {426, "this needs the opening handshake of a WebSocket", {{kErrorSchema}}}}}});
}

}  // namespace heptane::fintech::exchange_http
