#include "modules/iot/gateway/mqtt/kept_walks.h"

#include <algorithm>
#include <set>

namespace heptane::iot::mqtt {

uint64_t KeptWalks::begin(std::string_view filter) {
  current_.insert_or_assign(std::string(filter), ++last_walk_);
  return last_walk_;
}

uint64_t KeptWalks::resume(std::string_view filter, uint64_t number) {
  current_.insert_or_assign(std::string(filter), number);
  last_walk_ = std::max(last_walk_, number);
  return number;
}

uint64_t KeptWalks::add_page(uint64_t walk, std::string_view filter, std::vector<std::string> topics,
                             std::string_view last, bool end) {
  Page page;
  page.mark = ++last_mark_;
  page.walk = walk;
  page.filter = filter;
  page.open = topics.size();
  page.done.resize(topics.size());
  page.topics = std::move(topics);
  page.last = last;
  page.end = end;
  pages_.push_back(std::move(page));
  return last_mark_;
}

void KeptWalks::done(const PageMark& mark) {
  const auto page = std::lower_bound(pages_.begin(), pages_.end(), mark.page,
                                     [](const Page& one, uint64_t wanted) { return one.mark < wanted; });
  if (page == pages_.end() || page->mark != mark.page) return;
  if (mark.place >= page->done.size() || page->done[mark.place]) return;
  page->done[mark.place] = true;
  --page->open;
}

// Pages of one walk are done in their order: behind one that is not, nothing counts.
std::vector<Walked> KeptWalks::take_progress(bool leaves) {
  std::vector<Walked> progress;
  std::set<uint64_t> waiting;
  for (auto page = pages_.begin(); page != pages_.end();) {
    const auto current = current_.find(page->filter);
    const bool counts = current != current_.end() && current->second == page->walk;
    if (counts && (page->open > 0 || waiting.contains(page->walk))) {
      const auto first = std::find(page->done.begin(), page->done.end(), false);
      const auto in_row = static_cast<size_t>(first - page->done.begin());
      if (leaves && in_row > 0 && !waiting.contains(page->walk))
        progress.push_back({page->filter, page->topics[in_row - 1], false, page->walk});
      waiting.insert(page->walk);
      ++page;
      continue;
    }
    if (counts) progress.push_back({page->filter, page->last, page->end, page->walk});
    page = pages_.erase(page);
  }
  return progress;
}

}  // namespace heptane::iot::mqtt
