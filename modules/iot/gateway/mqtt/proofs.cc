#include "modules/iot/gateway/mqtt/proofs.h"

#include <utility>

namespace heptane::iot::mqtt {

namespace {
constexpr int64_t kSecondNs = 1'000'000'000;
constexpr int64_t kLookAgainNs = 20'000'000;  // while somebody waits
}  // namespace

Proof::~Proof() {
  if (ticket_ != 0) proofs_.leave(*this);
}

bool Proofs::enter(Proof& proof) {
  const size_t bytes = proof.packet().size();
  Network& network = networks_[proof.network_];
  if (bytes_ + bytes > kWaitingBytesMax || network.bytes + bytes > kNetworkBytesMax) {
    if (network.bytes == 0) networks_.erase(proof.network_);
    return false;
  }
  bytes_ += bytes;
  network.bytes += bytes;
  proof.ticket_ = ++last_ticket_;
  network.waiting.emplace(proof.ticket_, &proof);
  ++waiting_count_;
  go_on();
  return true;
}

void Proofs::stop_waiting(Proof& proof) { waiting_count_ -= networks_.at(proof.network_).waiting.erase(proof.ticket_); }

// Of the network whose turn it is.
Proof* Proofs::next() const {
  auto at = networks_.upper_bound(last_);
  for (size_t i = 0; i < networks_.size(); ++i) {
    if (at == networks_.end()) at = networks_.begin();
    if (!at->second.waiting.empty()) return at->second.waiting.begin()->second;
    ++at;
  }
  return nullptr;
}

void Proofs::leave(Proof& proof) {
  stop_waiting(proof);
  const auto network = networks_.find(proof.network_);
  bytes_ -= proof.packet().size();
  network->second.bytes -= proof.packet().size();
  if (network->second.bytes == 0) networks_.erase(network);
  if (running_.erase(proof.ticket_) > 0 && proof.on_worker_ && !proof.right_) ++wrong_;
  if (proof.on_worker_ && !proof.job_->ended()) {
    proof.job_->drop();
    left_.push_back(proof.job_);
  }
  go_on();
}

void Proofs::detach() {
  context_ = nullptr;
  timer_ = 0;
}

bool Proofs::on_timer(net::SessionTimerId timer) {
  if (timer != timer_) return false;
  timer_ = 0;
  go_on();
  return true;
}

// A worker that throws a job away has not ended it.
bool Proofs::has_room() {
  std::erase_if(left_, [](const std::weak_ptr<ProofJob>& left) {
    const std::shared_ptr<ProofJob> job = left.lock();
    return job == nullptr || job->ended();
  });
  return running_.size() + left_.size() < kAtOnce;
}

bool Proofs::may_compute() {
  if (context_ == nullptr) return true;
  const int64_t now_ns = context_->monotonic_ns();
  if (now_ns - second_ns_ >= kSecondNs) {
    second_ns_ = now_ns;
    wrong_ = 0;
  }
  return wrong_ < kWrongPerSecond;
}

// One that finds no room for its job waits until one of those before it is done. Nobody tells of jobs whose clients are gone.
void Proofs::go_on() {
  if (std::exchange(going_on_, true)) return;
  while (waiting_count_ > 0 && has_room() && may_compute()) {
    Proof* proof = next();
    const bool started = proof->on_worker_ = proof->calls_.start();
    if (!started && running_.size() + left_.size() > 0) break;
    last_ = proof->network_;
    stop_waiting(*proof);
    running_.insert(proof->ticket_);
    if (!started) {
      const std::function<void()> here = proof->calls_.here;  // outlives it
      here();
    }
  }
  going_on_ = false;
  if (waiting_count_ > 0 && timer_ == 0 && context_ != nullptr) timer_ = context_->arm(kLookAgainNs);
}

}  // namespace heptane::iot::mqtt
