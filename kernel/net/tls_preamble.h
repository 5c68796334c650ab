// TLS that a client asks for in its protocol's own words: the first bytes of a connection say whether it begins, and what is
// answered before (PostgreSQL's SSLRequest). On a listener with TLS alone. Nothing behind the bytes that ask is read before TLS
// has begun, so that nobody can slip in plain text (CVE-2021-23214).
//
// One question is answered with `answer` in a connection: who asks on is refused. The handshake's deadline covers the rest.
#pragma once

#include <memory>
#include <span>
#include <string_view>

#include "kernel/net/net.h"
#include "kernel/net/tls_context.h"

namespace heptane::net {

class TlsPreamble {
 public:
  static constexpr size_t kBytesMax = 16;

  struct Verdict {
    enum class Next : uint8_t {
      more,     // `bytes` are needed to tell, at most kBytesMax
      answer,   // to the `bytes` seen, which are taken off; then again from the beginning, once
      encrypt,  // TLS begins behind `bytes` of them, after the answer
      plain,    // the session gets everything as it is
      refuse,   // the answer is the last word
    };
    Next next = Next::refuse;
    size_t bytes = 0;
    std::string_view answer{};  // a literal's, or the preamble's
  };

  virtual ~TlsPreamble() = default;
  // What has come, at least a byte. Any thread.
  virtual Verdict look(Bytes first) const = 0;
};

// `preamble` and `alpn` outlive the stream.
std::unique_ptr<Stream> make_preamble_stream(std::unique_ptr<Stream> below, const TlsPreamble& preamble,
                                             std::shared_ptr<TlsContext> context,
                                             std::span<const std::string_view> alpn);

}  // namespace heptane::net
