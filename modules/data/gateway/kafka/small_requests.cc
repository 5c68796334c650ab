// ApiVersions and InitProducerId.

#include "kernel/shard/state_machine.h"
#include "modules/data/gateway/kafka/messages.h"
#include "modules/data/gateway/kafka/session.h"

namespace heptane::data::kafka {

namespace {

class ApiVersions final : public Request {
 public:
  using Request::Request;

  // A client newer than this server is answered in version 0, which every client reads, with what there is.
  void start() override {
    const bool known = header_.api_version >= api_.readable_min && header_.api_version <= api_.advertised_max;
    ApiVersionsRequest request;
    if (known && !decode(request)) return;
    ApiVersionsResponse response;
    for (const Api& api : kApis)
      response.api_keys.push_back({static_cast<int16_t>(api.key), api.advertised_min, api.advertised_max});
    if (!known) {
      session_.counters().unsupported_versions.fetch_add(1, std::memory_order_relaxed);
      response.error_code = wire(ErrorCode::unsupported_version);
    }
    answer_as(response, known ? header_.api_version : int16_t{0});
  }
};

// Transactions are not served. Error 53 is the one refusal that every client takes as final instead of retrying.
class InitProducerId final : public Request {
 public:
  using Request::Request;

  void start() override {
    InitProducerIdRequest request;
    if (!decode(request)) return;
    set_deadline(session_.now_ns() + KafkaSession::kRequestDeadlineNs);
    if (request.transactional_id) return refuse(ErrorCode::transactional_id_authorization_failed);
    Buffer command = streams::encode(streams::InitProducer{request.producer_id, request.producer_epoch});
    if (!session_.submit(*this, 0,
                         streams::make_command(machine_ids::kStreams, streams::kInitProducer, std::move(command))))
      refuse(ErrorCode::coordinator_load_in_progress);
  }

  void on_reply(uint32_t tag, const Reply& reply) override {
    (void)tag;
    if (done()) return;
    if (!reply.ok()) return refuse(error_of_init(reply));
    InitProducerIdResponse response;
    response.producer_id = reply.numbers[0];
    response.producer_epoch = static_cast<int16_t>(reply.numbers[1]);
    answer(response);
  }

 private:
  ErrorCode error_of_init(const Reply& reply) const {
    constexpr int16_t kFirstVersionWithFencing = 4;
    switch (*reply.error) {
      case Errc::stale:
        return header_.api_version >= kFirstVersionWithFencing ? ErrorCode::producer_fenced
                                                               : ErrorCode::invalid_producer_epoch;
      case Errc::not_found: return ErrorCode::unknown_producer_id;
      case Errc::overloaded: return ErrorCode::coordinator_load_in_progress;  // retried by every client
      default: return error_of(reply);
    }
  }

  void refuse(ErrorCode error) {
    InitProducerIdResponse response;
    response.error_code = wire(error);
    answer(response);
  }
};

}  // namespace

std::unique_ptr<Request> make_api_versions(KafkaSession& session, const Api& api, RequestHeader header, Buffer frame,
                                           Bytes body) {
  return std::make_unique<ApiVersions>(session, api, header, std::move(frame), body);
}

std::unique_ptr<Request> make_init_producer_id(KafkaSession& session, const Api& api, RequestHeader header,
                                               Buffer frame, Bytes body) {
  return std::make_unique<InitProducerId>(session, api, header, std::move(frame), body);
}

}  // namespace heptane::data::kafka
