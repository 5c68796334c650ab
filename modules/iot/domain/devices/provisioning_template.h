// How a thing is made out of what a device says that is being provisioned: names and texts in which `${Parameter}` stands for what it
// said. Pure and deterministic; any thread.
//
// Invariant: what comes of it is a thing like any (thing.h); nothing of it is taken that was not declared.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "kernel/base/bytes.h"
#include "kernel/base/result.h"
#include "modules/iot/domain/devices/credential.h"
#include "modules/iot/domain/devices/thing.h"

namespace heptane::iot::devices {

constexpr size_t kParametersMax = 32;
constexpr size_t kTemplateBytesMax = 16 << 10;  // all texts of one
constexpr size_t kConfigurationBytesMax = 4 << 10;
// The one parameter that is there by itself: the SHA-256 of the device's certificate, in hexadecimal.
constexpr std::string_view kCertificateIdParameter = "AWS::IoT::Certificate::Id";

// Which things a template is for.
enum class TemplateThings : uint8_t {
  make = 1,        // that are not registered: they are made
  registered = 2,  // that are: an operator's list says which devices there are
  any = 3,
};
std::string_view things_text(TemplateThings things);

struct ProvisioningTemplate {
  std::string name;
  std::string description;
  bool enabled = true;
  TemplateThings things = TemplateThings::make;
  std::map<std::string, std::optional<std::string>, std::less<>>
      parameters;     // nullopt: it must be said; else its default
  std::string thing;  // a text with parameters, as below
  std::string type;
  std::map<std::string, std::string, std::less<>> attributes;
  std::set<std::string, std::less<>> tags;
  std::set<std::string, std::less<>> groups;
  std::set<std::string, std::less<>> roles;  // of the device's credential
  std::string configuration;                 // JSON that the device is answered; empty: none
  bool operator==(const ProvisioningTemplate&) const = default;
};

// What is wrong with it, for a person; empty: nothing. Whether the configuration is JSON is not looked at.
std::string wrong_template(const ProvisioningTemplate& wanted);

using Parameters = std::map<std::string, std::string, std::less<>>;
// The thing, not judged by limits. Errc::invalid_argument: a parameter that is missing, is not known, or is no text.
Result<Thing> thing_of(const ProvisioningTemplate& of, const Parameters& said, std::string_view certificate_id);

void append_template(ByteWriter& out, const ProvisioningTemplate& of);
// Sets the reader failed when it is none. Not judged (wrong_template).
ProvisioningTemplate read_template(ByteReader& in);
void append_parameters(ByteWriter& out, const Parameters& parameters);
Parameters read_parameters(ByteReader& in);

}  // namespace heptane::iot::devices
