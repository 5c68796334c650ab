// CreatePartitions: each topic that is to have more partitions is one command. What is asked for is first looked at beside
// what there is, since replicas are assigned to the new partitions alone; with validate_only that is all.

#include <map>

#include "kernel/shard/state_machine.h"
#include "modules/data/gateway/kafka/messages_topics.h"
#include "modules/data/gateway/kafka/parted_request.h"

namespace heptane::data::kafka {

namespace {

constexpr size_t kTopicsMax = 10'000;
constexpr uint32_t kDescribeTag = 0xFFFFFFFF;

class CreatePartitions final : public PartedRequest {
 public:
  using PartedRequest::PartedRequest;

  void start() override {
    if (!decode(request_)) return;
    set_deadline(session_.now_ns() + KafkaSession::kRequestDeadlineNs);
    if (request_.topics.size() > kTopicsMax) return close("a request that adds partitions to too many topics");
    results_.resize(request_.topics.size());
    streams::DescribeQuery names;
    for (const auto& topic : request_.topics)
      if (streams::valid_name(topic.name)) names.names.emplace_back(topic.name);
    if (session_.describe(*this, kDescribeTag, names)) return;
    for (ResultOf& result : results_) fail(result, ErrorCode::request_timed_out, "the queue is full; ask again");
    respond();
  }

  void on_reply(uint32_t tag, const Reply& reply) override {
    if (done()) return;
    if (tag == kDescribeTag) return on_described(reply);
    session_.forget(request_.topics[tag].name);
    if (!reply.ok()) {
      const bool count = *reply.error == Errc::invalid_argument;
      fail(results_[tag], count ? ErrorCode::invalid_partitions : error_of(reply), reply.message);
    }
    part_done();
  }

 private:
  struct ResultOf {
    ErrorCode error = ErrorCode::none;
    std::string message;
  };

  // The first reason counts.
  static void fail(ResultOf& result, ErrorCode error, std::string message) {
    if (result.error != ErrorCode::none) return;
    result.error = error;
    result.message = std::move(message);
  }

  void on_described(const Reply& reply) {
    const auto infos = streams::decode_stream_infos(reply.payload.view());
    std::map<std::string_view, size_t> named;
    for (const auto& topic : request_.topics) ++named[topic.name];
    for (size_t i = 0; i < results_.size(); ++i) {
      if (!reply.ok() || !infos)
        fail(results_[i], ErrorCode::unknown_server_error, reply.message);
      else if (named[request_.topics[i].name] > 1)
        fail(results_[i], ErrorCode::invalid_request, "the topic is named twice");
      else
        check(request_.topics[i], find_stream(*infos, request_.topics[i].name), results_[i]);
    }
    begin_parts(results_.size());
  }

  void check(const CreatePartitionsRequest::Topic& asked, const streams::StreamInfo* there, ResultOf& result) {
    if (!session_.may(auth::Verb::alter, asked.name))
      return fail(result, ErrorCode::topic_authorization_failed, "no role says that you may alter this topic");
    if (there == nullptr) return fail(result, ErrorCode::unknown_topic_or_partition, "there is no topic of that name");
    const auto before = static_cast<int32_t>(there->partitions.size());
    if (asked.count <= before)
      return fail(result, ErrorCode::invalid_partitions,
                  "the topic has " + std::to_string(before) + " partitions: ask for more");
    if (asked.count > static_cast<int32_t>(streams::kPartitionsLimit))
      return fail(result, ErrorCode::invalid_partitions, "a topic has 1 to 1024 partitions");
    if (!asked.assignments) return;
    if (asked.assignments->size() != static_cast<size_t>(asked.count - before))
      return fail(result, ErrorCode::invalid_replica_assignment, "each new partition is assigned, and no other");
    for (const auto& assignment : *asked.assignments)
      if (assignment.broker_ids != std::vector<int32_t>{kNodeId})
        return fail(result, ErrorCode::invalid_replica_assignment, "each new partition is assigned to node 1 once");
  }

  bool ask(size_t index) override {
    ResultOf& result = results_[index];
    if (result.error != ErrorCode::none || request_.validate_only) return false;
    const auto& topic = request_.topics[index];
    Buffer command = streams::encode(streams::GrowStream{topic.name, static_cast<uint32_t>(topic.count)});
    if (session_.submit(*this, static_cast<uint32_t>(index),
                        streams::make_command(machine_ids::kStreams, streams::kGrowStream, std::move(command))))
      return true;
    fail(result, ErrorCode::request_timed_out, "the queue is full; ask again");
    return false;
  }

  void respond() override {
    CreatePartitionsResponse response;
    for (size_t i = 0; i < results_.size(); ++i) {
      auto& answer = response.results.emplace_back();
      answer.name = request_.topics[i].name;
      answer.error_code = wire(results_[i].error);
      if (!results_[i].message.empty()) answer.error_message = results_[i].message;
    }
    Request::answer(response);
  }

  CreatePartitionsRequest request_;
  std::vector<ResultOf> results_;
};

}  // namespace

std::unique_ptr<Request> make_create_partitions(KafkaSession& session, const Api& api, RequestHeader header,
                                                Buffer frame, Bytes body) {
  return std::make_unique<CreatePartitions>(session, api, header, std::move(frame), body);
}

}  // namespace heptane::data::kafka
