#include "kernel/cli/tls_options.h"

#include <CLI/CLI.hpp>

namespace heptane::cli {

void add_tls_options(CLI::App& command, TlsArguments& arguments) {
  net::TlsOptions& options = arguments.options;
  command.add_option("--tls-cert", options.certificate_file, "Certificate chain of the TLS listeners, PEM");
  command.add_option("--tls-key", options.key_file, "Its private key, PEM, not encrypted");
  command.add_option("--tls-client-ca", options.client_ca_file,
                     "CAs of client certificates, PEM: clients must show one");
  command.add_flag("--tls-client-optional", arguments.client_certificates_optional, "Clients may show none");
  command.add_option("--tls-listener", arguments.listeners, "Name of a listener that speaks TLS; may be repeated");
  command
      .add_option_function<std::string>(
          "--tls-min-version",
          [&options](const std::string& text) {
            options.min_version = text == "1.3" ? net::TlsVersion::v1_3 : net::TlsVersion::v1_2;
          },
          "1.2 (the default) or 1.3")
      ->check(CLI::IsMember({"1.2", "1.3"}));
}

Result<void> apply_tls_options(const TlsArguments& arguments, server::ServerOptions& options) {
  net::TlsOptions tls = arguments.options;
  const bool files = !tls.certificate_file.empty() || !tls.key_file.empty() || !tls.client_ca_file.empty();
  if (files && arguments.listeners.empty())
    return Error{Errc::invalid_argument, "no listener is to speak TLS: say --tls-listener NAME, for example kafka"};
  if (!tls.client_ca_file.empty())
    tls.client_certificates =
        arguments.client_certificates_optional ? net::ClientCertificates::optional : net::ClientCertificates::required;
  for (const std::string& listener : arguments.listeners) options.tls[listener] = tls;
  return {};
}

}  // namespace heptane::cli
