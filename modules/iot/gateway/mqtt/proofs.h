// Passwords of clients that connect, on a worker: at most kAtOnce at the same time, so that other jobs have their turn, those
// among them whose client hung up; and no more once kWrongPerSecond of a second proved nothing, so that nobody guesses faster.
// Who comes then waits, as long as CONNECT may take: the networks that they come from (kernel/net/network.h) take turns, so that a flood out
// of one stands in nobody's way out of another; of one network in the order of arrival. Their packets are kept, kWaitingBytesMax
// together and kNetworkBytesMax of one network. Where there is no worker they are computed here, as many a second as the authenticator allows. The I/O thread's.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "kernel/auth/sasl.h"
#include "kernel/net/session.h"

namespace heptane::iot::mqtt {

class Proofs;

// What a worker is given. One that nobody waits for any more is not computed.
class ProofJob {
 public:
  explicit ProofJob(std::unique_ptr<auth::PasswordProof> proof) : proof_(std::move(proof)) {}
  void run() {
    if (!dropped_) proof_->run();
    ended_ = true;
  }
  // The I/O thread's.
  void drop() { dropped_ = true; }
  bool ended() const { return ended_; }
  auth::PasswordProof& proof() const { return *proof_; }

 private:
  const std::unique_ptr<auth::PasswordProof> proof_;
  std::atomic<bool> dropped_ = false;
  std::atomic<bool> ended_ = false;
};

// One client's. It leaves its place when it goes.
class Proof {
 public:
  static constexpr RequestId kRequest = 1ULL << 41;  // of the session's work

  // What its session does for it.
  struct Calls {
    std::function<bool()> start;  // hands the job to a worker; false: there is no room
    std::function<void()> here;   // no worker will do it. The proof may be gone when this returns
  };

  Proof(Proofs& proofs, std::unique_ptr<auth::PasswordProof> proof, std::string network, std::string packet,
        Calls calls)
      : proofs_(proofs),
        network_(std::move(network)),
        job_(std::make_shared<ProofJob>(std::move(proof))),
        packet_(std::move(packet)),
        calls_(std::move(calls)) {}
  ~Proof();
  Proof(const Proof&) = delete;
  Proof& operator=(const Proof&) = delete;

  const std::shared_ptr<ProofJob>& job() const { return job_; }
  auth::PasswordProof& proof() const { return job_->proof(); }
  const std::string& packet() const { return packet_; }  // CONNECT's body
  void was_right() { right_ = true; }

 private:
  friend class Proofs;
  Proofs& proofs_;
  const std::string network_;
  const std::shared_ptr<ProofJob> job_;  // the worker's, too
  const std::string packet_;
  const Calls calls_;
  uint64_t ticket_ = 0;  // 0: it has no place
  bool on_worker_ = false;
  bool right_ = false;
};

class Proofs {
 public:
  static constexpr size_t kAtOnce = 16;
  static constexpr size_t kWaitingBytesMax = size_t{64} << 20;
  static constexpr size_t kNetworkBytesMax = size_t{16} << 20;
  static constexpr size_t kWrongPerSecond = 50;

  void attach(net::SessionContext& context) { context_ = &context; }
  void detach();
  bool on_timer(net::SessionTimerId timer);
  // Its turn may come before this returns. False: no memory for another.
  bool enter(Proof& proof);
  size_t waiting() const { return waiting_count_; }
  size_t running() const { return running_.size(); }

 private:
  friend class Proof;
  struct Network {
    std::map<uint64_t, Proof*> waiting;  // by ticket
    size_t bytes = 0;                    // of all that has a place
  };

  void leave(Proof& proof);
  void stop_waiting(Proof& proof);
  Proof* next() const;
  void go_on();
  bool has_room();
  bool may_compute();

  std::map<std::string, Network> networks_;  // of those that have a place
  std::string last_;                         // whose turn was
  size_t waiting_count_ = 0;
  std::set<uint64_t> running_;
  std::vector<std::weak_ptr<ProofJob>> left_;  // jobs whose clients are gone, until the worker is done with them
  uint64_t last_ticket_ = 0;
  size_t bytes_ = 0;
  bool going_on_ = false;
  int64_t second_ns_ = 0;  // when it began
  size_t wrong_ = 0;       // in it
  net::SessionContext* context_ = nullptr;
  net::SessionTimerId timer_ = 0;  // 0: not armed
};

}  // namespace heptane::iot::mqtt
