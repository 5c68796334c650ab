// Kafka produce, acks=all: one librdkafka producer against the server, which syncs to disk before it answers, and against
// librdkafka's own mock broker, which keeps nothing: what protocol and client allow. They take turns.
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "bench/benches.h"
#include "bench/heptane_process.h"
#include "bench/report.h"

namespace heptane::bench {

namespace {

constexpr double kRatioBar = 0.70;
constexpr const char* kTopic = "bench";
constexpr std::pair<const char*, const char*> kProducerSettings[] = {
    {"acks", "all"},    {"linger.ms", "5"}, {"queue.buffering.max.messages", "200000"}, {"compression.type", "none"},
    {"log_level", "3"},
};

[[noreturn]] void give_up(const std::string& why) {
  std::fprintf(stderr, "bench: %s\n", why.c_str());
  std::exit(1);
}

struct Delivered {
  uint64_t count = 0;
};

void on_delivery(rd_kafka_t*, const rd_kafka_message_t* message, void* opaque) {
  if (message->err != 0) give_up(std::string("a record was refused: ") + rd_kafka_err2str(message->err));
  ++static_cast<Delivered*>(opaque)->count;
}

rd_kafka_t* make_producer(const std::string& brokers, Delivered& delivered) {
  rd_kafka_conf_t* conf = rd_kafka_conf_new();
  char error[256];
  const auto set = [&](const char* name, const char* value) {
    if (rd_kafka_conf_set(conf, name, value, error, sizeof error) != RD_KAFKA_CONF_OK) give_up(error);
  };
  if (!brokers.empty()) set("bootstrap.servers", brokers.c_str());
  for (const auto& [name, value] : kProducerSettings) set(name, value);
  rd_kafka_conf_set_dr_msg_cb(conf, &on_delivery);
  rd_kafka_conf_set_opaque(conf, &delivered);
  rd_kafka_t* producer = rd_kafka_new(RD_KAFKA_PRODUCER, conf, error, sizeof error);
  if (producer == nullptr) give_up(error);
  return producer;
}

void produce_one(rd_kafka_t* producer, const std::string& value) {
  for (;;) {
    const rd_kafka_resp_err_t error = rd_kafka_producev(producer, RD_KAFKA_V_TOPIC(kTopic), RD_KAFKA_V_PARTITION(0),
                                                        RD_KAFKA_V_VALUE(const_cast<char*>(value.data()), value.size()),
                                                        RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END);
    if (error == RD_KAFKA_RESP_ERR_NO_ERROR) return;
    if (error != RD_KAFKA_RESP_ERR__QUEUE_FULL) give_up(rd_kafka_err2str(error));
    rd_kafka_poll(producer, 1);
  }
}

// Records a second, from the first that is sent to the last that is acknowledged. One before, so that both know the topic.
double produce(const std::string& brokers, size_t record_bytes, uint64_t records) {
  Delivered delivered;
  rd_kafka_t* producer = make_producer(brokers, delivered);
  const std::string value(record_bytes, 'v');
  produce_one(producer, value);
  while (delivered.count < 1) rd_kafka_poll(producer, 10);
  const int64_t begin_ns = now_ns();
  for (uint64_t i = 0; i < records; ++i) {
    produce_one(producer, value);
    if (i % 1024 == 0) rd_kafka_poll(producer, 0);
  }
  while (delivered.count < records + 1) rd_kafka_poll(producer, 10);
  const double seconds = static_cast<double>(now_ns() - begin_ns) / 1e9;
  rd_kafka_destroy(producer);
  return static_cast<double>(records) / seconds;
}

// A cluster of one broker in this process.
class MockBroker {
 public:
  MockBroker() : owner_(make_producer("", unused_)), cluster_(rd_kafka_mock_cluster_new(owner_, 1)) {
    if (cluster_ == nullptr) give_up("librdkafka's mock broker does not start");
    rd_kafka_mock_topic_create(cluster_, kTopic, 1, 1);
  }
  ~MockBroker() {
    rd_kafka_mock_cluster_destroy(cluster_);
    rd_kafka_destroy(owner_);
  }
  MockBroker(const MockBroker&) = delete;
  MockBroker& operator=(const MockBroker&) = delete;
  std::string brokers() const { return rd_kafka_mock_cluster_bootstraps(cluster_); }

 private:
  Delivered unused_;
  rd_kafka_t* owner_;
  rd_kafka_mock_cluster_t* cluster_;
};

}  // namespace

bool bench_produce(const Scratch& scratch) {
  const uint64_t bytes = from_environment("BENCH_PRODUCE_BYTES", uint64_t{128} << 20);
  const uint64_t rounds = from_environment("BENCH_PRODUCE_ROUNDS", 5);
  Report report("produce");
  std::string settings;
  for (const auto& [name, value] : kProducerSettings)
    settings += (settings.empty() ? "" : ", ") + std::string(name) + "=" + value;
  report.setting("producer", std::string("librdkafka ") + rd_kafka_version_str() + ", " + settings);
  report.setting("Heptane", "synced to disk before the answer");
  report.setting("mock broker", "keeps nothing: the ceiling of protocol and client");
  report.setting("each round", bytes_text(bytes) + ", " + std::to_string(rounds) + " rounds of each in turn, medians");
  for (const size_t record_bytes : {size_t{200}, size_t{1024}}) {
    std::vector<double> ours;
    std::vector<double> peers;
    HeptaneProcess server(scratch.below("produce-" + std::to_string(record_bytes)));
    const MockBroker mock;
    for (uint64_t round = 0; round < rounds; ++round) {
      peers.push_back(produce(mock.brokers(), record_bytes, bytes / record_bytes));
      ours.push_back(produce(server.kafka(), record_bytes, bytes / record_bytes));
    }
    const double share = median(ours) / median(peers);
    report.row({std::to_string(record_bytes) + " B, acks=all", rate(median(ours)), "mock " + rate(median(peers)),
                ratio(share), ">= 0.70", share >= kRatioBar});
  }
  return report.print();
}

}  // namespace heptane::bench
