#include "modules/iot/domain/devices/provisioning_template.h"

#include <algorithm>

#include "modules/iot/domain/topics/topics.h"

namespace heptane::iot::devices {

namespace {

using Names = std::set<std::string, std::less<>>;

constexpr size_t kAttributesOfTemplateMax = 100;
constexpr size_t kDescriptionLimitBytes = 1'024;
constexpr uint8_t kLastThings = 3;
constexpr std::string_view kOpen = "${";

bool is_text(std::string_view text) {
  return text.size() <= kValueLimitBytes && (text.empty() || valid_text(text)) &&
         std::none_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20; });
}

// With each parameter what `value` says; nullopt where it says nothing or a bracket is not closed.
template <class Value>
std::optional<std::string> filled(std::string_view pattern, Value&& value) {
  std::string text;
  while (!pattern.empty()) {
    const size_t open = pattern.find(kOpen);
    text += pattern.substr(0, open);
    if (open == std::string_view::npos) break;
    const size_t close = pattern.find('}', open);
    if (close == std::string_view::npos) return std::nullopt;
    const std::optional<std::string_view> said =
        value(pattern.substr(open + kOpen.size(), close - open - kOpen.size()));
    if (!said) return std::nullopt;
    text += *said;
    pattern.remove_prefix(close + 1);
  }
  return text;
}

bool is_pattern(const ProvisioningTemplate& of, std::string_view pattern) {
  if (!is_text(pattern)) return false;
  return filled(pattern,
                [&](std::string_view name) -> std::optional<std::string_view> {
                  const bool known = name == kCertificateIdParameter || of.parameters.contains(name);
                  return known ? std::optional<std::string_view>("") : std::nullopt;
                })
      .has_value();
}

bool are_names(const Names& names, size_t most) {
  return names.size() <= most && std::all_of(names.begin(), names.end(), valid_name);
}

size_t bytes_of(const ProvisioningTemplate& of) {
  size_t bytes = of.name.size() + of.description.size() + of.thing.size() + of.type.size() + of.configuration.size();
  for (const auto& [name, value] : of.parameters) bytes += name.size() + value.value_or("").size();
  for (const auto& [name, value] : of.attributes) bytes += name.size() + value.size();
  for (const Names* names : {&of.tags, &of.groups, &of.roles})
    for (const std::string& name : *names) bytes += name.size();
  return bytes;
}

std::string wrong_parameters(const ProvisioningTemplate& wanted) {
  if (wanted.parameters.size() > kParametersMax) return "a template has at most 32 parameters";
  for (const auto& [name, value] : wanted.parameters) {
    if (!valid_name(name)) return "a parameter's name is 1 to 128 of a-z A-Z 0-9 : _ -";
    if (name == kCertificateIdParameter) return "the parameter " + name + " is there by itself";
    if (!is_text(value.value_or(""))) return "the default of " + name + " is no text of at most 1,024 bytes";
  }
  return {};
}

std::string wrong_patterns(const ProvisioningTemplate& wanted) {
  const char* const why = " has a parameter that is not declared, or is no text of at most 1,024 bytes";
  if (wanted.thing.empty()) return "a template names the thing: `thing`";
  if (!is_pattern(wanted, wanted.thing)) return std::string("thing") + why;
  if (!is_pattern(wanted, wanted.type)) return std::string("type") + why;
  if (wanted.attributes.size() > kAttributesOfTemplateMax) return "a template has at most 100 attributes";
  for (const auto& [name, pattern] : wanted.attributes) {
    if (!valid_name(name)) return "an attribute's name is 1 to 128 of a-z A-Z 0-9 : _ -";
    if (!is_pattern(wanted, pattern)) return "the attribute " + name + why;
  }
  return {};
}

void append_names(ByteWriter& out, const Names& names) {
  out.u8(static_cast<uint8_t>(names.size()));
  for (const std::string& name : names) append_text(out, name);
}

// Names come in order.
Names read_names(ByteReader& in, size_t most) {
  Names names;
  const uint8_t count = in.u8();
  if (count > most) in.fail();
  for (uint8_t i = 0; i < count && !in.failed(); ++i) {
    const std::string_view name = read_text(in, kNameLimitBytes);
    if (!names.empty() && name <= *names.rbegin()) in.fail();
    names.emplace_hint(names.end(), name);
  }
  return names;
}

}  // namespace

std::string_view things_text(TemplateThings things) {
  if (things == TemplateThings::registered) return "registered";
  return things == TemplateThings::any ? "any" : "make";
}

std::string wrong_template(const ProvisioningTemplate& wanted) {
  if (!valid_name(wanted.name)) return "a template's name is 1 to 128 of a-z A-Z 0-9 : _ -";
  if (wanted.description.size() > kDescriptionLimitBytes) return "a description has at most 1,024 bytes";
  if (wanted.configuration.size() > kConfigurationBytesMax) return "configuration has at most 4 KiB";
  if (bytes_of(wanted) > kTemplateBytesMax) return "a template has at most 16 KiB";
  if (std::string wrong = wrong_parameters(wanted); !wrong.empty()) return wrong;
  if (std::string wrong = wrong_patterns(wanted); !wrong.empty()) return wrong;
  if (!are_names(wanted.tags, kTagsMax)) return "tags are at most 50 names of a-z A-Z 0-9 : _ -";
  if (!are_names(wanted.groups, kGroupsMax)) return "groups are at most 50 names of a-z A-Z 0-9 : _ -";
  Credential credential;
  credential.hash = std::string(kCredentialHashBytes, 'x');
  credential.thing = "x";
  credential.roles = wanted.roles;
  return wrong_credential(credential);
}

Result<Thing> thing_of(const ProvisioningTemplate& of, const Parameters& said, std::string_view certificate_id) {
  const auto wrong = [](std::string why) { return Error{Errc::invalid_argument, std::move(why), 0}; };
  for (const auto& [name, value] : said) {
    if (!of.parameters.contains(name)) return wrong("the template has no parameter " + name.substr(0, kNameLimitBytes));
    if (!is_text(value)) return wrong("the parameter " + name + " is no text of at most 1,024 bytes");
  }
  for (const auto& [name, value] : of.parameters)
    if (!value && !said.contains(name)) return wrong("the parameter " + name + " is missing");
  const auto value_of = [&](std::string_view name) -> std::optional<std::string_view> {
    if (name == kCertificateIdParameter) return certificate_id;
    if (const auto found = said.find(name); found != said.end()) return found->second;
    const auto found = of.parameters.find(name);
    return found == of.parameters.end() || !found->second ? std::nullopt
                                                          : std::optional<std::string_view>(*found->second);
  };
  Thing thing;
  thing.name = filled(of.thing, value_of).value_or("");
  thing.type = filled(of.type, value_of).value_or("");
  for (const auto& [name, pattern] : of.attributes) thing.attributes[name] = filled(pattern, value_of).value_or("");
  thing.tags = of.tags;
  thing.groups = of.groups;
  return thing;
}

void append_template(ByteWriter& out, const ProvisioningTemplate& of) {
  append_text(out, of.name);
  append_text(out, of.description);
  out.u8(of.enabled ? 1 : 0);
  out.u8(static_cast<uint8_t>(of.things));
  out.u8(static_cast<uint8_t>(of.parameters.size()));
  for (const auto& [name, value] : of.parameters) {
    append_text(out, name);
    out.u8(value ? 1 : 0);
    append_text(out, value.value_or(""));
  }
  append_text(out, of.thing);
  append_text(out, of.type);
  append_parameters(out, of.attributes);
  append_names(out, of.tags);
  append_names(out, of.groups);
  append_names(out, of.roles);
  append_text(out, of.configuration);
}

ProvisioningTemplate read_template(ByteReader& in) {
  ProvisioningTemplate of;
  of.name = read_text(in, kNameLimitBytes);
  of.description = read_text(in, kDescriptionLimitBytes);
  of.enabled = in.u8() != 0;
  const uint8_t things = in.u8();
  if (things == 0 || things > kLastThings) in.fail();
  of.things = static_cast<TemplateThings>(things);
  const uint8_t count = in.u8();
  if (count > kParametersMax) in.fail();
  for (uint8_t i = 0; i < count && !in.failed(); ++i) {
    const std::string_view name = read_text(in, kNameLimitBytes);
    const bool has_value = in.u8() != 0;
    const std::string_view value = read_text(in, kValueLimitBytes);
    if (!of.parameters.empty() && name <= of.parameters.rbegin()->first) in.fail();
    of.parameters.emplace_hint(of.parameters.end(), name, has_value ? std::optional(std::string(value)) : std::nullopt);
  }
  of.thing = read_text(in, kValueLimitBytes);
  of.type = read_text(in, kValueLimitBytes);
  of.attributes = read_parameters(in);
  of.tags = read_names(in, kTagsMax);
  of.groups = read_names(in, kGroupsMax);
  of.roles = read_names(in, kRolesOfCredentialMax);
  of.configuration = read_text(in, kConfigurationBytesMax);
  return of;
}

void append_parameters(ByteWriter& out, const Parameters& parameters) {
  out.u8(static_cast<uint8_t>(parameters.size()));
  for (const auto& [name, value] : parameters) {
    append_text(out, name);
    append_text(out, value);
  }
}

Parameters read_parameters(ByteReader& in) {
  Parameters parameters;
  const uint8_t count = in.u8();
  if (count > kAttributesOfTemplateMax) in.fail();
  for (uint8_t i = 0; i < count && !in.failed(); ++i) {
    const std::string_view name = read_text(in, kNameLimitBytes);
    const std::string_view value = read_text(in, kValueLimitBytes);
    if (!parameters.empty() && name <= parameters.rbegin()->first) in.fail();
    parameters.emplace_hint(parameters.end(), name, value);
  }
  return parameters;
}

}  // namespace heptane::iot::devices
