#include "modules/data/worker/sql/statement_run.h"

#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <charconv>

#include "modules/data/worker/sql/parameters.h"

namespace heptane::data::sql {

void Running::set_handle(duckdb_connection handle) {
  const std::lock_guard lock(mutex_);
  handle_ = handle;
}

void Running::stop(Why why) {
  Why none = Why::none;
  why_.compare_exchange_strong(none, why, std::memory_order_acq_rel);
  const std::lock_guard lock(mutex_);
  if (handle_ != nullptr) duckdb_.interrupt(handle_);
}

void Running::look(int64_t now_ns) {
  const int64_t deadline_ns = deadline_ns_.load(std::memory_order_relaxed);
  if (too_large()) stop(Why::disk);
  if (why() != Why::none || (deadline_ns != 0 && now_ns >= deadline_ns)) stop(Why::timeout);
  if (why() == Why::none) return;
  std::function<void()> let_go;
  {
    const std::lock_guard lock(mutex_);
    let_go = let_go_;
  }
  if (let_go) let_go();
}

void Running::set_file(ExportFile file) {
  const std::lock_guard lock(mutex_);
  file_ = std::move(file);
}

void Running::set_let_go(std::function<void()> let_go) {
  const std::lock_guard lock(mutex_);
  let_go_ = std::move(let_go);
}

bool Running::too_large() {
  ExportFile file;
  {
    const std::lock_guard lock(mutex_);
    file = file_;
  }
  struct stat written {};
  struct statvfs disk {};
  if (file.path.empty() || ::stat(file.path.c_str(), &written) != 0) return false;
  if (static_cast<uint64_t>(written.st_size) > file.bytes_max) return true;
  return ::statvfs(file.path.c_str(), &disk) == 0 && uint64_t{disk.f_bavail} * disk.f_frsize < file.free_bytes_min;
}

std::optional<Failure> Running::stopped() const {
  // Nothing of the engine is there any more.
  while (abandoned_.load(std::memory_order_acquire)) ::pause();
  switch (why()) {
    case Why::none: return std::nullopt;
    case Why::cancelled: return failure("57014", "the statement was cancelled");
    case Why::timeout: return failure("57014", "the statement took longer than it may");
    case Why::disk: return failure("53100", "the export is larger than it may be, or the disk is almost full");
  }
  return std::nullopt;
}

StatementRun::StatementRun(const DuckDb& duckdb, StatementTerms terms, std::shared_ptr<Running> running)
    : duckdb_(duckdb),
      terms_(std::move(terms)),
      running_(std::move(running)),
      connection_(duckdb),
      prepared_(duckdb),
      pending_(duckdb),
      result_(duckdb) {}

// The transaction ends with its connection.
StatementRun::~StatementRun() { running_->set_handle(nullptr); }

Failure StatementRun::failed(const char* why) const {
  if (std::optional<Failure> stopped = running_->stopped()) return *stopped;
  Failure failure = failure_of(why == nullptr ? "INTERNAL Error: no reason was given" : why, statement_);
  // DuckDB counts in what it was given.
  failure.position = failure.position > prefix_bytes_ ? failure.position - prefix_bytes_ + query_begins_ : 0;
  return failure;
}

std::optional<Failure> StatementRun::run(const std::string& statement) {
  if (std::optional<Failure> stopped = running_->stopped()) return stopped;
  OwnedResult result(duckdb_);
  if (duckdb_.query(connection_.get(), statement.c_str(), result.get()) == DuckDBSuccess) return std::nullopt;
  return failed(duckdb_.result_error(result.get()));
}

std::optional<Failure> StatementRun::connect() {
  Result<OwnedConnection> connection = terms_.store->connect();
  if (!connection) return failure("57P03", connection.error().message);
  connection_ = std::move(*connection);
  running_->set_handle(connection_.get());
  if (auto wrong = run("SET search_path='public'")) return wrong;
  return begin();
}

// From here on it reads one snapshot, whose position is in it.
std::optional<Failure> StatementRun::begin() {
  if (auto wrong = run("BEGIN TRANSACTION READ ONLY")) return wrong;
  OwnedResult result(duckdb_);
  if (duckdb_.query(connection_.get(), "SELECT position FROM heptane_storage.applied", result.get()) != DuckDBSuccess)
    return failed(duckdb_.result_error(result.get()));
  OwnedChunk chunk(duckdb_);
  chunk.take(duckdb_.fetch_chunk(*result.get()));
  if (chunk.get() == nullptr || duckdb_.data_chunk_get_size(chunk.get()) != 1)
    return failure("58030", "the projection does not say its position");
  const void* data = duckdb_.vector_get_data(duckdb_.data_chunk_get_vector(chunk.get(), 0));
  position_ = static_cast<Sequence>(*static_cast<const int64_t*>(data));
  if (terms_.as_of) position_ = *terms_.as_of;
  // Also where nobody asked for one: of a long archived stretch there may be rows that are beyond it.
  return run("SET VARIABLE heptane_as_of = " + std::to_string(position_));
}

std::optional<Failure> StatementRun::prepare(std::string_view statement) {
  const StatementWords words = words_of(statement);
  statement_ = words.text();
  prefix_bytes_ = static_cast<uint32_t>(words.prefix.size());
  query_begins_ = static_cast<uint32_t>(words.query.data() - statement.data());
  if (auto wrong = connect()) return wrong;
  const std::shared_ptr<const Catalog> catalog = terms_.store->catalog();
  StatementCheck check(duckdb_, connection_.get(), *catalog, *terms_.may_read, terms_.as_of);
  if (auto wrong = check.check(statement, words)) return wrong;
  if (check.uses_catalog())
    if (auto wrong = run("SET VARIABLE heptane_streams = " + readable(*catalog))) return wrong;
  if (auto wrong = prepare_text(statement_)) return wrong;
  if (columns_.empty()) return failure("0A000", "the statement gives no rows");
  if (const std::string wrapped = shown_as_text(statement_); !wrapped.empty()) return prepare_text(wrapped);
  return running_->stopped();
}

// The streams that may be read, as a list.
std::string StatementRun::readable(const Catalog& catalog) const {
  std::string list = "CAST([";
  for (const auto& [storage, stream] : catalog.by_storage)
    if ((*terms_.may_read)(stream.name)) list += (list.ends_with('[') ? "" : ", ") + quoted_text(stream.name);
  return list + "] AS VARCHAR[])";
}

std::optional<Failure> StatementRun::prepare_text(const std::string& statement) {
  if (std::optional<Failure> stopped = running_->stopped()) return stopped;
  if (duckdb_.prepare(connection_.get(), statement.c_str(), prepared_.out()) != DuckDBSuccess)
    return failed(duckdb_.prepare_error(prepared_.get()));
  parameters_ = parameter_types(duckdb_, prepared_.get());
  columns_.clear();
  forms_.clear();
  for (idx_t i = 0; i < duckdb_.prepared_statement_column_count(prepared_.get()); ++i) {
    OwnedType type(duckdb_);
    type.take(duckdb_.prepared_statement_column_logical_type(prepared_.get(), i));
    const char* name = duckdb_.prepared_statement_column_name(prepared_.get(), i);
    const std::optional<Column> column = column_of(duckdb_, type.get());
    columns_.push_back(column.value_or(Column{}));
    columns_.back().name = name == nullptr ? "" : name;
    duckdb_.free(const_cast<char*>(name));
    forms_.push_back(form_of(duckdb_, type.get()));
    if (!column) forms_.back().type = DUCKDB_TYPE_INVALID;
  }
  return std::nullopt;
}

// DuckDB makes the texts of types that have no form of their own here: lists, structures, intervals.
std::string StatementRun::shown_as_text(const std::string& statement) {
  std::string select = "SELECT ";
  std::string names;
  bool any = false;
  for (size_t i = 0; i < columns_.size(); ++i) {
    const std::string name = "c" + std::to_string(i);
    const bool cast = forms_[i].type == DUCKDB_TYPE_INVALID;
    any = any || cast;
    select +=
        (i == 0 ? "" : ", ") + (cast ? "CAST(" + name + " AS VARCHAR)" : name) + " AS " + quoted_name(columns_[i].name);
    names += (i == 0 ? "" : ", ") + name;
  }
  return any ? select + " FROM (" + statement + "\n) AS shown(" + names + ")" : std::string();
}

std::optional<Failure> StatementRun::run_pending(const std::vector<Parameter>& parameters) {
  if (std::optional<Failure> stopped = running_->stopped()) return stopped;
  if (auto wrong = bind_parameters(duckdb_, connection_.get(), prepared_.get(), parameters)) return wrong;
  if (duckdb_.pending_prepared_streaming(prepared_.get(), pending_.out()) != DuckDBSuccess)
    return failed(duckdb_.pending_error(pending_.get()));
  result_.reset();
  if (duckdb_.execute_pending(pending_.get(), result_.get()) != DuckDBSuccess)
    return failed(duckdb_.result_error(result_.get()));
  return std::nullopt;
}

// With its parameters a column may be of another type than was said: then it is refused, as its columns were told.
std::optional<Failure> StatementRun::execute(const std::vector<Parameter>& parameters) {
  if (auto wrong = run_pending(parameters)) return wrong;
  for (size_t i = 0; i < forms_.size(); ++i) {
    OwnedType type(duckdb_);
    type.take(duckdb_.column_logical_type(result_.get(), i));
    const std::optional<Column> column = column_of(duckdb_, type.get());
    if (!column || column->type != columns_[i].type)
      return failure("42804", "the type of column " + std::to_string(i + 1) + " depends on a parameter: cast it");
    columns_[i].precision = column->precision;
    columns_[i].scale = column->scale;
    forms_[i] = form_of(duckdb_, type.get());
  }
  return std::nullopt;
}

std::optional<Failure> StatementRun::write_parquet(const ExportFile& file) {
  std::string limited = "SELECT * FROM (" + statement_ + "\n)";
  if (terms_.rows_max != 0) limited += " LIMIT " + std::to_string(terms_.rows_max + 1);
  if (auto wrong = prepare_text("COPY (" + limited + ") TO " + quoted_text(file.path) + " (FORMAT parquet)"))
    return wrong;
  running_->set_file(file);
  if (auto wrong = run_pending({})) return wrong;
  OwnedChunk chunk(duckdb_);
  chunk.take(duckdb_.fetch_chunk(*result_.get()));
  if (chunk.get() == nullptr) return failed(duckdb_.result_error(result_.get()));
  const void* data = duckdb_.vector_get_data(duckdb_.data_chunk_get_vector(chunk.get(), 0));
  const auto rows = static_cast<uint64_t>(*static_cast<const int64_t*>(data));
  if (running_->too_large()) running_->stop(Running::Why::disk);
  if (std::optional<Failure> stopped = running_->stopped()) return stopped;
  if (terms_.rows_max != 0 && rows > terms_.rows_max)
    return failure("54000", "the answer has more than " + std::to_string(terms_.rows_max) + " rows");
  return std::nullopt;
}

Outcome<std::unique_ptr<Rows>> StatementRun::next() {
  if (std::optional<Failure> stopped = running_->stopped()) return *stopped;
  OwnedChunk chunk(duckdb_);
  do {
    chunk.take(duckdb_.fetch_chunk(*result_.get()));
    if (chunk.get() == nullptr) {
      if (const char* why = duckdb_.result_error(result_.get()); why != nullptr && *why != 0) return failed(why);
      if (std::optional<Failure> stopped = running_->stopped()) return *stopped;
      return std::unique_ptr<Rows>();
    }
  } while (duckdb_.data_chunk_get_size(chunk.get()) == 0);
  rows_ += duckdb_.data_chunk_get_size(chunk.get());
  if (terms_.rows_max != 0 && rows_ > terms_.rows_max)
    return failure("54000", "the answer has more than " + std::to_string(terms_.rows_max) + " rows",
                   "a LIMIT, or a narrower WHERE");
  return std::unique_ptr<Rows>(std::make_unique<ChunkRows>(duckdb_, std::move(chunk), forms_, terms_.store));
}

}  // namespace heptane::data::sql
