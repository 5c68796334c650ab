#include "kernel/base/ids.h"

namespace heptane {

std::string position_text(ShardId shard, Sequence sequence, Ordinal ordinal) {
  std::string text = std::to_string(shard) + ":" + std::to_string(sequence);
  if (ordinal != 0) text += "/" + std::to_string(ordinal);
  return text;
}

std::string log_id_text(const LogId& id) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (const std::byte byte : id) {
    text.push_back(kDigits[static_cast<unsigned>(byte) >> 4]);
    text.push_back(kDigits[static_cast<unsigned>(byte) & 15]);
  }
  return text;
}

}  // namespace heptane
