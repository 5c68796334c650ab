// A small program for the power-cut test. It says on standard output what it relies on, then waits to be killed; or
// works until it is killed. Every scenario is one function.
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>

namespace {

void require(bool ok, const char* what) {
  if (ok) return;
  perror(what);
  _exit(3);
}

int create(const char* path) {
  int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
  require(fd >= 0, path);
  return fd;
}

void fill(int fd, char byte, size_t bytes, off_t offset) {
  std::string data(bytes, byte);
  require(pwrite(fd, data.data(), bytes, offset) == static_cast<ssize_t>(bytes), "pwrite");
}

void sync_directory(const char* path) {
  int fd = open(path, O_RDONLY | O_DIRECTORY);
  require(fd >= 0 && fsync(fd) == 0, path);
  close(fd);
}

[[noreturn]] void wait_for_kill() {
  require(write(1, "ready\n", 6) == 6, "ready");
  for (;;) pause();
}

// synced: content and name durable. nameless: content synced, name not. dirty: name durable, content partly.
void files() {
  int synced = create("synced"), dirty = create("dirty");
  fill(synced, 's', 10000, 0);
  fill(dirty, 'a', 8192, 0);
  require(fdatasync(synced) == 0 && fsync(dirty) == 0, "sync");
  sync_directory(".");
  fill(dirty, 'b', 8192, 0);
  fill(dirty, 'c', 4096, 8192);
  int nameless = create("nameless");
  fill(nameless, 'n', 100, 0);
  require(fsync(nameless) == 0, "sync");
  wait_for_kill();
}

void names() {
  int fd = create("old");
  fill(fd, 'x', 1000, 0);
  require(fsync(fd) == 0, "sync");
  create("doomed");
  sync_directory(".");
  require(rename("old", "new") == 0 && unlink("doomed") == 0 && mkdir("sub", 0700) == 0, "names");
  close(create("sub/inner"));
  sync_directory("sub");
  require(link("new", "twin") == 0, "link");
  wait_for_kill();
}

// Appends numbered 100-byte lines and acknowledges each on standard output: `honest` after its sync, else before.
void append(bool honest) {
  int fd = open("log", O_WRONLY | O_CREAT | O_APPEND, 0600);
  require(fd >= 0, "log");
  sync_directory(".");
  for (int i = 0;; ++i) {
    char line[128];
    snprintf(line, sizeof line, "%08d%092d", i, i);
    require(write(fd, line, 100) == 100, "write");
    std::string acknowledgement = std::to_string(i) + "\n";
    auto acknowledge = [&] { require(write(1, acknowledgement.data(), acknowledgement.size()) > 0, "acknowledge"); };
    if (!honest) acknowledge();
    require(fdatasync(fd) == 0, "sync");
    if (honest) acknowledge();
  }
}

// Every other way to write, by a child that has closed every descriptor but its own.
void ways() {
  FILE* stream = fopen("stream", "w");
  fprintf(stream, "hello %d\n", 42);
  fclose(stream);
  int mapped = create("mapped");
  require(ftruncate(mapped, 8192) == 0, "ftruncate");
  char* memory = static_cast<char*>(mmap(nullptr, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, mapped, 0));
  memset(memory, 'm', 5000);
  require(msync(memory, 8192, MS_SYNC) == 0, "msync");
  memset(memory, 'n', 10);
  int direct = open("dsync", O_WRONLY | O_CREAT | O_DSYNC, 0600);
  fill(direct, 'd', 3000, 0);
  int allocated = create("allocated");
  require(posix_fallocate(allocated, 0, 65536) == 0, "fallocate");
  fill(allocated, 'f', 512, 1024);
  require(fsync(allocated) == 0, "sync");
  int copy = create("copy");
  off64_t from = 0;
  require(copy_file_range(allocated, &from, copy, nullptr, 4096, 0) == 4096 && fsync(copy) == 0, "copy");
  pid_t child = fork();
  if (child == 0) {
    int own = open("child.tmp", O_WRONLY | O_CREAT, 0600);
    for (int fd = 0; fd < 256; ++fd) {
      if (fd != own) close(fd);
    }
    fill(own, 'k', 100000, 0);
    _exit(fsync(own) == 0 && rename("child.tmp", "child") == 0 ? 0 : 1);
  }
  int status = 0;
  require(waitpid(child, &status, 0) == child && status == 0, "child");
  sync_directory(".");
  wait_for_kill();
}

// One sector rewritten in full eight times, and another one filled by small appends; none of it synced.
void versions() {
  int fd = create("file");
  require(fsync(fd) == 0, "sync");
  sync_directory(".");
  for (int i = 0; i < 8; ++i) fill(fd, static_cast<char>('1' + i), 64, 64 * i);
  for (int i = 0; i < 8; ++i) fill(fd, static_cast<char>('1' + i), 512, 512);
  wait_for_kill();
}

void failed_sync() {
  int fd = create("file");
  sync_directory(".");  // the first sync
  fill(fd, 'a', 4096, 0);
  bool failed = fsync(fd) != 0;  // the second one, planted to fail
  fill(fd, 'b', 4096, 4096);
  require(fsync(fd) == 0, "sync");
  require(printf("%s\n", failed ? "failed" : "ok") > 0 && fflush(stdout) == 0, "print");
  wait_for_kill();
}

void bench(int block, int count) {
  int fd = create("bench");
  std::string data(static_cast<size_t>(block), 'q');
  for (int i = 0; i < count; ++i) {
    data[0] = static_cast<char>(i);
    require(pwrite(fd, data.data(), data.size(), static_cast<off_t>(i % 1024) * block) == block, "pwrite");
    require(fdatasync(fd) == 0, "fdatasync");
  }
}

}  // namespace

int main(int argc, char** argv) {
  std::string scenario = argc > 1 ? argv[1] : "";
  if (scenario == "files") files();
  if (scenario == "names") names();
  if (scenario == "honest") append(true);
  if (scenario == "hasty") append(false);
  if (scenario == "ways") ways();
  if (scenario == "versions") versions();
  if (scenario == "failed_sync") failed_sync();
  if (scenario == "bench" && argc == 4) bench(atoi(argv[2]), atoi(argv[3]));
  return 0;
}
