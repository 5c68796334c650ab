#include "kernel/net/http/message.h"

#include <array>
#include <chrono>
#include <cstdio>

#include "kernel/net/http/json_writer.h"

namespace heptane::http {

namespace {

constexpr std::array<std::pair<std::string_view, Method>, 7> kMethods{{{"GET", Method::get},
                                                                       {"HEAD", Method::head},
                                                                       {"POST", Method::post},
                                                                       {"PUT", Method::put},
                                                                       {"PATCH", Method::patch},
                                                                       {"DELETE", Method::del},
                                                                       {"OPTIONS", Method::options}}};

constexpr std::array<std::pair<int, std::string_view>, 33> kReasons{{{100, "Continue"},
                                                                     {101, "Switching Protocols"},
                                                                     {200, "OK"},
                                                                     {201, "Created"},
                                                                     {202, "Accepted"},
                                                                     {204, "No Content"},
                                                                     {206, "Partial Content"},
                                                                     {304, "Not Modified"},
                                                                     {400, "Bad Request"},
                                                                     {401, "Unauthorized"},
                                                                     {403, "Forbidden"},
                                                                     {404, "Not Found"},
                                                                     {405, "Method Not Allowed"},
                                                                     {408, "Request Timeout"},
                                                                     {409, "Conflict"},
                                                                     {412, "Precondition Failed"},
                                                                     {413, "Content Too Large"},
                                                                     {414, "URI Too Long"},
                                                                     {415, "Unsupported Media Type"},
                                                                     {416, "Range Not Satisfiable"},
                                                                     {417, "Expectation Failed"},
                                                                     {421, "Misdirected Request"},
                                                                     {422, "Unprocessable Content"},
                                                                     {426, "Upgrade Required"},
                                                                     {429, "Too Many Requests"},
                                                                     {431, "Request Header Fields Too Large"},
                                                                     {500, "Internal Server Error"},
                                                                     {501, "Not Implemented"},
                                                                     {502, "Bad Gateway"},
                                                                     {503, "Service Unavailable"},
                                                                     {504, "Gateway Timeout"},
                                                                     {505, "HTTP Version Not Supported"},
                                                                     {507, "Insufficient Storage"}}};

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

const std::string* find(const std::vector<std::pair<std::string, std::string>>& pairs, std::string_view name) {
  for (const auto& [key, value] : pairs)
    if (key == name) return &value;
  return nullptr;
}

}  // namespace

Method method_of(std::string_view name) {
  for (const auto& [text, method] : kMethods)
    if (text == name) return method;
  return Method::other;
}

std::string_view method_name(Method method) {
  for (const auto& [text, known] : kMethods)
    if (known == method) return text;
  return "";
}

std::string_view reason_phrase(int status) {
  for (const auto& [code, phrase] : kReasons)
    if (code == status) return phrase;
  return "Status";
}

bool equals_ignoring_case(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i)
    if (lower(a[i]) != lower(b[i])) return false;
  return true;
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

std::string_view media_type(std::string_view content_type) {
  return trimmed(content_type.substr(0, content_type.find(';')));
}

bool list_has(std::string_view list, std::string_view token) {
  for (;;) {
    const size_t comma = list.find(',');
    if (equals_ignoring_case(trimmed(list.substr(0, comma)), token)) return true;
    if (comma == std::string_view::npos) return false;
    list.remove_prefix(comma + 1);
  }
}

std::string_view HttpRequest::header(std::string_view name) const {
  for (const Header& header : headers)
    if (equals_ignoring_case(header.name, name)) return header.value;
  return {};
}

bool HttpRequest::header_has(std::string_view name, std::string_view token) const {
  for (const Header& header : headers)
    if (equals_ignoring_case(header.name, name) && list_has(header.value, token)) return true;
  return false;
}

std::string_view HttpRequest::param(std::string_view name) const {
  const std::string* value = find(params, name);
  return value == nullptr ? std::string_view() : std::string_view(*value);
}

std::optional<std::string_view> HttpRequest::query_value(std::string_view name) const {
  const std::string* value = find(query, name);
  if (value == nullptr) return std::nullopt;
  return *value;
}

HttpResponse HttpResponse::error(int status, std::string_view code, std::string_view message) {
  JsonWriter out;
  out.begin_object().key("error").begin_object();
  out.key("code").text(code).key("message").text(message);
  out.end_object().end_object();
  return json(status, out.take());
}

std::string http_date(int64_t utc_ns) {
  using namespace std::chrono;
  static constexpr const char* kDays[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  static constexpr const char* kMonths[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                            "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const sys_time<nanoseconds> time{nanoseconds(utc_ns)};
  const sys_days day = floor<days>(time);
  const year_month_day date(day);
  const hh_mm_ss<seconds> clock(floor<seconds>(time - day));
  char text[64];
  std::snprintf(text, sizeof text, "%s, %02u %s %04d %02d:%02d:%02d GMT", kDays[weekday(day).c_encoding()],
                static_cast<unsigned>(date.day()), kMonths[static_cast<unsigned>(date.month()) - 1],
                static_cast<int>(date.year()), static_cast<int>(clock.hours().count()),
                static_cast<int>(clock.minutes().count()), static_cast<int>(clock.seconds().count()));
  return text;
}

}  // namespace heptane::http
