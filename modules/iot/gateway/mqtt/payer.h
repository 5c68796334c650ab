// Who pays for what an MQTT connection uses: its user, and its listener (kernel/net/quota.h). The two directions are apart. Who owes
// for what he sent publishes nothing more until it is paid: MQTT 5 is told so (0x97), MQTT 3 is not read from. Who owes for what he
// got is sent no messages meanwhile. One connection's; the I/O thread's.
#pragma once

#include <algorithm>
#include <string_view>

#include "kernel/auth/sasl.h"
#include "kernel/net/quota.h"
#include "kernel/net/session.h"

namespace heptane::iot::mqtt {

class Payer {
 public:
  // `framed`: it came over the admin listener's WebSocket. Quotas null: nobody pays. Those and the identity outlive it. False: its
  // user has as many connections as he may have.
  bool begin(net::Quotas* quotas, const auth::Identity& identity, bool framed) {
    quotas_ = quotas;
    identity_ = &identity;
    framed_ = framed;
    return quotas_ == nullptr || slot_.enter(*quotas_, identity.name);
  }
  void leave() { slot_.leave(); }
  // False: nobody can owe anything.
  bool counts() const { return quotas_ != nullptr && quotas_->limits_anybody(); }

  // A packet, whole, that came or went.
  void came(size_t bytes, bool request) {
    if (counts()) use({.bytes_in = static_cast<int64_t>(bytes), .bytes_out = 0, .requests = request ? 1 : 0});
  }
  void went(size_t bytes) {
    if (counts()) use({.bytes_in = 0, .bytes_out = static_cast<int64_t>(bytes), .requests = 0});
  }

  // What he sent now is more than he may send.
  bool is_over() {
    const int64_t wait_ns = counts() ? quotas_->wait_in_ns(listener(), identity_->name) : 0;
    if (wait_ns > 0) quotas_->count_throttled(wait_ns);
    return wait_ns > 0;
  }
  // For how long he is not read from; then it is looked at again.
  int64_t pause_ns() {
    const int64_t wait_ns = counts() ? quotas_->wait_in_ns(listener(), identity_->name) : 0;
    return pause_of(wait_ns);
  }
  // Not only his listener, for which all of its clients pay.
  bool owes_himself() { return counts() && quotas_->wait_in_ns({}, identity_->name) > 0; }
  // What there is for him has to wait: the timer comes when it is to be tried again.
  bool waits(net::SessionContext& context) {
    const int64_t wait_ns = counts() ? quotas_->wait_out_ns(listener(), identity_->name) : 0;
    if (wait_ns > 0 && timer_ == 0) timer_ = context.arm(pause_of(wait_ns));
    return wait_ns > 0;
  }
  bool take_timer(net::SessionTimerId timer) {
    if (timer_ == 0 || timer != timer_) return false;
    timer_ = 0;
    return true;
  }

 private:
  void use(const net::QuotaUse& use) { quotas_->use(listener(), identity_->name, use); }
  std::string_view listener() const { return framed_ ? "admin" : "mqtt"; }
  int64_t pause_of(int64_t wait_ns) {
    if (wait_ns <= 0) return 0;
    const int64_t pause_ns = std::min(wait_ns, net::Quotas::kPauseMaxNs);
    quotas_->count_throttled(pause_ns);
    return pause_ns;
  }

  net::Quotas* quotas_ = nullptr;
  const auth::Identity* identity_ = nullptr;
  net::QuotaSlot slot_;
  net::SessionTimerId timer_ = 0;  // of what waits for him; 0: not armed
  bool framed_ = false;
};

}  // namespace heptane::iot::mqtt
