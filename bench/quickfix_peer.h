// libquickfix reading the same messages: Message::setString with the dictionary, DataDictionary::validate, and the numbers as the library
// gives them. One thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

namespace heptane::bench {

class QuickfixPeer {
 public:
  // Reads FIX44.xml of jspurefix below clients/node_modules, or $FIX44_XML; ends the process when there is none.
  QuickfixPeer();
  ~QuickfixPeer();
  // Number, prices and quantities of scale 4, times in milliseconds, summed up; -1: not valid.
  int64_t sum_of(const std::string& text);

 private:
  struct Library;
  std::unique_ptr<Library> library_;
};

}  // namespace heptane::bench
