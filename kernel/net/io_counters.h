// What an I/O loop counts. Written by the loop's thread alone, read by any.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "kernel/net/session.h"

namespace heptane::net {

class Counter {
 public:
  // One writer: no locked instruction needed.
  void add(uint64_t count = 1) { value_.store(value() + count, std::memory_order_relaxed); }
  void subtract(uint64_t count = 1) { value_.store(value() - count, std::memory_order_relaxed); }
  uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
};

constexpr size_t kCloseReasons = static_cast<size_t>(CloseReason::shutdown) + 1;

struct IoCounters {
  Counter open;      // connections now
  Counter accepted;  // since the start
  Counter refused;   // accepted and closed at once: over the cap, or the protocol wanted no session
  Counter bytes_in;
  Counter bytes_out;
  Counter requests;         // sent to the shard
  Counter overloaded;       // submit, query or read that found no room
  Counter replies_dropped;  // for sessions that were gone
  Counter input_stops;      // times a connection's input was stopped by back-pressure
  Counter tls_handshakes;   // that succeeded
  Counter datagrams_in;
  Counter datagrams_out;
  Counter datagrams_dropped;  // longer than the protocol's limit, or no room in the system's buffer
  Counter outbound_failed;    // attempts, and connections that ended
  Counter tls_failed;         // handshakes that did not, and connections that broke TLS later
  std::array<Counter, kCloseReasons> closed;

  const Counter& closed_for(CloseReason reason) const { return closed[static_cast<size_t>(reason)]; }
};

}  // namespace heptane::net
