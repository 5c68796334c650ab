#include "modules/iot/gateway/series/statement_run.h"

#include <algorithm>
#include <chrono>
#include <set>

namespace heptane::iot::series {

namespace {

constexpr std::chrono::milliseconds kSlice{10};

}  // namespace

bool StatementRun::fail(std::string why) {
  error_ = std::move(why);
  return false;
}

bool StatementRun::run() {
  if (!store_.failed().empty()) return fail(store_.failed());
  if (!select_ && !begin()) return false;
  if (generation_ != store_.generation()) return fail("a database was dropped meanwhile: ask again");
  const auto until = std::chrono::steady_clock::now() + kSlice;
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
    for (const auto* condition : {&statement_.show.where, &statement_.show.with_key})
      if (const auto ready = *condition ? compile_patterns(**condition) : Result<void>(); !ready)
        return fail(ready.error().message);
    show();
    return false;
  }
  auto made = SelectRun::begin(statement_.select, *source_, now_ns_);
  if (!made) return fail(made.error().message);
  select_ = std::move(*made);
  return true;
}

void StatementRun::show() {
  switch (statement_.show.kind) {
    case ShowKind::databases: return;
    case ShowKind::measurements: return show_measurements();
    case ShowKind::series: return show_series();
    default: break;
  }
  for (const std::string& measurement : shown_measurements()) {
    if (statement_.show.kind == ShowKind::tag_keys) show_tag_keys(measurement);
    if (statement_.show.kind == ShowKind::tag_values) show_tag_values(measurement);
    if (statement_.show.kind == ShowKind::field_keys) show_field_keys(measurement);
  }
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

void StatementRun::show_measurements() {
  Table table{"measurements", {}, {"name"}, {}};
  for (const std::string& measurement : shown_measurements())
    if (!statement_.show.where || !shown_series(measurement).empty()) table.rows.push_back({Cell(measurement)});
  keep(std::move(table));
}

void StatementRun::show_series() {
  Table table{"", {}, {"key"}, {}};
  for (const std::string& measurement : shown_measurements())
    for (const SeriesEntry* one : shown_series(measurement)) table.rows.push_back({Cell(one->key)});
  keep(std::move(table));
}

void StatementRun::show_tag_keys(const std::string& measurement) {
  std::set<std::string> keys;
  for (const SeriesEntry* one : shown_series(measurement))
    for (const auto& [key, value] : one->parts.tags) keys.insert(key);
  Table table{measurement, {}, {"tagKey"}, {}};
  for (const std::string& key : keys) table.rows.push_back({Cell(key)});
  keep(std::move(table));
}

void StatementRun::show_tag_values(const std::string& measurement) {
  std::set<std::pair<std::string, std::string>> values;
  for (const SeriesEntry* one : shown_series(measurement))
    for (const auto& tag : one->parts.tags)
      if (key_holds(*statement_.show.with_key, tag.first)) values.insert(tag);
  Table table{measurement, {}, {"key", "value"}, {}};
  for (const auto& [key, value] : values) table.rows.push_back({Cell(key), Cell(value)});
  keep(std::move(table));
}

void StatementRun::show_field_keys(const std::string& measurement) {
  Table table{measurement, {}, {"fieldKey", "fieldType"}, {}};
  for (const FieldInfo& field : source_->fields(measurement))
    table.rows.push_back({Cell(field.name), Cell(std::string(type_name(field.type)))});
  keep(std::move(table));
}

// LIMIT and OFFSET are of each table.
void StatementRun::keep(Table table) {
  const Show& show = statement_.show;
  const auto skip = static_cast<ptrdiff_t>(std::min<uint64_t>(show.offset, table.rows.size()));
  table.rows.erase(table.rows.begin(), table.rows.begin() + skip);
  if (show.limit && *show.limit < table.rows.size()) table.rows.resize(*show.limit);
  if (!table.rows.empty()) tables_.push_back(std::move(table));
}

}  // namespace heptane::iot::series
