#include "modules/iot/domain/devices/csv.h"

#include <algorithm>

namespace heptane::iot::devices {

namespace {

using Names = std::set<std::string, std::less<>>;

constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
constexpr ThingLimits kCeilings{kThingsCeiling, kAttributesCeiling, kThingBytesCeiling};

Error invalid(std::string why) { return {Errc::invalid_argument, std::move(why)}; }

// One record, byte after byte.
struct Parser {
  std::string_view text;
  size_t at = 0;
  size_t lines = 0;         // ends of lines that were passed
  size_t lines_before = 0;  // of those, before the last quote that opens a cell
  bool open = false;        // its cell did not end

  // The cell's end is at its comma, the end of the line or of the text.
  Result<std::string> quoted() {
    std::string cell;
    lines_before = lines;
    open = true;
    for (++at; at < text.size(); ++at) {
      if (text[at] == '\n') ++lines;
      if (text[at] != '"') {
        cell += text[at];
        continue;
      }
      const bool doubled = at + 1 < text.size() && text[at + 1] == '"';
      if (!doubled) {
        ++at;
        open = false;
        if (!ends()) return invalid("something stands behind a closing quote");
        return cell;
      }
      cell += '"';
      ++at;
    }
    return invalid("a quote is not closed");
  }

  Result<std::string> plain() {
    const size_t begin = at;
    while (!ends()) {
      if (text[at] == '"') return invalid("a quote stands inside of a cell that does not begin with one");
      ++at;
    }
    return std::string(text.substr(begin, at - begin));
  }

  bool ends() const {
    if (at >= text.size() || text[at] == ',' || text[at] == '\n') return true;
    return text[at] == '\r' && (at + 1 >= text.size() || text[at + 1] == '\n');
  }

  Result<std::vector<std::string>> record() {
    std::vector<std::string> cells;
    while (true) {
      Result<std::string> cell = at < text.size() && text[at] == '"' ? quoted() : plain();
      if (!cell) return cell.error();
      cells.push_back(std::move(*cell));
      if (cells.size() > kCsvColumnsMax) return invalid("more than 1,004 columns");
      if (at >= text.size() || text[at] != ',') break;
      ++at;
    }
    end_line();
    return cells;
  }

  void end_line() {
    if (at < text.size() && text[at] == '\r') ++at;
    if (at < text.size()) {
      ++at;
      ++lines;
    }
  }

  // From the rest of a cell that is wrong, behind its record. At a cell's beginning: `begins`.
  void pass_over(bool begins) {
    while (true) {
      if (begins && at < text.size() && text[at] == '"') pass_quoted();
      while (!ends()) ++at;
      if (at >= text.size() || text[at] != ',') return end_line();
      ++at;
      begins = true;
    }
  }

  void pass_quoted() {
    lines_before = lines;
    open = true;
    for (++at; at < text.size(); ++at) {
      if (text[at] == '\n') ++lines;
      if (text[at] != '"') continue;
      const bool doubled = at + 1 < text.size() && text[at + 1] == '"';
      if (doubled) {
        ++at;
        continue;
      }
      ++at;
      open = false;
      return;
    }
  }
};

Names names_of(std::string_view cell) {
  Names names;
  while (!cell.empty()) {
    const size_t end = std::min(cell.find(';'), cell.size());
    if (end > 0) names.emplace(cell.substr(0, end));
    cell.remove_prefix(std::min(end + 1, cell.size()));
  }
  return names;
}

}  // namespace

CsvReader::CsvReader(std::string_view text) : rest_(text) {
  if (rest_.starts_with(kByteOrderMark)) rest_.remove_prefix(kByteOrderMark.size());
}

Result<CsvRecord> CsvReader::next() {
  Parser parser{rest_.substr(0, kCsvLineBytesMax)};
  CsvRecord record;
  record.line = line_;
  Result<std::vector<std::string>> cells = parser.record();
  const bool cut = rest_.size() > kCsvLineBytesMax && parser.at >= kCsvLineBytesMax;
  if (cells && !cut) {
    record.cells = std::move(*cells);
    rest_.remove_prefix(parser.at);
    line_ += parser.lines;
    return record;
  }
  if (cut) parser = Parser{rest_};
  if (!parser.open) parser.pass_over(cut);
  if (parser.open) return open_quote(parser.lines_before);
  rest_.remove_prefix(parser.at);
  line_ += parser.lines;
  if (cut) return invalid("a record of more than 256 KiB");
  return cells.error();
}

// Whatever stands behind it is in the cell.
Error CsvReader::open_quote(size_t lines_before) {
  rest_ = {};
  return invalid("the quote that opens a cell in line " + std::to_string(line_ + lines_before) + " is not closed");
}

Result<std::vector<std::string>> csv_columns(const CsvRecord& head) {
  Names seen;
  for (const std::string& column : head.cells) {
    if (!valid_name(column)) return invalid("a column's name is 1 to 128 of a-z A-Z 0-9 : _ -, this is " + column);
    if (!seen.insert(column).second) return invalid("the column " + column + " is there twice");
  }
  if (seen.find("name") == seen.end()) return invalid("the first line names the columns, and name is not among them");
  return head.cells;
}

Result<Thing> csv_thing(const std::vector<std::string>& columns, const CsvRecord& record) {
  if (record.cells.size() != columns.size())
    return invalid("there are " + std::to_string(record.cells.size()) + " cells for " + std::to_string(columns.size()) +
                   " columns");
  Thing thing;
  for (size_t i = 0; i < columns.size(); ++i) {
    const std::string& cell = record.cells[i];
    if (columns[i] == "name")
      thing.name = cell;
    else if (columns[i] == "type")
      thing.type = cell;
    else if (columns[i] == "tags")
      thing.tags = names_of(cell);
    else if (columns[i] == "groups")
      thing.groups = names_of(cell);
    else if (!cell.empty())
      thing.attributes[columns[i]] = cell;
  }
  std::string wrong = wrong_thing(thing, kCeilings);
  if (!wrong.empty()) return invalid(std::move(wrong));
  return thing;
}

}  // namespace heptane::iot::devices
