// GET: assets, accounts, transfers, statements, balances, totals, the recount.
#include "kernel/admin/request_parameters.h"
#include "modules/fintech/gateway/http/ledger_answers.h"
#include "modules/fintech/gateway/http/ledger_routes.h"
#include "modules/fintech/gateway/http/ledger_schemas.h"

namespace heptane::fintech::ledger_http {

namespace {

using admin::check_parameters;
using http::HttpExchange;
using http::HttpRequest;
using http::HttpResponse;
using http::JsonWriter;

constexpr int64_t kLimitDefault = 100;
constexpr int64_t kLimitMax = 4096;
constexpr std::string_view kLimitSchema = R"({"type":"integer","minimum":1,"maximum":4096,"default":100})";
constexpr std::string_view kNumberSchema = R"({"type":"string","pattern":"^[0-9]+$"})";
constexpr std::string_view kFlagSchema = R"({"type":"string","enum":["true","false"]})";

// The path and query of a request as numbers; the first thing that is wrong is kept.
class Parameters {
 public:
  explicit Parameters(const HttpRequest& request) : request_(request) {}

  Uint128 id() { return number("id", request_.param("id"), kUint128Max); }
  Uint128 number(std::string_view name, Uint128 max = kUint128Max) {
    const auto text = request_.query_value(name);
    return text ? number(name, *text, max) : 0;
  }
  uint32_t limit() {
    const Result<int64_t> limit = admin::integer_parameter(request_, "limit", kLimitDefault, 1, kLimitMax);
    if (!limit) fail(limit.error());
    return limit ? static_cast<uint32_t>(*limit) : 1;
  }
  bool flag(std::string_view name, bool otherwise) {
    const auto text = request_.query_value(name);
    if (!text) return otherwise;
    if (*text != "true" && *text != "false") fail(admin::invalid(std::string(name) + " must be true or false"));
    return *text == "true";
  }
  void check(const Result<void>& result) {
    if (!result) fail(result.error());
  }
  const std::optional<Error>& error() const { return error_; }

 private:
  Uint128 number(std::string_view name, std::string_view text, Uint128 max) {
    const std::optional<Uint128> value = parse_number(text);
    if (value && *value <= max) return *value;
    fail(admin::invalid(std::string(name) + " must be a whole number from 0 to " + number_text(max)));
    return 0;
  }
  void fail(Error error) {
    if (!error_) error_ = std::move(error);
  }

  const HttpRequest& request_;
  std::optional<Error> error_;
};

template <class Filter>
void common_fields(Parameters& parameters, Filter& filter) {
  filter.user_data_128 = parameters.number("user_data_128");
  filter.user_data_64 = static_cast<uint64_t>(parameters.number("user_data_64", UINT64_MAX));
  filter.user_data_32 = static_cast<uint32_t>(parameters.number("user_data_32", UINT32_MAX));
  filter.code = static_cast<uint16_t>(parameters.number("code", UINT16_MAX));
  filter.timestamp_min = static_cast<uint64_t>(parameters.number("timestamp_min", kTimestampMax));
  filter.timestamp_max = static_cast<uint64_t>(parameters.number("timestamp_max", kTimestampMax));
  filter.limit = parameters.limit();
}

// Asks the machine once the assets are known; `write` makes the body of a good answer.
using WriteAnswer = std::function<void(JsonWriter&, const Reply&, const AssetTable&)>;
void ask(HttpExchange& exchange, const Parameters& parameters, uint16_t type, Buffer payload, WriteAnswer write) {
  if (parameters.error()) return exchange.respond(admin::error_response(*parameters.error()));
  with_assets(exchange, [type, payload = std::move(payload), write = std::move(write)](HttpExchange& ready,
                                                                                       const Assets& assets) {
    ready.query(ledger_query(type, payload), [assets, write](HttpExchange& answered, const Reply& reply) {
      if (!reply.ok()) return answered.respond(admin::refusal_response(reply));
      JsonWriter out;
      write(out, reply, *assets);
      answered.respond(HttpResponse::json(200, out.take()));
    });
  });
}

template <class Row>
WriteAnswer list_of(std::string_view name) {
  return [name](JsonWriter& out, const Reply& reply, const AssetTable& assets) {
    out.begin_object().key(name).begin_array();
    for (const Row& row : batch_rows<Row>(reply.payload.view())) write(out, row, assets);
    out.end_array().end_object();
  };
}

// One, by its id.
template <class Row>
void look_up(HttpExchange& exchange, Operation operation, std::string_view what) {
  Parameters parameters(exchange.request());
  parameters.check(check_parameters(exchange.request(), {}));
  const Uint128 id = parameters.id();
  if (parameters.error()) return exchange.respond(admin::error_response(*parameters.error()));
  with_assets(exchange, [operation, what, id](HttpExchange& ready, const Assets& assets) {
    ready.query(ledger_query(static_cast<uint16_t>(operation), batch_payload<Uint128>({id})),
                [assets, what, id](HttpExchange& answered, const Reply& reply) {
                  if (!reply.ok()) return answered.respond(admin::refusal_response(reply));
                  const std::vector<Row> rows = batch_rows<Row>(reply.payload.view());
                  if (rows.empty())
                    return answered.respond(admin::error_response(
                        {Errc::not_found, "there is no " + std::string(what) + ' ' + number_text(id), 0}));
                  JsonWriter out;
                  write(out, rows.front(), *assets);
                  answered.respond(HttpResponse::json(200, out.take()));
                });
  });
}

template <class Row>
void query_rows(HttpExchange& exchange, Operation operation, std::string_view name) {
  Parameters parameters(exchange.request());
  parameters.check(
      check_parameters(exchange.request(), {"user_data_128", "user_data_64", "user_data_32", "code", "ledger",
                                            "timestamp_min", "timestamp_max", "limit", "reversed"}));
  QueryFilter filter{};
  common_fields(parameters, filter);
  filter.ledger = static_cast<uint32_t>(parameters.number("ledger", UINT32_MAX));
  if (parameters.flag("reversed", false)) filter.flags = filter_flags::kQueryReversed;
  ask(exchange, parameters, static_cast<uint16_t>(operation), batch_payload<QueryFilter>({filter}), list_of<Row>(name));
}

AccountFilter account_filter(HttpExchange& exchange, Parameters& parameters) {
  parameters.check(
      check_parameters(exchange.request(), {"user_data_128", "user_data_64", "user_data_32", "code", "debits",
                                            "credits", "timestamp_min", "timestamp_max", "limit", "reversed"}));
  AccountFilter filter{};
  filter.account_id = parameters.id();
  common_fields(parameters, filter);
  if (parameters.flag("debits", true)) filter.flags |= filter_flags::kDebits;
  if (parameters.flag("credits", true)) filter.flags |= filter_flags::kCredits;
  if (parameters.flag("reversed", false)) filter.flags |= filter_flags::kReversed;
  return filter;
}

void account_transfers(HttpExchange& exchange) {
  Parameters parameters(exchange.request());
  const AccountFilter filter = account_filter(exchange, parameters);
  ask(exchange, parameters, static_cast<uint16_t>(Operation::get_account_transfers),
      batch_payload<AccountFilter>({filter}), list_of<Transfer>("transfers"));
}

void write_balances(JsonWriter& out, const std::vector<AccountBalance>& rows, const Asset* asset) {
  out.begin_object().key("balances").begin_array();
  for (const AccountBalance& row : rows) {
    out.begin_object().key("timestamp").text(number_text(row.timestamp));
    write_amount(out, "debits_pending", row.debits_pending, asset);
    write_amount(out, "debits_posted", row.debits_posted, asset);
    write_amount(out, "credits_pending", row.credits_pending, asset);
    write_amount(out, "credits_posted", row.credits_posted, asset);
    out.end_object();
  }
  out.end_array().end_object();
}

// The account first: a row of history does not say its ledger.
void account_balances(HttpExchange& exchange) {
  Parameters parameters(exchange.request());
  const AccountFilter filter = account_filter(exchange, parameters);
  if (parameters.error()) return exchange.respond(admin::error_response(*parameters.error()));
  with_assets(exchange, [filter](HttpExchange& ready, const Assets& assets) {
    ready.query(
        ledger_query(static_cast<uint16_t>(Operation::lookup_accounts), batch_payload<Uint128>({filter.account_id})),
        [filter, assets](HttpExchange& known, const Reply& found) {
          if (!found.ok()) return known.respond(admin::refusal_response(found));
          const std::vector<Account> accounts = batch_rows<Account>(found.payload.view());
          const Asset* asset = accounts.empty() ? nullptr : assets->of(accounts.front().ledger);
          known.query(ledger_query(static_cast<uint16_t>(Operation::get_account_balances),
                                   batch_payload<AccountFilter>({filter})),
                      [assets, asset](HttpExchange& answered, const Reply& reply) {
                        if (!reply.ok()) return answered.respond(admin::refusal_response(reply));
                        JsonWriter out;
                        write_balances(out, batch_rows<AccountBalance>(reply.payload.view()), asset);
                        answered.respond(HttpResponse::json(200, out.take()));
                      });
        });
  });
}

// Where a statement goes on: `TIMESTAMP-DEBITS-CREDITS`, what the last page ended with.
bool parse_page(std::string_view text, StatementQuery& query) {
  const size_t first = text.find('-');
  const size_t second = first == std::string_view::npos ? first : text.find('-', first + 1);
  if (second == std::string_view::npos) return false;
  const auto before = parse_number(text.substr(0, first));
  const auto debits = parse_number(text.substr(first + 1, second - first - 1));
  const auto credits = parse_number(text.substr(second + 1));
  if (!before || !debits || !credits || *before == 0 || *before > kTimestampMax) return false;
  query.before = static_cast<uint64_t>(*before);
  query.debits_posted = *debits;
  query.credits_posted = *credits;
  return true;
}

std::string next_page(const StatementRow& last, Uint128 account_id) {
  Uint128 debits = last.debits_posted;
  Uint128 credits = last.credits_posted;
  if (!last.transfer.has(transfer_flags::kPending | transfer_flags::kVoid))
    (last.transfer.debit_account_id == account_id ? debits : credits) -= last.transfer.amount;
  return number_text(last.transfer.timestamp) + '-' + number_text(debits) + '-' + number_text(credits);
}

void write_statement(JsonWriter& out, const Reply& reply, const AssetTable& assets) {
  const std::vector<Account> account = plain_rows<Account>(reply.payload.view().first(sizeof(Account)));
  const std::vector<StatementRow> rows = plain_rows<StatementRow>(reply.payload.view().subspan(sizeof(Account)));
  const Asset* asset = assets.of(account.front().ledger);
  out.begin_object().key("account");
  write(out, account.front(), assets);
  out.key("rows").begin_array();
  for (const StatementRow& row : rows) {
    out.begin_object().key("transfer");
    write(out, row.transfer, assets);
    write_amount(out, "debits_posted", row.debits_posted, asset);
    write_amount(out, "credits_posted", row.credits_posted, asset);
    out.end_object();
  }
  out.end_array();
  if (reply.numbers[1] == 1) out.key("next_page").text(next_page(rows.back(), account.front().id));
  out.end_object();
}

void account_statement(HttpExchange& exchange) {
  Parameters parameters(exchange.request());
  parameters.check(check_parameters(exchange.request(), {"limit", "page"}));
  StatementQuery query{};
  query.account_id = parameters.id();
  query.limit = parameters.limit();
  if (const auto page = exchange.request().query_value("page"); page && !parse_page(*page, query))
    parameters.check(admin::invalid("page must be the next_page of the page before"));
  const Bytes bytes{reinterpret_cast<const std::byte*>(&query), sizeof query};
  ask(exchange, parameters, kQueryStatement, Buffer::copy_of(bytes), write_statement);
}

void list_assets(HttpExchange& exchange) {
  if (const auto wrong = check_parameters(exchange.request(), {}); !wrong)
    return exchange.respond(admin::error_response(wrong.error()));
  with_assets(exchange, [](HttpExchange& ready, const Assets& assets) {
    JsonWriter out;
    out.begin_object().key("assets").begin_array();
    for (const Asset& asset : assets->all()) write(out, asset);
    out.end_array().end_object();
    ready.respond(HttpResponse::json(200, out.take()));
  });
}

// Of a request that takes none.
Parameters no_parameters(HttpExchange& exchange) {
  Parameters parameters(exchange.request());
  parameters.check(check_parameters(exchange.request(), {}));
  return parameters;
}

void list_totals(HttpExchange& exchange) {
  ask(exchange, no_parameters(exchange), kQueryTotals, Buffer(),
      [](JsonWriter& out, const Reply& reply, const AssetTable& assets) {
        out.begin_object().key("ledgers").begin_array();
        for (const LedgerTotalsRow& row : plain_rows<LedgerTotalsRow>(reply.payload.view())) {
          const Asset* asset = assets.of(row.ledger);
          out.begin_object().key("ledger").unsigned_number(row.ledger);
          if (asset != nullptr) out.key("asset").text(asset->code);
          out.key("accounts").unsigned_number(row.accounts);
          write_amount(out, "debits_pending", row.debits_pending, asset);
          write_amount(out, "debits_posted", row.debits_posted, asset);
          write_amount(out, "credits_pending", row.credits_pending, asset);
          write_amount(out, "credits_posted", row.credits_posted, asset);
          out.end_object();
        }
        out.end_array().end_object();
      });
}

// A slice more of the recount for each request: who asks goes on asking until it is done.
void recount(HttpExchange& exchange) {
  ask(exchange, no_parameters(exchange), kQueryRecount, Buffer(),
      [](JsonWriter& out, const Reply& reply, const AssetTable&) {
        const std::vector<RecountRow> rows = plain_rows<RecountRow>(reply.payload.view());
        const bool done = reply.numbers[1] == 1;
        out.begin_object().key("done").boolean(done).key("counted").number(reply.numbers[0]);
        if (!done && !rows.empty()) out.key("of").unsigned_number(rows.front().transfers);
        if (done && !rows.empty()) {
          const RecountRow& row = rows.front();
          out.key("agrees").boolean(row.differing_accounts == 0 && row.differing_ledgers == 0);
          out.key("transfers").unsigned_number(row.transfers).key("accounts").unsigned_number(row.accounts);
          out.key("differing_accounts").unsigned_number(row.differing_accounts);
          out.key("differing_ledgers").unsigned_number(row.differing_ledgers);
          out.key("first_differing").begin_array();
          for (uint64_t i = 0; i < row.named; ++i) out.text(number_text(row.differing[i]));
          out.end_array();
        }
        out.end_object();
      });
}

constexpr std::string_view kAssets =
    R"({"type":"object","required":["assets"],"properties":{"assets":{"type":"array","items":{"type":"object",)"
    R"("required":["code","ledger","scale"]}}}})";
constexpr std::string_view kRecount =
    R"({"type":"object","required":["done","counted"],"properties":{"done":{"type":"boolean"},)"
    R"("counted":{"type":"integer"},"of":{"type":"integer"},"agrees":{"type":"boolean"},"transfers":{"type":"integer"},)"
    R"("accounts":{"type":"integer"},"differing_accounts":{"type":"integer"},"differing_ledgers":{"type":"integer"},)"
    R"("first_differing":{"type":"array","items":{"type":"string"}}}})";

std::vector<http::ParameterDoc> filters(bool of_account) {
  std::vector<http::ParameterDoc> docs = {
      {"user_data_128", "only with this", kNumberSchema}, {"user_data_64", "only with this", kNumberSchema},
      {"user_data_32", "only with this", kNumberSchema},  {"code", "only with this", kNumberSchema},
      {"timestamp_min", "not older", kNumberSchema},      {"timestamp_max", "not newer", kNumberSchema},
      {"limit", "at most so many", kLimitSchema},         {"reversed", "the newest first", kFlagSchema}};
  if (of_account) {
    docs.push_back({"debits", "those that debit the account; true", kFlagSchema});
    docs.push_back({"credits", "those that credit it; true", kFlagSchema});
  } else {
    docs.push_back({"ledger", "only of this ledger", kNumberSchema});
  }
  return docs;
}

http::RouteDoc reads(std::string_view summary, std::string_view schema, std::vector<http::ParameterDoc> parameters = {},
                     std::string_view text = "") {
  return {summary, text, std::move(parameters), {}, {{200, "as of what is synced", {{schema}}}}};
}

}  // namespace

void add_read_routes(http::HttpRouter& router) {
  using http::Method;
  const auto add = [&](std::string_view path, http::Handler handler, const char* resource, http::RouteDoc doc) {
    router.add(Method::get, path, std::move(handler),
               {.needs = needs(resource, auth::Verb::read), .doc = std::move(doc)});
  };
  add("/api/v1/ledger/assets", list_assets, "assets", reads("Every asset", kAssets));
  add(
      "/api/v1/ledger/accounts",
      [](HttpExchange& exchange) { query_rows<Account>(exchange, Operation::query_accounts, "accounts"); }, "accounts",
      reads("Accounts, the oldest first", accounts_schema(), filters(false)));
  add(
      "/api/v1/ledger/accounts/{id}",
      [](HttpExchange& exchange) { look_up<Account>(exchange, Operation::lookup_accounts, "account"); }, "accounts",
      reads("One account with its balances", account_schema()));
  add("/api/v1/ledger/accounts/{id}/transfers", account_transfers, "transfers",
      reads("The transfers of an account", transfers_schema(), filters(true)));
  add("/api/v1/ledger/accounts/{id}/balances", account_balances, "accounts",
      reads("What an account with history held behind each of its transfers", balances_schema(), filters(true)));
  add("/api/v1/ledger/accounts/{id}/statement", account_statement, "transfers",
      reads("The transfers of an account, the newest first, each with what was posted behind it", statement_schema(),
            {{"limit", "at most so many", kLimitSchema}, {"page", "next_page of the page before"}}));
  add(
      "/api/v1/ledger/transfers",
      [](HttpExchange& exchange) { query_rows<Transfer>(exchange, Operation::query_transfers, "transfers"); },
      "transfers", reads("Transfers, the oldest first", transfers_schema(), filters(false)));
  add(
      "/api/v1/ledger/transfers/{id}",
      [](HttpExchange& exchange) { look_up<Transfer>(exchange, Operation::lookup_transfers, "transfer"); }, "transfers",
      reads("One transfer", transfer_schema()));
  add("/api/v1/ledger/totals", list_totals, "totals", reads("What all accounts of each ledger hold", totals_schema()));
  add("/api/v1/ledger/recount", recount, "totals",
      reads(
          "Count all balances again from the transfers alone", kRecount, {},
          "Each request counts a slice more, at most 50,000 transfers, until done is true and the answer says whether "
          "every balance agrees."));
}

}  // namespace heptane::fintech::ledger_http
