#include "kernel/server/server.h"

#include <algorithm>
#include <cstdio>
#include <limits>

#include "kernel/log/quarantine.h"

#include "kernel/server/metrics.h"

namespace heptane::server {

namespace {

constexpr uint16_t kDefaultPortTries = 100;
constexpr int64_t kDrainLimitNs = 10'000'000'000;
constexpr uint64_t kReserveSegments = 3;  // one rewrite of the archive and two segments
constexpr int64_t kMaxWaitNs = 1'000'000'000;

bool is_loopback(const std::string& host) { return host == "::1" || host.rfind("127.", 0) == 0 || host == "localhost"; }

std::string quoted(const std::string& text) { return '"' + text + '"'; }

}  // namespace

Server::Server(Seams seams, ServerOptions options, Modules modules, Fatal on_fatal)
    : seams_(seams), options_(std::move(options)), modules_(std::move(modules)), on_fatal_(std::move(on_fatal)) {
  // A batch, its effects and its padding always fit a segment.
  const uint64_t third = (options_.segment_bytes - log::kBlockBytes) / 3;
  options_.shard.batch_target_bytes = std::min<uint64_t>(options_.shard.batch_target_bytes, third);
  options_.shard.payload_limit_bytes = std::min<uint64_t>(options_.shard.payload_limit_bytes, third);
}

Server::~Server() = default;

Result<void> Server::start() {
  HEPTANE_TRY(open_log());
  HEPTANE_TRY(recover());
  return open_listeners();
}

Result<void> Server::open_log() {
  const std::string shard_directory = options_.data_directory + "/shard-0";
  // The data directory's own name as well: a power cut may take a name that its parent has not synced.
  HEPTANE_TRY(log::make_durable_directory(seams_.disk, options_.data_directory));
  HEPTANE_TRY(log::make_durable_directory(seams_.disk, shard_directory));
  Result<std::unique_ptr<DirectoryLock>> lock = seams_.disk.lock(options_.data_directory + "/LOCK");
  if (!lock) return lock.error();
  lock_ = std::move(*lock);
  log::SegmentLogOptions log_options = log::segment_log_options(options_.data_directory);
  log_options.segment_bytes = options_.segment_bytes;
  if (options_.read_ahead) log_options.recovery_read_ahead = log::kReadAheadBatches;
  Result<std::unique_ptr<log::SegmentLog>> opened = log::SegmentLog::open(seams_.disk, seams_.random, log_options);
  if (!opened) return opened.error();
  log_ = std::move(*opened);
  return {};
}

Result<void> Server::recover() {
  committer_ = std::make_unique<Committer>(*log_, on_fatal_);
  link_ = std::make_unique<ShardLink>(options_.link_capacity);
  shard_ = std::make_unique<Shard>(options_.shard, seams_.clock, *committer_);
  shard_->add_machine(streams_);
  shard_->set_streams(streams_);
  for (const std::unique_ptr<Module>& module : modules_)
    for (StateMachine* machine : module->machines()) shard_->add_machine(*machine);
  if (options_.accept_divergence != 0) shard_->accept_divergence(options_.accept_divergence);
  shard_->attach(*link_);
  if (options_.guard_apply) {
    Result<std::unique_ptr<ApplyGuardFile>> guard = ApplyGuardFile::open(options_.data_directory);
    if (!guard) return guard.error();
    guard_ = std::move(*guard);
    shard_->set_guard(guard_->guard());
  }
  const auto wake_io = [this] { seams_.net.wake(); };
  link_->wake_io = wake_io;
  // Nobody wakes the shard for requests: merged, its turn follows every turn of the I/O loop.
  committer_->set_wake(
      [this] {
        if (wake_commit_) wake_commit_();
      },
      wake_io);

  return replay_log();
}

// The newest sound snapshot, then the log behind it.
Result<void> Server::replay_log() {
  const std::string home = options_.data_directory + "/shard-0";
  snapshot::SnapshotStoreOptions snapshots{home + "/snapshots", home + "/quarantine"};
  if (options_.read_ahead) snapshots.read_ahead = snapshot::kReadAheadBuffers;
  snapshot_store_ = std::make_unique<snapshot::SnapshotStore>(seams_.disk, std::move(snapshots));
  HEPTANE_TRY(snapshot_store_->open());
  const Result<std::optional<LogId>> id = snapshot::peek_log_id(seams_.disk, home + "/log");
  if (!id) return id.error();
  archive_ = std::make_unique<archive::ArchiveStore>(
      seams_.disk, archive::ArchiveStoreOptions{home + "/archive", options_.shard.id});
  HEPTANE_TRY(archive_->open(*id));
  Result<snapshot::RestoredSnapshot> restored = snapshot_store_->restore(*shard_, streams_, *id);
  if (!restored) return restored.error();
  restored_ = std::move(*restored);
  Result<log::RecoveryReport> report = log_->recover(
      restored_.from,
      [this](const log::BatchView& batch, const log::BatchPlace& place) { return shard_->replay(batch, place); });
  if (!report) return report.error();
  recovery_ = std::move(*report);
  streams_.forget_segments(archive_->last_log_segment());
  restored_.reports.insert(restored_.reports.end(), archive_->reports().begin(), archive_->reports().end());
  recovery_.end.epoch = std::max(recovery_.end.epoch, restored_.header.epoch);  // nothing may follow the snapshot
  snapshots_ = std::make_unique<snapshot::SnapshotTaker>(*snapshot_store_, seams_.clock, options_.snapshots);
  snapshots_->set_wake_shard([this] { seams_.net.wake(); });
  snapshots_->set_wake_helper([this] {
    if (wake_helper_) wake_helper_();
  });
  snapshots_->set_report([](const std::string& line) { std::fprintf(stderr, "heptane: %s\n", line.c_str()); });
  archiver_ = std::make_unique<archive::Archiver>(*archive_, *log_, seams_.clock, options_.archive);
  archiver_->set_wake_shard([this] { seams_.net.wake(); });
  archiver_->set_wake_helper([this] {
    if (wake_helper_) wake_helper_();
  });
  archiver_->set_report([](const std::string& line) { std::fprintf(stderr, "heptane: %s\n", line.c_str()); });
  archiver_->start(log_->id(), options_.shard.id, options_.segment_bytes);
  snapshots_->start(log_->id(), options_.shard.id, restored_, recovery_.bytes);
  shard_->start(recovery_.end);
  shard_->adopt(options_.machine_config, recovery_.end.last_sequence == 0);
  return {};
}

Result<void> Server::open_listeners() {
  records_ = std::make_unique<LogRecordsReader>(*log_, seams_.disk, *archive_);
  net::IoLoopConfig config;
  config.max_connections = options_.max_connections;
  io_ = std::make_unique<net::IoLoop>(seams_.net, seams_.clock, *link_, *records_, config);
  register_metrics(*this, telemetry_);
  admin::AdminOptions admin_options;
  admin_options.telemetry = &telemetry_;
  admin_options.readiness = [this] { return admin::Readiness{!stopping_, stopping_ ? "stopping" : "", 0, 0}; };
  admin_options.snapshot = [this](bool ask) {
    if (ask) {
      snapshots_->request();
      if (wake_helper_) wake_helper_();
    }
    const snapshot::SnapshotCounters& counters = snapshots_->counters();
    return admin::SnapshotStatus{counters.taken_total, counters.failed_total, counters.last_bytes,
                                 counters.last_sequence};
  };
  admin_ = std::make_unique<admin::AdminProtocol>(std::move(admin_options));
  HEPTANE_TRY(open_listener({admin_.get(), admin::kDefaultPort}));
  const ServerFacts facts{log_->id(), shard_->epoch()};
  for (const std::unique_ptr<Module>& module : modules_)
    for (const ListenerSpec& spec : module->listeners(facts)) HEPTANE_TRY(open_listener(spec));
  return {};
}

Result<void> Server::open_listener(const ListenerSpec& spec) {
  const std::string name(spec.protocol->name());
  const auto chosen = options_.listen.find(name);
  Endpoint endpoint{name, {"127.0.0.1", 0}, false};
  if (chosen != options_.listen.end()) {
    if (!is_loopback(chosen->second.host))
      return Error{Errc::refused,
                   "listen." + name + ": " + chosen->second.host +
                       " is beyond loopback and authentication and TLS are not switched on: use 127.0.0.1"};
    const Result<uint16_t> port = io_->add_listener(*spec.protocol, chosen->second);
    if (!port) return Error{port.error().code, "listen." + name + ": " + port.error().message};
    endpoint.address = {chosen->second.host, *port};
  } else {
    Result<net::Address> address = listen_on_default(*spec.protocol, spec.default_port, endpoint.moved);
    if (!address) return Error{address.error().code, "listen." + name + ": " + address.error().message};
    endpoint.address = *address;
  }
  endpoints_.push_back(endpoint);
  return {};
}

// 127.0.0.1 and, where there is IPv6, [::1] with the same number; a port in use is skipped for the next.
Result<net::Address> Server::listen_on_default(net::Protocol& protocol, uint16_t default_port, bool& moved) {
  const uint16_t first = options_.ephemeral_ports ? 0 : default_port;
  Result<uint16_t> port = Error{Errc::exists, "no port was tried"};
  for (uint16_t step = 0; step < kDefaultPortTries && !port; ++step) {
    moved = step > 0;
    port = io_->add_listener(protocol, {"127.0.0.1", static_cast<uint16_t>(first == 0 ? 0 : first + step)});
    if (!port && port.error().code != Errc::exists) return port.error();
  }
  if (!port) return port.error();
  // A client that finds `localhost` in both families must reach us in both; without IPv6 there is nothing to reach.
  if (options_.loopback_v6) (void)io_->add_listener(protocol, {"::1", *port}).ok();
  return net::Address{"127.0.0.1", *port};
}

std::string Server::endpoints_json() const {
  std::string json = "{";
  for (const Endpoint& endpoint : endpoints_) {
    if (json.size() > 1) json += ", ";
    json += quoted(endpoint.name) + ": " + quoted(endpoint.address.host + ":" + std::to_string(endpoint.address.port));
  }
  return json + "}";
}

int64_t Server::wait_limit_ns() const {
  const int64_t io_deadline_ns = io_->next_deadline_ns();
  int64_t deadline_ns = shard_->next_deadline_ns();
  if (io_deadline_ns >= 0) deadline_ns = std::min(deadline_ns, io_deadline_ns);
  const int64_t now_ns = seams_.clock.monotonic_ns();
  return std::clamp<int64_t>(deadline_ns - now_ns, 0, kMaxWaitNs);
}

// log.md, Disk full: admission stops while there is still room for what must go on.
void Server::check_free_space() {
  const uint64_t last_snapshot = snapshots_->counters().last_bytes.load(std::memory_order_relaxed);
  const uint64_t reserve = kReserveSegments * options_.segment_bytes + last_snapshot * 3 / 2;
  const Result<uint64_t> free_bytes = seams_.disk.free_bytes(options_.data_directory);
  if (free_bytes) shard_->set_disk_full(*free_bytes < reserve);
}

bool Server::shard_turn() {
  if (stopping_ && !last_snapshot_requested_ && io_->stopped() && shard_->drained()) {
    last_snapshot_requested_ = true;
    snapshots_->request_last();
    if (wake_helper_) wake_helper_();
  }
  if (shard_->disk_full()) oldest_live_segment_.store(streams_.oldest_live_segment(), std::memory_order_relaxed);
  if (snapshots_->wants_state() && !shard_->rest_awaited())
    shard_->when_at_rest([this](const RestPoint& rest) { snapshots_->take(*shard_, streams_, rest); });
  archiver_->shard_turn(*shard_, streams_);
  return shard_->run_once();
}

// The log must reach below the older of two snapshots (log.md, Segments and files).
Result<void> Server::find_needed_log() {
  const uint64_t taken = snapshots_->counters().taken_total.load(std::memory_order_relaxed);
  if (taken == snapshots_seen_) return {};
  const Result<std::vector<snapshot::SnapshotName>> kept = snapshot_store_->list();
  if (!kept) return kept.error();
  snapshots_seen_ = taken;
  needed_from_ = kept->size() < 2 ? 0 : kept->back().sequence;
  return {};
}

// While the disk is full: segments that hold no record of a living stream and lie below the older snapshot go. History of
// commands is given up for going on; with room it is kept.
Result<void> Server::relieve_disk() {
  if (!shard_->disk_full()) return {};
  snapshots_->request();
  seams_.net.wake();
  if (needed_from_ == 0 || !archiver_->idle()) return {};
  // Not the segment that holds the snapshot's own last batch: recovery begins behind it.
  const Sequence live = log_->first_sequence_of(oldest_live_segment_.load(std::memory_order_relaxed));
  return log_->trim(std::min(live, needed_from_));
}

bool Server::helper_turn() {
  if (committer_->failed()) return false;
  check_free_space();
  if (const Result<void> found = find_needed_log(); !found) on_fatal_(found.error());
  if (const Result<void> relieved = relieve_disk(); !relieved) on_fatal_(relieved.error());
  const Result<bool> more = log_->maintain();
  if (!more) {
    // A full disk is met by admission; anything else is a disk that cannot be trusted with the next batch.
    if (more.error().code != Errc::no_space) on_fatal_(more.error());
    return false;
  }
  const bool snapshot = snapshots_->run_once(committer_->bytes_total(), committer_->watermark());
  // Not while the server stops: what is not finished is begun again by the next start.
  const Result<bool> archive = stopping_ ? Result<bool>(false) : archiver_->run_once(needed_from_, shard_->disk_full());
  if (!archive && archive.error().code != Errc::no_space) on_fatal_(archive.error());
  return snapshot || *more || (archive && *archive);
}

void Server::request_stop() {
  if (stopping_) return;
  stopping_ = true;
  io_->shutdown(seams_.clock.monotonic_ns() + kDrainLimitNs);
  shard_->request_stop();
}

bool Server::drained() const {
  return stopping_ && io_->stopped() && shard_->drained() && last_snapshot_requested_ && snapshots_->idle();
}

}  // namespace heptane::server
