// Queries: statement by statement, in the order sent. What is asked of the points waits until the projection shows what was synced when
// the question came, a second at most. All answers to a request share one budget, and few requests hold answers at a time.

#include <algorithm>
#include <charconv>
#include <memory>
#include <utility>

#include "kernel/net/http/url.h"
#include "kernel/streams/api.h"
#include "modules/iot/gateway/series/result_json.h"
#include "modules/iot/gateway/series/series_http.h"
#include "modules/iot/gateway/series/statement_run.h"
#include "modules/iot/machine/series/series_api.h"
#include "modules/iot/machine/texts.h"

namespace heptane::iot::series {

namespace {

using http::HttpExchange;
using http::HttpResponse;

constexpr int64_t kSecondNs = 1'000'000'000;
constexpr int64_t kWaitNs = kSecondNs;
constexpr int64_t kLookEveryNs = 1'000'000;
constexpr size_t kChunkRows = 10'000;
constexpr size_t kPieceBytes = 64 << 10;  // of the response, at least
constexpr size_t kQueriesMax = 4;         // that hold answers, until they are sent
constexpr int64_t kQueryLookEveryNs = 5'000'000;

// How many hold answers. The I/O thread's.
class QueryPlaces {
 public:
  bool take() { return taken_ < kQueriesMax && ++taken_ > 0; }
  void give_back() { --taken_; }

 private:
  size_t taken_ = 0;
};

struct Querying {
  Querying(Projection& projection, std::shared_ptr<QueryPlaces> all, int64_t limit_ns)
      : shown(projection), places(std::move(all)), query_ns(limit_ns) {}
  ~Querying() {
    if (has_place) places->give_back();
  }
  Querying(const Querying&) = delete;
  Querying& operator=(const Querying&) = delete;

  Projection& shown;
  const std::shared_ptr<QueryPlaces> places;
  const int64_t query_ns;
  int64_t until_ns = 0;  // from when it has a place
  bool has_place = false;
  const std::shared_ptr<AnswerBudget> budget = std::make_shared<AnswerBudget>();
  std::vector<Statement> statements;
  size_t next = 0;
  std::string database;
  AnswerForm form;
  int64_t now_ns = 0;
  std::vector<StatementAnswer> answers;
  std::unique_ptr<ResultWriter> writer;
};
using QueryingPointer = std::shared_ptr<Querying>;

// In the query, or in a body that is a form.
std::optional<std::string> parameter(const http::HttpRequest& request, std::string_view name) {
  if (const auto value = request.query_value(name)) return std::string(*value);
  if (http::media_type(request.header("Content-Type")) != "application/x-www-form-urlencoded") return std::nullopt;
  std::string_view rest = request.body;
  while (!rest.empty()) {
    const std::string_view pair = rest.substr(0, rest.find('&'));
    rest.remove_prefix(std::min(rest.size(), pair.size() + 1));
    if (pair.substr(0, pair.find('=')) != name || pair.find('=') == std::string_view::npos) continue;
    return http::percent_decoded(pair.substr(name.size() + 1), true);
  }
  return std::nullopt;
}

void run_next(HttpExchange& exchange, const QueryingPointer& querying);

void send_pieces(HttpExchange& exchange, const QueryingPointer& querying) {
  std::string piece;
  while (piece.size() < kPieceBytes && !querying->writer->done()) piece += querying->writer->next();
  if (querying->writer->done()) return exchange.end(std::move(piece));
  exchange.send_piece(std::move(piece), [querying](HttpExchange& room) { send_pieces(room, querying); });
}

void respond(HttpExchange& exchange, const QueryingPointer& querying) {
  if (const uint64_t gap = querying->shown.store().gap_records(); gap > 0)
    querying->form.warning =
        std::to_string(gap) + " records of iot.lines are not shown: the log did not hold them any more";
  querying->writer = std::make_unique<ResultWriter>(std::move(querying->answers), querying->form);
  if (querying->form.chunk_rows == 0) {
    std::string first = querying->writer->next();
    if (querying->writer->done()) return exchange.respond(HttpResponse::json(200, std::move(first)));
    exchange.start(HttpResponse::json(200, ""));
    return exchange.send_piece(std::move(first), [querying](HttpExchange& room) { send_pieces(room, querying); });
  }
  exchange.start(HttpResponse::json(200, ""));
  send_pieces(exchange, querying);
}

void done(HttpExchange& exchange, const QueryingPointer& querying, StatementAnswer answer) {
  const bool failed = !answer.error.empty();
  querying->answers.push_back(std::move(answer));
  ++querying->next;
  if (!failed) return run_next(exchange, querying);
  for (; querying->next < querying->statements.size(); ++querying->next)
    querying->answers.push_back({"not executed", {}});
  respond(exchange, querying);
}

void fail(HttpExchange& exchange, const QueryingPointer& querying, std::string why) {
  done(exchange, querying, {std::move(why), {}});
}

std::string too_long(const Querying& querying) {
  return "the query took longer than " + std::to_string(querying.query_ns / kSecondNs) +
         " s (series.query_seconds): ask for less time, fewer series or a LIMIT";
}

void work(HttpExchange& exchange, const QueryingPointer& querying, const std::shared_ptr<StatementRun>& run) {
  const auto more = std::make_shared<bool>(false);
  exchange.work([run, more] { *more = run->run(); },
                [querying, run, more](HttpExchange& worked) {
                  if (*more && worked.context().monotonic_ns() < querying->until_ns) return work(worked, querying, run);
                  if (*more) return fail(worked, querying, too_long(*querying));
                  done(worked, querying, {run->error(), run->error().empty() ? run->take() : std::vector<Table>()});
                });
}

// Until the projection has all before `end`, or never will.
void wait_for(HttpExchange& exchange, const QueryingPointer& querying, Offset end, int64_t until_ns,
              std::string database) {
  const Offset applied = querying->shown.store().applied();
  if (applied >= end || querying->shown.failed()) {
    const auto run = std::make_shared<StatementRun>(querying->shown.store(), querying->statements[querying->next],
                                                    std::move(database), querying->now_ns, querying->budget);
    return work(exchange, querying, run);
  }
  if (exchange.context().monotonic_ns() >= until_ns)
    return fail(exchange, querying,
                "the points are shown up to " + std::to_string(applied) + " of iot.lines, " + std::to_string(end) +
                    " are written: ask again");
  exchange.pause(kLookEveryNs, [querying, end, until_ns, database = std::move(database)](HttpExchange& waited) {
    wait_for(waited, querying, end, until_ns, database);
  });
}

// Waits for a place, then for the projection.
void enter(HttpExchange& exchange, const QueryingPointer& querying, Offset end, int64_t until_ns,
           std::string database) {
  const int64_t now_ns = exchange.context().monotonic_ns();
  if (!querying->has_place && querying->places->take()) {
    querying->has_place = true;
    querying->until_ns = now_ns + querying->query_ns;
  }
  if (querying->has_place && now_ns >= querying->until_ns) return fail(exchange, querying, too_long(*querying));
  if (querying->has_place) return wait_for(exchange, querying, end, now_ns + kWaitNs, std::move(database));
  if (now_ns >= until_ns) {
    const std::string why = std::to_string(kQueriesMax) + " queries are being answered: ask again";
    return querying->answers.empty() ? exchange.respond(error_v1(503, why)) : fail(exchange, querying, why);
  }
  exchange.pause(kQueryLookEveryNs, [querying, end, until_ns, database = std::move(database)](HttpExchange& waited) {
    enter(waited, querying, end, until_ns, database);
  });
}

std::vector<std::string> names_of(const Reply& reply) {
  std::vector<std::string> names;
  ByteReader in(reply.payload.view());
  while (in.remaining() > 0 && !in.failed()) names.emplace_back(get_text(in));
  return names;
}

void show_databases(HttpExchange& exchange, const QueryingPointer& querying, const Reply& reply) {
  Table table{"databases", {}, {"name"}, {}};
  for (std::string& name : names_of(reply))
    if (exchange.sees("admin", "series/" + name)) table.rows.push_back({Cell(std::move(name))});
  done(exchange, querying, {"", {std::move(table)}});
}

// The one there is. How long shards are says nothing of the files here; it is what 1.8 says of autogen.
void show_policies(HttpExchange& exchange, const QueryingPointer& querying) {
  Table table{"", {}, {"name", "duration", "shardGroupDuration", "replicaN", "default"}, {}};
  table.rows.push_back({Cell("autogen"), Cell("0s"), Cell("168h0m0s"), Cell(int64_t{1}), Cell(true)});
  done(exchange, querying, {"", {std::move(table)}});
}

// What there is and how far it is written is known.
void look(HttpExchange& exchange, const QueryingPointer& querying, const Reply& reply) {
  if (!reply.ok()) return fail(exchange, querying, reply.message);
  const Statement& statement = querying->statements[querying->next];
  const bool show = statement.kind == Statement::Kind::show;
  if (show && statement.show.kind == ShowKind::databases) return show_databases(exchange, querying, reply);
  const Source& source = show ? statement.show.source : statement.select.source;
  std::string database = source.database.empty() ? querying->database : source.database;
  if (database.empty()) return fail(exchange, querying, "database name required");
  const std::vector<std::string> names = names_of(reply);
  if (!may(exchange, database, auth::Verb::read)) return fail(exchange, querying, "not allowed to read " + database);
  if (std::find(names.begin(), names.end(), database) == names.end())
    return fail(exchange, querying, "database not found: " + database);
  if (show && statement.show.kind == ShowKind::policies) return show_policies(exchange, querying);
  enter(exchange, querying, reply.numbers[1], exchange.context().monotonic_ns() + kQueryWaitNs, std::move(database));
}

void change_database(HttpExchange& exchange, const QueryingPointer& querying, bool create) {
  const std::string& name = querying->statements[querying->next].database;
  if (exchange.request().method != http::Method::post)
    return fail(exchange, querying, "what changes something needs POST");
  if (!may(exchange, name, create ? auth::Verb::create : auth::Verb::remove))
    return fail(exchange, querying, "not allowed to do that with " + name);
  exchange.submit(
      streams::make_command(kSeriesMachineId, create ? kCreateDatabase : kDropDatabase, Buffer::copy_of(name)),
      [querying](HttpExchange& answered, const Reply& reply) {
        done(answered, querying, {reply.ok() ? "" : reply.message, {}});
      });
}

void run_next(HttpExchange& exchange, const QueryingPointer& querying) {
  if (querying->next == querying->statements.size()) return respond(exchange, querying);
  const Statement::Kind kind = querying->statements[querying->next].kind;
  if (kind == Statement::Kind::create_database || kind == Statement::Kind::drop_database)
    return change_database(exchange, querying, kind == Statement::Kind::create_database);
  exchange.query({kSeriesMachineId, kQueryDatabases, {}, {}},
                 [querying](HttpExchange& answered, const Reply& reply) { look(answered, querying, reply); });
}

// What is wrong with the form; empty: nothing.
std::string read_form(const http::HttpRequest& request, AnswerForm& form) {
  if (const auto epoch = parameter(request, "epoch"); epoch && !epoch->empty()) {
    const auto unit = precision_ns(*epoch);
    if (!unit) return "invalid epoch \"" + *epoch + "\": n, u, ms, s, m or h";
    form.unit_ns = *unit;
  }
  if (parameter(request, "chunked") == "true") {
    form.chunk_rows = kChunkRows;
    if (const auto size = parameter(request, "chunk_size")) {
      const auto [end, error] = std::from_chars(size->data(), size->data() + size->size(), form.chunk_rows);
      if (error != std::errc() || form.chunk_rows == 0) return "invalid chunk_size \"" + *size + "\"";
      form.chunk_rows = std::min(form.chunk_rows, kChunkRows);
    }
  }
  return {};
}

void query(HttpExchange& exchange, Projection& projection, const std::shared_ptr<QueryPlaces>& places,
           int64_t limit_ns) {
  const http::HttpRequest& request = exchange.request();
  const auto text = parameter(request, "q");
  if (!text || text->empty()) return exchange.respond(error_v1(400, "missing required parameter \"q\""));
  auto querying = std::make_shared<Querying>(projection, places, limit_ns);
  querying->now_ns = exchange.context().utc_ns();
  querying->database = parameter(request, "db").value_or("");
  if (std::string why = read_form(request, querying->form); !why.empty()) return exchange.respond(error_v1(400, why));
  auto statements = parse_influxql(*text, querying->now_ns);
  if (!statements) return exchange.respond(error_v1(400, statements.error().message));
  querying->statements = std::move(*statements);
  run_next(exchange, querying);
}

}  // namespace

void add_query_routes(http::HttpRouter& router, Projection& projection, const SeriesLimits& limits) {
  const http::RouteOptions options{.any_content_type = true, .needs = {.open = false, .in_handler = true}};
  const auto handler = [&projection, places = std::make_shared<QueryPlaces>(), limit_ns = limits.query_ns](
                           HttpExchange& exchange) { query(exchange, projection, places, limit_ns); };
  router.add(http::Method::get, "/query", handler, options);
  router.add(http::Method::post, "/query", handler, options);
}

}  // namespace heptane::iot::series
