#include "kernel/auth/incidents.h"

#include <limits>

namespace heptane::auth {

namespace {
constexpr size_t kTextKeptBytes = 128;
static_assert(kTextKeptBytes <= kReportTextLimitBytes);

std::string shortened(std::string_view text) { return std::string(text.substr(0, kTextKeptBytes)); }
}  // namespace

void Incidents::note(Incident incident, std::string_view who, std::string_view from, std::string_view what) {
  const std::lock_guard lock(mutex_);
  ++(incident == Incident::denied ? denied_total_ : failed_total_);
  Key key{incident, shortened(who), shortened(from), shortened(what)};
  const auto found = rows_.find(key);
  if (found != rows_.end())
    ++found->second;
  else if (rows_.size() < kReportRowsLimit)
    rows_.emplace(std::move(key), 1);
  else
    ++others_;
}

std::optional<Buffer> Incidents::take(int64_t now_ns) {
  const std::lock_guard lock(mutex_);
  if (rows_.empty() || now_ns < next_ns_) return std::nullopt;
  next_ns_ = now_ns + kIntervalNs;
  Report report;
  report.others = std::exchange(others_, 0);
  for (const auto& [key, count] : rows_)
    report.rows.push_back({std::get<0>(key), std::get<1>(key), std::get<2>(key), std::get<3>(key), count});
  rows_.clear();
  return encode(report);
}

int64_t Incidents::due_ns() const {
  const std::lock_guard lock(mutex_);
  return rows_.empty() ? std::numeric_limits<int64_t>::max() : next_ns_;
}

uint64_t Incidents::failed_total() const {
  const std::lock_guard lock(mutex_);
  return failed_total_;
}

uint64_t Incidents::denied_total() const {
  const std::lock_guard lock(mutex_);
  return denied_total_;
}

}  // namespace heptane::auth
