#include "modules/fintech/domain/fix/dictionary.h"

#include <iterator>

#include "modules/fintech/domain/fix/fix44_fields.h"
#include "modules/fintech/domain/fix/fix44_messages.h"

namespace heptane::fix {

namespace {

constexpr uint32_t kFirstUserSlot = 960;
constexpr size_t kScopeCount = std::size(facts::kScopes);

// The fields of the user-defined range come last and have the slots from kFirstUserSlot on, in their order.
constexpr uint32_t slot_at(size_t field) {
  size_t first = std::size(facts::kFields);
  while (first > 0 && facts::kFields[first - 1].tag >= kUserDefinedMin) --first;
  if (field < first) return static_cast<uint32_t>(facts::kFields[field].tag);
  return kFirstUserSlot + static_cast<uint32_t>(field - first);
}

constexpr uint32_t user_slot_of(int32_t tag) {
  for (size_t i = std::size(facts::kFields); i > 0 && facts::kFields[i - 1].tag >= kUserDefinedMin; --i)
    if (facts::kFields[i - 1].tag == tag) return slot_at(i - 1);
  return 0;
}

constexpr uint32_t slot_of_known(int32_t tag) {
  return tag < kUserDefinedMin ? static_cast<uint32_t>(tag) : user_slot_of(tag);
}

constexpr void set_letters(FieldRule& rule) {
  const std::string_view v = rule.values;
  for (size_t i = 0; i < v.size(); ++i) {
    const bool alone = (i == 0 || v[i - 1] == ' ') && (i + 1 == v.size() || v[i + 1] == ' ');
    if (alone) rule.letters[v[i] / 64] |= uint64_t{1} << (v[i] % 64);
  }
}

constexpr std::array<FieldRule, kSlots> make_fields() {
  std::array<FieldRule, kSlots> rules{};
  for (size_t i = 0; i < std::size(facts::kFields); ++i) {
    const facts::Field& fact = facts::kFields[i];
    FieldRule& rule = rules[slot_at(i)];
    rule.name = fact.name;
    rule.values = fact.values;
    rule.tag = fact.tag;
    rule.type = fact.type;
    set_letters(rule);
    rule.is_any = (fact.type == FieldType::text || fact.type == FieldType::data) && fact.values.empty();
    rule.is_letter = fact.type == FieldType::character && !fact.values.empty();
  }
  for (const facts::DataField& data : facts::kDataFields) rules[slot_of_known(data.tag)].length_tag = data.length_tag;
  const auto mark = [&](int scope, Part part) {
    for (size_t i = 0; i < facts::kScopes[scope].members; ++i) {
      const int16_t tag = facts::kMembers[facts::kScopes[scope].first + i];
      rules[slot_of_known(tag < 0 ? -tag : tag)].part = part;
    }
    for (size_t i = 0; i < facts::kScopes[scope].groups; ++i) {
      const facts::Scope& group = facts::kScopes[facts::kGroups[facts::kScopes[scope].first_group + i].scope];
      for (size_t k = 0; k < group.members; ++k)
        rules[static_cast<size_t>(facts::kMembers[group.first + k])].part = part;
    }
  };
  mark(facts::kHeaderScope, Part::header);
  mark(facts::kTrailerScope, Part::trailer);
  return rules;
}

constexpr ScopeRule make_scope(const facts::Scope& fact) {
  ScopeRule rule;
  for (size_t i = 0; i < fact.members; ++i) {
    const int16_t member = facts::kMembers[fact.first + i];
    const uint32_t slot = slot_of_known(member < 0 ? -member : member);
    rule.members.add(slot);
    if (member < 0) rule.required.add(slot);
    if (i == 0) rule.first_slot = slot;
  }
  rule.required_words = rule.required.words();
  rule.first_group = fact.first_group;
  rule.groups = fact.groups;
  return rule;
}

// A group's own groups stand before it.
constexpr std::array<ScopeRule, kScopeCount> make_scopes() {
  std::array<ScopeRule, kScopeCount> rules{};
  for (size_t scope = 0; scope < kScopeCount; ++scope) {
    rules[scope] = make_scope(facts::kScopes[scope]);
    rules[scope].inside = rules[scope].members;
    for (size_t i = 0; i < rules[scope].groups; ++i)
      rules[scope].inside.add(rules[static_cast<size_t>(facts::kGroups[rules[scope].first_group + i].scope)].inside);
  }
  return rules;
}

// From a type's characters to its scope: one character, then two of A to Z.
struct TypeTable {
  std::array<int16_t, 128> one{};
  std::array<int16_t, 26 * 26> two{};
};

constexpr TypeTable make_types() {
  TypeTable table;
  for (int16_t& scope : table.one) scope = -1;
  for (int16_t& scope : table.two) scope = -1;
  for (size_t scope = facts::kFirstMessageScope; scope < kScopeCount; ++scope) {
    const std::string_view type = facts::kScopes[scope].message_type;
    const auto place = type.size() == 1 ? &table.one[static_cast<size_t>(type[0])]
                                        : &table.two[static_cast<size_t>((type[0] - 'A') * 26 + (type[1] - 'A'))];
    *place = static_cast<int16_t>(scope);
  }
  return table;
}

constexpr SlotSet make_data() {
  SlotSet set;
  for (const facts::DataField& data : facts::kDataFields) set.add(static_cast<uint32_t>(data.tag));
  return set;
}

constexpr std::array<FieldRule, kSlots> kFieldRules = make_fields();
constexpr std::array<ScopeRule, kScopeCount> kScopeRules = make_scopes();
constexpr TypeTable kTypes = make_types();
constexpr SlotSet kData = make_data();

constexpr bool is_capital(char c) { return c >= 'A' && c <= 'Z'; }

bool is_word_of(std::string_view words, std::string_view word) {
  for (size_t at = words.find(word); at != std::string_view::npos; at = words.find(word, at + 1)) {
    const size_t end = at + word.size();
    if ((at == 0 || words[at - 1] == ' ') && (end == words.size() || words[end] == ' ')) return true;
  }
  return false;
}

}  // namespace

uint32_t slot_of(int32_t tag) {
  if (tag <= 0) return 0;
  if (tag >= kUserDefinedMin) return user_slot_of(tag);
  if (tag >= static_cast<int32_t>(kFirstUserSlot)) return 0;
  return kFieldRules[static_cast<size_t>(tag)].name.empty() ? 0 : static_cast<uint32_t>(tag);
}

const FieldRule& field_rule(uint32_t slot) { return kFieldRules[slot]; }

int scope_of(std::string_view type) {
  if (type.size() == 1 && type[0] > 0) return kTypes.one[static_cast<size_t>(type[0])];
  if (type.size() == 2 && is_capital(type[0]) && is_capital(type[1]))
    return kTypes.two[static_cast<size_t>((type[0] - 'A') * 26 + (type[1] - 'A'))];
  return -1;
}

const ScopeRule& scope_rule(int scope) { return kScopeRules[static_cast<size_t>(scope)]; }
const ScopeRule& header_rule() { return kScopeRules[facts::kHeaderScope]; }
const ScopeRule& trailer_rule() { return kScopeRules[facts::kTrailerScope]; }

int group_scope(const ScopeRule& scope, int32_t count_tag) {
  for (size_t i = 0; i < scope.groups; ++i) {
    const facts::Group& group = facts::kGroups[scope.first_group + i];
    if (group.tag == count_tag) return group.scope;
  }
  return -1;
}

bool is_data(int32_t tag) {
  return tag > 0 && tag < static_cast<int32_t>(kSlots) && kData.has(static_cast<uint32_t>(tag));
}

bool is_listed(const FieldRule& rule, char value) {
  const auto c = static_cast<unsigned char>(value);
  return c < 128 && (rule.letters[c / 64] >> (c % 64) & 1) != 0;
}

bool is_listed(const FieldRule& rule, std::string_view value) {
  if (rule.values.empty()) return true;
  if (value.size() == 1) return is_listed(rule, value[0]);
  return !value.empty() && value.find(' ') == std::string_view::npos && is_word_of(rule.values, value);
}

}  // namespace heptane::fix
