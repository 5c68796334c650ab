// Trades: one of them, busting and correcting it; what firms owe because of it; the house's fees.
#include "modules/fintech/domain/ledger/amount.h"
#include "modules/fintech/gateway/http/exchange_answers.h"
#include "modules/fintech/gateway/http/exchange_routes.h"
#include "modules/fintech/machine/exchange/corrections_api.h"

namespace heptane::fintech::exchange_http {

namespace {

using auth::Verb;
using ledger_http::Assets;
using ledger_http::with_assets;

constexpr std::string_view kReasonBody =
    R"({"type":"object","required":["reason"],"additionalProperties":false,"properties":{"reason":{"type":"string",)"
    R"("minLength":1,"maxLength":256}}})";
constexpr std::string_view kAgreedBody =
    R"({"type":"object","required":["price","quantity","reason"],"additionalProperties":false,"properties":{"price":{)"
    R"("type":["string","number"]},"quantity":{"type":["string","number"]},"reason":{"type":"string","minLength":1,)"
    R"("maxLength":256}}})";
constexpr std::string_view kBusted =
    R"({"type":"object","required":["owes"],"properties":{"trade_id":{"type":"string"},"owes":{"type":"boolean"},)"
    R"("position":{"$ref":"#/components/schemas/Position"},"repeated":{"type":"boolean"}}})";
constexpr std::string_view kTrade =
    R"({"type":"object","required":["trade_id","symbol","price","quantity","buyer","seller","busted"],"properties":{)"
    R"("trade_id":{"type":"string"},"symbol":{"type":"string"},"price":{"type":"string"},"quantity":{"type":"string"},)"
    R"("notional":{"type":"string"},"time_ns":{"type":"string"},"buyer":{"type":"object"},"seller":{"type":"object"},)"
    R"("busted":{"type":"boolean"},"corrected_by":{"type":"string"}}})";
constexpr std::string_view kReceivables =
    R"({"type":"object","required":["receivables","truncated"],"properties":{"receivables":{"type":"array","items":{)"
    R"("type":"object","required":["ledger","owed_raw"]}},"truncated":{"type":"boolean"}}})";
constexpr std::string_view kClearBody =
    R"({"type":"object","required":["firm","account","asset","reason"],"additionalProperties":false,"properties":{)"
    R"("firm":{"type":"string"},"account":{"type":"string"},"asset":{"type":"string"},"amount":{"type":"string"},)"
    R"("amount_raw":{"type":["string","integer"]},"reason":{"type":"string","minLength":1,"maxLength":256}}})";
constexpr std::string_view kFeesBody =
    R"({"type":"object","required":["asset","reason"],"additionalProperties":false,"properties":{"asset":{)"
    R"("type":"string"},"amount":{"type":"string"},"amount_raw":{"type":["string","integer"]},"reason":{)"
    R"("type":"string","minLength":1,"maxLength":256}}})";
constexpr std::string_view kNumbered =
    R"({"type":"object","properties":{"number":{"type":"string"},"position":{"$ref":"#/components/schemas/Position"},)"
    R"("repeated":{"type":"boolean"}}})";

Result<uint64_t> trade_number(HttpExchange& exchange) {
  const std::optional<Uint128> number = parse_number(exchange.request().param("trade"));
  if (!number || *number == 0 || *number > UINT64_MAX)
    return Error{Errc::not_found, "a trade is named by its number, as trade_id says it"};
  return static_cast<uint64_t>(*number);
}

void bust(HttpExchange& exchange, bool corrects) {
  const Result<uint64_t> trade = trade_number(exchange);
  if (!trade) return exchange.respond(admin::error_response(trade.error()));
  const auto asked = object_of<exchange::BustTrade>(
      std::move(exchange.request().body), [&](http::JsonFields& fields, exchange::BustTrade& read) {
        read.trade = *trade;
        read.reason = fields.text("reason");
        if (corrects) read.agreed = exchange::AgreedTrade{said(fields, "price"), said(fields, "quantity")};
      });
  change(exchange, exchange::kBustTrade, asked, 200, [](JsonWriter& out, const Reply& reply) {
    if (reply.numbers[0] != 0) out.key("trade_id").text(std::to_string(reply.numbers[0]));
    out.key("owes").boolean(reply.numbers[1] != 0);
  });
}

void write_side(JsonWriter& out, std::string_view name, const exchange::TradeSideRow& side, uint8_t scale) {
  out.key(name).begin_object().key("order_id").text(std::to_string(side.order)).key("firm").text(side.firm);
  out.key("account").text(side.account).key("exec_id").text(std::to_string(side.exec));
  out.key("fee").text(amount_text(side.fee, scale)).key("rebate").text(amount_text(side.rebate, scale)).end_object();
}

void show_trade(HttpExchange& exchange) {
  const Result<uint64_t> trade = trade_number(exchange);
  if (!trade) return exchange.respond(admin::error_response(trade.error()));
  exchange.query(question(exchange::kQueryTrade, *trade), [](HttpExchange& answered, const Reply& reply) {
    if (!reply.ok()) return answered.respond(admin::refusal_response(reply));
    const auto row = exchange::unpacked<exchange::TradeRow>(reply.payload.view());
    if (!row) return answered.respond(cut_off());
    JsonWriter out;
    out.begin_object().key("trade_id").text(std::to_string(row->trade)).key("symbol").text(row->symbol);
    out.key("price").text(exchange::price_text(row->price, row->price_scale));
    out.key("quantity").text(amount_text(row->quantity, row->quantity_scale));
    out.key("notional").text(amount_text(row->notional, row->quote_scale));
    out.key("time_ns").text(std::to_string(row->timestamp));
    write_side(out, "buyer", row->buyer, row->quote_scale);
    write_side(out, "seller", row->seller, row->quote_scale);
    out.key("busted").boolean(row->busted);
    if (row->corrected_by != 0) out.key("corrected_by").text(std::to_string(row->corrected_by));
    out.end_object();
    answered.respond(HttpResponse::json(200, out.take()));
  });
}

void list_receivables(HttpExchange& exchange) {
  const std::string firm(exchange.request().param("firm"));
  with_assets(exchange, [firm](HttpExchange& ready, const Assets& assets) {
    ready.query(question(exchange::kQueryReceivables, firm), [assets](HttpExchange& answered, const Reply& reply) {
      if (!reply.ok()) return answered.respond(admin::refusal_response(reply));
      const auto rows = exchange::unpacked_rows<exchange::ReceivableRow>(reply.payload.view());
      if (!rows) return answered.respond(cut_off());
      JsonWriter out;
      out.begin_object().key("receivables").begin_array();
      for (const exchange::ReceivableRow& row : *rows) {
        const Asset* asset = assets->of(row.asset);
        out.begin_object().key("ledger").number(row.asset);
        if (asset != nullptr) out.key("asset").text(asset->code);
        ledger_http::write_amount(out, "owed", row.amount, asset);
        out.end_object();
      }
      out.end_array().key("truncated").boolean(reply.numbers[1] != 0).end_object();
      answered.respond(HttpResponse::json(200, out.take()));
    });
  });
}

// Moves money once for a key. `read` reads the body.
template <class Payload>
void move_once(HttpExchange& exchange, CommandType type,
               void (*read)(http::JsonFields&, const ledger_http::AssetTable&, Payload&)) {
  with_assets(exchange, [type, read](HttpExchange& ready, const Assets& assets) {
    const std::string key(ready.request().header("Idempotency-Key"));
    constexpr size_t kKeyBytesMax = 256;
    if (key.size() > kKeyBytesMax)
      return ready.respond(admin::error_response(admin::invalid("Idempotency-Key is longer than 256 bytes")));
    const auto payload =
        object_of<Payload>(std::move(ready.request().body),
                           [&](http::JsonFields& fields, Payload& value) { read(fields, *assets, value); });
    if (!payload) return ready.respond(admin::error_response(payload.error()));
    Submission submission = command(type, *payload);
    if (!key.empty()) submission.idempotency = key_of("cash", key, type, submission.payload.view());
    change(ready, std::move(submission), 200,
           [](JsonWriter& out, const Reply& reply) { out.key("number").text(std::to_string(reply.numbers[0])); });
  });
}

void clear_receivable(HttpExchange& exchange) {
  move_once<exchange::ClearReceivable>(
      exchange, exchange::kClearReceivable,
      [](http::JsonFields& fields, const ledger_http::AssetTable& assets, exchange::ClearReceivable& value) {
        value.move.firm = fields.text("firm");
        value.move.account = fields.text("account");
        read_amount(fields, assets, value.move);
        value.reason = fields.text("reason");
      });
}

void withdraw_fees(HttpExchange& exchange) {
  move_once<exchange::WithdrawFees>(
      exchange, exchange::kWithdrawFees,
      [](http::JsonFields& fields, const ledger_http::AssetTable& assets, exchange::WithdrawFees& value) {
        exchange::CashMove amount;
        read_amount(fields, assets, amount);
        value.asset = amount.asset;
        value.digits = amount.digits;
        value.decimals = amount.decimals;
        value.reason = fields.text("reason");
      });
}

std::vector<http::ParameterDoc> keyed() {
  return {{"Idempotency-Key", "1 to 256 bytes: a repeat within 24 hours returns the first answer", http::kTextSchema,
           http::ParameterPlace::header}};
}

void add_trade_routes(http::HttpRouter& router) {
  using http::Method;
  router.add(Method::get, "/api/v1/exchange/trades/{trade}", show_trade,
             {.needs = of_market_ops(Verb::read),
              .doc = {"One trade",
                      "Out of its postings, however old it is; those of a log from before version 2 of the exchange's "
                      "logic are in `fintech.trades` alone.",
                      {},
                      {},
                      {{200, "as of what is synced", {{kTrade}}}, {404, "there is none such", {{kErrorSchema}}}}}});
  router.add(
      Method::post, "/api/v1/exchange/trades/{trade}/bust", [](HttpExchange& e) { bust(e, false); },
      {.needs = of_market_ops(Verb::alter),
       .doc = {"Bust a trade",
               "Its postings and fees are taken back in one entry, once. What an account has not any more its firm "
               "owes (`owes`): it enters no orders and withdraws nothing before that is cleared. Orders are not "
               "revived; the last price follows.",
               {},
               {{kReasonBody}},
               {{200, "busted, synced", {{kBusted}}},
                {404, "there is none such", {{kErrorSchema}}},
                {409, "it was busted already", {{kErrorSchema}}}}}});
  router.add(Method::post, "/api/v1/exchange/trades/{trade}/correct", [](HttpExchange& e) { bust(e, true); },
             {.needs = of_market_ops(Verb::alter),
              .doc = {"Correct a trade",
                      "It is busted, and what was agreed is settled in its place under a number of its own "
                      "(`trade_id`), in one entry. Fees are in proportion to the notional.",
                      {},
                      {{kAgreedBody}},
                      {{200, "corrected, synced", {{kBusted}}},
                       {404, "there is none such", {{kErrorSchema}}},
                       {409, "it was busted already, or price or quantity cannot be", {{kErrorSchema}}}}}});
}

}  // namespace

void add_correction_routes(http::HttpRouter& router) {
  using http::Method;
  add_trade_routes(router);
  router.add(
      Method::get, "/api/v1/exchange/firms/{firm}/receivables", list_receivables,
      {.needs = of_firm(Verb::read),
       .doc = {"What a firm owes",
               "For trades that were busted when it had not any more what they had brought. At most 1,000 assets: "
               "truncated says that there are more.",
               {},
               {},
               {{200, "as of what is synced", {{kReceivables}}}, {404, "no such firm", {{kErrorSchema}}}}}});
  router.add(Method::post, "/api/v1/exchange/clearings", clear_receivable,
             {.needs = of_market_ops(Verb::alter),
              .doc = {"Clear what a firm owes",
                      "Out of what one of its accounts has available; a deposit of the asset does it by itself.",
                      keyed(),
                      {{kClearBody}},
                      {{200, "moved, synced", {{kNumbered}}},
                       {404, "no such firm, account or asset", {{kErrorSchema}}},
                       {409, "it does not owe so much, or has not so much", {{kErrorSchema}}}}}});
  router.add(Method::post, "/api/v1/exchange/fee-withdrawals", withdraw_fees,
             {.needs = of_market_ops(Verb::alter),
              .doc = {"Withdraw the house's fees",
                      "Against the house's omnibus account.",
                      keyed(),
                      {{kFeesBody}},
                      {{200, "moved, synced", {{kNumbered}}},
                       {404, "no such asset", {{kErrorSchema}}},
                       {409, "there is not so much", {{kErrorSchema}}}}}});
}

}  // namespace heptane::fintech::exchange_http
