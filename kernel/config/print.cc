// Settings as a TOML file that explains itself.
#include <algorithm>

#include "kernel/config/settings.h"
#include "kernel/config/units.h"

namespace heptane::config {

namespace {

std::string quoted(std::string_view text) {
  static constexpr char kHex[] = "0123456789abcdef";
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (byte < 0x20 || byte == 0x7f) {
      out += "\\u00";
      out += kHex[byte >> 4];
      out += kHex[byte & 15];
    } else {
      out += c;
    }
  }
  return out + '"';
}

std::string list_text(const std::vector<std::string>& texts) {
  std::string out = "[";
  for (const std::string& text : texts) out += (out.size() > 1 ? ", " : "") + quoted(text);
  return out + "]";
}

// Inline: a key's value stays in its section.
std::string tables_text(const std::vector<std::string>& tables) {
  std::string out = "[";
  for (const std::string& table : tables) {
    std::string inner;
    for (std::string_view rest = table; !rest.empty();) {
      const std::string_view line = rest.substr(0, rest.find('\n'));
      const size_t equals = line.find('=');
      inner +=
          (inner.empty() ? "" : ", ") + std::string(line.substr(0, equals)) + " = " + quoted(line.substr(equals + 1));
      rest.remove_prefix(line.size() + 1);
    }
    out += (out.size() > 1 ? ", {" : "{") + inner + '}';
  }
  return out + "]";
}

std::string comment(const Key& key) {
  std::string out = key.help;
  const bool number = key.type == Type::integer || key.type == Type::size || key.type == Type::duration;
  const bool bounded = key.min != std::numeric_limits<int64_t>::min() || !key.word.empty();
  if (key.type == Type::choice || (number && bounded)) out += "; " + expectation(key);
  if (key.logged) out += "; a change is logged";
  out += key.reloadable ? " (reload)" : "";
  return "# " + out + "\n";
}

std::string section_of(const Key& key) {
  const size_t dot = key.name.rfind('.');
  return dot == std::string::npos ? std::string() : key.name.substr(0, dot);
}

// In order of their first key, and what has no section before all: TOML has no way back to it.
std::vector<std::string> sections(const KeyTable& table) {
  std::vector<std::string> found = {""};
  for (const Key& key : table.all())
    if (const std::string section = section_of(key); std::find(found.begin(), found.end(), section) == found.end())
      found.push_back(section);
  return found;
}

}  // namespace

std::string value_text(const Key& key, const Value& value) {
  if (const bool* flag = std::get_if<bool>(&value)) return *flag ? "true" : "false";
  if (const auto* texts = std::get_if<std::vector<std::string>>(&value))
    return key.type == Type::tables ? tables_text(*texts) : list_text(*texts);
  if (const auto* text = std::get_if<std::string>(&value)) return quoted(*text);
  const int64_t number = std::get<int64_t>(value);
  if (!key.word.empty() && number == key.word_value) return quoted(key.word);
  if (key.type == Type::size)
    return number % 1024 == 0 && number != 0 ? quoted(size_text(number)) : std::to_string(number);
  if (key.type == Type::duration) return quoted(duration_text(number));
  return std::to_string(number);
}

std::string print_settings(const Settings& settings, PrintStyle style) {
  const bool example = style == PrintStyle::example;
  std::string out =
      "# Heptane's configuration: heptane serve --config FILE; heptane check-config FILE says what is wrong in it.\n"
      "# (reload): SIGHUP applies a change. Sizes: \"64MiB\" or bytes. Durations: \"500ms\", \"30s\", \"7d\".\n\n";
  for (const std::string& section : sections(settings.table())) {
    if (!section.empty()) out += "\n[" + section + "]\n";
    for (const Key& key : settings.table().all()) {
      if (section_of(key) != section) continue;
      const Value& value = example ? key.fallback : settings.value(key.name);
      const std::string name = key.name.substr(section.empty() ? 0 : section.size() + 1);
      out += comment(key) + (example ? "#" : "") + name + " = " + value_text(key, value) + "\n";
    }
  }
  return out;
}

}  // namespace heptane::config
