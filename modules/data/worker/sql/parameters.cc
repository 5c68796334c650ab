#include "modules/data/worker/sql/parameters.h"

#include <charconv>
#include <cmath>

#include "modules/data/domain/sql/names.h"
#include "modules/data/worker/sql/failures.h"

namespace heptane::data::sql {

namespace {

Type type_of(duckdb_type type) {
  switch (type) {
    case DUCKDB_TYPE_BOOLEAN: return Type::boolean;
    case DUCKDB_TYPE_TINYINT:
    case DUCKDB_TYPE_UTINYINT:
    case DUCKDB_TYPE_SMALLINT: return Type::int16;
    case DUCKDB_TYPE_USMALLINT:
    case DUCKDB_TYPE_INTEGER: return Type::int32;
    case DUCKDB_TYPE_UINTEGER:
    case DUCKDB_TYPE_BIGINT: return Type::int64;
    case DUCKDB_TYPE_FLOAT: return Type::float4;
    case DUCKDB_TYPE_DOUBLE: return Type::float8;
    case DUCKDB_TYPE_DECIMAL:
    case DUCKDB_TYPE_UBIGINT:
    case DUCKDB_TYPE_HUGEINT: return Type::numeric;
    case DUCKDB_TYPE_DATE: return Type::date;
    case DUCKDB_TYPE_TIME: return Type::time;
    case DUCKDB_TYPE_TIMESTAMP: return Type::timestamp;
    case DUCKDB_TYPE_TIMESTAMP_TZ: return Type::timestamptz;
    case DUCKDB_TYPE_UUID: return Type::uuid;
    case DUCKDB_TYPE_BLOB: return Type::bytea;
    default: return Type::text;
  }
}

// In small letters, without blanks around it.
std::string trimmed(std::string_view text) {
  const size_t begin = text.find_first_not_of(' ');
  if (begin == std::string_view::npos) return {};
  return folded(text.substr(begin, text.find_last_not_of(' ') - begin + 1));
}

std::optional<bool> boolean_of(std::string_view text) {
  const std::string word = trimmed(text);
  for (const char* yes : {"t", "true", "y", "yes", "on", "1"})
    if (word == yes) return true;
  for (const char* no : {"f", "false", "n", "no", "off", "0"})
    if (word == no) return false;
  return std::nullopt;
}

template <class Number>
std::optional<Number> number_of(std::string_view text) {
  const std::string word = trimmed(text);
  const char* const begin = word.data() + (word.starts_with('+') ? 1 : 0);
  const char* const end = word.data() + word.size();
  Number number{};
  const auto [at, error] = std::from_chars(begin, end, number);
  if (error != std::errc() || at != end || begin == end) return std::nullopt;
  return number;
}

int digit_of(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  const int letter = (c | 32) - 'a';
  return letter >= 0 && letter < 6 ? letter + 10 : -1;
}

// `\x` and hexadecimal digits.
std::optional<std::string> bytes_of(std::string_view text) {
  if (!text.starts_with("\\x") || text.size() % 2 != 0) return std::nullopt;
  std::string bytes;
  for (size_t i = 2; i < text.size(); i += 2) {
    const int high = digit_of(text[i]);
    const int low = digit_of(text[i + 1]);
    if (high < 0 || low < 0) return std::nullopt;
    bytes += static_cast<char>(high * 16 + low);
  }
  return bytes;
}

// Dates and times as DuckDB reads them: the number that it keeps.
class TimeReader {
 public:
  TimeReader(const DuckDb& duckdb, duckdb_connection connection) : duckdb_(duckdb), connection_(connection) {}

  std::optional<int64_t> read(std::string_view text, const char* type, bool days) {
    const std::string query = "SELECT TRY_CAST(" + quoted_text(text) + " AS " + type + ")";
    OwnedResult result(duckdb_);
    if (duckdb_.query(connection_, query.c_str(), result.get()) != DuckDBSuccess) return std::nullopt;
    OwnedChunk chunk(duckdb_);
    chunk.take(duckdb_.fetch_chunk(*result.get()));
    if (chunk.get() == nullptr) return std::nullopt;
    const duckdb_vector vector = duckdb_.data_chunk_get_vector(chunk.get(), 0);
    uint64_t* validity = duckdb_.vector_get_validity(vector);
    if (validity != nullptr && !duckdb_.validity_row_is_valid(validity, 0)) return std::nullopt;
    const void* data = duckdb_.vector_get_data(vector);
    return days ? *static_cast<const int32_t*>(data) : *static_cast<const int64_t*>(data);
  }

 private:
  const DuckDb& duckdb_;
  duckdb_connection connection_;
};

class Binder {
 public:
  Binder(const DuckDb& duckdb, duckdb_connection connection, duckdb_prepared_statement prepared)
      : duckdb_(duckdb), times_(duckdb, connection), prepared_(prepared) {}

  // False: the text is no value of the type.
  bool bind(idx_t index, const Parameter& parameter) {
    if (!parameter) return duckdb_.bind_null(prepared_, index) == DuckDBSuccess;
    const std::string& text = *parameter;
    const duckdb_type type = duckdb_.param_type(prepared_, index);
    switch (type_of(type)) {
      case Type::boolean:
        return bound(boolean_of(text), [&](bool value) { return duckdb_.bind_boolean(prepared_, index, value); });
      case Type::int16:
      case Type::int32:
      case Type::int64:
        return bound(number_of<int64_t>(text),
                     [&](int64_t value) { return duckdb_.bind_int64(prepared_, index, value); });
      case Type::float4:
      case Type::float8:
        return bound(number_of<double>(text),
                     [&](double value) { return duckdb_.bind_double(prepared_, index, value); });
      case Type::bytea:
        return bound(bytes_of(text), [&](const std::string& value) {
          return duckdb_.bind_blob(prepared_, index, value.data(), value.size());
        });
      case Type::date:
      case Type::time:
      case Type::timestamp:
      case Type::timestamptz: return bind_time(index, type, text);
      default: return duckdb_.bind_varchar_length(prepared_, index, text.data(), text.size()) == DuckDBSuccess;
    }
  }

 private:
  template <class Value, class Bind>
  static bool bound(const std::optional<Value>& value, Bind&& bind) {
    return value && bind(*value) == DuckDBSuccess;
  }

  bool bind_time(idx_t index, duckdb_type type, const std::string& text) {
    switch (type) {
      case DUCKDB_TYPE_DATE:
        return bound(times_.read(text, "DATE", true), [&](int64_t value) {
          return duckdb_.bind_date(prepared_, index, duckdb_date{static_cast<int32_t>(value)});
        });
      case DUCKDB_TYPE_TIME:
        return bound(times_.read(text, "TIME", false),
                     [&](int64_t value) { return duckdb_.bind_time(prepared_, index, duckdb_time{value}); });
      case DUCKDB_TYPE_TIMESTAMP:
        return bound(times_.read(text, "TIMESTAMP", false),
                     [&](int64_t value) { return duckdb_.bind_timestamp(prepared_, index, duckdb_timestamp{value}); });
      default:
        return bound(times_.read(text, "TIMESTAMPTZ", false), [&](int64_t value) {
          return duckdb_.bind_timestamp_tz(prepared_, index, duckdb_timestamp{value});
        });
    }
  }

  const DuckDb& duckdb_;
  TimeReader times_;
  duckdb_prepared_statement prepared_;
};

}  // namespace

std::vector<Type> parameter_types(const DuckDb& duckdb, duckdb_prepared_statement prepared) {
  std::vector<Type> types;
  for (idx_t i = 1; i <= duckdb.nparams(prepared); ++i) types.push_back(type_of(duckdb.param_type(prepared, i)));
  return types;
}

std::optional<Failure> bind_parameters(const DuckDb& duckdb, duckdb_connection connection,
                                       duckdb_prepared_statement prepared, const std::vector<Parameter>& parameters) {
  if (duckdb.nparams(prepared) != parameters.size())
    return failure("08P01", "the statement has " + std::to_string(duckdb.nparams(prepared)) + " parameters, " +
                                std::to_string(parameters.size()) + " were given");
  Binder binder(duckdb, connection, prepared);
  for (size_t i = 0; i < parameters.size(); ++i)
    if (!binder.bind(i + 1, parameters[i]))
      return failure("22P02", "parameter $" + std::to_string(i + 1) + " is no value of its type");
  return std::nullopt;
}

}  // namespace heptane::data::sql
