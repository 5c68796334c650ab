// The devices machine with what a shard does for it. Test support.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "kernel/shard/command_run.h"
#include "kernel/shard/memory_snapshot.h"
#include "modules/iot/machine/devices/devices_machine.h"
#include "modules/iot/test/trail.h"

namespace heptane::iot::devices::test {

constexpr LogTime kSecond = 1'000'000'000;

class DevicesRig {
 public:
  DevicesRig() {
    machines_.add(machine);
    machines_.add(trail);
  }

  Reply apply(CommandType type, const Buffer& payload) {
    Command command;
    command.sequence = sequence_ + 1;
    command.time = now;
    command.machine = kDevicesMachineId;
    command.type = type;
    command.payload = payload.view();
    run_.begin(command.sequence, command.time);
    run_.apply(machine, command);
    Reply reply = run_.reply();
    outcome = run_.outcome();
    if (outcome != CommandOutcome::kept) return reply;
    ++sequence_;
    DigestAccumulator digest;
    run_.keep(command, 0, false, digest);
    return reply;
  }
  Reply create(const Thing& thing) { return apply(kCreateThings, encode_things({thing})); }
  Reply update(const UpdateThing& update) { return apply(kUpdateThing, encode(update)); }
  Reply remove(std::string_view name) { return apply(kDeleteThing, Buffer::copy_of(name)); }
  Reply connection(std::string_view thing, uint64_t number, bool connected) {
    ByteWriter out;
    out.le<uint16_t>(1);
    append_connection(out, {thing, number, connected});
    return apply(kConnections, Buffer::take(out.release()));
  }

  Reply ask(uint16_t type, const Buffer& payload) const {
    Reply reply;
    machine.query({type, payload.view(), {}}, reply);
    return reply;
  }
  // All pages, and how many they were.
  std::vector<ThingRow> list(ThingsQuery query, size_t* pages = nullptr) const {
    std::vector<ThingRow> rows;
    while (true) {
      const Reply reply = ask(kQueryThings, encode(query));
      auto page = decode_things_page(reply.payload.view());
      EXPECT_TRUE(page && page->rows.size() == static_cast<size_t>(reply.numbers[0]));
      if (!page) return rows;
      for (ThingRow& row : page->rows) rows.push_back(std::move(row));
      if (pages != nullptr) ++*pages;
      if (reply.numbers[1] == 0) return rows;
      query.after = page->last;
    }
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

  DevicesMachine machine;
  iot::test::Trail trail;
  KernelState kernel;
  LogTime now = 1'000 * kSecond;
  CommandOutcome outcome = CommandOutcome::kept;

 private:
  MachineTable machines_;
  CommandRun run_{machines_, kernel};
  Sequence sequence_ = 0;
};

inline Thing thing(std::string name) {
  return {.name = std::move(name), .type = {}, .attributes = {}, .tags = {}, .groups = {}};
}

}  // namespace heptane::iot::devices::test
