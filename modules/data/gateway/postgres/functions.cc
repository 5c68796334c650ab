#include "modules/data/gateway/postgres/functions.h"

#include "kernel/base/version.h"
#include "modules/data/domain/sql/lexer.h"
#include "modules/data/domain/sql/statement.h"
#include "modules/data/gateway/postgres/variables.h"

namespace heptane::data::postgres {

using sql::Lexer;
using sql::Token;
using sql::TokenKind;

namespace {

struct Replacement {
  std::string text;
  size_t end = 0;  // of what it stands for
};

std::string version_text() {
  return "PostgreSQL " + std::string(kServerVersion) + ", Heptane " + std::string(kVersion);
}

// `name` is a call's or a keyword's; the lexer stands behind it.
std::optional<Replacement> current_setting(Lexer behind, const SessionFacts& facts) {
  behind.next();
  const Token name = behind.next();
  if (name.kind != TokenKind::string) return std::nullopt;
  Token next = behind.next();
  bool missing_ok = false;
  if (next.is(',')) {
    missing_ok = behind.next().is("true");
    next = behind.next();
  }
  if (!next.is(')')) return std::nullopt;
  const std::optional<std::string> value = facts.setting(sql::value_of(name));
  if (value) return Replacement{sql::quote_text(*value), next.end};
  return missing_ok ? std::optional(Replacement{"NULL", next.end}) : std::nullopt;
}

std::optional<Replacement> without_arguments(Lexer behind, std::string text) {
  behind.next();
  const Token close = behind.next();
  if (!close.is(')')) return std::nullopt;
  return Replacement{std::move(text), close.end};
}

std::optional<Replacement> replacement(const Token& name, const Lexer& behind, const SessionFacts& facts) {
  const bool call = behind.peek().is('(');
  if (!call) {
    const bool user = name.is("current_user") || name.is("session_user");
    return user ? std::optional(Replacement{sql::quote_text(facts.user), name.end}) : std::nullopt;
  }
  if (name.is("current_setting")) return current_setting(behind, facts);
  if (name.is("version")) return without_arguments(behind, sql::quote_text(version_text()));
  if (name.is("pg_backend_pid")) return without_arguments(behind, std::to_string(facts.process_id));
  if (name.is("pg_is_in_recovery")) return without_arguments(behind, "false");
  return std::nullopt;
}

sql::Failure too_long() {
  return sql::failure("54000", "a statement is longer than " + std::to_string(sql::kQueryBytesMax) +
                                   " bytes with what its calls about the session say");
}

}  // namespace

std::variant<std::optional<std::string>, sql::Failure> replace_functions(std::string_view statement,
                                                                         const SessionFacts& facts) {
  std::string text;
  size_t copied = 0;
  const auto put = [&](size_t begin, std::string_view instead, size_t end) {
    text += statement.substr(copied, begin - copied);
    text += instead;
    copied = end;
  };
  Lexer lexer(statement);
  Token before;
  for (Token token = lexer.next(); token.kind != TokenKind::end && token.kind != TokenKind::broken;
       token = lexer.next()) {
    const Token named = before;
    before = token;
    if (token.kind != TokenKind::word || named.is('.') || named.is("as")) continue;
    Token name = token;
    Lexer behind = lexer;
    const bool prefixed = token.is("pg_catalog") && behind.peek().is('.');
    if (prefixed) {
      behind.next();
      name = behind.next();
      if (name.kind != TokenKind::word || !behind.peek().is('(')) continue;
    }
    std::optional<Replacement> instead = replacement(name, behind, facts);
    if (!instead && prefixed) instead = Replacement{std::string(name.text), name.end};
    if (!instead) continue;
    put(token.begin, instead->text, instead->end);
    if (text.size() > sql::kQueryBytesMax) return too_long();
    lexer = Lexer(statement, instead->end);
    before = name;
  }
  if (copied == 0) return std::nullopt;
  put(statement.size(), "", statement.size());
  if (text.size() > sql::kQueryBytesMax) return too_long();
  return std::optional(std::move(text));
}

}  // namespace heptane::data::postgres
