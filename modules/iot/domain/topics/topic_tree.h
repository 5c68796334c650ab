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
      if (!node->below) node->below = std::make_unique<Below>();
      const auto found = node->below->find(*level);
      node =
          found != node->below->end() ? &found->second : &node->below->try_emplace(std::string(*level)).first->second;
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
      node = child(*node, *level);
      if (node == nullptr) return nullptr;
    }
    return &node->values;
  }

  // Calls `each` with every value whose filter matches.
  template <class Each>
  void match(std::string_view topic, const Each& each) const {
    match_filters(topic, [&](const std::vector<Value>& values) {
      for (const Value& value : values) each(value);
    });
  }

  // Calls `each` with all values of each filter that matches; they lie there until something is put in or removed.
  template <class Each>
  void match_filters(std::string_view topic, const Each& each) const {
    match(root_, Levels(topic), topic.starts_with('$'), each);
  }

  size_t size() const { return size_; }
  bool empty() const { return size_ == 0 && !root_.below; }

 private:
  struct Node;
  using Below = std::map<std::string, Node, std::less<>>;
  // Most have one level below them, or none.
  struct Node {
    std::unique_ptr<Below> below;  // null: nothing
    std::vector<Value> values;
    bool bare() const { return !below && values.empty(); }
  };

  template <class AnyNode>
  static AnyNode* child(AnyNode& node, std::string_view level) {
    if (!node.below) return nullptr;
    const auto found = node.below->find(level);
    return found == node.below->end() ? nullptr : &found->second;
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
    Node* below = child(node, *level);
    if (below == nullptr || !remove(*below, levels, is)) return false;
    if (below->bare()) node.below->erase(node.below->find(*level));
    if (node.below->empty()) node.below.reset();
    return true;
  }

  template <class Each>
  static void match(const Node& node, Levels levels, bool hidden, const Each& each) {
    if (!hidden)
      if (const Node* rest = child(node, "#")) each(rest->values);
    const auto level = levels.next();
    if (!level) return each(node.values);
    if (!hidden)
      if (const Node* any = child(node, "+")) match(*any, levels, false, each);
    // A topic has no wildcards, so its level never names such a node.
    if (const Node* same = child(node, *level)) match(*same, levels, false, each);
  }

  Node root_;
  size_t size_ = 0;
};

}  // namespace heptane::iot
