#include "kernel/net/http/session.h"

#include "kernel/base/assert.h"
#include "kernel/net/http/url.h"

namespace heptane::http {

namespace {

constexpr size_t kOutputPauseBytes = 256 * 1024;

bool changes_state(Method method) {
  return method == Method::post || method == Method::put || method == Method::patch || method == Method::del;
}

bool is_json(std::string_view content_type) {
  std::string_view type = content_type.substr(0, content_type.find(';'));
  while (!type.empty() && (type.back() == ' ' || type.back() == '\t')) type.remove_suffix(1);
  return equals_ignoring_case(type, "application/json") || equals_ignoring_case(type, "application/x-ndjson");
}

}  // namespace

// Input.

size_t HttpSession::on_bytes(Bytes input, net::SessionContext& context) {
  context_ = &context;
  if (phase_ == Phase::closed) return input.size();
  if (phase_ == Phase::handling || output_full_) return 0;
  size_t consumed = 0;
  if (phase_ == Phase::idle && !begin(input, consumed)) return consumed;
  for (;;) {
    const ParseStep step = parser_->parse(input.subspan(consumed), consumed);
    if (step == ParseStep::need_more) return consumed;
    if (step == ParseStep::fault) {
      const ParseFault& fault = parser_->fault();
      keep_alive_ = false;
      send(HttpResponse::error(fault.status, fault.code, fault.message));
      return input.size();
    }
    if (step == ParseStep::complete) break;
    on_head();
    if (phase_ == Phase::closed) return input.size();
    if (phase_ == Phase::idle) return consumed;
  }
  run_handler();
  return phase_ == Phase::closed ? input.size() : consumed;
}

// Empty lines before a request are forgiven (RFC 9112 §2.2), all of them: how many arrive at once must not matter. False:
// there is nothing behind them yet.
bool HttpSession::begin(Bytes input, size_t& consumed) {
  const std::string_view text = as_text(input);
  while (text.substr(consumed).starts_with("\r\n")) consumed += 2;
  const std::string_view rest = text.substr(consumed);
  if (rest.empty() || rest == "\r") return false;
  parser_ = std::make_unique<RequestParser>(service_.limits);
  phase_ = Phase::head;
  arm(service_.limits.head_deadline_ns);
  return true;
}

void HttpSession::on_head() {
  RequestHead& head = parser_->head();
  keep_alive_ = head.keep_alive && !head.http_1_0;
  if (std::optional<HttpResponse> refusal = head_refusal()) return refuse(std::move(*refusal));
  request_.headers = std::move(head.headers);
  phase_ = Phase::body;
  if (!head.has_body) return;
  arm(service_.limits.body_deadline_ns);
  if (!request_.header("Expect").empty() && !head.http_1_0)
    context_->write(Buffer::copy_of("HTTP/1.1 100 Continue\r\n\r\n"));
}

std::optional<HttpResponse> HttpSession::head_refusal() {
  const RequestHead& head = parser_->head();
  request_ = {};
  request_.method = method_of(head.method);
  std::optional<Target> target = parse_target(head.target);
  if (!target) return HttpResponse::error(400, "malformed", "the request's target is not a path with a query");
  if (std::optional<HttpResponse> refusal = names_refusal(head, target->authority)) return refusal;
  request_.path = std::move(target->path);
  request_.query = std::move(target->query);
  if (std::optional<HttpResponse> refusal = route_refusal()) return refusal;
  if (auto refusal = guard(service_.gate, head, request_, route_->options.needs, *context_, identity_)) return refusal;
  return content_refusal(head);
}

std::optional<HttpResponse> HttpSession::names_refusal(const RequestHead& head, const std::string& authority) {
  const size_t hosts = head.count("Host");
  if (hosts > 1 || (hosts == 0 && !head.http_1_0))
    return HttpResponse::error(400, "malformed", "a request names its Host once");
  if (!authority.empty() && !service_.hosts.host_allowed(authority))
    return HttpResponse::error(421, "host", "this server does not answer to that name: add it to the allowed hosts");
  for (const Header& header : head.headers) {
    if (equals_ignoring_case(header.name, "Host") && !service_.hosts.host_allowed(header.value))
      return HttpResponse::error(421, "host", "this server does not answer to that name: add it to the allowed hosts");
    if (equals_ignoring_case(header.name, "Origin") && !service_.hosts.origin_allowed(header.value))
      return HttpResponse::error(403, "origin",
                                 "pages of that origin may not ask this server: add it to the allowed hosts");
  }
  return std::nullopt;
}

std::optional<HttpResponse> HttpSession::route_refusal() {
  if (service_.hold)
    if (std::optional<HttpResponse> held_back = service_.hold(request_)) return held_back;
  HttpRouter::Match match = service_.router.find(request_.method, request_.path);
  if (match.malformed) return HttpResponse::error(400, "malformed", "a % in the path needs two hexadecimal digits");
  route_ = match.route;
  request_.params = std::move(match.params);
  if (route_ != nullptr) return std::nullopt;
  if (match.allow.empty()) return HttpResponse::error(404, "not_found", "there is nothing at this path");
  HttpResponse response = HttpResponse::error(405, "method", "this path has other methods: " + match.allow);
  response.headers.push_back({"Allow", match.allow});
  return response;
}

std::optional<HttpResponse> HttpSession::content_refusal(const RequestHead& head) {
  std::string_view type;
  for (const Header& header : head.headers) {
    if (equals_ignoring_case(header.name, "Content-Type")) type = header.value;
    if (equals_ignoring_case(header.name, "Expect") && !equals_ignoring_case(header.value, "100-continue"))
      return HttpResponse::error(417, "expectation", "the only expectation known here is 100-continue");
    if (equals_ignoring_case(header.name, "Content-Encoding") && !equals_ignoring_case(header.value, "identity"))
      return HttpResponse::error(415, "content_encoding", "send the body without Content-Encoding");
  }
  if (changes_state(request_.method) && !route_->options.any_content_type && !is_json(type))
    return HttpResponse::error(415, "content_type", "send Content-Type: application/json");
  return std::nullopt;
}

// A handler and its answers.

void HttpSession::run_handler() {
  disarm();
  request_.body = std::move(parser_->body());
  parser_.reset();
  phase_ = Phase::handling;
  route_->handler(*this);
  if (phase_ != Phase::handling) return;
  HEPTANE_ASSERT(on_reply_ || on_records_ || on_waited_, "a handler responds or asks");
  context_->pause_input(true);
  arm(service_.limits.answer_deadline_ns);
}

void HttpSession::submit(Submission submission, OnReply then) {
  submission.principal = identity_.principal;
  if (submission.received_utc_ns == 0) submission.received_utc_ns = context_->utc_ns();
  on_reply_ = std::move(then);
  sent_or_overloaded(context_->submit(++last_request_, std::move(submission)));
}

void HttpSession::query(QueryRequest query, OnReply then) {
  query.principal = identity_.principal;
  on_reply_ = std::move(then);
  sent_or_overloaded(context_->query(++last_request_, std::move(query)));
}

void HttpSession::read(ReadRequest read, OnRecords then) {
  on_records_ = std::move(then);
  sent_or_overloaded(context_->read(++last_request_, read));
}

void HttpSession::wait(PartitionId partition, Offset from, int64_t limit_ns, OnWaited then) {
  on_waited_ = std::move(then);
  subscription_ = context_->subscribe(partition, from);
  wait_timer_ = context_->arm(subscription_ == 0 ? 0 : limit_ns);
}

void HttpSession::end_wait() {
  if (subscription_ != 0) context_->unsubscribe(subscription_);
  subscription_ = 0;
  if (wait_timer_) context_->cancel(*wait_timer_);
  wait_timer_.reset();
}

void HttpSession::on_advanced(net::SubscriptionId subscription, Offset, net::SessionContext& context) {
  context_ = &context;
  if (phase_ != Phase::handling || subscription != subscription_ || !on_waited_) return;
  subscription_ = 0;
  end_wait();
  std::exchange(on_waited_, nullptr)(*this);
}

void HttpSession::sent_or_overloaded(bool sent) {
  if (sent) return;
  HttpResponse response = HttpResponse::error(503, "overloaded", "the server's queue is full: try again");
  response.headers.push_back({"Retry-After", "1"});
  respond(std::move(response));
}

void HttpSession::on_reply(RequestId request, const Reply& reply, net::SessionContext& context) {
  context_ = &context;
  if (phase_ != Phase::handling || request != last_request_ || !on_reply_) return;
  std::exchange(on_reply_, nullptr)(*this, reply);
}

void HttpSession::on_records(RequestId request, const net::RecordsRead& records, net::SessionContext& context) {
  context_ = &context;
  if (phase_ != Phase::handling || request != last_request_ || !on_records_) return;
  std::exchange(on_records_, nullptr)(*this, records);
}

void HttpSession::respond(HttpResponse response) {
  HEPTANE_ASSERT(phase_ == Phase::handling, "a request has one response");
  on_reply_ = nullptr;
  on_records_ = nullptr;
  on_waited_ = nullptr;
  end_wait();
  send(response);
}

// Output.

void HttpSession::refuse(HttpResponse response) {
  if (parser_->head().has_body) keep_alive_ = false;
  send(response);
}

void HttpSession::send(const HttpResponse& response) {
  if (service_.counters != nullptr) service_.counters->answered(response.status);
  std::string out = "HTTP/1.1 " + std::to_string(response.status) + ' ';
  out += reason_phrase(response.status);
  out += "\r\nDate: " + http_date(context_->utc_ns()) + "\r\n";
  for (const Header& header : response.headers) out += header.name + ": " + header.value + "\r\n";
  if (!response.content_type.empty()) out += "Content-Type: " + response.content_type + "\r\n";
  out += "Content-Length: " + std::to_string(response.body.size()) + "\r\nCache-Control: no-store\r\n";
  out += keep_alive_ ? "Connection: keep-alive\r\n\r\n" : "Connection: close\r\n\r\n";
  if (request_.method != Method::head) out += response.body;
  context_->write(Buffer::take(std::move(out)));
  finish();
}

void HttpSession::finish() {
  disarm();
  parser_.reset();
  request_ = {};
  route_ = nullptr;
  if (!keep_alive_) {
    phase_ = Phase::closed;
    return context_->close(net::CloseReason::session_closed, "the last response is sent");
  }
  phase_ = Phase::idle;
  output_full_ = context_->output_bytes() > kOutputPauseBytes;
  context_->pause_input(output_full_);
}

void HttpSession::on_writable(net::SessionContext& context) {
  if (!std::exchange(output_full_, false) || phase_ != Phase::idle) return;
  context.pause_input(false);
}

// Deadlines.

void HttpSession::on_timer(net::SessionTimerId timer, net::SessionContext& context) {
  context_ = &context;
  if (wait_timer_ && *wait_timer_ == timer) {
    wait_timer_.reset();
    end_wait();
    if (phase_ == Phase::handling && on_waited_) std::exchange(on_waited_, nullptr)(*this);
    return;
  }
  if (!timer_ || *timer_ != timer) return;
  timer_.reset();
  keep_alive_ = false;
  if (phase_ == Phase::handling)
    return respond(HttpResponse::error(504, "deadline", "no answer in time; the command may still be carried out"));
  send(HttpResponse::error(408, "deadline", "the request did not arrive in time"));
}

void HttpSession::arm(int64_t delay_ns) {
  disarm();
  timer_ = context_->arm(delay_ns);
}

void HttpSession::disarm() {
  if (timer_) context_->cancel(*timer_);
  timer_.reset();
}

void HttpSession::on_close(net::CloseReason) {
  phase_ = Phase::closed;
  on_reply_ = nullptr;
  on_records_ = nullptr;
  on_waited_ = nullptr;
}

}  // namespace heptane::http
