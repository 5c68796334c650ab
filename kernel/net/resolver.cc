#include "kernel/net/resolver.h"

#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>

#include <condition_variable>
#include <cstring>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>

#include "kernel/net/system_address.h"

namespace heptane::net {

namespace {

constexpr size_t kWaitingMax = 256;
constexpr size_t kAddressesMax = 16;

Result<std::vector<Address>> look_up(const std::string& host, uint16_t port) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int error = getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found);
  if (error != 0) {
    const bool unknown = error == EAI_NONAME;
    return Error{unknown ? Errc::not_found : Errc::io, "`" + host + "` cannot be resolved: " + gai_strerror(error)};
  }
  std::vector<Address> addresses;
  for (const addrinfo* item = found; item != nullptr && addresses.size() < kAddressesMax; item = item->ai_next) {
    if (item->ai_family != AF_INET && item->ai_family != AF_INET6) continue;
    SystemAddress address;
    std::memcpy(&address.storage, item->ai_addr, item->ai_addrlen);
    address.length = item->ai_addrlen;
    addresses.push_back(from_system(address));
  }
  freeaddrinfo(found);
  if (addresses.empty()) return Error{Errc::not_found, "`" + host + "` has no IPv4 or IPv6 address"};
  return addresses;
}

void block_signals() {
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, nullptr);
}

}  // namespace

struct Resolver::Shared {
  struct Question {
    uint64_t id = 0;
    std::string host;
    uint16_t port = 0;
  };

  std::mutex mutex;
  std::condition_variable changed;
  std::deque<Question> questions;
  std::vector<Answer> answers;
  std::function<void()> wake;  // empty: the resolver is gone
};

Resolver::Resolver(std::function<void()> wake) : shared_(std::make_shared<Shared>()) {
  shared_->wake = std::move(wake);
}

Resolver::~Resolver() {
  const std::lock_guard lock(shared_->mutex);
  shared_->wake = nullptr;
  shared_->questions.clear();
  shared_->changed.notify_one();
}

bool Resolver::ask(uint64_t id, std::string host, uint16_t port) {
  {
    const std::lock_guard lock(shared_->mutex);
    if (shared_->questions.size() >= kWaitingMax) return false;
    shared_->questions.push_back({id, std::move(host), port});
  }
  shared_->changed.notify_one();
  if (!std::exchange(started_, true)) std::thread(&Resolver::run, shared_).detach();
  return true;
}

std::vector<Resolver::Answer> Resolver::take() {
  const std::lock_guard lock(shared_->mutex);
  return std::exchange(shared_->answers, {});
}

void Resolver::run(const std::shared_ptr<Shared>& shared) {
  block_signals();
  std::unique_lock lock(shared->mutex);
  for (;;) {
    shared->changed.wait(lock, [&] { return !shared->questions.empty() || !shared->wake; });
    if (!shared->wake) return;
    const Shared::Question question = std::move(shared->questions.front());
    shared->questions.pop_front();
    lock.unlock();
    Result<std::vector<Address>> addresses = look_up(question.host, question.port);
    lock.lock();
    if (!shared->wake) return;
    shared->answers.push_back({question.id, std::move(addresses)});
    shared->wake();
  }
}

}  // namespace heptane::net
