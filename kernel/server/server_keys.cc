#include "kernel/server/server_keys.h"

#include "kernel/config/units.h"
#include "kernel/server/quota_keys.h"

namespace heptane::server {

namespace {

using config::bind;
using config::Key;
using config::Type;
using Keys = std::vector<config::Binding<ServerOptions>>;

constexpr int64_t kMiB = 1 << 20;
constexpr int64_t kGiB = kMiB << 10;
constexpr int64_t kSecond = 1'000'000'000;
constexpr int64_t kDay = 86'400 * kSecond;

Key size_key(std::string name, int64_t min, int64_t max, std::string help) {
  return {.name = std::move(name), .type = Type::size, .help = std::move(help), .min = min, .max = max};
}

Key duration_key(std::string name, int64_t min, int64_t max, std::string help) {
  return {.name = std::move(name), .type = Type::duration, .help = std::move(help), .min = min, .max = max};
}

Key reloadable(Key key) {
  key.reloadable = true;
  return key;
}

Key with_word(Key key, std::string word, int64_t value) {
  key.word = std::move(word);
  key.word_value = value;
  return key;
}

void add_storage(Keys& keys) {
  using O = ServerOptions;
  using Snapshots = snapshot::SnapshotTakerOptions;
  using Archive = archive::ArchiverOptions;
  keys.push_back(bind<&O::data_directory>({.name = "data", .type = Type::text, .help = "The data directory"}));
  keys.push_back(bind<&O::readers>({.name = "readers",
                                    .type = Type::integer,
                                    .help = "Threads for reads of the log that would wait for the disk",
                                    .min = 1,
                                    .max = 64}));
  keys.push_back(
      bind<&O::segment_bytes>(size_key("log.segment_bytes", 16 * kMiB, kGiB, "Size of a new segment of the log")));
  keys.push_back(bind<&O::shard, &ShardOptions::seal_after_idle_ns>(
      duration_key("log.seal_after_idle", 1'000'000, 60 * kSecond,
                   "Idle time before a seal proves that the last batch was synced")));
  keys.push_back(bind<&O::auto_activate>(
      {.name = "upgrade.auto_activate",
       .type = Type::boolean,
       .help =
           "A start activates the newest logic of every machine; else heptane upgrade activate does, and until then "
           "older programs can go on with this log"}));
  keys.push_back(bind<&O::snapshots, &Snapshots::log_bytes_min>(
      reloadable(size_key("snapshot.log_bytes", kMiB, 1024 * kGiB,
                          "New log before the next snapshot, at least half the size of the last"))));
  keys.push_back(bind<&O::snapshots, &Snapshots::bytes_per_second>(reloadable(with_word(
      size_key("snapshot.bytes_per_second", kMiB, 1024 * kGiB, "Pace of writing a snapshot"), "unlimited", 0))));
  keys.push_back(bind<&O::snapshots, &Snapshots::free_bytes_reserve>(
      reloadable(size_key("snapshot.free_bytes_reserve", 0, 1024 * kGiB,
                          "Free disk space that a snapshot leaves, on top of 1.5 times the last one"))));
  keys.push_back(bind<&O::snapshots, &Snapshots::child_deadline_ns>(reloadable(duration_key(
      "snapshot.child_deadline", kSecond, kDay, "A snapshot whose file has not grown for so long is given up"))));
  keys.push_back(bind<&O::snapshot_keep_bytes>(
      size_key("snapshot.keep_bytes", 0, 1024 * kGiB,
               "Snapshots besides the two of recovery, for heptane at, as long as retain.commands says; the oldest go "
               "first")));
  Key every{.name = "snapshot.compare_starts",
            .type = Type::integer,
            .help = "At every so many starts the two newest snapshots are compared by replay, in the background",
            .min = 1,
            .max = 1'000'000};
  keys.push_back(bind<&O::snapshot_check, &SnapshotCheckOptions::every_starts>(with_word(every, "never", 0)));
  keys.push_back(bind<&O::snapshot_check, &SnapshotCheckOptions::deadline_ns>(
      duration_key("snapshot.compare_deadline", kSecond, 7 * kDay, "A comparison that takes longer is given up")));
  keys.push_back(bind<&O::archive, &Archive::target_bytes>(
      size_key("archive.segment_bytes", 16 * kMiB, 4 * kGiB, "Log that becomes one archive segment")));
  keys.push_back(bind<&O::archive, &Archive::bytes_per_second>(reloadable(with_word(
      size_key("archive.bytes_per_second", kMiB, 1024 * kGiB, "Pace of writing an archive segment"), "unlimited", 0))));
  keys.push_back(bind<&O::archive, &Archive::look_interval_ns>(reloadable(
      duration_key("archive.look_interval", kSecond, kDay, "Between two looks at the retention of streams"))));
  keys.push_back(bind<&O::archive, &Archive::retain_commands_ns>(reloadable(with_word(
      duration_key("retain.commands", 60 * kSecond, 36'500 * kDay, "How long plain commands are kept in the archive"),
      "forever", -1))));
}

constexpr std::string_view kModules = "modules";
constexpr std::string_view kRetentionMs = streams::kDefaultRetentionMs;
constexpr std::string_view kRetentionBytes = streams::kDefaultRetentionBytes;

Key modules_key(const Modules& modules) {
  Key key{.name = std::string(kModules), .type = Type::texts};
  key.help = "Modules whose listeners open";
  for (const std::unique_ptr<Module>& module : modules) key.choices.emplace_back(module->name());
  key.fallback = key.choices;
  return key;
}

// What apply() sees when it makes a stream. With their word they are as if they were not there.
std::vector<Key> retention_keys() {
  const auto key = [](std::string_view name, Type type, const char* help) {
    Key made{.name = std::string(name), .type = type, .help = help, .fallback = int64_t{-1}};
    made.min = 0;
    made.word = "forever";
    made.word_value = -1;
    made.reloadable = made.logged = true;
    return made;
  };
  return {
      key(kRetentionMs, Type::integer, "Of streams that are made without one: how long records are kept, milliseconds"),
      key(kRetentionBytes, Type::size, "Of streams that are made without one: bytes of a partition that are kept")};
}

void add_blobs(Keys& keys) {
  using O = ServerOptions;
  using Blobs = blobs::BlobStoreOptions;
  keys.push_back(bind<&O::blobs, &Blobs::blob_bytes_max>(
      size_key("blobs.max_bytes", kMiB, 1024 * kGiB, "Longest blob; above it: 413")));
  keys.push_back(bind<&O::blobs, &Blobs::total_bytes_max>(with_word(
      size_key("blobs.total_bytes", kMiB, 1024 * 1024 * kGiB, "All blobs together; above it: 507"), "unlimited", -1)));
  keys.push_back(bind<&O::blobs, &Blobs::uploads_max>({.name = "blobs.uploads",
                                                       .type = Type::integer,
                                                       .help = "Uploads at the same time; above it: 503",
                                                       .min = 1,
                                                       .max = 200}));
}

void add_limits(Keys& keys) {
  using O = ServerOptions;
  using Io = net::IoLoopConfig;
  keys.push_back(bind<&O::io, &Io::max_connections>({.name = "limits.connections",
                                                     .type = Type::integer,
                                                     .help = "Open connections of all listeners; never above the limit "
                                                             "of open files",
                                                     .min = 1,
                                                     .max = 1'000'000}));
  keys.push_back(
      bind<&O::io, &Io::max_outstanding>({.name = "limits.requests_per_connection",
                                          .type = Type::integer,
                                          .help = "Unanswered requests at which a connection is not read from",
                                          .min = 1,
                                          .max = 16'384}));
  keys.push_back(bind<&O::io, &Io::request_budget_bytes>(size_key(
      "limits.request_memory", 8 * kMiB, 1024 * kGiB, "Payloads on their way to the shard; above it: overloaded")));
  keys.push_back(bind<&O::io, &Io::kept_budget_bytes>(
      size_key("limits.unfinished_memory", 8 * kMiB, 1024 * kGiB,
               "Unfinished messages of all connections; a connection that grows above it is closed")));
  keys.push_back(bind<&O::io, &Io::output_high_bytes>(
      size_key("limits.output_memory", 256 << 10, kGiB, "Unsent output at which a connection is not read from")));
  keys.push_back(bind<&O::io, &Io::write_timeout_ns>(
      duration_key("limits.write_timeout", kSecond, kDay, "Without progress of a full output a connection is closed")));
  keys.push_back(bind<&O::drain_limit_ns>(
      duration_key("limits.drain", 0, 600 * kSecond, "A stop cuts off what is unanswered then")));
  keys.push_back(bind<&O::shard, &ShardOptions::machine_memory_budget_bytes>(
      reloadable(size_key("limits.machine_memory", 16 * kMiB, 1024 * kGiB,
                          "State of one machine, and of timers and idempotency keys together; above it new state is "
                          "refused while reads and "
                          "deletions go on"))));
}

void add_auth(Keys& keys) {
  using O = ServerOptions;
  using Auth = auth::AuthOptions;
  keys.push_back(bind<&O::auth, &Auth::enabled>({.name = "auth.enabled",
                                                 .type = Type::boolean,
                                                 .help = "Clients prove who they are: heptane user, token, role"}));
  keys.push_back(bind<&O::auth, &Auth::plain_on_loopback>(
      {.name = "auth.plain_on_loopback",
       .type = Type::boolean,
       .help = "Passwords in the clear (SASL PLAIN) without TLS, from this machine"}));
  keys.push_back(
      bind<&O::auth, &Auth::iterations>({.name = "auth.iterations",
                                         .type = Type::integer,
                                         .help = "Work of guessing a password from its verifier (SCRAM), for "
                                                 "passwords set from now on",
                                         .min = 4096,
                                         .max = 1'000'000}));
}

Key limit_key(Type type, std::string name, int64_t max, std::string help) {
  Key key{.name = std::move(name), .type = type, .help = std::move(help), .fallback = int64_t{0}};
  key.min = 1;
  key.max = max;
  key.word = "unlimited";
  key.reloadable = true;
  return key;
}

void add_quotas(Keys& keys) {
  using O = ServerOptions;
  using Config = net::QuotaConfig;
  using Limits = net::QuotaLimits;
  constexpr int64_t kMany = 1'000'000'000;
  keys.push_back(bind<&O::quotas, &Config::principal, &Limits::bytes_in>(
      limit_key(Type::size, "quotas.bytes_in", 1024 * kGiB, "Of one user: bytes received a second")));
  keys.push_back(bind<&O::quotas, &Config::principal, &Limits::bytes_out>(
      limit_key(Type::size, "quotas.bytes_out", 1024 * kGiB, "Of one user: bytes sent a second")));
  keys.push_back(bind<&O::quotas, &Config::principal, &Limits::requests>(
      limit_key(Type::integer, "quotas.requests", kMany, "Of one user: requests a second")));
  keys.push_back(bind<&O::quotas, &Config::principal, &Limits::connections>(
      limit_key(Type::integer, "quotas.connections", kMany, "Of one user: connections at the same time")));
}

void add_http(Keys& keys) {
  using O = ServerOptions;
  using Http = http::HttpLimits;
  keys.push_back(bind<&O::http_hosts>(
      {.name = "http.hosts",
       .type = Type::texts,
       .help = "Names that are answered to in Host, besides localhost and loopback addresses, and whose pages may ask, "
               "besides the listener's own: name, or name:port for pages at that port"}));
  keys.push_back(bind<&O::http, &Http::head_bytes>(
      size_key("http.head_bytes", 1024, 256 << 10, "Request line and headers; above it: 431")));
  keys.push_back(bind<&O::http, &Http::body_bytes>(
      size_key("http.body_bytes", 1024, 4'000'000, "Body of a request; above it: 413")));
  keys.push_back(bind<&O::http, &Http::head_deadline_ns>(
      duration_key("http.head_deadline", kSecond, 600 * kSecond, "For a request's head, from its first byte: 408")));
  keys.push_back(bind<&O::http, &Http::body_deadline_ns>(
      duration_key("http.body_deadline", kSecond, 3600 * kSecond, "For a request's body: 408")));
  keys.push_back(bind<&O::http, &Http::answer_deadline_ns>(
      duration_key("http.answer_deadline", kSecond, 600 * kSecond, "For the server's answer: 504")));
}

std::vector<Key> tls_keys() {
  const auto text = [](const char* name, const char* help) {
    Key key{.name = name, .type = Type::text, .help = help};
    key.fallback = std::string();
    return key;
  };
  Key listeners{.name = "tls.listeners", .type = Type::texts, .help = "Names of the listeners that speak TLS"};
  listeners.fallback = std::vector<std::string>();
  Key clients{.name = "tls.client_certificates", .type = Type::choice};
  clients.help = "With client_ca: whether a client must show a certificate";
  clients.fallback = std::string("required");
  clients.choices = {"required", "optional"};
  Key version{.name = "tls.min_version", .type = Type::choice, .help = "Oldest version of TLS"};
  version.fallback = std::string("1.2");
  version.choices = {"1.2", "1.3"};
  return {listeners,
          text("tls.certificate", "Certificate chain, PEM, the server's own first; SIGHUP reads the files again"),
          text("tls.key", "Its private key, PEM, not encrypted, closed to other users"),
          text("tls.client_ca", "Who may sign clients' certificates, PEM; empty: nobody is asked for one"),
          clients,
          version};
}

Key user_quotas_key() {
  Key key{.name = "quotas.users", .type = Type::texts};
  key.help =
      "Users with limits of their own instead: \"alice bytes_in=1MiB bytes_out=10MiB requests=100 connections=4\"";
  key.fallback = std::vector<std::string>();
  key.wrong = wrong_user_quota;
  key.reloadable = true;
  return key;
}

void land_tls(const config::Settings& settings, ServerOptions& options) {
  net::TlsOptions tls;
  tls.certificate_file = settings.text("tls.certificate");
  tls.key_file = settings.text("tls.key");
  tls.client_ca_file = settings.text("tls.client_ca");
  const bool optional = settings.text("tls.client_certificates") == "optional";
  if (!tls.client_ca_file.empty())
    tls.client_certificates = optional ? net::ClientCertificates::optional : net::ClientCertificates::required;
  if (settings.text("tls.min_version") == "1.3") tls.min_version = net::TlsVersion::v1_3;
  for (const std::string& name : settings.texts("tls.listeners")) options.tls[name] = tls;
  options.tls_unused = options.tls.empty() && !(tls.certificate_file.empty() && tls.key_file.empty());
}

const Keys& server_keys() {
  static const Keys keys = [] {
    Keys all;
    add_storage(all);
    add_blobs(all);
    add_limits(all);
    add_http(all);
    add_auth(all);
    add_quotas(all);
    return all;
  }();
  return keys;
}

constexpr std::string_view kListen = "listen.";
constexpr std::string_view kAddress = ".address";
constexpr std::string_view kInsecure = ".insecure";
constexpr std::string_view kConnections = ".connections";
constexpr std::string_view kPerHost = ".connections_per_host";
constexpr std::string_view kBytesIn = ".bytes_in";
constexpr std::string_view kBytesOut = ".bytes_out";
constexpr std::string_view kRequests = ".requests";

void land_listener_quota(const config::Settings& settings, const Key& key, ServerOptions& options) {
  const std::pair<std::string_view, int64_t net::QuotaLimits::*> kinds[] = {{kBytesIn, &net::QuotaLimits::bytes_in},
                                                                            {kBytesOut, &net::QuotaLimits::bytes_out},
                                                                            {kRequests, &net::QuotaLimits::requests}};
  for (const auto& [ending, member] : kinds) {
    if (!key.name.ends_with(ending) || settings.number(key.name) == 0) continue;
    const size_t length = key.name.size() - kListen.size() - ending.size();
    options.quotas.listeners[key.name.substr(kListen.size(), length)].*member = settings.number(key.name);
  }
}

void land_listener(const config::Settings& settings, const Key& key, ServerOptions& options) {
  const auto named = [&](std::string_view ending) {
    return key.name.substr(kListen.size(), key.name.size() - kListen.size() - ending.size());
  };
  if (key.name.ends_with(kConnections))
    options.listener_limits[named(kConnections)].max_connections = static_cast<size_t>(settings.number(key.name));
  if (key.name.ends_with(kPerHost))
    options.listener_limits[named(kPerHost)].max_per_remote = static_cast<size_t>(settings.number(key.name));
  if (key.name.ends_with(kInsecure) && settings.boolean(key.name)) options.listen_insecure.insert(named(kInsecure));
  if (!key.name.ends_with(kAddress)) return;
  const config::Value& value = settings.value(key.name);
  const auto* list = std::get_if<std::vector<std::string>>(&value);
  const std::vector<std::string> texts = list != nullptr ? *list : std::vector{std::get<std::string>(value)};
  if (texts.front() == "off") options.listen_off.insert(named(kAddress));
  std::vector<net::Address> addresses;
  for (const std::string& text : texts) {
    if (config::is_unix_address(text)) addresses.push_back({text, 0});
    if (const std::optional<config::HostPort> chosen = config::parse_host_port(text))
      addresses.push_back({chosen->host, chosen->port});
  }
  if (!addresses.empty()) options.listen[named(kAddress)] = std::move(addresses);
}

// As the log keeps it: what a key means, not how it was written.
std::string logged_text(const config::Value& value) {
  if (const bool* flag = std::get_if<bool>(&value)) return *flag ? "true" : "false";
  if (const int64_t* number = std::get_if<int64_t>(&value)) return std::to_string(*number);
  if (const auto* text = std::get_if<std::string>(&value)) return *text;
  std::string all;
  for (const std::string& text : std::get<std::vector<std::string>>(value)) all += text + "\n";
  return all;
}

}  // namespace

std::vector<Key> listener_keys(const std::string& name, uint16_t default_port, bool loopback_only) {
  const std::string section = std::string(kListen) + name;
  Key address{.name = section + std::string(kAddress), .type = Type::address};
  address.help = "HOST:PORT or unix:/path, or a list of them; \"default\": port " + std::to_string(default_port) +
                 " or the next free one, on 127.0.0.1 and [::1]; \"off\": no listener";
  address.fallback = std::string("default");
  address.choices = {"default", "off"};
  address.several = true;
  address.shorthand = true;
  Key insecure{.name = section + std::string(kInsecure), .type = Type::boolean};
  insecure.help =
      "An address beyond loopback may go without authentication and TLS: anybody who reaches it may do anything";
  insecure.fallback = false;
  const auto cap = [&](std::string_view ending, const char* help) {
    Key key{.name = section + std::string(ending), .type = Type::integer, .help = help, .fallback = int64_t{0}};
    key.min = 1;
    key.max = 1'000'000;
    key.word = "unlimited";
    return key;
  };
  constexpr int64_t kMany = 1'000'000'000;
  std::vector<Key> keys;
  if (loopback_only) address.help += "; loopback alone";
  keys.push_back(std::move(address));
  if (!loopback_only) keys.push_back(std::move(insecure));
  keys.push_back(cap(kConnections, "Open connections of this listener"));
  keys.push_back(cap(kPerHost, "Open connections from one host"));
  keys.push_back(limit_key(Type::size, section + std::string(kBytesIn), 1024 * kGiB,
                           "All its connections: bytes received a second"));
  keys.push_back(
      limit_key(Type::size, section + std::string(kBytesOut), 1024 * kGiB, "All its connections: bytes sent a second"));
  keys.push_back(
      limit_key(Type::integer, section + std::string(kRequests), kMany, "All its connections: requests a second"));
  return keys;
}

std::shared_ptr<const config::KeyTable> key_table(const Modules& modules) {
  auto table = std::make_shared<config::KeyTable>();
  table->add(config::keys_of<ServerOptions>(server_keys()));
  if (!modules.empty()) table->add({modules_key(modules)});
  table->add(retention_keys());
  table->add({user_quotas_key()});
  table->add(tls_keys());
  table->add(listener_keys("admin", admin::kDefaultPort));
  for (const std::unique_ptr<Module>& module : modules) table->add(module->keys());
  return table;
}

void land(const config::Settings& settings, ServerOptions& options) {
  settings.land<ServerOptions>(server_keys(), options);
  land_tls(settings, options);
  // Half of the high mark: a connection goes on before the peer has taken everything.
  options.io.output_low_bytes = std::min(options.io.output_low_bytes, options.io.output_high_bytes / 2);
  options.quotas.principals = user_quotas(settings.texts("quotas.users"));
  options.quotas.listeners.clear();
  for (const Key& key : settings.table().all()) {
    if (key.name.starts_with(kListen)) land_listener(settings, key, options);
    if (key.name.starts_with(kListen)) land_listener_quota(settings, key, options);
    const bool unsaid = !key.word.empty() && settings.value(key.name) == config::Value(key.word_value);
    if (key.logged && !unsaid) options.machine_config[key.name] = logged_text(settings.value(key.name));
    if (key.logged && unsaid) options.machine_config.erase(key.name);
    if (key.name == kModules) options.modules_on = settings.texts(key.name);
  }
}

Reload plan_reload(const config::Settings& current, const config::Settings& wanted) {
  Reload plan{current, {}, {}};
  for (const Key* key : config::differences(current, wanted)) {
    if (!key->reloadable) {
      plan.need_restart.push_back(key);
      continue;
    }
    plan.changed.push_back(key);
    plan.settings.forget(key->name);
    if (wanted.given(key->name)) plan.settings.give(key->name, wanted.value(key->name), wanted.place(key->name));
  }
  return plan;
}

}  // namespace heptane::server
