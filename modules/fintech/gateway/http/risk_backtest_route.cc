// POST a set of rules that is tried on the orders that were judged from a position on: read page by page of fintech.risk, judged on a
// worker, answered line by line. One at a time: each has windows of its own.
#include <atomic>
#include <memory>

#include "kernel/admin/stored_records.h"
#include "kernel/streams/view_batches.h"
#include "modules/fintech/gateway/http/exchange_answers.h"
#include "modules/fintech/gateway/http/exchange_routes.h"
#include "modules/fintech/gateway/http/risk_backtest.h"
#include "modules/fintech/gateway/http/risk_json.h"
#include "modules/fintech/machine/exchange/risk_api.h"

namespace heptane::fintech::exchange_http {

namespace {

using auth::Verb;

constexpr uint32_t kReadBytes = 1 << 20;
constexpr std::string_view kStream = exchange::kStreams[exchange::kRiskView.number - 1];
constexpr std::string_view kNote =
    "rules alone were tried, on the orders as they were: book and balances are not run again";

struct Asked {
  risk_rules::RuleSetSpec spec;
  Sequence from = 0;
};

// `0:123`, or the number alone.
std::optional<Sequence> sequence_of(std::string_view text) {
  if (text.starts_with("0:")) text.remove_prefix(2);
  const std::optional<Uint128> number = parse_number(text);
  if (!number || *number > INT64_MAX) return std::nullopt;
  return static_cast<Sequence>(*number);
}

Result<Asked> asked_of_json(std::string body) {
  auto document = http::JsonDocument::parse(std::move(body));
  if (!document) return document.error();
  http::JsonFields fields((*document)->root(), "");
  Asked asked;
  const std::optional<Sequence> from = sequence_of(fields.text_or("from", "0:0"));
  if (!from) fields.fail("from is a position such as 0:123");
  const auto rules = fields.value("rules");
  if (!rules) fields.fail("rules is missing: a set of rules as it is put");
  HEPTANE_TRY(fields.finish());
  auto spec = rules_of_json(std::string(rules->raw()));
  if (!spec) return spec.error();
  return Asked{std::move(*spec), *from};
}

class BacktestRequest : public std::enable_shared_from_this<BacktestRequest> {
 public:
  // `busy` is false again when it is over.
  BacktestRequest(Asked asked, std::shared_ptr<std::atomic<bool>> busy)
      : asked_(std::move(asked)), busy_(std::move(busy)) {}
  ~BacktestRequest() { *busy_ = false; }
  BacktestRequest(const BacktestRequest&) = delete;
  BacktestRequest& operator=(const BacktestRequest&) = delete;

  void find_lists(HttpExchange& exchange) {
    standing_ = exchange.standing("admin", "exchange", Verb::read);
    exchange.query(QueryRequest{exchange::kExchangeMachineId, exchange::kQueryRiskLists, {}, {}},
                   [self = shared_from_this()](HttpExchange& answered, const Reply& reply) {
                     if (!reply.ok()) return answered.respond(admin::refusal_response(reply));
                     const auto rows = exchange::unpacked_rows<exchange::RiskListRow>(reply.payload.view());
                     if (!rows) return answered.respond(cut_off());
                     for (const exchange::RiskListRow& row : *rows) self->names_.push_back(row.name);
                     self->find_list(answered);
                   });
  }

 private:
  // The next one that is not there yet.
  void find_list(HttpExchange& exchange) {
    if (names_.empty()) return begin(exchange);
    const std::string name = names_.back();
    names_.pop_back();
    exchange.query(question(exchange::kQueryRiskList, name),
                   [self = shared_from_this(), name](HttpExchange& answered, const Reply& reply) {
                     auto list = reply.ok() ? exchange::unpacked<risk_rules::List>(reply.payload.view()) : std::nullopt;
                     if (list) self->lists_[name] = std::move(*list);  // else it went meanwhile
                     self->find_list(answered);
                   });
  }

  void begin(HttpExchange& exchange) {
    auto made = RiskBacktest::make(asked_.spec, lists_);
    if (!made) return exchange.respond(admin::error_response(made.error()));
    test_.emplace(std::move(*made));
    admin::find_partition(exchange, std::string(kStream), 0,
                          [self = shared_from_this()](HttpExchange& answered, const streams::PartitionInfo& partition) {
                            self->partition_ = partition.id;
                            self->next_ = partition.log_start;
                            self->end_ = partition.durable_end;
                            HttpResponse head = HttpResponse::json(200, "");
                            head.content_type = "application/x-ndjson";
                            answered.start(std::move(head));
                            self->read(answered);
                          });
  }

  void read(HttpExchange& exchange) {
    if (next_ >= end_) return exchange.end(summary());
    ReadRequest request;
    request.partition = partition_;
    request.offset = next_;
    request.max_bytes = kReadBytes;
    exchange.read(request, [self = shared_from_this()](HttpExchange& answered, const net::RecordsRead& records) {
      self->on_records(answered, records);
    });
  }

  void on_records(HttpExchange& exchange, const net::RecordsRead& records) {
    if (admin::revoked(standing_)) return exchange.break_off(admin::kRevoked);
    if (records.error || records.batches.empty()) return exchange.break_off("the records cannot be read");
    batches_ = records.batches;
    exchange.work([self = shared_from_this()] { self->judge(); },
                  [self = shared_from_this()](HttpExchange& judged) { self->answer(judged); });
  }

  // On a worker.
  void judge() {
    for (const Buffer& batch : batches_) {
      const Result<void> walked =
          admin::for_each_stored(batch.view(), [this](const streams::RecordView& record) { take(record); });
      if (!walked) failed_ = true;
    }
    batches_.clear();
  }

  void take(const streams::RecordView& record) {
    if (record.offset < next_ || record.offset >= end_) return;
    next_ = record.offset + 1;
    const std::string_view position = admin::header_of(record, streams::kPositionHeader);
    const std::optional<Sequence> sequence = sequence_of(position.substr(0, position.find('/')));
    if (sequence && *sequence < asked_.from) return;
    lines_ += test_->take(as_text(record.value), position);
  }

  void answer(HttpExchange& exchange) {
    if (failed_) return exchange.break_off("a record does not read");
    JsonWriter progress;
    progress.begin_object().key("judged_by_now").unsigned_number(test_->judged()).end_object();
    exchange.send_piece(std::exchange(lines_, std::string()) + progress.take(),
                        [self = shared_from_this()](HttpExchange& sent) { self->read(sent); });
  }

  std::string summary() const {
    JsonWriter out;
    out.begin_object().key("judged").unsigned_number(test_->judged());
    out.key("differ").unsigned_number(test_->differ());
    for (const auto verdict : {risk_rules::Verdict::allow, risk_rules::Verdict::review, risk_rules::Verdict::deny})
      out.key(risk_rules::verdict_name(verdict)).unsigned_number(test_->verdicts()[static_cast<size_t>(verdict)]);
    out.key("unread").unsigned_number(test_->unread()).key("note").text(kNote).end_object();
    return out.take();
  }

  Asked asked_;
  std::shared_ptr<std::atomic<bool>> busy_;
  std::function<bool()> standing_;
  std::vector<std::string> names_;
  risk_rules::Lists lists_;
  std::optional<RiskBacktest> test_;
  PartitionId partition_ = kNoPartition;
  Offset next_ = 0;
  Offset end_ = 0;
  std::vector<Buffer> batches_;
  std::string lines_;
  bool failed_ = false;
};

constexpr std::string_view kBody =
    R"({"type":"object","required":["rules"],"additionalProperties":false,"properties":{"rules":{"type":"object"},)"
    R"("from":{"$ref":"#/components/schemas/Position"}}})";
constexpr std::string_view kLine =
    R"({"type":"object","properties":{"position":{"type":"string"},"cl_ord_id":{"type":"string"},"account":{)"
    R"("type":"string"},"symbol":{"type":"string"},"was":{"type":"string"},"would_be":{"type":"string"},"why":{)"
    R"("type":"string"},"judged_by_now":{"type":"integer"},"judged":{"type":"integer"},"differ":{"type":"integer"}}})";

}  // namespace

void add_risk_backtest_route(http::HttpRouter& router) {
  const auto busy = std::make_shared<std::atomic<bool>>(false);
  router.add(
      http::Method::post, "/api/v1/exchange/risk-rules/backtest",
      [busy](HttpExchange& exchange) {
        auto asked = asked_of_json(std::move(exchange.request().body));
        if (!asked) return exchange.respond(admin::error_response(asked.error()));
        if (busy->exchange(true))
          return exchange.respond(admin::error_response({Errc::overloaded, "another backtest goes on", 0}));
        std::make_shared<BacktestRequest>(std::move(*asked), busy)->find_lists(exchange);
      },
      {.needs = of_operators(Verb::read),
       .doc = {"Try risk rules on the orders that were judged",
               "From a position on, with the lists of now: a line of JSON for each order of which they would say "
               "something else than was said, lines that tell how far it is, and a last one with the sums. "
               "`fintech.risk` has the orders since rules were put.",
               {},
               {{kBody}},
               {{200, "lines of JSON", {{kLine, "application/x-ndjson"}}},
                {400, "what is wrong with the rules, and where", {{kErrorSchema}}},
                {404, "no order was ever judged", {{kErrorSchema}}},
                {503, "another backtest goes on", {{kErrorSchema}}}}}});
}

}  // namespace heptane::fintech::exchange_http
