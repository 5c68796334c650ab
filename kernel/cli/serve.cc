// `heptane serve`: the server in the foreground until SIGTERM or SIGINT.
#include <signal.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "kernel/cli/command.h"
#include "kernel/cli/tls_options.h"
#include "kernel/net/asio_net.h"
#include "kernel/server/runner.h"
#include "kernel/server/server.h"

namespace heptane::cli {

namespace {

struct ServeArguments {
  server::ServerOptions options;
  std::vector<std::string> listen;
  TlsArguments tls;
  std::string endpoints_file;
  bool quiet = false;
};

std::atomic<bool> stop_requested{false};
server::Server* running_server = nullptr;

extern "C" void on_stop_signal(int) {
  stop_requested.store(true);
  if (running_server != nullptr) running_server->wake_io();
}

extern "C" void on_reload_signal(int) {
  if (running_server != nullptr) running_server->request_tls_reload();
}

void handle_signals() {
  struct sigaction action {};
  action.sa_handler = on_stop_signal;
  sigaction(SIGTERM, &action, nullptr);
  sigaction(SIGINT, &action, nullptr);
  action.sa_handler = on_reload_signal;
  sigaction(SIGHUP, &action, nullptr);
  signal(SIGPIPE, SIG_IGN);
}

// NAME=HOST:PORT, the host of an IPv6 address in brackets; NAME=unix:/path.
bool parse_listen(const std::string& text, server::ServerOptions& options) {
  const size_t equals = text.find('=');
  const size_t colon = text.rfind(':');
  if (equals != std::string::npos && text.compare(equals + 1, 5, "unix:") == 0) {
    options.listen[text.substr(0, equals)] = net::Address{text.substr(equals + 1), 0};
    return true;
  }
  if (equals == std::string::npos || colon == std::string::npos || colon < equals) return false;
  std::string host = text.substr(equals + 1, colon - equals - 1);
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  const std::string port = text.substr(colon + 1);
  if (host.empty() || port.empty() || port.size() > 5 || port.find_first_not_of("0123456789") != std::string::npos)
    return false;
  const int number = std::stoi(port);
  if (number > 65535) return false;
  options.listen[text.substr(0, equals)] = net::Address{host, static_cast<uint16_t>(number)};
  return true;
}

void print_table(const server::Server& server, const server::ServerOptions& options) {
  const log::RecoveryReport& recovery = server.recovery();
  std::printf("Heptane is ready. Data in %s, log %s, position %s.\n", options.data_directory.c_str(),
              log_id_text(server.log_id()).c_str(), position_text(0, recovery.end.last_sequence).c_str());
  if (!recovery.quarantined.empty())
    std::printf("A torn tail of %llu bytes (never acknowledged) was moved to %s.\n",
                static_cast<unsigned long long>(recovery.torn_bytes), recovery.quarantined.c_str());
  for (const std::string& report : server.restored().reports) std::printf("%s\n", report.c_str());
  if (server.found_apply_crash())
    std::printf("The last run died while it applied a command; that command is refused from now on.\n");
  std::printf("  %-10s %s\n", "listener", "address");
  for (const server::Endpoint& endpoint : server.endpoints())
    std::printf("  %-10s %s%s%s\n", endpoint.name.c_str(), net::to_text(endpoint.address).c_str(),
                endpoint.tls ? "   (TLS)" : "", endpoint.moved ? "   (the default port is in use)" : "");
  std::fflush(stdout);
}

// The only place where it ever appears.
void announce_token(const std::string& token) {
  std::printf(
      "Authentication is on and nobody can get in yet. One-time token of the user admin, for 24 hours:\n  %s\n"
      "Set a password, which ends it:\n  HEPTANE_TOKEN=%s heptane user passwd admin\n",
      token.c_str(), token.c_str());
  std::fflush(stdout);
}

// Written beside and renamed, so that a reader sees all of it or nothing.
bool write_endpoints(const std::string& path, const std::string& json) {
  const std::string temporary = path + ".tmp";
  std::ofstream out(temporary, std::ios::trunc);
  out << json << "\n";
  out.close();
  return out.good() && ::rename(temporary.c_str(), path.c_str()) == 0;
}

[[noreturn]] void die_of_storage(const Error& error) {
  std::fprintf(stderr, "heptane: %s\nheptane: stopping at once; nothing that was not synced has been acknowledged\n",
               error.message.c_str());
  std::fflush(stderr);
  ::_exit(kStorage);
}

int serve(ServeArguments& arguments, MakeModules make_modules) {
  for (const std::string& text : arguments.listen)
    if (!parse_listen(text, arguments.options)) {
      std::fprintf(stderr, "heptane: --listen %s: say NAME=HOST:PORT, for example kafka=127.0.0.1:9092\n",
                   text.c_str());
      return kUsage;
    }
  if (const Result<void> tls = apply_tls_options(arguments.tls, arguments.options); !tls) {
    std::fprintf(stderr, "heptane: %s\n", tls.error().message.c_str());
    return kUsage;
  }
  arguments.options.guard_apply = true;
  arguments.options.read_ahead = true;
  arguments.options.announce_token = announce_token;
  handle_signals();
  constexpr size_t kOtherFiles = 256;  // segments, snapshots, the standard streams
  const size_t open_files = net::raise_open_file_limit();
  arguments.options.max_connections = std::min(arguments.options.max_connections,
                                               open_files > 2 * kOtherFiles ? open_files - kOtherFiles : kOtherFiles);
  SystemClock clock;
  SystemDisk disk;
  SystemRandom random;
  const std::unique_ptr<net::Net> net = net::make_asio_net();
  server::Server server({clock, disk, random, *net}, arguments.options, make_modules(), die_of_storage);
  server::Runner runner(server);
  if (const Result<void> started = server.start(); !started) {
    std::fprintf(stderr, "heptane: %s\n", started.error().message.c_str());
    return kRefused;
  }
  running_server = &server;
  runner.start_threads();
  if (!arguments.quiet) print_table(server, arguments.options);
  if (server.users_without_authentication())
    std::fprintf(stderr,
                 "heptane: there are users, and authentication is off: everybody on this machine may do everything\n");
  if (!arguments.endpoints_file.empty() && !write_endpoints(arguments.endpoints_file, server.endpoints_json())) {
    std::fprintf(stderr, "heptane: cannot write %s\n", arguments.endpoints_file.c_str());
    return kRefused;
  }
  runner.run(stop_requested);
  running_server = nullptr;
  if (!arguments.endpoints_file.empty()) std::filesystem::remove(arguments.endpoints_file);
  return kOk;
}

}  // namespace

void add_serve(CLI::App& app, Context& context) {
  auto arguments = std::make_shared<ServeArguments>();
  CLI::App* command = app.add_subcommand("serve", "Run the server in the foreground; SIGTERM stops it cleanly.");
  command->add_option("--data", arguments->options.data_directory, "Data directory")->capture_default_str();
  command->add_option("--listen", arguments->listen, "NAME=HOST:PORT of a listener, for example kafka=127.0.0.1:9092");
  add_tls_options(*command, arguments->tls);
  command->add_flag("--ephemeral-ports", arguments->options.ephemeral_ports, "Every listener takes a free port");
  command->add_option("--endpoints-file", arguments->endpoints_file, "Write the addresses as JSON once ready");
  command->add_option("--segment-mib", "Size of a log segment in MiB")
      ->each([arguments](const std::string& text) { arguments->options.segment_bytes = std::stoull(text) << 20; })
      ->check(CLI::Range(16, 1024));
  command->add_option("--snapshot-log-mib", "New log in MiB before the next snapshot")
      ->each([arguments](const std::string& text) {
        arguments->options.snapshots.log_bytes_min = std::stoull(text) << 20;
      })
      ->check(CLI::Range(1, 1'048'576));
  command->add_option("--archive-mib", "Log in MiB that becomes one archive segment")
      ->each(
          [arguments](const std::string& text) { arguments->options.archive.target_bytes = std::stoull(text) << 20; })
      ->check(CLI::Range(16, 4096));
  command->add_option("--accept-divergence", arguments->options.accept_divergence,
                      "Go on although replay up to this sequence had other effects than the log says");
  command->add_flag("--auth", arguments->options.auth.enabled, "Clients prove who they are; see `heptane user`");
  command->add_flag("--plain-on-loopback", arguments->options.auth.plain_on_loopback,
                    "With --auth: passwords in the clear (SASL PLAIN) from this machine");
  command->add_flag("--quiet", arguments->quiet, "No table of endpoints");
  command->callback([arguments, &context] { context.exit_code = serve(*arguments, context.make_modules); });
}

}  // namespace heptane::cli
