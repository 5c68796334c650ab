// Positions: what accounts have traded and gained, and the marks that it is valued at.
#include <map>

#include "modules/fintech/domain/ledger/amount.h"
#include "modules/fintech/gateway/http/exchange_answers.h"
#include "modules/fintech/gateway/http/exchange_routes.h"
#include "modules/fintech/machine/exchange/positions_api.h"

namespace heptane::fintech::exchange_http {

namespace {

using auth::Verb;
using exchange::AccountPositions;
using exchange::Int128;
using exchange::PositionRow;
using ledger_http::Assets;
using ledger_http::with_assets;

constexpr int64_t kNsPerMs = 1'000'000;

constexpr std::string_view kMarkBody =
    R"({"type":"object","required":["price","reason"],"additionalProperties":false,"properties":{"price":{"type":[)"
    R"("string","number","null"]},"reason":{"type":"string","minLength":1,"maxLength":256}}})";
constexpr std::string_view kMark =
    R"({"type":"object","required":["symbol"],"properties":{"symbol":{"type":"string"},"mark":{"type":"object",)"
    R"("required":["price","since_ms","by","reason"]},"last_price":{"type":"string"}}})";
constexpr std::string_view kMarked =
    R"({"type":"object","properties":{"position":{"$ref":"#/components/schemas/Position"},"repeated":{)"
    R"("type":"boolean"}}})";
constexpr std::string_view kPositions =
    R"({"type":"object","required":["accounts"],"properties":{"accounts":{"type":"array","items":{"type":"object",)"
    R"("required":["account","positions","totals"],"properties":{"account":{"type":"string"},"positions":{"type":"array",)"
    R"("items":{"type":"object","required":["symbol","asset","position","bought","sold","average_cost","realised","fees",)"
    R"("rebates"]}},"totals":{"type":"array","items":{"type":"object","required":["asset","realised","fees",)"
    R"("rebates"]}}}}},"next":{"type":"string"}}})";

struct Total {
  Int128 realised = 0;
  std::optional<Int128> unrealised = 0;  // none: of one of them it is not known
  Uint128 fees = 0;
  Uint128 rebates = 0;
  uint8_t scale = 0;
};

std::string code_of(const Assets& assets, uint32_t ledger) {
  const Asset* asset = assets->of(ledger);
  return asset == nullptr ? std::to_string(ledger) : asset->code;
}

void write_sums(JsonWriter& out, std::string_view name, const exchange::TradedSums& sums, const PositionRow& row) {
  out.key(name).begin_object().key("quantity").text(amount_text(sums.quantity, row.quantity_scale));
  out.key("value").text(amount_text(sums.value, row.quote_scale)).end_object();
}

void write_row(JsonWriter& out, const PositionRow& row, const Assets& assets) {
  const auto money = [&](std::string_view name, const std::optional<Int128>& amount) {
    if (amount) out.key(name).text(signed_amount(*amount, row.quote_scale));
  };
  const exchange::Exposure& exposure = row.exposure;
  const Int128 uncounted = exposure.position - row.traded.open();
  out.begin_object().key("symbol").text(row.symbol).key("asset").text(code_of(assets, row.quote_asset));
  out.key("position").text(signed_amount(exposure.position, row.quantity_scale));
  if (uncounted != 0) out.key("uncounted").text(signed_amount(uncounted, row.quantity_scale));
  out.key("open_buys").text(amount_text(exposure.open_buys, row.quantity_scale));
  out.key("open_sells").text(amount_text(exposure.open_sells, row.quantity_scale));
  write_sums(out, "bought", row.traded.bought, row);
  write_sums(out, "sold", row.traded.sold, row);
  out.key("average_cost").text(row.average_cost);
  out.key("open_for").text(amount_text(row.open_for, row.quote_scale));
  money("realised", row.realised);
  money("unrealised", row.unrealised);
  money("fees", static_cast<Int128>(row.traded.fees));
  money("rebates", static_cast<Int128>(row.traded.rebates));
  if (row.mark) {
    out.key("mark").text(exchange::price_text(*row.mark, row.price_scale));
    out.key("mark_source").text(row.external ? "mark" : "last_trade");
  }
  money("value", row.value);
  money("worst_long_value", row.worst_long);
  money("worst_short_value", row.worst_short);
  out.end_object();
}

// By the asset that prices are in.
std::map<uint32_t, Total> totals_of(const AccountPositions& account) {
  std::map<uint32_t, Total> totals;
  for (const PositionRow& row : account.positions) {
    Total& total = totals[row.quote_asset];
    total.scale = row.quote_scale;
    total.realised += row.realised;
    total.fees += row.traded.fees;
    total.rebates += row.traded.rebates;
    if (total.unrealised && row.unrealised)
      *total.unrealised += *row.unrealised;
    else
      total.unrealised.reset();
  }
  return totals;
}

void write_account(JsonWriter& out, const AccountPositions& account, const Assets& assets) {
  out.begin_object().key("account").text(account.account).key("positions").begin_array();
  for (const PositionRow& row : account.positions) write_row(out, row, assets);
  out.end_array().key("totals").begin_array();
  for (const auto& [asset, total] : totals_of(account)) {
    out.begin_object().key("asset").text(code_of(assets, asset));
    out.key("realised").text(signed_amount(total.realised, total.scale));
    if (total.unrealised) out.key("unrealised").text(signed_amount(*total.unrealised, total.scale));
    out.key("fees").text(amount_text(total.fees, total.scale));
    out.key("rebates").text(amount_text(total.rebates, total.scale));
    const Int128 charged = static_cast<Int128>(total.fees) - static_cast<Int128>(total.rebates);
    if (total.unrealised) out.key("net").text(signed_amount(total.realised + *total.unrealised - charged, total.scale));
    out.end_object();
  }
  out.end_array().end_object();
}

void list_positions(HttpExchange& exchange) {
  const Result<void> known = admin::check_parameters(exchange.request(), {"account", "after"});
  if (!known) return exchange.respond(admin::error_response(known.error()));
  const auto alone = exchange.request().query_value("account");
  const std::string after(alone ? *alone : exchange.request().query_value("after").value_or(""));
  const exchange::Page page{std::string(exchange.request().param("firm")), after, alone.has_value()};
  with_assets(exchange, [page](HttpExchange& ready, const Assets& assets) {
    ready.query(question(exchange::kQueryPositions, page), [assets, page](HttpExchange& answered, const Reply& reply) {
      if (!reply.ok()) return answered.respond(admin::refusal_response(reply));
      const auto rows = exchange::unpacked_rows<AccountPositions>(reply.payload.view());
      if (!rows) return answered.respond(cut_off());
      if (page.alone && rows->empty())
        return answered.respond(admin::error_response({Errc::not_found, "the firm has no account " + page.after, 0}));
      JsonWriter out;
      out.begin_object().key("accounts").begin_array();
      for (const AccountPositions& row : *rows) write_account(out, row, assets);
      out.end_array();
      if (reply.numbers[1] != 0) out.key("next").text(rows->back().account);
      out.end_object();
      answered.respond(HttpResponse::json(200, out.take()));
    });
  });
}

void put_mark(HttpExchange& exchange) {
  const std::string symbol(exchange.request().param("symbol"));
  const auto asked = object_of<exchange::MarkChange>(std::move(exchange.request().body),
                                                     [&](http::JsonFields& fields, exchange::MarkChange& read) {
                                                       read.symbol = symbol;
                                                       read.reason = fields.text("reason");
                                                       const auto price = fields.value("price");
                                                       if (!price || price->type() != http::JsonType::null)
                                                         read.price = said(fields, "price");
                                                     });
  change(exchange, exchange::kPutMark, asked, 200, [](JsonWriter&, const Reply&) {});
}

void show_mark(HttpExchange& exchange) {
  const std::string symbol(exchange.request().param("symbol"));
  exchange.query(question(exchange::kQueryMark, symbol), [symbol](HttpExchange& answered, const Reply& reply) {
    if (!reply.ok()) return answered.respond(admin::refusal_response(reply));
    const auto row = exchange::unpacked<exchange::MarkRow>(reply.payload.view());
    if (!row) return answered.respond(cut_off());
    JsonWriter out;
    out.begin_object().key("symbol").text(symbol);
    if (const auto& mark = row->mark) {
      out.key("mark").begin_object().key("price").text(exchange::price_text(mark->price, row->price_scale));
      out.key("since_ms").number(mark->since / kNsPerMs).key("by").unsigned_number(mark->by);
      out.key("reason").text(mark->reason).end_object();
    }
    if (row->last_price) out.key("last_price").text(exchange::price_text(*row->last_price, row->price_scale));
    out.end_object();
    answered.respond(HttpResponse::json(200, out.take()));
  });
}

}  // namespace

void add_positions_routes(http::HttpRouter& router) {
  using http::Method;
  router.add(
      Method::get, "/api/v1/exchange/firms/{firm}/positions", list_positions,
      {.needs = of_firm(Verb::read),
       .doc = {"Positions, profit and loss of a firm's accounts",
               "Counted of all trades that stand, busts and corrections among them. `average_cost` is of what is open: "
               "of everything bought (of a short: sold) since the position was zero, rounded down to four more "
               "decimals; `open_for` is what that comes to. `realised` and `unrealised` are before `fees` and "
               "`rebates`, their sum is exact; `unrealised`, `value` and the worst cases, if all open buys or sells "
               "filled, are at `mark`: the "
               "operators', else the last trade's. `uncounted` is of trades before version 3 of the exchange's "
               "logic: it has a value and no cost.",
               {{"account", "that one alone"}, {"after", "names behind this one"}},
               {},
               {{200, "as of what is synced", {{kPositions}}}, {404, "no such firm or account", {{kErrorSchema}}}}}});
  router.add(Method::get, "/api/v1/exchange/instruments/{symbol}/mark", show_mark,
             {.needs = of_market(),
              .doc = {"What positions in an instrument are valued at",
                      "`mark`, if operators set one, else the last trade's price.",
                      {},
                      {},
                      {{200, "as of what is synced", {{kMark}}}, {404, "no such instrument", {{kErrorSchema}}}}}});
  router.add(
      Method::put, "/api/v1/exchange/instruments/{symbol}/mark", put_mark,
      {.needs = of_market_ops(Verb::alter),
       .doc = {"Mark an instrument",
               "Positions are valued at this price from now on; `null`: at the last trade's again. It need not be "
               "on a tick, and no order, stop or call goes by it.",
               {},
               {{kMarkBody}},
               {{200, "it holds, synced", {{kMarked}}},
                {400, "the price is below 0 or has too many decimals", {{kErrorSchema}}},
                {404, "no such instrument", {{kErrorSchema}}}}}});
}

}  // namespace heptane::fintech::exchange_http
