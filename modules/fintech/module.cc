#include "modules/fintech/module.h"

#include <sys/random.h>
#include <cstdio>

#include "kernel/server/server_keys.h"
#include "modules/fintech/gateway/fix/fix.h"
#include "modules/fintech/gateway/http/exchange_routes.h"
#include "modules/fintech/gateway/http/ledger_operations.h"
#include "modules/fintech/gateway/http/ledger_routes.h"
#include "modules/fintech/gateway/http/past_balances.h"
#include "modules/fintech/gateway/market/feed.h"
#include "modules/fintech/gateway/tigerbeetle/tigerbeetle.h"
#include "modules/fintech/machine/exchange/exchange_machine.h"
#include "modules/fintech/machine/ledger/command_words.h"
#include "modules/fintech/machine/ledger/ledger_machine.h"
#include "modules/fintech/worker/calendar/keeper.h"
#include "modules/fintech/worker/calendar/zone.h"

namespace heptane::fintech {

namespace {

constexpr uint16_t kTigerbeetlePort = 3001;
constexpr uint16_t kFixPort = 9880;

const std::vector<config::Binding<tigerbeetle::TigerbeetleOptions>>& tigerbeetle_keys() {
  using Options = tigerbeetle::TigerbeetleOptions;
  static const std::vector<config::Binding<Options>> keys = {
      config::bind<&Options::user>({.name = "fintech.tigerbeetle.user",
                                    .type = config::Type::text,
                                    .help = "As whom all clients of the listener act while authentication is on; "
                                            "empty: then there is no such listener"}),
      config::bind<&Options::cluster>({.name = "fintech.tigerbeetle.cluster",
                                       .type = config::Type::integer,
                                       .help = "The cluster that clients must name",
                                       .min = 0}),
  };
  return keys;
}

const std::vector<config::Binding<fixgate::FixOptions>>& fix_keys() {
  using Options = fixgate::FixOptions;
  static const std::vector<config::Binding<Options>> keys = {
      config::bind<&Options::logon_timeout_s>({.name = "fintech.fix.logon_timeout_s",
                                               .type = config::Type::integer,
                                               .help = "Seconds that a connection has for its Logon",
                                               .min = 1,
                                               .max = 600}),
  };
  return keys;
}

struct LedgerOptions {
  uint64_t cache_bytes = uint64_t{64} << 20;
};

const std::vector<config::Binding<LedgerOptions>>& ledger_keys() {
  static const std::vector<config::Binding<LedgerOptions>> keys = {
      config::bind<&LedgerOptions::cache_bytes>({.name = "fintech.ledger.cache_bytes",
                                                 .type = config::Type::size,
                                                 .help = "Memory for transfers that were looked up and lie in files, "
                                                         "used when they are; those beyond it are read "
                                                         "of the system's memory of files again",
                                                 .min = 64 << 10,
                                                 .max = int64_t{1} << 40}),
  };
  return keys;
}

// What apply() sees when a client registers. With its word it is as if it were not there.
config::Key sessions_key() {
  config::Key key{.name = std::string(kClientSessionsKey), .type = config::Type::integer};
  key.help = "Client sessions that are kept, the one used longest ago makes room; default: 64";
  key.fallback = int64_t{0};
  key.min = 1;
  key.max = kClientSessionsLimit;
  key.word = "default";
  key.word_value = 0;
  key.reloadable = key.logged = true;
  return key;
}

// Ids that collide under a key are of no use under another, and nobody outside knows it. Answers do not depend on it.
uint64_t index_key() {
  uint64_t key = 0;
  return ::getrandom(&key, sizeof key, 0) == sizeof key ? key : 0;
}

class FintechModule final : public server::Module {
 public:
  explicit FintechModule(uint32_t rows_per_file) : ledger_(index_key(), rows_per_file) {
    exchange_.set_ledger(ledger_);
  }

  std::string_view name() const override { return "fintech"; }

  std::vector<config::Key> keys() const override {
    std::vector<config::Key> all = server::listener_keys("tigerbeetle", kTigerbeetlePort, true);
    for (config::Key& key : config::keys_of<tigerbeetle::TigerbeetleOptions>(tigerbeetle_keys()))
      all.push_back(std::move(key));
    all.push_back(sessions_key());
    for (config::Key& key : server::listener_keys("fix", kFixPort)) all.push_back(std::move(key));
    for (config::Key& key : config::keys_of<fixgate::FixOptions>(fix_keys())) all.push_back(std::move(key));
    for (config::Key& key : config::keys_of<LedgerOptions>(ledger_keys())) all.push_back(std::move(key));
    return all;
  }

  void configure(const config::Settings& settings) override {
    settings.land<tigerbeetle::TigerbeetleOptions>(tigerbeetle_keys(), options_);
    settings.land<fixgate::FixOptions>(fix_keys(), fix_options_);
    LedgerOptions ledger;
    settings.land<LedgerOptions>(ledger_keys(), ledger);
    ledger_.set_cache_bytes(ledger.cache_bytes);
  }

  void add_routes(http::HttpRouter& router) override {
    ledger_http::add_routes(router);
    exchange_http::add_routes(router, feed_, expand_in_zone, find_zone);
  }
  void add_operations(admin::OperationTable& operations) override { ledger_http::add_operations(operations); }

  std::vector<server::PastView> past_views() const override {
    return {{"ledger", "balances", "Every account with its balances.",
             [this](bool json) { return past_balances(ledger_, json); }}};
  }

  std::vector<CommandWords> command_words() const override {
    const std::span<const CommandWords> words = ledger_words();
    return {words.begin(), words.end()};
  }
  std::string position_path() const override { return "/api/v1/ledger/transfers/{id}/position"; }

  std::vector<StateMachine*> machines() override { return {&ledger_, &exchange_}; }

  std::vector<server::ListenerSpec> listeners(const server::ServerFacts& facts) override {
    fix_options_.authenticator = facts.authenticator;
    fix_options_.quotas = facts.quotas;
    fix_options_.feed = &feed_;
    fix_options_.zones = find_zone;
    fix_ = std::make_unique<fixgate::FixProtocol>(fix_options_);
    std::vector<server::ListenerSpec> specs{
        {fix_.get(), kFixPort, false, {&fix_->keepers(), &calendar_keepers_, &feed_.residents()}}};
    // Its clients cannot say who they are: where that is asked, it is there when the configuration says it for them.
    if (facts.authenticator != nullptr && options_.user.empty()) return specs;
    options_.authenticator = facts.authenticator;
    options_.quotas = facts.quotas;
    tigerbeetle_ = std::make_unique<tigerbeetle::TigerbeetleProtocol>(options_);
    specs.push_back({tigerbeetle_.get(), kTigerbeetlePort, true});
    return specs;
  }

  void register_metrics(Telemetry& telemetry) override {
    telemetry.counter("heptane_ledger_recounts_total",
                      "Recounts that came to their end: of all balances, or at a snapshot of those that changed",
                      [this] { return static_cast<double>(ledger_.recounts_total()); });
    telemetry.gauge("heptane_ledger_recount_differences", "Accounts and ledgers that the last recount found wrong",
                    [this] { return static_cast<double>(ledger_.recount_differences()); });
    telemetry.counter("heptane_ledger_reads_in_apply_total",
                      "Blocks of row files that commands read while they were applied, in replay too: the shard waited",
                      [this] { return static_cast<double>(ledger_.reads_in_apply_total()); });
    telemetry.gauge("heptane_ledger_cache_bytes", "Memory of what queries have read and may read again; no state",
                    [this] { return static_cast<double>(ledger_.ledger().cache_bytes()); });
    telemetry.gauge("heptane_exchange_open_orders", "Orders in the books of all instruments",
                    [this] { return static_cast<double>(exchange_.open_orders()); });
    telemetry.counter("heptane_exchange_trades_total", "Trades since the first one",
                      [this] { return static_cast<double>(exchange_.trades_total()); });
    register_fix_metrics(telemetry);
    register_tigerbeetle_metrics(telemetry);
  }

 private:
  static void add_counter(Telemetry& telemetry, const char* name, const char* help,
                          const std::atomic<uint64_t>& value) {
    telemetry.counter(name, help, [&value] { return static_cast<double>(value.load(std::memory_order_relaxed)); });
  }
  void register_fix_metrics(Telemetry& telemetry) {
    if (fix_ == nullptr) return;
    const fixgate::FixCounters& counters = fix_->counters();
    add_counter(telemetry, "heptane_fix_logons_total", "Connections that logged on over FIX", counters.logons);
    add_counter(telemetry, "heptane_fix_refused_total", "FIX connections that were closed before they were logged on",
                counters.refused);
    add_counter(telemetry, "heptane_fix_messages_total", "Messages that came over FIX", counters.messages);
    add_counter(telemetry, "heptane_fix_resends_total", "Pieces of what was said over FIX that were sent again",
                counters.resent);
  }
  void register_tigerbeetle_metrics(Telemetry& telemetry) {
    if (tigerbeetle_ == nullptr) return;
    const tigerbeetle::TigerbeetleCounters& counters = tigerbeetle_->counters();
    add_counter(telemetry, "heptane_tigerbeetle_requests_total",
                "Requests of TigerBeetle's clients, those sent again too", counters.requests);
    add_counter(telemetry, "heptane_tigerbeetle_replies_total", "Replies to TigerBeetle's clients", counters.replies);
    add_counter(telemetry, "heptane_tigerbeetle_evictions_total", "Clients of TigerBeetle's protocol that were evicted",
                counters.evictions);
    add_counter(telemetry, "heptane_tigerbeetle_malformed_total",
                "Connections closed for what no client of TigerBeetle's protocol sends, or its user may not do",
                counters.malformed);
    add_counter(telemetry, "heptane_tigerbeetle_dropped_total",
                "Requests without an answer: older, under way already, or no room. Their clients send them again",
                counters.dropped);
  }

  LedgerMachine ledger_;
  exchange::ExchangeMachine exchange_{exchange::kClientIdsMax, index_key()};
  tigerbeetle::TigerbeetleOptions options_;
  std::unique_ptr<tigerbeetle::TigerbeetleProtocol> tigerbeetle_;
  market::MarketFeed feed_;
  fixgate::FixOptions fix_options_;
  std::unique_ptr<fixgate::FixProtocol> fix_;
  CalendarKeepers calendar_keepers_{
      expand_in_zone, [](const std::string& line) { std::fprintf(stderr, "heptane: %s\n", line.c_str()); }};
};

}  // namespace

std::unique_ptr<server::Module> make_module(uint32_t rows_per_file) {
  return std::make_unique<FintechModule>(rows_per_file);
}

}  // namespace heptane::fintech
