// One HTTP/1.1 connection without I/O. One request at a time: while a handler waits for an answer, input stands still, so
// responses keep the order of requests (RFC 9112 §9.3.2) and what is pipelined stays with the loop, within its limit. Before
// a body is read the request has passed Host, Origin, route and content type. An idle connection holds no parser, buffer or
// timer. A connection that became a WebSocket is that session's from then on.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "kernel/net/http/content_coding.h"
#include "kernel/net/http/counters.h"
#include "kernel/net/http/exchange.h"
#include "kernel/net/http/guard.h"
#include "kernel/net/http/host_check.h"
#include "kernel/net/http/parser.h"
#include "kernel/net/http/router.h"
#include "kernel/net/quota.h"

namespace heptane::http {

// Outlives its sessions; read-only while they run.
struct HttpService {
  HttpLimits limits;
  HostCheck hosts;
  HttpRouter router;
  // Asked about every request before its route is looked for; an answer is the response. Absent: nothing is held back.
  std::function<std::optional<HttpResponse>(const HttpRequest&)> hold;
  HttpCounters* counters = nullptr;  // outlives the service
  auth::Gate* gate = nullptr;        // null: nobody is asked who he is
  net::Quotas* quotas = nullptr;     // null: no limits. Outlives the service
  std::string listener;              // whose limits count
};

class HttpSession final : public net::Session, private HttpExchange {
 public:
  explicit HttpSession(const HttpService& service) : service_(service) {}

  size_t on_bytes(Bytes input, net::SessionContext& context) override;
  void on_reply(RequestId request, const Reply& reply, net::SessionContext& context) override;
  void on_records(RequestId request, const net::RecordsRead& records, net::SessionContext& context) override;
  void on_worked(RequestId request, net::SessionContext& context) override;
  void on_advanced(net::SubscriptionId subscription, Offset durable_end, net::SessionContext& context) override;
  void on_writable(net::SessionContext& context) override;
  void on_stalled(net::SessionContext& context) override;
  void on_stop(net::SessionContext& context) override;
  void on_timer(net::SessionTimerId timer, net::SessionContext& context) override;
  void on_close(net::CloseReason reason) override;

 private:
  enum class Phase : uint8_t { idle, head, body, receiving, handling, streaming, upgraded, closed };

  HttpRequest& request() override { return request_; }
  net::SessionContext& context() override { return *context_; }
  const auth::Identity& identity() const override { return identity_; }
  bool allowed(std::string_view module, std::string_view resource, auth::Verb verb) override {
    return service_.gate == nullptr ||
           service_.gate->allows(identity_, context_->remote().host, module, resource, verb);
  }
  std::function<bool()> standing(std::string module, std::string resource, auth::Verb verb) override {
    if (service_.gate == nullptr || !service_.gate->enabled()) return nullptr;
    return [gate = service_.gate, who = identity_, module = std::move(module), resource = std::move(resource), verb] {
      return gate->may(who, module, resource, verb);
    };
  }
  void denied(std::string_view what) override {
    if (service_.gate == nullptr) return;
    service_.gate->incidents().note(auth::Incident::denied, identity_.name, context_->remote().host, what);
  }
  bool sees(std::string_view module, std::string_view resource) override {
    return service_.gate == nullptr || service_.gate->sees(identity_, module, resource);
  }
  void submit(Submission submission, OnReply then) override;
  void query(QueryRequest query, OnReply then) override;
  void read(ReadRequest read, OnRecords then) override;
  void work(std::function<void()> job, OnWaited then) override;
  void receive(OnPiece then) override;
  void wait(PartitionId partition, Offset from, int64_t limit_ns, OnWaited then) override;
  void pause(int64_t delay_ns, OnWaited then) override;
  std::function<void()> hold(int64_t limit_ns, OnWaited then) override;
  void respond(HttpResponse response) override;
  void start(HttpResponse head) override;
  void send_piece(std::string piece, OnWaited then) override;
  void end(std::string last_piece) override;
  void break_off(std::string_view why) override;
  void upgrade(std::unique_ptr<WebSocketHandler> handler, const WebSocketOptions& options) override;
  void end_wait();
  void end_hold();
  bool asking() const { return phase_ == Phase::handling || phase_ == Phase::streaming; }

  bool begin(Bytes input, size_t& consumed);
  void on_head();
  std::optional<HttpResponse> head_refusal();
  std::optional<HttpResponse> names_refusal(const RequestHead& head, const std::string& authority);
  std::optional<HttpResponse> options_answer(const std::string& allow) const;
  std::optional<HttpResponse> route_refusal();
  std::optional<HttpResponse> quota_refusal();
  bool limited() const { return service_.quotas != nullptr && route_ != nullptr && !route_->options.needs.open; }
  void use_quota(const net::QuotaUse& use);
  net::QuotaPayer payer() const;
  bool paced(OnWaited then);
  std::optional<HttpResponse> content_refusal(const RequestHead& head);
  std::optional<HttpResponse> length_refusal(const RequestHead& head) const;
  void send_continue();
  void run_handler();
  void give_piece(bool last);
  bool waits_for_answer() const { return on_reply_ || on_records_ || on_waited_ || on_worked_; }
  std::optional<HttpResponse> undo_coding();
  void refuse(HttpResponse response);  // answers and closes when input of the request may still come
  void send(HttpResponse response);
  bool gzip_wanted(const HttpResponse& response) const;
  std::string head_of(const HttpResponse& response, const std::string& framing) const;
  void write_piece(std::string_view piece, bool last);
  void forget_continuations();
  void finish();
  void sent_or_overloaded(bool sent);
  void arm(int64_t delay_ns);
  void disarm();

  const HttpService& service_;
  net::SessionContext* context_ = nullptr;
  std::unique_ptr<RequestParser> parser_;
  HttpRequest request_;
  const Route* route_ = nullptr;
  auth::Identity identity_;  // of the request at hand
  net::QuotaSlot slot_;
  OnReply on_reply_;
  OnRecords on_records_;
  OnWaited on_waited_;
  OnWaited on_worked_;
  OnPiece on_piece_;  // of a body in pieces
  OnWaited on_room_;  // of a response in pieces
  std::unique_ptr<GzipStream> gzip_;
  std::unique_ptr<net::Session> upgraded_;
  net::SubscriptionId subscription_ = 0;
  std::optional<net::SessionTimerId> wait_timer_;
  std::shared_ptr<HttpSession*> held_;  // for who ends the wait; null: nobody may
  int64_t held_ns_ = 0;                 // at most
  RequestId last_request_ = 0;
  std::optional<net::SessionTimerId> timer_;
  Phase phase_ = Phase::idle;
  bool keep_alive_ = false;
  bool http_1_0_ = false;
  bool chunked_ = false;        // how the pieces of a response are told apart
  bool continue_owed_ = false;  // the client waits for 100 before it sends a body in pieces
};

// A listener's protocol: every connection speaks to the same service.
class HttpProtocol final : public net::Protocol {
 public:
  HttpProtocol(std::string name, HttpService service) : name_(std::move(name)), service_(std::move(service)) {}

  std::string_view name() const override { return name_; }
  std::unique_ptr<net::Session> open(const net::Address&) override { return std::make_unique<HttpSession>(service_); }
  size_t message_limit_bytes() const override { return service_.limits.head_bytes + 16 * 1024; }
  int64_t idle_timeout_ns() const override { return int64_t{75} * 1'000'000'000; }

 private:
  const std::string name_;
  const HttpService service_;
};

}  // namespace heptane::http
