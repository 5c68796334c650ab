// A SELECT or SHOW over the store, in slices, so that the worker serves others in between. Made by the I/O thread, then the worker's
// until it is done.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "modules/iot/gateway/series/select.h"
#include "modules/iot/gateway/series/series_store.h"

namespace heptane::iot::series {

class StatementRun {
 public:
  StatementRun(SeriesStore& store, Statement statement, std::string database, int64_t now_ns)
      : store_(store), statement_(std::move(statement)), database_(std::move(database)), now_ns_(now_ns) {}

  // A slice. True: there is more.
  bool run();
  // When it is done: why there is no answer, or the answer.
  const std::string& error() const { return error_; }
  std::vector<Table> take() { return std::move(tables_); }

 private:
  bool begin();
  bool fail(std::string why);
  void show();
  std::vector<std::string> shown_measurements() const;
  std::vector<const SeriesEntry*> shown_series(const std::string& measurement) const;
  void show_measurements();
  void show_series();
  void show_tag_keys(const std::string& measurement);
  void show_tag_values(const std::string& measurement);
  void show_field_keys(const std::string& measurement);
  void keep(Table table);

  SeriesStore& store_;
  const Statement statement_;
  const std::string database_;
  const int64_t now_ns_;
  uint64_t generation_ = 0;
  std::unique_ptr<PointSource> source_;
  std::unique_ptr<SelectRun> select_;
  std::vector<Table> tables_;
  std::string error_;
};

}  // namespace heptane::iot::series
