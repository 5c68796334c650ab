#include "kernel/server/server.h"

#include <algorithm>
#include <cstdio>
#include <limits>

#include "kernel/log/quarantine.h"
#include "kernel/log/segment.h"
#include "kernel/server/history_reader.h"
#include "kernel/server/metrics.h"
#include "kernel/server/safety.h"
#include "kernel/server/server_keys.h"
#include "kernel/shard/machine_files.h"

namespace heptane::server {

namespace {

constexpr uint16_t kDefaultPortTries = 100;
constexpr uint64_t kDirectParts = 32;     // of a segment
constexpr uint64_t kReserveSegments = 2;  // beside one rewrite of the archive
constexpr size_t kUnnotedMax = 64;
constexpr LogTime kOneTimeTokenNs = int64_t{24} * 3600 * 1'000'000'000;
constexpr int64_t kMaxWaitNs = 1'000'000'000;

// Whose shard has its turn on this thread: what wakes the I/O then is no matter for the system.
thread_local const Server* turning = nullptr;

std::string quoted(const std::string& text) { return '"' + text + '"'; }

std::string hex_text(uint64_t number) {
  char text[17];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(number));
  return text;
}

// A jump with no command behind it yet: what an operator gave up of the log, at the first start since.
class UnnotedJump {
 public:
  void see(const log::BatchHeader& header) {
    if ((header.flags & log::kJumpFlag) != 0)
      jump_ = header;
    else if (header.command_count > 0)
      jump_.reset();
  }
  explicit operator bool() const { return jump_.has_value(); }
  std::string kept() const { return position_text(jump_->shard, jump_->durable_upto); }
  std::string detail() const { return "the log goes on at " + position_text(jump_->shard, jump_->first_sequence); }

 private:
  std::optional<log::BatchHeader> jump_;
};

}  // namespace

Server::Server(Seams seams, ServerOptions options, Modules modules, Fatal on_fatal)
    : seams_(seams),
      options_(std::move(options)),
      modules_(std::move(modules)),
      on_fatal_(std::move(on_fatal)),
      gate_(options_.auth, seams.clock, seams.random),
      quotas_(seams.clock),
      commit_seconds_(Histogram::exponential_bounds(0.0001, 2, 16)),
      batch_bytes_(Histogram::exponential_bounds(4096, 4, 6)),
      tls_(seams.clock) {
  // A batch, its effects and its padding always fit a segment.
  const uint64_t third = (options_.segment_bytes - log::kBlockBytes) / 3;
  options_.shard.batch_target_bytes = std::min<uint64_t>(options_.shard.batch_target_bytes, third);
  quotas_.configure(options_.quotas);
  options_.shard.payload_limit_bytes = std::min<uint64_t>(options_.shard.payload_limit_bytes, third);
}

Server::~Server() = default;

Result<void> Server::start() {
  begun_ns_ = seams_.clock.monotonic_ns();
  HEPTANE_TRY(open_log());
  HEPTANE_TRY(open_blobs());
  HEPTANE_TRY(open_admin());
  HEPTANE_TRY(recover());
  HEPTANE_TRY(open_listeners());
  ready_ = true;
  start_ns_ = seams_.clock.monotonic_ns() - begun_ns_;
  return {};
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
  // Small segments take small batches past the page cache, too: the simulator and tests see both ways.
  log_options.direct_from_bytes =
      static_cast<size_t>(std::min<uint64_t>(log_options.direct_from_bytes, options_.segment_bytes / kDirectParts));
  if (options_.read_ahead) log_options.recovery_read_ahead = log::kReadAheadBatches;
  Result<std::unique_ptr<log::SegmentLog>> opened = log::SegmentLog::open(seams_.disk, seams_.random, log_options);
  if (!opened) return opened.error();
  log_ = std::move(*opened);
  return {};
}

Result<void> Server::open_blobs() {
  blobs::BlobStoreOptions options = options_.blobs;
  options.directory = options_.data_directory + "/blobs";
  options.on_sync_failed = on_fatal_;
  blob_store_ = std::make_unique<blobs::BlobStore>(seams_.disk, std::move(options));
  blob_collector_ = std::make_unique<blobs::BlobCollector>(*blob_store_, blobs_);
  return blob_store_->open();
}

// Until recovery has ended nothing that this listener answers touches the shard.
Result<void> Server::open_admin() {
  link_ = std::make_unique<ShardLink>(options_.link_capacity);
  link_->wake_io = [this] {
    if (turning == this)
      io_wanted_ = true;
    else
      seams_.net.wake();
  };
  archive_ = std::make_unique<archive::ArchiveStore>(
      seams_.disk, archive::ArchiveStoreOptions{options_.data_directory + "/shard-0/archive", options_.shard.id});
  make_readers();
  net::IoLoopConfig io = options_.io;
  io.random = &seams_.random;
  io.workers = &work_;
  work_.set_wake_io([this] { seams_.net.wake(); });
  io_ = std::make_unique<net::IoLoop>(seams_.net, seams_.clock, *link_, *records_, std::move(io));
  register_start_metrics(*this, telemetry_);
  admin::AdminOptions admin_options;
  admin_options.hosts = options_.http_hosts;
  admin_options.limits = options_.http;
  admin_options.wait_until_ready = true;
  admin_options.counters = &http_counters_;
  admin_options.telemetry = &telemetry_;
  admin_options.readiness = [this] { return readiness(); };
  admin_options.snapshot = [this](bool ask) {
    const snapshot::SnapshotCounters& counters = snapshots_->counters();
    admin::SnapshotStatus status;
    if (ask) {
      status.request = snapshots_->request();
      if (wake_helper_) wake_helper_();
    }
    status.answered = counters.answered.load(std::memory_order_acquire);
    status.last_failed = counters.last_failed;
    status.taken = counters.taken_total;
    status.failed = counters.failed_total;
    status.bytes = counters.last_bytes;
    status.sequence = counters.last_sequence;
    return status;
  };
  admin_options.looks = log_looks();
  admin_options.blobs = blob_store_.get();
  admin_options.gate = &gate_;
  admin_options.quotas = &quotas_;
  const auto operations = std::make_shared<admin::OperationTable>();
  for (const std::unique_ptr<Module>& module : modules_) module->add_operations(*operations);
  admin_options.operations = operations;
  admin_options.view_inputs = &view_inputs_;
  admin_options.add_routes = [this](http::HttpRouter& router) {
    for (const std::unique_ptr<Module>& module : modules_) module->add_routes(router);
    if (options_.add_routes) options_.add_routes(router);
  };
  admin_ = std::make_unique<admin::AdminProtocol>(std::move(admin_options));
  return open_listener({admin_.get(), admin::kDefaultPort});
}

admin::LogLooks Server::log_looks() {
  const ShardId shard = options_.shard.id;
  admin::LogLooks looks;
  looks.watermark = [this] { return committer_->watermark(); };
  looks.command = [this, shard](Sequence sequence) {
    return archive::explain(seams_.disk, options_.data_directory, shard, sequence, renderers_, commands_);
  };
  looks.maker = [this, shard](const archive::RecordPlace& place) {
    return archive::command_of_record(seams_.disk, options_.data_directory, shard, place);
  };
  return looks;
}

admin::Readiness Server::readiness() const {
  if (stopping_) return {false, "stopping", 0, 0};
  return ready_ ? admin::Readiness{true, "", 0, 0} : progress_;
}

// Recovery is one call; this is where it breathes.
Result<void> Server::between_steps(std::string_view phase, uint64_t done, uint64_t total) {
  progress_ = {false, std::string(phase), done, total};
  const int64_t now_ns = seams_.clock.monotonic_ns();
  if (now_ns - last_turn_ns_ < options_.recovery_turn_ns) return {};
  io_->run_once(0);
  seams_.disk.free_left();
  last_turn_ns_ = seams_.clock.monotonic_ns();
  if (options_.stop_wanted && options_.stop_wanted())
    return Error{Errc::closed, "stopped before it was ready; nothing was changed"};
  return {};
}

Result<void> Server::recover() {
  committer_ = std::make_unique<Committer>(*log_, on_fatal_);
  committer_->measure(seams_.clock, commit_seconds_, batch_bytes_);
  shard_ = std::make_unique<Shard>(options_.shard, seams_.clock, *committer_);
  shard_->add_machine(streams_);
  shard_->add_machine(auth_);
  shard_->add_machine(blobs_);
  shard_->set_principals(auth_);
  shard_->set_streams(streams_);
  commands_.name_machine(machine_ids::kKernel, "kernel");
  for (const StateMachine* machine : std::initializer_list<const StateMachine*>{&streams_, &auth_, &blobs_})
    commands_.name_machine(machine->id(), machine->name());
  for (const std::unique_ptr<Module>& module : modules_) {
    commands_.add(module->command_words());
    for (StateMachine* machine : module->machines()) {
      shard_->add_machine(*machine);
      renderers_.add(*machine);
      commands_.name_machine(machine->id(), machine->name());
      if (const auto* source = dynamic_cast<const PrincipalSource*>(machine)) auth_.know(*source);
    }
  }
  if (options_.accept_divergence != 0) shard_->accept_divergence(options_.accept_divergence);
  shard_->attach(*link_);
  if (options_.guard_apply) {
    shard_->watch_applies();
    Result<std::unique_ptr<ApplyGuardFile>> guard = ApplyGuardFile::open(options_.data_directory);
    if (!guard) return guard.error();
    guard_ = std::move(*guard);
    shard_->set_guard(guard_->guard());
  }
  const auto wake_io = [this] { seams_.net.wake(); };
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
  snapshots.history = {options_.snapshot_keep_bytes, options_.archive.retain_commands_ns};
  // A wish to stop waits for the end of the snapshot.
  snapshots.on_progress = [this](uint64_t done, uint64_t total) { (void)between_steps("restore", done, total).ok(); };
  if (options_.read_ahead) snapshots.read_ahead = snapshot::kReadAheadBuffers;
  snapshot_store_ = std::make_unique<snapshot::SnapshotStore>(seams_.disk, std::move(snapshots));
  HEPTANE_TRY(snapshot_store_->open());
  HEPTANE_TRY(open_machine_files());
  const Result<std::optional<LogId>> id = snapshot::peek_log_id(seams_.disk, home + "/log");
  if (!id) return id.error();
  HEPTANE_TRY(archive_->open(*id));
  Result<snapshot::RestoredSnapshot> restored = snapshot_store_->restore(*shard_, streams_, *id);
  if (!restored) return restored.error();
  restored_ = std::move(*restored);
  const Result<uint64_t> total = log_bytes_behind(restored_.from.place.segment, restored_.from.place.offset);
  if (!total) return total.error();
  uint64_t done = 0;
  UnnotedJump jump;
  HEPTANE_TRY(between_steps("replay", done, *total));
  Result<log::RecoveryReport> report =
      log_->recover(restored_.from, [&](const log::BatchView& batch, const log::BatchPlace& place) -> Result<void> {
        HEPTANE_TRY(shard_->replay(batch, place));
        jump.see(batch.header());
        for (bool more = true; more;) {
          const Result<bool> written = write_machine_files();
          if (!written) return written.error();
          more = *written;
        }
        done += batch.header().padded_bytes();
        return between_steps("replay", done, *total);
      });
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
  snapshot_check_ = std::make_unique<SnapshotCheck>(seams_.clock, options_.snapshot_check);
  snapshot_check_->set_wake_shard([this] { seams_.net.wake(); });
  snapshot_check_->set_report([](const std::string& line) { std::fprintf(stderr, "heptane: %s\n", line.c_str()); });
  archiver_ = std::make_unique<archive::Archiver>(*archive_, *log_, seams_.clock, options_.archive);
  archiver_->set_wake_shard([this] { seams_.net.wake(); });
  archiver_->set_wake_helper([this] {
    if (wake_helper_) wake_helper_();
  });
  archiver_->set_report([](const std::string& line) { std::fprintf(stderr, "heptane: %s\n", line.c_str()); });
  archiver_->set_renderers(renderers_);
  archiver_->start(log_->id(), options_.shard.id, options_.segment_bytes);
  snapshots_->start(log_->id(), options_.shard.id, restored_, recovery_.bytes);
  shard_->start(recovery_.end);
  // Behind a divergence that was accepted there is a jump: until a snapshot covers it each start would meet it again.
  if (shard_->last_applied() > recovery_.end.last_sequence) (void)snapshots_->request();
  snapshot_check_->start(shard_->epoch());
  blob_collector_->start(shard_->last_applied());
  start_versions();
  start_auth();
  if (jump) note({"log.jump", jump.kept(), jump.detail(), "done"});
  if (options_.accept_divergence > restored_.header.sequence)
    note({"log.accept_divergence", position_text(options_.shard.id, options_.accept_divergence), {}, "done"});
  if (found_apply_crash() != 0)
    note({"apply.crash", "command " + hex_text(found_apply_crash()), "it is refused from now on", "failed"});
  return {};
}

// Their rows come back by replay, which needs no more memory for it than running does: the files are written on the way.
Result<void> Server::open_machine_files() {
  machine_files_ = shard_->machine_files();
  if (machine_files_.empty()) return {};
  const std::string directory = options_.data_directory + "/shard-0/rows";
  HEPTANE_TRY(log::make_durable_directory(seams_.disk, directory));
  const auto end = [this](const Error& error) {
    shard_->halt();
    on_fatal_(error);
  };
  const auto progress = [this](uint64_t done, uint64_t total) { return between_steps("rows", done, total).ok(); };
  for (MachineFiles* files : machine_files_)
    files->open({&seams_.disk, directory, true, end, options_.row_files_open, progress});
  return {};
}

// One file of each machine, if there is one to write. True: there may be more.
Result<bool> Server::write_machine_files() {
  bool more = false;
  for (MachineFiles* files : machine_files_) {
    const Result<bool> written = files->write_next();
    if (!written) return written.error();
    more = *written || more;
  }
  return more;
}

// A new log follows the newest logic; an existing one when its operator says so. What makes it new are its first commands: where a
// crash left some of them out, they follow now.
void Server::start_versions() {
  const bool new_log = shard_->holds_settings_only();
  if (!new_log)
    for (MachineVersion& version : shard_->versions())
      if (version.upgradable()) upgrades_at_start_.push_back(std::move(version));
  shard_->adopt(options_.machine_config, new_log || options_.auto_activate);
  if (!options_.auto_activate) return;
  for (const MachineVersion& version : upgrades_at_start_) {
    const std::string detail = "logic version " + std::to_string(version.active) + " to " +
                               std::to_string(version.newest) + ", upgrade.auto_activate";
    note({"upgrade.activate", version.name, detail, "done"});
  }
}

// An event of the audit trail, by the server itself; what cannot be told yet is told when it can. The shard's thread.
void Server::note(const auth::Note& note) {
  if (!may_note()) {
    if (unnoted_.size() < kUnnotedMax) unnoted_.push_back(note);
    return;
  }
  Submission submission;
  submission.machine = machine_ids::kAuth;
  submission.type = auth::kNote;
  submission.payload = auth::encode(note);
  (void)shard_->submit_internal(std::move(submission));  // a full queue: the log line and the metric tell
}

// One reads what is in memory, on the I/O thread; the others wait for the disk.
void Server::make_readers() {
  const auto reader = [this] { return std::make_unique<LogRecordsReader>(*log_, seams_.disk, *archive_, renderers_); };
  reads_.set_wake_io([this] { seams_.net.wake(); });
  records_ = std::make_unique<PooledRecordsReader>(reads_, reader());
  for (size_t i = 0; i < readers(); ++i) readers_.push_back(std::make_unique<ReaderRole>(reads_, reader()));
}

// What there is to replay at most: the last segments hold room that nothing was written to yet.
Result<uint64_t> Server::log_bytes_behind(uint32_t segment, uint64_t offset) {
  const Result<log::SegmentListing> listing = log::list_segments(seams_.disk, options_.data_directory + "/shard-0/log");
  if (!listing) return listing.error().code == Errc::not_found ? Result<uint64_t>(0) : listing.error();
  uint64_t bytes = 0;
  for (const log::SegmentFile& file : listing->segments)
    if (file.number >= segment)
      bytes += file.file_bytes - std::min(file.file_bytes, file.number == segment ? offset : 0);
  return bytes;
}

void Server::add_view_input(streams::ViewInput& input) {
  view_inputs_.add(input);
  for (const CommandType command : input.commands())
    io_->watch_answers(input.machine(), command, [&input, command](const Buffer& payload, const Reply& reply) {
      input.on_answer(command, payload, reply);
    });
}

Result<void> Server::open_listeners() {
  const HistoryPlaces places{options_.data_directory + "/shard-0/log", log_->id(), options_.shard.id};
  history_ = std::make_unique<LogHistoryReader>(seams_.disk, *log_, *archive_, renderers_, places);
  const ServerFacts facts{log_->id(),    shard_->epoch(),         gate_.enabled() ? &gate_ : nullptr,
                          &quotas_,      &view_inputs_,           &gate_,
                          &seams_.disk,  options_.data_directory, options_.http_hosts,
                          io_.get(),     blob_store_.get(),       &work_,
                          history_.get()};
  for (const std::unique_ptr<Module>& module : modules_) {
    if (!is_on(*module)) continue;
    for (const ListenerSpec& spec : module->listeners(facts)) HEPTANE_TRY(open_listener(spec));
    if (streams::ViewInput* input = module->view_input()) add_view_input(*input);
    for (AnswerWatch& watch : module->answer_watches())
      io_->watch_answers(watch.machine, watch.command, std::move(watch.heard));
    module->register_metrics(telemetry_);
  }
  register_metrics(*this, telemetry_);
  tls_.register_metrics(io_->counters(), telemetry_);
  return check_listener_names();
}

// A module that is off keeps its machines: what the log holds for them must replay, and their state is part of the whole.
bool Server::is_on(const Module& module) const {
  return !options_.modules_on || std::find(options_.modules_on->begin(), options_.modules_on->end(), module.name()) !=
                                     options_.modules_on->end();
}

Result<void> Server::open_listener(const ListenerSpec& spec) {
  for (net::Protocol* resident : spec.residents) io_->add_resident(*resident);
  const std::string name(spec.protocol->name());
  if (options_.listen_off.contains(name)) return {};
  const auto chosen = options_.listen.find(name);
  Endpoint endpoint{name, {"127.0.0.1", 0}, {}, false, options_.tls.contains(name), false};
  Result<net::ListenerOptions> options = listener_options(name);
  if (options) options->preamble = spec.preamble;
  if (!options) return Error{options.error().code, "listen." + name + ": " + options.error().message};
  if (chosen != options_.listen.end()) {
    HEPTANE_TRY(listen_on_chosen(spec, chosen->second, *options, endpoint));
  } else {
    Result<net::Address> address = listen_on_default(spec, *options, endpoint.moved);
    if (!address) return Error{address.error().code, "listen." + name + ": " + address.error().message};
    endpoint.address = *address;
  }
  endpoints_.push_back(endpoint);
  return {};
}

// The first is the one that the endpoints file names.
Result<void> Server::listen_on_chosen(const ListenerSpec& spec, const std::vector<net::Address>& addresses,
                                      const net::ListenerOptions& options, Endpoint& endpoint) {
  for (const net::Address& address : addresses) {
    ListenerSafety safety = listener_safety(options_, endpoint.name, address.host);
    safety.loopback_only = spec.loopback_only;
    if (const std::string why = unsafe_listener(safety); !why.empty()) return Error{Errc::refused, why};
    endpoint.insecure = endpoint.insecure || is_insecure(safety);
    const Result<uint16_t> port = io_->add_listener(*spec.protocol, address, options);
    if (!port) return Error{port.error().code, "listen." + endpoint.name + ": " + port.error().message};
    if (&address == &addresses.front())
      endpoint.address = {address.host, *port};
    else
      endpoint.more.push_back({address.host, *port});
  }
  return {};
}

Result<net::ListenerOptions> Server::listener_options(const std::string& name) {
  const auto limits = options_.listener_limits.find(name);
  net::ListenerOptions options = limits == options_.listener_limits.end() ? net::ListenerOptions{} : limits->second;
  const auto tls = options_.tls.find(name);
  if (tls == options_.tls.end()) return options;
  Result<std::shared_ptr<net::TlsCredentials>> credentials = tls_.load(name, tls->second);
  if (!credentials) return credentials.error();
  options.tls = *credentials;
  return options;
}

// Encryption that was asked for and is nowhere would be the worst of all mistakes.
Result<void> Server::check_listener_names() const {
  for (const auto& [name, tls] : options_.tls) {
    const bool there = std::any_of(endpoints_.begin(), endpoints_.end(),
                                   [&wanted = name](const Endpoint& endpoint) { return endpoint.name == wanted; });
    if (!there)
      return Error{Errc::invalid_argument, "tls is set for the listener `" + name + "`, which does not exist"};
  }
  return {};
}

// 127.0.0.1 and, where there is IPv6, [::1] with the same number; a port in use is skipped for the next.
Result<net::Address> Server::listen_on_default(const ListenerSpec& spec, const net::ListenerOptions& options,
                                               bool& moved) {
  net::Protocol& protocol = *spec.protocol;
  const uint16_t first = options_.ephemeral_ports ? 0 : spec.default_port;
  Result<uint16_t> port = Error{Errc::exists, "no port was tried"};
  for (uint16_t step = 0; step < kDefaultPortTries && !port; ++step) {
    moved = step > 0;
    port = io_->add_listener(protocol, {"127.0.0.1", static_cast<uint16_t>(first == 0 ? 0 : first + step)}, options);
    if (!port && port.error().code != Errc::exists) return port.error();
  }
  if (!port) return port.error();
  // A client that finds `localhost` in both families must reach us in both; without IPv6 there is nothing to reach.
  if (options_.loopback_v6) (void)io_->add_listener(protocol, {"::1", *port}, options).ok();
  return net::Address{"127.0.0.1", *port};
}

std::string Server::endpoints_json() const {
  std::string json = "{";
  for (const Endpoint& endpoint : endpoints_) {
    if (json.size() > 1) json += ", ";
    json += quoted(endpoint.name) + ": " + quoted(net::to_text(endpoint.address));
  }
  std::string encrypted;
  for (const Endpoint& endpoint : endpoints_)
    if (endpoint.tls) encrypted += (encrypted.empty() ? "" : ", ") + quoted(endpoint.name) + ": true";
  if (!encrypted.empty()) json += ", \"tls\": {" + encrypted + "}";
  return json + "}";
}

int64_t Server::wait_limit_ns() const {
  if (io_wanted_) return 0;
  const int64_t io_deadline_ns = io_->next_deadline_ns();
  int64_t deadline_ns = shard_->next_deadline_ns();
  if (io_deadline_ns >= 0) deadline_ns = std::min(deadline_ns, io_deadline_ns);
  deadline_ns = std::min(deadline_ns, gate_.incidents().due_ns());
  const int64_t now_ns = seams_.clock.monotonic_ns();
  return std::clamp<int64_t>(deadline_ns - now_ns, 0, kMaxWaitNs);
}

// log.md, Disk full: admission stops while there is still room for what must go on. History goes before it comes to that.
Result<void> Server::check_free_space() {
  const uint64_t last_snapshot = snapshots_->counters().last_bytes.load(std::memory_order_relaxed);
  const uint64_t reserve = std::max(options_.archive.target_bytes, options_.segment_bytes) +
                           kReserveSegments * options_.segment_bytes + last_snapshot * 3 / 2;
  Result<uint64_t> free_bytes = seams_.disk.free_bytes(options_.data_directory);
  if (free_bytes && *free_bytes < reserve) {
    const Result<bool> forgotten = snapshot_store_->forget_history();
    if (!forgotten) return forgotten.error();
    if (*forgotten) free_bytes = seams_.disk.free_bytes(options_.data_directory);
  }
  if (free_bytes) shard_->set_disk_full(*free_bytes < reserve);
  blob_store_->set_disk_full(shard_->disk_full());
  return {};
}

bool Server::shard_turn() {
  turning = this;
  const bool more = take_shard_turn();
  turning = nullptr;
  return more;
}

bool Server::take_shard_turn() {
  // Connections that end may have a last command: it is taken before the shard takes no more.
  if (stopping_ && io_->stopped() && link_->requests.empty()) shard_->request_stop();
  if (stopping_ && !last_snapshot_requested_ && io_->stopped() && shard_->drained()) {
    last_snapshot_requested_ = true;
    snapshots_->request_last();
    if (wake_helper_) wake_helper_();
  }
  if (shard_->disk_full()) oldest_live_segment_.store(streams_.oldest_live_segment(), std::memory_order_relaxed);
  if (snapshots_->wants_state() && !shard_->rest_awaited())
    shard_->when_at_rest([this](const RestPoint& rest) {
      snapshots_->take(*shard_, streams_, rest);
      shard_->snapshot_begun();
    });
  archiver_->shard_turn(*shard_, streams_);
  blob_collector_->shard_turn(shard_->last_applied());
  auth_turn();
  note_what_waits();
  note_snapshot_check();
  const bool more = shard_->run_once();
  note_alarms();
  return more;
}

// Not while programs can still go on with this log whose audit trail knows no such event.
bool Server::may_note() const {
  return !stopping_ && shard_->kernel().version_of(machine_ids::kAuth) == auth_.newest_version();
}

void Server::note_what_waits() {
  if (unnoted_.empty() || !may_note()) return;
  for (const auth::Note& waiting : std::exchange(unnoted_, {})) note(waiting);
}

void Server::note_snapshot_check() {
  const std::optional<SnapshotCheck::Finding> finding = snapshot_check_->take_finding();
  if (!finding) return;
  const std::string text = finding->text.substr(0, auth::kReportTextLimitBytes);
  note({"snapshot.compare", "snapshots", text, finding->same ? "done" : "failed"});
}

// A machine whose state is not what it must be, or cannot be checked: the operator decides.
void Server::note_alarms() {
  for (const Shard::Alarm& alarm : shard_->take_alarms()) {
    std::fprintf(stderr, "heptane: THE STATE OF %s IS IN DOUBT: %s\n", alarm.machine.c_str(), alarm.text.c_str());
    const std::string text = alarm.text.substr(0, auth::kReportTextLimitBytes);
    note({"state.check", alarm.machine, text, "failed"});
  }
}

// What was replayed is synced: the I/O side may believe it.
void Server::start_auth() {
  gate_.store().start(std::make_shared<const auth::Directory>(auth_.directory()),
                      [this] { return committer_->watermark(); });
  auth_.publish_to(gate_.store());
  if (gate_.enabled() && !auth_.directory().has_usable_admin(true)) bootstrap();
}

// Nobody can get in yet: the first administrator, and a token that is good for making something better.
void Server::bootstrap() {
  const auth::Gate::NewToken token = gate_.make_token();
  const std::string probe_key = gate_.random_bytes(auth::kTokenHashBytes);
  const auth::Bootstrap command{auth::kAdminRole, token.hash, probe_key, kOneTimeTokenNs};
  Submission submission;
  submission.machine = machine_ids::kAuth;
  submission.type = auth::kBootstrap;
  submission.payload = auth::encode(command);
  const bool taken = shard_->submit_internal(std::move(submission));
  HEPTANE_ASSERT(taken, "the queue of a shard that has just started is empty");
  one_time_token_ = token.secret;
}

// Once a second at most, what was refused becomes a command; a one-time token is told when it is synced.
void Server::auth_turn() {
  if (std::optional<Buffer> report = gate_.incidents().take(seams_.clock.monotonic_ns()); report && !stopping_) {
    Submission submission;
    submission.machine = machine_ids::kAuth;
    submission.type = auth::kReport;
    submission.payload = std::move(*report);
    (void)shard_->submit_internal(std::move(submission));  // a full queue: the counters tell
  }
  if (one_time_token_.empty() || !gate_.view()->has_usable_admin(true)) return;
  if (options_.announce_token) options_.announce_token(one_time_token_);
  one_time_token_.clear();
}

// The log must reach below the older of two snapshots (log.md, Segments and files).
Result<void> Server::find_needed_log() {
  const uint64_t taken = snapshots_->counters().taken_total.load(std::memory_order_relaxed);
  if (taken == snapshots_seen_) return {};
  const Result<Sequence> floor = snapshot_store_->recovery_floor();
  if (!floor) return floor.error();
  snapshots_seen_ = taken;
  needed_from_ = *floor;
  return {};
}

// While the disk is full: segments that hold no record of a living stream and lie below the older snapshot go. History of
// commands is given up for going on; with room it is kept.
Result<void> Server::relieve_disk() {
  if (!shard_->disk_full()) {
    relief_.forget();
    return {};
  }
  const uint64_t failed = snapshots_->counters().failed_total.load(std::memory_order_relaxed);
  if (relief_.due(committer_->bytes_total(), failed, seams_.clock.monotonic_ns())) (void)snapshots_->request();
  seams_.net.wake();
  if (needed_from_ == 0 || !archiver_->idle()) return {};
  // Not the segment that holds the snapshot's own last batch: recovery begins behind it.
  const Sequence live = log_->first_sequence_of(oldest_live_segment_.load(std::memory_order_relaxed));
  return log_->trim(std::min(live, needed_from_));
}

void Server::reconfigure(const config::Settings& settings) {
  ServerOptions wanted = options_;  // which stay as they are: the helper reads them
  land(settings, wanted);
  quotas_.configure(wanted.quotas);
  shard_->set_machine_memory_budget(wanted.shard.machine_memory_budget_bytes);
  shard_->adopt(wanted.machine_config, false);
  for (const std::unique_ptr<Module>& module : modules_) module->configure(settings);
  {
    const std::lock_guard lock(options_mutex_);
    new_options_ = std::move(wanted);
  }
  if (wake_helper_) wake_helper_();
}

void Server::take_new_options() {
  const std::lock_guard lock(options_mutex_);
  if (!new_options_) return;
  snapshots_->reconfigure(new_options_->snapshots);
  archiver_->reconfigure(new_options_->archive);
  new_options_.reset();
}

bool Server::helper_turn() {
  if (committer_->failed()) return false;
  take_new_options();
  seams_.disk.free_left();
  if (const Result<void> checked = check_free_space(); !checked) on_fatal_(checked.error());
  if (const Result<void> found = find_needed_log(); !found) on_fatal_(found.error());
  if (const Result<void> relieved = relieve_disk(); !relieved) on_fatal_(relieved.error());
  snapshot_check_->run_once(stopping_);
  if (const Result<size_t> collected = blob_collector_->helper_turn(needed_from_); !collected)
    on_fatal_(collected.error());
  // A full disk is met by admission; anything else is a disk that cannot be trusted with the next batch.
  const Result<bool> more = log_->maintain();
  if (!more && more.error().code != Errc::no_space) {
    on_fatal_(more.error());
    return false;
  }
  const Result<bool> rows = write_machine_files();
  if (!rows && rows.error().code != Errc::no_space) on_fatal_(rows.error());
  snapshots_->set_no_room_for_files(!rows);
  const bool snapshot = snapshots_->run_once(committer_->bytes_total(), committer_->watermark());
  // Not while the server stops: what is not finished is begun again by the next start.
  const Result<bool> archive = stopping_ ? Result<bool>(false) : archiver_->run_once(needed_from_, shard_->disk_full());
  if (!archive && archive.error().code != Errc::no_space) on_fatal_(archive.error());
  return snapshot || (more && *more) || (rows && *rows) || (archive && *archive);
}

int64_t Server::helper_wait_ns() const {
  const int64_t next_ns = snapshots_->next_step_ns();
  return next_ns == INT64_MAX ? INT64_MAX : std::max<int64_t>(0, next_ns - seams_.clock.monotonic_ns());
}

void Server::request_stop() {
  if (stopping_) return;
  stopping_ = true;
  io_->shutdown(seams_.clock.monotonic_ns() + options_.drain_limit_ns);
  shard_->refuse_queries();
}

bool Server::drained() const {
  return stopping_ && io_->stopped() && shard_->drained() && last_snapshot_requested_ && snapshots_->idle();
}

}  // namespace heptane::server
