// What operators see of groups that have a queue.

#include <algorithm>

#include "modules/iot/machine/broker_machine.h"

namespace heptane::iot {

namespace {

constexpr size_t kGroupPageBytes = size_t{256} << 10;

}  // namespace

Buffer encode_groups_query(std::string_view after, uint16_t max) {
  ByteWriter out;
  out.le<uint16_t>(max);
  out.append(after);
  return Buffer::take(out.release());
}

Result<std::vector<GroupRow>> decode_group_rows(Bytes payload) {
  ByteReader in(payload);
  std::vector<GroupRow> rows;
  while (in.remaining() > 0 && !in.failed()) {
    GroupRow& row = rows.emplace_back();
    row.number = in.le<uint64_t>();
    row.shared = as_text(in.take(in.le<uint16_t>()));
    row.members = in.le<uint32_t>();
    row.queued = in.le<uint64_t>();
    row.queue_max = in.le<uint32_t>();
    row.lost = in.le<uint64_t>();
  }
  if (!in.complete()) return Error{Errc::corrupt, "a page of groups is cut off"};
  return rows;
}

void BrokerMachine::query_groups(const Query& query, Reply& reply) const {
  ByteReader in(query.payload);
  const size_t most = std::min<size_t>(in.le<uint16_t>(), kGroupRowsMax);
  const auto& groups = sessions_.groups();
  ByteWriter out;
  int64_t count = 0;
  auto at = groups.upper_bound(as_text(in.rest()));
  for (; at != groups.end() && static_cast<size_t>(count) < most && out.size() < kGroupPageBytes; ++at, ++count) {
    const KeptSession& group = *sessions_.find(at->second);
    out.le<uint64_t>(group.number);
    out.le<uint16_t>(static_cast<uint16_t>(group.client.size()));
    out.append(group.client);
    out.le<uint32_t>(group.members);
    out.le<uint64_t>(group.queue.waiting());
    out.le<uint32_t>(group.queue_max);
    out.le<uint64_t>(group.lost);
  }
  reply.payload = Buffer::take(out.release());
  reply.numbers = {count, at != groups.end() ? 1 : 0};
}

}  // namespace heptane::iot
