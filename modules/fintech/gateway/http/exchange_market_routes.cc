// Instruments, books, phases, kill switches: what operators set and everybody may see.
#include "modules/fintech/gateway/http/exchange_answers.h"
#include "modules/fintech/gateway/http/exchange_routes.h"
#include "modules/fintech/gateway/http/exchange_schemas.h"

namespace heptane::fintech::exchange_http {

namespace {

using auth::Verb;
using ledger_http::Assets;
using ledger_http::with_assets;

constexpr int64_t kLevelsDefault = 10;
constexpr std::string_view kLevelsSchema = R"({"type":"integer","minimum":1,"maximum":1000,"default":10})";

void put_instrument(HttpExchange& exchange) {
  with_assets(exchange, [](HttpExchange& ready, const Assets& assets) {
    const auto spec = instrument_of_json(std::move(ready.request().body), *assets);
    change(ready, exchange::kPutInstrument, spec, 200,
           [symbol = spec ? spec->instrument.symbol : std::string()](JsonWriter& out, const Reply& reply) {
             out.key("symbol").text(symbol).key("created").boolean(reply.numbers[1] == 1);
           });
  });
}

void list_instruments(HttpExchange& exchange) {
  const Result<void> known = admin::check_parameters(exchange.request(), {"after"});
  if (!known) return exchange.respond(admin::error_response(known.error()));
  const std::string after(exchange.request().query_value("after").value_or(""));
  with_assets(exchange, [after](HttpExchange& ready, const Assets& assets) {
    ready.query(question(exchange::kQueryInstruments, exchange::Page{"", after, false}),
                [assets](HttpExchange& answered, const Reply& reply) {
                  if (!reply.ok()) return answered.respond(admin::refusal_response(reply));
                  const auto rows = exchange::unpacked_rows<exchange::InstrumentRow>(reply.payload.view());
                  if (!rows) return answered.respond(cut_off());
                  JsonWriter out;
                  out.begin_object().key("instruments").begin_array();
                  for (const exchange::InstrumentRow& row : *rows) write(out, row, *assets);
                  out.end_array();
                  if (reply.numbers[1] != 0) out.key("next").text(rows->back().spec.instrument.symbol);
                  out.end_object();
                  answered.respond(HttpResponse::json(200, out.take()));
                });
  });
}

void show_instrument(HttpExchange& exchange) {
  const std::string symbol(exchange.request().param("symbol"));
  with_assets(exchange, [symbol](HttpExchange& ready, const Assets& assets) {
    ready.query(
        question(exchange::kQueryInstruments, exchange::Page{"", symbol, true}),
        [assets, symbol](HttpExchange& answered, const Reply& reply) {
          if (!reply.ok()) return answered.respond(admin::refusal_response(reply));
          const auto rows = exchange::unpacked_rows<exchange::InstrumentRow>(reply.payload.view());
          if (!rows || rows->empty())
            return answered.respond(admin::error_response({Errc::not_found, "there is no instrument " + symbol, 0}));
          JsonWriter out;
          write(out, rows->front(), *assets);
          answered.respond(HttpResponse::json(200, out.take()));
        });
  });
}

void show_book(HttpExchange& exchange) {
  const Result<void> known = admin::check_parameters(exchange.request(), {"levels"});
  if (!known) return exchange.respond(admin::error_response(known.error()));
  const Result<int64_t> levels =
      admin::integer_parameter(exchange.request(), "levels", kLevelsDefault, 1, exchange::kDepthLevelsMax);
  if (!levels) return exchange.respond(admin::error_response(levels.error()));
  const exchange::DepthQuery asked{std::string(exchange.request().param("symbol")), static_cast<uint32_t>(*levels)};
  exchange.query(question(exchange::kQueryDepth, asked), [](HttpExchange& answered, const Reply& reply) {
    if (!reply.ok()) return answered.respond(admin::refusal_response(reply));
    const auto row = exchange::unpacked<exchange::DepthRow>(reply.payload.view());
    if (!row) return answered.respond(cut_off());
    JsonWriter out;
    write(out, *row);
    answered.respond(HttpResponse::json(200, out.take()));
  });
}

void set_phase(HttpExchange& exchange) {
  const auto asked = phase_of_json(std::move(exchange.request().body), std::string(exchange.request().param("symbol")));
  change(exchange, exchange::kSetPhase, asked, 200,
         [](JsonWriter& out, const Reply& reply) { out.key("working").boolean(reply.numbers[0] != 0); });
}

void put_limits(HttpExchange& exchange) {
  change(exchange, exchange::kPutLimits, limits_of_json(std::move(exchange.request().body)), 200,
         [](JsonWriter&, const Reply&) {});
}

void write_cancelled(JsonWriter& out, const Reply& reply) {
  out.key("mass_cancel").text(std::to_string(reply.numbers[0])).key("cancelled_by_now").number(reply.numbers[1]);
}

void throw_switch(HttpExchange& exchange) {
  change(exchange, exchange::kSwitch, switch_of_json(std::move(exchange.request().body)), 200, write_cancelled);
}

void show_state(HttpExchange& exchange) {
  exchange.query({exchange::kExchangeMachineId, exchange::kQueryState, Buffer(), {}},
                 [](HttpExchange& answered, const Reply& reply) {
                   if (!reply.ok()) return answered.respond(admin::refusal_response(reply));
                   const auto row = exchange::unpacked<exchange::StateRow>(reply.payload.view());
                   if (!row) return answered.respond(cut_off());
                   JsonWriter out;
                   write(out, *row);
                   answered.respond(HttpResponse::json(200, out.take()));
                 });
}

void add_instrument_routes(http::HttpRouter& router) {
  using http::Method;
  router.add(Method::get, "/api/v1/exchange/instruments", list_instruments,
             {.needs = of_market(),
              .doc = {"Instruments",
                      "In the order of their symbols.",
                      {{"after", "symbols behind this one"}},
                      {},
                      {{200, "as of what is synced", {{kInstruments}}}}}});
  router.add(Method::post, "/api/v1/exchange/instruments", put_instrument,
             {.needs = of_operators(Verb::create),
              .doc = {"List an instrument, or change it",
                      "Both assets must be the ledger's. Ticks, lot and `orders_max` change only while "
                      "it is closed and has no orders; fees are for orders that come later. A new one is closed.",
                      {},
                      {{kNewInstrument}},
                      {{200, "it is so, synced", {{kDone}}},
                       {400, "what is wrong with it, and for ticks and lots what would be right", {{kErrorSchema}}},
                       {409, "it is open or has orders", {{kErrorSchema}}}}}});
  router.add(Method::get, "/api/v1/exchange/instruments/{symbol}", show_instrument,
             {.needs = of_market(),
              .doc = {"One instrument",
                      "A `/` in the symbol is `%2F`.",
                      {},
                      {},
                      {{200, "as of what is synced", {{kInstrument}}},
                       {404, "there is no such instrument", {{kErrorSchema}}}}}});
  router.add(
      Method::get, "/api/v1/exchange/instruments/{symbol}/book", show_book,
      {.needs = of_market(),
       .doc = {"The book of an instrument",
               "What is shown at each price, the best first; in a call also what it would do now.",
               {{"levels", "at most so many prices of a side", kLevelsSchema}},
               {},
               {{200, "as of what is synced", {{kBook}}}, {404, "there is no such instrument", {{kErrorSchema}}}}}});
  router.add(Method::post, "/api/v1/exchange/instruments/{symbol}/phase", set_phase,
             {.needs = of_operators(Verb::alter),
              .doc = {"Open, close, halt or begin a call",
                      "With `uncross` the call that goes on ends first, at one price; a price outside its band extends "
                      "the call once, then halts. `working`: the phase comes when the work is done.",
                      {},
                      {{kPhase}},
                      {{200, "done or begun, synced", {{kDone}}},
                       {404, "there is no such instrument", {{kErrorSchema}}},
                       {409, "the phase does not follow on the present one", {{kErrorSchema}}}}}});
}

}  // namespace

void add_market_routes(http::HttpRouter& router) {
  using http::Method;
  add_instrument_routes(router);
  router.add(Method::post, "/api/v1/exchange/limits", put_limits,
             {.needs = of_operators(Verb::alter),
              .doc = {"Limit what a firm or an account may do in an instrument",
                      "In the smallest units of the instrument's scales; 0 or nothing is no limit. Judged in the entry "
                      "of each order, before it is matched.",
                      {},
                      {{kLimits}},
                      {{200, "they hold from now on, synced", {{kDone}}},
                       {404, "no such instrument, firm or account", {{kErrorSchema}}}}}});
  router.add(Method::get, "/api/v1/exchange/state", show_state,
             {.needs = of_market(),
              .doc = {"The exchange as a whole", "", {}, {}, {{200, "as of what is synced", {{kState}}}}}});
  router.add(Method::post, "/api/v1/exchange/switches", throw_switch,
             {.needs = of_operators(Verb::alter),
              .doc = {"Throw a kill switch, or lift it",
                      "Blocks new orders and replaces at once and cancels what is open, in pieces; cancels go on. "
                      "Lifting is a request of its own. Both stand in the audit trail with the reason.",
                      {},
                      {{kSwitch}},
                      {{200, "it is on or off, synced", {{kDone}}},
                       {404, "no such instrument, firm or account", {{kErrorSchema}}},
                       {409, "it is off already", {{kErrorSchema}}}}}});
}

void add_routes(http::HttpRouter& router, market::MarketFeed& feed, exchange::Expand expand, exchange::FindZone zones) {
  add_market_routes(router);
  add_market_data_routes(router, feed);
  add_firm_routes(router);
  add_order_routes(router);
  add_fix_session_routes(router, std::move(zones));
  add_correction_routes(router);
  add_positions_routes(router);
  add_risk_routes(router);
  add_risk_backtest_route(router);
  add_calendar_routes(router, std::move(expand));
}

}  // namespace heptane::fintech::exchange_http
