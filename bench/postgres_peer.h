// PostgreSQL 15 in a directory of its own, started, loaded, killed and started again by the bench.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

namespace heptane::bench {

class PostgresPeer {
 public:
  // nullopt: it is not installed.
  static std::optional<std::string> why_absent();

  explicit PostgresPeer(std::string directory);
  ~PostgresPeer();  // stops it
  PostgresPeer(const PostgresPeer&) = delete;
  PostgresPeer& operator=(const PostgresPeer&) = delete;

  // Accounts of 128 bytes of payload until the table has `state_bytes`.
  void fill(uint64_t state_bytes);
  // Updates two random accounts a transaction until `log_bytes` of WAL are written or the limit is over; then every
  // process of it is killed with SIGKILL under that load.
  void load_and_kill(uint64_t log_bytes, int64_t limit_ns);
  // Seconds from the start of the server to the first answered query, over a copy of what the kill left: a start ends with a
  // checkpoint, behind which the next one would find nothing to do.
  double restart_seconds();

  // Runs statements, each its own transaction; seconds.
  double script(const std::string& sql) const;
  // Transactions a second of `count` clients that run the script of pgbench with prepared statements.
  double clients(const std::string& script, uint64_t count, uint64_t seconds) const;
  // Likewise of one client that runs it so many times.
  double times(const std::string& script, uint64_t count) const;
  // Likewise; of the latencies of all of them, by pgbench's log of each.
  double quantile_micros(const std::string& script, uint64_t count, double p) const;
  // Stops it in order and starts it again: its own memory holds nothing then. `between` is told its directory of files.
  void restart(const std::function<void(const std::string&)>& between);
  // Behind the next start; `name=value`.
  void set(const std::string& setting) { options_ += " -c " + setting; }
  std::string query(const std::string& sql) const;

  uint64_t table_bytes() const { return table_bytes_; }
  uint64_t log_bytes() const { return log_bytes_; }
  std::string settings() const;

 private:
  double pgbench(const std::string& script, const std::string& how) const;
  void start();
  void kill();

  std::string directory_;
  uint16_t port_;
  std::string options_;
  uint64_t table_bytes_ = 0;
  uint64_t log_bytes_ = 0;
};

}  // namespace heptane::bench
