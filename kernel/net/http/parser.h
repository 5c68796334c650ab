// Takes one request out of a byte stream. Boost.Beast reads the syntax (RFC 9112); this class adds what Beast leaves
// open: limits that do not depend on how the bytes arrive, and one answer for every fault. Bytes that are not consumed
// must be given again with more behind them; only the body is kept here. One per request; the session's thread.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kernel/base/bytes.h"
#include "kernel/net/http/message.h"

namespace heptane::http {

struct RequestHead {
  std::string method;
  std::string target;
  std::vector<Header> headers;
  bool http_1_0 = false;
  bool keep_alive = false;
  bool has_body = false;
  std::optional<uint64_t> content_length;

  size_t count(std::string_view name) const;
};

struct ParseFault {
  int status = 400;
  std::string_view code;
  std::string_view message;
};

enum class ParseStep : uint8_t { need_more, head, complete, fault };

class RequestParser {
 public:
  explicit RequestParser(const HttpLimits& limits);
  ~RequestParser();
  RequestParser(const RequestParser&) = delete;
  RequestParser& operator=(const RequestParser&) = delete;

  // Adds what it used to `consumed`. `head` comes once, before the body is looked at; then call again.
  ParseStep parse(Bytes input, size_t& consumed);

  RequestHead& head();
  // Of the body from now on, in all: 413. Before the body is looked at.
  void limit_body(uint64_t bytes);
  std::string& body();  // what has come of it; the caller may take it
  bool complete() const;
  const ParseFault& fault() const { return fault_; }

 private:
  class Machine;
  ParseStep parse_head(Bytes input, size_t& consumed);
  ParseStep parse_body(Bytes input, size_t& consumed);
  ParseStep check_head();
  ParseStep fail(int status, std::string_view code, std::string_view message);

  const HttpLimits limits_;
  std::unique_ptr<Machine> machine_;
  ParseFault fault_;
  size_t scanned_ = 0;  // of the head, without its end
  bool head_done_ = false;
};

}  // namespace heptane::http
