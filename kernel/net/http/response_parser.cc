#include "kernel/net/http/response_parser.h"

#include <algorithm>
#include <charconv>

#include <boost/beast/http/basic_parser.hpp>

#include "kernel/net/http/message.h"

namespace heptane::http {

namespace {

namespace beast = boost::beast;
using beast::http::error;

constexpr int64_t kRetryAfterMax = 3'600;

}  // namespace

class ResponseParser::Machine final : public beast::http::basic_parser<false> {
 public:
  Machine() {
    header_limit(static_cast<uint32_t>(kHeadBytesMax));
    body_limit(kBodyBytesMax);
    eager(true);
  }

  int status = 0;
  int64_t retry_after_s = -1;

 private:
  using ErrorCode = beast::error_code;
  using Text = beast::string_view;

  void on_request_impl(beast::http::verb, Text, Text, int, ErrorCode&) override {}
  void on_response_impl(int code, Text, int, ErrorCode&) override { status = code; }
  void on_field_impl(beast::http::field, Text name, Text value, ErrorCode&) override {
    if (!equals_ignoring_case({name.data(), name.size()}, "Retry-After")) return;
    int64_t seconds = 0;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), seconds);
    if (error == std::errc() && end == value.data() + value.size() && seconds >= 0)
      retry_after_s = std::min(seconds, kRetryAfterMax);
  }
  void on_header_impl(ErrorCode&) override {}
  void on_body_init_impl(const boost::optional<uint64_t>&, ErrorCode&) override {}
  size_t on_body_impl(Text bytes, ErrorCode&) override { return bytes.size(); }
  void on_chunk_header_impl(uint64_t, Text, ErrorCode&) override {}
  size_t on_chunk_body_impl(uint64_t, Text bytes, ErrorCode&) override { return bytes.size(); }
  void on_finish_impl(ErrorCode&) override {}
};

ResponseParser::ResponseParser() : machine_(std::make_unique<Machine>()) {}
ResponseParser::~ResponseParser() = default;

// An interim answer is followed by the one that counts (RFC 9110 §15.2); 101 was not asked for.
ResponseParser::Step ResponseParser::step() {
  if (!machine_->is_done()) return Step::need_more;
  if (machine_->status >= 200) return Step::complete;
  if (machine_->status == 101) return Step::fault;
  machine_ = std::make_unique<Machine>();
  return Step::need_more;
}

ResponseParser::Step ResponseParser::parse(Bytes input, size_t& consumed) {
  while (!input.empty()) {
    beast::error_code ec;
    const size_t used = machine_->put({input.data(), input.size()}, ec);
    consumed += used;
    input = input.subspan(used);
    // Interim answers are all head.
    if (!machine_->is_header_done() || machine_->status < 200) head_bytes_ += used;
    if (ec && ec != error::need_more) return Step::fault;
    if (head_bytes_ > kHeadBytesMax || (!machine_->is_header_done() && input.size() > kHeadBytesMax))
      return Step::fault;
    const Step done = step();
    if (done != Step::need_more || ec == error::need_more) return done;
    if (used == 0) return Step::need_more;
  }
  return Step::need_more;
}

ResponseParser::Step ResponseParser::finish() {
  if (!machine_->got_some()) return Step::fault;
  beast::error_code ec;
  machine_->put_eof(ec);
  return ec || machine_->status < 200 || !machine_->is_done() ? Step::fault : Step::complete;
}

int ResponseParser::status() const { return machine_->status; }
bool ResponseParser::keep_alive() const { return machine_->keep_alive(); }
int64_t ResponseParser::retry_after_s() const { return machine_->retry_after_s; }

}  // namespace heptane::http
