// Answers to queries as InfluxDB's HTTP API has them, piece by piece: whole, or as chunks, each an object of its own. Pure; one owner.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "modules/iot/gateway/series/select.h"

namespace heptane::iot::series {

struct StatementAnswer {
  std::string error;
  std::vector<Table> tables;
};

struct AnswerForm {
  int64_t unit_ns = 0;    // of times; 0: as RFC 3339 says
  size_t chunk_rows = 0;  // 0: not chunked
  std::string warning;    // said with every result; empty: none
};

class ResultWriter {
 public:
  ResultWriter(std::vector<StatementAnswer> answers, AnswerForm form) : answers_(std::move(answers)), form_(form) {}
  bool done() const { return done_; }
  // Some thousand rows and 256 KiB at most, but one row.
  std::string next();

 private:
  std::string next_chunk();
  std::string next_part();
  void open_statement(std::string& out) const;
  size_t write_series(std::string& out, size_t most, bool partial_word);
  void write_head(std::string& out, const Table& table) const;
  void write_cell(std::string& out, const Cell& cell, bool time) const;

  std::vector<StatementAnswer> answers_;
  const AnswerForm form_;
  size_t statement_ = 0;
  size_t table_ = 0;
  size_t row_ = 0;
  bool begun_ = false;
  bool done_ = false;
};

}  // namespace heptane::iot::series
