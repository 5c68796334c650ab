// How a table of checks is run: the rows of one stage in their order, the first that fails gives the status. Every row of
// a table is one status; the order of the rows is the precedence, for all stages together. Rows are unrolled at compile
// time, so the table costs what a chain of ifs costs.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>

namespace heptane::fintech {

// When a row can be looked at.
enum class Stage : uint8_t {
  batch,     // from the event's place in its batch
  identity,  // from the event's own id
  existing,  // there is something under this id
  fields,    // from the event's fields
  related,   // with the accounts and the pending transfer found
  balances,  // with the amount known
};

// What an event's place in its batch says, for accounts and transfers alike.
struct BatchFacts {
  bool chain_broken = false;  // an earlier event of its chain failed
  bool chain_open = false;    // it is linked and the last one
  bool imported = false;      // the first event of the batch is imported
  uint64_t timestamp = 0;     // of the batch's last event
};

template <class Status, class Case>
struct Check {
  Status status;
  std::string_view name;
  Stage stage;
  bool (*fails)(const Case&);
  // It may be otherwise later: a transfer that failed so has used up its id.
  bool transient = false;
};

// The first failure of a stage; `created` when there is none.
template <const auto& kTable, Stage kStage, class Status, class Case, size_t... kRow>
inline Status first_failure_of(const Case& at, std::index_sequence<kRow...>) {
  Status status = Status::created;
  (void)((kTable[kRow].stage == kStage && kTable[kRow].fails(at) && (status = kTable[kRow].status, true)) || ...);
  return status;
}

template <const auto& kTable, Stage kStage, class Case>
inline auto first_failure(const Case& at) {
  using Status = decltype(kTable[0].status);
  return first_failure_of<kTable, kStage, std::remove_const_t<Status>>(at, std::make_index_sequence<kTable.size()>{});
}

}  // namespace heptane::fintech
