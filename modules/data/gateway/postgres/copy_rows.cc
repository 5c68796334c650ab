#include "modules/data/gateway/postgres/copy_rows.h"

#include <optional>

namespace heptane::data::postgres {

using sql::CopyFormat;
using sql::CopyOptions;

namespace {

void put(ByteWriter& out, char c) { out.u8(static_cast<uint8_t>(c)); }

// What stands for a byte in text format; nullopt: the byte itself.
std::optional<char> escaped(char c) {
  switch (c) {
    case '\b': return 'b';
    case '\f': return 'f';
    case '\n': return 'n';
    case '\r': return 'r';
    case '\t': return 't';
    case '\v': return 'v';
    case '\\': return '\\';
    default: return std::nullopt;
  }
}

void append_text_value(ByteWriter& out, const CopyOptions& options, std::string_view value) {
  for (const char c : value) {
    const std::optional<char> stands = escaped(c);
    if (stands || c == options.delimiter) put(out, '\\');
    put(out, stands.value_or(c));
  }
}

void append_csv_value(ByteWriter& out, const CopyOptions& options, std::string_view value, bool alone) {
  const bool quoted =
      options.force_quote_all || value == options.null_text || (alone && value == "\\.") ||
      value.find_first_of(std::string{'\n', '\r', options.delimiter, options.quote}) != std::string_view::npos;
  if (!quoted) return out.append(value);
  put(out, options.quote);
  for (const char c : value) {
    if (c == options.quote || c == options.escape) put(out, options.escape);
    put(out, c);
  }
  put(out, options.quote);
}

void append_value(ByteWriter& out, const CopyOptions& options, std::string_view value, bool alone) {
  if (options.format == CopyFormat::csv)
    append_csv_value(out, options, value, alone);
  else
    append_text_value(out, options, value);
}

}  // namespace

void append_copy_header(MessageWriter& out, const CopyOptions& options, const std::vector<sql::Column>& columns) {
  ByteWriter& bytes = out.begin(Answer::copy_data);
  for (size_t i = 0; i < columns.size(); ++i) {
    if (i > 0) put(bytes, options.delimiter);
    append_value(bytes, options, columns[i].name, columns.size() == 1);
  }
  put(bytes, '\n');
  out.end();
}

void append_copy_row(MessageWriter& out, const CopyOptions& options, const std::vector<sql::Column>& columns,
                     const sql::Rows& rows, size_t row) {
  ByteWriter& bytes = out.begin(Answer::copy_data);
  ByteWriter value;
  for (size_t i = 0; i < columns.size(); ++i) {
    if (i > 0) put(bytes, options.delimiter);
    if (rows.is_null(i, row)) {
      bytes.append(options.null_text);
      continue;
    }
    value.clear();
    append_text(value, columns[i], rows, i, row);
    append_value(bytes, options, as_text(value.view()), columns.size() == 1);
  }
  put(bytes, '\n');
  out.end();
}

}  // namespace heptane::data::postgres
