#include "modules/iot/domain/rules/functions.h"

#include <algorithm>

#include "modules/iot/domain/rules/function_parts.h"
#include "modules/iot/domain/topics/topics.h"

namespace heptane::iot::rules {

Result<std::string_view> text_at(Arguments arguments, size_t at) {
  if (!arguments[at].is(ValueKind::text))
    return wrong_argument("argument " + std::to_string(at + 1) + " is " + kind_name(arguments[at].kind) +
                          ", not a text");
  return std::string_view(arguments[at].text);
}

Result<Decimal> number_at(Arguments arguments, size_t at) {
  if (!arguments[at].is(ValueKind::number))
    return wrong_argument("argument " + std::to_string(at + 1) + " is " + kind_name(arguments[at].kind) +
                          ", not a number");
  return arguments[at].number;
}

Result<size_t> count_at(Arguments arguments, size_t at, size_t least, size_t most) {
  const Result<Decimal> number = number_at(arguments, at);
  if (!number) return number.error();
  const auto count = whole(*number);
  if (!count || *count < static_cast<Int128>(least) || *count > static_cast<Int128>(most))
    return wrong_argument("argument " + std::to_string(at + 1) + " is a whole number from " + std::to_string(least) +
                          " to " + std::to_string(most));
  return static_cast<size_t>(*count);
}

Result<Value> made_text(std::string text) {
  if (text.size() > kTextBytesMax) return wrong_argument("the text is longer than 64 KiB");
  return Value::of(std::move(text));
}

namespace {

Error wrong(std::string why) { return wrong_argument(std::move(why)); }
Result<Value> made(std::string text) { return made_text(std::move(text)); }

// Of ASCII: what a letter's other case is elsewhere depends on whom one asks.
template <char kFrom, char kTo>
Result<Value> shift_case(Arguments arguments, const Message&) {
  const auto text = text_at(arguments, 0);
  if (!text) return text.error();
  std::string out(*text);
  for (char& c : out)
    if (c >= kFrom && c <= kFrom + 25) c = static_cast<char>(c - kFrom + kTo);
  return Value::of(std::move(out));
}

enum class Sides : uint8_t { left = 1, right = 2, both = 3 };

template <Sides kSides>
Result<Value> trim(Arguments arguments, const Message&) {
  constexpr std::string_view kSpace = " \t\r\n";
  const auto given = text_at(arguments, 0);
  if (!given) return given.error();
  std::string_view text = *given;
  if (kSides != Sides::right) text.remove_prefix(std::min(text.find_first_not_of(kSpace), text.size()));
  if (kSides != Sides::left) text.remove_suffix(text.size() - (text.find_last_not_of(kSpace) + 1));
  return Value::of(std::string(text));
}

bool begins_character(char byte) { return (static_cast<uint8_t>(byte) & 0xC0) != 0x80; }

int64_t characters_of(std::string_view text) { return std::count_if(text.begin(), text.end(), begins_character); }

// In characters of UTF-8, and so is substr: no text is cut within one. Of an array or object: how many it has.
Result<Value> length(Arguments arguments, const Message&) {
  if (arguments[0].is(ValueKind::json)) {
    const devices::JsonTree& tree = *arguments[0].json;
    return Value::of(Decimal::of(static_cast<int64_t>(tree.items.size() + tree.members.size())));
  }
  const auto text = text_at(arguments, 0);
  if (!text) return text.error();
  return Value::of(Decimal::of(characters_of(*text)));
}

// Where the character of this number, from 0, begins.
size_t place_of(std::string_view text, size_t character) {
  size_t at = 0;
  for (; at < text.size(); ++at)
    if (begins_character(text[at]) && character-- == 0) break;
  return at;
}

Result<Value> substr(Arguments arguments, const Message&) {
  const auto text = text_at(arguments, 0);
  if (!text) return text.error();
  const auto from = count_at(arguments, 1, 1, kTextBytesMax);
  if (!from) return from.error();
  size_t count = kTextBytesMax;
  if (arguments.size() > 2) {
    const auto said = count_at(arguments, 2, 0, kTextBytesMax);
    if (!said) return said.error();
    count = *said;
  }
  const std::string_view behind = text->substr(place_of(*text, *from - 1));
  return Value::of(std::string(behind.substr(0, place_of(behind, count))));
}

// To so many characters, by the third argument over and over; a longer text is cut off.
template <Sides kSide>
Result<Value> pad(Arguments arguments, const Message&) {
  const auto text = text_at(arguments, 0);
  const auto count = count_at(arguments, 1, 0, kTextBytesMax);
  const auto by = arguments.size() > 2 ? text_at(arguments, 2) : Result<std::string_view>(std::string_view(" "));
  if (!text) return text.error();
  if (!count) return count.error();
  if (!by) return by.error();
  if (by->empty()) return wrong("a text is filled up by something");
  std::string fill;
  const auto has = static_cast<size_t>(characters_of(*text));
  for (size_t missing = *count > has ? *count - has : 0; missing > 0 && fill.size() <= kTextBytesMax;) {
    const std::string_view part = by->substr(0, place_of(*by, missing));
    fill += part;
    missing -= std::min(missing, static_cast<size_t>(characters_of(part)));
    if (characters_of(part) == 0) return wrong("a text is filled up by characters");
  }
  const std::string_view kept = text->substr(0, place_of(*text, *count));
  return made(kSide == Sides::left ? fill + std::string(kept) : std::string(kept) + fill);
}

Result<Value> concat(Arguments arguments, const Message&) {
  std::string out;
  for (const Value& value : arguments) {
    out += plain_text(value);
    if (out.size() > kTextBytesMax) break;
  }
  return made(std::move(out));
}

// Of a text that is sought: what it takes to seek it is a product of both.
Result<std::string_view> sought_at(Arguments arguments, size_t at) {
  const auto text = text_at(arguments, at);
  if (!text) return text.error();
  if (text->size() > kSoughtBytesMax) return wrong("what is sought in a text has at most 256 bytes");
  return std::string_view(*text);
}

Result<Value> replace(Arguments arguments, const Message&) {
  const auto text = text_at(arguments, 0);
  const auto what = sought_at(arguments, 1);
  const auto by = text_at(arguments, 2);
  for (const auto* part : {&text, &what, &by})
    if (!*part) return part->error();
  if (what->empty()) return wrong("there is nothing to replace");
  std::string out;
  std::string_view rest = *text;
  while (out.size() <= kTextBytesMax) {
    const size_t found = rest.find(*what);
    out += rest.substr(0, found);
    if (found == std::string_view::npos) break;
    out += *by;
    rest.remove_prefix(found + what->size());
  }
  return made(std::move(out));
}

// The n-th part, from 1; NULL: there are not so many.
Value part_of(std::string_view text, std::string_view by, size_t number) {
  while (true) {
    const size_t end = text.find(by);
    if (--number == 0) return Value::of(std::string(text.substr(0, end)));
    if (end == std::string_view::npos) return {};
    text.remove_prefix(end + by.size());
  }
}

Result<Value> split(Arguments arguments, const Message&) {
  const auto text = text_at(arguments, 0);
  const auto by = sought_at(arguments, 1);
  const auto number = count_at(arguments, 2, 1, kTextBytesMax);
  if (!text) return text.error();
  if (!by) return by.error();
  if (!number) return number.error();
  if (by->empty()) return wrong("a text is split by something");
  return part_of(*text, *by, *number);
}

template <bool (*kHolds)(std::string_view, std::string_view)>
Result<Value> tests(Arguments arguments, const Message&) {
  const auto text = text_at(arguments, 0);
  const auto part = text_at(arguments, 1);
  if (!text) return text.error();
  if (!part) return part.error();
  return Value::of(kHolds(*text, *part));
}
bool starts(std::string_view text, std::string_view part) { return text.starts_with(part); }
bool ends(std::string_view text, std::string_view part) { return text.ends_with(part); }

Result<Value> contains(Arguments arguments, const Message&) {
  const auto text = text_at(arguments, 0);
  const auto part = sought_at(arguments, 1);
  if (!text) return text.error();
  if (!part) return part.error();
  return Value::of(text->find(*part) != std::string_view::npos);
}

// In characters, from 1; 0: it is not there.
Result<Value> strpos(Arguments arguments, const Message&) {
  const auto text = text_at(arguments, 0);
  const auto part = sought_at(arguments, 1);
  if (!text) return text.error();
  if (!part) return part.error();
  const size_t found = text->find(*part);
  return Value::of(Decimal::of(found == std::string_view::npos ? 0 : characters_of(text->substr(0, found)) + 1));
}

Result<Value> absolute(Arguments arguments, const Message&) {
  const auto number = number_at(arguments, 0);
  if (!number) return number.error();
  return Value::of(Decimal{number->digits < 0 ? -number->digits : number->digits, number->places});
}

template <Rounding kRounding>
Result<Value> round_to(Arguments arguments, const Message&) {
  const auto number = number_at(arguments, 0);
  if (!number) return number.error();
  size_t places = 0;
  if (arguments.size() > 1) {
    const auto said = count_at(arguments, 1, 0, kPlacesMax);
    if (!said) return said.error();
    places = *said;
  }
  return Value::of(rounded(*number, static_cast<uint8_t>(places), kRounding));
}

template <int kSign>
Result<Value> extreme(Arguments arguments, const Message&) {
  auto best = number_at(arguments, 0);
  for (size_t i = 1; best && i < arguments.size(); ++i) {
    const auto next = number_at(arguments, i);
    if (!next) return next.error();
    if (compare(*next, *best) == kSign) best = next;
  }
  if (!best) return best.error();
  return Value::of(*best);
}

Result<Value> number_of(Arguments arguments, const Message&) {
  if (arguments[0].is(ValueKind::number)) return arguments[0];
  const auto text = text_at(arguments, 0);
  if (!text) return text.error();
  const auto number = parse_decimal(*text);
  if (!number) return wrong("the text is no number of at most 36 digits, 18 of them behind the point");
  return Value::of(*number);
}

Result<Value> text_of(Arguments arguments, const Message&) { return made(plain_text(arguments[0])); }

Result<Value> coalesce(Arguments arguments, const Message&) {
  for (const Value& value : arguments)
    if (!value.is_null()) return value;
  return Value{};
}

Result<Value> topic(Arguments arguments, const Message& message) {
  if (!message.topic.empty() && !valid_text(message.topic)) return wrong("the record's key is no valid text");
  if (arguments.empty()) return Value::of(std::string(message.topic));
  const auto number = count_at(arguments, 0, 1, kTextBytesMax);
  if (!number) return number.error();
  return part_of(message.topic, "/", *number);
}

// What is JSON is valid text.
Result<Value> payload(Arguments, const Message& message) {
  if (message.json == nullptr) return wrong("the message is no JSON");
  return made(std::string(message.payload));
}
Result<Value> offset(Arguments, const Message& message) { return Value::of(Decimal::of(message.offset)); }

constexpr size_t kManyArguments = 16;
constexpr Function kFunctions[] = {
    {"lower", 1, 1, false, shift_case<'A', 'a'>},
    {"upper", 1, 1, false, shift_case<'a', 'A'>},
    {"trim", 1, 1, false, trim<Sides::both>},
    {"ltrim", 1, 1, false, trim<Sides::left>},
    {"rtrim", 1, 1, false, trim<Sides::right>},
    {"lpad", 2, 3, false, pad<Sides::left>},
    {"rpad", 2, 3, false, pad<Sides::right>},
    {"strpos", 2, 2, false, strpos},
    {"length", 1, 1, false, length},
    {"substr", 2, 3, false, substr},
    {"concat", 1, kManyArguments, false, concat},
    {"replace", 3, 3, false, replace},
    {"split", 3, 3, false, split},
    {"starts_with", 2, 2, false, tests<starts>},
    {"ends_with", 2, 2, false, tests<ends>},
    {"contains", 2, 2, false, contains},
    {"abs", 1, 1, false, absolute},
    {"floor", 1, 2, false, round_to<Rounding::down>},
    {"ceil", 1, 2, false, round_to<Rounding::up>},
    {"round", 1, 2, false, round_to<Rounding::half_away>},
    {"round_even", 1, 2, false, round_to<Rounding::half_even>},
    {"trunc", 1, 2, false, round_to<Rounding::to_zero>},
    {"least", 1, kManyArguments, false, extreme<-1>},
    {"greatest", 1, kManyArguments, false, extreme<1>},
    {"number", 1, 1, false, number_of},
    {"text", 1, 1, false, text_of},
    {"coalesce", 1, kManyArguments, true, coalesce},
    {"topic", 0, 1, false, topic, true},
    {"key", 0, 0, false, topic, true},
    {"payload", 0, 0, false, payload, true},
    {"offset", 0, 0, false, offset, true},
};

}  // namespace

const Function* find_function(std::string_view name) {
  for (const std::span<const Function> table :
       {std::span<const Function>(kFunctions), json_functions(), time_functions()})
    for (const Function& one : table)
      if (one.name == name) return &one;
  return nullptr;
}

}  // namespace heptane::iot::rules
