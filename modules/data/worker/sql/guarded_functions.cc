#include "modules/data/worker/sql/guarded_functions.h"

#include <algorithm>
#include <array>

namespace heptane::data::sql {

namespace {

struct Overload {
  std::string_view function;
  std::string_view arguments;
  std::string_view count;  // what is limited to kRepeatsMax; empty: the lengths of s and r multiplied
  int product_max = kProductBytesMax;
};
// Those of a name follow each other.
constexpr std::array kOverloads = {
    Overload{"repeat", "s, n", "n"},
    Overload{"lpad", "s, n, p", "n"},
    Overload{"rpad", "s, n, p", "n"},
    Overload{"bitstring", "s, n", "n"},
    Overload{"list_resize", "l, n", "n"},
    Overload{"list_resize", "l, n, v", "n"},
    Overload{"array_resize", "l, n", "n"},
    Overload{"array_resize", "l, n, v", "n"},
    Overload{"range", "n", "n"},
    Overload{"range", "a, b", "b - a"},
    Overload{"generate_series", "n", "n"},
    Overload{"generate_series", "a, b", "b - a"},
    Overload{"replace", "s, p, r", ""},
    Overload{"regexp_replace", "s, p, r", ""},
    Overload{"levenshtein", "s, r", "", kComparedBytesMax},
    Overload{"editdist3", "s, r", "", kComparedBytesMax},
    Overload{"damerau_levenshtein", "s, r", "", kComparedBytesMax},
    Overload{"jaro_similarity", "s, r", "", kComparedBytesMax},
    Overload{"jaro_similarity", "s, r, c", "", kComparedBytesMax},
    Overload{"jaro_winkler_similarity", "s, r", "", kComparedBytesMax},
    Overload{"jaro_winkler_similarity", "s, r, c", "", kComparedBytesMax},
};
// Options are constants.
constexpr std::array<std::string_view, 6> kOptions = {"g", "i", "gi", "ig", "c", ""};

std::string refused(const Overload& overload) {
  const std::string function(overload.function);
  if (overload.count.empty())
    return "strlen(s) * strlen(r) > " + std::to_string(overload.product_max) + " THEN error('" + function +
           ": the texts are too long')";
  return std::string(overload.count) + " > " + std::to_string(kRepeatsMax) + " THEN error('" + function + ": at most " +
         std::to_string(kRepeatsMax) + "')";
}

std::string body_of(const Overload& overload) {
  return "(" + std::string(overload.arguments) + ") AS CASE WHEN " + refused(overload) + " ELSE main." +
         std::string(overload.function) + "(" + std::string(overload.arguments) + ") END";
}

std::string with_options(const Overload& overload) {
  std::string body = ", (s, p, r, o) AS CASE WHEN " + refused(overload);
  for (const std::string_view option : kOptions)
    body += " WHEN o = '" + std::string(option) + "' THEN main.regexp_replace(s, p, r, '" + std::string(option) + "')";
  return body + " ELSE error('regexp_replace: of the options g, i and c are taken') END";
}

}  // namespace

bool is_guarded(std::string_view function) {
  return std::any_of(kOverloads.begin(), kOverloads.end(),
                     [function](const Overload& overload) { return overload.function == function; });
}

std::vector<std::string> guarding_macros() {
  std::vector<std::string> macros;
  std::string_view last;
  for (const Overload& overload : kOverloads) {
    if (overload.function != last) macros.push_back("CREATE MACRO public." + std::string(overload.function));
    macros.back() += (overload.function == last ? ", " : "") + body_of(overload);
    last = overload.function;
    if (overload.function == "regexp_replace") macros.back() += with_options(overload);
  }
  return macros;
}

}  // namespace heptane::data::sql
