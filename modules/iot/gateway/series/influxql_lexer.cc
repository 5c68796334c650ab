#include "modules/iot/gateway/series/influxql_lexer.h"

#include <algorithm>
#include <charconv>
#include <utility>

namespace heptane::iot::series {

namespace {

bool is_letter(char at) { return (at >= 'a' && at <= 'z') || (at >= 'A' && at <= 'Z') || at == '_'; }
bool is_digit(char at) { return at >= '0' && at <= '9'; }
bool is_unit(char at) { return is_letter(at) || static_cast<uint8_t>(at) >= 0x80; }  // µ has two bytes
char lower(char at) { return at >= 'A' && at <= 'Z' ? static_cast<char>(at - 'A' + 'a') : at; }

int64_t unit_of(std::string_view name) {
  constexpr int64_t kSecond = 1'000'000'000;
  constexpr std::pair<std::string_view, int64_t> kUnits[] = {{"ns", 1},
                                                             {"u", 1'000},
                                                             {"us", 1'000},
                                                             {"µ", 1'000},
                                                             {"ms", 1'000'000},
                                                             {"s", kSecond},
                                                             {"m", 60 * kSecond},
                                                             {"h", 3'600 * kSecond},
                                                             {"d", 86'400 * kSecond},
                                                             {"w", 604'800 * kSecond}};
  const auto* found =
      std::find_if(std::begin(kUnits), std::end(kUnits), [&](const auto& u) { return u.first == name; });
  return found == std::end(kUnits) ? 0 : found->second;
}

}  // namespace

bool Word::is(std::string_view keyword) const {
  return kind == WordKind::name && text.size() == keyword.size() &&
         std::equal(text.begin(), text.end(), keyword.begin(), [](char a, char b) { return lower(a) == lower(b); });
}

bool parse_duration(std::string_view text, int64_t& ns) {
  ns = 0;
  while (!text.empty()) {
    int64_t count = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
    if (error != std::errc()) return false;
    text.remove_prefix(static_cast<size_t>(end - text.data()));
    const auto letters = static_cast<size_t>(std::find_if_not(text.begin(), text.end(), is_unit) - text.begin());
    const int64_t unit = unit_of(text.substr(0, letters));
    int64_t part = 0;
    if (unit == 0 || __builtin_mul_overflow(count, unit, &part) || __builtin_add_overflow(ns, part, &ns)) return false;
    text.remove_prefix(letters);
  }
  return true;
}

void Lexer::skip_blank() {
  while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\t' || text_[at_] == '\n' || text_[at_] == '\r'))
    ++at_;
}

void Lexer::as_pattern() {
  at_ = begin_;
  read(true);
}

void Lexer::finish(WordKind kind, size_t begin) {
  word_.kind = kind;
  word_.written = text_.substr(begin, at_ - begin);
  if (kind != WordKind::quoted_name && kind != WordKind::text && kind != WordKind::pattern) word_.text = word_.written;
}

void Lexer::read(bool pattern) {
  skip_blank();
  begin_ = at_;
  word_.text.clear();
  if (at_ == text_.size()) return finish(WordKind::end, at_);
  const char first = text_[at_];
  if (pattern && first == '/') return quoted('/', WordKind::pattern);
  if (first == '"') return quoted('"', WordKind::quoted_name);
  if (first == '\'') return quoted('\'', WordKind::text);
  if (is_digit(first) || (first == '.' && at_ + 1 < text_.size() && is_digit(text_[at_ + 1]))) return number();
  if (!is_letter(first)) return sign();
  while (at_ < text_.size() && (is_letter(text_[at_]) || is_digit(text_[at_]))) ++at_;
  finish(WordKind::name, begin_);
}

// A backslash takes the quote's meaning away, and its own; in a pattern only the slash's.
void Lexer::quoted(char quote, WordKind kind) {
  ++at_;
  while (at_ < text_.size() && text_[at_] != quote) {
    const bool escape = text_[at_] == '\\' && at_ + 1 < text_.size();
    const bool own = escape && (text_[at_ + 1] == quote || (quote != '/' && text_[at_ + 1] == '\\'));
    if (escape && !own) word_.text += text_[at_++];
    if (own) ++at_;
    word_.text += text_[at_++];
  }
  const bool closed = at_ < text_.size();
  if (closed) ++at_;
  finish(closed ? kind : WordKind::wrong, begin_);
}

void Lexer::number() {
  while (at_ < text_.size() && (is_digit(text_[at_]) || text_[at_] == '.')) ++at_;
  const size_t digits = at_;
  while (at_ < text_.size() && (is_digit(text_[at_]) || is_unit(text_[at_]))) ++at_;
  finish(at_ > digits ? WordKind::duration : WordKind::number, begin_);
}

void Lexer::sign() {
  const std::string_view two = text_.substr(at_, 2);
  const bool pair =
      two == "!=" || two == "<=" || two == ">=" || two == "<>" || two == "=~" || two == "!~" || two == "::";
  at_ += pair ? 2 : 1;
  finish(WordKind::sign, begin_);
}

}  // namespace heptane::iot::series
