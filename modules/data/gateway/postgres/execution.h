// What of a statement runs on the engine's threads: preparing it, executing it, and encoding a piece of its rows. A step is the
// session's until it is submitted and after the session heard of its end, the job's in between: nothing in it is locked.
//
// Bounds: a step encodes kStepBytes and the row that passes it. A row above kRowBytesMax, more columns than kColumnsMax and more
// parameters than kParametersMax are refused.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "modules/data/domain/sql/statement.h"
#include "modules/data/gateway/postgres/catalog.h"
#include "modules/data/gateway/postgres/wire.h"

namespace heptane::data::postgres {

constexpr size_t kStepBytes = size_t{256} << 10;
constexpr size_t kRowBytesMax = size_t{256} << 20;
constexpr size_t kColumnsMax = 1664;       // PostgreSQL's own limit
constexpr size_t kParametersMax = 65'535;  // what a message can count

// A session's connection to the engine, while it has one.
struct Seat {
  std::shared_ptr<sql::Connection> connection;
  std::function<bool(std::string_view stream)> may_read;
  bool entitled = false;  // the connection knows the rights; the job's
};

// How a statement is ended by somebody else. Any thread.
class Cancellation {
 public:
  // A statement begins, or goes on with this connection.
  void begin(std::shared_ptr<sql::Connection> connection);
  void end();
  // Whatever is under way ends with 57014; nothing is: nothing happens.
  void cancel();
  bool wanted() const { return wanted_.load(std::memory_order_relaxed); }

 private:
  std::mutex mutex_;
  std::shared_ptr<sql::Connection> connection_;  // null: nothing is under way
  std::atomic<bool> wanted_{false};
};

// A statement that was parsed.
struct Stored {
  sql::Statement statement;
  std::vector<Oid> types;                   // of parameters, as the client named them; 0: as the engine says
  std::shared_ptr<sql::Prepared> prepared;  // null: not the engine's, or not prepared yet
  std::optional<CatalogQuestion> question;  // about the catalogue: answered from our own list of it
  std::vector<sql::Column> columns;         // of what is not the engine's
  size_t bytes = 0;                         // what it counts in the session's budget: footprint(), and its name

  bool is_engines() const {
    return statement.kind == sql::StatementKind::query || statement.kind == sql::StatementKind::copy;
  }
  bool is_copy() const { return statement.kind == sql::StatementKind::copy; }
  const std::vector<sql::Column>& result_columns() const { return prepared ? prepared->columns() : columns; }
  std::vector<Oid> parameter_types() const;
  // What it takes in memory, nearly.
  size_t footprint() const;
};

// A statement being executed.
struct Portal {
  std::shared_ptr<Stored> stored;
  std::shared_ptr<Seat> seat;  // while it is suspended: an open cursor has its connection to itself
  std::vector<sql::Parameter> parameters;
  std::vector<int16_t> formats;  // of the columns
  std::optional<uint64_t> as_of;
  sql::Limits limits;
  std::unique_ptr<sql::Cursor> cursor;
  std::unique_ptr<sql::Rows> rows;
  size_t row = 0;  // of rows, the next one
  uint64_t rows_told = 0;
  bool begun = false;  // its COPY header went out
  bool ended = false;
  int64_t late_ns = 0;  // when its time is up, by the session's clock; 0: never
  bool late = false;    // it was ended for that
  size_t bytes = 0;     // what it counts in the session's budget
};

struct Step {
  enum class End : uint8_t { more, suspended, ended };

  std::shared_ptr<Seat> seat;
  std::shared_ptr<Cancellation> cancellation;
  std::shared_ptr<Stored> stored;
  std::shared_ptr<Portal> portal;  // null: the statement is only prepared
  bool describe = false;           // RowDescription comes before the first row
  uint64_t rows_left = 0;          // 0: all

  MessageWriter out;
  std::optional<sql::Failure> failure;
  uint64_t position = 0;  // what the rows are of; 0: it is not known
  End end = End::ended;
};

// The job.
void run(Step& step, sql::Connection& connection);
// The part of it that needs no connection: rows of a cursor that is there.
void encode(Step& step);

}  // namespace heptane::data::postgres
