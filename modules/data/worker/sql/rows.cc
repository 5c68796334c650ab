#include "modules/data/worker/sql/rows.h"

#include <limits>

namespace heptane::data::sql {

namespace {

constexpr uint8_t kUnsignedDigits = 20;
constexpr uint8_t kHugeDigits = 38;

__int128 wide_of(const duckdb_hugeint& number) {
  return static_cast<__int128>((static_cast<unsigned __int128>(static_cast<uint64_t>(number.upper)) << 64) |
                               number.lower);
}

// DuckDB keeps them so that they sort as numbers.
std::string uuid_text(const duckdb_hugeint& number) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  const uint64_t halves[] = {static_cast<uint64_t>(number.upper) ^ (uint64_t{1} << 63), number.lower};
  std::string text;
  for (int digit = 0; digit < 32; ++digit) {
    if (digit == 8 || digit == 12 || digit == 16 || digit == 20) text += '-';
    text += kDigits[(halves[digit / 16] >> (60 - 4 * (digit % 16))) & 15];
  }
  return text;
}

int64_t floor_divided(int64_t number, int64_t by) {
  const int64_t quotient = number / by;
  return number % by < 0 ? quotient - 1 : quotient;
}

constexpr int64_t kInfinite = std::numeric_limits<int64_t>::max();
bool is_infinite(int64_t time) { return time == kInfinite || time == -kInfinite; }

// Microseconds; an infinite time stays so.
int64_t micro_of(int64_t number, int64_t per_unit) {
  if (is_infinite(number)) return number;
  int64_t micro = 0;
  if (!__builtin_mul_overflow(number, per_unit, &micro)) return micro;
  return number > 0 ? kInfinite : -kInfinite;
}

Column plain(Type type, uint8_t precision = 0, uint8_t scale = 0) { return {{}, type, precision, scale}; }

}  // namespace

std::optional<Column> column_of(const DuckDb& duckdb, duckdb_logical_type type) {
  switch (duckdb.get_type_id(type)) {
    case DUCKDB_TYPE_BOOLEAN: return plain(Type::boolean);
    case DUCKDB_TYPE_TINYINT:
    case DUCKDB_TYPE_UTINYINT:
    case DUCKDB_TYPE_SMALLINT: return plain(Type::int16);
    case DUCKDB_TYPE_USMALLINT:
    case DUCKDB_TYPE_INTEGER: return plain(Type::int32);
    case DUCKDB_TYPE_UINTEGER:
    case DUCKDB_TYPE_BIGINT: return plain(Type::int64);
    case DUCKDB_TYPE_UBIGINT: return plain(Type::numeric, kUnsignedDigits);
    case DUCKDB_TYPE_HUGEINT: return plain(Type::numeric, kHugeDigits);
    case DUCKDB_TYPE_FLOAT: return plain(Type::float4);
    case DUCKDB_TYPE_DOUBLE: return plain(Type::float8);
    case DUCKDB_TYPE_DECIMAL: return plain(Type::numeric, duckdb.decimal_width(type), duckdb.decimal_scale(type));
    case DUCKDB_TYPE_DATE: return plain(Type::date);
    case DUCKDB_TYPE_TIME: return plain(Type::time);
    case DUCKDB_TYPE_TIMESTAMP:
    case DUCKDB_TYPE_TIMESTAMP_S:
    case DUCKDB_TYPE_TIMESTAMP_MS:
    case DUCKDB_TYPE_TIMESTAMP_NS: return plain(Type::timestamp);
    case DUCKDB_TYPE_TIMESTAMP_TZ: return plain(Type::timestamptz);
    case DUCKDB_TYPE_UUID: return plain(Type::uuid);
    case DUCKDB_TYPE_BLOB: return plain(Type::bytea);
    case DUCKDB_TYPE_VARCHAR:
      return plain(take_text(duckdb, duckdb.logical_type_get_alias(type)) == "JSON" ? Type::json : Type::text);
    default: return std::nullopt;
  }
}

ColumnForm form_of(const DuckDb& duckdb, duckdb_logical_type type) {
  ColumnForm form{duckdb.get_type_id(type), DUCKDB_TYPE_INVALID};
  if (form.type == DUCKDB_TYPE_DECIMAL) form.decimal = duckdb.decimal_internal_type(type);
  return form;
}

ChunkRows::ChunkRows(const DuckDb& duckdb, OwnedChunk chunk, std::vector<ColumnForm> forms,
                     std::shared_ptr<const void> keep)
    : duckdb_(duckdb),
      keep_(std::move(keep)),
      chunk_(std::move(chunk)),
      forms_(std::move(forms)),
      size_(duckdb.data_chunk_get_size(chunk_.get())) {
  for (size_t i = 0; i < forms_.size(); ++i) {
    const duckdb_vector vector = duckdb.data_chunk_get_vector(chunk_.get(), i);
    data_.push_back(duckdb.vector_get_data(vector));
    validity_.push_back(duckdb.vector_get_validity(vector));
  }
  made_.resize(forms_.size());
}

bool ChunkRows::is_null(size_t column, size_t row) const {
  return validity_[column] != nullptr && !duckdb_.validity_row_is_valid(validity_[column], row);
}

int64_t ChunkRows::integer(size_t column, size_t row) const {
  constexpr int64_t kMicro = 1'000'000;
  switch (forms_[column].type) {
    case DUCKDB_TYPE_BOOLEAN: return at<bool>(column, row) ? 1 : 0;
    case DUCKDB_TYPE_TINYINT: return at<int8_t>(column, row);
    case DUCKDB_TYPE_UTINYINT: return at<uint8_t>(column, row);
    case DUCKDB_TYPE_SMALLINT: return at<int16_t>(column, row);
    case DUCKDB_TYPE_USMALLINT: return at<uint16_t>(column, row);
    case DUCKDB_TYPE_INTEGER:
    case DUCKDB_TYPE_DATE: return at<int32_t>(column, row);
    case DUCKDB_TYPE_UINTEGER: return at<uint32_t>(column, row);
    case DUCKDB_TYPE_TIMESTAMP_S: return micro_of(at<int64_t>(column, row), kMicro);
    case DUCKDB_TYPE_TIMESTAMP_MS: return micro_of(at<int64_t>(column, row), 1000);
    case DUCKDB_TYPE_TIMESTAMP_NS: {
      const int64_t nano = at<int64_t>(column, row);
      return is_infinite(nano) ? nano : floor_divided(nano, 1000);
    }
    case DUCKDB_TYPE_BIGINT:
    case DUCKDB_TYPE_TIME:
    case DUCKDB_TYPE_TIMESTAMP:
    case DUCKDB_TYPE_TIMESTAMP_TZ: return at<int64_t>(column, row);
    default: return 0;
  }
}

double ChunkRows::real(size_t column, size_t row) const {
  if (forms_[column].type == DUCKDB_TYPE_FLOAT) return at<float>(column, row);
  return forms_[column].type == DUCKDB_TYPE_DOUBLE ? at<double>(column, row) : 0;
}

__int128 ChunkRows::wide(size_t column, size_t row) const {
  const ColumnForm& form = forms_[column];
  switch (form.type == DUCKDB_TYPE_DECIMAL ? form.decimal : form.type) {
    case DUCKDB_TYPE_SMALLINT: return at<int16_t>(column, row);
    case DUCKDB_TYPE_INTEGER: return at<int32_t>(column, row);
    case DUCKDB_TYPE_BIGINT: return at<int64_t>(column, row);
    case DUCKDB_TYPE_UBIGINT: return at<uint64_t>(column, row);
    case DUCKDB_TYPE_HUGEINT: return wide_of(at<duckdb_hugeint>(column, row));
    default: return 0;
  }
}

std::string_view ChunkRows::text(size_t column, size_t row) const {
  if (forms_[column].type == DUCKDB_TYPE_UUID) return made_[column] = uuid_text(at<duckdb_hugeint>(column, row));
  return string_of(static_cast<const duckdb_string_t*>(data_[column])[row]);
}

}  // namespace heptane::data::sql
