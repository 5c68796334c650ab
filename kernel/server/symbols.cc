#include "kernel/server/symbols.h"

#include <cxxabi.h>
#include <elfutils/libdwfl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <memory>
#include <unordered_map>

namespace heptane::server {

namespace {

struct EndSession {
  void operator()(Dwfl* session) const { dwfl_end(session); }
};
struct Free {
  void operator()(char* text) const { std::free(text); }
};

// Debug information is not looked for: the tables of the files themselves are enough for names.
int no_debug_file(Dwfl_Module*, void**, const char*, Dwarf_Addr, const char*, const char*, GElf_Word, char**) {
  return -1;
}

std::unique_ptr<Dwfl, EndSession> own_symbols() {
  static const Dwfl_Callbacks kCallbacks = {dwfl_linux_proc_find_elf, no_debug_file, nullptr, nullptr};
  std::unique_ptr<Dwfl, EndSession> session(dwfl_begin(&kCallbacks));
  if (!session) return nullptr;
  dwfl_report_begin(session.get());
  if (dwfl_linux_proc_report(session.get(), ::getpid()) != 0) return nullptr;
  if (dwfl_report_end(session.get(), nullptr, nullptr) != 0) return nullptr;
  return session;
}

std::string readable(const char* name) {
  int status = 0;
  const std::unique_ptr<char, Free> text(abi::__cxa_demangle(name, nullptr, nullptr, &status));
  return status == 0 ? text.get() : name;
}

std::string name_of(Dwfl* session, uint64_t address) {
  Dwfl_Module* const module = session != nullptr ? dwfl_addrmodule(session, address) : nullptr;
  const char* const name = module != nullptr ? dwfl_module_addrname(module, address) : nullptr;
  return name != nullptr ? readable(name) : fmt::format("{:#x}", address);
}

}  // namespace

Result<std::vector<std::string>> symbol_names(const std::vector<uint64_t>& addresses, size_t bytes_max) {
  const auto session = own_symbols();
  std::vector<std::string> names;
  names.reserve(addresses.size());
  size_t bytes = 0;
  std::unordered_map<uint64_t, std::string> known;  // a look takes a millisecond: a module's symbols are gone through
  const auto late = std::chrono::steady_clock::now() + std::chrono::nanoseconds(kSymbolsNs);
  for (const uint64_t address : addresses) {
    const auto [found, fresh] = known.try_emplace(address);
    if (fresh) found->second = name_of(session.get(), address);
    names.push_back(found->second);
    bytes += names.back().size();
    if (bytes > bytes_max || (fresh && std::chrono::steady_clock::now() > late))
      return Error{Errc::too_large,
                   "the names are longer, or took longer, than an answer may: ask for fewer addresses at once", 0};
  }
  return names;
}

uint64_t symbols_known() {
  const auto session = own_symbols();
  Dwfl_Module* const own =
      session ? dwfl_addrmodule(session.get(), reinterpret_cast<uintptr_t>(&symbols_known)) : nullptr;
  const int count = own != nullptr ? dwfl_module_getsymtab(own) : 0;
  return count > 0 ? static_cast<uint64_t>(count) : 0;
}

}  // namespace heptane::server
