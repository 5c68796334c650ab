// The columns that a stream's table has beside those of every record: one for each field of its JSON payloads, typed by what
// they hold. A value is stored in a column of its own kind and never rewritten: a field that has held several kinds shows the
// narrowest type that all of them fit (integers and reals: double; anything else: text).
//
// Bounds: kFieldsMax fields of a stream, names of kFieldNameBytesMax bytes; what is beyond stays in the payload alone.
// Pure; one thread's.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace heptane::data::sql {

enum class Kind : uint8_t { boolean, integer, real, text, json };
constexpr size_t kKinds = 5;

std::string_view kind_name(Kind kind);  // DuckDB's type: `BIGINT`
std::optional<Kind> kind_of_name(std::string_view name);

class StreamColumns {
 public:
  static constexpr size_t kFieldsMax = 200;
  static constexpr size_t kFieldNameBytesMax = 120;

  struct Field {
    std::string name;   // in the payload
    std::string shown;  // as a column: the name, or with a suffix where one like it is there
    uint8_t kinds = 0;  // a bit for each kind that it has held
  };
  struct Stored {
    uint32_t field = 0;  // index into fields()
    Kind kind = Kind::text;
    std::string name;  // of the storage's column: `f3_integer`
  };

  // Where a value of the field goes: the index into stored(). The first of its kind adds one. nullopt: it has none.
  std::optional<size_t> place(std::string_view field, Kind kind);
  const std::vector<Field>& fields() const { return fields_; }
  const std::vector<Stored>& stored() const { return stored_; }
  // `, expression AS "name"` of every field, for the view over the storage.
  std::string select_list() const;

 private:
  std::string shown_name(std::string_view field) const;
  std::string expression_of(uint32_t field) const;

  std::vector<Field> fields_;
  std::map<std::string, uint32_t, std::less<>> by_name_;
  std::vector<Stored> stored_;
};

}  // namespace heptane::data::sql
