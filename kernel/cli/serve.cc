// `heptane serve`: the server in the foreground until SIGTERM or SIGINT; SIGHUP reads the configuration again.
#include <malloc.h>
#include <signal.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "kernel/cli/command.h"
#include "kernel/cli/config_source.h"
#include "kernel/cli/notices.h"
#include "kernel/net/system_net.h"
#include "kernel/server/profile_routes.h"
#include "kernel/server/runner.h"
#include "kernel/server/safety.h"
#include "kernel/server/server.h"
#include "kernel/server/server_keys.h"

namespace heptane::cli {

namespace {

struct ServeArguments {
  ConfigSource source;
  server::ServerOptions options;
  std::vector<std::string> listen;
  std::vector<std::string> tls_listeners;
  std::string endpoints_file;
  bool quiet = false;
  bool json = false;
};

std::atomic<bool> stop_requested{false};
std::atomic<bool> reload_requested{false};
std::atomic<server::Server*> running_server{nullptr};

extern "C" void on_signal(int number) {
  (number == SIGHUP ? reload_requested : stop_requested).store(true);
  if (server::Server* server = running_server.load()) server->wake_io();
}

void handle_signals() {
  struct sigaction action {};
  action.sa_handler = on_signal;
  sigaction(SIGTERM, &action, nullptr);
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGHUP, &action, nullptr);
  signal(SIGPIPE, SIG_IGN);
}

// What requests of some megabytes took is kept for the next ones, up to 8 MiB for each arena of the allocator: given back to the system it
// comes again page by page, each of them zeroed (a tenth of the processor's time of large writes).
void keep_memory() {
  mallopt(M_MMAP_THRESHOLD, 4 << 20);
  mallopt(M_TRIM_THRESHOLD, 8 << 20);
  mallopt(M_TOP_PAD, 1 << 20);
}

// NAME=HOST:PORT is the key listen.NAME.address; names of TLS listeners are one key.
bool take_listen(ServeArguments& arguments) {
  for (const std::string& text : arguments.listen) {
    const size_t equals = text.find('=');
    if (equals == std::string::npos || equals == 0) {
      std::fprintf(stderr, "heptane: --listen %s: say NAME=HOST:PORT, for example kafka=127.0.0.1:9092\n",
                   text.c_str());
      return false;
    }
    arguments.source.given.emplace_back("listen." + text.substr(0, equals) + ".address", text.substr(equals + 1));
  }
  std::string tls;
  for (const std::string& name : arguments.tls_listeners) tls += (tls.empty() ? "" : ",") + name;
  if (!tls.empty()) arguments.source.given.emplace_back("tls.listeners", tls);
  return true;
}

void print_table(const server::Server& server) {
  const log::RecoveryReport& recovery = server.recovery();
  std::printf("Heptane is ready. Data in %s, log %s, position %s.\n", server.options().data_directory.c_str(),
              log_id_text(server.log_id()).c_str(), position_text(0, recovery.end.last_sequence).c_str());
  if (!recovery.quarantined.empty())
    std::printf("A torn tail of %llu bytes (never acknowledged) was moved to %s.\n",
                static_cast<unsigned long long>(recovery.torn_bytes), recovery.quarantined.c_str());
  for (const std::string& report : server.restored().reports) std::printf("%s\n", report.c_str());
  if (server.found_apply_crash() != 0)
    std::printf("The last run died of a command that it applied; that command is refused from now on.\n");
  const char* then = server.options().auto_activate ? "it is active from now on" : "heptane upgrade status";
  for (const MachineVersion& version : server.upgrades_at_start())
    std::printf("There is a newer logic of %s, version %u: %s.\n", version.name.c_str(), version.newest, then);
  std::printf("  %-10s %s\n", "listener", "address");
  const auto addresses = [](const server::Endpoint& endpoint) {
    std::string text = net::to_text(endpoint.address);
    for (const net::Address& address : endpoint.more) text += ", " + net::to_text(address);
    return text;
  };
  for (const server::Endpoint& endpoint : server.endpoints())
    std::printf("  %-10s %s%s%s%s\n", endpoint.name.c_str(), addresses(endpoint).c_str(),
                endpoint.tls ? "   (TLS)" : "", endpoint.moved ? "   (the default port is in use)" : "",
                endpoint.insecure ? "   INSECURE: whoever reaches it may do anything" : "");
  std::fflush(stdout);
}

void tell_ready(const server::Server& server, const ServeArguments& arguments) {
  if (!arguments.json) {
    if (!arguments.quiet) print_table(server);
    return;
  }
  const log::RecoveryReport& recovery = server.recovery();
  notice("ready",
         {{"data", server.options().data_directory},
          {"log", log_id_text(server.log_id())},
          {"position", position_text(0, recovery.end.last_sequence)},
          {"replayed_bytes", static_cast<int64_t>(recovery.bytes)},
          {"torn_bytes", static_cast<int64_t>(recovery.torn_bytes)},
          {"start_ms", server.start_ns() / 1'000'000}},
         true);
  for (const MachineVersion& version : server.upgrades_at_start())
    notice("upgrade",
           {{"machine", version.name},
            {"active", int64_t{server.options().auto_activate ? version.newest : version.active}},
            {"newest", int64_t{version.newest}}},
           true);
  for (const server::Endpoint& endpoint : server.endpoints())
    notice("listener",
           {{"name", endpoint.name},
            {"address", net::to_text(endpoint.address)},
            {"tls", int64_t{endpoint.tls}},
            {"insecure", int64_t{endpoint.insecure}}},
           true);
}

void tell_stopped(server::Server& server, const ServeArguments& arguments) {
  if (arguments.quiet && !arguments.json) return;
  notice("stopped",
         {{"position", position_text(0, server.committer().watermark())},
          {"snapshot", position_text(0, server.snapshots().counters().last_sequence.load())}},
         arguments.json);
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

void tell_reload(const std::string& line) { std::fprintf(stderr, "heptane: reload: %s\n", line.c_str()); }

void tell_plan(const server::Reload& plan, const config::Settings& before, const config::Settings& file) {
  for (const config::Key* key : plan.changed)
    tell_reload(key->name + " = " + value_text(*key, plan.settings.value(key->name)) + ", was " +
                value_text(*key, before.value(key->name)));
  for (const config::Key* key : plan.need_restart)
    tell_reload(key->name + " needs a restart: it stays " + value_text(*key, before.value(key->name)) +
                ", the file says " + value_text(*key, file.value(key->name)));
  if (plan.changed.empty() && plan.need_restart.empty()) tell_reload("no value is different");
}

// All or nothing: with any mistake, also in a certificate, the values that hold go on to hold.
void reload(const ServeArguments& arguments, config::Settings& current, server::Server& server) {
  const bool tls = !server.options().tls.empty();
  if (arguments.source.file.empty() && !tls)
    return tell_reload("the server was started without --config: there is no file to read again");
  const Loaded loaded = load_config(arguments.source, std::make_shared<config::KeyTable>(current.table()));
  if (!loaded.mistakes.empty()) {
    tell_reload("nothing was changed:");
    std::fputs(mistakes_text(loaded.mistakes).c_str(), stderr);
    return;
  }
  if (const Result<void> certificates = server.reload_tls(); !certificates)
    return tell_reload("nothing was changed: " + certificates.error().message);
  if (tls) tell_reload("the certificates were read again");
  server::Reload plan = server::plan_reload(current, loaded.settings);
  server.reconfigure(plan.settings);
  tell_plan(plan, current, loaded.settings);
  current = std::move(plan.settings);
}

// Sets what belongs to a real machine, whatever the configuration says.
void complete_options(server::ServerOptions& options) {
  constexpr size_t kOtherFiles = 256;  // segments, snapshots, the standard streams
  options.guard_apply = true;
  options.read_ahead = true;
  options.process_metrics = true;
  options.announce_token = announce_token;
  options.snapshot_check.command = {
      "/proc/self/exe", "log", "compare", "--data", options.data_directory, "--child-of", std::to_string(::getpid())};
  options.stop_wanted = [] { return stop_requested.load(); };
  const size_t open_files = net::raise_open_file_limit();
  // A look at random rows of a long history touches all of its files; an eighth of what may be open is theirs at most.
  constexpr size_t kRowKinds = 4;
  options.row_files_open = std::clamp<size_t>(open_files / (8 * kRowKinds), options.row_files_open, 4096);
  const size_t others = kOtherFiles + kRowKinds * options.row_files_open;
  const size_t left = open_files > 2 * others ? open_files - others : open_files / 2;
  if (options.io.max_connections > left)
    std::fprintf(
        stderr,
        "heptane: limits.connections is %zu, and %zu are taken: this process may open %zu files (raise ulimit -n)\n",
        options.io.max_connections, left, open_files);
  options.io.max_connections = std::min(options.io.max_connections, left);
}

// False when it was refused; stderr says why.
bool configure(ServeArguments& arguments, const Loaded& loaded, const server::Modules& modules) {
  if (!loaded.mistakes.empty()) {
    std::fputs(mistakes_text(loaded.mistakes).c_str(), stderr);
    return false;
  }
  server::land(loaded.settings, arguments.options);
  const std::vector<std::string> unsafe = server::unsafe_options(arguments.options, loaded.settings.table());
  for (const std::string& why : unsafe) std::fprintf(stderr, "heptane: %s\n", why.c_str());
  for (const std::unique_ptr<server::Module>& module : modules) module->configure(loaded.settings);
  complete_options(arguments.options);
  return unsafe.empty();
}

int run_server(const ServeArguments& arguments, config::Settings& settings, server::Modules modules) {
  SystemClock clock;
  SystemDisk disk;
  SystemRandom random;
  const std::unique_ptr<net::Net> net = net::make_system_net();
  server::Server server({clock, disk, random, *net}, arguments.options, std::move(modules), die_of_storage);
  server::Runner runner(server);
  if (const Result<void> started = server.start(); !started) {
    std::fprintf(stderr, "heptane: %s\n", started.error().message.c_str());
    return started.error().code == Errc::closed ? kOk : kRefused;
  }
  running_server = &server;
  runner.start_threads();
  tell_ready(server, arguments);
  if (server.users_without_authentication())
    std::fprintf(stderr,
                 "heptane: there are users, and authentication is off: everybody on this machine may do everything\n");
  if (!arguments.endpoints_file.empty() && !write_endpoints(arguments.endpoints_file, server.endpoints_json())) {
    std::fprintf(stderr, "heptane: cannot write %s\n", arguments.endpoints_file.c_str());
    running_server = nullptr;
    return kRefused;
  }
  runner.set_reload(reload_requested, [&] { reload(arguments, settings, server); });
  runner.run(stop_requested);
  running_server = nullptr;
  if (!arguments.endpoints_file.empty()) std::filesystem::remove(arguments.endpoints_file);
  tell_stopped(server, arguments);
  return kOk;
}

int serve(ServeArguments& arguments, const Context& context) {
  if (!take_listen(arguments)) return kUsage;
  server::Modules modules = context.make_modules();
  Loaded loaded = load_config(arguments.source, server::key_table(modules));
  arguments.options.add_routes = [more = context.add_routes](http::HttpRouter& router) {
    server::add_profile_routes(router);
    if (more != nullptr) more(router);
  };
  if (!configure(arguments, loaded, modules)) return kRefused;
  handle_signals();
  keep_memory();
  return run_server(arguments, loaded.settings, std::move(modules));
}

// An option that stands for a key; `unit` is what its number counts.
void add_key_option(CLI::App& command, const std::shared_ptr<ServeArguments>& arguments, const char* option,
                    const char* key, const char* unit, const char* help) {
  command.add_option_function<std::string>(
      option,
      [arguments, key, unit](const std::string& text) { arguments->source.given.emplace_back(key, text + unit); },
      help + std::string(" (") + key + ")");
}

void add_key_flag(CLI::App& command, const std::shared_ptr<ServeArguments>& arguments, const char* flag,
                  const char* key, const char* help) {
  command.add_flag_callback(
      flag, [arguments, key] { arguments->source.given.emplace_back(key, "true"); },
      help + std::string(" (") + key + ")");
}

}  // namespace

void add_serve(CLI::App& app, Context& context) {
  auto arguments = std::make_shared<ServeArguments>();
  CLI::App* command = app.add_subcommand("serve", "Run the server in the foreground; SIGTERM stops it cleanly.");
  add_config_options(*command, arguments->source);
  add_key_option(*command, arguments, "--data", "data", "", "Data directory");
  command->add_option("--listen", arguments->listen, "NAME=HOST:PORT of a listener, for example kafka=127.0.0.1:9092");
  add_key_option(*command, arguments, "--tls-cert", "tls.certificate", "", "Certificate chain, PEM");
  add_key_option(*command, arguments, "--tls-key", "tls.key", "", "Its private key, PEM, not encrypted");
  add_key_option(*command, arguments, "--tls-client-ca", "tls.client_ca", "", "CAs of client certificates, PEM");
  add_key_option(*command, arguments, "--tls-min-version", "tls.min_version", "", "1.2 or 1.3");
  command->add_flag_callback(
      "--tls-client-optional",
      [arguments] { arguments->source.given.emplace_back("tls.client_certificates", "optional"); },
      "Clients may show no certificate (tls.client_certificates)");
  command->add_option("--tls-listener", arguments->tls_listeners,
                      "Name of a listener that speaks TLS; may be repeated (tls.listeners)");
  command->add_flag("--ephemeral-ports", arguments->options.ephemeral_ports, "Every listener takes a free port");
  command->add_option("--endpoints-file", arguments->endpoints_file, "Write the addresses as JSON once ready");
  add_key_option(*command, arguments, "--segment-mib", "log.segment_bytes", "MiB", "Size of a log segment in MiB");
  add_key_option(*command, arguments, "--snapshot-log-mib", "snapshot.log_bytes", "MiB",
                 "New log in MiB before the next snapshot");
  add_key_option(*command, arguments, "--archive-mib", "archive.segment_bytes", "MiB",
                 "Log in MiB that becomes one archive segment");
  command->add_option("--accept-divergence", arguments->options.accept_divergence,
                      "Go on although replay up to this sequence had other effects than the log says");
  add_key_flag(*command, arguments, "--auth", "auth.enabled", "Clients prove who they are; see `heptane user`");
  add_key_flag(*command, arguments, "--plain-on-loopback", "auth.plain_on_loopback",
               "With --auth: passwords in the clear (SASL PLAIN) from this machine");
  command->add_flag("--quiet", arguments->quiet, "No table of endpoints");
  command->add_flag("--json", arguments->json, "Ready, listeners and stop as lines of JSON, in place of the table");
  command->callback([arguments, &context] { context.exit_code = serve(*arguments, context); });
}

}  // namespace heptane::cli
