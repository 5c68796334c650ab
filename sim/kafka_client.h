// Model clients of the simulator (the ledger's: ledger_client.h): they speak real Kafka bytes over SimNet, written from the protocol's documentation and
// not with the gateway's codec, so that both must agree. Each turn writes what it can and reads what has come.
//
// A producer keeps its id and numbers over every reconnect and sends again, in order and in the same batches, what was
// not acknowledged; a consumer goes on where it was. What they learn goes to the Checker. One owner.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "sim/checker.h"
#include "sim/sim_clock.h"
#include "sim/sim_net.h"

namespace heptane::sim {

// What all clients of one simulation share.
struct ClientWorld {
  SimNet& net;
  SimClock& clock;
  SeededRandom& random;
  Checker& checker;
  std::function<void(const std::string&)> trace;
  uint16_t port = 0;                  // of the server's Kafka listener
  size_t batch_bytes_limit = 12'000;  // of values in one record batch
};

std::string topic_name(size_t topic);

class SimClient {
 public:
  explicit SimClient(ClientWorld& world) : world_(world) {}
  virtual ~SimClient() = default;
  SimClient(const SimClient&) = delete;
  SimClient& operator=(const SimClient&) = delete;

  void turn();
  // The machine or the path to it went down: the next turn connects again.
  void disconnect() { stream_.reset(); }
  // The next turn connects again while the server still has this connection.
  void leave_open() { left_ = std::move(stream_); }
  // No faults any more: nothing to do but to come to an end.
  virtual void finish() { finishing_ = true; }
  virtual bool finished() const { return true; }
  virtual std::string state() const = 0;

 protected:
  // Called when connected and after every answer: sends what is to be sent.
  virtual void go_on() = 0;
  virtual void on_connected() {}
  // The body of an answer, after the correlation id. False: it cannot be read.
  virtual bool on_answer(int16_t api, ByteReader& body) = 0;
  // Before each turn; a lazy client returns false and does nothing.
  virtual bool awake() { return true; }
  virtual uint16_t port() const { return world_.port; }
  // Takes what input_ holds whole; false: the connection is gone. This one takes Kafka's answers.
  virtual bool take_frames();

  ByteWriter& begin_request(int16_t api, int16_t version);
  void end_request();
  void write_raw(Bytes bytes) { output_.insert(output_.end(), bytes.begin(), bytes.end()); }
  void half_close() { half_close_wanted_ = true; }
  size_t unanswered() const { return waiting_.size(); }
  bool connected() const { return stream_ != nullptr; }
  bool may_connect() const { return world_.clock.monotonic_ns() >= connect_after_ns_; }
  void reconnect_later(const char* why);
  bool read_only() const { return half_close_wanted_; }

  ClientWorld& world_;
  bool finishing_ = false;
  size_t read_limit_ = 64 << 10;  // of one turn
  bool expects_answers_ = true;   // false: what comes is not looked at
  std::vector<std::byte> input_;

 private:
  void connect();
  void flush();
  void read();

  struct Waiting {
    int16_t api;
    int32_t correlation;
    int64_t since_ns;
  };

  std::unique_ptr<SimStream> stream_;
  std::unique_ptr<SimStream> left_;
  std::vector<std::byte> output_;
  ByteWriter request_;
  std::deque<Waiting> waiting_;
  int32_t correlation_ = 0;
  int64_t connect_after_ns_ = 0;
  bool half_close_wanted_ = false;
  bool half_closed_ = false;
};

class SimProducer final : public SimClient {
 public:
  SimProducer(ClientWorld& world, uint32_t number, size_t topic, uint32_t in_flight_limit);
  bool finished() const override { return unacknowledged_.empty(); }
  std::string state() const override;

 private:
  struct Batch {
    uint32_t first = 0;
    uint32_t count = 0;
    bool sent = false;  // over this connection
  };
  void go_on() override;
  void on_connected() override;
  bool on_answer(int16_t api, ByteReader& body) override;
  bool awake() override;
  bool on_metadata(ByteReader& body);
  bool on_producer_id(ByteReader& body);
  bool on_produced(ByteReader& body);
  void on_batch_answer(int16_t error, Offset base_offset);
  void make_batches();
  void send_batch(Batch& batch);

  const uint32_t number_;
  const size_t topic_;
  const uint32_t in_flight_limit_;
  int64_t producer_id_ = -1;
  int16_t producer_epoch_ = -1;
  bool asked_for_id_ = false;
  bool topic_known_ = false;  // over this connection
  uint32_t next_number_ = 0;
  std::deque<Batch> unacknowledged_;
  bool paused_ = false;
};

class SimConsumer final : public SimClient {
 public:
  SimConsumer(ClientWorld& world, size_t topic, bool slow);
  bool finished() const override { return next_ >= world_.checker.promised_end(topic_); }
  std::string state() const override;

 private:
  void go_on() override;
  void on_connected() override;
  bool on_answer(int16_t api, ByteReader& body) override;
  bool awake() override;
  bool on_records(Bytes records);

  const size_t topic_;
  const bool slow_;
  Offset next_ = 0;
  Offset high_watermark_ = 0;
  bool promised_when_asked_ = false;  // something of the topic: it must be there
};

// Sends rubbish: random bytes, requests with bytes changed, lengths that lie, half a request; closes, resets and
// half-closes at any moment. What it gets back is read and not believed.
class SimVandal final : public SimClient {
 public:
  explicit SimVandal(ClientWorld& world);
  std::string state() const override { return "vandal"; }

 private:
  void go_on() override;
  bool on_answer(int16_t api, ByteReader& body) override;
  bool awake() override;
  void send_random_bytes();
  void send_changed_request();
};

}  // namespace heptane::sim
