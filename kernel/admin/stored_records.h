// What the routes that read records share: a partition by its stream's name, records out of batches as they are kept, and the
// refusals of a read in words. The I/O thread's.
#pragma once

#include <functional>
#include <string>

#include "kernel/net/http/exchange.h"
#include "kernel/streams/api.h"
#include "kernel/streams/record_batch.h"

namespace heptane::admin {

// Calls `then` with the partition; when there is none, answers 404 itself.
using OnPartition = std::function<void(http::HttpExchange&, const streams::PartitionInfo&)>;
void find_partition(http::HttpExchange& exchange, std::string stream, uint32_t partition, OnPartition then);

// What was let in is looked at again so often while it goes on, and before anything leaves: a revocation cuts it.
constexpr int64_t kLookAgainNs = 1'000'000'000;
constexpr std::string_view kRevoked = "the one who asked was changed, deleted or lost a role";
inline bool revoked(const std::function<bool()>& standing) { return standing && !standing(); }

// Every record of a batch in order, inflated where it is compressed.
Result<void> for_each_stored(Bytes batch, const std::function<void(const streams::RecordView&)>& each);

// The value of the record's last header of this name, a view into it; empty: it has none.
std::string_view header_of(const streams::RecordView& record, std::string_view name);

// What a read that failed says to a person. `read.error` is set.
Error read_error(const net::RecordsRead& read);

}  // namespace heptane::admin
