// How far a durable session's client has what a SUBSCRIBE brought it of retained messages. The machine keeps a topic for each
// filter, up to which the client has acknowledged everything; it hears of progress when a page is done, and when the connection
// ends of the part of the next one that is done in a row. So after a crash at most the last page of a filter comes again.
// Bounds: the pages that are not done, which are with the client (outbox.h). One connection's; the I/O thread's.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "modules/iot/gateway/mqtt/outbox.h"
#include "modules/iot/machine/session_api.h"

namespace heptane::iot::mqtt {

class KeptWalks {
 public:
  // The filter's messages are fetched from now on; what an earlier SUBSCRIBE of it still fetches does not count any more.
  // Returns the walk's number.
  uint64_t begin(std::string_view filter);
  // One of an earlier connection goes on.
  uint64_t resume(std::string_view filter, uint64_t number);
  void forget(std::string_view filter) { current_.erase(std::string(filter)); }

  // A page of the walk goes to the client: messages under topics, in their order; then everything up to `last` is done, and
  // everything where it is the end. Returns its mark, whose messages are marked {mark, place}.
  uint64_t add_page(uint64_t walk, std::string_view filter, std::vector<std::string> topics, std::string_view last,
                    bool end);
  void done(const PageMark& mark);

  // What the machine does not know yet; `leaves`: with the beginnings of pages.
  std::vector<Walked> take_progress(bool leaves);

 private:
  struct Page {
    uint64_t mark = 0;
    uint64_t walk = 0;
    std::string filter;
    std::vector<std::string> topics;
    std::vector<bool> done;
    size_t open = 0;
    std::string last;
    bool end = false;
  };

  std::map<std::string, uint64_t> current_;  // walks by their filters
  std::vector<Page> pages_;
  uint64_t last_walk_ = 0;
  uint64_t last_mark_ = 0;
};

}  // namespace heptane::iot::mqtt
