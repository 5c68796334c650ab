// What stands at a position of the log, and which command made a record. Both read files, so a worker does it; nothing is said
// of what is not synced yet.
#include <atomic>
#include <charconv>
#include <memory>
#include <utility>

#include "kernel/admin/admin.h"
#include "kernel/admin/answers.h"
#include "kernel/admin/api_schemas.h"
#include "kernel/admin/request_parameters.h"
#include "kernel/admin/stored_records.h"
#include "kernel/shard/state_machine.h"

namespace heptane::admin {

namespace {

using http::HttpExchange;
using http::HttpResponse;
using http::JsonWriter;

// `0:123`, of the only shard there is.
std::optional<Sequence> parse_position(std::string_view text) {
  constexpr std::string_view kShard = "0:";
  if (!text.starts_with(kShard)) return std::nullopt;
  text.remove_prefix(kShard.size());
  Sequence sequence = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), sequence);
  if (error != std::errc() || end != text.data() + text.size() || sequence == 0) return std::nullopt;
  return sequence;
}

void write_record(JsonWriter& out, const archive::ExplainedRecord& record) {
  out.begin_object().key("partition_id").number(record.partition);
  out.key("offset").number(record.offset).key("text").text(record.text).end_object();
}

std::string written(const archive::Explanation& found) {
  JsonWriter out;
  out.begin_object().key("position").text(found.position).key("time").text(found.time).key("what").text(found.what);
  out.key("facts").begin_array();
  for (const auto& [name, value] : found.facts)
    out.begin_object().key("name").text(name).key("value").text(value).end_object();
  out.end_array().key("records").begin_array();
  for (const archive::ExplainedRecord& record : found.records) write_record(out, record);
  out.end_array().key("records_left_out").unsigned_number(found.records_left_out).end_object();
  return out.take();
}

// One explanation at a time: each reads a segment through, and the worker has others to serve. Given back by the job when it has
// looked, and when the job is dropped.
using Turns = std::shared_ptr<std::atomic<bool>>;
class Turn {
 public:
  explicit Turn(Turns taken) : taken_(std::move(taken)) {}
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;
  ~Turn() { give_back(); }

  void give_back() {
    if (const auto taken = std::exchange(taken_, nullptr)) *taken = false;
  }

 private:
  Turns taken_;  // null: given back
};

HttpResponse busy_response() {
  HttpResponse response =
      HttpResponse::error(503, "overloaded", "another position is being explained: Retry-After says when to come back");
  response.headers.push_back({"Retry-After", "1"});
  return response;
}

void explain(HttpExchange& exchange, const LogLooks& looks, const Turns& turns) {
  const std::string text(exchange.request().param("position"));
  const std::optional<Sequence> sequence = parse_position(text);
  if (!sequence) return exchange.respond(error_response(invalid("a position is SHARD:SEQUENCE, for example 0:123")));
  if (*sequence > looks.watermark())
    return exchange.respond(error_response({Errc::not_found, "no command has been synced at " + text + " yet", 0}));
  if (turns->exchange(true)) return exchange.respond(busy_response());
  const auto turn = std::make_shared<Turn>(turns);
  const auto answer = std::make_shared<HttpResponse>();
  exchange.work(
      [command = looks.command, sequence = *sequence, answer, turn] {
        const Result<archive::Explanation> found = command(sequence);
        *answer = found ? HttpResponse::json(200, written(*found)) : error_response(found.error());
        turn->give_back();
      },
      [answer](HttpExchange& worked) { worked.respond(std::move(*answer)); });
}

Result<int64_t> offset_of(const http::HttpRequest& request) {
  const std::string_view text = request.param("offset");
  int64_t offset = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), offset);
  if (error != std::errc() || end != text.data() + text.size() || offset < 0)
    return invalid("an offset is a number from 0 on");
  return offset;
}

// On a worker.
HttpResponse position_at(const archive::RecordPlace& place, const LogLooks& looks) {
  const Result<Sequence> sequence = looks.maker(place);
  if (!sequence) return error_response(sequence.error());
  JsonWriter out;
  out.begin_object().key("position").text(position_text(0, *sequence)).end_object();
  return HttpResponse::json(200, out.take());
}

void answer_place(HttpExchange& exchange, archive::RecordPlace place, const Reply& located, const LogLooks& looks) {
  if (!located.ok()) return exchange.respond(refusal_response(located));
  if (located.numbers[0] < 0)
    return exchange.respond(error_response(
        {Errc::not_found, "this record is in the archive, which does not keep what made its records", 0}));
  place.segment = static_cast<uint32_t>(located.numbers[0]);
  place.byte = static_cast<uint32_t>(located.numbers[1]);
  const auto answer = std::make_shared<HttpResponse>();
  exchange.work([place, looks, answer] { *answer = position_at(place, looks); },
                [answer](HttpExchange& worked) { worked.respond(std::move(*answer)); });
}

void find_position(HttpExchange& exchange, const LogLooks& looks) {
  const Result<int64_t> offset = offset_of(exchange.request());
  if (!offset) return exchange.respond(error_response(offset.error()));
  if (const Result<void> known = check_parameters(exchange.request(), {"partition"}); !known)
    return exchange.respond(error_response(known.error()));
  const auto partition = integer_parameter(exchange.request(), "partition", 0, 0, streams::kPartitionsLimit - 1);
  if (!partition) return exchange.respond(error_response(partition.error()));
  find_partition(exchange, std::string(exchange.request().param("name")), static_cast<uint32_t>(*partition),
                 [offset = *offset, looks](HttpExchange& found, const streams::PartitionInfo& info) {
                   QueryRequest query;
                   query.machine = machine_ids::kStreams;
                   query.type = streams::kLocate;
                   query.payload = streams::encode(streams::LocateQuery{info.id, offset});
                   const archive::RecordPlace place{info.id, offset, 0, 0};
                   found.query(std::move(query), [place, looks](HttpExchange& answered, const Reply& located) {
                     answer_place(answered, place, located, looks);
                   });
                 });
}

constexpr std::string_view kExplanationSchema =
    R"({"type":"object","required":["position","time","what","facts","records","records_left_out"],)"
    R"("additionalProperties":false,"properties":{"position":{"$ref":"#/components/schemas/Position"},)"
    R"("time":{"type":"string"},"what":{"type":"string"},"facts":{"type":"array","items":{"type":"object",)"
    R"("required":["name","value"],"additionalProperties":false,"properties":{"name":{"type":"string"},)"
    R"("value":{"type":"string"}}}},"records":{"type":"array","maxItems":1000,"items":{"type":"object",)"
    R"("required":["partition_id","offset","text"],"additionalProperties":false,"properties":{)"
    R"("partition_id":{"type":"integer","minimum":0},"offset":{"type":"integer","minimum":0},)"
    R"("text":{"type":"string"}}}},"records_left_out":{"type":"integer","minimum":0}}})";
constexpr std::string_view kPlaceSchema = R"({"type":"object","required":["position"],"additionalProperties":false,)"
                                          R"("properties":{"position":{"$ref":"#/components/schemas/Position"}}})";

}  // namespace

void add_explain_routes(http::HttpRouter& router, const LogLooks& looks) {
  router.add(
      http::Method::get, "/api/v1/explain/{position}",
      [looks, turns = std::make_shared<std::atomic<bool>>(false)](HttpExchange& exchange) {
        explain(exchange, looks, turns);
      },
      {.doc = {"The command at a position, where it came from, and the records it made",
               "As `heptane explain` says it. The fact `cause` is the position of what caused the command. The ids of "
               "partitions are those of /api/v1/streams. One segment of the log is read through, for one who asks at a "
               "time: 503 with Retry-After to others.",
               {},
               {},
               {{200, "what stands there", {{kExplanationSchema}}}}}});
  router.add(http::Method::get, "/api/v1/streams/{name}/records/{offset}/position",
             [looks](HttpExchange& exchange) { find_position(exchange, looks); },
             {.doc = {"The position of the command that made a record",
                      "404 for a record that is in the archive already.",
                      {kPartitionParameter},
                      {},
                      {{200, "its position", {{kPlaceSchema}}}}}});
}

}  // namespace heptane::admin
