// One request under way. It is started when the session says so, asks through the session, and leaves its answer there when
// it is done. Requests of a connection are answered in the order they came.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "kernel/net/session.h"
#include "modules/data/gateway/kafka/api.h"
#include "modules/data/gateway/kafka/codec.h"

namespace heptane::data::kafka {

class KafkaSession;

struct RequestHeader {
  int16_t api_key = 0;
  int16_t api_version = 0;
  int32_t correlation_id = 0;
};

class Request {
 public:
  Request(KafkaSession& session, const Api& api, RequestHeader header, Buffer frame, Bytes body)
      : session_(session), api_(api), header_(header), frame_(std::move(frame)), body_(body) {}
  virtual ~Request() = default;
  Request(const Request&) = delete;
  Request& operator=(const Request&) = delete;

  // Decodes and begins. A request that is not overlapping is alone under way.
  virtual void start() = 0;
  virtual void on_reply(uint32_t tag, const Reply& reply) { (void)tag, (void)reply; }
  virtual void on_records(uint32_t tag, const net::RecordsRead& read) { (void)tag, (void)read; }
  virtual void on_advanced(net::SubscriptionId subscription) { (void)subscription; }
  virtual void on_deadline();

  // True once the next request of the same kind may start beside it without overtaking it on its way to the log.
  virtual bool may_be_followed() const { return false; }
  // Its answer may be large: wait until the client took earlier ones.
  virtual bool answers_at_length() const { return false; }

  bool started() const { return started_; }
  bool done() const { return done_; }
  const RequestHeader& header() const { return header_; }
  ApiKey key() const { return api_.key; }
  size_t frame_bytes() const { return frame_.size(); }
  int64_t deadline_ns() const { return deadline_ns_; }
  std::vector<Buffer> take_response() { return std::move(response_); }
  std::string_view close_why() const { return close_why_; }
  void mark_started() { started_ = true; }

 protected:
  template <Described T>
  bool decode(T& request) {
    Decoder decoder(body_, {header_.api_version, header_.api_version >= api_.first_flexible});
    if (decoder.message(request)) return true;
    malformed();
    return false;
  }
  template <Described T>
  void answer(const T& response) {
    answer_as(response, header_.api_version);
  }
  template <Described T>
  void answer_as(const T& response, int16_t version) {
    Encoder encoder = begin_answer(version);
    encoder.write(response, false);
    const int32_t throttle_ms = throttle(encoder.size());
    if constexpr (requires { response.throttle_time_ms; }) {
      if (throttle_ms > 0) {
        T throttled = response;
        throttled.throttle_time_ms = throttle_ms;
        encoder = begin_answer(version);
        encoder.write(throttled, false);
      }
    }
    finish_answer(encoder);
  }
  // Done without an answer.
  void finish() {
    (void)throttle(0);
    done_ = true;
  }
  // Done; the connection closes in its turn, behind the answer if there is one. `why` is a literal.
  void close(std::string_view why);
  void malformed();
  void answer_raw(Bytes bytes);  // behind a length, without a header
  void set_deadline(int64_t deadline_ns);

  KafkaSession& session_;
  const Api& api_;
  const RequestHeader header_;
  const Buffer frame_;
  const Bytes body_;

 private:
  Encoder begin_answer(int16_t version);
  void finish_answer(Encoder& encoder);
  int32_t throttle(size_t answer_bytes);

  bool started_ = false;
  bool done_ = false;
  int64_t deadline_ns_ = 0;  // 0 = none
  std::vector<Buffer> response_;
  std::string_view close_why_;
};

using MakeRequest = std::unique_ptr<Request>(KafkaSession& session, const Api& api, RequestHeader header, Buffer frame,
                                             Bytes body);
MakeRequest make_request;  // by api.key
MakeRequest make_produce;
MakeRequest make_fetch;
MakeRequest make_list_offsets;
MakeRequest make_metadata;
MakeRequest make_offset_commit;
MakeRequest make_offset_fetch;
MakeRequest make_find_coordinator;
MakeRequest make_join_group;
MakeRequest make_heartbeat;
MakeRequest make_leave_group;
MakeRequest make_sync_group;
MakeRequest make_describe_groups;
MakeRequest make_list_groups;
MakeRequest make_sasl_handshake;
MakeRequest make_api_versions;
MakeRequest make_create_topics;
MakeRequest make_create_partitions;
MakeRequest make_delete_topics;
MakeRequest make_delete_records;
MakeRequest make_init_producer_id;
MakeRequest make_offset_for_leader_epoch;
MakeRequest make_describe_configs;
MakeRequest make_alter_configs;
MakeRequest make_sasl_authenticate;
MakeRequest make_delete_groups;
MakeRequest make_incremental_alter_configs;
MakeRequest make_sasl_token;  // a frame that is not a request: what follows SaslHandshake 0

}  // namespace heptane::data::kafka
