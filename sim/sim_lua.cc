#include "sim/sim_lua.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "modules/iot/worker/lua/lua_worker.h"
#include "sim/rules_readings.h"

namespace heptane::sim {

namespace {

using namespace iot::rules;

constexpr uint32_t kNoneOneIn = 12;
constexpr uint32_t kEndsOneIn = 25;
constexpr uint32_t kHangsOneIn = 60;
constexpr uint32_t kSlowOneIn = 4;

}  // namespace

// Answers when it is read from, one frame at a time.
class SimLua::Link final : public LuaLink {
 public:
  explicit Link(SimLua& owner) : owner_(owner) {}
  ~Link() override {
    if (asked_ > answered_) ++owner_.lost_;
  }

  std::optional<size_t> write(Bytes bytes) override {
    if (ended_) return std::nullopt;
    frames_.add(as_text(bytes));
    take_frames();
    return bytes.size();
  }

  std::optional<size_t> read(MutableBytes into) override {
    if (out_.empty() && !ended_ && !hangs_ && !owner_.random_.one_in(kSlowOneIn)) answer();
    if (out_.empty()) return ended_ ? std::nullopt : std::optional<size_t>(0);
    const size_t count = std::min(into.size(), out_.size());
    std::copy_n(as_bytes(out_).data(), count, into.data());
    out_.erase(0, count);
    return count;
  }

 private:
  void take_frames() {
    for (auto frame = frames_.next(); frame; frame = frames_.next(), ++asked_) calls_.push_back(std::move(*frame));
  }

  void answer() {
    if (answered_ == calls_.size()) return;
    const Frame& asked = calls_[answered_];
    const Fate fate = owner_.fate_of(asked.text);
    ended_ = fate == Fate::ends;
    hangs_ = fate == Fate::hangs;
    if (fate != Fate::answers) return;
    const Frame answered = answer_lua(asked, state_);
    append_frame(out_, answered.kind, answered.text);
    ++answered_;
  }

  SimLua& owner_;
  LuaState state_{LuaLimits{}};
  FrameReader frames_;
  std::vector<Frame> calls_;
  std::string out_;
  size_t asked_ = 0;
  size_t answered_ = 0;
  bool ended_ = false;
  bool hangs_ = false;
};

SimLua::Fate SimLua::fate_of(std::string_view call) {
  const auto tick = field_of(call, "n");
  if (tick && *tick % kPoisonedEach == 0 && poisoned_.try_emplace(*tick, pauses_).first->second == pauses_)
    return Fate::ends;
  if (random_.one_in(kHangsOneIn)) return Fate::hangs;
  return random_.one_in(kEndsOneIn) ? Fate::ends : Fate::answers;
}

void SimLua::see(bool is_paused) {
  if (is_paused && !is_paused_) ++pauses_;
  is_paused_ = is_paused;
}

LuaStarter SimLua::starter() {
  return [this]() -> Result<std::unique_ptr<LuaLink>> {
    if (random_.one_in(kNoneOneIn)) return Error{Errc::io, "no process can be begun"};
    return std::unique_ptr<LuaLink>(std::make_unique<Link>(*this));
  };
}

}  // namespace heptane::sim
