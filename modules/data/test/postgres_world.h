// An engine that answers what a test told it, and a session's context: jobs run when `deliver` is called; refusals, held
// jobs, a client that does not read and the clock are the test's to say. Test support.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "modules/data/gateway/postgres/fixed_rows.h"
#include "modules/data/gateway/postgres/postgres.h"
#include "modules/data/gateway/postgres/session.h"

namespace heptane::data::postgres::test {

// Rows of text as rows of any type.
class TypedRows final : public sql::Rows {
 public:
  explicit TypedRows(std::vector<TextRow> rows) : rows_(std::move(rows)) {}
  size_t size() const override { return rows_.size(); }
  bool is_null(size_t column, size_t row) const override { return !rows_[row][column]; }
  int64_t integer(size_t column, size_t row) const override { return std::stoll(*rows_[row][column]); }
  double real(size_t column, size_t row) const override { return std::stod(*rows_[row][column]); }
  __int128 wide(size_t column, size_t row) const override;
  std::string_view text(size_t column, size_t row) const override { return *rows_[row][column]; }

 private:
  std::vector<TextRow> rows_;
};

// What the engine answers a statement with.
struct Scripted {
  std::vector<sql::Type> parameters;
  std::vector<sql::Column> columns;
  std::vector<TextRow> rows;
  size_t rows_at_once = 2;
  size_t repeated = 1;  // the rows come so often
  std::optional<sql::Failure> prepare_fails;
  std::optional<sql::Failure> execute_fails;
  std::optional<sql::Failure> next_fails;  // after the rows
};

class FakeEngine final : public sql::Engine {
 public:
  std::map<std::string, Scripted> answers;  // what is absent: 42P01
  std::vector<std::string> log;             // what was executed
  uint64_t position = 0;
  size_t connections_max = 100;
  size_t connections = 0;  // open
  size_t cursors = 0;      // open
  size_t interrupts = 0;
  bool refuses_jobs = false;

  sql::Outcome<std::shared_ptr<sql::Connection>> connect() override;
  bool submit(sql::JobOwner owner, std::shared_ptr<sql::Connection> connection,
              std::function<void(sql::Connection&)> job) override;

  struct Job {
    sql::JobOwner owner;
    std::shared_ptr<sql::Connection> connection;
    std::function<void(sql::Connection&)> run;
  };
  std::deque<Job> jobs;
};

// Two steps under SCRAM's name: `first`, then `last`; users are whoever a protocol names. A certificate's name is believed.
class FakeAuthenticator final : public auth::Authenticator {
 public:
  bool revoked = false;
  std::string readable;  // the one stream that may be read; empty: all
  std::string certificate;
  std::vector<std::string_view> offered{"SCRAM-SHA-256", "PLAIN"};

  std::vector<std::string_view> mechanisms(const auth::Peer&) const override { return offered; }
  std::unique_ptr<auth::SaslExchange> begin(std::string_view mechanism, const auth::Peer& peer) override;
  std::optional<auth::Identity> by_certificate(const auth::Peer&) override;
  bool in_force(const auth::Identity&) const override { return !revoked; }
  bool allows(const auth::Identity&, std::string_view, std::string_view, std::string_view, auth::Verb) override {
    return true;
  }
  bool may(const auth::Identity&, std::string_view, std::string_view resource, auth::Verb) const override {
    return readable.empty() || resource == readable;
  }
  bool sees(const auth::Identity&, std::string_view, std::string_view) const override { return true; }
};

class World final : public net::SessionContext {
 public:
  explicit World(PostgresOptions options = {});
  World(const World&) = delete;
  World& operator=(const World&) = delete;
  ~World() override;

  FakeEngine engine;
  FakeAuthenticator authenticator;
  PostgresOptions options;

  void open();  // with the options as they are now
  // Hands over what is there and keeps what is not consumed, as the loop does; runs the engine's jobs unless held.
  void send(std::string_view bytes);
  void deliver();
  void hold(bool held) { held_ = held; }
  void stall_output(bool stalled) { stalled_ = stalled; }
  void drain_output();  // the client takes everything
  void pass_time(int64_t ns);
  void end();  // the connection is gone
  PostgresProtocol& protocol() { return *protocol_; }
  net::Session& session() { return *session_; }

  std::string output;  // since it was last cleared
  std::optional<std::string> closed;
  std::string pending;  // input that was not consumed
  bool paused = false;
  size_t needed = 0;
  size_t timers() const { return timers_.size(); }

  void write(Buffer bytes) override;
  void close(net::CloseReason reason, std::string_view why) override;
  void need(size_t bytes) override { needed = bytes; }
  void pause_input(bool pause) override { paused = pause; }
  bool submit(RequestId, Submission) override { return false; }
  bool query(RequestId, QueryRequest) override { return false; }
  bool read(RequestId, ReadRequest) override { return false; }
  net::SubscriptionId subscribe(PartitionId, Offset) override { return 0; }
  void unsubscribe(net::SubscriptionId) override {}
  net::SessionTimerId arm(int64_t delay_ns) override;
  void cancel(net::SessionTimerId timer) override { timers_.erase(timer); }
  int64_t monotonic_ns() const override { return now_ns_; }
  int64_t utc_ns() const override { return 1'700'000'000'000'000'000 + now_ns_; }
  SessionId id() const override { return 1; }
  const net::Address& local() const override { return address_; }
  const net::Address& remote() const override { return address_; }
  size_t output_bytes() const override { return stalled_ ? untaken_ : 0; }
  void await_taken() override { awaits_taken_ = true; }

 private:
  void offer();

  std::unique_ptr<PostgresProtocol> protocol_;
  std::unique_ptr<net::Session> session_;
  std::map<net::SessionTimerId, int64_t> timers_;
  net::SessionTimerId next_timer_ = 1;
  int64_t now_ns_ = 1'000'000'000;
  size_t untaken_ = 0;
  bool held_ = false;
  bool stalled_ = false;
  bool awaits_taken_ = false;
  net::Address address_{"127.0.0.1", 5433};
};

// The client's messages.
std::string startup_message(const std::vector<std::pair<std::string, std::string>>& parameters,
                            uint32_t code = 3 << 16);
std::string request_message(uint32_t code, std::string_view body = {});
std::string message(char type, std::string_view body);
std::string query_message(std::string_view query);

// What the server said, a line for each message, as transcripts write it.
std::vector<std::string> lines_of(std::string_view output);

}  // namespace heptane::data::postgres::test
