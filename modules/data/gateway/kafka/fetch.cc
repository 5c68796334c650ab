// Fetch: reads partitions within the byte budget, and waits for more when there is less than min_bytes. Record batches go
// out as they came from the log, not copied. No fetch sessions: every request names all its partitions.

#include <algorithm>
#include <unordered_map>

#include "kernel/streams/record_batch.h"
#include "modules/data/gateway/kafka/messages.h"
#include "modules/data/gateway/kafka/session.h"

namespace heptane::data::kafka {

namespace {

constexpr int16_t kFirstVersionOfZstd = 10;
constexpr uint16_t kCodecMask = 7;
constexpr uint16_t kZstd = 4;
constexpr int64_t kMaxWaitMs = 60'000;
constexpr size_t kPartitionsMax = 10'000;
constexpr size_t kReadsMax = 32;  // under way at once: each may bring one batch beyond its share
constexpr uint32_t kLookupTag = 0xFFFFFFFF;

ErrorCode error_of_read(Errc code) {
  switch (code) {
    case Errc::not_found: return ErrorCode::unknown_topic_or_partition;
    case Errc::invalid_argument: return ErrorCode::offset_out_of_range;
    case Errc::corrupt: return ErrorCode::corrupt_message;
    default: return ErrorCode::kafka_storage_error;
  }
}

class Fetch final : public Request {
 public:
  using Request::Request;

  bool answers_at_length() const override { return true; }

  void start() override {
    if (!decode(request_)) return;
    set_deadline(session_.now_ns() + KafkaSession::kRequestDeadlineNs);
    if (!is_full()) return answer_error(ErrorCode::fetch_session_id_not_found);
    if (!make_parts()) return close("a fetch of too many partitions");
    if (header_.api_version < api_.advertised_min) return refuse_version();
    TopicLookup lookup;
    for (const auto& topic : request_.topics) lookup.want(session_, topic.topic);
    switch (lookup.ask(session_, *this, kLookupTag)) {
      case TopicLookup::Outcome::nothing_to_ask: return begin();
      case TopicLookup::Outcome::refused: return fail_all(ErrorCode::kafka_storage_error);
      case TopicLookup::Outcome::asked: return;
    }
  }

  void on_reply(uint32_t tag, const Reply& reply) override {
    if (done() || tag != kLookupTag) return;
    if (!reply.ok()) return fail_all(error_of(reply));
    const auto infos = streams::decode_stream_infos(reply.payload.view());
    if (!infos) return fail_all(ErrorCode::unknown_server_error);
    session_.learn(*infos);
    begin();
  }

  void on_records(uint32_t tag, const net::RecordsRead& read) override {
    if (done()) return;
    Part& part = parts_[tag];
    --reading_;
    reserved_ -= part.reserved;
    part.reserved = 0;
    take(part, read);
    pump();
  }

  void on_advanced(net::SubscriptionId subscription) override {
    const auto found = subscriptions_.find(subscription);
    if (done() || found == subscriptions_.end()) return;
    todo_.push_back(found->second);
    read_again_.push_back(found->second);
    subscriptions_.erase(found);
    session_.unsubscribe(subscription);
    set_deadline(session_.now_ns() + KafkaSession::kRequestDeadlineNs);
    pump();
  }

  void on_deadline() override {
    if (waiting_ && reading_ == 0) return respond();
    unsubscribe_all();
    Request::on_deadline();
  }

 private:
  struct Part {
    size_t topic = 0;
    int32_t max_bytes = 0;
    int32_t leader_epoch = -1;
    PartitionId id = kNoPartition;
    Offset next = 0;        // first offset not read yet
    Offset seen_end = -1;   // of the last read
    uint64_t reserved = 0;  // bytes that its read may bring
    uint64_t bytes = 0;
    FetchResponse::Partition answer;
  };

  // A request that names all its partitions: without a session, or one that would begin one. It is answered without.
  bool is_full() const {
    constexpr int32_t kFirst = 0;
    constexpr int32_t kNone = -1;
    return request_.session_epoch == kFirst || request_.session_epoch == kNone;
  }

  bool make_parts() {
    for (size_t t = 0; t < request_.topics.size(); ++t) {
      for (const auto& asked : request_.topics[t].partitions) {
        if (parts_.size() == kPartitionsMax) return false;
        Part& part = parts_.emplace_back();
        part.topic = t;
        part.max_bytes = std::max(asked.partition_max_bytes, 0);
        part.leader_epoch = asked.current_leader_epoch;
        part.next = asked.fetch_offset;
        part.answer.partition = asked.partition;
      }
    }
    return true;
  }

  void refuse_version() {
    session_.counters().unsupported_versions.fetch_add(1, std::memory_order_relaxed);
    fail_all(ErrorCode::unsupported_version);
  }

  void fail_all(ErrorCode error) {
    for (Part& part : parts_) part.answer.error_code = wire(error);
    respond();
  }

  void begin() {
    wait_until_ns_ = session_.now_ns() + std::clamp<int64_t>(request_.max_wait_ms, 0, kMaxWaitMs) * 1'000'000;
    const auto most = static_cast<int64_t>(session_.options().max_fetch_bytes);
    budget_ = static_cast<uint64_t>(std::clamp<int64_t>(request_.max_bytes, 1, most));
    for (uint32_t i = 0; i < parts_.size(); ++i) {
      const ErrorCode error = resolve(parts_[i]);
      parts_[i].answer.error_code = wire(error);
      if (error == ErrorCode::none)
        todo_.push_back(i);
      else
        failed_ = true;
    }
    pump();
  }

  ErrorCode resolve(Part& part) {
    if (!session_.may(auth::Verb::read, topic_of(part))) return ErrorCode::topic_authorization_failed;
    const streams::PartitionInfo* known = session_.find(topic_of(part), part.answer.partition);
    if (known == nullptr) return ErrorCode::unknown_topic_or_partition;
    part.id = known->id;
    part.answer.log_start_offset = known->log_start;
    part.seen_end = std::max(known->durable_end, part.next);
    const int32_t ours = session_.options().leader_epoch;
    if (part.leader_epoch >= 0 && part.leader_epoch < ours) return ErrorCode::fenced_leader_epoch;
    if (part.leader_epoch > ours) return ErrorCode::unknown_leader_epoch;
    return ErrorCode::none;
  }

  // Reads in the order asked, as many at once as may fit the budget together.
  void pump() {
    while (next_todo_ < todo_.size() && reading_ < kReadsMax && bytes_ + reserved_ < budget_) {
      const uint32_t index = todo_[next_todo_++];
      Part& part = parts_[index];
      const uint64_t left = budget_ - bytes_ - reserved_;
      const auto wanted = static_cast<uint64_t>(part.max_bytes);
      if (part.bytes > 0 && part.bytes >= wanted) continue;
      part.reserved = std::min(left, wanted - std::min(wanted, part.bytes));
      if (!session_.read(*this, index, {part.id, part.next, static_cast<uint32_t>(part.reserved)})) {
        part.reserved = 0;
        fail(part, ErrorCode::kafka_storage_error);
        continue;
      }
      reserved_ += part.reserved;
      ++reading_;
    }
    if (reading_ == 0) settle();
  }

  void take(Part& part, const net::RecordsRead& read) {
    if (read.error) return fail(part, error_of_read(*read.error));
    part.seen_end = read.durable_end;
    part.answer.log_start_offset = read.log_start;
    if (auto* known = session_.find(topic_of(part), part.answer.partition)) {
      known->log_start = read.log_start;
      known->durable_end = read.durable_end;
    }
    for (const Buffer& batch : read.batches)
      if (!take_batch(part, batch)) return;
  }

  // False: no further batch of this read.
  bool take_batch(Part& part, const Buffer& batch) {
    const auto info = streams::decode_record_batch_header(batch.view());
    if (!info) {
      fail(part, ErrorCode::corrupt_message);
      return false;
    }
    if (info->base_offset + info->last_offset_delta < part.next) return true;
    if (bytes_ > 0 && bytes_ + batch.size() > budget_) {  // only the answer's first batch may pass the limit
      full_ = true;
      return false;
    }
    if ((info->attributes & kCodecMask) == kZstd && header_.api_version < kFirstVersionOfZstd) {
      fail(part, ErrorCode::unsupported_compression_type);
      return false;
    }
    part.next = info->base_offset + info->last_offset_delta + 1;
    part.bytes += batch.size();
    bytes_ += batch.size();
    part.answer.records.parts.push_back(batch);
    return true;
  }

  void fail(Part& part, ErrorCode error) {
    failed_ = true;
    bytes_ -= part.bytes;
    part.bytes = 0;
    part.answer.records.parts.clear();
    part.answer.error_code = wire(error);
    part.seen_end = -1;
    part.answer.log_start_offset = -1;
    if (error == ErrorCode::unknown_topic_or_partition) session_.forget(topic_of(part));
  }

  // No read is under way: answers, or waits for partitions to advance.
  void settle() {
    const bool enough = full_ || bytes_ >= budget_ || static_cast<int64_t>(bytes_) >= request_.min_bytes;
    if (failed_ || enough || session_.now_ns() >= wait_until_ns_) return respond();
    todo_.clear();
    next_todo_ = 0;
    if (!waiting_) {
      waiting_ = true;
      for (uint32_t i = 0; i < parts_.size(); ++i) wait_for(i);
    } else {
      for (const uint32_t index : std::exchange(read_again_, {})) wait_for(index);
    }
    set_deadline(wait_until_ns_);
  }

  void wait_for(uint32_t index) {
    const Part& part = parts_[index];
    subscriptions_.emplace(session_.subscribe(part.id, std::max(part.seen_end, part.next)), index);
  }

  void unsubscribe_all() {
    for (const auto& [subscription, index] : subscriptions_) session_.unsubscribe(subscription);
    subscriptions_.clear();
  }

  void respond() {
    unsubscribe_all();
    FetchResponse response;
    for (const auto& topic : request_.topics) response.topics.push_back({topic.topic, {}});
    for (Part& part : parts_) {
      if (part.answer.error_code == 0) {
        part.answer.high_watermark = part.seen_end;
        part.answer.last_stable_offset = part.seen_end;
      }
      response.topics[part.topic].partitions.push_back(std::move(part.answer));
    }
    answer(response);
  }

  void answer_error(ErrorCode error) {
    FetchResponse response;
    response.error_code = wire(error);
    answer(response);
  }

  std::string_view topic_of(const Part& part) const { return request_.topics[part.topic].topic; }

  FetchRequest request_;
  std::vector<Part> parts_;
  std::vector<uint32_t> todo_;  // parts to read, from next_todo_
  size_t next_todo_ = 0;
  std::vector<uint32_t> read_again_;
  std::unordered_map<net::SubscriptionId, uint32_t> subscriptions_;
  uint64_t budget_ = 0;
  uint64_t bytes_ = 0;
  uint64_t reserved_ = 0;
  size_t reading_ = 0;
  int64_t wait_until_ns_ = 0;
  bool full_ = false;
  bool failed_ = false;
  bool waiting_ = false;
};

}  // namespace

std::unique_ptr<Request> make_fetch(KafkaSession& session, const Api& api, RequestHeader header, Buffer frame,
                                    Bytes body) {
  return std::make_unique<Fetch>(session, api, header, std::move(frame), body);
}

}  // namespace heptane::data::kafka
