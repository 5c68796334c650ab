// JSON Schemas that the OpenAPI document of the operators' listener names, and what its routes share in their descriptions.
#pragma once

#include <string_view>
#include <utility>
#include <vector>

#include "kernel/net/http/route_doc.h"

namespace heptane::admin {

constexpr std::string_view kLinesType = "application/x-ndjson";

inline const http::ParameterDoc kPartitionParameter{"partition", "its number in the stream, from 0",
                                                    R"({"type":"integer","minimum":0,"maximum":1023,"default":0})"};

using NamedSchemas = std::vector<std::pair<std::string_view, std::string_view>>;

inline NamedSchemas api_schemas() {
  return {
      {"Position",
       R"({"type":"string","description":"shard and sequence of the command","pattern":"^[0-9]+:[0-9]+$"})"},
      {"NewRecord",
       R"({"type":"object","additionalProperties":false,"properties":{"key":{"type":["string","null"]},)"
       R"("key_base64":{"type":"string","contentEncoding":"base64"},)"
       R"("value":{"description":"a string is its text, other JSON is kept as it was written"},)"
       R"("value_base64":{"type":"string","contentEncoding":"base64"},)"
       R"("timestamp":{"type":"integer","minimum":0,"description":"milliseconds since 1970"},)"
       R"("headers":{"description":"a name and a text or null each: an object, or an array of pairs or of what reading gives",)"
       R"("type":["object","array","null"]}},)"
       R"("oneOf":[{"required":["value"]},{"required":["value_base64"]}],"not":{"required":["key","key_base64"]}})"},
      {"Record",
       R"({"type":"object","required":["offset","timestamp"],"additionalProperties":false,"properties":{)"
       R"("offset":{"type":"integer","minimum":0},"timestamp":{"type":"integer","description":"milliseconds since 1970"},)"
       R"("key":{"type":"string"},"key_base64":{"type":"string","contentEncoding":"base64"},)"
       R"("value":{"description":"null, a text, or the JSON object or array that was kept"},)"
       R"("value_base64":{"type":"string","contentEncoding":"base64"},"headers":{"type":"array","items":{)"
       R"("type":"object","required":["name"],"additionalProperties":false,"properties":{"name":{"type":"string"},)"
       R"("value":{"type":["string","null"]},"value_base64":{"type":"string","contentEncoding":"base64"}}}}}})"},
      {"Records", R"({"type":"object","required":["records","next_offset","first_offset","end_offset"],)"
                  R"("additionalProperties":false,"properties":{"records":{"type":"array","items":{"$ref":)"
                  R"("#/components/schemas/Record"}},"next_offset":{"type":"integer","minimum":0},)"
                  R"("first_offset":{"type":"integer","minimum":0},"end_offset":{"type":"integer","minimum":0}}})"},
      {"Appended",
       R"({"type":"object","required":["offset","count","position"],"additionalProperties":false,"properties":{)"
       R"("offset":{"type":"integer","minimum":0},"count":{"type":"integer","minimum":1},)"
       R"("position":{"$ref":"#/components/schemas/Position"},"repeated":{"type":"boolean"}}})"},
      {"Stream",
       R"({"type":"object","required":["name","id","partitions"],"additionalProperties":false,"properties":{)"
       R"("name":{"type":"string"},"id":{"type":"string"},"view":{"type":"boolean"},)"
       R"("retention_ms":{"type":"integer","minimum":0},)"
       R"("retention_bytes":{"type":"integer","minimum":0},"partitions":{"type":"array","minItems":1,"items":{)"
       R"("type":"object","required":["id","first_offset","end_offset"],"additionalProperties":false,"properties":{)"
       R"("id":{"type":"integer"},"first_offset":{"type":"integer","minimum":0},)"
       R"("end_offset":{"type":"integer","minimum":0}}}}}})"},
      {"Retention",
       R"({"type":"object","additionalProperties":false,"properties":{"retention_ms":{"type":"integer","minimum":-1},)"
       R"("retention_bytes":{"type":"integer","minimum":-1}}})"},
      {"NewStream",
       R"({"type":"object","required":["name"],"additionalProperties":false,"properties":{"name":{"type":"string",)"
       R"("pattern":"^[a-zA-Z0-9._-]{1,249}$"},"partitions":{"type":"integer","minimum":1,"maximum":1024,"default":1},)"
       R"("retention_ms":{"type":"integer","minimum":-1},"retention_bytes":{"type":"integer","minimum":-1}}})"},
      {"StreamChanged", R"({"type":"object","required":["name","position"],"additionalProperties":false,"properties":{)"
                        R"("name":{"type":"string"},"partitions":{"type":"integer","minimum":1},)"
                        R"("position":{"$ref":"#/components/schemas/Position"}}})"},
      {"User", R"({"type":"object","required":["name","id","version","password","certificate","roles"],)"
               R"("additionalProperties":false,"properties":{"name":{"type":"string"},"id":{"type":"integer"},)"
               R"("version":{"type":"integer"},"password":{"type":"boolean"},"certificate":{"type":"boolean"},)"
               R"("roles":{"type":"array","items":{"type":"string"}}}})"},
      {"Permission",
       R"({"type":"object","required":["module","pattern","verbs"],"additionalProperties":false,"properties":{)"
       R"("module":{"type":"string"},"pattern":{"type":"string"},"verbs":{"type":"array","items":{"type":"string",)"
       R"("enum":["read","write","create","alter","delete","admin"]}}}})"},
      {"Readiness",
       R"({"type":"object","required":["ready"],"additionalProperties":false,"properties":{"ready":{"type":"boolean"},)"
       R"("phase":{"type":"string"},"done":{"type":"integer","minimum":0},"total":{"type":"integer","minimum":0}}})"},
      {"SnapshotStatus",
       R"({"type":"object","required":["answered","last_failed","taken","failed","bytes","position"],)"
       R"("additionalProperties":false,"properties":{"request":{"type":"integer","minimum":1},)"
       R"("answered":{"type":"integer","minimum":0},"last_failed":{"type":"boolean"},)"
       R"("taken":{"type":"integer","minimum":0},"failed":{"type":"integer","minimum":0},)"
       R"("bytes":{"type":"integer","minimum":0},"position":{"$ref":"#/components/schemas/Position"}}})"},
      {"Transaction",
       R"({"type":"object","required":["operations"],"additionalProperties":false,"properties":{)"
       R"("idempotency_key":{"type":"string","minLength":1,"maxLength":256},"guards":{"type":"array",)"
       R"("items":{"type":"object","minProperties":1,"maxProperties":1}},"operations":{"type":"array","minItems":1,)"
       R"("items":{"type":"object","minProperties":1}}}})"},
      {"Transacted",
       R"({"type":"object","required":["position","results","repeated"],"additionalProperties":false,"properties":{)"
       R"("position":{"$ref":"#/components/schemas/Position"},"repeated":{"type":"boolean"},)"
       R"("results":{"type":["array","null"],"items":{"type":"object"}}}})"},
  };
}

}  // namespace heptane::admin
