#include "modules/data/domain/sql/columns.h"

#include <algorithm>
#include <array>

#include "modules/data/domain/sql/names.h"

namespace heptane::data::sql {

namespace {

constexpr std::array<std::string_view, kKinds> kTypes = {"BOOLEAN", "BIGINT", "DOUBLE", "VARCHAR", "JSON"};
constexpr std::array<std::string_view, kKinds> kSuffixes = {"boolean", "integer", "real", "text", "json"};
// Of every record.
constexpr std::array<std::string_view, 7> kTaken = {"partition", "offset",  "position", "timestamp",
                                                    "key",       "headers", "value"};

constexpr uint8_t bit(Kind kind) { return static_cast<uint8_t>(1U << static_cast<unsigned>(kind)); }

bool usable(std::string_view name) {
  return !name.empty() && name.size() <= StreamColumns::kFieldNameBytesMax &&
         std::none_of(name.begin(), name.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20; });
}

}  // namespace

std::string_view kind_name(Kind kind) { return kTypes[static_cast<size_t>(kind)]; }

std::optional<Kind> kind_of_name(std::string_view name) {
  for (size_t i = 0; i < kKinds; ++i)
    if (kTypes[i] == name) return static_cast<Kind>(i);
  return std::nullopt;
}

std::optional<size_t> StreamColumns::place(std::string_view field, Kind kind) {
  auto found = by_name_.find(field);
  if (found == by_name_.end()) {
    if (!usable(field) || fields_.size() == kFieldsMax) return std::nullopt;
    fields_.push_back({std::string(field), shown_name(field), 0});
    found = by_name_.emplace(field, static_cast<uint32_t>(fields_.size() - 1)).first;
  }
  const uint32_t index = found->second;
  if ((fields_[index].kinds & bit(kind)) == 0) {
    fields_[index].kinds |= bit(kind);
    std::string name = "f" + std::to_string(index) + "_";
    stored_.push_back({index, kind, name.append(kSuffixes[static_cast<size_t>(kind)])});
    return stored_.size() - 1;
  }
  const auto stored = std::find_if(stored_.begin(), stored_.end(),
                                   [&](const Stored& one) { return one.field == index && one.kind == kind; });
  return static_cast<size_t>(stored - stored_.begin());
}

// The first suffix that makes it another name than those before it.
std::string StreamColumns::shown_name(std::string_view field) const {
  const auto taken = [this](std::string_view name) {
    const std::string wanted = folded(name);
    return std::find(kTaken.begin(), kTaken.end(), wanted) != kTaken.end() ||
           std::any_of(fields_.begin(), fields_.end(),
                       [&](const Field& other) { return folded(other.shown) == wanted; });
  };
  std::string name(field);
  for (int suffix = 2; taken(name); ++suffix) name = std::string(field) + "_" + std::to_string(suffix);
  return name;
}

std::string StreamColumns::expression_of(uint32_t field) const {
  const uint8_t kinds = fields_[field].kinds;
  const bool one = (kinds & (kinds - 1)) == 0;
  const bool numbers = (kinds & ~(bit(Kind::integer) | bit(Kind::real))) == 0;
  const std::string type(numbers ? "DOUBLE" : "VARCHAR");
  std::string all;
  for (const Stored& stored : stored_) {
    if (stored.field != field) continue;
    if (one) return stored.kind == Kind::json ? "CAST(" + stored.name + " AS JSON)" : stored.name;
    all += all.empty() ? "coalesce(" : ", ";
    all += "CAST(" + stored.name + " AS " + type + ")";
  }
  return all + ")";
}

std::string StreamColumns::select_list() const {
  std::string list;
  for (uint32_t i = 0; i < fields_.size(); ++i)
    list += ", " + expression_of(i) + " AS " + quoted_name(fields_[i].shown);
  return list;
}

}  // namespace heptane::data::sql
