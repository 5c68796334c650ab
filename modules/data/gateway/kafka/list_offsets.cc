// ListOffsets: the first and the next offset of partitions. Lookup by time is answered with error 43, which clients know
// as "no lookup by time here".

#include "kernel/shard/state_machine.h"
#include "modules/data/gateway/kafka/messages.h"
#include "modules/data/gateway/kafka/session.h"

namespace heptane::data::kafka {

namespace {

constexpr int64_t kLatest = -1;
constexpr int64_t kEarliest = -2;
constexpr size_t kTopicsMax = 10'000;

class ListOffsets final : public Request {
 public:
  using Request::Request;

  void start() override {
    if (!decode(request_)) return;
    set_deadline(session_.now_ns() + KafkaSession::kRequestDeadlineNs);
    streams::DescribeQuery query;  // never from what the session knows: ends move
    for (const auto& topic : request_.topics)
      if (streams::valid_name(topic.name)) query.names.emplace_back(topic.name);
    if (query.names.size() > kTopicsMax) return close("a request for offsets of too many topics");
    if (query.names.empty()) return respond(ErrorCode::none);
    QueryRequest request;
    request.machine = machine_ids::kStreams;
    request.type = streams::kDescribe;
    request.payload = streams::encode(query);
    if (!session_.query(*this, 0, std::move(request))) respond(ErrorCode::leader_not_available);
  }

  void on_reply(uint32_t tag, const Reply& reply) override {
    (void)tag;
    if (done()) return;
    const auto infos = reply.ok() ? streams::decode_stream_infos(reply.payload.view())
                                  : Result<std::vector<streams::StreamInfo>>(Error{*reply.error, reply.message});
    if (!infos) return respond(ErrorCode::leader_not_available);
    for (const auto& topic : request_.topics) session_.forget(topic.name);
    session_.learn(*infos);
    respond(ErrorCode::none);
  }

 private:
  void respond(ErrorCode error) {
    ListOffsetsResponse response;
    for (const auto& topic : request_.topics) {
      response.topics.push_back({topic.name, {}});
      for (const auto& asked : topic.partitions) {
        ListOffsetsResponse::Partition& partition = response.topics.back().partitions.emplace_back();
        partition.partition = asked.partition;
        const ErrorCode own = error == ErrorCode::none ? look_up(topic.name, asked, partition) : error;
        partition.error_code = wire(own);
      }
    }
    answer(response);
  }

  ErrorCode look_up(std::string_view topic, const ListOffsetsRequest::Partition& asked,
                    ListOffsetsResponse::Partition& partition) {
    const streams::PartitionInfo* info = session_.find(topic, asked.partition);
    if (info == nullptr) return ErrorCode::unknown_topic_or_partition;
    const int32_t ours = session_.options().leader_epoch;
    if (asked.current_leader_epoch > ours) return ErrorCode::unknown_leader_epoch;
    if (asked.current_leader_epoch >= 0 && asked.current_leader_epoch < ours) return ErrorCode::fenced_leader_epoch;
    if (asked.timestamp != kLatest && asked.timestamp != kEarliest) return ErrorCode::unsupported_for_message_format;
    partition.offset = asked.timestamp == kLatest ? info->durable_end : info->log_start;
    partition.leader_epoch = ours;
    if (asked.max_num_offsets > 0) partition.old_style_offsets = {partition.offset};
    return ErrorCode::none;
  }

  ListOffsetsRequest request_;
};

}  // namespace

std::unique_ptr<Request> make_list_offsets(KafkaSession& session, const Api& api, RequestHeader header, Buffer frame,
                                           Bytes body) {
  return std::make_unique<ListOffsets>(session, api, header, std::move(frame), body);
}

}  // namespace heptane::data::kafka
