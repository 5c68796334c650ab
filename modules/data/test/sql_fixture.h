// An engine over a log in memory, in a directory of its own; a test that needs DuckDB's library is skipped without it.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "modules/data/test/fake_history.h"
#include "modules/data/worker/sql/sql_engine.h"

namespace heptane::data::sql {

class FakeWorkers final : public net::Workers {
 public:
  bool submit(net::WorkJob) override { return false; }
  std::optional<net::WorkDone> take_done() override { return std::nullopt; }
  void hand_back(net::WorkDone done) override {
    const std::lock_guard lock(mutex_);
    done_.push_back(done);
    changed_.notify_all();
  }
  void wait_for(size_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return done_.size() >= count; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<net::WorkDone> done_;
};

class SqlFixture : public ::testing::Test {
 protected:
  void SetUp() override {
    if (const Result<const DuckDb*> duckdb = open_duckdb(""); !duckdb) GTEST_SKIP() << duckdb.error().message;
    std::string name = (std::filesystem::temp_directory_path() / "heptane-sql-XXXXXX").string();
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    directory_ = name;
  }
  void TearDown() override {
    connection_.reset();
    engine_.reset();
    if (!directory_.empty()) std::filesystem::remove_all(directory_);
  }

  FeedOptions feed_options() {
    FeedOptions options;
    options.store.directory = directory_ + "/sql";
    options.store.log_id = "log";
    options.store.memory_bytes = uint64_t{128} << 20;
    options.report = [this](const std::string& line) { reports_.push_back(line); };
    options.ask_streams = [this] {
      if (feed_ != nullptr) feed_->describe(history_.streams());
    };
    return options;
  }
  void start() {
    EngineOptions options;
    options.feed = feed_options();
    options.rows_max = rows_max_;
    options.statement_ns_max = statement_ns_max_;
    options.export_bytes_max = export_bytes_max_;
    options.export_free_bytes_min = export_free_bytes_min_;
    engine_ = std::make_unique<SqlEngine>(history_, workers_, std::move(options));
    feed_ = &engine_->feed();
    connection_ = connect([](std::string_view) { return true; });
  }
  void stop() {
    connection_.reset();
    engine_.reset();
    feed_ = nullptr;
  }
  std::shared_ptr<Connection> connect(MayRead may_read) {
    auto connection = std::get<std::shared_ptr<Connection>>(engine_->connect());
    connection->set_rights(std::move(may_read));
    return connection;
  }
  void wait_for(Sequence position) {
    ASSERT_TRUE(feed_->wait(int64_t{30} * 1'000'000'000, [&] { return feed_->applied() >= position; }));
  }

  // The statement's rows become these, with a commit or a look at the streams that comes.
  void wait_rows(std::string_view statement, std::string_view wanted) {
    while (rows(statement) != wanted) feed_->wait(Feed::kChunkNs, [] { return false; });
  }

  Outcome<std::unique_ptr<Cursor>> run(std::string_view statement, const std::vector<Parameter>& parameters = {},
                                       std::optional<uint64_t> as_of = {}) {
    return run(*connection_, statement, parameters, as_of);
  }
  static Outcome<std::unique_ptr<Cursor>> run(Connection& connection, std::string_view statement,
                                              const std::vector<Parameter>& parameters = {},
                                              std::optional<uint64_t> as_of = {}) {
    Outcome<std::shared_ptr<Prepared>> prepared = connection.prepare(statement);
    if (auto* wrong = std::get_if<Failure>(&prepared)) return *wrong;
    return connection.execute(std::get<std::shared_ptr<Prepared>>(prepared), parameters, as_of, {});
  }
  // The rows as `a|b` lines, or the SQLSTATE.
  std::string rows(std::string_view statement, const std::vector<Parameter>& parameters = {},
                   std::optional<uint64_t> as_of = {}) {
    return text_of(run(statement, parameters, as_of));
  }
  static std::string text_of(Outcome<std::unique_ptr<Cursor>> outcome);
  static std::string cell(const Column& column, const Rows& rows, size_t at, size_t row);

  std::string directory_;
  FakeHistory history_;
  FakeWorkers workers_;
  std::vector<std::string> reports_;
  uint64_t rows_max_ = 0;
  uint64_t export_bytes_max_ = uint64_t{1} << 30;
  uint64_t export_free_bytes_min_ = 0;
  int64_t statement_ns_max_ = int64_t{60} * 1'000'000'000;
  std::unique_ptr<SqlEngine> engine_;
  Feed* feed_ = nullptr;
  std::shared_ptr<Connection> connection_;
};

inline std::string SqlFixture::cell(const Column& column, const Rows& rows, size_t at, size_t row) {
  if (rows.is_null(at, row)) return "NULL";
  switch (column.type) {
    case Type::float4:
    case Type::float8: return std::to_string(rows.real(at, row));
    case Type::numeric:
      return std::to_string(static_cast<int64_t>(rows.wide(at, row))) + "e-" + std::to_string(column.scale);
    case Type::text:
    case Type::json:
    case Type::bytea:
    case Type::uuid: return std::string(rows.text(at, row));
    default: return std::to_string(rows.integer(at, row));
  }
}

inline std::string SqlFixture::text_of(Outcome<std::unique_ptr<Cursor>> outcome) {
  if (auto* wrong = std::get_if<Failure>(&outcome)) return std::string(wrong->sqlstate) + " " + wrong->message;
  Cursor& cursor = *std::get<std::unique_ptr<Cursor>>(outcome);
  std::string out;
  for (;;) {
    Outcome<std::unique_ptr<Rows>> next = cursor.next();
    if (auto* wrong = std::get_if<Failure>(&next)) return std::string(wrong->sqlstate) + " " + wrong->message;
    const std::unique_ptr<Rows>& rows = std::get<std::unique_ptr<Rows>>(next);
    if (rows == nullptr) return out;
    for (size_t row = 0; row < rows->size(); ++row) {
      for (size_t i = 0; i < cursor.columns().size(); ++i)
        out += (i == 0 ? "" : "|") + cell(cursor.columns()[i], *rows, i, row);
      out += '\n';
    }
  }
}

}  // namespace heptane::data::sql
