// What an order's command over HTTP or the WebSocket of orders is known by, and what is answered to it. Pure.
#pragma once

#include <optional>
#include <string>

#include "modules/fintech/gateway/http/exchange_answers.h"

namespace heptane::fintech::exchange_http {

// A ClOrdID is its firm's once a trade date: the next day's is another order. The date is this server's (`utc_ns`); when the log's is
// another one by then, the machine refuses a ClOrdID that was used, and enters nothing twice on one trade date.
IdempotencyKey order_key(int64_t utc_ns, const std::string& firm, const std::string& client_id,
                         const Submission& submission);

HttpResponse order_response(int status, const exchange::OrderRow& row, const Reply* made);

// Of a command that answers with the order; `keyed`: it had an order_key. None: it is a repeat, whose order is asked for as it stands now
// (repeat_question), for its first answer is not kept.
std::optional<HttpResponse> order_answer(const Reply& reply, int status, bool keyed);
QueryRequest repeat_question(const std::string& firm, const Reply& made);
HttpResponse repeat_answer(const Reply& made, const Reply& now);

}  // namespace heptane::fintech::exchange_http
