// Statements of a session: what it serves itself, and the engine's as chains of steps.
#include <algorithm>

#include "modules/data/domain/sql/lexer.h"
#include "modules/data/gateway/postgres/session.h"

namespace heptane::data::postgres {

using sql::failure;
using sql::Failure;
using sql::Statement;
using sql::StatementKind;

namespace {

void count(std::atomic<uint64_t>& counter) { counter.fetch_add(1, std::memory_order_relaxed); }

bool ends_transaction(StatementKind kind) {
  return kind == StatementKind::commit || kind == StatementKind::rollback || kind == StatementKind::rollback_to;
}

}  // namespace

std::shared_ptr<Stored> PostgresSession::store(Statement statement) {
  auto stored = std::make_shared<Stored>();
  if (statement.kind == StatementKind::query) stored->question = recognise(statement.text);
  if (stored->question) stored->columns = stored->question->columns();
  const bool engines = statement.kind == StatementKind::query || statement.kind == StatementKind::copy;
  if (engines && !stored->question) {
    auto replaced = replace_functions(statement.text, facts());
    if (auto* failed = std::get_if<Failure>(&replaced)) {
      fail(std::move(*failed));
      return nullptr;
    }
    if (auto& text = std::get<0>(replaced)) {
      statement.text = std::move(*text);
      statement.rewritten = true;
    }
  }
  if (statement.kind == StatementKind::show)
    stored->columns = statement.name.empty() ? text_columns({"name", "setting", "description"})
                                             : text_columns({std::string(Variables::spelling(statement.name))});
  stored->statement = std::move(statement);
  return stored;
}

SessionFacts PostgresSession::facts() const {
  return {user_, key_.process_id, [this](std::string_view name) { return variables_.get(name); }};
}

bool PostgresSession::may_run(const Statement& statement) {
  if (transaction_ != Transaction::failed || ends_transaction(statement.kind) || statement.kind == StatementKind::empty)
    return true;
  fail(failure("25P02", "current transaction is aborted, commands ignored until end of transaction block"));
  return false;
}

// Simple queries.

void PostgresSession::advance_simple() {
  while (!busy() && stage_ != Stage::closed && !simple_.empty()) {
    Statement statement = std::move(simple_.back());
    simple_.pop_back();
    serve_simple(std::move(statement));
  }
  if (busy() || stage_ == Stage::closed) return;
  in_simple_ = false;
  simple_position_.reset();
  ready();
}

void PostgresSession::serve_simple(Statement statement) {
  if (!may_run(statement)) return;
  auto portal = std::make_shared<Portal>();
  portal->stored = store(std::move(statement));
  if (!portal->stored) return;
  serve(portal, true, 0);
}

// What a statement does.

void PostgresSession::serve(const std::shared_ptr<Portal>& portal, bool describe, uint64_t rows_max) {
  count(counters().statements);
  const Statement& statement = portal->stored->statement;
  if (statement.kind == StatementKind::empty) return out_.empty(Answer::empty_query);
  const bool show = statement.kind == StatementKind::show;
  if (!portal->stored->is_engines() && !show) return serve_here(statement);
  auto step = std::make_shared<Step>();
  step->cancellation = cancellation_;
  step->stored = portal->stored;
  step->portal = portal;
  step->describe = describe;
  step->rows_left = rows_max;
  portal->rows_told = 0;
  if (!show) {
    if (portal->late) return fail(failure("57014", "canceling statement due to statement timeout"));
    portal->as_of = position_of(statement);
    portal->limits = limits();
    const bool first = !portal->cursor && !portal->ended;
    if (first && portal->limits.time_ns_max > 0)
      portal->late_ns = context_->monotonic_ns() + portal->limits.time_ns_max;
    return submit(std::move(step));
  }
  if (!statement.name.empty() && Variables::spelling(statement.name).empty())
    return fail(failure("42704", "unrecognized configuration parameter \"" + statement.name + "\""));
  if (!portal->cursor && !portal->ended)
    portal->cursor = std::make_unique<FixedCursor>(portal->stored->columns, shown(statement));
  encode(*step);
  on_rows(*step);
}

std::vector<TextRow> PostgresSession::shown(const Statement& statement) const {
  if (!statement.name.empty()) return {{variables_.get(statement.name)}};
  std::vector<TextRow> rows;
  for (const Variables::Shown& variable : variables_.all())
    rows.push_back({std::string(variable.name), variable.value, std::string(variable.help)});
  return rows;
}

void PostgresSession::serve_here(const Statement& statement) {
  switch (statement.kind) {
    case StatementKind::begin: return begin_transaction(statement);
    case StatementKind::commit: return end_transaction(true);
    case StatementKind::rollback: return end_transaction(false);
    case StatementKind::savepoint:
    case StatementKind::release:
    case StatementKind::rollback_to: return serve_savepoint(statement);
    case StatementKind::set: return set_variable(statement);
    case StatementKind::reset: return reset_variables(statement);
    case StatementKind::discard: return discard(statement);
    case StatementKind::deallocate: return deallocate(statement);
    default: return;
  }
}

void PostgresSession::begin_transaction(const Statement& statement) {
  if (statement.read_write)
    return fail(failure("25006", "a transaction here is read-only", "Streams are written by their own protocols."));
  if (transaction_ != Transaction::none) {
    out_.notice(failure("25001", "there is already a transaction in progress"));
  } else {
    transaction_ = Transaction::open;
    before_transaction_ = variables_;
  }
  out_.command_complete(statement.word == "START" ? "START TRANSACTION" : "BEGIN");
}

void PostgresSession::end_transaction(bool commit) {
  if (transaction_ == Transaction::none) out_.notice(failure("25P01", "there is no transaction in progress"));
  const bool kept = commit && transaction_ != Transaction::failed;
  const auto before = variables_.reported();
  if (transaction_ != Transaction::none) {
    if (!kept) variables_ = before_transaction_;
    for (const std::string& name : set_locally_) variables_.take_over(name, before_transaction_);
  }
  set_locally_.clear();
  savepoints_.clear();
  transaction_position_.reset();
  transaction_ = Transaction::none;
  drop_portals();
  out_.command_complete(kept ? "COMMIT" : "ROLLBACK");
  report_changes(before);
}

// There is nothing to undo; what counts is that a failed transaction goes on from there.
void PostgresSession::serve_savepoint(const Statement& statement) {
  const bool set = statement.kind == StatementKind::savepoint;
  if (transaction_ == Transaction::none)
    return fail(failure("25P01", statement.word + " can only be used in transaction blocks"));
  if (set) {
    if (statement.name.size() > kNameBytesMax)
      return fail(
          failure("42622", "the name of a savepoint is longer than " + std::to_string(kNameBytesMax) + " bytes"));
    if (savepoints_.size() >= kSavepointsMax)
      return fail(failure("54000", "more than " + std::to_string(kSavepointsMax) + " savepoints"));
    savepoints_.push_back(statement.name);
    return out_.command_complete("SAVEPOINT");
  }
  const auto found = std::find(savepoints_.rbegin(), savepoints_.rend(), statement.name);
  if (found == savepoints_.rend()) return fail(failure("3B001", "savepoint \"" + statement.name + "\" does not exist"));
  const bool release = statement.kind == StatementKind::release;
  savepoints_.erase(release ? found.base() - 1 : found.base(), savepoints_.end());
  if (!release) transaction_ = Transaction::open;
  out_.command_complete(release ? "RELEASE" : "ROLLBACK");
}

void PostgresSession::set_variable(const Statement& statement) {
  if (statement.name == "transaction") return set_transaction(statement);
  if (statement.local && transaction_ == Transaction::none) {
    out_.notice(failure("25P01", "SET LOCAL can only be used in transaction blocks"));
    return out_.command_complete("SET");
  }
  const auto before = variables_.reported();
  if (auto failed = variables_.set(statement.name, statement.value)) return fail(std::move(*failed));
  std::erase(set_locally_, statement.name);
  if (statement.local) set_locally_.push_back(statement.name);
  out_.command_complete("SET");
  report_changes(before);
}

void PostgresSession::set_transaction(const Statement& statement) {
  if (statement.read_write)
    return fail(failure("25006", "a transaction here is read-only", "Streams are written by their own protocols."));
  out_.command_complete("SET");
}

void PostgresSession::reset_variables(const Statement& statement) {
  const auto before = variables_.reported();
  if (statement.name.empty())
    variables_.reset_all();
  else if (auto failed = variables_.set(statement.name, std::nullopt))
    return fail(std::move(*failed));
  out_.command_complete("RESET");
  report_changes(before);
}

void PostgresSession::report_changes(const std::vector<Variables::Shown>& before) {
  const auto after = variables_.reported();
  for (size_t i = 0; i < after.size(); ++i)
    if (before[i].value != after[i].value) out_.parameter_status(after[i].name, after[i].value);
}

void PostgresSession::discard(const Statement& statement) {
  if (statement.name == "notifications") return out_.command_complete("UNLISTEN");
  if (statement.name == "all" && transaction_ != Transaction::none)
    return fail(failure("25001", "DISCARD ALL cannot run inside a transaction block"));
  const auto before = variables_.reported();
  if (statement.name == "all") {
    variables_.reset_all();
    while (!stored_.empty()) drop_stored(std::string(stored_.begin()->first));
    drop_portals();
  }
  std::string tag = "DISCARD ";
  for (const char c : statement.name) tag += static_cast<char>(c - 'a' + 'A');
  out_.command_complete(tag);
  report_changes(before);
}

void PostgresSession::deallocate(const Statement& statement) {
  if (statement.name.empty()) {
    while (!stored_.empty()) drop_stored(std::string(stored_.begin()->first));
    return out_.command_complete("DEALLOCATE ALL");
  }
  if (!stored_.contains(statement.name))
    return fail(failure("26000", "prepared statement \"" + statement.name + "\" does not exist"));
  drop_stored(statement.name);
  out_.command_complete("DEALLOCATE");
}

std::optional<uint64_t> PostgresSession::position_of(const Statement& statement) const {
  if (statement.as_of) return statement.as_of;
  if (const auto set = variables_.as_of()) return set;
  return transaction_ == Transaction::open ? transaction_position_ : simple_position_;
}

sql::Limits PostgresSession::limits() const {
  sql::Limits limits = options().limits;
  const int64_t own = variables_.statement_timeout_ns();
  if (own > 0 && (limits.time_ns_max == 0 || own < limits.time_ns_max)) limits.time_ns_max = own;
  return limits;
}

// Steps.

bool PostgresSession::take_seat() {
  if (seat_) return true;
  if (options().engine == nullptr) {
    fail(failure("58030", "SQL is off on this server", "[sql] enabled turns it on."));
    return false;
  }
  auto connection = options().engine->connect();
  if (auto* failed = std::get_if<Failure>(&connection)) {
    fail(std::move(*failed));
    return false;
  }
  seat_ = std::make_shared<Seat>();
  seat_->connection = std::move(std::get<0>(connection));
  // Asked by the engine's threads, also when the session is gone.
  auth::Authenticator* authenticator = options().authenticator;
  seat_->may_read = [authenticator, identity = identity_](std::string_view stream) {
    return authenticator == nullptr || authenticator->may(identity, "streams", stream, auth::Verb::read);
  };
  return true;
}

void PostgresSession::submit(std::shared_ptr<Step> step) {
  const bool suspended = step->portal && step->portal->seat;
  if (!suspended && !take_seat()) return;
  step->seat = suspended ? step->portal->seat : seat_;
  request_ = ++last_request_;
  const bool taken = options().engine->submit({context_->id(), request_}, step->seat->connection,
                                              [step](sql::Connection& connection) { run(*step, connection); });
  if (!taken) {
    end_step();
    fail(failure("53400", "too many statements wait", "Try again in a moment."));
    return;
  }
  cancellation_->begin(step->seat->connection);
  step_ = std::move(step);
}

// The next piece of the same rows.
void PostgresSession::resubmit() {
  const std::shared_ptr<Step> last = std::exchange(step_, nullptr);
  auto next = std::make_shared<Step>();
  next->seat = last->seat;
  next->cancellation = last->cancellation;
  next->stored = last->stored;
  next->portal = last->portal;
  next->rows_left = last->rows_left;
  submit(std::move(next));
  if (step_ == nullptr) go_on();  // it found no room
}

void PostgresSession::on_step() {
  if (!in_force()) return;
  const std::shared_ptr<Step> step = step_;
  if (step->portal) {
    on_rows(*step);
    return go_on();
  }
  end_step();
  on_prepared(*step);
}

void PostgresSession::on_prepared(Step& step) {
  if (step.failure) return fail_in(step.stored->statement, std::move(*step.failure));
  keep(parse_name_, step.stored);
}

// What the first statement of a transaction reads, or of a query of several, the others read, too.
void PostgresSession::note_position(const Step& step) {
  if (step.position == 0 || step.portal->as_of) return;
  if (transaction_ == Transaction::open)
    transaction_position_ = transaction_position_.value_or(step.position);
  else if (in_simple_)
    simple_position_ = simple_position_.value_or(step.position);
}

void PostgresSession::on_rows(Step& step) {
  note_position(step);
  flush();
  if (step.out.size() > 0) {
    out_.bytes().append(Bytes(step.out.release()));
    flush();
  }
  Portal& portal = *step.portal;
  if (step.failure) {
    end_step();
    portal.ended = true;
    bury(step.portal);
    return fail_in(step.stored->statement, std::move(*step.failure));
  }
  if (step.end == Step::End::more) {
    if (context_->output_bytes() <= kOutputHoldBytes) return resubmit();
    awaits_client_ = true;
    return context_->await_taken();
  }
  if (step.end == Step::End::suspended) {
    portal.seat = step.seat;
    if (seat_ == step.seat) seat_.reset();
    out_.empty(Answer::portal_suspended);
  } else {
    if (!seat_) seat_ = step.seat;
    portal.seat.reset();
    complete(portal);
  }
  const bool suspended = step.end == Step::End::suspended;
  end_step();
  if (suspended) watch_portals();
}

void PostgresSession::complete(const Portal& portal) {
  const Statement& statement = portal.stored->statement;
  const bool parquet = statement.copy.format == sql::CopyFormat::parquet;
  if (portal.stored->is_copy()) {
    out_.empty(Answer::copy_done);
    return out_.command_complete(parquet ? "COPY" : "COPY " + std::to_string(portal.rows_told));
  }
  const bool counted = statement.word != "SHOW" && statement.word != "EXPLAIN";
  out_.command_complete(counted ? "SELECT " + std::to_string(portal.rows_told) : statement.word);
}

void PostgresSession::end_step() {
  step_.reset();
  cancellation_->end();
}

void PostgresSession::go_on() {
  if (in_simple_ && step_ == nullptr) advance_simple();
}

// Places are told in what the client sent.
void PostgresSession::fail_in(const Statement& statement, Failure failed) {
  if (statement.rewritten)
    failed.position = 0;
  else if (failed.position > 0)
    failed.position += static_cast<uint32_t>(statement.text_offset);
  fail(std::move(failed));
}

// A cursor ends on the engine's threads: that may take time. Its connection has no other job.
void PostgresSession::bury(const std::shared_ptr<Portal>& portal) {
  if (!portal->cursor) return;
  const std::shared_ptr<Seat> seat =
      portal->seat ? std::exchange(portal->seat, nullptr) : std::exchange(seat_, nullptr);
  if (!seat) return;
  (void)options().engine->submit({context_->id(), ++last_request_}, seat->connection, [portal](sql::Connection&) {
    portal->rows.reset();
    portal->cursor.reset();
  });
}

void PostgresSession::drop_portal(std::string_view name) {
  const auto found = portals_.find(name);
  if (found == portals_.end()) return;
  kept_bytes_ -= found->second->bytes;
  if (found->second->seat) bury(found->second);
  portals_.erase(found);
}

void PostgresSession::drop_portals() {
  while (!portals_.empty()) drop_portal(std::string(portals_.begin()->first));
}

void PostgresSession::drop_stored(std::string_view name) {
  const auto found = stored_.find(name);
  if (found == stored_.end()) return;
  kept_bytes_ -= found->second->bytes;
  stored_.erase(found);
}

// It is suspended, for as long as its statement may take: of one that runs the engine looks at the time.
bool PostgresSession::can_be_late(const Portal& portal) const {
  const bool running = step_ != nullptr && step_->portal.get() == &portal;
  return portal.seat && portal.late_ns != 0 && !running;
}

// One timer, for the portal that is first out of time.
void PostgresSession::watch_portals() {
  int64_t first_ns = 0;
  for (const auto& [name, portal] : portals_)
    if (can_be_late(*portal) && (first_ns == 0 || portal->late_ns < first_ns)) first_ns = portal->late_ns;
  if (portals_timer_ != 0) context_->cancel(portals_timer_);
  portals_timer_ = first_ns == 0 ? 0 : context_->arm(std::max<int64_t>(first_ns - context_->monotonic_ns(), 0));
}

// A suspended portal holds a connection of the engine, and what its rows are of.
void PostgresSession::end_late_portals() {
  for (const auto& [name, portal] : portals_) {
    if (!can_be_late(*portal) || portal->late_ns > context_->monotonic_ns()) continue;
    portal->late = true;
    bury(portal);
  }
  watch_portals();
}

void PostgresSession::leave_seat_later() {
  if (!seat_) return;
  if (seat_timer_ != 0) context_->cancel(seat_timer_);
  seat_timer_ = context_->arm(kSeatHoldNs);
}

}  // namespace heptane::data::postgres
