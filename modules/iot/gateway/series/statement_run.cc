#include "modules/iot/gateway/series/statement_run.h"

#include <algorithm>
#include <chrono>
#include <set>
#include <utility>

namespace heptane::iot::series {

namespace {

constexpr size_t kShownSeries = 1'024;  // of a step
constexpr size_t kNodeBytes = 64;       // of an entry of a set beside its texts

}  // namespace

bool StatementRun::fail(std::string why) {
  error_ = std::move(why);
  return false;
}

bool StatementRun::run() {
  if (!store_.failed().empty()) return fail(store_.failed());
  if (!source_ && !begin()) return false;
  if (generation_ != store_.generation()) return fail("a database was dropped meanwhile: ask again");
  const auto until = std::chrono::steady_clock::now() + std::chrono::nanoseconds(store_.query_slice_ns());
  do {
    const Result<bool> more = select_ ? select_->step() : step_show();
    if (!more) return fail(more.error().message);
    if (*more) continue;
    if (select_) tables_ = select_->take();
    return false;
  } while (std::chrono::steady_clock::now() < until);
  return true;
}

// True: there is something to be stepped.
bool StatementRun::begin() {
  generation_ = store_.generation();
  source_ = store_.source(database_);
  if (!source_) return false;
  if (statement_.kind == Statement::Kind::show) {
    if (!compile()) return false;
    measurements_ = shown_measurements();
    return true;
  }
  auto made = SelectRun::begin(statement_.select, *source_, now_ns_, budget_);
  if (!made) return fail(made.error().message);
  select_ = std::move(*made);
  return true;
}

bool StatementRun::compile() {
  for (const auto* condition : {&statement_.show.where, &statement_.show.with}) {
    if (!*condition) continue;
    if (const Result<void> ready = compile_patterns(**condition); !ready) return fail(ready.error().message);
  }
  return true;
}

std::vector<std::string> StatementRun::shown_measurements() const {
  const std::string& wanted = statement_.show.source.measurement;
  std::vector<std::string> all = store_.measurements(database_);
  if (!wanted.empty()) std::erase_if(all, [&](const std::string& name) { return name != wanted; });
  return all;
}

// Some series of the measurement at hand, or its end. False: that was all.
Result<bool> StatementRun::step_show() {
  if (at_ == measurements_.size()) {
    keep(std::move(whole_));
    return false;
  }
  if (!opened_ && is_left_out()) {
    ++at_;
    return true;
  }
  if (!opened_ && looks_at_series()) entries_ = source_->series(measurements_[at_]);
  if (!std::exchange(opened_, true) && !entries_.empty()) return true;
  for (size_t i = 0; i < kShownSeries && entry_ < entries_.size(); ++i) {
    const SeriesEntry& entry = *entries_[entry_++];
    if (statement_.show.where && !holds(*statement_.show.where, entry.parts.tags)) continue;
    HEPTANE_TRY(show_entry(entry));
  }
  if (entry_ < entries_.size()) return true;
  HEPTANE_TRY(end_measurement());
  entries_.clear();
  found_.clear();
  budget_->give_back(0, std::exchange(found_bytes_, 0));
  entry_ = 0;
  opened_ = any_ = false;
  ++at_;
  return true;
}

// By its name.
bool StatementRun::is_left_out() const {
  const Show& show = statement_.show;
  return show.kind == ShowKind::measurements && show.with && !key_holds(*show.with, measurements_[at_]);
}

bool StatementRun::looks_at_series() const {
  const ShowKind kind = statement_.show.kind;
  if (kind == ShowKind::measurements) return statement_.show.where.has_value();
  return kind != ShowKind::field_keys;
}

// One that the condition lets through.
Result<void> StatementRun::show_entry(const SeriesEntry& entry) {
  any_ = true;
  switch (statement_.show.kind) {
    case ShowKind::measurements: entry_ = entries_.size(); return {};
    case ShowKind::series: return add_to_whole(entry.key);
    case ShowKind::tag_keys:
      for (const auto& [key, value] : entry.parts.tags) HEPTANE_TRY(find({key, {}}));
      return {};
    case ShowKind::tag_values:
      for (const auto& tag : entry.parts.tags)
        if (key_holds(*statement_.show.with, tag.first)) HEPTANE_TRY(find(tag));
      return {};
    default: return {};
  }
}

Result<void> StatementRun::find(const std::pair<std::string, std::string>& tag) {
  if (!found_.insert(tag).second) return {};
  const size_t bytes = 2 * kNodeBytes + tag.first.size() + tag.second.size();
  HEPTANE_TRY(budget_->charge(0, bytes));
  found_bytes_ += bytes;
  return {};
}

Result<void> StatementRun::end_measurement() {
  const std::string& measurement = measurements_[at_];
  switch (statement_.show.kind) {
    case ShowKind::measurements: return any_ || !statement_.show.where ? add_to_whole(measurement) : Result<void>();
    case ShowKind::tag_keys:
    case ShowKind::tag_values: return show_found(measurement);
    case ShowKind::field_keys: return show_fields(measurement);
    default: return {};
  }
}

// A row of the one table there is; with enough of them the rest is not looked at.
Result<void> StatementRun::add_to_whole(const std::string& text) {
  if (whole_.columns.empty()) {
    const bool series = statement_.show.kind == ShowKind::series;
    whole_ = {series ? "" : "measurements", {}, {series ? "key" : "name"}, {}};
  }
  const Result<bool> more = add(whole_, {Cell(text)});
  if (!more) return more.error();
  if (*more) return {};
  entry_ = entries_.size();
  measurements_.resize(at_ + 1);
  return {};
}

Result<void> StatementRun::show_found(const std::string& measurement) {
  const bool values = statement_.show.kind == ShowKind::tag_values;
  Table table{measurement, {}, {}, {}};
  table.columns = values ? std::vector<std::string>{"key", "value"} : std::vector<std::string>{"tagKey"};
  for (const auto& [key, value] : found_) {
    std::vector<Cell> row{Cell(key)};
    if (values) row.emplace_back(value);
    const Result<bool> more = add(table, std::move(row));
    if (!more) return more.error();
    if (!*more) break;
  }
  keep(std::move(table));
  return {};
}

Result<void> StatementRun::show_fields(const std::string& measurement) {
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
