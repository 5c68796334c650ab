// Functions that make one value as large as an argument says, or as a product of two, or that compare every character of a text with
// every one of another: nothing ends them within a value, neither time nor memory. Macros of the same names stand before them, which
// refuse what is beyond kRepeatsMax, kProductBytesMax or kComparedBytesMax. Pure; any thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace heptane::data::sql {

constexpr int kRepeatsMax = 1'000'000;
constexpr int kProductBytesMax = 256 << 20;
constexpr int kComparedBytesMax = 1 << 20;  // damerau_levenshtein keeps 8 bytes for each

// In small letters: with a schema before it, such a name would pass the macro by.
bool is_guarded(std::string_view function);
// What makes the macros, in the schema in which names are looked for first.
std::vector<std::string> guarding_macros();

}  // namespace heptane::data::sql
