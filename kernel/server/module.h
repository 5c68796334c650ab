// What a module gives the server: machines before recovery, listeners after it. The list of modules is app's.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "kernel/auth/sasl.h"
#include "kernel/net/session.h"
#include "kernel/shard/state_machine.h"

namespace heptane::server {

// What is known once the log is recovered.
struct ServerFacts {
  LogId log_id{};
  Epoch epoch = 0;
  auth::Authenticator* authenticator = nullptr;  // null: authentication is off. Outlives the modules' listeners
};

struct ListenerSpec {
  net::Protocol* protocol = nullptr;
  uint16_t default_port = 0;
};

class Module {
 public:
  virtual ~Module() = default;
  virtual std::string_view name() const = 0;
  virtual std::vector<StateMachine*> machines() { return {}; }
  // Called once, after recovery. The protocols live as long as the module.
  virtual std::vector<ListenerSpec> listeners(const ServerFacts& facts) = 0;
};

using Modules = std::vector<std::unique_ptr<Module>>;

}  // namespace heptane::server
