#include "modules/iot/gateway/series/statement_run.h"

#include <algorithm>
#include <chrono>
#include <set>

namespace heptane::iot::series {

namespace {

constexpr size_t kNodeBytes = 64;  // of an entry of a set beside its texts

}  // namespace

bool StatementRun::fail(std::string why) {
  error_ = std::move(why);
  return false;
}

bool StatementRun::run() {
  if (!store_.failed().empty()) return fail(store_.failed());
  if (!select_ && !begin()) return false;
  if (generation_ != store_.generation()) return fail("a database was dropped meanwhile: ask again");
  const auto until = std::chrono::steady_clock::now() + std::chrono::nanoseconds(store_.query_slice_ns());
  do {
    const Result<bool> more = select_->step();
    if (!more) return fail(more.error().message);
    if (!*more) {
      tables_ = select_->take();
      return false;
    }
  } while (std::chrono::steady_clock::now() < until);
  return true;
}

// True: a SELECT that is to be stepped.
bool StatementRun::begin() {
  generation_ = store_.generation();
  source_ = store_.source(database_);
  if (!source_) return false;
  if (statement_.kind == Statement::Kind::show) {
    if (!compile()) return false;
    show();
    return false;
  }
  auto made = SelectRun::begin(statement_.select, *source_, now_ns_, budget_);
  if (!made) return fail(made.error().message);
  select_ = std::move(*made);
  return true;
}

bool StatementRun::compile() {
  for (const auto* condition : {&statement_.show.where, &statement_.show.with_key}) {
    if (!*condition) continue;
    if (const Result<void> ready = compile_patterns(**condition); !ready) return fail(ready.error().message);
  }
  return true;
}

void StatementRun::show() {
  if (const Result<void> shown = show_some(); !shown) (void)fail(shown.error().message);
}

Result<void> StatementRun::show_some() {
  const ShowKind kind = statement_.show.kind;
  if (kind == ShowKind::measurements) return show_measurements();
  if (kind == ShowKind::series) return show_series();
  for (const std::string& measurement : shown_measurements()) {
    if (kind == ShowKind::tag_keys) HEPTANE_TRY(show_tag_keys(measurement));
    if (kind == ShowKind::tag_values) HEPTANE_TRY(show_tag_values(measurement));
    if (kind == ShowKind::field_keys) HEPTANE_TRY(show_field_keys(measurement));
  }
  return {};
}

std::vector<std::string> StatementRun::shown_measurements() const {
  const std::string& wanted = statement_.show.source.measurement;
  std::vector<std::string> all = store_.measurements(database_);
  if (!wanted.empty()) std::erase_if(all, [&](const std::string& name) { return name != wanted; });
  return all;
}

std::vector<const SeriesEntry*> StatementRun::shown_series(const std::string& measurement) const {
  std::vector<const SeriesEntry*> series = source_->series(measurement);
  if (statement_.show.where)
    std::erase_if(series, [&](const SeriesEntry* one) { return !holds(*statement_.show.where, one->parts.tags); });
  return series;
}

Result<void> StatementRun::show_measurements() {
  Table table{"measurements", {}, {"name"}, {}};
  for (const std::string& measurement : shown_measurements()) {
    if (statement_.show.where && shown_series(measurement).empty()) continue;
    const Result<bool> more = add(table, {Cell(measurement)});
    if (!more) return more.error();
    if (!*more) break;
  }
  keep(std::move(table));
  return {};
}

Result<void> StatementRun::show_series() {
  Table table{"", {}, {"key"}, {}};
  for (const std::string& measurement : shown_measurements())
    for (const SeriesEntry* one : shown_series(measurement)) {
      const Result<bool> more = add(table, {Cell(one->key)});
      if (!more) return more.error();
      if (*more) continue;
      keep(std::move(table));
      return {};
    }
  keep(std::move(table));
  return {};
}

Result<void> StatementRun::show_tag_keys(const std::string& measurement) {
  std::set<std::string> keys;
  for (const SeriesEntry* one : shown_series(measurement))
    for (const auto& [key, value] : one->parts.tags)
      if (keys.insert(key).second) HEPTANE_TRY(budget_->charge(0, kNodeBytes + key.size()));
  Table table{measurement, {}, {"tagKey"}, {}};
  for (const std::string& key : keys) {
    const Result<bool> more = add(table, {Cell(key)});
    if (!more) return more.error();
    if (!*more) break;
  }
  keep(std::move(table));
  return {};
}

Result<void> StatementRun::show_tag_values(const std::string& measurement) {
  std::set<std::pair<std::string, std::string>> values;
  for (const SeriesEntry* one : shown_series(measurement))
    for (const auto& tag : one->parts.tags)
      if (key_holds(*statement_.show.with_key, tag.first) && values.insert(tag).second)
        HEPTANE_TRY(budget_->charge(0, 2 * kNodeBytes + tag.first.size() + tag.second.size()));
  Table table{measurement, {}, {"key", "value"}, {}};
  for (const auto& [key, value] : values) {
    const Result<bool> more = add(table, {Cell(key), Cell(value)});
    if (!more) return more.error();
    if (!*more) break;
  }
  keep(std::move(table));
  return {};
}

Result<void> StatementRun::show_field_keys(const std::string& measurement) {
  Table table{measurement, {}, {"fieldKey", "fieldType"}, {}};
  for (const FieldInfo& field : source_->fields(measurement)) {
    const Result<bool> more = add(table, {Cell(field.name), Cell(std::string(type_name(field.type)))});
    if (!more) return more.error();
    if (!*more) break;
  }
  keep(std::move(table));
  return {};
}

// LIMIT and OFFSET are of each table. False: it has all that is wanted.
Result<bool> StatementRun::add(Table& table, std::vector<Cell> row) {
  const Show& show = statement_.show;
  if (passed_ < show.offset) {
    ++passed_;
    return true;
  }
  size_t bytes = bytes_of_row(row.size());
  for (const Cell& cell : row) bytes += bytes_of_text(cell);
  HEPTANE_TRY(budget_->charge(row.size(), bytes));
  table.rows.push_back(std::move(row));
  return !show.limit || table.rows.size() < *show.limit;
}

void StatementRun::keep(Table table) {
  passed_ = 0;
  if (!table.rows.empty()) tables_.push_back(std::move(table));
}

}  // namespace heptane::iot::series
