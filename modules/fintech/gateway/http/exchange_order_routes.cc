// Orders of a firm: new, replace, cancel, mass cancel, and how they stand.
#include "modules/fintech/domain/ledger/amount.h"
#include "modules/fintech/gateway/http/exchange_answers.h"
#include "modules/fintech/gateway/http/exchange_routes.h"
#include "modules/fintech/gateway/http/exchange_schemas.h"
#include "modules/fintech/machine/exchange/risk_api.h"

namespace heptane::fintech::exchange_http {

namespace {

using auth::Verb;

std::string firm_of(HttpExchange& exchange) { return std::string(exchange.request().param("firm")); }

Result<uint64_t> order_number(HttpExchange& exchange) {
  const std::optional<Uint128> number = parse_number(exchange.request().param("order"));
  if (!number || *number == 0 || *number > UINT64_MAX)
    return Error{Errc::not_found, "an order is named by its number, as order_id says it"};
  return static_cast<uint64_t>(*number);
}

HttpResponse order_response(int status, const exchange::OrderRow& row, const Reply* made) {
  JsonWriter out;
  out.begin_object();
  write_members(out, row);
  if (made != nullptr) write_position(out, *made);
  out.end_object();
  return HttpResponse::json(status, out.take());
}

// A repeat's order as it stands now: its first answer is not kept.
void answer_repeat(HttpExchange& exchange, const std::string& firm, const Reply& made) {
  const auto id = static_cast<uint64_t>(made.numbers[0]);
  exchange.query(question(exchange::kQueryOrder, exchange::OrderQuery{firm, id, ""}), [id, made](HttpExchange& answered,
                                                                                                 const Reply& reply) {
    const auto row = reply.ok() ? exchange::unpacked<exchange::OrderRow>(reply.payload.view()) : std::nullopt;
    if (row) return answered.respond(order_response(200, *row, &made));
    JsonWriter out;
    out.begin_object().key("order_id").text(std::to_string(id));
    write_position(out, made);
    out.end_object();
    answered.respond(HttpResponse::json(200, out.take()));
  });
}

// Rules did not let the order through: its command is kept, and says no again where it is repeated.
HttpResponse ruled_out(const Reply& reply) {
  const auto refused = exchange::unpacked<exchange::RiskRefused>(reply.payload.view());
  Reply said = reply;
  said.error = Errc::refused;
  said.detail = refused && !reply.repeated ? refused->detail
                                           : exchange::kFixReason + static_cast<uint32_t>(exchange::Rejected::other);
  said.message = refused && !reply.repeated
                     ? refused->text
                     : "version " + std::to_string(reply.numbers[1]) +
                           " of the risk rules did not let it through: another try is another ClOrdID";
  return admin::refusal_response(said);
}

// A command of the machine that answers with the order.
void order_command(HttpExchange& exchange, Submission submission, const std::string& firm, int status) {
  const bool keyed = submission.idempotency.has_value();
  exchange.submit(std::move(submission), [firm, status, keyed](HttpExchange& answered, const Reply& reply) {
    if (keyed && reply.error == Errc::invalid_argument && reply.detail == 0)
      return answered.respond(HttpResponse::error(409, "exists", "the ClOrdID was used by another request"));
    if (!reply.ok()) return answered.respond(admin::refusal_response(reply));
    if (reply.numbers[0] == 0) return answered.respond(ruled_out(reply));
    const auto row = exchange::unpacked<exchange::OrderRow>(reply.payload.view());
    if (!row || reply.repeated) return answer_repeat(answered, firm, reply);
    answered.respond(order_response(status, *row, &reply));
  });
}

// A ClOrdID is its firm's once a trade date: the next day's is another order. The date is this server's; when the log's is another
// one by then, the machine refuses a ClOrdID that was used, and enters nothing twice on one trade date.
IdempotencyKey order_key(HttpExchange& exchange, const std::string& firm, const std::string& client_id,
                         const Submission& submission) {
  const int64_t date = exchange::trade_date(exchange.context().utc_ns());
  return key_of("order", std::to_string(date) + '\n' + firm + '\n' + client_id, submission.type,
                submission.payload.view());
}

void new_order(HttpExchange& exchange) {
  const std::string firm = firm_of(exchange);
  const auto order = order_of_json(std::move(exchange.request().body), firm);
  if (!order) return exchange.respond(admin::error_response(order.error()));
  Submission submission = command(exchange::kNewOrder, *order);
  submission.idempotency = order_key(exchange, firm, order->client_id, submission);
  order_command(exchange, std::move(submission), firm, 201);
}

void replace_order(HttpExchange& exchange) {
  const std::string firm = firm_of(exchange);
  const Result<uint64_t> number = order_number(exchange);
  if (!number) return exchange.respond(admin::error_response(number.error()));
  const auto asked = replace_of_json(std::move(exchange.request().body), firm, *number);
  if (!asked) return exchange.respond(admin::error_response(asked.error()));
  Submission submission = command(exchange::kReplaceOrder, *asked);
  submission.idempotency = order_key(exchange, firm, asked->client_id, submission);
  order_command(exchange, std::move(submission), firm, 200);
}

void cancel_order(HttpExchange& exchange) {
  const std::string firm = firm_of(exchange);
  const Result<uint64_t> number = order_number(exchange);
  if (!number) return exchange.respond(admin::error_response(number.error()));
  order_command(exchange, command(exchange::kCancelOrder, exchange::CancelOrder{firm, *number, ""}), firm, 200);
}

void mass_cancel(HttpExchange& exchange) {
  change(exchange, exchange::kMassCancel, mass_cancel_of_json(std::move(exchange.request().body), firm_of(exchange)),
         200, [](JsonWriter& out, const Reply& reply) {
           out.key("mass_cancel").text(std::to_string(reply.numbers[0]));
           out.key("cancelled_by_now").number(reply.numbers[1]);
         });
}

void show_by(HttpExchange& exchange, const exchange::OrderQuery& asked, bool in_list) {
  exchange.query(question(exchange::kQueryOrder, asked), [in_list](HttpExchange& answered, const Reply& reply) {
    if (!reply.ok()) return answered.respond(admin::refusal_response(reply));
    const auto row = exchange::unpacked<exchange::OrderRow>(reply.payload.view());
    if (!row) return answered.respond(cut_off());
    if (!in_list) return answered.respond(order_response(200, *row, nullptr));
    JsonWriter out;
    out.begin_object().key("orders").begin_array().begin_object();
    write_members(out, *row);
    out.end_object().end_array().end_object();
    answered.respond(HttpResponse::json(200, out.take()));
  });
}

void show_order(HttpExchange& exchange) {
  const Result<uint64_t> number = order_number(exchange);
  if (!number) return exchange.respond(admin::error_response(number.error()));
  show_by(exchange, {firm_of(exchange), *number, ""}, false);
}

// `ACCOUNT-ORDER`, both numbers, as the page before said.
bool parse_page(std::string_view text, exchange::OrdersQuery& query) {
  const size_t dash = text.find('-');
  if (dash == std::string_view::npos) return false;
  const auto account = parse_number(text.substr(0, dash));
  const auto order = parse_number(text.substr(dash + 1));
  if (!account || !order || *account > UINT32_MAX || *order > UINT64_MAX) return false;
  query.after_account = static_cast<uint64_t>(*account);
  query.after_order = static_cast<uint64_t>(*order);
  return true;
}

void answer_orders(HttpExchange& answered, const Reply& reply) {
  if (!reply.ok()) return answered.respond(admin::refusal_response(reply));
  exchange::Unpacker in(reply.payload.view());
  JsonWriter out;
  out.begin_object().key("orders").begin_array();
  for (int64_t n = 0; n < reply.numbers[0] && !in.failed(); ++n) {
    exchange::OrderRow row;
    in(row);
    out.begin_object();
    write_members(out, row);
    out.end_object();
  }
  uint32_t account = 0;
  uint64_t order = 0;
  in(account, order);
  if (!in.complete()) return answered.respond(cut_off());
  out.end_array();
  if (reply.numbers[1] != 0) out.key("next").text(std::to_string(account) + '-' + std::to_string(order));
  out.end_object();
  answered.respond(HttpResponse::json(200, out.take()));
}

void list_orders(HttpExchange& exchange) {
  const http::HttpRequest& request = exchange.request();
  const Result<void> known = admin::check_parameters(request, {"account", "page", "cl_ord_id"}, {"page", "cl_ord_id"});
  if (!known) return exchange.respond(admin::error_response(known.error()));
  if (const auto client_id = request.query_value("cl_ord_id"))
    return show_by(exchange, {firm_of(exchange), 0, std::string(*client_id)}, true);
  exchange::OrdersQuery query;
  query.firm = firm_of(exchange);
  query.account = request.query_value("account").value_or("");
  if (const auto page = request.query_value("page"); page && !parse_page(*page, query))
    return exchange.respond(admin::error_response(admin::invalid("page is `next` of the page before")));
  exchange.query(question(exchange::kQueryOrders, query), answer_orders);
}

}  // namespace

void add_order_routes(http::HttpRouter& router) {
  using http::Method;
  constexpr std::string_view kMany = "/api/v1/exchange/firms/{firm}/orders";
  constexpr std::string_view kOne = "/api/v1/exchange/firms/{firm}/orders/{order}";
  router.add(
      Method::post, kMany, new_order,
      {.needs = of_firm(Verb::create),
       .doc = {"Enter an order",
               "Judged, held for, matched and settled in one entry: the answer says how it stands after that. "
               "`cl_ord_id` is the idempotency key of the UTC day: the same request again on that day enters nothing "
               "and says how the order stands; on the next day it is a new order. `error.detail` - 1000 is FIX's "
               "OrdRejReason(103).",
               {},
               {{kNewOrder}},
               {{201, "accepted, synced", {{kOrder}}},
                {200, "a repeat: as it stands now", {{kOrder}}},
                {404, "no such account or instrument", {{kErrorSchema}}},
                {409, "refused: the limit, its value and the order's", {{kErrorSchema}}}}}});
  router.add(
      Method::get, kMany, list_orders,
      {.needs = of_firm(Verb::read),
       .doc = {
           "Open orders of a firm",
           "By account and number, 200 a page; with `cl_ord_id` the one of this name, open or of the day.",
           {{"account", "only of this account"}, {"page", "`next` of the page before"}, {"cl_ord_id", "only this one"}},
           {},
           {{200, "as of what is synced", {{kOrders}}}, {404, "there is none such", {{kErrorSchema}}}}}});
  router.add(Method::get, kOne, show_order,
             {.needs = of_firm(Verb::read),
              .doc = {"One order",
                      "Open, or one of the 65,536 that ended last; `fintech.orders` has all.",
                      {},
                      {},
                      {{200, "as of what is synced", {{kOrder}}}, {404, "there is none such", {{kErrorSchema}}}}}});
  router.add(
      Method::put, kOne, replace_order,
      {.needs = of_firm(Verb::alter),
       .doc = {"Replace an order",
               "`quantity` is the total with what is filled; not more than that ends it. A smaller quantity alone "
               "keeps the place in the queue. Without `display` what is shown stays. What it holds is adjusted in the "
               "same entry, or it is refused "
               "whole. `cl_ord_id` is the new one and the idempotency key.",
               {},
               {{kReplace}},
               {{200, "replaced, synced", {{kOrder}}},
                {404, "there is none such", {{kErrorSchema}}},
                {409, "too late, or refused", {{kErrorSchema}}}}}});
  router.add(Method::del, kOne, cancel_order,
             {.needs = of_firm(Verb::remove),
              .doc = {"Cancel an order",
                      "What it holds is available again.",
                      {},
                      {},
                      {{200, "cancelled, synced", {{kOrder}}},
                       {404, "there is none such", {{kErrorSchema}}},
                       {409, "it is at its end", {{kErrorSchema}}}}}});
  router.add(
      Method::post, "/api/v1/exchange/firms/{firm}/mass-cancel", mass_cancel,
      {.needs = of_firm(Verb::remove),
       .doc = {"Cancel open orders",
               "All of the firm, or of an account, an instrument, a side; those that are there now. More than 500 "
               "are cancelled in pieces: `fintech.risk` tells its end and how many they were.",
               {},
               {{kMassCancel}},
               {{200, "begun, synced", {{kDone}}}, {404, "no such firm, account or instrument", {{kErrorSchema}}}}}});
}

}  // namespace heptane::fintech::exchange_http
