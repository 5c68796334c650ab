#include "modules/iot/gateway/rules/lua_link.h"

#include <utility>

#include "kernel/net/child_link.h"

namespace heptane::iot::rules {

namespace {

class LuaProcess final : public LuaLink {
 public:
  explicit LuaProcess(std::unique_ptr<net::ChildLink> child) : child_(std::move(child)) {}

  std::optional<size_t> write(Bytes bytes) override { return child_->write(bytes); }
  std::optional<size_t> read(MutableBytes into) override { return child_->read(into); }
  pid_t pid() const override { return child_->pid(); }

 private:
  std::unique_ptr<net::ChildLink> child_;
};

}  // namespace

Result<std::unique_ptr<LuaLink>> start_lua_process() {
  auto child = net::ChildLink::start(kLuaCommand);
  if (!child) return child.error();
  return std::unique_ptr<LuaLink>(std::make_unique<LuaProcess>(std::move(*child)));
}

}  // namespace heptane::iot::rules
