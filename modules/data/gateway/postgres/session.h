// A PostgreSQL connection: startup, authentication, then simple and extended queries until it ends. One message is served at
// a time; a statement of the engine's is a chain of steps (execution.h), each submitted when the client has taken most of
// what the one before it gave. While one is under way no message is taken, but kAheadBytes are let in: the end of a client that
// has gone is among them, and ends its statement at once. Owned by one I/O thread.
//
// A connection of the engine is held while a statement runs or a portal is open, and kSeatHoldNs longer. A transaction is a
// position: what its statements read is of it.
//
// Limits: a stranger's messages are at most kStrangersBytesMax; kStoredMax prepared statements and kPortalsMax portals with
// kKeptBytesMax of text and parameters together; a new step waits while kOutputHoldBytes are unread; a client that takes
// nothing for kStallNs is closed.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kernel/net/session.h"
#include "modules/data/gateway/postgres/execution.h"
#include "modules/data/gateway/postgres/fixed_rows.h"
#include "modules/data/gateway/postgres/functions.h"
#include "modules/data/gateway/postgres/postgres.h"
#include "modules/data/gateway/postgres/variables.h"
#include "modules/data/gateway/postgres/wire.h"

namespace heptane::data::postgres {

class PostgresSession final : public net::Session {
 public:
  static constexpr size_t kStrangersBytesMax = kStartupBytesMax;
  static constexpr size_t kStoredMax = 1'000;
  static constexpr size_t kPortalsMax = 64;
  static constexpr size_t kSavepointsMax = 64;
  static constexpr size_t kNameBytesMax = 63;  // of a savepoint, as PostgreSQL's names
  static constexpr size_t kKeptBytesMax = size_t{32} << 20;
  static constexpr size_t kOutputHoldBytes = size_t{512} << 10;
  static constexpr int64_t kAuthenticateWithinNs = 10'000'000'000;
  static constexpr size_t kAheadBytes = size_t{16} << 10;
  static constexpr int64_t kSeatHoldNs = 2'000'000'000;
  static constexpr int64_t kStallNs = 60'000'000'000;

  explicit PostgresSession(PostgresProtocol& protocol) : protocol_(protocol) {}

  void on_open(net::SessionContext& context) override;
  size_t on_bytes(Bytes input, net::SessionContext& context) override;
  void on_reply(RequestId id, const Reply& reply, net::SessionContext& context) override;
  void on_worked(RequestId id, net::SessionContext& context) override;
  void on_writable(net::SessionContext& context) override;
  void on_timer(net::SessionTimerId timer, net::SessionContext& context) override;
  void on_stop(net::SessionContext& context) override;
  void on_close(net::CloseReason reason) override;

 private:
  enum class Stage : uint8_t { startup, authentication, serving, closed };
  // As ReadyForQuery names them.
  enum class Transaction : char { none = 'I', open = 'T', failed = 'E' };

  // Input.
  size_t take(Bytes input);
  size_t take_startup(Bytes input);
  size_t take_message(Bytes input);
  bool acceptable(char type, size_t length);
  bool busy() const { return step_ != nullptr || awaits_client_ || muted(); }
  bool muted() const { return muted_until_ns_ != 0; }
  void flush();  // what was written goes out
  void hold_input(size_t left);
  void resume_input();
  void malformed(std::string_view why);

  // Startup and authentication.
  void on_first(uint32_t code, Bytes body);
  void start(uint32_t code, Bytes body);
  bool take_parameter(const StartupParameter& parameter);
  bool take_options(std::string_view text);
  void authenticate();
  void on_sasl(Bytes body);
  void accept(auth::Identity identity);
  void refuse_authentication(std::string_view why);
  bool in_force();
  // Who has not said who it is uses its listener's limits alone.
  std::string_view payer() const {
    return stage_ == Stage::serving ? std::string_view(identity_.name) : std::string_view();
  }

  // Messages.
  void on_message(char type, Bytes body);
  void on_query(Bytes body);
  void on_parse(Bytes body);
  void on_bind(Bytes body);
  void on_describe(Bytes body);
  void on_execute(Bytes body);
  void on_close_target(Bytes body);
  void on_sync();
  bool text_is_right(std::string_view text);
  std::optional<std::vector<sql::Parameter>> parameters_of(const BindMessage& message, const Stored& stored);
  std::shared_ptr<Stored> find_stored(std::string_view name);
  std::shared_ptr<Portal> find_portal(std::string_view name);

  // Statements.
  void advance_simple();
  void serve_simple(sql::Statement statement);
  std::shared_ptr<Stored> store(sql::Statement statement);  // null: refused
  bool may_run(const sql::Statement& statement);
  void serve(const std::shared_ptr<Portal>& portal, bool describe, uint64_t rows_max);
  void serve_here(const sql::Statement& statement);
  void begin_transaction(const sql::Statement& statement);
  void end_transaction(bool commit);
  void set_variable(const sql::Statement& statement);
  void reset_variables(const sql::Statement& statement);
  void set_transaction(const sql::Statement& statement);
  void serve_savepoint(const sql::Statement& statement);
  void discard(const sql::Statement& statement);
  void deallocate(const sql::Statement& statement);
  void report_changes(const std::vector<Variables::Shown>& before);
  std::vector<TextRow> shown(const sql::Statement& statement) const;
  std::optional<uint64_t> position_of(const sql::Statement& statement) const;
  sql::Limits limits() const;

  // Steps.
  bool take_seat();
  void submit(std::shared_ptr<Step> step);
  void resubmit();
  void on_step();
  void on_prepared(Step& step);
  void on_rows(Step& step);
  void complete(const Portal& portal);
  void end_step();
  void go_on();
  void note_position(const Step& step);
  void fail_in(const sql::Statement& statement, sql::Failure failure);
  void keep(std::string_view name, std::shared_ptr<Stored> stored);
  SessionFacts facts() const;
  void bury(const std::shared_ptr<Portal>& portal);
  void drop_portal(std::string_view name);
  void drop_portals();
  void drop_stored(std::string_view name);
  void leave_seat_later();
  bool can_be_late(const Portal& portal) const;
  void watch_portals();
  void end_late_portals();

  // Answers.
  void fail(sql::Failure failure);
  void fatal(sql::Failure failure, net::CloseReason reason);
  void end(std::string_view why);
  void ready();
  const PostgresOptions& options() const { return protocol_.options(); }
  PostgresCounters& counters() { return protocol_.counters(); }

  PostgresProtocol& protocol_;
  net::SessionContext* context_ = nullptr;
  Stage stage_ = Stage::startup;
  MessageWriter out_;
  bool held_ = false;    // what comes waits for the end of what is under way
  bool paused_ = false;  // and nothing more is let in

  // Who it is.
  std::string user_;
  bool asked_for_tls_ = false;
  bool asked_for_gssenc_ = false;
  std::unique_ptr<auth::SaslExchange> sasl_;
  bool sasl_begun_ = false;
  auth::Identity identity_;
  net::QuotaSlot slot_;
  net::SessionTimerId authenticate_timer_ = 0;
  net::SessionTimerId mute_timer_ = 0;
  int64_t muted_until_ns_ = 0;
  CancelKey key_;

  // What it set.
  Variables variables_;
  Variables before_transaction_;
  std::vector<std::string> set_locally_;
  Transaction transaction_ = Transaction::none;
  std::optional<uint64_t> transaction_position_;
  std::vector<std::string> savepoints_;

  // What it keeps.
  std::map<std::string, std::shared_ptr<Stored>, std::less<>> stored_;
  std::map<std::string, std::shared_ptr<Portal>, std::less<>> portals_;
  size_t kept_bytes_ = 0;

  // What is under way.
  std::vector<sql::Statement> simple_;  // the rest of a simple query, the next one last
  bool in_simple_ = false;
  std::optional<uint64_t> simple_position_;  // of a simple query of several statements
  bool skip_until_sync_ = false;
  std::string parse_name_;  // of the statement that is being prepared
  std::shared_ptr<Seat> seat_;
  net::SessionTimerId seat_timer_ = 0;
  net::SessionTimerId portals_timer_ = 0;
  std::shared_ptr<Cancellation> cancellation_ = std::make_shared<Cancellation>();
  std::shared_ptr<Step> step_;  // null: nothing is under way
  RequestId request_ = 0;       // of the step
  RequestId last_request_ = 0;
  bool awaits_client_ = false;  // the next step waits until the client has taken more
};

}  // namespace heptane::data::postgres
