#include "modules/iot/gateway/rules/rule_lag.h"

#include <algorithm>

namespace heptane::iot::rules {

void RuleLag::begin(int64_t now_ns) {
  before_ = std::exchange(marks_, {});
  now_ns_ = now_ns;
  behind_ = 0;
  oldest_ns_ = 0;
}

void RuleLag::see(const std::string& rule, uint32_t index, PartitionId partition, Offset next, Offset end) {
  behind_ += static_cast<uint64_t>(std::max<Offset>(0, end - next));
  Mark mark{partition, end, now_ns_};
  const auto before = before_.find({rule, index});
  const bool same = before != before_.end() && before->second.partition == partition;
  if (same && next < before->second.end) mark = before->second;
  oldest_ns_ = std::max(oldest_ns_, now_ns_ - mark.since_ns);
  marks_.insert_or_assign({rule, index}, mark);
}

void RuleLag::end() {
  before_.clear();
  records_.store(behind_, std::memory_order_relaxed);
  age_ns_.store(oldest_ns_, std::memory_order_relaxed);
}

}  // namespace heptane::iot::rules
