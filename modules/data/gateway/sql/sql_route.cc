#include "modules/data/gateway/sql/sql_route.h"

#include <atomic>
#include <charconv>
#include <memory>
#include <utility>

#include "kernel/admin/answers.h"
#include "kernel/admin/request_parameters.h"
#include "kernel/net/http/exchange.h"
#include "kernel/net/http/json_writer.h"
#include "modules/data/gateway/sql/sql_text.h"

namespace heptane::data::sql {

namespace {

using http::HttpExchange;
using http::HttpResponse;
using http::JsonWriter;

constexpr size_t kPieceBytes = 64 << 10;
constexpr int64_t kHoldNs = int64_t{70} * 1'000'000'000;  // below the listener's idle timeout

int status_of(std::string_view code) {
  if (code == "42501") return 403;
  if (code == "57014") return 504;
  if (code.starts_with("53") || code.starts_with("57") || code == "58030") return 503;
  return code.starts_with("XX") ? 500 : 400;
}

HttpResponse response_of(const Failure& failure) {
  JsonWriter out;
  out.begin_object().key("error").begin_object().key("code").text(failure.sqlstate);
  out.key("message").text(failure.message);
  if (!failure.hint.empty()) out.key("hint").text(failure.hint);
  if (failure.position != 0) out.key("position").unsigned_number(failure.position);
  out.end_object().end_object();
  return HttpResponse::json(status_of(failure.sqlstate), out.take());
}

// `0:123456`; of the only shard.
std::optional<uint64_t> position_of(std::string_view text) {
  if (!text.starts_with("0:")) return std::nullopt;
  uint64_t sequence = 0;
  const auto [end, error] = std::from_chars(text.data() + 2, text.data() + text.size(), sequence);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return sequence;
}

struct SqlWanted {
  std::string statement;
  std::optional<uint64_t> as_of;
  bool csv = false;
};

Result<SqlWanted> parse(const http::HttpRequest& request) {
  HEPTANE_TRY(admin::check_parameters(request, {"q", "as_of", "format"}));
  SqlWanted wanted;
  const auto statement = request.query_value("q");
  if (!statement || statement->empty()) return admin::invalid("q must be there: a SELECT");
  wanted.statement = *statement;
  if (const auto as_of = request.query_value("as_of")) {
    wanted.as_of = position_of(*as_of);
    if (!wanted.as_of) return admin::invalid("as_of must be a position: 0:123456");
  }
  const std::string_view format = request.query_value("format").value_or("json");
  if (format != "json" && format != "csv") return admin::invalid("format must be json or csv");
  wanted.csv = format == "csv";
  return wanted;
}

// One request. Its jobs and the I/O thread take turns with it: between a job's hand-over and its end it is the job's.
class SqlRequest : public std::enable_shared_from_this<SqlRequest> {
 public:
  SqlRequest(SqlWanted wanted, SqlAccess access, std::shared_ptr<Connection> connection)
      : wanted_(std::move(wanted)), access_(access), connection_(std::move(connection)) {}
  // The client went between two pieces: what the cursor holds is not let go of on the I/O thread, where there is room elsewhere.
  ~SqlRequest() {
    if (cursor_ == nullptr) return;
    (void)access_.engine->submit({}, connection_,
                                 [cursor = std::shared_ptr<Cursor>(std::move(cursor_))](Connection&) {});
  }
  SqlRequest(const SqlRequest&) = delete;
  SqlRequest& operator=(const SqlRequest&) = delete;

  void go_on(HttpExchange& exchange) {
    const auto wake = std::make_shared<std::function<void()>>();
    const auto left = std::make_shared<Left>(connection_);
    const JobOwner owner = access_.service->wait([wake] { (*wake)(); });
    job_done_ = false;
    const bool taken = access_.engine->submit(owner, connection_, [self = shared_from_this()](Connection& connection) {
      self->work(connection);
      self->job_done_ = true;
    });
    if (!taken) {
      access_.service->forget(owner);
      Failure busy{"53400", "too many statements wait", "ask again later", 0};
      return fail(exchange, busy);
    }
    *wake = exchange.hold(kHoldNs, [self = shared_from_this(), left, owner](HttpExchange& worked) {
      if (self->job_done_) {
        left->heard = true;
        return self->answer(worked);
      }
      self->access_.service->forget(owner);
      self->late(worked);
    });
  }

 private:
  // A client that went before its answer came ends its statement.
  struct Left {
    explicit Left(std::shared_ptr<Connection> of) : connection(std::move(of)) {}
    ~Left() {
      if (!heard) connection->interrupt();
    }
    Left(const Left&) = delete;
    Left& operator=(const Left&) = delete;
    const std::shared_ptr<Connection> connection;
    bool heard = false;
  };

  // On the engine's thread.
  void work(Connection& connection) {
    if (cursor_ == nullptr && !begin(connection)) return;
    while (piece_.size() < kPieceBytes) {
      Outcome<std::unique_ptr<Rows>> next = cursor_->next();
      if (auto* wrong = std::get_if<Failure>(&next)) {
        failure_ = std::move(*wrong);
        return cursor_.reset();
      }
      const std::unique_ptr<Rows>& rows = std::get<std::unique_ptr<Rows>>(next);
      if (rows == nullptr) {
        if (!wanted_.csv) piece_ += "\n]}\n";
        last_ = true;
        return cursor_.reset();
      }
      for (size_t row = 0; row < rows->size(); ++row) append(*rows, row);
    }
  }

  bool begin(Connection& connection) {
    Outcome<std::shared_ptr<Prepared>> prepared = connection.prepare(wanted_.statement);
    if (auto* wrong = std::get_if<Failure>(&prepared)) {
      failure_ = std::move(*wrong);
      return false;
    }
    Outcome<std::unique_ptr<Cursor>> cursor =
        connection.execute(std::get<std::shared_ptr<Prepared>>(prepared), {}, wanted_.as_of, {});
    if (auto* wrong = std::get_if<Failure>(&cursor)) {
      failure_ = std::move(*wrong);
      return false;
    }
    cursor_ = std::move(std::get<std::unique_ptr<Cursor>>(cursor));
    position_ = position_text(0, cursor_->position());
    write_head();
    return true;
  }

  void write_head() {
    if (wanted_.csv) return append_csv_names(cursor_->columns(), piece_);
    JsonWriter columns;
    columns.begin_array();
    for (const Column& column : cursor_->columns())
      columns.begin_object().key("name").text(column.name).key("type").text(type_name(column.type)).end_object();
    std::string text = columns.end_array().take();
    text.pop_back();
    piece_ = R"({"position":")" + position_ + R"(","columns":)" + text + R"(,"rows":[)";
  }

  void append(const Rows& rows, size_t row) {
    if (wanted_.csv) return append_csv(cursor_->columns(), rows, row, piece_);
    piece_ += std::exchange(any_row_, true) ? ",\n" : "\n";
    append_json(cursor_->columns(), rows, row, piece_);
  }

  // On the I/O thread.
  void answer(HttpExchange& exchange) {
    if (failure_) return fail(exchange, *failure_);
    std::string piece = std::exchange(piece_, {});
    HttpResponse response{200, wanted_.csv ? "text/csv; charset=utf-8" : "application/json", {}, {}, {}};
    response.headers.push_back({"Heptane-Position", position_});
    if (started_ && last_) return exchange.end(std::move(piece));
    if (last_) {
      response.body = std::move(piece);
      return exchange.respond(std::move(response));
    }
    if (!std::exchange(started_, true)) exchange.start(std::move(response));
    exchange.send_piece(std::move(piece), [self = shared_from_this()](HttpExchange& room) { self->go_on(room); });
  }

  void late(HttpExchange& exchange) const { fail(exchange, {"57014", "the statement took longer than it may", "", 0}); }

  void fail(HttpExchange& exchange, const Failure& failure) const {
    if (started_) return exchange.break_off(failure.message);
    exchange.respond(response_of(failure));
  }

  const SqlWanted wanted_;
  const SqlAccess access_;
  const std::shared_ptr<Connection> connection_;
  std::unique_ptr<Cursor> cursor_;
  std::string piece_;
  std::string position_;
  std::optional<Failure> failure_;
  bool any_row_ = false;
  bool last_ = false;
  bool started_ = false;
  std::atomic<bool> job_done_{false};
};

void run(HttpExchange& exchange, const SqlAccess& access) {
  if (access.engine == nullptr)
    return exchange.respond(admin::error_response(Error{Errc::not_found, "the module data is off"}));
  Result<SqlWanted> wanted = parse(exchange.request());
  if (!wanted) return exchange.respond(admin::error_response(wanted.error()));
  Outcome<std::shared_ptr<Connection>> connection = access.engine->connect();
  if (const auto* wrong = std::get_if<Failure>(&connection)) return exchange.respond(response_of(*wrong));
  auto& connected = std::get<std::shared_ptr<Connection>>(connection);
  connected->set_rights(readable_by(access.gate, exchange.identity()));
  std::make_shared<SqlRequest>(std::move(*wanted), access, std::move(connected))->go_on(exchange);
}

constexpr std::string_view kAnswerSchema =
    R"({"type":"object","required":["position","columns","rows"],"properties":{"position":{"type":"string"},)"
    R"("columns":{"type":"array","items":{"type":"object","required":["name","type"],"properties":{)"
    R"("name":{"type":"string"},"type":{"type":"string"}}}},"rows":{"type":"array","items":{"type":"array"}}}})";
constexpr std::string_view kFormatSchema = R"({"type":"string","enum":["json","csv"],"default":"json"})";

http::RouteDoc doc() {
  return {
      "Run a SELECT over the tables of all streams",
      "Every stream that you may read is a table: fintech.trades is trades in the schema fintech, a name that does "
      "not begin with a module's stands in public. The answer is of one position, which it names; it comes piece by "
      "piece, and one that cannot be finished is broken off. An error's code is PostgreSQL's.",
      {{"q", "one statement that only reads"},
       {"as_of", "a position, 0:123456: what was there then"},
       {"format", "of the answer", kFormatSchema}},
      {},
      {{200,
        "the rows; the header Heptane-Position says of which position",
        {{kAnswerSchema}, {http::kTextSchema, "text/csv"}}}}};
}

}  // namespace

std::function<bool(std::string_view)> readable_by(const auth::Gate* gate, auth::Identity identity) {
  if (gate == nullptr) return [](std::string_view) { return true; };
  return [gate, identity = std::move(identity)](std::string_view stream) {
    return gate->may(identity, "streams", stream, auth::Verb::read);
  };
}

void add_sql_route(http::HttpRouter& router, std::function<SqlAccess()> access) {
  http::RouteOptions options;
  options.needs.in_handler = true;  // of which streams, the statement says
  options.doc = doc();
  router.add(
      http::Method::get, "/api/v1/sql",
      [access = std::move(access)](HttpExchange& exchange) { run(exchange, access()); }, std::move(options));
}

}  // namespace heptane::data::sql
