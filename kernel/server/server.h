// The whole server as objects with turns: recovery, shard, commit, log housekeeping and I/O over the four seams. It starts
// no thread: app gives every role one (runner.h), the simulator calls them in seeded order.
//
// The admin listener opens before recovery and answers health and metrics alone; recovery gives it a turn between two
// steps. Every other listener opens when all that can be read is synced (kernel/log/README.md, Recovery).
#pragma once

#include <algorithm>
#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "kernel/admin/admin.h"
#include "kernel/archive/archiver.h"
#include "kernel/auth/auth_machine.h"
#include "kernel/auth/gate.h"
#include "kernel/base/clock.h"
#include "kernel/base/disk.h"
#include "kernel/base/random.h"
#include "kernel/blobs/blob_collector.h"
#include "kernel/config/settings.h"
#include "kernel/log/segment_log.h"
#include "kernel/net/io_loop.h"
#include "kernel/net/net.h"
#include "kernel/server/apply_guard.h"
#include "kernel/server/listener_tls.h"
#include "kernel/server/module.h"
#include "kernel/server/reader_pool.h"
#include "kernel/server/relief.h"
#include "kernel/server/snapshot_check.h"
#include "kernel/server/work_queue.h"
#include "kernel/shard/shard.h"
#include "kernel/snapshot/snapshot_taker.h"
#include "kernel/streams/streams_machine.h"
#include "kernel/streams/view_input.h"

namespace heptane::server {

struct Seams {
  Clock& clock;
  Disk& disk;
  Random& random;
  net::Net& net;
};

struct ServerOptions {
  std::string data_directory = "heptane-data";
  uint64_t segment_bytes = uint64_t{64} << 20;
  std::map<std::string, std::vector<net::Address>> listen;  // by listener name; what is absent has its default
  std::set<std::string> listen_off;                         // these do not open
  std::set<std::string> listen_insecure;       // may be reached from beyond loopback without authentication and TLS
  std::map<std::string, net::TlsOptions> tls;  // by listener name; the others speak in the clear
  bool tls_unused = false;                     // there are files and no listener for them
  std::map<std::string, net::ListenerOptions> listener_limits;  // by listener name; what is absent has the defaults
  bool ephemeral_ports = false;  // listeners without an entry in `listen` take any free port
  bool loopback_v6 = true;       // default listeners on [::1] too, with the same number
  Sequence accept_divergence = 0;
  size_t link_capacity = 16'384;
  net::IoLoopConfig io;
  http::HttpLimits http;
  std::vector<std::string> http_hosts;                 // names besides loopback's that the admin listener answers to
  int64_t drain_limit_ns = 10'000'000'000;             // of a stop: what is unanswered then is cut off
  int64_t recovery_turn_ns = 5'000'000;                // of recovery between two turns of the admin listener
  std::map<std::string, std::string> machine_config;   // what apply() may see; differences are logged at start
  std::optional<std::vector<std::string>> modules_on;  // of the other modules no listener opens; absent: all are on
  size_t readers = 1;                                  // threads for reads of the log that would wait for the disk
  bool auto_activate = false;  // a start activates the newest logic versions of an existing log, too
  size_t row_files_open = 64;  // of each kind of row files, at once
  bool read_ahead = false;   // recovery reads on a thread of its own what it is about to restore (not in the simulator)
  bool guard_apply = false;  // remember in a mapped file which command was being applied (not in the simulator)
  bool process_metrics = false;                       // what the system says of the process (not in the simulator)
  std::function<void(http::HttpRouter&)> add_routes;  // more of the admin listener's, before recovery; may be absent
  std::function<bool()> stop_wanted;  // asked during recovery: true ends the start with Errc::closed; may be absent
  blobs::BlobStoreOptions blobs{"", 16, uint64_t{4} << 30, UINT64_MAX, {}};  // its directory is in the data directory
  auth::AuthOptions auth;
  net::QuotaConfig quotas;
  std::function<void(const std::string& token)> announce_token;  // the one-time token of a first start, once synced
  ShardOptions shard;
  snapshot::SnapshotTakerOptions snapshots;
  SnapshotCheckOptions snapshot_check;
  uint64_t snapshot_keep_bytes = uint64_t{8} << 30;  // of snapshots for a look at the past
  archive::ArchiverOptions archive;
};

struct Endpoint {
  std::string name;
  net::Address address;
  std::vector<net::Address> more{};  // besides it
  bool moved = false;                // the default port was in use
  bool tls = false;
  bool insecure = false;  // reachable from beyond loopback, and nothing protects it
};

class LogHistoryReader;

class Server {
 public:
  using Fatal = std::function<void(const Error&)>;

  // `on_fatal` is called once, on the thread that met a write or sync error: the process must end.
  Server(Seams seams, ServerOptions options, Modules modules, Fatal on_fatal);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // Locks the data directory, recovers, replays, opens the listeners. Once.
  Result<void> start();

  // What SIGHUP may change. Keys that are not reloadable hold what they held. On the thread of I/O and shard.
  void reconfigure(const config::Settings& settings);

  // One turn each; true when there is more to do at once.
  void io_turn(int64_t max_wait_ns) {
    io_wanted_ = false;
    io_->run_once(max_wait_ns);
  }
  bool shard_turn();
  bool commit_turn() { return committer_->run_once(); }
  bool helper_turn();
  // After it: until there is more to do at the latest, 0 or more; INT64_MAX: it cannot tell.
  int64_t helper_wait_ns() const;
  bool reader_turn(size_t reader) { return readers_[reader]->run_once(); }  // below readers()

  bool worker_turn() { return work_.run_once(); }

  // How long I/O and shard, on one thread, may wait.
  int64_t wait_limit_ns() const;

  // Stop accepting, finish, sync, seal, take a snapshot (a helper turn's too). Done when drained().
  void request_stop();
  bool drained() const;

  // Reads the files of certificates again: new connections use them, old ones keep theirs. What is wrong stays as it was
  // and is named in the error. The I/O thread.
  Result<void> reload_tls() { return tls_.reload(); }

  const std::vector<Endpoint>& endpoints() const { return endpoints_; }
  std::string endpoints_json() const;
  const log::RecoveryReport& recovery() const { return recovery_; }
  // Machines of an existing log that this program knew a newer logic version of at its start; activated by it when
  // `auto_activate` is on.
  const std::vector<MachineVersion>& upgrades_at_start() const { return upgrades_at_start_; }
  const snapshot::RestoredSnapshot& restored() const { return restored_; }
  snapshot::SnapshotTaker& snapshots() { return *snapshots_; }
  const SnapshotCheck& snapshot_check() const { return *snapshot_check_; }
  bool recovered() const { return archiver_ != nullptr; }  // the references below are there
  archive::Archiver& archiver() { return *archiver_; }
  archive::ArchiveStore& archive() { return *archive_; }
  const ViewRenderers& renderers() const { return renderers_; }
  Shard& shard() { return *shard_; }
  streams::StreamsMachine& streams() { return streams_; }
  auth::Gate& gate() { return gate_; }
  const net::Quotas& quotas() const { return quotas_; }
  const auth::AuthMachine& users() const { return auth_; }
  // There are users and nobody is asked who he is: what serve says at its start.
  bool users_without_authentication() const { return !gate_.enabled() && !auth_.directory().users.empty(); }
  // The process before this one died of a command, which is now refused: its digest; 0: it did not.
  uint64_t found_apply_crash() const { return guard_ ? guard_->found_crash() : 0; }
  Committer& committer() { return *committer_; }
  log::Log& log() { return *log_; }
  net::IoLoop& io() { return *io_; }
  const ShardLink& link() const { return *link_; }
  log::SegmentLog& segment_log() { return *log_; }
  const LogId& log_id() const { return log_->id(); }
  bool ready() const { return ready_; }
  admin::Readiness readiness() const;
  int64_t start_ns() const { return start_ns_; }
  const ServerOptions& options() const { return options_; }
  const http::HttpCounters& http_counters() const { return http_counters_; }
  const Histogram& commit_seconds() const { return commit_seconds_; }
  const Histogram& batch_bytes() const { return batch_bytes_; }
  const Modules& modules() const { return modules_; }
  // Wakes the thread that runs io_turn. Any thread, also a signal handler.
  void wake_io() { seams_.net.wake(); }
  void set_wake_commit(std::function<void()> wake) { wake_commit_ = std::move(wake); }
  void set_wake_helper(std::function<void()> wake) { wake_helper_ = std::move(wake); }
  void set_wake_readers(std::function<void()> wake) { reads_.set_wake_readers(std::move(wake)); }
  void set_wake_worker(std::function<void()> wake) { work_.set_wake_worker(std::move(wake)); }
  size_t readers() const { return std::max<size_t>(1, options_.readers); }
  const ReadCounters& read_counters() const { return records_->counters(); }
  const blobs::BlobStore& blob_store() const { return *blob_store_; }
  const blobs::BlobsMachine& blobs() const { return blobs_; }
  const blobs::BlobCollector& blob_collector() const { return *blob_collector_; }
  size_t work_waiting() const { return work_.outstanding(); }
  size_t reads_waiting() const { return reads_.outstanding(); }

 private:
  Result<void> open_log();
  Result<void> open_admin();
  admin::LogLooks log_looks();
  bool take_shard_turn();
  Result<void> between_steps(std::string_view phase, uint64_t done, uint64_t total);
  Result<uint64_t> log_bytes_behind(uint32_t segment, uint64_t offset);
  void take_new_options();
  Result<void> recover();
  Result<void> replay_log();
  void make_readers();
  void add_view_input(streams::ViewInput& input);
  Result<void> open_listeners();
  void start_auth();
  void start_versions();
  void note(const auth::Note& note);
  void bootstrap();
  void auth_turn();
  Result<void> check_free_space();
  void note_what_waits();
  void note_snapshot_check();
  void note_alarms();
  bool may_note() const;
  Result<void> relieve_disk();
  Result<void> find_needed_log();
  Result<void> open_machine_files();
  Result<bool> write_machine_files();
  Result<void> open_blobs();
  bool is_on(const Module& module) const;
  Result<void> open_listener(const ListenerSpec& spec);
  Result<void> listen_on_chosen(const ListenerSpec& spec, const std::vector<net::Address>& addresses,
                                const net::ListenerOptions& options, Endpoint& endpoint);
  Result<net::ListenerOptions> listener_options(const std::string& name);
  Result<void> check_listener_names() const;
  Result<net::Address> listen_on_default(const ListenerSpec& spec, const net::ListenerOptions& options, bool& moved);

  Seams seams_;
  ServerOptions options_;
  Modules modules_;
  Fatal on_fatal_;
  std::unique_ptr<DirectoryLock> lock_;
  std::unique_ptr<log::SegmentLog> log_;
  std::unique_ptr<Committer> committer_;
  std::unique_ptr<ShardLink> link_;
  bool io_wanted_ = false;  // the shard's turn, which is on the I/O's thread, has something for it
  std::unique_ptr<ApplyGuardFile> guard_;
  streams::StreamsMachine streams_;
  auth::AuthMachine auth_;
  blobs::BlobsMachine blobs_;
  std::unique_ptr<blobs::BlobStore> blob_store_;
  std::unique_ptr<blobs::BlobCollector> blob_collector_;
  auth::Gate gate_;
  net::Quotas quotas_;  // the sessions' places are in it
  streams::ViewInputs view_inputs_;
  std::string one_time_token_;  // until it is announced
  std::unique_ptr<Shard> shard_;
  WorkQueue work_;  // what its jobs keep may end in the blob store
  ReadQueue reads_;
  std::vector<std::unique_ptr<ReaderRole>> readers_;
  std::unique_ptr<PooledRecordsReader> records_;
  Telemetry telemetry_;
  http::HttpCounters http_counters_;
  Histogram commit_seconds_;
  Histogram batch_bytes_;
  std::unique_ptr<admin::AdminProtocol> admin_;
  std::unique_ptr<LogHistoryReader> history_;  // of a module's thread, which ends with the module's sessions
  std::unique_ptr<net::IoLoop> io_;
  ListenerTls tls_;
  std::vector<Endpoint> endpoints_;
  log::RecoveryReport recovery_;
  std::vector<MachineVersion> upgrades_at_start_;
  std::vector<MachineFiles*> machine_files_;  // filled before recovery
  std::unique_ptr<snapshot::SnapshotStore> snapshot_store_;
  snapshot::RestoredSnapshot restored_;
  std::unique_ptr<snapshot::SnapshotTaker> snapshots_;
  std::unique_ptr<SnapshotCheck> snapshot_check_;
  ViewRenderers renderers_;  // filled before recovery
  CommandTable commands_;    // so, too
  std::unique_ptr<archive::ArchiveStore> archive_;
  std::unique_ptr<archive::Archiver> archiver_;
  // Helper: recovery never begins below this sequence; 0 = it may begin at the log's beginning.
  Sequence needed_from_ = 0;
  uint64_t snapshots_seen_ = UINT64_MAX;  // taken_total when needed_from_ was looked up
  ReliefSchedule relief_;
  std::vector<auth::Note> unnoted_;  // they wait for an activation; bounded
  std::function<void()> wake_commit_;
  std::function<void()> wake_helper_;
  std::atomic<uint32_t> oldest_live_segment_{0};  // as the shard last saw it while the disk was full
  std::atomic<bool> stopping_{false};
  bool ready_ = false;
  admin::Readiness progress_{false, "restore", 0, 0};  // while not ready
  int64_t begun_ns_ = 0;
  int64_t start_ns_ = 0;      // how long the start took
  int64_t last_turn_ns_ = 0;  // of the admin listener during recovery
  std::mutex options_mutex_;
  std::optional<ServerOptions> new_options_;  // for the helper
  bool last_snapshot_requested_ = false;
};

}  // namespace heptane::server
