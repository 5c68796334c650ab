#include "modules/iot/gateway/rules/series_point.h"

#include <map>
#include <optional>
#include <set>

#include "modules/iot/domain/series/line_protocol.h"

namespace heptane::iot::rules {

namespace {

Error wrong(std::string why) { return {Errc::invalid_argument, "series: " + std::move(why)}; }

std::set<std::string, std::less<>> names_in(std::string_view list) {
  std::set<std::string, std::less<>> names;
  while (!list.empty()) {
    std::string_view name = list.substr(0, list.find(','));
    list.remove_prefix(std::min(list.size(), name.size() + 1));
    while (name.starts_with(' ')) name.remove_prefix(1);
    while (name.ends_with(' ')) name.remove_suffix(1);
    if (!name.empty()) names.emplace(name);
  }
  return names;
}

std::string escaped(std::string_view text, series::Token token) {
  std::string out;
  series::append_escaped(out, text, token);
  return out;
}

// SELECT * takes members as they are. Nullopt: a number that a rule cannot hold.
std::optional<Value> scalar_of(const Value& value) { return value.is(ValueKind::json) ? value_of(*value.json) : value; }

Result<std::string> field_value(const std::string& name, const Value& value) {
  switch (value.kind) {
    case ValueKind::number: return to_text(value.number);
    case ValueKind::truth: return std::string(value.truth ? "true" : "false");
    case ValueKind::text: return "\"" + escaped(value.text, series::Token::string) + "\"";
    default: return wrong("the field " + name + " is JSON: select what is in it");
  }
}

// The only reading of it is what was meant: a name that ends with a backslash has none.
Result<void> check(const std::string& text, size_t tags, size_t fields) {
  series::LineReader reader(text);
  series::Line line;
  if (!reader.next(line)) return wrong("there is no point");
  if (!reader.refused().empty()) return wrong(std::string(reader.refused()));
  std::string scratch;
  const bool whole = line.text.size() == text.size() && line.tags.size() == tags && line.fields.size() == fields;
  return whole && series::series_key(line, scratch) == line.head ? Result<void>()
                                                                 : wrong("a name or a tag ends with a backslash");
}

}  // namespace

Result<std::string> point_of(std::string_view measurement, std::string_view tags, const Row& row, int64_t time_ns) {
  const auto tag_names = names_in(tags);
  std::map<std::string, std::string> sorted;
  std::string fields;
  size_t count = 0;
  for (const auto& [name, selected] : row) {
    const std::optional<Value> read = scalar_of(selected);
    if (!read) return wrong("the number of " + name + " has more digits than rules count with");
    const Value& value = *read;
    if (value.is_null()) continue;
    if (tag_names.contains(name)) {
      if (std::string text = plain_text(value); !text.empty())
        sorted[escaped(name, series::Token::key)] = escaped(text, series::Token::key);
      continue;
    }
    const Result<std::string> text = field_value(name, value);
    if (!text) return text.error();
    fields += (count++ > 0 ? "," : "") + escaped(name, series::Token::key) + "=" + *text;
  }
  if (count == 0) return wrong("no column but tags has a value");
  std::string line = escaped(measurement, series::Token::measurement);
  for (const auto& [name, value] : sorted) line += "," + name + "=" + value;
  line += " " + fields + " " + std::to_string(time_ns);
  HEPTANE_TRY(check(line, sorted.size(), count));
  return line;
}

}  // namespace heptane::iot::rules
