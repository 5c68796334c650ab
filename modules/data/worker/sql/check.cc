#include "modules/data/worker/sql/check.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "kernel/base/ids.h"
#include "modules/data/domain/sql/statement_tree.h"
#include "modules/data/worker/sql/guarded_functions.h"

namespace heptane::data::sql {

namespace {

constexpr std::string_view kSpace = " \t\r\n\f\v";
// What would change something, were it let: the others are not known here.
constexpr std::array<std::string_view, 10> kWriting = {"insert", "update", "delete", "merge",    "create",
                                                       "drop",   "alter",  "copy",   "truncate", "replace"};
// Table functions that read nothing but their arguments.
constexpr std::array<std::string_view, 8> kTableFunctions = {
    "generate_series", "generate_subscripts", "json_each", "json_tree", "range", "repeat", "repeat_row", "unnest"};
// Those that show the catalog, for whoever may read everything in it.
constexpr std::array<std::string_view, 10> kCatalogFunctions = {
    "duckdb_columns", "duckdb_constraints", "duckdb_functions", "duckdb_indexes",   "duckdb_schemas",
    "duckdb_tables",  "duckdb_types",       "duckdb_views",     "duckdb_databases", "pg_timezone_names"};
// Functions that bind what they are given as text, show others' names, or leave something behind.
constexpr std::array<std::string_view, 5> kForbidden = {"write_log", "json_serialize_plan",
                                                        "json_execute_serialized_sql", "nextval", "currval"};
constexpr std::array<std::string_view, 6> kCatalogWords = {
    "pg_get_viewdef", "pg_get_constraintdef", "pg_get_expr", "col_description", "obj_description", "shobj_description"};

template <class List>
bool contains(const List& list, std::string_view word) {
  return std::find(list.begin(), list.end(), word) != list.end();
}

// Behind blanks and comments; those of /* */ nest.
size_t skip_blanks(std::string_view text, size_t at) {
  for (;;) {
    at = std::min(text.find_first_not_of(kSpace, at), text.size());
    if (text.substr(at, 2) == "--") {
      at = std::min(text.find_first_of("\n\r", at), text.size());
    } else if (text.substr(at, 2) == "/*") {
      int depth = 0;
      do {
        if (text.substr(at, 2) == "/*" || text.substr(at, 2) == "*/") {
          depth += text[at] == '/' ? 1 : -1;
          ++at;
        }
        ++at;
      } while (depth > 0 && at < text.size());
    } else {
      return at;
    }
  }
}

size_t word_end(std::string_view text, size_t at) {
  while (at < text.size() && ((text[at] | 32) >= 'a' && (text[at] | 32) <= 'z')) ++at;
  return at;
}

// Words and signs one after another, with blanks alone between them.
class Words {
 public:
  Words(std::string_view text, size_t at) : text_(text), at_(at) { blanks(); }
  bool take(char sign) {
    if (at_ >= text_.size() || text_[at_] != sign) return false;
    ++at_;
    blanks();
    return true;
  }
  // In small letters; empty: there is none.
  std::string word() {
    const size_t begin = at_;
    at_ = word_end(text_, at_);
    const std::string word = folded(text_.substr(begin, at_ - begin));
    blanks();
    return word;
  }
  size_t at() const { return at_; }

 private:
  void blanks() { at_ = std::min(text_.find_first_not_of(kSpace, at_), text_.size()); }
  std::string_view text_;
  size_t at_;
};

// `(ANALYZE, FORMAT json)`, from its parenthesis on. nullopt: it is something else.
struct ExplainOptions {
  bool analyze = false;
  std::string format = "text";
  size_t end = 0;
};
std::optional<ExplainOptions> explain_options(std::string_view text, size_t at) {
  ExplainOptions options;
  Words words(text, at);
  if (!words.take('(')) return std::nullopt;
  do {
    const std::string option = words.word();
    if (option == "analyze") {
      options.analyze = true;
    } else if (option == "format") {
      options.format = words.word();
      if (options.format.empty()) return std::nullopt;
    } else {
      return std::nullopt;
    }
  } while (words.take(','));
  if (!words.take(')')) return std::nullopt;
  options.end = words.at();
  return options;
}

std::string unknown_table(const NamedTable& table) {
  std::string name;
  for (const std::string& part : {table.catalog, table.schema, table.table})
    if (!part.empty()) name += (name.empty() ? "" : ".") + part;
  return "relation \"" + name + "\" does not exist";
}

bool may_be_path(std::string_view name) { return name.find_first_of("./\\:*?[") != std::string_view::npos; }

// `heptane_storage.s17 AS x`, as DuckDB says what a statement reads; empty: another's.
std::string storage_of(std::string_view name) {
  if (name.starts_with("heptane.")) name.remove_prefix(8);
  if (!name.starts_with(kStorageSchema) || name.size() <= kStorageSchema.size() + 1) return {};
  name.remove_prefix(kStorageSchema.size() + 1);
  return std::string(name.substr(0, name.find(' ')));
}

}  // namespace

StatementWords words_of(std::string_view statement) {
  StatementWords words;
  const size_t begin = skip_blanks(statement, 0);
  const size_t end = word_end(statement, begin);
  words.first = statement.substr(begin, end - begin);
  words.query = statement.substr(begin);
  if (folded(words.first) != "explain") return words;
  ExplainOptions options;
  options.end = skip_blanks(statement, end);
  if (const auto written = explain_options(statement, options.end)) {
    options = *written;
  } else if (const size_t word = word_end(statement, options.end);
             folded(statement.substr(options.end, word - options.end)) == "analyze") {
    options.analyze = true;
    options.end = word;
  }
  // Options stand in it always: what follows cannot be taken for them.
  words.prefix = std::string("EXPLAIN (") + (options.analyze ? "ANALYZE, " : "") + "FORMAT " + options.format + ") ";
  words.query = statement.substr(skip_blanks(statement, options.end));
  return words;
}

std::optional<Failure> StatementCheck::check(std::string_view statement, const StatementWords& words) {
  if (statement.size() > kStatementBytesMax)
    return failure("54000", "a statement has at most " + std::to_string(kStatementBytesMax) + " bytes");
  if (statement.find('\0') != std::string_view::npos) return failure("22021", "a statement holds no NUL");
  if (contains(kWriting, folded(words.first)))
    return failure("25006", "SQL only reads here: " + std::string(words.first) + " is not executed",
                   "records are appended over Kafka, MQTT or HTTP");
  if (auto wrong = check_tree(words.query, static_cast<size_t>(words.query.data() - statement.data()))) return wrong;
  return check_storage(words.text());
}

// One text out of DuckDB for one text.
std::optional<Failure> StatementCheck::check_tree(std::string_view query, size_t begins_at) {
  OwnedPrepared prepared(duckdb_);
  OwnedResult result(duckdb_);
  OwnedPending pending(duckdb_);
  if (duckdb_.prepare(connection_, "SELECT json_serialize_sql(CAST($1 AS VARCHAR))", prepared.out()) != DuckDBSuccess ||
      duckdb_.bind_varchar_length(prepared.get(), 1, query.data(), query.size()) != DuckDBSuccess ||
      duckdb_.pending_prepared_streaming(prepared.get(), pending.out()) != DuckDBSuccess ||
      duckdb_.execute_pending(pending.get(), result.get()) != DuckDBSuccess) {
    const char* why = duckdb_.result_error(result.get());
    return failure_of(why == nullptr ? "Parser Error: the statement cannot be read" : why);
  }
  OwnedChunk chunk(duckdb_);
  chunk.take(duckdb_.fetch_chunk(*result.get()));
  if (chunk.get() == nullptr || duckdb_.data_chunk_get_size(chunk.get()) != 1)
    return failure("XX000", "the statement cannot be read");
  const duckdb_vector vector = duckdb_.data_chunk_get_vector(chunk.get(), 0);
  const std::string_view tree = string_of(static_cast<const duckdb_string_t*>(duckdb_.vector_get_data(vector))[0]);
  if (tree.starts_with(R"({"error":true)")) return failure_of_tree(tree, begins_at);
  const NamedThings things = named_things(tree);
  if (things.statements != 1) return failure("42601", "one statement at a time");
  return check_names(things, begins_at);
}

std::optional<Failure> StatementCheck::check_names(const NamedThings& things, size_t begins_at) {
  if (!things.shown.empty())
    if (auto wrong = system_catalog("SHOW")) return wrong;
  if (auto wrong = check_functions(things)) return wrong;
  for (const NamedTable& table : things.tables)
    if (auto wrong = check_table(table, things, begins_at)) return wrong;
  return std::nullopt;
}

std::optional<Failure> StatementCheck::check_functions(const NamedThings& things) {
  for (const std::string& function : things.table_functions) {
    if (contains(kTableFunctions, function)) continue;
    if (!contains(kCatalogFunctions, function))
      return failure("0A000", "the table function " + function + " is not available here");
    if (auto wrong = system_catalog(function)) return wrong;
  }
  for (const std::string& function : things.qualified)
    if (is_guarded(function)) return failure("0A000", "the function " + function + " is called without a schema here");
  for (const std::string& function : things.functions) {
    if (contains(kForbidden, function)) return failure("0A000", "the function " + function + " is not available here");
    if (!contains(kCatalogWords, function)) continue;
    if (auto wrong = system_catalog(function)) return wrong;
  }
  return std::nullopt;
}

std::optional<Failure> StatementCheck::check_table(const NamedTable& table, const NamedThings& things,
                                                   size_t begins_at) {
  if (table.at_clause)
    return failure("0A000", "AT (...) is not available here: AS OF POSITION '0:123' is the last clause of a statement");
  const std::string schema = folded(table.schema);
  const std::string name = folded(table.table);
  const std::string catalog = folded(table.catalog);
  if (schema == kStorageSchema || catalog == kStorageSchema)
    return failure("42P01", unknown_table(table), {}, static_cast<uint32_t>(begins_at + table.position + 1));
  const bool system = catalog_.system_views.contains(name);
  if (catalog.empty() || catalog == "heptane") {
    const auto found = catalog_.by_table.find({schema.empty() ? std::string(kPublicSchema) : schema, name});
    if (found != catalog_.by_table.end()) {
      named_.insert(found->second);
      return std::nullopt;
    }
    if (schema == "heptane_catalog" && (name == "tables" || name == "columns")) {
      uses_catalog_ = true;
      return std::nullopt;
    }
  }
  if (system && (schema.empty() || schema == "pg_catalog" || schema == "information_schema" || schema == "main"))
    return system_catalog(table.table);
  // A name that is a path, too, might be one where the expression does not reach.
  if (catalog.empty() && schema.empty() && things.common.contains(name) && !may_be_path(name)) return std::nullopt;
  return failure("42P01", unknown_table(table), {}, static_cast<uint32_t>(begins_at + table.position + 1));
}

// What it reads, whichever way it came to it. The binder says nothing of a statement with parameters, or of one that is wrong: then
// every table that is named counts, also where a common table expression stands before it. The tree named no others: check_table
// lets pass views, the catalog's, and names of common table expressions that are nothing else.
std::optional<Failure> StatementCheck::check_storage(const std::string& statement) {
  OwnedValue names(duckdb_);
  names.take(duckdb_.get_table_names(connection_, statement.c_str(), true));
  if (names.get() == nullptr) {
    for (const std::string& storage : named_)
      if (auto wrong = check_stream(catalog_.by_storage.at(storage))) return wrong;
    return std::nullopt;
  }
  for (idx_t i = 0; i < duckdb_.get_list_size(names.get()); ++i) {
    OwnedValue name(duckdb_);
    name.take(duckdb_.get_list_child(names.get(), i));
    const std::string read = take_text(duckdb_, duckdb_.get_varchar(name.get()));
    const std::string storage = storage_of(read);
    if (storage.empty()) return failure("42P01", "relation " + read.substr(0, read.find(" AS ")) + " does not exist");
    if ((uses_catalog_ && storage == "streams")) continue;
    const auto found = catalog_.by_storage.find(storage);
    if (found == catalog_.by_storage.end()) return failure("42P01", "relation \"" + storage + "\" does not exist");
    if (auto wrong = check_stream(found->second)) return wrong;
  }
  return std::nullopt;
}

std::optional<Failure> StatementCheck::check_stream(const Catalog::Stream& stream) {
  if (!may_read_(stream.name)) {
    const bool named = stream.table.schema != kPublicSchema;
    return failure("42P01",
                   unknown_table({{}, named ? stream.table.schema : std::string(), stream.table.table, 0, false}));
  }
  if (as_of_ && *as_of_ <= stream.gone_upto)
    return failure("22023", "position " + position_text(0, *as_of_) + " is no longer kept of " + stream.name,
                   "its records are all there from " + position_text(0, stream.gone_upto + 1) + " on");
  return std::nullopt;
}

std::optional<Failure> StatementCheck::system_catalog(std::string_view what) {
  if (reads_everything()) return std::nullopt;
  return failure("42501", std::string(what) + " shows what not everybody may read",
                 "heptane_catalog.tables and heptane_catalog.columns show what you may read");
}

bool StatementCheck::reads_everything() {
  if (!reads_everything_)
    reads_everything_ = std::all_of(catalog_.by_storage.begin(), catalog_.by_storage.end(),
                                    [this](const auto& stream) { return may_read_(stream.second.name); });
  return *reads_everything_;
}

}  // namespace heptane::data::sql
