#include "modules/iot/gateway/rules/captured_stream.h"

#include <algorithm>

#include "kernel/streams/api.h"

namespace heptane::iot::rules {

Submission StreamChange::todo() const { return streams::make_command(kBrokerMachineId, kDeclareStream, encode(after)); }

Submission StreamChange::undo() const {
  if (makes()) return streams::make_command(kBrokerMachineId, kDropStream, Buffer::copy_of(after.name));
  return streams::make_command(kBrokerMachineId, kDeclareStream, encode(*before));
}

Result<std::optional<StreamChange>> stream_change(std::string_view stream, std::string_view filter, Bytes declared) {
  const auto all = decode_declarations(declared);
  if (!all) return all.error();
  const auto found = std::find_if(all->begin(), all->end(),
                                  [&](const StreamDeclaration& declaration) { return declaration.name == stream; });
  StreamChange change;
  if (found != all->end()) change.before = change.after = *found;
  if (change.before && change.before->filter == filter) return std::optional<StreamChange>();
  if (!change.before) change.after.qos0 = true;  // a rule sees all that is published
  change.after.name = stream;
  change.after.filter = filter;
  return std::optional(std::move(change));
}

}  // namespace heptane::iot::rules
