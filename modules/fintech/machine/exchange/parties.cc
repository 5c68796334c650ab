#include "modules/fintech/machine/exchange/parties.h"

#include <algorithm>
#include <charconv>
#include <system_error>
#include <vector>

namespace heptane::fintech::exchange {

namespace {

constexpr char kFieldEnd = '\x01';

struct SubId {
  std::string_view id;
  std::string_view type;
};
struct Party {
  std::string_view id;
  std::string_view source;
  std::string_view role;
  std::vector<SubId> sub_ids;
};

// A field of the group: the first of an entry begins it.
void take(std::vector<Party>& parties, int32_t tag, std::string_view value) {
  if (tag == kPartyID) parties.push_back({value, {}, {}, {}});
  if (parties.empty()) return;
  Party& party = parties.back();
  if (tag == kPartyIDSource) party.source = value;
  if (tag == kPartyRole) party.role = value;
  if (tag == kPartySubID) party.sub_ids.push_back({value, {}});
  if (tag == kPartySubIDType && !party.sub_ids.empty()) party.sub_ids.back().type = value;
}

std::vector<Party> parties_of(std::string_view fields) {
  std::vector<Party> parties;
  while (!fields.empty()) {
    const std::string_view field = fields.substr(0, fields.find(kFieldEnd));
    fields.remove_prefix(std::min(fields.size(), field.size() + 1));
    int32_t tag = 0;
    const auto [end, error] = std::from_chars(field.data(), field.data() + field.size(), tag);
    const auto digits = static_cast<size_t>(end - field.data());
    if (error == std::errc() && digits < field.size()) take(parties, tag, field.substr(digits + 1));
  }
  return parties;
}

// Empty: it was not said.
void add_member(std::string& out, std::string_view name, std::string_view value) {
  if (value.empty()) return;
  out.append(out.back() == '{' ? "\"" : ",\"").append(name).append("\":\"");
  for (const char c : value) {
    if (c == '"' || c == '\\') out += '\\';
    out += c >= ' ' && c <= '~' ? c : '?';
  }
  out += '"';
}

template <class Row, class Add>
void add_array(std::string& out, const std::vector<Row>& rows, Add add) {
  out += '[';
  for (const Row& row : rows) {
    out += out.back() == '[' ? "{" : ",{";
    add(row);
    out += '}';
  }
  out += ']';
}

}  // namespace

std::string parties_json(std::string_view fields) {
  std::string out;
  add_array(out, parties_of(fields), [&](const Party& party) {
    add_member(out, "id", party.id);
    add_member(out, "source", party.source);
    add_member(out, "role", party.role);
    if (party.sub_ids.empty()) return;
    out += out.back() == '{' ? "\"sub_ids\":" : ",\"sub_ids\":";
    add_array(out, party.sub_ids, [&](const SubId& sub) {
      add_member(out, "id", sub.id);
      add_member(out, "type", sub.type);
    });
  });
  return out;
}

}  // namespace heptane::fintech::exchange
