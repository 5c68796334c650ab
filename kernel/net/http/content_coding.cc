#include "kernel/net/http/content_coding.h"

#include <zlib.h>

#include <algorithm>

#include "kernel/base/assert.h"
#include "kernel/net/http/message.h"

namespace heptane::http {

namespace {

constexpr size_t kStepBytes = size_t{64} << 10;
constexpr int kGzipWindow = 15 + 16;  // zlib's way to say gzip
constexpr int kZlibWindow = 15;

Bytef* zlib_bytes(const char* text) { return reinterpret_cast<Bytef*>(const_cast<char*>(text)); }

Error malformed() {
  return {Errc::invalid_argument, "the body is not what its Content-Encoding says, or is cut short"};
}

Result<std::string> inflated(int window, const std::string& body, size_t limit) {
  z_stream stream{};
  if (inflateInit2(&stream, window) != Z_OK) return Error{Errc::overloaded, "no memory for zlib: try again"};
  const std::unique_ptr<z_stream, int (*)(z_stream*)> end(&stream, inflateEnd);
  stream.next_in = zlib_bytes(body.data());
  stream.avail_in = static_cast<uInt>(body.size());
  std::string out;
  for (size_t used = 0;;) {
    // One byte more than the limit: a result that needs it is one that passes it.
    if (used == out.size()) out.resize(std::min(limit + 1, std::max(kStepBytes, used * 2)));
    stream.next_out = zlib_bytes(out.data() + used);
    stream.avail_out = static_cast<uInt>(out.size() - used);
    const int result = inflate(&stream, Z_NO_FLUSH);
    used = out.size() - stream.avail_out;
    if (used > limit) return Error{Errc::too_large, "the body, inflated, is longer than the limit"};
    if (result == Z_STREAM_END) {
      if (stream.avail_in > 0) return malformed();
      out.resize(used);
      return out;
    }
    if (result != Z_OK || (stream.avail_in == 0 && stream.avail_out != 0)) return malformed();
  }
}

bool is_gzip(std::string_view coding) {
  return equals_ignoring_case(coding, "gzip") || equals_ignoring_case(coding, "x-gzip");
}

// `;q=0.5`: whether it is more than nothing.
bool wanted(std::string_view parameters) {
  const size_t weight = parameters.find("q=");
  if (weight == std::string_view::npos) return true;
  return parameters.find_first_of("123456789", weight) != std::string_view::npos;
}

}  // namespace

bool known_coding(std::string_view coding) {
  return coding.empty() || is_gzip(coding) || equals_ignoring_case(coding, "deflate") ||
         equals_ignoring_case(coding, "identity");
}

Result<std::string> decoded_body(std::string_view coding, std::string body, size_t limit_bytes) {
  if (is_gzip(coding)) return inflated(kGzipWindow, body, limit_bytes);
  if (equals_ignoring_case(coding, "deflate")) return inflated(kZlibWindow, body, limit_bytes);
  return body;
}

bool accepts_gzip(std::string_view accept_encoding) {
  bool any = false;
  while (!accept_encoding.empty()) {
    const size_t comma = std::min(accept_encoding.find(','), accept_encoding.size());
    const std::string_view item = accept_encoding.substr(0, comma);
    accept_encoding.remove_prefix(std::min(comma + 1, accept_encoding.size()));
    const size_t semicolon = std::min(item.find(';'), item.size());
    const std::string_view coding = trimmed(item.substr(0, semicolon));
    if (is_gzip(coding)) return wanted(item.substr(semicolon));
    if (coding == "*") any = wanted(item.substr(semicolon));
  }
  return any;
}

struct GzipStream::State {
  z_stream stream{};
};

GzipStream::GzipStream() : state_(std::make_unique<State>()) {
  constexpr int kMemoryLevel = 8;
  const int made =
      deflateInit2(&state_->stream, Z_BEST_SPEED, Z_DEFLATED, kGzipWindow, kMemoryLevel, Z_DEFAULT_STRATEGY);
  HEPTANE_ASSERT(made == Z_OK, "zlib has memory for a stream");
}

GzipStream::~GzipStream() { deflateEnd(&state_->stream); }

std::string GzipStream::add(std::string_view piece, bool last) {
  z_stream& stream = state_->stream;
  stream.next_in = zlib_bytes(piece.data());
  stream.avail_in = static_cast<uInt>(piece.size());
  std::string out;
  for (size_t used = 0;;) {
    if (used == out.size()) out.resize(std::max(used * 2, piece.size() / 4 + 256));
    stream.next_out = zlib_bytes(out.data() + used);
    stream.avail_out = static_cast<uInt>(out.size() - used);
    const int result = deflate(&stream, last ? Z_FINISH : Z_SYNC_FLUSH);
    used = out.size() - stream.avail_out;
    HEPTANE_ASSERT(result != Z_STREAM_ERROR, "a gzip stream ends once");
    if (last ? result == Z_STREAM_END : stream.avail_out > 0) {
      out.resize(used);
      return out;
    }
  }
}

}  // namespace heptane::http
