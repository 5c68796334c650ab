// Firms, their accounts, and money that comes and goes.
#include "modules/fintech/gateway/http/exchange_answers.h"
#include "modules/fintech/gateway/http/exchange_routes.h"
#include "modules/fintech/gateway/http/exchange_schemas.h"

namespace heptane::fintech::exchange_http {

namespace {

using auth::Verb;
using ledger_http::Assets;
using ledger_http::with_assets;

void put_firm(HttpExchange& exchange) {
  const auto firm = firm_of_json(std::move(exchange.request().body));
  change(exchange, exchange::kPutFirm, firm, 201,
         [name = firm ? firm->name : std::string()](JsonWriter& out, const Reply&) { out.key("name").text(name); });
}

void put_account(HttpExchange& exchange) {
  const auto account =
      account_of_json(std::move(exchange.request().body), std::string(exchange.request().param("firm")));
  change(
      exchange, exchange::kPutAccount, account, 201,
      [name = account ? account->name : std::string()](JsonWriter& out, const Reply&) { out.key("name").text(name); });
}

void list_firms(HttpExchange& exchange) {
  const Result<void> known = admin::check_parameters(exchange.request(), {"after"});
  if (!known) return exchange.respond(admin::error_response(known.error()));
  const std::string after(exchange.request().query_value("after").value_or(""));
  exchange.query(question(exchange::kQueryFirms, exchange::Page{"", after, false}),
                 [](HttpExchange& answered, const Reply& reply) {
                   if (!reply.ok()) return answered.respond(admin::refusal_response(reply));
                   const auto rows = exchange::unpacked_rows<exchange::FirmRow>(reply.payload.view());
                   if (!rows) return answered.respond(cut_off());
                   JsonWriter out;
                   out.begin_object().key("firms").begin_array();
                   for (const exchange::FirmRow& row : *rows) write(out, row);
                   out.end_array();
                   if (reply.numbers[1] != 0) out.key("next").text(rows->back().name);
                   out.end_object();
                   answered.respond(HttpResponse::json(200, out.take()));
                 });
}

void list_accounts(HttpExchange& exchange) {
  const Result<void> known = admin::check_parameters(exchange.request(), {"after"});
  if (!known) return exchange.respond(admin::error_response(known.error()));
  const exchange::Page page{std::string(exchange.request().param("firm")),
                            std::string(exchange.request().query_value("after").value_or("")), false};
  with_assets(exchange, [page](HttpExchange& ready, const Assets& assets) {
    ready.query(question(exchange::kQueryAccounts, page), [assets](HttpExchange& answered, const Reply& reply) {
      if (!reply.ok()) return answered.respond(admin::refusal_response(reply));
      const auto rows = exchange::unpacked_rows<exchange::AccountRow>(reply.payload.view());
      if (!rows) return answered.respond(cut_off());
      JsonWriter out;
      out.begin_object().key("accounts").begin_array();
      for (const exchange::AccountRow& row : *rows) write(out, row, *assets);
      out.end_array();
      if (reply.numbers[1] != 0) out.key("next").text(rows->back().name);
      out.end_object();
      answered.respond(HttpResponse::json(200, out.take()));
    });
  });
}

void show_account(HttpExchange& exchange) {
  const exchange::Page page{std::string(exchange.request().param("firm")),
                            std::string(exchange.request().param("account")), true};
  with_assets(exchange, [page](HttpExchange& ready, const Assets& assets) {
    ready.query(question(exchange::kQueryAccounts, page), [assets, page](HttpExchange& answered, const Reply& reply) {
      if (!reply.ok()) return answered.respond(admin::refusal_response(reply));
      const auto rows = exchange::unpacked_rows<exchange::AccountRow>(reply.payload.view());
      if (!rows || rows->empty())
        return answered.respond(admin::error_response({Errc::not_found, "the firm has no account " + page.after, 0}));
      JsonWriter out;
      write(out, rows->front(), *assets);
      answered.respond(HttpResponse::json(200, out.take()));
    });
  });
}

void move_cash(HttpExchange& exchange, CommandType type) {
  with_assets(exchange, [type](HttpExchange& ready, const Assets& assets) {
    const std::string_view key = ready.request().header("Idempotency-Key");
    constexpr size_t kKeyBytesMax = 256;
    if (key.size() > kKeyBytesMax)
      return ready.respond(admin::error_response(admin::invalid("Idempotency-Key is longer than 256 bytes")));
    const auto move = cash_of_json(std::move(ready.request().body), *assets);
    if (!move) return ready.respond(admin::error_response(move.error()));
    Submission submission = command(type, *move);
    if (!key.empty()) submission.idempotency = key_of("cash", key, type, submission.payload.view());
    change(ready, std::move(submission), 200,
           [](JsonWriter& out, const Reply& reply) { out.key("number").text(std::to_string(reply.numbers[0])); });
  });
}

http::RouteDoc cash_doc(std::string_view summary, std::string_view text) {
  return {summary,
          text,
          {{"Idempotency-Key", "1 to 256 bytes: a repeat within 24 hours returns the first answer", http::kTextSchema,
            http::ParameterPlace::header}},
          {{kCash}},
          {{200, "moved, synced", {{kDone}}},
           {404, "no such firm, account or asset", {{kErrorSchema}}},
           {409, "there is not so much", {{kErrorSchema}}}}};
}

}  // namespace

void add_firm_routes(http::HttpRouter& router) {
  using http::Method;
  router.add(Method::get, "/api/v1/exchange/firms", list_firms,
             {.needs = of_operators(Verb::read),
              .doc = {"Firms",
                      "In the order of their names.",
                      {{"after", "names behind this one"}},
                      {},
                      {{200, "as of what is synced", {{kFirms}}}}}});
  router.add(Method::post, "/api/v1/exchange/firms", put_firm,
             {.needs = of_operators(Verb::create),
              .doc = {"Admit a firm",
                      "Its name is what rights of traders name.",
                      {},
                      {{kNewNamed}},
                      {{201, "it is there, synced", {{kDone}}}, {409, "there is one", {{kErrorSchema}}}}}});
  router.add(
      Method::get, "/api/v1/exchange/firms/{firm}/accounts", list_accounts,
      {.needs = of_firm(Verb::read),
       .doc = {"A firm's accounts",
               "With what they hold, and their positions in instruments.",
               {{"after", "names behind this one"}},
               {},
               {{200, "as of what is synced", {{kAccounts}}}, {404, "there is no such firm", {{kErrorSchema}}}}}});
  router.add(Method::post, "/api/v1/exchange/firms/{firm}/accounts", put_account,
             {.needs = of_operators(Verb::create),
              .doc = {"Open a trading account",
                      "`fee_class` says which of an instrument's fees it pays; a class that it does not have is its "
                      "last one.",
                      {},
                      {{kNewAccount}},
                      {{201, "it is there, synced", {{kDone}}},
                       {404, "there is no such firm", {{kErrorSchema}}},
                       {409, "there is one", {{kErrorSchema}}}}}});
  router.add(
      Method::get, "/api/v1/exchange/firms/{firm}/accounts/{account}", show_account,
      {.needs = of_firm(Verb::read),
       .doc = {"One account",
               "`held` is what its open orders hold.",
               {},
               {},
               {{200, "as of what is synced", {{kAccount}}}, {404, "no such firm or account", {{kErrorSchema}}}}}});
  router.add(Method::post, "/api/v1/exchange/deposits", [](HttpExchange& e) { move_cash(e, exchange::kDeposit); },
             {.needs = of_operators(Verb::create),
              .doc = cash_doc("Credit an account", "Against the house's omnibus account.")});
  router.add(Method::post, "/api/v1/exchange/withdrawals", [](HttpExchange& e) { move_cash(e, exchange::kWithdraw); },
             {.needs = of_operators(Verb::create),
              .doc = cash_doc("Debit an account", "What is available; what open orders hold is not.")});
}

}  // namespace heptane::fintech::exchange_http
