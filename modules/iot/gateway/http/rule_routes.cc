#include "modules/iot/gateway/http/rule_routes.h"

#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include "kernel/admin/answers.h"
#include "kernel/admin/request_parameters.h"
#include "kernel/admin/stored_records.h"
#include "kernel/net/http/exchange.h"
#include "kernel/net/http/guard.h"
#include "kernel/streams/api.h"
#include "modules/iot/gateway/http/rule_json.h"
#include "modules/iot/gateway/rules/captured_stream.h"
#include "modules/iot/gateway/rules/http_target.h"
#include "modules/iot/gateway/rules/rule_settings.h"
#include "modules/iot/machine/stream_api.h"

namespace heptane::iot::rules {

namespace {

using admin::error_response;
using admin::refusal_response;
using auth::Verb;
using http::HttpExchange;
using http::HttpResponse;
using http::JsonFields;
using http::JsonWriter;

http::Needs needs(Verb verb) { return {"admin", "rules", verb, false, false}; }

Submission rules_command(CommandType type, Buffer payload) {
  return streams::make_command(kRulesMachineId, type, std::move(payload));
}

QueryRequest rules_query(std::string_view name, bool alone) {
  return {kRulesMachineId, kQueryRules, encode_rules_query(name, alone), {}};
}

HttpResponse done(int status, std::string_view name, const Reply& reply) {
  JsonWriter out;
  out.begin_object().key("name").text(name);
  if (!reply.repeated) out.key("position").text(position_text(0, reply.sequence));
  out.end_object();
  return HttpResponse::json(status, out.take());
}

bool may(HttpExchange& exchange, std::string_view module, std::string_view resource, Verb verb) {
  if (exchange.allowed(module, resource, verb)) return true;
  exchange.respond(http::forbidden(exchange.identity().name, module, resource, verb));
  return false;
}

// What the rule does in its own name, the one who declares, replaces or stops it may do.
bool may_act(HttpExchange& exchange, const RuleDefinition& rule) {
  if (rule.transfer && !may(exchange, "ledger", "transfers", Verb::create)) return false;
  if (rule.order && !may(exchange, "exchange", rule.order->firm, Verb::create)) return false;
  if (rule.append && !may(exchange, "streams", rule.append->stream, Verb::write)) return false;
  if (rule.series && !may(exchange, "admin", "series/" + rule.series->database, Verb::write)) return false;
  const auto target = rule.http ? parse_http_url(rule.http->url) : Result<HttpTarget>(HttpTarget{});
  if (rule.http && target && !may(exchange, "admin", "http:" + target->resource(), Verb::write)) return false;
  if (rule.shadow && !may(exchange, "admin", "devices", Verb::write)) return false;
  return !rule.publish || may(exchange, "mqtt", "#", Verb::write);
}

bool may_read(HttpExchange& exchange, const WantedRule& wanted) {
  if (wanted.filter.empty()) return may(exchange, "streams", wanted.rule.source, Verb::read);
  return may(exchange, "mqtt", wanted.filter, Verb::read);
}

using OnRule = std::function<void(HttpExchange&, const std::optional<RuleRow>&)>;

void find_rule(HttpExchange& exchange, const std::string& name, OnRule then) {
  exchange.query(rules_query(name, true), [then = std::move(then)](HttpExchange& answered, const Reply& reply) {
    if (!reply.ok()) return answered.respond(refusal_response(reply));
    auto rows = decode_rows(reply.payload.view());
    if (!rows) return answered.respond(error_response({Errc::corrupt, "a rule is cut off", 0}));
    then(answered, rows->empty() ? std::nullopt : std::optional(std::move(rows->front())));
  });
}

// To declare: a rule, and before it the stream over topics that it reads.
struct Put {
  WantedRule wanted;
  bool may_change = false;  // a rule that is there was looked at
  std::optional<StreamChange> change{};
};

// No stream stays as a refused rule wanted it.
void take_back(HttpExchange& exchange, const Put& put, const Reply& refused) {
  if (!put.change) return exchange.respond(refusal_response(refused));
  exchange.submit(put.change->undo(),
                  [refused](HttpExchange& answered, const Reply&) { answered.respond(refusal_response(refused)); });
}

void put_rule(HttpExchange& exchange, const Put& put) {
  exchange.submit(rules_command(kPutRule, encode_put(put.wanted.rule, put.may_change)),
                  [put](HttpExchange& answered, const Reply& reply) {
                    if (!reply.ok()) return take_back(answered, put, reply);
                    const bool made = !reply.repeated && reply.numbers[1] == 1;
                    answered.respond(done(made ? 201 : 200, put.wanted.rule.name, reply));
                  });
}

void put_stream(HttpExchange& exchange, const Put& put) {
  if (!put.change) {
    if (may(exchange, "streams", put.wanted.rule.source, Verb::read)) put_rule(exchange, put);
    return;
  }
  const Verb verb = put.change->makes() ? Verb::create : Verb::alter;
  if (!may(exchange, "streams", put.wanted.rule.source, verb)) return;
  exchange.submit(put.change->todo(), [put](HttpExchange& answered, const Reply& reply) {
    if (!reply.ok()) return answered.respond(refusal_response(reply));
    put_rule(answered, put);
  });
}

void declare(HttpExchange& exchange, const Put& put) {
  if (put.wanted.filter.empty()) return put_rule(exchange, put);
  exchange.query({kBrokerMachineId, kQueryDeclared, {}, {}}, [put](HttpExchange& answered, const Reply& reply) {
    if (!reply.ok()) return answered.respond(refusal_response(reply));
    auto change = stream_change(put.wanted.rule.source, put.wanted.filter, reply.payload.view());
    if (!change) return answered.respond(error_response(change.error()));
    Put known = put;
    known.change = std::move(*change);
    put_stream(answered, known);
  });
}

// No stream is made for a rule that has nothing to append to.
void declare_where_it_appends(HttpExchange& exchange, const Put& put) {
  if (!put.wanted.rule.append) return declare(exchange, put);
  admin::find_partition(exchange, put.wanted.rule.append->stream, 0,
                        [put](HttpExchange& found, const streams::PartitionInfo&) { declare(found, put); });
}

void put(HttpExchange& exchange) {
  const std::string name(exchange.request().param("name"));
  Result<RuleDefinition> said = rule_of_json(std::move(exchange.request().body), name);
  if (!said) return exchange.respond(error_response(said.error()));
  Result<WantedRule> wanted = wanted_rule(std::move(*said));
  if (!wanted) return exchange.respond(error_response(wanted.error()));
  if (!may_read(exchange, *wanted) || !may_act(exchange, wanted->rule)) return;
  find_rule(exchange, name, [wanted = *wanted](HttpExchange& found, const std::optional<RuleRow>& there) {
    if (there && !may_act(found, there->definition)) return;
    declare_where_it_appends(found, {wanted, there.has_value()});
  });
}

void command_of_name(HttpExchange& exchange, CommandType type) {
  const std::string name(exchange.request().param("name"));
  if (!valid_rule_name(name)) return exchange.respond(error_response({Errc::not_found, "there is no such rule", 0}));
  find_rule(exchange, name, [name, type](HttpExchange& found, const std::optional<RuleRow>& there) {
    if (there && !may_act(found, there->definition)) return;
    Buffer payload = type == kPauseRule ? encode_pause(name, 0, "") : Buffer::copy_of(name);
    found.submit(rules_command(type, std::move(payload)), [name](HttpExchange& answered, const Reply& reply) {
      if (!reply.ok()) return answered.respond(refusal_response(reply));
      answered.respond(done(200, name, reply));
    });
  });
}

void drop(HttpExchange& exchange) { command_of_name(exchange, kDropRule); }
void pause(HttpExchange& exchange) { command_of_name(exchange, kPauseRule); }
void resume(HttpExchange& exchange) { command_of_name(exchange, kResumeRule); }

// To look.

void list(HttpExchange& exchange) {
  const Result<void> known = admin::check_parameters(exchange.request(), {"after"});
  if (!known) return exchange.respond(error_response(known.error()));
  const std::string after(exchange.request().query_value("after").value_or(""));
  if (!after.empty() && !valid_rule_name(after))
    return exchange.respond(error_response(admin::invalid("after is a rule's name")));
  exchange.query(rules_query(after, false), [](HttpExchange& answered, const Reply& reply) {
    if (!reply.ok()) return answered.respond(refusal_response(reply));
    const auto rows = decode_rows(reply.payload.view());
    if (!rows) return answered.respond(error_response({Errc::corrupt, "a page of rules is cut off", 0}));
    JsonWriter out;
    out.begin_object().key("rules").begin_array();
    for (const RuleRow& row : *rows) {
      begin_rule(out, row);
      out.end_object();
    }
    out.end_array();
    if (reply.numbers[1] != 0 && !rows->empty()) out.key("next").text(rows->back().definition.name);
    out.end_object();
    answered.respond(HttpResponse::json(200, out.take()));
  });
}

// A partition that the rule has not begun waits whole.
void write_windows(JsonWriter& out, const WindowPlace& place) {
  out.key("windows_from").number(place.restart_at);
  if (place.watermark_ms != kBeforeAllMs) out.key("watermark_ms").number(place.watermark_ms);
}

void write_partitions(JsonWriter& out, const RuleRow& row, const std::vector<streams::StreamInfo>& infos) {
  out.key("partitions").begin_array();
  const size_t count = infos.empty() ? 0 : infos.front().partitions.size();
  for (uint32_t index = 0; index < count; ++index) {
    const streams::PartitionInfo& partition = infos.front().partitions[index];
    const auto cursor = row.cursors.find(index);
    const bool begun = cursor != row.cursors.end() && cursor->second.partition == partition.id;
    const Offset next = begun ? cursor->second.next : partition.log_start;
    out.begin_object().key("partition").number(index).key("position").number(next);
    out.key("end").number(partition.durable_end).key("lag").number(std::max<Offset>(0, partition.durable_end - next));
    if (begun && cursor->second.window) write_windows(out, *cursor->second.window);
    out.end_object();
  }
  out.end_array();
}

void show(HttpExchange& exchange) {
  const std::string name(exchange.request().param("name"));
  if (!valid_rule_name(name)) return exchange.respond(error_response({Errc::not_found, "there is no such rule", 0}));
  exchange.query(rules_query(name, true), [name](HttpExchange& answered, const Reply& reply) {
    if (!reply.ok()) return answered.respond(refusal_response(reply));
    auto rows = decode_rows(reply.payload.view());
    if (!rows || rows->empty())
      return answered.respond(error_response({Errc::not_found, "there is no rule " + name, 0}));
    QueryRequest described{machine_ids::kStreams,
                           streams::kDescribe,
                           streams::encode(streams::DescribeQuery{false, {rows->front().definition.source}}),
                           {}};
    answered.query(std::move(described),
                   [row = std::move(rows->front())](HttpExchange& last, const Reply& streams_reply) {
                     if (!streams_reply.ok()) return last.respond(refusal_response(streams_reply));
                     const auto infos = streams::decode_stream_infos(streams_reply.payload.view());
                     if (!infos) return last.respond(error_response(infos.error()));
                     JsonWriter out;
                     begin_rule(out, row);
                     write_partitions(out, row, *infos);
                     out.end_object();
                     last.respond(HttpResponse::json(200, out.take()));
                   });
  });
}

// A dry run: nothing is kept, nothing is asked of the log.
Result<std::string> tried(std::string body, int64_t now_ms) {
  auto document = http::JsonDocument::parse(std::move(body));
  if (!document) return document.error();
  JsonFields fields((*document)->root(), "");
  const std::string name(fields.text_or("name", "test"));
  RuleDefinition rule = read_rule(fields, name);
  const std::string topic(fields.text_or("topic", ""));
  const std::string payload(fields.text("payload"));
  const int64_t timestamp_ms = fields.integer_or("timestamp_ms", now_ms, 0, INT64_MAX);
  HEPTANE_TRY(fields.finish());
  if (!rule.lua.empty()) return Error{Errc::invalid_argument, "lua: a dry run runs none"};
  // Of SQL alone: what it selects.
  const bool acts =
      rule.transfer || rule.order || rule.append || rule.publish || rule.shadow || rule.http || rule.series;
  if (!acts) rule.publish = PublishAction{"'test'"};
  HEPTANE_TRY(check_rule(rule));
  const Result<CompiledRule> compiled = CompiledRule::compile(rule);
  if (!compiled) return compiled.error();
  Trial trial = compiled->try_on(topic, payload, timestamp_ms, 0);
  if (!acts) {
    rule.publish.reset();
    trial.topic.clear();
  }
  JsonWriter out;
  write_trial(out, rule, trial);
  return out.take();
}

void test(HttpExchange& exchange) {
  constexpr int64_t kNsPerMs = 1'000'000;
  Result<std::string> answer = tried(std::move(exchange.request().body), exchange.context().utc_ns() / kNsPerMs);
  if (!answer) return exchange.respond(error_response(answer.error()));
  exchange.respond(HttpResponse::json(200, std::move(*answer)));
}

// What they say of themselves.

constexpr std::string_view kDone =
    R"({"type":"object","required":["name"],"additionalProperties":false,"properties":{"name":{"type":"string"},)"
    R"("position":{"$ref":"#/components/schemas/Position"}}})";
constexpr std::string_view kError = R"({"$ref":"#/components/schemas/Error"})";
constexpr std::string_view kActions =
    R"("transfer":{"type":"object","required":["ledger","code","debit","credit","amount"],"additionalProperties":false,)"
    R"("properties":{"ledger":{"type":"integer","minimum":1},"code":{"type":"integer","minimum":1,"maximum":65535},)"
    R"("debit":{"type":"string"},"credit":{"type":"string"},"amount":{"type":"string"},"id":{"type":"string"}}},)"
    R"("order":{"type":"object","required":["firm","account","symbol","side","quantity"],"additionalProperties":false,)"
    R"("properties":{"firm":{"type":"string"},"account":{"type":"string"},"symbol":{"type":"string"},)"
    R"("side":{"type":"string"},"quantity":{"type":"string"},"price":{"type":"string"},)"
    R"("time_in_force":{"type":"string","enum":["day","gtc","ioc","fok"]},"id":{"type":"string"},)"
    R"("within_s":{"type":"integer","minimum":0}}},)"
    R"("append":{"type":"object","required":["stream"],"additionalProperties":false,"properties":{)"
    R"("stream":{"type":"string"},"key":{"type":"string"}}},)"
    R"("publish":{"type":"object","required":["topic"],"additionalProperties":false,"properties":{)"
    R"("topic":{"type":"string"}}},)"
    R"("http":{"type":"object","required":["url"],"additionalProperties":false,"properties":{"url":{"type":"string"}}},)"
    R"("shadow":{"type":"object","required":["thing"],"additionalProperties":false,"properties":{)"
    R"("thing":{"type":"string"},"name":{"type":"string"},"section":{"type":"string","enum":["reported","desired"]},)"
    R"("version":{"type":"string"}}},)"
    R"("series":{"type":"object","required":["database","measurement"],"additionalProperties":false,"properties":{)"
    R"("database":{"type":"string"},"measurement":{"type":"string"},"tags":{"type":"string"},)"
    R"("time":{"type":"string"}}})";
constexpr std::string_view kSaid =
    R"("sql":{"type":"string","maxLength":8192},"start":{"type":"string","enum":["latest","earliest"]},)"
    R"("lua":{"type":"string","maxLength":8192},)";

const std::string& rule_body() {
  static const std::string schema =
      R"({"type":"object","required":["sql"],"additionalProperties":false,"properties":{)" + std::string(kSaid) +
      std::string(kActions) + "}}";
  return schema;
}

const std::string& test_body() {
  static const std::string schema =
      R"({"type":"object","required":["sql","payload"],"additionalProperties":false,"properties":{)"
      R"("name":{"type":"string"},"topic":{"type":"string"},"payload":{"type":"string"},)"
      R"("timestamp_ms":{"type":"integer","minimum":0},)" +
      std::string(kSaid) + std::string(kActions) + "}}";
  return schema;
}

const std::string& rule_schema() {
  static const std::string schema =
      R"({"type":"object","required":["name","version","sql","stream","start","state","created_ms","updated_ms",)"
      R"("inputs","transfers","repeats","appended","published","shadows","posts","posted","dead_letters","lost","windows","late","orders"],"additionalProperties":false,)"
      R"("properties":{"name":{"type":"string"},"version":{"type":"integer"},"stream":{"type":"string"},)" +
      std::string(kSaid) + std::string(kActions) +
      R"(,"state":{"type":"string","enum":["running","paused"]},"reason":{"type":"string"},)"
      R"("created_ms":{"type":"integer"},"updated_ms":{"type":"integer"},"inputs":{"type":"integer"},)"
      R"("transfers":{"type":"integer"},"repeats":{"type":"integer"},"appended":{"type":"integer"},)"
      R"("published":{"type":"integer"},"shadows":{"type":"integer"},"posts":{"type":"integer"},)"
      R"("posted":{"type":"integer"},"dead_letters":{"type":"integer"},"lost":{"type":"integer"},)"
      R"("windows":{"type":"integer"},"late":{"type":"integer"},"orders":{"type":"integer"},)"
      R"("partitions":{"type":"array","items":{"type":"object","required":["partition","position","end","lag"],)"
      R"("additionalProperties":false,"properties":{"partition":{"type":"integer"},"position":{"type":"integer"},)"
      R"("end":{"type":"integer"},"lag":{"type":"integer"},"windows_from":{"type":"integer"},)"
      R"("watermark_ms":{"type":"integer"}}}}}})";
  return schema;
}

const std::string& rules_schema() {
  static const std::string schema =
      R"({"type":"object","required":["rules"],"additionalProperties":false,"properties":{"rules":{"type":"array",)"
      R"("items":)" +
      rule_schema() + R"(},"next":{"type":"string"}}})";
  return schema;
}

constexpr std::string_view kTrial =
    R"({"type":"object","required":["matches"],"additionalProperties":false,"properties":{"matches":{"type":"boolean"},)"
    R"("dead_letter":{"type":"string"},"row":{"type":"object"},"transfer":{"type":"object"},)"
    R"("order":{"type":"object"},"append":{"type":"object"},"publish":{"type":"object"},"shadow":{"type":"object"},)"
    R"("http":{"type":"object"},"series":{"type":"object"}}})";

http::RouteDoc put_doc() {
  return {
      "Declare or change a rule",
      "`sql` selects from a topic filter (which makes the stream `rule.NAME` over it) or from a stream that is "
      "there; at least one of `transfer`, `order`, `append`, `publish`, `shadow`, `http` and `series` says what "
      "becomes of each "
      "row: their values are expressions that see the columns; of a series, `tags` are names of columns, of an order "
      "`firm`, `account`, `time_in_force` and `within_s` are as they are. A changed "
      "rule "
      "goes on where it is, unless it reads another stream. "
      "`rules.put` in the audit trail.",
      {},
      {{rule_body()}},
      {{201, "the rule is there, synced", {{kDone}}},
       {200, "it was there: changed, or as it was (without a position)", {{kDone}}},
       {404, "a stream that it names is not there", {{kError}}},
       {409, "there are 64 rules, or it would close a circle", {{kError}}}}};
}

http::RouteDoc test_doc() {
  return {"What a rule would make of a message",
          "Nothing is kept. `dead_letter` says why the rule could make nothing of it.",
          {},
          {{test_body()}},
          {{200, "what it would do", {{kTrial}}}}};
}

http::RouteDoc named_doc(std::string_view summary, std::string_view text) {
  return {summary, text, {}, {}, {{200, "so, synced", {{kDone}}}, {404, "there is no such rule", {{kError}}}}};
}

}  // namespace

void add_rule_routes(http::HttpRouter& router) {
  using http::Method;
  constexpr std::string_view kPath = "/api/v1/rules";
  constexpr std::string_view kNamed = "/api/v1/rules/{name}";
  router.add(Method::get, kPath, list,
             {.needs = needs(Verb::read),
              .doc = {"Rules",
                      "In the order of their names.",
                      {{"after", "names behind this one"}},
                      {},
                      {{200, "as of what is synced", {{rules_schema()}}}}}});
  router.add(Method::get, kNamed, show,
             {.needs = needs(Verb::read),
              .doc = {"One rule, and how far it is",
                      "`lag`: records of its stream that it did not read yet. Records with which it does nothing move "
                      "its position a second later.",
                      {},
                      {},
                      {{200, "as of what is synced", {{rule_schema()}}}, {404, "there is no such rule", {{kError}}}}}});
  router.add(Method::put, kNamed, put, {.needs = needs(Verb::write), .doc = put_doc()});
  router.add(Method::del, kNamed, drop,
             {.needs = needs(Verb::remove),
              .doc = named_doc("Drop a rule",
                               "Its position goes with it; a stream that was made for it stays. `rules.drop` in the "
                               "audit trail.")});
  router.add(Method::post, "/api/v1/rules/{name}/pause", pause,
             {.needs = needs(Verb::write), .doc = named_doc("Pause a rule", "Its stream goes on without it.")});
  router.add(Method::post, "/api/v1/rules/{name}/resume", resume,
             {.needs = needs(Verb::write),
              .doc = named_doc("Let a rule go on",
                               "From where it is. Records that were gone by retention meanwhile are passed over and "
                               "counted as `lost`.")});
  router.add(Method::post, "/api/v1/rules/test", test, {.needs = needs(Verb::read), .doc = test_doc()});
}

}  // namespace heptane::iot::rules
