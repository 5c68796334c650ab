// A row of a rule as a point: a line of the line protocol. Columns that are named as tags are its tags, where they are not NULL; the
// others its fields: numbers are floats, texts and truths what they are, NULL is left out. Pure; any thread.
#pragma once

#include <string>
#include <string_view>

#include "kernel/base/result.h"
#include "modules/iot/domain/rules/sql.h"

namespace heptane::iot::rules {

// `tags`: names with commas between them. Error: a field is JSON, there is none, or the line is longer than lines may be.
Result<std::string> point_of(std::string_view measurement, std::string_view tags, const Row& row, int64_t time_ns);

}  // namespace heptane::iot::rules
