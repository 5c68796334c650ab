// How a PostgreSQL client asks for TLS: SSLRequest, answered with `S`; or it begins with TLS at once (sslnegotiation=direct).
// GSSENCRequest is answered with `N`. Of what comes in plain text only CancelRequest is served where there is TLS: libpq
// sends it so. PostgreSQL 15 manual, 55.2.10.
#pragma once

#include <string>

#include "kernel/net/tls_preamble.h"

namespace heptane::data::postgres {

class PostgresPreamble final : public net::TlsPreamble {
 public:
  PostgresPreamble();
  Verdict look(Bytes first) const override;

 private:
  std::string refusal_;
};

}  // namespace heptane::data::postgres
