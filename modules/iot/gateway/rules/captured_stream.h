// The stream over topics that a rule reads, as it must be declared before the rule is: made where there is none, given the rule's
// filter where it has another one, and left alone otherwise. What else was said of it stays. Pure; any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "kernel/shard/messages.h"
#include "modules/iot/machine/stream_api.h"

namespace heptane::iot::rules {

struct StreamChange {
  std::optional<StreamDeclaration> before{};  // none: it is made
  StreamDeclaration after;

  bool makes() const { return !before; }
  Submission todo() const;
  // What takes it back, where the rule is refused: it has no record yet, or only those of a moment under the other filter.
  Submission undo() const;
};

// `declared`: the answer to kQueryDeclared. No change: the stream is there with this filter. Error: corrupt.
Result<std::optional<StreamChange>> stream_change(std::string_view stream, std::string_view filter, Bytes declared);

}  // namespace heptane::iot::rules
