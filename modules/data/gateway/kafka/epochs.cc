// OffsetForLeaderEpoch: where the records of an epoch end (KIP-101, KIP-320). A consumer finds out so whether what it read
// last is still in the log. Epochs count the starts of the server.

#include "kernel/shard/state_machine.h"
#include "modules/data/gateway/kafka/messages_offsets.h"
#include "modules/data/gateway/kafka/parted_request.h"

namespace heptane::data::kafka {

namespace {

constexpr size_t kPartitionsMax = 10'000;
constexpr uint32_t kDescribeTag = 0xFFFFFFFF;

class OffsetForLeaderEpoch final : public PartedRequest {
 public:
  using PartedRequest::PartedRequest;

  void start() override {
    if (!decode(request_)) return;
    set_deadline(session_.now_ns() + KafkaSession::kRequestDeadlineNs);
    streams::DescribeQuery names;
    for (size_t t = 0; t < request_.topics.size(); ++t) {
      const auto& topic = request_.topics[t];
      if (streams::valid_name(topic.topic)) names.names.emplace_back(topic.topic);
      for (const auto& asked : topic.partitions) parts_.push_back({t, &asked, kNoPartition, {}});
    }
    if (parts_.size() > kPartitionsMax || names.names.size() > kPartitionsMax)
      return close("a request for epochs of too many partitions");
    if (!session_.describe(*this, kDescribeTag, names)) fail_all(ErrorCode::leader_not_available);
  }

  void on_reply(uint32_t tag, const Reply& reply) override {
    if (done()) return;
    if (tag == kDescribeTag) return on_described(reply);
    auto& answer = parts_[tag].answer;
    answer.error_code = wire(error_of(reply));
    if (reply.ok()) {
      answer.leader_epoch = static_cast<int32_t>(reply.numbers[0]);
      answer.end_offset = reply.numbers[1];
    }
    part_done();
  }

 private:
  struct Part {
    size_t topic = 0;
    const OffsetForLeaderEpochRequest::Partition* asked = nullptr;
    PartitionId id = kNoPartition;
    OffsetForLeaderEpochResponse::Partition answer;
  };

  void fail_all(ErrorCode error) {
    for (Part& part : parts_) part.answer.error_code = wire(error);
    respond();
  }

  void on_described(const Reply& reply) {
    if (!reply.ok()) return fail_all(error_of(reply));
    const auto infos = streams::decode_stream_infos(reply.payload.view());
    if (!infos) return fail_all(ErrorCode::unknown_server_error);
    for (Part& part : parts_) part.answer.error_code = wire(resolve(*infos, part));
    begin_parts(parts_.size());
  }

  ErrorCode resolve(const std::vector<streams::StreamInfo>& infos, Part& part) const {
    if (!session_.may_describe(request_.topics[part.topic].topic)) return ErrorCode::topic_authorization_failed;
    const auto* info = find_partition(infos, request_.topics[part.topic].topic, part.asked->partition);
    if (info == nullptr) return ErrorCode::unknown_topic_or_partition;
    part.id = info->id;
    const int32_t ours = session_.options().leader_epoch;
    if (part.asked->current_leader_epoch > ours) return ErrorCode::unknown_leader_epoch;
    if (part.asked->current_leader_epoch >= 0 && part.asked->current_leader_epoch < ours)
      return ErrorCode::fenced_leader_epoch;
    return ErrorCode::none;
  }

  // An epoch that is not here yet has no end: -1 and -1 without asking.
  bool ask(size_t index) override {
    Part& part = parts_[index];
    const int32_t epoch = part.asked->leader_epoch;
    if (part.answer.error_code != 0 || epoch < 0 || epoch > session_.options().leader_epoch) return false;
    QueryRequest query;
    query.machine = machine_ids::kStreams;
    query.type = streams::kEpochEnd;
    query.payload = streams::encode(streams::EpochEndQuery{part.id, static_cast<Epoch>(epoch)});
    if (session_.query(*this, static_cast<uint32_t>(index), std::move(query))) return true;
    part.answer.error_code = wire(ErrorCode::leader_not_available);
    return false;
  }

  void respond() override {
    OffsetForLeaderEpochResponse response;
    for (const auto& topic : request_.topics) response.topics.push_back({topic.topic, {}});
    for (Part& part : parts_) {
      part.answer.partition = part.asked->partition;
      response.topics[part.topic].partitions.push_back(part.answer);
    }
    answer(response);
  }

  OffsetForLeaderEpochRequest request_;
  std::vector<Part> parts_;
};

}  // namespace

std::unique_ptr<Request> make_offset_for_leader_epoch(KafkaSession& session, const Api& api, RequestHeader header,
                                                      Buffer frame, Bytes body) {
  return std::make_unique<OffsetForLeaderEpoch>(session, api, header, std::move(frame), body);
}

}  // namespace heptane::data::kafka
