// Lines into a command: read here, or on the worker where they are many; taken whole by the machine, or not: then it is asked what of
// them fits, and the rest is dropped here. 204 when it is synced.

#include <memory>
#include <utility>

#include "kernel/admin/answers.h"
#include "kernel/streams/api.h"
#include "modules/iot/gateway/series/line_judge.h"
#include "modules/iot/gateway/series/series_http.h"
#include "modules/iot/gateway/series/table_seed.h"
#include "modules/iot/machine/series/series_api.h"

namespace heptane::iot::series {

namespace {

using http::HttpExchange;
using http::HttpResponse;

constexpr size_t kReadHereBytes = 512 << 10;  // a millisecond or two; more is the worker's
constexpr size_t kShownBytes = 200;           // of a refused line
constexpr int kRoundsMax = 5;                 // while others change what there is

// What the projection has, and may have.
struct Room {
  const Projection& projection;
  SeriesLimits limits;
};

using ErrorForm = HttpResponse (*)(int status, std::string_view message);

struct Writing {
  std::string database;
  std::string body;
  int64_t unit_ns = 1;
  int64_t now_ns = 0;
  ErrorForm error = error_v1;
  // What reading made of it.
  Buffer command;
  std::vector<uint32_t> numbers;  // of the lines taken, in the request
  std::string first_error;        // of those that were not
  size_t refused = 0;
  bool names_too_many = false;
  // What judging made of it.
  int rounds = 0;
  size_t dropped = 0;
  std::string first_dropped;
  bool no_room = false;
};
using WritingPointer = std::shared_ptr<Writing>;

void refuse_line(Writing& writing, const Line& line, std::string_view why) {
  if (writing.refused++ > 0) return;
  writing.first_error = "line " + std::to_string(line.number) + ": unable to parse '";
  writing.first_error.append(line.text.substr(0, kShownBytes)).append("': ").append(why);
}

void read_lines(Writing& writing) {
  LinesCommandWriter out(writing.database, writing.unit_ns, writing.now_ns, table_seed());
  LineReader reader(writing.body, Reading::lines, &out.heads());
  Line line;
  std::string scratch;
  while (reader.next(line)) {
    if (!reader.refused().empty()) {
      refuse_line(writing, line, reader.refused());
      continue;
    }
    const auto key = series_key(line, scratch);
    if (!key)
      refuse_line(writing, line, "a tag is there twice");
    else if (!out.add(line, *key))
      refuse_line(writing, line, "a time beyond 64 bits of nanoseconds");
    else
      writing.numbers.push_back(static_cast<uint32_t>(line.number));
  }
  writing.names_too_many = !out.fits();
  if (out.count() > 0 && out.fits()) writing.command = out.finish();
  writing.body = {};
}

// Some lines were taken, or none: clients look for the first words.
HttpResponse partial(const Writing& writing) {
  std::string text = "partial write: " + writing.first_error;
  if (!writing.first_dropped.empty() && !writing.first_error.empty()) text += "; ";
  text.append(writing.first_dropped).append(" dropped=").append(std::to_string(writing.dropped + writing.refused));
  return writing.error(writing.no_room ? 422 : 400, text);
}

void finish(HttpExchange& exchange, const Writing& writing) {
  if (writing.dropped == 0 && writing.refused == 0) return exchange.respond({204, "", "", {}});
  exchange.respond(partial(writing));
}

// What the machine knows of its names drops lines of the command.
void judge(Writing& writing, const Fit& fit) {
  const auto command = decode_lines(writing.command.view());
  auto judged = command ? judge_lines(*command, fit, table_seed()) : std::nullopt;
  if (!judged) return;
  if (judged->dropped > 0 && writing.dropped == 0) {
    writing.first_dropped =
        "line " + std::to_string(writing.numbers[judged->first.line]) + ": " + std::move(judged->first.why);
    writing.no_room = judged->first.no_room;
  }
  writing.dropped += judged->dropped;
  writing.command = std::move(judged->command);
  std::vector<uint32_t> numbers;
  numbers.reserve(judged->kept.size());
  for (const uint32_t line : judged->kept) numbers.push_back(writing.numbers[line]);
  writing.numbers = std::move(numbers);
}

void send(HttpExchange& exchange, const WritingPointer& writing);

void judge_by(HttpExchange& exchange, const WritingPointer& writing, const Reply& reply) {
  if (!reply.ok()) return exchange.respond(writing->error(admin::status_of(*reply.error), reply.message));
  auto fit = decode_fit(reply.payload.view());
  if (!fit) return exchange.respond(writing->error(500, "what fits is not known"));
  if (writing->command.size() <= kReadHereBytes) {
    judge(*writing, *fit);
    return send(exchange, writing);
  }
  exchange.work([writing, fit = std::move(*fit)] { judge(*writing, fit); },
                [writing](HttpExchange& worked) { send(worked, writing); });
}

void answer(HttpExchange& exchange, const WritingPointer& writing, const Reply& reply) {
  if (reply.ok()) return finish(exchange, *writing);
  if (*reply.error != Errc::stale)
    return exchange.respond(writing->error(admin::status_of(*reply.error), reply.message));
  if (++writing->rounds == kRoundsMax)
    return exchange.respond(
        writing->error(503, "types of fields, or what room there is, change all the time: send it again"));
  exchange.query({kSeriesMachineId, kQueryFit, writing->command, {}},
                 [writing](HttpExchange& asked, const Reply& fit) { judge_by(asked, writing, fit); });
}

void send(HttpExchange& exchange, const WritingPointer& writing) {
  if (writing->names_too_many)
    return exchange.respond(writing->error(
        413, "a request may name 21,845 series, or 10,082 fields, or so in between: send fewer lines in each"));
  if (writing->command.empty()) return finish(exchange, *writing);
  exchange.submit(streams::make_command(kSeriesMachineId, kTakeLines, writing->command),
                  [writing](HttpExchange& answered, const Reply& reply) { answer(answered, writing, reply); });
}

void write(HttpExchange& exchange, const Room& room, std::string database, ErrorForm error) {
  auto writing = std::make_shared<Writing>();
  writing->error = error;
  writing->database = std::move(database);
  if (writing->database.empty()) return exchange.respond(error(400, "database is required"));
  if (writing->database.size() > kDatabaseNameBytesMax)
    return exchange.respond(error(404, "database not found: a name is at most 64 bytes"));
  if (!may(exchange, writing->database, auth::Verb::write))
    return exchange.respond(error(403, "not allowed to write to " + writing->database));
  if (room.projection.store().memory_bytes() >= room.limits.memory_bytes)
    return exchange.respond(error(503,
                                  "series and fields take all of series.memory_bytes: drop a database, or set it "
                                  "higher"));
  const auto precision = exchange.request().query_value("precision");
  const auto unit = precision_ns(precision.value_or("ns").empty() ? "ns" : precision.value_or("ns"));
  if (!unit)
    return exchange.respond(error(400, "invalid precision \"" + std::string(*precision) + "\": n, u, ms, s, m or h"));
  writing->unit_ns = *unit;
  writing->now_ns = exchange.context().utc_ns();
  writing->body = std::move(exchange.request().body);
  if (writing->body.size() > kReadHereBytes)
    return exchange.work([writing] { read_lines(*writing); },
                         [writing](HttpExchange& worked) { send(worked, writing); });
  read_lines(*writing);
  send(exchange, writing);
}

void write_v1(HttpExchange& exchange, const Room& room) {
  const auto policy = exchange.request().query_value("rp");
  if (policy && !policy->empty() && *policy != "autogen")
    return exchange.respond(
        error_v1(400, "there is no retention policy " + std::string(*policy) + ": autogen is the only one"));
  write(exchange, room, std::string(exchange.request().query_value("db").value_or("")), error_v1);
}

// A bucket is a database, or DATABASE/autogen.
void write_v2(HttpExchange& exchange, const Room& room) {
  std::string bucket(exchange.request().query_value("bucket").value_or(""));
  if (bucket.ends_with("/autogen")) bucket.resize(bucket.size() - std::string_view("/autogen").size());
  write(exchange, room, std::move(bucket), error_v2);
}

}  // namespace

void add_write_routes(http::HttpRouter& router, const Projection& projection, const SeriesLimits& limits) {
  const http::RouteOptions options{.any_content_type = true, .needs = {.open = false, .in_handler = true}};
  const Room room{projection, limits};
  router.add(
      http::Method::post, "/write", [room](HttpExchange& exchange) { write_v1(exchange, room); }, options);
  router.add(
      http::Method::post, "/api/v2/write", [room](HttpExchange& exchange) { write_v2(exchange, room); }, options);
}

}  // namespace heptane::iot::series
