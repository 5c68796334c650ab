#include "kernel/server/quota_keys.h"

#include <charconv>

#include "kernel/auth/directory.h"
#include "kernel/config/units.h"

namespace heptane::server {

namespace {

constexpr const char* kForm =
    "say a user and its limits: \"alice bytes_in=1MiB bytes_out=10MiB requests=100 connections=4\"";

std::vector<std::string_view> words_of(std::string_view text) {
  std::vector<std::string_view> words;
  while (!text.empty()) {
    const size_t space = std::min(text.find(' '), text.size());
    if (space > 0) words.push_back(text.substr(0, space));
    text.remove_prefix(std::min(space + 1, text.size()));
  }
  return words;
}

std::optional<int64_t> number_of(std::string_view text, bool size) {
  int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const bool digits = error == std::errc() && end == text.data() + text.size();
  const std::optional<int64_t> value = digits ? number : size ? config::parse_size(text) : std::nullopt;
  return value && *value > 0 ? value : std::nullopt;
}

// The user's name, or what is wrong in `wrong`.
std::string read(const std::string& text, net::QuotaLimits& limits, std::string& wrong) {
  const std::vector<std::string_view> words = words_of(text);
  if (words.size() < 2 || !auth::valid_name(words[0])) {
    wrong = kForm;
    return {};
  }
  for (size_t i = 1; i < words.size(); ++i) {
    const size_t equals = std::min(words[i].find('='), words[i].size());
    const std::string_view name = words[i].substr(0, equals);
    int64_t net::QuotaLimits::*member = nullptr;
    if (name == "bytes_in") member = &net::QuotaLimits::bytes_in;
    if (name == "bytes_out") member = &net::QuotaLimits::bytes_out;
    if (name == "requests") member = &net::QuotaLimits::requests;
    if (name == "connections") member = &net::QuotaLimits::connections;
    const bool size = name.starts_with("bytes_");
    const auto value = equals < words[i].size() ? number_of(words[i].substr(equals + 1), size) : std::nullopt;
    if (member == nullptr || !value || limits.*member != 0) {
      wrong = std::string(words[i]) + " is no limit, or there twice: " + kForm;
      return {};
    }
    limits.*member = *value;
  }
  return std::string(words[0]);
}

}  // namespace

std::string wrong_user_quota(const std::string& text) {
  net::QuotaLimits limits;
  std::string wrong;
  (void)read(text, limits, wrong);
  return wrong;
}

std::map<std::string, net::QuotaLimits, std::less<>> user_quotas(const std::vector<std::string>& texts) {
  std::map<std::string, net::QuotaLimits, std::less<>> quotas;
  for (const std::string& text : texts) {
    net::QuotaLimits limits;
    std::string wrong;
    const std::string name = read(text, limits, wrong);
    if (wrong.empty()) quotas[name] = limits;
  }
  return quotas;
}

}  // namespace heptane::server
