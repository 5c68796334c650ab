#include "modules/iot/gateway/rules/http_courier.h"

#include <optional>
#include <utility>

#include "kernel/net/http/response_parser.h"

namespace heptane::iot::rules {

namespace {

std::string request_of(const HttpTarget& target, const HttpPost& post) {
  std::string request = "POST " + target.path + " HTTP/1.1\r\nHost: " + target.authority();
  request += "\r\nContent-Type: application/json\r\nUser-Agent: heptane\r\nIdempotency-Key: " + post.key;
  request += "\r\nContent-Length: " + std::to_string(post.body.size()) + "\r\n\r\n";
  return request + post.body;
}

}  // namespace

// To one target. A request waits here until a connection is there; one that was tried and came to nothing fails.
class HttpCourier::Line final : public net::Protocol {
 public:
  Line(HttpCourier& courier, HttpTarget target) : courier_(courier), target_(std::move(target)) {}

  std::string_view name() const override { return "rules-http"; }
  size_t message_limit_bytes() const override { return http::ResponseParser::kHeadBytesMax; }
  std::unique_ptr<net::Session> open(const net::Address& remote) override;

  bool leads_to(const HttpTarget& target) const {
    return target.host == target_.host && target.port == target_.port && target.tls == target_.tls;
  }
  void post(const HttpTarget& target, const HttpPost& post, Done done);
  void forget();
  // What is under way fails: the courier makes another line.
  void retire();
  bool is_tls() const { return target_.tls; }

 private:
  class PostSession;
  struct Pending {
    std::string bytes;
    Done done;
    bool tried = false;
  };

  void connect();
  void opened(PostSession& session);
  void ended(PostSession& session);
  // It ended before the request reached anybody: another connection is made for it.
  void lost(PostSession& session);
  void given_up(const Error& error);
  void finish(const PostOutcome& outcome);

  HttpCourier& courier_;
  const HttpTarget target_;
  std::optional<Pending> pending_;
  PostSession* session_ = nullptr;  // that takes requests
  SessionId outbound_ = 0;          // 0: not made yet
  bool idle_ = true;                // there is no connection, and none is being made
};

// One connection, one request at a time.
class HttpCourier::Line::PostSession final : public net::Session {
 public:
  explicit PostSession(Line& line) : line_(line) {}

  void on_open(net::SessionContext& context) override {
    context_ = &context;
    line_.opened(*this);
  }
  void send(const std::string& bytes) {
    parser_ = std::make_unique<http::ResponseParser>();
    answering_ = false;
    deadline_ = context_->arm(kAnswerNs);
    context_->write(Buffer::copy_of(bytes));
  }
  size_t on_bytes(Bytes input, net::SessionContext&) override {
    size_t consumed = 0;
    if (!parser_) {
      stop("the peer speaks without being asked");
      return input.size();
    }
    answering_ = true;
    const auto step = parser_->parse(input, consumed);
    if (step == http::ResponseParser::Step::fault) stop("the answer is no HTTP, or too large");
    // What comes behind an answer answers nothing that was asked.
    if (step == http::ResponseParser::Step::complete) answered(consumed == input.size());
    return step == http::ResponseParser::Step::need_more ? consumed : input.size();
  }
  void on_reply(RequestId, const Reply&, net::SessionContext&) override {}
  void on_timer(net::SessionTimerId timer, net::SessionContext&) override {
    if (timer == deadline_) stop("no answer within 10 s");
  }
  void on_close(net::CloseReason) override {
    left_ = true;
    // The peer had closed it before it saw the request: that is none of the request's failures.
    if (parser_ && served_ > 0 && !answering_) {
      end_request();
      return line_.lost(*this);
    }
    if (parser_ && parser_->finish() == http::ResponseParser::Step::complete)
      answered(false);
    else
      stop("the connection ended before the answer");
  }

 private:
  void answered(bool ends_there) {
    const PostOutcome outcome{parser_->status(), {}, parser_->retry_after_s()};
    const bool goes_on = ends_there && parser_->keep_alive();
    ++served_;
    end_request();
    if (!goes_on) leave("the peer keeps no connection");
    line_.finish(outcome);
  }
  // Of the request nothing comes any more, nor of the connection.
  void stop(const std::string& why) {
    const bool asked = parser_ != nullptr;
    end_request();
    leave(why);
    if (asked) line_.finish({0, why, -1});
  }
  void end_request() {
    parser_.reset();
    if (deadline_ != 0) context_->cancel(deadline_);
    deadline_ = 0;
  }
  void leave(const std::string& why) {
    line_.ended(*this);
    if (!std::exchange(left_, true)) context_->close(net::CloseReason::session_closed, why);
  }

  Line& line_;
  net::SessionContext* context_ = nullptr;
  std::unique_ptr<http::ResponseParser> parser_;  // of the answer that is owed
  net::SessionTimerId deadline_ = 0;
  uint64_t served_ = 0;     // requests
  bool answering_ = false;  // something of the answer has come
  bool left_ = false;
};

std::unique_ptr<net::Session> HttpCourier::Line::open(const net::Address&) {
  return std::make_unique<PostSession>(*this);
}

void HttpCourier::Line::post(const HttpTarget& target, const HttpPost& post, Done done) {
  pending_ = Pending{request_of(target, post), std::move(done)};
  if (session_ != nullptr) {
    pending_->tried = true;
    session_->send(pending_->bytes);
  } else if (idle_) {
    connect();
  }
}

void HttpCourier::Line::connect() {
  pending_->tried = true;
  idle_ = false;
  if (outbound_ != 0) return courier_.loop_.begin_outbound(outbound_);
  net::OutboundOptions options;
  options.host = target_.host;
  options.port = target_.port;
  if (target_.tls) options.tls = courier_.tls_;
  options.attempts_max = 1;
  options.allows = [this](const net::Address& address) {
    return courier_.allowed_.allows_address(address.host, target_.port);
  };
  options.on_given_up = [this](const Error& error) { given_up(error); };
  outbound_ = courier_.loop_.add_outbound(*this, std::move(options));
}

void HttpCourier::Line::opened(PostSession& session) {
  session_ = &session;
  if (!pending_) return;
  pending_->tried = true;
  session.send(pending_->bytes);
}

void HttpCourier::Line::ended(PostSession& session) {
  if (session_ == &session) session_ = nullptr;
}

void HttpCourier::Line::lost(PostSession& session) {
  ended(session);
  if (pending_) pending_->tried = false;
}

// No connection was made, or it is over. What came for it meanwhile is worth another one.
void HttpCourier::Line::given_up(const Error& error) {
  session_ = nullptr;
  idle_ = true;
  if (!pending_) return;
  if (!pending_->tried) return connect();
  finish({0, error.message, -1});
}

void HttpCourier::Line::finish(const PostOutcome& outcome) {
  if (!pending_) return;
  const Done done = std::move(std::exchange(pending_, std::nullopt)->done);
  done(outcome);
}

void HttpCourier::Line::forget() {
  pending_.reset();
  session_ = nullptr;
  if (outbound_ != 0) courier_.loop_.stop_outbound(outbound_);
}

void HttpCourier::Line::retire() {
  std::optional<Pending> pending = std::exchange(pending_, std::nullopt);
  forget();
  if (pending) pending->done({0, "the authorities of https are read again", -1});
}

HttpCourier::HttpCourier(net::IoLoop& loop) : loop_(loop) {}
HttpCourier::~HttpCourier() = default;

void HttpCourier::configure(AllowList allowed, std::string ca_file) {
  allowed_ = std::move(allowed);
  ca_file_ = std::move(ca_file);
  tls_ = nullptr;
  // Each holds the authorities of before. Who hears of it posts again later, and never from within.
  for (auto at = lines_.begin(); at != lines_.end();) {
    if (!at->second->is_tls()) {
      ++at;
      continue;
    }
    retired_.push_back(std::move(at->second));
    at = lines_.erase(at);
    retired_.back()->retire();
  }
}

std::string HttpCourier::need_tls() {
  if (tls_) return {};
  constexpr int64_t kNoTime = 0;  // it is the own certificate that may be out of date, and none is shown
  auto context = net::TlsContext::client({.ca_file = ca_file_, .certificate_file = {}, .key_file = {}}, kNoTime);
  if (!context) return context.error().message;
  tls_ = std::move(*context);
  return {};
}

std::string HttpCourier::post(const std::string& name, const HttpPost& post, Done done) {
  const Result<HttpTarget> target = parse_http_url(post.url);
  if (!target) return target.error().message;
  if (!allowed_.allows(*target)) return "iot.http_allow does not list " + target->authority();
  if (std::string why = target->tls ? need_tls() : std::string(); !why.empty()) return why;
  std::unique_ptr<Line>& line = lines_[name];
  if (line && !line->leads_to(*target)) {
    line->forget();
    retired_.push_back(std::move(line));
  }
  if (!line) line = std::make_unique<Line>(*this, *target);
  line->post(*target, post, std::move(done));
  return {};
}

void HttpCourier::forget(const std::string& name) {
  const auto found = lines_.find(name);
  if (found == lines_.end()) return;
  found->second->forget();
  retired_.push_back(std::move(found->second));
  lines_.erase(found);
}

}  // namespace heptane::iot::rules
