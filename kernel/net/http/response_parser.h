// Takes answers out of a byte stream, for who asks others over HTTP/1.1: what an answer's status is and where it ends. Boost.Beast
// reads the syntax (RFC 9112). Bodies are thrown away. Bytes that are not consumed must be given again with more behind them. One per
// answer; the session's thread.
#pragma once

#include <memory>

#include "kernel/base/bytes.h"

namespace heptane::http {

class ResponseParser {
 public:
  static constexpr size_t kHeadBytesMax = size_t{16} << 10;
  static constexpr uint64_t kBodyBytesMax = uint64_t{1} << 20;

  enum class Step : uint8_t { need_more, complete, fault };

  ResponseParser();
  ~ResponseParser();
  ResponseParser(const ResponseParser&) = delete;
  ResponseParser& operator=(const ResponseParser&) = delete;

  // Adds what it used to `consumed`. Interim answers (1xx) are passed over. Fault: no answer, or larger than the bounds.
  Step parse(Bytes input, size_t& consumed);
  // The peer has closed: an answer without a length ends so.
  Step finish();

  int status() const;       // once complete
  bool keep_alive() const;  // likewise: another request may follow
  // The seconds of Retry-After; -1: it says none.
  int64_t retry_after_s() const;

 private:
  class Machine;
  Step step();
  std::unique_ptr<Machine> machine_;
  uint64_t head_bytes_ = 0;
};

}  // namespace heptane::http
