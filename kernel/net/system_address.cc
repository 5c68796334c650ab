#include "kernel/net/system_address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

namespace heptane::net {

namespace {

constexpr int kBacklog = 1024;
constexpr std::string_view kUnix = "unix:";

std::string path_of(const Address& address) { return address.host.substr(kUnix.size()); }

Error bind_error(int error, const Address& address, const char* call) {
  const std::string where = to_text(address);
  if (error == EADDRINUSE) return {Errc::exists, where + " is in use by another process"};
  if (error == EADDRNOTAVAIL || error == EAFNOSUPPORT)
    return {Errc::unsupported, where + " is not an address of this machine"};
  if (error == EACCES && address.is_unix())
    return {Errc::refused, where + " may not be made by this user: choose a directory that it may write to"};
  if (error == EACCES) return {Errc::refused, where + " may not be opened by this user; ports below 1024 need root"};
  if (error == ENOENT) return {Errc::invalid_argument, where + ": its directory does not exist"};
  return {Errc::io, std::string(call) + " " + where + ": " + std::strerror(error)};
}

// Whether a process answers at a Unix socket.
bool answers(SystemAddress& address) {
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return true;
  const bool refused = connect(fd, address.raw(), address.length) != 0 && (errno == ECONNREFUSED || errno == ENOENT);
  ::close(fd);
  return !refused;
}

// The socket of a process that is gone is in the way of bind.
Result<void> remove_stale(const Address& address, SystemAddress& system_address) {
  const std::string path = path_of(address);
  struct stat found {};
  if (lstat(path.c_str(), &found) != 0) return {};
  if (!S_ISSOCK(found.st_mode)) return Error{Errc::exists, path + " is there and is no socket: choose another path"};
  if (answers(system_address)) return Error{Errc::exists, to_text(address) + " is in use by another process"};
  if (unlink(path.c_str()) != 0 && errno != ENOENT) return bind_error(errno, address, "unlink");
  return {};
}

// Mode before listen: until then nobody can connect.
int bind_and_listen(int fd, SystemAddress& system_address, const Address& address, const char*& call) {
  call = "bind";
  if (bind(fd, system_address.raw(), system_address.length) != 0) return errno;
  call = "chmod";
  if (address.is_unix() && chmod(path_of(address).c_str(), S_IRUSR | S_IWUSR) != 0) return errno;
  call = "listen";
  return ::listen(fd, kBacklog) == 0 ? 0 : errno;
}

void only_ipv6(int fd, const SystemAddress& address) {
  const int on = 1;
  if (address.family() == AF_INET6) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
}

Result<SystemAddress> to_system_unix(const Address& address) {
  SystemAddress out;
  auto* name = reinterpret_cast<sockaddr_un*>(&out.storage);
  const std::string path = path_of(address);
  if (path.empty() || path.size() >= sizeof name->sun_path)
    return Error{Errc::invalid_argument, to_text(address) + ": a Unix socket's path has 1 to " +
                                             std::to_string(sizeof name->sun_path - 1) + " bytes"};
  name->sun_family = AF_UNIX;
  std::memcpy(name->sun_path, path.c_str(), path.size() + 1);
  out.length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + 1);
  return out;
}

}  // namespace

Result<SystemAddress> to_system(const Address& address) {
  if (address.is_unix()) return to_system_unix(address);
  SystemAddress out;
  auto* v4 = reinterpret_cast<sockaddr_in*>(&out.storage);
  if (inet_pton(AF_INET, address.host.c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(address.port);
    out.length = sizeof(sockaddr_in);
    return out;
  }
  auto* v6 = reinterpret_cast<sockaddr_in6*>(&out.storage);
  if (inet_pton(AF_INET6, address.host.c_str(), &v6->sin6_addr) != 1)
    return Error{Errc::invalid_argument, "`" + address.host + "` is not a numeric IPv4 or IPv6 address"};
  v6->sin6_family = AF_INET6;
  v6->sin6_port = htons(address.port);
  out.length = sizeof(sockaddr_in6);
  return out;
}

Address from_system(const SystemAddress& address) {
  char text[INET6_ADDRSTRLEN] = {};
  if (address.family() == AF_UNIX) {
    const bool named = address.length > offsetof(sockaddr_un, sun_path);
    const auto* name = reinterpret_cast<const sockaddr_un*>(&address.storage);
    return {std::string(kUnix) + (named ? name->sun_path : ""), 0};
  }
  if (address.family() == AF_INET6) {
    const auto* v6 = reinterpret_cast<const sockaddr_in6*>(&address.storage);
    inet_ntop(AF_INET6, &v6->sin6_addr, text, sizeof text);
    return {text, ntohs(v6->sin6_port)};
  }
  const auto* v4 = reinterpret_cast<const sockaddr_in*>(&address.storage);
  inet_ntop(AF_INET, &v4->sin_addr, text, sizeof text);
  return {text, ntohs(v4->sin_port)};
}

Address local_address(int fd) {
  SystemAddress address;
  if (getsockname(fd, address.raw(), &address.length) != 0) return {};
  return from_system(address);
}

std::optional<uint32_t> peer_uid(int fd) {
  ucred peer{};
  socklen_t size = sizeof peer;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0 || peer.pid == 0) return {};
  return peer.uid;
}

Error connect_error(int error, const Address& address) {
  const std::string where = to_text(address);
  if (error == ECONNREFUSED || error == ENOENT) return {Errc::refused, where + ": nobody listens there"};
  if (error == EAGAIN) return {Errc::overloaded, where + ": too many connections wait there"};
  return {Errc::io, where + ": " + std::strerror(error)};
}

Result<int> open_listening_socket(const Address& address) {
  Result<SystemAddress> system_address = to_system(address);
  if (!system_address) return system_address.error();
  if (address.is_unix()) HEPTANE_TRY(remove_stale(address, *system_address));
  const int fd = socket(system_address->family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return bind_error(errno, address, "socket");
  const int on = 1;
  if (!address.is_unix()) setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  only_ipv6(fd, *system_address);
  const char* call = "";
  const int error = bind_and_listen(fd, *system_address, address, call);
  if (error == 0) return fd;
  ::close(fd);
  return bind_error(error, address, call);
}

Result<int> open_datagram_socket(const Address& address) {
  if (address.is_unix()) return Error{Errc::invalid_argument, to_text(address) + ": datagrams need an IP address"};
  Result<SystemAddress> system_address = to_system(address);
  if (!system_address) return system_address.error();
  const int fd = socket(system_address->family(), SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return bind_error(errno, address, "socket");
  only_ipv6(fd, *system_address);
  if (bind(fd, system_address->raw(), system_address->length) == 0) return fd;
  const int error = errno;
  ::close(fd);
  return bind_error(error, address, "bind");
}

UnixName::UnixName(const Address& address) {
  struct stat made {};
  if (!address.is_unix() || lstat(path_of(address).c_str(), &made) != 0) return;
  path_ = path_of(address);
  device_ = made.st_dev;
  inode_ = made.st_ino;
}

void UnixName::remove() {
  struct stat found {};
  if (path_.empty() || lstat(path_.c_str(), &found) != 0) return;
  if (found.st_dev == device_ && found.st_ino == inode_) unlink(path_.c_str());
  path_.clear();
}

}  // namespace heptane::net
