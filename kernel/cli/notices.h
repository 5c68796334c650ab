// What a running server tells its operator: a name and facts, as a line of text or of JSON. Starts, readiness, reloads and
// stops go through here, so that a supervisor can read them. Main thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace heptane::cli {

using Fact = std::pair<std::string_view, std::variant<std::string, int64_t>>;

// `heptane: ready data=heptane-data position=0:12`, or {"event": "ready", "data": ...}; with the newline.
std::string notice_text(std::string_view event, const std::vector<Fact>& facts, bool json);
// To standard output at once.
void notice(std::string_view event, const std::vector<Fact>& facts, bool json);

}  // namespace heptane::cli
