// Functions that ask a session about itself, which the engine would answer of itself: their calls are replaced by what they
// say, as text or number, before the engine sees the statement. Pure.
//
//   current_setting('NAME'[, missing_ok])   version()   pg_backend_pid()   pg_is_in_recovery()   current_user   session_user
//   pg_catalog.NAME(...)                    as NAME(...)
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "modules/data/domain/sql/engine.h"

namespace heptane::data::postgres {

struct SessionFacts {
  std::string user;
  uint32_t process_id = 0;
  std::function<std::optional<std::string>(std::string_view name)> setting;
};

// The statement with these calls replaced; nullopt: there are none. 54000: it would be longer than sql::kQueryBytesMax; no more
// than that and one replacement is built.
std::variant<std::optional<std::string>, sql::Failure> replace_functions(std::string_view statement,
                                                                         const SessionFacts& facts);

}  // namespace heptane::data::postgres
