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

// The value of a listener in the endpoints file.
std::string endpoint_in(const std::string& path, const std::string& listener) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  const std::string endpoints = text.str();
  const size_t name = endpoints.find('"' + listener + '"');
  const size_t begin = name == std::string::npos ? name : endpoints.find('"', endpoints.find(':', name));
  if (begin == std::string::npos) give_up("the server names no endpoint " + listener + ": " + endpoints);
  return endpoints.substr(begin + 1, endpoints.find('"', begin + 1) - begin - 1);
}

}  // namespace

HeptaneProcess::HeptaneProcess(std::string directory) : directory_(std::move(directory)) {
  std::filesystem::create_directories(directory_);
  const std::string program = binary();
  const std::string data = directory_ + "/data";
  const std::string endpoints = directory_ + "/endpoints.json";
  const std::string output = directory_ + "/output";
  std::filesystem::remove(endpoints);  // of the one before
  pid_ = ::fork();
  if (pid_ == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    const int fd = ::open(output.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
    ::dup2(fd, 1);
    ::dup2(fd, 2);
    ::execl(program.c_str(), program.c_str(), "serve", "--data", data.c_str(), "--ephemeral-ports", "--endpoints-file",
            endpoints.c_str(), static_cast<char*>(nullptr));
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

HeptaneProcess::~HeptaneProcess() {
  ::kill(pid_, SIGTERM);
  ::waitpid(pid_, nullptr, 0);
}

}  // namespace heptane::bench
