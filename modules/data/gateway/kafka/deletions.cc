// DeleteTopics, and DeleteRecords: everything below an offset goes.

#include <algorithm>

#include "kernel/shard/state_machine.h"
#include "modules/data/gateway/kafka/messages_topics.h"
#include "modules/data/gateway/kafka/parted_request.h"

namespace heptane::data::kafka {

namespace {

constexpr size_t kTopicsMax = 10'000;
constexpr uint32_t kDescribeTag = 0xFFFFFFFF;
constexpr uint32_t kMoveTag = 0xFFFFFFFE;
constexpr int64_t kHighWatermark = -1;

class DeleteTopics final : public PartedRequest {
 public:
  using PartedRequest::PartedRequest;

  void start() override {
    if (!decode(request_)) return;
    set_deadline(session_.now_ns() + KafkaSession::kRequestDeadlineNs);
    if (request_.topic_names.size() > kTopicsMax) return close("a request that deletes too many topics");
    errors_.resize(request_.topic_names.size(), ErrorCode::none);
    begin_parts(errors_.size());
  }

  void on_reply(uint32_t tag, const Reply& reply) override {
    if (done()) return;
    errors_[tag] = error_of(reply);
    session_.forget(request_.topic_names[tag]);
    part_done();
  }

 private:
  bool ask(size_t index) override {
    const std::string_view name = request_.topic_names[index];
    errors_[index] = ErrorCode::unknown_topic_or_partition;
    if (!streams::valid_name(name)) return false;
    if (!session_.may(auth::Verb::remove, name)) {
      errors_[index] = ErrorCode::topic_authorization_failed;
      return false;
    }
    Buffer command = streams::encode(streams::DeleteStream{name});
    errors_[index] = ErrorCode::request_timed_out;
    return session_.submit(*this, static_cast<uint32_t>(index),
                           streams::make_command(machine_ids::kStreams, streams::kDeleteStream, std::move(command)));
  }

  void respond() override {
    DeleteTopicsResponse response;
    for (size_t i = 0; i < errors_.size(); ++i)
      response.responses.push_back({request_.topic_names[i], wire(errors_[i]), std::nullopt});
    answer(response);
  }

  DeleteTopicsRequest request_;
  std::vector<ErrorCode> errors_;
};

// One command moves all log starts that can be moved.
class DeleteRecords final : public Request {
 public:
  using Request::Request;

  void start() override {
    if (!decode(request_)) return;
    set_deadline(session_.now_ns() + KafkaSession::kRequestDeadlineNs);
    streams::DescribeQuery names;
    size_t partitions = 0;
    for (const auto& topic : request_.topics) {
      partitions += topic.partitions.size();
      if (streams::valid_name(topic.name)) names.names.emplace_back(topic.name);
    }
    if (partitions > streams::kLogStartsLimit || names.names.size() > kTopicsMax)
      return close("a request that deletes records of too many partitions");
    if (!session_.describe(*this, kDescribeTag, names)) respond_with({}, ErrorCode::request_timed_out);
  }

  void on_reply(uint32_t tag, const Reply& reply) override {
    if (done()) return;
    if (tag == kMoveTag) return respond_with(infos_, error_of(reply));
    auto infos = streams::decode_stream_infos(reply.payload.view());
    if (!reply.ok() || !infos) return respond_with({}, reply.ok() ? ErrorCode::unknown_server_error : error_of(reply));
    infos_ = std::move(*infos);
    move_starts();
  }

 private:
  struct Target {
    ErrorCode error = ErrorCode::none;
    PartitionId partition = kNoPartition;
    Offset start = -1;
  };

  Target target(const std::vector<streams::StreamInfo>& infos, std::string_view topic,
                const DeleteRecordsRequest::Partition& asked) const {
    if (!session_.may(auth::Verb::remove, topic)) return {ErrorCode::topic_authorization_failed, kNoPartition, -1};
    const streams::PartitionInfo* partition = find_partition(infos, topic, asked.partition_index);
    if (partition == nullptr) return {ErrorCode::unknown_topic_or_partition, kNoPartition, -1};
    if (find_stream(infos, topic)->kept) return {ErrorCode::policy_violation, kNoPartition, -1};
    const Offset wanted = asked.offset == kHighWatermark ? partition->durable_end : asked.offset;
    if (wanted < 0 || wanted > partition->durable_end) return {ErrorCode::offset_out_of_range, kNoPartition, -1};
    return {ErrorCode::none, partition->id, std::max(wanted, partition->log_start)};
  }

  void move_starts() {
    streams::SetLogStart command;
    for (const auto& topic : request_.topics)
      for (const auto& asked : topic.partitions)
        if (const Target found = target(infos_, topic.name, asked); found.error == ErrorCode::none)
          command.starts.push_back({found.partition, found.start});
    if (command.starts.empty()) return respond_with(infos_, ErrorCode::none);
    if (!session_.submit(*this, kMoveTag,
                         streams::make_command(machine_ids::kStreams, streams::kSetLogStart, streams::encode(command))))
      respond_with(infos_, ErrorCode::request_timed_out);
  }

  void respond_with(const std::vector<streams::StreamInfo>& infos, ErrorCode error) {
    DeleteRecordsResponse response;
    for (const auto& topic : request_.topics) {
      response.topics.push_back({topic.name, {}});
      session_.forget(topic.name);  // its log starts have moved
      for (const auto& asked : topic.partitions) {
        const Target found = target(infos, topic.name, asked);
        const bool refused = found.error != ErrorCode::none && !infos.empty();
        const ErrorCode own = error == ErrorCode::none || refused ? found.error : error;
        response.topics.back().partitions.push_back(
            {asked.partition_index, own == ErrorCode::none ? found.start : -1, wire(own)});
      }
    }
    answer(response);
  }

  DeleteRecordsRequest request_;
  std::vector<streams::StreamInfo> infos_;
};

}  // namespace

std::unique_ptr<Request> make_delete_topics(KafkaSession& session, const Api& api, RequestHeader header, Buffer frame,
                                            Bytes body) {
  return std::make_unique<DeleteTopics>(session, api, header, std::move(frame), body);
}

std::unique_ptr<Request> make_delete_records(KafkaSession& session, const Api& api, RequestHeader header, Buffer frame,
                                             Bytes body) {
  return std::make_unique<DeleteRecords>(session, api, header, std::move(frame), body);
}

}  // namespace heptane::data::kafka
