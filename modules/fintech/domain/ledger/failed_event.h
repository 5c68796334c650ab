// Which event of a request failed first, as its answer says in brief: that one exists already, just so, is no failure, and
// one of a chain says less than the one that ended it.
#pragma once

#include <cstring>
#include <optional>

#include "kernel/base/bytes.h"
#include "modules/fintech/domain/ledger/types.h"

namespace heptane::fintech {

struct FailedEvent {
  size_t index = 0;
  uint32_t status = 0;
};

// `results`: CreateResults, one behind the other. Nullopt: none failed.
template <class Status>
std::optional<FailedEvent> first_failed(Bytes results) {
  std::optional<FailedEvent> linked;
  for (size_t i = 0; i < results.size() / sizeof(CreateResult); ++i) {
    CreateResult result;
    std::memcpy(&result, results.data() + i * sizeof result, sizeof result);
    const auto status = static_cast<Status>(result.status);
    if (status == Status::created || status == Status::exists) continue;
    if (status != Status::linked_event_failed) return FailedEvent{i, result.status};
    if (!linked) linked = FailedEvent{i, result.status};
  }
  return linked;
}

}  // namespace heptane::fintech
