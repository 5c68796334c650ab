// What a principal and a listener may use: bytes in, bytes out and requests a second, and a principal's connections. Each is a
// token bucket that saves up one second and may go into debt: a request is never cut in pieces, and who used more than there
// was waits until it is paid back. Protocols say so in their own words: throttle_time_ms in Kafka, 429 in HTTP, 0x97 in MQTT 5.
//
// Bounds: kPrincipalsMax buckets; principals beyond that share one. The I/O thread's; time is the injected clock's.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "kernel/base/clock.h"
#include "kernel/net/io_counters.h"

namespace heptane::net {

struct QuotaLimits {  // a second; 0: no limit
  int64_t bytes_in = 0;
  int64_t bytes_out = 0;
  int64_t requests = 0;
  int64_t connections = 0;  // at the same time
  bool operator==(const QuotaLimits&) const = default;
};

struct QuotaConfig {
  QuotaLimits principal;  // of each that has none of its own
  std::map<std::string, QuotaLimits, std::less<>> principals;
  std::map<std::string, QuotaLimits, std::less<>>
      listeners;  // of all connections of one together, without `connections`
  bool operator==(const QuotaConfig&) const = default;
};

struct QuotaUse {
  int64_t bytes_in = 0;
  int64_t bytes_out = 0;
  int64_t requests = 0;
};

class QuotaSlot;

class Quotas {
 public:
  static constexpr size_t kPrincipalsMax = 131'072;
  static constexpr int64_t kBurstNs = 1'000'000'000;
  static constexpr int64_t kWaitMaxNs = 30'000'000'000;  // nobody is told to wait longer at once
  static constexpr int64_t kPauseMaxNs = 5'000'000'000;  // who is slowed down is looked at again; below every deadline

  explicit Quotas(Clock& clock) : clock_(clock) {}

  // Limits that are not as they were begin without debts.
  void configure(QuotaConfig config);
  // False: nobody can owe anything, and nothing need be counted.
  bool limits_anybody() const {
    return config_.principal != QuotaLimits{} || !config_.principals.empty() || !config_.listeners.empty();
  }

  // An empty principal has not said who it is: its listener's limits alone.
  void use(std::string_view listener, std::string_view principal, const QuotaUse& use);
  // For how long the next request must wait; 0: it may come.
  int64_t wait_ns(std::string_view listener, std::string_view principal);
  // Likewise for what was received alone, and what was sent alone: of protocols in which the one does not answer the other.
  int64_t wait_in_ns(std::string_view listener, std::string_view principal);
  int64_t wait_out_ns(std::string_view listener, std::string_view principal);

  void count_throttled(int64_t wait_ns) {
    throttled_.add();
    throttled_ns_.add(static_cast<uint64_t>(wait_ns));
  }
  const Counter& throttled() const { return throttled_; }
  const Counter& throttled_ns() const { return throttled_ns_; }
  const Counter& connections_refused() const { return connections_refused_; }
  size_t principals() const { return principals_.size(); }

 private:
  friend class QuotaSlot;
  static constexpr int64_t kLongPaid = INT64_MIN / 2;
  // When what was used is paid for; in the past by as much as is saved up.
  struct Buckets {
    int64_t bytes_in_ns = kLongPaid;
    int64_t bytes_out_ns = kLongPaid;
    int64_t requests_ns = kLongPaid;
    int64_t connections = 0;

    void forgive() { bytes_in_ns = bytes_out_ns = requests_ns = kLongPaid; }
    void use(const QuotaLimits& limits, const QuotaUse& use, int64_t now_ns);
    int64_t paid_ns(const QuotaLimits& limits) const;
    int64_t paid_in_ns(const QuotaLimits& limits) const;
    int64_t paid_out_ns(const QuotaLimits& limits) const;
  };
  using Paid = int64_t (Buckets::*)(const QuotaLimits&) const;

  const QuotaLimits& limits_of(std::string_view principal) const;
  Buckets& buckets_of(std::string_view principal);
  void forget_idle(std::string_view near);
  int64_t wait_ns(std::string_view listener, std::string_view principal, Paid paid);

  Clock& clock_;
  QuotaConfig config_;
  std::map<std::string, Buckets, std::less<>> principals_;
  std::map<std::string, Buckets, std::less<>> listeners_;
  Buckets others_;
  Counter throttled_;
  Counter throttled_ns_;
  Counter connections_refused_;
};

// A connection's place among those of its principal. Outlived by the quotas.
class QuotaSlot {
 public:
  QuotaSlot() = default;
  ~QuotaSlot() { leave(); }
  QuotaSlot(const QuotaSlot&) = delete;
  QuotaSlot& operator=(const QuotaSlot&) = delete;

  // False: the principal has as many connections as it may have. A connection that comes as somebody else leaves its place.
  bool enter(Quotas& quotas, std::string_view principal);
  void leave();

 private:
  Quotas::Buckets* taken_ = nullptr;
};

// Who pays for what a connection uses. Without quotas nobody does. Outlived by the quotas.
struct QuotaPayer {
  Quotas* quotas = nullptr;
  std::string listener;
  std::string principal;

  void use(const QuotaUse& use) const {
    if (quotas != nullptr) quotas->use(listener, principal, use);
  }
  // For how long who cannot be told to wait is read from or written to no more; 0: not at all. Counted as throttled.
  int64_t pause_ns() const;
};

}  // namespace heptane::net
