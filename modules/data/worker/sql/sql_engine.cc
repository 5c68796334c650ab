#include "modules/data/worker/sql/sql_engine.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <mutex>
#include <random>

namespace heptane::data::sql {

namespace {

int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

// The stricter of two, of which 0 is none.
template <class Number>
Number stricter(Number one, Number other) {
  if (one == 0 || other == 0) return std::max(one, other);
  return std::min(one, other);
}

class SqlPrepared final : public Prepared {
 public:
  SqlPrepared(std::string statement, std::vector<Type> parameters, std::vector<Column> columns)
      : statement_(std::move(statement)), parameters_(std::move(parameters)), columns_(std::move(columns)) {}
  const std::vector<Type>& parameters() const override { return parameters_; }
  const std::vector<Column>& columns() const override { return columns_; }
  const std::string& statement() const { return statement_; }

 private:
  const std::string statement_;
  const std::vector<Type> parameters_;
  const std::vector<Column> columns_;
};

class SqlCursor final : public Cursor {
 public:
  SqlCursor(std::unique_ptr<StatementRun> run, std::atomic<uint64_t>& failed)
      : running_(run->running()), columns_(run->columns()), position_(run->position()), failed_(failed) {
    held_->run = std::move(run);
    running_->set_let_go([weak = std::weak_ptr<Held>(held_)] {
      const std::shared_ptr<Held> held = weak.lock();
      if (held == nullptr) return;
      // Who is at it hears by itself.
      const std::unique_lock lock(held->mutex, std::try_to_lock);
      if (lock.owns_lock()) held->run.reset();
    });
  }
  const std::vector<Column>& columns() const override { return columns_; }
  uint64_t position() const override { return position_; }
  Outcome<std::unique_ptr<Rows>> next() override {
    const std::lock_guard lock(held_->mutex);
    if (ended_) return std::unique_ptr<Rows>();
    Outcome<std::unique_ptr<Rows>> rows = next_of(held_->run.get());
    const bool failed = std::holds_alternative<Failure>(rows);
    if (failed) ++failed_;
    // What it holds goes as soon as there is nothing more.
    ended_ = failed || std::get<std::unique_ptr<Rows>>(rows) == nullptr;
    if (ended_) held_->run.reset();
    return rows;
  }

 private:
  // A transaction keeps the file from being tidied: the watch ends one whose client does not come for its rows in time.
  struct Held {
    std::mutex mutex;
    std::unique_ptr<StatementRun> run;  // null: it has ended, or was let go of
  };
  Outcome<std::unique_ptr<Rows>> next_of(StatementRun* run) const {
    if (run != nullptr) return run->next();
    return running_->stopped().value_or(failure("57014", "the statement was cancelled"));
  }

  const std::shared_ptr<Held> held_ = std::make_shared<Held>();
  const std::shared_ptr<Running> running_;
  bool ended_ = false;
  const std::vector<Column> columns_;
  const Sequence position_;
  std::atomic<uint64_t>& failed_;
};

// A file's bytes, piece by piece; its name is gone before the first one is read.
class FileCursor final : public Cursor {
 public:
  static constexpr size_t kPieceBytes = 256 << 10;
  FileCursor(const std::string& path, Sequence position) : position_(position) {
    file_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    ::unlink(path.c_str());
  }
  ~FileCursor() override {
    if (file_ >= 0) ::close(file_);
  }
  FileCursor(const FileCursor&) = delete;
  FileCursor& operator=(const FileCursor&) = delete;
  const std::vector<Column>& columns() const override { return columns_; }
  uint64_t position() const override { return position_; }

  Outcome<std::unique_ptr<Rows>> next() override {
    std::string piece(kPieceBytes, '\0');
    const ssize_t got = file_ < 0 ? -1 : ::read(file_, piece.data(), piece.size());
    if (got < 0) return failure("58030", "the export cannot be read");
    if (got == 0) return std::unique_ptr<Rows>();
    piece.resize(static_cast<size_t>(got));
    return std::unique_ptr<Rows>(std::make_unique<Piece>(std::move(piece)));
  }

 private:
  class Piece final : public Rows {
   public:
    explicit Piece(std::string bytes) : bytes_(std::move(bytes)) {}
    size_t size() const override { return 1; }
    bool is_null(size_t, size_t) const override { return false; }
    int64_t integer(size_t, size_t) const override { return 0; }
    double real(size_t, size_t) const override { return 0; }
    __int128 wide(size_t, size_t) const override { return 0; }
    std::string_view text(size_t, size_t) const override { return bytes_; }

   private:
    const std::string bytes_;
  };

  const std::vector<Column> columns_ = {{"parquet", Type::bytea, 0, 0}};
  const Sequence position_;
  int file_ = -1;
};

std::string random_name() {
  std::random_device random;
  std::string name;
  for (int i = 0; i < 4; ++i) name += std::to_string(random());
  return name;
}

}  // namespace

class SqlConnection final : public Connection {
 public:
  explicit SqlConnection(SqlEngine& engine) : engine_(engine) { ++engine_.connections_; }
  ~SqlConnection() override { --engine_.connections_; }
  SqlConnection(const SqlConnection&) = delete;
  SqlConnection& operator=(const SqlConnection&) = delete;

  void set_rights(std::function<bool(std::string_view)> may_read) override { may_read_ = std::move(may_read); }

  Outcome<std::shared_ptr<Prepared>> prepare(std::string_view statement) override {
    Outcome<std::unique_ptr<StatementRun>> run = begin(statement, std::nullopt, {});
    if (auto* wrong = std::get_if<Failure>(&run)) return counted(std::move(*wrong));
    const StatementRun& prepared = *std::get<std::unique_ptr<StatementRun>>(run);
    return std::shared_ptr<Prepared>(
        std::make_shared<SqlPrepared>(std::string(statement), prepared.parameters(), prepared.columns()));
  }

  Outcome<std::unique_ptr<Cursor>> execute(const std::shared_ptr<Prepared>& prepared,
                                           const std::vector<Parameter>& parameters, std::optional<uint64_t> as_of,
                                           const Limits& limits) override {
    ++engine_.counters_.statements;
    const auto& statement = static_cast<const SqlPrepared&>(*prepared).statement();
    Outcome<std::unique_ptr<StatementRun>> begun = begin(statement, as_of, limits);
    if (auto* wrong = std::get_if<Failure>(&begun)) return counted(std::move(*wrong));
    auto& run = std::get<std::unique_ptr<StatementRun>>(begun);
    if (auto wrong = run->execute(parameters)) return counted(std::move(*wrong));
    return std::unique_ptr<Cursor>(std::make_unique<SqlCursor>(std::move(run), engine_.counters_.statements_failed));
  }

  Outcome<std::unique_ptr<Cursor>> export_parquet(std::string_view query, std::optional<uint64_t> as_of,
                                                  const Limits& limits) override {
    ++engine_.counters_.statements;
    Outcome<std::unique_ptr<StatementRun>> begun = begin(query, as_of, limits);
    if (auto* wrong = std::get_if<Failure>(&begun)) return counted(std::move(*wrong));
    auto& run = std::get<std::unique_ptr<StatementRun>>(begun);
    const std::shared_ptr<Store> store = engine_.feed_.store();
    if (store == nullptr) return counted(failure("57P03", "the projection is not open"));
    // Of a name that no statement could take for a table.
    const std::string path = store->export_directory() + "/" + random_name();
    if (auto wrong =
            run->write_parquet({path, engine_.options_.export_bytes_max, engine_.options_.export_free_bytes_min})) {
      ::unlink(path.c_str());
      return counted(std::move(*wrong));
    }
    return std::unique_ptr<Cursor>(std::make_unique<FileCursor>(path, run->position()));
  }

  void interrupt() override {
    std::shared_ptr<Running> running;
    {
      const std::lock_guard lock(mutex_);
      running = running_.lock();
    }
    if (running != nullptr) running->stop(Running::Why::cancelled);
  }

 private:
  Failure counted(Failure failure) {
    ++engine_.counters_.statements_failed;
    return failure;
  }

  // The statement, prepared at its position.
  Outcome<std::unique_ptr<StatementRun>> begin(std::string_view statement, std::optional<uint64_t> as_of,
                                               const Limits& limits) {
    if (auto wrong = wait_ready()) return *wrong;
    if (auto wrong = wait_for(as_of)) return *wrong;
    StatementTerms terms{engine_.feed_.store(), &may_read_, as_of,
                         stricter(limits.rows_max, engine_.options_.rows_max)};
    const Result<const DuckDb*> duckdb = open_duckdb(engine_.options_.feed.library);
    if (terms.store == nullptr || !duckdb) return failure("57P03", "the projection is not open");
    auto running = std::make_shared<Running>(**duckdb);
    const int64_t limit_ns = stricter(limits.time_ns_max, engine_.options_.statement_ns_max);
    if (limit_ns != 0) running->set_deadline(now_ns() + limit_ns);
    {
      const std::lock_guard lock(mutex_);
      running_ = running;
    }
    engine_.watch_over(running);
    auto run = std::make_unique<StatementRun>(**duckdb, std::move(terms), std::move(running));
    if (auto wrong = run->prepare(statement)) return *wrong;
    return run;
  }

  std::optional<Failure> wait_ready() {
    Feed& feed = engine_.feed_;
    const auto settled = [&feed] {
      return feed.state() == Feed::State::running || feed.state() == Feed::State::failed;
    };
    if (!settled()) feed.wait(engine_.options_.ready_ns_max, settled);
    if (feed.state() == Feed::State::running) return std::nullopt;
    if (const std::string why = feed.failure(); feed.state() == Feed::State::failed) return failure("58030", why);
    return failure("57P03", "the tables are being made: they are at " + position_text(0, feed.applied()) + " of " +
                                position_text(0, feed.durable()));
  }

  std::optional<Failure> wait_for(std::optional<uint64_t> as_of) {
    Feed& feed = engine_.feed_;
    const auto there = [&] { return feed.applied() >= *as_of; };
    // What the log does not have is not waited for.
    const bool comes = as_of && *as_of <= feed.durable();
    if (!as_of || there() || (comes && feed.wait(SqlEngine::kAsOfWaitNs, there))) return std::nullopt;
    return failure("22023", "position " + position_text(0, *as_of) + " is not there yet",
                   "the last one is " + position_text(0, feed.applied()));
  }

  SqlEngine& engine_;
  MayRead may_read_ = [](std::string_view) { return false; };
  std::mutex mutex_;
  std::weak_ptr<Running> running_;  // the last one that began
};

SqlEngine::SqlEngine(streams::HistoryReader& history, net::Workers& workers, EngineOptions options)
    : workers_(workers), options_(std::move(options)), feed_(history, options_.feed) {
  if (options_.enabled && feed_.file_exists()) start();
}

void SqlEngine::start() {
  feed_.start();
  if (!threads_.empty()) return;
  for (size_t i = 0; i < options_.job_threads; ++i) threads_.emplace_back([this] { run_jobs(); });
  threads_.emplace_back([this] { watch(); });
}

Outcome<std::shared_ptr<Connection>> SqlEngine::connect() {
  if (!options_.enabled) return failure("58030", "SQL is off: sql.enabled");
  if (stopping_) return failure("57P01", "the server stops");
  if (connections() >= kConnectionsMax) return failure("53300", "there are too many SQL connections");
  start();
  return std::shared_ptr<Connection>(std::make_shared<SqlConnection>(*this));
}

bool SqlEngine::submit(JobOwner owner, std::shared_ptr<Connection> connection, std::function<void(Connection&)> job) {
  {
    const std::lock_guard lock(mutex_);
    if (stopping_ || jobs_.size() >= kJobsMax) {
      ++counters_.jobs_refused;
      return false;
    }
    jobs_.push_back({owner, std::move(connection), std::move(job)});
  }
  wake_.notify_all();
  return true;
}

size_t SqlEngine::jobs() const {
  const std::lock_guard lock(mutex_);
  return jobs_.size();
}

void SqlEngine::run_jobs() {
  const std::shared_ptr<std::atomic<bool>> left = left_;
  for (;;) {
    Job job;
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [this] { return stopping_ || !jobs_.empty(); });
      if (stopping_) return ended();
      job = std::move(jobs_.front());
      jobs_.pop_front();
    }
    job.run(*job.connection);
    while (*left) ::pause();  // the engine is gone
    const JobOwner owner = job.owner;
    job = Job{};  // what it keeps ends here, before anybody hears that it is done
    workers_.hand_back({owner.session, owner.request});
  }
}

void SqlEngine::watch_over(const std::shared_ptr<Running>& running) {
  const std::lock_guard lock(mutex_);
  watched_.push_back(running);
  if (stopping_) running->stop(Running::Why::cancelled);
}

void SqlEngine::watch() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    wake_.wait_for(lock, std::chrono::nanoseconds(kWatchNs), [this] { return stopping_; });
    std::vector<std::shared_ptr<Running>> live;
    std::erase_if(watched_, [&](const std::weak_ptr<Running>& one) {
      if (auto running = one.lock()) live.push_back(std::move(running));
      return one.expired();
    });
    lock.unlock();
    for (const auto& running : live) running->look(now_ns());
    live.clear();
    lock.lock();
  }
  ended();
}

// With the lock.
void SqlEngine::ended() {
  ++threads_ended_;
  wake_.notify_all();
}

void SqlEngine::stop() {
  std::deque<Job> dropped;
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    dropped.swap(jobs_);
    for (const auto& one : watched_)
      if (const auto running = one.lock()) running->stop(Running::Why::cancelled);
  }
  wake_.notify_all();
  feed_.stop();
  end_threads();
}

void SqlEngine::end_threads() {
  const int64_t until_ns = now_ns() + kStopNs;
  const auto all = [this] { return threads_ended_ == threads_.size(); };
  std::unique_lock lock(mutex_);
  // Again and again: one that is about to begin may not have heard.
  while (!wake_.wait_for(lock, std::chrono::nanoseconds(kWatchNs), all) && now_ns() < until_ns)
    for (const auto& one : watched_)
      if (const auto running = one.lock()) running->stop(Running::Why::cancelled);
  if (!all()) {
    options_.feed.report("SQL: a statement does not end: its thread is left to the end of the process");
    *left_ = true;
    for (const auto& one : watched_)
      if (const auto running = one.lock()) running->abandon();
  }
  const bool join = all();
  lock.unlock();
  for (std::thread& thread : threads_) join ? thread.join() : thread.detach();
  threads_.clear();
  threads_ended_ = 0;
}

}  // namespace heptane::data::sql
