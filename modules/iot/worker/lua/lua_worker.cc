#include "modules/iot/worker/lua/lua_worker.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <string>
#include <vector>

#include "kernel/net/child_link.h"
#include "modules/iot/domain/rules/lua_frames.h"
#include "modules/iot/worker/lua/lua_state.h"

namespace heptane::iot::rules {

namespace {

constexpr int kFd = net::ChildLink::kChildFd;
constexpr unsigned kAlarmSeconds = 5;  // beyond what the server waits
constexpr size_t kReadBytes = size_t{64} << 10;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kConfined = false;  // what watches this process needs more
#else
constexpr bool kConfined = true;
#endif
constexpr rlim_t kAddressBytes = rlim_t{1} << 30;

void limit(int resource, rlim_t most) {
  const rlimit both{most, most};
  ::setrlimit(static_cast<__rlimit_resource_t>(resource), &both);
}

// What reading, writing, memory and ending need.
constexpr long kCalls[] = {SYS_read,  SYS_write,        SYS_exit,           SYS_exit_group,    SYS_brk,
                           SYS_mmap,  SYS_munmap,       SYS_mremap,         SYS_madvise,       SYS_mprotect,
                           SYS_futex, SYS_rt_sigreturn, SYS_rt_sigprocmask, SYS_clock_gettime, SYS_gettimeofday,
                           SYS_time,  SYS_getrandom,    SYS_alarm,          SYS_sched_yield,   SYS_restart_syscall};

bool confine() {
  const auto arch = static_cast<uint32_t>(offsetof(seccomp_data, arch));
  const auto number = static_cast<uint32_t>(offsetof(seccomp_data, nr));
  std::vector<sock_filter> filter = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, arch), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS), BPF_STMT(BPF_LD | BPF_W | BPF_ABS, number)};
  for (const long call : kCalls) {
    filter.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<uint32_t>(call), 0, 1));
    filter.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  }
  filter.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS));
  const sock_fprog program{static_cast<unsigned short>(filter.size()), filter.data()};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

bool write_all(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t count = ::write(kFd, bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    bytes.remove_prefix(static_cast<size_t>(count));
  }
  return true;
}

int serve() {
  LuaState state{LuaLimits{}};
  FrameReader frames;
  std::string bytes(kReadBytes, '\0');
  std::string out;
  while (true) {
    while (const auto asked = frames.next()) {
      ::alarm(kAlarmSeconds);
      const Frame answered = answer_lua(*asked, state);
      ::alarm(0);
      out.clear();
      append_frame(out, answered.kind, answered.text);
      if (!write_all(out)) return 0;
    }
    if (frames.corrupt()) return 1;
    const ssize_t count = ::read(kFd, bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return 0;
    frames.add(std::string_view(bytes).substr(0, static_cast<size_t>(count)));
  }
}

}  // namespace

Frame answer_lua(const Frame& asked, LuaState& state) {
  if (asked.kind == FrameKind::load) {
    const Result<void> loaded = state.load(asked.text);
    return loaded ? Frame{FrameKind::done, {}} : Frame{FrameKind::fault, loaded.error().message};
  }
  const auto call = read_call(asked.text);
  if (asked.kind != FrameKind::call || !call) return {FrameKind::fault, "the server asks for what is none"};
  return state.call(call->row, call->message);
}

int run_lua_worker() {
  if (kConfined) limit(RLIMIT_AS, kAddressBytes);
  limit(RLIMIT_CORE, 0);
  limit(RLIMIT_FSIZE, 0);
  limit(RLIMIT_NPROC, 0);
  if (kConfined) limit(RLIMIT_NOFILE, kFd + 1);  // a sanitiser looks at memory through a pipe
  if (kConfined && !confine()) return 1;
  return serve();
}

}  // namespace heptane::iot::rules
