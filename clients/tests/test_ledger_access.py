"""Who may move whose money, from outside: reserved ids over HTTP, in transactions and for TigerBeetle's own client, each refusal in
the audit trail; the configured number of client sessions; a transfer explained by its id.
"""

import json
import os
import shutil
import tempfile
import unittest

import test_exchange
import test_ledger
import test_tigerbeetle
from heptane_testkit import Server, http, kafka, wait_until
from test_auth import Guarded, ask

# 48 ones, a machine, 64 bits of its own.
RESERVED = str((((1 << 48) - 1) << 80) | (0xFF20 << 64) | 7)


def move(number, **more):
    return {"id": str(number), "debit_account_id": "1", "credit_account_id": "2", "amount_raw": "5", "ledger": 840, "code": 1,
            **more}


class Audited(test_ledger.OneServer):
    def trail(self):
        if "audit" not in kafka.topics(self.server.kafka):
            return []
        return [event for event in map(json.loads, kafka.kcat_consume(self.server.kafka, "audit"))
                if event["action"] == "request"]


class ReservedIds(Audited):
    def test_over_http(self):
        self.bank()
        refused = self.create("transfers", move(RESERVED), move(10), expect=409)
        self.assertEqual((refused["error"]["code"], refused["error"]["index"]), ("id_already_failed", 0))
        self.assertEqual([row["status"] for row in refused["results"]], ["id_already_failed", "created"])
        refused = self.create("accounts", {"id": RESERVED, "ledger": 840, "code": 1}, expect=409)
        self.assertEqual(refused["error"]["code"], "exists_with_different_flags")
        self.get("transfers/" + RESERVED, expect=404)
        self.get("accounts/" + RESERVED, expect=404)
        self.assertEqual([(event["by"], event["on"], event["detail"], event["count"]) for event in self.trail()],
                         [("local", "ledger:reserved create", "id " + RESERVED, 1)] * 2)
        self.server.crash_restart()
        self.assertEqual(len(self.trail()), 2)
        self.assertEqual(self.balance(2), ("0.00", "0.05"))

    def test_in_a_transaction(self):
        self.bank()
        status, answer = http.transact(self.server, {"transfer": [move(10), move(RESERVED)]})
        self.assertEqual((status, answer["error"]["message"]), (409, "transfers[1]: id_already_failed"))
        self.assertLess(answer["error"]["detail"], 1000, "the status and nothing else")
        self.assertEqual(self.balance(2), ("0.00", "0.00"))
        wait_until(self.trail, "the refusal in the audit trail")
        self.assertEqual(self.trail()[0]["on"], "ledger: operation 0: transfers[1]: id_already_failed")
        # What is not there is no incident.
        self.assertEqual(http.transact(self.server, {"transfer": move(11, debit_account_id="77")})[0], 409)
        self.assertEqual(http.transact(self.server, {"transfer": move(12)})[0], 200)
        self.assertEqual(len(self.trail()), 1)

    def test_for_tigerbeetles_client(self):
        test_tigerbeetle.run(self.server, "reserved")
        self.assertEqual([event["count"] for event in self.trail()], [1, 2])


class AccountsOfTheExchange(Audited):
    """They are sealed: not even who may withdraw, as everybody may here, credits or debits one."""

    def setUp(self):
        super().setUp()
        test_exchange.open_market(lambda method, path, body: http.call(self.server, method, path, body))
        self.create("accounts", {"id": "1", "ledger": 840, "code": 1})
        owned = [row for row in self.get("accounts?ledger=840")["accounts"] if "owner" in row]
        self.assertGreater(len(owned), 2)
        self.assertTrue(all(row["code"] & 1 << 15 for row in owned))
        self.owned = next(row for row in owned if int(row["credits_posted_raw"]) > int(row["debits_posted_raw"]))

    def unmoved(self):
        self.assertEqual(self.get("accounts/" + self.owned["id"]), self.owned)
        self.assertEqual({event["on"] for event in self.trail()}, {"ledger:owned alter"})
        self.assertIn("account or pending transfer " + self.owned["id"], self.trail()[0]["detail"])

    def test_over_http(self):
        there, back = ({"debit_account_id": "1", "credit_account_id": self.owned["id"]},
                       {"debit_account_id": self.owned["id"], "credit_account_id": "1"})
        refused = self.create("transfers", move(10, **there), move(11, **back), move(12, **there, flags=["pending"]), expect=409)
        self.assertEqual([row["status"] for row in refused["results"]],
                         ["credit_account_not_found", "debit_account_not_found", "credit_account_not_found"])
        self.unmoved()
        self.server.crash_restart()
        self.unmoved()

    def test_for_tigerbeetles_client(self):
        test_tigerbeetle.run(self.server, "owned", plain="1", owned=self.owned["id"], ledger=840)
        self.unmoved()


class TheRightToWithdraw(Guarded):
    """The one machine with accounts seals them: what the right does is proved beside the ledger. Here: it is a role's."""

    def test_a_grant_between_a_request_and_its_repeat_changes_nothing(self):
        self.admin("POST", "/api/v1/ledger/assets", test_ledger.USD)
        self.admin("POST", "/api/v1/ledger/accounts", {"accounts": [{"id": n, "asset": "USD", "code": 1} for n in (1, 2)]})
        self.admin("POST", "/api/v1/roles", {"name": "teller", "permissions": [
            {"module": "ledger", "pattern": "transfers", "verbs": ["create", "read"]}]})
        self.admin("POST", "/api/v1/roles", {"name": "cashier", "permissions": [
            {"module": "ledger", "pattern": "withdraw", "verbs": ["create"]}]})
        self.add_user("tess", "teller")
        token = self.admin("POST", "/api/v1/tokens", {"name": "t", "owner": "tess"})["token"]

        def send(path, body, **headers):
            status, answer, _ = ask(self.server, "POST", "/api/v1/" + path, body, "Bearer " + token, headers)
            self.assertEqual(status, 200, answer)
            return answer

        single = ("ledger/transfers", {"transfers": [move(10)]})
        together = ("transact", {"operations": [{"transfer": move(11)}], "idempotency_key": "k2"})
        first = [send(*single, **{"Idempotency-Key": "k"}), send(*together)]
        self.admin("POST", "/api/v1/users/tess/roles", {"role": "cashier"})
        again = [send(*single, **{"Idempotency-Key": "k"}), send(*together)]
        for before, after in zip(first, again):
            self.assertEqual(before["position"], after["position"])
            self.assertTrue(after["repeated"])


class Sessions(unittest.TestCase):
    def test_their_number_is_configured(self):
        directory = tempfile.mkdtemp(prefix="heptane-sessions-")
        self.addCleanup(shutil.rmtree, directory)
        path = os.path.join(directory, "heptane.toml")

        def write(text):
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)

        write("[fintech.tigerbeetle]\nsessions = 3\n")
        server = Server(args=("--config", path)).use_stable_port("tigerbeetle")
        self.addCleanup(server.close)
        server.start()
        test_tigerbeetle.run(server, "crowd", clients=3)
        server.crash_restart()  # by replay, of what the log says
        test_tigerbeetle.run(server, "crowd", clients=3)
        write('[fintech.tigerbeetle]\nsessions = "default"\n')
        server.restart()
        test_tigerbeetle.run(server, "crowd", clients=64)


class Explain(test_ledger.OneServer):
    def explain(self, number, *arguments):
        return self.server.run("ledger", "explain", number, "--server", self.server.admin, "--data", self.server.data, *arguments)

    def test_a_transfer_leads_to_the_message_that_made_it(self):
        self.bank()
        self.create("transfers", *(self.transfer(number, "1.00") for number in range(10, 20)))
        position = self.create("transfers", self.transfer(20, "2.50"), self.transfer(21, "0.50"))["position"]
        _, transacted = http.transact(self.server, {"transfer": move(30)})
        self.assertEqual(self.get("transfers/21/position"),
                         {"id": "21", "position": position, "stream": "fintech.transfers", "offset": 11})
        for _ in range(2):
            told = self.explain(20)
            self.assertEqual(told.returncode, 0, told.stderr)
            self.assertTrue(told.stdout.startswith(position + "  "), told.stdout)
            self.assertIn('fintech.transfers/0 offset 10  20 = {"id":"20","debit_account_id":"1"', told.stdout)
            self.assertIn("origin: listener", told.stdout)
            self.assertIn("ledger: create transfers", told.stdout.splitlines()[0])
            self.assertIn("machine: ledger", told.stdout)
            self.assertIn("payload: 2 transfers: transfer 20 moves 250 from 1 to 2 in ledger 840; transfer 21 moves 50", told.stdout)
            same = self.server.run("explain", "20", "--server", self.server.admin, "--data", self.server.data)
            self.assertEqual((same.returncode, same.stdout), (0, told.stdout), same.stderr)
            self.assertIn("operation_0: ledger: create transfers, all or none", self.explain(30).stdout)
            self.assertEqual(json.loads(self.explain(30, "--json").stdout)["position"], transacted["position"])
            self.server.crash_restart()
        missing = self.explain(99)
        self.assertEqual((missing.returncode, missing.stderr.strip()), (1, "heptane: there is no transfer 99"))
        missing = self.server.run("explain", "99", "--server", self.server.admin, "--data", self.server.data)
        self.assertEqual((missing.returncode, missing.stderr.strip()), (1, "heptane: there is no transfer 99"))

    def test_a_stream_that_began_later_than_the_ledger(self):
        """Until somebody else's stream of that name is deleted, the ledger tells nothing."""
        http.create(self.server, "fintech.transfers")
        records = "/api/v1/streams/fintech.transfers"
        status, answer = http.call(self.server, "POST", records + "/records", {"records": [{"value": "somebody else's"}]})
        self.assertEqual(status, 200, answer)
        self.bank()
        self.create("transfers", *(self.transfer(number, "1.00") for number in range(10, 20)))
        status, answer = http.call(self.server, "DELETE", records)
        self.assertEqual(status, 200, answer)
        # Transfer 22 is the thirteenth, and the third that is told.
        position = self.create("transfers", *(self.transfer(number, "1.00") for number in range(20, 50)))["position"]
        for _ in range(2):
            self.assertEqual(self.get("transfers/22/position"),
                             {"id": "22", "position": position, "stream": "fintech.transfers", "offset": 2})
            for number, offset in ((20, 0), (22, 2), (49, 29)):
                told = self.explain(number)
                self.assertEqual(told.returncode, 0, told.stderr)
                self.assertTrue(told.stdout.startswith(position + "  "), told.stdout)
                self.assertIn(f'fintech.transfers/0 offset {offset}  {number} = ', told.stdout)
            for number in (10, 19):
                early = self.explain(number)
                self.assertEqual(early.returncode, 1, early.stdout)
                self.assertIn(f"the record of transfer {number} is not in fintech.transfers: it was made before", early.stderr)
            self.server.crash_restart()


if __name__ == "__main__":
    unittest.main()
