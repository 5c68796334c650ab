// Words of InfluxQL. A word is a view of the text; a quoted one is taken out of its quotes. Pure; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace heptane::iot::series {

enum class WordKind : uint8_t { end, name, quoted_name, text, number, duration, pattern, sign, wrong };

struct Word {
  WordKind kind = WordKind::end;
  std::string text;          // without its quotes, or as written
  std::string_view written;  // for messages

  // A keyword, whatever its case; a quoted name is none.
  bool is(std::string_view keyword) const;
  bool is_sign(std::string_view sign) const { return kind == WordKind::sign && text == sign; }
  bool is_name() const { return kind == WordKind::name || kind == WordKind::quoted_name; }
};

class Lexer {
 public:
  explicit Lexer(std::string_view text) : text_(text) { next(); }
  const Word& word() const { return word_; }
  void next() { read(false); }
  // Reads the word at hand again, as a pattern between slashes.
  void as_pattern();

 private:
  void read(bool pattern);
  void skip_blank();
  void quoted(char quote, WordKind kind);
  void number();
  void sign();
  void finish(WordKind kind, size_t begin);

  std::string_view text_;
  size_t at_ = 0;
  size_t begin_ = 0;
  Word word_;
};

// `1h30m`, in nanoseconds. False: it is none, or does not fit.
bool parse_duration(std::string_view text, int64_t& ns);

}  // namespace heptane::iot::series
