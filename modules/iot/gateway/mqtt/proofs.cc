#include "modules/iot/gateway/mqtt/proofs.h"

namespace heptane::iot::mqtt {

namespace {
constexpr int64_t kSecondNs = 1'000'000'000;
constexpr int64_t kLookAgainNs = 20'000'000;  // while somebody waits
}  // namespace

Proof::~Proof() {
  if (ticket_ != 0) proofs_.leave(*this);
}

bool Proofs::enter(Proof& proof) {
  if (bytes_ + proof.packet().size() > kWaitingBytesMax) return false;
  bytes_ += proof.packet().size();
  proof.ticket_ = ++last_ticket_;
  waiting_.emplace(proof.ticket_, &proof);
  go_on();
  return true;
}

void Proofs::leave(Proof& proof) {
  bytes_ -= proof.packet().size();
  waiting_.erase(proof.ticket_);
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
  while (!waiting_.empty() && has_room() && may_compute()) {
    const auto [ticket, proof] = *waiting_.begin();
    const bool started = proof->on_worker_ = proof->calls_.start();
    if (!started && running_.size() + left_.size() > 0) break;
    waiting_.erase(ticket);
    running_.insert(ticket);
    if (!started) {
      const std::function<void()> here = proof->calls_.here;  // outlives it
      here();
    }
  }
  going_on_ = false;
  if (!waiting_.empty() && timer_ == 0 && context_ != nullptr) timer_ = context_->arm(kLookAgainNs);
}

}  // namespace heptane::iot::mqtt
