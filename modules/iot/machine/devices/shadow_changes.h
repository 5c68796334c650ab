// What one command changes in shadows: requests are judged one behind the other, each as of those before it, and nothing is kept
// until the caller says so. For who may refuse in between: a machine that changes shadows within its own command. Made for the
// command and gone with it; the shard thread's.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "kernel/base/bytes.h"
#include "modules/iot/domain/devices/shadow.h"
#include "modules/iot/machine/devices/registry.h"
#include "modules/iot/machine/devices/shadows.h"

namespace heptane::iot::devices {

class ShadowChanges {
 public:
  using Key = std::pair<std::string, std::string>;  // thing, name

  ShadowChanges(const Registry& registry, const Shadows& shadows) : registry_(registry), shadows_(shadows) {}

  ShadowOutcome judge(const ShadowRequest& request, int64_t now_s) const;
  // What it was judged to be; its answers are told behind those before them.
  void take(const ShadowRequest& request, const ShadowOutcome& outcome);

  const std::map<Key, Shadow>& changed() const { return changed_; }
  uint32_t answers() const { return answers_; }
  Bytes messages() const { return messages_.view(); }  // the answers, one behind the other (append_message)

 private:
  const Registry& registry_;
  const Shadows& shadows_;
  std::map<Key, Shadow> changed_;
  uint32_t answers_ = 0;
  ByteWriter messages_;
};

}  // namespace heptane::iot::devices
