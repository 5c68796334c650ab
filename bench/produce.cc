// Kafka produce, acks=all: one librdkafka producer against the server, which syncs to disk before it answers, and against
// librdkafka's own mock broker, which keeps nothing: what protocol and client allow. They take turns. nats-server with a
// JetStream stream of one replica in files takes the same records from a client of the bench's own (nats_wire.h); no bar, as
// the one that Debian has cannot sync before it acknowledges.
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

#include <sys/wait.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bench/benches.h"
#include "bench/heptane_process.h"
#include "bench/nats_wire.h"
#include "bench/peer_process.h"
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

// JetStream with a stream of one replica in files. Synced before it acknowledges where the server can (2.10 and newer).
class NatsServer {
 public:
  static constexpr const char* kStream = "bench";
  static constexpr uint64_t kInFlight = 16'384;

  // Absent: it is not installed.
  static std::optional<NatsServer> start(const std::string& directory);
  double produce(size_t record_bytes, uint64_t records) const;
  const char* durability() const {
    return syncs_ ? "sync_interval: always, synced before the PubAck"
                  : "this version has no sync_interval: acknowledged BEFORE it is synced, synced every minute or two";
  }

 private:
  NatsServer(std::unique_ptr<PeerProcess> server, uint16_t port, bool syncs)
      : server_(std::move(server)), port_(port), syncs_(syncs) {}

  std::unique_ptr<PeerProcess> server_;
  uint16_t port_;
  bool syncs_;
};

// The configuration written for it, and whether the server takes it.
bool configure_nats(const std::string& program, const std::string& file, const std::string& directory, uint16_t port,
                    bool sync) {
  std::ofstream(file) << "listen: 127.0.0.1:" << port << "\njetstream {\n  store_dir: \"" << directory << "/js\"\n"
                      << "  max_file_store: 64GB\n"
                      << (sync ? "  sync_interval: always\n" : "") << "}\n";
  const int status = std::system((program + " -t -c '" + file + "' > '" + file + ".check' 2>&1").c_str());
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

std::optional<NatsServer> NatsServer::start(const std::string& directory) {
  const std::string program = find_program("nats-server");
  if (program.empty()) return {};
  std::filesystem::create_directories(directory);
  const std::string file = std::filesystem::absolute(directory) / "server.conf";
  const std::string absolute = std::filesystem::absolute(directory);
  const uint16_t port = free_port();
  const bool syncs = configure_nats(program, file, absolute, port, true);
  if (!syncs && !configure_nats(program, file, absolute, port, false))
    give_up("nats-server refuses its configuration: see " + file + ".check");
  NatsServer started(std::make_unique<PeerProcess>(directory, std::vector<std::string>{program, "-c", file}, port),
                     port, syncs);
  NatsWire(port).create_stream(kStream);
  return started;
}

double NatsServer::produce(size_t record_bytes, uint64_t records) const {
  NatsWire client(port_);
  const std::string value(record_bytes, 'v');
  client.publish(kStream, value, 1, 1);
  const int64_t begin_ns = now_ns();
  client.publish(kStream, value, records, kInFlight);
  return static_cast<double>(records) / (static_cast<double>(now_ns() - begin_ns) / 1e9);
}

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
  report.setting("NATS producer",
                 "a client of the bench's own, one connection, PUB with a reply subject and its PubAck, " +
                     std::to_string(NatsServer::kInFlight) + " in flight");
  const char* nats_durability = "not installed";
  report.setting("each round", bytes_text(bytes) + ", " + std::to_string(rounds) + " rounds of each in turn, medians");
  for (const size_t record_bytes : {size_t{200}, size_t{1024}}) {
    std::vector<double> ours;
    std::vector<double> peers;
    std::vector<double> nats;
    HeptaneProcess server(scratch.below("produce-" + std::to_string(record_bytes)));
    const MockBroker mock;
    const std::string nats_directory = "produce-nats-" + std::to_string(record_bytes);
    const std::optional<NatsServer> nats_server = NatsServer::start(scratch.below(nats_directory));
    for (uint64_t round = 0; round < rounds; ++round) {
      peers.push_back(produce(mock.brokers(), record_bytes, bytes / record_bytes));
      ours.push_back(produce(server.kafka(), record_bytes, bytes / record_bytes));
      if (nats_server) nats.push_back(nats_server->produce(record_bytes, bytes / record_bytes));
    }
    const double share = median(ours) / median(peers);
    report.row({std::to_string(record_bytes) + " B, acks=all", rate(median(ours)), "mock " + rate(median(peers)),
                ratio(share), ">= 0.70", share >= kRatioBar});
    if (!nats_server) continue;
    nats_durability = nats_server->durability();
    report.row({std::to_string(record_bytes) + " B, JetStream R1", rate(median(ours)), "NATS " + rate(median(nats)),
                ratio(median(ours) / median(nats)), "", true});
  }
  report.setting("NATS", nats_durability);
  return report.print();
}

}  // namespace heptane::bench
