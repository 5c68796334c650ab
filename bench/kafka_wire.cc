#include "bench/kafka_wire.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "bench/report.h"
#include "kernel/base/random.h"
#include "kernel/streams/record_batch.h"

namespace heptane::bench {

namespace {

constexpr int16_t kProduce = 0;
constexpr int16_t kFetch = 1;
constexpr int16_t kMetadata = 3;
constexpr int32_t kAnswerBytesMax = 256 << 20;

[[noreturn]] void give_up(const std::string& why) {
  std::fprintf(stderr, "bench: %s\n", why.c_str());
  std::exit(1);
}

void put_string(ByteWriter& out, const std::string& text) {
  out.be<int16_t>(static_cast<int16_t>(text.size()));
  out.append(text);
}

void skip_string(ByteReader& in) {
  const auto length = in.be<int16_t>();
  if (length > 0) in.skip(static_cast<size_t>(length));
}

}  // namespace

KafkaWire::KafkaWire(const std::string& endpoint) {
  const size_t colon = endpoint.rfind(':');
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(std::stoi(endpoint.substr(colon + 1))));
  ::inet_pton(AF_INET, endpoint.substr(0, colon).c_str(), &address.sin_addr);
  fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (::connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    give_up("nobody listens at " + endpoint);
  const int on = 1;
  ::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

KafkaWire::~KafkaWire() { ::close(fd_); }

ByteWriter& KafkaWire::begin(int16_t api, int16_t version) {
  request_.clear();
  request_.be<int32_t>(0);  // the length
  request_.be<int16_t>(api);
  request_.be<int16_t>(version);
  request_.be<int32_t>(++correlation_);
  put_string(request_, "bench");
  return request_;
}

void KafkaWire::send() {
  store_be<int32_t>(request_.at(0), static_cast<int32_t>(request_.size() - 4));
  for (Bytes left = request_.view(); !left.empty();) {
    const ssize_t count = ::send(fd_, left.data(), left.size(), MSG_NOSIGNAL);
    if (count <= 0) give_up("the server has closed the connection");
    left = left.subspan(static_cast<size_t>(count));
  }
}

ByteReader KafkaWire::receive() {
  const auto fill = [this](MutableBytes into) {
    while (!into.empty()) {
      const ssize_t count = ::recv(fd_, into.data(), into.size(), 0);
      if (count <= 0) give_up("the server has closed the connection");
      into = into.subspan(static_cast<size_t>(count));
    }
  };
  std::byte length_bytes[4];
  fill(length_bytes);
  const auto length = load_be<int32_t>(length_bytes);
  if (length < 4 || length > kAnswerBytesMax) give_up("an answer of an absurd length");
  if (answer_.size() < static_cast<size_t>(length)) answer_.resize(static_cast<size_t>(length));
  const MutableBytes answer(answer_.data(), static_cast<size_t>(length));
  fill(answer);
  ByteReader body(answer);
  body.skip(4);  // the correlation: answers come in order
  return body;
}

void KafkaWire::create(const std::vector<std::string>& topics) {
  ByteWriter& out = begin(kMetadata, 4);
  out.be<int32_t>(static_cast<int32_t>(topics.size()));
  for (const std::string& topic : topics) put_string(out, topic);
  out.u8(1);
  send();
  (void)receive();
}

void KafkaWire::send_produce(const std::vector<std::string>& topics, Bytes record_batch) {
  ByteWriter& out = begin(kProduce, 7);
  out.be<int16_t>(-1);  // no transaction
  out.be<int16_t>(-1);  // acks=all
  out.be<int32_t>(30'000);
  out.be<int32_t>(static_cast<int32_t>(topics.size()));
  for (const std::string& topic : topics) {
    put_string(out, topic);
    out.be<int32_t>(1);
    out.be<int32_t>(0);
    out.be<int32_t>(static_cast<int32_t>(record_batch.size()));
    out.append(record_batch);
  }
  send();
  ++in_flight_;
}

void KafkaWire::take_produced() {
  ByteReader body = receive();
  --in_flight_;
  for (auto topics = body.be<int32_t>(); topics > 0; --topics) {
    skip_string(body);
    for (auto partitions = body.be<int32_t>(); partitions > 0; --partitions) {
      body.skip(4);
      if (const auto error = body.be<int16_t>(); error != 0)
        give_up("a record batch was refused with error " + std::to_string(error));
      body.skip(24);
    }
  }
  if (body.failed()) give_up("an answer to Produce that cannot be read");
}

KafkaWire::Read KafkaWire::read_all(const std::string& topic, int32_t max_bytes) {
  Read read;
  const int64_t begin_ns = now_ns();
  for (int64_t next = 0, end = 1; next < end;) {
    ByteWriter& out = begin(kFetch, 4);
    out.be<int32_t>(-1);
    out.be<int32_t>(500);  // max_wait_ms
    out.be<int32_t>(1);    // min_bytes
    out.be<int32_t>(50 << 20);
    out.u8(0);
    out.be<int32_t>(1);
    put_string(out, topic);
    out.be<int32_t>(1);
    out.be<int32_t>(0);
    out.be<int64_t>(next);
    out.be<int32_t>(max_bytes);
    send();
    ByteReader body = receive();
    body.skip(4);
    if (body.be<int32_t>() != 1) give_up("an answer to Fetch without its topic");
    skip_string(body);
    body.skip(8);
    if (const auto error = body.be<int16_t>(); error != 0) give_up("Fetch answers error " + std::to_string(error));
    end = body.be<int64_t>();
    body.skip(8 + 4);
    const auto length = body.be<int32_t>();
    Bytes records = body.take(length < 0 ? 0 : static_cast<size_t>(length));
    while (!records.empty()) {
      const Result<streams::RecordBatchInfo> batch = streams::decode_record_batch_header(records);
      if (!batch || batch->base_offset > next) give_up("a record batch that does not follow");
      next = batch->base_offset + batch->record_count;
      read.records += static_cast<uint64_t>(batch->record_count);
      read.bytes += batch->total_bytes;
      records = records.subspan(batch->total_bytes);
    }
  }
  read.seconds = static_cast<double>(now_ns() - begin_ns) / 1e9;
  return read;
}

std::vector<std::byte> make_record_batch(uint32_t records, size_t value_bytes) {
  SeededRandom random(records + value_bytes);
  streams::RecordBatchBuilder builder;
  builder.begin(1'700'000'000'000);
  std::vector<std::byte> value(value_bytes);
  for (uint32_t i = 0; i < records; ++i) {
    random.fill(value);
    builder.add(1'700'000'000'000, false, {}, true, value);
  }
  const Bytes batch = builder.finish(0, -1, true);
  return {batch.begin(), batch.end()};
}

}  // namespace heptane::bench
