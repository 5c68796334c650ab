// Which table a stream is: `fintech.trades` is the table `trades` of the schema `fintech`; a name that does not begin with a
// module's stands whole in `public`. SQL does not tell `Orders` from `orders`: whoever makes tables sees to it. Pure; any thread.
#pragma once

#include <array>
#include <string>
#include <string_view>

namespace heptane::data::sql {

constexpr std::string_view kPublicSchema = "public";
constexpr std::array<std::string_view, 7> kModuleSchemas = {"ai", "chain", "cloud", "data", "fintech", "games", "iot"};

struct TableName {
  std::string schema;
  std::string table;
  friend bool operator==(const TableName&, const TableName&) = default;
};

TableName table_of_stream(std::string_view stream);
// As SQL compares names: ASCII letters are small.
std::string folded(std::string_view name);
// "name", its quotes doubled.
std::string quoted_name(std::string_view name);
// 'text', its quotes doubled.
std::string quoted_text(std::string_view text);

}  // namespace heptane::data::sql
