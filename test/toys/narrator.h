// A toy whose commands tell stories: every line is a record of the view `toy.lines`, every telling one of `toy.tellings`, and
// some say an ordinary event as well. Lines are numbered over all tellings, which only apply() knows: it logs where each
// telling begins. Proves views; part of no release.
#pragma once

#include "kernel/shard/effects.h"
#include "kernel/shard/snapshot_io.h"
#include "kernel/shard/views.h"

namespace heptane::test {

constexpr MachineId kNarratorId = machine_ids::kFirstTest + 2;
constexpr ViewId kLinesView{kNarratorId, 1};
constexpr ViewId kTellingsView{kNarratorId, 2};
constexpr std::string_view kLines = "toy.lines";
constexpr std::string_view kTellings = "toy.tellings";
constexpr std::string_view kNotes = "toy.notes";  // no view

enum NarratorCommand : CommandType {
  kTell = 1,       // Telling; reply numbers: first line's number, lines
  kTellLater = 2,  // Telling; told by timer, a millisecond later
};

enum class Doubt : uint8_t {
  none = 0,
  in_scope = 1,  // tells it once more in a scope that is rolled back
  refused = 2,   // tells it and refuses
};

struct Telling {
  uint16_t lines = 0;
  uint16_t notes = 0;  // ordinary events
  Doubt doubt = Doubt::none;
  std::string_view text;
};
Buffer encode(const Telling& telling);

// What the views say.
std::string line_key(uint64_t number);
std::string line_value(std::string_view text, uint64_t index);
std::string telling_value(Sequence sequence, uint64_t lines);

class Narrator final : public StateMachine {
 public:
  // Logs something else: what a changed apply() without an activation would do.
  void plant_divergence() { diverges_ = true; }

  MachineId id() const override { return kNarratorId; }
  std::string_view name() const override { return "toy_narrator"; }
  void apply(const Command& command, Effects& effects) override;
  void query(const Query& query, Reply& reply) const override;
  void open_scope() override { scopes_.push_back(told_); }
  void close_scope(ScopeOutcome outcome) override;
  uint64_t memory_bytes() const override { return sizeof(*this); }
  void save(SnapshotWriter& writer) const override { writer.le(told_); }
  Result<void> restore(SnapshotReader& reader) override;
  RenderView renderer() const override;

 private:
  void tell(const Telling& telling, bool later, Sequence sequence, Effects& effects);

  uint64_t told_ = 0;  // lines
  bool diverges_ = false;
  std::vector<uint64_t> scopes_;
};

}  // namespace heptane::test
