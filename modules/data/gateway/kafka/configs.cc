// DescribeConfigs, and both ways to alter: AlterConfigs replaces what a topic has, IncrementalAlterConfigs changes entries.

#include <algorithm>
#include <deque>

#include "kernel/shard/state_machine.h"
#include "modules/data/gateway/kafka/messages_topics.h"
#include "modules/data/gateway/kafka/parted_request.h"
#include "modules/data/gateway/kafka/topic_configs.h"

namespace heptane::data::kafka {

namespace {

constexpr size_t kResourcesMax = 10'000;
constexpr uint32_t kDescribeTag = 0xFFFFFFFF;
constexpr int8_t kTopicResource = 2;
constexpr int8_t kBrokerResource = 4;

constexpr const char* kNoSuchResource = "configurations are of topics (2) and of broker 1 (4)";

bool is_here(std::string_view broker) { return broker.empty() || broker == std::to_string(kNodeId); }

class DescribeConfigs final : public Request {
 public:
  using Request::Request;

  bool answers_at_length() const override { return true; }

  void start() override {
    if (!decode(request_)) return;
    set_deadline(session_.now_ns() + KafkaSession::kRequestDeadlineNs);
    if (request_.resources.size() > kResourcesMax) return close("a request for configurations of too many resources");
    streams::DescribeQuery names;
    for (const auto& resource : request_.resources)
      if (resource.resource_type == kTopicResource && streams::valid_name(resource.resource_name))
        names.names.emplace_back(resource.resource_name);
    if (names.names.empty()) return respond({}, ErrorCode::unknown_topic_or_partition);
    if (!session_.describe(*this, kDescribeTag, names)) respond({}, ErrorCode::request_timed_out);
  }

  void on_reply(uint32_t tag, const Reply& reply) override {
    (void)tag;
    if (done()) return;
    if (!reply.ok()) return respond({}, error_of(reply));
    const auto infos = streams::decode_stream_infos(reply.payload.view());
    if (!infos) return respond({}, ErrorCode::unknown_server_error);
    respond(*infos, ErrorCode::unknown_topic_or_partition);
  }

 private:
  using Answer = DescribeConfigsResponse::Result;

  // `missing` is the error of topics that are not described.
  void respond(const std::vector<streams::StreamInfo>& infos, ErrorCode missing) {
    DescribeConfigsResponse response;
    response.results.reserve(request_.resources.size());
    for (const auto& resource : request_.resources) {
      Answer& result = response.results.emplace_back();
      result.resource_type = resource.resource_type;
      result.resource_name = resource.resource_name;
      fill(result, resource, infos, missing);
    }
    answer(response);
  }

  void fill(Answer& result, const DescribeConfigsRequest::Resource& resource,
            const std::vector<streams::StreamInfo>& infos, ErrorCode missing) {
    const bool broker = resource.resource_type == kBrokerResource && is_here(resource.resource_name);
    if (broker && !session_.may_cluster(auth::Verb::read)) {
      result.error_code = wire(ErrorCode::cluster_authorization_failed);
      return;
    }
    if (broker) return add(result, resource, broker_config_entries(session_.options()));
    if (resource.resource_type != kTopicResource) {
      result.error_code = wire(ErrorCode::invalid_request);
      result.error_message = kNoSuchResource;
      return;
    }
    if (!session_.may_describe(resource.resource_name)) {
      result.error_code = wire(ErrorCode::topic_authorization_failed);
      return;
    }
    const streams::StreamInfo* info = find_stream(infos, resource.resource_name);
    if (info != nullptr) return add(result, resource, topic_config_entries(info->config, session_.options()));
    const bool valid = streams::valid_name(resource.resource_name);
    result.error_code = wire(valid ? missing : ErrorCode::invalid_topic);
  }

  void add(Answer& result, const DescribeConfigsRequest::Resource& resource, std::vector<ConfigEntry> all) {
    for (const ConfigEntry& entry : texts_.emplace_back(std::move(all))) {
      const auto& keys = resource.configuration_keys;
      if (keys && std::find(keys->begin(), keys->end(), entry.name) == keys->end()) continue;
      DescribeConfigsResponse::Config& config = result.configs.emplace_back();
      config.name = entry.name;
      config.value = entry.value;
      config.read_only = entry.read_only;
      config.is_default = entry.source == ConfigSource::none;
      config.config_source = static_cast<int8_t>(entry.source);
      if (request_.include_synonyms && !config.is_default)
        config.synonyms.push_back({entry.name, entry.value, config.config_source});
      config.config_type = static_cast<int8_t>(entry.type);
      if (request_.include_documentation) config.documentation = entry.documentation;
    }
  }

  DescribeConfigsRequest request_;
  std::deque<std::vector<ConfigEntry>> texts_;  // what the answer's texts lie in
};

// What both ways to alter share: a resource is checked against the configuration in force, then altered by a command.
template <class RequestMessage>
class Alter final : public PartedRequest {
 public:
  using PartedRequest::PartedRequest;

  void start() override {
    if (!decode(request_)) return;
    set_deadline(session_.now_ns() + KafkaSession::kRequestDeadlineNs);
    if (request_.resources.size() > kResourcesMax) return close("a request that alters too many resources");
    streams::DescribeQuery names;
    for (const auto& resource : request_.resources)
      if (resource.resource_type == kTopicResource && streams::valid_name(resource.resource_name))
        names.names.emplace_back(resource.resource_name);
    results_.resize(request_.resources.size());
    if (names.names.empty()) return begin({});
    if (session_.describe(*this, kDescribeTag, names)) return;
    for (Result& result : results_) result = {ErrorCode::request_timed_out, "the queue is full; ask again", {}};
    respond();
  }

  void on_reply(uint32_t tag, const Reply& reply) override {
    if (done()) return;
    if (tag == kDescribeTag) {
      const auto infos = streams::decode_stream_infos(reply.payload.view());
      return begin(reply.ok() && infos ? *infos : std::vector<streams::StreamInfo>());
    }
    if (!reply.ok()) results_[tag] = {error_of_alteration(reply), reply.message, {}};
    part_done();
  }

 private:
  static constexpr bool kIncremental = std::is_same_v<RequestMessage, IncrementalAlterConfigsRequest>;
  struct Result {
    ErrorCode error = ErrorCode::none;
    std::string message;
    streams::StreamConfig config;
  };
  using Resource = typename RequestMessage::Resource;

  static ErrorCode error_of_alteration(const Reply& reply) {
    return *reply.error == Errc::invalid_argument ? ErrorCode::invalid_config : error_of(reply);
  }

  void begin(const std::vector<streams::StreamInfo>& infos) {
    for (size_t i = 0; i < results_.size(); ++i) check(request_.resources[i], infos, results_[i]);
    begin_parts(results_.size());
  }

  void check(const Resource& resource, const std::vector<streams::StreamInfo>& infos, Result& result) const {
    if (resource.resource_type != kTopicResource) {
      result.error = ErrorCode::invalid_request;
      result.message = "configurations of topics can be altered, no others";
      return;
    }
    if (!session_.may(auth::Verb::alter, resource.resource_name)) {
      result.error = ErrorCode::topic_authorization_failed;
      return;
    }
    const streams::StreamInfo* info = find_stream(infos, resource.resource_name);
    if (info == nullptr) {
      result.error = ErrorCode::unknown_topic_or_partition;
      return;
    }
    const streams::ViewInputs* inputs = session_.options().view_inputs;
    if (inputs != nullptr) result.message = inputs->why_not_altered(resource.resource_name);
    if (!result.message.empty()) {
      result.error = ErrorCode::policy_violation;
      return;
    }
    if constexpr (kIncremental) result.config = info->config;
    for (const auto& config : resource.configs) {
      result.message = set(result.config, config);
      if (result.message.empty()) continue;
      result.error = ErrorCode::invalid_config;
      return;
    }
  }

  template <class Config>
  std::string set(streams::StreamConfig& into, const Config& config) const {
    if constexpr (kIncremental) {
      constexpr int8_t kSet = 0;
      constexpr int8_t kDelete = 1;
      if (config.config_operation == kDelete)
        return set_topic_config(into, config.name, std::nullopt, session_.options());
      if (config.config_operation != kSet) return "no entry of a topic is a list that can be appended to";
    }
    if (!config.value) return "a value is missing";
    return set_topic_config(into, config.name, config.value, session_.options());
  }

  bool ask(size_t index) override {
    Result& result = results_[index];
    if (result.error != ErrorCode::none || request_.validate_only) return false;
    Buffer command = streams::encode(streams::AlterStream{request_.resources[index].resource_name, result.config});
    if (session_.submit(*this, static_cast<uint32_t>(index),
                        streams::make_command(machine_ids::kStreams, streams::kAlterStream, std::move(command))))
      return true;
    result.error = ErrorCode::request_timed_out;
    return false;
  }

  void respond() override {
    AlterConfigsResponse response;
    for (size_t i = 0; i < results_.size(); ++i) {
      const Resource& resource = request_.resources[i];
      AlterConfigsResponse::Result& result = response.responses.emplace_back();
      result.error_code = wire(results_[i].error);
      if (!results_[i].message.empty()) result.error_message = results_[i].message;
      result.resource_type = resource.resource_type;
      result.resource_name = resource.resource_name;
    }
    answer(response);
  }

  RequestMessage request_;
  std::vector<Result> results_;
};

}  // namespace

std::unique_ptr<Request> make_describe_configs(KafkaSession& session, const Api& api, RequestHeader header,
                                               Buffer frame, Bytes body) {
  return std::make_unique<DescribeConfigs>(session, api, header, std::move(frame), body);
}

std::unique_ptr<Request> make_alter_configs(KafkaSession& session, const Api& api, RequestHeader header, Buffer frame,
                                            Bytes body) {
  return std::make_unique<Alter<AlterConfigsRequest>>(session, api, header, std::move(frame), body);
}

std::unique_ptr<Request> make_incremental_alter_configs(KafkaSession& session, const Api& api, RequestHeader header,
                                                        Buffer frame, Bytes body) {
  return std::make_unique<Alter<IncrementalAlterConfigsRequest>>(session, api, header, std::move(frame), body);
}

}  // namespace heptane::data::kafka
