// Lines into a command: read here, or on the worker where they are many; judged by the machine; 204 when it is synced.

#include <memory>
#include <utility>

#include "kernel/admin/answers.h"
#include "kernel/streams/api.h"
#include "modules/iot/gateway/series/series_http.h"
#include "modules/iot/machine/series/series_api.h"

namespace heptane::iot::series {

namespace {

using http::HttpExchange;
using http::HttpResponse;

constexpr size_t kReadHereBytes = 512 << 10;  // a millisecond or two; more is the worker's
constexpr size_t kShownBytes = 200;           // of a refused line

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
};

void refuse_line(Writing& writing, const Line& line, std::string_view why) {
  if (writing.refused++ > 0) return;
  writing.first_error = "line " + std::to_string(line.number) + ": unable to parse '";
  writing.first_error.append(line.text.substr(0, kShownBytes)).append("': ").append(why);
}

void read_lines(Writing& writing) {
  LinesCommandWriter out(writing.database, writing.unit_ns, writing.now_ns, writing.body.size());
  LineReader reader(writing.body);
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
  if (out.count() > 0) writing.command = out.finish();
  writing.body = {};
}

// Some lines were taken, or none: clients look for the first words.
HttpResponse partial(const Writing& writing, size_t dropped, std::string_view dropped_why, bool no_room) {
  std::string text = "partial write: " + writing.first_error;
  if (!dropped_why.empty() && !writing.first_error.empty()) text += "; ";
  text.append(dropped_why).append(" dropped=").append(std::to_string(dropped + writing.refused));
  return writing.error(no_room ? 422 : 400, text);
}

std::string dropped_text(const Writing& writing, uint32_t line, std::string_view why) {
  if (line >= writing.numbers.size()) return std::string(why);
  return "line " + std::to_string(writing.numbers[line]) + ": " + std::string(why);
}

HttpResponse refused(const Writing& writing, const Reply& reply) {
  if (reply.detail == 0) return writing.error(admin::status_of(*reply.error), reply.message);
  return partial(writing, writing.numbers.size(), dropped_text(writing, reply.detail - 1, reply.message),
                 *reply.error == Errc::no_space);
}

void answer(HttpExchange& exchange, const Writing& writing, const Reply& reply) {
  if (!reply.ok()) return exchange.respond(refused(writing, reply));
  const auto dropped = static_cast<size_t>(reply.numbers[1]);
  if (dropped == 0 && writing.refused == 0) return exchange.respond({204, "", "", {}});
  const auto first = dropped > 0 ? decode_dropped(reply.payload.view()) : std::nullopt;
  exchange.respond(partial(writing, dropped, first ? dropped_text(writing, first->line, first->why) : std::string(),
                           first && first->no_room));
}

void send(HttpExchange& exchange, const std::shared_ptr<Writing>& writing) {
  if (writing->command.empty()) {
    if (writing->refused == 0) return exchange.respond({204, "", "", {}});
    return exchange.respond(partial(*writing, 0, "", false));
  }
  exchange.submit(streams::make_command(kSeriesMachineId, kWriteLines, std::move(writing->command)),
                  [writing](HttpExchange& answered, const Reply& reply) { answer(answered, *writing, reply); });
}

void write(HttpExchange& exchange, std::string database, ErrorForm error) {
  auto writing = std::make_shared<Writing>();
  writing->error = error;
  writing->database = std::move(database);
  if (writing->database.empty()) return exchange.respond(error(400, "database is required"));
  if (writing->database.size() > kDatabaseNameBytesMax)
    return exchange.respond(error(404, "database not found: a name is at most 64 bytes"));
  if (!may(exchange, writing->database, auth::Verb::write))
    return exchange.respond(error(403, "not allowed to write to " + writing->database));
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

void write_v1(HttpExchange& exchange) {
  const auto policy = exchange.request().query_value("rp");
  if (policy && !policy->empty() && *policy != "autogen")
    return exchange.respond(
        error_v1(400, "there is no retention policy " + std::string(*policy) + ": autogen is the only one"));
  write(exchange, std::string(exchange.request().query_value("db").value_or("")), error_v1);
}

// A bucket is a database, or DATABASE/autogen.
void write_v2(HttpExchange& exchange) {
  std::string bucket(exchange.request().query_value("bucket").value_or(""));
  if (bucket.ends_with("/autogen")) bucket.resize(bucket.size() - std::string_view("/autogen").size());
  write(exchange, std::move(bucket), error_v2);
}

}  // namespace

void add_write_routes(http::HttpRouter& router) {
  const http::RouteOptions options{.any_content_type = true, .needs = {.open = false, .in_handler = true}};
  router.add(http::Method::post, "/write", write_v1, options);
  router.add(http::Method::post, "/api/v2/write", write_v2, options);
}

}  // namespace heptane::iot::series
