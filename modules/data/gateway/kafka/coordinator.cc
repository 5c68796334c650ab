// FindCoordinator, OffsetCommit and OffsetFetch, for consumers that assign their partitions themselves. Committed offsets
// belong to a topic's uuid: those of a deleted topic are not found in a new one of that name.

#include <algorithm>
#include <map>

#include "modules/data/gateway/kafka/messages_offsets.h"
#include "modules/data/gateway/kafka/session.h"
#include "modules/data/machine/consumer_offsets/api.h"

namespace heptane::data::kafka {

namespace {

constexpr size_t kTopicsMax = 10'000;
constexpr uint32_t kDescribeTag = 0;
constexpr uint32_t kOffsetsTag = 1;

bool valid_group(std::string_view group) { return !group.empty() && group.size() <= offsets::kGroupLimitBytes; }

// Transactions are not served; see InitProducerId for the choice of error.
class FindCoordinator final : public Request {
 public:
  using Request::Request;

  void start() override {
    FindCoordinatorRequest request;
    if (!decode(request)) return;
    constexpr int8_t kGroup = 0;
    constexpr int8_t kTransaction = 1;
    FindCoordinatorResponse response;
    if (request.key_type == kTransaction) {
      response.error_code = wire(ErrorCode::transactional_id_authorization_failed);
      response.error_message = "transactions are not served";
    } else if (request.key_type != kGroup) {
      response.error_code = wire(ErrorCode::invalid_request);
      response.error_message = "there is no such type of coordinator";
    } else if (!session_.may_group(auth::Verb::read, request.key)) {
      response.error_code = wire(ErrorCode::group_authorization_failed);
      response.error_message = "the role to read with this group is missing";
    } else {
      const net::Address& here = session_.advertised();
      response.node_id = kNodeId;
      response.host = here.host;
      response.port = here.port;
    }
    answer(response);
  }
};

// The offsets that can be kept go into one command.
class OffsetCommit final : public Request {
 public:
  using Request::Request;

  void start() override {
    if (!decode(request_)) return;
    set_deadline(session_.now_ns() + KafkaSession::kRequestDeadlineNs);
    const ErrorCode refused = check_member();
    if (refused != ErrorCode::none) return respond(refused);
    streams::DescribeQuery names;
    for (const auto& topic : request_.topics) {
      count_ += topic.partitions.size();
      if (streams::valid_name(topic.name)) names.names.emplace_back(topic.name);
    }
    if (count_ > offsets::kCommitLimit || names.names.size() > kTopicsMax) return close("a commit of too many offsets");
    if (!session_.describe(*this, kDescribeTag, names)) respond(ErrorCode::coordinator_load_in_progress);
  }

  void on_reply(uint32_t tag, const Reply& reply) override {
    if (done()) return;
    if (tag == kOffsetsTag) return respond(reply.ok() ? ErrorCode::none : error_of_commit(reply));
    if (!reply.ok()) return respond(error_of_commit(reply));
    auto infos = streams::decode_stream_infos(reply.payload.view());
    if (!infos) return respond(ErrorCode::unknown_server_error);
    infos_ = std::move(*infos);
    commit();
  }

 private:
  // Nobody is a member of a group here.
  ErrorCode check_member() const {
    if (!valid_group(request_.group_id)) return ErrorCode::invalid_group_id;
    if (!session_.may_group(auth::Verb::read, request_.group_id)) return ErrorCode::group_authorization_failed;
    if (request_.generation_id >= 0) return ErrorCode::illegal_generation;
    if (!request_.member_id.empty() || request_.group_instance_id) return ErrorCode::unknown_member_id;
    return ErrorCode::none;
  }

  static ErrorCode error_of_commit(const Reply& reply) {
    switch (*reply.error) {
      case Errc::overloaded: return ErrorCode::policy_violation;  // the limit of offsets
      case Errc::invalid_argument: return ErrorCode::invalid_request;
      default: return error_of(reply);
    }
  }

  ErrorCode check(std::string_view topic, const OffsetCommitRequest::Partition& asked) const {
    if (!session_.may(auth::Verb::read, topic)) return ErrorCode::topic_authorization_failed;
    if (find_partition(infos_, topic, asked.partition_index) == nullptr) return ErrorCode::unknown_topic_or_partition;
    if (asked.committed_offset < 0) return ErrorCode::invalid_request;
    if (asked.committed_metadata.value_or("").size() > offsets::kMetadataLimitBytes)
      return ErrorCode::offset_metadata_too_large;
    return ErrorCode::none;
  }

  void commit() {
    offsets::Commit commit;
    commit.group = request_.group_id;
    size_t metadata_bytes = 0;
    for (const auto& topic : request_.topics) {
      const streams::StreamInfo* info = find_stream(infos_, topic.name);
      for (const auto& asked : topic.partitions) {
        if (check(topic.name, asked) != ErrorCode::none) continue;
        const std::string_view metadata = asked.committed_metadata.value_or("");
        metadata_bytes += metadata.size();
        commit.offsets.push_back({topic.name, info->uuid, static_cast<uint32_t>(asked.partition_index),
                                  asked.committed_offset, asked.committed_leader_epoch, metadata});
      }
    }
    if (metadata_bytes > offsets::kCommitLimitBytes) return respond(ErrorCode::offset_metadata_too_large);
    if (commit.offsets.empty()) return respond(ErrorCode::none);
    if (!session_.submit(*this, kOffsetsTag,
                         streams::make_command(offsets::kMachineId, offsets::kCommit, offsets::encode(commit))))
      respond(ErrorCode::coordinator_load_in_progress);
  }

  void respond(ErrorCode error) {
    OffsetCommitResponse response;
    for (const auto& topic : request_.topics) {
      response.topics.push_back({topic.name, {}});
      for (const auto& asked : topic.partitions) {
        const ErrorCode own = infos_.empty() && error != ErrorCode::none ? error : check(topic.name, asked);
        response.topics.back().partitions.push_back(
            {asked.partition_index, wire(own == ErrorCode::none ? error : own)});
      }
    }
    answer(response);
  }

  OffsetCommitRequest request_;
  std::vector<streams::StreamInfo> infos_;
  size_t count_ = 0;
};

// Pages through the group's offsets, then asks which topics they still belong to.
class OffsetFetch final : public Request {
 public:
  using Request::Request;

  bool answers_at_length() const override { return true; }

  void start() override {
    if (!decode(request_)) return;
    set_deadline(session_.now_ns() + KafkaSession::kRequestDeadlineNs);
    if (!valid_group(request_.group_id)) return fail(ErrorCode::invalid_group_id);
    if (!session_.may_group(auth::Verb::read, request_.group_id)) return fail(ErrorCode::group_authorization_failed);
    if (request_.topics && request_.topics->size() > kTopicsMax) return close("a fetch of too many topics' offsets");
    next_page({});
  }

  void on_reply(uint32_t tag, const Reply& reply) override {
    if (done()) return;
    if (!reply.ok()) return fail(error_of(reply));
    tag == kOffsetsTag ? on_page(reply) : on_described(reply);
  }

 private:
  void next_page(const offsets::CommittedOffset& last) {
    QueryRequest query;
    query.machine = offsets::kMachineId;
    query.type = offsets::kFetch;
    query.payload = offsets::encode(offsets::FetchQuery{request_.group_id, last.topic, last.partition});
    if (!session_.query(*this, kOffsetsTag, std::move(query))) fail(ErrorCode::coordinator_load_in_progress);
  }

  void on_page(const Reply& reply) {
    const auto page = offsets::decode_offsets(reply.payload.view());
    if (!page) return fail(ErrorCode::unknown_server_error);
    pages_.push_back(reply.payload);
    for (const offsets::CommittedOffset& offset : *page) offsets_[{offset.topic, offset.partition}] = offset;
    if (reply.numbers[0] != 0 && !page->empty()) return next_page(page->back());
    streams::DescribeQuery names;
    for (const auto& [key, offset] : offsets_)
      if (names.names.empty() || names.names.back() != key.first) names.names.emplace_back(key.first);
    if (names.names.empty()) return respond();
    if (names.names.size() > kTopicsMax) names.names.resize(kTopicsMax);
    if (!session_.describe(*this, kDescribeTag, names)) fail(ErrorCode::coordinator_load_in_progress);
  }

  void on_described(const Reply& reply) {
    const auto infos = streams::decode_stream_infos(reply.payload.view());
    if (!infos) return fail(ErrorCode::unknown_server_error);
    std::erase_if(offsets_, [&](const auto& entry) {
      const streams::StreamInfo* info = find_stream(*infos, entry.first.first);
      return info == nullptr || info->uuid != entry.second.uuid;
    });
    respond();
  }

  static OffsetFetchResponse::Partition described(const offsets::CommittedOffset& offset) {
    return {static_cast<int32_t>(offset.partition), offset.offset, offset.leader_epoch, offset.metadata, 0};
  }

  void respond() {
    OffsetFetchResponse response;
    if (request_.topics) {
      for (const auto& topic : *request_.topics) {
        response.topics.push_back({topic.name, {}});
        const bool allowed = session_.may_describe(topic.name);
        for (const int32_t partition : topic.partition_indexes) {
          if (!allowed) {
            response.topics.back().partitions.push_back(
                {partition, -1, -1, "", wire(ErrorCode::topic_authorization_failed)});
            continue;
          }
          const auto found = offsets_.find({topic.name, static_cast<uint32_t>(partition)});
          response.topics.back().partitions.push_back(found != offsets_.end()
                                                          ? described(found->second)
                                                          : OffsetFetchResponse::Partition{partition, -1, -1, "", 0});
        }
      }
    } else {
      for (const auto& [key, offset] : offsets_) {
        if (!session_.sees("streams", key.first)) continue;
        if (response.topics.empty() || response.topics.back().name != key.first)
          response.topics.push_back({key.first, {}});
        response.topics.back().partitions.push_back(described(offset));
      }
    }
    answer(response);
  }

  // Before version 2 there is no error but that of a partition.
  void fail(ErrorCode error) {
    OffsetFetchResponse response;
    response.error_code = wire(error);
    for (const auto& topic : request_.topics.value_or(std::vector<OffsetFetchRequest::Topic>())) {
      response.topics.push_back({topic.name, {}});
      for (const int32_t partition : topic.partition_indexes)
        response.topics.back().partitions.push_back({partition, -1, -1, "", wire(error)});
    }
    answer(response);
  }

  OffsetFetchRequest request_;
  std::vector<Buffer> pages_;  // what offsets_ lies in
  std::map<std::pair<std::string_view, uint32_t>, offsets::CommittedOffset> offsets_;
};

}  // namespace

std::unique_ptr<Request> make_find_coordinator(KafkaSession& session, const Api& api, RequestHeader header,
                                               Buffer frame, Bytes body) {
  return std::make_unique<FindCoordinator>(session, api, header, std::move(frame), body);
}

std::unique_ptr<Request> make_offset_commit(KafkaSession& session, const Api& api, RequestHeader header, Buffer frame,
                                            Bytes body) {
  return std::make_unique<OffsetCommit>(session, api, header, std::move(frame), body);
}

std::unique_ptr<Request> make_offset_fetch(KafkaSession& session, const Api& api, RequestHeader header, Buffer frame,
                                           Bytes body) {
  return std::make_unique<OffsetFetch>(session, api, header, std::move(frame), body);
}

}  // namespace heptane::data::kafka
