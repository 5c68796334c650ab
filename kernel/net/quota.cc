#include "kernel/net/quota.h"

#include <algorithm>
#include <iterator>

namespace heptane::net {

namespace {

// What one owes at most, whatever was used meanwhile: a listener that many have run into debt serves again soon after they are gone.
constexpr int64_t kDebtMaxNs = 4 * Quotas::kWaitMaxNs;

void pay(int64_t& paid_ns, int64_t amount, int64_t per_second, int64_t now_ns) {
  if (amount <= 0 || per_second <= 0) return;
  const auto cost = static_cast<__int128>(amount) * 1'000'000'000 / per_second;
  const auto bounded = static_cast<int64_t>(std::min<__int128>(cost, kDebtMaxNs));
  paid_ns = std::min(std::max(paid_ns, now_ns - Quotas::kBurstNs) + bounded, now_ns + kDebtMaxNs);
}

}  // namespace

void Quotas::Buckets::use(const QuotaLimits& limits, const QuotaUse& use, int64_t now_ns) {
  pay(bytes_in_ns, use.bytes_in, limits.bytes_in, now_ns);
  pay(bytes_out_ns, use.bytes_out, limits.bytes_out, now_ns);
  pay(requests_ns, use.requests, limits.requests, now_ns);
}

// A limit that was taken away holds nobody any more.
int64_t Quotas::Buckets::paid_in_ns(const QuotaLimits& limits) const {
  const int64_t bytes_ns = limits.bytes_in > 0 ? bytes_in_ns : INT64_MIN;
  return limits.requests > 0 ? std::max(bytes_ns, requests_ns) : bytes_ns;
}

int64_t Quotas::Buckets::paid_out_ns(const QuotaLimits& limits) const {
  return limits.bytes_out > 0 ? bytes_out_ns : INT64_MIN;
}

int64_t Quotas::Buckets::paid_ns(const QuotaLimits& limits) const {
  return std::max(paid_in_ns(limits), paid_out_ns(limits));
}

void Quotas::configure(QuotaConfig config) {
  if (config == config_) return;
  config_ = std::move(config);
  for (auto* buckets : {&principals_, &listeners_})
    for (auto& [name, bucket] : *buckets) bucket.forgive();
  others_.forgive();
}

const QuotaLimits& Quotas::limits_of(std::string_view principal) const {
  const auto found = config_.principals.find(principal);
  return found == config_.principals.end() ? config_.principal : found->second;
}

Quotas::Buckets& Quotas::buckets_of(std::string_view principal) {
  if (const auto found = principals_.find(principal); found != principals_.end()) return found->second;
  if (principals_.size() >= kPrincipalsMax) forget_idle(principal);
  if (principals_.size() >= kPrincipalsMax) return others_;
  return principals_[std::string(principal)];
}

// Whoever has everything saved up and no connection is as if it had never come. A few are looked at, because a full table may be
// full of those who are here.
void Quotas::forget_idle(std::string_view near) {
  constexpr int kLookedAt = 64;
  const int64_t full_ns = clock_.monotonic_ns() - kBurstNs;
  auto at = principals_.lower_bound(near);
  for (int i = 0; i < kLookedAt && !principals_.empty(); ++i) {
    if (at == principals_.end()) at = principals_.begin();
    const Buckets& buckets = at->second;
    const int64_t paid_ns = std::max({buckets.bytes_in_ns, buckets.bytes_out_ns, buckets.requests_ns});
    at = buckets.connections == 0 && paid_ns <= full_ns ? principals_.erase(at) : std::next(at);
  }
}

void Quotas::use(std::string_view listener, std::string_view principal, const QuotaUse& use) {
  const int64_t now_ns = clock_.monotonic_ns();
  if (const auto found = config_.listeners.find(listener); found != config_.listeners.end())
    listeners_[std::string(listener)].use(found->second, use, now_ns);
  if (principal.empty()) return;
  if (const QuotaLimits& limits = limits_of(principal); limits != QuotaLimits{})
    buckets_of(principal).use(limits, use, now_ns);
}

int64_t Quotas::wait_ns(std::string_view listener, std::string_view principal) {
  return wait_ns(listener, principal, &Buckets::paid_ns);
}

int64_t Quotas::wait_in_ns(std::string_view listener, std::string_view principal) {
  return wait_ns(listener, principal, &Buckets::paid_in_ns);
}

int64_t Quotas::wait_out_ns(std::string_view listener, std::string_view principal) {
  return wait_ns(listener, principal, &Buckets::paid_out_ns);
}

int64_t Quotas::wait_ns(std::string_view listener, std::string_view principal, Paid paid) {
  int64_t paid_ns = INT64_MIN;
  if (const auto found = config_.listeners.find(listener); found != config_.listeners.end())
    paid_ns = (listeners_[std::string(listener)].*paid)(found->second);
  if (!principal.empty())
    if (const QuotaLimits& limits = limits_of(principal); limits != QuotaLimits{})
      paid_ns = std::max(paid_ns, (buckets_of(principal).*paid)(limits));
  if (paid_ns == INT64_MIN) return 0;
  return std::clamp<int64_t>(paid_ns - clock_.monotonic_ns(), 0, kWaitMaxNs);
}

bool QuotaSlot::enter(Quotas& quotas, std::string_view principal) {
  if (principal.empty()) return true;
  Quotas::Buckets& buckets = quotas.buckets_of(principal);
  if (taken_ == &buckets) return true;
  const int64_t limit = quotas.limits_of(principal).connections;
  if (limit > 0 && buckets.connections >= limit) {
    quotas.connections_refused_.add();
    return false;
  }
  leave();
  ++buckets.connections;
  taken_ = &buckets;
  return true;
}

void QuotaSlot::leave() {
  if (taken_ != nullptr) --taken_->connections;
  taken_ = nullptr;
}

int64_t QuotaPayer::pause_ns() const {
  const int64_t wait_ns = quotas == nullptr ? 0 : quotas->wait_ns(listener, principal);
  if (wait_ns <= 0) return 0;
  const int64_t pause_ns = std::min(wait_ns, Quotas::kPauseMaxNs);
  quotas->count_throttled(pause_ns);
  return pause_ns;
}

}  // namespace heptane::net
