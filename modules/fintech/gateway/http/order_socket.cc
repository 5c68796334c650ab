#include "modules/fintech/gateway/http/order_socket.h"

#include <limits>
#include <utility>

#include "kernel/admin/stored_records.h"
#include "kernel/streams/api.h"
#include "modules/fintech/gateway/http/exchange_json.h"
#include "modules/fintech/gateway/http/order_answers.h"

namespace heptane::fintech::exchange_http {

namespace {

using http::JsonFields;
using http::JsonValue;
using http::WebSocket;

constexpr uint16_t kCloseForbidden = 4403;
constexpr uint16_t kCloseFailed = 4500;
constexpr size_t kAskIdMax = 64;
constexpr uint32_t kReadBytes = 128 << 10;
constexpr int64_t kTryAgainNs = 200'000'000;

// The id of the message, and an order's number.
std::string id_of(JsonFields& fields) {
  const std::optional<JsonValue> said = fields.value("id");
  if (!said) return {};
  const bool known = said->type() == http::JsonType::text || said->type() == http::JsonType::integer;
  if (known && said->raw().size() <= kAskIdMax) return std::string(said->raw());
  fields.fail("id is a text or an integer of at most 64 bytes");
  return {};
}

uint64_t number_of(JsonFields& fields) {
  const std::optional<Uint128> number = parse_number(fields.text("order_id"));
  if (number && *number != 0 && *number <= std::numeric_limits<uint64_t>::max()) return static_cast<uint64_t>(*number);
  fields.fail("order_id is an order's number, as a text");
  return 0;
}

// Without its line end.
void say(http::JsonWriter& out, WebSocket& socket) {
  out.end_object();
  const std::string text = out.take();
  socket.send_text(std::string_view(text).substr(0, text.size() - 1));
  (void)socket.output_full();  // it leaves, also where nobody waits
}

std::string_view body_of(const http::HttpResponse& response) {
  std::string_view body = response.body;
  while (body.ends_with('\n')) body.remove_suffix(1);
  return body;
}

}  // namespace

void OrderSocket::on_open(WebSocket& socket) {
  if (rights_.read) look_again_ = socket.context().arm(admin::kLookAgainNs);
}

void OrderSocket::on_binary(Bytes, WebSocket& socket) {
  socket.close(http::kCloseUnsupportedData, "messages here are JSON texts");
}

// False: it is over.
bool OrderSocket::stands(WebSocket& socket) {
  if (!admin::revoked(rights_.read)) return true;
  socket.close(kCloseForbidden, admin::kRevoked);
  return false;
}

void OrderSocket::on_timer(net::SessionTimerId timer, WebSocket& socket) {
  if (!stands(socket)) return;
  if (timer == look_again_) look_again_ = socket.context().arm(admin::kLookAgainNs);
  if (timer != again_) return;
  again_ = 0;
  partition_ == kNoPartition ? describe(socket) : read(socket);
}

// ---- requests

Result<OrderSocket::Wanted> OrderSocket::wanted_of(std::string message, std::string& id) {
  return object_of<Wanted>(std::move(message), [&id](JsonFields& fields, Wanted& wanted) {
    wanted.id = id = id_of(fields);
    wanted.op = fields.text("op");
    const bool places = wanted.op == "place";
    const bool replaces = wanted.op == "replace";
    const bool cancels = wanted.op == "cancel";
    if (!places && !replaces && !cancels && wanted.op != "reports")
      return fields.fail("op is one of place, replace, cancel, reports");
    if (replaces || cancels) wanted.order_id = number_of(fields);
    if (wanted.op == "reports" && fields.value("from"))
      wanted.from = fields.integer("from", 0, std::numeric_limits<int64_t>::max());
    if (!places && !replaces) return;
    const std::optional<JsonValue> order = fields.value("order");
    if (!order || order->type() != http::JsonType::object) return fields.fail("order is missing, or no object");
    wanted.order = order->raw();
  });
}

const OrderSocket::Standing& OrderSocket::right_to(std::string_view op) const {
  if (op == "place") return rights_.create;
  if (op == "replace") return rights_.alter;
  return op == "cancel" ? rights_.remove : rights_.read;
}

void OrderSocket::on_text(std::string_view message, WebSocket& socket) {
  if (!stands(socket)) return;
  std::string id;
  Result<Wanted> wanted = wanted_of(std::string(message), id);
  if (!wanted) return answer(id, admin::error_response(wanted.error()), socket);
  if (admin::revoked(right_to(wanted->op)))
    return answer(id, HttpResponse::error(403, "forbidden", "you may not " + wanted->op + " orders of " + firm_),
                  socket);
  if (wanted->op == "reports") return begin_reports(*wanted, socket);
  ask(*wanted, socket);
}

Result<Submission> OrderSocket::submission_of(Wanted& wanted, int64_t utc_ns) const {
  if (wanted.op == "cancel") return command(exchange::kCancelOrder, exchange::CancelOrder{firm_, wanted.order_id, ""});
  if (wanted.op == "place") {
    const auto order = order_of_json(std::move(wanted.order), firm_);
    if (!order) return order.error();
    Submission submission = command(exchange::kNewOrder, *order);
    submission.idempotency = order_key(utc_ns, firm_, order->client_id, submission);
    return submission;
  }
  const auto change = replace_of_json(std::move(wanted.order), firm_, wanted.order_id);
  if (!change) return change.error();
  Submission submission = command(exchange::kReplaceOrder, *change);
  submission.idempotency = order_key(utc_ns, firm_, change->client_id, submission);
  return submission;
}

void OrderSocket::ask(Wanted& wanted, WebSocket& socket) {
  Result<Submission> submission = submission_of(wanted, socket.context().utc_ns());
  if (!submission) return answer(wanted.id, admin::error_response(submission.error()), socket);
  submission->principal = principal_;
  Outstanding asked{wanted.id, wanted.op == "place" ? 201 : 200, submission->idempotency.has_value(), std::nullopt};
  const RequestId request = ++last_request_;
  if (!socket.context().submit(request, std::move(*submission)))
    return answer(wanted.id, admin::error_response({Errc::overloaded, "the server is busy: try again", 0}), socket);
  outstanding_.emplace(request, std::move(asked));
  if (outstanding_.size() < kOutstandingMax || paused_) return;
  paused_ = true;
  socket.pause_input(true);
}

void OrderSocket::answer(const std::string& id, const http::HttpResponse& response, WebSocket& socket) {
  http::JsonWriter out;
  out.begin_object().key("type").text("answer");
  if (!id.empty()) out.key("id").raw(id);
  out.key("status").number(response.status).key("body").raw(body_of(response));
  say(out, socket);
}

void OrderSocket::on_reply(RequestId request, const Reply& reply, WebSocket& socket) {
  if (request == describing_) return take_place(reply, socket);
  const auto found = outstanding_.find(request);
  if (found == outstanding_.end()) return;
  Outstanding asked = std::move(found->second);
  outstanding_.erase(found);
  settle(std::move(asked), reply, socket);
  if (!paused_ || outstanding_.size() >= kOutstandingMax) return;
  paused_ = false;
  socket.pause_input(false);
}

// Of a repeat the order is asked for, which is another question under the same id.
void OrderSocket::settle(Outstanding asked, const Reply& reply, WebSocket& socket) {
  if (asked.made) return answer(asked.id, repeat_answer(*asked.made, reply), socket);
  if (const auto response = order_answer(reply, asked.status, asked.keyed)) return answer(asked.id, *response, socket);
  const RequestId request = ++last_request_;
  QueryRequest how_it_stands = repeat_question(firm_, reply);
  how_it_stands.principal = principal_;
  asked.made = reply;
  if (socket.context().query(request, std::move(how_it_stands))) {
    outstanding_.emplace(request, std::move(asked));
    return;
  }
  Reply unknown;
  unknown.error = Errc::overloaded;
  answer(asked.id, repeat_answer(*asked.made, unknown), socket);
}

// ---- reports

void OrderSocket::begin_reports(const Wanted& wanted, WebSocket& socket) {
  if (reports_) return answer(wanted.id, HttpResponse::error(409, "exists", "reports come already"), socket);
  reports_ = true;
  reports_id_ = wanted.id;
  from_ = wanted.from;
  describe(socket);
}

void OrderSocket::try_later(WebSocket& socket) {
  if (again_ == 0) again_ = socket.context().arm(kTryAgainNs);
}

void OrderSocket::describe(WebSocket& socket) {
  streams::DescribeQuery query;
  query.names = {std::string(exchange::kStreams[exchange::kOrdersView.number - 1])};
  const RequestId request = ++last_request_;
  if (socket.context().query(request, {machine_ids::kStreams, streams::kDescribe, streams::encode(query), principal_}))
    describing_ = request;
  else
    try_later(socket);
}

// Told once. Where there is no stream yet its first record is the first that comes, whatever was asked for.
void OrderSocket::take_place(const Reply& reply, WebSocket& socket) {
  describing_ = 0;
  const auto infos = reply.ok() ? streams::decode_stream_infos(reply.payload.view())
                                : Result<std::vector<streams::StreamInfo>>(Error{Errc::overloaded, ""});
  const bool there = infos && !infos->empty() && !infos->front().partitions.empty();
  const Offset end = there ? infos->front().partitions.front().durable_end : 0;
  if (infos && !std::exchange(told_from_, true)) {
    next_ = std::min(from_.value_or(end), end);
    http::JsonWriter out;
    out.begin_object().key("type").text("reports");
    if (!reports_id_.empty()) out.key("id").raw(reports_id_);
    out.key("from").number(next_);
    say(out, socket);
  }
  if (!there) return try_later(socket);
  partition_ = infos->front().partitions.front().id;
  read(socket);
}

void OrderSocket::read(WebSocket& socket) {
  if (reading_ != 0) return;
  if (socket.output_full()) {
    waits_for_room_ = true;
    return;
  }
  ReadRequest request;
  request.partition = partition_;
  request.offset = next_;
  request.max_bytes = kReadBytes;
  const RequestId id = ++last_request_;
  if (socket.context().read(id, request))
    reading_ = id;
  else
    try_later(socket);
}

void OrderSocket::on_records(RequestId request, const net::RecordsRead& records, WebSocket& socket) {
  if (request != reading_) return;
  reading_ = 0;
  if (!stands(socket)) return;
  if (records.error && *records.error != Errc::io)
    return socket.close(kCloseFailed, admin::read_error(records).message);
  if (records.error) return try_later(socket);
  report(records, socket);
  if (next_ < records.durable_end) return read(socket);
  if (socket.context().subscribe(partition_, next_) == 0) try_later(socket);
}

// Of the firm alone. Names are tokens: what stands there is the whole of one.
void OrderSocket::report(const net::RecordsRead& records, WebSocket& socket) {
  const std::string mine = "\"firm\":\"" + firm_ + "\"";
  size_t bytes = 0;
  for (const Buffer& batch : records.batches) {
    bytes += batch.view().size();
    const auto read = admin::for_each_stored(batch.view(), [&](const streams::RecordView& record) {
      if (record.offset < next_) return;
      next_ = record.offset + 1;
      const std::string_view text = as_text(record.value);
      if (text.find(mine) == std::string_view::npos) return;
      http::JsonWriter out;
      out.begin_object().key("type").text("report").key("offset").number(record.offset).key("record").raw(text);
      say(out, socket);
    });
    if (!read) return socket.close(kCloseFailed, read.error().message);
  }
  socket.charge(bytes);
}

void OrderSocket::on_advanced(net::SubscriptionId, Offset, WebSocket& socket) { read(socket); }

void OrderSocket::on_writable(WebSocket& socket) {
  if (stands(socket) && std::exchange(waits_for_room_, false)) read(socket);
}

}  // namespace heptane::fintech::exchange_http
