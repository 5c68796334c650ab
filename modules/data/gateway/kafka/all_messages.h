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
using AllMessages = std::tuple<Messages<ApiKey::produce, ProduceRequest, ProduceResponse>,
                               Messages<ApiKey::fetch, FetchRequest, FetchResponse>,
                               Messages<ApiKey::list_offsets, ListOffsetsRequest, ListOffsetsResponse>,
                               Messages<ApiKey::metadata, MetadataRequest, MetadataResponse>,
                               Messages<ApiKey::api_versions, ApiVersionsRequest, ApiVersionsResponse>,
                               Messages<ApiKey::init_producer_id, InitProducerIdRequest, InitProducerIdResponse>>;

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
