#include "modules/data/worker/sql/store.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <filesystem>

#include "kernel/streams/inflate.h"
#include "modules/data/worker/sql/failures.h"
#include "modules/data/worker/sql/guarded_functions.h"
#include "modules/data/worker/sql/memory_guard.h"

namespace heptane::data::sql {

namespace {

constexpr int kFormat = 2;
constexpr uint64_t kBesideBuffersBytes = uint64_t{512} << 20;  // values, plans, and what its allocator keeps
constexpr size_t kInflatedBytesMax = size_t{32} << 20;
// Of DuckDB's timestamps: 290309-12-22 BC to 294247-01-10.
constexpr int64_t kFirstMs = -9'223'372'022'400'000;
constexpr int64_t kLastMs = 9'223'372'036'854'774;
constexpr std::string_view kView =
    R"(SELECT partition, "offset", '0:' || seq AS position, timestamp, key, CAST(headers AS JSON) AS headers, value)";
constexpr std::string_view kAsOf =
    " WHERE seq <= coalesce(CAST(getvariable('heptane_as_of') AS BIGINT), 9223372036854775807)";

// Of a column of texts; null becomes empty.
std::string text_in(const DuckDb& duckdb, duckdb_data_chunk chunk, size_t column, size_t row) {
  const duckdb_vector vector = duckdb.data_chunk_get_vector(chunk, column);
  if (uint64_t* validity = duckdb.vector_get_validity(vector);
      validity != nullptr && !duckdb.validity_row_is_valid(validity, row))
    return {};
  const auto* texts = static_cast<const duckdb_string_t*>(duckdb.vector_get_data(vector));
  return std::string(string_of(texts[row]));
}

std::string storage_name(PartitionId first) { return "s" + std::to_string(first); }
std::string in_storage(std::string_view name) { return std::string(kStorageSchema) + "." + std::string(name); }
std::string full_name(const TableName& name) { return quoted_name(name.schema) + "." + quoted_name(name.table); }

// Errc::overloaded: there is no memory for it now, which another file would not change.
Error error_of(const char* why) {
  const Failure failure = failure_of(why == nullptr ? "" : why);
  const bool memory = std::string_view(failure.sqlstate) == "53200";
  return {memory ? Errc::overloaded : Errc::io, failure.message, 0};
}

template <class Number>
Number number_of(const std::string& text) {
  Number number{};
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

// The rows of one table on their way into it.
class RowWriter {
 public:
  RowWriter(const DuckDb& duckdb, duckdb_appender appender) : duckdb_(duckdb), appender_(appender) {}

  void write(const TableRow& row, const StreamColumns& columns, std::vector<const FieldValue*>& slots) {
    duckdb_.append_int32(appender_, row.partition);
    duckdb_.append_int64(appender_, row.offset);
    duckdb_.append_int64(appender_, static_cast<int64_t>(row.position));
    timestamp(row.timestamp_ms);
    text(row.key);
    text(row.headers);
    text(row.value);
    slots.assign(columns.stored().size(), nullptr);
    for (const FieldValue& field : row.fields) slots[field.stored] = &field;
    for (const FieldValue* field : slots) value(field);
    duckdb_.appender_end_row(appender_);
  }

 private:
  // A producer writes what it likes; what DuckDB cannot show is null.
  void timestamp(int64_t ms) {
    if (ms >= kFirstMs && ms <= kLastMs)
      duckdb_.append_timestamp(appender_, duckdb_timestamp{ms * 1000});
    else
      duckdb_.append_null(appender_);
  }
  void text(const std::optional<std::string>& text) {
    if (text)
      duckdb_.append_varchar_length(appender_, text->data(), text->size());
    else
      duckdb_.append_null(appender_);
  }
  void value(const FieldValue* field) {
    if (field == nullptr) {
      duckdb_.append_null(appender_);
    } else if (const auto* boolean = std::get_if<bool>(&field->value)) {
      duckdb_.append_bool(appender_, *boolean);
    } else if (const auto* integer = std::get_if<int64_t>(&field->value)) {
      duckdb_.append_int64(appender_, *integer);
    } else if (const auto* real = std::get_if<double>(&field->value)) {
      duckdb_.append_double(appender_, *real);
    } else {
      const std::string& text = std::get<std::string>(field->value);
      duckdb_.append_varchar_length(appender_, text.data(), text.size());
    }
  }

  const DuckDb& duckdb_;
  duckdb_appender appender_;
};

// Fields of the payload whose nested values are JSON are kept as their text.
std::string_view storage_type(Kind kind) { return kind == Kind::json ? kind_name(Kind::text) : kind_name(kind); }

}  // namespace

Store::Store(const DuckDb& duckdb, StoreOptions options) : duckdb_(duckdb), options_(std::move(options)) {}

void Store::close() {
  const std::lock_guard lock(mutex_);
  writer_.reset();
  database_.reset();
  tables_.clear();
  partitions_.clear();
  statements_.clear();
  trims_.clear();
  rows_taken_ = 0;
}

// New columns stay: they are without values until their rows come again.
void Store::forget_rows() {
  for (const auto& [first, table] : tables_) {
    for (const TableRow& row : table->rows) {
      Offset& next = table->next[row.partition];
      next = std::min(next, row.offset);
    }
    table->rows.clear();
  }
  rows_taken_ = 0;
}

Result<void> Store::open() {
  close();
  std::error_code error;
  std::filesystem::remove_all(export_directory(), error);
  std::filesystem::create_directories(export_directory(), error);
  if (error) return Error{Errc::io, options_.directory + ": " + error.message()};
  const bool fresh = !std::filesystem::exists(path(), error);
  HEPTANE_TRY(open_database());
  if (fresh) HEPTANE_TRY(make_schemas());
  HEPTANE_TRY(load());
  publish();
  return {};
}

// What the file is read with: locked, so that no statement changes it.
Result<void> Store::open_database() {
  const std::string memory = std::to_string(options_.memory_bytes >> 20) + "MiB";
  const std::string threads = std::to_string(options_.threads);
  MemoryGuard::set_limit(2 * options_.memory_bytes + kBesideBuffersBytes);
  duckdb_config config = nullptr;
  duckdb_.create_config(&config);
  const std::pair<const char*, std::string> kSettings[] = {{"memory_limit", memory},
                                                           {"threads", threads},
                                                           {"temp_directory", options_.directory + "/spill"},
                                                           {"max_temp_directory_size", "1GiB"}};
  for (const auto& [name, value] : kSettings) duckdb_.set_config(config, name, value.c_str());
  auto database = std::make_unique<OwnedDatabase>(duckdb_);
  char* why = nullptr;
  const bool opened = duckdb_.open_ext(path().c_str(), database->out(), config, &why) == DuckDBSuccess;
  duckdb_.destroy_config(&config);
  if (!opened) return Error{Errc::corrupt, failure_of(take_text(duckdb_, why)).message};
  auto writer = std::make_unique<OwnedConnection>(duckdb_);
  if (duckdb_.connect(database->get(), writer->out()) != DuckDBSuccess) return Error{Errc::io, "no connection"};
  writer_ = std::move(writer);
  const std::lock_guard lock(mutex_);
  database_ = std::move(database);
  for (const std::string& statement :
       {std::string("SET GLOBAL TimeZone='UTC'"), std::string("SET autoinstall_known_extensions=false"),
        std::string("SET autoload_known_extensions=false"), std::string("SET allow_community_extensions=false"),
        "SET allowed_directories=[" + quoted_text(export_directory() + "/") + "]",
        std::string("SET enable_external_access=false"), std::string("SET lock_configuration=true")})
    HEPTANE_TRY(run(statement));
  return {};
}

Result<void> Store::make_schemas() {
  std::vector<std::string> statements = {"BEGIN TRANSACTION", "CREATE SCHEMA " + std::string(kStorageSchema),
                                         "CREATE SCHEMA heptane_catalog",
                                         "CREATE SCHEMA " + std::string(kPublicSchema)};
  for (const std::string_view schema : kModuleSchemas) statements.push_back("CREATE SCHEMA " + std::string(schema));
  statements.push_back("CREATE TABLE " + in_storage("applied") + "(format INTEGER, log_id VARCHAR, position BIGINT)");
  statements.push_back("INSERT INTO " + in_storage("applied") + " VALUES (" + std::to_string(kFormat) + ", " +
                       quoted_text(options_.log_id) + ", 0)");
  statements.push_back("CREATE TABLE " + in_storage("streams") +
                       "(id UINTEGER, name VARCHAR, schema_name VARCHAR, table_name VARCHAR, gone_upto BIGINT)");
  statements.push_back("CREATE TABLE " + in_storage("columns") +
                       "(stream UINTEGER, ordinal INTEGER, field VARCHAR, kind VARCHAR)");
  statements.push_back(
      "CREATE VIEW heptane_catalog.tables AS SELECT schema_name AS schema, table_name AS name, name AS stream FROM " +
      in_storage("streams") +
      " WHERE getvariable('heptane_all') OR list_contains(getvariable('heptane_streams'), name)");
  statements.emplace_back(
      "CREATE VIEW heptane_catalog.columns AS SELECT t.schema, t.name AS table_name, c.column_index AS position, "
      "c.column_name AS "
      "name, c.data_type AS type FROM duckdb_columns() c JOIN heptane_catalog.tables t ON t.schema = c.schema_name AND "
      "t.name = "
      "c.table_name WHERE NOT c.internal");
  for (std::string& macro : guarding_macros()) statements.push_back(std::move(macro));
  statements.emplace_back("COMMIT");
  for (const std::string& statement : statements) HEPTANE_TRY(run(statement));
  return {};
}

Result<void> Store::load() {
  bool ours = false;
  Sequence applied = 0;
  HEPTANE_TRY(
      rows("SELECT format, log_id, position FROM " + in_storage("applied"), [&](const std::vector<std::string>& row) {
        ours = row[0] == std::to_string(kFormat) && row[1] == options_.log_id;
        applied = number_of<Sequence>(row[2]);
      }));
  if (!ours) return Error{Errc::stale, "it is of another log or another program"};
  applied_.store(applied, std::memory_order_release);
  HEPTANE_TRY(load_streams());
  HEPTANE_TRY(load_columns());
  HEPTANE_TRY(load_system_views());
  return {};
}

Result<void> Store::load_streams() {
  return rows("SELECT id, name, schema_name, table_name, gone_upto FROM " + in_storage("streams"),
              [&](const std::vector<std::string>& row) {
                const auto first = number_of<PartitionId>(row[0]);
                auto table = std::make_unique<Table>();
                table->storage = storage_name(first);
                table->name = row[1];
                table->shown = {row[2], row[3]};
                table->gone_upto = table->gone_written = number_of<Sequence>(row[4]);
                tables_[first] = std::move(table);
              });
}

Result<void> Store::load_columns() {
  HEPTANE_TRY(rows("SELECT stream, field, kind FROM " + in_storage("columns") + " ORDER BY stream, ordinal",
                   [&](const std::vector<std::string>& row) {
                     const auto found = tables_.find(number_of<PartitionId>(row[0]));
                     const std::optional<Kind> kind = kind_of_name(row[2]);
                     if (found != tables_.end() && kind) (void)found->second->columns.place(row[1], *kind);
                   }));
  for (const auto& [first, table] : tables_) {
    table->columns_written = table->columns.stored().size();
    HEPTANE_TRY(load_offsets(*table));
  }
  return {};
}

Result<void> Store::load_system_views() {
  system_views_.clear();
  return rows("SELECT view_name FROM duckdb_views() WHERE internal",
              [&](const std::vector<std::string>& row) { system_views_.insert(folded(row[0])); });
}

// By the records themselves: what is in a table needs no second word for it.
Result<void> Store::load_offsets(Table& table) {
  return rows(
      "SELECT partition, max(\"offset\") + 1 FROM " + in_storage(table.storage) + " GROUP BY partition",
      [&](const std::vector<std::string>& row) { table.next[number_of<int32_t>(row[0])] = number_of<Offset>(row[1]); });
}

void Store::move_aside() {
  close();
  std::error_code error;
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const std::string suffix = ".aside-" + std::to_string(std::chrono::duration_cast<std::chrono::seconds>(now).count());
  // One is kept: for whoever wants to know why.
  std::vector<std::filesystem::path> older;
  for (std::filesystem::directory_iterator entry(options_.directory, error), end; !error && entry != end;
       entry.increment(error))
    if (entry->path().string().find(".aside-") != std::string::npos) older.push_back(entry->path());
  for (const std::filesystem::path& path : older) std::filesystem::remove(path, error);
  for (const char* part : {"", ".wal"}) std::filesystem::rename(path() + part, path() + part + suffix, error);
  std::filesystem::remove_all(options_.directory + "/spill", error);
}

bool Store::shows(std::string_view stream) const {
  return std::any_of(options_.streams.begin(), options_.streams.end(), [&](const std::string& pattern) {
    if (pattern.ends_with('*')) return stream.starts_with(std::string_view(pattern).substr(0, pattern.size() - 1));
    return stream == pattern;
  });
}

// SQL's names know no case: a second one that differs in nothing else gets a suffix.
TableName Store::free_name(std::string_view stream) const {
  const TableName wanted = table_of_stream(stream);
  TableName name = wanted;
  const auto taken = [&] {
    return std::any_of(tables_.begin(), tables_.end(), [&](const auto& other) {
      return other.second->shown.schema == name.schema && folded(other.second->shown.table) == folded(name.table);
    });
  };
  for (int suffix = 2; taken(); ++suffix) name.table = wanted.table + "_" + std::to_string(suffix);
  return name;
}

void Store::learn(const std::vector<streams::StreamInfo>& streams) {
  std::set<PartitionId> there;
  for (const streams::StreamInfo& stream : streams)
    if (!stream.partitions.empty() && shows(stream.name)) there.insert(stream.partitions.front().id);
  std::vector<PartitionId> gone;
  for (const auto& [first, table] : tables_)
    if (!there.contains(first)) gone.push_back(first);
  for (const PartitionId first : gone) drop(first);
  for (const streams::StreamInfo& stream : streams) add_stream(stream);
}

Store::Table& Store::table_of(const streams::StreamInfo& stream) {
  const PartitionId first = stream.partitions.front().id;
  const auto found = tables_.find(first);
  if (found != tables_.end()) return *found->second;
  auto table = std::make_unique<Table>();
  table->storage = storage_name(first);
  table->name = stream.name;
  table->shown = free_name(stream.name);
  statements_.push_back("CREATE TABLE " + in_storage(table->storage) +
                        "(partition INTEGER, \"offset\" BIGINT, seq BIGINT, timestamp TIMESTAMP WITH TIME ZONE, key "
                        "VARCHAR, headers VARCHAR, value VARCHAR)");
  statements_.push_back("INSERT INTO " + in_storage("streams") + " VALUES (" + std::to_string(first) + ", " +
                        quoted_text(stream.name) + ", " + quoted_text(table->shown.schema) + ", " +
                        quoted_text(table->shown.table) + ", 0)");
  declare_view(*table);
  return *tables_.emplace(first, std::move(table)).first->second;
}

void Store::add_stream(const streams::StreamInfo& stream) {
  if (stream.partitions.empty()) return;
  Table* const table = shows(stream.name) ? &table_of(stream) : nullptr;
  for (size_t i = 0; i < stream.partitions.size(); ++i) {
    const streams::PartitionInfo& info = stream.partitions[i];
    Partition& partition = partitions_[info.id];
    partition.table = table;
    partition.index = static_cast<int32_t>(i);
    if (table != nullptr && info.log_start > partition.start)
      trims_.push_back({table, partition.index, info.log_start});
    partition.start = info.log_start;
  }
}

void Store::drop(PartitionId first) {
  const auto found = tables_.find(first);
  const Table& table = *found->second;
  statements_.push_back("DROP VIEW " + full_name(table.shown));
  statements_.push_back("DROP TABLE " + in_storage(table.storage));
  statements_.push_back("DELETE FROM " + in_storage("streams") + " WHERE id = " + std::to_string(first));
  statements_.push_back("DELETE FROM " + in_storage("columns") + " WHERE stream = " + std::to_string(first));
  std::erase_if(trims_, [&](const Trim& trim) { return trim.table == &table; });
  rows_taken_ -= table.rows.size();
  for (auto& [id, partition] : partitions_)
    if (partition.table == &table) partition.table = nullptr;
  tables_.erase(found);
}

bool Store::wants(PartitionId partition, Offset end) const {
  const auto found = partitions_.find(partition);
  if (found == partitions_.end()) return true;
  if (found->second.table == nullptr) return false;
  const auto next = found->second.table->next.find(found->second.index);
  return next == found->second.table->next.end() || end > next->second;
}

// Errc::stale: nobody has said yet of which stream the partition is.
Result<void> Store::take(const streams::HistoryBatch& batch) {
  const auto found = partitions_.find(batch.partition);
  if (found == partitions_.end()) return Error{Errc::stale, "a partition that nobody has named yet"};
  const Result<streams::RecordBatchInfo> info = streams::decode_record_batch_header(batch.batch);
  if (!info) return info.error();
  std::vector<std::byte> inflated;
  Bytes plain = batch.batch;
  if (info->compressed()) {
    Result<std::vector<std::byte>> out = streams::inflate_batch(batch.batch, kInflatedBytesMax);
    // What a client sent and nobody can inflate shows no rows; its offsets are passed.
    if (!out) return {};
    inflated = std::move(*out);
    plain = inflated;
  }
  size_t index = 0;
  (void)streams::for_each_record(plain, [&](const streams::RecordView& record) {
    const Sequence position = index < batch.positions.size() ? batch.positions[index] : batch.position;
    ++index;
    take(record, position, found->second);
  });
  return {};
}

void Store::take(const streams::RecordView& record, Sequence position, Partition& partition) {
  Table& table = *partition.table;
  Offset& next = table.next[partition.index];
  if (record.offset < next) return;
  if (record.offset > next) {
    // What lies before is gone with the stream's retention, or is missing.
    table.gone_upto = std::max(table.gone_upto, position - 1);
    const Offset kept = std::max(next, partition.start);
    if (record.offset > kept) gap_records_ += static_cast<uint64_t>(record.offset - kept);
  }
  next = record.offset + 1;
  if (record.offset < partition.start) {
    table.gone_upto = std::max(table.gone_upto, position);
    return;
  }
  TableRow row = row_of(record, table.columns);
  row.partition = partition.index;
  row.position = position;
  table.rows.push_back(std::move(row));
  ++rows_taken_;
}

void Store::declare_columns(PartitionId first, Table& table) {
  const auto& stored = table.columns.stored();
  if (table.columns_written == stored.size()) return;
  for (size_t i = table.columns_written; i < stored.size(); ++i) {
    statements_.push_back("ALTER TABLE " + in_storage(table.storage) + " ADD COLUMN " + stored[i].name + " " +
                          std::string(storage_type(stored[i].kind)));
    statements_.push_back("INSERT INTO " + in_storage("columns") + " VALUES (" + std::to_string(first) + ", " +
                          std::to_string(i) + ", " + quoted_text(table.columns.fields()[stored[i].field].name) + ", " +
                          quoted_text(kind_name(stored[i].kind)) + ")");
  }
  table.columns_written = stored.size();
  declare_view(table);
}

void Store::declare_view(const Table& table) {
  statements_.push_back("CREATE OR REPLACE VIEW " + full_name(table.shown) + " AS " + std::string(kView) +
                        table.columns.select_list() + " FROM " + in_storage(table.storage) + std::string(kAsOf));
}

Result<void> Store::commit(Sequence applied) {
  for (const auto& [first, table] : tables_) declare_columns(first, *table);
  const Result<void> written = write(applied);
  if (!written) {
    close();
    return written;
  }
  statements_.clear();
  trims_.clear();
  rows_taken_ = 0;
  applied_.store(applied, std::memory_order_release);
  return {};
}

Result<void> Store::write(Sequence applied) {
  HEPTANE_TRY(run("BEGIN TRANSACTION"));
  for (const std::string& statement : statements_) HEPTANE_TRY(run(statement));
  for (const auto& [first, table] : tables_) HEPTANE_TRY(write_rows(*table));
  HEPTANE_TRY(write_trims());
  bool news = dirty();
  for (const auto& [first, table] : tables_) {
    if (table->gone_upto == table->gone_written) continue;
    HEPTANE_TRY(run("UPDATE " + in_storage("streams") + " SET gone_upto = " + std::to_string(table->gone_upto) +
                    " WHERE id = " + std::to_string(first)));
    table->gone_written = table->gone_upto;
    news = true;
  }
  HEPTANE_TRY(run("UPDATE " + in_storage("applied") + " SET position = " + std::to_string(applied)));
  // Before anybody can see what it is about: a statement takes it after its snapshot, so it is never older than that.
  if (news) publish();
  return run("COMMIT");
}

Result<void> Store::write_rows(Table& table) {
  if (table.rows.empty()) return {};
  OwnedAppender appender(duckdb_);
  if (duckdb_.appender_create_ext(writer_->get(), nullptr, std::string(kStorageSchema).c_str(), table.storage.c_str(),
                                  appender.out()) != DuckDBSuccess)
    return Error{Errc::io, "the table " + table.storage + " cannot be appended to"};
  RowWriter writer(duckdb_, appender.get());
  std::vector<const FieldValue*> slots;
  for (const TableRow& row : table.rows) writer.write(row, table.columns, slots);
  if (duckdb_.appender_flush(appender.get()) != DuckDBSuccess) {
    return error_of(duckdb_.appender_error(appender.get()));
  }
  table.rows.clear();
  return {};
}

// What the log has let go of.
Result<void> Store::write_trims() {
  for (const Trim& trim : trims_) {
    const std::string where = in_storage(trim.table->storage) + " WHERE partition = " + std::to_string(trim.index) +
                              " AND \"offset\" < " + std::to_string(trim.start);
    Sequence last = 0;
    HEPTANE_TRY(rows("SELECT max(seq) FROM " + where,
                     [&](const std::vector<std::string>& row) { last = number_of<Sequence>(row[0]); }));
    if (last == 0) continue;
    HEPTANE_TRY(run("DELETE FROM " + where));
    trim.table->gone_upto = std::max(trim.table->gone_upto, last);
  }
  return {};
}

Result<void> Store::run(const std::string& statement) {
  OwnedResult result(duckdb_);
  if (duckdb_.query(writer_->get(), statement.c_str(), result.get()) == DuckDBSuccess) return {};
  return error_of(duckdb_.result_error(result.get()));
}

// As text, which every column is cast to.
Result<void> Store::rows(const std::string& query, const EachRow& each) {
  OwnedResult result(duckdb_);
  const std::string as_text = "SELECT CAST(COLUMNS(*) AS VARCHAR) FROM (" + query + ")";
  if (duckdb_.query(writer_->get(), as_text.c_str(), result.get()) != DuckDBSuccess) {
    const char* why = duckdb_.result_error(result.get());
    return Error{Errc::corrupt, failure_of(why == nullptr ? "" : why).message};
  }
  const size_t columns = duckdb_.column_count(result.get());
  for (;;) {
    OwnedChunk chunk(duckdb_);
    chunk.take(duckdb_.fetch_chunk(*result.get()));
    if (chunk.get() == nullptr) return {};
    for (size_t row = 0; row < duckdb_.data_chunk_get_size(chunk.get()); ++row) {
      std::vector<std::string> values(columns);
      for (size_t i = 0; i < columns; ++i) values[i] = text_in(duckdb_, chunk.get(), i, row);
      each(values);
    }
  }
}

void Store::publish() {
  auto next = std::make_shared<Catalog>();
  next->system_views = system_views_;
  for (const auto& [first, table] : tables_) {
    next->by_storage[table->storage] = {table->name, table->shown, table->gone_upto};
    next->by_table[{table->shown.schema, folded(table->shown.table)}] = table->storage;
  }
  const std::lock_guard lock(mutex_);
  catalog_ = std::move(next);
}

std::shared_ptr<const Catalog> Store::catalog() const {
  const std::lock_guard lock(mutex_);
  return catalog_;
}

Result<OwnedConnection> Store::connect() {
  const std::lock_guard lock(mutex_);
  OwnedConnection connection(duckdb_);
  if (database_ == nullptr || duckdb_.connect(database_->get(), connection.out()) != DuckDBSuccess)
    return Error{Errc::closed, "the projection is not open"};
  return connection;
}

}  // namespace heptane::data::sql
