// The query of a request, checked: numbers in range, no name that nobody asked for.
#pragma once

#include <initializer_list>

#include "kernel/base/result.h"
#include "kernel/net/http/message.h"

namespace heptane::admin {

Error invalid(std::string message);
Result<int64_t> integer_parameter(const http::HttpRequest& request, std::string_view name, int64_t otherwise,
                                  int64_t min, int64_t max);
// A name beside the known ones is an error that lists them; at most one of `exclusive` may be there.
Result<void> check_parameters(const http::HttpRequest& request, std::initializer_list<std::string_view> known,
                              std::initializer_list<std::string_view> exclusive = {});

}  // namespace heptane::admin
