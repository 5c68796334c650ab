// Content codings (RFC 9110 §8.4): gzip and deflate of request bodies undone within a limit, gzip of responses. zlib. Pure;
// the session's thread.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "kernel/base/result.h"

namespace heptane::http {

// What this server can undo, as in Accept-Encoding.
inline constexpr std::string_view kKnownCodings = "gzip, deflate, identity";
bool known_coding(std::string_view coding);  // `gzip`, `x-gzip`, `deflate`, `identity`, or empty

// The body without its coding. Errc::too_large as soon as it passes the limit: no more than that is ever allocated;
// invalid_argument when it is not what the coding says, is cut short or has something behind its end.
Result<std::string> decoded_body(std::string_view coding, std::string body, size_t limit_bytes);

// Whether Accept-Encoding allows gzip (RFC 9110 §12.5.3).
bool accepts_gzip(std::string_view accept_encoding);

// One gzip stream, piece by piece, at the fastest level: the thread has others to serve.
class GzipStream {
 public:
  GzipStream();
  ~GzipStream();
  GzipStream(const GzipStream&) = delete;
  GzipStream& operator=(const GzipStream&) = delete;

  // What is to be sent for `piece`, whole: the receiver can read all of it. `last` ends the stream.
  std::string add(std::string_view piece, bool last);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace heptane::http
