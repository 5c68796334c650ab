// A lean NATS client for the produce bench: one connection, one thread, the protocol's text written by hand
// (https://docs.nats.io/reference/reference-protocols/nats-protocol). A record is a PUB with a reply subject into a JetStream
// stream; it is acknowledged when the stream's PubAck has come back. At most `in_flight` records wait for theirs.
#pragma once

#include <cstdint>
#include <string>

namespace heptane::bench {

class NatsWire {
 public:
  explicit NatsWire(uint16_t port);  // of 127.0.0.1; ends the bench with the reason when it is no NATS server
  ~NatsWire();
  NatsWire(const NatsWire&) = delete;
  NatsWire& operator=(const NatsWire&) = delete;

  // A stream with one subject of the same name, in files, one replica.
  void create_stream(const std::string& name);
  // Sends `records` times `value` and returns when all are acknowledged; a refused one ends the bench.
  void publish(const std::string& subject, const std::string& value, uint64_t records, uint64_t in_flight);

 private:
  void write_all(std::string_view text);
  std::string ask(const std::string& subject, const std::string& payload);
  uint64_t take_acknowledgements();
  bool read_more(bool wait);
  // The payload of the next message that is whole in `input_`; answers pings. False: more bytes are needed.
  bool next_message(std::string_view& payload);

  int fd_ = -1;
  std::string input_;
  size_t used_ = 0;  // of input_
};

}  // namespace heptane::bench
