// Produce: one record batch per partition is one command. Answers wait until what was appended is synced, whatever `acks`
// says; with acks 0 nothing is answered, and an error closes the connection, as Kafka does.

#include <algorithm>

#include "kernel/streams/record_batch.h"
#include "kernel/streams/view_input.h"
#include "modules/data/gateway/kafka/messages.h"
#include "modules/data/gateway/kafka/session.h"

namespace heptane::data::kafka {

namespace {

constexpr int16_t kFirstVersionOfRecordBatches = 3;
constexpr int16_t kFirstVersionOfZstd = 7;
constexpr uint16_t kCodecMask = 7;
constexpr uint16_t kZstd = 4;
constexpr int64_t kTimeoutMinMs = 100;  // less than a sync may take would refuse everything
constexpr uint32_t kLookupTag = 0xFFFFFFFF;

ErrorCode error_of_check(Errc code) {
  switch (code) {
    case Errc::too_large: return ErrorCode::message_too_large;
    case Errc::unsupported: return ErrorCode::unsupported_for_message_format;
    case Errc::corrupt: return ErrorCode::corrupt_message;
    case Errc::unauthorised: return ErrorCode::topic_authorization_failed;
    case Errc::refused: return ErrorCode::policy_violation;
    default: return ErrorCode::invalid_record;
  }
}

class Produce final : public Request {
 public:
  using Request::Request;

  void start() override {
    if (!decode(request_)) return;
    const int64_t timeout_ms = std::max<int64_t>(request_.timeout_ms, kTimeoutMinMs);
    set_deadline(session_.now_ns() + timeout_ms * 1'000'000);
    if (request_.acks < -1 || request_.acks > 1) return refuse_all(ErrorCode::invalid_required_acks);
    if (request_.transactional_id) return refuse_all(ErrorCode::transactional_id_authorization_failed);
    if (header_.api_version < kFirstVersionOfRecordBatches)
      return refuse_all(ErrorCode::unsupported_for_message_format);
    TopicLookup lookup;
    for (const auto& topic : request_.topics)
      for (const auto& part : topic.partitions) lookup.want(session_, topic.name, part.index);
    switch (lookup.ask(session_, *this, kLookupTag)) {
      case TopicLookup::Outcome::nothing_to_ask: return append_all();
      case TopicLookup::Outcome::refused: return refuse_all(ErrorCode::not_enough_replicas);
      case TopicLookup::Outcome::asked: return;
    }
  }

  bool may_be_followed() const override { return resolved_ || done(); }

  void on_reply(uint32_t tag, const Reply& reply) override {
    if (done()) return;
    if (tag == kLookupTag) return on_described(reply);
    Slot& slot = slots_[tag];
    settle(slot, reply);
    if (--waiting_ == 0) complete();
  }

  // What was submitted stays submitted: a client that sends it again is told so by its sequence numbers.
  void on_deadline() override {
    session_.counters().requests_past_deadline.fetch_add(1, std::memory_order_relaxed);
    if (slots_.empty()) return refuse_all(ErrorCode::request_timed_out);
    complete();
  }

 private:
  struct Slot {
    size_t topic = 0;
    size_t partition = 0;
    ProduceResponse::Partition answer;
  };

  void on_described(const Reply& reply) {
    if (!reply.ok()) return refuse_all(error_of(reply));
    const auto infos = streams::decode_stream_infos(reply.payload.view());
    if (!infos) return refuse_all(ErrorCode::unknown_server_error);
    session_.learn(*infos);
    append_all();
  }

  void make_slots(ErrorCode error) {
    for (size_t t = 0; t < request_.topics.size(); ++t) {
      for (size_t p = 0; p < request_.topics[t].partitions.size(); ++p) {
        Slot& slot = slots_.emplace_back(Slot{t, p, {}});
        slot.answer.index = request_.topics[t].partitions[p].index;
        slot.answer.error_code = wire(error);
      }
    }
  }

  void refuse_all(ErrorCode error) {
    slots_.clear();
    make_slots(error);
    complete();
  }

  void append_all() {
    resolved_ = true;
    make_slots(ErrorCode::request_timed_out);  // until the reply comes
    for (size_t i = 0; i < slots_.size(); ++i) {
      const ErrorCode error = append(static_cast<uint32_t>(i));
      if (error == ErrorCode::none)
        ++waiting_;
      else
        slots_[i].answer.error_code = wire(error);
    }
    if (waiting_ == 0) complete();
  }

  // None: a reply will come.
  ErrorCode append(uint32_t index) {
    const Slot& slot = slots_[index];
    const auto& topic = request_.topics[slot.topic];
    if (!session_.may(auth::Verb::write, topic.name)) return ErrorCode::topic_authorization_failed;
    const Bytes batch = topic.partitions[slot.partition].records.view;
    if (batch.empty()) return ErrorCode::invalid_record;
    const auto info = streams::check_produced_batch(batch, session_.options().max_record_batch_bytes);
    if (!info) return error_of_check(info.error().code);
    if ((info->attributes & kCodecMask) == kZstd && header_.api_version < kFirstVersionOfZstd)
      return ErrorCode::unsupported_compression_type;
    const streams::PartitionInfo* partition = session_.find(topic.name, slot.answer.index);
    if (partition == nullptr) return ErrorCode::unknown_topic_or_partition;
    if (streams::ViewInput* view = input_of(topic.name)) return append_to_view(index, *view, topic.name, batch);
    const auto at = static_cast<size_t>(batch.data() - frame_.data());
    Submission submission = streams::make_append(partition->id, frame_.slice(at, batch.size()), info->crc);
    return session_.submit(*this, index, std::move(submission)) ? ErrorCode::none : ErrorCode::not_enough_replicas;
  }

  streams::ViewInput* input_of(std::string_view topic) const {
    const streams::ViewInputs* inputs = session_.options().view_inputs;
    return inputs == nullptr ? nullptr : inputs->find(topic);
  }

  // A module makes the records of the stream out of these.
  ErrorCode append_to_view(uint32_t index, streams::ViewInput& view, std::string_view topic, Bytes batch) {
    const auto may = [this](std::string_view module, std::string_view resource) {
      return session_.may_write(module, resource);
    };
    const auto partition = static_cast<uint32_t>(slots_[index].answer.index);  // which is there
    Result<Submission> submission = view.make_append(topic, partition, batch, may);
    if (!submission) return error_of_check(submission.error().code);
    return session_.submit(*this, index, std::move(*submission)) ? ErrorCode::none : ErrorCode::not_enough_replicas;
  }

  void settle(Slot& slot, const Reply& reply) {
    const ErrorCode error = error_of(reply);
    slot.answer.error_code = wire(error);
    const auto& name = request_.topics[slot.topic].name;
    if (error == ErrorCode::unknown_topic_or_partition) session_.forget(name);
    if (error != ErrorCode::none) return;
    slot.answer.base_offset = reply.numbers[0];
    if (const auto* partition = session_.find(name, slot.answer.index))
      slot.answer.log_start_offset = partition->log_start;
  }

  void complete() {
    uint64_t failed = 0;
    for (const Slot& slot : slots_) failed += slot.answer.error_code != 0 ? 1 : 0;
    session_.counters().record_batches.fetch_add(slots_.size() - failed, std::memory_order_relaxed);
    session_.counters().record_batches_refused.fetch_add(failed, std::memory_order_relaxed);
    if (request_.acks != 0) return answer_all();
    if (failed != 0) return close("a produce request that wants no answer failed");
    finish();
  }

  void answer_all() {
    ProduceResponse response;
    response.topics.reserve(request_.topics.size());
    for (const auto& topic : request_.topics) {
      response.topics.push_back({topic.name, {}});
      response.topics.back().partitions.reserve(topic.partitions.size());
    }
    for (const Slot& slot : slots_) response.topics[slot.topic].partitions.push_back(slot.answer);
    answer(response);
  }

  ProduceRequest request_;
  std::vector<Slot> slots_;  // by topic, then partition
  size_t waiting_ = 0;
  bool resolved_ = false;
};

}  // namespace

std::unique_ptr<Request> make_produce(KafkaSession& session, const Api& api, RequestHeader header, Buffer frame,
                                      Bytes body) {
  return std::make_unique<Produce>(session, api, header, std::move(frame), body);
}

}  // namespace heptane::data::kafka
