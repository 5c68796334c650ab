#include "modules/iot/gateway/http/device_routes.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "kernel/admin/answers.h"
#include "kernel/admin/request_parameters.h"
#include "kernel/net/http/exchange.h"
#include "kernel/streams/api.h"
#include "modules/iot/domain/devices/fleet_query.h"
#include "modules/iot/gateway/http/device_json.h"

namespace heptane::iot::devices {

namespace {

using admin::error_response;
using admin::refusal_response;
using auth::Verb;
using http::HttpExchange;
using http::HttpResponse;
using http::JsonWriter;

constexpr std::string_view kLinesType = "application/x-ndjson";
constexpr int64_t kLimitDefault = 100;
constexpr std::string_view kLimitSchema = R"({"type":"integer","minimum":1,"maximum":1000,"default":100})";

http::Needs needs(Verb verb) { return {"admin", "devices", verb, false, false}; }

QueryRequest devices_query(uint16_t type, Buffer payload) { return {kDevicesMachineId, type, std::move(payload), {}}; }

Submission devices_command(CommandType type, Buffer payload) {
  return streams::make_command(kDevicesMachineId, type, std::move(payload));
}

HttpResponse done(int status, std::string_view name, const Reply& reply, int64_t version) {
  JsonWriter out;
  out.begin_object().key("name").text(name);
  if (version > 0) out.key("version").number(version);
  if (!reply.repeated) out.key("position").text(position_text(0, reply.sequence));
  out.end_object();
  return HttpResponse::json(status, out.take());
}

// To make.

void create_one(HttpExchange& exchange) {
  const Result<Thing> thing = thing_of_json(std::move(exchange.request().body));
  if (!thing) return exchange.respond(error_response(thing.error()));
  exchange.submit(devices_command(kCreateThings, encode_things({*thing})),
                  [name = thing->name](HttpExchange& answered, const Reply& reply) {
                    if (!reply.ok()) return answered.respond(refusal_response(reply));
                    answered.respond(done(201, name, reply, 1));
                  });
}

// The lines of a request: those that are things, and what is wrong with the others.
struct Lines {
  struct Wrong {
    size_t line = 0;
    std::string why;
  };
  std::vector<Thing> things;
  std::vector<size_t> numbers;  // of their lines
  std::vector<Wrong> wrong;
};

Result<Lines> read_lines(std::string_view body) {
  Lines read;
  if (body.size() > kCreateBytesMax) return Error{Errc::too_large, "at most 512 KiB of things at once: send several"};
  for (size_t number = 1; !body.empty(); ++number) {
    const size_t end = body.find('\n');
    const std::string_view line = http::trimmed(body.substr(0, end));
    body = end == std::string_view::npos ? std::string_view() : body.substr(end + 1);
    if (line.empty() || line == "\r") continue;
    if (read.things.size() + read.wrong.size() == kCreatesMax)
      return Error{Errc::too_large, "at most 1,000 things at once: send several"};
    Result<Thing> thing = thing_of_json(std::string(line));
    if (!thing) {
      read.wrong.push_back({number, thing.error().message});
      continue;
    }
    read.things.push_back(std::move(*thing));
    read.numbers.push_back(number);
  }
  if (read.things.empty() && read.wrong.empty()) return admin::invalid("there is no thing in the lines");
  return read;
}

void respond_lines(HttpExchange& exchange, const Lines& lines, int64_t created, Sequence position) {
  JsonWriter out;
  out.begin_object().key("created").number(created).key("errors").begin_array();
  for (const Lines::Wrong& wrong : lines.wrong)
    out.begin_object().key("line").unsigned_number(wrong.line).key("message").text(wrong.why).end_object();
  out.end_array();
  if (position != 0) out.key("position").text(position_text(0, position));
  out.end_object();
  exchange.respond(HttpResponse::json(200, out.take()));
}

// What the machine says of each that it was given; of one alone it refuses the command.
void take_statuses(Lines& lines, const Reply& reply) {
  const auto add = [&](size_t i, std::string why) { lines.wrong.push_back({lines.numbers[i], std::move(why)}); };
  if (!reply.ok()) add(0, reply.message);
  const Bytes statuses = reply.payload.view();
  for (size_t i = 0; i < statuses.size() && i < lines.numbers.size(); ++i) {
    const auto status = static_cast<CreateStatus>(statuses[i]);
    if (status != CreateStatus::created) add(i, std::string(create_text(status)));
  }
  std::sort(lines.wrong.begin(), lines.wrong.end(),
            [](const Lines::Wrong& one, const Lines::Wrong& other) { return one.line < other.line; });
}

bool is_about_the_thing(Errc code) { return code == Errc::exists || code == Errc::invalid_argument; }

void create_lines(HttpExchange& exchange) {
  Result<Lines> read = read_lines(exchange.request().body);
  if (!read) return exchange.respond(error_response(read.error()));
  if (read->things.empty()) return respond_lines(exchange, *read, 0, 0);
  Buffer payload = encode_things(read->things);
  auto lines = std::make_shared<Lines>(std::move(*read));
  exchange.submit(devices_command(kCreateThings, std::move(payload)),
                  [lines](HttpExchange& answered, const Reply& reply) {
                    const bool alone = lines->things.size() == 1;
                    if (!reply.ok() && !(alone && is_about_the_thing(*reply.error)))
                      return answered.respond(refusal_response(reply));
                    take_statuses(*lines, reply);
                    respond_lines(answered, *lines, reply.ok() ? reply.numbers[0] : 0, reply.sequence);
                  });
}

void create(HttpExchange& exchange) {
  const auto& request = exchange.request();
  const bool lines = http::equals_ignoring_case(http::media_type(request.header("Content-Type")), kLinesType);
  return lines ? create_lines(exchange) : create_one(exchange);
}

// To change.

void update(HttpExchange& exchange) {
  const std::string name(exchange.request().param("thing"));
  const Result<UpdateThing> said = update_of_json(std::move(exchange.request().body), name);
  if (!said) return exchange.respond(error_response(said.error()));
  exchange.submit(devices_command(kUpdateThing, encode(*said)), [name](HttpExchange& answered, const Reply& reply) {
    if (!reply.ok()) return answered.respond(refusal_response(reply));
    answered.respond(done(200, name, reply, reply.numbers[0]));
  });
}

void remove(HttpExchange& exchange) {
  const std::string name(exchange.request().param("thing"));
  exchange.submit(devices_command(kDeleteThing, Buffer::copy_of(name)),
                  [name](HttpExchange& answered, const Reply& reply) {
                    if (!reply.ok()) return answered.respond(refusal_response(reply));
                    answered.respond(done(200, name, reply, 0));
                  });
}

// To look.

void show(HttpExchange& exchange) {
  const std::string name(exchange.request().param("thing"));
  exchange.query(devices_query(kQueryThing, Buffer::copy_of(name)), [name](HttpExchange& answered, const Reply& reply) {
    if (!reply.ok()) return answered.respond(refusal_response(reply));
    if (reply.numbers[0] == 0)
      return answered.respond(error_response({Errc::not_found, "there is no thing " + name, 0}));
    ByteReader in(reply.payload.view());
    const ThingRow row = read_row(in);
    if (!in.complete()) return answered.respond(error_response({Errc::corrupt, "a thing is cut off", 0}));
    JsonWriter out;
    write_row(out, row);
    answered.respond(HttpResponse::json(200, out.take()));
  });
}

Result<ThingsQuery> things_query(const http::HttpRequest& request) {
  HEPTANE_TRY(admin::check_parameters(
      request, {"after", "limit", "type", "attribute", "value", "tag", "group", "connected", "query"}));
  ThingsQuery query;
  const std::pair<std::string_view, std::string*> names[] = {{"after", &query.after},
                                                             {"type", &query.type},
                                                             {"attribute", &query.attribute},
                                                             {"tag", &query.tag},
                                                             {"group", &query.group}};
  for (const auto& [name, into] : names) {
    const auto text = request.query_value(name);
    if (!text) continue;
    if (!valid_name(*text)) return admin::invalid(std::string(name) + " is 1 to 128 of a-z A-Z 0-9 : _ -");
    *into = *text;
  }
  if (const auto value = request.query_value("value")) {
    if (query.attribute.empty()) return admin::invalid("value goes with attribute");
    if (value->size() > kValueLimitBytes) return admin::invalid("value has at most 1,024 bytes");
    query.value = *value;
  }
  if (const auto text = request.query_value("query")) {
    if (const auto parsed = FleetQuery::parse(*text); !parsed) return parsed.error();
    query.query = *text;
  }
  if (const auto connected = request.query_value("connected")) {
    if (*connected != "true" && *connected != "false") return admin::invalid("connected must be true or false");
    query.connected = *connected == "true";
  }
  const auto limit = admin::integer_parameter(request, "limit", kLimitDefault, 1, static_cast<int64_t>(kRowsMax));
  if (!limit) return limit.error();
  query.limit = static_cast<uint16_t>(*limit);
  return query;
}

void list(HttpExchange& exchange) {
  const Result<ThingsQuery> query = things_query(exchange.request());
  if (!query) return exchange.respond(error_response(query.error()));
  exchange.query(devices_query(kQueryThings, encode(*query)), [](HttpExchange& answered, const Reply& reply) {
    if (!reply.ok()) return answered.respond(refusal_response(reply));
    const auto page = decode_things_page(reply.payload.view());
    if (!page) return answered.respond(error_response({Errc::corrupt, "a page of things is cut off", 0}));
    JsonWriter out;
    out.begin_object().key("devices").begin_array();
    for (const ThingRow& row : page->rows) write_row(out, row);
    out.end_array();
    if (reply.numbers[1] != 0) out.key("next").text(page->last);
    out.end_object();
    answered.respond(HttpResponse::json(200, out.take()));
  });
}

void list_groups(HttpExchange& exchange) {
  const http::HttpRequest& request = exchange.request();
  const Result<void> known = admin::check_parameters(request, {"after", "limit"});
  if (!known) return exchange.respond(error_response(known.error()));
  const auto limit = admin::integer_parameter(request, "limit", kLimitDefault, 1, static_cast<int64_t>(kRowsMax));
  if (!limit) return exchange.respond(error_response(limit.error()));
  const std::string after(request.query_value("after").value_or(""));
  if (!after.empty() && !valid_name(after)) return exchange.respond(error_response(admin::invalid("after is no name")));
  Buffer payload = encode_groups_query(after, static_cast<uint16_t>(*limit));
  exchange.query(devices_query(kQueryGroups, std::move(payload)), [](HttpExchange& answered, const Reply& reply) {
    if (!reply.ok()) return answered.respond(refusal_response(reply));
    const auto rows = decode_groups(reply.payload.view());
    if (!rows) return answered.respond(error_response({Errc::corrupt, "a page of groups is cut off", 0}));
    JsonWriter out;
    out.begin_object().key("groups").begin_array();
    for (const GroupRow& row : *rows)
      out.begin_object().key("name").text(row.name).key("things").unsigned_number(row.things).end_object();
    out.end_array();
    if (reply.numbers[1] != 0 && !rows->empty()) out.key("next").text(rows->back().name);
    out.end_object();
    answered.respond(HttpResponse::json(200, out.take()));
  });
}

// What they say of themselves.

constexpr std::string_view kNames =
    R"({"type":"array","maxItems":50,"items":{"type":"string","pattern":"^[a-zA-Z0-9:_-]{1,128}$"}})";
constexpr std::string_view kDone =
    R"({"type":"object","required":["name"],"additionalProperties":false,"properties":{"name":{"type":"string"},)"
    R"("version":{"type":"integer"},"position":{"$ref":"#/components/schemas/Position"}}})";
constexpr std::string_view kLinesDone =
    R"({"type":"object","required":["created","errors"],"additionalProperties":false,"properties":{)"
    R"("created":{"type":"integer"},"position":{"$ref":"#/components/schemas/Position"},"errors":{"type":"array",)"
    R"("items":{"type":"object","required":["line","message"],"additionalProperties":false,"properties":{)"
    R"("line":{"type":"integer"},"message":{"type":"string"}}}}}})";
constexpr std::string_view kGroups =
    R"({"type":"object","required":["groups"],"additionalProperties":false,"properties":{"groups":{"type":"array",)"
    R"("items":{"type":"object","required":["name","things"],"additionalProperties":false,"properties":{)"
    R"("name":{"type":"string"},"things":{"type":"integer"}}}},"next":{"type":"string"}}})";
constexpr std::string_view kError = R"({"$ref":"#/components/schemas/Error"})";

const std::string& new_thing_schema() {
  static const std::string schema =
      R"({"type":"object","required":["name"],"additionalProperties":false,"properties":{)"
      R"("name":{"type":"string","pattern":"^[a-zA-Z0-9:_-]{1,128}$"},"type":{"type":"string","maxLength":128},)"
      R"("attributes":{"type":"object","additionalProperties":{"type":"string","maxLength":1024}},"tags":)" +
      std::string(kNames) + R"(,"groups":)" + std::string(kNames) + "}}";
  return schema;
}

const std::string& change_schema() {
  static const std::string schema =
      R"({"type":"object","additionalProperties":false,"properties":{"version":{"type":"integer","minimum":0},)"
      R"("type":{"type":"string","maxLength":128},"attributes":{"type":"object","additionalProperties":{)"
      R"("type":["string","null"],"maxLength":1024}},"tags":)" +
      std::string(kNames) + R"(,"groups":)" + std::string(kNames) + "}}";
  return schema;
}

const std::string& thing_schema() {
  static const std::string schema =
      R"({"type":"object","required":["name","attributes","tags","groups","version","created_ms","updated_ms",)"
      R"("connected"],"additionalProperties":false,"properties":{"name":{"type":"string"},"type":{"type":"string"},)"
      R"("attributes":{"type":"object","additionalProperties":{"type":"string"}},"tags":)" +
      std::string(kNames) + R"(,"groups":)" + std::string(kNames) +
      R"(,"version":{"type":"integer"},"created_ms":{"type":"integer"},"updated_ms":{"type":"integer"},)"
      R"("connected":{"type":"boolean"},"connected_ms":{"type":"integer"},"last_seen_ms":{"type":"integer"}}})";
  return schema;
}

const std::string& things_schema() {
  static const std::string schema =
      R"({"type":"object","required":["devices"],"additionalProperties":false,"properties":{"devices":{"type":"array",)"
      R"("items":)" +
      thing_schema() + R"(},"next":{"type":"string"}}})";
  return schema;
}

http::RouteDoc list_doc() {
  return {
      "Devices that are registered",
      "In the order of their names; all filters that are said must hold. A page that is `limit` long or that looked "
      "at 4,096 things or 256 KiB of them says `next`, the `after=` of the next one: also one without a thing.",
      {{"after", "names behind this one"},
       {"limit", "at most so many", kLimitSchema},
       {"type", "of this type"},
       {"attribute", "with this attribute"},
       {"value", "and it is this"},
       {"tag", "with this tag"},
       {"group", "in this group"},
       {"connected", "that are connected, or are not", R"({"type":"string","enum":["true","false"]})"},
       {"query", "that this wants: `attributes.site:north AND NOT connectivity.connected:true`"}},
      {},
      {{200, "as of what is synced", {{things_schema()}}}}};
}

http::RouteDoc create_doc() {
  return {
      "Register devices",
      "One as a JSON object; or up to 1,000, 512 KiB, as lines of JSON: each line is a device that is made whole or "
      "not at all, and the answer names the lines that were not, and why. One command of the log. `devices.create` "
      "in the audit trail.",
      {},
      {{new_thing_schema()}, {new_thing_schema(), kLinesType}},
      {{201, "the device is there, synced", {{kDone}}},
       {200, "of lines: what became of them, synced", {{kLinesDone}}},
       {409, "a device of that name is there", {{kError}}}}};
}

http::RouteDoc update_doc() {
  return {
      "Change a device",
      "What is not said stays. Attributes are set one by one, null takes one away; tags and groups are replaced. With "
      "`version` only if that is its version. `devices.update` in the audit trail.",
      {},
      {{change_schema()}},
      {{200, "changed and synced; without a position: it was so", {{kDone}}},
       {404, "there is no such device", {{kError}}},
       {409, "its version is another", {{kError}}}}};
}

}  // namespace

void add_device_routes(http::HttpRouter& router) {
  using http::Method;
  router.add(Method::get, "/api/v1/devices", list, {.needs = needs(Verb::read), .doc = list_doc()});
  router.add(Method::post, "/api/v1/devices", create, {.needs = needs(Verb::write), .doc = create_doc()});
  router.add(
      Method::get, "/api/v1/devices/{thing}", show,
      {.needs = needs(Verb::read),
       .doc = {"One device",
               "`connected` is by its newest connection, as far as the log was told (each half a second).",
               {},
               {},
               {{200, "as of what is synced", {{thing_schema()}}}, {404, "there is no such device", {{kError}}}}}});
  router.add(Method::patch, "/api/v1/devices/{thing}", update, {.needs = needs(Verb::write), .doc = update_doc()});
  router.add(Method::del, "/api/v1/devices/{thing}", remove,
             {.needs = needs(Verb::remove),
              .doc = {"Delete a device",
                      "`devices.delete` in the audit trail.",
                      {},
                      {},
                      {{200, "gone, synced", {{kDone}}}, {404, "there is no such device", {{kError}}}}}});
  router.add(Method::get, "/api/v1/device-groups", list_groups,
             {.needs = needs(Verb::read),
              .doc = {"Groups of devices",
                      "A group is there as long as a device is in it.",
                      {{"after", "names behind this one"}, {"limit", "at most so many", kLimitSchema}},
                      {},
                      {{200, "in the order of their names", {{kGroups}}}}}});
}

}  // namespace heptane::iot::devices
