// Where a session's client comes from, as those who ask for its name want to know it.
#pragma once

#include "kernel/auth/sasl.h"
#include "kernel/net/session.h"

namespace heptane::net {

// `protocol` is a literal.
inline auth::Peer peer_of(const SessionContext& context, std::string_view protocol) {
  auth::Peer peer;
  peer.remote = context.remote().host;
  peer.encrypted = context.tls() != nullptr;
  if (peer.encrypted) peer.certificate_name = context.tls()->client_common_name;
  // A Unix socket has a path where others have a numeric address.
  peer.loopback = peer.remote.empty() || peer.remote.starts_with("unix:") || peer.remote == "::1" ||
                  peer.remote.starts_with("127.") || peer.remote.starts_with("::ffff:127.");
  peer.protocol = protocol;
  return peer;
}

}  // namespace heptane::net
