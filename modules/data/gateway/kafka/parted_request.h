// A request whose parts each ask the shard something: at most kAsksMax under way at a time, then the answer. The order of
// commands is the order of the parts.
#pragma once

#include "modules/data/gateway/kafka/request.h"
#include "modules/data/gateway/kafka/session.h"

namespace heptane::data::kafka {

class PartedRequest : public Request {
 public:
  using Request::Request;

 protected:
  static constexpr size_t kAsksMax = 32;

  void begin_parts(size_t count) {
    count_ = count;
    pump();
  }
  // The part that asked has its answer.
  void part_done() {
    --asked_;
    pump();
  }

  // Asks for part `index`, with the index as tag; false: nothing was asked, the part is settled.
  virtual bool ask(size_t index) = 0;
  virtual void respond() = 0;

 private:
  void pump() {
    while (next_ < count_ && asked_ < kAsksMax)
      if (ask(next_++)) ++asked_;
    if (asked_ == 0) respond();
  }

  size_t count_ = 0;
  size_t next_ = 0;
  size_t asked_ = 0;
};

}  // namespace heptane::data::kafka
