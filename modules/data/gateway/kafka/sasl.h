// Where a connection's authentication stands: handshake, then messages of the chosen mechanism until it is done. Once, for
// the life of the connection (no re-authentication: session_lifetime_ms is 0). The session's.
#pragma once

#include <memory>

#include "modules/data/gateway/kafka/kafka.h"

namespace heptane::data::kafka {

class SaslState {
 public:
  bool authenticated(const KafkaOptions& options) const {
    return options.authenticator == nullptr || stage_ == Stage::done;
  }
  // The next frame is a message of the mechanism without a request around it (after SaslHandshake 0).
  bool expects_tokens() const { return stage_ == Stage::exchange && raw_; }
  bool may_shake_hands(const KafkaOptions& options) const {
    return options.authenticator != nullptr && stage_ == Stage::handshake;
  }
  bool may_step() const { return stage_ == Stage::exchange; }
  const auth::Identity& identity() const { return identity_; }

  // Proved before anything was said: a client certificate.
  void accept(auth::Identity identity);
  void begin(std::unique_ptr<auth::SaslExchange> exchange, bool raw);
  // Refused: the connection is to be closed.
  auth::SaslStep step(Bytes message);

 private:
  enum class Stage : uint8_t { handshake, exchange, done, refused };
  Stage stage_ = Stage::handshake;
  bool raw_ = false;
  std::unique_ptr<auth::SaslExchange> exchange_;
  auth::Identity identity_;
};

}  // namespace heptane::data::kafka
