// What the routes of the ledger share: the assets first, then the question; rows out of replies; the words of errors.
#pragma once

#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "kernel/admin/answers.h"
#include "kernel/net/http/exchange.h"
#include "kernel/net/http/json_writer.h"
#include "kernel/net/http/router.h"
#include "modules/fintech/gateway/http/ledger_json.h"

namespace heptane::fintech::ledger_http {

// The body of a TigerBeetle operation without a session: one batch.
template <class Row>
std::vector<std::byte> batch_bytes(const std::vector<Row>& rows) {
  MultiBatchWriter writer(sizeof(Row));
  const auto* bytes = reinterpret_cast<const std::byte*>(rows.data());
  writer.out().assign(bytes, bytes + rows.size() * sizeof(Row));
  writer.end_batch();
  const std::vector<std::byte> body = writer.finish();
  std::vector<std::byte> payload(Caller::kBytes);
  payload.insert(payload.end(), body.begin(), body.end());
  return payload;
}
template <class Row>
Buffer batch_payload(const std::vector<Row>& rows) {
  return Buffer::take(batch_bytes(rows));
}

// The elements of a reply of batches.
template <class Row>
std::vector<Row> batch_rows(Bytes payload) {
  const std::optional<MultiBatch> batches = MultiBatch::parse(payload, sizeof(Row));
  std::vector<Row> rows(batches ? batches->elements() : 0);
  if (!rows.empty()) std::memcpy(rows.data(), payload.data(), rows.size() * sizeof(Row));
  return rows;
}

// Rows that lie one behind the other.
template <class Row>
std::vector<Row> plain_rows(Bytes payload) {
  std::vector<Row> rows(payload.size() / sizeof(Row));
  if (!rows.empty()) std::memcpy(rows.data(), payload.data(), rows.size() * sizeof(Row));
  return rows;
}

using Assets = std::shared_ptr<const AssetTable>;
using WithAssets = std::function<void(http::HttpExchange&, Assets)>;

inline QueryRequest ledger_query(uint16_t type, Buffer payload) {
  return {kLedgerMachineId, type, std::move(payload), {}};
}

inline void with_assets(http::HttpExchange& exchange, WithAssets then) {
  exchange.query(ledger_query(kQueryAssets, Buffer()),
                 [then = std::move(then)](http::HttpExchange& answered, const Reply& reply) {
                   if (!reply.ok()) return answered.respond(admin::refusal_response(reply));
                   Result<std::vector<Asset>> assets = decode_assets(reply.payload.view());
                   if (!assets)
                     return answered.respond(admin::error_response({Errc::internal, assets.error().message, 0}));
                   then(answered, std::make_shared<const AssetTable>(std::move(*assets)));
                 });
}

inline http::Needs needs(std::string resource, auth::Verb verb) {
  return {"ledger", std::move(resource), verb, false, false};
}

}  // namespace heptane::fintech::ledger_http
