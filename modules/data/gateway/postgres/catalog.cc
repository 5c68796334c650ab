#include "modules/data/gateway/postgres/catalog.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <map>
#include <utility>

#include "modules/data/domain/sql/lexer.h"
#include "modules/data/gateway/postgres/fixed_rows.h"

namespace heptane::data::postgres {

using sql::Lexer;
using sql::Token;
using sql::TokenKind;

namespace {

constexpr size_t kTokensMax = 2'000;  // of psql's longest question there are 300
constexpr std::string_view kOwner = "heptane";

using Tokens = std::vector<Token>;

Tokens tokens_of(std::string_view text) {
  Tokens tokens;
  Lexer lexer(text);
  for (Token token = lexer.next(); token.kind != TokenKind::end && token.kind != TokenKind::broken;
       token = lexer.next()) {
    if (tokens.size() == kTokensMax) return {};
    tokens.push_back(token);
  }
  return tokens;
}

// The beginning, blanks aside, is this one.
bool begins(const Tokens& tokens, std::string_view beginning) {
  Lexer lexer(beginning);
  size_t at = 0;
  for (Token token = lexer.next(); token.kind != TokenKind::end; token = lexer.next(), ++at)
    if (at >= tokens.size() || sql::lower(tokens[at].text) != sql::lower(token.text)) return false;
  return true;
}

// One item of a select list.
CatalogItem item_of(const Tokens& tokens, size_t begin, size_t end) {
  CatalogItem item;
  if (begin >= end) return item;
  const Token& first = tokens[begin];
  const Token& last = tokens[end - 1];
  if (end - begin >= 2 && tokens[end - 2].is("as")) {
    item.column = item.fact = sql::value_of(last);
  } else if (first.is("case")) {
    item.column = "case";
  } else if (first.kind == TokenKind::string) {
    item.column = "?column?";
    item.text = sql::value_of(first);
  } else if (last.is(')') && !first.is('(')) {
    size_t open = begin;
    while (open < end && !tokens[open].is('(')) ++open;
    item.column = item.fact = open > begin ? sql::value_of(tokens[open - 1]) : "?column?";
  } else if (last.kind == TokenKind::word || last.kind == TokenKind::quoted) {
    item.column = item.fact = sql::value_of(last);
  } else {
    item.column = item.fact = "?column?";
  }
  return item;
}

// Up to the FROM of the outermost SELECT; its place in `tokens`.
size_t read_items(const Tokens& tokens, std::vector<CatalogItem>& items) {
  size_t depth = 0;
  size_t begin = 1;
  for (size_t at = 1; at < tokens.size(); ++at) {
    const Token& token = tokens[at];
    if (token.is('(') || token.is('[')) ++depth;
    if ((token.is(')') || token.is(']')) && depth > 0) --depth;
    const bool ends = depth == 0 && token.is("from");
    if (depth > 0 || (!token.is(',') && !ends)) continue;
    items.push_back(item_of(tokens, begin, at));
    begin = at + 1;
    if (ends) return at;
  }
  return tokens.size();
}

// The string behind `NAME OPERATOR(pg_catalog.~)`.
std::optional<std::string> pattern_for(const Tokens& tokens, size_t at) {
  const bool is_operator = at + 7 < tokens.size() && tokens[at + 1].is("operator") && tokens[at + 5].is('~');
  if (!is_operator || tokens[at + 7].kind != TokenKind::string) return std::nullopt;
  return sql::value_of(tokens[at + 7]);
}

void read_conditions(const Tokens& tokens, size_t from, CatalogQuestion& question) {
  for (size_t at = from; at < tokens.size(); ++at) {
    if (tokens[at].is("relname"))
      if (auto pattern = pattern_for(tokens, at)) question.table = std::move(pattern);
    if (tokens[at].is("nspname"))
      if (auto pattern = pattern_for(tokens, at)) question.schema = std::move(pattern);
    const bool compares = at + 2 < tokens.size() && tokens[at + 1].is('=') && tokens[at + 2].kind == TokenKind::string;
    if ((tokens[at].is("oid") || tokens[at].is("attrelid")) && compares) {
      const std::string text = sql::value_of(tokens[at + 2]);
      uint32_t oid = 0;
      std::from_chars(text.data(), text.data() + text.size(), oid);
      question.oid = oid;
    }
    if (tokens[at].is("relkind") && at + 1 < tokens.size() && tokens[at + 1].is("in")) {
      question.about_tables = false;
      for (size_t kind = at + 2; kind < tokens.size() && !tokens[kind].is(')'); ++kind)
        question.about_tables = question.about_tables || tokens[kind].text == "'r'";
    }
  }
}

// Catalogues that are empty here whatever is asked of them.
bool reads_empty_catalogue(const Tokens& tokens, size_t from) {
  constexpr std::array<std::string_view, 11> kEmpty{
      "pg_policy",       "pg_statistic_ext", "pg_publication",    "pg_inherits", "pg_trigger",   "pg_foreign_table",
      "pg_subscription", "pg_event_trigger", "pg_foreign_server", "pg_cast",     "pg_conversion"};
  for (size_t at = from; at + 3 < tokens.size() && at < from + 12; ++at) {
    if (!tokens[at].is("pg_catalog") || !tokens[at + 1].is('.')) continue;
    const std::string name = sql::value_of(tokens[at + 2]);
    if (std::find(kEmpty.begin(), kEmpty.end(), name) != kEmpty.end()) return true;
  }
  return false;
}

std::optional<CatalogSubject> subject_of(const Tokens& tokens) {
  struct Beginning {
    std::string_view text;
    CatalogSubject subject;
  };
  constexpr std::array<Beginning, 6> kBeginnings{{
      {"SELECT n.nspname as \"Schema\", c.relname as \"Name\", CASE c.relkind", CatalogSubject::tables},
      {"SELECT c.oid, n.nspname, c.relname FROM pg_catalog.pg_class c", CatalogSubject::tables},
      {"SELECT c.relchecks, c.relkind", CatalogSubject::tables},
      {"SELECT a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod)", CatalogSubject::columns},
      {"SELECT n.nspname AS \"Name\", pg_catalog.pg_get_userbyid(n.nspowner)", CatalogSubject::schemas},
      {"SELECT d.datname as \"Name\", pg_catalog.pg_get_userbyid(d.datdba)", CatalogSubject::databases},
  }};
  for (const Beginning& beginning : kBeginnings)
    if (begins(tokens, beginning.text)) return beginning.subject;
  return std::nullopt;
}

using Facts = std::map<std::string, std::optional<std::string>, std::less<>>;

TextRow row_of(const CatalogQuestion& question, const Facts& facts) {
  TextRow row;
  row.reserve(question.items.size());
  for (const CatalogItem& item : question.items) {
    const auto found = facts.find(item.fact);
    if (item.fact.empty())
      row.emplace_back(item.text);
    else
      row.push_back(found == facts.end() ? std::nullopt : found->second);
  }
  return row;
}

bool wanted(const std::optional<std::string>& pattern, std::string_view name) {
  return !pattern || matches_pattern(*pattern, name);
}

// One alternative of a pattern.
bool matches_one(std::string_view pattern, std::string_view name) {
  size_t at = 0;
  size_t star_at = std::string_view::npos;  // the pattern behind the last `.*`
  size_t star_from = 0;                     // and where the name went on then
  for (size_t n = 0; n < name.size() || at < pattern.size();) {
    if (pattern.substr(at).starts_with(".*")) {
      star_at = at += 2;
      star_from = n;
      continue;
    }
    const bool escaped = at + 1 < pattern.size() && pattern[at] == '\\';
    const char c = at < pattern.size() ? pattern[escaped ? at + 1 : at] : '\0';
    if (n < name.size() && at < pattern.size() && (c == name[n] || (c == '.' && !escaped))) {
      at += escaped ? 2 : 1;
      ++n;
    } else if (star_at != std::string_view::npos && star_from < name.size()) {
      at = star_at;
      n = ++star_from;
    } else {
      return false;
    }
  }
  return true;
}

}  // namespace

std::vector<sql::Column> CatalogQuestion::columns() const {
  std::vector<sql::Column> columns;
  columns.reserve(items.size());
  for (const CatalogItem& item : items) columns.push_back({item.column});
  return columns;
}

std::optional<CatalogQuestion> recognise(std::string_view statement) {
  constexpr size_t kLongestBytes = 16 << 10;
  if (statement.size() > kLongestBytes || statement.find("pg_catalog") == std::string_view::npos) return std::nullopt;
  const Tokens tokens = tokens_of(statement);
  if (tokens.empty() || !tokens[0].is("select")) return std::nullopt;
  CatalogQuestion question;
  const size_t from = read_items(tokens, question.items);
  const std::optional<CatalogSubject> subject = subject_of(tokens);
  if (!subject && !reads_empty_catalogue(tokens, from)) return std::nullopt;
  question.subject = subject.value_or(CatalogSubject::nothing);
  if (subject) read_conditions(tokens, from, question);
  return question;
}

uint32_t Catalog::Table::oid() const {
  constexpr uint32_t kFirst = 16'384;  // below it are PostgreSQL's own
  uint32_t hash = 2'166'136'261;       // FNV-1a
  for (const char c : schema + '.' + name) hash = (hash ^ static_cast<unsigned char>(c)) * 16'777'619;
  return kFirst + hash % (1U << 30);
}

void Catalog::add(const sql::Rows& rows, size_t row) {
  add(rows.text(0, row), rows.text(1, row), rows.text(2, row), rows.text(3, row));
}

void Catalog::add(std::string_view schema, std::string_view table, std::string_view column, std::string_view type) {
  if (tables_.empty() || tables_.back().schema != schema || tables_.back().name != table)
    tables_.push_back({std::string(schema), std::string(table), {}});
  tables_.back().columns.push_back({std::string(column), std::string(type)});
}

std::unique_ptr<sql::Cursor> Catalog::answer(const CatalogQuestion& question) const {
  std::vector<TextRow> rows;
  const auto tell = [&](const Facts& facts) { rows.push_back(row_of(question, facts)); };
  if (question.subject == CatalogSubject::databases)
    tell({{"Name", std::string(kOwner)},
          {"Owner", std::string(kOwner)},
          {"Encoding", "UTF8"},
          {"Collate", "C"},
          {"Ctype", "C"},
          {"Locale Provider", "libc"}});
  std::string last_schema;
  for (const Table& table : tables_) {
    if (!wanted(question.schema, table.schema) || !wanted(question.table, table.name)) continue;
    if (question.oid && *question.oid != table.oid()) continue;
    if (question.subject == CatalogSubject::schemas && table.schema != std::exchange(last_schema, table.schema))
      tell({{"Name", table.schema}, {"Owner", std::string(kOwner)}});
    if (question.subject == CatalogSubject::tables && question.about_tables)
      tell({{"Schema", table.schema},
            {"Name", table.name},
            {"Type", "table"},
            {"Owner", std::string(kOwner)},
            {"Persistence", "permanent"},
            {"oid", std::to_string(table.oid())},
            {"nspname", table.schema},
            {"relname", table.name},
            {"relchecks", "0"},
            {"relkind", "r"},
            {"relhasindex", "f"},
            {"relhasrules", "f"},
            {"relhastriggers", "f"},
            {"relrowsecurity", "f"},
            {"relforcerowsecurity", "f"},
            {"relhasoids", "f"},
            {"relispartition", "f"},
            {"reltablespace", "0"},
            {"relpersistence", "p"},
            {"relreplident", "d"}});
    if (question.subject != CatalogSubject::columns) continue;
    for (const Column& column : table.columns)
      tell({{"attname", column.name},
            {"format_type", type_name(column.type)},
            {"attnotnull", "f"},
            {"attidentity", ""},
            {"attgenerated", ""},
            {"attstorage", "p"},
            {"attcompression", ""}});
  }
  return std::make_unique<FixedCursor>(question.columns(), std::move(rows));
}

bool matches_pattern(std::string_view pattern, std::string_view name) {
  if (pattern.starts_with("^(") && pattern.ends_with(")$")) pattern = pattern.substr(2, pattern.size() - 4);
  for (size_t begin = 0;;) {
    size_t end = begin;
    while (end < pattern.size() && pattern[end] != '|') end += pattern[end] == '\\' ? 2 : 1;
    end = std::min(end, pattern.size());
    if (matches_one(pattern.substr(begin, end - begin), name)) return true;
    if (end == pattern.size()) return false;
    begin = end + 1;
  }
}

std::string type_name(std::string_view engine_type) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 17> kNames{
      {{"BOOLEAN", "boolean"},
       {"TINYINT", "smallint"},
       {"SMALLINT", "smallint"},
       {"INTEGER", "integer"},
       {"BIGINT", "bigint"},
       {"UINTEGER", "bigint"},
       {"UBIGINT", "numeric(20,0)"},
       {"HUGEINT", "numeric(38,0)"},
       {"FLOAT", "real"},
       {"DOUBLE", "double precision"},
       {"DATE", "date"},
       {"TIME", "time without time zone"},
       {"TIMESTAMP", "timestamp without time zone"},
       {"TIMESTAMP WITH TIME ZONE", "timestamp with time zone"},
       {"VARCHAR", "text"},
       {"BLOB", "bytea"},
       {"UUID", "uuid"}}};
  const auto* found = std::find_if(kNames.begin(), kNames.end(), [&](const auto& n) { return n.first == engine_type; });
  if (found != kNames.end()) return std::string(found->second);
  const std::string low = sql::lower(engine_type);
  return low.starts_with("decimal") ? "numeric" + low.substr(7) : low;
}

}  // namespace heptane::data::postgres
