// What the connections of one I/O loop share: limits, timers, subscriptions, the thread's read buffer, the link to the
// shard and its accounting. Internal to kernel/net; the loop's thread.
//
// The I/O side never has more unanswered requests than the reply rings hold: commands and queries at most the gated
// ring's capacity C; reads C/2 and watched partitions C/4, so that the open ring (2 C) has room for them and for every query.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "kernel/base/clock.h"
#include "kernel/base/random.h"
#include "kernel/net/io_counters.h"
#include "kernel/net/loop_timers.h"
#include "kernel/net/net.h"
#include "kernel/net/output_queue.h"
#include "kernel/net/subscriptions.h"
#include "kernel/net/tls_context.h"
#include "kernel/net/workers.h"
#include "kernel/shard/link.h"

namespace heptane::net {

struct IoLoopConfig {
  size_t max_connections = 10'000;            // below the limit of open files
  uint32_t max_outstanding = 1'000;           // of one connection; at it, its input stops
  size_t request_budget_bytes = 256 << 20;    // payloads on their way to the shard; above it a command is `overloaded`
  size_t kept_budget_bytes = 256 << 20;       // unfinished messages of all connections; who grows above it is closed
  size_t output_high_bytes = 1 << 20;         // of one connection; above it, its input stops
  size_t output_low_bytes = 256 << 10;        // at or below it, on_writable comes and input goes on
  int64_t write_timeout_ns = 30'000'000'000;  // without progress while output is above the mark, or while closing
  int64_t linger_ns = 500'000'000;            // how long a closed connection's input is thrown away (see connection.h)
  size_t read_bytes_per_turn = 8 << 20;       // of records read from the log, over all connections
  SessionId first_session = 1;                // several loops: distinct firsts and one common step
  SessionId session_step = 1;
  Workers* workers = nullptr;  // outlives the loop; without it sessions have nobody to hand work to
  Random* random = nullptr;    // of the delays of outbound connections; without it there are none
  // Optional: told once about every session that ended.
  std::function<void(std::string_view listener, const Address& remote, CloseReason, std::string_view why)> on_closed;
};

class Connection;
class Outbound;
class TlsPreamble;

// What a listener adds to its protocol.
struct ListenerOptions {
  std::shared_ptr<TlsCredentials> tls;            // null: plain bytes
  const TlsPreamble* preamble = nullptr;          // how clients ask for it; null: TLS begins at once. Outlives the loop
  size_t max_connections = 0;                     // 0: as many as the loop has
  size_t max_per_remote = 0;                      // connections from one host; 0: no cap of its own
  int64_t handshake_timeout_ns = 10'000'000'000;  // of TLS
};

// Connections of one listener, the longest inactive first.
struct ActivityList {
  Connection* head = nullptr;
  Connection* tail = nullptr;
};

// A listener, or whoever makes connections outward: what its connections share.
struct ListenerState {
  ListenerState(Protocol& listener_protocol, uint16_t listener_index, ListenerOptions listener_options)
      : protocol(listener_protocol),
        index(listener_index),
        idle_timeout_ns(protocol.idle_timeout_ns()),
        options(std::move(listener_options)),
        encrypted(options.tls != nullptr) {}

  bool room_for(const std::string& host) const {
    if (options.max_connections > 0 && connections >= options.max_connections) return false;
    const auto found = per_remote.find(host);
    return found == per_remote.end() || found->second < options.max_per_remote;
  }
  void count(const std::string& host) {
    ++connections;
    if (options.max_per_remote > 0) ++per_remote[host];
  }
  void discount(const std::string& host) {
    --connections;
    const auto found = per_remote.find(host);
    if (found != per_remote.end() && --found->second == 0) per_remote.erase(found);
  }

  Protocol& protocol;
  uint16_t index;  // 1 for the first; the origin in a submission
  int64_t idle_timeout_ns;
  ListenerOptions options;
  bool encrypted;
  Outbound* outbound = nullptr;  // it makes the connections; there is no listener
  bool resident = false;         // its one connection is the server's own and has no peer
  std::string why_closed;        // an outbound one's last connection
  std::unique_ptr<Listener> listener;
  ActivityList activity;
  size_t connections = 0;
  std::unordered_map<std::string, uint32_t> per_remote;  // only with a cap on them
};

constexpr size_t kReadBytes = 64 << 10;  // asked of a socket at once

// Commands whose answers somebody hears of besides who sent them (IoLoop::watch_answers).
struct AnswerWatches {
  using Told = std::function<void(const Buffer& payload, const Reply& reply)>;
  struct UnderWay {
    const Told* told = nullptr;
    Buffer payload;
  };
  std::map<std::pair<MachineId, CommandType>, Told> watches;  // none is taken out
  std::map<std::pair<SessionId, RequestId>, UnderWay> under_way;

  // Who wants to hear; null: nobody.
  const Told* of(const Submission& submission) const {
    if (watches.empty()) return nullptr;
    const auto found = watches.find({submission.machine, submission.type});
    return found == watches.end() ? nullptr : &found->second;
  }
};

struct LoopCore {
  LoopCore(Clock& loop_clock, ShardLink& shard_link, IoLoopConfig loop_config)
      : clock(loop_clock),
        link(shard_link),
        config(std::move(loop_config)),
        read_buffer(std::make_unique_for_overwrite<std::byte[]>(2 * kReadBytes)),
        now_ns(clock.monotonic_ns()),
        next_session(config.first_session) {}

  // True when the request is in the ring.
  bool send(ShardRequest&& request) {
    const auto* submission = std::get_if<Submission>(&request.body);
    const size_t payload_bytes = submission == nullptr ? 0 : submission->payload.size();
    if (link.request_bytes.load(std::memory_order_relaxed) + payload_bytes > config.request_budget_bytes) return false;
    // Counted before the shard can see it, so that the count never falls below nothing.
    link.request_bytes.fetch_add(payload_bytes, std::memory_order_relaxed);
    if (!link.requests.try_push(std::move(request))) {
      link.request_bytes.fetch_sub(payload_bytes, std::memory_order_relaxed);
      return false;
    }
    counters.requests.add();
    wake_wanted = true;
    return true;
  }
  bool send_gated(ShardRequest&& request) {
    if (gated_unanswered >= link.gated.capacity() || !send(std::move(request))) return false;
    ++gated_unanswered;
    return true;
  }
  bool send_read(ShardRequest&& request) {
    if (reads_unanswered >= link.gated.capacity() / 2 || !send(std::move(request))) return false;
    ++reads_unanswered;
    return true;
  }
  // Makes room for news of the partition. False: somebody waits for every partition that is watched.
  bool watch(PartitionId partition);
  void arm_watches();  // asks the shard for the news that sessions wait for

  void queue_ready(Connection& connection);  // has input to look at
  void queue_dirty(Connection& connection);  // wants settle()
  // Swaps the queue's content into the empty `into`; what is queued from now on belongs to the next round.
  void take_ready(std::vector<Connection*>& into);
  void take_dirty(std::vector<Connection*>& into);
  void forget(Connection& connection);  // from both queues

  Clock& clock;
  ShardLink& link;
  const IoLoopConfig config;
  IoCounters counters;
  LoopTimers timers;
  bool residents_end = false;  // while draining: no other connection was left when this round of settle() began
  Subscriptions subscriptions;
  SparePieces spares;
  std::unique_ptr<std::byte[]> read_buffer;  // 2 * kReadBytes: an unfinished message and what follows
  std::vector<Connection*> ready;
  std::vector<Connection*> dirty;
  int64_t now_ns;  // of this turn
  SessionId next_session;
  SubscriptionId next_subscription = 1;
  SessionTimerId next_timer = kFirstSessionTimer;
  uint64_t next_link_id = 1;
  size_t kept_bytes = 0;  // of unfinished messages
  size_t gated_unanswered = 0;
  AnswerWatches answer_watches;
  size_t reads_unanswered = 0;
  size_t evictions_left = 0;  // of watches in this turn: the shard may already have sent their news
  bool wake_wanted = false;
  bool draining = false;
};

}  // namespace heptane::net
