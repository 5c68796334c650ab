// The consumer of the simulator, and the client that sends rubbish.
#include <algorithm>

#include "kernel/base/crc32c.h"
#include "kernel/streams/record_batch.h"
#include "sim/kafka_client.h"

namespace heptane::sim {

namespace {

namespace layout = streams::record_batch_layout;

constexpr int16_t kProduce = 0;
constexpr int16_t kFetch = 1;
constexpr int16_t kMetadata = 3;
constexpr int16_t kApiVersions = 18;

enum FetchError : int16_t { kNone = 0, kOffsetOutOfRange = 1, kCorrupt = 2, kUnknownTopic = 3 };

void put_string(ByteWriter& out, std::string_view text) {
  out.be<int16_t>(static_cast<int16_t>(text.size()));
  out.append(text);
}

void put_fetch(ByteWriter& out, std::string_view topic, Offset offset, SeededRandom& random, bool slow) {
  out.be<int32_t>(-1);
  out.be<int32_t>(static_cast<int32_t>(random.below(500)));  // max_wait_ms
  out.be<int32_t>(static_cast<int32_t>(random.below(3)));    // min_bytes
  out.be<int32_t>(static_cast<int32_t>(1 + random.below(slow ? 100'000 : 30'000)));
  out.u8(0);
  out.be<int32_t>(1);
  put_string(out, topic);
  out.be<int32_t>(1);
  out.be<int32_t>(0);
  out.be<int64_t>(offset);
  out.be<int32_t>(static_cast<int32_t>(random.below(20'000)));
}

}  // namespace

SimConsumer::SimConsumer(ClientWorld& world, size_t topic, bool slow) : SimClient(world), topic_(topic), slow_(slow) {
  if (slow_) read_limit_ = 200;
}

std::string SimConsumer::state() const {
  return "consumer of topic " + std::to_string(topic_) + " (at offset " + std::to_string(next_) + ")";
}

bool SimConsumer::awake() {
  if (finishing_) read_limit_ = 64 << 10;
  return finishing_ || !slow_ || world_.random.one_in(10);
}

void SimConsumer::on_connected() {}

void SimConsumer::go_on() {
  if (unanswered() > 0) return;
  promised_when_asked_ = world_.checker.promised_end(topic_) > 0;
  put_fetch(begin_request(kFetch, 4), topic_name(topic_), next_, world_.random, slow_);
  end_request();
}

bool SimConsumer::on_answer(int16_t api, ByteReader& body) {
  if (api != kFetch) return false;
  body.be<int32_t>();
  if (body.be<int32_t>() != 1) return false;
  const auto name_length = body.be<int16_t>();
  if (name_length < 0) return false;
  body.skip(static_cast<size_t>(name_length));
  if (body.be<int32_t>() != 1 || body.be<int32_t>() != 0) return false;
  const auto error = body.be<int16_t>();
  const auto high_watermark = body.be<int64_t>();
  body.be<int64_t>();
  const auto aborted = body.be<int32_t>();
  const auto bytes = body.be<int32_t>();
  if (aborted > 0 || bytes < -1) return false;
  const Bytes records = body.take(bytes < 0 ? 0 : static_cast<size_t>(bytes));
  if (!body.complete()) return false;
  if (error != kNone) {
    const bool promised = promised_when_asked_ && !world_.checker.lost_tail_allowed();
    if ((error == kUnknownTopic || error == kOffsetOutOfRange || error == kCorrupt) && promised)
      world_.checker.fail(state() + ": Fetch answers error " + std::to_string(error));
    reconnect_later("nothing to read");
    return true;
  }
  high_watermark_ = high_watermark;
  world_.checker.told_end(topic_, high_watermark);
  return on_records(records);
}

bool SimConsumer::on_records(Bytes records) {
  const Offset from = next_;
  while (!records.empty()) {
    const Result<streams::RecordBatchInfo> batch = streams::decode_record_batch_header(records);
    if (!batch || batch->total_bytes > records.size()) return false;
    const Bytes whole = records.first(batch->total_bytes);
    if (crc32c(whole.subspan(layout::kAttributes)) != batch->crc) {
      world_.checker.fail(state() + " was given a record batch with a bad CRC");
      return true;
    }
    const Result<void> walked = streams::for_each_record(whole, [&](const streams::RecordView& record) {
      if (record.offset < next_) return;
      if (record.offset != next_)
        world_.checker.fail(state() + " was given offset " + std::to_string(record.offset) + " next");
      world_.checker.seen(topic_, record.offset, record.value);
      next_ = record.offset + 1;
    });
    if (!walked) return false;
    records = records.subspan(batch->total_bytes);
  }
  if (next_ > high_watermark_)
    world_.checker.fail(state() + " was given records beyond the end " + std::to_string(high_watermark_));
  if (next_ > from) world_.trace(state() + ": read from offset " + std::to_string(from));
  return true;
}

SimVandal::SimVandal(ClientWorld& world) : SimClient(world) { expects_answers_ = false; }

bool SimVandal::on_answer(int16_t api, ByteReader& body) {
  (void)api, (void)body;
  return true;
}

bool SimVandal::awake() {
  if (finishing_) disconnect();
  return !finishing_ && world_.random.one_in(4);
}

void SimVandal::go_on() {
  switch (world_.random.below(12)) {
    case 0: return reconnect_later("leaves");
    case 1: return half_close();
    case 2:
    case 3: return send_random_bytes();
    case 4:
    case 5:
    case 6: return send_changed_request();
    default: return;
  }
}

void SimVandal::send_random_bytes() {
  std::vector<std::byte> bytes(1 + world_.random.below(300));
  world_.random.fill(bytes);
  if (bytes.size() >= 4 && world_.random.one_in(2))
    store_be<uint32_t>(bytes.data(), static_cast<uint32_t>(bytes.size()));
  write_raw(bytes);
}

// A request as others send it, with a few of its bytes changed, cut short or with another length.
void SimVandal::send_changed_request() {
  static constexpr std::string_view kTopic = "rubbish";
  SeededRandom& random = world_.random;
  ByteWriter out;
  static constexpr int16_t kApis[] = {kProduce, kFetch, kMetadata, kApiVersions};
  const int16_t api = kApis[random.below(4)];
  out.be<int32_t>(0);
  out.be<int16_t>(api);
  out.be<int16_t>(api == kProduce ? 7 : api == kFetch ? 4 : 2);
  out.be<int32_t>(1);
  out.be<int16_t>(-1);
  if (api == kFetch) {
    put_fetch(out, kTopic, static_cast<Offset>(random.below(10)), random, false);
  } else if (api == kMetadata) {
    out.be<int32_t>(1);
    put_string(out, kTopic);
  } else if (api == kProduce) {
    streams::RecordBatchBuilder builder;
    builder.begin(world_.clock.utc_ns() / 1'000'000);
    for (uint64_t i = 0, count = 1 + random.below(5); i < count; ++i)
      builder.add(world_.clock.utc_ns() / 1'000'000, false, {}, true, as_bytes(kTopic));
    const Bytes batch = builder.finish(0, -1, true);
    out.be<int16_t>(-1);
    out.be<int16_t>(static_cast<int16_t>(random.below(3)) - 1);
    out.be<int32_t>(1000);
    out.be<int32_t>(1);
    put_string(out, kTopic);
    out.be<int32_t>(1);
    out.be<int32_t>(0);
    out.be<int32_t>(static_cast<int32_t>(batch.size()));
    out.append(batch);
  }
  store_be<int32_t>(out.at(0), static_cast<int32_t>(out.size() - 4));
  for (uint64_t i = 0, count = random.below(4); i < count; ++i)
    *out.at(random.below(out.size())) = static_cast<std::byte>(random.below(256));
  write_raw(out.view().first(random.one_in(4) ? random.below(out.size()) : out.size()));
}

}  // namespace heptane::sim
