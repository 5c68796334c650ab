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
  const Principal& principal() const { return principal_; }

  void begin(std::unique_ptr<SaslExchange> exchange, bool raw);
  // Refused: the connection is to be closed.
  SaslStep step(Bytes message);

 private:
  enum class Stage : uint8_t { handshake, exchange, done, refused };
  Stage stage_ = Stage::handshake;
  bool raw_ = false;
  std::unique_ptr<SaslExchange> exchange_;
  Principal principal_;
};

}  // namespace heptane::data::kafka
