// How commands are told to a person: each module's table for its machines. A payload is told in words where the machine can.
// Plain functions without state; any thread.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernel/base/bytes.h"
#include "kernel/base/ids.h"

namespace heptane {

struct CommandWords {
  MachineId machine = 0;
  CommandType type = 0;
  std::string_view what;  // `create transfers`
  // What the payload says, a line of at most a few hundred bytes; empty: it cannot be read. Null: it is shown as bytes.
  std::string (*payload)(Bytes payload) = nullptr;
};

class CommandTable {
 public:
  void name_machine(MachineId machine, std::string_view name) { machines_.push_back({machine, std::string(name)}); }
  void add(std::span<const CommandWords> words) { words_.insert(words_.end(), words.begin(), words.end()); }

  // `ledger`; `machine 17` where nobody names it.
  std::string machine(MachineId machine) const {
    for (const Named& named : machines_)
      if (named.machine == machine) return named.name;
    return "machine " + std::to_string(machine);
  }
  // Null: nobody says more of it than its number.
  const CommandWords* find(MachineId machine, CommandType type) const {
    for (const CommandWords& words : words_)
      if (words.machine == machine && words.type == type) return &words;
    return nullptr;
  }
  // `create transfers`; `command 147`.
  std::string command(MachineId machine, CommandType type) const {
    const CommandWords* words = find(machine, type);
    return words != nullptr ? std::string(words->what) : "command " + std::to_string(type);
  }

 private:
  struct Named {
    MachineId machine = 0;
    std::string name;
  };
  std::vector<Named> machines_;
  std::vector<CommandWords> words_;
};

}  // namespace heptane
