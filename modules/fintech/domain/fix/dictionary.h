// The dictionary of FIX 4.4 with the venue's own fields: what a tag is, what a message or group may hold and must.
//
// A scope is a message's body, an entry of a group, the header or the trailer. Sets are over slots: a slot is a tag below 960, or
// stands for a field of the user-defined range. All of it is made by the compiler out of the facts beside this file
// (tools/fix_dictionary writes them). Constants; any thread.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "modules/fintech/domain/fix/facts.h"

namespace heptane::fix {

constexpr size_t kSlots = 1024;
constexpr int32_t kUserDefinedMin = 5000;

// Empty only when it is value-initialised or has been cleared: what is made for every message is not written twice.
class SlotSet {
 public:
  constexpr void add(uint32_t slot) { words_[slot / 64] |= uint64_t{1} << (slot % 64); }
  constexpr void add(const SlotSet& other) {
    for (size_t i = 0; i < words_.size(); ++i) words_[i] |= other.words_[i];
  }
  constexpr bool has(uint32_t slot) const { return (words_[slot / 64] >> (slot % 64) & 1) != 0; }
  constexpr void clear() { words_ = {}; }
  // How many words hold all that is in it.
  constexpr uint32_t words() const {
    uint32_t count = kSlots / 64;
    while (count > 0 && words_[count - 1] == 0) --count;
    return count;
  }
  // The lowest slot of this set, whose words() are given, that the other one lacks; 0: none.
  constexpr uint32_t first_not_in(const SlotSet& other, uint32_t words) const {
    for (size_t i = 0; i < words; ++i)
      if (const uint64_t lacking = words_[i] & ~other.words_[i]; lacking != 0)
        return static_cast<uint32_t>(i * 64) + static_cast<uint32_t>(__builtin_ctzll(lacking));
    return 0;
  }

 private:
  std::array<uint64_t, kSlots / 64> words_;
};

enum class Part : uint8_t { header, body, trailer };

struct alignas(64) FieldRule {
  std::string_view name;     // empty: no such field
  std::string_view values;   // with a space between; empty: any
  uint64_t letters[2] = {};  // those of the values that are a single character
  int32_t tag = 0;
  int32_t length_tag = 0;  // of a field of data: which field says its length
  FieldType type = FieldType::text;
  Part part = Part::body;
};

struct ScopeRule {
  SlotSet members{};
  SlotSet required{};
  SlotSet inside{};  // members, and those of the groups in it, however deep
  uint32_t required_words = 0;
  uint32_t first_slot = 0;  // of a group: what begins an entry
  uint16_t first_group = 0;
  uint16_t groups = 0;
};

// 0: no such field.
uint32_t slot_of(int32_t tag);
const FieldRule& field_rule(uint32_t slot);
// Of a type of message; -1: there is none.
int scope_of(std::string_view message_type);
const ScopeRule& scope_rule(int scope);
const ScopeRule& header_rule();
const ScopeRule& trailer_rule();
// The scope of the entries that this count announces there; -1: it announces none.
int group_scope(const ScopeRule& scope, int32_t count_tag);
// Whether the field holds any bytes, so that its end is where the field before it says. Quick.
bool is_data(int32_t tag);
// One of the field's enumerated values, or the field has none.
bool is_listed(const FieldRule& rule, std::string_view value);

}  // namespace heptane::fix
