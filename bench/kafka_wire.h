// A lean Kafka client for benches: one blocking connection, requests written by hand (Metadata 4, Produce 7, Fetch 4), so
// that what is measured is the server. It looks at headers and offsets of record batches, not at their CRC. One thread's.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernel/base/bytes.h"

namespace heptane::bench {

class KafkaWire {
 public:
  explicit KafkaWire(const std::string& endpoint);  // host:port; ends the bench when nobody listens
  ~KafkaWire();
  KafkaWire(const KafkaWire&) = delete;
  KafkaWire& operator=(const KafkaWire&) = delete;

  void create(const std::vector<std::string>& topics);
  // Sends one record batch for each topic in one request, acks=all; take_produced() waits for one answer.
  void send_produce(const std::vector<std::string>& topics, Bytes record_batch);
  void take_produced();
  size_t in_flight() const { return in_flight_; }

  struct Read {
    uint64_t bytes = 0;  // of record batches
    uint64_t records = 0;
    double seconds = 0;
  };
  // From the beginning to the end, at most `max_bytes` a request, one request at a time.
  Read read_all(const std::string& topic, int32_t max_bytes);

 private:
  ByteWriter& begin(int16_t api, int16_t version);
  void send();
  ByteReader receive();

  int fd_ = -1;
  int32_t correlation_ = 0;
  size_t in_flight_ = 0;
  ByteWriter request_;
  std::vector<std::byte> answer_;
};

// An uncompressed record batch of `records` records of `value_bytes` that do not compress.
std::vector<std::byte> make_record_batch(uint32_t records, size_t value_bytes);

}  // namespace heptane::bench
