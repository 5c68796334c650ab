// A chunk of DuckDB's as Rows, and which of its types is which of ours. One thread's.
#pragma once

#include "modules/data/domain/sql/engine.h"
#include "modules/data/worker/sql/duckdb_library.h"

namespace heptane::data::sql {

// How values of a column lie in a chunk.
struct ColumnForm {
  duckdb_type type = DUCKDB_TYPE_VARCHAR;
  duckdb_type decimal = DUCKDB_TYPE_INVALID;  // what a decimal lies in
};

// nullopt: a type that is shown as text, which DuckDB must make of it.
std::optional<Column> column_of(const DuckDb& duckdb, duckdb_logical_type type);
ColumnForm form_of(const DuckDb& duckdb, duckdb_logical_type type);

class ChunkRows final : public Rows {
 public:
  // `keep` holds what the chunk lies in: the statement may have ended meanwhile.
  ChunkRows(const DuckDb& duckdb, OwnedChunk chunk, std::vector<ColumnForm> forms, std::shared_ptr<const void> keep);
  size_t size() const override { return size_; }
  bool is_null(size_t column, size_t row) const override;
  int64_t integer(size_t column, size_t row) const override;
  double real(size_t column, size_t row) const override;
  __int128 wide(size_t column, size_t row) const override;
  std::string_view text(size_t column, size_t row) const override;

 private:
  template <class T>
  T at(size_t column, size_t row) const {
    return static_cast<const T*>(data_[column])[row];
  }

  const DuckDb& duckdb_;
  const std::shared_ptr<const void> keep_;
  OwnedChunk chunk_;
  const std::vector<ColumnForm> forms_;
  size_t size_ = 0;
  std::vector<const void*> data_;
  std::vector<uint64_t*> validity_;
  mutable std::vector<std::string> made_;  // texts that are not in the chunk
};

}  // namespace heptane::data::sql
