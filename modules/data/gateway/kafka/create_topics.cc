// CreateTopics: each topic is one command, with its number of partitions and its retention. With validate_only everything is
// checked and nothing sent.

#include <deque>
#include <map>

#include "kernel/shard/state_machine.h"
#include "modules/data/gateway/kafka/messages_topics.h"
#include "modules/data/gateway/kafka/parted_request.h"
#include "modules/data/gateway/kafka/topic_configs.h"

namespace heptane::data::kafka {

namespace {

constexpr size_t kTopicsMax = 10'000;
constexpr uint32_t kDescribeTag = 0xFFFFFFFF;
constexpr int32_t kDefault =
    -1;  // the broker's own number; KIP-464 gives it to version 4, kafkajs sends it in version 3

ErrorCode error_of_creation(const Reply& reply) {
  constexpr uint32_t kBadPartitions = 1;  // detail of the refusal
  constexpr uint32_t kBadConfig = 2;
  switch (*reply.error) {
    case Errc::exists: return ErrorCode::topic_already_exists;
    case Errc::overloaded: return ErrorCode::policy_violation;  // the limit of streams
    case Errc::invalid_argument:
      if (reply.detail == kBadPartitions) return ErrorCode::invalid_partitions;
      return reply.detail == kBadConfig ? ErrorCode::invalid_config : ErrorCode::invalid_topic;
    default: return error_of(reply);
  }
}

class CreateTopics final : public PartedRequest {
 public:
  using PartedRequest::PartedRequest;

  void start() override {
    if (!decode(request_)) return;
    set_deadline(session_.now_ns() + KafkaSession::kRequestDeadlineNs);
    if (request_.topics.size() > kTopicsMax) return close("a request that creates too many topics");
    check_all();
    streams::DescribeQuery names;
    for (const Topic& topic : topics_)
      if (topic.error == ErrorCode::none) names.names.emplace_back(topic.asked->name);
    if (!request_.validate_only || names.names.empty()) return begin_parts(topics_.size());
    if (!session_.describe(*this, kDescribeTag, names)) {
      for (Topic& topic : topics_) fail(topic, ErrorCode::request_timed_out, "the queue is full; ask again");
      respond();
    }
  }

  void on_reply(uint32_t tag, const Reply& reply) override {
    if (done()) return;
    if (tag == kDescribeTag) return on_described(reply);
    if (!reply.ok()) fail(topics_[tag], error_of_creation(reply), reply.message);
    part_done();
  }

 private:
  struct Topic {
    const CreateTopicsRequest::Topic* asked = nullptr;
    uint32_t partitions = 1;
    streams::StreamConfig config;
    ErrorCode error = ErrorCode::none;
    std::string message;
  };

  // The first reason counts.
  static void fail(Topic& topic, ErrorCode error, std::string message) {
    if (topic.error != ErrorCode::none) return;
    topic.error = error;
    topic.message = std::move(message);
  }

  void check_all() {
    std::map<std::string_view, size_t> named;
    for (const auto& asked : request_.topics) ++named[asked.name];
    for (const auto& asked : request_.topics) {
      size_t& times = named[asked.name];
      if (times == 0) continue;  // answered where it was named first
      Topic topic;
      topic.asked = &asked;
      if (!session_.may(auth::Verb::create, asked.name))
        fail(topic, ErrorCode::topic_authorization_failed, "the role to create it is missing");
      if (times > 1) fail(topic, ErrorCode::invalid_request, "the topic is named twice");
      times = 0;
      check(topic);
      topics_.push_back(std::move(topic));
    }
  }

  void check(Topic& topic) const {
    const CreateTopicsRequest::Topic& asked = *topic.asked;
    if (!streams::valid_name(asked.name))
      fail(topic, ErrorCode::invalid_topic, "a topic's name is [a-zA-Z0-9._-]{1,249}, and not . or ..");
    if (asked.assignments.empty())
      check_numbers(topic);
    else
      check_assignments(topic);
    for (const auto& config : asked.configs) {
      const std::string why = set_topic_config(topic.config, config.name, config.value, session_.options());
      if (!why.empty()) fail(topic, ErrorCode::invalid_config, why);
    }
  }

  static void check_numbers(Topic& topic) {
    const CreateTopicsRequest::Topic& asked = *topic.asked;
    const bool default_partitions = asked.num_partitions == kDefault;
    const bool default_replication = asked.replication_factor == kDefault;
    const auto limit = static_cast<int32_t>(streams::kPartitionsLimit);
    if (!default_partitions && (asked.num_partitions < 1 || asked.num_partitions > limit))
      return fail(topic, ErrorCode::invalid_partitions, "a topic has 1 to 1024 partitions");
    if (!default_replication && asked.replication_factor != 1)
      return fail(topic, ErrorCode::invalid_replication_factor, "there is one node: the replication factor is 1");
    topic.partitions = default_partitions ? 1 : static_cast<uint32_t>(asked.num_partitions);
  }

  static void check_assignments(Topic& topic) {
    const CreateTopicsRequest::Topic& asked = *topic.asked;
    if (asked.num_partitions != kDefault || asked.replication_factor != kDefault)
      return fail(topic, ErrorCode::invalid_request, "assignments and numbers exclude each other");
    if (asked.assignments.size() > streams::kPartitionsLimit)
      return fail(topic, ErrorCode::invalid_partitions, "a topic has 1 to 1024 partitions");
    std::vector<bool> seen(asked.assignments.size());
    for (const auto& assignment : asked.assignments) {
      const auto index = static_cast<size_t>(assignment.partition_index);
      const bool fresh = assignment.partition_index >= 0 && index < seen.size() && !seen[index];
      if (!fresh || assignment.broker_ids != std::vector<int32_t>{kNodeId})
        return fail(topic, ErrorCode::invalid_replica_assignment,
                    "each partition from 0 up is assigned to node 1 once");
      seen[index] = true;
    }
    topic.partitions = static_cast<uint32_t>(seen.size());
  }

  void on_described(const Reply& reply) {
    const auto infos = streams::decode_stream_infos(reply.payload.view());
    for (Topic& topic : topics_) {
      if (!reply.ok() || !infos)
        fail(topic, ErrorCode::unknown_server_error, reply.message);
      else if (find_stream(*infos, topic.asked->name) != nullptr)
        fail(topic, ErrorCode::topic_already_exists, "there is a topic of that name");
    }
    begin_parts(topics_.size());
  }

  bool ask(size_t index) override {
    Topic& topic = topics_[index];
    if (topic.error != ErrorCode::none || request_.validate_only) return false;
    Buffer command = streams::encode(streams::CreateStream{topic.asked->name, topic.partitions, topic.config});
    if (session_.submit(*this, static_cast<uint32_t>(index),
                        streams::make_command(machine_ids::kStreams, streams::kCreateStream, std::move(command))))
      return true;
    fail(topic, ErrorCode::request_timed_out, "the queue is full; ask again");
    return false;
  }

  void respond() override {
    std::deque<std::vector<ConfigEntry>> entries;  // what the answer's texts lie in
    CreateTopicsResponse response;
    for (const Topic& topic : topics_) {
      CreateTopicsResponse::Topic& answer = response.topics.emplace_back();
      answer.name = topic.asked->name;
      answer.error_code = wire(topic.error);
      if (topic.error != ErrorCode::none) {
        if (!topic.message.empty()) answer.error_message = topic.message;
        continue;
      }
      answer.num_partitions = static_cast<int32_t>(topic.partitions);
      answer.replication_factor = 1;
      answer.configs.emplace();
      for (const ConfigEntry& entry : entries.emplace_back(topic_config_entries(topic.config, session_.options())))
        answer.configs->push_back({entry.name, entry.value, entry.read_only, static_cast<int8_t>(entry.source), false});
    }
    Request::answer(response);
  }

  CreateTopicsRequest request_;
  std::vector<Topic> topics_;
};

}  // namespace

std::unique_ptr<Request> make_create_topics(KafkaSession& session, const Api& api, RequestHeader header, Buffer frame,
                                            Bytes body) {
  return std::make_unique<CreateTopics>(session, api, header, std::move(frame), body);
}

}  // namespace heptane::data::kafka
