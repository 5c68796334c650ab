// Subscriptions by filter, level by level: a topic visits the nodes that match it and no others. What hangs at a filter is
// the caller's (small, comparable values). Levels are bounded by within_limits(), so recursion is too. One thread's.
#pragma once

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "modules/iot/domain/topics/topics.h"

namespace heptane::iot {

template <class Value>
class TopicTree {
 public:
  void insert(std::string_view filter, Value value) {
    Node* node = &root_;
    Levels levels(filter);
    while (const auto level = levels.next()) {
      auto found = node->below.find(*level);
      if (found == node->below.end()) found = node->below.emplace(std::string(*level), std::make_unique<Node>()).first;
      node = found->second.get();
    }
    node->values.push_back(std::move(value));
    ++size_;
  }

  // Removes the first value at this filter for which `is` holds; false: there is none.
  template <class Is>
  bool remove(std::string_view filter, const Is& is) {
    const bool removed = remove(root_, Levels(filter), is);
    if (removed) --size_;
    return removed;
  }

  // The values at this very filter, to be changed in place.
  std::vector<Value>* at(std::string_view filter) {
    Node* node = &root_;
    Levels levels(filter);
    while (const auto level = levels.next()) {
      const auto found = node->below.find(*level);
      if (found == node->below.end()) return nullptr;
      node = found->second.get();
    }
    return &node->values;
  }

  // Calls `each` with every value whose filter matches.
  template <class Each>
  void match(std::string_view topic, const Each& each) const {
    match(root_, Levels(topic), topic.starts_with('$'), each);
  }

  size_t size() const { return size_; }
  bool empty() const { return size_ == 0 && root_.below.empty(); }

 private:
  struct Node {
    std::map<std::string, std::unique_ptr<Node>, std::less<>> below;
    std::vector<Value> values;
    bool bare() const { return below.empty() && values.empty(); }
  };

  static const Node* child(const Node& node, std::string_view level) {
    const auto found = node.below.find(level);
    return found == node.below.end() ? nullptr : found->second.get();
  }

  template <class Is>
  static bool remove(Node& node, Levels levels, const Is& is) {
    const auto level = levels.next();
    if (!level) {
      const auto found = std::find_if(node.values.begin(), node.values.end(), is);
      if (found == node.values.end()) return false;
      node.values.erase(found);
      return true;
    }
    const auto below = node.below.find(*level);
    if (below == node.below.end() || !remove(*below->second, levels, is)) return false;
    if (below->second->bare()) node.below.erase(below);
    return true;
  }

  template <class Each>
  static void match(const Node& node, Levels levels, bool hidden, const Each& each) {
    if (!hidden)
      if (const Node* rest = child(node, "#")) visit(*rest, each);
    const auto level = levels.next();
    if (!level) return visit(node, each);
    if (!hidden)
      if (const Node* any = child(node, "+")) match(*any, levels, false, each);
    // A topic has no wildcards, so its level never names such a node.
    if (const Node* same = child(node, *level)) match(*same, levels, false, each);
  }

  template <class Each>
  static void visit(const Node& node, const Each& each) {
    for (const Value& value : node.values) each(value);
  }

  Node root_;
  size_t size_ = 0;
};

}  // namespace heptane::iot
