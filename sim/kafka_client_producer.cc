// The idempotent producer of the simulator.
#include <algorithm>

#include "kernel/base/crc32c.h"
#include "kernel/streams/record_batch.h"
#include "sim/kafka_client.h"

namespace heptane::sim {

namespace {

namespace layout = streams::record_batch_layout;

constexpr int16_t kProduce = 0;
constexpr int16_t kMetadata = 3;
constexpr int16_t kInitProducerId = 22;
constexpr size_t kPendingBatchesMax = 8;
constexpr uint32_t kRecordsPerBatchMax = 12;

// Answers after which a client sends again: the server was busy, slow or going.
bool may_be_sent_again(int16_t error) { return error == 5 || error == 7 || error == 19 || error == 56; }

void put_string(ByteWriter& out, const std::string& text) {
  out.be<int16_t>(static_cast<int16_t>(text.size()));
  out.append(text);
}

void skip_string(ByteReader& in) {
  const auto length = in.be<int16_t>();
  if (length > 0) in.skip(static_cast<size_t>(length));
}

}  // namespace

SimProducer::SimProducer(ClientWorld& world, uint32_t number, size_t topic, uint32_t in_flight_limit)
    : SimClient(world), number_(number), topic_(topic), in_flight_limit_(in_flight_limit) {}

std::string SimProducer::state() const {
  return "producer " + std::to_string(number_) + " (id " + std::to_string(producer_id_) + ", next number " +
         std::to_string(next_number_) + ", " + std::to_string(unacknowledged_.size()) + " batches unacknowledged)";
}

bool SimProducer::awake() {
  if (world_.random.one_in(200)) paused_ = !paused_;
  return finishing_ || !paused_;
}

void SimProducer::on_connected() {
  topic_known_ = false;
  asked_for_id_ = false;
  for (Batch& batch : unacknowledged_) batch.sent = false;
}

void SimProducer::go_on() {
  if (finishing_ && finished()) return;
  if (!topic_known_) {
    if (unanswered() > 0) return;
    ByteWriter& out = begin_request(kMetadata, 4);
    out.be<int32_t>(1);
    put_string(out, topic_name(topic_));
    out.u8(1);  // create it
    return end_request();
  }
  if (producer_id_ < 0) {
    if (std::exchange(asked_for_id_, true)) return;
    ByteWriter& out = begin_request(kInitProducerId, 1);
    out.be<int16_t>(-1);
    out.be<int32_t>(60'000);
    return end_request();
  }
  make_batches();
  for (Batch& batch : unacknowledged_) {
    if (unanswered() >= in_flight_limit_) return;
    if (!batch.sent) send_batch(batch);
  }
}

void SimProducer::make_batches() {
  while (!finishing_ && unacknowledged_.size() < kPendingBatchesMax && world_.random.one_in(2)) {
    Batch batch{next_number_, 0, false};
    const auto wanted = static_cast<uint32_t>(1 + world_.random.below(kRecordsPerBatchMax));
    for (size_t bytes = 0; batch.count < wanted; ++batch.count) {
      bytes += record_value({number_, batch.first + batch.count}).size() + 20;
      if (batch.count > 0 && bytes > world_.batch_bytes_limit) break;
    }
    next_number_ += batch.count;
    unacknowledged_.push_back(batch);
  }
}

void SimProducer::send_batch(Batch& batch) {
  batch.sent = true;
  const int64_t now_ms = world_.clock.utc_ns() / 1'000'000;
  streams::RecordBatchBuilder builder;
  builder.begin(now_ms);
  for (uint32_t i = 0; i < batch.count; ++i) {
    const std::string value = record_value({number_, batch.first + i});
    builder.add(now_ms, i % 2 == 0, as_bytes(topic_name(topic_)), true, as_bytes(value));
  }
  const Bytes built = builder.finish(0, -1, false);
  std::vector<std::byte> bytes(built.begin(), built.end());
  store_be<int64_t>(bytes.data() + layout::kProducerId, producer_id_);
  store_be<int16_t>(bytes.data() + layout::kProducerEpoch, producer_epoch_);
  store_be<int32_t>(bytes.data() + layout::kBaseSequence, static_cast<int32_t>(batch.first));
  store_be<uint32_t>(bytes.data() + layout::kCrc, crc32c(Bytes(bytes).subspan(layout::kAttributes)));

  ByteWriter& out = begin_request(kProduce, 7);
  out.be<int16_t>(-1);  // no transaction
  out.be<int16_t>(world_.random.one_in(2) ? -1 : 1);
  out.be<int32_t>(30'000);
  out.be<int32_t>(1);
  put_string(out, topic_name(topic_));
  out.be<int32_t>(1);
  out.be<int32_t>(0);
  out.be<int32_t>(static_cast<int32_t>(bytes.size()));
  out.append(bytes);
  end_request();
}

bool SimProducer::on_answer(int16_t api, ByteReader& body) {
  if (api == kMetadata) return on_metadata(body);
  if (api == kInitProducerId) return on_producer_id(body);
  return on_produced(body);
}

bool SimProducer::on_metadata(ByteReader& body) {
  body.be<int32_t>();
  const auto brokers = body.be<int32_t>();
  for (int32_t i = 0; i < brokers && !body.failed(); ++i) {
    body.be<int32_t>();
    skip_string(body);
    body.be<int32_t>();
    skip_string(body);
  }
  skip_string(body);
  body.be<int32_t>();
  if (body.be<int32_t>() != 1) return false;
  const auto error = body.be<int16_t>();
  if (body.failed()) return false;
  if (error != 0) {
    if (!may_be_sent_again(error)) world_.checker.fail(state() + ": Metadata answers error " + std::to_string(error));
    reconnect_later("no metadata");
    return true;
  }
  topic_known_ = true;
  world_.checker.created(topic_);
  return true;
}

bool SimProducer::on_producer_id(ByteReader& body) {
  body.be<int32_t>();
  const auto error = body.be<int16_t>();
  const auto id = body.be<int64_t>();
  const auto epoch = body.be<int16_t>();
  if (!body.complete()) return false;
  if (error != 0) {
    reconnect_later("no producer id");
    return true;
  }
  producer_id_ = id;
  producer_epoch_ = epoch;
  return true;
}

bool SimProducer::on_produced(ByteReader& body) {
  if (body.be<int32_t>() != 1) return false;
  skip_string(body);
  if (body.be<int32_t>() != 1 || body.be<int32_t>() != 0) return false;
  const auto error = body.be<int16_t>();
  const auto base_offset = body.be<int64_t>();
  body.skip(8 + 8 + 4);
  if (!body.complete() || unacknowledged_.empty()) return false;
  on_batch_answer(error, base_offset);
  return true;
}

// Answers come in order of the requests, and these were sent in order of the batches.
void SimProducer::on_batch_answer(int16_t error, Offset base_offset) {
  const Batch batch = unacknowledged_.front();
  if (error != 0) {
    if (!may_be_sent_again(error) && !world_.checker.lost_tail_allowed())
      world_.checker.fail(state() + ": the batch from number " + std::to_string(batch.first) +
                          " was refused with error " + std::to_string(error));
    return reconnect_later("refused for now");
  }
  unacknowledged_.pop_front();
  world_.trace("producer " + std::to_string(number_) + ": numbers " + std::to_string(batch.first) + ".." +
               std::to_string(batch.first + batch.count - 1) + " acknowledged at offset " +
               std::to_string(base_offset));
  world_.checker.acknowledged(topic_, {number_, batch.first}, batch.count, base_offset);
}

}  // namespace heptane::sim
