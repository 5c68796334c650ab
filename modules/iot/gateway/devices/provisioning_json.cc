#include "modules/iot/gateway/devices/provisioning_json.h"

namespace heptane::iot::devices {

namespace {

using http::JsonDocument;
using http::JsonFields;
using http::JsonType;
using http::JsonValue;
using http::JsonWriter;
using Names = std::set<std::string, std::less<>>;

// What MQTT carries has no newline behind it.
std::string text_of(JsonWriter& out) {
  std::string text = out.take();
  if (text.ends_with('\n')) text.pop_back();
  return text;
}

Result<std::unique_ptr<JsonDocument>> parsed(std::string_view payload) {
  if (payload.size() > kProvisioningBytesMax) return Error{Errc::too_large, "a request has at most 16 KiB", 0};
  return JsonDocument::parse(std::string(payload));
}

// Members that are texts; null is said where `may_be_null`.
template <class Take>
void each_text(JsonFields& fields, std::string_view name, bool may_be_null, Take&& take) {
  const auto object = fields.value(name);
  if (!object) return;
  if (object->type() != JsonType::object) return fields.fail(fields.path_of(name) + " must be an object of texts");
  for (auto one = object->first(); one; one = one->next()) {
    const bool is_null = one->type() == JsonType::null;
    if (one->type() != JsonType::text && !(is_null && may_be_null))
      return fields.fail(fields.path_of(name) + " has a value that is no text: " + std::string(one->name()));
    take(std::string(one->name()), *one);
  }
}

Names names_of(JsonFields& fields, std::string_view name) {
  Names names;
  const auto list = fields.array(name);
  for (auto one = list ? list->first() : std::nullopt; one; one = one->next()) {
    if (one->type() != JsonType::text) fields.fail(fields.path_of(name) + " must be texts");
    names.emplace(one->text());
  }
  return names;
}

bool flag_or(JsonFields& fields, std::string_view name, bool otherwise) {
  const auto value = fields.value(name);
  if (!value) return otherwise;
  if (value->type() != JsonType::boolean) fields.fail(fields.path_of(name) + " must be true or false");
  return value->boolean();
}

TemplateThings things_of(JsonFields& fields) {
  const std::string_view said = fields.text_or("things", "make");
  if (said != "make" && said != "registered" && said != "any") fields.fail("things must be make, registered or any");
  if (said == "registered") return TemplateThings::registered;
  return said == "any" ? TemplateThings::any : TemplateThings::make;
}

std::string configuration_of(JsonFields& fields) {
  const auto value = fields.value("configuration");
  if (!value) return {};
  if (value->type() != JsonType::object) fields.fail("configuration must be an object");
  return std::string(value->raw());
}

void write_names(JsonWriter& out, std::string_view name, const Names& names) {
  if (names.empty()) return;
  out.key(name).begin_array();
  for (const std::string& one : names) out.text(one);
  out.end_array();
}

}  // namespace

Result<std::string> read_issue_request(std::string_view payload) {
  const auto document = parsed(payload);
  if (!document) return document.error();
  JsonFields fields((*document)->root(), "");
  std::string pem(fields.text("certificateSigningRequest"));
  HEPTANE_TRY(fields.finish());
  return pem;
}

Result<ProvisionRequest> read_provision_request(std::string_view payload) {
  const auto document = parsed(payload);
  if (!document) return document.error();
  JsonFields fields((*document)->root(), "");
  ProvisionRequest request;
  request.token = fields.text("certificateOwnershipToken");
  each_text(fields, "parameters", false,
            [&](std::string name, const JsonValue& value) { request.parameters[std::move(name)] = value.text(); });
  HEPTANE_TRY(fields.finish());
  if (request.parameters.size() > kParametersMax)
    return Error{Errc::invalid_argument, "a request has at most 32 parameters", 0};
  for (const auto& [name, value] : request.parameters)
    if (name.size() > kNameLimitBytes || value.size() > kValueLimitBytes)
      return Error{Errc::invalid_argument, "a parameter has a name of at most 128 bytes and a text of at most 1,024",
                   0};
  return request;
}

std::string issued_answer(std::string_view token, std::string_view certificate_id, std::string_view pem) {
  JsonWriter out;
  out.begin_object().key("certificateId").text(certificate_id).key("certificatePem").text(pem);
  out.key("certificateOwnershipToken").text(token).end_object();
  return text_of(out);
}

std::string provisioned_answer(std::string_view thing, std::string_view configuration) {
  JsonWriter out;
  out.begin_object().key("deviceConfiguration").raw(configuration.empty() ? "{}" : configuration);
  out.key("thingName").text(thing).end_object();
  return text_of(out);
}

std::string rejected_answer(int status, std::string_view code, std::string_view message) {
  JsonWriter out;
  out.begin_object().key("statusCode").number(status).key("errorCode").text(code);
  out.key("errorMessage").text(message).end_object();
  return text_of(out);
}

Result<ProvisioningTemplate> template_of_json(std::string text, std::string_view name) {
  const auto document = JsonDocument::parse(std::move(text));
  if (!document) return document.error();
  JsonFields fields((*document)->root(), "");
  ProvisioningTemplate of;
  of.name = name;
  of.description = fields.text_or("description", "");
  of.enabled = flag_or(fields, "enabled", true);
  of.things = things_of(fields);
  each_text(fields, "parameters", true, [&](std::string parameter, const JsonValue& value) {
    const bool must_be_said = value.type() == JsonType::null;
    of.parameters[std::move(parameter)] = must_be_said ? std::nullopt : std::optional(std::string(value.text()));
  });
  of.thing = fields.text("thing");
  of.type = fields.text_or("type", "");
  each_text(fields, "attributes", false,
            [&](std::string attribute, const JsonValue& value) { of.attributes[std::move(attribute)] = value.text(); });
  of.tags = names_of(fields, "tags");
  of.groups = names_of(fields, "groups");
  of.roles = names_of(fields, "roles");
  of.configuration = configuration_of(fields);
  HEPTANE_TRY(fields.finish());
  if (std::string wrong = wrong_template(of); !wrong.empty()) return Error{Errc::invalid_argument, std::move(wrong), 0};
  return of;
}

void write_template(JsonWriter& out, const ProvisioningTemplate& of) {
  out.begin_object().key("name").text(of.name);
  if (!of.description.empty()) out.key("description").text(of.description);
  out.key("enabled").boolean(of.enabled).key("things").text(things_text(of.things));
  out.key("parameters").begin_object();
  for (const auto& [name, value] : of.parameters) {
    out.key(name);
    if (value)
      out.text(*value);
    else
      out.null();
  }
  out.end_object().key("thing").text(of.thing);
  if (!of.type.empty()) out.key("type").text(of.type);
  out.key("attributes").begin_object();
  for (const auto& [name, value] : of.attributes) out.key(name).text(value);
  out.end_object();
  write_names(out, "tags", of.tags);
  write_names(out, "groups", of.groups);
  write_names(out, "roles", of.roles);
  if (!of.configuration.empty()) out.key("configuration").raw(of.configuration);
  out.end_object();
}

}  // namespace heptane::iot::devices
