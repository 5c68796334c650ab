// What a client's query string is made of: statements between semicolons, each with its AS OF clause taken off and the kind
// of thing it asks for. What is the protocol's own (SET, SHOW, BEGIN ...) is read whole; a query stays text for the engine.
// Pure; total on any bytes. Positions are characters of the query string, from 1, as PostgreSQL tells them.
//
//   SELECT ... AS OF POSITION '0:123'        the last clause of a statement, once
//
// Bounds: kQueryBytesMax of text, kStatementsMax statements in it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "modules/data/domain/sql/engine.h"

namespace heptane::data::sql {

constexpr size_t kQueryBytesMax = size_t{1} << 20;
constexpr size_t kStatementsMax = 256;

enum class StatementKind : uint8_t {
  query,  // the engine's
  empty,  // nothing at all: what a protocol prepares of an empty string
  begin,
  commit,  // also END
  rollback,
  savepoint,    // `name`
  release,      // of the savepoint `name`
  rollback_to,  // the savepoint `name`
  set,          // `name` to `value`; nullopt: its default
  reset,        // `name`; empty: all
  show,         // `name`; empty: all
  discard,
  deallocate,  // `name`; empty: all
  copy,        // to the client; `text` is the query
};

enum class CopyFormat : uint8_t { text, csv, parquet };

struct CopyOptions {
  CopyFormat format = CopyFormat::text;
  bool header = false;
  char delimiter = '\t';
  char quote = '"';
  char escape = '"';
  std::string null_text = "\\N";
  bool force_quote_all = false;
};

struct Statement {
  StatementKind kind = StatementKind::query;
  std::string text;        // for the engine, without what was taken off
  size_t text_offset = 0;  // characters of the query string before it
  bool rewritten = false;  // the text is not the client's any more: positions in it say nothing
  std::string word;        // its first word, in upper case: `SELECT`
  std::string name;
  std::optional<std::string> value;
  bool local = false;       // SET LOCAL
  bool read_write = false;  // BEGIN and SET TRANSACTION that ask for it
  std::optional<uint64_t> as_of;
  CopyOptions copy;
};

// The statements, none for an empty query; or why it is not understood.
std::variant<std::vector<Statement>, Failure> parse_statements(std::string_view query);

// `0:123`; nullopt: it is no position of this process's shard.
std::optional<uint64_t> parse_position(std::string_view text);

// Of a whole query string: characters before a byte.
size_t characters(std::string_view text);

Failure failure(const char* sqlstate, std::string message, std::string hint = {}, size_t position = 0);

}  // namespace heptane::data::sql
