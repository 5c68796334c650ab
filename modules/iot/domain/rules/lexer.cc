#include "modules/iot/domain/rules/lexer.h"

#include <algorithm>
#include <array>

namespace heptane::iot::rules {

namespace {

constexpr std::string_view kSpace = " \t\r\n";
constexpr std::array<std::string_view, 5> kPairs = {"<=", ">=", "<>", "!=", "||"};
constexpr std::string_view kSigns = "+-*/%(),.[]=<>";

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
char upper(char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c; }

class Lexer {
 public:
  explicit Lexer(std::string_view sql) : sql_(sql) {}

  Result<Word> next() {
    at_ = std::min(sql_.find_first_not_of(kSpace, at_), sql_.size());
    if (at_ == sql_.size()) return Word{WordKind::end, "the end", at_};
    const char c = sql_[at_];
    if (c == '\'') return quoted('\'', WordKind::text);
    if (c == '"') return quoted('"', WordKind::quoted_name);
    if (is_letter(c)) return run(WordKind::name, [](char one) { return is_letter(one) || is_digit(one); });
    if (is_digit(c)) return number();
    return sign();
  }

 private:
  template <class Belongs>
  Word run(WordKind kind, Belongs&& belongs) {
    const size_t begin = at_;
    while (at_ < sql_.size() && belongs(sql_[at_])) ++at_;
    return {kind, std::string(sql_.substr(begin, at_ - begin)), begin};
  }

  // A quote within is written twice.
  Result<Word> quoted(char quote, WordKind kind) {
    Word word{kind, "", at_++};
    for (; at_ < sql_.size(); ++at_) {
      if (sql_[at_] != quote) {
        word.text += sql_[at_];
      } else if (at_ + 1 < sql_.size() && sql_[at_ + 1] == quote) {
        word.text += sql_[at_++];
      } else {
        ++at_;
        return word;
      }
    }
    return wrong_at(word, "the quote is not closed");
  }

  Word number() {
    Word word = run(WordKind::number, is_digit);
    const auto behind = [&](size_t ahead) { return at_ + ahead < sql_.size() ? sql_[at_ + ahead] : ' '; };
    if (behind(0) == '.' && is_digit(behind(1))) {
      ++at_;
      word.text += "." + run(WordKind::number, is_digit).text;
    }
    return word;
  }

  Result<Word> sign() {
    const std::string_view two = sql_.substr(at_, 2);
    const bool pair = std::find(kPairs.begin(), kPairs.end(), two) != kPairs.end();
    const std::string_view text = pair ? two : two.substr(0, 1);
    Word word{WordKind::sign, std::string(text), at_};
    if (!pair && kSigns.find(text) == std::string_view::npos) return wrong_at(word, "this is no word of SQL");
    at_ += text.size();
    return word;
  }

  std::string_view sql_;
  size_t at_ = 0;
};

}  // namespace

bool Word::is_keyword(std::string_view wanted) const {
  return kind == WordKind::name && text.size() == wanted.size() &&
         std::equal(text.begin(), text.end(), wanted.begin(), [](char one, char other) { return upper(one) == other; });
}

Result<std::vector<Word>> words_of(std::string_view sql) {
  Lexer lexer(sql);
  std::vector<Word> words;
  do {
    Result<Word> word = lexer.next();
    if (!word) return word.error();
    words.push_back(std::move(*word));
  } while (words.back().kind != WordKind::end);
  return words;
}

Error wrong_at(const Word& word, const std::string& why) {
  constexpr size_t kShown = 40;
  const std::string near = word.kind == WordKind::end ? std::string() : ", near '" + word.text.substr(0, kShown) + "'";
  return {Errc::invalid_argument, "at " + std::to_string(word.at + 1) + near + ": " + why};
}

}  // namespace heptane::iot::rules
