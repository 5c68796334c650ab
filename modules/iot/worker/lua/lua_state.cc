#include "modules/iot/worker/lua/lua_state.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <lua5.4/lua.hpp>

#include "kernel/base/assert.h"
#include "kernel/net/http/json.h"
#include "modules/iot/domain/devices/json_tree.h"

namespace heptane::iot::rules {

// Of the state, which finds it in its extra space. Functions that Lua calls have no objects of their own: its errors jump over them.
struct LuaState::Budget {
  size_t memory_max = 0;
  size_t memory = 0;
  uint64_t instructions_max = 0;
  uint64_t instructions = 0;
  bool over = false;
};

namespace {

constexpr int kHookEvery = 1'000;
constexpr const char* kTooLong = "the function ran more instructions than a call may";

template <class Budget>
Budget*& budget_in(lua_State* lua) {
  return *static_cast<Budget**>(lua_getextraspace(lua));
}

template <class Budget>
void* allocate(void* owner, void* block, size_t old_size, size_t new_size) {
  auto* budget = static_cast<Budget*>(owner);
  const size_t held = block == nullptr ? 0 : old_size;
  if (new_size == 0) {
    std::free(block);  // NOLINT: Lua's allocator
    budget->memory -= held;
    return nullptr;
  }
  if (new_size > held && new_size - held > budget->memory_max - budget->memory) return nullptr;
  void* made = std::realloc(block, new_size);  // NOLINT: Lua's allocator
  if (made != nullptr) budget->memory = budget->memory - held + new_size;
  return made;
}

template <class Budget>
void count(lua_State* lua, lua_Debug*) {
  Budget* budget = budget_in<Budget>(lua);
  budget->instructions += kHookEvery;
  if (budget->instructions <= budget->instructions_max) return;
  budget->over = true;
  luaL_error(lua, kTooLong);
}

// What ends a call is no error of the function's own.
template <class Budget>
int protected_call(lua_State* lua) {
  luaL_checkany(lua, 1);
  lua_pushboolean(lua, 1);
  lua_insert(lua, 1);
  const int status = lua_pcall(lua, lua_gettop(lua) - 2, LUA_MULTRET, 0);
  Budget* budget = budget_in<Budget>(lua);
  budget->over = budget->over || status == LUA_ERRMEM;
  if (status == LUA_OK) return lua_gettop(lua);
  if (budget->over) return lua_error(lua);
  lua_pushboolean(lua, 0);
  lua_insert(lua, -2);
  return 2;
}

int set_metatable(lua_State* lua) {
  luaL_checktype(lua, 1, LUA_TTABLE);
  luaL_argexpected(lua, lua_isnil(lua, 2) || lua_istable(lua, 2), 2, "nil or table");
  if (lua_istable(lua, 2)) {
    lua_pushliteral(lua, "__gc");
    if (lua_rawget(lua, 2) != LUA_TNIL) return luaL_error(lua, "there is no __gc here");
    lua_pop(lua, 1);
  }
  if (luaL_getmetafield(lua, 1, "__metatable") != LUA_TNIL)
    return luaL_error(lua, "cannot change a protected metatable");
  lua_settop(lua, 2);
  lua_setmetatable(lua, 1);
  return 1;
}

void forget(lua_State* lua, const char* const* names) {
  for (; *names != nullptr; ++names) {
    lua_pushnil(lua);
    lua_setfield(lua, -2, *names);
  }
}

template <class Budget>
int open_libraries(lua_State* lua) {
  static constexpr const char* kNotOfBase[] = {"collectgarbage", "dofile", "load",   "loadfile",
                                               "print",          "warn",   "xpcall", nullptr};
  static constexpr const char* kNotOfString[] = {"dump", nullptr};
  static constexpr luaL_Reg kLibraries[] = {{LUA_GNAME, luaopen_base},
                                            {LUA_STRLIBNAME, luaopen_string},
                                            {LUA_TABLIBNAME, luaopen_table},
                                            {LUA_MATHLIBNAME, luaopen_math},
                                            {LUA_UTF8LIBNAME, luaopen_utf8}};
  for (const luaL_Reg& library : kLibraries) {
    luaL_requiref(lua, library.name, library.func, 1);
    lua_pop(lua, 1);
  }
  lua_pushglobaltable(lua);
  forget(lua, kNotOfBase);
  lua_pushcfunction(lua, protected_call<Budget>);
  lua_setfield(lua, -2, "pcall");
  lua_pushcfunction(lua, set_metatable);
  lua_setfield(lua, -2, "setmetatable");
  lua_pushlightuserdata(lua, nullptr);
  lua_setfield(lua, -2, "null");
  lua_getfield(lua, -1, LUA_STRLIBNAME);
  forget(lua, kNotOfString);
  return 0;
}

// JSON.

void push(lua_State* lua, const http::JsonValue& value);

void push_items(lua_State* lua, const http::JsonValue& array) {
  lua_createtable(lua, static_cast<int>(array.size()), 0);
  lua_Integer index = 0;
  for (auto item = array.first(); item; item = item->next()) {
    if (item->type() == http::JsonType::null)
      lua_pushlightuserdata(lua, nullptr);
    else
      push(lua, *item);
    lua_rawseti(lua, -2, ++index);
  }
}

void push_members(lua_State* lua, const http::JsonValue& object) {
  lua_createtable(lua, 0, static_cast<int>(object.size()));
  for (auto member = object.first(); member; member = member->next()) {
    const std::string_view name = member->name();
    lua_pushlstring(lua, name.data(), name.size());
    push(lua, *member);
    lua_rawset(lua, -3);
  }
}

void push(lua_State* lua, const http::JsonValue& value) {
  luaL_checkstack(lua, 4, "JSON");
  switch (value.type()) {
    case http::JsonType::null: return lua_pushnil(lua);
    case http::JsonType::boolean: return lua_pushboolean(lua, value.boolean() ? 1 : 0);
    case http::JsonType::integer:
      if (!value.integer()) luaL_error(lua, "a whole number beyond 63 bits: round it, or make a text of it in SELECT");
      return lua_pushinteger(lua, *value.integer());
    case http::JsonType::real: return lua_pushnumber(lua, value.real().value_or(0));
    case http::JsonType::text: lua_pushlstring(lua, value.text().data(), value.text().size()); return;
    case http::JsonType::array: return push_items(lua, value);
    case http::JsonType::object: return push_members(lua, value);
  }
}

void write(lua_State* lua, std::string& out, int depth);

void write_number(lua_State* lua, std::string& out) {
  char text[32];
  std::to_chars_result end{};
  if (lua_isinteger(lua, -1) != 0) {
    end = std::to_chars(text, text + sizeof text, static_cast<int64_t>(lua_tointeger(lua, -1)));
  } else {
    const lua_Number number = lua_tonumber(lua, -1);
    if (!std::isfinite(number)) luaL_error(lua, "a number of the row is not finite");
    end = std::to_chars(text, text + sizeof text, number);
  }
  out.append(text, static_cast<size_t>(end.ptr - text));
}

// How many items the table on the top has; 0: it is no array.
lua_Integer items_of(lua_State* lua) {
  lua_Integer entries = 0;
  lua_pushnil(lua);
  while (lua_next(lua, -2) != 0) {
    lua_pop(lua, 1);
    ++entries;
    const bool numbered = lua_isinteger(lua, -1) != 0;
    if (numbered) continue;
    lua_pop(lua, 1);
    return 0;
  }
  const auto length = static_cast<lua_Integer>(lua_rawlen(lua, -1));
  return length == entries ? length : 0;
}

void write_items(lua_State* lua, std::string& out, lua_Integer items, int depth) {
  out += '[';
  for (lua_Integer index = 1; index <= items; ++index) {
    if (index > 1) out += ',';
    lua_rawgeti(lua, -1, index);
    write(lua, out, depth);
    lua_pop(lua, 1);
  }
  out += ']';
}

void write_members(lua_State* lua, std::string& out, int depth) {
  out += '{';
  bool first = true;
  lua_pushnil(lua);
  while (lua_next(lua, -2) != 0) {
    if (lua_type(lua, -2) != LUA_TSTRING)
      luaL_error(lua, "a table of the row has keys that are neither texts nor 1 to n");
    if (!first) out += ',';
    first = false;
    size_t size = 0;
    const char* name = lua_tolstring(lua, -2, &size);
    devices::write_json_text(out, {name, size});
    out += ':';
    write(lua, out, depth);
    lua_pop(lua, 1);
  }
  out += '}';
}

void write(lua_State* lua, std::string& out, int depth) {
  luaL_checkstack(lua, 4, "JSON");
  if (depth > LuaState::kDepthMax) luaL_error(lua, "the row is nested deeper than %d", LuaState::kDepthMax);
  if (out.size() > LuaState::kRowBytesMax) luaL_error(lua, "the row is longer than 64 KiB");
  switch (lua_type(lua, -1)) {
    case LUA_TNIL: out += "null"; return;
    case LUA_TBOOLEAN: out += lua_toboolean(lua, -1) != 0 ? "true" : "false"; return;
    case LUA_TNUMBER: return write_number(lua, out);
    case LUA_TSTRING: {
      size_t size = 0;
      const char* text = lua_tolstring(lua, -1, &size);
      if (size > LuaState::kRowBytesMax) luaL_error(lua, "the row is longer than 64 KiB");
      return devices::write_json_text(out, {text, size});
    }
    case LUA_TTABLE: {
      const lua_Integer items = items_of(lua);
      return items > 0 ? write_items(lua, out, items, depth + 1) : write_members(lua, out, depth + 1);
    }
    case LUA_TLIGHTUSERDATA: out += "null"; return;
    default: luaL_error(lua, "a %s is nothing that a row has", luaL_typename(lua, -1));
  }
}

struct CallParts {
  const http::JsonDocument* row;
  const http::JsonDocument* message;
  std::string* out;
  bool any;
};

// The function is under the parts.
int call_function(lua_State* lua) {
  auto* parts = static_cast<CallParts*>(lua_touserdata(lua, 2));
  lua_settop(lua, 1);
  push(lua, parts->row->root());
  push(lua, parts->message->root());
  lua_call(lua, 2, 1);
  if (lua_isnil(lua, -1)) return 0;
  if (!lua_istable(lua, -1) || items_of(lua) > 0)
    return luaL_error(lua, "the function gives a row: a table of names and values, or nil");
  parts->any = true;
  write_members(lua, *parts->out, 1);
  return 0;
}

}  // namespace

LuaState::LuaState(const LuaLimits& limits) : limits_(limits), budget_(std::make_unique<Budget>()) { open(); }

LuaState::~LuaState() {
  if (lua_ != nullptr) lua_close(lua_);
}

size_t LuaState::memory_bytes() const { return budget_->memory; }

void LuaState::open() {
  if (lua_ != nullptr) lua_close(lua_);
  *budget_ = {limits_.memory_bytes, 0, limits_.instructions};
  lua_ = lua_newstate(allocate<Budget>, budget_.get());
  HEPTANE_ASSERT(lua_ != nullptr, "a state has room for itself");
  budget_in<Budget>(lua_) = budget_.get();
  lua_pushcfunction(lua_, open_libraries<Budget>);
  const int status = lua_pcall(lua_, 0, 0, 0);
  HEPTANE_ASSERT(status == LUA_OK, "a state has room for its libraries");
  lua_sethook(lua_, count<Budget>, LUA_MASKCOUNT, kHookEvery);
}

Error LuaState::fault(int status) const {
  if (status == LUA_ERRMEM) return {Errc::too_large, "the function took more memory than it may: 32 MiB"};
  size_t size = 0;
  const char* text = lua_type(lua_, -1) == LUA_TSTRING ? lua_tolstring(lua_, -1, &size) : nullptr;
  if (text == nullptr) return {Errc::invalid_argument, "the function ended with an error that is no text"};
  return {Errc::invalid_argument, std::string(text, std::min(size, kFaultBytesMax))};
}

Result<void> LuaState::load(std::string_view text) {
  text_ = text;
  return run_chunk();
}

// Leaves the function alone on the stack.
Result<void> LuaState::run_chunk() {
  lua_settop(lua_, 0);
  budget_->instructions = 0;
  budget_->over = false;
  int status = luaL_loadbufferx(lua_, text_.data(), text_.size(), "=lua", "t");
  if (status == LUA_OK) status = lua_pcall(lua_, 0, 1, 0);
  if (status != LUA_OK) return fault(status);
  if (lua_isfunction(lua_, -1)) return {};
  return Error{Errc::invalid_argument, "the text gives no function: it is return function(row, message) … end"};
}

Frame LuaState::call(std::string_view row, std::string_view message) {
  const auto row_read = http::JsonDocument::parse(std::string(row));
  const auto message_read = http::JsonDocument::parse(std::string(message));
  if (!row_read) return {FrameKind::fault, row_read.error().message};
  if (!message_read) return {FrameKind::fault, message_read.error().message};
  budget_->instructions = 0;
  budget_->over = false;
  std::string out;
  CallParts parts{row_read->get(), message_read->get(), &out, false};
  lua_settop(lua_, 1);
  lua_pushcfunction(lua_, call_function);
  lua_pushvalue(lua_, 1);
  lua_pushlightuserdata(lua_, &parts);
  const int status = lua_pcall(lua_, 2, 0, 0);
  if (status == LUA_OK) return parts.any ? Frame{FrameKind::row, std::move(out)} : Frame{FrameKind::nothing, {}};
  Frame ended{FrameKind::fault, fault(status).message};
  lua_settop(lua_, 1);
  if (status != LUA_ERRMEM) return ended;
  // What it holds is what there was no room for: it begins anew.
  open();
  if (const Result<void> again = run_chunk(); !again) ended.text = again.error().message;
  return ended;
}

}  // namespace heptane::iot::rules
