#include "kernel/server/symbols.h"

#include <cxxabi.h>
#include <elfutils/libdwfl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cstdlib>
#include <memory>

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

}  // namespace

std::vector<std::string> symbol_names(const std::vector<uint64_t>& addresses) {
  const auto session = own_symbols();
  std::vector<std::string> names;
  names.reserve(addresses.size());
  for (const uint64_t address : addresses) {
    Dwfl_Module* const module = session ? dwfl_addrmodule(session.get(), address) : nullptr;
    const char* const name = module != nullptr ? dwfl_module_addrname(module, address) : nullptr;
    names.push_back(name != nullptr ? readable(name) : fmt::format("{:#x}", address));
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
