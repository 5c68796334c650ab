// The parties of an order: NoPartyIDs(453) and its group of FIX 4.4, kept and told as they came. Pure; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace heptane::fintech::exchange {

enum PartyTag : int32_t {
  kPartyIDSource = 447,
  kPartyID = 448,
  kPartyRole = 452,
  kNoPartyIDs = 453,
  kPartySubID = 523,
  kNoPartySubIDs = 802,
  kPartySubIDType = 803,
};

// A JSON array of {id, source, role, sub_ids: [{id, type}]}, each member as far as it was said. What is no printable ASCII becomes `?`; what
// is none of the group is left out. `fields`: of the group, each with the end of a field behind it.
std::string parties_json(std::string_view fields);

}  // namespace heptane::fintech::exchange
