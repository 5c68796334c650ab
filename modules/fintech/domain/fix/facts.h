// The forms of the facts in fix44_fields.h and fix44_messages.h, from which dictionary.h makes its tables. Constants; any thread.
#pragma once

#include <cstdint>
#include <string_view>

namespace heptane::fix {

// The types of FIX 4.4 volume 1, as far as they differ in what a value may look like.
enum class FieldType : uint8_t {
  text,
  texts,      // several values with a space between
  character,  // one
  boolean,    // Y, N
  integer,
  length,  // not negative, as the next two
  number,
  count,  // of a group's entries
  decimal,
  data,  // any bytes; its length stands in the field before it
  timestamp,
  time_only,
  date,
  month_year,
};

namespace facts {

struct Field {
  int16_t tag;
  std::string_view name;
  FieldType type;
  std::string_view values;  // with a space between; empty: any
};

struct DataField {
  int16_t tag;
  int16_t length_tag;
};

struct Group {
  int16_t tag;  // of the count
  int16_t scope;
};

struct Scope {
  std::string_view message_type;  // empty: a group, the header, the trailer
  uint16_t first;                 // of kMembers
  uint16_t members;
  uint16_t first_group;  // of kGroups
  uint16_t groups;
};

}  // namespace facts
}  // namespace heptane::fix
