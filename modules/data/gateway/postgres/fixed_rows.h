// Rows that are known already, as text: what SHOW and questions about the catalogue are answered with, and what tests have
// for an engine's rows.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "modules/data/domain/sql/engine.h"

namespace heptane::data::postgres {

using TextRow = std::vector<std::optional<std::string>>;

// Columns of text.
inline std::vector<sql::Column> text_columns(const std::vector<std::string>& names) {
  std::vector<sql::Column> columns;
  columns.reserve(names.size());
  for (const std::string& name : names) columns.push_back({name});
  return columns;
}

class FixedRows final : public sql::Rows {
 public:
  explicit FixedRows(std::vector<TextRow> rows) : rows_(std::move(rows)) {}
  size_t size() const override { return rows_.size(); }
  bool is_null(size_t column, size_t row) const override { return !rows_[row][column]; }
  int64_t integer(size_t, size_t) const override { return 0; }
  double real(size_t, size_t) const override { return 0; }
  __int128 wide(size_t, size_t) const override { return 0; }
  std::string_view text(size_t column, size_t row) const override { return *rows_[row][column]; }

 private:
  std::vector<TextRow> rows_;
};

class FixedCursor final : public sql::Cursor {
 public:
  FixedCursor(std::vector<sql::Column> columns, std::vector<TextRow> rows)
      : columns_(std::move(columns)), rows_(std::make_unique<FixedRows>(std::move(rows))) {}
  const std::vector<sql::Column>& columns() const override { return columns_; }
  sql::Outcome<std::unique_ptr<sql::Rows>> next() override {
    return std::unique_ptr<sql::Rows>(std::exchange(rows_, nullptr));
  }

 private:
  std::vector<sql::Column> columns_;
  std::unique_ptr<sql::Rows> rows_;
};

}  // namespace heptane::data::postgres
