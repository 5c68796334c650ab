// Names to addresses on a thread of its own, which starts with the first name: getaddrinfo blocks and cannot be broken off.
// The destructor does not wait for it: the thread ends by itself when its last name is answered. Internal to kernel/net.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "kernel/base/result.h"
#include "kernel/net/session.h"

namespace heptane::net {

class Resolver {
 public:
  struct Answer {
    uint64_t id = 0;
    Result<std::vector<Address>> addresses;
  };

  // `wake`: from the resolver's thread, when there is something to take.
  explicit Resolver(std::function<void()> wake);
  ~Resolver();
  Resolver(const Resolver&) = delete;
  Resolver& operator=(const Resolver&) = delete;

  // False: as many names as it keeps are waiting.
  bool ask(uint64_t id, std::string host, uint16_t port);
  std::vector<Answer> take();

 private:
  struct Shared;
  static void run(const std::shared_ptr<Shared>& shared);

  std::shared_ptr<Shared> shared_;
  bool started_ = false;
};

}  // namespace heptane::net
