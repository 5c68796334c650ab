#include "bench/heptane_process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
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

HeptaneProcess::~HeptaneProcess() {
  ::kill(pid_, SIGTERM);
  ::waitpid(pid_, nullptr, 0);
}

}  // namespace heptane::bench
