#include "kernel/config/document.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

// Its own assertions do not hold on every wrong input (a table's name that begins with `&`); what it reports is right.
#define TOML_ASSERT(expression) static_cast<void>(0)
#define TOML_EXCEPTIONS 0
#define TOML_ENABLE_FORMATTERS 0
#define TOML_ENABLE_WINDOWS_COMPAT 0
#include <toml++/toml.h>

namespace heptane::config {

namespace {

bool is_bare(std::string_view key) {
  return !key.empty() && std::all_of(key.begin(), key.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
  });
}

Place place_of(const toml::source_region& region) {
  return {static_cast<uint32_t>(region.begin.line), static_cast<uint32_t>(region.begin.column)};
}

const char* kind_name(toml::node_type type) {
  switch (type) {
    case toml::node_type::table: return "a table";
    case toml::node_type::array: return "a list";
    case toml::node_type::string: return "a string";
    case toml::node_type::integer: return "an integer";
    case toml::node_type::floating_point: return "a number with a point";
    case toml::node_type::boolean: return "true or false";
    case toml::node_type::date: return "a date";
    case toml::node_type::time: return "a time";
    case toml::node_type::date_time: return "a date and time";
    case toml::node_type::none: break;
  }
  return "nothing";
}

class Flattener {
 public:
  explicit Flattener(Document& out) : out_(out) {}

  bool table(const toml::table& table, const std::string& prefix) {
    for (const auto& [key, node] : table) {
      if (out_.entries.size() >= kEntriesLimit) return false;
      const std::string part = is_bare(key.str()) ? std::string(key.str()) : '"' + std::string(key.str()) + '"';
      const std::string name = prefix.empty() ? part : prefix + "." + part;
      if (!add(node, name)) return false;
    }
    return true;
  }

 private:
  bool add(const toml::node& node, const std::string& name) {
    Entry entry{name, place_of(node.source()), Entry::Kind::value, {}, kind_name(node.type())};
    if (node.is_table()) {
      entry.kind = Entry::Kind::table;
      out_.entries.push_back(std::move(entry));
      return table(*node.as_table(), name);
    }
    if (const auto* text = node.as_string())
      entry.value = text->get();
    else if (const auto* number = node.as_integer())
      entry.value = number->get();
    else if (const auto* flag = node.as_boolean())
      entry.value = flag->get();
    else if (!node.is_array() || !list(*node.as_array(), entry))
      entry.kind = Entry::Kind::other;
    out_.entries.push_back(std::move(entry));
    return true;
  }

  static bool list(const toml::array& array, Entry& entry) {
    if (!array.empty() && array.is_homogeneous(toml::node_type::table)) return tables(array, entry);
    std::vector<std::string> texts;
    for (const toml::node& node : array) {
      const auto* text = node.as_string();
      if (text == nullptr) {
        entry.kind_name = std::string("a list with ") + kind_name(node.type()) + " in it";
        return false;
      }
      texts.push_back(text->get());
    }
    entry.value = std::move(texts);
    return true;
  }

  // Each as its lines.
  static bool tables(const toml::array& array, Entry& entry) {
    entry.kind_name = "a list with a table in it";
    std::vector<std::string> texts;
    for (const toml::node& node : array) {
      std::string lines;
      for (const auto& [key, value] : *node.as_table()) {
        const std::optional<std::string> text = text_of(value);
        if (!text || !is_bare(key.str())) {
          entry.kind_name = "a list of tables in which `" + std::string(key.str()) + "` is " + kind_name(value.type());
          return false;
        }
        lines += std::string(key.str()) + '=' + *text + '\n';
      }
      texts.push_back(std::move(lines));
    }
    entry.tables = true;
    entry.value = std::move(texts);
    return true;
  }

  // Of a value in a table; nullopt: it is none that may stand there.
  static std::optional<std::string> text_of(const toml::node& value) {
    if (const auto* number = value.as_integer()) return std::to_string(number->get());
    if (const auto* flag = value.as_boolean()) return flag->get() ? "true" : "false";
    const auto* text = value.as_string();
    if (text == nullptr || text->get().find('\n') != std::string::npos) return std::nullopt;
    return text->get();
  }

  Document& out_;
};

Error file_error(const std::string& path, const char* what, int error) {
  return {error == ENOENT ? Errc::not_found : Errc::io, path + ": " + what + ": " + std::strerror(error)};
}

// What TOML has in strings and comments alone is looked up, anywhere else, in a table of toml++ that has holes.
class BeyondAscii {
 public:
  explicit BeyondAscii(std::string_view text) : text_(text) {}

  // The first one that stands in no string and no comment.
  std::optional<Place> find() {
    if (text_.starts_with(kByteOrderMark)) skip(kByteOrderMark.size());
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (static_cast<unsigned char>(c) >= 0x80) return place_;
      const bool quote = c == '"' || c == '\'';
      const Place begin = place_;
      const size_t from = at_;
      const bool part_of_key = quote && is_behind_point();
      if (c == '#')
        skip_comment();
      else if (part_of_key || (quote && string_may_begin()))
        skip_string(c);
      else
        skip(1);
      if (part_of_key && !is_ascii(text_.substr(from, at_ - from))) return begin;
    }
    return std::nullopt;
  }

 private:
  static constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

  void skip(size_t bytes) {
    for (const size_t end = std::min(at_ + bytes, text_.size()); at_ < end; ++at_) {
      const bool begins = (static_cast<unsigned char>(text_[at_]) & 0xC0) != 0x80;
      if (begins) ++place_.column;
      if (text_[at_] == '\n') place_ = {place_.line + 1, 1};
    }
  }
  static bool is_ascii(std::string_view text) {
    return std::all_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; });
  }
  // A part of a key, which is ASCII here: behind the point of a number it would be no string.
  bool is_behind_point() const { return at_ > 0 && text_[at_ - 1] == '.'; }
  // Elsewhere a quote is a part of a wrong word, as what follows it.
  bool string_may_begin() const {
    return at_ == 0 || std::string_view(" \t\r\n=[,{").find(text_[at_ - 1]) != std::string_view::npos ||
           text_.substr(0, at_) == kByteOrderMark;
  }
  void skip_comment() { skip(std::min(text_.find('\n', at_), text_.size()) - at_); }
  // One that does not end, or not in its line, is a mistake that toml++ finds.
  void skip_string(char quote) {
    const std::string three(3, quote);
    const bool lines = text_.substr(at_).starts_with(three);
    const std::string_view end = lines ? std::string_view(three) : std::string_view(three).substr(0, 1);
    skip(end.size());
    while (at_ < text_.size() && !text_.substr(at_).starts_with(end)) {
      if (!lines && text_[at_] == '\n') return;
      skip(quote == '"' && text_[at_] == '\\' ? 2 : 1);
    }
    skip(end.size());
  }

  std::string_view text_;
  size_t at_ = 0;
  Place place_{1, 1};
};

}  // namespace

std::variant<Document, Mistake> parse_document(std::string_view text) {
  if (text.size() > kFileBytesLimit)
    return Mistake{{}, {}, "longer than " + std::to_string(kFileBytesLimit) + " bytes, which no configuration is"};
  // A byte of zero is no TOML, and some messages of the parser would end at it.
  if (text.find('\0') != std::string_view::npos) return Mistake{{}, {}, "holds a byte of zero: this is no text file"};
  if (const std::optional<Place> place = BeyondAscii(text).find())
    return Mistake{{}, *place, "a character that is not ASCII stands outside of strings and comments"};
  const toml::parse_result parsed = toml::parse(text);
  if (!parsed) return Mistake{{}, place_of(parsed.error().source()), std::string(parsed.error().description())};
  Document document;
  if (!Flattener(document).table(parsed.table(), {}))
    return Mistake{{}, {}, "more than " + std::to_string(kEntriesLimit) + " keys"};
  return document;
}

std::optional<Entry> parse_value(std::string_view text) {
  const std::variant<Document, Mistake> parsed = parse_document("value = " + std::string(text));
  const auto* document = std::get_if<Document>(&parsed);
  if (document == nullptr || document->entries.size() != 1) return std::nullopt;
  return document->entries.front();
}

Result<std::string> read_config_file(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return file_error(path, "cannot be opened", errno);
  struct stat facts {};
  Result<std::string> out = std::string();
  if (fstat(fd, &facts) != 0)
    out = file_error(path, "cannot be read", errno);
  else if (!S_ISREG(facts.st_mode))
    out = Error{Errc::invalid_argument, path + ": is no file"};
  else if (facts.st_size > static_cast<off_t>(kFileBytesLimit))
    out = Error{Errc::too_large,
                path + ": longer than " + std::to_string(kFileBytesLimit) + " bytes, which no configuration is"};
  std::string text(kFileBytesLimit + 1, '\0');
  size_t got = 0;
  while (out.ok() && got < text.size()) {
    const ssize_t count = ::read(fd, text.data() + got, text.size() - got);
    if (count == 0) break;
    if (count < 0 && errno != EINTR) out = file_error(path, "cannot be read", errno);
    if (count > 0) got += static_cast<size_t>(count);
  }
  ::close(fd);
  if (!out) return out;
  text.resize(got);
  return text;
}

}  // namespace heptane::config
