// The messages of authentication. As in messages.h.
#pragma once

#include "modules/data/gateway/kafka/codec.h"

namespace heptane::data::kafka {

struct SaslHandshakeRequest {
  std::string_view mechanism;
  static constexpr auto table() { return std::make_tuple(field("mechanism", &SaslHandshakeRequest::mechanism)); }
};

struct SaslHandshakeResponse {
  int16_t error_code = 0;
  std::vector<std::string_view> mechanisms;
  static constexpr auto table() {
    using T = SaslHandshakeResponse;
    return std::make_tuple(field("error_code", &T::error_code), field("mechanisms", &T::mechanisms));
  }
};

struct SaslAuthenticateRequest {
  Bytes auth_bytes;
  static constexpr auto table() { return std::make_tuple(field("auth_bytes", &SaslAuthenticateRequest::auth_bytes)); }
};

struct SaslAuthenticateResponse {
  int16_t error_code = 0;
  std::optional<std::string_view> error_message;
  Bytes auth_bytes;
  int64_t session_lifetime_ms = 0;
  static constexpr auto table() {
    using T = SaslAuthenticateResponse;
    return std::make_tuple(
        field("error_code", &T::error_code), field("error_message", &T::error_message, kAllVersions, kAllVersions),
        field("auth_bytes", &T::auth_bytes), field("session_lifetime_ms", &T::session_lifetime_ms, since(1)));
  }
};

}  // namespace heptane::data::kafka
