// References that wait for a session (kept_sessions.h).
#include <algorithm>
#include <utility>

#include "kernel/base/assert.h"
#include "modules/iot/machine/kept_sessions.h"

namespace heptane::iot {

void ReferenceBlocks::push_back(const Reference& reference) {
  if (blocks_.empty() || blocks_.back().size() == kBlock) {
    blocks_.emplace_back();
    if (blocks_.size() > 1) blocks_.back().reserve(kBlock);
  }
  blocks_.back().push_back(reference);
}

Reference ReferenceBlocks::take_last() {
  std::vector<Reference>& block = blocks_.back();
  const Reference last = block.back();
  block.pop_back();
  if (block.empty() && blocks_.size() > 1) blocks_.pop_back();
  return last;
}

// The only one is made shorter where half of it is taken off.
Reference ReferenceBlocks::take_first() {
  std::vector<Reference>& block = blocks_.front();
  const Reference first = block[begin_++];
  if (begin_ == kBlock) {
    blocks_.erase(blocks_.begin());
    begin_ = 0;
  } else if (blocks_.size() == 2 && size() <= kBlock / 4) {
    // Two blocks for what fits into a part of one: what is counted is the references.
    std::vector<Reference> all(block.begin() + static_cast<std::ptrdiff_t>(begin_), block.end());
    all.insert(all.end(), blocks_[1].begin(), blocks_[1].end());
    blocks_.clear();
    blocks_.push_back(std::move(all));
    begin_ = 0;
  } else if (blocks_.size() == 1 && begin_ > block.size() / 2) {
    block.erase(block.begin(), block.begin() + static_cast<std::ptrdiff_t>(begin_));
    begin_ = 0;
    if (block.capacity() > 64 && block.size() < block.capacity() / 4) block.shrink_to_fit();
  }
  return first;
}

Reference* ReferenceQueue::find(uint64_t number) {
  if (number < first_number_) {
    const auto aside = aside_.find(number);
    return aside == aside_.end() ? nullptr : &aside->second;
  }
  if (number - first_number_ >= span()) return nullptr;
  Reference& found = items_[number - first_number_];
  return found.done() ? nullptr : &found;
}

void ReferenceQueue::push(const Reference& reference) {
  items_.push_back(reference);
  had_ids_ = had_ids_ || reference.ids != 0;
  if (!reference.done()) ++waiting_;
}

void ReferenceQueue::set_done(uint64_t number) {
  Reference* reference = find(number);
  HEPTANE_ASSERT(reference != nullptr, "a reference is done twice");
  --waiting_;
  if (number >= first_number_) {
    reference->flags |= Reference::kDone;
    return;
  }
  aside_.erase(number);
  ++freed_;
}

void ReferenceQueue::set_waiting(uint64_t number) {
  items_[number - first_number_].flags &= ~uint32_t{Reference::kDone};
  ++waiting_;
}

Reference ReferenceQueue::take_last() {
  const Reference last = items_.take_last();
  if (!last.done()) --waiting_;
  return last;
}

uint64_t ReferenceQueue::last_waiting() const {
  uint64_t number = next_number();
  while (number > first_number_)
    if (!at(--number).done()) return number;
  return aside_.rbegin()->first;
}

uint64_t ReferenceQueue::next_waiting(uint64_t from) const {
  const auto aside = aside_.lower_bound(from);
  if (aside != aside_.end()) return aside->first;
  uint64_t number = std::max(from, first_number_);
  while (number < next_number() && at(number).done()) ++number;
  return number;
}

void ReferenceQueue::put_aside(uint64_t number, const Reference& reference) {
  aside_.emplace(number, reference);
  had_ids_ = had_ids_ || reference.ids != 0;
  ++waiting_;
}

void ReferenceQueue::set_first_aside() { aside_.emplace(first_number_++, items_.take_first()); }

size_t ReferenceQueue::trim() {
  size_t taken = 0;
  for (; items_.size() > 0 && items_[0].done(); ++taken) items_.take_first();
  first_number_ += taken;
  return taken + std::exchange(freed_, 0);
}

}  // namespace heptane::iot
