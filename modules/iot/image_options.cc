#include "modules/iot/image_options.h"

#include <sys/stat.h>

#include <fstream>

#include "kernel/server/safety.h"

namespace heptane::iot {

namespace {

using config::bind;
using config::Type;

constexpr size_t kKeyBytesMin = 32;
constexpr size_t kKeyFileBytesMax = 4 << 10;
constexpr std::string_view kLinkKey = "devices.image_link_key";

std::string wrong_image_host(const std::string& entry) {
  const auto list = rules::AllowList::parse({entry});
  return list ? std::string() : list.error().message;
}

std::string wrong_base(const std::string& base) {
  if (base.empty()) return "";
  const bool web = base.starts_with("https://") || base.starts_with("http://");
  return web && !base.ends_with('/') ? "" : "begins with https:// or http:// and does not end with /";
}

Result<std::string> read_key(const std::string& file) {
  struct stat facts {};
  std::ifstream in(file, std::ios::binary);
  if (!in || ::stat(file.c_str(), &facts) != 0 || !S_ISREG(facts.st_mode))
    return Error{Errc::not_found, std::string(kLinkKey) + ": " + file + " cannot be read", 0};
  const std::string unsafe = server::unsafe_mode(kLinkKey, file, facts.st_mode);
  if (!unsafe.empty()) return Error{Errc::refused, unsafe, 0};
  std::string key(kKeyFileBytesMax, '\0');
  in.read(key.data(), static_cast<std::streamsize>(key.size()));
  key.resize(static_cast<size_t>(in.gcount()));
  while (key.ends_with('\n') || key.ends_with('\r')) key.pop_back();
  if (key.size() >= kKeyBytesMin) return key;
  return Error{Errc::invalid_argument, std::string(kLinkKey) + ": " + file + " has fewer than 32 bytes", 0};
}

}  // namespace

const std::vector<config::Binding<ImageOptions>>& image_keys() {
  static const std::vector<config::Binding<ImageOptions>> keys = {
      bind<&ImageOptions::allow>({.name = "devices.image_allow",
                                  .type = Type::texts,
                                  .help = "Hosts that URLs of jobs' images may name, as iot.http_allow says them; "
                                          "empty: any but what is literally not public. Devices fetch them, "
                                          "the server does not",
                                  .wrong = wrong_image_host,
                                  .reloadable = true}),
      bind<&ImageOptions::link_key>({.name = "devices.image_link_key",
                                     .type = Type::text,
                                     .help = "The key that links to jobs' stored images are signed with: a file of 32 "
                                             "bytes or more, mode 0600; empty: there are no links",
                                     .reloadable = true}),
      bind<&ImageOptions::link_base>({.name = "devices.image_link_base",
                                      .type = Type::text,
                                      .help = "What stands before a link's path: https://HOST:PORT of the admin "
                                              "listener as devices reach it; empty: nothing",
                                      .wrong = wrong_base,
                                      .reloadable = true}),
  };
  return keys;
}

Result<void> take_images(const ImageOptions& options, devices::ImageSettings& settings) {
  settings = {};
  auto allowed = rules::AllowList::parse(options.allow);
  settings.any_host = options.allow.empty();
  if (allowed) settings.allowed = std::move(*allowed);
  settings.link_base = options.link_base;
  if (options.link_key.empty()) return {};
  Result<std::string> key = read_key(options.link_key);
  if (!key) return key.error();
  settings.link_key = std::move(*key);
  return {};
}

}  // namespace heptane::iot
