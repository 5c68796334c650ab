// Errors are values: Result<T> holds a T or an Error whose message tells the user what to do.
// The codes are the kernel's; a module that needs finer ones puts them into Error::detail.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <variant>

#include "kernel/base/assert.h"

namespace heptane {

enum class Errc : uint8_t {
  invalid_argument,  // the caller's input is wrong
  corrupt,           // stored or received bytes fail their check
  io,                // the operating system refused a read, a write or a sync
  no_space,          // the disk is full
  not_found,
  exists,
  refused,     // a rule of the domain says no
  overloaded,  // a bounded queue or budget is full; retry later
  unsupported,
  too_large,
  unauthorised,
  stale,     // an older number or version than the one known
  deadline,  // the request's time is over
  closed,    // the server or the connection is stopping
  internal,
};

const char* errc_name(Errc code) noexcept;

struct Error {
  Errc code = Errc::internal;
  std::string message;
  uint32_t detail = 0;  // the module's own code, 0 = none
};

template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}      // NOLINT(google-explicit-constructor)
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT(google-explicit-constructor)

  bool ok() const noexcept { return state_.index() == 0; }
  explicit operator bool() const noexcept { return ok(); }
  T& value() & {
    HEPTANE_ASSERT(ok(), error_message());
    return std::get<0>(state_);
  }
  const T& value() const& {
    HEPTANE_ASSERT(ok(), error_message());
    return std::get<0>(state_);
  }
  T&& value() && {
    HEPTANE_ASSERT(ok(), error_message());
    return std::get<0>(std::move(state_));
  }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }
  const Error& error() const { return std::get<1>(state_); }
  Error& error() { return std::get<1>(state_); }

 private:
  const char* error_message() const { return ok() ? "" : std::get<1>(state_).message.c_str(); }
  std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(std::move(error)) {}  // NOLINT(google-explicit-constructor)

  bool ok() const noexcept { return !error_.has_value(); }
  explicit operator bool() const noexcept { return ok(); }
  const Error& error() const { return *error_; }
  Error& error() { return *error_; }

 private:
  std::optional<Error> error_;
};

}  // namespace heptane

// Returns the error of `expression` from the enclosing function.
#define HEPTANE_TRY(expression)                                                                                    \
  do {                                                                                                             \
    if (auto heptane_try_result = (expression); !heptane_try_result) return std::move(heptane_try_result.error()); \
  } while (false)
