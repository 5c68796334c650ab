// What the OpenAPI document says of a route. It stands beside the route in RouteOptions, so that one cannot change without
// the other being in sight; a route of a served document that says nothing of itself fails the listener's tests.
// All texts are literals; schemas are JSON Schema 2020-12 and may refer to "#/components/schemas/NAME".
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace heptane::http {

// Schemas that many routes share.
inline constexpr std::string_view kTextSchema = R"({"type":"string"})";
inline constexpr std::string_view kCountSchema = R"({"type":"integer","minimum":0})";

enum class ParameterPlace : uint8_t { query, header };

// Those of the path are known by the pattern.
struct ParameterDoc {
  std::string_view name;
  std::string_view text;
  std::string_view schema = kTextSchema;
  ParameterPlace place = ParameterPlace::query;
};

// What a body may be; of `application/x-ndjson` the schema is that of one line.
struct BodyDoc {
  std::string_view schema;
  std::string_view content_type = "application/json";
};

struct AnswerDoc {
  int status = 200;
  std::string_view text;
  std::vector<BodyDoc> bodies;  // none: no body
};

struct RouteDoc {
  std::string_view summary;  // one line
  std::string_view text;     // more than that; may be empty
  std::vector<ParameterDoc> parameters;
  std::vector<BodyDoc> bodies;     // of the request; none: no body
  std::vector<AnswerDoc> answers;  // besides the errors, which every route may give
};

}  // namespace heptane::http
