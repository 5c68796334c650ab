// A SELECT or SHOW over the store, in slices, so that the worker serves others in between. What it answers is charged
// to the request's budget. Made by the I/O thread, then the worker's until it is done.
#pragma once

#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "modules/iot/gateway/series/select.h"
#include "modules/iot/gateway/series/series_store.h"

namespace heptane::iot::series {

class StatementRun {
 public:
  StatementRun(SeriesStore& store, Statement statement, std::string database, int64_t now_ns,
               std::shared_ptr<AnswerBudget> budget)
      : store_(store),
        statement_(std::move(statement)),
        database_(std::move(database)),
        now_ns_(now_ns),
        budget_(std::move(budget)) {}

  // A slice. True: there is more.
  bool run();
  // When it is done: why there is no answer, or the answer.
  const std::string& error() const { return error_; }
  std::vector<Table> take() { return std::move(tables_); }

 private:
  bool begin();
  bool fail(std::string why);
  bool compile();
  std::vector<std::string> shown_measurements() const;
  Result<bool> step_show();
  bool is_left_out() const;
  bool looks_at_series() const;
  Result<void> show_entry(const SeriesEntry& entry);
  Result<void> find(const std::pair<std::string, std::string>& tag);
  Result<void> end_measurement();
  Result<void> add_to_whole(const std::string& text);
  Result<void> show_found(const std::string& measurement);
  Result<void> show_fields(const std::string& measurement);
  Result<bool> add(Table& table, std::vector<Cell> row);
  void keep(Table table);

  SeriesStore& store_;
  const Statement statement_;
  const std::string database_;
  const int64_t now_ns_;
  const std::shared_ptr<AnswerBudget> budget_;
  uint64_t generation_ = 0;
  std::unique_ptr<PointSource> source_;
  std::unique_ptr<SelectRun> select_;
  std::vector<Table> tables_;
  // Of a SHOW: the measurements, and what is known of the one at hand.
  std::vector<std::string> measurements_;
  size_t at_ = 0;
  bool opened_ = false;
  std::vector<const SeriesEntry*> entries_;
  size_t entry_ = 0;
  bool any_ = false;
  std::set<std::pair<std::string, std::string>> found_;  // tags
  size_t found_bytes_ = 0;                               // charged for them
  Table whole_;                                          // of all measurements
  uint64_t passed_ = 0;                                  // rows of the table at hand that OFFSET leaves out
  std::string error_;
};

}  // namespace heptane::iot::series
