// The OpenAPI 3.1 document of a listener, made from its routes (https://spec.openapis.org/oas/v3.1.0). Start-up only.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kernel/net/http/router.h"

namespace heptane::http {

struct OpenApiInfo {
  std::string_view title;
  std::string_view text;
  std::string_view version;
  std::vector<std::pair<std::string_view, std::string_view>> schemas;  // by name: #/components/schemas/NAME
};

// A route that says nothing of itself stands there with an empty summary: tests of the listener look for it.
std::string openapi_document(const HttpRouter& router, const OpenApiInfo& info);

}  // namespace heptane::http
