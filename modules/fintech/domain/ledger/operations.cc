#include "modules/fintech/domain/ledger/operations.h"

#include <algorithm>
#include <cstddef>

namespace heptane::fintech {

uint32_t filter_limit(const OperationRow& row, Bytes filter) {
  const size_t at =
      row.event_bytes == sizeof(AccountFilter) ? offsetof(AccountFilter, limit) : offsetof(QueryFilter, limit);
  return load_le<uint32_t>(filter.data() + at);
}

std::optional<MultiBatch> parse_body(const OperationRow& row, Bytes body) {
  if (body.size() > kBodyBytesMax) return std::nullopt;
  std::optional<MultiBatch> parsed = MultiBatch::parse(body, row.event_bytes);
  if (!parsed) return std::nullopt;
  bool good = true;
  size_t results = 0;
  parsed->visit([&](Bytes batch) {
    const size_t events = batch.size() / row.event_bytes;
    if (row.filter) {
      if (events != 1) {
        good = false;
        return;
      }
      results += std::min<size_t>(filter_limit(row, batch), row.batch_max());
    } else {
      good = good && events <= row.batch_max();
      results += events;
    }
  });
  const size_t answer = results * row.result_bytes + multi_batch_trailer_bytes(parsed->batches(), row.result_bytes);
  if (!good || answer > kBodyBytesMax) return std::nullopt;
  return parsed;
}

}  // namespace heptane::fintech
