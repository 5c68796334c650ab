// What provisioning by claims needs of the server: the authority that signs, chance, and how often a claim may ask. Signing is a
// worker's; kSigningMax at a time for all, one for each connection. A claim's rate is by the minute and ends with the run of the
// server. The I/O thread's.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "kernel/crypto/certificate_authority.h"
#include "modules/iot/gateway/mqtt/options.h"

namespace heptane::iot::mqtt {

class ProvisioningDesk {
 public:
  static constexpr size_t kSigningMax = 8;

  explicit ProvisioningDesk(const MqttOptions& options) : options_(options) {}

  const std::shared_ptr<const crypto::CertificateAuthority>& authority() const { return options_.authority; }
  std::string chance(size_t bytes) const { return options_.random(bytes); }
  int64_t certificate_s() const { return options_.certificate_days * kDaySeconds; }
  int64_t token_ns() const { return options_.token_minutes * kMinuteNs; }

  // One more request of the claim, by its number. False: it was too many in this minute.
  bool may_ask(uint32_t claim, int64_t now_ns);
  // Room for one more to be signed, as long as somebody holds it: whoever works on it, too, when its connection is gone. Null: there is
  // none.
  std::shared_ptr<void> begin_signing();

 private:
  static constexpr int64_t kDaySeconds = 24 * 3'600;
  static constexpr int64_t kMinuteNs = 60'000'000'000;
  static constexpr size_t kClaimsKnown = 1'024;  // beyond them those of older minutes are forgotten
  struct Asked {
    int64_t minute_began_ns = 0;
    int64_t count = 0;
  };

  const MqttOptions& options_;
  std::map<uint32_t, Asked> asked_;
  // Workers let go of it.
  const std::shared_ptr<std::atomic<size_t>> signing_ = std::make_shared<std::atomic<size_t>>(0);
};

}  // namespace heptane::iot::mqtt
