#include "modules/data/domain/sql/names.h"

#include <algorithm>

namespace heptane::data::sql {

namespace {

std::string quoted(std::string_view text, char quote) {
  std::string out(1, quote);
  for (const char c : text) {
    if (c == quote) out += quote;
    out += c;
  }
  return out += quote;
}

}  // namespace

TableName table_of_stream(std::string_view stream) {
  const size_t dot = stream.find('.');
  if (dot != std::string_view::npos && dot + 1 < stream.size()) {
    const std::string_view first = stream.substr(0, dot);
    if (std::find(kModuleSchemas.begin(), kModuleSchemas.end(), first) != kModuleSchemas.end())
      return {std::string(first), std::string(stream.substr(dot + 1))};
  }
  return {std::string(kPublicSchema), std::string(stream)};
}

std::string folded(std::string_view name) {
  std::string out(name);
  for (char& c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return out;
}

std::string quoted_name(std::string_view name) { return quoted(name, '"'); }

std::string quoted_text(std::string_view text) { return quoted(text, '\''); }

}  // namespace heptane::data::sql
