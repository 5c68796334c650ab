#include "kernel/admin/stored_records.h"

#include "kernel/admin/answers.h"
#include "kernel/shard/state_machine.h"
#include "kernel/streams/inflate.h"

namespace heptane::admin {

namespace {
constexpr size_t kInflatedBytesMax = size_t{32} << 20;

// Of a header: a zigzag length and bytes; -1: null.
std::string_view piece(ByteReader& headers) {
  const int64_t length = headers.zigzag();
  return length < 0 ? std::string_view{} : as_text(headers.take(static_cast<size_t>(length)));
}
}  // namespace

void find_partition(http::HttpExchange& exchange, std::string stream, uint32_t partition, OnPartition then) {
  QueryRequest query;
  query.machine = machine_ids::kStreams;
  query.type = streams::kDescribe;
  query.payload = streams::encode(streams::DescribeQuery{false, {stream}});
  exchange.query(std::move(query), [stream = std::move(stream), partition, then = std::move(then)](
                                       http::HttpExchange& answered, const Reply& reply) {
    if (!reply.ok()) return answered.respond(refusal_response(reply));
    const auto infos = streams::decode_stream_infos(reply.payload.view());
    const bool found = infos && !infos->empty();
    if (found && partition < infos->front().partitions.size())
      return then(answered, infos->front().partitions[partition]);
    std::string message = "there is no stream " + stream;
    if (found) message += " with a partition " + std::to_string(partition);
    answered.respond(error_response({Errc::not_found, std::move(message), 0}));
  });
}

Result<void> for_each_stored(Bytes batch, const std::function<void(const streams::RecordView&)>& each) {
  const Result<streams::RecordBatchInfo> info = streams::decode_record_batch_header(batch);
  if (!info) return info.error();
  if (!info->compressed()) return streams::for_each_record(batch, each);
  const Result<std::vector<std::byte>> plain = streams::inflate_batch(batch, kInflatedBytesMax);
  if (!plain) return plain.error();
  return streams::for_each_record(*plain, each);
}

std::string_view header_of(const streams::RecordView& record, std::string_view name) {
  ByteReader headers(record.headers);
  std::string_view found;
  for (uint32_t i = 0; i < record.header_count && !headers.failed(); ++i) {
    const std::string_view one = piece(headers);
    const std::string_view value = piece(headers);
    if (one == name && !headers.failed()) found = value;
  }
  return found;
}

Error read_error(const net::RecordsRead& read) {
  if (read.error == Errc::invalid_argument)
    return {Errc::invalid_argument,
            "the partition holds the offsets from " + std::to_string(read.log_start) + " to " +
                std::to_string(read.durable_end) + ", the last one excluded",
            0};
  if (read.error == Errc::not_found) return {Errc::not_found, "the stream was deleted", 0};
  return {*read.error, "the records cannot be read", 0};
}

}  // namespace heptane::admin
