#include "modules/data/domain/sql/lexer.h"

#include <algorithm>

namespace heptane::data::sql {

namespace {

char lower_of(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
// Every byte above ASCII is part of a name, whatever character it belongs to.
bool begins_word(char c) {
  const char low = lower_of(c);
  return (low >= 'a' && low <= 'z') || c == '_' || static_cast<unsigned char>(c) >= 0x80;
}
bool goes_on_word(char c) { return begins_word(c) || is_digit(c) || c == '$'; }
bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v'; }

void append_utf8(std::string& out, uint32_t code) {
  const auto tail = [&](uint32_t bits) { out += static_cast<char>(0x80 | (bits & 0x3f)); };
  if (code < 0x80) {
    out += static_cast<char>(code);
  } else if (code < 0x800) {
    out += static_cast<char>(0xc0 | (code >> 6));
    tail(code);
  } else if (code < 0x10000) {
    out += static_cast<char>(0xe0 | (code >> 12));
    tail(code >> 6);
    tail(code);
  } else {
    out += static_cast<char>(0xf0 | ((code >> 18) & 7));
    tail(code >> 12);
    tail(code >> 6);
    tail(code);
  }
}

int hex_of(char c) {
  if (is_digit(c)) return c - '0';
  const char low = lower_of(c);
  return low >= 'a' && low <= 'f' ? low - 'a' + 10 : -1;
}

// Digits of an escape, at most `most`; `at` moves behind them.
uint32_t digits(std::string_view text, size_t& at, size_t most, int base) {
  uint32_t value = 0;
  for (size_t n = 0; n < most && at < text.size(); ++n, ++at) {
    const int digit = hex_of(text[at]);
    if (digit < 0 || digit >= base) break;
    value = value * static_cast<uint32_t>(base) + static_cast<uint32_t>(digit);
  }
  return value;
}

// The escape behind a backslash at `at`, in E''.
void append_escape(std::string& out, std::string_view text, size_t& at) {
  constexpr size_t kOctalMost = 3;
  const char c = text[at];
  if (c >= '0' && c <= '7') {
    out += static_cast<char>(digits(text, at, kOctalMost, 8));
    return;
  }
  ++at;
  switch (c) {
    case 'b': out += '\b'; return;
    case 'f': out += '\f'; return;
    case 'n': out += '\n'; return;
    case 'r': out += '\r'; return;
    case 't': out += '\t'; return;
    case 'x': out += static_cast<char>(digits(text, at, 2, 16)); return;
    case 'u': append_utf8(out, digits(text, at, 4, 16)); return;
    case 'U': append_utf8(out, digits(text, at, 8, 16)); return;
    default: out += c;
  }
}

std::string unquoted(std::string_view body, char quote, bool escapes) {
  std::string value;
  value.reserve(body.size());
  for (size_t at = 0; at < body.size();) {
    const char c = body[at++];
    if (escapes && c == '\\' && at < body.size()) {
      append_escape(value, body, at);
      continue;
    }
    value += c;
    if (c == quote && at < body.size() && body[at] == quote) ++at;
  }
  return value;
}

}  // namespace

bool Token::is(std::string_view word) const {
  return kind == TokenKind::word && text.size() == word.size() &&
         std::equal(text.begin(), text.end(), word.begin(), [](char a, char b) { return lower_of(a) == b; });
}

// False: a comment does not end.
bool Lexer::skip_blanks() {
  while (at_ < text_.size()) {
    if (is_blank(text_[at_])) {
      ++at_;
    } else if (text_[at_] == '-' && at(at_ + 1) == '-') {
      at_ = std::min(text_.find_first_of("\n\r", at_), text_.size());
    } else if (text_[at_] == '/' && at(at_ + 1) == '*') {
      if (!skip_comment()) return false;
    } else {
      return true;
    }
  }
  return true;
}

bool Lexer::skip_comment() {
  const size_t begin = at_;
  size_t depth = 0;
  do {
    if (at_ + 1 >= text_.size()) {
      at_ = begin;
      return false;
    }
    if (text_[at_] == '/' && text_[at_ + 1] == '*') {
      ++depth;
      at_ += 2;
    } else if (text_[at_] == '*' && text_[at_ + 1] == '/') {
      --depth;
      at_ += 2;
    } else {
      ++at_;
    }
  } while (depth > 0);
  return true;
}

Token Lexer::take(TokenKind kind, size_t begin, size_t end) {
  at_ = kind == TokenKind::broken ? text_.size() : end;
  return {kind, begin, end, text_.substr(begin, end - begin)};
}

Token Lexer::next() {
  if (!skip_blanks()) return take(TokenKind::broken, at_, text_.size());
  const size_t begin = at_;
  if (begin >= text_.size()) return take(TokenKind::end, text_.size(), text_.size());
  const char c = text_[begin];
  if (c == '\'') return quoted(begin, begin, TokenKind::string, false);
  if (c == '"') return quoted(begin, begin, TokenKind::quoted, false);
  if (c == '$') return dollar();
  size_t end = begin + 1;
  if (begins_word(c)) {
    if (const Token prefixed = string_with_prefix(); prefixed.kind != TokenKind::end) return prefixed;
    while (goes_on_word(at(end)) && end < text_.size()) ++end;
    return take(TokenKind::word, begin, end);
  }
  if (is_digit(c) || (c == '.' && is_digit(at(begin + 1)))) {
    while (end < text_.size() && (goes_on_word(text_[end]) || text_[end] == '.')) ++end;
    return take(TokenKind::number, begin, end);
  }
  return take(TokenKind::sign, begin, end);
}

// E'', N'', B'', X'', U&'' and U&"". TokenKind::end: it is none.
Token Lexer::string_with_prefix() {
  const size_t begin = at_;
  const char c = lower_of(text_[begin]);
  const char after = at(begin + 1);
  if (c == 'u' && after == '&' && (at(begin + 2) == '\'' || at(begin + 2) == '"'))
    return quoted(begin, begin + 2, at(begin + 2) == '"' ? TokenKind::quoted : TokenKind::string, false);
  const bool prefix = c == 'e' || c == 'n' || c == 'b' || c == 'x';
  return prefix && after == '\'' ? quoted(begin, begin + 1, TokenKind::string, c == 'e') : Token{};
}

Token Lexer::quoted(size_t begin, size_t open, TokenKind kind, bool escapes) {
  const char quote = text_[open];
  for (size_t end = open + 1; end < text_.size(); ++end) {
    if (escapes && text_[end] == '\\') {
      ++end;
    } else if (text_[end] == quote) {
      if (at(end + 1) != quote) return take(kind, begin, end + 1);
      ++end;
    }
  }
  return take(TokenKind::broken, begin, text_.size());
}

// $1, or $tag$ text $tag$.
Token Lexer::dollar() {
  const size_t begin = at_;
  size_t end = begin + 1;
  if (is_digit(at(end))) {
    while (is_digit(at(end))) ++end;
    return take(TokenKind::parameter, begin, end);
  }
  while (end < text_.size() && text_[end] != '$' && goes_on_word(text_[end])) ++end;
  if (at(end) != '$') return take(TokenKind::sign, begin, begin + 1);
  const std::string_view tag = text_.substr(begin, end + 1 - begin);
  const size_t close = text_.find(tag, end + 1);
  if (close == std::string_view::npos) return take(TokenKind::broken, begin, text_.size());
  return take(TokenKind::string, begin, close + tag.size());
}

std::string value_of(const Token& token) {
  std::string_view text = token.text;
  if (token.kind == TokenKind::word) return lower(text);
  if (token.kind != TokenKind::string && token.kind != TokenKind::quoted) return std::string(text);
  if (text[0] == '$') {
    const size_t tag = text.find('$', 1) + 1;
    return std::string(text.substr(tag, text.size() - 2 * tag));
  }
  const char quote = text.back();
  const size_t open = text.find(quote);
  return unquoted(text.substr(open + 1, text.size() - open - 2), quote, lower_of(text[0]) == 'e' && open == 1);
}

std::string lower(std::string_view text) {
  std::string low(text);
  std::transform(low.begin(), low.end(), low.begin(), lower_of);
  return low;
}

std::string quote_text(std::string_view text) {
  std::string quoted = "'";
  for (const char c : text) quoted.append(c == '\'' ? 2 : 1, c);
  return quoted += '\'';
}

}  // namespace heptane::data::sql
