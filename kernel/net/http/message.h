// A request as handlers see it and a response as they make it: plain data, HTTP/1.1 (RFC 9110, RFC 9112). Every part of
// a request was bounded before it was kept: see HttpLimits.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kernel/base/bytes.h"

namespace heptane::http {

struct HttpLimits {
  size_t request_line_bytes = 8 * 1024;                      // 414
  size_t head_bytes = 16 * 1024;                             // 431; request line and headers with the empty line
  size_t headers = 100;                                      // 431
  size_t body_bytes = 4'000'000;                             // 413
  int64_t head_deadline_ns = int64_t{10} * 1'000'000'000;    // from its first byte
  int64_t body_deadline_ns = int64_t{60} * 1'000'000'000;    // from the end of the head
  int64_t answer_deadline_ns = int64_t{30} * 1'000'000'000;  // 504
};

enum class Method : uint8_t { get, head, post, put, patch, del, options, other };
Method method_of(std::string_view name);
std::string_view method_name(Method method);

struct Header {
  std::string name;
  std::string value;
};

struct HttpRequest {
  Method method = Method::other;
  std::string path;                                         // percent-encoded, as sent
  std::vector<std::pair<std::string, std::string>> params;  // {name} segments of the route's pattern, decoded
  std::vector<std::pair<std::string, std::string>> query;   // decoded, in the order sent
  std::vector<Header> headers;
  std::string body;

  // Empty when absent.
  std::string_view header(std::string_view name) const;
  // Of all headers of the name, whether one's list of tokens has it.
  bool header_has(std::string_view name, std::string_view token) const;
  std::string_view param(std::string_view name) const;
  std::optional<std::string_view> query_value(std::string_view name) const;
};

struct HttpResponse {
  int status = 200;
  std::string content_type = "application/json";
  std::string body;
  std::vector<Header> headers;  // besides Date, Content-Type, Content-Length, Connection
  // What Content-Length says where the body is not here: of an answer to HEAD, and of one in pieces, which must then be so
  // many bytes together.
  std::optional<uint64_t> length{};

  static HttpResponse json(int status, std::string body) {
    return {status, "application/json", std::move(body), {}, {}};
  }
  // {"error": {"code": ..., "message": ...}}
  static HttpResponse error(int status, std::string_view code, std::string_view message);
};

std::string_view reason_phrase(int status);
bool equals_ignoring_case(std::string_view a, std::string_view b);
std::string_view trimmed(std::string_view text);  // of spaces and tabs
// `application/json; charset=utf-8` → `application/json`, in the case in which it was sent.
std::string_view media_type(std::string_view content_type);
// Whether a list of tokens (`Connection: keep-alive, Upgrade`) has one, whatever its case.
bool list_has(std::string_view list, std::string_view token);
// `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110 §5.6.7).
std::string http_date(int64_t utc_ns);

}  // namespace heptane::http
