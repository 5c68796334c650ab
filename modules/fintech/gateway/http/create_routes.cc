// POST: assets, accounts, transfers.
#include <map>
#include <span>

#include "kernel/admin/request_parameters.h"
#include "kernel/admin/transact_request.h"
#include "kernel/base/hash128.h"
#include "kernel/streams/api.h"
#include "modules/fintech/domain/ledger/failed_event.h"
#include "modules/fintech/domain/ledger/status_names.h"
#include "modules/fintech/gateway/http/ledger_answers.h"
#include "modules/fintech/gateway/http/ledger_routes.h"
#include "modules/fintech/gateway/http/ledger_schemas.h"

namespace heptane::fintech::ledger_http {

namespace {

using http::HttpExchange;
using http::HttpResponse;
using http::JsonValue;
using http::JsonWriter;

constexpr std::string_view kResultsSchema =
    R"({"type":"object","required":["position","results"],"properties":{"position":{"type":"string"},)"
    R"("repeated":{"type":"boolean"},"results":{"type":["array","null"],"items":{"type":"object",)"
    R"("required":["status","timestamp"],"properties":{"status":{"type":"string"},"timestamp":{"type":"string"}}}}}})";
constexpr std::string_view kAssetSchema =
    R"({"type":"object","required":["code","ledger","scale"],"properties":{"code":{"type":"string"},)"
    R"("ledger":{"type":"integer","minimum":1},"scale":{"type":"integer","minimum":0,"maximum":38},)"
    R"("position":{"type":"string"}}})";
// Of an answer that was given before answers said in brief what failed (kLogicBriefs).
constexpr std::string_view kResultsNotKept =
    "this was done before, and whether all of it succeeded is not kept: look up what it creates";

// The hash is of what was sent alone: a repeat is one, whatever was granted meanwhile.
Result<std::optional<IdempotencyKey>> key_of(const http::HttpRequest& request, Bytes sent) {
  const std::string_view key = request.header("Idempotency-Key");
  if (key.size() > admin::kIdempotencyKeyLimitBytes) return admin::invalid("Idempotency-Key is longer than 256 bytes");
  if (key.empty()) return std::optional<IdempotencyKey>();
  const Hash128 id = hash128(as_bytes(key));
  IdempotencyKey found;
  store_le(found.id.data(), id.low);
  store_le(found.id.data() + 8, id.high);
  found.request_hash = hash128(sent).low;
  return std::optional(found);
}

// Null: they are not kept.
template <class Status>
void write_results(const std::vector<CreateResult>* results, JsonWriter& out) {
  if (results == nullptr) {
    out.null();
    return;
  }
  out.begin_array();
  for (const CreateResult& result : *results) {
    out.begin_object().key("status").text(status_name(static_cast<Status>(result.status)));
    out.key("timestamp").text(number_text(result.timestamp)).end_object();
  }
  out.end_array();
}

template <class Status>
HttpResponse created(const Reply& reply, std::string_view what, bool keyed) {
  if (keyed && reply.error == Errc::invalid_argument && reply.detail == 0)
    return HttpResponse::error(422, "idempotency_key_reused", reply.message);
  if (!reply.ok()) return admin::refusal_response(reply);
  const bool known = !reply.payload.empty();  // a repeat's results may be too long to have been kept
  if (!known && !is_brief(reply.numbers)) return HttpResponse::error(409, "results_not_kept", kResultsNotKept);
  const std::vector<CreateResult> results = batch_rows<CreateResult>(reply.payload.view());
  const std::optional<FailedEvent> failed =
      known ? first_failed<Status>(std::as_bytes(std::span(results))) : failure_of(reply.numbers);
  JsonWriter out;
  out.begin_object();
  if (failed) {
    const std::string_view name = status_name(static_cast<Status>(failed->status));
    out.key("error").begin_object().key("code").text(name);
    out.key("message").text(std::string(what) + '[' + std::to_string(failed->index) + "]: " + std::string(name));
    out.key("index").unsigned_number(failed->index).end_object();
  }
  out.key("position").text(position_text(0, reply.sequence));
  if (reply.repeated) out.key("repeated").boolean(true);
  out.key("results");
  write_results<Status>(known ? &results : nullptr, out);
  out.end_object();
  return HttpResponse::json(failed ? 409 : 200, out.take());
}

// `{"NAME": [...]}`, each item by `parse(item, path)`.
template <class Row, class Parse>
Result<std::vector<Row>> parse_list(std::string body, std::string_view name, Parse parse) {
  auto document = http::JsonDocument::parse(std::move(body));
  if (!document) return document.error();
  http::JsonFields fields((*document)->root(), "");
  const std::optional<JsonValue> list = fields.array(name);
  if (!list || list->size() == 0) fields.fail(std::string(name) + " must be an array of at least one");
  HEPTANE_TRY(fields.finish());
  constexpr size_t kMost = kOperations.back().batch_max();
  if (list->size() > kMost) return Error{Errc::too_large, "at most 8189 " + std::string(name) + " in one request"};
  std::vector<Row> rows;
  rows.reserve(list->size());
  for (std::optional<JsonValue> item = list->first(); item; item = item->next()) {
    Result<Row> row = parse(*item, std::string(name) + '[' + std::to_string(rows.size()) + ']');
    if (!row) return row.error();
    rows.push_back(std::move(*row));
  }
  return rows;
}

// Settlements as such, so that they go on where there is no room for new state; a log from before they were commands of
// their own is asked as it knows it.
template <class Status, class Row>
void submit(HttpExchange& exchange, CommandType type, const Result<std::vector<Row>>& rows, std::string_view what) {
  if (!rows) return exchange.respond(admin::error_response(rows.error()));
  std::vector<std::byte> payload = batch_bytes(*rows);
  const Result<std::optional<IdempotencyKey>> key = key_of(exchange.request(), payload);
  if (!key) return exchange.respond(admin::error_response(key.error()));
  const std::function<bool()> withdraws =
      exchange.standing("ledger", std::string(kWithdrawResource), auth::Verb::create);
  Caller caller;
  caller.rights = rights_of(!withdraws || withdraws());
  caller.write(payload.data());
  Submission submission = streams::make_command(kLedgerMachineId, type, Buffer::take(std::move(payload)));
  submission.idempotency = *key;
  const auto answer = [keyed = key->has_value(), what](HttpExchange& answered, const Reply& reply) {
    answered.respond(created<Status>(reply, what, keyed));
  };
  if (type != kCreateTransfers || !settles(submission.payload.view()))
    return exchange.submit(std::move(submission), answer);
  Submission settlement = submission;
  settlement.type = kSettleTransfers;
  exchange.submit(std::move(settlement), [submission, answer](HttpExchange& answered, const Reply& reply) {
    if (reply.error != Errc::unsupported) return answer(answered, reply);
    answered.submit(submission, answer);
  });
}

void submit_transfers(HttpExchange& exchange, const Result<std::vector<Transfer>>& rows) {
  submit<TransferStatus>(exchange, kCreateTransfers, rows, "transfers");
}

void create_accounts(HttpExchange& exchange) {
  with_assets(exchange, [](HttpExchange& ready, const Assets& assets) {
    const auto rows = parse_list<Account>(
        std::move(ready.request().body), "accounts",
        [&](JsonValue item, const std::string& path) { return parse_account(item, path, *assets); });
    submit<AccountStatus>(ready, kCreateAccounts, rows, "accounts");
  });
}

// Posts and voids in decimals that do not say of what: their pending transfers'.
std::vector<Uint128> pending_to_look_up(const std::vector<ScaledTransfer>& sent) {
  std::vector<Uint128> ids;
  for (const ScaledTransfer& each : sent)
    if (each.decimals != ScaledTransfer::kRaw) ids.push_back(each.transfer.pending_id);
  return ids;
}

// A pending transfer is one of `stored`, or stands before what resolves it.
Result<std::vector<Transfer>> all_in_units(const std::vector<ScaledTransfer>& sent, const std::vector<Transfer>& stored,
                                           const AssetTable& assets) {
  std::map<Uint128, uint32_t> ledgers;
  for (const Transfer& transfer : stored) ledgers[transfer.id] = transfer.ledger;
  std::vector<Transfer> transfers;
  transfers.reserve(sent.size());
  for (const ScaledTransfer& each : sent) {
    const std::string path = "transfers[" + std::to_string(transfers.size()) + ']';
    uint32_t ledger = 0;
    if (each.decimals != ScaledTransfer::kRaw) {
      const auto pending = ledgers.find(each.transfer.pending_id);
      if (pending == ledgers.end())
        return admin::invalid(path + ".amount: there is no transfer " + number_text(each.transfer.pending_id) +
                              " to say its decimals: say asset, ledger or amount_raw");
      ledger = pending->second;
    }
    const Result<Transfer> transfer = in_units(each, ledger, assets, path);
    if (!transfer) return transfer.error();
    transfers.push_back(*transfer);
    if (transfer->has(transfer_flags::kPending)) ledgers.emplace(transfer->id, transfer->ledger);
  }
  return transfers;
}

void create_transfers(HttpExchange& exchange) {
  with_assets(exchange, [](HttpExchange& ready, const Assets& assets) {
    auto sent = parse_list<ScaledTransfer>(
        std::move(ready.request().body), "transfers",
        [&](JsonValue item, const std::string& path) { return parse_transfer(item, path, assets.get()); });
    if (!sent) return ready.respond(admin::error_response(sent.error()));
    const std::vector<Uint128> pending = pending_to_look_up(*sent);
    if (pending.empty()) return submit_transfers(ready, all_in_units(*sent, {}, *assets));
    ready.query(ledger_query(static_cast<uint16_t>(Operation::lookup_transfers), batch_payload(pending)),
                [assets, sent = std::move(*sent)](HttpExchange& answered, const Reply& reply) {
                  if (!reply.ok()) return answered.respond(admin::refusal_response(reply));
                  submit_transfers(answered, all_in_units(sent, batch_rows<Transfer>(reply.payload.view()), *assets));
                });
  });
}

Result<Asset> parse_asset(std::string body) {
  auto document = http::JsonDocument::parse(std::move(body));
  if (!document) return document.error();
  http::JsonFields fields((*document)->root(), "");
  Asset asset;
  asset.code = fields.text("code");
  asset.ledger = static_cast<uint32_t>(fields.integer("ledger", 1, UINT32_MAX));
  asset.scale = static_cast<uint8_t>(fields.integer("scale", 0, kScaleMax));
  if (!valid_asset_code(asset.code)) fields.fail("code must be 1 to 16 of a-z A-Z 0-9 . _ -");
  HEPTANE_TRY(fields.finish());
  return asset;
}

void create_asset(HttpExchange& exchange) {
  const Result<Asset> asset = parse_asset(std::move(exchange.request().body));
  if (!asset) return exchange.respond(admin::error_response(asset.error()));
  exchange.submit(streams::make_command(kLedgerMachineId, kPutAsset, encode(*asset)),
                  [asset = *asset](HttpExchange& answered, const Reply& reply) {
                    if (!reply.ok()) return answered.respond(admin::refusal_response(reply));
                    JsonWriter out;
                    out.begin_object().key("code").text(asset.code).key("ledger").unsigned_number(asset.ledger);
                    out.key("scale").unsigned_number(asset.scale).end_object();
                    answered.respond(HttpResponse::json(201, out.take()));
                  });
}

http::RouteDoc create_doc(std::string_view summary, std::string_view text, std::string_view body) {
  return {summary,
          text,
          {{"Idempotency-Key",
            "1 to 256 bytes: a repeat within 24 hours returns the first answer; beyond 14 events without `results`",
            http::kTextSchema, http::ParameterPlace::header}},
          {{body}},
          {{200, "every one was created, or existed just so; synced", {{kResultsSchema}}},
           {409, "the first failure by TigerBeetle's name, and the results of all", {{kResultsSchema}}}}};
}

}  // namespace

void add_create_routes(http::HttpRouter& router) {
  using http::Method;
  router.add(Method::post, "/api/v1/ledger/assets", create_asset,
             {.needs = needs("assets", auth::Verb::create),
              .doc = {"Name an asset",
                      "Once and for all: its ledger and its scale do not change. The same again is no error.",
                      {},
                      {{kAssetSchema}},
                      {{201, "registered and synced", {{kAssetSchema}}}}}});
  router.add(Method::post, "/api/v1/ledger/accounts", create_accounts,
             {.needs = needs("accounts", auth::Verb::create),
              .doc = create_doc("Create accounts", "`ledger`, or `asset` in its place. Linked ones are a chain.",
                                new_accounts_schema())});
  router.add(
      Method::post, "/api/v1/ledger/transfers", create_transfers,
      {.needs = needs("transfers", auth::Verb::create),
       .doc = create_doc("Create transfers",
                         "`amount` with at most the asset's decimals, or `amount_raw`; of a post or void without "
                         "asset and ledger, those of its pending transfer. Linked ones are a chain: all or none.",
                         new_transfers_schema())});
}

void add_routes(http::HttpRouter& router) {
  add_create_routes(router);
  add_read_routes(router);
  add_position_route(router);
}

}  // namespace heptane::fintech::ledger_http
