// Rules over orders and the lists that they name: put and shown, by operators.
#include "modules/fintech/gateway/http/exchange_answers.h"
#include "modules/fintech/gateway/http/exchange_routes.h"
#include "modules/fintech/gateway/http/risk_json.h"
#include "modules/fintech/machine/exchange/risk_api.h"

namespace heptane::fintech::exchange_http {

namespace {

using auth::Verb;

constexpr std::string_view kRules =
    R"({"type":"object","required":["rules"],"additionalProperties":false,"properties":{"windows":{"type":"object",)"
    R"("additionalProperties":{"type":"object","required":["key","seconds"],"additionalProperties":false,"properties":{)"
    R"("key":{"type":"array","minItems":1,"maxItems":2,"items":{"type":"string","enum":["account","firm","instrument",)"
    R"("session"]}},"seconds":{"type":"integer","minimum":1,"maximum":2678400},"adds":{"type":"string","enum":)"
    R"(["orders","quantity","notional"],"default":"orders"},"exact":{"type":"integer","minimum":1,"maximum":1024,)"
    R"("default":256},"keys":{"type":"integer","minimum":1,"maximum":1048576,"default":65536}}}},"rules":{)"
    R"("type":"array","maxItems":128,"items":{"type":"object","required":["name","when","then"],)"
    R"("additionalProperties":false,"properties":{"name":{"type":"string"},"when":{"type":"object"},"then":{)"
    R"("type":"string","enum":["review","deny"]},"on_error":{"type":"string","enum":["allow","review","deny"],)"
    R"("default":"review"},"fuel":{"type":"integer","minimum":1,"maximum":10000,"default":1000},"review":{"type":"object","required":[)"
    R"("seconds"],"additionalProperties":false,"properties":{"seconds":{"type":"integer","minimum":1,"maximum":2678400},)"
    R"("otherwise":{"type":"string","enum":["allow","deny"],"default":"deny"}}}}}}}})";
constexpr std::string_view kShown =
    R"({"type":"object","required":["on","version","windows","memory_bytes"],"properties":{"on":{"type":"boolean"},)"
    R"("version":{"type":"integer"},"rules":{"type":"object"},"windows":{"type":"array"},"memory_bytes":{)"
    R"("type":"integer"}}})";
constexpr std::string_view kVersion =
    R"({"type":"object","required":["version"],"properties":{"version":{"type":"integer"},"position":{)"
    R"("$ref":"#/components/schemas/Position"}}})";
constexpr std::string_view kList =
    R"({"type":"object","required":["items"],"additionalProperties":false,"properties":{"items":{"type":"array",)"
    R"("maxItems":10000,"items":{"type":["string","integer"]}}}})";
constexpr std::string_view kShownList =
    R"({"type":"object","required":["name","items"],"properties":{"name":{"type":"string"},"items":{"type":"array",)"
    R"("items":{"type":["string","integer"]}}}})";
constexpr std::string_view kLists =
    R"({"type":"object","required":["lists"],"properties":{"lists":{"type":"array","items":{"type":"object",)"
    R"("required":["name","kind","items"]}}}})";

void write_version(JsonWriter& out, const Reply& reply) { out.key("version").number(reply.numbers[0]); }

void put_rules(HttpExchange& exchange) {
  exchange::RiskRulesPut put;
  put.source = exchange.request().body;
  if (put.source.size() > exchange::kRiskSourceMax)
    return exchange.respond(admin::error_response(
        {Errc::too_large, "rules are at most " + std::to_string(exchange::kRiskSourceMax) + " bytes", 0}));
  auto spec = rules_of_json(std::move(exchange.request().body));
  if (!spec) return exchange.respond(admin::error_response(spec.error()));
  put.spec = std::move(*spec);
  change(exchange, command(exchange::kPutRiskRules, put), 200, write_version);
}

void remove_rules(HttpExchange& exchange) {
  exchange::RiskRulesPut put;
  put.off = true;
  change(exchange, command(exchange::kPutRiskRules, put), 200, write_version);
}

void show_rules(HttpExchange& exchange) {
  exchange.query(QueryRequest{exchange::kExchangeMachineId, exchange::kQueryRiskRules, {}, {}},
                 [](HttpExchange& answered, const Reply& reply) {
                   if (!reply.ok()) return answered.respond(admin::refusal_response(reply));
                   const auto row = exchange::unpacked<exchange::RiskRow>(reply.payload.view());
                   if (!row) return answered.respond(cut_off());
                   JsonWriter out;
                   out.begin_object().key("on").boolean(row->on).key("version").unsigned_number(row->version);
                   if (row->on) out.key("rules").raw(row->source);
                   out.key("windows").begin_array();
                   for (const exchange::RiskWindowRow& window : row->windows) {
                     out.begin_object().key("name").text(window.name).key("keys").number(window.keys);
                     out.key("keys_max").number(window.keys_max).end_object();
                   }
                   out.end_array().key("memory_bytes").unsigned_number(row->memory_bytes).end_object();
                   answered.respond(HttpResponse::json(200, out.take()));
                 });
}

void put_list(HttpExchange& exchange) {
  auto list = list_of_json(std::move(exchange.request().body), std::string(exchange.request().param("list")));
  if (!list) return exchange.respond(admin::error_response(list.error()));
  change(exchange, command(exchange::kPutRiskList, exchange::RiskListPut{std::move(*list), false}), 200, write_version);
}

void remove_list(HttpExchange& exchange) {
  exchange::RiskListPut put;
  put.list.name = exchange.request().param("list");
  put.remove = true;
  change(exchange, command(exchange::kPutRiskList, put), 200, write_version);
}

void write_list(JsonWriter& out, const risk_rules::List& list) {
  out.begin_object().key("name").text(list.name).key("items").begin_array();
  for (const std::string& text : list.texts) out.text(text);
  for (const int64_t value : list.values) out.number(value);
  out.end_array().end_object();
}

void show_list(HttpExchange& exchange) {
  const std::string name(exchange.request().param("list"));
  exchange.query(question(exchange::kQueryRiskList, name), [](HttpExchange& answered, const Reply& reply) {
    if (!reply.ok()) return answered.respond(admin::refusal_response(reply));
    const auto list = exchange::unpacked<risk_rules::List>(reply.payload.view());
    if (!list) return answered.respond(cut_off());
    JsonWriter out;
    write_list(out, *list);
    answered.respond(HttpResponse::json(200, out.take()));
  });
}

void show_lists(HttpExchange& exchange) {
  exchange.query(QueryRequest{exchange::kExchangeMachineId, exchange::kQueryRiskLists, {}, {}},
                 [](HttpExchange& answered, const Reply& reply) {
                   if (!reply.ok()) return answered.respond(admin::refusal_response(reply));
                   const auto rows = exchange::unpacked_rows<exchange::RiskListRow>(reply.payload.view());
                   if (!rows) return answered.respond(cut_off());
                   JsonWriter out;
                   out.begin_object().key("lists").begin_array();
                   for (const exchange::RiskListRow& row : *rows) {
                     out.begin_object().key("name").text(row.name).key("kind").text(row.numbers ? "numbers" : "texts");
                     out.key("items").unsigned_number(row.items).end_object();
                   }
                   out.end_array().end_object();
                   answered.respond(HttpResponse::json(200, out.take()));
                 });
}

void add_list_routes(http::HttpRouter& router) {
  using http::Method;
  constexpr std::string_view kOne = "/api/v1/exchange/risk-lists/{list}";
  router.add(Method::get, "/api/v1/exchange/risk-lists", show_lists,
             {.needs = of_operators(Verb::read),
              .doc = {"Lists that rules name", "", {}, {}, {{200, "as of what is synced", {{kLists}}}}}});
  router.add(Method::get, kOne, show_list,
             {.needs = of_operators(Verb::read),
              .doc = {"One list",
                      "",
                      {},
                      {},
                      {{200, "as of what is synced", {{kShownList}}}, {404, "there is none", {{kErrorSchema}}}}}});
  router.add(Method::put, kOne, put_list,
             {.needs = of_operators(Verb::alter),
              .doc = {"Put a list, or replace it whole",
                      "Texts, or whole numbers, at most 10,000; rules judge by it from the next order on.",
                      {},
                      {{kList}},
                      {{200, "in force, synced", {{kVersion}}},
                       {400, "what is wrong with it", {{kErrorSchema}}},
                       {409, "rules name it as one of the other kind", {{kErrorSchema}}}}}});
  router.add(Method::del, kOne, remove_list,
             {.needs = of_operators(Verb::alter),
              .doc = {"Remove a list",
                      "",
                      {},
                      {},
                      {{200, "gone, synced", {{kVersion}}},
                       {404, "there is none", {{kErrorSchema}}},
                       {409, "rules name it", {{kErrorSchema}}}}}});
}

}  // namespace

void add_risk_routes(http::HttpRouter& router) {
  using http::Method;
  constexpr std::string_view kPath = "/api/v1/exchange/risk-rules";
  router.add(Method::get, kPath, show_rules,
             {.needs = of_operators(Verb::read),
              .doc = {"Risk rules in force",
                      "As they were put, their version, how many keys each window counts now, the memory of all.",
                      {},
                      {},
                      {{200, "as of what is synced", {{kShown}}}}}});
  router.add(Method::put, kPath, put_rules,
             {.needs = of_operators(Verb::alter),
              .doc = {"Put risk rules in place of those in force",
                      "Judged for every order before it is matched; `fintech.risk` has what they said of each. What "
                      "is wrong is named with its path. Windows that stay as they were go on with what they counted.",
                      {},
                      {{kRules}},
                      {{200, "in force, synced", {{kVersion}}}, {400, "what is wrong, and where", {{kErrorSchema}}}}}});
  router.add(Method::del, kPath, remove_rules,
             {.needs = of_operators(Verb::alter),
              .doc = {"Judge orders by no rules",
                      "What windows counted is forgotten.",
                      {},
                      {},
                      {{200, "off, synced", {{kVersion}}}}}});
  add_list_routes(router);
  add_review_routes(router);
}

}  // namespace heptane::fintech::exchange_http
