// A way for clients to append to a view: its module makes one command of what they sent, instead of the append that the streams
// machine refuses. Gateways ask before they submit; the I/O thread's.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernel/base/result.h"
#include "kernel/shard/messages.h"

namespace heptane::streams {

class ViewInput {
 public:
  // Who appends may do that with this resource of the module's own; false: refused, and noted for the audit trail.
  using MayWrite = std::function<bool(std::string_view module, std::string_view resource)>;

  virtual ~ViewInput() = default;
  // The stream is one of this module's that clients may append to.
  virtual bool takes(std::string_view stream) const = 0;
  // Why the stream's configuration is not changed as a stream's; empty: it may be.
  virtual std::string why_not_altered(std::string_view) const { return {}; }
  // The command that appends the records of a batch (record_batch.h; checked), all or none. Its answer's first number is the
  // offset of the first one. `partition`: where they are to be; none: wherever the first one belongs. Errors: invalid_argument (a
  // record that is none for this stream or partition), not_found (no such partition), unauthorised, too_large.
  virtual Result<Submission> make_append(std::string_view stream, std::optional<uint32_t> partition, Bytes record_batch,
                                         const MayWrite& may) = 0;
  // What these commands are, and those that change which streams they are for; the module hears of their answers, whoever sent
  // them.
  virtual MachineId machine() const = 0;
  virtual std::vector<CommandType> commands() const = 0;
  virtual void on_answer(CommandType command, const Buffer& payload, const Reply& reply) = 0;
};

// Those of all modules, found as long as they live. Filled when the listeners open.
class ViewInputs {
 public:
  void add(ViewInput& input) { inputs_.push_back(&input); }
  // nullptr: no view, or one that nobody else appends to.
  ViewInput* find(std::string_view stream) const {
    for (ViewInput* input : inputs_)
      if (input->takes(stream)) return input;
    return nullptr;
  }
  std::string why_not_altered(std::string_view stream) const {
    for (const ViewInput* input : inputs_)
      if (std::string why = input->why_not_altered(stream); !why.empty()) return why;
    return {};
  }

 private:
  std::vector<ViewInput*> inputs_;
};

}  // namespace heptane::streams
