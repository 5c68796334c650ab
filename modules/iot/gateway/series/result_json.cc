#include "modules/iot/gateway/series/result_json.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <utility>

#include "kernel/net/http/json_writer.h"
#include "modules/iot/gateway/series/time_literal.h"

namespace heptane::iot::series {

namespace {

constexpr size_t kPieceRows = 5'000;
constexpr size_t kPieceBytes = 256 << 10;  // a row more, at most

void append_text(std::string& out, std::string_view text) {
  http::JsonWriter writer;
  writer.text(text);
  std::string quoted = writer.take();
  quoted.pop_back();  // its newline
  out += quoted;
}

template <class T>
void append_number(std::string& out, T number) {
  std::array<char, 32> digits{};
  const auto [end, error] = std::to_chars(digits.data(), digits.data() + digits.size(), number);
  out.append(digits.data(), end);
}

}  // namespace

void ResultWriter::write_cell(std::string& out, const Cell& cell, bool time) const {
  if (const auto* whole = std::get_if<int64_t>(&cell)) {
    if (!time) return append_number(out, *whole);
    if (form_.unit_ns == 0) return append_text(out, rfc3339(*whole));
    return append_number(out, *whole / form_.unit_ns);
  }
  if (const auto* real = std::get_if<double>(&cell)) {
    if (std::isfinite(*real)) return append_number(out, *real);
  } else if (const auto* natural = std::get_if<uint64_t>(&cell)) {
    return append_number(out, *natural);
  } else if (const auto* boolean = std::get_if<bool>(&cell)) {
    out += *boolean ? "true" : "false";
    return;
  } else if (const auto* text = std::get_if<std::string>(&cell)) {
    return append_text(out, *text);
  }
  out += "null";
}

void ResultWriter::write_head(std::string& out, const Table& table) const {
  out += '{';
  if (!table.name.empty()) {
    out += "\"name\":";
    append_text(out, table.name);
    out += ',';
  }
  if (!table.tags.empty()) {
    out += "\"tags\":{";
    for (size_t i = 0; i < table.tags.size(); ++i) {
      if (i > 0) out += ',';
      append_text(out, table.tags[i].first);
      out += ':';
      append_text(out, table.tags[i].second);
    }
    out += "},";
  }
  out += "\"columns\":[";
  for (size_t i = 0; i < table.columns.size(); ++i) {
    if (i > 0) out += ',';
    append_text(out, table.columns[i]);
  }
  out += "],\"values\":[";
}

// Rows of the table at hand; steps to the next one behind its last. How many.
size_t ResultWriter::write_series(std::string& out, size_t most, bool partial_word) {
  const Table& table = answers_[statement_].tables[table_];
  if (row_ == 0 || partial_word) write_head(out, table);
  const bool times = table.columns.front() == "time";
  const size_t until = std::min(table.rows.size(), row_ + most);
  const size_t begin = row_;
  for (; row_ < until && (row_ == begin || out.size() < kPieceBytes); ++row_) {
    if (row_ > (partial_word ? begin : 0)) out += ',';
    out += '[';
    for (size_t i = 0; i < table.rows[row_].size(); ++i) {
      if (i > 0) out += ',';
      write_cell(out, table.rows[row_][i], times && i == 0);
    }
    out += ']';
  }
  const size_t written = row_ - begin;
  const bool whole = row_ == table.rows.size();
  if (whole || partial_word) out += ']';
  if (partial_word && !whole) out += ",\"partial\":true";
  if (whole || partial_word) out += '}';
  if (whole) {
    ++table_;
    row_ = 0;
  }
  return written;
}

void ResultWriter::open_statement(std::string& out) const {
  out += "{\"statement_id\":";
  append_number(out, statement_);
  if (!form_.warning.empty()) {
    out += ",\"messages\":[{\"level\":\"warning\",\"text\":";
    append_text(out, form_.warning);
    out += "}]";
  }
  if (!answers_[statement_].error.empty()) {
    out += ",\"error\":";
    append_text(out, answers_[statement_].error);
  }
}

std::string ResultWriter::next() { return form_.chunk_rows > 0 ? next_chunk() : next_part(); }

// One object: a statement without tables, or up to so many rows of one.
std::string ResultWriter::next_chunk() {
  std::string out = "{\"results\":[";
  const StatementAnswer& answer = answers_[statement_];
  open_statement(out);
  if (!answer.tables.empty()) {
    out += ",\"series\":[";
    write_series(out, form_.chunk_rows, true);
    out += ']';
    if (table_ < answer.tables.size()) out += ",\"partial\":true";
  }
  out += "}]}\n";
  if (table_ >= answer.tables.size()) {
    ++statement_;
    table_ = 0;
  }
  done_ = statement_ == answers_.size();
  return out;
}

// A part of the one object.
std::string ResultWriter::next_part() {
  std::string out;
  if (!std::exchange(begun_, true)) out += "{\"results\":[";
  for (size_t rows = 0; rows < kPieceRows && out.size() < kPieceBytes && statement_ < answers_.size();) {
    const StatementAnswer& answer = answers_[statement_];
    if (table_ == 0 && row_ == 0) {
      if (statement_ > 0) out += ',';
      open_statement(out);
      if (!answer.tables.empty()) out += ",\"series\":[";
    }
    if (table_ < answer.tables.size()) {
      if (row_ == 0 && table_ > 0) out += ',';
      rows += write_series(out, kPieceRows - rows, false) + 1;
      if (table_ < answer.tables.size()) continue;
      out += ']';
    }
    out += '}';
    ++statement_;
    ++rows;
    table_ = 0;
  }
  done_ = statement_ == answers_.size();
  if (done_) out += "]}\n";
  return out;
}

}  // namespace heptane::iot::series
