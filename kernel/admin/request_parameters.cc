#include "kernel/admin/request_parameters.h"

#include <algorithm>
#include <charconv>

namespace heptane::admin {

namespace {

std::string listed(std::initializer_list<std::string_view> names) {
  std::string list;
  for (const std::string_view name : names) {
    if (!list.empty()) list += ", ";
    list += name;
  }
  return list;
}

}  // namespace

Error invalid(std::string message) { return Error{Errc::invalid_argument, std::move(message), 0}; }

Result<int64_t> integer_parameter(const http::HttpRequest& request, std::string_view name, int64_t otherwise,
                                  int64_t min, int64_t max) {
  const std::optional<std::string_view> text = request.query_value(name);
  if (!text) return otherwise;
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), value);
  if (error != std::errc() || end != text->data() + text->size() || value < min || value > max)
    return invalid(std::string(name) + " must be an integer from " + std::to_string(min) + " to " +
                   std::to_string(max));
  return value;
}

Result<void> check_parameters(const http::HttpRequest& request, std::initializer_list<std::string_view> known,
                              std::initializer_list<std::string_view> exclusive) {
  for (const auto& parameter : request.query) {
    const std::string& name = parameter.first;
    if (std::find(known.begin(), known.end(), name) == known.end())
      return invalid(name.substr(0, 64) + " is not known here: " + listed(known) + " are");
    if (std::count_if(request.query.begin(), request.query.end(),
                      [&](const auto& pair) { return pair.first == name; }) > 1)
      return invalid(name + " is there twice");
  }
  const auto is_there = [&](std::string_view name) { return request.query_value(name).has_value(); };
  if (std::count_if(exclusive.begin(), exclusive.end(), is_there) > 1)
    return invalid(listed(exclusive) + " exclude each other");
  return {};
}

}  // namespace heptane::admin
