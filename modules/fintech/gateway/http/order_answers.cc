#include "modules/fintech/gateway/http/order_answers.h"

#include "modules/fintech/gateway/http/exchange_json.h"
#include "modules/fintech/machine/exchange/risk_api.h"

namespace heptane::fintech::exchange_http {

namespace {

// Rules did not let the order through: its command is kept, and says no again where it is repeated.
HttpResponse ruled_out(const Reply& reply) {
  const auto refused = exchange::unpacked<exchange::RiskRefused>(reply.payload.view());
  Reply said = reply;
  said.error = Errc::refused;
  said.detail = refused && !reply.repeated ? refused->detail
                                           : exchange::kFixReason + static_cast<uint32_t>(exchange::Rejected::other);
  said.message = refused && !reply.repeated
                     ? refused->text
                     : "version " + std::to_string(reply.numbers[1]) +
                           " of the risk rules did not let it through: another try is another ClOrdID";
  return admin::refusal_response(said);
}

}  // namespace

IdempotencyKey order_key(int64_t utc_ns, const std::string& firm, const std::string& client_id,
                         const Submission& submission) {
  const int64_t date = exchange::trade_date(utc_ns);
  return key_of("order", std::to_string(date) + '\n' + firm + '\n' + client_id, submission.type,
                submission.payload.view());
}

HttpResponse order_response(int status, const exchange::OrderRow& row, const Reply* made) {
  JsonWriter out;
  out.begin_object();
  write_members(out, row);
  if (made != nullptr) write_position(out, *made);
  out.end_object();
  return HttpResponse::json(status, out.take());
}

std::optional<HttpResponse> order_answer(const Reply& reply, int status, bool keyed) {
  if (keyed && reply.error == Errc::invalid_argument && reply.detail == 0)
    return HttpResponse::error(409, "exists", "the ClOrdID was used by another request");
  if (!reply.ok()) return admin::refusal_response(reply);
  if (reply.numbers[0] == 0) return ruled_out(reply);
  const auto row = exchange::unpacked<exchange::OrderRow>(reply.payload.view());
  if (!row || reply.repeated) return std::nullopt;
  return order_response(status, *row, &reply);
}

QueryRequest repeat_question(const std::string& firm, const Reply& made) {
  return question(exchange::kQueryOrder, exchange::OrderQuery{firm, static_cast<uint64_t>(made.numbers[0]), ""});
}

HttpResponse repeat_answer(const Reply& made, const Reply& now) {
  const auto row = now.ok() ? exchange::unpacked<exchange::OrderRow>(now.payload.view()) : std::nullopt;
  if (row) return order_response(200, *row, &made);
  JsonWriter out;
  out.begin_object().key("order_id").text(std::to_string(made.numbers[0]));
  write_position(out, made);
  out.end_object();
  return HttpResponse::json(200, out.take());
}

}  // namespace heptane::fintech::exchange_http
