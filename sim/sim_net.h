// The network of the simulator: connections between a server and clients of the same process, in memory. Everything that a
// network may do to a byte stream happens at seeded moments: reads and writes of any size, delays, full buffers, events
// that come late, resets. Nothing is lost, doubled or reordered within a connection: TCP does not do that either. Datagrams are
// lost, doubled and reordered at seeded moments.
//
// run_once never waits and moves no clock. Both ends are Streams of this Net and get their events from its run_once.
// One owner; the random generator outlives the SimNet, the SimNet its streams.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "kernel/base/random.h"
#include "kernel/net/net.h"

namespace heptane::sim {

struct SimNetConfig {
  size_t buffer_bytes = 64 << 10;  // of each direction: what a writer can be ahead of the reader
  bool fragment = true;            // reads, writes and deliveries of seeded sizes; false: as much as possible
  uint32_t delay_one_in = 3;       // a delivery or an event waits for another turn once in so many; 0 = never
  uint32_t reset_one_in = 0;       // a connection is reset in a turn once in so many; 0 = never
  uint32_t loss_one_in = 0;        // of datagrams; 0 = never
  uint32_t double_one_in = 0;      // a datagram comes twice
  bool reorder = false;            // datagrams overtake one another
};

struct SimConnection;
struct SimDatagrams;
struct SimPending;

// One end of a connection.
class SimStream final : public net::Stream {
 public:
  SimStream(std::shared_ptr<SimConnection> connection, int end);
  ~SimStream() override;
  SimStream(const SimStream&) = delete;
  SimStream& operator=(const SimStream&) = delete;

  void set_events(net::StreamEvents* events) override;
  net::IoResult read_some(MutableBytes into) override;
  net::IoResult write_some(std::span<const Bytes> pieces) override;
  void want_read() override;
  void want_write() override;
  void shutdown_write() override;
  const net::Address& local() const override;
  const net::Address& remote() const override;

  // Both ends find the connection reset; what was on its way is lost.
  void reset();
  // Bytes that left the peer and were not read here.
  size_t incoming_bytes() const;

 private:
  std::shared_ptr<SimConnection> connection_;
  int end_;
};

class SimNet final : public net::Net {
 public:
  explicit SimNet(SeededRandom& random, SimNetConfig config = {});
  ~SimNet() override;
  SimNet(const SimNet&) = delete;
  SimNet& operator=(const SimNet&) = delete;

  // Of an IP address only the family is looked at: `::1` and `127.0.0.1` may have the same port. Unix sockets are their paths.
  Result<std::unique_ptr<net::Listener>> listen(const net::Address& address, net::AcceptHandler on_accept) override;
  // One step: deliveries, accepts, events. The deadline is for real networks.
  void run_once(int64_t deadline_ns) override;
  void wake() override { ++wakes_; }
  std::unique_ptr<net::Pending> connect(const net::Address& address, net::ConnectHandler on_done) override;
  // `localhost` and what name() was told.
  std::unique_ptr<net::Pending> resolve(const std::string& host, uint16_t port, net::ResolveHandler on_done) override;
  Result<std::unique_ptr<net::DatagramSocket>> datagrams(const net::Address& address) override;
  // What a name means from now on; without addresses, nothing.
  void name(const std::string& host, std::vector<std::string> addresses) { names_[host] = std::move(addresses); }

  // A client's end; accepted in a later run_once. Errc::not_found: nobody listens there.
  Result<std::unique_ptr<SimStream>> connect(uint16_t port, const char* host = "127.0.0.1");

  uint64_t wakes() const { return wakes_; }
  size_t connections() const { return connections_.size(); }
  // Nothing is on its way and no event is owed: further steps change nothing.
  bool quiet() const;

 private:
  friend class SimListener;
  struct Port;
  using PortKey = std::pair<std::string, uint16_t>;  // family or path, number

  bool delayed();
  static PortKey key_of(const net::Address& address);
  Result<std::unique_ptr<SimStream>> open(const net::Address& address);
  std::unique_ptr<net::Pending> later(std::function<void()> what);
  void finish_pending();
  void deliver_datagrams();
  void accept_pending();
  void deliver(SimConnection& connection);
  void raise_events(const std::shared_ptr<SimConnection>& connection);

  SeededRandom& random_;
  SimNetConfig config_;
  std::map<PortKey, std::shared_ptr<Port>> ports_;
  std::vector<std::shared_ptr<SimConnection>> connections_;  // in order of their making
  std::map<PortKey, std::weak_ptr<SimDatagrams>> datagrams_;
  std::vector<std::shared_ptr<SimPending>> pending_;
  std::map<std::string, std::vector<std::string>> names_{{"localhost", {"127.0.0.1"}}};
  uint16_t next_port_ = 20'000;
  uint16_t next_client_port_ = 50'000;
  uint64_t wakes_ = 0;
};

}  // namespace heptane::sim
