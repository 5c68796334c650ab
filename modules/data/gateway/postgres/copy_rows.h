// Rows as COPY ... TO STDOUT sends them in text and CSV: one CopyData message a row (PostgreSQL 15 manual, COPY). Pure.
#pragma once

#include "modules/data/domain/sql/statement.h"
#include "modules/data/gateway/postgres/wire.h"

namespace heptane::data::postgres {

// Its line of column names.
void append_copy_header(MessageWriter& out, const sql::CopyOptions& options, const std::vector<sql::Column>& columns);
void append_copy_row(MessageWriter& out, const sql::CopyOptions& options, const std::vector<sql::Column>& columns,
                     const sql::Rows& rows, size_t row);

}  // namespace heptane::data::postgres
