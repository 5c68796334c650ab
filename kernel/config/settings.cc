#include "kernel/config/settings.h"

#include <algorithm>

#include "kernel/config/units.h"

namespace heptane::config {

namespace {

constexpr size_t kNameShown = 80;  // of a name or a value that is wrong

std::string shown(std::string_view text) {
  std::string out;
  for (const char c : text.substr(0, kNameShown)) out += static_cast<unsigned char>(c) < ' ' || c == 0x7f ? '?' : c;
  return text.size() > kNameShown ? out + "..." : out;
}

std::string_view last_part(std::string_view name) { return name.substr(name.rfind('.') + 1); }

// Levenshtein's distance; both sides are short.
size_t distance(std::string_view one, std::string_view other) {
  std::vector<size_t> row(other.size() + 1);
  for (size_t j = 0; j <= other.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= one.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i);
    for (size_t j = 1; j <= other.size(); ++j) {
      const size_t replaced = diagonal + (one[i - 1] == other[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, replaced});
    }
  }
  return row.back();
}

}  // namespace

void KeyTable::add(std::vector<Key> keys) {
  for (Key& key : keys) {
    const bool added = by_name_.emplace(key.name, keys_.size()).second;
    HEPTANE_ASSERT(added && !key.help.empty(), "a configuration key is declared once, with its help");
    keys_.push_back(std::move(key));
  }
}

const Key* KeyTable::find(std::string_view name) const {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : &keys_[found->second];
}

const Key* KeyTable::find_for_value(std::string_view name) const {
  if (const Key* key = find(name)) return key;
  for (const Key& key : keys_)
    if (key.shorthand && std::string_view(key.name).substr(0, key.name.rfind('.')) == name) return &key;
  return nullptr;
}

bool KeyTable::is_section(std::string_view name) const {
  const auto next = by_name_.lower_bound(std::string(name) + ".");
  return next != by_name_.end() && next->first.starts_with(std::string(name) + ".");
}

std::string KeyTable::nearest(std::string_view name) const {
  name = name.substr(0, kNameShown);
  std::string best;
  size_t best_distance = std::max<size_t>(2, name.size() / 4) + 1;
  const auto consider = [&](std::string_view candidate) {
    const size_t far = distance(name, candidate);
    if (far < best_distance) best = candidate, best_distance = far;
  };
  for (const Key& key : keys_) {
    consider(key.name);
    for (size_t dot = key.name.find('.'); dot != std::string::npos; dot = key.name.find('.', dot + 1))
      consider(std::string_view(key.name).substr(0, dot));
  }
  if (!best.empty()) return best;
  // The right key in the wrong section.
  for (const Key& key : keys_)
    if (distance(last_part(name), last_part(key.name)) <= 1) return key.name;
  return {};
}

const Value& Settings::value(std::string_view name) const {
  const auto found = given_.find(name);
  if (found != given_.end()) return found->second.value;
  const Key* key = table_->find(name);
  HEPTANE_ASSERT(key != nullptr, "a configuration key that is asked for is in the table");
  return key->fallback;
}

Place Settings::place(std::string_view name) const {
  const auto found = given_.find(name);
  return found == given_.end() ? Place{} : found->second.place;
}

void Settings::forget(std::string_view name) {
  const auto found = given_.find(name);
  if (found != given_.end()) given_.erase(found);
}

namespace {

std::string number_text(const Key& key, int64_t number) {
  if (!key.word.empty() && number == key.word_value) return '"' + key.word + '"';
  if (key.type == Type::size) return size_text(number);
  if (key.type == Type::duration) return duration_text(number);
  return std::to_string(number);
}

std::string range_text(const Key& key) {
  const bool low = key.min != std::numeric_limits<int64_t>::min();
  const bool high = key.max != std::numeric_limits<int64_t>::max();
  std::string out;
  if (low && high) out = " from " + number_text(key, key.min) + " to " + number_text(key, key.max);
  if (low && !high) out = " of at least " + number_text(key, key.min);
  if (!low && high) out = " of at most " + number_text(key, key.max);
  return key.word.empty() ? out : out + ", or \"" + key.word + '"';
}

std::string choices_text(const Key& key) {
  std::string out;
  for (const std::string& choice : key.choices) out += (out.empty() ? "\"" : ", \"") + choice + '"';
  return out;
}

// Tells strings apart from what else a key may hold.
class Checker {
 public:
  Checker(const Key& key, Entry entry) : key_(key), entry_(std::move(entry)) {}

  // The value in the key's own type, or what is wrong.
  std::variant<Value, std::string> check() {
    if (entry_.kind != Entry::Kind::value) return wrong_type();
    switch (key_.type) {
      case Type::boolean: return holds<bool>() ? accept() : wrong_type();
      case Type::integer:
      case Type::size:
      case Type::duration: return number();
      case Type::text: return holds<std::string>() ? text() : wrong_type();
      case Type::choice:
      case Type::address:
      case Type::peer:
        if (key_.several && is_list() && !entry_.tables) return addresses();
        return holds<std::string>() ? word() : wrong_type();
      case Type::texts: return is_list() && !entry_.tables ? texts() : wrong_type();
      case Type::tables: return is_list() && (entry_.tables || is_empty()) ? texts() : wrong_type();
    }
    return wrong_type();
  }

 private:
  using Checked = std::variant<Value, std::string>;
  template <class T>
  bool holds() const {
    return std::holds_alternative<T>(entry_.value);
  }
  bool is_list() const { return holds<std::vector<std::string>>(); }
  bool is_empty() const { return std::get<std::vector<std::string>>(entry_.value).empty(); }
  Checked accept() { return std::move(entry_.value); }
  Checked wrong_type() const { return "this is " + entry_.kind_name + ": say " + expectation(key_); }

  Checked number() {
    int64_t number = 0;
    if (holds<std::string>()) {
      const auto& text = std::get<std::string>(entry_.value);
      if (!key_.word.empty() && text == key_.word) return Value(key_.word_value);
      const std::optional<int64_t> parsed = key_.type == Type::size       ? parse_size(text)
                                            : key_.type == Type::duration ? parse_duration(text)
                                                                          : std::nullopt;
      if (!parsed) return "\"" + shown(text) + "\" is no " + type_name() + ": say " + expectation(key_);
      number = *parsed;
    } else if (holds<int64_t>() && key_.type != Type::duration) {
      number = std::get<int64_t>(entry_.value);
    } else if (holds<int64_t>()) {
      return "a duration has its unit: say " + expectation(key_);
    } else {
      return wrong_type();
    }
    if (number < key_.min || number > key_.max)
      return number_text(key_, number) + " is out of range: say " + expectation(key_);
    return Value(number);
  }

  const char* type_name() const {
    return key_.type == Type::size ? "size" : key_.type == Type::duration ? "duration" : "integer";
  }

  Checked text() {
    const auto& text = std::get<std::string>(entry_.value);
    if (text.find('\0') != std::string::npos) return std::string("holds a byte of zero");
    return accept();
  }

  Checked texts() {
    for (const std::string& text : std::get<std::vector<std::string>>(entry_.value)) {
      if (!key_.choices.empty() && std::find(key_.choices.begin(), key_.choices.end(), text) == key_.choices.end())
        return "\"" + shown(text) + "\" is not known here: say " + expectation(key_);
      const std::string wrong = key_.wrong == nullptr ? std::string() : key_.wrong(text);
      if (!wrong.empty()) return entry_.tables ? wrong : "\"" + shown(text) + "\": " + wrong;
    }
    if (key_.wrong_together != nullptr) {
      std::string wrong = key_.wrong_together(std::get<std::vector<std::string>>(entry_.value));
      if (!wrong.empty()) return wrong;
    }
    return accept();
  }

  Checked word() {
    const auto& text = std::get<std::string>(entry_.value);
    if (std::find(key_.choices.begin(), key_.choices.end(), text) != key_.choices.end()) return accept();
    if (key_.type == Type::address && is_unix_address(text)) return accept();
    if (key_.type != Type::choice) {
      const std::optional<HostPort> parsed = parse_host_port(text);
      if (parsed && (key_.type == Type::peer || is_numeric_host(parsed->host))) return accept();
    }
    return "\"" + shown(text) + "\" is not known here: say " + expectation(key_);
  }

  bool is_address(const std::string& text) const {
    if (is_unix_address(text)) return true;
    const std::optional<HostPort> parsed = parse_host_port(text);
    return parsed && is_numeric_host(parsed->host);
  }

  Checked addresses() {
    const auto& texts = std::get<std::vector<std::string>>(entry_.value);
    if (texts.empty()) return "a list of addresses has at least one: say " + expectation(key_);
    for (const std::string& text : texts) {
      if (!is_address(text)) return "\"" + shown(text) + "\" is no address: say " + expectation(key_);
      if (std::count(texts.begin(), texts.end(), text) > 1) return "\"" + shown(text) + "\" is there twice";
    }
    return accept();
  }

  const Key& key_;
  Entry entry_;
};

void take(const Entry& entry, Settings& settings, std::vector<Mistake>& mistakes, std::string_view& skipped) {
  const KeyTable& table = settings.table();
  const auto mistake = [&](std::string message) {
    mistakes.push_back({shown(entry.name), entry.place, std::move(message)});
  };
  if (!skipped.empty() && entry.name.starts_with(std::string(skipped) + ".")) return;
  if (entry.kind == Entry::Kind::table && table.is_section(entry.name)) return;
  const Key* key = entry.kind == Entry::Kind::table ? table.find(entry.name) : table.find_for_value(entry.name);
  if (key == nullptr) {
    const std::string near = table.nearest(entry.name);
    if (entry.kind == Entry::Kind::table) skipped = entry.name;
    if (table.is_section(entry.name)) return mistake("this is a section, not a key: say [" + entry.name + "]");
    return mistake(near.empty() ? "there is no such key: see heptane config print"
                                : "there is no such key: did you mean " + near + "?");
  }
  if (entry.kind == Entry::Kind::table) skipped = entry.name;
  std::variant<Value, std::string> checked = Checker(*key, entry).check();
  if (auto* wrong = std::get_if<std::string>(&checked)) return mistake(std::move(*wrong));
  settings.give(key->name, std::move(std::get<Value>(checked)), entry.place);
}

Value value_of_text(const Key& key, std::string_view text) {
  if (key.type == Type::boolean && (text == "true" || text == "false")) return text == "true";
  const bool digits =
      !text.empty() && text.size() < 19 && text.find_first_not_of("0123456789") == std::string_view::npos;
  if (digits && (key.type == Type::integer || key.type == Type::size || key.type == Type::duration))
    return static_cast<int64_t>(std::stoll(std::string(text)));
  const bool list = key.type == Type::texts || (key.several && text.find(',') != std::string_view::npos);
  if (!list) return std::string(text);
  std::vector<std::string> parts;
  while (!text.empty()) {
    const size_t comma = std::min(text.find(','), text.size());
    parts.emplace_back(text.substr(0, comma));
    text.remove_prefix(std::min(comma + 1, text.size()));
  }
  return parts;
}

}  // namespace

std::vector<Mistake> Settings::give_text(std::string_view name, std::string_view text) {
  std::vector<Mistake> mistakes;
  Entry entry{std::string(name), {}, Entry::Kind::value, std::string(text), "a string"};
  const Key* key = table_->find_for_value(name);
  if (key != nullptr && key->type == Type::tables) {
    if (std::optional<Entry> value = parse_value(text)) {
      value->name = name;
      value->place = {};
      entry = std::move(*value);
    }
  } else if (key != nullptr) {
    entry.value = value_of_text(*key, text);
  }
  std::string_view skipped;
  take(entry, *this, mistakes, skipped);
  return mistakes;
}

std::vector<Mistake> read_settings(std::string_view text, Settings& settings) {
  const std::variant<Document, Mistake> parsed = parse_document(text);
  if (const auto* mistake = std::get_if<Mistake>(&parsed)) return {*mistake};
  std::vector<Mistake> mistakes;
  std::string_view skipped;
  for (const Entry& entry : std::get<Document>(parsed).entries) take(entry, settings, mistakes, skipped);
  std::stable_sort(mistakes.begin(), mistakes.end(), [](const Mistake& one, const Mistake& other) {
    return std::pair(one.place.line, one.place.column) < std::pair(other.place.line, other.place.column);
  });
  return mistakes;
}

std::string mistakes_text(const std::string& file, const std::vector<Mistake>& mistakes) {
  std::string out;
  for (size_t i = 0; i < std::min(mistakes.size(), kMistakesLimit); ++i) {
    const Mistake& mistake = mistakes[i];
    out += file;
    if (mistake.place.line != 0)
      out += ":" + std::to_string(mistake.place.line) + ":" + std::to_string(mistake.place.column);
    out += ": " + (mistake.key.empty() ? "" : mistake.key + ": ") + mistake.message + "\n";
  }
  if (mistakes.size() > kMistakesLimit)
    out += file + ": and " + std::to_string(mistakes.size() - kMistakesLimit) + " more\n";
  return out;
}

std::string expectation(const Key& key) {
  switch (key.type) {
    case Type::boolean: return "true or false";
    case Type::integer: return "an integer" + range_text(key);
    case Type::size: return "a size such as \"64MiB\" or 65536" + range_text(key);
    case Type::duration: return "a duration such as \"30s\" or \"500ms\"" + range_text(key);
    case Type::text: return "a string";
    case Type::choice: return (key.choices.size() > 1 ? "one of " : "") + choices_text(key);
    case Type::address:
      return std::string(
                 "\"HOST:PORT\" with a numeric host, such as \"127.0.0.1:9092\" or \"[::1]:9092\", \"unix:/path\"") +
             (key.several ? ", a list of them" : "") +
             (key.choices.empty() ? std::string() : ", or " + choices_text(key));
    case Type::peer:
      return "\"HOST:PORT\", such as \"broker.example:9092\"" +
             (key.choices.empty() ? std::string() : ", or " + choices_text(key));
    case Type::texts:
      return key.choices.empty() ? "a list of strings, such as [\"a\", \"b\"]" : "a list of " + choices_text(key);
    case Type::tables: return "a list of tables: [[" + key.name + "]] and their keys";
  }
  return {};
}

std::vector<const Key*> differences(const Settings& one, const Settings& other) {
  std::vector<const Key*> keys;
  for (const Key& key : one.table().all())
    if (one.value(key.name) != other.value(key.name)) keys.push_back(&key);
  return keys;
}

}  // namespace heptane::config
