#include "modules/data/gateway/postgres/execution.h"

#include <algorithm>
#include <utility>

#include "modules/data/gateway/postgres/copy_rows.h"

namespace heptane::data::postgres {

using sql::CopyFormat;
using sql::Failure;

namespace {

// A value, or the failure noted in the step.
template <class T>
std::optional<T> taken(Step& step, sql::Outcome<T>&& outcome) {
  if (auto* failure = std::get_if<Failure>(&outcome)) {
    step.failure = std::move(*failure);
    return std::nullopt;
  }
  return std::move(std::get<T>(outcome));
}

bool cancelled(Step& step) {
  if (!step.cancellation->wanted()) return false;
  step.failure = sql::failure("57014", "canceling statement due to user request");
  return true;
}

bool prepare(Step& step, sql::Connection& connection) {
  Stored& stored = *step.stored;
  if (stored.prepared || stored.question || !stored.is_engines()) return true;
  auto prepared = taken(step, connection.prepare(stored.statement.text));
  if (!prepared) return false;
  if ((*prepared)->columns().size() > kColumnsMax) {
    step.failure = sql::failure("54011", "an answer has at most " + std::to_string(kColumnsMax) + " columns");
  } else if ((*prepared)->parameters().size() > kParametersMax) {
    step.failure = sql::failure("54023", "a statement has at most " + std::to_string(kParametersMax) + " parameters");
  } else {
    stored.prepared = std::move(*prepared);
  }
  return !step.failure;
}

// All there is to know of tables and their columns, as far as the connection may.
std::optional<Catalog> read_catalog(Step& step, sql::Connection& connection) {
  auto prepared = taken(step, connection.prepare(kCatalogQuery));
  if (!prepared) return std::nullopt;
  auto cursor = taken(step, connection.execute(*prepared, {}, std::nullopt, step.portal->limits));
  if (!cursor) return std::nullopt;
  Catalog catalog;
  for (;;) {
    auto rows = taken(step, (*cursor)->next());
    if (!rows) return std::nullopt;
    if (*rows == nullptr) return catalog;
    for (size_t row = 0; row < (*rows)->size(); ++row) catalog.add(**rows, row);
  }
}

bool execute(Step& step, sql::Connection& connection) {
  Portal& portal = *step.portal;
  const Stored& stored = *step.stored;
  if (portal.cursor || portal.ended) return true;
  if (stored.question) {
    const std::optional<Catalog> catalog = read_catalog(step, connection);
    if (!catalog) return false;
    portal.cursor = catalog->answer(*stored.question);
    return true;
  }
  const bool parquet = stored.is_copy() && stored.statement.copy.format == CopyFormat::parquet;
  auto cursor =
      taken(step, parquet ? connection.export_parquet(stored.statement.text, portal.as_of, portal.limits)
                          : connection.execute(stored.prepared, portal.parameters, portal.as_of, portal.limits));
  if (!cursor) return false;
  portal.cursor = std::move(*cursor);
  step.position = portal.cursor->position();
  return true;
}

void begin_copy(Step& step) {
  const sql::CopyOptions& options = step.stored->statement.copy;
  const std::vector<sql::Column>& columns = step.portal->cursor->columns();
  const int16_t format = options.format == CopyFormat::parquet ? kBinaryFormat : kTextFormat;
  ByteWriter& out = step.out.begin(Answer::copy_out);
  out.u8(static_cast<uint8_t>(format));
  out.be(static_cast<int16_t>(columns.size()));
  for (size_t i = 0; i < columns.size(); ++i) out.be(format);
  step.out.end();
  if (options.header && options.format != CopyFormat::parquet) append_copy_header(step.out, options, columns);
}

void append_data_row(Step& step) {
  const Portal& portal = *step.portal;
  const std::vector<sql::Column>& columns = portal.cursor->columns();
  ByteWriter& out = step.out.begin(Answer::data_row);
  out.be(static_cast<int16_t>(columns.size()));
  for (size_t i = 0; i < columns.size(); ++i) {
    const size_t length_at = out.size();
    out.be(int32_t{-1});
    if (portal.rows->is_null(i, portal.row)) continue;
    const bool binary = format_of(portal.formats, i, columns.size()).value_or(kTextFormat) == kBinaryFormat;
    (binary ? append_binary : append_text)(out, columns[i], *portal.rows, i, portal.row);
    store_be(out.at(length_at), static_cast<int32_t>(out.size() - length_at - kLengthBytes));
  }
  step.out.end();
}

void append_row(Step& step) {
  const Portal& portal = *step.portal;
  if (!step.stored->is_copy()) return append_data_row(step);
  const sql::CopyOptions& options = step.stored->statement.copy;
  if (options.format != CopyFormat::parquet)
    return append_copy_row(step.out, options, portal.cursor->columns(), *portal.rows, portal.row);
  step.out.begin(Answer::copy_data).append(portal.rows->text(0, portal.row));
  step.out.end();
}

// Bytes that the next row has at least, before any of them is copied.
bool row_fits(const Step& step) {
  const Portal& portal = *step.portal;
  const std::vector<sql::Column>& columns = portal.cursor->columns();
  size_t bytes = 0;
  for (size_t i = 0; i < columns.size(); ++i) {
    const sql::Type type = columns[i].type;
    const bool varies = type == sql::Type::text || type == sql::Type::json || type == sql::Type::bytea;
    if (varies && !portal.rows->is_null(i, portal.row)) bytes += portal.rows->text(i, portal.row).size();
  }
  return bytes <= kRowBytesMax;
}

// False: there are no more rows, or the next ones did not come.
bool fetch(Step& step) {
  Portal& portal = *step.portal;
  while (!portal.rows || portal.row >= portal.rows->size()) {
    if (cancelled(step)) return false;
    auto rows = taken(step, portal.cursor->next());
    if (!rows) return false;
    portal.rows = std::move(*rows);
    portal.row = 0;
    if (portal.rows == nullptr) {
      portal.ended = true;
      portal.cursor.reset();
      return false;
    }
  }
  return true;
}

void begin_rows(Step& step) {
  Portal& portal = *step.portal;
  if (std::exchange(portal.begun, true)) return;
  if (step.stored->is_copy())
    begin_copy(step);
  else if (step.describe && !portal.cursor->columns().empty())
    step.out.row_description(portal.cursor->columns(), portal.formats);
}

}  // namespace

void Cancellation::begin(std::shared_ptr<sql::Connection> connection) {
  const std::lock_guard lock(mutex_);
  connection_ = std::move(connection);
}

void Cancellation::end() {
  const std::lock_guard lock(mutex_);
  connection_.reset();
  wanted_.store(false, std::memory_order_relaxed);
}

void Cancellation::cancel() {
  const std::lock_guard lock(mutex_);
  if (connection_ == nullptr) return;
  wanted_.store(true, std::memory_order_relaxed);
  connection_->interrupt();
}

std::vector<Oid> Stored::parameter_types() const {
  const size_t known = prepared ? prepared->parameters().size() : 0;
  std::vector<Oid> all(std::max(known, types.size()), kOidText);
  for (size_t i = 0; i < all.size(); ++i) {
    if (i < types.size() && types[i] != 0)
      all[i] = types[i];
    else if (i < known)
      all[i] = oid_of(prepared->parameters()[i]);
  }
  return all;
}

size_t Stored::footprint() const {
  size_t bytes =
      statement.text.size() + statement.name.size() + statement.value.value_or("").size() + types.size() * sizeof(Oid);
  if (prepared) bytes += statement.text.size() + prepared->parameters().size() * sizeof(sql::Type);
  for (const sql::Column& column : result_columns()) bytes += sizeof(column) + column.name.size();
  return bytes;
}

void run(Step& step, sql::Connection& connection) {
  if (cancelled(step)) return;
  if (!std::exchange(step.seat->entitled, true)) connection.set_rights(step.seat->may_read);
  if (!prepare(step, connection) || step.portal == nullptr) return;
  if (cancelled(step) || !execute(step, connection)) return;
  encode(step);
}

void encode(Step& step) {
  Portal& portal = *step.portal;
  if (portal.ended) return;
  begin_rows(step);
  const uint64_t rows_max = step.rows_left;
  for (;;) {
    if (step.out.size() >= kStepBytes) {
      step.end = Step::End::more;
      return;
    }
    if (rows_max != 0 && step.rows_left == 0) {
      step.end = Step::End::suspended;
      return;
    }
    if (!fetch(step)) return;
    if (!row_fits(step)) {
      step.failure = sql::failure("54000", "a row is longer than " + std::to_string(kRowBytesMax) + " bytes");
      return;
    }
    append_row(step);
    ++portal.row;
    ++portal.rows_told;
    if (rows_max != 0) --step.rows_left;
  }
}

}  // namespace heptane::data::postgres
