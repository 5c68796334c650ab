// Lists of things as people keep them: CSV (RFC 4180) with a head line that says what the columns are. `name` must be there; `type`;
// `tags` and `groups`, separated by semicolons; every other column is an attribute, absent where the cell is empty. A line is a
// thing or an error that names the line. Pure; any thread.
//
// Bounds: kCsvLineBytesMax of a record, kCsvColumnsMax columns. What is wrong is passed over with its whole record, so that lines of
// a quoted cell are never taken for things; a quote that is not closed ends the list.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "kernel/base/result.h"
#include "modules/iot/domain/devices/thing.h"

namespace heptane::iot::devices {

constexpr size_t kCsvLineBytesMax = size_t{256} << 10;
constexpr size_t kCsvColumnsMax = 1'004;

// Takes the next record off `rest`, which counts its lines: quoted cells may go over several. Errors: a quote that is not closed or
// stands inside of a plain cell, a record or a number of columns beyond the bounds.
struct CsvRecord {
  std::vector<std::string> cells;
  size_t line = 0;
};
class CsvReader {
 public:
  explicit CsvReader(std::string_view text);
  bool done() const { return rest_.empty(); }
  size_t line() const { return line_; }  // of the next record, from 1
  Result<CsvRecord> next();              // after an error: behind the record

 private:
  Error open_quote(size_t lines_before);

  std::string_view rest_;
  size_t line_ = 1;
};

// Columns of the head line; an error says what is wrong with it.
Result<std::vector<std::string>> csv_columns(const CsvRecord& head);
// Its ceilings are those of a command; the server's own limits may be narrower.
Result<Thing> csv_thing(const std::vector<std::string>& columns, const CsvRecord& record);

}  // namespace heptane::iot::devices
