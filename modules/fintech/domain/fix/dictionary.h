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

class SlotSet {
 public:
  constexpr void add(uint32_t slot) { words_[slot / 64] |= uint64_t{1} << (slot % 64); }
  constexpr void add(const SlotSet& other) {
    for (size_t i = 0; i < words_.size(); ++i) words_[i] |= other.words_[i];
  }
  constexpr bool has(uint32_t slot) const { return (words_[slot / 64] >> (slot % 64) & 1) != 0; }
  // How many words hold all that is in it.
  constexpr uint32_t words() const {
    uint32_t count = kSlots / 64;
    while (count > 0 && words_[count - 1] == 0) --count;
    return count;
  }
  constexpr uint64_t word(uint32_t i) const { return words_[i]; }

 private:
  std::array<uint64_t, kSlots / 64> words_{};
};

// One that is made anew for every message and every entry of a group: what was not written is not cleared either.
class SeenSlots {
 public:
  SeenSlots() : written_(0) {}
  void clear() { written_ = 0; }
  // False: it was there.
  bool add(uint32_t slot) {
    const uint64_t bit = uint64_t{1} << (slot % 64);
    const uint64_t before = word(slot / 64);
    words_[slot / 64] = before | bit;
    written_ |= 1u << (slot / 64);
    return (before & bit) == 0;
  }
  uint64_t word(uint32_t i) const { return (written_ >> i & 1) != 0 ? words_[i] : 0; }
  // The lowest slot of a set with so many words() that is not here; 0: none.
  uint32_t first_lacking(const SlotSet& set, uint32_t words) const {
    for (uint32_t i = 0; i < words; ++i)
      if (const uint64_t lacking = set.word(i) & ~word(i); lacking != 0)
        return i * 64 + static_cast<uint32_t>(__builtin_ctzll(lacking));
    return 0;
  }

 private:
  uint32_t written_;  // which words
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
  bool is_any = true;      // no form, no list
  bool is_letter = false;  // a single one of the listed characters
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
// One of the field's enumerated characters.
bool is_listed(const FieldRule& rule, char value);
// One of the field's enumerated values, or the field has none.
bool is_listed(const FieldRule& rule, std::string_view value);

}  // namespace heptane::fix
