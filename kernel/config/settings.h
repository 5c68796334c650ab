// The table of all keys, and the values that hold: those given by a file or the command line, else the defaults. Reading
// checks everything and reports every mistake of a file, not only the first. Any thread; a Settings is a plain value.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "kernel/base/assert.h"
#include "kernel/config/document.h"
#include "kernel/config/key.h"

namespace heptane::config {

constexpr size_t kMistakesLimit = 20;  // told of one file

class KeyTable {
 public:
  // In the order in which they are printed; a name is there once.
  void add(std::vector<Key> keys);

  const std::vector<Key>& all() const { return keys_; }
  const Key* find(std::string_view name) const;
  // Also the section of a shorthand key.
  const Key* find_for_value(std::string_view name) const;
  bool is_section(std::string_view name) const;
  // What somebody may have meant by `name`; empty: nothing is near enough.
  std::string nearest(std::string_view name) const;

 private:
  std::vector<Key> keys_;
  std::map<std::string, size_t, std::less<>> by_name_;
};

class Settings {
 public:
  explicit Settings(std::shared_ptr<const KeyTable> table) : table_(std::move(table)) {}

  const KeyTable& table() const { return *table_; }
  // The value that holds. The key is in the table.
  const Value& value(std::string_view name) const;
  bool given(std::string_view name) const { return given_.contains(name); }
  // Where it was given; line 0: on the command line.
  Place place(std::string_view name) const;

  bool boolean(std::string_view name) const { return std::get<bool>(value(name)); }
  int64_t number(std::string_view name) const { return std::get<int64_t>(value(name)); }
  const std::string& text(std::string_view name) const { return std::get<std::string>(value(name)); }
  const std::vector<std::string>& texts(std::string_view name) const {
    return std::get<std::vector<std::string>>(value(name));
  }

  // A checked value.
  void give(std::string name, Value value, Place place = {}) { given_[std::move(name)] = {std::move(value), place}; }
  // NAME as the command line has it: `64MiB`, `true`, `a,b`. The mistake, when it is one.
  std::vector<Mistake> give_text(std::string_view name, std::string_view text);
  void forget(std::string_view name);

  // Everything the table holds, into the options that declared it.
  template <class Options>
  void land(std::span<const Binding<Options>> bindings, Options& options) const {
    for (const Binding<Options>& binding : bindings) binding.set(options, value(binding.key.name));
  }

 private:
  struct Given {
    Value value;
    Place place;
  };
  std::shared_ptr<const KeyTable> table_;
  std::map<std::string, Given, std::less<>> given_;
};

// Adds what the document says to `settings`; the mistakes in order of their places. With any, `settings` is no use.
std::vector<Mistake> read_settings(std::string_view text, Settings& settings);
// `heptane.toml:3:15: log.segment_bytes: ...` a line each, at most kMistakesLimit of them.
std::string mistakes_text(const std::string& file, const std::vector<Mistake>& mistakes);

// As TOML and as a person writes it: "64MiB", true, ["a"].
std::string value_text(const Key& key, const Value& value);
// What would be right: `a size from 16MiB to 1GiB`.
std::string expectation(const Key& key);

enum class PrintStyle : uint8_t {
  effective,  // every key with the value that holds
  example,    // every key at its default, commented out
};
std::string print_settings(const Settings& settings, PrintStyle style);

// Keys whose values differ, in the table's order.
std::vector<const Key*> differences(const Settings& one, const Settings& other);

}  // namespace heptane::config
