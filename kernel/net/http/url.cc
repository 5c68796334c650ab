#include "kernel/net/http/url.h"

namespace heptane::http {

namespace {

constexpr size_t kQueryPairsLimit = 64;
constexpr std::string_view kScheme = "http://";

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool parse_query(std::string_view text, std::vector<std::pair<std::string, std::string>>& out) {
  while (!text.empty()) {
    const size_t end = text.find('&');
    const std::string_view pair = text.substr(0, end);
    text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
    if (pair.empty()) continue;
    if (out.size() == kQueryPairsLimit) return false;
    const size_t equals = pair.find('=');
    auto name = percent_decoded(pair.substr(0, equals), true);
    auto value = percent_decoded(equals == std::string_view::npos ? std::string_view() : pair.substr(equals + 1), true);
    if (!name || !value) return false;
    out.emplace_back(std::move(*name), std::move(*value));
  }
  return true;
}

}  // namespace

std::optional<std::string> percent_decoded(std::string_view text, bool plus_is_space) {
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size(); ++at) {
    if (text[at] == '+' && plus_is_space) {
      out += ' ';
    } else if (text[at] != '%') {
      out += text[at];
    } else {
      if (text.size() - at < 3) return std::nullopt;
      const int high = hex_digit(text[at + 1]);
      const int low = hex_digit(text[at + 2]);
      if (high < 0 || low < 0) return std::nullopt;
      out += static_cast<char>(high * 16 + low);
      at += 2;
    }
  }
  return out;
}

std::optional<Target> parse_target(std::string_view target) {
  Target parsed;
  if (target.starts_with(kScheme)) {
    target.remove_prefix(kScheme.size());
    const size_t slash = target.find_first_of("/?");
    parsed.authority = target.substr(0, slash);
    if (parsed.authority.empty()) return std::nullopt;
    target = slash == std::string_view::npos ? std::string_view() : target.substr(slash);
    if (target.empty() || target.front() == '?') parsed.path = "/";
  } else if (!target.starts_with('/')) {
    return std::nullopt;
  }
  if (target.find('#') != std::string_view::npos) return std::nullopt;
  const size_t question = target.find('?');
  parsed.path += target.substr(0, question);
  if (question != std::string_view::npos && !parse_query(target.substr(question + 1), parsed.query))
    return std::nullopt;
  return parsed;
}

}  // namespace heptane::http
