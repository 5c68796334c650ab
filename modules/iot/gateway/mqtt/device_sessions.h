// Who is connected by which device's credential, so that what does not count any more ends its connections at once: the answers of
// the machine's commands come here in the order of the log, as those of its queries do, so a connection that was let in before a
// revocation is found by it, and one that comes behind it is not let in. Bound: the connections. The I/O thread's.
#pragma once

#include <functional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kernel/shard/messages.h"

namespace heptane::iot::mqtt {

class Broker;

class DeviceSessions {
 public:
  explicit DeviceSessions(Broker& broker) : broker_(broker) {}

  // How many credentials there are: nobody is asked for where there is none.
  void set_count(std::function<uint64_t()> count) { count_ = std::move(count); }
  bool any() const { return count_ && count_() > 0; }

  void add(std::string_view holder, SessionId session) { sessions_.emplace(holder, session); }
  void remove(std::string_view holder, SessionId session) { sessions_.erase({std::string(holder), session}); }

  // Answers: of a credential that was changed, of one that was dropped, of a thing that was deleted.
  void changed(const Reply& reply);
  void dropped(const Buffer& payload, const Reply& reply);
  void thing_gone(const Buffer& payload, const Reply& reply);

 private:
  std::vector<SessionId> of(std::string_view holder) const;

  Broker& broker_;
  std::function<uint64_t()> count_;
  std::set<std::pair<std::string, SessionId>> sessions_;  // by holder_of the credential
};

}  // namespace heptane::iot::mqtt
