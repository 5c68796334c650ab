// What the routes of the exchange share: commands and questions of its machine, idempotency, pages, the words of errors.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "kernel/admin/answers.h"
#include "kernel/admin/request_parameters.h"
#include "kernel/base/hash128.h"
#include "kernel/net/http/exchange.h"
#include "kernel/streams/api.h"
#include "modules/fintech/gateway/http/exchange_json.h"
#include "modules/fintech/gateway/http/ledger_answers.h"

namespace heptane::fintech::exchange_http {

using http::HttpExchange;
using http::HttpResponse;
using http::JsonWriter;

constexpr std::string_view kErrorSchema = R"({"$ref":"#/components/schemas/Error"})";

inline http::Needs of_operators(auth::Verb verb) { return {"admin", "exchange", verb, false, false}; }
// Who puts right what was traded; operators who list instruments need not be.
inline http::Needs of_market_ops(auth::Verb verb) { return {"admin", "market_ops", verb, false, false}; }
inline http::Needs of_firm(auth::Verb verb) { return {"exchange", "{firm}", verb, false, false}; }
inline http::Needs of_market() { return {"exchange", "market", auth::Verb::read, false, false}; }

// A repeat with the same key is the first request's answer, within 24 hours. The key belongs to one command: another one of the
// same bytes is another request.
inline IdempotencyKey key_of(std::string_view scope, std::string_view key, CommandType type, Bytes sent) {
  const Hash128 id = hash128(as_bytes(std::string(scope) + '\n' + std::string(key)));
  IdempotencyKey found;
  store_le(found.id.data(), id.low);
  store_le(found.id.data() + 8, id.high);
  found.request_hash = hash128(as_bytes(std::to_string(type) + '\n' + std::string(as_text(sent)))).low;
  return found;
}

template <class Payload>
Submission command(CommandType type, const Payload& payload) {
  return streams::make_command(exchange::kExchangeMachineId, type, exchange::packed(payload));
}
template <class Payload>
QueryRequest question(uint16_t type, const Payload& payload) {
  return {exchange::kExchangeMachineId, type, exchange::packed(payload), {}};
}

inline void write_position(JsonWriter& out, const Reply& reply) {
  if (reply.repeated)
    out.key("repeated").boolean(true);
  else
    out.key("position").text(position_text(0, reply.sequence));
}

// Submits, and answers `{...}` with what `write` adds.
inline void change(HttpExchange& exchange, Submission submission, int status,
                   std::function<void(JsonWriter&, const Reply&)> write) {
  exchange.submit(std::move(submission),
                  [status, write = std::move(write)](HttpExchange& answered, const Reply& reply) {
                    if (!reply.ok()) return answered.respond(admin::refusal_response(reply));
                    JsonWriter out;
                    out.begin_object();
                    write(out, reply);
                    write_position(out, reply);
                    out.end_object();
                    answered.respond(HttpResponse::json(status, out.take()));
                  });
}

// Of a command whose payload was read of the body.
template <class Payload, class Write>
void change(HttpExchange& exchange, CommandType type, const Result<Payload>& payload, int status, Write write) {
  if (!payload) return exchange.respond(admin::error_response(payload.error()));
  change(exchange, command(type, *payload), status, write);
}

inline HttpResponse cut_off() { return admin::error_response({Errc::corrupt, "the machine's answer is cut off", 0}); }

}  // namespace heptane::fintech::exchange_http
