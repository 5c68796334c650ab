// A configuration key as data: name, type, range, default, help, and where its value lands in the options of whoever
// declared it. The table of all keys is the only description there is: reading, checking, `config print` and the example
// file are made from it.
//
// A default is never written twice: it is what the options hold when they are made. Any thread; fixed at start.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <span>
#include <string>
#include <type_traits>
#include <variant>
#include <vector>

namespace heptane::config {

enum class Type : uint8_t {
  boolean,
  integer,
  size,      // bytes: "64MiB", or an integer
  duration,  // nanoseconds: "30s"
  text,
  choice,   // one of `choices`
  address,  // "HOST:PORT" with a numeric host, "unix:/path", or one of `choices`
  peer,     // "HOST:PORT" with any host, or one of `choices`
  texts,    // a list of strings
  tables,   // a list of tables, [[name]] in the file: each a text of lines `key=value`, in the order of the keys
};

using Value = std::variant<bool, int64_t, std::string, std::vector<std::string>>;

struct Key {
  std::string name;  // `kafka.max_request_bytes`; sections by dots
  Type type = Type::text;
  std::string help{};  // one line
  Value fallback{};
  int64_t min = std::numeric_limits<int64_t>::min();  // of numbers
  int64_t max = std::numeric_limits<int64_t>::max();
  std::string word{};      // a number that has a name: `forever`
  int64_t word_value = 0;  // what it means
  std::vector<std::string> choices{};
  std::string (*wrong)(const std::string& text) = nullptr;  // of each of a list: what is wrong with it; empty: nothing
  std::string (*wrong_together)(const std::vector<std::string>& texts) = nullptr;         // of the whole list
  std::vector<std::string> (*warnings)(const std::vector<std::string>& texts) = nullptr;  // what is allowed, and odd
  bool reloadable = false;                                                                // SIGHUP applies it
  bool logged = false;     // apply() may see it: a change is a command in the log
  bool several = false;    // of an address: a list of them is a value too
  bool shorthand = false;  // a plain value of the section stands for this key: listen.kafka = "..."
};

template <class Options>
struct Binding {
  Key key;
  std::function<Value(const Options&)> get;
  std::function<void(Options&, const Value&)> set;
};

template <class T>
Value to_value(const T& value) {
  if constexpr (std::is_same_v<T, bool>)
    return value;
  else if constexpr (std::is_integral_v<T>)
    return static_cast<int64_t>(value);
  else
    return Value(value);
}

template <class T>
void from_value(const Value& value, T& into) {
  if constexpr (std::is_same_v<T, bool>)
    into = std::get<bool>(value);
  else if constexpr (std::is_integral_v<T>)
    into = static_cast<T>(std::get<int64_t>(value));
  else
    into = std::get<T>(value);
}

template <class Pointer>
struct OwnerOf;
template <class Member, class Owner>
struct OwnerOf<Member Owner::*> {
  using type = Owner;
};

// bind<&ServerOptions::snapshots, &SnapshotTakerOptions::log_bytes_min>(key): the member, or the member of a member.
template <auto First, auto... Rest>
auto bind(Key key) {
  using Options = typename OwnerOf<decltype(First)>::type;
  Binding<Options> bound{
      std::move(key), [](const Options& options) { return to_value(((options.*First).*....*Rest)); },
      [](Options& options, const Value& value) { from_value(value, ((options.*First).*....*Rest)); }};
  bound.key.fallback = bound.get(Options{});
  return bound;
}

template <class Options>
std::vector<Key> keys_of(std::span<const Binding<Options>> bindings) {
  std::vector<Key> keys;
  for (const Binding<Options>& binding : bindings) keys.push_back(binding.key);
  return keys;
}

}  // namespace heptane::config
