// Which messages belong to which API: what tests, fuzzers and transcripts go through. An API in kApis without an entry here
// does not compile.
#pragma once

#include <tuple>

#include "modules/data/gateway/kafka/api.h"
#include "modules/data/gateway/kafka/messages.h"
#include "modules/data/gateway/kafka/messages_groups.h"
#include "modules/data/gateway/kafka/messages_offsets.h"
#include "modules/data/gateway/kafka/messages_sasl.h"
#include "modules/data/gateway/kafka/messages_topics.h"

namespace heptane::data::kafka {

template <ApiKey api_key, class RequestType, class ResponseType>
struct Messages {
  static constexpr ApiKey kKey = api_key;
  using Request = RequestType;
  using Response = ResponseType;
};

// In the order of kApis.
using AllMessages =
    std::tuple<Messages<ApiKey::produce, ProduceRequest, ProduceResponse>,
               Messages<ApiKey::fetch, FetchRequest, FetchResponse>,
               Messages<ApiKey::list_offsets, ListOffsetsRequest, ListOffsetsResponse>,
               Messages<ApiKey::metadata, MetadataRequest, MetadataResponse>,
               Messages<ApiKey::offset_commit, OffsetCommitRequest, OffsetCommitResponse>,
               Messages<ApiKey::offset_fetch, OffsetFetchRequest, OffsetFetchResponse>,
               Messages<ApiKey::find_coordinator, FindCoordinatorRequest, FindCoordinatorResponse>,
               Messages<ApiKey::join_group, JoinGroupRequest, JoinGroupResponse>,
               Messages<ApiKey::heartbeat, HeartbeatRequest, HeartbeatResponse>,
               Messages<ApiKey::leave_group, LeaveGroupRequest, LeaveGroupResponse>,
               Messages<ApiKey::sync_group, SyncGroupRequest, SyncGroupResponse>,
               Messages<ApiKey::describe_groups, DescribeGroupsRequest, DescribeGroupsResponse>,
               Messages<ApiKey::list_groups, ListGroupsRequest, ListGroupsResponse>,
               Messages<ApiKey::sasl_handshake, SaslHandshakeRequest, SaslHandshakeResponse>,
               Messages<ApiKey::api_versions, ApiVersionsRequest, ApiVersionsResponse>,
               Messages<ApiKey::create_topics, CreateTopicsRequest, CreateTopicsResponse>,
               Messages<ApiKey::delete_topics, DeleteTopicsRequest, DeleteTopicsResponse>,
               Messages<ApiKey::delete_records, DeleteRecordsRequest, DeleteRecordsResponse>,
               Messages<ApiKey::init_producer_id, InitProducerIdRequest, InitProducerIdResponse>,
               Messages<ApiKey::offset_for_leader_epoch, OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse>,
               Messages<ApiKey::describe_configs, DescribeConfigsRequest, DescribeConfigsResponse>,
               Messages<ApiKey::alter_configs, AlterConfigsRequest, AlterConfigsResponse>,
               Messages<ApiKey::sasl_authenticate, SaslAuthenticateRequest, SaslAuthenticateResponse>,
               Messages<ApiKey::create_partitions, CreatePartitionsRequest, CreatePartitionsResponse>,
               Messages<ApiKey::delete_groups, DeleteGroupsRequest, DeleteGroupsResponse>,
               Messages<ApiKey::incremental_alter_configs, IncrementalAlterConfigsRequest, AlterConfigsResponse>>;

static_assert(std::tuple_size_v<AllMessages> == kApis.size());
static_assert([]<size_t... i>(std::index_sequence<i...>) {
  return ((std::tuple_element_t<i, AllMessages>::kKey == kApis[i].key) && ...);
}(std::make_index_sequence<kApis.size()>()));

// Calls visit(Messages<...>{}) with the entry of `key`.
template <class Visit>
void with_messages(ApiKey key, Visit&& visit) {
  std::apply([&](auto... messages) { ((messages.kKey == key ? visit(messages) : void()), ...); }, AllMessages());
}

// ... of every API in turn, with its description.
template <class Visit>
void for_each_api(Visit&& visit) {
  for (const Api& api : kApis) with_messages(api.key, [&](auto messages) { visit(api, messages); });
}

}  // namespace heptane::data::kafka
