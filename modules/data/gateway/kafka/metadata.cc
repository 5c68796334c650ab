// Metadata: one broker, which leads everything. Unknown topics are created when the client and the options allow it: a
// logged command, after which the streams are described again. Losing a race against another creator is no error.

#include <algorithm>
#include <map>

#include "kernel/shard/state_machine.h"
#include "modules/data/gateway/kafka/messages.h"
#include "modules/data/gateway/kafka/session.h"

namespace heptane::data::kafka {

namespace {

constexpr int16_t kFirstVersionWithNullForAll = 1;
constexpr size_t kTopicsMax = 10'000;
constexpr uint32_t kDescribeTag = 0xFFFFFFFF;
constexpr uint32_t kDescribeAgainTag = 0xFFFFFFFE;

ErrorCode error_of_creation(Errc code) {
  switch (code) {
    case Errc::exists: return ErrorCode::none;
    case Errc::invalid_argument: return ErrorCode::invalid_topic;
    case Errc::no_space: return ErrorCode::kafka_storage_error;
    default: return ErrorCode::leader_not_available;  // clients ask again
  }
}

class Metadata final : public Request {
 public:
  using Request::Request;

  bool answers_at_length() const override { return true; }

  void start() override {
    if (!decode(request_)) return;
    set_deadline(session_.now_ns() + KafkaSession::kRequestDeadlineNs);
    const bool empty = !request_.topics || request_.topics->empty();
    all_ = !request_.topics || (empty && header_.api_version < kFirstVersionWithNullForAll);
    if (empty && !all_) return respond({});
    if (!all_ && request_.topics->size() > kTopicsMax) return close("a metadata request for too many topics");
    if (!all_) sort_topics();
    describe(kDescribeTag);
  }

  void on_reply(uint32_t tag, const Reply& reply) override {
    if (done()) return;
    if (tag == kDescribeTag || tag == kDescribeAgainTag) return on_described(tag, reply);
    const ErrorCode error = reply.ok() ? ErrorCode::none : error_of_creation(*reply.error);
    if (error != ErrorCode::none) errors_[creating_[tag]] = error;
    if (--waiting_ == 0) describe(kDescribeAgainTag);
  }

 private:
  using Infos = std::vector<streams::StreamInfo>;

  void sort_topics() {
    for (const auto& topic : *request_.topics) {
      ErrorCode error = ErrorCode::none;
      if (!streams::valid_name(topic.name))
        error = ErrorCode::invalid_topic;
      else if (!session_.may_describe(topic.name))
        error = ErrorCode::topic_authorization_failed;
      errors_[topic.name] = error;
    }
  }

  void describe(uint32_t tag) {
    streams::DescribeQuery query;
    query.all = all_;
    if (!all_infos_.empty()) query.after = all_infos_.back().name;
    for (const auto& [name, error] : errors_)
      if (error != ErrorCode::invalid_topic && error != ErrorCode::topic_authorization_failed)
        query.names.emplace_back(name);
    if (!all_ && query.names.empty()) return respond({});
    if (!session_.describe(*this, tag, query)) ask_again_later();
  }

  void on_described(uint32_t tag, const Reply& reply) {
    if (!reply.ok()) return ask_again_later();
    Result<Infos> infos = streams::decode_stream_infos(reply.payload.view());
    if (!infos) return ask_again_later();
    session_.learn(*infos);
    if (all_) return on_page(std::move(*infos), reply.numbers[0] != 0);
    if (tag == kDescribeTag && may_create() && create_missing(*infos)) return;
    respond(*infos);
  }

  // Of all topics, which come in pages.
  void on_page(Infos page, bool more) {
    all_infos_.insert(all_infos_.end(), std::make_move_iterator(page.begin()), std::make_move_iterator(page.end()));
    if (more) return describe(kDescribeTag);
    respond(all_infos_);
  }

  bool may_create() const { return !all_ && request_.allow_auto_topic_creation && session_.options().auto_create; }

  // True when an answer will come.
  bool create_missing(const Infos& infos) {
    for (const auto& [name, error] : errors_)
      if (error == ErrorCode::none && find_stream(infos, name) == nullptr) creating_.push_back(name);
    std::erase_if(creating_, [&](std::string_view name) {
      if (session_.may(auth::Verb::create, name)) return false;
      errors_[name] = ErrorCode::topic_authorization_failed;
      return true;
    });
    for (uint32_t i = 0; i < creating_.size(); ++i) {
      Buffer command = streams::encode(streams::CreateStream{creating_[i], 1});
      if (session_.submit(*this, i,
                          streams::make_command(machine_ids::kStreams, streams::kCreateStream, std::move(command))))
        ++waiting_;
      else
        errors_[creating_[i]] = ErrorCode::leader_not_available;
    }
    return waiting_ > 0;
  }

  void ask_again_later() {
    for (auto& [name, error] : errors_)
      if (error == ErrorCode::none) error = ErrorCode::leader_not_available;
    if (all_) return close("the shard's queue is full");  // an empty list would look like an empty cluster
    respond({});
  }

  void respond(const Infos& infos) {
    MetadataResponse response;
    const net::Address& here = session_.advertised();
    response.brokers.push_back({kNodeId, here.host, here.port, std::nullopt});
    response.cluster_id = session_.options().cluster_id;
    response.controller_id = kNodeId;
    if (all_)
      for (const streams::StreamInfo& info : infos)
        if (session_.sees("streams", info.name)) response.topics.push_back(describe_topic(info));
    for (const auto& [name, error] : errors_) {
      const streams::StreamInfo* info = find_stream(infos, name);
      response.topics.push_back(info != nullptr ? describe_topic(*info) : missing_topic(name, error));
    }
    answer(response);
  }

  static MetadataResponse::Topic missing_topic(std::string_view name, ErrorCode error) {
    MetadataResponse::Topic topic;
    topic.error_code = wire(error == ErrorCode::none ? ErrorCode::unknown_topic_or_partition : error);
    topic.name = name;
    return topic;
  }

  MetadataResponse::Topic describe_topic(const streams::StreamInfo& info) const {
    MetadataResponse::Topic topic;
    topic.name = info.name;
    for (size_t i = 0; i < info.partitions.size(); ++i) {
      MetadataResponse::Partition& partition = topic.partitions.emplace_back();
      partition.partition_index = static_cast<int32_t>(i);
      partition.leader_id = kNodeId;
      partition.leader_epoch = session_.options().leader_epoch;
      partition.replica_nodes = {kNodeId};
      partition.isr_nodes = {kNodeId};
    }
    return topic;
  }

  MetadataRequest request_;
  bool all_ = false;
  Infos all_infos_;                               // of the pages so far
  std::map<std::string_view, ErrorCode> errors_;  // of the topics asked for
  std::vector<std::string_view> creating_;
  size_t waiting_ = 0;
};

}  // namespace

std::unique_ptr<Request> make_metadata(KafkaSession& session, const Api& api, RequestHeader header, Buffer frame,
                                       Bytes body) {
  return std::make_unique<Metadata>(session, api, header, std::move(frame), body);
}

}  // namespace heptane::data::kafka
