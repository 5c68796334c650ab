#include "modules/iot/domain/series/line_protocol.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

#include "kernel/base/hash128.h"
#include "kernel/base/utf8.h"

namespace heptane::iot::series {

namespace {

constexpr uint8_t kEndsMeasurement = 1;
constexpr uint8_t kEndsKey = 2;
constexpr uint8_t kEndsWord = 4;  // an unquoted value
constexpr uint8_t kControl = 8;
constexpr uint8_t kSpecial = 16;  // a backslash, or beyond ASCII

constexpr std::array<uint8_t, 256> make_classes() {
  std::array<uint8_t, 256> classes{};
  for (size_t i = 0; i < 0x20; ++i) classes[i] = kControl | kEndsMeasurement | kEndsKey;
  classes[0x7F] = kControl | kEndsMeasurement | kEndsKey;
  for (const char at : {' ', ','}) classes[static_cast<uint8_t>(at)] = kEndsMeasurement | kEndsKey | kEndsWord;
  for (const char at : {'\n', '\r', '\t'}) classes[static_cast<uint8_t>(at)] |= kEndsWord;
  classes['='] = kEndsKey;
  classes['\\'] = kSpecial;
  for (size_t i = 0x80; i < classes.size(); ++i) classes[i] = kSpecial;
  return classes;
}
constexpr std::array<uint8_t, 256> kClasses = make_classes();

uint8_t class_of(char at) { return kClasses[static_cast<uint8_t>(at)]; }

// The letter behind a backslash that stands for `text`; 0: none does.
char escape_of(char text, Token token) {
  const bool string = token == Token::string;
  if (text == '"' || text == '\\') return string ? text : '\0';
  if (text == ' ' || text == ',') return string ? '\0' : text;
  if (text == '=') return token == Token::key ? text : '\0';
  if (text == '\n') return 'n';
  if (text == '\r') return 'r';
  return text == '\t' ? 't' : '\0';
}

// What a backslash and `letter` stand for; 0: themselves.
char meaning_of(char letter, Token token) {
  switch (letter) {
    case 'n': return '\n';
    case 'r': return '\r';
    case 't': return '\t';
    case '"':
    case '\\': return token == Token::string ? letter : '\0';
    case '=': return token == Token::key ? letter : '\0';
    case ' ':
    case ',': return token == Token::string ? '\0' : letter;
    default: return '\0';
  }
}

size_t digits_at(std::string_view word, size_t at) {
  size_t end = at;
  while (end < word.size() && word[end] >= '0' && word[end] <= '9') ++end;
  return end - at;
}

// Sign, digits, point, digits, exponent.
bool is_real(std::string_view word) {
  size_t at = word.starts_with('-') || word.starts_with('+') ? 1 : 0;
  const size_t whole = digits_at(word, at);
  at += whole;
  size_t fraction = 0;
  if (at < word.size() && word[at] == '.') {
    fraction = digits_at(word, at + 1);
    at += 1 + fraction;
  }
  if (whole + fraction == 0) return false;
  if (at < word.size() && (word[at] == 'e' || word[at] == 'E')) {
    ++at;
    if (at < word.size() && (word[at] == '-' || word[at] == '+')) ++at;
    const size_t exponent = digits_at(word, at);
    if (exponent == 0) return false;
    at += exponent;
  }
  return at == word.size();
}

// Up to 15 digits, a point among them, no exponent: the quotient of two whole numbers that floats hold is as near as any float is.
// deterministic: one division, rounded as IEEE 754 says
bool plain_real(std::string_view word, double& value) {
  // deterministic: likewise
  static constexpr double kPowers[] = {1,   1e1, 1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                       1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15};
  const bool negative = word.front() == '-';
  uint64_t digits = 0;
  size_t count = 0;
  size_t places = 0;
  bool point = false;
  for (const char c : word.substr(negative ? 1 : 0)) {
    const auto digit = static_cast<uint8_t>(c - '0');
    if (c == '.' ? point : digit > 9) return false;
    point = point || c == '.';
    if (c == '.') continue;
    digits = digits * 10 + digit;
    places += point ? 1 : 0;
    if (++count == std::size(kPowers)) return false;
  }
  if (count == 0) return false;
  // deterministic: likewise
  value = static_cast<double>(digits) / kPowers[places];
  if (negative) value = -value;
  return true;
}

constexpr auto kTimeMax = static_cast<uint64_t>(std::numeric_limits<int64_t>::max());
constexpr size_t kShortDigits = 19;  // of any number of so many digits it is known that 64 bits hold it

// Eight letters, the first one lowest: whether all are digits.
bool are_digits(uint64_t eight) {
  constexpr uint64_t kHighHalves = 0xF0F0F0F0F0F0F0F0;
  constexpr uint64_t kDigits = 0x3030303030303030;
  constexpr uint64_t kSix = 0x0606060606060606;
  return (eight & kHighHalves) == kDigits && ((eight + kSix) & kHighHalves) == kDigits;
}

// What eight digits are worth: neighbours become numbers of two digits, those of four, those of eight.
uint64_t worth_of(uint64_t eight) {
  eight = (eight & 0x0F0F0F0F0F0F0F0F) * (1 + (10 << 8)) >> 8;
  eight = (eight & 0x00FF00FF00FF00FF) * (1 + (100 << 16)) >> 16;
  return (eight & 0x0000FFFF0000FFFF) * (1 + (uint64_t{10'000} << 32)) >> 32;
}

// How many digits the text begins with, and what they are worth where those are kShortDigits at most.
size_t read_digits(std::string_view text, uint64_t& worth) {
  constexpr uint64_t kEight = 100'000'000;
  worth = 0;
  size_t at = 0;
  while (at + sizeof(uint64_t) <= std::min(text.size(), kShortDigits)) {
    uint64_t eight = 0;
    std::memcpy(&eight, text.data() + at, sizeof eight);
    if (!are_digits(eight)) break;
    worth = worth * kEight + worth_of(eight);
    at += sizeof eight;
  }
  for (; at < text.size() && text[at] >= '0' && text[at] <= '9'; ++at)
    if (at < kShortDigits) worth = worth * 10 + static_cast<uint64_t>(text[at] - '0');
  return at;
}

template <class T>
bool whole_number(std::string_view word, T& into) {
  uint64_t worth = 0;
  const bool is_short = !word.empty() && word.size() <= kShortDigits && read_digits(word, worth) == word.size();
  if (is_short && worth <= static_cast<uint64_t>(std::numeric_limits<T>::max())) {
    into = static_cast<T>(worth);
    return true;
  }
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), into);
  return error == std::errc() && end == word.data() + word.size();
}

std::optional<bool> boolean_of(std::string_view word) {
  for (const std::string_view yes : {"t", "T", "true", "True", "TRUE"})
    if (word == yes) return true;
  for (const std::string_view no : {"f", "F", "false", "False", "FALSE"})
    if (word == no) return false;
  return std::nullopt;
}

// As the reference encoder does: with an exponent below -4 and from 6 on.
// deterministic: a number is compared and written
void append_real(std::string& out, double number) {
  std::array<char, 32> digits{};
  const bool negative = std::signbit(number);
  // deterministic: as before
  const double size = negative ? -number : number;
  const bool plain = size == 0 || (size >= 1e-4 && size < 1e6);
  const auto [end, error] = std::to_chars(digits.data(), digits.data() + digits.size(), number,
                                          plain ? std::chars_format::fixed : std::chars_format::scientific);
  out.append(digits.data(), end);
}

// Of a real that no float reaches: whether it is too small, and so zero. Where its first digit above zero stands says so.
bool is_too_small(std::string_view word) {
  const size_t mark = std::min(word.find_first_of("eE"), word.size());
  const std::string_view digits = word.substr(0, mark);
  const size_t point = std::min(digits.find('.'), digits.size());
  const size_t first = digits.find_first_of("123456789");
  if (first == std::string_view::npos) return true;
  std::string_view exponent = word.substr(std::min(word.size(), mark + 1));
  if (exponent.starts_with('+')) exponent.remove_prefix(1);
  int64_t power = 0;
  const auto [end, error] = std::from_chars(exponent.data(), exponent.data() + exponent.size(), power);
  if (error == std::errc::result_out_of_range) return exponent.starts_with('-');
  return static_cast<int64_t>(point) - static_cast<int64_t>(first) + power < 0;
}

bool sorted_as_written(const std::vector<Tag>& tags) {
  for (size_t i = 1; i < tags.size(); ++i)
    if (tags[i - 1].key >= tags[i].key) return false;
  return true;
}

// Up to the first of `ends` that no backslash escapes. A backslash escapes what means something behind it in this token, and nothing
// else, as for the reader.
size_t find_unescaped(std::string_view text, std::string_view ends, Token token) {
  size_t at = 0;
  while (at < text.size() && ends.find(text[at]) == std::string_view::npos) {
    const bool escape = text[at] == '\\' && at + 1 < text.size() && meaning_of(text[at + 1], token) != '\0';
    at += escape ? 2 : 1;
  }
  return at;
}

}  // namespace

std::string_view type_name(FieldType type) {
  switch (type) {
    case FieldType::real: return "float";
    case FieldType::integer: return "integer";
    case FieldType::boolean: return "boolean";
    case FieldType::text: return "string";
    case FieldType::unsigned_integer: return "unsigned";
  }
  return "";
}

std::string unescape(std::string_view written, Token token) {
  std::string out;
  out.reserve(written.size());
  for (size_t at = 0; at < written.size(); ++at) {
    const bool escape = written[at] == '\\' && at + 1 < written.size();
    const char meaning = escape ? meaning_of(written[at + 1], token) : '\0';
    out += meaning != '\0' ? meaning : written[at];
    if (meaning != '\0') ++at;
  }
  return out;
}

void append_escaped(std::string& out, std::string_view text, Token token) {
  for (const char at : text) {
    const char letter = escape_of(at, token);
    if (letter != '\0') out += '\\';
    out += letter != '\0' ? letter : at;
  }
}

bool LineReader::fail(std::string_view why) {
  why_ = why;
  return false;
}

bool LineReader::at_end_of_line() const {
  if (done() || peek() == '\n') return true;
  return peek() == '\r' && (at_ + 1 == input_.size() || input_[at_ + 1] == '\n');
}

void LineReader::skip_spaces() {
  while (peek() == ' ' && !done()) ++at_;
}

void LineReader::skip_line() {
  const size_t end = input_.find('\n', at_);
  at_ = end == std::string_view::npos ? input_.size() : end + 1;
  if (end != std::string_view::npos) ++line_number_;
}

// Spaces and empty lines. True: a line begins here.
bool LineReader::skip_blank() {
  for (;;) {
    skip_spaces();
    if (done()) return false;
    if (!at_end_of_line()) return true;
    skip_line();
  }
}

bool LineReader::skip_comment() {
  while (!at_end_of_line()) {
    if (peek() != '\t' && (class_of(peek()) & kControl) != 0) return fail("a control character in a comment");
    ++at_;
  }
  return true;
}

bool LineReader::next(Line& line) {
  why_ = {};
  while (skip_blank()) {
    const bool comment = peek() == '#';
    const size_t begin = at_;
    line.number = line_number_;
    const bool right = comment ? skip_comment() : read_line(line);
    if (right) line.text = input_.substr(begin, at_ - begin);
    skip_line();
    if (!right) {
      const size_t end = std::min(input_.find('\n', begin), input_.size());
      line.text = input_.substr(begin, end - begin);
    }
    if (!right || !comment) return true;
  }
  return false;
}

bool LineReader::read_line(Line& line) {
  line.tags.clear();
  line.fields.clear();
  line.time.reset();
  const size_t begin = at_;
  line.known_head = heads_ != nullptr && pass_known_head(line);
  const bool right =
      line.known_head || (reading_ == Reading::points ? read_head(line) : read_measurement(line) && read_tags(line));
  if (!right) return false;
  line.head = input_.substr(begin, at_ - begin);
  if (line.head.size() > kKeyBytesMax) return fail("measurement and tags are longer than 8,192 bytes");
  skip_spaces();
  return read_fields(line) && read_time(line);
}

bool LineReader::read_token(Token token, std::string_view& into, std::string_view what) {
  const uint8_t ends = token == Token::measurement ? kEndsMeasurement : kEndsKey;
  const size_t begin = at_;
  bool beyond_ascii = false;
  while (true) {
    while (at_ < input_.size() && (class_of(input_[at_]) & (ends | kSpecial)) == 0) ++at_;
    if (done() || (class_of(input_[at_]) & ends) != 0) break;
    const bool backslash = input_[at_] == '\\';
    const bool escape = backslash && at_ + 1 < input_.size() && meaning_of(input_[at_ + 1], token) != '\0';
    beyond_ascii = beyond_ascii || !backslash;
    at_ += escape ? 2 : 1;
  }
  into = input_.substr(begin, at_ - begin);
  if (into.empty()) return fail(what);
  if (beyond_ascii && !is_utf8(into)) return fail("a name that is not UTF-8");
  return true;
}

const KnownHeads::Slot* KnownHeads::Bucket::find(uint32_t hash, std::string_view head) const {
  for (const Slot& slot : slots)
    if (slot.hash == hash && std::string_view(slot.at, slot.bytes) == head) return &slot;
  return nullptr;
}

size_t KnownHeads::find(std::string_view head) {
  if (buckets_.empty()) return 0;
  const uint64_t hash = hash128(as_bytes(head)).low;
  const Slot* const slot = buckets_[hash % kBuckets].find(static_cast<uint32_t>(hash >> 32), head);
  ++(slot != nullptr ? hits_ : misses_);
  return slot == nullptr ? 0 : slot->measurement_bytes;
}

void KnownHeads::add(const Line& line) {
  if (buckets_.empty()) buckets_.resize(kBuckets);
  if (longest_ > 0 && longest() == 0) return;
  const uint64_t hash = hash128(as_bytes(line.head)).low;
  std::array<Slot, kOfBucket>& slots = buckets_[hash % kBuckets].slots;
  auto free = std::find_if(slots.begin(), slots.end(), [](const Slot& slot) { return slot.bytes == 0; });
  if (free == slots.end()) free = slots.begin() + static_cast<ptrdiff_t>((hash >> 24) % kOfBucket);
  *free = {line.head.data(), static_cast<uint32_t>(hash >> 32), static_cast<uint16_t>(line.head.size()),
           static_cast<uint16_t>(line.measurement.size())};
  longest_ = std::max(longest_, line.head.size());
}

// What could be one, as read_head() finds it.
bool LineReader::pass_known_head(Line& line) {
  const std::string_view near = input_.substr(at_, heads_->longest() + 1);
  size_t end = near.find(' ');
  while (end != std::string_view::npos && end > 0 && near[end - 1] == '\\') end = near.find(' ', end + 1);
  if (end == std::string_view::npos || end == 0) return false;
  const size_t measurement_bytes = heads_->find(near.substr(0, end));
  if (measurement_bytes == 0) return false;
  line.measurement = near.substr(0, measurement_bytes);
  at_ += end;
  return true;
}

// To the first space that no backslash escapes: in names a backslash before a space does, whatever stands before it.
bool LineReader::read_head(Line& line) {
  line.measurement = {};
  size_t end = input_.find(' ', at_);
  while (end != std::string_view::npos && end > at_ && input_[end - 1] == '\\') end = input_.find(' ', end + 1);
  if (end == std::string_view::npos) return fail("fields are missing");
  at_ = end;
  return true;
}

bool LineReader::read_measurement(Line& line) {
  return read_token(Token::measurement, line.measurement, "a measurement is missing");
}

bool LineReader::read_tags(Line& line) {
  while (peek() == ',' && !done()) {
    ++at_;
    if (!read_tag(line)) return false;
  }
  if (peek() != ' ') return fail(at_end_of_line() ? "fields are missing" : "a comma or a space must follow here");
  return true;
}

bool LineReader::read_tag(Line& line) {
  Tag tag;
  if (!read_token(Token::key, tag.key, "a tag's key is missing")) return false;
  if (peek() != '=' || done()) return fail("a tag needs = and a value");
  ++at_;
  if (!read_token(Token::key, tag.value, "a tag's value is missing")) return false;
  if (peek() == '=' && !done()) return fail("= in a tag's value must be escaped");
  if (line.tags.size() == kTagsMax) return fail("more than 512 tags");
  line.tags.push_back(tag);
  return true;
}

bool LineReader::read_fields(Line& line) {
  const size_t begin = at_;
  for (;;) {
    if (!read_field(line)) return false;
    if (peek() != ',' || done()) break;
    ++at_;
  }
  line.body = input_.substr(begin, at_ - begin);
  if (!at_end_of_line() && peek() != ' ') return fail("a comma, a space or the line's end must follow a field");
  return true;
}

// Lines of one kind have their fields in one order: the name that stood here in the line before is known to be right.
bool LineReader::pass_known_name(const Line& line, std::string_view& name) {
  const size_t place = line.fields.size();
  if (place >= names_.size()) return false;
  const std::string_view known = names_[place];
  const std::string_view here = input_.substr(at_, known.size() + 1);
  if (here.size() != known.size() + 1 || here.back() != '=' || !here.starts_with(known)) return false;
  name = here.substr(0, known.size());
  at_ += known.size();
  return true;
}

bool LineReader::read_name(Line& line, std::string_view& name) {
  if (!read_token(Token::key, name, "a field's name is missing")) return false;
  if (name.size() > kFieldNameBytesMax) return fail("a field's name is longer than 255 bytes");
  if (peek() != '=' || done()) return fail("a field needs = and a value");
  const size_t place = line.fields.size();
  if (place == kFieldsMax) return true;
  names_.resize(std::max(names_.size(), place + 1));
  names_[place] = name;
  return true;
}

bool LineReader::read_field(Line& line) {
  Field field;
  if (!pass_known_name(line, field.name) && !read_name(line, field.name)) return false;
  ++at_;
  if (!read_value(field.value)) return false;
  if (line.fields.size() == kFieldsMax) return fail("more than 1,024 fields");
  line.fields.push_back(field);
  return true;
}

bool LineReader::read_value(Value& value) {
  if (at_end_of_line()) return fail("a field's value is missing");
  if (peek() == '"') return read_string(value);
  const size_t begin = at_;
  while (at_ < input_.size() && (class_of(input_[at_]) & kEndsWord) == 0) ++at_;
  const std::string_view word = input_.substr(begin, at_ - begin);
  if (word.empty()) return fail("a field's value is missing");
  const bool number = (word.front() >= '0' && word.front() <= '9') || word.front() == '-';
  if (number) return read_number(word, value);
  if (const auto is = boolean_of(word)) {
    value.type = FieldType::boolean;
    value.integer = *is ? 1 : 0;
    return true;
  }
  return read_number(word, value);
}

bool LineReader::read_string(Value& value) {
  const size_t begin = ++at_;
  while (at_ < input_.size() && input_[at_] != '"') {
    if (input_[at_] == '\n') ++line_number_;
    at_ += input_[at_] == '\\' && at_ + 1 < input_.size() ? 2 : 1;
  }
  if (done()) return fail("a text has no closing quote");
  value.type = FieldType::text;
  value.text = input_.substr(begin, at_ - begin);
  ++at_;
  if (value.text.size() > kStringBytesMax) return fail("a text is longer than 65,536 bytes");
  return is_utf8(value.text) ? true : fail("a text that is not UTF-8");
}

bool LineReader::read_number(std::string_view word, Value& value) {
  if (word.back() == 'i') {
    value.type = FieldType::integer;
    word.remove_suffix(1);
    return whole_number(word, value.integer) ? true : fail("no integer of 64 bits");
  }
  if (word.back() == 'u') {
    uint64_t number = 0;
    value.type = FieldType::unsigned_integer;
    word.remove_suffix(1);
    if (!whole_number(word, number)) return fail("no unsigned integer of 64 bits");
    value.integer = static_cast<int64_t>(number);
    return true;
  }
  value.type = FieldType::real;
  if (plain_real(word, value.real)) return true;
  if (!is_real(word)) return fail("a value that is no number, boolean or text");
  if (word.front() == '+') word.remove_prefix(1);
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value.real);
  if (error == std::errc()) return true;
  value.real = word.starts_with('-') ? -0.0 : 0.0;
  return is_too_small(word) ? true : fail("a number that a float of 64 bits does not reach");
}

bool LineReader::read_time(Line& line) {
  skip_spaces();
  if (at_end_of_line()) return true;
  const size_t begin = at_;
  uint64_t worth = 0;
  at_ += read_digits(input_.substr(at_), worth);
  const bool is_short = at_ > begin && at_ - begin <= kShortDigits && worth <= kTimeMax &&
                        (done() || (class_of(input_[at_]) & (kEndsWord | kControl)) != 0);
  auto time = static_cast<int64_t>(worth);
  while (!is_short && at_ < input_.size() && (class_of(input_[at_]) & (kEndsWord | kControl)) == 0) ++at_;
  if (!is_short && !whole_number(input_.substr(begin, at_ - begin), time))
    return fail("a time that is no integer of 64 bits");
  line.time = time;
  line.time_text = input_.substr(begin, at_ - begin);
  skip_spaces();
  return at_end_of_line() ? true : fail("something follows the time");
}

// A name's written form is its only one, so that order is all there is to bring about.
std::optional<std::string_view> series_key(const Line& line, std::string& scratch) {
  if (line.known_head || sorted_as_written(line.tags)) return line.head;
  std::vector<Tag> tags = line.tags;
  // total order: equal keys are refused
  std::sort(tags.begin(), tags.end(), [](const Tag& a, const Tag& b) { return a.key < b.key; });
  for (size_t i = 1; i < tags.size(); ++i)
    if (tags[i - 1].key == tags[i].key) return std::nullopt;
  scratch = line.measurement;
  for (const Tag& tag : tags) scratch.append(",").append(tag.key).append("=").append(tag.value);
  return scratch;
}

SeriesParts parts_of(std::string_view series_key) {
  SeriesParts parts;
  size_t end = find_unescaped(series_key, ",", Token::measurement);
  parts.measurement = unescape(series_key.substr(0, end), Token::measurement);
  while (end < series_key.size()) {
    series_key.remove_prefix(end + 1);
    end = find_unescaped(series_key, ",", Token::key);
    const std::string_view tag = series_key.substr(0, end);
    const size_t middle = find_unescaped(tag, "=", Token::key);
    const std::string_view value = tag.substr(std::min(tag.size(), middle + 1));
    parts.tags.emplace_back(unescape(tag.substr(0, middle), Token::key), unescape(value, Token::key));
  }
  return parts;
}

std::optional<int64_t> precision_ns(std::string_view name) {
  constexpr int64_t kSecond = 1'000'000'000;
  constexpr std::pair<std::string_view, int64_t> kUnits[] = {
      {"n", 1},          {"ns", 1},      {"u", 1'000},        {"us", 1'000},         {"µs", 1'000},
      {"ms", 1'000'000}, {"s", kSecond}, {"m", 60 * kSecond}, {"h", 3'600 * kSecond}};
  const auto* found =
      std::find_if(std::begin(kUnits), std::end(kUnits), [&](const auto& u) { return u.first == name; });
  return found == std::end(kUnits) ? std::nullopt : std::optional(found->second);
}

void append_value(std::string& out, const Value& value) {
  std::array<char, 32> digits{};
  const auto put = [&](auto number) {
    const auto [end, error] = std::to_chars(digits.data(), digits.data() + digits.size(), number);
    out.append(digits.data(), end);
  };
  switch (value.type) {
    case FieldType::real: append_real(out, value.real); break;
    case FieldType::integer:
      put(value.integer);
      out += 'i';
      break;
    case FieldType::unsigned_integer:
      put(static_cast<uint64_t>(value.integer));
      out += 'u';
      break;
    case FieldType::boolean: out += value.integer != 0 ? "true" : "false"; break;
    case FieldType::text:
      out += '"';
      append_escaped(out, value.text, Token::string);
      out += '"';
      break;
  }
}

}  // namespace heptane::iot::series
