// A session's variables: what SET takes, SHOW shows and clients are told of (ParameterStatus). Some change what happens, some
// are only kept because clients set them, some have one value alone. A value: a transaction keeps a copy to go back to.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "modules/data/domain/sql/engine.h"

namespace heptane::data::postgres {

class Variables {
 public:
  static constexpr size_t kValueBytesMax = 1024;

  // What is never SET: the user's name.
  explicit Variables(std::string_view user = {}) : user_(user) {}

  // nullopt: done. `value` nullopt: its default. 42704: there is no such variable; 22023, 0A000: not this value, or
  // one above kValueBytesMax.
  std::optional<sql::Failure> set(std::string_view name, const std::optional<std::string>& value);
  // nullopt: there is no such variable. `name` in any case.
  std::optional<std::string> get(std::string_view name) const;
  // As PostgreSQL spells it; empty: there is no such variable.
  static std::string_view spelling(std::string_view name);
  void reset_all() { values_.clear(); }
  // Takes one variable as it is there: what SET LOCAL leaves behind.
  void take_over(std::string_view name, const Variables& from);

  struct Shown {
    std::string_view name;
    std::string value;
    std::string_view help;
  };
  std::vector<Shown> all() const;
  // Those that clients hear of at the beginning and when they change.
  std::vector<Shown> reported() const;
  static bool is_reported(std::string_view name);

  // heptane.as_of
  std::optional<uint64_t> as_of() const;
  // statement_timeout; 0: none
  int64_t statement_timeout_ns() const;

 private:
  std::string user_;
  std::map<std::string, std::string, std::less<>> values_;  // by spelling in lower case; what is absent has its default
};

// What the server calls itself to clients, which read features out of it.
constexpr std::string_view kServerVersion = "15.0 (Heptane)";

}  // namespace heptane::data::postgres
