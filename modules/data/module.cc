#include "modules/data/module.h"

#include <cstdio>

#include "kernel/config/units.h"
#include "kernel/server/server_keys.h"
#include "kernel/streams/api.h"
#include "modules/data/gateway/kafka/kafka.h"
#include "modules/data/gateway/postgres/tls_preamble.h"
#include "modules/data/gateway/sql/sql_route.h"
#include "modules/data/gateway/sql/sql_service.h"
#include "modules/data/machine/consumer_offsets/consumer_offsets.h"
#include "modules/data/postgres_options.h"
#include "modules/data/sql_options.h"

namespace heptane::data {

namespace {

using config::bind;
using config::Type;
using kafka::KafkaCounters;
using kafka::KafkaOptions;
using postgres::PostgresOptions;

constexpr uint16_t kKafkaPort = 9092;
constexpr uint16_t kPostgresPort = 5433;
constexpr int64_t kMiB = 1 << 20;
constexpr int64_t kSecond = 1'000'000'000;
constexpr std::string_view kAdvertised = "listen.kafka.advertised";

using Keys = std::vector<config::Binding<KafkaOptions>>;

const Keys& kafka_keys() {
  static const Keys keys = {
      bind<&KafkaOptions::auto_create>({.name = "kafka.auto_create",
                                        .type = Type::boolean,
                                        .help = "A client that asks for an unknown topic creates it",
                                        .reloadable = true}),
      // Above the largest record batch, whatever that is set to.
      bind<&KafkaOptions::max_request_bytes>({.name = "kafka.max_request_bytes",
                                              .type = Type::size,
                                              .help = "A longer request closes the connection",
                                              .min = 5 * kMiB,
                                              .max = 256 * kMiB,
                                              .reloadable = true}),
      bind<&KafkaOptions::max_record_batch_bytes>({.name = "kafka.max_record_batch_bytes",
                                                   .type = Type::size,
                                                   .help = "A longer record batch is refused with error 10",
                                                   .min = 1024,
                                                   .max = 4'000'000,
                                                   .reloadable = true}),
      bind<&KafkaOptions::max_fetch_bytes>({.name = "kafka.max_fetch_bytes",
                                            .type = Type::size,
                                            .help = "Records in one Fetch response, whatever the client asks for",
                                            .min = 5 * kMiB,
                                            .max = 256 * kMiB,
                                            .reloadable = true}),
      bind<&KafkaOptions::idle_timeout_ns>({.name = "kafka.idle_timeout",
                                            .type = Type::duration,
                                            .help = "A connection without a request is closed after this",
                                            .min = kSecond,
                                            .max = 86'400 * kSecond,
                                            .word = "never",
                                            .word_value = 0}),
  };
  return keys;
}

config::Key advertised_key() {
  config::Key key{.name = std::string(kAdvertised), .type = Type::peer};
  key.help = "HOST:PORT that clients are told to connect to; \"auto\": where they did";
  key.fallback = std::string("auto");
  key.choices = {"auto"};
  key.reloadable = true;
  return key;
}

Telemetry::Value value_of(const std::atomic<uint64_t>& value) {
  return [&value] { return static_cast<double>(value.load(std::memory_order_relaxed)); };
}

void register_kafka(const KafkaCounters& counters, Telemetry& telemetry) {
  for (size_t i = 0; i < kafka::kApis.size(); ++i)
    telemetry.counter("heptane_kafka_requests_total", "Kafka requests, by API", value_of(counters.requests_by_api[i]),
                      {{"api", std::string(kafka::kApis[i].name)}});
  telemetry.counter("heptane_kafka_record_batches_total", "Record batches appended or repeated",
                    value_of(counters.record_batches));
  telemetry.counter("heptane_kafka_record_batches_refused_total", "Record batches answered with an error",
                    value_of(counters.record_batches_refused));
  telemetry.counter("heptane_kafka_requests_past_deadline_total", "Requests whose answer did not come in time",
                    value_of(counters.requests_past_deadline));
  const auto rejected = [&](const char* reason, const std::atomic<uint64_t>& counter) {
    telemetry.counter("heptane_kafka_requests_rejected_total", "Requests that were not served, by reason",
                      value_of(counter), {{"reason", reason}});
  };
  rejected("malformed", counters.malformed_requests);
  rejected("oversized", counters.oversized_requests);
  rejected("unknown_api", counters.unknown_apis);
  rejected("unsupported_version", counters.unsupported_versions);
  rejected("unauthenticated", counters.unauthenticated_requests);
  rejected("failed_authentication", counters.failed_authentications);
  rejected("over_quota", counters.over_quota);
}

class DataModule final : public server::Module {
 public:
  explicit DataModule(bool with_sql) : with_sql_(with_sql) {}
  std::string_view name() const override { return "data"; }

  std::vector<config::Key> keys() const override {
    std::vector<config::Key> keys = server::listener_keys("kafka", kKafkaPort);
    keys.push_back(advertised_key());
    for (config::Key& key : config::keys_of<KafkaOptions>(kafka_keys())) keys.push_back(std::move(key));
    for (config::Key& key : config::keys_of<SqlOptions>(sql_keys())) keys.push_back(std::move(key));
    for (config::Key& key : server::listener_keys("postgres", kPostgresPort)) keys.push_back(std::move(key));
    for (config::Key& key : config::keys_of<PostgresOptions>(postgres_keys())) keys.push_back(std::move(key));
    return keys;
  }

  void configure(const config::Settings& settings) override {
    settings.land<KafkaOptions>(kafka_keys(), options_);
    options_.default_retention_ms = settings.number(streams::kDefaultRetentionMs);
    options_.default_retention_bytes = settings.number(streams::kDefaultRetentionBytes);
    options_.advertised = {};
    if (const auto advertised = config::parse_host_port(settings.text(kAdvertised)))
      options_.advertised = {advertised->host, advertised->port};
    if (kafka_) kafka_->set_options(options_);
    if (!engine_) settings.land<SqlOptions>(sql_keys(), sql_options_);
    settings.land<PostgresOptions>(postgres_keys(), postgres_options_);
    if (postgres_) postgres_->set_options(postgres_options_);
  }

  std::vector<StateMachine*> machines() override { return {&offsets_}; }

  std::vector<server::ListenerSpec> listeners(const server::ServerFacts& facts) override {
    options_.cluster_id = log_id_text(facts.log_id);
    options_.leader_epoch = static_cast<int32_t>(facts.epoch);
    options_.authenticator = facts.authenticator;
    options_.quotas = facts.quotas;
    options_.view_inputs = facts.view_inputs;
    kafka_ = std::make_unique<kafka::KafkaProtocol>(options_);
    open_sql(facts);
    std::vector<net::Protocol*> residents;
    if (sql_protocol_) residents.push_back(sql_protocol_.get());
    std::vector<server::ListenerSpec> specs{{kafka_.get(), kKafkaPort, false, residents}};
    if (engine_ && sql_options_.enabled) specs.push_back({open_postgres(facts), kPostgresPort, false, {}, &preamble_});
    return specs;
  }

  void add_routes(http::HttpRouter& router) override {
    sql::add_sql_route(router, [this] { return sql::SqlAccess{engine_.get(), service_.get(), gate_}; });
  }

  void register_metrics(Telemetry& telemetry) override {
    register_kafka(kafka_->counters(), telemetry);
    if (engine_) register_sql(*engine_, telemetry);
    if (postgres_) register_postgres(postgres_->counters(), telemetry);
  }

 private:
  void open_sql(const server::ServerFacts& facts) {
    if (!with_sql_ || facts.history == nullptr || facts.workers == nullptr) return;
    gate_ = facts.gate;
    sql::SqlService::Hooks hooks{
        [this](std::vector<streams::StreamInfo> streams) { engine_->feed().describe(std::move(streams)); },
        [this] { engine_->stop(); }};
    service_ = std::make_unique<sql::SqlService>(*facts.workers, std::move(hooks));
    sql::EngineOptions options = engine_options(sql_options_);
    options.feed.store.directory = facts.data_directory + "/sql";
    options.feed.store.log_id = log_id_text(facts.log_id);
    options.feed.report = [](const std::string& line) { std::fprintf(stderr, "heptane: %s\n", line.c_str()); };
    options.feed.ask_streams = [this] { service_->ask(); };
    engine_ = std::make_unique<sql::SqlEngine>(*facts.history, *facts.workers, std::move(options));
    sql_protocol_ = std::make_unique<sql::SqlServiceProtocol>(*service_);
  }

  net::Protocol* open_postgres(const server::ServerFacts& facts) {
    postgres_options_.engine = engine_.get();
    postgres_options_.limits = {static_cast<uint64_t>(sql_options_.rows_max), sql_options_.statement_timeout_ns};
    postgres_options_.authenticator = facts.authenticator;
    postgres_options_.quotas = facts.quotas;
    postgres_options_.random = [gate = facts.gate](size_t bytes) { return gate->random_bytes(bytes); };
    postgres_ = std::make_unique<postgres::PostgresProtocol>(postgres_options_);
    return postgres_.get();
  }

  offsets::ConsumerOffsets offsets_;
  KafkaOptions options_;
  std::unique_ptr<kafka::KafkaProtocol> kafka_;
  const bool with_sql_;
  SqlOptions sql_options_;
  auth::Gate* gate_ = nullptr;
  std::unique_ptr<sql::SqlService> service_;
  std::unique_ptr<sql::SqlServiceProtocol> sql_protocol_;
  std::unique_ptr<sql::SqlEngine> engine_;
  PostgresOptions postgres_options_;
  const postgres::PostgresPreamble preamble_;
  std::unique_ptr<postgres::PostgresProtocol> postgres_;
};

}  // namespace

std::unique_ptr<server::Module> make_module(bool with_sql) { return std::make_unique<DataModule>(with_sql); }

}  // namespace heptane::data
