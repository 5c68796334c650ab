#include "modules/data/gateway/kafka/sasl.h"

#include <algorithm>

#include "kernel/net/peer.h"
#include "modules/data/gateway/kafka/messages_sasl.h"
#include "modules/data/gateway/kafka/session.h"

namespace heptane::data::kafka {

using auth::SaslStep;

void SaslState::begin(std::unique_ptr<auth::SaslExchange> exchange, bool raw) {
  exchange_ = std::move(exchange);
  raw_ = raw;
  stage_ = Stage::exchange;
}

SaslStep SaslState::step(Bytes message) {
  SaslStep step = exchange_->step(message);
  if (step.outcome == SaslStep::Outcome::go_on) return step;
  exchange_.reset();
  stage_ = step.outcome == SaslStep::Outcome::done ? Stage::done : Stage::refused;
  if (stage_ == Stage::done) identity_ = step.identity;
  return step;
}

void SaslState::accept(auth::Identity identity) {
  identity_ = std::move(identity);
  stage_ = Stage::done;
}

namespace {

constexpr const char* kRefused = "authentication failed";

class SaslHandshake final : public Request {
 public:
  using Request::Request;

  void start() override {
    SaslHandshakeRequest request;
    if (!decode(request)) return;
    constexpr int16_t kFirstVersionWithRequests = 1;  // before it, bare messages follow
    SaslHandshakeResponse response;
    SaslState& state = session_.sasl();
    if (!state.may_shake_hands(session_.options())) {
      response.error_code = wire(ErrorCode::illegal_sasl_state);
      return answer(response);
    }
    auth::Authenticator& authenticator = *session_.options().authenticator;
    const auth::Peer peer = net::peer_of(session_.context(), "kafka");
    response.mechanisms = authenticator.mechanisms(peer);
    const auto& offered = response.mechanisms;
    if (std::find(offered.begin(), offered.end(), request.mechanism) == offered.end())
      response.error_code = wire(ErrorCode::unsupported_sasl_mechanism);
    else
      state.begin(authenticator.begin(request.mechanism, peer), header_.api_version < kFirstVersionWithRequests);
    answer(response);
  }
};

class SaslAuthenticate final : public Request {
 public:
  using Request::Request;

  void start() override {
    SaslAuthenticateRequest request;
    if (!decode(request)) return;
    SaslAuthenticateResponse response;
    if (!session_.sasl().may_step()) {
      response.error_code = wire(ErrorCode::illegal_sasl_state);
      response.error_message = "SaslHandshake comes first, and once";
      return answer(response);
    }
    const SaslStep step = session_.sasl().step(request.auth_bytes);
    if (step.outcome != SaslStep::Outcome::refused) {
      response.auth_bytes = as_bytes(step.answer);
      return answer(response);
    }
    session_.counters().failed_authentications.fetch_add(1, std::memory_order_relaxed);
    response.error_code = wire(ErrorCode::sasl_authentication_failed);
    response.error_message = step.reason;
    answer(response);
    close(kRefused);
  }
};

class SaslToken final : public Request {
 public:
  using Request::Request;

  void start() override {
    const SaslStep step = session_.sasl().step(body_);
    if (step.outcome != SaslStep::Outcome::refused) return answer_raw(as_bytes(step.answer));
    session_.counters().failed_authentications.fetch_add(1, std::memory_order_relaxed);
    close(kRefused);
  }
};

}  // namespace

std::unique_ptr<Request> make_sasl_handshake(KafkaSession& session, const Api& api, RequestHeader header, Buffer frame,
                                             Bytes body) {
  return std::make_unique<SaslHandshake>(session, api, header, std::move(frame), body);
}

std::unique_ptr<Request> make_sasl_authenticate(KafkaSession& session, const Api& api, RequestHeader header,
                                                Buffer frame, Bytes body) {
  return std::make_unique<SaslAuthenticate>(session, api, header, std::move(frame), body);
}

std::unique_ptr<Request> make_sasl_token(KafkaSession& session, const Api& api, RequestHeader header, Buffer frame,
                                         Bytes body) {
  return std::make_unique<SaslToken>(session, api, header, std::move(frame), body);
}

}  // namespace heptane::data::kafka
