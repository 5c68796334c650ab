// What a module gives the server: configuration keys and machines before recovery, listeners after it. The list of modules
// is app's.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "kernel/admin/operations.h"
#include "kernel/auth/gate.h"
#include "kernel/auth/sasl.h"
#include "kernel/base/disk.h"
#include "kernel/base/telemetry.h"
#include "kernel/config/settings.h"
#include "kernel/net/http/router.h"
#include "kernel/net/quota.h"
#include "kernel/net/session.h"
#include "kernel/shard/command_words.h"
#include "kernel/shard/state_machine.h"
#include "kernel/streams/view_input.h"

namespace heptane::blobs {
class BlobStore;
}
namespace heptane::net {
class IoLoop;
class TlsPreamble;
class Workers;
}  // namespace heptane::net
namespace heptane::streams {
class HistoryReader;
}

namespace heptane::server {

// What is known once the log is recovered.
struct ServerFacts {
  LogId log_id{};
  Epoch epoch = 0;
  auth::Authenticator* authenticator = nullptr;      // null: authentication is off. Outlives the modules' listeners
  net::Quotas* quotas = nullptr;                     // what clients may use; outlives the modules' listeners
  const streams::ViewInputs* view_inputs = nullptr;  // views that clients may append to; likewise
  auth::Gate* gate = nullptr;                        // who asks over HTTP, on or off; likewise
  Disk* disk = nullptr;                              // outlives the modules
  std::string data_directory{};
  std::vector<std::string> http_hosts{};  // names besides loopback's that an HTTP listener answers to
  net::IoLoop* io = nullptr;              // for connections outward, on its own thread; gone before the modules
  blobs::BlobStore* blobs = nullptr;      // outlives the modules' listeners
  net::Workers* workers =
      nullptr;  // for what a module's own threads did: hand_back(). Gone before the modules, behind their sessions
  // The records of all streams in the order of the log, for one reader of one thread; likewise.
  streams::HistoryReader* history = nullptr;
};

struct ListenerSpec {
  net::Protocol* protocol = nullptr;
  uint16_t default_port = 0;
  bool loopback_only = false;  // its protocol cannot say who its clients are: nothing makes it reachable from elsewhere
  // Each opens one session without a peer, also when there is no listener (IoLoop::add_resident).
  std::vector<net::Protocol*> residents{};
  const net::TlsPreamble* preamble = nullptr;  // how clients ask for TLS, where it is on; null: it begins at once
};

struct AnswerWatch {
  MachineId machine = 0;
  CommandType command = 0;
  std::function<void(const Buffer& payload, const Reply& reply)> heard;
};

// What `heptane at MOMENT GROUP NAME` shows of the module's machines, which hold the state as it was.
struct PastView {
  std::string group;
  std::string name;
  std::string help;
  std::function<std::string(bool json)> show;
};

class Module {
 public:
  virtual ~Module() = default;
  virtual std::string_view name() const = 0;
  // The module's part of the table: `[name]` and the sections of its listeners (listener_keys in server_keys.h). A logged
  // key reaches apply() as Effects::config(name).
  virtual std::vector<config::Key> keys() const { return {}; }
  // The values that hold: before machines(), and again when they change while the server runs (reloadable keys only, on the
  // I/O thread, between two turns). Never called: the defaults.
  virtual void configure(const config::Settings& settings) { (void)settings; }
  virtual std::vector<StateMachine*> machines() { return {}; }
  // Called once, after recovery. The protocols live as long as the module.
  virtual std::vector<ListenerSpec> listeners(const ServerFacts& facts) = 0;
  // Once, after listeners(): the way to append to its views; nullptr: there is none.
  virtual streams::ViewInput* view_input() { return nullptr; }
  // Once, after listeners(): commands whose answers the module hears of, whoever sent them, in the order of the log.
  virtual std::vector<AnswerWatch> answer_watches() { return {}; }
  // Once, before recovery: endpoints of the admin listener, with what they need and what they say of themselves; and what
  // a transaction may hold of this module.
  virtual void add_routes(http::HttpRouter& router) { (void)router; }
  virtual void add_operations(admin::OperationTable& operations) { (void)operations; }
  virtual std::vector<PastView> past_views() const { return {}; }
  // Of its machines, for people; as of any time. And an endpoint that says which command made what has an id, `{id}` in its
  // path: its answer's `position`. Empty: there is none.
  virtual std::vector<CommandWords> command_words() const { return {}; }
  virtual std::string position_path() const { return {}; }
  // Once, after listeners().
  virtual void register_metrics(Telemetry& telemetry) { (void)telemetry; }
};

using Modules = std::vector<std::unique_ptr<Module>>;

}  // namespace heptane::server
