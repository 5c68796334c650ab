// The provisioning machine with the registry, and what a shard does for them. Test support.
#pragma once

#include <gtest/gtest.h>

#include <initializer_list>
#include <string>
#include <vector>

#include "kernel/shard/command_run.h"
#include "kernel/shard/memory_snapshot.h"
#include "modules/iot/machine/provisioning/provisioning_machine.h"
#include "modules/iot/test/trail.h"

namespace heptane::iot::devices::test {

constexpr LogTime kSecond = 1'000'000'000;

// 32 bytes that `name` makes.
inline std::string hash_of(std::string_view name) {
  std::string hash(name);
  hash.resize(kCredentialHashBytes, '.');
  return hash;
}

inline Credential credential_of(std::string thing, std::string_view name,
                                CredentialKind kind = CredentialKind::certificate) {
  Credential credential;
  credential.kind = kind;
  credential.hash = hash_of(name);
  credential.thing = std::move(thing);
  return credential;
}

class ProvisioningRig {
 public:
  explicit ProvisioningRig(std::initializer_list<std::string> things = {}) {
    devices.add_watch(machine);
    machines_.add(devices);
    machines_.add(machine);
    machines_.add(trail);
    for (const std::string& name : things) {
      Thing thing;
      thing.name = name;
      EXPECT_TRUE(apply(devices, kCreateThings, encode_things({thing})).ok());
    }
    trail.told.clear();
  }

  Reply apply(StateMachine& to, CommandType type, const Buffer& payload, Principal by = {}) {
    Command command;
    command.sequence = sequence_ + 1;
    command.time = now;
    command.machine = to.id();
    command.type = type;
    command.payload = payload.view();
    command.principal = by;
    run_.begin(command.sequence, command.time);
    run_.apply(to, command);
    Reply reply = run_.reply();
    if (run_.outcome() != CommandOutcome::kept) return reply;
    ++sequence_;
    DigestAccumulator digest;
    run_.keep(command, 0, false, digest);
    return reply;
  }
  Reply add(const Credential& credential) { return apply(machine, kAddCredential, encode(credential)); }
  Reply change(const CredentialName& name, std::optional<CredentialState> state, std::optional<LogTime> expires = {}) {
    return apply(machine, kChangeCredential, encode(ChangeCredential{name, state, expires}));
  }
  Reply drop(const CredentialName& name) { return apply(machine, kDropCredential, encode(name)); }

  std::optional<CredentialRow> proof(CredentialKind kind, const std::string& hash) const {
    Reply reply;
    const Buffer payload = encode_proof_query(kind, hash, now);
    machine.query({kQueryProof, payload.view(), {}}, reply);
    return reply.numbers[0] == 0 ? std::nullopt : decode_credential_row(reply.payload.view());
  }

  std::string state() const {
    MemorySnapshot snapshot;
    machine.save(snapshot);
    return std::string(as_text(snapshot.bytes()));
  }
  void restore() {
    MemorySnapshot saved;
    machine.save(saved);
    const size_t bytes = machine.memory_bytes();
    ASSERT_TRUE(machine.restore(saved).ok());
    ASSERT_TRUE(saved.at_end());
    ASSERT_EQ(state(), as_text(saved.bytes()));
    ASSERT_EQ(machine.memory_bytes(), bytes);
  }

  DevicesMachine devices;
  ProvisioningMachine machine;
  iot::test::Trail trail;
  KernelState kernel;
  LogTime now = 1'000 * kSecond;

 private:
  MachineTable machines_;
  CommandRun run_{machines_, kernel};
  Sequence sequence_ = 0;
};

}  // namespace heptane::iot::devices::test
