#include "modules/data/worker/sql/failures.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "kernel/net/http/json.h"

namespace heptane::data::sql {

namespace {

struct Code {
  std::string_view type;   // what stands before ` Error: `
  std::string_view words;  // in the message
  std::string_view sqlstate;
};
// The first that fits; empty words fit all.
constexpr std::array kCodes = {
    Code{"Parser", "", "42601"},
    Code{"Syntax", "", "42601"},
    Code{"Binder", "Referenced column", "42703"},
    Code{"Binder", "does not have a column named", "42703"},
    Code{"Binder", "No function matches", "42883"},
    Code{"Binder", "Ambiguous", "42702"},
    Code{"Binder", "", "42000"},
    Code{"Catalog", "Function with name", "42883"},
    Code{"Catalog", "Type with name", "42704"},
    Code{"Catalog", "configuration parameter", "42704"},
    Code{"Catalog", "", "42P01"},
    Code{"Conversion", "", "22P02"},
    Code{"Invalid Input", "Expected ", "08P01"},
    Code{"Invalid Input", "", "22023"},
    Code{"Invalid type", "", "42804"},
    Code{"Invalid Type", "", "42804"},
    Code{"Mismatch Type", "", "42804"},
    Code{"Out of Range", "", "22003"},
    Code{"Divide by Zero", "", "22012"},
    Code{"Decimal", "", "22003"},
    Code{"Out of Memory", "", "53200"},
    Code{"INTERRUPT", "", "57014"},
    Code{"Not implemented", "", "0A000"},
    Code{"Permission", "", "42501"},
    Code{"Parameter Not Allowed", "", "42P02"},
    Code{"Parameter Not Resolved", "", "42P18"},
    Code{"TransactionContext", "", "25006"},
    Code{"IO", "", "58030"},
    Code{"FATAL", "", "58030"},
};

std::string_view code_of(std::string_view type, std::string_view message) {
  for (const Code& code : kCodes)
    if (code.type == type && message.find(code.words) != std::string_view::npos) return code.sqlstate;
  return "XX000";
}

// What it guesses may be a name that is not for everybody.
std::string without_guesses(std::string_view message) {
  std::string out(message.substr(0, message.find("\nDid you mean")));
  while (out.ends_with('\n')) out.pop_back();
  return out;
}

// `LINE 2: text` and a caret below: the character from 1; 0 where it shows a part of the line alone.
uint32_t position_of(std::string_view place, std::string_view statement) {
  constexpr std::string_view kLine = "LINE ";
  const size_t colon = place.find(": ");
  const size_t caret = place.find("^");
  const size_t begins = place.find('\n');
  if (!place.starts_with(kLine) || colon == std::string_view::npos || caret == std::string_view::npos ||
      begins == std::string_view::npos || begins > caret || place.substr(colon + 2, 3) == "...")
    return 0;
  const size_t column = caret - begins - 1;
  size_t line = 0;
  std::from_chars(place.data() + kLine.size(), place.data() + colon, line);
  size_t at = 0;
  for (; line > 1 && at != std::string_view::npos; --line) at = statement.find('\n', at) + 1;
  return column < colon + 2 ? 0 : static_cast<uint32_t>(at + column - (colon + 2) + 1);
}

std::string_view text_of(const http::JsonValue& root, std::string_view name) {
  const std::optional<http::JsonValue> value = root.find(name);
  return value ? value->text() : std::string_view();
}

}  // namespace

Failure failure(std::string_view sqlstate, std::string message, std::string hint, uint32_t position) {
  Failure failure;
  std::copy_n(sqlstate.begin(), std::min<size_t>(sqlstate.size(), 5), failure.sqlstate);
  failure.message = std::move(message);
  failure.hint = std::move(hint);
  failure.position = position;
  return failure;
}

Failure failure_of(std::string_view duckdb_error, std::string_view statement) {
  constexpr std::string_view kError = " Error: ";
  const size_t colon = duckdb_error.find(kError);
  std::string_view type;
  if (colon != std::string_view::npos) {
    type = duckdb_error.substr(0, colon);
    duckdb_error.remove_prefix(colon + kError.size());
  }
  uint32_t position = 0;
  if (const size_t place = duckdb_error.find("\n\nLINE "); place != std::string_view::npos) {
    position = position_of(duckdb_error.substr(place + 2), statement);
    duckdb_error = duckdb_error.substr(0, place);
  }
  const std::string_view code = code_of(type, duckdb_error);
  std::string message = without_guesses(duckdb_error);
  std::string hint;
  if (const size_t rest = message.find("\nCandidate"); rest != std::string::npos) {
    hint = message.substr(rest + 1);
    message = without_guesses(message.substr(0, rest));
  }
  return failure(code, std::move(message), std::move(hint), position);
}

Failure failure_of_tree(std::string_view tree, size_t begins_at) {
  const auto document = http::JsonDocument::parse(std::string(tree));
  if (!document) return failure("42601", "the statement cannot be read");
  const http::JsonValue root = (*document)->root();
  const std::string_view type = text_of(root, "error_type");
  if (type == "not implemented")
    return failure("0A000", "only SELECT, WITH, VALUES, FROM, EXPLAIN, DESCRIBE, SHOW and SUMMARIZE are executed here");
  uint32_t position = 0;
  const std::string_view at = text_of(root, "position");
  if (!at.empty() && std::from_chars(at.data(), at.data() + at.size(), position).ec == std::errc())
    position += static_cast<uint32_t>(begins_at) + 1;
  return failure("42601", without_guesses(text_of(root, "error_message")), {}, position);
}

}  // namespace heptane::data::sql
