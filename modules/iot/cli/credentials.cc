#include "modules/iot/cli/credentials.h"

#include <CLI/CLI.hpp>
#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>

#include "kernel/cli/http_client.h"
#include "kernel/cli/server_commands.h"
#include "kernel/net/http/json.h"
#include "kernel/net/http/json_writer.h"

namespace heptane::iot {

namespace {

using cli::HttpClient;
using http::JsonWriter;

struct CredentialArguments {
  std::string server = cli::kDefaultServer;
  std::string thing;
  std::string id;
  std::string certificate;  // a file
  std::string fingerprint;
  bool token = false;
  bool inactive = false;
  int64_t expires_ms = 0;  // 0: never
  std::vector<std::string> roles;
};
using Run = int (*)(const CredentialArguments&);

int call(const CredentialArguments& arguments, std::string_view method, const std::string& path,
         std::string body = {}) {
  return cli::print_answer(arguments.server, method, path, std::move(body));
}

std::string path_of(const CredentialArguments& arguments) {
  return "/api/v1/devices/" + HttpClient::escaped(arguments.thing) + "/credentials";
}

std::string path_of_one(const CredentialArguments& arguments) {
  return path_of(arguments) + "/" + HttpClient::escaped(arguments.id);
}

int list(const CredentialArguments& arguments) { return call(arguments, "GET", path_of(arguments)); }

int add(const CredentialArguments& arguments) {
  const int said =
      (arguments.token ? 1 : 0) + (arguments.certificate.empty() ? 0 : 1) + (arguments.fingerprint.empty() ? 0 : 1);
  if (said != 1) {
    std::cerr << "heptane: say one of --certificate, --fingerprint and --token\n";
    return cli::kUsage;
  }
  JsonWriter out;
  out.begin_object().key("kind").text(arguments.token ? "token" : "certificate");
  if (!arguments.fingerprint.empty()) out.key("fingerprint").text(arguments.fingerprint);
  if (!arguments.certificate.empty()) {
    std::ifstream in(arguments.certificate, std::ios::binary);
    const std::string pem{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
    if (pem.empty()) {
      std::cerr << "heptane: " << arguments.certificate << " cannot be read, or is empty\n";
      return cli::kFailed;
    }
    out.key("certificate").text(pem);
  }
  if (arguments.inactive) out.key("state").text("inactive");
  if (arguments.expires_ms != 0) out.key("expires_ms").number(arguments.expires_ms);
  if (!arguments.roles.empty()) {
    out.key("roles").begin_array();
    for (const std::string& role : arguments.roles) out.text(role);
    out.end_array();
  }
  out.end_object();
  return call(arguments, "POST", path_of(arguments), out.take());
}

int set_state(const CredentialArguments& arguments, std::string_view state) {
  JsonWriter out;
  out.begin_object().key("state").text(state).end_object();
  return call(arguments, "PATCH", path_of_one(arguments), out.take());
}

int activate(const CredentialArguments& arguments) { return set_state(arguments, "active"); }
int deactivate(const CredentialArguments& arguments) { return set_state(arguments, "inactive"); }
int revoke(const CredentialArguments& arguments) { return set_state(arguments, "revoked"); }
int drop(const CredentialArguments& arguments) { return call(arguments, "DELETE", path_of_one(arguments)); }

}  // namespace

void add_credentials(CLI::App& devices, cli::Context& context) {
  auto arguments = std::make_shared<CredentialArguments>();
  CLI::App* credentials = devices.add_subcommand("credentials", "What proves who a device is.");
  credentials->require_subcommand(1);
  const auto part = cli::server_commands(*credentials, arguments, context);
  const auto of_device = [&](const char* name, const char* help, Run run) {
    CLI::App* command = part(name, help, run);
    command->add_option("DEVICE", arguments->thing, "The device")->required();
    return command;
  };
  const auto one = [&](const char* name, const char* help, Run run) {
    of_device(name, help, run)->add_option("ID", arguments->id, "The credential: a SHA-256")->required();
  };
  of_device("list", "The credentials of a device.", list);
  CLI::App* added = of_device("add", "Give a device one more credential.", add);
  added->add_option("--certificate", arguments->certificate, "A file with its certificate, PEM");
  added->add_option("--fingerprint", arguments->fingerprint, "The SHA-256 of its certificate");
  added->add_flag("--token", arguments->token, "A new token, which is printed once");
  added->add_flag("--inactive", arguments->inactive, "It does not count until it is activated");
  added->add_option("--expires-ms", arguments->expires_ms, "When it is over, in milliseconds since 1970");
  added->add_option("--role", arguments->roles, "What it may besides the topics of its thing");
  one("activate", "Let a credential count.", activate);
  one("deactivate", "Let a credential not count until it is activated; its connections end.", deactivate);
  one("revoke", "Revoke a credential for ever; its connections end.", revoke);
  one("drop", "Forget a credential that is revoked or over.", drop);
}

}  // namespace heptane::iot
