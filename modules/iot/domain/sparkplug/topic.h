// Topics of Sparkplug B (Eclipse Sparkplug 3.0.0 §4): `spBv1.0/GROUP/TYPE/NODE[/DEVICE]`, and what a Sparkplug aware server says below
// `$sparkplug/`. Pure; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace heptane::iot::sparkplug {

enum class MessageType : uint8_t { nbirth, ndeath, ndata, ncmd, dbirth, ddeath, ddata, dcmd };

struct Topic {
  std::string_view group;
  MessageType type = MessageType::nbirth;
  std::string_view node;
  std::string_view device;  // empty: of the node itself
};
// nullopt: it is none of these (a host's STATE is none). No part is empty.
std::optional<Topic> parse_topic(std::string_view topic);

// Commands are for nodes; all others are theirs.
constexpr bool is_birth(MessageType type) { return type == MessageType::nbirth || type == MessageType::dbirth; }
constexpr bool is_command(MessageType type) { return type == MessageType::ncmd || type == MessageType::dcmd; }

// `$sparkplug` and what lies below: the server's, where it is Sparkplug aware.
bool is_awares(std::string_view topic);
// Where a birth is kept (§10.1.4): `$sparkplug/certificates/` and its own topic.
std::string certificate_topic(std::string_view birth_topic);
// Where the server says what its metrics are: `$sparkplug/metrics/GROUP/NODE[/DEVICE]`.
std::string metrics_topic(const Topic& topic);
// Where a node is told what to do.
std::string command_topic(const Topic& topic);

}  // namespace heptane::iot::sparkplug
