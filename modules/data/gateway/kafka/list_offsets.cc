// ListOffsets: the first and the next offset of partitions, and the first record from a time on. For the last, the index
// names a place at or before it, and the record batches from there are searched, compressed ones inflated within a limit.

#include "kernel/shard/state_machine.h"
#include "kernel/streams/inflate.h"
#include "kernel/streams/record_batch.h"
#include "modules/data/gateway/kafka/messages.h"
#include "modules/data/gateway/kafka/parted_request.h"

namespace heptane::data::kafka {

namespace {

constexpr int64_t kLatest = -1;
constexpr int64_t kEarliest = -2;
constexpr size_t kTopicsMax = 10'000;
constexpr uint32_t kDescribeTag = 0xFFFFFFFF;
constexpr uint32_t kSearchBytes = 1 << 20;  // of one read
constexpr size_t kInflatedBytesMax = size_t{32} << 20;
constexpr uint16_t kCodecMask = 7;
constexpr uint16_t kLogAppendTime = 8;

struct TimedOffset {
  int64_t timestamp = -1;
  Offset offset = -1;
};

// The batch's first record from `time` on that is not below `from`. Records that cannot be read: the batch's first offset,
// from which a consumer misses nothing.
std::optional<TimedOffset> find_time(Bytes batch, const streams::RecordBatchInfo& info, int64_t time, Offset from) {
  const TimedOffset first{info.max_timestamp_ms, std::max(info.base_offset, from)};
  if (info.max_timestamp_ms < time) return std::nullopt;
  if ((info.attributes & kLogAppendTime) != 0) return first;
  Bytes records = batch.subspan(streams::kRecordBatchHeaderBytes);
  std::vector<std::byte> inflated;
  if (info.compressed()) {
    auto result =
        streams::inflate(static_cast<streams::Codec>(info.attributes & kCodecMask), records, kInflatedBytesMax);
    if (!result) return first;
    inflated = std::move(*result);
    records = inflated;
  }
  ByteReader reader(records);
  for (int32_t i = 0; i < info.record_count; ++i) {
    streams::RecordView record;
    if (!streams::decode_record(reader, info.base_offset, info.base_timestamp_ms, record)) return first;
    if (record.timestamp_ms >= time && record.offset >= from) return TimedOffset{record.timestamp_ms, record.offset};
  }
  return std::nullopt;
}

class ListOffsets final : public PartedRequest {
 public:
  using PartedRequest::PartedRequest;

  void start() override {
    if (!decode(request_)) return;
    set_deadline(session_.now_ns() + KafkaSession::kRequestDeadlineNs);
    streams::DescribeQuery query;  // never from what the session knows: ends move
    for (size_t t = 0; t < request_.topics.size(); ++t) {
      const auto& topic = request_.topics[t];
      if (streams::valid_name(topic.name)) query.names.emplace_back(topic.name);
      for (const auto& asked : topic.partitions) parts_.push_back({t, &asked, kNoPartition, 0, {}});
    }
    if (query.names.size() > kTopicsMax) return close("a request for offsets of too many topics");
    if (!session_.describe(*this, kDescribeTag, query)) fail_all(ErrorCode::leader_not_available);
  }

  void on_reply(uint32_t tag, const Reply& reply) override {
    (void)tag;
    if (done()) return;
    const auto infos = streams::decode_stream_infos(reply.payload.view());
    if (!reply.ok() || !infos) return fail_all(ErrorCode::leader_not_available);
    for (const auto& topic : request_.topics) session_.forget(topic.name);
    session_.learn(*infos);
    for (Part& part : parts_)
      part.answer.error_code = wire(look_up(find_partition(*infos, topic_of(part), part.asked->partition), part));
    begin_parts(parts_.size());
  }

  void on_records(uint32_t tag, const net::RecordsRead& read) override {
    if (done()) return;
    Part& part = parts_[tag];
    if (!search(part, read) && search_on(tag)) return;
    part_done();
  }

 private:
  struct Part {
    size_t topic = 0;
    const ListOffsetsRequest::Partition* asked = nullptr;
    PartitionId id = kNoPartition;  // where to search, by time
    Offset next = -1;               // ... from here on
    ListOffsetsResponse::Partition answer;
  };

  std::string_view topic_of(const Part& part) const { return request_.topics[part.topic].name; }

  void fail_all(ErrorCode error) {
    for (Part& part : parts_) part.answer.error_code = wire(error);
    respond();
  }

  ErrorCode look_up(const streams::PartitionInfo* info, Part& part) const {
    if (!session_.may_describe(topic_of(part))) return ErrorCode::topic_authorization_failed;
    if (info == nullptr) return ErrorCode::unknown_topic_or_partition;
    const int32_t ours = session_.options().leader_epoch;
    const int32_t theirs = part.asked->current_leader_epoch;
    if (theirs > ours) return ErrorCode::unknown_leader_epoch;
    if (theirs >= 0 && theirs < ours) return ErrorCode::fenced_leader_epoch;
    const int64_t time = part.asked->timestamp;
    if (time >= 0) {
      part.id = info->id;
      return ErrorCode::none;
    }
    if (time != kLatest && time != kEarliest) return ErrorCode::unsupported_for_message_format;
    part.answer.offset = time == kLatest ? info->durable_end : info->log_start;
    part.answer.leader_epoch = ours;
    return ErrorCode::none;
  }

  bool ask(size_t index) override {
    Part& part = parts_[index];
    if (part.id == kNoPartition) return false;
    return read(static_cast<uint32_t>(index), {part.id, 0, kSearchBytes, part.asked->timestamp});
  }

  bool read(uint32_t index, const ReadRequest& request) {
    if (session_.read(*this, index, request)) return true;
    parts_[index].answer.error_code = wire(ErrorCode::leader_not_available);
    return false;
  }

  // True when the part is settled: found, not there, or failed.
  bool search(Part& part, const net::RecordsRead& records) {
    if (records.error) {
      part.answer.error_code = wire(*records.error == Errc::not_found ? ErrorCode::unknown_topic_or_partition
                                                                      : ErrorCode::kafka_storage_error);
      return true;
    }
    const Offset from = std::max(records.offset, records.log_start);
    part.next = records.offset;
    for (const Buffer& batch : records.batches) {
      const auto info = streams::decode_record_batch_header(batch.view());
      if (!info) {
        part.answer.error_code = wire(ErrorCode::corrupt_message);
        return true;
      }
      part.next = info->base_offset + info->last_offset_delta + 1;
      if (const auto found = find_time(batch.view(), *info, part.asked->timestamp, from)) {
        part.answer.timestamp = found->timestamp;
        part.answer.offset = found->offset;
        part.answer.leader_epoch = info->leader_epoch;
        return true;
      }
    }
    return records.batches.empty() || part.next >= records.durable_end;
  }

  bool search_on(uint32_t index) { return read(index, {parts_[index].id, parts_[index].next, kSearchBytes, {}}); }

  void respond() override {
    ListOffsetsResponse response;
    for (const auto& topic : request_.topics) response.topics.push_back({topic.name, {}});
    for (Part& part : parts_) {
      part.answer.partition = part.asked->partition;
      const bool known = part.answer.error_code == 0 && part.answer.offset >= 0;
      if (known && part.asked->max_num_offsets > 0) part.answer.old_style_offsets = {part.answer.offset};
      response.topics[part.topic].partitions.push_back(std::move(part.answer));
    }
    answer(response);
  }

  ListOffsetsRequest request_;
  std::vector<Part> parts_;
};

}  // namespace

std::unique_ptr<Request> make_list_offsets(KafkaSession& session, const Api& api, RequestHeader header, Buffer frame,
                                           Bytes body) {
  return std::make_unique<ListOffsets>(session, api, header, std::move(frame), body);
}

}  // namespace heptane::data::kafka
