// DuckDB's library, opened when SQL is first used: the functions of its C API that are used here, and handles that end by
// themselves. The types are those of duckdb.h; the program is not linked with the library and runs without it.
// Any thread; once opened it stays until the process ends.
#pragma once

#include <duckdb.h>

#include <memory>
#include <string>
#include <type_traits>

#include "kernel/base/result.h"

namespace heptane::data::sql {

constexpr std::string_view kDuckDbVersion = "v1.4.4";

// Named as in duckdb.h without `duckdb_`.
struct DuckDb {
  decltype(&duckdb_library_version) library_version;
  decltype(&duckdb_free) free;
  decltype(&duckdb_create_config) create_config;
  decltype(&duckdb_set_config) set_config;
  decltype(&duckdb_destroy_config) destroy_config;
  decltype(&duckdb_open_ext) open_ext;
  decltype(&duckdb_close) close;
  decltype(&duckdb_connect) connect;
  decltype(&duckdb_disconnect) disconnect;
  decltype(&duckdb_interrupt) interrupt;
  decltype(&duckdb_query) query;
  decltype(&duckdb_destroy_result) destroy_result;
  decltype(&duckdb_result_error) result_error;
  decltype(&duckdb_prepare) prepare;
  decltype(&duckdb_prepare_error) prepare_error;
  decltype(&duckdb_destroy_prepare) destroy_prepare;
  decltype(&duckdb_nparams) nparams;
  decltype(&duckdb_param_type) param_type;
  decltype(&duckdb_bind_null) bind_null;
  decltype(&duckdb_bind_boolean) bind_boolean;
  decltype(&duckdb_bind_int64) bind_int64;
  decltype(&duckdb_bind_double) bind_double;
  decltype(&duckdb_bind_varchar_length) bind_varchar_length;
  decltype(&duckdb_bind_blob) bind_blob;
  decltype(&duckdb_bind_date) bind_date;
  decltype(&duckdb_bind_time) bind_time;
  decltype(&duckdb_bind_timestamp) bind_timestamp;
  decltype(&duckdb_bind_timestamp_tz) bind_timestamp_tz;
  decltype(&duckdb_prepared_statement_column_count) prepared_statement_column_count;
  decltype(&duckdb_prepared_statement_column_name) prepared_statement_column_name;
  decltype(&duckdb_prepared_statement_column_logical_type) prepared_statement_column_logical_type;
  decltype(&duckdb_pending_prepared_streaming) pending_prepared_streaming;
  decltype(&duckdb_execute_pending) execute_pending;
  decltype(&duckdb_pending_error) pending_error;
  decltype(&duckdb_destroy_pending) destroy_pending;
  decltype(&duckdb_column_count) column_count;
  decltype(&duckdb_column_logical_type) column_logical_type;
  decltype(&duckdb_fetch_chunk) fetch_chunk;
  decltype(&duckdb_destroy_data_chunk) destroy_data_chunk;
  decltype(&duckdb_data_chunk_get_size) data_chunk_get_size;
  decltype(&duckdb_data_chunk_get_vector) data_chunk_get_vector;
  decltype(&duckdb_vector_get_data) vector_get_data;
  decltype(&duckdb_vector_get_validity) vector_get_validity;
  decltype(&duckdb_validity_row_is_valid) validity_row_is_valid;
  decltype(&duckdb_get_type_id) get_type_id;
  decltype(&duckdb_decimal_width) decimal_width;
  decltype(&duckdb_decimal_scale) decimal_scale;
  decltype(&duckdb_decimal_internal_type) decimal_internal_type;
  decltype(&duckdb_logical_type_get_alias) logical_type_get_alias;
  decltype(&duckdb_destroy_logical_type) destroy_logical_type;
  decltype(&duckdb_get_table_names) get_table_names;
  decltype(&duckdb_get_list_size) get_list_size;
  decltype(&duckdb_get_list_child) get_list_child;
  decltype(&duckdb_get_varchar) get_varchar;
  decltype(&duckdb_destroy_value) destroy_value;
  decltype(&duckdb_appender_create_ext) appender_create_ext;
  decltype(&duckdb_appender_error) appender_error;
  decltype(&duckdb_appender_flush) appender_flush;
  decltype(&duckdb_appender_destroy) appender_destroy;
  decltype(&duckdb_appender_end_row) appender_end_row;
  decltype(&duckdb_append_bool) append_bool;
  decltype(&duckdb_append_int32) append_int32;
  decltype(&duckdb_append_int64) append_int64;
  decltype(&duckdb_append_double) append_double;
  decltype(&duckdb_append_varchar_length) append_varchar_length;
  decltype(&duckdb_append_timestamp) append_timestamp;
  decltype(&duckdb_append_null) append_null;
};

// The path of the library: `configured`, or beside the program.
std::string duckdb_library_path(const std::string& configured);
// Opens it the first time. Errors: not_found (there is none), unsupported (another version, or a function lacks); the message says
// what to do.
Result<const DuckDb*> open_duckdb(const std::string& configured);

// Handles. `Destroy` is the member of DuckDb that ends one.
template <class Handle, auto Destroy>
class Owned {
 public:
  explicit Owned(const DuckDb& duckdb) : duckdb_(&duckdb) {}
  Owned(Owned&& other) noexcept : duckdb_(other.duckdb_), handle_(other.handle_) { other.handle_ = nullptr; }
  Owned& operator=(Owned&& other) noexcept {
    std::swap(duckdb_, other.duckdb_);
    std::swap(handle_, other.handle_);
    return *this;
  }
  ~Owned() { reset(); }
  void reset() {
    if (handle_ != nullptr) (duckdb_->*Destroy)(&handle_);
    handle_ = nullptr;
  }
  Handle get() const { return handle_; }
  Handle* out() {
    reset();
    return &handle_;
  }
  void take(Handle handle) {
    reset();
    handle_ = handle;
  }

 private:
  const DuckDb* duckdb_;
  Handle handle_ = nullptr;
};

using OwnedDatabase = Owned<duckdb_database, &DuckDb::close>;
using OwnedConnection = Owned<duckdb_connection, &DuckDb::disconnect>;
using OwnedPrepared = Owned<duckdb_prepared_statement, &DuckDb::destroy_prepare>;
using OwnedPending = Owned<duckdb_pending_result, &DuckDb::destroy_pending>;
using OwnedAppender = Owned<duckdb_appender, &DuckDb::appender_destroy>;
using OwnedChunk = Owned<duckdb_data_chunk, &DuckDb::destroy_data_chunk>;
using OwnedType = Owned<duckdb_logical_type, &DuckDb::destroy_logical_type>;
using OwnedValue = Owned<duckdb_value, &DuckDb::destroy_value>;

class OwnedResult {
 public:
  explicit OwnedResult(const DuckDb& duckdb) : duckdb_(&duckdb) {}
  OwnedResult(const OwnedResult&) = delete;
  OwnedResult& operator=(const OwnedResult&) = delete;
  ~OwnedResult() { reset(); }
  void reset() {
    duckdb_->destroy_result(&result_);
    result_ = {};
  }
  duckdb_result* get() { return &result_; }

 private:
  const DuckDb* duckdb_;
  duckdb_result result_{};
};

// A text in a vector: short ones stand in it.
inline std::string_view string_of(const duckdb_string_t& text) {
  constexpr uint32_t kInlined = 12;
  const uint32_t length = text.value.inlined.length;
  return {length <= kInlined ? text.value.inlined.inlined : text.value.pointer.ptr, length};
}

// A text that DuckDB allocated; null becomes empty.
std::string take_text(const DuckDb& duckdb, char* text);

}  // namespace heptane::data::sql
