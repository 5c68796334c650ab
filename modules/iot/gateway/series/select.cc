#include "modules/iot/gateway/series/select.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

namespace heptane::iot::series {

namespace {

constexpr int64_t kSecondNs = 1'000'000'000;
constexpr size_t kNodeBytes = 48;  // of an entry of a map beside what is in it

Error wrong(std::string message) { return {Errc::invalid_argument, std::move(message)}; }

Error too_much() {
  return wrong("the answer would be more than 2,000,000 values: ask for less time, fewer series or a LIMIT");
}

Error too_large() {
  return wrong("the answer would take more than 256 MiB: ask for less time, fewer series or a LIMIT");
}

Cell cell_of(const Column& column, size_t i) {
  switch (column.type) {
    case FieldType::real: return column.real(i);
    case FieldType::integer: return static_cast<int64_t>(column.bits[i]);
    case FieldType::unsigned_integer: return column.bits[i];
    case FieldType::boolean: return column.bits[i] != 0;
    case FieldType::text: return column.texts[i];
  }
  return {};
}

double real_of(FieldType type, uint64_t bits) {
  if (type == FieldType::real) return std::bit_cast<double>(bits);
  return type == FieldType::integer ? static_cast<double>(static_cast<int64_t>(bits)) : static_cast<double>(bits);
}

bool less(FieldType type, uint64_t a, uint64_t b) {
  if (type == FieldType::real) return std::bit_cast<double>(a) < std::bit_cast<double>(b);
  return type == FieldType::integer ? static_cast<int64_t>(a) < static_cast<int64_t>(b) : a < b;
}

bool is_number(FieldType type) { return type != FieldType::boolean && type != FieldType::text; }

bool takes_any(Function function) {
  return function == Function::none || function == Function::count || function == Function::first ||
         function == Function::last;
}

// Whose answer is one of the points.
bool chooses(Function function) {
  return function == Function::min || function == Function::max || function == Function::first ||
         function == Function::last || function == Function::percentile;
}

// What is worked out of each window; none: its points themselves (a derivative of them).
Function inner_of(const Selected& selected) {
  return selected.function == Function::derivative ? selected.inner : selected.function;
}

void collect_keys(const Condition& condition, std::set<std::string>& keys) {
  if (condition.kind == Condition::Kind::test) keys.insert(condition.key);
  for (const Condition& part : condition.parts) collect_keys(part, keys);
}

std::string_view function_name(Function function) {
  switch (function) {
    case Function::mean: return "mean";
    case Function::sum: return "sum";
    case Function::min: return "min";
    case Function::max: return "max";
    case Function::percentile: return "percentile";
    case Function::derivative: return "derivative";
    default: return "this";
  }
}

std::string tag_of(const SeriesEntry& series, const std::string& key) {
  for (const auto& [name, value] : series.parts.tags)
    if (name == key) return value;
  return {};
}

// Two columns of one name are told apart by a number.
void name_apart(std::vector<std::string>& columns) {
  std::set<std::string> seen;
  for (std::string& column : columns) {
    const std::string first = column;
    for (int i = 1; !seen.insert(column).second; ++i) column = first + '_' + std::to_string(i);
  }
}

double number_in(const Cell& cell) {
  if (const auto* real = std::get_if<double>(&cell)) return *real;
  if (const auto* whole = std::get_if<int64_t>(&cell)) return static_cast<double>(*whole);
  if (const auto* whole = std::get_if<uint64_t>(&cell)) return static_cast<double>(*whole);
  return 0;
}

// Towards zero; at its ends where 64 bits end.
int64_t whole_of(double number) {
  constexpr double kEnd = 9'223'372'036'854'775'808.0;
  if (number >= kEnd) return std::numeric_limits<int64_t>::max();
  return number <= -kEnd ? std::numeric_limits<int64_t>::min() : static_cast<int64_t>(number);
}

uint64_t natural_of(double number) {
  constexpr double kEnd = 18'446'744'073'709'551'616.0;
  if (number >= kEnd) return std::numeric_limits<uint64_t>::max();
  return number <= 0 ? 0 : static_cast<uint64_t>(number);
}

// A number in the type that the others of the column have.
Cell like(const Cell& other, double number) {
  if (std::holds_alternative<int64_t>(other)) return whole_of(number);
  if (std::holds_alternative<uint64_t>(other)) return natural_of(number);
  return number;
}

bool is_none(const Cell& cell) { return std::holds_alternative<std::monostate>(cell); }
bool is_numeric(const Cell& cell) {
  return std::holds_alternative<double>(cell) || std::holds_alternative<int64_t>(cell) ||
         std::holds_alternative<uint64_t>(cell);
}

// Fills a column's rows between two that have values.
void draw_line(std::vector<std::vector<Cell>>& rows, size_t column, size_t from, size_t to) {
  const double begin = number_in(rows[from][column]);
  const double rise = number_in(rows[to][column]) - begin;
  for (size_t i = from + 1; i < to; ++i) {
    const double share = static_cast<double>(i - from) / static_cast<double>(to - from);
    rows[i][column] = like(rows[to][column], begin + rise * share);
  }
}

}  // namespace

Result<void> AnswerBudget::charge(size_t cells, size_t bytes) {
  if (cells > cells_max_ - used_.cells) return too_much();
  if (bytes > bytes_max_ - used_.bytes) return too_large();
  used_ = {used_.cells + cells, used_.bytes + bytes};
  return {};
}

Result<std::unique_ptr<SelectRun>> SelectRun::begin(const Select& select, const PointSource& source, int64_t now_ns,
                                                    std::shared_ptr<AnswerBudget> budget) {
  std::unique_ptr<SelectRun> run(new SelectRun(select, source, std::move(budget)));
  HEPTANE_TRY(run->plan(now_ns));
  return run;
}

Result<void> SelectRun::plan(int64_t now_ns) {
  if (select_.where) HEPTANE_TRY(compile_patterns(*select_.where));
  range_ = select_.time;
  if (select_.interval_ns > 0 && !select_.has_upper) range_.to = std::min(range_.to, now_ns);
  const std::vector<FieldInfo> fields = source_.fields(select_.source.measurement);
  const auto series = source_.series(select_.source.measurement);
  for (const Selected& selected : select_.columns) {
    if (selected.all)
      plan_all(fields, series);
    else
      HEPTANE_TRY(plan_column(selected, fields));
  }
  if (outputs_.size() > kColumnsMax) return wrong("* would be more than 256 columns: name those that are wanted");
  const bool any = std::any_of(outputs_.begin(), outputs_.end(), [](const Output& one) { return !one.field.empty(); });
  if (any) HEPTANE_TRY(plan_groups(fields));
  group_ = groups_.begin();
  if (group_ != groups_.end()) begin_group();
  return {};
}

Result<void> SelectRun::plan_column(const Selected& selected, const std::vector<FieldInfo>& fields) {
  Output output;
  output.selected = selected;
  const auto found =
      std::find_if(fields.begin(), fields.end(), [&](const FieldInfo& one) { return one.name == selected.field; });
  output.is_tag = found == fields.end();
  if (found != fields.end()) {
    output.field = found->written;
    output.type = found->type;
    for (const Function function : {selected.function, selected.inner})
      if (!takes_any(function) && !is_number(found->type))
        return wrong(std::string(function_name(function)) + "() needs numbers: field " + found->name + " is a " +
                     std::string(type_name(found->type)));
  }
  outputs_.push_back(std::move(output));
  return {};
}

void SelectRun::plan_all(const std::vector<FieldInfo>& fields, const std::vector<const SeriesEntry*>& series) {
  std::map<std::string, Output> all;
  for (const FieldInfo& field : fields) {
    Output& output = all[field.name];
    output.selected.column = output.selected.field = field.name;
    output.field = field.written;
    output.type = field.type;
  }
  for (const SeriesEntry* one : series)
    for (const auto& [key, value] : one->parts.tags) {
      if (is_grouped(key) || all.contains(key)) continue;
      Output& output = all[key];
      output.selected.column = output.selected.field = key;
      output.is_tag = true;
    }
  for (auto& [name, output] : all) outputs_.push_back(std::move(output));
}

bool SelectRun::is_grouped(const std::string& tag) const {
  return select_.by_all_tags || std::find(select_.by_tags.begin(), select_.by_tags.end(), tag) != select_.by_tags.end();
}

Result<void> SelectRun::plan_groups(const std::vector<FieldInfo>& fields) {
  const auto series = source_.series(select_.source.measurement);
  std::set<std::string> tags;
  for (const SeriesEntry* one : series)
    for (const auto& [key, value] : one->parts.tags) tags.insert(key);
  std::set<std::string> asked;
  if (select_.where) collect_keys(*select_.where, asked);
  for (const std::string& key : asked) {
    const bool field = std::any_of(fields.begin(), fields.end(), [&](const FieldInfo& one) { return one.name == key; });
    if (field && !tags.contains(key)) return wrong("conditions on fields are not supported: " + key);
  }
  std::vector<std::string> by(select_.by_tags);
  if (select_.by_all_tags) by.assign(tags.begin(), tags.end());
  for (const SeriesEntry* one : series) {
    if (select_.where && !holds(*select_.where, one->parts.tags)) continue;
    std::vector<std::string> values;
    values.reserve(by.size());
    for (const std::string& key : by) values.push_back(tag_of(*one, key));
    if (!groups_.contains(values)) {
      size_t bytes = sizeof(Group) + kNodeBytes;
      for (size_t i = 0; i < by.size(); ++i) bytes += 3 * sizeof(std::string) + by[i].size() + 2 * values[i].size();
      HEPTANE_TRY(budget_->charge(0, bytes));
    }
    Group& group = groups_[values];
    group.series.push_back(one);
    if (!group.tags.empty() || by.empty()) continue;
    for (size_t i = 0; i < by.size(); ++i) group.tags.emplace_back(by[i], values[i]);
  }
  return {};
}

void SelectRun::begin_group() {
  before_group_ = budget_->used();
  series_at_ = 0;
  output_at_ = 0;
  from_ = range_.from;
  rows_.clear();
  windows_.assign(outputs_.size(), {});
}

// The next field of the next series. False: the group has no more.
bool SelectRun::next_column() {
  from_ = range_.from;
  if (++output_at_ < outputs_.size()) return true;
  output_at_ = 0;
  return ++series_at_ < group_->second.series.size();
}

Result<bool> SelectRun::step() {
  if (group_ == groups_.end()) return false;
  const Output& output = outputs_[output_at_];
  bool more = false;
  if (!output.field.empty() && from_ <= range_.to) {
    const auto piece = source_.points(*group_->second.series[series_at_], output.field, {from_, range_.to});
    if (!piece) return piece.error();
    HEPTANE_TRY(use(*piece));
    more = !piece->last;
    from_ = piece->next_from;
    if (more && enough()) more = false;
  }
  if (more || next_column()) return true;
  HEPTANE_TRY(finish_group());
  if (++group_ == groups_.end()) return false;
  begin_group();
  return true;
}

// With a LIMIT: others are let go.
uint64_t SelectRun::wanted_rows() const {
  return std::min(*select_.limit, uint64_t{kCellsMax}) + std::min(select_.offset, uint64_t{kCellsMax});
}

// All rows that are wanted lie before what comes now.
bool SelectRun::enough() const {
  if (select_.aggregates() || select_.descending || !select_.limit) return false;
  return rows_.size() >= wanted_rows() && from_ > rows_.rbegin()->first.first;
}

Result<void> SelectRun::use(const Piece& piece) {
  if (piece.column.type != outputs_[output_at_].type && !piece.column.empty()) return {};
  return select_.aggregates() ? use_windows(piece.column) : use_raw(piece.column);
}

Result<void> SelectRun::use_raw(const Column& column) {
  for (size_t i = 0; i < column.size(); ++i) {
    const auto [at, made] = rows_.try_emplace({column.times[i], series_at_});
    if (made) HEPTANE_TRY(budget_->charge(outputs_.size(), row_bytes() + kNodeBytes));
    std::vector<Cell>& row = at->second;
    if (made) row.resize(outputs_.size());
    row[output_at_] = cell_of(column, i);
    HEPTANE_TRY(budget_->charge(0, bytes_of_text(row[output_at_])));
    if (select_.limit && rows_.size() > wanted_rows()) let_go();
  }
  return {};
}

// The row that a LIMIT does not want.
void SelectRun::let_go() {
  const auto at = select_.descending ? rows_.begin() : std::prev(rows_.end());
  size_t bytes = row_bytes() + kNodeBytes;
  for (const Cell& cell : at->second) bytes += bytes_of_text(cell);
  budget_->give_back(outputs_.size(), bytes);
  rows_.erase(at);
}

// Where 64 bits end, at the edge.
int64_t SelectRun::window_of(int64_t time) const {
  if (select_.interval_ns == 0) return 0;
  int64_t from_offset = 0;
  if (__builtin_sub_overflow(time, select_.interval_offset_ns % select_.interval_ns, &from_offset)) return time;
  int64_t behind = from_offset % select_.interval_ns;
  if (behind < 0) behind += select_.interval_ns;
  int64_t window = 0;
  return __builtin_sub_overflow(time, behind, &window) ? time : window;
}

// Whether this point is the chosen one of its window, of what has come so far.
bool SelectRun::takes_over(Function function, FieldType type, const Accumulator& before, int64_t time, uint64_t bits) {
  if (before.count == 0) return true;
  switch (function) {
    case Function::first: return time < before.time;
    case Function::last: return time >= before.time;
    case Function::min: return less(type, bits, before.bits) || (bits == before.bits && time < before.time);
    case Function::max: return less(type, before.bits, bits) || (bits == before.bits && time < before.time);
    default: return false;
  }
}

Result<void> SelectRun::take_over(Accumulator& into, const Column& column, size_t i) {
  into.time = column.times[i];
  if (!column.is_text()) {
    into.bits = column.bits[i];
    return {};
  }
  budget_->give_back(0, into.text.size());
  into.text.clear();
  HEPTANE_TRY(budget_->charge(0, column.texts[i].size()));
  into.text = column.texts[i];
  return {};
}

Result<void> SelectRun::use_windows(const Column& column) {
  const Function function = inner_of(outputs_[output_at_].selected);
  const bool holding = function == Function::percentile || function == Function::none;
  if (holding) HEPTANE_TRY(budget_->charge(column.size(), 2 * column.size() * sizeof(Held)));
  Windows& windows = windows_[output_at_];
  for (size_t i = 0; i < column.size(); ++i) {
    const int64_t time = column.times[i];
    const uint64_t bits = column.is_text() ? 0 : column.bits[i];
    const auto [at, made] = windows.try_emplace(window_of(time));
    if (made) HEPTANE_TRY(budget_->charge(0, sizeof(Windows::value_type) + kNodeBytes));
    if (windows.size() > kCellsMax) return too_much();
    Accumulator& into = at->second;
    if (takes_over(function, column.type, into, time, bits)) HEPTANE_TRY(take_over(into, column, i));
    ++into.count;
    into.whole_sum += bits;
    if (!column.is_text()) into.real_sum += real_of(column.type, bits);
    if (holding) into.held.push_back({time, bits});
  }
  return {};
}

Cell SelectRun::result_of(const Output& output, Accumulator& accumulator) const {
  const auto typed = [&](uint64_t bits) -> Cell {
    Column one;
    one.type = output.type;
    one.add(accumulator.time, bits);
    return cell_of(one, 0);
  };
  switch (inner_of(output.selected)) {
    case Function::count: return static_cast<int64_t>(accumulator.count);
    case Function::mean: return accumulator.real_sum / static_cast<double>(accumulator.count);
    case Function::sum:
      return output.type == FieldType::real ? Cell(accumulator.real_sum) : typed(accumulator.whole_sum);
    case Function::percentile: {
      auto& held = accumulator.held;
      std::stable_sort(held.begin(), held.end(),
                       [&](const Held& a, const Held& b) { return less(output.type, a.bits, b.bits); });
      const double place = std::floor(static_cast<double>(held.size()) * output.selected.percent / 100 + 0.5) - 1;
      if (place < 0 || place >= static_cast<double>(held.size())) return {};
      accumulator.time = held[static_cast<size_t>(place)].time;
      return typed(held[static_cast<size_t>(place)].bits);
    }
    default: return output.type == FieldType::text ? Cell(accumulator.text) : typed(accumulator.bits);
  }
}

// What the group was made from goes; what it answers stays charged.
Result<void> SelectRun::finish_group() {
  Table table;
  table.name = select_.source.measurement;
  table.tags = group_->second.tags;
  table.columns.emplace_back("time");
  for (const Output& output : outputs_) table.columns.push_back(output.selected.column);
  name_apart(table.columns);
  if (!select_.aggregates())
    HEPTANE_TRY(finish_raw(table));
  else if (outputs_.front().selected.function == Function::derivative)
    HEPTANE_TRY(finish_derivative(table));
  else
    HEPTANE_TRY(finish_windows(table));
  finish_rows(table);
  rows_.clear();
  windows_.clear();
  size_t bytes = sizeof(Table) + table.rows.size() * bytes_of_row(table.columns.size());
  for (const std::vector<Cell>& row : table.rows)
    for (const Cell& cell : row) bytes += bytes_of_text(cell);
  budget_->reset(before_group_);
  HEPTANE_TRY(budget_->charge(table.rows.size() * table.columns.size(), bytes));
  if (!table.rows.empty()) tables_.push_back(std::move(table));
  return {};
}

Result<void> SelectRun::finish_raw(Table& table) {
  for (auto at = rows_.begin(); at != rows_.end(); at = rows_.erase(at)) {
    std::vector<Cell>& row = table.rows.emplace_back();
    row.reserve(outputs_.size() + 1);
    row.emplace_back(at->first.first);
    for (size_t i = 0; i < outputs_.size(); ++i) {
      const Output& output = outputs_[i];
      std::string tag =
          output.is_tag ? tag_of(*group_->second.series[at->first.second], output.selected.field) : std::string();
      HEPTANE_TRY(budget_->charge(0, tag.size()));
      row.push_back(tag.empty() ? std::move(at->second[i]) : Cell(std::move(tag)));
    }
  }
  return {};
}

Result<void> SelectRun::finish_windows(Table& table) {
  std::set<int64_t> times;
  for (const Windows& windows : windows_)
    for (const auto& [time, accumulator] : windows)
      if (times.insert(time).second) HEPTANE_TRY(budget_->charge(table.columns.size(), kNodeBytes + row_bytes()));
  if (times.empty()) return {};
  table.rows.reserve(times.size());
  for (const int64_t time : times) {
    std::vector<Cell>& row = table.rows.emplace_back();
    row.reserve(table.columns.size());
    row.emplace_back(time);
    for (size_t i = 0; i < outputs_.size(); ++i) {
      const auto found = windows_[i].find(time);
      row.push_back(found == windows_[i].end() ? Cell() : result_of(outputs_[i], found->second));
      HEPTANE_TRY(budget_->charge(0, bytes_of_text(row.back())));
    }
  }
  if (select_.interval_ns > 0) return finish_filled(table);
  const bool chosen = outputs_.size() == 1 && chooses(outputs_.front().selected.function);
  const int64_t bound = select_.has_lower ? range_.from : 0;
  table.rows.front().front() = chosen ? windows_.front().begin()->second.time : bound;
  return {};
}

// Puts the windows in between that no point fell into. What is there is within the range, and its windows among these.
Result<void> SelectRun::finish_filled(Table& table) {
  if (select_.fill == Fill::none) return {};
  const auto time_in = [&](const std::vector<Cell>& row) { return std::get<int64_t>(row.front()); };
  const int64_t first = select_.has_lower ? window_of(range_.from) : time_in(table.rows.front());
  const int64_t last = std::max(window_of(range_.to), time_in(table.rows.back()));
  const uint64_t steps =
      (static_cast<uint64_t>(last) - static_cast<uint64_t>(first)) / static_cast<uint64_t>(select_.interval_ns);
  if (steps >= kCellsMax / table.columns.size()) return too_much();
  const uint64_t count = steps + 1;
  if (count > table.rows.size()) {
    const uint64_t more = count - table.rows.size();
    HEPTANE_TRY(budget_->charge(more * table.columns.size(), more * row_bytes()));
  }
  std::vector<std::vector<Cell>> rows;
  rows.reserve(count);
  size_t at = 0;
  for (uint64_t i = 0; i < count; ++i) {
    const auto time =
        static_cast<int64_t>(static_cast<uint64_t>(first) + i * static_cast<uint64_t>(select_.interval_ns));
    const bool there = at < table.rows.size() && time_in(table.rows[at]) == time;
    std::vector<Cell> row(there ? std::move(table.rows[at++]) : std::vector<Cell>(table.columns.size()));
    row.front() = time;
    rows.push_back(std::move(row));
  }
  table.rows = std::move(rows);
  return fill_gaps(table.rows);
}

Result<void> SelectRun::fill_gaps(std::vector<std::vector<Cell>>& rows) {
  for (size_t column = 1; column <= outputs_.size(); ++column) {
    std::optional<size_t> before;  // the last row with a value
    for (size_t i = 0; i < rows.size(); ++i) {
      const Cell& cell = rows[i][column];
      if (is_none(cell)) {
        HEPTANE_TRY(fill_gap(rows, column, i, before));
        continue;
      }
      if (before && select_.fill == Fill::linear && is_numeric(cell)) draw_line(rows, column, *before, i);
      before = i;
    }
  }
  return {};
}

Result<void> SelectRun::fill_gap(std::vector<std::vector<Cell>>& rows, size_t column, size_t row,
                                 std::optional<size_t> before) {
  const bool counts = outputs_[column - 1].selected.function == Function::count;
  Cell& cell = rows[row][column];
  if (select_.fill == Fill::previous && before) {
    HEPTANE_TRY(budget_->charge(0, bytes_of_text(rows[*before][column])));
    cell = rows[*before][column];
  } else if (select_.fill == Fill::number) {
    cell = counts ? Cell(whole_of(select_.fill_number)) : Cell(select_.fill_number);
  } else if (select_.fill == Fill::null && counts) {
    cell = int64_t{0};
  }
  return {};
}

Result<void> SelectRun::add_derivatives(Table& table, const std::vector<std::pair<int64_t, double>>& points,
                                        int64_t unit_ns) {
  for (size_t i = 1; i < points.size(); ++i) {
    const double elapsed = static_cast<double>(points[i].first) - static_cast<double>(points[i - 1].first);
    if (elapsed <= 0) continue;
    const double change = points[i].second - points[i - 1].second;
    HEPTANE_TRY(budget_->charge(0, row_bytes()));
    table.rows.push_back({Cell(points[i].first), Cell(change / (elapsed / static_cast<double>(unit_ns)))});
  }
  return {};
}

Result<void> SelectRun::finish_derivative(Table& table) {
  const Output& output = outputs_.front();
  std::vector<std::pair<int64_t, double>> points;
  if (output.selected.inner == Function::none) {
    for (const auto& [window, accumulator] : windows_.front())
      for (const Held& held : accumulator.held) points.emplace_back(held.time, real_of(output.type, held.bits));
    std::stable_sort(points.begin(), points.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
    return add_derivatives(table, points, output.selected.unit_ns > 0 ? output.selected.unit_ns : kSecondNs);
  }
  HEPTANE_TRY(finish_windows(table));
  for (const std::vector<Cell>& row : table.rows)
    if (is_numeric(row[1])) points.emplace_back(std::get<int64_t>(row.front()), number_in(row[1]));
  table.rows.clear();
  return add_derivatives(table, points, output.selected.unit_ns > 0 ? output.selected.unit_ns : select_.interval_ns);
}

void SelectRun::finish_rows(Table& table) const {
  if (select_.descending) std::reverse(table.rows.begin(), table.rows.end());
  const auto skip = static_cast<ptrdiff_t>(std::min<uint64_t>(select_.offset, table.rows.size()));
  table.rows.erase(table.rows.begin(), table.rows.begin() + skip);
  if (select_.limit && *select_.limit < table.rows.size()) table.rows.resize(*select_.limit);
}

}  // namespace heptane::iot::series
