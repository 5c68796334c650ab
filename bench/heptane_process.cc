#include "bench/heptane_process.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "bench/report.h"

namespace heptane::bench {

namespace {

constexpr int64_t kStartLimitNs = 600'000'000'000;

std::string binary() {
  if (const char* given = std::getenv("HEPTANE_BINARY")) return given;
  return (std::filesystem::read_symlink("/proc/self/exe").parent_path() / "heptane").string();
}

[[noreturn]] void give_up(const std::string& why) {
  std::fprintf(stderr, "bench: %s\n", why.c_str());
  std::exit(1);
}

std::string content_of(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

// The value of a listener in the endpoints file.
std::string endpoint_in(const std::string& path, const std::string& listener) {
  const std::string endpoints = content_of(path);
  const size_t name = endpoints.find('"' + listener + '"');
  const size_t begin = name == std::string::npos ? name : endpoints.find('"', endpoints.find(':', name));
  if (begin == std::string::npos) give_up("the server names no endpoint " + listener + ": " + endpoints);
  return endpoints.substr(begin + 1, endpoints.find('"', begin + 1) - begin - 1);
}

int connect_to(const std::string& endpoint) {
  const size_t colon = endpoint.rfind(':');
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(std::stoul(endpoint.substr(colon + 1))));
  ::inet_pton(AF_INET, endpoint.substr(0, colon).c_str(), &address.sin_addr);
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) give_up("nobody listens: " + endpoint);
  return fd;
}

}  // namespace

HeptaneProcess::HeptaneProcess(std::string directory, const std::vector<std::string>& more_arguments)
    : directory_(std::move(directory)) {
  std::filesystem::create_directories(directory_);
  const std::string program = binary();
  const std::string endpoints = directory_ + "/endpoints.json";
  std::vector<std::string> command = {
      program, "serve", "--data", directory_ + "/data", "--ephemeral-ports", "--endpoints-file", endpoints};
  command.insert(command.end(), more_arguments.begin(), more_arguments.end());
  std::vector<char*> arguments;
  for (std::string& part : command) arguments.push_back(part.data());
  arguments.push_back(nullptr);
  const std::string output = directory_ + "/output";
  std::filesystem::remove(endpoints);  // of the one before
  pid_ = ::fork();
  if (pid_ == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    const int fd = ::open(output.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
    ::dup2(fd, 1);
    ::dup2(fd, 2);
    ::execv(program.c_str(), arguments.data());
    ::_exit(127);
  }
  const int64_t end_ns = now_ns() + kStartLimitNs;
  while (!std::filesystem::exists(endpoints)) {
    if (::waitpid(pid_, nullptr, WNOHANG) == pid_) give_up("cannot start " + program + ": see " + output);
    if (now_ns() > end_ns) give_up(program + " is not ready within ten minutes");
    ::usleep(1000);
  }
  kafka_ = endpoint_in(endpoints, "kafka");
}

std::string HeptaneProcess::endpoint(const std::string& listener) const {
  return endpoint_in(directory_ + "/endpoints.json", listener);
}

std::string HeptaneProcess::output() const { return content_of(directory_ + "/output"); }

std::string HeptaneProcess::ask(const std::string& method_and_path, const std::string& token,
                                const std::string& body) const {
  const int fd = connect_to(endpoint("admin"));
  std::string request = method_and_path + " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n";
  if (!token.empty()) request += "Authorization: Bearer " + token + "\r\n";
  if (!body.empty()) request += "Content-Type: application/json\r\n";
  request += "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
  for (size_t sent = 0; sent < request.size();) {
    const ssize_t done = ::write(fd, request.data() + sent, request.size() - sent);
    if (done <= 0) give_up(method_and_path + ": the server takes no more");
    sent += static_cast<size_t>(done);
  }
  std::string answer;
  char piece[4096];
  for (ssize_t count = 0; (count = ::read(fd, piece, sizeof piece)) > 0;)
    answer.append(piece, static_cast<size_t>(count));
  ::close(fd);
  if (!answer.starts_with("HTTP/1.1 20")) give_up(method_and_path + ": " + answer);
  return answer;
}

double HeptaneProcess::metric(const std::string& name, const std::string& token) const {
  const std::string text = ask("GET /metrics", token);
  const size_t at = text.find("\n" + name + " ");
  return at == std::string::npos ? 0 : std::strtod(text.c_str() + at + name.size() + 2, nullptr);
}

HeptaneProcess::~HeptaneProcess() {
  ::kill(pid_, SIGTERM);
  ::waitpid(pid_, nullptr, 0);
}

}  // namespace heptane::bench
