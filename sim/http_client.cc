#include "sim/http_client.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <utility>

namespace heptane::sim {

namespace {

constexpr int64_t kAgainNs = 20'000'000;
constexpr size_t kHeadMax = 16 << 10;

// A number behind this text; nullopt: it is not there.
std::optional<size_t> number_behind(std::string_view head, std::string_view name) {
  const size_t at = head.find(name);
  if (at == std::string_view::npos) return std::nullopt;
  std::string_view rest = head.substr(at + name.size());
  while (rest.starts_with(' ')) rest.remove_prefix(1);
  size_t number = 0;
  const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), number);
  return error == std::errc() ? std::optional(number) : std::nullopt;
}

// An answer without content says no length.
std::optional<size_t> length_of(std::string_view head, size_t status) {
  constexpr size_t kNoContent = 204;
  return status == kNoContent ? size_t{0} : number_behind(head, "\r\ncontent-length:");
}

}  // namespace

std::string quoted(std::string_view text) { return '"' + std::string(text) + '"'; }

void SimHttpClient::ask(const std::string& method, const std::string& path, const std::string& body,
                        const std::string& more) {
  request_ = method + " " + path + " HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n" + more;
  request_ += "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

void SimHttpClient::go_on() {
  if (request_.empty() && composes() && world_.random.one_in(composes_one_in())) compose();
  if (request_.empty() || asked_ || world_.clock.monotonic_ns() < again_ns_) return;
  asked_ = true;
  write_raw(as_bytes(request_));
}

// False: the connection is gone.
bool SimHttpClient::take_frames() {
  const std::string_view text = as_text(input_);
  const size_t end = text.find("\r\n\r\n");
  if (end == std::string_view::npos && text.size() < kHeadMax) return true;
  std::string head(text.substr(0, end));
  std::transform(head.begin(), head.end(), head.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? c + 32 : c; });
  const auto status = number_behind(head, "http/1.1 ");
  const auto length = status ? length_of(head, *status) : std::nullopt;
  if (!length || end == std::string_view::npos || !asked_) {
    world_.checker.fail(state() + " was sent what is no answer");
    return false;
  }
  const size_t whole = end + 4 + *length;
  if (text.size() < whole) return true;
  const std::string body(text.substr(end + 4, *length));
  input_.erase(input_.begin(), input_.begin() + static_cast<std::ptrdiff_t>(whole));
  if (!take_response(static_cast<int>(*status), body)) return false;
  if (head.find("\r\nconnection: close") == std::string::npos) return connected();
  reconnect_later("told that the connection closes");
  return false;
}

bool SimHttpClient::take_response(int status, std::string_view body) {
  asked_ = false;
  again_ = status >= 500 || status == 408 || status == 429;
  const std::string request = request_;
  if (!again_ && !on_response(status, body) && !world_.checker.lost_tail_allowed()) {
    world_.checker.fail(state() + " was answered " + std::to_string(status) + " " + std::string(body));
    return false;
  }
  if (again_)
    again_ns_ = world_.clock.monotonic_ns() + kAgainNs;
  else if (request_ == request)
    request_.clear();
  return true;
}

}  // namespace heptane::sim
