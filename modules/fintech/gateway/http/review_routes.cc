// Orders that wait for a review: shown and decided, by operators.
#include "modules/fintech/gateway/http/exchange_answers.h"
#include "modules/fintech/gateway/http/exchange_json.h"
#include "modules/fintech/gateway/http/exchange_routes.h"
#include "modules/fintech/gateway/http/exchange_schemas.h"
#include "modules/fintech/machine/exchange/reviews_api.h"

namespace heptane::fintech::exchange_http {

namespace {

using auth::Verb;

constexpr int64_t kNsOfMs = 1'000'000;
constexpr std::string_view kReviews =
    R"({"type":"object","required":["reviews"],"additionalProperties":false,"properties":{"reviews":{"type":"array",)"
    R"("items":{"type":"object","required":["order_id","cl_ord_id","firm","account","symbol","rule","why",)"
    R"("rules_version","deadline_ms","otherwise"]}},"next":{"type":"string"}}})";
constexpr std::string_view kDecision =
    R"({"type":"object","required":["decision","reason"],"additionalProperties":false,"properties":{"decision":{)"
    R"("type":"string","enum":["allow","deny"]},"reason":{"type":"string","minLength":1,"maxLength":256}}})";

std::optional<uint64_t> order_of(std::string_view text) {
  const std::optional<Uint128> number = parse_number(text);
  if (!number || *number > UINT64_MAX) return std::nullopt;
  return static_cast<uint64_t>(*number);
}

void write(JsonWriter& out, const exchange::ReviewRow& row) {
  out.begin_object();
  write_members(out, row.order);
  out.key("rule").text(row.rule).key("why").text(row.why).key("rules_version").unsigned_number(row.version);
  out.key("deadline_ms").number(row.deadline / kNsOfMs).key("otherwise").text(row.allows ? "allow" : "deny");
  out.end_object();
}

void list_reviews(HttpExchange& exchange) {
  const http::HttpRequest& request = exchange.request();
  const Result<void> known = admin::check_parameters(request, {"after"});
  if (!known) return exchange.respond(admin::error_response(known.error()));
  const std::optional<uint64_t> after = order_of(request.query_value("after").value_or("0"));
  if (!after) return exchange.respond(admin::error_response(admin::invalid("after is `next` of the page before")));
  exchange.query(question(exchange::kQueryReviews, *after), [](HttpExchange& answered, const Reply& reply) {
    if (!reply.ok()) return answered.respond(admin::refusal_response(reply));
    const auto rows = exchange::unpacked_rows<exchange::ReviewRow>(reply.payload.view());
    if (!rows) return answered.respond(cut_off());
    JsonWriter out;
    out.begin_object().key("reviews").begin_array();
    for (const exchange::ReviewRow& row : *rows) write(out, row);
    out.end_array();
    if (reply.numbers[1] != 0 && !rows->empty()) out.key("next").text(std::to_string(rows->back().order.order.id));
    out.end_object();
    answered.respond(HttpResponse::json(200, out.take()));
  });
}

void decide(HttpExchange& exchange) {
  const std::optional<uint64_t> order = order_of(exchange.request().param("order"));
  if (!order)
    return exchange.respond(admin::error_response({Errc::not_found, "an order is named by its number, order_id", 0}));
  const auto decision = object_of<exchange::ReviewDecision>(
      std::move(exchange.request().body), [&](http::JsonFields& fields, exchange::ReviewDecision& made) {
        made.order_id = *order;
        const std::string_view said = fields.text("decision");
        made.allow = said == "allow";
        if (!made.allow && said != "deny") fields.fail("decision is allow or deny");
        made.reason = fields.text("reason");
      });
  if (!decision) return exchange.respond(admin::error_response(decision.error()));
  exchange.submit(command(exchange::kDecideReview, *decision), [](HttpExchange& answered, const Reply& reply) {
    if (!reply.ok()) return answered.respond(admin::refusal_response(reply));
    const auto row = exchange::unpacked<exchange::OrderRow>(reply.payload.view());
    if (!row) return answered.respond(cut_off());
    JsonWriter out;
    out.begin_object();
    write_members(out, *row);
    write_position(out, reply);
    out.end_object();
    answered.respond(HttpResponse::json(200, out.take()));
  });
}

}  // namespace

void add_review_routes(http::HttpRouter& router) {
  using http::Method;
  router.add(Method::get, "/api/v1/exchange/reviews", list_reviews,
             {.needs = of_operators(Verb::read),
              .doc = {"Orders that wait for a review",
                      "By number, 200 a page: what rule holds each and why, when its time is over and what is decided "
                      "then.",
                      {{"after", "`next` of the page before"}},
                      {},
                      {{200, "as of what is synced", {{kReviews}}}}}});
  router.add(Method::post, "/api/v1/exchange/reviews/{order}", decide,
             {.needs = of_operators(Verb::alter),
              .doc = {"Allow or deny an order that waits for a review",
                      "Allowed it is entered now, behind what is in its book; denied it is refused, and what it holds "
                      "is available again. In the audit trail and `fintech.risk`, with the reason.",
                      {},
                      {{kDecision}},
                      {{200, "decided, synced: how the order stands", {{kOrder}}},
                       {404, "no such order waits", {{kErrorSchema}}},
                       {409, "what stands in the way of entering it now; it waits on", {{kErrorSchema}}}}}});
}

}  // namespace heptane::fintech::exchange_http
