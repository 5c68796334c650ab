// The seam between protocols that carry SQL (PostgreSQL's, HTTP) and what executes it. A protocol's session hands a job to
// the engine; the job runs on one of the engine's threads with the client's own connection and may block there; the session
// hears of its end as of any other work (net::Session::on_worked with the same request).
//
// Threads: Engine's functions are the I/O thread's, those of Connection and Cursor the job's, but for interrupt(), which is
// anybody's. One connection runs one job at a time.
// Bounds: jobs that wait, connections, memory, rows and time of a statement are the engine's limits, told as Failures.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace heptane::data::sql {

// What a statement came to grief of. The code is PostgreSQL's (appendix A of its manual): `42601` syntax, `42P01` no such
// table, `42703` no such column, `57014` cancelled or out of time, `53200` memory, `54000` a limit, `0A000` not here,
// `42501` a right lacks, `22P02` text that is no value of its type, `58030` the projection failed.
struct Failure {
  char sqlstate[6] = "XX000";
  std::string message;
  std::string hint;       // empty: none
  uint32_t position = 0;  // the character in the statement, from 1; 0: unknown
};

template <class T>
using Outcome = std::variant<T, Failure>;

enum class Type : uint8_t {
  boolean,      // integer: 0 or 1
  int16,        // integer
  int32,        // integer
  int64,        // integer
  float4,       // real
  float8,       // real
  numeric,      // wide, times 10^-scale; up to 38 digits
  date,         // integer: days since 1970-01-01
  time,         // integer: microseconds since midnight
  timestamp,    // integer: microseconds since 1970-01-01, no zone
  timestamptz,  // integer: microseconds since 1970-01-01 UTC
  uuid,         // text: its 36 characters
  json,         // text
  bytea,        // text: the bytes
  text,         // text; every type that is not named here is shown as text, too (interval, list, struct, map)
};

struct Column {
  std::string name;
  Type type = Type::text;
  uint8_t precision = 0;  // of numeric
  uint8_t scale = 0;      // of numeric
};

// A parameter of a prepared statement: text, as PostgreSQL writes values of the type. nullopt: NULL.
using Parameter = std::optional<std::string>;

// Rows of an answer, at most 2,048. Columns and rows count from 0. Which function gives a column's values, Type says.
class Rows {
 public:
  virtual ~Rows() = default;
  virtual size_t size() const = 0;
  virtual bool is_null(size_t column, size_t row) const = 0;
  virtual int64_t integer(size_t column, size_t row) const = 0;
  virtual double real(size_t column, size_t row) const = 0;  // deterministic: handed over; no machine reckons with it
  virtual __int128 wide(size_t column, size_t row) const = 0;
  // Valid until the next call for the same column, or the end of the rows.
  virtual std::string_view text(size_t column, size_t row) const = 0;
};

// An answer under way; what it reads is of one position, whatever comes meanwhile.
class Cursor {
 public:
  virtual ~Cursor() = default;
  virtual const std::vector<Column>& columns() const = 0;
  // nullptr: that was all.
  virtual Outcome<std::unique_ptr<Rows>> next() = 0;
  // What the rows are of: the sequence of the shard; 0: the engine does not say.
  virtual uint64_t position() const { return 0; }
};

class Prepared {
 public:
  virtual ~Prepared() = default;
  virtual const std::vector<Type>& parameters() const = 0;  // $1 is the first; what is not known is text
  virtual const std::vector<Column>& columns() const = 0;   // empty: no rows come (there is no such statement here yet)
};

// What a statement is executed with.
struct Limits {
  uint64_t rows_max = 0;    // 0: no limit; one more: 54000
  int64_t time_ns_max = 0;  // from execute() on; 0: no limit; 57014
};

// One client's place in the engine. A statement is one statement, without its semicolon, its AS OF clause taken off.
class Connection {
 public:
  virtual ~Connection() = default;
  // The tables of streams that the client may read; what it may not read does not exist for it. Before the first statement.
  // Called by jobs, so it answers from what it was made with.
  virtual void set_rights(std::function<bool(std::string_view stream)> may_read) = 0;
  virtual Outcome<std::shared_ptr<Prepared>> prepare(std::string_view statement) = 0;
  // At the position as_of (the sequence of the shard; nullopt: what is applied now). A position that the
  // log has and the tables do not is waited for, a second at most; one that it has not, or that is no longer kept, is refused by name
  // (`22023`).
  virtual Outcome<std::unique_ptr<Cursor>> execute(const std::shared_ptr<Prepared>& prepared,
                                                   const std::vector<Parameter>& parameters,
                                                   std::optional<uint64_t> as_of, const Limits& limits) = 0;
  // The same rows as a file in memory, piece by piece, for COPY ... TO STDOUT (FORMAT parquet): next() gives rows of one bytea.
  virtual Outcome<std::unique_ptr<Cursor>> export_parquet(std::string_view query, std::optional<uint64_t> as_of,
                                                          const Limits& limits) = 0;
  // Ends the statement under way with 57014; any thread, also when nothing is under way.
  virtual void interrupt() = 0;
};

// Who hears of a job's end.
struct JobOwner {
  uint64_t session = 0;  // SessionId
  uint64_t request = 0;  // RequestId
};

class Engine {
 public:
  virtual ~Engine() = default;
  // A connection of one user, whose limits of memory and time are the role's. Failure: `53300` too many; `57P03` still
  // starting; `58030` the projection failed, with its reason.
  virtual Outcome<std::shared_ptr<Connection>> connect() = 0;
  // Runs the job on a thread of the engine. The job keeps what it uses alive: its session may be gone at its end. False: too
  // many wait (`53400`).
  virtual bool submit(JobOwner owner, std::shared_ptr<Connection> connection, std::function<void(Connection&)> job) = 0;
};

}  // namespace heptane::data::sql
