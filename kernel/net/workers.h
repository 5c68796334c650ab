// What a session wants done and would block the I/O thread: writes and syncs of large payloads, costly hashes. The loop
// hands jobs over and comes back to the session when they are done, in any order; the owner wakes the loop for it.
// The implementation stands above the net; bounded: a full queue refuses.
#pragma once

#include <functional>
#include <optional>

#include "kernel/shard/messages.h"

namespace heptane::net {

struct WorkJob {
  SessionId session = 0;
  RequestId request = 0;
  std::function<void()> run;  // on the worker; it and what it keeps end there
};
struct WorkDone {
  SessionId session = 0;
  RequestId request = 0;
  bool counted = true;  // it was a job of Workers::submit(), which the session's connection counts among its requests
};

class Workers {
 public:
  virtual ~Workers() = default;
  // False: no room.
  virtual bool submit(WorkJob job) = 0;
  virtual std::optional<WorkDone> take_done() = 0;
  // What a module's own thread did for a session is done: on_worked comes as of a job of submit(). Any thread. Bounded by what
  // the module lets be under way.
  virtual void hand_back(WorkDone done) { (void)done; }
};

}  // namespace heptane::net
