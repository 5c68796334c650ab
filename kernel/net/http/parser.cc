#include "kernel/net/http/parser.h"

#include <algorithm>

#include <boost/beast/http/basic_parser.hpp>

namespace heptane::http {

namespace {

namespace beast = boost::beast;
using beast::http::error;

constexpr std::string_view kHeadEnd = "\r\n\r\n";
constexpr std::string_view kLastChunk = "0\r\n\r\n";
constexpr size_t kChunkLineLimitBytes = 4096;  // size, extension and line ends
constexpr size_t kTrailerLimitBytes = 8192;

std::string_view std_view(beast::string_view text) { return {text.data(), text.size()}; }

// Its line has come and its end has not, which Beast looks for in no fewer bytes than kLastChunk has.
bool is_part_of_last_chunk(std::string_view text) {
  return text.size() < kLastChunk.size() && text.front() == '0' && text.find("\r\n") != std::string_view::npos;
}

// A bare CR or LF, a folded line and a NUL are read in one way here and in another there (RFC 9112 §2.2, §5.2).
bool lines_are_plain(std::string_view head) {
  for (size_t i = 0; i < head.size(); ++i) {
    const char c = head[i];
    if (c == '\0') return false;
    if (c == '\r' && (i + 1 == head.size() || head[i + 1] != '\n')) return false;
    if (c != '\n') continue;
    if (i == 0 || head[i - 1] != '\r') return false;
    if (i + 1 < head.size() && (head[i + 1] == ' ' || head[i + 1] == '\t')) return false;
  }
  return true;
}

}  // namespace

size_t RequestHead::count(std::string_view name) const {
  size_t found = 0;
  for (const Header& header : headers) found += equals_ignoring_case(header.name, name) ? 1 : 0;
  return found;
}

class RequestParser::Machine final : public beast::http::basic_parser<true> {
 public:
  explicit Machine(const HttpLimits& limits) : limits_(limits) {
    header_limit(static_cast<uint32_t>(limits.head_bytes + kTrailerLimitBytes));
    body_limit(boost::none);  // ours is the route's
    eager(false);
  }

  RequestHead head;
  std::string body;
  bool too_many_headers = false;
  uint64_t body_left = 0;

 private:
  using ErrorCode = beast::error_code;
  using Text = beast::string_view;

  void on_request_impl(beast::http::verb, Text method, Text target, int version, ErrorCode&) override {
    head.method = std_view(method);
    head.target = std_view(target);
    head.http_1_0 = version == 10;
  }
  void on_response_impl(int, Text, int, ErrorCode&) override {}
  void on_field_impl(beast::http::field, Text name, Text value, ErrorCode& ec) override {
    if (head_done_) {  // a trailer: nobody asks for those
      trailer_bytes_ += name.size() + value.size() + 4;
      if (trailer_bytes_ > kTrailerLimitBytes) ec = error::header_limit;
      return;
    }
    if (head.headers.size() == limits_.headers) {
      too_many_headers = true;
      ec = error::header_limit;
      return;
    }
    head.headers.push_back({std::string(std_view(name)), std::string(std_view(value))});
  }
  void on_header_impl(ErrorCode&) override { head_done_ = true; }
  void on_body_init_impl(const boost::optional<uint64_t>&, ErrorCode&) override {}
  size_t on_body_impl(Text bytes, ErrorCode& ec) override { return keep(bytes, ec); }
  void on_chunk_header_impl(uint64_t bytes, Text extensions, ErrorCode& ec) override {
    if (bytes > body_left) ec = error::body_limit;
    if (extensions.size() > kChunkLineLimitBytes / 2) ec = error::bad_chunk_extension;
  }
  size_t on_chunk_body_impl(uint64_t, Text bytes, ErrorCode& ec) override { return keep(bytes, ec); }
  void on_finish_impl(ErrorCode&) override {}

  // Memory follows what has arrived, not what was announced.
  size_t keep(Text bytes, ErrorCode& ec) {
    if (bytes.size() > body_left) {
      ec = error::body_limit;
      return 0;
    }
    body_left -= bytes.size();
    body.append(bytes.data(), bytes.size());
    return bytes.size();
  }

  const HttpLimits& limits_;
  size_t trailer_bytes_ = 0;
  bool head_done_ = false;
};

RequestParser::RequestParser(const HttpLimits& limits) : limits_(limits), machine_(new Machine(limits_)) {}
RequestParser::~RequestParser() = default;

RequestHead& RequestParser::head() { return machine_->head; }
std::string& RequestParser::body() { return machine_->body; }
void RequestParser::limit_body(uint64_t bytes) { machine_->body_left = bytes; }
bool RequestParser::complete() const { return head_done_ && machine_->is_done(); }

ParseStep RequestParser::fail(int status, std::string_view code, std::string_view message) {
  fault_ = {status, code, message};
  return ParseStep::fault;
}

ParseStep RequestParser::parse(Bytes input, size_t& consumed) {
  return head_done_ ? parse_body(input, consumed) : parse_head(input, consumed);
}

// Beast sees the head only when it is whole: its own limit counts from the last piece that it consumed.
ParseStep RequestParser::parse_head(Bytes input, size_t& consumed) {
  const std::string_view text = as_text(input).substr(0, limits_.head_bytes);
  const size_t end = text.find(kHeadEnd, scanned_ - std::min(scanned_, kHeadEnd.size() - 1));
  scanned_ = text.size();
  const bool whole = end != std::string_view::npos;
  const bool line_may_end = text.size() < limits_.request_line_bytes + 2;
  if (!line_may_end && text.find("\r\n") > limits_.request_line_bytes)
    return fail(414, "uri_too_long", "the request line is longer than the limit");
  if (!whole && text.size() < limits_.head_bytes) return ParseStep::need_more;
  if (!whole) return fail(431, "headers_too_large", "the headers are longer than the limit");

  if (!lines_are_plain(text.substr(0, end + kHeadEnd.size())))
    return fail(400, "malformed", "the head holds a bare CR or LF, a folded line or a NUL");
  beast::error_code ec;
  consumed += machine_->put({input.data(), end + kHeadEnd.size()}, ec);
  if (machine_->too_many_headers) return fail(431, "headers_too_large", "the request has more headers than the limit");
  if (ec == error::bad_version) return fail(505, "version", "this server speaks HTTP/1.1 and HTTP/1.0");
  if (ec || !machine_->is_header_done()) return fail(400, "malformed", "this is not an HTTP/1.1 request");
  return check_head();
}

// What would let two readers of one request disagree about where it ends is refused (RFC 9112 §6.1, §11.2).
ParseStep RequestParser::check_head() {
  RequestHead& head = machine_->head;
  const size_t encodings = head.count("Transfer-Encoding");
  if (encodings > 0 && head.http_1_0) return fail(400, "malformed", "Transfer-Encoding is not part of HTTP/1.0");
  if (encodings + head.count("Content-Length") > 1)
    return fail(400, "malformed", "the length of the body is given more than once");
  for (const Header& header : head.headers) {
    if (equals_ignoring_case(header.name, "Transfer-Encoding") && !equals_ignoring_case(header.value, "chunked"))
      return fail(501, "unsupported", "the only Transfer-Encoding here is chunked");
    const bool digits = header.value.find_first_not_of("0123456789") == std::string::npos;
    if (equals_ignoring_case(header.name, "Content-Length") && !digits)
      return fail(400, "malformed", "Content-Length is one decimal number");
  }
  head.keep_alive = machine_->keep_alive();
  head.has_body = !machine_->is_done();
  if (const auto length = machine_->content_length()) head.content_length = *length;
  head_done_ = true;
  return ParseStep::head;
}

ParseStep RequestParser::parse_body(Bytes input, size_t& consumed) {
  while (!machine_->is_done()) {
    if (input.empty() || (machine_->chunked() && is_part_of_last_chunk(as_text(input)))) return ParseStep::need_more;
    beast::error_code ec;
    const size_t used = machine_->put({input.data(), input.size()}, ec);
    consumed += used;
    input = input.subspan(used);
    if (ec == error::need_more) {
      if (input.size() > kChunkLineLimitBytes + kTrailerLimitBytes)
        return fail(400, "malformed", "a chunk's frame is too long");
      return ParseStep::need_more;
    }
    if (ec == error::body_limit) return fail(413, "too_large", "the body is longer than the limit");
    if (ec == error::header_limit || ec == error::bad_chunk_extension)
      return fail(400, "malformed", "a chunk's frame is malformed or too long");
    if (ec) return fail(400, "malformed", "the chunks of the body are malformed");
  }
  return ParseStep::complete;
}

}  // namespace heptane::http
