#include "sim/simulator.h"

#include <algorithm>

#include "sim/exchange_clients.h"
#include "sim/find_machine.h"
#include "sim/fix_client.h"
#include "sim/ports.h"

namespace heptane::sim {

namespace {

// Of so many seeds one has the exchange, and no clients of MQTT beside it.
constexpr uint64_t kExchangeEach = 24;
constexpr uint64_t kExchangeSeed = 6;
constexpr uint64_t kFixEach = 2;  // of those
constexpr int64_t kSecondNs = 1'000'000'000;
constexpr uint64_t kStepsToFinish = 60'000;  // without faults everything comes to its end in far fewer
constexpr uint64_t kStepsToDrain = 20'000;

// Independent streams of chance, so that a change in one part of a run leaves the others as they were.
uint64_t part_of(uint64_t seed, uint64_t part) { return SeededRandom(seed * 1'000'003 + part).next(); }

SimNetConfig net_config(uint64_t seed) {
  SeededRandom chance(part_of(seed, 10));
  SimNetConfig config;
  config.buffer_bytes = size_t{1} << (9 + chance.below(9));
  config.fragment = chance.one_in(2);
  config.delay_one_in = chance.one_in(3) ? 0 : static_cast<uint32_t>(2 + chance.below(8));
  config.reset_one_in = chance.one_in(3) ? 4000 : 0;
  return config;
}

}  // namespace

Simulation::Simulation(SimulationOptions options)
    : options_(options),
      random_(part_of(options.seed, 1)),
      net_random_(part_of(options.seed, 2)),
      client_random_(part_of(options.seed, 3)),
      server_random_(part_of(options.seed, 4)),
      audit_random_(part_of(options.seed, 7)),
      damage_random_(part_of(options.seed, 8)),
      disk_(part_of(options.seed, 5)),
      planted_(disk_, options.bug),
      net_(net_random_, net_config(options.seed)),
      topics_(1 + random_.below(3)),
      checker_(topics_),
      view_(options.seed, !IotWorld::has_rules(options.seed)),
      with_ledger_(options.seed % 2 == 1 && !IotWorld::has_bridge(options.seed) &&
                   find_ledger(options.make_modules()) != nullptr),
      with_exchange_(options.seed % kExchangeEach == kExchangeSeed && !is_of_ledger(options.bug) &&
                     find_ledger(options.make_modules()) != nullptr),
      with_mqtt_(options.seed % 3 == 0 && !with_exchange_ && find_broker(options.make_modules()) != nullptr),
      iot_(options.seed, options.make_modules()),
      world_{net_, clock_, client_random_, checker_, [this](const std::string& line) { trace(line); }} {
  clear_faults();
  world_.port = kKafkaPort;
  static constexpr uint64_t kSegmentKib[] = {64, 64, 128, 256, 1024};
  server_options_.data_directory = "data";
  server_options_.segment_bytes = kSegmentKib[random_.below(5)] << 10;
  server_options_.loopback_v6 = false;
  server_options_.link_capacity = 256;
  server_options_.recovery_turn_ns = 0;
  server_options_.shard.batch_target_bytes = size_t{4096} << random_.below(5);
  server_options_.shard.batch_ready_bytes = server_options_.shard.batch_target_bytes / 2;
  server_options_.shard.requests_per_turn = static_cast<uint32_t>(1 + random_.below(40));
  server_options_.snapshots.method = snapshot::SnapshotMethod::in_place;
  server_options_.snapshots.bytes_per_second = random_.one_in(2) ? 0 : 10'000'000;
  server_options_.snapshots.log_bytes_min = uint64_t{32} << (10 + random_.below(10));
  server_options_.snapshots.free_bytes_reserve = 1 << 20;
  SeededRandom archive_random(part_of(options.seed, 6));
  // History is moved only behind two snapshots: in half of the seeds there is much of it.
  if (archive_random.one_in(2)) {
    server_options_.segment_bytes = 64 << 10;
    server_options_.snapshots.log_bytes_min = uint64_t{16} << (10 + archive_random.below(4));
  }
  server_options_.archive.target_bytes = server_options_.segment_bytes * (1 + archive_random.below(3));
  server_options_.archive.bytes_per_second = archive_random.one_in(2) ? 0 : 10'000'000;
  server_options_.archive.retain_commands_ns = archive_random.one_in(2) ? -1 : 1'000'000'000;
  server_options_.archive.look_interval_ns = 1'000'000 << archive_random.below(10);
  world_.batch_bytes_limit = 1000 + random_.below(11'000);
  fault_every_ = 60 + random_.below(600);
  make_clients();
}

// Clients hold streams, the server holds handles: both go before the disk and the network.
Simulation::~Simulation() {
  clients_.clear();
  server_.reset();
}

void Simulation::make_clients() {
  const uint64_t producers = is_alone() ? 1 : 1 + random_.below(4);
  for (uint64_t i = 0; i < producers; ++i)
    clients_.push_back(std::make_unique<SimProducer>(world_, static_cast<uint32_t>(i), random_.below(topics_),
                                                     static_cast<uint32_t>(1 + random_.below(5))));
  if (!is_alone()) make_kafka_readers();
  if (with_exchange_) make_traders();
  if (with_mqtt_) make_mqtt_clients();
  iot_.make_clients(world_, mqtt_watch_, clients_);
  if (!with_ledger_) return;
  for (uint32_t i = static_cast<uint32_t>(1 + random_.below(3)); i > 0; --i) {
    auto client = std::make_unique<SimLedgerClient>(world_, ledger_watch_, i, kTigerbeetlePort);
    ledger_clients_.push_back(client.get());
    clients_.push_back(std::move(client));
  }
}

void Simulation::make_kafka_readers() {
  for (uint64_t i = 0; i < topics_; ++i)
    clients_.push_back(std::make_unique<SimConsumer>(world_, i, random_.one_in(3)));
  if (random_.one_in(2)) clients_.push_back(std::make_unique<SimConsumer>(world_, random_.below(topics_), true));
  for (uint64_t i = random_.below(3); i > 0; --i) clients_.push_back(std::make_unique<SimVandal>(world_));
}

void Simulation::make_traders() {
  clients_.push_back(std::make_unique<SimMarketOperator>(world_, exchange_watch_, kAdminPort));
  for (int account = 0; account < kSimAccountCount; ++account)
    clients_.push_back(std::make_unique<SimTrader>(world_, exchange_watch_, account, kAdminPort));
  exchange_watch_.has_fix = options_.seed / kExchangeEach % kFixEach == 0;
  for (size_t session = 0; exchange_watch_.has_fix && session < kSimFixSessionCount; ++session) {
    if (kSimFixSessions[session].account < 0)
      clients_.push_back(std::make_unique<SimFixClient>(world_, exchange_watch_, session, kFixPort));
    else
      clients_.push_back(std::make_unique<SimFixTrader>(world_, exchange_watch_, session, kFixPort));
  }
}

SimulationResult Simulation::run() {
  phases();
  return result();
}

void Simulation::phases() {
  // What devices and traders do takes several answers each.
  const uint64_t steps = options_.steps * (is_alone() ? 3 : 1);
  while (!over() && step_ < steps) step(true);
  if (!over()) come_to_an_end();
  if (over()) return;
  // At rest everything is proven: damage is found, and nothing that a power cut can take is left.
  const bool damaged = random_.one_in(3);
  if (damaged)
    damage("at rest");
  else
    power_cut("at rest");
  for (int tries = 0; !over() && !server_ && tries < 100; ++tries) start();
  if (!over() && !server_) checker_.fail("the server does not start any more");
}

void Simulation::step(bool with_faults) {
  ++step_;
  if (with_faults) maybe_fault();
  if (over()) return;
  mqtt_watch_.server_stops = stopping_ || !server_;
  if (!server_) {
    if (random_.one_in(6))
      start();
    else
      turn_while_down();
    return;
  }
  const Role role = next_role();
  history_.add(step_, role);
  turn(role);
  after_turn();
}

Simulation::Role Simulation::next_role() {
  static constexpr Role kTurns[] = {kIo,     kIo,     kIo,     kIo,     kIo,     kShard,  kShard,  kShard,
                                    kShard,  kCommit, kCommit, kDisk,   kDisk,   kDisk,   kHelper, kReader,
                                    kReader, kClient, kClient, kClient, kClient, kClient, kTime};
  const Role role = kTurns[random_.below(std::size(kTurns))];
  return paused_until_[role] > step_ ? kTime : role;
}

void Simulation::turn(Role role) {
  switch (role) {
    case kIo: return server_->io_turn(0);
    case kShard: return shard_turn();
    case kCommit: return commit_turn();
    case kHelper: return (void)server_->helper_turn();
    case kReader: return (void)server_->reader_turn(0), (void)server_->worker_turn();
    case kDisk: return (void)disk_.step();
    case kClient: return clients_turn();
    case kTime:
      // Time-outs of the ledger are whole seconds, and so are delays of wills; those of jobs are minutes.
      if ((with_ledger_ || with_mortals_ || iot_.has_timers()) && random_.one_in(12))
        return clock_.advance(static_cast<int64_t>(random_.below(kSecondNs * (iot_.has_timers() ? 6 : 1))));
      return clock_.advance(static_cast<int64_t>(random_.below(random_.one_in(8) ? 60'000'000 : 2'000'000)));
  }
}

// Where there are many, several.
void Simulation::clients_turn() {
  for (size_t i = 0; i <= clients_.size() / 6; ++i) clients_[random_.below(clients_.size())]->turn();
}

// What was on its way when the process ended still arrives.
void Simulation::turn_while_down() {
  net_.run_once(0);
  clients_turn();
  clock_.advance(static_cast<int64_t>(random_.below(3'000'000)));
}

void Simulation::after_turn() {
  if (over()) return;
  if (disk_.crashed()) return power_cut("in the middle of an operation");
  if (fatal_) return end_of_process();
  if (stopping_ && server_->drained()) return end_cleanly();
  if (squeezed_until_ != 0 && step_ >= squeezed_until_) forget_faults();
}

// What the server has to write when it goes is written.
void Simulation::end_cleanly() {
  trace("stopped cleanly");
  count_archived();
  server_.reset();
  if (disk_.crashed()) return power_cut("at the end of a stop");
  kill("stopped");
}

void Simulation::shard_turn() {
  view_.turn(*server_);
  (void)server_->shard_turn();
  view_.note(*server_);
  if (with_ledger_) ledger_watch_.follow(*server_, *ledger_, checker_);
  if (with_mqtt_) mqtt_log_.follow(*server_, *broker_, checker_);
  iot_.follow(*server_);
  if (with_exchange_) exchange_watch_.follow(*server_);
  note_live_hash();
}

void Simulation::commit_turn() {
  (void)server_->commit_turn();
  synced_.insert(server_->committer().watermark());
}

void Simulation::note_live_hash() {
  if (random_.one_in(16)) live_hashes_[server_->shard().last_applied()] = server_->shard().state_hash();
}

// Without faults all clients come to their end, and the server stops.
void Simulation::come_to_an_end() {
  forget_faults();
  paused_until_.fill(0);
  if (checker_.lost_tail_allowed()) return kill("damaged: enough");
  trace("no faults from here on");
  for (const auto& client : clients_) client->finish();
  const uint64_t limit = step_ + kStepsToFinish;
  while (!over() && !(server_ && !stopping_ && all_finished())) {
    if (step_ >= limit) {
      std::string states;
      for (const auto& client : clients_)
        if (!client->finished()) states += "; " + client->state();
      if (!mqtt_watch_.log_is_known) states += mqtt_log_.awaited();
      states += iot_.awaited();
      return checker_.fail("no faults, and yet it does not come to an end" + states);
    }
    if (server_ && iot_.stands_still()) let_series_go_on();
    step(false);
  }
  if (over()) return;
  if (random_.one_in(2))
    stop_cleanly();
  else
    come_to_rest();
}

// The projection stands still after a fault of the disk, and goes on behind the next start.
void Simulation::let_series_go_on() {
  if (disk_.counters().faults == 0 && !was_squeezed_ && !damaged_)
    return checker_.fail("the projection of series stands still without a reason");
  kill("the projection of series stands still");
}

// Pending transfers, wills and jobs too: time passes until nothing is left that has a time-out.
bool Simulation::all_finished() {
  if (server_) iot_.look();
  const bool finished =
      std::all_of(clients_.begin(), clients_.end(), [](const auto& client) { return client->finished(); });
  if (finished && (!server_ || has_settled())) return true;
  if (server_ && (finished || iot_.waits_for_time())) clock_.advance(kSecondNs / 10);
  return false;
}

bool Simulation::has_settled() {
  const bool pending = with_ledger_ && ledger_->ledger().next_expiry() != 0;
  return !pending && mqtt_has_ended() && iot_.has_ended(*server_, disk_, checker_);
}

// Everything is synced and sealed, and no snapshot was taken for the occasion.
void Simulation::come_to_rest() {
  const uint64_t limit = step_ + kStepsToDrain;
  while (!over() && !(server_ && server_->shard().drained())) {
    if (step_ >= limit) return checker_.fail("the server does not come to rest");
    step(false);
  }
  if (!over()) kill("kill -9 at rest");
}

void Simulation::stop_cleanly() {
  server_->request_stop();
  stopping_ = true;
  const uint64_t limit = step_ + kStepsToDrain;
  while (!over() && server_) {
    if (step_ >= limit) return checker_.fail("a clean stop does not come to its end");
    live_hashes_[server_->shard().last_applied()] = server_->shard().state_hash();
    step(false);
  }
}

void Simulation::trace(const std::string& line) {
  history_.add(step_, line.size());
  history_.add(as_bytes(line));
  trace_.push_back(std::to_string(step_) + " " + line);
  if (trace_.size() > kTraceLines) trace_.pop_front();
}

void Simulation::count_archived() {
  if (!server_ || !server_->recovered()) return;
  if (ledger_ != nullptr) counts_.recounts += ledger_->recounts_total();
  counts_.archived += server_->archiver().counters().archived_total;
  counts_.rewritten += server_->archiver().counters().rewritten_total;
}

SimulationResult Simulation::result() {
  count_archived();
  SimulationResult out = counts_;
  out.failed = checker_.failed();
  out.failure = checker_.failure();
  out.step = step_;
  out.refused = refused_;
  out.acknowledged = checker_.acknowledged_total();
  out.seen = checker_.seen_total();
  out.viewed = view_.audited_total();
  out.ledger = ledger_watch_.counts();
  out.mqtt = mqtt_watch_;
  out.iot = iot_.counts();
  out.exchange = exchange_watch_.counts;
  for (const SimLedgerClient* client : ledger_clients_) out.ledger_repeats += client->repeats_total();
  const Hash128 disk = disk_.fingerprint();
  history_.add(disk.low, disk.high);
  out.fingerprint = history_.value();
  if (out.failed)
    for (const std::string& line : trace_) out.trace += line + "\n";
  return out;
}

SimulationResult simulate(const SimulationOptions& options) { return Simulation(options).run(); }

std::string repeat_command(const SimulationOptions& options) {
  std::string command =
      "heptane sim --seed " + std::to_string(options.seed) + " --steps " + std::to_string(options.steps);
  if (options.bug != PlantedBug::none) command += " --bug " + std::string(kBugNames[static_cast<size_t>(options.bug)]);
  return command;
}

}  // namespace heptane::sim
