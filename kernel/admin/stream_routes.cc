#include <memory>

#include "kernel/admin/admin.h"
#include "kernel/admin/answers.h"
#include "kernel/admin/api_schemas.h"
#include "kernel/admin/request_parameters.h"
#include "kernel/net/http/guard.h"
#include "kernel/net/http/json.h"
#include "kernel/net/http/json_writer.h"
#include "kernel/shard/state_machine.h"
#include "kernel/streams/api.h"

namespace heptane::admin {

namespace {

using http::HttpExchange;
using http::HttpResponse;
using http::JsonWriter;

void write_stream(JsonWriter& out, const streams::StreamInfo& stream) {
  out.begin_object().key("name").text(stream.name).key("id").text(log_id_text(stream.uuid));
  if (stream.config.retention_ms >= 0) out.key("retention_ms").number(stream.config.retention_ms);
  if (stream.config.retention_bytes >= 0) out.key("retention_bytes").number(stream.config.retention_bytes);
  if (stream.view) out.key("view").boolean(true);
  out.key("partitions").begin_array();
  for (const streams::PartitionInfo& partition : stream.partitions) {
    out.begin_object().key("id").number(partition.id);
    out.key("first_offset").number(partition.log_start).key("end_offset").number(partition.durable_end).end_object();
  }
  out.end_array().end_object();
}

struct StreamList {
  JsonWriter out;
  int64_t left = INT64_MAX;  // of the limit
  std::string last;          // that was written
};

void end_list(HttpExchange& exchange, StreamList& list, bool more) {
  list.out.end_array();
  if (more) list.out.key("next").text(list.last);
  list.out.end_object();
  exchange.respond(HttpResponse::json(200, list.out.take()));
}

// Page after page, each as of its own moment: one answer has them all, or as many as were asked for.
void list_from(HttpExchange& exchange, const std::shared_ptr<StreamList>& list, std::string after) {
  QueryRequest query;
  query.machine = machine_ids::kStreams;
  query.type = streams::kDescribe;
  query.payload = streams::encode(streams::DescribeQuery{true, {}, std::move(after)});
  exchange.query(std::move(query), [list](HttpExchange& answered, const Reply& reply) {
    if (!reply.ok()) return answered.respond(refusal_response(reply));
    const auto infos = streams::decode_stream_infos(reply.payload.view());
    if (!infos) return answered.respond(error_response({Errc::internal, infos.error().message, 0}));
    for (const streams::StreamInfo& stream : *infos) {
      if (!answered.sees("streams", stream.name)) continue;
      if (list->left == 0) return end_list(answered, *list, true);
      write_stream(list->out, stream);
      list->last = stream.name;
      --list->left;
    }
    if (reply.numbers[0] != 0) return list_from(answered, list, infos->back().name);
    end_list(answered, *list, false);
  });
}

void list_streams(HttpExchange& exchange) {
  const http::HttpRequest& request = exchange.request();
  if (const Result<void> known = check_parameters(request, {"after", "limit"}); !known)
    return exchange.respond(error_response(known.error()));
  const auto limit = integer_parameter(request, "limit", INT64_MAX, 1, INT64_MAX);
  if (!limit) return exchange.respond(error_response(limit.error()));
  const auto list = std::make_shared<StreamList>();
  list->left = *limit;
  list->out.begin_object().key("streams").begin_array();
  list_from(exchange, list, std::string(request.query_value("after").value_or("")));
}

void describe_stream(HttpExchange& exchange) {
  const std::string name(exchange.request().param("name"));
  QueryRequest query;
  query.machine = machine_ids::kStreams;
  query.type = streams::kDescribe;
  query.payload = streams::encode(streams::DescribeQuery{false, {name}});
  exchange.query(std::move(query), [name](HttpExchange& answered, const Reply& reply) {
    if (!reply.ok()) return answered.respond(refusal_response(reply));
    const auto infos = streams::decode_stream_infos(reply.payload.view());
    if (!infos) return answered.respond(error_response({Errc::internal, infos.error().message, 0}));
    if (infos->empty()) return answered.respond(error_response({Errc::not_found, "there is no stream " + name, 0}));
    JsonWriter out;
    write_stream(out, infos->front());
    answered.respond(HttpResponse::json(200, out.take()));
  });
}

struct NewStream {
  std::string name;
  uint32_t partitions = 1;
  streams::StreamConfig config;
};

streams::StreamConfig parse_config(http::JsonFields& fields) {
  streams::StreamConfig config;
  config.retention_ms = fields.integer_or("retention_ms", -1, -1, INT64_MAX);
  config.retention_bytes = fields.integer_or("retention_bytes", -1, -1, INT64_MAX);
  return config;
}

Result<NewStream> parse_new_stream(std::string body) {
  auto document = http::JsonDocument::parse(std::move(body));
  if (!document) return document.error();
  http::JsonFields fields((*document)->root(), "");
  NewStream stream;
  stream.name = fields.text("name");
  stream.partitions = static_cast<uint32_t>(fields.integer_or("partitions", 1, 1, streams::kPartitionsLimit));
  stream.config = parse_config(fields);
  if (!streams::valid_name(stream.name)) fields.fail("name must be 1 to 249 of a-z A-Z 0-9 . _ -");
  HEPTANE_TRY(fields.finish());
  return stream;
}

void create_stream(HttpExchange& exchange) {
  Result<NewStream> stream = parse_new_stream(std::move(exchange.request().body));
  if (!stream) return exchange.respond(error_response(stream.error()));
  if (!exchange.allowed("streams", stream->name, auth::Verb::create))
    return exchange.respond(http::forbidden(exchange.identity().name, "streams", stream->name, auth::Verb::create));
  Buffer payload = streams::encode(streams::CreateStream{stream->name, stream->partitions, stream->config});
  exchange.submit(streams::make_command(machine_ids::kStreams, streams::kCreateStream, std::move(payload)),
                  [stream = std::move(*stream)](HttpExchange& answered, const Reply& reply) {
                    if (!reply.ok()) return answered.respond(refusal_response(reply));
                    JsonWriter out;
                    out.begin_object().key("name").text(stream.name);
                    out.key("partitions").number(stream.partitions);
                    out.key("position").text(position_text(0, reply.sequence)).end_object();
                    answered.respond(HttpResponse::json(201, out.take()));
                  });
}

// Replaces the configuration: what is not named is for ever again.
void alter_stream(HttpExchange& exchange, const streams::ViewInputs* view_inputs) {
  const std::string name(exchange.request().param("name"));
  const std::string why = view_inputs == nullptr ? std::string() : view_inputs->why_not_altered(name);
  if (!why.empty()) return exchange.respond(error_response(Error{Errc::refused, why}));
  auto document = http::JsonDocument::parse(std::move(exchange.request().body));
  if (!document) return exchange.respond(error_response(document.error()));
  http::JsonFields fields((*document)->root(), "");
  const streams::StreamConfig config = parse_config(fields);
  if (const Result<void> finished = fields.finish(); !finished)
    return exchange.respond(error_response(finished.error()));
  Buffer payload = streams::encode(streams::AlterStream{name, config});
  exchange.submit(streams::make_command(machine_ids::kStreams, streams::kAlterStream, std::move(payload)),
                  [name](HttpExchange& answered, const Reply& reply) {
                    if (!reply.ok()) return answered.respond(refusal_response(reply));
                    JsonWriter out;
                    out.begin_object().key("name").text(name);
                    out.key("position").text(position_text(0, reply.sequence)).end_object();
                    answered.respond(HttpResponse::json(200, out.take()));
                  });
}

// Partitions are only ever added.
void grow_stream(HttpExchange& exchange) {
  const std::string name(exchange.request().param("name"));
  auto document = http::JsonDocument::parse(std::move(exchange.request().body));
  if (!document) return exchange.respond(error_response(document.error()));
  http::JsonFields fields((*document)->root(), "");
  const auto count = static_cast<uint32_t>(fields.integer("count", 1, streams::kPartitionsLimit));
  if (const Result<void> finished = fields.finish(); !finished)
    return exchange.respond(error_response(finished.error()));
  Buffer payload = streams::encode(streams::GrowStream{name, count});
  exchange.submit(streams::make_command(machine_ids::kStreams, streams::kGrowStream, std::move(payload)),
                  [name, count](HttpExchange& answered, const Reply& reply) {
                    if (!reply.ok()) return answered.respond(refusal_response(reply));
                    JsonWriter out;
                    out.begin_object().key("name").text(name).key("partitions").number(count);
                    out.key("position").text(position_text(0, reply.sequence)).end_object();
                    answered.respond(HttpResponse::json(200, out.take()));
                  });
}

void delete_stream(HttpExchange& exchange) {
  const std::string name(exchange.request().param("name"));
  Buffer payload = streams::encode(streams::DeleteStream{name});
  exchange.submit(streams::make_command(machine_ids::kStreams, streams::kDeleteStream, std::move(payload)),
                  [name](HttpExchange& answered, const Reply& reply) {
                    if (!reply.ok()) return answered.respond(refusal_response(reply));
                    JsonWriter out;
                    out.begin_object().key("name").text(name);
                    out.key("position").text(position_text(0, reply.sequence)).end_object();
                    answered.respond(HttpResponse::json(200, out.take()));
                  });
}

constexpr std::string_view kStreamSchema = R"({"$ref":"#/components/schemas/Stream"})";
constexpr std::string_view kStreamsSchema =
    R"({"type":"object","required":["streams"],"additionalProperties":false,"properties":{"streams":{"type":"array",)"
    R"("items":{"$ref":"#/components/schemas/Stream"}},"next":{"type":"string",)"
    R"("description":"there are more behind this name: ask with it as after"}}})";
constexpr std::string_view kChangedSchema = R"({"$ref":"#/components/schemas/StreamChanged"})";
constexpr std::string_view kRetentionSchema = R"({"$ref":"#/components/schemas/Retention"})";
constexpr std::string_view kNewStreamSchema = R"({"$ref":"#/components/schemas/NewStream"})";

}  // namespace

void add_stream_routes(http::HttpRouter& router, const streams::ViewInputs* view_inputs) {
  using http::Method;
  router.add(Method::get, "/api/v1/streams", list_streams,
             {.doc = {"Every stream with its partitions and their offsets",
                      "In order of their names.",
                      {{"after", "of those behind this name"},
                       {"limit", "at most so many; default: all", R"({"type":"integer","minimum":1})"}},
                      {},
                      {{200, "all of them, or a page", {{kStreamsSchema}}}}}});
  router.add(
      Method::post, "/api/v1/streams", create_stream,
      {.doc = {"Create a stream", "", {}, {{kNewStreamSchema}}, {{201, "created and synced", {{kChangedSchema}}}}}});
  router.add(Method::get, "/api/v1/streams/{name}", describe_stream,
             {.doc = {"One stream", "", {}, {}, {{200, "the stream", {{kStreamSchema}}}}}});
  router.add(Method::put, "/api/v1/streams/{name}",
             [view_inputs](HttpExchange& exchange) { alter_stream(exchange, view_inputs); },
             {.doc = {"Replace the configuration of a stream",
                      "What is not named is kept for ever again. That of a stream over a topic filter is its "
                      "declaration's: 409.",
                      {},
                      {{kRetentionSchema}},
                      {{200, "changed and synced", {{kChangedSchema}}}}}});
  router.add(Method::put, "/api/v1/streams/{name}/partitions", grow_stream);
  router.add(Method::del, "/api/v1/streams/{name}", delete_stream,
             {.doc = {"Delete a stream with its records", "", {}, {}, {{200, "gone and synced", {{kChangedSchema}}}}}});
}

}  // namespace heptane::admin
