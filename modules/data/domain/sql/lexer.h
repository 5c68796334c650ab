// Tokens of SQL as PostgreSQL writes it, one after another and without a list of them: words, "quoted" names, strings ('',
// E'', U&'', N'', B'', X'', $tag$), numbers, parameters and signs; comments (-- and nested /* */) are skipped. Pure, allocates
// nothing, total on any bytes. Positions count bytes from 0.
//
// PostgreSQL 15 manual, 4.1 (lexical structure).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace heptane::data::sql {

enum class TokenKind : uint8_t {
  end,
  word,    // name or keyword, unquoted
  quoted,  // "name"
  string,
  number,
  parameter,  // $1
  sign,       // one character of an operator, a parenthesis, comma, semicolon ...
  broken,     // a string, quoted name or comment that does not end; nothing follows
};

struct Token {
  TokenKind kind = TokenKind::end;
  size_t begin = 0;
  size_t end = 0;
  std::string_view text;  // as it stands

  bool is(char sign) const { return kind == TokenKind::sign && text[0] == sign; }
  // An unquoted word, in any case; `word` is in lower case.
  bool is(std::string_view word) const;
};

class Lexer {
 public:
  explicit Lexer(std::string_view text, size_t at = 0) : text_(text), at_(at) {}
  Token next();
  // What next() will give.
  Token peek() const { return Lexer(*this).next(); }

 private:
  bool skip_blanks();
  bool skip_comment();
  Token take(TokenKind kind, size_t begin, size_t end);
  Token string_with_prefix();
  Token quoted(size_t begin, size_t open, TokenKind kind, bool escapes);
  Token dollar();
  char at(size_t position) const { return position < text_.size() ? text_[position] : '\0'; }

  std::string_view text_;
  size_t at_ = 0;
};

// What a string, name or word stands for: without quotes, doubled quotes single, escapes of E'' resolved; words in lower case.
std::string value_of(const Token& token);

// ASCII alone, as keywords are.
std::string lower(std::string_view text);

// 'text', its quotes doubled.
std::string quote_text(std::string_view text);

}  // namespace heptane::data::sql
