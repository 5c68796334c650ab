#include "kernel/net/http/openapi.h"

#include <algorithm>
#include <map>

#include "kernel/net/http/json_writer.h"

namespace heptane::http {

namespace {

// Errors have one form on every route; the document says so once.
constexpr std::string_view kErrorSchema =
    R"({"type":"object","required":["error"],"properties":{"error":{"type":"object",)"
    R"("required":["code","message"],"properties":{"code":{"type":"string"},)"
    R"("message":{"type":"string"}}}}})";
constexpr std::string_view kErrorAnswer =
    R"({"description":"refused: the message says what to do","content":{"application/json":{"schema":)"
    R"({"$ref":"#/components/schemas/Error"}}}})";

std::string lower_case(std::string_view text) {
  std::string lower(text);
  for (char& c : lower)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return lower;
}

// `/api/v1/streams/{name}/records` → `streams`; what is not of the API: `operations`.
std::string_view tag_of(const Route& route) {
  constexpr size_t kOfApi = 2;
  if (route.segments.size() > kOfApi && route.segments[0] == "api") return route.segments[kOfApi];
  return "operations";
}

// `get /api/v1/streams/{name}` → `get_streams_name`: stable, for generated clients.
std::string operation_id(const Route& route) {
  std::string id = lower_case(method_name(route.method));
  for (size_t i = 0; i < route.segments.size(); ++i) {
    const std::string& segment = route.segments[i];
    if (segment.empty() || (i < 2 && (segment == "api" || segment == "v1"))) continue;
    id += '_';
    for (const char c : segment) {
      if (c == '{' || c == '}') continue;
      id += c == '.' || c == '-' ? '_' : c;
    }
  }
  return id;
}

void write_parameter(JsonWriter& out, std::string_view name, std::string_view in, std::string_view text,
                     std::string_view schema, bool required) {
  out.begin_object().key("name").text(name).key("in").text(in);
  if (!text.empty()) out.key("description").text(text);
  out.key("required").boolean(required).key("schema").raw(schema).end_object();
}

void write_parameters(JsonWriter& out, const Route& route) {
  out.key("parameters").begin_array();
  for (const std::string& segment : route.segments)
    if (segment.starts_with('{'))
      write_parameter(out, segment.substr(1, segment.size() - 2), "path", "", kTextSchema, true);
  for (const ParameterDoc& parameter : route.options.doc.parameters)
    write_parameter(out, parameter.name, parameter.place == ParameterPlace::query ? "query" : "header", parameter.text,
                    parameter.schema, false);
  out.end_array();
}

void write_bodies(JsonWriter& out, const std::vector<BodyDoc>& bodies) {
  out.key("content").begin_object();
  for (const BodyDoc& body : bodies)
    out.key(body.content_type).begin_object().key("schema").raw(body.schema).end_object();
  out.end_object();
}

void write_answers(JsonWriter& out, const RouteDoc& doc) {
  out.key("responses").begin_object();
  for (const AnswerDoc& answer : doc.answers) {
    out.key(std::to_string(answer.status)).begin_object().key("description").text(answer.text);
    if (!answer.bodies.empty()) write_bodies(out, answer.bodies);
    out.end_object();
  }
  out.key("default").raw(kErrorAnswer).end_object();
}

void write_route(JsonWriter& out, const Route& route) {
  const RouteDoc& doc = route.options.doc;
  out.key(lower_case(method_name(route.method))).begin_object();
  out.key("operationId").text(operation_id(route)).key("summary").text(doc.summary);
  if (!doc.text.empty()) out.key("description").text(doc.text);
  out.key("tags").begin_array().text(tag_of(route)).end_array();
  write_parameters(out, route);
  if (!doc.bodies.empty()) {
    out.key("requestBody").begin_object().key("required").boolean(true);
    write_bodies(out, doc.bodies);
    out.end_object();
  }
  write_answers(out, doc);
  out.end_object();
}

}  // namespace

std::string openapi_document(const HttpRouter& router, const OpenApiInfo& info) {
  std::map<std::string_view, std::vector<const Route*>> paths;
  for (const Route& route : router.routes()) paths[route.pattern].push_back(&route);
  JsonWriter out;
  out.begin_object().key("openapi").text("3.1.0");
  out.key("info").begin_object().key("title").text(info.title).key("description").text(info.text);
  out.key("version").text(info.version).end_object();
  out.key("paths").begin_object();
  for (auto& [pattern, routes] : paths) {
    std::sort(routes.begin(), routes.end(), [](const Route* a, const Route* b) { return a->method < b->method; });
    out.key(pattern).begin_object();
    for (const Route* route : routes) write_route(out, *route);
    out.end_object();
  }
  out.end_object().key("components").begin_object().key("schemas").begin_object();
  out.key("Error").raw(kErrorSchema);
  for (const auto& [name, schema] : info.schemas) out.key(name).raw(schema);
  out.end_object().end_object().end_object();
  return out.take();
}

}  // namespace heptane::http
