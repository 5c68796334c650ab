// The two brokers that are measured, each started for it: Heptane as served, mosquitto with everything in memory and nothing
// dropped. Both send small packets at once (TCP_NODELAY) and hold as much for a client as the loads have in flight.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bench/heptane_process.h"
#include "bench/mqtt_wire.h"
#include "bench/peer_process.h"

namespace heptane::bench {

constexpr const char* kMosquittoSettings =
    "persistence false, set_tcp_nodelay true, max_inflight_messages 0 and max_queued_messages 0 (no limit), log_type "
    "error";
constexpr const char* kHeptaneMqttSettings =
    "mqtt.max_inflight=1000, limits.connections=19000; a PUBACK is synced; QoS 0 passes no log";

enum class Security : uint8_t { none, passwords, tls };

class HeptaneBroker {
 public:
  // `more`: arguments of the server.
  HeptaneBroker(const std::string& directory, Security security, const std::vector<std::string>& more = {});

  pid_t pid() const { return process_->pid(); }
  uint16_t port() const;
  double metric(const std::string& name) const { return process_->metric(name, token_); }
  // Users who may do everything, `bench-0` and so on, each with the user's password.
  void make_users(size_t count);
  // It remembers no password then.
  void start_again();
  // With passwords: a user who may do everything, and a token.
  MqttLogin user() const { return {"", "bench", password_}; }
  MqttLogin token() const { return {"", "token", token_}; }

 private:
  void make_user();
  void make_named_user(const std::string& name);

  const std::string directory_;
  const std::vector<std::string> arguments_;
  std::optional<HeptaneProcess> process_;
  std::string password_;
  std::string token_;
};

// So many users `bench-0` and so on in mosquitto's password file, whose passwords cost so many iterations of PBKDF2.
struct MosquittoUsers {
  size_t count = 0;
  uint32_t iterations = 0;
};

class MosquittoBroker {
 public:
  // Null: it is not installed.
  static std::unique_ptr<MosquittoBroker> start(const std::string& directory, Security security, size_t queued_max = 0,
                                                const MosquittoUsers& users = {});

  pid_t pid() const { return process_->pid(); }
  uint16_t port() const { return port_; }
  MqttLogin user() const;

 private:
  MosquittoBroker(std::unique_ptr<PeerProcess> process, uint16_t port) : process_(std::move(process)), port_(port) {}

  std::unique_ptr<PeerProcess> process_;
  uint16_t port_;
};

}  // namespace heptane::bench
