#include "modules/data/domain/sql/statement.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>

#include "kernel/base/utf8.h"
#include "modules/data/domain/sql/lexer.h"
#include "modules/data/domain/sql/table_paths.h"

namespace heptane::data::sql {

namespace {

constexpr const char* kSyntax = "42601";
constexpr const char* kUnsupported = "0A000";
constexpr const char* kInvalidParameter = "22023";

// Where one statement stands in the query string.
struct Range {
  size_t begin = 0;
  size_t end = 0;
  bool empty() const { return begin == end; }
};

// Reads one statement; the first error stays.
class StatementParser {
 public:
  StatementParser(std::string_view query, Range range) : query_(query), range_(range) {}

  std::variant<Statement, Failure> parse() {
    rewind();
    const Token first = lexer_.peek();
    statement_.word = upper(first);
    if (first.is("copy"))
      parse_copy();
    else
      parse_other(first);
    if (failure_) return std::move(*failure_);
    return std::move(statement_);
  }

 private:
  static std::string upper(const Token& token) {
    if (token.kind != TokenKind::word) return {};
    std::string text(token.text);
    std::transform(text.begin(), text.end(), text.begin(), [](char c) { return c >= 'a' && c <= 'z' ? c - 32 : c; });
    return text;
  }

  void fail(const char* sqlstate, std::string message, size_t at, std::string hint = {}) {
    if (!failure_)
      failure_ = failure(sqlstate, std::move(message), std::move(hint), characters(query_.substr(0, at)) + 1);
  }
  void unexpected(const Token& token) {
    if (token.kind == TokenKind::end) return fail(kSyntax, "syntax error at end of input", range_.end);
    constexpr size_t kShownBytes = 64;
    std::string_view shown = token.text.substr(0, kShownBytes);
    while (!is_utf8(shown)) shown.remove_suffix(1);
    fail(kSyntax, "syntax error at or near \"" + std::string(shown) + "\"", token.begin);
  }

  void rewind() { lexer_ = Lexer(query_.substr(0, range_.end), range_.begin); }
  bool accept(std::string_view word) {
    if (!lexer_.peek().is(word)) return false;
    lexer_.next();
    return true;
  }
  bool accept(char sign) {
    if (!lexer_.peek().is(sign)) return false;
    lexer_.next();
    return true;
  }
  void expect_end() {
    if (const Token token = lexer_.next(); token.kind != TokenKind::end) unexpected(token);
  }

  // Takes the clause off the end of the range, and sees to it that there is no other one in it.
  void take_as_of(Range& range) {
    std::array<Token, 4> last{};
    size_t end_before = range.begin;  // of what stands before the last four
    size_t clauses = 0;
    size_t clause_at = 0;
    Lexer lexer(query_.substr(0, range.end), range.begin);
    for (Token token = lexer.next(); token.kind != TokenKind::end; token = lexer.next()) {
      if (last[0].kind != TokenKind::end) end_before = last[0].end;
      std::rotate(last.begin(), last.begin() + 1, last.end());
      last[3] = token;
      if (!(last[1].is("as") && last[2].is("of") && last[3].is("position"))) continue;
      ++clauses;
      clause_at = last[1].begin;
    }
    const bool at_end =
        last[0].is("as") && last[1].is("of") && last[2].is("position") && last[3].kind == TokenKind::string;
    if (clauses > (at_end ? 1U : 0U) || (at_end && statement_.as_of))
      return fail(kSyntax, "AS OF POSITION '0:123' is the last clause of a statement, and there is one of it",
                  clause_at);
    if (!at_end) return;
    statement_.as_of = parse_position(value_of(last[3]));
    if (!statement_.as_of)
      return fail(kInvalidParameter, "a position is '0:' and a number, as in AS OF POSITION '0:123'", last[3].begin);
    range.end = end_before;
  }

  void set_text(Range range) {
    statement_.text = query_.substr(range.begin, range.end - range.begin);
    statement_.text_offset = characters(query_.substr(0, range.begin));
    if (const size_t path = find_table_path(statement_.text); path != std::string::npos)
      fail("42501", "a table is named by its stream; files are not read here", range.begin + path,
           "\\dt lists the tables; a name with other signs than letters is written in double quotes.");
  }

  void parse_other(const Token& first) {
    using Kind = StatementKind;
    using Parse = void (StatementParser::*)();
    struct Entry {
      std::string_view word;
      Kind kind;
      Parse parse;
    };
    static constexpr std::array<Entry, 14> kEntries{{
        {"begin", Kind::begin, &StatementParser::parse_begin},
        {"start", Kind::begin, &StatementParser::parse_start},
        {"commit", Kind::commit, &StatementParser::parse_commit},
        {"end", Kind::commit, &StatementParser::parse_commit},
        {"rollback", Kind::rollback, &StatementParser::parse_rollback},
        {"abort", Kind::rollback, &StatementParser::parse_commit},
        {"savepoint", Kind::savepoint, &StatementParser::parse_savepoint},
        {"release", Kind::release, &StatementParser::parse_savepoint},
        {"set", Kind::set, &StatementParser::parse_set},
        {"reset", Kind::reset, &StatementParser::parse_reset},
        {"show", Kind::show, &StatementParser::parse_show},
        {"discard", Kind::discard, &StatementParser::parse_discard},
        {"deallocate", Kind::deallocate, &StatementParser::parse_deallocate},
        {"unlisten", Kind::discard, &StatementParser::parse_unlisten},
    }};
    const auto* entry =
        std::find_if(kEntries.begin(), kEntries.end(), [&](const Entry& known) { return first.is(known.word); });
    if (entry == kEntries.end()) return parse_query();
    statement_.kind = entry->kind;
    lexer_.next();
    (this->*entry->parse)();
  }

  void parse_query() {
    statement_.kind = StatementKind::query;
    take_as_of(range_);
    set_text(range_);
  }

  void parse_modes() {
    Token before;
    for (Token token = lexer_.next(); token.kind != TokenKind::end; token = lexer_.next()) {
      if (token.kind != TokenKind::word && !token.is(',')) return unexpected(token);
      if (before.is("read") && token.is("write")) statement_.read_write = true;
      before = token;
    }
  }
  void parse_begin() {
    if (!accept("work")) accept("transaction");
    parse_modes();
  }
  void parse_start() {
    if (!accept("transaction")) return unexpected(lexer_.peek());
    parse_modes();
  }
  void parse_commit() {
    if (!accept("work")) accept("transaction");
    if (accept("and")) {
      const bool no = accept("no");
      if (!accept("chain")) return unexpected(lexer_.peek());
      if (!no)
        return fail(kUnsupported, "AND CHAIN is not served: begin the next transaction with BEGIN", range_.begin);
    }
    expect_end();
  }
  void parse_rollback() {
    Lexer behind = lexer_;
    if (const Token word = behind.peek(); word.is("work") || word.is("transaction")) behind.next();
    if (!behind.peek().is("to")) return parse_commit();
    behind.next();
    lexer_ = behind;
    statement_.kind = StatementKind::rollback_to;
    parse_savepoint();
  }
  void parse_savepoint() {
    if (statement_.kind != StatementKind::savepoint) accept("savepoint");
    statement_.name = name();
    expect_end();
  }
  void parse_discard() {
    const Token what = lexer_.next();
    if (!what.is("all") && !what.is("plans") && !what.is("sequences") && !what.is("temp") && !what.is("temporary"))
      return unexpected(what);
    statement_.name = lower(what.text);
    expect_end();
  }
  // Nobody can have listened: there is nothing to end.
  void parse_unlisten() {
    statement_.name = "notifications";
    if (!accept('*')) name();
    expect_end();
  }
  void parse_deallocate() {
    accept("prepare");
    if (!accept("all")) statement_.name = name();
    expect_end();
  }

  std::string name() {
    const Token token = lexer_.next();
    if (token.kind != TokenKind::word && token.kind != TokenKind::quoted) unexpected(token);
    return value_of(token);
  }
  // heptane.as_of
  std::string variable() {
    std::string text = lower(name());
    while (!failure_ && accept('.')) text += '.' + lower(name());
    return text;
  }

  void parse_set() {
    const Token word = lexer_.peek();
    if (word.is("session") || word.is("local")) {
      statement_.local = word.is("local");
      lexer_.next();
      if (accept("characteristics")) {
        if (!accept("as") || !lexer_.peek().is("transaction")) return unexpected(lexer_.peek());
      } else if (lexer_.peek().is("authorization")) {
        return fail(kUnsupported, "a session is its user's for as long as it lasts", word.begin);
      }
    }
    if (accept("transaction")) return parse_set_transaction();
    if (accept("time")) return parse_set_time_zone();
    if (accept("names")) return parse_value("client_encoding");
    if (lexer_.peek().is("role")) return fail(kUnsupported, "a session has the rights of its user", word.begin);
    const std::string what = variable();
    if (failure_) return;
    if (!accept('=') && !accept("to")) return unexpected(lexer_.peek());
    parse_value(what);
  }
  void parse_set_transaction() {
    statement_.name = "transaction";
    parse_modes();
  }
  void parse_set_time_zone() {
    if (!accept("zone")) return unexpected(lexer_.peek());
    if (lexer_.peek().is("local")) {
      lexer_.next();
      statement_.name = "timezone";
      return expect_end();
    }
    parse_value("timezone");
  }
  void parse_value(std::string_view what) {
    statement_.name = what;
    if (accept("default")) return expect_end();
    std::string text;
    do {
      const std::string sign = accept('-') ? "-" : "";
      if (sign.empty()) accept('+');
      const Token token = lexer_.next();
      const bool value = token.kind == TokenKind::word || token.kind == TokenKind::quoted ||
                         token.kind == TokenKind::string || token.kind == TokenKind::number;
      if (!value) return unexpected(token);
      text += (text.empty() ? "" : ", ") + sign + value_of(token);
    } while (accept(','));
    expect_end();
    constexpr size_t kValueBytesMax = 1024;
    if (text.size() > kValueBytesMax || !is_utf8(text) || text.find('\0') != std::string::npos)
      return fail(kInvalidParameter, "the value of " + statement_.name + " is too long or no text", range_.begin);
    statement_.value = std::move(text);
  }
  void parse_reset() {
    if (accept("all")) return expect_end();
    parse_named_variable();
  }
  void parse_show() {
    const Token what = lexer_.peek();
    Lexer behind = lexer_;
    behind.next();
    const bool all = what.is("all");
    if (what.is("tables") || what.is("databases") || what.is("schemas") || (all && behind.peek().is("tables")))
      return parse_query();
    if (accept("all")) return expect_end();
    parse_named_variable();
  }
  void parse_named_variable() {
    const std::string first = variable();
    if (first == "time" && accept("zone"))
      statement_.name = "timezone";
    else if (first == "transaction" && accept("isolation") && accept("level"))
      statement_.name = "transaction_isolation";
    else if (first == "session" && accept("authorization"))
      statement_.name = "session_authorization";
    else
      statement_.name = first;
    expect_end();
  }

  // COPY (query) | table [(columns)] TO STDOUT [options]
  void parse_copy() {
    statement_.kind = StatementKind::copy;
    Range whole = range_;
    Range inner;
    lexer_.next();
    const Token source = lexer_.peek();
    if (source.is('(')) {
      inner = parenthesised();
      if (failure_) return;
      take_as_of(inner);
      whole.begin = lexer_.peek().begin;
      take_as_of(whole);
      set_text(inner);
    } else {
      take_as_of(whole);
      parse_copy_table();
    }
    if (failure_) return;
    lexer_ = Lexer(query_.substr(0, whole.end), lexer_.peek().begin);
    parse_copy_target();
  }
  // Behind it afterwards; the range within the parentheses.
  Range parenthesised() {
    const Token open = lexer_.next();
    Range inner{open.end, open.end};
    size_t depth = 1;
    for (;;) {
      const Token token = lexer_.next();
      if (token.kind == TokenKind::end) {
        unexpected(token);
        return inner;
      }
      if (token.is('(')) ++depth;
      if (token.is(')') && --depth == 0) return inner;
      if (inner.begin == open.end && inner.end == open.end) inner.begin = token.begin;
      inner.end = token.end;
    }
  }
  void parse_copy_table() {
    const Token first = lexer_.peek();
    if (first.kind != TokenKind::word && first.kind != TokenKind::quoted) return unexpected(first);
    Token last = lexer_.next();
    while (accept('.')) last = lexer_.next();
    std::string columns = "*";
    const std::string_view table = query_.substr(first.begin, last.end - first.begin);
    if (lexer_.peek().is('(')) {
      const Range list = parenthesised();
      columns = query_.substr(list.begin, list.end - list.begin);
    }
    statement_.text = "SELECT " + columns + " FROM " + std::string(table);
    statement_.rewritten = true;
  }
  void parse_copy_target() {
    const Token direction = lexer_.next();
    if (direction.is("from"))
      return fail("25006", "streams are written by their own protocols; COPY only reads", direction.begin);
    if (!direction.is("to")) return unexpected(direction);
    const Token target = lexer_.next();
    if (!target.is("stdout"))
      return fail("42501", "COPY writes to its client alone: COPY ... TO STDOUT", target.begin,
                  "psql's \\copy writes a file on the client's side.");
    accept("with");
    const bool list = accept('(');
    bool null_set = false;
    while (!failure_ && lexer_.peek().kind != TokenKind::end && !(list && lexer_.peek().is(')'))) {
      parse_copy_option(null_set);
      if (list && !accept(',') && !lexer_.peek().is(')')) return unexpected(lexer_.peek());
    }
    if (failure_) return;
    if (list) lexer_.next();
    expect_end();
    check_copy(null_set, target.begin);
  }
  void check_copy(bool null_set, size_t at) {
    CopyOptions& copy = statement_.copy;
    if (!null_set && copy.format == CopyFormat::csv) copy.null_text.clear();
    if (!delimiter_set_ && copy.format == CopyFormat::csv) copy.delimiter = ',';
    if (!escape_set_) copy.escape = copy.quote;
    const bool line_end = copy.null_text.find_first_of(std::string_view("\r\n\0", 3)) != std::string::npos;
    if (line_end || !is_utf8(copy.null_text)) return fail(kInvalidParameter, "NULL is text without line ends", at);
    if (copy.format == CopyFormat::csv && copy.delimiter == copy.quote)
      fail(kInvalidParameter, "delimiter and quote must be different", at);
  }
  void parse_copy_option(bool& null_set) {
    CopyOptions& copy = statement_.copy;
    const Token option = lexer_.next();
    if (option.is("format")) return set_format(lexer_.next());
    if (option.is("csv") || option.is("binary")) return set_format(option);
    if (option.is("header")) return set_header();
    if (option.is("delimiter") || option.is("delimiters")) {
      delimiter_set_ = true;
      return set_sign(copy.delimiter);
    }
    if (option.is("quote")) return set_sign(copy.quote);
    if (option.is("escape")) {
      escape_set_ = true;
      return set_sign(copy.escape);
    }
    if (option.is("null")) {
      null_set = true;
      accept("as");
      copy.null_text = text_value();
      return;
    }
    if (option.is("encoding")) {
      const std::string encoding = lower(text_value());
      if (encoding != "utf8" && encoding != "utf-8") fail(kUnsupported, "text is UTF-8 here", option.begin);
      return;
    }
    if (option.is("force_quote") || option.is("force")) {
      if (option.is("force") && !accept("quote")) return unexpected(lexer_.peek());
      if (!accept('*')) return fail(kUnsupported, "FORCE_QUOTE is served for all columns: FORCE_QUOTE *", option.begin);
      copy.force_quote_all = true;
      return;
    }
    unexpected(option);
  }
  void set_format(const Token& token) {
    const std::string format = lower(value_of(token));
    if (format == "csv")
      statement_.copy.format = CopyFormat::csv;
    else if (format == "parquet")
      statement_.copy.format = CopyFormat::parquet;
    else if (format != "text")
      fail(kUnsupported, "COPY formats are text, csv and parquet", token.begin);
  }
  void set_header() {
    statement_.copy.header = true;
    const Token value = lexer_.peek();
    const bool said =
        value.kind == TokenKind::word || value.kind == TokenKind::string || value.kind == TokenKind::number;
    if (!said) return;
    const std::string text = lower(value_of(value));
    const bool yes = text == "true" || text == "on" || text == "1";
    if (!yes && text != "false" && text != "off" && text != "0") return;  // the next option
    lexer_.next();
    statement_.copy.header = yes;
  }
  void set_sign(char& sign) {
    accept("as");
    const Token token = lexer_.peek();
    const std::string text = text_value();
    const bool right =
        text.size() == 1 && static_cast<unsigned char>(text[0]) < 0x80 && std::strchr("\r\n", text[0]) == nullptr;
    if (!right) return fail(kInvalidParameter, "it must be one character of one byte", token.begin);
    sign = text[0];
  }
  std::string text_value() {
    const Token token = lexer_.next();
    if (token.kind != TokenKind::string && token.kind != TokenKind::word && token.kind != TokenKind::quoted)
      unexpected(token);
    return value_of(token);
  }

  std::string_view query_;
  Range range_;
  Lexer lexer_{{}};
  Statement statement_;
  std::optional<Failure> failure_;
  bool delimiter_set_ = false;
  bool escape_set_ = false;
};

// Statements between semicolons; a Failure when something does not end.
std::variant<std::vector<Range>, Failure> split(std::string_view query) {
  std::vector<Range> ranges;
  Lexer lexer(query);
  Range range;
  for (;;) {
    const Token token = lexer.next();
    if (token.kind == TokenKind::broken)
      return failure(kSyntax, "a string, quoted name or comment does not end", {},
                     characters(query.substr(0, token.begin)) + 1);
    const bool ends = token.kind == TokenKind::end || token.is(';');
    if (ends && !range.empty()) {
      if (ranges.size() >= kStatementsMax)
        return failure("54000", "more than " + std::to_string(kStatementsMax) + " statements in one query");
      ranges.push_back(range);
    }
    if (token.kind == TokenKind::end) return ranges;
    if (ends) {
      range = {};
    } else {
      if (range.empty()) range.begin = token.begin;
      range.end = token.end;
    }
  }
}

}  // namespace

std::variant<std::vector<Statement>, Failure> parse_statements(std::string_view query) {
  if (query.size() > kQueryBytesMax)
    return failure("54000", "a query is longer than " + std::to_string(kQueryBytesMax) + " bytes");
  auto ranges = split(query);
  if (auto* failed = std::get_if<Failure>(&ranges)) return std::move(*failed);
  std::vector<Statement> statements;
  for (const Range& range : std::get<0>(ranges)) {
    auto statement = StatementParser(query, range).parse();
    if (auto* failed = std::get_if<Failure>(&statement)) return std::move(*failed);
    statements.push_back(std::move(std::get<0>(statement)));
  }
  return statements;
}

std::optional<uint64_t> parse_position(std::string_view text) {
  if (!text.starts_with("0:")) return std::nullopt;
  uint64_t sequence = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data() + 2, end, sequence);
  if (error != std::errc() || stop != end) return std::nullopt;
  return sequence;
}

size_t characters(std::string_view text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

Failure failure(const char* sqlstate, std::string message, std::string hint, size_t position) {
  Failure failed;
  std::memcpy(failed.sqlstate, sqlstate, sizeof failed.sqlstate);
  failed.message = std::move(message);
  failed.hint = std::move(hint);
  failed.position = static_cast<uint32_t>(position);
  return failed;
}

}  // namespace heptane::data::sql
