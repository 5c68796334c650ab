// `$SYS/broker/...`: what the broker says of itself, under mosquitto's names and in its forms. Each interval what has changed goes
// to those who are subscribed to it, at QoS 0; a new subscriber gets what there is as retained messages. Nothing of it is logged or
// kept. Who may read it is a matter of rights like any topic. The I/O thread's.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "kernel/net/session.h"
#include "modules/iot/gateway/mqtt/options.h"

namespace heptane::iot::mqtt {

class Broker;

class SysTopics {
 public:
  // Of the machine, which is another thread's.
  struct Kept {
    uint64_t sessions = 0;
    uint64_t queued = 0;
    uint64_t retained = 0;
    uint64_t retained_bytes = 0;  // what they take in memory
    uint64_t expired = 0;         // sessions whose time was over, of those in the log as far as this process read it
    uint64_t resident_bytes = 0;  // of the process; 0: not known
  };

  explicit SysTopics(Broker& broker) : broker_(broker) {}
  void set_kept(std::function<Kept()> kept) { kept_ = std::move(kept); }

  void attach(net::SessionContext& context);
  void detach() { context_ = nullptr; }
  // False: it is not its own.
  bool on_timer(net::SessionTimerId timer);

  // What matches the filter, as it is now.
  void each(std::string_view filter, const std::function<void(std::string_view topic, std::string_view value)>& visit);

 private:
  // Averages of a rate a minute over 1, 5 and 15 minutes.
  struct Load {
    uint64_t before = 0;
    std::array<double, 3> averages{};
  };

  void look();
  void put(std::string_view name, std::string value);
  void put(std::string_view name, uint64_t value) { put(name, std::to_string(value)); }
  void put_clients(const Kept& kept);
  void put_messages(const Kept& kept);
  void put_loads(int64_t interval_ns);
  uint64_t dropped() const;
  void put_load(std::string_view name, uint64_t total, int64_t interval_ns);

  Broker& broker_;
  std::function<Kept()> kept_;
  net::SessionContext* context_ = nullptr;
  net::SessionTimerId timer_ = 0;
  int64_t started_ns_ = 0;
  int64_t looked_ns_ = 0;
  uint64_t clients_max_ = 0;
  uint64_t resident_bytes_max_ = 0;
  uint64_t expired_before_ = 0;                             // of what was read at the start
  std::map<std::string, std::string, std::less<>> values_;  // by topic
  std::map<std::string, Load, std::less<>> loads_;
  std::map<std::string, std::string, std::less<>> changed_;  // since the last look
};

}  // namespace heptane::iot::mqtt
