// Starts of the server in a simulation, and what is compared after each of them.
#include <iterator>

#include "kernel/server/past_state.h"
#include "kernel/server/records_reader.h"
#include "kernel/streams/record_batch.h"
#include "sim/find_machine.h"
#include "sim/simulator.h"

namespace heptane::sim {

namespace {

constexpr uint32_t kAuditReadBytes = 256 << 10;

std::string hash_text(const Hash128& hash) { return to_hex(hash); }

}  // namespace

server::ServerOptions Simulation::server_options() const { return server_options_; }

void Simulation::start() {
  const uint64_t faults_before = disk_.counters().faults;
  ++counts_.starts;
  mqtt_watch_.server_starts();
  server::Modules modules = options_.make_modules();
  configure_mqtt(modules);
  for (const auto& module : modules) iot_.configure(*module);
  iot_.started(modules);
  ledger_ = find_ledger(modules);
  broker_ = find_broker(modules);
  exchange_ = {find_machine<fintech::exchange::ExchangeMachine>(modules, fintech::exchange::kExchangeMachineId),
               ledger_};
  modules = plant(std::move(modules), options_.bug);
  server_ = std::make_unique<server::Server>(server::Seams{clock_, planted_, server_random_, net_}, server_options(),
                                             std::move(modules), [this](const Error& error) {
                                               // A second role may fail before the first one's error ends all.
                                               if (!fatal_) fatal_ = error;
                                             });
  const Result<void> started = server_->start();
  if (!started) return start_failed(started.error(), faults_before);
  server_->snapshots().set_report([this](const std::string& line) { trace(line); });
  const log::RecoveryReport& report = server_->recovery();
  trace("started at sequence " + std::to_string(report.end.last_sequence) + ", " + std::to_string(report.torn_bytes) +
        " bytes torn, " + std::to_string(report.rewritten_bytes) + " written again");
  if (report.torn_bytes > 0) ++counts_.torn_tails;
  if (disk_.crashed()) return power_cut("at the end of a start");
  check_evidence(report);
  if (!over()) audit();
  if (!over()) compare_with_live();
  if (!over() && random_.one_in(3)) compare_with_replay(false);
  if (!over() && random_.one_in(2)) compare_with_replay(true);
  if (!over() && audit_random_.one_in(2)) compare_with_past();
}

// A look at the past gives the state that was: out of a snapshot, the archive and the log, or it says that it cannot.
void Simulation::compare_with_past() {
  if (live_hashes_.empty() || damaged_) return;
  auto then = live_hashes_.begin();
  std::advance(then, static_cast<ptrdiff_t>(audit_random_.below(live_hashes_.size())));
  const std::unique_ptr<SimDisk> copy = disk_.clone();
  copy->clear_faults();
  const auto compared = server::compare_snapshots(*copy, server_options_.data_directory, modules());
  if (!compared) return checker_.fail("the newest snapshot is not what replay makes: " + compared.error().message);
  server::PastState past(*copy, server_options_.data_directory, modules());
  server::PastMoment moment;
  moment.sequence = then->first;
  if (const Result<void> reached = past.go_to(moment); !reached) {
    if (reached.error().code != Errc::not_found)
      checker_.fail("the state at sequence " + std::to_string(then->first) +
                    " cannot be made again: " + reached.error().message);
    return;
  }
  ++counts_.past_states;
  if (!(past.state_hash() == then->second))
    checker_.fail("the state at sequence " + std::to_string(then->first) + " was " + hash_text(then->second) +
                  " and is made again as " + hash_text(past.state_hash()));
}

void Simulation::start_failed(const Error& error, uint64_t faults_before) {
  trace("start failed: " + error.message);
  if (disk_.crashed()) return power_cut("during a start");
  const bool by_fault = disk_.counters().faults != faults_before;
  const bool disk_full = error.code == Errc::no_space && squeezed_until_ != 0;
  // Of a row file: refused, with the way out.
  if (damaged_ && (error.code == Errc::corrupt || error.code == Errc::refused)) {
    refused_ = true;
    return;
  }
  if (!by_fault && !disk_full) return checker_.fail("a start was refused without a reason: " + error.message);
  disk_.process_kill();
  fatal_.reset();
  planted_.set_process_dead(true);
  server_.reset();
  planted_.set_process_dead(false);
  if (disk_full || random_.one_in(2)) forget_faults();
}

// Reads go round the network and over the very reader that serves clients.
void Simulation::audit() {
  // What is armed stays for the server: an audit that meets it says nothing.
  clear_faults();
  for (size_t topic = 0; topic < topics_ && !over(); ++topic) audit_topic(topic);
  if (!over()) view_.audit(*server_, disk_, checker_, damaged_);
  if (!over() && with_ledger_) ledger_watch_.audit(*server_, *ledger_, checker_, damaged_);
  if (!over() && with_mqtt_) mqtt_log_.audit(*server_, *broker_, disk_, checker_, damaged_);
  if (!over()) iot_.audit(*server_, disk_, checker_, damaged_);
  if (!over() && with_exchange_) exchange_watch_.audit(*server_, exchange_, disk_, checker_, damaged_);
}

void Simulation::audit_topic(size_t topic) {
  const std::optional<PartitionId> partition = server_->streams().find_partition(topic_name(topic), 0);
  if (!partition) return checker_.audit_missing(topic);
  checker_.begin_audit(topic);
  server::LogRecordsReader reader(server_->log(), disk_, server_->archive(), server_->renderers());
  const Offset end = server_->streams().durable_end(*partition);
  for (Offset next = 0; next < end && !over();) {
    const ReadReply where = server_->streams().locate({*partition, next, kAuditReadBytes});
    const net::RecordsRead read = reader.read(where);
    if (read.error && damaged_ && is_of_damage(*read.error)) return;
    if (read.error || read.batches.empty())
      return checker_.fail("topic " + std::to_string(topic) + " cannot be read at offset " + std::to_string(next) +
                           (read.error ? std::string(": ") + errc_name(*read.error) : std::string()));
    for (const Buffer& batch : read.batches) {
      const Result<void> walked = streams::for_each_record(batch.view(), [&](const streams::RecordView& record) {
        if (record.offset < next) return;
        checker_.audit(topic, record.offset, record.value);
        next = record.offset + 1;
      });
      if (!walked) return checker_.fail("topic " + std::to_string(topic) + ": " + walked.error().message);
    }
  }
  checker_.end_audit(topic, end);
}

// What is written behind a sync names it, and what was named is not written again: without that every start would write
// the whole log again. A start that writes nothing again has no need of it.
void Simulation::check_evidence(const log::RecoveryReport& report) {
  synced_.erase(synced_.lower_bound(report.end.last_sequence), synced_.end());
  if (synced_.empty() || report.rewritten_bytes == 0 || report.durable_evidence >= *synced_.rbegin()) return;
  checker_.fail("the log goes on behind sequence " + std::to_string(*synced_.rbegin()) +
                ", which was synced, and a start finds evidence only up to " + std::to_string(report.durable_evidence));
}

// The state before the end of the process and the state after the restart, at the same sequence.
void Simulation::compare_with_live() {
  const Sequence last = server_->shard().last_applied();
  const Hash128 hash = server_->shard().state_hash();
  history_.add(hash.low, hash.high);
  const auto live = live_hashes_.find(last);
  if (live != live_hashes_.end() && !(live->second == hash))
    checker_.fail("the state at sequence " + std::to_string(last) + " was " + hash_text(live->second) +
                  " and is after the restart " + hash_text(hash));
  // What was not recovered did not happen: other commands will have these sequences.
  live_hashes_.erase(live_hashes_.upper_bound(last), live_hashes_.end());
}

// A second server over a copy of the disk has the same state. After a power cut too: what recovery showed is synced.
void Simulation::compare_with_replay(bool after_power_cut) {
  const std::unique_ptr<SimDisk> copy = disk_.clone();
  copy->clear_faults();
  copy->set_capacity(uint64_t{1} << 40);
  if (after_power_cut) copy->crash(static_cast<CrashMode>(random_.below(5)));
  PlantedDisk planted(*copy, options_.bug);
  SeededRandom random(1);
  SimNet net(random);
  SimClock clock;
  server::Server other({clock, planted, random, net}, server_options(), modules(), [](const Error&) {});
  const std::string what = after_power_cut ? "after a power cut right behind a start: " : "a replay of the same log: ";
  if (const Result<void> started = other.start(); !started) {
    if (!damaged_) checker_.fail(what + started.error().message);
    return;
  }
  if (damaged_) return;
  if (other.shard().last_applied() != server_->shard().last_applied())
    return checker_.fail(what + "ends at sequence " + std::to_string(other.shard().last_applied()) + " instead of " +
                         std::to_string(server_->shard().last_applied()));
  if (!(other.shard().state_hash() == server_->shard().state_hash()))
    checker_.fail(what + "another state, " + hash_text(other.shard().state_hash()) + " instead of " +
                  hash_text(server_->shard().state_hash()));
}

}  // namespace heptane::sim
