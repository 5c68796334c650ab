// A query that looks at much is answered in slices: between two of them commands are applied, so that nobody's question keeps
// anybody's command waiting. The machine makes it (StateMachine::begin_query), the shard steps it.
//
// What the answer shows is of one moment, whatever is applied between the slices: the machine sees to it. It keeps nothing
// of the query's payload but copies. The shard thread's.
#pragma once

#include <cstdint>

#include "kernel/shard/messages.h"

namespace heptane {

class QueryInSlices {
 public:
  enum class Step : uint8_t {
    done,   // the reply is the answer
    more,   // another slice
    waits,  // for the disk: another slice in a little while
  };
  virtual ~QueryInSlices() = default;
  // Works a millisecond at most, unless a disk does not answer.
  virtual Step step(Reply& reply) = 0;
};

}  // namespace heptane
