#include "bench/postgres_peer.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <vector>

#include "bench/report.h"

namespace heptane::bench {

namespace {

constexpr const char* kBin = "/usr/lib/postgresql/15/bin/";
constexpr uint64_t kRowBytes = 128;

uint16_t free_port() {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  (void)::bind(fd, reinterpret_cast<sockaddr*>(&address), size);
  ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size);
  ::close(fd);
  return ntohs(address.sin_port);
}

// It refuses to run as root.
std::string as_postgres(const std::string& command) {
  return ::getuid() == 0 ? "runuser -u postgres -- " + command : command;
}

void run(const std::string& command) {
  if (std::system((command + " >/dev/null 2>&1").c_str()) == 0) return;
  std::fprintf(stderr, "bench: failed: %s\n", command.c_str());
  std::exit(1);
}

}  // namespace

std::optional<std::string> PostgresPeer::why_absent() {
  if (::access((std::string(kBin) + "postgres").c_str(), X_OK) == 0) return std::nullopt;
  return "postgresql-15 is not installed: make bench installs it";
}

PostgresPeer::PostgresPeer(std::string directory) : directory_(std::move(directory)), port_(free_port()) {
  // Its user must reach the directory: every parent of it is passable for everybody, or this fails and says so.
  run("install -d -m 0700 " + std::string(::getuid() == 0 ? "-o postgres " : "") + directory_);
  std::filesystem::permissions(std::filesystem::path(directory_).parent_path(), std::filesystem::perms::others_exec,
                               std::filesystem::perm_options::add);
  run(as_postgres(std::string(kBin) + "initdb -D " + directory_ + "/data -A trust -U postgres --no-sync"));
  start();
}

PostgresPeer::~PostgresPeer() {
  (void)!std::system(
      (as_postgres(std::string(kBin) + "pg_ctl -D " + directory_ + "/data -m immediate stop") + " >/dev/null 2>&1")
          .c_str());
}

void PostgresPeer::start() {
  run(as_postgres(std::string(kBin) + "pg_ctl -D " + directory_ + "/data -w -t 600 -l " + directory_ + "/log -o '-p " +
                  std::to_string(port_) + " -c listen_addresses=127.0.0.1 -c unix_socket_directories=" + directory_ +
                  options_ + "' start"));
}

std::string PostgresPeer::query(const std::string& sql) const {
  const std::string command = as_postgres("psql -h " + directory_ + " -p " + std::to_string(port_) +
                                          " -U postgres -X -q -A -t -v ON_ERROR_STOP=1 -c \"" + sql + "\"");
  std::FILE* pipe = ::popen(command.c_str(), "r");
  std::string out;
  char part[256];
  while (pipe != nullptr && std::fgets(part, sizeof part, pipe) != nullptr) out += part;
  if (pipe == nullptr || ::pclose(pipe) != 0) {
    std::fprintf(stderr, "bench: PostgreSQL refused: %s\n", sql.c_str());
    std::exit(1);
  }
  while (!out.empty() && out.back() == '\n') out.pop_back();
  return out;
}

void PostgresPeer::fill(uint64_t state_bytes) {
  // 20 bytes of columns beside the note and 28 of row header and pointer: about what our rows of 128 bytes hold.
  const uint64_t rows = state_bytes / kRowBytes;
  (void)query(
      "create table accounts (id int primary key, balance bigint not null, changes bigint not null, note bytea)");
  (void)query("insert into accounts select i, 0, 0, decode(repeat('ab', 72), 'hex') from generate_series(1, " +
              std::to_string(rows) + ") i");
  (void)query("checkpoint");
  table_bytes_ = std::stoull(query("select pg_total_relation_size('accounts')"));
  const std::string script = directory_ + "/transfer.sql";
  std::FILE* file = std::fopen(script.c_str(), "w");
  std::fprintf(file,
               "\\set a random(1, %llu)\n\\set b random(1, %llu)\nbegin;\n"
               "update accounts set balance = balance - 1 where id = :a;\n"
               "update accounts set balance = balance + 1, changes = changes + 1 where id = :b;\ncommit;\n",
               static_cast<unsigned long long>(rows), static_cast<unsigned long long>(rows));
  std::fclose(file);
  ::chmod(script.c_str(), 0644);
}

void PostgresPeer::load_and_kill(uint64_t log_bytes, int64_t limit_ns) {
  const std::string lsn = "select pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint";
  const uint64_t before = std::stoull(query(lsn));
  const pid_t load = ::fork();
  if (load == 0) {
    ::setpgid(0, 0);
    const std::string command =
        as_postgres(std::string(kBin) + "pgbench -n -h " + directory_ + " -p " + std::to_string(port_) +
                    " -U postgres -c 16 -j 2 -T 100000 -f " + directory_ + "/transfer.sql postgres") +
        " >/dev/null 2>&1";
    ::execl("/bin/sh", "sh", "-c", command.c_str(), static_cast<char*>(nullptr));
    ::_exit(127);
  }
  const int64_t end_ns = now_ns() + limit_ns;
  do {
    ::usleep(500'000);
    log_bytes_ = std::stoull(query(lsn)) - before;
  } while (log_bytes_ < log_bytes && now_ns() < end_ns);
  kill();
  ::kill(-load, SIGKILL);
  ::waitpid(load, nullptr, 0);
  run("mv " + directory_ + "/data " + directory_ + "/killed");
}

// Every process of it at once: the first line of postmaster.pid is the postmaster, the others are its children.
void PostgresPeer::kill() {
  std::FILE* pid_file = std::fopen((directory_ + "/data/postmaster.pid").c_str(), "r");
  int postmaster = 0;
  if (pid_file == nullptr || std::fscanf(pid_file, "%d", &postmaster) != 1) std::exit(1);
  std::fclose(pid_file);
  (void)!std::system(("pkill -KILL -P " + std::to_string(postmaster)).c_str());
  ::kill(postmaster, SIGKILL);
  while (::kill(postmaster, 0) == 0) ::usleep(1000);
}

double PostgresPeer::restart_seconds() {
  run("cp -a " + directory_ + "/killed " + directory_ + "/data");
  ::sync();  // its start syncs every file: of the copy's pages none is left for it
  const int64_t begin_ns = now_ns();
  start();
  (void)query("select balance from accounts where id = 1");
  const double seconds = static_cast<double>(now_ns() - begin_ns) / 1e9;
  kill();
  run("rm -r " + directory_ + "/data");
  return seconds;
}

double PostgresPeer::script(const std::string& sql) const {
  const std::string path = directory_ + "/script.sql";
  std::FILE* file = std::fopen(path.c_str(), "w");
  std::fwrite(sql.data(), 1, sql.size(), file);
  std::fclose(file);
  ::chmod(path.c_str(), 0644);
  const int64_t begin_ns = now_ns();
  run(as_postgres("psql -h " + directory_ + " -p " + std::to_string(port_) +
                  " -U postgres -X -q -v ON_ERROR_STOP=1 -f " + path));
  return static_cast<double>(now_ns() - begin_ns) / 1e9;
}

double PostgresPeer::clients(const std::string& script, uint64_t count, uint64_t seconds) const {
  return pgbench(script, "-c " + std::to_string(count) + " -j 2 -T " + std::to_string(seconds));
}

double PostgresPeer::times(const std::string& script, uint64_t count) const {
  return pgbench(script, "-c 1 -t " + std::to_string(count));
}

double PostgresPeer::quantile_micros(const std::string& script, uint64_t count, double p) const {
  namespace fs = std::filesystem;
  (void)pgbench(script, "-c 1 -t " + std::to_string(count) + " -l --log-prefix=" + directory_ + "/latencies");
  std::vector<double> micros;
  for (const auto& entry : fs::directory_iterator(directory_)) {
    if (!entry.path().filename().string().starts_with("latencies.")) continue;
    std::ifstream lines(entry.path());
    double client = 0;
    double number = 0;
    double spent = 0;
    for (std::string rest; lines >> client >> number >> spent && std::getline(lines, rest);) micros.push_back(spent);
    fs::remove(entry.path());
  }
  return quantile(micros, p);
}

double PostgresPeer::pgbench(const std::string& script, const std::string& how) const {
  const std::string path = directory_ + "/clients.sql";
  std::FILE* file = std::fopen(path.c_str(), "w");
  std::fwrite(script.data(), 1, script.size(), file);
  std::fclose(file);
  ::chmod(path.c_str(), 0644);
  const std::string command = as_postgres(std::string(kBin) + "pgbench -n -M prepared -h " + directory_ + " -p " +
                                          std::to_string(port_) + " -U postgres " + how + " -f " + path + " postgres") +
                              " 2>/dev/null";
  std::FILE* pipe = ::popen(command.c_str(), "r");
  double rate = 0;
  char line[256];
  while (pipe != nullptr && std::fgets(line, sizeof line, pipe) != nullptr)
    if (double found = 0; std::sscanf(line, "tps = %lf", &found) == 1) rate = found;
  if (pipe == nullptr || ::pclose(pipe) != 0 || rate == 0) {
    std::fprintf(stderr, "bench: failed: %s\n", command.c_str());
    std::exit(1);
  }
  return rate;
}

void PostgresPeer::restart(const std::function<void(const std::string&)>& between) {
  run(as_postgres(std::string(kBin) + "pg_ctl -D " + directory_ + "/data -w -t 600 -m fast stop"));
  between(directory_ + "/data");
  start();
}

std::string PostgresPeer::settings() const {
  std::string out;
  for (const char* name :
       {"fsync", "synchronous_commit", "wal_sync_method", "max_wal_size", "checkpoint_timeout", "shared_buffers"})
    out += (out.empty() ? "" : ", ") + std::string(name) + "=" + query("show " + std::string(name));
  return out;
}

}  // namespace heptane::bench
