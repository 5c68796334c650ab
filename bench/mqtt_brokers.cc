#include "bench/mqtt_brokers.h"

#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <vector>

#include "bench/mqtt_tls.h"
#include "bench/report.h"
#include "kernel/base/base64.h"
#include "kernel/crypto/digest.h"

namespace heptane::bench {

namespace {

constexpr const char* kPassword = "correct horse battery";

[[noreturn]] void give_up(const std::string& why) {
  std::fprintf(stderr, "bench: %s\n", why.c_str());
  std::exit(1);
}

uint16_t port_of(const std::string& endpoint) {
  return static_cast<uint16_t>(std::stoi(endpoint.substr(endpoint.rfind(':') + 1)));
}

std::vector<std::string> arguments_of(const std::string& directory, Security security,
                                      const std::vector<std::string>& more) {
  std::vector<std::string> arguments = {"--set", "mqtt.max_inflight=1000", "--set", "limits.connections=19000"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  if (security == Security::passwords) arguments.insert(arguments.end(), {"--auth", "--plain-on-loopback"});
  if (security == Security::tls) {
    const std::string files = std::filesystem::absolute(directory + "-tls");
    std::filesystem::create_directories(files);
    make_tls_files(files);
    const std::vector<std::string> settings = {"tls.listeners=mqtt", "tls.certificate=" + files + "/tls.crt",
                                               "tls.key=" + files + "/tls.key"};
    for (const std::string& setting : settings) arguments.insert(arguments.end(), {"--set", setting});
  }
  return arguments;
}

std::string token_in(const std::string& text) {
  constexpr size_t kTokenBytes = 52;
  const size_t at = text.find("hpt_");
  return at == std::string::npos ? "" : text.substr(at, kTokenBytes);
}

}  // namespace

HeptaneBroker::HeptaneBroker(const std::string& directory, Security security, const std::vector<std::string>& more)
    : directory_(directory), arguments_(arguments_of(directory, security, more)) {
  process_.emplace(directory_, arguments_);
  if (security == Security::passwords) make_user();
}

uint16_t HeptaneBroker::port() const { return port_of(process_->endpoint("mqtt")); }

// The one-time token that a first start prints makes one that lasts.
void HeptaneBroker::make_user() {
  constexpr int64_t kLimitNs = 10'000'000'000;
  std::string first;
  for (const int64_t end_ns = now_ns() + kLimitNs; first.empty(); ::usleep(1000)) {
    if (now_ns() > end_ns) give_up("Heptane prints no token");
    first = token_in(process_->output());
  }
  token_ = token_in(process_->ask("POST /api/v1/tokens", first, R"({"name":"bench"})"));
  password_ = kPassword;
  process_->ask("POST /api/v1/roles", token_,
                R"({"name":"bench","permissions":[{"module":"mqtt","pattern":"*","verbs":["read","write"]}]})");
  make_named_user("bench");
}

void HeptaneBroker::make_named_user(const std::string& name) {
  const std::string user = R"({"name":")" + name + R"(","password":")" + password_ + R"(","roles":["bench"]})";
  process_->ask("POST /api/v1/users", token_, user);
}

void HeptaneBroker::make_users(size_t count) {
  for (size_t i = 0; i < count; ++i) make_named_user("bench-" + std::to_string(i));
}

void HeptaneBroker::start_again() {
  process_.reset();
  process_.emplace(directory_, arguments_);
}

namespace {

// As mosquitto_passwd writes them, which has 101 iterations. All have one salt: it is computed for each all the same.
void write_users(std::ofstream& file, const MosquittoUsers& users) {
  const std::string salt = "0123456789ab";
  const std::string hash = crypto::pbkdf2(crypto::Hash::sha512, kPassword, salt, users.iterations);
  for (size_t i = 0; i < users.count; ++i)
    file << "bench-" << i << ":$7$" << users.iterations << '$' << base64_encoded(salt) << '$' << base64_encoded(hash)
         << '\n';
}

}  // namespace

std::unique_ptr<MosquittoBroker> MosquittoBroker::start(const std::string& directory, Security security,
                                                        size_t queued_max, const MosquittoUsers& more_users) {
  const std::string program = find_program("mosquitto");
  if (program.empty()) return nullptr;
  std::filesystem::create_directories(directory);
  const std::string absolute = std::filesystem::absolute(directory);
  const uint16_t port = free_port();
  std::ofstream file(absolute + "/mosquitto.conf");
  file << "listener " << port << " 127.0.0.1\npersistence false\nset_tcp_nodelay true\nmax_inflight_messages 0\n"
       << "max_queued_messages " << queued_max << "\nlog_dest none\nlog_type error\nconnection_messages false\n";
  if (::geteuid() == 0) file << "user root\n";  // else it becomes another user, who cannot read here
  if (security == Security::passwords) {
    const std::string users = absolute + "/passwords";
    const std::string command = "mosquitto_passwd -b -c '" + users + "' bench '" + kPassword + "' > /dev/null";
    const int status = std::system(command.c_str());
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) give_up("mosquitto_passwd makes no password file");
    std::ofstream more(users, std::ios::app);
    write_users(more, more_users);
    file << "password_file " << users << "\n";
  } else {
    file << "allow_anonymous true\n";
  }
  if (security == Security::tls) {
    make_tls_files(absolute);
    file << "certfile " << absolute << "/tls.crt\nkeyfile " << absolute << "/tls.key\n";
  }
  file.close();
  auto process = std::make_unique<PeerProcess>(
      absolute, std::vector<std::string>{program, "-c", absolute + "/mosquitto.conf"}, port);
  return std::unique_ptr<MosquittoBroker>(new MosquittoBroker(std::move(process), port));
}

MqttLogin MosquittoBroker::user() const { return {"", "bench", kPassword}; }

}  // namespace heptane::bench
