// Orders of a firm: new, replace, cancel, mass cancel, and how they stand.
#include "modules/fintech/domain/ledger/amount.h"
#include "modules/fintech/gateway/http/exchange_answers.h"
#include "modules/fintech/gateway/http/exchange_routes.h"
#include "modules/fintech/gateway/http/exchange_schemas.h"
#include "modules/fintech/gateway/http/order_answers.h"
#include "modules/fintech/gateway/http/order_socket.h"

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

// A command of the machine that answers with the order.
void order_command(HttpExchange& exchange, Submission submission, const std::string& firm, int status) {
  const bool keyed = submission.idempotency.has_value();
  exchange.submit(std::move(submission), [firm, status, keyed](HttpExchange& answered, const Reply& made) {
    if (auto response = order_answer(made, status, keyed)) return answered.respond(std::move(*response));
    answered.query(repeat_question(firm, made),
                   [made](HttpExchange& last, const Reply& now) { last.respond(repeat_answer(made, now)); });
  });
}

void new_order(HttpExchange& exchange) {
  const std::string firm = firm_of(exchange);
  const auto order = order_of_json(std::move(exchange.request().body), firm);
  if (!order) return exchange.respond(admin::error_response(order.error()));
  Submission submission = command(exchange::kNewOrder, *order);
  submission.idempotency = order_key(exchange.context().utc_ns(), firm, order->client_id, submission);
  order_command(exchange, std::move(submission), firm, 201);
}

void replace_order(HttpExchange& exchange) {
  const std::string firm = firm_of(exchange);
  const Result<uint64_t> number = order_number(exchange);
  if (!number) return exchange.respond(admin::error_response(number.error()));
  const auto asked = replace_of_json(std::move(exchange.request().body), firm, *number);
  if (!asked) return exchange.respond(admin::error_response(asked.error()));
  Submission submission = command(exchange::kReplaceOrder, *asked);
  submission.idempotency = order_key(exchange.context().utc_ns(), firm, asked->client_id, submission);
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

// Orders over a WebSocket. What its messages do is asked of the rights that there are then.
void open_socket(HttpExchange& exchange) {
  const Result<void> known = admin::check_parameters(exchange.request(), {});
  if (!known) return exchange.respond(admin::error_response(known.error()));
  const std::string firm = firm_of(exchange);
  const auto may = [&](Verb verb) { return exchange.standing("exchange", firm, verb); };
  http::WebSocketOptions options;
  options.limits.message_bytes = OrderSocket::kInputBytes;
  exchange.upgrade(std::make_unique<OrderSocket>(
                       firm, exchange.identity().principal,
                       OrderSocket::Rights{may(Verb::read), may(Verb::create), may(Verb::alter), may(Verb::remove)}),
                   options);
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
               "OrdRejReason(103). One that a risk rule holds for a review is `in_review`: it is held for, and in no "
               "book yet.",
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
  router.add(
      Method::get, "/api/v1/exchange/firms/{firm}/trading", open_socket,
      {.needs = of_firm(Verb::read),
       .doc = {
           "Orders and their reports over a WebSocket (RFC 6455)",
           "Text messages of JSON: `{\"op\":\"place\",\"id\":1,\"order\":{..}}`, `replace` and `cancel` with "
           "`order_id`, with the bodies of the routes above; each is answered by `{\"type\":\"answer\",\"id\":1,"
           "\"status\":201,\"body\":{..}}`, status and body as over HTTP, in any order. `{\"op\":\"reports\","
           "\"id\":2,\"from\":0}`: the records of `fintech.orders` that are of the firm, from an offset on or from "
           "now; each as `{\"type\":\"report\",\"offset\":7,\"record\":{..}}`. 64 requests wait for their answers at "
           "a time, then nothing is read. Closed with 4403 when the client lost the right to read, 1013 when it "
           "takes nothing for 20 seconds.",
           {},
           {},
           {{101, "the connection is a WebSocket", {}},
            {426, "this needs the opening handshake of a WebSocket", {{kErrorSchema}}}}}});
}

}  // namespace heptane::fintech::exchange_http
