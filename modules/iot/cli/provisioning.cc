#include "modules/iot/cli/provisioning.h"

#include <CLI/CLI.hpp>
#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>

#include "kernel/cli/http_client.h"
#include "kernel/cli/server_commands.h"
#include "kernel/net/http/json_writer.h"

namespace heptane::iot {

namespace {

using cli::HttpClient;
using http::JsonWriter;

const std::string kTemplates = "/api/v1/provisioning/templates";
const std::string kClaims = "/api/v1/provisioning/claims";

struct ProvisioningArguments {
  std::string server = cli::kDefaultServer;
  std::string name;
  std::string file;         // of a template: JSON
  std::string certificate;  // of a claim: PEM
  std::string fingerprint;
  std::vector<std::string> templates;
};
using Run = int (*)(const ProvisioningArguments&);

int call(const ProvisioningArguments& arguments, std::string_view method, const std::string& path,
         std::string body = {}) {
  return cli::print_answer(arguments.server, method, path, std::move(body));
}

std::string below(const std::string& root, const ProvisioningArguments& arguments) {
  return root + "/" + HttpClient::escaped(arguments.name);
}

// Empty: told.
std::string content_of(const std::string& file) {
  std::ifstream in(file, std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  if (text.empty()) std::cerr << "heptane: " << file << " cannot be read, or is empty\n";
  return text;
}

int list_templates(const ProvisioningArguments& arguments) { return call(arguments, "GET", kTemplates); }
int show_template(const ProvisioningArguments& arguments) {
  return call(arguments, "GET", below(kTemplates, arguments));
}
int drop_template(const ProvisioningArguments& arguments) {
  return call(arguments, "DELETE", below(kTemplates, arguments));
}
int put_template(const ProvisioningArguments& arguments) {
  std::string body = content_of(arguments.file);
  return body.empty() ? cli::kFailed : call(arguments, "PUT", below(kTemplates, arguments), std::move(body));
}

int list_claims(const ProvisioningArguments& arguments) { return call(arguments, "GET", kClaims); }

int add_claim(const ProvisioningArguments& arguments) {
  if (arguments.certificate.empty() == arguments.fingerprint.empty()) {
    std::cerr << "heptane: say one of --certificate and --fingerprint\n";
    return cli::kUsage;
  }
  JsonWriter out;
  out.begin_object().key("name").text(arguments.name);
  if (!arguments.fingerprint.empty()) out.key("fingerprint").text(arguments.fingerprint);
  if (!arguments.certificate.empty()) {
    const std::string pem = content_of(arguments.certificate);
    if (pem.empty()) return cli::kFailed;
    out.key("certificate").text(pem);
  }
  out.key("templates").begin_array();
  for (const std::string& name : arguments.templates) out.text(name);
  out.end_array().end_object();
  return call(arguments, "POST", kClaims, out.take());
}

int set_state(const ProvisioningArguments& arguments, std::string_view state) {
  JsonWriter out;
  out.begin_object().key("state").text(state).end_object();
  return call(arguments, "PATCH", below(kClaims, arguments), out.take());
}

int activate_claim(const ProvisioningArguments& arguments) { return set_state(arguments, "active"); }
int deactivate_claim(const ProvisioningArguments& arguments) { return set_state(arguments, "inactive"); }
int revoke_claim(const ProvisioningArguments& arguments) { return set_state(arguments, "revoked"); }
int drop_claim(const ProvisioningArguments& arguments) { return call(arguments, "DELETE", below(kClaims, arguments)); }

CLI::App* part_of(CLI::App& app, const char* name, const char* help) {
  CLI::App* part = app.add_subcommand(name, help);
  part->require_subcommand(1);
  return part;
}

}  // namespace

void add_provisioning(CLI::App& app, cli::Context& context) {
  auto arguments = std::make_shared<ProvisioningArguments>();
  CLI::App* provisioning =
      part_of(app, "provisioning", "How devices get credentials of their own from a running server.");
  CLI::App* templates = part_of(*provisioning, "templates", "How things are made of what devices say.");
  CLI::App* claims = part_of(*provisioning, "claims", "Certificates that may be provisioned and nothing else.");
  const auto of_templates = cli::server_commands(*templates, arguments, context);
  const auto of_claims = cli::server_commands(*claims, arguments, context);
  const auto named = [&](const auto& part, const char* name, const char* help, Run run) {
    CLI::App* command = part(name, help, run);
    command->add_option("NAME", arguments->name, "Its name")->required();
    return command;
  };
  of_templates("list", "All templates.", list_templates);
  named(of_templates, "show", "One template.", show_template);
  named(of_templates, "drop", "Drop a template; things that were made by it stay.", drop_template);
  named(of_templates, "put", "Make or change a template.", put_template)
      ->add_option("--file", arguments->file, "JSON: parameters, thing, type, attributes, tags, groups, roles, things")
      ->required();
  of_claims("list", "All claims.", list_claims);
  CLI::App* added = named(of_claims, "add", "Add a claim.", add_claim);
  added->add_option("--certificate", arguments->certificate, "A file with its certificate, PEM");
  added->add_option("--fingerprint", arguments->fingerprint, "The SHA-256 of its certificate");
  added->add_option("--template", arguments->templates, "By which it may provision")->required();
  named(of_claims, "activate", "Let a claim count.", activate_claim);
  named(of_claims, "deactivate", "Let a claim not count until it is activated.", deactivate_claim);
  named(of_claims, "revoke", "Revoke a claim for ever; devices that it provisioned stay.", revoke_claim);
  named(of_claims, "drop", "Forget a claim that is revoked or over.", drop_claim);
}

}  // namespace heptane::iot
