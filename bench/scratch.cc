#include "bench/scratch.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <system_error>

namespace heptane::bench {

namespace {

void remove_tree(const std::string& path) {
  std::error_code ignored;
  std::filesystem::remove_all(path, ignored);
}

void fail(const char* what) {
  std::perror(what);
  std::exit(1);
}

// In the child: not ended by the keys and signals that end the bench.
[[noreturn]] void remove_when_over(int alive, const std::string& path) {
  ::setsid();
  for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGPIPE}) ::signal(number, SIG_IGN);
  char byte = 0;
  while (::read(alive, &byte, 1) > 0) continue;
  remove_tree(path);
  _exit(0);
}

}  // namespace

Scratch::Scratch() {
  path_ = std::filesystem::current_path().string() + "/heptane-bench-XXXXXX";
  if (::mkdtemp(path_.data()) == nullptr) fail("bench: cannot make a directory here");
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) fail("bench: pipe");
  remover_ = ::fork();
  if (remover_ < 0) fail("bench: fork");
  if (remover_ == 0) {
    ::close(ends[1]);
    remove_when_over(ends[0], path_);
  }
  ::close(ends[0]);
  alive_ = ends[1];
}

Scratch::~Scratch() {
  ::close(alive_);
  ::waitpid(remover_, nullptr, 0);
}

void Scratch::remove(const std::string& name) const { remove_tree(below(name)); }

}  // namespace heptane::bench
