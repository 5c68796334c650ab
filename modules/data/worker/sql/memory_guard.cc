#include "modules/data/worker/sql/memory_guard.h"

#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <sys/mman.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <new>
#include <span>
#include <string_view>

namespace heptane::data::sql {

namespace {

std::atomic<uint64_t> limit{UINT64_MAX};
std::atomic<uint64_t> mapped_now{0};

bool fits(size_t bytes) { return bytes <= limit.load(std::memory_order_relaxed); }

void* guarded_mmap(void* at, size_t bytes, int protection, int flags, int file, off_t offset) {
  const uint64_t together = mapped_now.fetch_add(bytes, std::memory_order_relaxed) + bytes;
  void* const got =
      together > limit.load(std::memory_order_relaxed) ? MAP_FAILED : mmap(at, bytes, protection, flags, file, offset);
  if (got != MAP_FAILED) return got;
  mapped_now.fetch_sub(bytes, std::memory_order_relaxed);
  errno = ENOMEM;
  return got;
}
int guarded_munmap(void* at, size_t bytes) {
  const int done = munmap(at, bytes);
  if (done == 0) mapped_now.fetch_sub(bytes, std::memory_order_relaxed);
  return done;
}
// Its allocator asks here where mmap refused.
void* guarded_sbrk(intptr_t) {
  errno = ENOMEM;
  return reinterpret_cast<void*>(-1);
}
void* guarded_malloc(size_t bytes) { return fits(bytes) ? std::malloc(bytes) : nullptr; }
void* guarded_realloc(void* old, size_t bytes) { return fits(bytes) ? std::realloc(old, bytes) : nullptr; }
void* guarded_calloc(size_t count, size_t bytes) {
  size_t all = 0;
  return !__builtin_mul_overflow(count, bytes, &all) && fits(all) ? std::calloc(count, bytes) : nullptr;
}
void* guarded_new(size_t bytes) {
  if (!fits(bytes)) throw std::bad_alloc();
  return ::operator new(bytes);
}
void* guarded_new_array(size_t bytes) {
  if (!fits(bytes)) throw std::bad_alloc();
  return ::operator new[](bytes);
}
void* guarded_new_nothrow(size_t bytes, const std::nothrow_t& none) noexcept {
  return fits(bytes) ? ::operator new(bytes, none) : nullptr;
}
void* guarded_new_array_nothrow(size_t bytes, const std::nothrow_t& none) noexcept {
  return fits(bytes) ? ::operator new[](bytes, none) : nullptr;
}

struct Name {
  std::string_view symbol;
  void* taken_by;
};
template <class Function>
void* address(Function* function) {
  return reinterpret_cast<void*>(function);
}

const std::array kNames = {
    Name{"mmap", address(guarded_mmap)},
    Name{"munmap", address(guarded_munmap)},
    Name{"sbrk", address(guarded_sbrk)},
    Name{"malloc", address(guarded_malloc)},
    Name{"realloc", address(guarded_realloc)},
    Name{"calloc", address(guarded_calloc)},
    Name{"_Znwm", address(guarded_new)},
    Name{"_Znam", address(guarded_new_array)},
    Name{"_ZnwmRKSt9nothrow_t", address(guarded_new_nothrow)},
    Name{"_ZnamRKSt9nothrow_t", address(guarded_new_array_nothrow)},
};

// What the dynamic section of a loaded library says of the functions that it calls elsewhere.
struct Calls {
  std::span<const ElfW(Rela)> slots;
  const ElfW(Sym) * symbols = nullptr;
  const char* names = nullptr;
};

Calls calls_of(const link_map& library) {
  Calls calls;
  const ElfW(Rela)* slots = nullptr;
  size_t bytes = 0;
  for (const ElfW(Dyn)* entry = library.l_ld; entry->d_tag != DT_NULL; ++entry) {
    if (entry->d_tag == DT_JMPREL) slots = reinterpret_cast<const ElfW(Rela)*>(entry->d_un.d_ptr);
    if (entry->d_tag == DT_PLTRELSZ) bytes = entry->d_un.d_val;
    if (entry->d_tag == DT_SYMTAB) calls.symbols = reinterpret_cast<const ElfW(Sym)*>(entry->d_un.d_ptr);
    if (entry->d_tag == DT_STRTAB) calls.names = reinterpret_cast<const char*>(entry->d_un.d_ptr);
  }
  calls.slots = {slots, slots == nullptr ? 0 : bytes / sizeof(ElfW(Rela))};
  return calls;
}

}  // namespace

Result<void> MemoryGuard::install(void* library) {
  link_map* loaded = nullptr;
  if (dlinfo(library, RTLD_DI_LINKMAP, &loaded) != 0)
    return Error{Errc::unsupported, "SQL: the place of DuckDB's library is not known"};
  const Calls calls = calls_of(*loaded);
  size_t taken = 0;
  for (const ElfW(Rela) & slot : calls.slots) {
    const std::string_view symbol = calls.names + calls.symbols[ELF64_R_SYM(slot.r_info)].st_name;
    for (const Name& name : kNames) {
      if (name.symbol != symbol) continue;
      *reinterpret_cast<void**>(loaded->l_addr + slot.r_offset) = name.taken_by;
      ++taken;
    }
  }
  if (taken == kNames.size()) return {};
  return Error{Errc::unsupported, "SQL: DuckDB's library takes memory in ways that are not known here"};
}

void MemoryGuard::set_limit(uint64_t bytes) { limit.store(bytes, std::memory_order_relaxed); }

uint64_t MemoryGuard::mapped() { return mapped_now.load(std::memory_order_relaxed); }

}  // namespace heptane::data::sql
