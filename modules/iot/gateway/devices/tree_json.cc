#include "modules/iot/gateway/devices/tree_json.h"

namespace heptane::iot::devices {

namespace {
using http::JsonType;
}  // namespace

JsonTree tree_of(const http::JsonValue& value) {
  JsonTree tree;
  switch (value.type()) {
    case JsonType::null: tree.kind = TreeKind::null; return tree;
    case JsonType::boolean: tree.kind = value.boolean() ? TreeKind::yes : TreeKind::no; return tree;
    case JsonType::integer:
    case JsonType::real:
      tree.kind = TreeKind::number;
      tree.text = value.raw();
      return tree;
    case JsonType::text:
      tree.kind = TreeKind::text;
      tree.text = value.text();
      return tree;
    case JsonType::array:
      tree.kind = TreeKind::array;
      for (auto item = value.first(); item; item = item->next()) tree.items.push_back(tree_of(*item));
      return tree;
    case JsonType::object:
      tree.kind = TreeKind::object;
      for (auto member = value.first(); member; member = member->next())
        tree.members.emplace(member->name(), tree_of(*member));
      return tree;
  }
  return tree;
}

}  // namespace heptane::iot::devices
