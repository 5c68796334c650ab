#include "modules/data/worker/sql/duckdb_library.h"

#include <dlfcn.h>

#include <filesystem>
#include <mutex>

#include "modules/data/worker/sql/memory_guard.h"

namespace heptane::data::sql {

namespace {

constexpr const char* kName = "libduckdb.so";

// From the program's own directory: as it is built, as tests are, and as it is installed.
constexpr const char* kPlaces[] = {"lib", "../lib", "../../lib", "../lib/heptane"};

struct Symbols {
  void* library = nullptr;
  std::string missing;  // the first one

  template <class Function>
  void find(const char* name, Function& function) {
    void* const symbol = dlsym(library, name);
    if (symbol == nullptr && missing.empty()) missing = name;
    function = reinterpret_cast<Function>(symbol);
  }
};

void find_all(Symbols& symbols, DuckDb& duckdb) {
  symbols.find("duckdb_library_version", duckdb.library_version);
  symbols.find("duckdb_free", duckdb.free);
  symbols.find("duckdb_create_config", duckdb.create_config);
  symbols.find("duckdb_set_config", duckdb.set_config);
  symbols.find("duckdb_destroy_config", duckdb.destroy_config);
  symbols.find("duckdb_open_ext", duckdb.open_ext);
  symbols.find("duckdb_close", duckdb.close);
  symbols.find("duckdb_connect", duckdb.connect);
  symbols.find("duckdb_disconnect", duckdb.disconnect);
  symbols.find("duckdb_interrupt", duckdb.interrupt);
  symbols.find("duckdb_query", duckdb.query);
  symbols.find("duckdb_destroy_result", duckdb.destroy_result);
  symbols.find("duckdb_result_error", duckdb.result_error);
  symbols.find("duckdb_prepare", duckdb.prepare);
  symbols.find("duckdb_prepare_error", duckdb.prepare_error);
  symbols.find("duckdb_destroy_prepare", duckdb.destroy_prepare);
  symbols.find("duckdb_nparams", duckdb.nparams);
  symbols.find("duckdb_param_type", duckdb.param_type);
  symbols.find("duckdb_bind_null", duckdb.bind_null);
  symbols.find("duckdb_bind_boolean", duckdb.bind_boolean);
  symbols.find("duckdb_bind_int64", duckdb.bind_int64);
  symbols.find("duckdb_bind_double", duckdb.bind_double);
  symbols.find("duckdb_bind_varchar_length", duckdb.bind_varchar_length);
  symbols.find("duckdb_bind_blob", duckdb.bind_blob);
  symbols.find("duckdb_bind_date", duckdb.bind_date);
  symbols.find("duckdb_bind_time", duckdb.bind_time);
  symbols.find("duckdb_bind_timestamp", duckdb.bind_timestamp);
  symbols.find("duckdb_bind_timestamp_tz", duckdb.bind_timestamp_tz);
  symbols.find("duckdb_prepared_statement_column_count", duckdb.prepared_statement_column_count);
  symbols.find("duckdb_prepared_statement_column_name", duckdb.prepared_statement_column_name);
  symbols.find("duckdb_prepared_statement_column_logical_type", duckdb.prepared_statement_column_logical_type);
  symbols.find("duckdb_pending_prepared_streaming", duckdb.pending_prepared_streaming);
  symbols.find("duckdb_execute_pending", duckdb.execute_pending);
  symbols.find("duckdb_pending_error", duckdb.pending_error);
  symbols.find("duckdb_destroy_pending", duckdb.destroy_pending);
  symbols.find("duckdb_column_count", duckdb.column_count);
  symbols.find("duckdb_column_logical_type", duckdb.column_logical_type);
  symbols.find("duckdb_fetch_chunk", duckdb.fetch_chunk);
  symbols.find("duckdb_destroy_data_chunk", duckdb.destroy_data_chunk);
  symbols.find("duckdb_data_chunk_get_size", duckdb.data_chunk_get_size);
  symbols.find("duckdb_data_chunk_get_vector", duckdb.data_chunk_get_vector);
  symbols.find("duckdb_vector_get_data", duckdb.vector_get_data);
  symbols.find("duckdb_vector_get_validity", duckdb.vector_get_validity);
  symbols.find("duckdb_validity_row_is_valid", duckdb.validity_row_is_valid);
  symbols.find("duckdb_get_type_id", duckdb.get_type_id);
  symbols.find("duckdb_decimal_width", duckdb.decimal_width);
  symbols.find("duckdb_decimal_scale", duckdb.decimal_scale);
  symbols.find("duckdb_decimal_internal_type", duckdb.decimal_internal_type);
  symbols.find("duckdb_logical_type_get_alias", duckdb.logical_type_get_alias);
  symbols.find("duckdb_destroy_logical_type", duckdb.destroy_logical_type);
  symbols.find("duckdb_get_table_names", duckdb.get_table_names);
  symbols.find("duckdb_get_list_size", duckdb.get_list_size);
  symbols.find("duckdb_get_list_child", duckdb.get_list_child);
  symbols.find("duckdb_get_varchar", duckdb.get_varchar);
  symbols.find("duckdb_destroy_value", duckdb.destroy_value);
  symbols.find("duckdb_appender_create_ext", duckdb.appender_create_ext);
  symbols.find("duckdb_appender_error", duckdb.appender_error);
  symbols.find("duckdb_appender_flush", duckdb.appender_flush);
  symbols.find("duckdb_appender_destroy", duckdb.appender_destroy);
  symbols.find("duckdb_appender_end_row", duckdb.appender_end_row);
  symbols.find("duckdb_append_bool", duckdb.append_bool);
  symbols.find("duckdb_append_int32", duckdb.append_int32);
  symbols.find("duckdb_append_int64", duckdb.append_int64);
  symbols.find("duckdb_append_double", duckdb.append_double);
  symbols.find("duckdb_append_varchar_length", duckdb.append_varchar_length);
  symbols.find("duckdb_append_timestamp", duckdb.append_timestamp);
  symbols.find("duckdb_append_null", duckdb.append_null);
}

Result<const DuckDb*> load(const std::string& path) {
  static DuckDb duckdb;
  std::error_code none;
  if (!std::filesystem::exists(path, none))
    return Error{Errc::not_found, "SQL needs DuckDB's library, and there is no " + path +
                                      ": tools/setup run brings it, or sql.library says where it is"};
  Symbols symbols{dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL), {}};
  if (symbols.library == nullptr)
    return Error{Errc::unsupported, "SQL: DuckDB's library cannot be opened: " + std::string(dlerror())};
  find_all(symbols, duckdb);
  HEPTANE_TRY(MemoryGuard::install(symbols.library));
  if (!symbols.missing.empty()) return Error{Errc::unsupported, "SQL: " + path + " has no function " + symbols.missing};
  if (const std::string version = duckdb.library_version(); version != kDuckDbVersion)
    return Error{Errc::unsupported,
                 "SQL: " + path + " is DuckDB " + version + ", this program needs " + std::string(kDuckDbVersion)};
  return &duckdb;
}

}  // namespace

std::string duckdb_library_path(const std::string& configured) {
  if (!configured.empty()) return configured;
  std::error_code error;
  const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe", error).parent_path();
  for (const char* place : kPlaces)
    if (const auto path = program / place / kName; std::filesystem::exists(path, error)) return path.string();
  return (program / kPlaces[0] / kName).string();
}

Result<const DuckDb*> open_duckdb(const std::string& configured) {
  static std::mutex mutex;
  static const DuckDb* opened = nullptr;
  const std::lock_guard lock(mutex);
  if (opened != nullptr) return opened;
  Result<const DuckDb*> loaded = load(duckdb_library_path(configured));
  if (loaded) opened = *loaded;
  return loaded;
}

std::string take_text(const DuckDb& duckdb, char* text) {
  if (text == nullptr) return {};
  std::string out(text);
  duckdb.free(text);
  return out;
}

}  // namespace heptane::data::sql
