// Puts this process's memory on huge pages before it forks: the pause of a fork is the copying of page tables, and one
// entry for 2 MiB instead of 512 makes it some 20 times shorter. After a fork the pages that are written to fall apart into
// small ones again, so it is done before every snapshot. Needs MADV_COLLAPSE (Linux 6.1); without it the pause is longer
// and nothing else differs. One thread's; the others go on meanwhile, each at most for the copying of one page.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace heptane::snapshot {

class HugePages {
 public:
  ~HugePages();
  // Looks at what is mapped now.
  void begin();
  // Collapses at most `pages`; true when there are more to look at.
  bool step(size_t pages);
  uint64_t collapsed_total() const { return collapsed_total_; }

 private:
  struct Range {
    uintptr_t begin = 0;
    uintptr_t end = 0;
  };
  bool mostly_present(uintptr_t at) const;
  void finish();

  std::vector<Range> ranges_;
  size_t range_ = 0;
  uintptr_t at_ = 0;
  int pagemap_ = -1;
  uint64_t collapsed_total_ = 0;
};

}  // namespace heptane::snapshot
