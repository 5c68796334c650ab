#include "kernel/net/http/session.h"

#include <algorithm>
#include <cstdio>
#include <utility>

#include "kernel/base/assert.h"
#include "kernel/net/http/url.h"
#include "kernel/net/http/websocket_upgrade.h"

namespace heptane::http {

namespace {

// Below, a header costs what is won; above, the thread would be busy for tens of milliseconds.
constexpr size_t kGzipMinBytes = 1024;
constexpr size_t kGzipMaxBytes = size_t{2} << 20;
constexpr size_t kBodyPieceBytes = size_t{256} << 10;
constexpr int64_t kSecondNs = 1'000'000'000;
constexpr std::string_view kAllMethods = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

bool changes_state(Method method) {
  return method == Method::post || method == Method::put || method == Method::patch || method == Method::del;
}

bool is_json(std::string_view content_type) {
  const std::string_view type = media_type(content_type);
  return equals_ignoring_case(type, "application/json") || equals_ignoring_case(type, "application/x-ndjson");
}

bool has_header(const HttpResponse& response, std::string_view name) {
  return std::any_of(response.headers.begin(), response.headers.end(),
                     [name](const Header& header) { return equals_ignoring_case(header.name, name); });
}

// Pages that ask without an Origin: pictures, scripts, links. Only the console's page may be led to from elsewhere, and its files.
std::optional<HttpResponse> site_refusal(const RequestHead& head, std::string_view path) {
  if (path == "/" || path.starts_with("/assets/") || head.count("Origin") != 0) return std::nullopt;
  for (const Header& header : head.headers)
    if (equals_ignoring_case(header.name, "Sec-Fetch-Site") && of_another_site(header.value))
      return HttpResponse::error(403, "origin", "pages of another site may not ask this server");
  return std::nullopt;
}

bool is_text(std::string_view content_type) { return content_type.starts_with("text/") || is_json(content_type); }

}  // namespace

// Input.

size_t HttpSession::on_bytes(Bytes input, net::SessionContext& context) {
  context_ = &context;
  if (phase_ == Phase::closed) return input.size();
  if (phase_ == Phase::upgraded) return upgraded_->on_bytes(input, context);
  if (asking()) {
    context.pause_input(true);  // held: who sends more is there
    return 0;
  }
  size_t consumed = 0;
  if (phase_ == Phase::idle && !begin(input, consumed)) return consumed;
  for (;;) {
    const ParseStep step = parser_->parse(input.subspan(consumed), consumed);
    if (phase_ == Phase::receiving && step != ParseStep::fault) {
      const bool last = step == ParseStep::complete;
      if (!last && parser_->body().size() < kBodyPieceBytes) return consumed;
      give_piece(last);
      if (phase_ == Phase::receiving) continue;
      return phase_ == Phase::closed ? input.size() : consumed;
    }
    if (step == ParseStep::need_more) return consumed;
    if (step == ParseStep::fault) {
      const ParseFault fault = parser_->fault();
      keep_alive_ = false;
      send(HttpResponse::error(fault.status, fault.code, fault.message));
      return input.size();
    }
    if (step == ParseStep::complete) break;
    on_head();
    if (phase_ == Phase::closed) return input.size();
    if (phase_ == Phase::idle || asking() || phase_ == Phase::upgraded) return consumed;
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
  http_1_0_ = head.http_1_0;
  keep_alive_ = head.keep_alive && !http_1_0_;
  if (std::optional<HttpResponse> refusal = head_refusal()) return refuse(std::move(*refusal));
  if (std::optional<HttpResponse> refusal = length_refusal(head)) return refuse(std::move(*refusal));
  parser_->limit_body(route_->options.streamed_body_bytes.value_or(service_.limits.body_bytes));
  request_.headers = std::move(head.headers);
  phase_ = Phase::body;
  continue_owed_ = head.has_body && !request_.header("Expect").empty() && !http_1_0_;
  if (route_->options.streamed_body_bytes) return run_handler();
  if (!head.has_body) return;
  arm(service_.limits.body_deadline_ns);
  send_continue();
}

void HttpSession::send_continue() {
  if (std::exchange(continue_owed_, false)) context_->write(Buffer::copy_of("HTTP/1.1 100 Continue\r\n\r\n"));
}

// Refused before it comes.
std::optional<HttpResponse> HttpSession::length_refusal(const RequestHead& head) const {
  const uint64_t limit = route_->options.streamed_body_bytes.value_or(service_.limits.body_bytes);
  if (head.content_length.value_or(0) <= limit) return std::nullopt;
  return HttpResponse::error(413, "too_large", "the body is longer than the limit");
}

std::optional<HttpResponse> HttpSession::head_refusal() {
  const RequestHead& head = parser_->head();
  request_ = {};
  request_.method = method_of(head.method);
  if (request_.method == Method::options && head.target == "*") {
    if (std::optional<HttpResponse> refusal = names_refusal(head, "")) return refusal;
    return options_answer(std::string(kAllMethods));
  }
  std::optional<Target> target = parse_target(head.target);
  if (!target) return HttpResponse::error(400, "malformed", "the request's target is not a path with a query");
  if (std::optional<HttpResponse> refusal = names_refusal(head, target->authority)) return refusal;
  if (std::optional<HttpResponse> refusal = site_refusal(head, target->path)) return refusal;
  request_.path = std::move(target->path);
  request_.query = std::move(target->query);
  if (std::optional<HttpResponse> refusal = route_refusal()) return refusal;
  if (auto refusal = guard(service_.gate, head, request_, route_->options.needs, *context_, identity_)) return refusal;
  if (auto refusal = quota_refusal()) return refusal;
  return content_refusal(head);
}

std::optional<HttpResponse> HttpSession::names_refusal(const RequestHead& head, const std::string& authority) {
  const size_t hosts = head.count("Host");
  if (hosts > 1 || (hosts == 0 && !head.http_1_0)) {
    keep_alive_ = false;  // somebody between us may have read another Host
    return HttpResponse::error(400, "malformed", "a request names its Host once");
  }
  if (!authority.empty() && !service_.hosts.host_allowed(authority))
    return HttpResponse::error(421, "host", "this server does not answer to that name: add it to the allowed hosts");
  std::string_view host = authority;  // it is the one that counts (RFC 9112, 3.2.2)
  for (const Header& header : head.headers) {
    if (!equals_ignoring_case(header.name, "Host")) continue;
    if (!service_.hosts.host_allowed(header.value))
      return HttpResponse::error(421, "host", "this server does not answer to that name: add it to the allowed hosts");
    if (host.empty()) host = header.value;
  }
  for (const Header& header : head.headers)
    if (equals_ignoring_case(header.name, "Origin") && !service_.hosts.origin_allowed(header.value, host))
      return HttpResponse::error(403, "origin",
                                 "pages of that origin may not ask this server: add it to the allowed hosts");
  return std::nullopt;
}

// No header of CORS is ever sent: a page of another origin is refused before this, and stays so.
std::optional<HttpResponse> HttpSession::options_answer(const std::string& allow) const {
  return HttpResponse{204, "", "", {{"Allow", allow}}};
}

std::optional<HttpResponse> HttpSession::route_refusal() {
  if (service_.hold)
    if (std::optional<HttpResponse> held_back = service_.hold(request_)) return held_back;
  HttpRouter::Match match = service_.router.find(request_.method, request_.path);
  if (match.malformed) return HttpResponse::error(400, "malformed", "a % in the path needs two hexadecimal digits");
  route_ = match.route;
  request_.params = std::move(match.params);
  if (route_ != nullptr) return std::nullopt;
  if (request_.method == Method::options && !match.allow.empty()) return options_answer(match.allow);
  if (match.allow.empty()) return HttpResponse::error(404, "not_found", "there is nothing at this path");
  HttpResponse response = HttpResponse::error(405, "method", "this path has other methods: " + match.allow);
  response.headers.push_back({"Allow", match.allow});
  return response;
}

// Quotas. A request that comes while a debt is open is refused; one that has begun is slowed down.

std::optional<HttpResponse> HttpSession::quota_refusal() {
  if (!limited()) return std::nullopt;
  const auto refused = [](std::string_view why, int64_t wait_ns) {
    HttpResponse response = HttpResponse::error(429, "quota", why);
    response.headers.push_back({"Retry-After", std::to_string((wait_ns + kSecondNs - 1) / kSecondNs)});
    return response;
  };
  if (!slot_.enter(*service_.quotas, identity_.name)) {
    keep_alive_ = false;
    return refused(identity_.name + " has as many connections as quotas.connections allows", kSecondNs);
  }
  if (const int64_t wait_ns = service_.quotas->wait_ns(service_.listener, identity_.name); wait_ns > 0) {
    service_.quotas->count_throttled(wait_ns);
    return refused(
        identity_.name + " or this listener has used more than its quota: Retry-After says when to come back", wait_ns);
  }
  use_quota({.bytes_in = 0, .bytes_out = 0, .requests = 1});
  return std::nullopt;
}

// Who has not said who it is uses its listener's limits alone.
net::QuotaPayer HttpSession::payer() const {
  if (!limited()) return {};
  const bool nobody = service_.gate != nullptr && service_.gate->enabled() && identity_.principal.id == auth::kLocalId;
  return {service_.quotas, service_.listener, nobody ? std::string() : identity_.name};
}

void HttpSession::use_quota(const net::QuotaUse& use) {
  if (limited()) payer().use(use);
}

// True: `then` comes when a part of the debt is paid.
bool HttpSession::paced(OnWaited then) {
  const int64_t pause_ns = payer().pause_ns();
  if (pause_ns <= 0) return false;
  disarm();
  on_waited_ = std::move(then);
  wait_timer_ = context_->arm(pause_ns);
  return true;
}

std::optional<HttpResponse> HttpSession::content_refusal(const RequestHead& head) {
  std::string_view type;
  for (const Header& header : head.headers) {
    if (equals_ignoring_case(header.name, "Content-Type")) type = header.value;
    if (equals_ignoring_case(header.name, "Expect") && !equals_ignoring_case(header.value, "100-continue"))
      return HttpResponse::error(417, "expectation", "the only expectation known here is 100-continue");
    if (!equals_ignoring_case(header.name, "Content-Encoding")) continue;
    if (route_->options.streamed_body_bytes)
      return HttpResponse::error(415, "content_encoding", "this is kept as it comes: send it without Content-Encoding");
    if (!known_coding(header.value) || head.count("Content-Encoding") > 1) {
      HttpResponse refusal =
          HttpResponse::error(415, "content_encoding", "the Content-Encoding known here is gzip or deflate, once");
      refusal.headers.push_back({"Accept-Encoding", std::string(kKnownCodings)});
      return refusal;
    }
  }
  if (changes_state(request_.method) && !route_->options.any_content_type && !is_json(type))
    return HttpResponse::error(415, "content_type", "send Content-Type: application/json");
  return std::nullopt;
}

// A handler and its answers.

void HttpSession::run_handler() {
  disarm();
  phase_ = Phase::handling;
  if (!route_->options.streamed_body_bytes) {
    request_.body = std::move(parser_->body());
    use_quota({.bytes_in = static_cast<int64_t>(request_.body.size()), .bytes_out = 0, .requests = 0});
    parser_.reset();
    if (std::optional<HttpResponse> refusal = undo_coding()) return send(std::move(*refusal));
  }
  route_->handler(*this);
  if (phase_ != Phase::handling) return;
  HEPTANE_ASSERT(waits_for_answer(), "a handler responds or asks");
  context_->pause_input(!held_);
  arm(held_ns_ + service_.limits.answer_deadline_ns);
}

// A body in pieces.

void HttpSession::receive(OnPiece then) {
  HEPTANE_ASSERT(phase_ == Phase::handling && parser_, "a body is received by the route that asked for its pieces");
  if (paced([then](HttpExchange& exchange) { exchange.receive(then); })) return;
  on_piece_ = std::move(then);
  if (parser_->complete()) return give_piece(true);
  send_continue();
  phase_ = Phase::receiving;
  arm(service_.limits.body_deadline_ns);
  context_->pause_input(false);
}

void HttpSession::give_piece(bool last) {
  std::string piece = std::exchange(parser_->body(), {});
  use_quota({.bytes_in = static_cast<int64_t>(piece.size()), .bytes_out = 0, .requests = 0});
  phase_ = Phase::handling;
  disarm();
  std::exchange(on_piece_, nullptr)(*this, std::move(piece), last);
  if (phase_ != Phase::handling) return;
  HEPTANE_ASSERT(waits_for_answer(), "a handler responds or asks");
  context_->pause_input(!held_);
  arm(held_ns_ + service_.limits.answer_deadline_ns);
}

std::optional<HttpResponse> HttpSession::undo_coding() {
  const std::string_view coding = request_.header("Content-Encoding");
  if (coding.empty() || request_.body.empty()) return std::nullopt;
  Result<std::string> body = decoded_body(coding, std::move(request_.body), service_.limits.body_bytes);
  if (!body && body.error().code == Errc::too_large) return HttpResponse::error(413, "too_large", body.error().message);
  if (!body) return HttpResponse::error(400, "malformed", body.error().message);
  request_.body = std::move(*body);
  return std::nullopt;
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

void HttpSession::work(std::function<void()> job, OnWaited then) {
  on_worked_ = std::move(then);
  sent_or_overloaded(context_->work(++last_request_, std::move(job)));
}

void HttpSession::on_worked(RequestId request, net::SessionContext& context) {
  context_ = &context;
  if (phase_ == Phase::upgraded) return upgraded_->on_worked(request, context);
  if (!asking() || request != last_request_ || !on_worked_) return;
  std::exchange(on_worked_, nullptr)(*this);
}

void HttpSession::wait(PartitionId partition, Offset from, int64_t limit_ns, OnWaited then) {
  on_waited_ = std::move(then);
  subscription_ = context_->subscribe(partition, from);
  wait_timer_ = context_->arm(subscription_ == 0 ? 0 : limit_ns);
}

void HttpSession::pause(int64_t delay_ns, OnWaited then) {
  on_waited_ = std::move(then);
  wait_timer_ = context_->arm(delay_ns);
}

std::function<void()> HttpSession::hold(int64_t limit_ns, OnWaited then) {
  pause(limit_ns, std::move(then));
  held_ns_ = limit_ns;
  held_ = std::make_shared<HttpSession*>(this);
  context_->pause_input(false);
  arm(limit_ns + service_.limits.answer_deadline_ns);
  return [held = std::weak_ptr<HttpSession*>(held_)] {
    if (const auto session = held.lock()) (*session)->end_hold();
  };
}

// What comes then comes in a call of its own.
void HttpSession::end_hold() {
  held_.reset();
  context_->pause_input(true);
  context_->cancel(*wait_timer_);
  wait_timer_ = context_->arm(0);
}

void HttpSession::end_wait() {
  if (std::exchange(held_, nullptr)) context_->pause_input(true);
  held_ns_ = 0;
  if (subscription_ != 0) context_->unsubscribe(subscription_);
  subscription_ = 0;
  if (wait_timer_) context_->cancel(*wait_timer_);
  wait_timer_.reset();
}

void HttpSession::on_advanced(net::SubscriptionId subscription, Offset durable_end, net::SessionContext& context) {
  context_ = &context;
  if (phase_ == Phase::upgraded) return upgraded_->on_advanced(subscription, durable_end, context);
  if (!asking() || subscription != subscription_ || !on_waited_) return;
  subscription_ = 0;
  end_wait();
  std::exchange(on_waited_, nullptr)(*this);
}

void HttpSession::sent_or_overloaded(bool sent) {
  if (sent) return;
  if (phase_ == Phase::streaming) return break_off("the server's queue is full");
  HttpResponse response = HttpResponse::error(503, "overloaded", "the server's queue is full: try again");
  response.headers.push_back({"Retry-After", "1"});
  respond(std::move(response));
}

void HttpSession::on_reply(RequestId request, const Reply& reply, net::SessionContext& context) {
  context_ = &context;
  if (phase_ == Phase::upgraded) return upgraded_->on_reply(request, reply, context);
  if (!asking() || request != last_request_ || !on_reply_) return;
  std::exchange(on_reply_, nullptr)(*this, reply);
}

void HttpSession::on_records(RequestId request, const net::RecordsRead& records, net::SessionContext& context) {
  context_ = &context;
  if (phase_ == Phase::upgraded) return upgraded_->on_records(request, records, context);
  if (!asking() || request != last_request_ || !on_records_) return;
  std::exchange(on_records_, nullptr)(*this, records);
}

void HttpSession::respond(HttpResponse response) {
  HEPTANE_ASSERT(phase_ == Phase::handling, "a request has one response");
  if (parser_ && !parser_->complete()) keep_alive_ = false;  // the rest of its body may still come
  forget_continuations();
  send(std::move(response));
}

void HttpSession::forget_continuations() {
  on_reply_ = nullptr;
  on_records_ = nullptr;
  on_waited_ = nullptr;
  on_worked_ = nullptr;
  on_piece_ = nullptr;
  on_room_ = nullptr;
  end_wait();
}

void HttpSession::upgrade(std::unique_ptr<WebSocketHandler> handler, const WebSocketOptions& options) {
  HEPTANE_ASSERT(phase_ == Phase::handling, "a request has one response");
  auto answer = answer_handshake(request_, http_1_0_, options);
  if (auto* refusal = std::get_if<HttpResponse>(&answer)) return respond(std::move(*refusal));
  forget_continuations();
  disarm();
  std::string head = "HTTP/1.1 101 Switching Protocols\r\n";
  for (const Header& header : std::get<0>(answer)) head += header.name + ": " + header.value + "\r\n";
  head += "\r\n";
  use_quota({.bytes_in = 0, .bytes_out = static_cast<int64_t>(head.size()), .requests = 0});
  context_->write(Buffer::take(std::move(head)));
  request_ = {};
  phase_ = Phase::upgraded;
  upgraded_ = std::make_unique<WebSocketSession>(std::move(handler), options.limits, payer());
  context_->pause_input(false);
  upgraded_->on_open(*context_);
}

// Output.

void HttpSession::refuse(HttpResponse response) {
  if (parser_->head().has_body) keep_alive_ = false;
  send(std::move(response));
}

bool HttpSession::gzip_wanted(const HttpResponse& response) const {
  return !has_header(response, "Content-Encoding") && is_text(response.content_type) &&
         accepts_gzip(request_.header("Accept-Encoding"));
}

// `framing`: the header that tells where the body ends.
std::string HttpSession::head_of(const HttpResponse& response, const std::string& framing) const {
  if (service_.counters != nullptr) service_.counters->answered(response.status);
  std::string out = "HTTP/1.1 " + std::to_string(response.status) + ' ';
  out += reason_phrase(response.status);
  out += "\r\nDate: " + http_date(context_->utc_ns()) + "\r\n";
  for (const Header& header : response.headers) out += header.name + ": " + header.value + "\r\n";
  if (!response.content_type.empty()) out += "Content-Type: " + response.content_type + "\r\n";
  out += framing;
  if (!has_header(response, "Cache-Control")) out += "Cache-Control: no-store\r\n";
  out += keep_alive_ ? "Connection: keep-alive\r\n\r\n" : "Connection: close\r\n\r\n";
  return out;
}

void HttpSession::send(HttpResponse response) {
  const bool bodiless = response.status == 204 || response.status == 304;
  const size_t bytes = response.body.size();
  if (bytes >= kGzipMinBytes && bytes <= kGzipMaxBytes && gzip_wanted(response)) {
    response.body = GzipStream().add(response.body, true);
    response.headers.push_back({"Content-Encoding", "gzip"});
    response.headers.push_back({"Vary", "Accept-Encoding"});
  }
  const std::string length =
      "Content-Length: " + std::to_string(response.length.value_or(response.body.size())) + "\r\n";
  std::string out = head_of(response, bodiless ? "" : length);
  if (request_.method != Method::head) out += response.body;
  // Nobody pays for being turned away: the listener's others would.
  if (response.status != 401 && response.status != 429)
    use_quota({.bytes_in = 0, .bytes_out = static_cast<int64_t>(out.size()), .requests = 0});
  context_->write(Buffer::take(std::move(out)));
  finish();
}

// A response in pieces: chunked (RFC 9112 §7.1); to an HTTP/1.0 client, all up to the close.

void HttpSession::start(HttpResponse head) {
  HEPTANE_ASSERT(phase_ == Phase::handling, "a request has one response");
  if (parser_ && !parser_->complete()) keep_alive_ = false;
  phase_ = Phase::streaming;
  chunked_ = !http_1_0_ && !head.length;
  if (request_.method != Method::head && !head.length && gzip_wanted(head)) {
    gzip_ = std::make_unique<GzipStream>();
    head.headers.push_back({"Content-Encoding", "gzip"});
    head.headers.push_back({"Vary", "Accept-Encoding"});
  }
  std::string framing = chunked_ ? "Transfer-Encoding: chunked\r\n" : "";
  if (head.length) framing = "Content-Length: " + std::to_string(*head.length) + "\r\n";
  context_->write(Buffer::take(head_of(head, framing)));
  context_->pause_input(true);
}

void HttpSession::write_piece(std::string_view piece, bool last) {
  std::string coded;
  if (gzip_) {
    coded = gzip_->add(piece, last);
    piece = coded;
  }
  std::string out;
  if (chunked_ && !piece.empty()) {
    char size[24];
    std::snprintf(size, sizeof size, "%zx\r\n", piece.size());
    out += size;
  }
  out += piece;
  if (chunked_ && !piece.empty()) out += "\r\n";
  if (chunked_ && last) out += "0\r\n\r\n";
  use_quota({.bytes_in = 0, .bytes_out = static_cast<int64_t>(out.size()), .requests = 0});
  context_->write(Buffer::take(std::move(out)));
}

void HttpSession::send_piece(std::string piece, OnWaited then) {
  HEPTANE_ASSERT(phase_ == Phase::streaming, "a piece belongs to a response that has started");
  if (request_.method == Method::head) return finish();
  write_piece(piece, false);
  if (!context_->output_full()) {
    if (paced(then)) return;
    arm(service_.limits.answer_deadline_ns);
    return then(*this);
  }
  disarm();  // the loop has a deadline for a client that takes nothing
  on_room_ = std::move(then);
}

void HttpSession::end(std::string last_piece) {
  HEPTANE_ASSERT(phase_ == Phase::streaming, "a response ends once");
  if (request_.method != Method::head) write_piece(last_piece, true);
  finish();
}

void HttpSession::break_off(std::string_view why) {
  HEPTANE_ASSERT(phase_ == Phase::streaming, "only a response that has started is broken off");
  forget_continuations();
  disarm();
  phase_ = Phase::closed;
  context_->close(net::CloseReason::session_closed, why);
}

void HttpSession::finish() {
  forget_continuations();
  disarm();
  parser_.reset();
  gzip_.reset();
  request_ = {};
  route_ = nullptr;
  if (!keep_alive_) {
    phase_ = Phase::closed;
    return context_->close(net::CloseReason::session_closed, "the last response is sent");
  }
  phase_ = Phase::idle;
  context_->pause_input(false);
}

void HttpSession::on_writable(net::SessionContext& context) {
  context_ = &context;
  if (phase_ == Phase::upgraded) return upgraded_->on_writable(context);
  if (phase_ != Phase::streaming || !on_room_) return;
  const OnWaited then = std::exchange(on_room_, nullptr);
  if (paced(then)) return;
  arm(service_.limits.answer_deadline_ns);
  then(*this);
}

void HttpSession::on_stalled(net::SessionContext& context) {
  context_ = &context;
  if (phase_ == Phase::upgraded) upgraded_->on_stalled(context);
}

void HttpSession::on_stop(net::SessionContext& context) {
  context_ = &context;
  if (phase_ == Phase::upgraded) upgraded_->on_stop(context);
}

// Deadlines.

void HttpSession::on_timer(net::SessionTimerId timer, net::SessionContext& context) {
  context_ = &context;
  if (phase_ == Phase::upgraded) return upgraded_->on_timer(timer, context);
  if (wait_timer_ && *wait_timer_ == timer) {
    wait_timer_.reset();
    end_wait();
    if (!asking() || !on_waited_) return;
    if (phase_ == Phase::streaming) arm(service_.limits.answer_deadline_ns);  // it was slowed down
    std::exchange(on_waited_, nullptr)(*this);
    return;
  }
  if (!timer_ || *timer_ != timer) return;
  timer_.reset();
  keep_alive_ = false;
  if (phase_ == Phase::streaming) return break_off("no answer in time");
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

void HttpSession::on_close(net::CloseReason reason) {
  if (phase_ == Phase::upgraded) upgraded_->on_close(reason);
  phase_ = Phase::closed;
  held_.reset();
  on_reply_ = nullptr;
  on_records_ = nullptr;
  on_waited_ = nullptr;
  on_worked_ = nullptr;
  on_piece_ = nullptr;
  on_room_ = nullptr;
}

}  // namespace heptane::http
