#include "kernel/cli/notices.h"

#include <cstdio>

#include "kernel/net/http/json_writer.h"

namespace heptane::cli {

namespace {

std::string json_text(std::string_view event, const std::vector<Fact>& facts) {
  http::JsonWriter out;
  out.begin_object().key("event").text(event);
  for (const auto& [name, value] : facts) {
    out.key(name);
    if (const int64_t* number = std::get_if<int64_t>(&value))
      out.number(*number);
    else
      out.text(std::get<std::string>(value));
  }
  out.end_object();
  return out.take();
}

}  // namespace

std::string notice_text(std::string_view event, const std::vector<Fact>& facts, bool json) {
  if (json) return json_text(event, facts);
  std::string out = "heptane: " + std::string(event);
  for (const auto& [name, value] : facts) {
    const int64_t* number = std::get_if<int64_t>(&value);
    out += ' ' + std::string(name) + '=' + (number != nullptr ? std::to_string(*number) : std::get<std::string>(value));
  }
  return out + "\n";
}

void notice(std::string_view event, const std::vector<Fact>& facts, bool json) {
  std::fputs(notice_text(event, facts, json).c_str(), stdout);
  std::fflush(stdout);
}

}  // namespace heptane::cli
