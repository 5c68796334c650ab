#include "kernel/shard/transact.h"

namespace heptane {

namespace {
constexpr size_t kOperationHeaderBytes = 12;
}

Buffer encode_transact(const std::vector<Operation>& operations) {
  ByteWriter out;
  out.le<uint16_t>(static_cast<uint16_t>(operations.size()));
  for (const Operation& operation : operations) {
    out.le<uint16_t>(operation.machine);
    out.le<uint16_t>(operation.type);
    out.le<uint32_t>(operation.partition);
    out.le<uint32_t>(static_cast<uint32_t>(operation.payload.size()));
    out.append(operation.payload);
  }
  return Buffer::take(out.release());
}

Result<std::vector<Operation>> decode_transact(Bytes payload) {
  ByteReader reader(payload);
  const auto count = reader.le<uint16_t>();
  if (count > kTransactOperationsLimit || !reader.fits(count, kOperationHeaderBytes))
    return Error{Errc::invalid_argument, "a transaction holds at most 1024 operations"};
  std::vector<Operation> operations(count);
  for (Operation& operation : operations) {
    operation.machine = reader.le<uint16_t>();
    operation.type = reader.le<uint16_t>();
    operation.partition = reader.le<uint32_t>();
    operation.payload = reader.take(reader.le<uint32_t>());
  }
  if (!reader.complete()) return Error{Errc::invalid_argument, "the transaction's bytes do not add up"};
  return operations;
}

void apply_transact(const Command& command, MachineTable& machines, CommandRun& run) {
  const Result<std::vector<Operation>> operations = decode_transact(command.payload);
  if (!operations) return run.effects().refuse(operations.error().code, 0, operations.error().message);
  ByteWriter results;
  run.open_scope();
  for (size_t i = 0; i < operations->size(); ++i) {
    const Operation& operation = (*operations)[i];
    const auto refuse = [&](Errc code, uint32_t detail, const std::string& why) {
      run.close_scope(ScopeOutcome::roll_back);
      run.effects().refuse(code, detail, "operation " + std::to_string(i) + ": " + why);
      run.reply().numbers = {static_cast<int64_t>(i), 1};
    };
    if (machines.find(operation.machine) == nullptr)
      return refuse(Errc::not_found, 0, "there is no machine " + std::to_string(operation.machine));
    Command part = command;
    part.machine = operation.machine;
    part.type = operation.type;
    part.partition = operation.partition;
    part.payload = operation.payload;
    run.reply() = Reply{};
    run.apply(run.effects().enlist(operation.machine), part);
    if (run.outcome() == CommandOutcome::refused) {
      const Reply reply = run.reply();
      return refuse(*reply.error, reply.detail, reply.message);
    }
    run.set_outcome(CommandOutcome::kept);
    for (const int64_t number : run.reply().numbers) results.le<int64_t>(number);
  }
  run.close_scope(ScopeOutcome::keep);
  run.reply() = Reply{};
  run.effects().reply(results.view(), static_cast<int64_t>(operations->size()));
}

}  // namespace heptane
