// The options of `heptane serve` that put listeners behind TLS: one certificate for all that are named.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "kernel/server/server.h"

namespace CLI {
class App;
}

namespace heptane::cli {

struct TlsArguments {
  net::TlsOptions options;
  std::vector<std::string> listeners;
  bool client_certificates_optional = false;
};

void add_tls_options(CLI::App& command, TlsArguments& arguments);
// Errc::invalid_argument with what to say instead.
Result<void> apply_tls_options(const TlsArguments& arguments, server::ServerOptions& options);

}  // namespace heptane::cli
