// A SELECT over the points of a source, step by step, so that who runs it stays in charge: a step looks at one piece of one field of one
// series. What it makes is charged to a budget; what would be more is an error that says how to ask for less. Pure; one owner.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "kernel/base/result.h"
#include "modules/iot/gateway/series/column.h"
#include "modules/iot/gateway/series/influxql.h"

namespace heptane::iot::series {

constexpr size_t kCellsMax =
    2'000'000;  // of the answers to one request, and values that a percentile or a derivative holds
constexpr size_t kAnswerBytesMax = size_t{256} << 20;  // in memory: of those answers and of what they are made from

// What the answers to one request may take: charged when a window, a row or a text is made. One owner at a time.
class AnswerBudget {
 public:
  struct Used {
    size_t cells = 0;
    size_t bytes = 0;
  };
  explicit AnswerBudget(size_t cells_max = kCellsMax, size_t bytes_max = kAnswerBytesMax)
      : cells_max_(cells_max), bytes_max_(bytes_max) {}
  // Error: there is not so much left, and nothing is charged.
  Result<void> charge(size_t cells, size_t bytes);
  void give_back(size_t cells, size_t bytes) { used_ = {used_.cells - cells, used_.bytes - bytes}; }
  Used used() const { return used_; }
  void reset(Used used) { used_ = used; }

 private:
  const size_t cells_max_;
  const size_t bytes_max_;
  Used used_;
};

struct SeriesEntry {
  std::string key;
  SeriesParts parts;
};

struct FieldInfo {
  std::string name;     // as people say it
  std::string written;  // as lines have it
  FieldType type = FieldType::real;
};

// Part of what a series has for a field: settled. The rest begins at `next_from`, if there is one.
struct Piece {
  Column column;
  bool last = true;
  int64_t next_from = 0;
};

// Where points are. What it gives stays for the run.
class PointSource {
 public:
  virtual ~PointSource() = default;
  // Sorted by key.
  virtual std::vector<const SeriesEntry*> series(const std::string& measurement) const = 0;
  // Sorted by name.
  virtual std::vector<FieldInfo> fields(const std::string& measurement) const = 0;
  // Error: a file that cannot be read.
  virtual Result<Piece> points(const SeriesEntry& series, const std::string& field_written, TimeRange range) const = 0;
};

using Cell = std::variant<std::monostate, int64_t, double, uint64_t, bool, std::string>;

struct Table {
  std::string name;
  std::vector<std::pair<std::string, std::string>> tags;
  std::vector<std::string> columns;
  std::vector<std::vector<Cell>> rows;  // the first cell of a SELECT's is its time
};

// What a row of so many cells takes, texts aside.
constexpr size_t bytes_of_row(size_t cells) { return sizeof(std::vector<Cell>) + 16 + cells * sizeof(Cell); }
inline size_t bytes_of_text(const Cell& cell) {
  const auto* text = std::get_if<std::string>(&cell);
  return text == nullptr ? 0 : text->size();
}

class SelectRun {
 public:
  // Error: invalid_argument.
  static Result<std::unique_ptr<SelectRun>> begin(
      const Select& select, const PointSource& source, int64_t now_ns,
      std::shared_ptr<AnswerBudget> budget = std::make_shared<AnswerBudget>());
  // True: there is more to do. Error: the query is answered with it.
  Result<bool> step();
  std::vector<Table> take() { return std::move(tables_); }

 private:
  struct Output {  // a column of the answer
    Selected selected;
    std::string field;  // as lines have it; empty: there is no such field
    FieldType type = FieldType::real;
    bool is_tag = false;
  };
  struct Held {  // a value that a percentile or a derivative needs
    int64_t time = 0;
    uint64_t bits = 0;
  };
  struct Accumulator {
    uint64_t count = 0;
    double real_sum = 0;
    uint64_t whole_sum = 0;
    int64_t time = 0;  // of the chosen point
    uint64_t bits = 0;
    std::string text;
    std::vector<Held> held;
  };
  using Windows = std::map<int64_t, Accumulator>;
  using RowKey = std::pair<int64_t, size_t>;  // time, series
  struct Group {
    std::vector<std::pair<std::string, std::string>> tags;
    std::vector<const SeriesEntry*> series;
  };

  SelectRun(const Select& select, const PointSource& source, std::shared_ptr<AnswerBudget> budget)
      : select_(select), source_(source), budget_(std::move(budget)) {}
  Result<void> plan(int64_t now_ns);
  Result<void> plan_column(const Selected& selected, const std::vector<FieldInfo>& fields);
  void plan_all(const std::vector<FieldInfo>& fields, const std::vector<const SeriesEntry*>& series);
  Result<void> plan_groups(const std::vector<FieldInfo>& fields);
  bool is_grouped(const std::string& tag) const;
  bool next_column();
  void begin_group();
  Result<void> use(const Piece& piece);
  Result<void> use_raw(const Column& column);
  void let_go();
  Result<void> use_windows(const Column& column);
  static bool takes_over(Function function, FieldType type, const Accumulator& before, int64_t time, uint64_t bits);
  bool enough() const;
  uint64_t wanted_rows() const;
  size_t row_bytes() const { return bytes_of_row(outputs_.size() + 1); }
  Result<void> take_over(Accumulator& into, const Column& column, size_t i);
  Result<void> finish_group();
  Result<void> finish_raw(Table& table);
  Result<void> finish_windows(Table& table);
  Result<void> finish_filled(Table& table);
  Result<void> finish_derivative(Table& table);
  Result<void> add_derivatives(Table& table, const std::vector<std::pair<int64_t, double>>& points, int64_t unit_ns);
  void finish_rows(Table& table) const;
  Result<void> fill_gaps(std::vector<std::vector<Cell>>& rows);
  Result<void> fill_gap(std::vector<std::vector<Cell>>& rows, size_t column, size_t row, std::optional<size_t> before);
  int64_t window_of(int64_t time) const;
  Cell result_of(const Output& output, Accumulator& accumulator) const;

  const Select select_;
  const PointSource& source_;
  const std::shared_ptr<AnswerBudget> budget_;
  AnswerBudget::Used before_group_;
  TimeRange range_;
  std::vector<Output> outputs_;
  std::map<std::vector<std::string>, Group> groups_;
  std::map<std::vector<std::string>, Group>::iterator group_;
  size_t series_at_ = 0;
  size_t output_at_ = 0;
  int64_t from_ = 0;
  std::map<RowKey, std::vector<Cell>> rows_;
  std::vector<Windows> windows_;  // by output
  std::vector<Table> tables_;
};

}  // namespace heptane::iot::series
